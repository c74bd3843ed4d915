package logs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/logs"
)

var web = labels.ID{Project: "shop", App: "web"}

// cluster is a fake with the logs of pods as a kubelet tells them.
type cluster struct {
	mu      sync.Mutex
	pods    []kube.Pod
	lines   map[string][]string
	former  map[string][]string      // of the container before
	ends    map[string]chan struct{} // the container dies when it is closed
	refused map[string]error
}

func newCluster() *cluster {
	return &cluster{lines: map[string][]string{}, former: map[string][]string{}, ends: map[string]chan struct{}{}, refused: map[string]error{}}
}

func (c *cluster) add(name string, lines ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods = append(c.pods, kube.Pod{Namespace: "gantry-shop", Name: name, UID: name, App: web})
	c.lines[name], c.ends[name] = lines, make(chan struct{})
}

// restart ends the pod's container, whose log is late now, and starts another.
func (c *cluster) restart(name string, late ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.former[name], c.lines[name] = append(c.lines[name], late...), nil
	close(c.ends[name])
	c.ends[name] = make(chan struct{})
}

func (c *cluster) each(f func(kube.Pod)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pods {
		f(p)
	}
}

// open gives lines of whole seconds since the wanted one, as the API server does.
func (c *cluster) open(ctx context.Context, _, pod string, o kube.LogOptions) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refused[pod]; err != nil {
		return nil, err
	}
	lines := c.lines[pod]
	if o.Previous {
		if lines = c.former[pod]; lines == nil {
			return nil, fault.Precondition("LOG_NOT_THERE", "no container ran before in %s", pod)
		}
	}
	var out bytes.Buffer
	for _, line := range lines {
		at, _ := time.Parse(time.RFC3339Nano, strings.Fields(line)[0])
		if !at.Before(o.Since.Truncate(time.Second)) {
			fmt.Fprintln(&out, line)
		}
	}
	if !o.Follow {
		return io.NopCloser(&out), nil
	}
	return &followed{ctx, &out, c.ends[pod]}, nil
}

// followed does not end before its container.
type followed struct {
	ctx  context.Context
	text *bytes.Buffer
	end  chan struct{}
}

func (f *followed) Read(b []byte) (int, error) {
	if f.text.Len() > 0 {
		return f.text.Read(b)
	}
	select {
	case <-f.end:
		return 0, io.EOF
	case <-f.ctx.Done():
		return 0, f.ctx.Err()
	}
}

func (f *followed) Close() error { return nil }

func at(second float64, text string) string {
	return time.Unix(0, int64(second*1e9)).UTC().Format(time.RFC3339Nano) + " " + text
}

// collected is what a stream has sent.
type collected struct {
	mu      sync.Mutex
	lines   []string
	notices []string
}

func (c *collected) send(lines []*gantryv1.LogLine, notices []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range lines {
		c.lines = append(c.lines, l.GetPod()+":"+l.GetText())
	}
	c.notices = append(c.notices, notices...)
	return nil
}

func (c *collected) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

func TestLinesOfAllPodsInTheOrderOfTime(t *testing.T) {
	c := newCluster()
	c.add("a", at(1, "one"), at(4, "four"), at(5, "hidden"))
	c.add("b", at(2, "two"), at(3, "three"))
	c.add("c")
	c.refused["c"] = fault.Precondition("LOG_NOT_THERE", "c has no such log: waiting to start")
	c.pods[2].Trouble = "the image is missing"
	c.pods = append(c.pods, kube.Pod{Name: "other", UID: "other", App: labels.ID{Project: "shop", App: "other"}})
	var got collected
	err := logs.Reader{Pods: c.each, Open: c.open}.Stream(t.Context(), logs.Request{App: web, Match: regexp.MustCompile("^[otf]")}, got.send)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a:one", "b:two", "b:three", "a:four"}; !slices.Equal(got.lines, want) {
		t.Errorf("got %q", got.lines)
	}
	if want := []string{"c has printed nothing: the image is missing"}; !slices.Equal(got.notices, want) {
		t.Errorf("notices %q", got.notices)
	}
}

// A container that restarts goes on where it was, without a line lost or said
// twice, also when several have one time; a new pod is heard.
func TestFollowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.add("a", at(1.5, "one"), at(1.5, "two"))
		ctx, cancel := context.WithCancel(t.Context())
		var got collected
		var ended sync.WaitGroup
		ended.Go(func() {
			r := logs.Reader{Pods: c.each, Open: c.open}
			_ = r.Stream(ctx, logs.Request{App: web, LogOptions: kube.LogOptions{Follow: true}}, got.send)
		})
		time.Sleep(2 * time.Second)
		c.mu.Lock()
		c.lines["a"] = append(c.lines["a"], at(1.5, "three"), at(1.9, "four"))
		close(c.ends["a"])
		c.ends["a"] = make(chan struct{})
		c.mu.Unlock()
		time.Sleep(2500 * time.Millisecond) // a is read again
		c.add("b", at(4, "five"))
		time.Sleep(5 * time.Second)
		if want := []string{"a:one", "a:two", "a:three", "a:four", "b:five"}; !slices.Equal(got.got(), want) {
			t.Errorf("got %q", got.got())
		}
		cancel()
		ended.Wait()
	})
}

// What a container printed just before its end is written late, or while nobody
// read it: it comes all the same, once, and before what its successor prints.
func TestLastLinesOfAContainerThatRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.add("a", at(1.5, "one"), at(1.5, "two"))
		follow := func(since time.Time, d time.Duration) []string {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			var got collected
			r := logs.Reader{Pods: c.each, Open: c.open}
			_ = r.Stream(ctx, logs.Request{App: web, LogOptions: kube.LogOptions{Follow: true, Since: since}}, got.send)
			return got.got()
		}
		time.AfterFunc(2*time.Second, func() { c.restart("a", at(1.5, "three"), at(1.6, "four")) })
		time.AfterFunc(2500*time.Millisecond, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.lines["a"] = []string{at(4, "five")}
		})
		if got, want := follow(time.Time{}, 5*time.Second), []string{"a:one", "a:two", "a:three", "a:four", "a:five"}; !slices.Equal(got, want) {
			t.Errorf("followed %q, want %q", got, want)
		}
		if got, want := follow(time.Unix(1, 6e8), 5*time.Second), []string{"a:four", "a:five"}; !slices.Equal(got, want) {
			t.Errorf("since a time before the restart %q, want %q", got, want)
		}
		if got, want := follow(time.Time{}, 5*time.Second), []string{"a:five"}; !slices.Equal(got, want) {
			t.Errorf("from the beginning of the container %q, want %q", got, want)
		}
	})
}

func TestWhatIsOddInALine(t *testing.T) {
	c := newCluster()
	c.add("a", at(1, strings.Repeat("x", 100_000)), at(2, "bro\xffken"), at(3, ""), at(3.5, ""), at(4, "end"))
	var lines []*gantryv1.LogLine
	err := logs.Reader{Pods: c.each, Open: c.open}.Stream(t.Context(), logs.Request{App: web}, func(l []*gantryv1.LogLine, _ []string) error {
		lines = append(lines, l...)
		return nil
	})
	if err != nil || len(lines) != 5 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if l := lines[0]; !l.GetTruncated() || len(l.GetText()) > 64<<10 || len(l.GetText()) < 60_000 {
		t.Errorf("%d bytes, truncated: %v", len(l.GetText()), l.GetTruncated())
	}
	if lines[1].GetText() != "bro\uFFFDken" || lines[2].GetText() != "" || lines[4].GetText() != "end" {
		t.Errorf("got %q", lines[1:])
	}
}
