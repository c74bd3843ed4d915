// Package endpoints derives the ready endpoints of apps from their pods and
// hands them to any number of watchers. Each watcher has a set of apps that
// changed since it was served last: a slow one misses intermediate states,
// never the last one, and delays nobody.
package endpoints

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/labels"
)

// Hub knows the endpoints of every app. Safe for concurrent use.
type Hub struct {
	mu sync.Mutex
	// Addresses by app name and pod.
	apps     map[string]map[string]netip.Addr
	watchers map[*Watcher]struct{}
	synced   bool
}

// NewHub makes a hub that waits for its first list of pods.
func NewHub() *Hub {
	return &Hub{apps: map[string]map[string]netip.Addr{}, watchers: map[*Watcher]struct{}{}}
}

// Pods takes changes of pods in order; the first call is the first whole list.
// Changes of one call become visible together.
func (h *Hub) Pods(changes []kube.Change[kube.Pod]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.synced = true
	dirty := map[string]struct{}{}
	for _, c := range changes {
		if c.Before != nil && c.Before.Serves() && !same(c.Before, c.After) {
			h.remove(c.Key, c.Before.App)
			dirty[c.Before.App.Name()] = struct{}{}
		}
		if c.After != nil && c.After.Serves() && !same(c.Before, c.After) {
			h.add(c.Key, c.After)
			dirty[c.After.App.Name()] = struct{}{}
		}
	}
	if len(dirty) == 0 {
		return
	}
	for w := range h.watchers {
		w.mark(dirty)
	}
}

// same tells whether a pod was and is the same endpoint.
func same(a, b *kube.Pod) bool {
	return a != nil && b != nil && a.Serves() && b.Serves() && a.App == b.App && a.IP == b.IP
}

func (h *Hub) add(key string, p *kube.Pod) {
	app := p.App.Name()
	if h.apps[app] == nil {
		h.apps[app] = map[string]netip.Addr{}
	}
	h.apps[app][key] = p.IP
}

func (h *Hub) remove(key string, id labels.ID) {
	app := id.Name()
	delete(h.apps[app], key)
	if len(h.apps[app]) == 0 {
		delete(h.apps, app)
	}
}

// Watch begins to watch some apps; each of them counts as changed. Close it
// when done. Fault: CACHE_NOT_SYNCED (rule K1).
func (h *Hub) Watch(apps []string) (*Watcher, error) {
	w := &Watcher{hub: h, apps: map[string]struct{}{}, dirty: map[string]struct{}{}, changed: make(chan struct{}, 1)}
	for _, a := range apps {
		w.apps[a] = struct{}{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.synced {
		return nil, fault.Unavailable("CACHE_NOT_SYNCED", "the pods of the cluster have not been read yet; try again in a moment")
	}
	w.mark(w.apps)
	h.watchers[w] = struct{}{}
	return w, nil
}

// A Watcher is one reader of some apps.
type Watcher struct {
	hub     *Hub
	apps    map[string]struct{}
	dirty   map[string]struct{} // guarded by hub.mu
	changed chan struct{}
}

// Changed receives when Take has something to give.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Take gives the apps that changed since the last call with all their
// addresses, in order; both sorted.
func (w *Watcher) Take() []App {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	taken := make([]App, 0, len(w.dirty))
	for name := range w.dirty {
		taken = append(taken, App{Name: name, Addresses: w.hub.addresses(name)})
	}
	clear(w.dirty)
	slices.SortFunc(taken, func(a, b App) int { return strings.Compare(a.Name, b.Name) })
	return taken
}

// Close ends it.
func (w *Watcher) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	delete(w.hub.watchers, w)
}

// App is one app's endpoints; no address means that it has none.
type App struct {
	Name      string
	Addresses []netip.Addr
}

func (w *Watcher) mark(apps map[string]struct{}) {
	for a := range apps {
		if _, wanted := w.apps[a]; wanted {
			w.dirty[a] = struct{}{}
		}
	}
	if len(w.dirty) == 0 {
		return
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// addresses are sorted and each there once: while a pod takes the address of
// one that is going, both may claim it.
func (h *Hub) addresses(app string) []netip.Addr {
	all := make([]netip.Addr, 0, len(h.apps[app]))
	for _, a := range h.apps[app] {
		all = append(all, a)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
