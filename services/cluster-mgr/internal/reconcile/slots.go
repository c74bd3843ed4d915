package reconcile

import (
	"context"
	"sync"
)

// perCluster bounds how many changes of one cluster are under way at a time:
// as many as an API server works on at once by default, so that it divides its
// time and not the order of calls here.
const perCluster = 200

// slots bound the changes under way by cluster: one that is slow holds up
// nobody else.
type slots struct {
	mu sync.Mutex
	by map[string]chan struct{}
}

func newSlots() *slots { return &slots{by: map[string]chan struct{}{}} }

// take waits for a slot of a cluster; false when ctx ends before.
func (s *slots) take(ctx context.Context, cluster string) bool {
	select {
	case s.of(cluster) <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// free gives a slot back.
func (s *slots) free(cluster string) { <-s.of(cluster) }

func (s *slots) of(cluster string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[cluster] == nil {
		s.by[cluster] = make(chan struct{}, perCluster)
	}
	return s.by[cluster]
}
