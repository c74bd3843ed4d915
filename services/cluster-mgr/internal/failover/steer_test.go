package failover

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gantry.dev/services/cluster-mgr/internal/placement"
)

// placed divides an app under a plan and gives "site-a=4 site-b=2".
func divided(p Plan, at Progress, desired int, clusters ...placement.Cluster) string {
	in := placement.Input{App: "web", Desired: desired, PerReplica: small, Clusters: clusters}
	if p.SourceDown {
		in.Partly = true
	}
	out := placement.Decide(NewSteering(p, at).Steer(in))
	var words []string
	for _, s := range out.Shares {
		words = append(words, fmt.Sprintf("%s=%d", s.Cluster, s.Replicas))
	}
	if out.Shortfall != nil {
		words = append(words, "short")
	}
	return strings.Join(words, " ")
}

func place(name string, current, room int) placement.Cluster {
	return placement.Cluster{Name: name, Eligible: true, Current: current, Nodes: site(name, room).Nodes}
}

func closed(name string, current int) placement.Cluster {
	return placement.Cluster{Name: name, Current: current, Reason: "is evacuated"}
}

func TestSteer(t *testing.T) {
	// rule C2
	migration := Migrate(leaving(false, app("web", 2, 2)))
	loss := Migrate(leaving(true, app("web", 2, 2)))
	back := func() Plan {
		a := app("web", 4, 0)
		a.Clusters[1].Home = 2
		in := failBack(a)
		in.Clusters = in.Clusters[:2]
		return FailBack(in)
	}()
	away := switchPlan()
	release := len(back.Steps) - 1
	other := migration
	other.Cluster = "site-x"
	other.Steps, other.Reverse = nil, nil
	idle := place("site-b", 2, 9)
	idle.Eligible, idle.Hold, idle.Idle = false, true, true
	unseen := place("site-b", 2, 9)
	unseen.Eligible, unseen.Hold = false, true
	cases := []struct {
		name     string
		plan     Plan
		at       Progress
		desired  int
		clusters []placement.Cluster
		want     string
	}{
		{"a plan about others", other, Progress{}, 4, []placement.Cluster{place("site-a", 4, 9), place("site-b", 2, 9)}, "site-a=2 site-b=2"},
		{"planned: more elsewhere while all stays", migration, Progress{}, 4, []placement.Cluster{place("site-a", 2, 9), place("site-b", 2, 9)}, "site-a=4 site-b=2"},
		{"planned: without traffic it stays too", migration, Progress{Done: 5}, 4, []placement.Cluster{place("site-a", 4, 9), idle}, "site-a=4 site-b=2"},
		{"planned: it cannot be asked for a while", migration, Progress{Done: 3}, 4, []placement.Cluster{place("site-a", 4, 9), unseen}, "site-a=4 site-b=2"},
		{"planned: closed", migration, Progress{Done: 6}, 4, []placement.Cluster{place("site-a", 4, 9), closed("site-b", 2)}, "site-a=4 site-b=0"},
		{"planned: no room any more", migration, Progress{}, 4, []placement.Cluster{place("site-a", 2, 1), place("site-b", 2, 9)}, "site-a=2 site-b=2 short"},
		{"planned, taken back: all stays until it is released", migration, Progress{Done: 3, Reversing: true, ReverseDone: 2}, 4,
			[]placement.Cluster{place("site-a", 4, 9), place("site-b", 2, 9)}, "site-a=4 site-b=2"},
		{"planned, taken back: what it had stays there", migration, Progress{Done: 3, Reversing: true, ReverseDone: 4}, 4,
			[]placement.Cluster{place("site-a", 4, 99), place("site-b", 2, 9)}, "site-a=2 site-b=2"},
		{"lost", loss, Progress{Done: 1}, 4, []placement.Cluster{place("site-a", 2, 9), closed("site-b", 2)}, "site-a=4 site-b=0"},
		{"lost, with room for one", loss, Progress{Done: 1}, 4, []placement.Cluster{place("site-a", 2, 1), closed("site-b", 2)}, "site-a=3 site-b=0 short"},
		{"return: more at home while all stays", back, Progress{Done: 1}, 4, []placement.Cluster{place("site-a", 4, 9), place("site-b", 0, 9)}, "site-a=4 site-b=2"},
		{"return: then the others give up", back, Progress{Done: release}, 4, []placement.Cluster{place("site-a", 4, 99), place("site-b", 2, 2)}, "site-a=2 site-b=2"},
		{"switch: more elsewhere first", away, Progress{}, 4, []placement.Cluster{place("site-a", 2, 9), place("site-b", 2, 9)}, "site-a=4 site-b=2"},
		{"more has been wanted than fits", migration, Progress{}, 50, []placement.Cluster{place("site-a", 2, 9), place("site-b", 2, 0)}, "site-a=11 site-b=2 short"},
		{"more is wanted meanwhile", migration, Progress{}, 9, []placement.Cluster{place("site-a", 2, 9), place("site-b", 2, 9)}, "site-a=7 site-b=2"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := divided(tc.plan, tc.at, tc.desired, tc.clusters...); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// What somebody has stopped meanwhile is not started by the plan.
func TestAStoppedSingleIsNotStarted(t *testing.T) {
	a := app("web", 0, 1)
	a.Single = true
	p := Migrate(leaving(false, a))
	if got := divided(p, Progress{Done: len(p.Steps) - 2}, 0, place("site-a", 0, 9), place("site-b", 0, 9)); got != "site-a=0 site-b=0" {
		t.Errorf("got %q", got)
	}
}

func TestSteeringASingle(t *testing.T) {
	// rule C5
	a := app("web", 0, 1)
	a.Single = true
	p := Migrate(leaving(false, a))
	held := place("site-b", 1, 9)
	held.Eligible, held.Hold = false, true
	for i, s := range p.Steps {
		want := "site-a=0 site-b=1"
		switch {
		case s.Kind == StepWithdraw, s.Kind == StepFence:
			want = "site-a=0 site-b=0"
		case i > 4:
			want = "site-a=1 site-b=0"
		}
		if got := divided(p, Progress{Done: i}, 1, place("site-a", 0, 9), held); got != want {
			t.Errorf("%d %s: got %q, want %q", i, s.Kind, got, want)
		}
	}
}

func (s Step) names(app string) bool {
	return slices.ContainsFunc(s.Assignments, func(a Assignment) bool { return a.App == app })
}
