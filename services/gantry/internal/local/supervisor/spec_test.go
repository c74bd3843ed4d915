package supervisor

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func names(specs []Spec) []string {
	var out []string
	for _, s := range specs {
		out = append(out, s.Name)
	}
	return out
}

func specs() []Spec {
	return []Spec{
		{Name: "etcd", Group: "platform"},
		{Name: "manager", Group: "platform", After: []string{"etcd"}},
		{Name: "portal", Group: "platform", After: []string{"manager"}},
		{Name: "a-etcd", Group: "a"},
		{Name: "a-api", Group: "a", After: []string{"a-etcd"}},
		{Name: "agent", Group: "lb", After: []string{"etcd"}},
	}
}

func TestSelect(t *testing.T) {
	tests := []struct {
		name string
		only []string
		want []string
	}{
		{"all", nil, []string{"etcd", "manager", "portal", "a-etcd", "a-api", "agent"}},
		{"group", []string{"a"}, []string{"a-etcd", "a-api"}},
		{"process with what it waits for", []string{"portal"}, []string{"etcd", "manager", "portal"}},
		{"group that waits for another", []string{"lb"}, []string{"etcd", "agent"}},
		{"both", []string{"a-api", "agent"}, []string{"etcd", "a-etcd", "a-api", "agent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Select(specs(), test.only)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, names(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := Select(specs(), []string{"nobody"}); err == nil {
		t.Error("an unknown name was accepted")
	}
}

func TestLevels(t *testing.T) {
	got, err := Levels(specs())
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"etcd", "a-etcd"}, {"manager", "a-api", "agent"}, {"portal"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLevelsRefuses(t *testing.T) {
	tests := map[string][]Spec{
		"circle":  {{Name: "a", After: []string{"b"}}, {Name: "b", After: []string{"a"}}},
		"itself":  {{Name: "a", After: []string{"a"}}},
		"unknown": {{Name: "a", After: []string{"b"}}},
		"twice":   {{Name: "a"}, {Name: "a"}},
	}
	for name, specs := range tests {
		t.Run(name, func(t *testing.T) {
			if levels, err := Levels(specs); err == nil {
				t.Errorf("accepted as %v", levels)
			}
		})
	}
}

// Whatever waits for whatever, nothing is in the level of what it waits for or
// before it.
func TestLevelsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var specs []Spec
		for i := range rapid.IntRange(1, 12).Draw(t, "count") {
			s := Spec{Name: string(rune('a' + i))}
			for j := range i {
				if rapid.Bool().Draw(t, "waits") {
					s.After = append(s.After, string(rune('a'+j)))
				}
			}
			specs = append(specs, s)
		}
		levels, err := Levels(rapid.Permutation(specs).Draw(t, "order"))
		if err != nil {
			t.Fatal(err)
		}
		level := map[string]int{}
		for i, names := range levels {
			for _, name := range names {
				level[name] = i
			}
		}
		for _, s := range specs {
			late := slices.IndexFunc(s.After, func(d string) bool { return level[d] >= level[s.Name] })
			if late >= 0 {
				t.Fatalf("%s does not wait for %s: %v", s.Name, s.After[late], levels)
			}
		}
	})
}

func TestBackoff(t *testing.T) {
	var b Backoff
	want := []time.Duration{250, 500, 1000, 2000, 4000, 8000, 10000, 10000}
	for i, w := range want {
		if got := b.Next(time.Second); got != w*time.Millisecond {
			t.Errorf("pause %d is %v, want %v", i, got, w*time.Millisecond)
		}
	}
	if got := b.Next(time.Minute); got != 250*time.Millisecond {
		t.Errorf("after a long run the pause is %v", got)
	}
}
