package operations

import (
	"encoding/json"
	"strings"
	"testing"

	"gantry.dev/pkg/etcdkv/etcdtest"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/failover"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
)

// Requests that are led to a cluster which then fails or is slow go back to where they were, whoever
// leads when it happens, and why is kept with all that it rests on.
//
// rule S5
func TestAShiftIsTakenBackByWhatItCauses(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func(*cloud){
		"errors":  func(c *cloud) { c.failing["site-b"] = true },
		"latency": func(c *cloud) { c.slow["site-b"] = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, etcdtest.Start(t).Client(t))
			before := p.stored()
			name := p.shiftToB()
			p.until(func() bool { return p.cloud.share(web, "site-b") > 50 })
			bad(p.cloud)
			p.run(name, death{4, true}, death{2, false})
			o := p.operation(name)
			if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_REVERSED || p.cloud.share(web, "site-b") != 50 {
				t.Errorf("%s with %d %%: %s", o.Metadata.GetState(), p.cloud.share(web, "site-b"), o.Metadata.GetSummary())
			}
			if diff := cmp.Diff(before, p.stored()); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
			p.replayed("REVERSE")
		})
	}
}

// replayed checks that the last decision about web had this outcome, and has it again.
func (p *platform) replayed(action failover.Action) {
	p.t.Helper()
	list, _, err := p.store.Decisions.List(p.t.Context(), "")
	if err != nil || len(list) == 0 {
		p.t.Fatalf("%d decisions: %v", len(list), err)
	}
	d := list[len(list)-1].Value
	var in failover.NextInput
	if err := json.Unmarshal([]byte(d.GetInputJson()), &in); err != nil {
		p.t.Fatal(err)
	}
	out := failover.Next(in.Plan, in.Progress, in.Observation)
	again, err := json.Marshal(out)
	if err != nil || out.Action != action || string(again) != d.GetOutputJson() || d.GetSubject() != web {
		p.t.Errorf("%v: stored %s\nagain %s", err, protojson.Format(d), again)
	}
}

// An operation that moves clusters goes first; the shift waits for it, and shifts of several apps run
// beside each other.
func TestShiftsGiveWayToOperationsOfClusters(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, etcdtest.Start(t).Client(t))
	shift := p.shiftToB()
	other := p.must(p.planner().ShiftTraffic(t.Context(), &gantryv1.ShiftTrafficRequest{Name: api, Shares: map[string]int32{"clusters/site-a": 90, "clusters/site-b": 10}}, user))
	p.until(func() bool { return p.cloud.share(web, "site-b") > 50 })
	at := p.cloud.share(web, "site-b")
	away := p.must(p.planner().SwitchTraffic(t.Context(), &gantryv1.SwitchTrafficRequest{Name: "clusters/site-a", ToPercent: 50}, user))
	p.until(func() bool {
		o := p.operation(shift)
		return !p.operation(away).Live() || p.cloud.share(web, "site-b") != at || strings.Contains(o.Metadata.GetSummary(), away)
	})
	if !p.operation(away).Live() || p.cloud.share(web, "site-b") != at {
		t.Errorf("the shift did not wait: %s", p.operation(shift).Metadata.GetSummary())
	}
	p.until(func() bool { return !p.operation(away).Live() })
	for _, name := range []string{shift, other} {
		p.run(name)
		if o := p.operation(name); o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_SUCCEEDED {
			t.Errorf("%s: %s", o.Metadata.GetState(), o.Metadata.GetSummary())
		}
	}
}

// A shift whose cluster is left meanwhile has nothing to say any more.
func TestAMigrationEndsTheSharesThatLeadThere(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, etcdtest.Start(t).Client(t))
	shift := p.shiftToB()
	p.until(func() bool { return p.cloud.share(web, "site-b") > 50 })
	p.run(p.migrate())
	p.run(shift)
	o := p.operation(shift)
	if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_FAILED || !strings.Contains(o.Metadata.GetSummary(), "changed by somebody else meanwhile (by ready pods)") {
		t.Errorf("%s: %s", o.Metadata.GetState(), o.Metadata.GetSummary())
	}
	if list, _, err := p.store.Shares.List(t.Context(), ""); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	p.replayed(failover.Stop)
}

// A shift of an app that is deleted stops, and leaves no shares behind.
func TestAShiftEndsWithItsApp(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, etcdtest.Start(t).Client(t))
	shift := p.shiftToB()
	p.until(func() bool { return p.cloud.share(web, "site-b") > 50 })
	change := store.NewChange()
	p.store.Apps.Delete(change, web, store.Any)
	p.store.Shares.Delete(change, web, store.Any)
	p.commit(change)
	p.run(shift)
	o := p.operation(shift)
	if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_FAILED || !strings.Contains(o.Metadata.GetSummary(), "does not exist any more") {
		t.Errorf("%s: %s", o.Metadata.GetState(), o.Metadata.GetSummary())
	}
	if list, _, err := p.store.Shares.List(t.Context(), ""); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}
