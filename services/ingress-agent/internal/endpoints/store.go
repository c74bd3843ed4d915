// Package endpoints follows the ready pods of the routed apps in every
// cluster. What a silent cluster last said stays (rule C1), and nothing is
// taken from a list before it is known to be whole (rule I6).
package endpoints

import (
	"maps"
	"slices"
	"sync"
)

// ByCluster is addresses by cluster and app.
type ByCluster map[string]map[string][]string

// Store is the last known endpoints; safe for concurrent use.
type Store struct {
	mu        sync.Mutex
	known     ByCluster
	connected map[string]bool
	changed   func()
}

// NewStore starts with what was known before (may be nil). changed is called
// after each change of endpoints; it must not block.
func NewStore(known ByCluster, changed func()) *Store {
	s := &Store{known: ByCluster{}, connected: map[string]bool{}, changed: changed}
	for cluster, apps := range known {
		s.known[cluster] = maps.Clone(apps)
	}
	return s
}

// Snapshot gives everything known; what is below the clusters is shared and
// must not be changed. The store itself never changes it, it puts a copy in.
func (s *Store) Snapshot() ByCluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.known)
}

// Connected tells whether the cluster's stream is whole and alive.
func (s *Store) Connected(cluster string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected[cluster]
}

func (s *Store) setConnected(cluster string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected[cluster] = ok
}

// replace takes a whole list.
func (s *Store) replace(cluster string, apps map[string][]string) {
	s.mu.Lock()
	same := maps.EqualFunc(s.known[cluster], apps, slices.Equal)
	s.known[cluster] = apps
	s.mu.Unlock()
	if !same {
		s.changed()
	}
}

// set takes all endpoints of one app.
func (s *Store) set(cluster, app string, addresses []string) {
	s.mu.Lock()
	apps := maps.Clone(s.known[cluster])
	if apps == nil {
		apps = map[string][]string{}
	}
	same := slices.Equal(apps[app], addresses)
	apps[app] = addresses
	s.known[cluster] = apps
	s.mu.Unlock()
	if !same {
		s.changed()
	}
}

// forget drops clusters that the configuration no longer names.
func (s *Store) forget(keep map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.known, func(cluster string, _ map[string][]string) bool { return !keep[cluster] })
	maps.DeleteFunc(s.connected, func(cluster string, _ bool) bool { return !keep[cluster] })
}
