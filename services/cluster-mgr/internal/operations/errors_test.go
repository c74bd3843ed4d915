package operations

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/operations/termtest"
	"google.golang.org/grpc"
)

// Traffic that is shifted to a cluster which then answers with errors returns, and so do the
// replicas, whoever leads when it happens.
func TestRisingErrorsTakeAnOperationBack(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		begin   func(*platform) string
		prepare func(*platform)
		failing string
		end     int
	}{
		{"SwitchTraffic", (*platform).switchAway, func(*platform) {}, "site-a", 100},
		{"MigrateApps", (*platform).migrate, func(*platform) {}, "site-a", 100},
		{"FailBack", (*platform).failBack, migrated, "site-b", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t, etcdtest.Start(t).Client(t))
			tc.prepare(p)
			before := p.stored()
			name := tc.begin(p)
			began := p.cloud.percent("site-b")
			p.until(func() bool { return p.cloud.percent("site-b") != began })
			p.cloud.failing[tc.failing] = true
			p.run(name, death{4, true}, death{2, false})
			o := p.operation(name)
			if o.Metadata.GetState() != gantryv1.OperationMetadata_STATE_REVERSED || p.cloud.percent("site-b") != tc.end {
				t.Errorf("%s with %d %%: %s", o.Metadata.GetState(), p.cloud.percent("site-b"), o.Metadata.GetSummary())
			}
			if after := p.stored(); after != before {
				t.Errorf("before %s\nafter  %s", before, after)
			}
		})
	}
}

// until lets one leader work until something is so.
func (p *platform) until(so func() bool) {
	p.t.Helper()
	term, stop := termtest.Lead(p.t, p.raw, "cluster-mgr-0")
	defer stop()
	process := start(p.t, p.raw, p.cloud, term, death{})
	for range maxTurns {
		if so() {
			return
		}
		p.turn(process)
	}
	p.t.Fatal("it does not come so far")
}

func TestAFormerLeaderGoesNoStepOn(t *testing.T) {
	// rule S1
	t.Parallel()
	p := newPlatform(t, etcdtest.Start(t).Client(t))
	name := p.switchAway()
	term, stop := termtest.Lead(t, p.raw, "cluster-mgr-1")
	former := start(t, p.raw, p.cloud, term, death{})
	stop()
	termtest.Lead(t, p.raw, "cluster-mgr-2")
	former.observer.Look(t.Context())
	if _, err := former.worker.work(t.Context(), p.now); !fault.HasReason(err, "NOT_LEADER") {
		t.Errorf("got %v", err)
	}
	if o := p.operation(name); o.Progress.Done != 0 || o.Metadata.GetUpdateTime().AsTime().After(time.Now()) {
		t.Errorf("it went on to %+v", o.Progress)
	}
}

func TestAFreezePausesOperations(t *testing.T) {
	// rule C3
	t.Parallel()
	p := newPlatform(t, etcdtest.Start(t).Client(t))
	name := p.switchAway()
	term, _ := termtest.Lead(t, p.raw, "cluster-mgr-1")
	leader := start(t, p.raw, p.cloud, term, death{})
	leader.worker.Frozen = func() string { return "2 of 2 clusters turned bad" }
	for range 5 {
		p.turn(leader)
		p.now = p.now.Add(10 * time.Minute) // longer than any timeout
	}
	o := p.operation(name)
	if !o.Running() || o.Progress.Done != 0 || !strings.HasPrefix(o.Metadata.GetSummary(), "frozen: ") {
		t.Errorf("%s at %+v: %s", o.Metadata.GetState(), o.Progress, o.Metadata.GetSummary())
	}
}

// While nothing runs the loop waits; what is started wakes it at once.
func TestTheLoopRunsWhatIsStarted(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, etcdtest.Start(t).Client(t))
	term, _ := termtest.Lead(t, p.raw, "cluster-mgr-1")
	process := start(t, p.raw, p.cloud, term, death{})
	process.observer.Look(t.Context())
	l, err := New(Config{Store: p.store, Observer: process.observer, Pool: noPool(), Frozen: func() string { return "" }, Logger: slog.New(slog.DiscardHandler)}, term)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	name := p.switchAway()
	for end := time.Now().Add(10 * time.Second); p.operation(name).Metadata.GetSummary() == "let requests under way in site-b finish"; {
		if time.Now().After(end) {
			t.Fatal("nobody looked")
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func noPool() *clusters.Pool {
	return clusters.NewDialing(func(string, string) (grpc.ClientConnInterface, error) { return nil, errors.New("no way") })
}

func TestStepsAsPeopleSeeThem(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, etcdtest.Start(t).Client(t))
	name := p.migrate()
	p.run(name)
	o := p.operation(name)
	for _, s := range o.Metadata.GetSteps() {
		if s.GetState() != gantryv1.OperationStep_STATE_DONE || s.GetStartTime() == nil || s.GetEndTime() == nil {
			t.Errorf("%s is %s", s.GetSentence(), s.GetState())
		}
	}
	item, err := p.store.Operations.Get(t.Context(), name)
	if err != nil || !item.Value.GetDone() || item.Value.GetResponse() == nil {
		t.Errorf("%v, %v", item.Value, err)
	}
	if unpacked, err := fleet.Unpack(item); err != nil || len(unpacked.Plan.Reverse) == 0 {
		t.Errorf("the way back is not kept: %v", err)
	}
}
