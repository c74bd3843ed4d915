package placement

import (
	"fmt"
	"math"
	"testing"
)

func TestRoom(t *testing.T) {
	core := Resources{MilliCPU: 1000, MemoryBytes: 1 << 30}
	halfFree := make([]Node, 10)
	for i := range halfFree {
		halfFree[i] = node(fmt.Sprintf("n%d", i), 500)
	}
	cases := []struct {
		name  string
		nodes []Node
		per   Resources
		want  int
	}{
		{"ten nodes with half a core free fit no core", halfFree, core, 0},
		{"but they fit ten halves", halfFree, Resources{MilliCPU: 500}, 10},
		{"requests count where use is lower", []Node{{
			Allocatable: Resources{4000, 8 << 30}, Requested: Resources{3000, 0}, Used: Resources{500, 0},
		}}, core, 1},
		{"measured use counts where requests are lower", []Node{{
			Allocatable: Resources{4000, 8 << 30}, Requested: Resources{500, 0}, Used: Resources{3000, 0},
		}}, core, 1},
		{"each resource takes the larger by itself", []Node{{
			Allocatable: Resources{4000, 8 << 30}, Requested: Resources{0, 7 << 30}, Used: Resources{1000, 0},
		}}, core, 1},
		{"an overcommitted node has none", []Node{{
			Allocatable: Resources{1000, 1 << 30}, Used: Resources{4000, 0},
		}}, core, 0},
		{"no size is limited by pods: the default", []Node{{}}, Resources{}, 110},
		{"no size is limited by pods: told", []Node{{MaxPods: 30, Pods: 28}}, Resources{}, 2},
		{"pod slots limit small replicas", []Node{{
			Allocatable: Resources{4000, 8 << 30}, MaxPods: 110, Pods: 109,
		}}, Resources{MilliCPU: 1}, 1},
		{"more pods than slots", []Node{{MaxPods: 5, Pods: 9}}, Resources{}, 0},
		{"nonsense does not overflow", []Node{{
			Allocatable: Resources{math.MaxInt64, math.MaxInt64}, Requested: Resources{math.MinInt64, -1}, MaxPods: math.MaxInt,
		}}, Resources{1, 1}, maxPodsCap},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := clusterRoom(Cluster{Nodes: tc.nodes}, tc.per).both; got != tc.want {
				t.Errorf("room %d, want %d", got, tc.want)
			}
		})
	}
}

// The app's own replicas are among the requests; counting them as taken by others would make a
// full cluster look as if its own app did not fit.
func TestOwnReplicasAreAddedBack(t *testing.T) {
	full := Cluster{Name: "site-a", Eligible: true, Current: 4, Nodes: []Node{{
		Allocatable: Resources{2000, 8 << 30}, Requested: Resources{2000, 512 * mib},
	}}}
	plan := Decide(Input{Desired: 4, PerReplica: small, Clusters: []Cluster{full}})
	if plan.Shortfall != nil || plan.Shares[0].Fits != 4 || plan.Changed() {
		t.Errorf("got %+v", plan)
	}
}

func TestReserve(t *testing.T) {
	c := Cluster{Name: "a", Eligible: true, Nodes: []Node{node("n2", 1500), node("n1", 1500), node("n3", 400)}}
	after := Reserve(c, small, 3)
	want := []int64{2000, 1500, 1000} // n1 before n2 on the tie, then n2, then n1 again
	for i, w := range []int64{want[1], want[0], want[2]} {
		if got := after.Nodes[i].Requested.MilliCPU; got != w {
			t.Errorf("%s: requested %d, want %d", after.Nodes[i].Name, got, w)
		}
	}
	if c.Nodes[0].Requested.MilliCPU != 1000 {
		t.Error("the argument was changed")
	}
	if got := clusterRoom(Reserve(c, small, 100), small).both; got != 0 {
		t.Errorf("room after reserving everything: %d", got)
	}
}

// Use above requests is the case where raising only the requests would free nothing.
func TestReserveRaisesUseToo(t *testing.T) {
	c := Cluster{Nodes: []Node{{Allocatable: Resources{4000, 8 << 30}, Requested: Resources{0, 0}, Used: Resources{3000, 0}}}}
	if got := clusterRoom(Reserve(c, small, 1), small).both; got != 1 {
		t.Errorf("room %d, want 1", got)
	}
}
