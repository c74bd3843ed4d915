package cli

import (
	"bytes"
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local"
)

func TestLocalReport(t *testing.T) {
	report := local.Report{Running: true, MemoryBytes: 900 << 20, Processes: []local.Process{
		{Name: "etcd", Group: "platform", State: "ready", PID: 7, MemoryBytes: 60 << 20, Log: ".local/log/etcd.log"},
		{Name: "kubelet-a", Group: "site-a", State: "waiting", Detail: "waits for containerd-a", Log: ".local/log/kubelet-a.log"},
	}}
	var out bytes.Buffer
	localReport(&out, report)
	golden(t, "local-status", out.String())
	if err := notReady(report); !fault.HasReason(err, "LOCAL_NOT_READY") {
		t.Errorf("got %v", err)
	}
	report.NotReal = "nodes are simulated"
	out.Reset()
	localReport(&out, report)
	if !strings.HasPrefix(out.String(), "nodes are simulated\n") {
		t.Errorf("what is not real is not said first:\n%s", out.String())
	}
	report.Ready = true
	if err := notReady(report); err != nil {
		t.Errorf("got %v", err)
	}
	if err := notReady(local.Report{}); !fault.HasReason(err, "LOCAL_NOT_RUNNING") {
		t.Errorf("got %v", err)
	}
}

func TestLocalStatusOfNothing(t *testing.T) {
	_, config := startPlatform(t)
	got := gantry(t, config, "", "local", "status", "--dir", t.TempDir())
	if got.code != exitUnavailable || got.out != "" {
		t.Errorf("%+v", got)
	}
}
