package usage_test

import (
	"os"
	"testing"
	"time"

	"gantry.dev/test/bench/internal/usage"
)

func TestBusyProcessIsSeen(t *testing.T) {
	pids := map[string]int{"me": os.Getpid(), "gone": 1 << 30}
	before, err := usage.Take(pids)
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 200*time.Millisecond; {
	}
	after, err := usage.Take(pids)
	if err != nil {
		t.Fatal(err)
	}
	span := after.Since(before)
	if span.CPU["me"] < 0.05 || span.CPU["gone"] != 0 || span.Total() != span.CPU["me"] {
		t.Errorf("%+v", span)
	}
	if rss, err := usage.RSS(os.Getpid()); err != nil || rss < 1 || rss > 10_000 {
		t.Errorf("%v MiB, %v", rss, err)
	}
	if _, err := usage.RSS(1 << 30); err == nil {
		t.Error("memory of a process that is not there")
	}
}

func TestAProcessThatWasStartedAgain(t *testing.T) {
	now := time.Now()
	before := usage.Sample{Time: now, CPU: map[string]float64{"kcm": 10, "etcd": 1}}
	after := usage.Sample{Time: now.Add(2 * time.Second), CPU: map[string]float64{"kcm": 0.5, "etcd": 2}, Machine: 3}
	span := after.Since(before)
	if span.CPU["kcm"] != 0.5 || span.CPU["etcd"] != 1 || span.Other != 1.5 || span.Cores() != 0.75 {
		t.Errorf("%+v", span)
	}
}
