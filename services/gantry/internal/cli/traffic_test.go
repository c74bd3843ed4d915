package cli

import (
	"context"
	"fmt"
	"testing"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// ShiftTraffic is done with its second step.
func (p *platform) ShiftTraffic(_ context.Context, r *gantryv1.ShiftTrafficRequest) (*longrunningpb.Operation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	app := p.apps[r.GetName()]
	if app == nil {
		return nil, fault.NotFound("APP_NOT_FOUND", "there is no app %s", r.GetName())
	}
	meta := &gantryv1.OperationMetadata{
		Kind: gantryv1.OperationMetadata_KIND_SHIFT_TRAFFIC, State: gantryv1.OperationMetadata_STATE_RUNNING, Subject: r.GetName(),
		Summary: fmt.Sprintf("to %v by %d every %d s", r.GetShares(), r.GetStepPercent(), r.GetStepSeconds()),
		Steps:   []*gantryv1.OperationStep{pending("divide the requests of web"), pending("wait")},
	}
	if r.GetValidateOnly() {
		return operation("", meta)
	}
	app.Status.TrafficShares = r.GetShares()
	p.ops["operations/t"] = meta
	return operation("operations/t", meta)
}

func TestTraffic(t *testing.T) {
	p, config := startPlatform(t)
	gantry(t, config, app, "apply", "-f", "-", "--wait")
	walk(t, config, []step{
		{"traffic get web", 0, "CLUSTER   SHARE   READY\nsite-a    -       2\nsite-b    -       2\n", "the requests of app/web go by ready pods\n"},
		{"traffic shift web --to site-b=100 --step 20 --every 10s --dry-run", 0, "ShiftTraffic of app/web", "nothing was changed (dry run)\n"},
		{"traffic shift app/web --to site-b=100 --dry-run -o json", 0, `"kind": "KIND_SHIFT_TRAFFIC"`, ""},
	})
	if len(p.ops) != 0 {
		t.Fatalf("a dry run left %v", p.ops)
	}
	walk(t, config, []step{
		{"traffic shift web --to site-a=30,site-b=70% --step 20 --every 10s", 0, "operation/t Succeeded\n", "[done   ] divide the requests of web\n"},
		{"operation get t", 0, "to map[clusters/site-a:30 clusters/site-b:70] by 20 every 10 s", ""},
		{"traffic get web", 0, "site-a    30 %    2\nsite-b    70 %    2\n", ""},
		{"traffic get web -o json", 0, `"clusters/site-b": 70`, ""},
		{"traffic reset web --async", 0, "operation/t started\n", ""},
		{"traffic get web", 0, "site-b    -       2\n", ""},
		{"traffic shift none --to site-b=100", 3, "", "there is no app projects/hello/apps/none"},
		{"traffic", 0, "shift", ""},
	})
}
