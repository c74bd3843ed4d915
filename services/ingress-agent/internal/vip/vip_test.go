package vip

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Two owners in two rounds are a conflict; a take-over is none.
func TestConflicts(t *testing.T) {
	t.Parallel()
	var c Conflicts
	round := func(owners ...string) []Conflict { return c.Heard(map[string][]string{"10.0.0.9": owners}) }
	for _, r := range [][]string{{"a"}, {"a", "b"}, {"b"}, {"b", "c"}, {"c", "d"}, nil} {
		if got := round(r...); got != nil {
			t.Fatalf("%v: %v", r, got)
		}
	}
	round("a", "b")
	if diff := cmp.Diff([]Conflict{{VIP: "10.0.0.9", Owners: []string{"a", "b"}}}, round("a", "b", "c")); diff != "" {
		t.Error(diff)
	}
}

func TestARPRoundTrip(t *testing.T) {
	t.Parallel()
	vip := netip.MustParseAddr("10.0.0.9")
	q := question(net.HardwareAddr{2, 0, 0, 0, 0, 1}, vip)
	if _, ok := ownerIn(q, vip); ok {
		t.Error("a question is taken for an answer")
	}
	answer := append([]byte{}, q...)
	answer[7] = arpReply
	copy(answer[8:14], []byte{2, 0, 0, 0, 0, 7})
	copy(answer[14:18], []byte{10, 0, 0, 9})
	if owner, ok := ownerIn(answer, vip); !ok || owner != "02:00:00:00:00:07" {
		t.Errorf("%s %v", owner, ok)
	}
	if _, ok := ownerIn(answer, netip.MustParseAddr("10.0.0.8")); ok {
		t.Error("an answer for another address is taken")
	}
	rapid.Check(t, func(t *rapid.T) { ownerIn(rapid.SliceOf(rapid.Byte()).Draw(t, "packet"), vip) })
}

func TestPlan(t *testing.T) {
	t.Parallel()
	drained := Sight{Drained: true, Holds: true, PeerAnswers: true}
	alone := Sight{Drained: true, Holds: true}
	gone := Sight{Drained: true, PeerAnswers: true}
	dead := Sight{WebDead: true, Holds: true}
	start := time.Unix(0, 0)
	var p Plan
	for i, step := range []struct {
		at   time.Duration
		see  Sight
		want bool
	}{
		{0, Sight{Holds: true}, false},
		{0, dead, true},
		{0, alone, false}, // nobody would take it
		{time.Second, drained, false},
		{time.Second + Notice, drained, true},
		{time.Second + Notice + away/2, gone, true},
		{time.Second + Notice + away, gone, false}, // the last resort again
		{5 * time.Second, drained, false},          // nobody took it: not at once again
		{again, drained, false},
		{time.Second + Notice + again, drained, false},
		{time.Second + 2*Notice + again, drained, true},
		{time.Minute, Sight{Holds: true}, false},
	} {
		if got := p.Give(step.see, start.Add(step.at)); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}
