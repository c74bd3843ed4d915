package clock_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"gantry.dev/test/e2e/clock"
)

// teller makes the tests' own program say its clocks instead of testing.
const teller = "GANTRY_CLOCK_TELLER"

func TestMain(m *testing.M) {
	if os.Getenv(teller) == "" {
		os.Exit(m.Run())
	}
	began := time.Now()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(time.Now().UnixNano(), int64(time.Since(began)))
	}
}

// told is what another process says of its clocks.
type told struct {
	wall   time.Time
	steady time.Duration
}

// another starts a process that says its clocks when it is asked.
func another(t *testing.T) (pid int, ask func() told) {
	t.Helper()
	if os.Geteuid() != 0 || runtime.GOARCH != "amd64" {
		t.Skip("SKIPPED: moving a clock needs root, and amd64")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), teller+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it ends with the test's context
	return cmd.Process.Pid, func() told {
		var wall, steady int64
		if _, err := fmt.Fprintln(in); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fscan(out, &wall, &steady); err != nil {
			t.Fatal(err)
		}
		return told{time.Unix(0, wall), time.Duration(steady)}
	}
}

// near allows for a busy machine.
func near(a, b time.Duration) bool { return (a - b).Abs() < 20*time.Second }

func TestShift(t *testing.T) {
	const far = 5 * time.Minute
	for _, tc := range []struct {
		name         string
		ids          []clock.ID
		by           time.Duration
		wall, steady time.Duration
	}{
		{"wall ahead", []clock.ID{clock.Wall}, far, far, 0},
		{"wall behind", []clock.ID{clock.Wall}, -far, -far, 0},
		{"steady ahead", []clock.ID{clock.Steady}, far, 0, far},
		{"both behind", []clock.ID{clock.Steady, clock.Wall}, -far, -far, -far},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pid, ask := another(t)
			ask() // it has begun
			undo, err := clock.Shift(pid, tc.by, tc.ids...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := clock.Shift(pid, tc.by, clock.Wall); err == nil {
				t.Error("a moved clock was moved again")
			}
			if got := ask(); !near(time.Until(got.wall), tc.wall) || !near(got.steady, tc.steady) {
				t.Errorf("the wall clock is off by %s, %s have passed", time.Until(got.wall), got.steady)
			}
			if err := undo(); err != nil {
				t.Fatal(err)
			}
			if got := ask(); !near(time.Until(got.wall), 0) || !near(got.steady, 0) {
				t.Errorf("undone: the wall clock is off by %s, %s have passed", time.Until(got.wall), got.steady)
			}
		})
	}
}

func TestNoSuchProcess(t *testing.T) {
	if _, err := clock.Shift(1<<30, time.Hour, clock.Wall); err == nil {
		t.Error("the clock of no process was moved")
	}
}
