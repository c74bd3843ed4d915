package kube

import (
	"fmt"
	"sync"

	"k8s.io/client-go/tools/cache"
)

// A Change of one object in a mirror. Before is nil for a new one, After for
// one that is gone.
type Change[T any] struct {
	Key           string
	Before, After *T
}

// mirror is a live copy of the objects of one kind, reduced to what is needed
// of them. A reflector fills it: cache.ReflectorStore. An informer would keep
// whole objects and, when the API server comes back after an outage, wait for
// up to a minute before it asks again.
type mirror[T comparable] struct {
	// convert takes a *K of the API; key is namespace/name.
	convert func(obj any) (T, error)
	// changed gets the changes of one event, or of a whole new list at once,
	// in the order in which they happened. It must not block.
	changed func([]Change[T])

	mu     sync.RWMutex
	items  map[string]T
	synced bool
}

func newMirror[T comparable](convert func(any) (T, error), changed func([]Change[T])) *mirror[T] {
	return &mirror[T]{convert: convert, changed: changed, items: map[string]T{}}
}

// each calls f with every object, in no order, while the mirror stands still.
func (m *mirror[T]) each(f func(T)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, v := range m.items {
		f(v)
	}
}

// get gives one object by its namespace/name.
func (m *mirror[T]) get(key string) (v T, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok = m.items[key]
	return v, ok
}

// isSynced tells whether a whole list has arrived.
func (m *mirror[T]) isSynced() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.synced
}

// Add is called by the reflector, as are the methods below.
func (m *mirror[T]) Add(obj any) error { return m.Update(obj) }

// Update puts an object.
func (m *mirror[T]) Update(obj any) error {
	key, v, err := m.read(obj)
	if err != nil {
		return err
	}
	m.mu.Lock()
	change, differs := m.put(key, v)
	m.mu.Unlock()
	if differs {
		m.changed([]Change[T]{change})
	}
	return nil
}

// Delete removes an object.
func (m *mirror[T]) Delete(obj any) error {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return fmt.Errorf("key of a deleted object: %w", err)
	}
	m.mu.Lock()
	change, was := m.remove(key)
	m.mu.Unlock()
	if was {
		m.changed([]Change[T]{change})
	}
	return nil
}

// Replace puts a whole list.
func (m *mirror[T]) Replace(list []any, _ string) error {
	next := make(map[string]T, len(list))
	for _, obj := range list {
		key, v, err := m.read(obj)
		if err != nil {
			return err
		}
		next[key] = v
	}
	m.mu.Lock()
	changes := m.replace(next)
	m.mu.Unlock()
	m.changed(changes)
	return nil
}

// Resync has nothing to do.
func (*mirror[T]) Resync() error { return nil }

func (m *mirror[T]) read(obj any) (string, T, error) {
	var none T
	key, err := cache.MetaNamespaceKeyFunc(obj)
	if err != nil {
		return "", none, fmt.Errorf("key of an object: %w", err)
	}
	v, err := m.convert(obj)
	return key, v, err
}

func (m *mirror[T]) put(key string, v T) (Change[T], bool) {
	before, was := m.items[key]
	if was && before == v {
		return Change[T]{}, false
	}
	m.items[key] = v
	change := Change[T]{Key: key, After: &v}
	if was {
		change.Before = &before
	}
	return change, true
}

func (m *mirror[T]) remove(key string) (Change[T], bool) {
	before, was := m.items[key]
	delete(m.items, key)
	return Change[T]{Key: key, Before: &before}, was
}

func (m *mirror[T]) replace(next map[string]T) []Change[T] {
	var changes []Change[T]
	for key := range m.items {
		if _, stays := next[key]; !stays {
			change, _ := m.remove(key)
			changes = append(changes, change)
		}
	}
	for key, v := range next {
		if change, differs := m.put(key, v); differs {
			changes = append(changes, change)
		}
	}
	m.synced = true
	return changes
}
