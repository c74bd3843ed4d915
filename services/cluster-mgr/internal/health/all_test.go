package health

import (
	"fmt"
	"strings"
	"testing"
)

// fleet is a running story of several clusters.
type fleet struct {
	input Input
	last  Decision
}

func newFleet(names ...string) *fleet {
	f := &fleet{input: Input{NowUnixMilli: start}}
	for _, n := range names {
		f.input.Clusters = append(f.input.Clusters, Cluster{Name: n})
	}
	return f.see(20, well())
}

// see gives every cluster its site; the last site is that of all further ones.
func (f *fleet) see(forSeconds int64, sites ...site) *fleet {
	for end := f.input.NowUnixMilli + forSeconds*1000; f.input.NowUnixMilli < end; f.input.NowUnixMilli += tick {
		for i := range f.input.Clusters {
			f.input.Clusters[i].Observations = sites[min(i, len(sites)-1)].look(f.input.NowUnixMilli)
		}
		f.last = DecideAll(f.input)
		for i := range f.input.Clusters {
			f.input.Clusters[i].Prev = f.last.States[i].State
		}
		f.input.Freeze = f.last.Freeze
	}
	return f
}

func (f *fleet) verdicts() string {
	var all []string
	for _, s := range f.last.States {
		all = append(all, string(s.State.Verdict))
	}
	return strings.Join(all, " ")
}

func TestOneOfTwoClustersMayGoDown(t *testing.T) {
	f := newFleet("site-a", "site-b").see(40, well(), dead())
	if f.verdicts() != "HEALTHY DOWN" || f.last.Freeze.Frozen || f.last.Alarm != "" {
		t.Errorf("got %s, %+v", f.verdicts(), f.last.Freeze)
	}
}

// rule C3: one window is a minute.
func TestOneAfterTheOther(t *testing.T) {
	for apart, frozen := range map[int64]bool{58: true, 60: false} {
		f := newFleet("site-a", "site-b").see(apart, dead(), well()).see(4, dead())
		if f.last.Freeze.Frozen != frozen {
			t.Errorf("%d s apart: %s, %+v", apart, f.verdicts(), f.last.Freeze)
		}
	}
}

func TestMassFailureIsOurOwn(t *testing.T) {
	// rule C3
	cases := []struct {
		clusters int
		dead     int
		frozen   bool
	}{{2, 2, true}, {3, 2, true}, {4, 2, true}, {5, 2, false}, {1, 1, false}}
	for _, tc := range cases {
		t.Run(fmt.Sprintf("%d of %d", tc.dead, tc.clusters), func(t *testing.T) {
			var names []string
			var sites []site
			for i := range tc.clusters {
				names = append(names, fmt.Sprintf("site-%d", i))
				if i < tc.dead {
					sites = append(sites, dead())
				} else {
					sites = append(sites, well())
				}
			}
			f := newFleet(names...).see(300, sites...)
			down := strings.Count(f.verdicts(), string(Down))
			if f.last.Freeze.Frozen != tc.frozen || (down == 0) != tc.frozen {
				t.Errorf("got %s, %+v", f.verdicts(), f.last.Freeze)
			}
			if (f.last.Alarm != "") != tc.frozen {
				t.Errorf("alarm %q", f.last.Alarm)
			}
		})
	}
}

func TestFreezeEndsWhenTheCauseIsGone(t *testing.T) {
	// rule C3
	f := newFleet("site-a", "site-b").see(20, dead(), dead())
	if !f.last.Freeze.Frozen {
		t.Fatal("not frozen")
	}
	f.see(30, well(), dead())
	if !f.last.Freeze.Frozen || f.verdicts() != "HEALTHY SUSPECT" {
		t.Errorf("thawed too early: %s, %+v", f.verdicts(), f.last.Freeze)
	}
	f.see(20, well(), dead())
	if f.last.Freeze.Frozen || f.verdicts() != "HEALTHY DOWN" {
		t.Errorf("still frozen: %s, %+v", f.verdicts(), f.last.Freeze)
	}
}

func TestAnOperatorMayEndTheFreeze(t *testing.T) {
	f := newFleet("site-a", "site-b").see(60, dead(), dead())
	f.input.Acknowledged = true
	f.see(2, dead(), dead())
	if f.last.Freeze.Frozen || f.verdicts() != "DOWN DOWN" {
		t.Errorf("got %s, %+v", f.verdicts(), f.last.Freeze)
	}
}

// Two clusters lost at different times are two losses.
func TestLossesFarApartAreNotOurOwn(t *testing.T) {
	f := newFleet("site-a", "site-b", "site-c").see(120, well(), well(), dead()).see(40, well(), dead(), dead())
	if f.verdicts() != "HEALTHY DOWN DOWN" || f.last.Freeze.Frozen {
		t.Errorf("got %s, %+v", f.verdicts(), f.last.Freeze)
	}
}

func TestLostLeaseFreezes(t *testing.T) {
	// rule C3
	f := newFleet("site-a", "site-b", "site-c")
	f.input.OwnLeaseLost = true
	f.see(60, well(), well(), dead())
	if !f.last.Freeze.Frozen || f.verdicts() != "HEALTHY HEALTHY SUSPECT" {
		t.Errorf("got %s, %+v", f.verdicts(), f.last.Freeze)
	}
}

func TestWhatWasDownStaysDownInAFreeze(t *testing.T) {
	f := newFleet("site-a", "site-b", "site-c").see(60, well(), well(), dead())
	f.input.OwnLeaseLost = true
	f.see(10, well(), well(), dead())
	if f.verdicts() != "HEALTHY HEALTHY DOWN" {
		t.Errorf("got %s", f.verdicts())
	}
}

// Clusters that were registered but never reached say nothing about our own eyes.
func TestNewClustersDoNotFreeze(t *testing.T) {
	f := &fleet{input: Input{NowUnixMilli: start, Clusters: []Cluster{{Name: "site-a"}, {Name: "site-b"}, {Name: "site-c"}}}}
	f.see(60, well(), dead(), dead())
	if f.last.Freeze.Frozen {
		t.Errorf("got %s, %+v", f.verdicts(), f.last.Freeze)
	}
}

// forget is a change of leader: only the verdict and its time are taken over.
func (f *fleet) forget() *fleet {
	for i := range f.input.Clusters {
		old := f.input.Clusters[i].Prev
		f.input.Clusters[i].Prev = State{Verdict: old.Verdict, SinceUnixMilli: old.SinceUnixMilli, LastSwitchUnixMilli: old.LastSwitchUnixMilli}
	}
	return f
}

func TestANewLeaderGoesOnFromTheVerdict(t *testing.T) {
	t.Run("down stays down", func(t *testing.T) {
		f := newFleet("site-a", "site-b").see(60, well(), dead()).forget().see(2, well(), dead())
		if f.verdicts() != "HEALTHY DOWN" || f.last.States[1].State.SwitchAllowed {
			t.Errorf("got %s", f.verdicts())
		}
	})
	t.Run("one that sees nobody suspects itself", func(t *testing.T) {
		// rule C3
		f := newFleet("site-a", "site-b").forget().see(60, dead(), dead())
		if !f.last.Freeze.Frozen || f.verdicts() != "SUSPECT SUSPECT" {
			t.Errorf("got %s, %+v", f.verdicts(), f.last.Freeze)
		}
	})
	t.Run("an old loss is no new one", func(t *testing.T) {
		f := newFleet("site-a", "site-b").see(120, well(), dead()).forget().see(10, dead(), dead())
		if f.last.Freeze.Frozen {
			t.Errorf("got %s, %+v", f.verdicts(), f.last.Freeze)
		}
	})
}
