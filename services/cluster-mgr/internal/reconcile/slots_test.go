package reconcile

import (
	"context"
	"testing"
)

// A cluster whose slots are all taken holds up nobody but itself, and who
// waits for it leaves when told to.
func TestSlotsAreByCluster(t *testing.T) {
	s := newSlots()
	for range perCluster {
		if !s.take(t.Context(), "clusters/site-b") {
			t.Fatal("no slot")
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if s.take(ended, "clusters/site-b") {
		t.Error("more slots than there are")
	}
	if !s.take(t.Context(), "clusters/site-a") {
		t.Error("site-a waits for site-b")
	}
	s.free("clusters/site-b")
	if !s.take(t.Context(), "clusters/site-b") {
		t.Error("a slot that was given back is lost")
	}
}
