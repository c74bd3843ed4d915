package kube

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Key names a Deployment: "gantry-bench-01/app-007".
type Key string

// KeyOf makes a key.
func KeyOf(namespace, name string) Key { return Key(namespace + "/" + name) }

// Namespace of the Deployment.
func (k Key) Namespace() string {
	namespace, _, _ := strings.Cut(string(k), "/")
	return namespace
}

// Name of the Deployment, which is the app's.
func (k Key) Name() string {
	_, name, _ := strings.Cut(string(k), "/")
	return name
}

// Event is a number of wanted replicas (spec.replicas) and when it was seen.
type Event struct {
	Time     time.Time
	Replicas int
}

// state of a Deployment as it was seen last.
type state struct {
	wanted, existing, ready int
	settled                 bool
}

// Watch follows the Deployments of a cluster. Safe for concurrent use.
type Watch struct {
	mu     sync.Mutex
	states map[Key]state
	events map[Key][]Event
}

// NewWatch lists and then watches until ctx ends.
func NewWatch(ctx context.Context, k *Cluster) (*Watch, error) {
	w := &Watch{states: map[Key]state{}, events: map[Key][]Event{}}
	factory := informers.NewSharedInformerFactory(k.Client, 0)
	informer := factory.Apps().V1().Deployments().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    w.see,
		UpdateFunc: func(_, object any) { w.see(object) },
		DeleteFunc: w.forget,
	})
	if err != nil {
		return nil, fmt.Errorf("watch the Deployments of %s: %w", k.Name, err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("watch the Deployments of %s: %w", k.Name, ctx.Err())
	}
	return w, nil
}

func (w *Watch) see(object any) {
	now := time.Now()
	d, ok := object.(*appsv1.Deployment)
	if !ok {
		return
	}
	key := KeyOf(d.Namespace, d.Name)
	wanted := int(*d.Spec.Replicas)
	w.mu.Lock()
	defer w.mu.Unlock()
	last, known := w.states[key]
	w.states[key] = state{
		wanted: wanted, existing: int(d.Status.Replicas), ready: int(d.Status.ReadyReplicas),
		settled: d.Status.ObservedGeneration == d.Generation,
	}
	if !known || last.wanted != wanted {
		w.events[key] = append(w.events[key], Event{now, wanted})
	}
}

func (w *Watch) forget(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if d, ok := object.(*appsv1.Deployment); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.states, KeyOf(d.Namespace, d.Name))
		delete(w.events, KeyOf(d.Namespace, d.Name))
	}
}

// Events of one Deployment, oldest first, since the last Clear.
func (w *Watch) Events(key Key) []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Event(nil), w.events[key]...)
}

// Clear forgets all events.
func (w *Watch) Clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.events)
}

// Wanted replicas of all Deployments.
func (w *Watch) Wanted() map[Key]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[Key]int, len(w.states))
	for key, s := range maps.All(w.states) {
		out[key] = s.wanted
	}
	return out
}

// Unsettled counts the Deployments whose pods are not all there and ready, and
// those that have pods too many.
func (w *Watch) Unsettled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for s := range maps.Values(w.states) {
		if !s.settled || s.existing != s.wanted || s.ready != s.wanted {
			n++
		}
	}
	return n
}

// Until waits until check, called every few milliseconds, gives no complaint.
func Until(ctx context.Context, patience time.Duration, check func() string) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		complaint := check()
		if complaint == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("after %s: %s", patience, complaint)
		case <-tick.C:
		}
	}
}
