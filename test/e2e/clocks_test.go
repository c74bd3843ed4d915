package e2e

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"gantry.dev/test/e2e/clock"
)

// moves moves clocks of a process until undo, at the latest until the test ends.
func moves(t *testing.T, pid int, by time.Duration, ids ...clock.ID) (undo func()) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("SKIPPED: clocks can be moved on amd64 only")
	}
	back, err := clock.Shift(pid, by, ids...)
	if err != nil {
		t.Fatal(err)
	}
	undo = func() {
		if err := back(); err != nil {
			t.Errorf("the clock of process %d stays wrong: %v", pid, err)
		}
	}
	t.Cleanup(undo)
	return undo
}

// ahead waits until the clock of a part is so far ahead of ours, by the date in
// its answers.
func ahead(t *testing.T, name, address string, want time.Duration) {
	t.Helper()
	eventually(t, 30*time.Second, func() string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Do(request)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		says, err := http.ParseTime(response.Header.Get("Date"))
		if err != nil {
			return err.Error()
		}
		if off := time.Until(says); (off - want).Abs() > 15*time.Second {
			return fmt.Sprintf("the clock of %s is ahead by %s, not %s", name, off, want)
		}
		return ""
	})
}
