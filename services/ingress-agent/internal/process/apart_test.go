package process

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestApartHasNoNetwork(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "unshare", "--net", "true").Run(); err != nil {
		t.Skip("no network namespace can be made here")
	}
	out, err := RunApart(t.Context(), time.Minute, "grep", "--count", ":", "/proc/net/dev")
	if err != nil || strings.TrimSpace(out) != "1" { // loopback, which is down
		t.Errorf("%q devices, %v", out, err)
	}
}
