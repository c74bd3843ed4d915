package operations

import (
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/leader"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const user = "user:ann"

func (p *platform) anyTerm() leader.Term { return leader.Term{} }

func (p *platform) must(o *longrunningpb.Operation, err error) string {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	return o.GetName()
}

func (p *platform) switchAway() string {
	return p.must(p.planner().SwitchTraffic(p.t.Context(), &gantryv1.SwitchTrafficRequest{Name: "clusters/site-b", StepPercent: 50}, user))
}

func (p *platform) switchBack() string {
	return p.must(p.planner().SwitchTraffic(p.t.Context(), &gantryv1.SwitchTrafficRequest{Name: "clusters/site-b", ToPercent: 100, StepPercent: 50}, user))
}

// migrate plans to leave site-b one app after the other, and approves it.
func (p *platform) migrate() string {
	r := &gantryv1.MigrateAppsRequest{Name: "clusters/site-b", StepPercent: 50, Concurrency: 1}
	name := p.must(p.planner().MigrateApps(p.t.Context(), r, user))
	return p.must(p.planner().Approve(p.t.Context(), name, user))
}

func (p *platform) failBack() string {
	return p.must(p.planner().FailBack(p.t.Context(), &gantryv1.FailBackRequest{Name: "clusters/site-b"}, user))
}

// shiftToB leads all requests of web to site-b.
func (p *platform) shiftToB() string {
	return p.must(p.planner().ShiftTraffic(p.t.Context(), &gantryv1.ShiftTrafficRequest{Name: web, Shares: map[string]int32{"clusters/site-b": 100}, StepPercent: 20}, user))
}

// reset lets the requests of web go by ready pods again.
func (p *platform) reset() string {
	return p.must(p.planner().ShiftTraffic(p.t.Context(), &gantryv1.ShiftTrafficRequest{Name: web, StepPercent: 20}, user))
}

// reverse takes the only operation there was back.
func (p *platform) reverse() string {
	p.t.Helper()
	all, _, err := p.store.Operations.List(p.t.Context(), "")
	if err != nil {
		p.t.Fatal(err)
	}
	return p.must(p.planner().Reverse(p.t.Context(), &gantryv1.ReverseOperationRequest{Name: all[len(all)-1].Name}, user))
}

// lose kills site-b, and prepares what is done about it.
func (p *platform) lose() {
	p.t.Helper()
	p.cloud.sites["site-b"].dead = true
	p.health(gantryv1.ClusterHealth_STATE_DOWN)
	planner := p.planner()
	snapshot, err := fleet.Load(p.t.Context(), p.store, planner.Observer.View())
	if err != nil {
		p.t.Fatal(err)
	}
	change := store.NewChange()
	if _, _, err := planner.PrepareMigration(change, snapshot, snapshot.Cluster("clusters/site-b"), "it does not serve", 0, 0); err != nil {
		p.t.Fatal(err)
	}
	p.commit(change)
}

func (p *platform) approvePrepared() string {
	p.t.Helper()
	live, err := fleet.NewReader(p.store).Live(p.t.Context())
	if err != nil || len(live) != 1 {
		p.t.Fatalf("%d operations: %v", len(live), err)
	}
	return p.must(p.planner().Approve(p.t.Context(), live[0].Name, user))
}

func (p *platform) health(state gantryv1.ClusterHealth_State) {
	p.t.Helper()
	item, err := p.store.Clusters.Get(p.t.Context(), "clusters/site-b")
	if err != nil {
		p.t.Fatal(err)
	}
	item.Value.Health = &gantryv1.ClusterHealth{State: state, Since: timestamppb.New(p.now)}
	change := store.NewChange()
	p.store.Clusters.Put(change, item.Name, item.Value, item.ModRevision)
	p.commit(change)
}
