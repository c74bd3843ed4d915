package kube

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

func node(name string, ready bool) *corev1.Node {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}},
	}
}

// replay keeps what somebody knows who only hears of changes.
type replay map[string]Node

func (r replay) apply(t *rapid.T, changes []Change[Node]) {
	for _, c := range changes {
		known, was := r[c.Key]
		if was != (c.Before != nil) || was && known != *c.Before {
			t.Fatalf("%s was %v, the change says %v", c.Key, known, c.Before)
		}
		if c.After == nil {
			delete(r, c.Key)
			continue
		}
		if was && known == *c.After {
			t.Fatalf("%s: a change that changes nothing", c.Key)
		}
		r[c.Key] = *c.After
	}
}

// Whoever only hears of changes knows the same as the mirror, and the mirror
// the same as the API server.
func TestChangesTellEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known, server := replay{}, replay{}
		m := newMirror(toNode, func(changes []Change[Node]) { known.apply(t, changes) })
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
			n := node(name, rapid.Bool().Draw(t, "ready"))
			var err error
			switch rapid.SampledFrom([]string{"add", "update", "delete", "replace"}).Draw(t, "kind") {
			case "add":
				err = m.Add(n)
				server[name], _ = toNode(n)
			case "update":
				err = m.Update(n)
				server[name], _ = toNode(n)
			case "delete":
				err = m.Delete(n)
				delete(server, name)
			case "replace":
				err = m.Replace([]any{n}, "1")
				clear(server)
				server[name], _ = toNode(n)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		kept := replay{}
		m.each(func(n Node) { kept[n.Name] = n })
		if diff := cmp.Diff(server, kept); diff != "" {
			t.Fatalf("the mirror (-server +mirror):\n%s", diff)
		}
		if diff := cmp.Diff(server, known); diff != "" {
			t.Fatalf("the listener (-server +listener):\n%s", diff)
		}
	})
}

// rule K1
func TestSyncedOnlyByAWholeList(t *testing.T) {
	calls := 0
	m := newMirror(toNode, func([]Change[Node]) { calls++ })
	if err := m.Add(node("a", true)); err != nil || m.isSynced() {
		t.Fatalf("synced by one object: %v", err)
	}
	if err := m.Replace([]any{node("a", true)}, "1"); err != nil || !m.isSynced() {
		t.Fatalf("not synced by a list: %v", err)
	}
	if calls != 2 {
		t.Errorf("%d calls: a list without changes must be heard of, too", calls)
	}
}

func TestAnotherKindIsAnError(t *testing.T) {
	m := newMirror(toNode, func([]Change[Node]) {})
	if err := m.Add(&corev1.Pod{}); err == nil {
		t.Error("a pod became a node")
	}
}
