package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	talkers = 4
	// words is how many lines each container prints before and after the faults.
	words = 200
)

func Test20Logs(t *testing.T) {
	platform(t)
	t.Cleanup(func() {
		eventually(t, time.Minute, func() string {
			if r := gantry(t, "", "delete", "app/talk", "-p", "demo"); r.code != 0 && r.code != 3 {
				return r.err
			}
			return ""
		})
	})
	applies(t, talking)
	first := talkingIn(t, nil)
	following := follows(t, "talk")

	prints(t, first, "before")
	for _, part := range []string{"site-b-ipaas", leader(t, ""), "portal"} {
		if err := syscall.Kill(pidOf(t, part), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	killed := slices.Sorted(maps.Keys(first))[0]
	if err := syscall.Kill(first[killed], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := talkingIn(t, first)
	prints(t, second, "after")

	want := 2 * words * talkers
	eventually(t, 2*time.Minute, func() string {
		if n := len(following.lines(t)); n < want {
			return fmt.Sprintf("%d of %d lines have come\n%s", n, want, following.said())
		}
		return ""
	})
	inOrder(t, following.lines(t), want)

	var all []logLine
	for line := range strings.Lines(must(t, "logs", "talk", "-p", "demo", "--grep", "^said after ", "-o", "json")) {
		all = append(all, readLine(t, line))
	}
	inOrder(t, all, words*talkers)
	if !slices.IsSortedFunc(all, func(a, b logLine) int { return a.Time.Compare(b.Time) }) {
		t.Error("the lines are not in the order of time")
	}
	if out := must(t, "logs", "talk", "-p", "demo", "--previous", "--grep", "said before"); strings.Count(out, "\n") != words {
		t.Errorf("the killed container had printed %d lines, %d are shown", words, strings.Count(out, "\n"))
	}
}

const talking = `kind: App
name: projects/demo/apps/talk
spec:
  image: hello:v1
  replicas: 4
  resources: {cpu: 50m, memory: 64Mi}
  ports:
    - {name: http, port: 8080}
  readiness: {httpPath: /healthz, port: 8080, periodSeconds: 1}
  env:
    - {name: WHO, value: talk}
`

// talkingIn waits until every container runs and gives their processes by pod;
// one is another than it was in not.
func talkingIn(t *testing.T, not map[string]int) map[string]int {
	t.Helper()
	found := map[string]int{}
	eventually(t, 2*time.Minute, func() string {
		clear(found)
		for proc, environment := range containersOf(t, "talk") {
			_, rest, _ := strings.Cut(environment, "\x00POD_NAME=")
			pod, _, _ := strings.Cut(rest, "\x00")
			pid, err := strconv.Atoi(filepath.Base(proc))
			if err != nil {
				t.Fatal(err)
			}
			found[pod] = pid
		}
		if len(found) != talkers || maps.Equal(found, not) {
			return fmt.Sprintf("%d containers run", len(found))
		}
		return allReady(t, "talk") // portal may be away
	})
	return found
}

// allReady complains while replicas of an app are missing or nobody answers.
func allReady(t *testing.T, name string) string {
	t.Helper()
	var a app
	r := gantry(t, "", "get", "app", name, "-p", "demo", "-o", "json")
	if r.code != 0 {
		return r.err
	}
	if err := json.Unmarshal([]byte(r.out), &a); err != nil {
		t.Fatal(err)
	}
	if a.Status.ReadyReplicas != talkers {
		return fmt.Sprintf("%d replicas are ready", a.Status.ReadyReplicas)
	}
	return ""
}

// prints makes every container print, as if its app did.
func prints(t *testing.T, containers map[string]int, when string) {
	t.Helper()
	var all sync.WaitGroup
	for _, pid := range containers {
		all.Go(func() {
			out, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/1", pid), os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer out.Close()
			for n := range words {
				if _, err := fmt.Fprintf(out, "said %s %d\n", when, n); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	all.Wait()
}

// logLine is a line as -o json prints it.
type logLine struct {
	Cluster string    `json:"cluster"`
	Pod     string    `json:"pod"`
	Time    time.Time `json:"time"`
	Text    string    `json:"text"`
}

func readLine(t *testing.T, text string) (line logLine) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return line
}

// inOrder asserts that so many lines came, each once and those of a pod in the
// order in which it printed them.
func inOrder(t *testing.T, lines []logLine, want int) {
	t.Helper()
	if len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	next := map[string]int{}
	for _, l := range lines {
		var when string
		var n int
		if _, err := fmt.Sscanf(l.Text, "said %s %d", &when, &n); err != nil {
			t.Fatalf("%q: %v", l.Text, err)
		}
		voice := l.Cluster + "/" + l.Pod + " " + when
		if n != next[voice] {
			t.Fatalf("%s: line %d, want %d", voice, n, next[voice])
		}
		next[voice]++
	}
}

// follower is a `gantry logs -f` that runs.
type follower struct {
	mu       sync.Mutex
	out, err bytes.Buffer
}

func follows(t *testing.T, name string) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	f := &follower{}
	cmd := command(ctx, "logs", name, "-f", "-p", "demo", "--grep", "^said ", "-o", "json")
	cmd.Stdout, cmd.Stderr = locked{f, &f.out}, locked{f, &f.err}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return f
}

// locked is a buffer that is read while it is written.
type locked struct {
	*follower
	to *bytes.Buffer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}

// lines are the whole lines that came.
func (f *follower) lines(t *testing.T) (lines []logLine) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for line := range strings.Lines(f.out.String()) {
		if strings.HasSuffix(line, "\n") {
			lines = append(lines, readLine(t, line))
		}
	}
	return lines
}

func (f *follower) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err.String()
}
