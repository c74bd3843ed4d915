package supervisor

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve runs real processes behind a real socket.
func serve(t *testing.T, c Config) (Client, func()) {
	t.Helper()
	dir := t.TempDir()
	c.LogDir, c.RunDir, c.Logger = dir, dir, discard()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	socket := filepath.Join(dir, "s.sock")
	served, ran := make(chan error, 1), make(chan struct{})
	serving, stopServing := context.WithCancel(context.Background())
	go func() { served <- s.Serve(serving, socket, cancel) }()
	go func() { defer close(ran); s.Run(ctx) }()
	return Dial(socket), func() {
		cancel()
		<-ran
		stopServing()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

func await(t *testing.T, c Client, what string, good func(Report) bool) Report {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		r, err := c.Status(t.Context())
		if err == nil && good(r) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen: %+v %v", what, r, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestRealProcesses(t *testing.T) {
	client, stop := serve(t, Config{
		Order: []string{"g"},
		Specs: []Spec{{Name: "sleeper", Group: "g", Path: "/bin/sh", Args: []string{"-c", "echo hello; exec sleep 1000"}}},
	})
	r := await(t, client, "ready", func(r Report) bool { return r.Ready })
	p := r.Processes[0]
	record := filepath.Join(filepath.Dir(p.Log), "sleeper.pid")
	if pid, alive := ReadRecord(record); pid != p.PID || !alive {
		t.Errorf("record says %d %v, report %d", pid, alive, p.PID)
	}
	if p.MemoryBytes <= 0 || r.MemoryBytes < p.MemoryBytes {
		t.Errorf("memory %d of %d", p.MemoryBytes, r.MemoryBytes)
	}
	if err := client.Kill(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	r = await(t, client, "down", func(r Report) bool { return r.Groups[0].Down })
	if _, alive := ReadRecord(record); alive || r.Processes[0].PID != 0 {
		t.Errorf("still there: %+v", r.Processes[0])
	}
	if err := client.Start(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	await(t, client, "ready again", func(r Report) bool { return r.Ready && !r.Groups[0].Down })
	if log, err := os.ReadFile(p.Log); err != nil || string(log) != "hello\nhello\n" {
		t.Errorf("log %q %v", log, err)
	}
	stop()
}

func TestControlRefuses(t *testing.T) {
	client, stop := serve(t, Config{Order: []string{"g"}, Specs: []Spec{{Name: "x", Group: "g", Path: "/bin/true"}}})
	await(t, client, "answer", func(Report) bool { return true })
	for name, call := range map[string]func(context.Context, string) error{"kill": client.Kill, "start": client.Start} {
		if err := call(t.Context(), "nobody"); !fault.Is(err, fault.KindPrecondition) {
			t.Errorf("%s of an unknown group: %v", name, err)
		}
	}
	stop()
	if _, err := client.Status(t.Context()); !fault.HasReason(err, "NOT_RUNNING") {
		t.Errorf("status of a stopped supervisor: %v", err)
	}
}

// A process number that belongs to another process now is nobody of ours.
func TestRecordOfAnotherProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.pid")
	if err := WriteRecord(file, os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if pid, alive := ReadRecord(file); pid != os.Getpid() || !alive {
		t.Errorf("own record: %d %v", pid, alive)
	}
	for _, content := range []string{strconv.Itoa(os.Getpid()) + " 1\n", "", "x y", "999999999 5"} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, alive := ReadRecord(file); alive {
			t.Errorf("record %q counts as alive", content)
		}
	}
}

func TestDeadChild(t *testing.T) {
	tests := []struct {
		stat string
		want int
	}{
		{"77 (sh) Z 5 77 77 0", 77},
		{"77 (sh) S 5 77 77 0", 0},
		{"77 (sh) Z 6 77 77 0", 0},
		{"77 (a) Z 5 (b) Z 5 77", 77},
		{"77 (a) Z 5 (b) S 1 77", 0},
		{"", 0}, {"x (y) Z 5", 0}, {"77 (sh)", 0},
	}
	for _, test := range tests {
		if got := deadChild(test.stat, 5); got != test.want {
			t.Errorf("%q: %d, want %d", test.stat, got, test.want)
		}
	}
}

func TestLogIsPutAside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(file, make([]byte, logMost), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := rotate(file); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file + ".1"); err != nil {
		t.Error(err)
	}
	if err := rotate(file); err != nil {
		t.Errorf("no log yet: %v", err)
	}
}
