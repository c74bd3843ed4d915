package e2e

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// loaded is the load under which the app wants seven replicas: 350 mCPU.
var loaded = control{Rate: 100, Burn: "3500us"}

// deaf is longer than the app's stabilization window: an autoscaler that takes
// silence for idleness would have shrunk the app by then.
const deaf = 35 * time.Second

// rule A1: what is not measured is not small.
func Test08DeadPrometheus(t *testing.T) {
	platform(t)
	settled(t)
	tr := newTraffic(t)
	tr.say(loaded)
	grown := grows(t, 6)
	t.Cleanup(func() { must(t, "local", "start", "prometheus") })
	for _, fault := range []struct {
		name        string
		begin, over func(*testing.T)
	}{
		{"hung", func(t *testing.T) { hang(t, "prometheus") }, func(t *testing.T) { resumed(t, "prometheus") }},
		{"dead", func(t *testing.T) { must(t, "local", "kill", "prometheus") }, func(t *testing.T) { must(t, "local", "start", "prometheus") }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			since := time.Now()
			fault.begin(t)
			if body, err := get(t, "http://127.0.0.1:9490/-/ready"); err == nil {
				t.Errorf("Prometheus still answers: %s", body)
			}
			holds(t, grown, deaf)
			fault.over(t)
			eventually(t, time.Minute, func() string {
				if _, err := get(t, "http://127.0.0.1:9490/-/ready"); err != nil {
					return err.Error()
				}
				return ""
			})
			holds(t, grown, 6*time.Second) // samples from before the silence are old
			noScaleDown(t, since)
		})
	}
	tr.finish(firstPhase)
}

// grows waits until the app has at least so many replicas and is settled.
func grows(t *testing.T, least int) int {
	t.Helper()
	eventually(t, 2*time.Minute, func() string {
		if a := read[app](t, "get", "app", "hello", "-p", "demo"); a.Status.DesiredReplicas < least {
			return fmt.Sprintf("%d replicas are wanted under load", a.Status.DesiredReplicas)
		}
		return ""
	})
	a := settled(t)
	t.Logf("%d replicas under load", a.Status.DesiredReplicas)
	return a.Status.DesiredReplicas
}

// holds looks at the app all the time: it must never want fewer replicas.
func holds(t *testing.T, least int, during time.Duration) {
	t.Helper()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(time.Second) {
		if a := read[app](t, "get", "app", "hello", "-p", "demo"); a.Status.DesiredReplicas < least {
			t.Fatalf("%d replicas are wanted, before it were %d", a.Status.DesiredReplicas, least)
		}
	}
}

func noScaleDown(t *testing.T, since time.Time) {
	t.Helper()
	for _, d := range decisionsSince(t, "autoscale", since) {
		from, err := strconv.Atoi(d.From)
		to, err2 := strconv.Atoi(d.To)
		if err != nil || err2 != nil {
			t.Fatalf("a decision from %q to %q", d.From, d.To)
		}
		if to < from {
			t.Errorf("scaled down: %+v", d)
		}
	}
}

func resumed(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Kill(pidOf(t, name), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}
