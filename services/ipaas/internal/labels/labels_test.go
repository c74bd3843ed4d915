package labels_test

import (
	"testing"

	"gantry.dev/services/ipaas/internal/labels"
	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := labels.ID{
			Project: rapid.StringMatching(`[a-z]([-a-z0-9]{0,38}[a-z0-9])?`).Draw(t, "project"),
			App:     rapid.StringMatching(`[a-z]([-a-z0-9]{0,38}[a-z0-9])?`).Draw(t, "app"),
		}
		if id.Namespace() == labels.SystemNamespace {
			t.Skip("reserved")
		}
		release := rapid.Int32Range(1, 1<<30).Draw(t, "release")
		parsed, err := labels.Parse(id.Name())
		if err != nil || parsed != id {
			t.Fatalf("%v %v, want %v", parsed, err, id)
		}
		got, r, ok := labels.Of(id.Namespace(), id.All(release))
		if !ok || got != id || r != release {
			t.Fatalf("%v %d %t, want %v %d", got, r, ok, id, release)
		}
	})
}

func TestOnlyGantrysObjectsCount(t *testing.T) {
	id := labels.ID{Project: "pay", App: "web"}
	without := func(key string) map[string]string {
		l := id.All(1)
		delete(l, key)
		return l
	}
	tests := map[string]struct {
		namespace string
		labels    map[string]string
		ok        bool
	}{
		"ours":                      {"gantry-pay", id.All(1), true},
		"without a release":         {"gantry-pay", without(labels.Release), true},
		"another namespace":         {"gantry-other", id.All(1), false},
		"a namespace of no project": {"default", id.All(1), false},
		"managed by another":        {"gantry-pay", without(labels.ManagedBy), false},
		"without an app":            {"gantry-pay", without(labels.App), false},
		"without a project":         {"gantry-pay", without(labels.Project), false},
		"no labels":                 {"gantry-pay", nil, false},
	}
	for name, tc := range tests {
		if _, _, ok := labels.Of(tc.namespace, tc.labels); ok != tc.ok {
			t.Errorf("%s: %t", name, ok)
		}
	}
}
