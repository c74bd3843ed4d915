package endpoints

import (
	"slices"
	"testing"
)

func TestStore(t *testing.T) {
	changes := 0
	s := NewStore(ByCluster{"site-a": {"x": {"10.0.0.1"}}}, func() { changes++ })
	s.set("site-a", "x", []string{"10.0.0.1"})
	s.replace("site-a", map[string][]string{"x": {"10.0.0.1"}})
	if changes != 0 {
		t.Errorf("%d changes without a difference", changes)
	}
	before := s.Snapshot()
	s.set("site-a", "x", []string{"10.0.0.2"})
	s.set("site-b", "x", []string{"10.1.0.1"})
	s.replace("site-a", map[string][]string{"y": {}})
	if changes != 3 || !slices.Equal(before["site-a"]["x"], []string{"10.0.0.1"}) {
		t.Errorf("%d changes; the old snapshot says %v", changes, before)
	}
	s.setConnected("site-b", true)
	s.forget(map[string]bool{"site-a": true})
	if got := s.Snapshot(); len(got) != 1 || s.Connected("site-b") {
		t.Errorf("not forgotten: %v", got)
	}
}

// Only plain IPv4 addresses reach the balancer.
func TestValid(t *testing.T) {
	got := valid([]string{"10.0.0.2", "10.0.0.1", "10.0.0.2", "::1", "host", "0.0.0.0", "10.0.0.01", "10.0.0.1;x"})
	if !slices.Equal(got, []string{"10.0.0.1", "10.0.0.2"}) {
		t.Errorf("got %v", got)
	}
}

// rule I6: not mentioned is not empty.
func TestCompleteKeepsWhatAListLeavesOut(t *testing.T) {
	s := NewStore(ByCluster{"site-a": {"x": {"10.0.0.1"}, "y": {"10.0.0.2"}, "gone": {"10.0.0.3"}}}, func() {})
	f := &follower{config: Config{Store: s}, cluster: Cluster{Name: "site-a"}, apps: []string{"x", "y"}}
	got := f.complete(map[string][]string{"x": {}})
	if len(got) != 2 || len(got["x"]) != 0 || len(got["y"]) != 1 {
		t.Errorf("got %v", got)
	}
}
