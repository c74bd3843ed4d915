package generation

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gantry.dev/services/ingress-agent/internal/nginx"
	"gantry.dev/services/ingress-agent/internal/render"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// strictWeb refuses hosts for themselves, some without naming the file, and
// pairs of hosts together.
type strictWeb struct {
	fakeWeb
	named, unnamed map[string]bool
	pair           []string
}

func (s *strictWeb) Test(_ context.Context, dir string) error {
	s.tests++
	entries, _ := os.ReadDir(filepath.Join(dir, "hosts"))
	both := 0
	for _, e := range entries {
		host := strings.TrimSuffix(e.Name(), ".example.conf")
		switch {
		case s.named[host]:
			return &nginx.Refusal{File: e.Name(), Reason: "no good"}
		case s.unnamed[host]:
			return &nginx.Refusal{Reason: "could not build"}
		case slices.Contains(s.pair, host):
			both++
		}
	}
	if both == 2 {
		return &nginx.Refusal{Reason: "not both"}
	}
	return nil
}

// rule I4: whatever Nginx refuses, exactly that is kept back.
func TestExactlyTheRefusedAreQuarantined(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		web := &strictWeb{named: map[string]bool{}, unnamed: map[string]bool{}}
		web.stateDir = t.TempDir()
		m := open(t, web.stateDir, web, &fakeVRRP{})
		apply(t, m, build("old"))
		var hosts, bad []string
		for i := range rapid.IntRange(1, 16).Draw(rt, "hosts") {
			host := fmt.Sprintf("h%02d", i)
			hosts = append(hosts, host)
			switch rapid.IntRange(0, 9).Draw(rt, host) {
			case 0:
				web.named[host] = true
				bad = append(bad, "projects/p/routes/"+host)
			case 1:
				web.unnamed[host] = true
				bad = append(bad, "projects/p/routes/"+host)
			}
		}
		out := apply(t, m, build(append(hosts, "old")...))
		var got []string
		for _, q := range out.Quarantined {
			got = append(got, q.Route)
		}
		slices.Sort(got)
		if diff := cmp.Diff(bad, got); diff != "" {
			rt.Error(diff)
		}
		if served := out.Model.Routes(); len(served) != len(hosts)+1-len(bad) {
			rt.Errorf("%d of %d hosts are served, %d bad", len(served), len(hosts), len(bad))
		}
	})
}

// Two routes that are good alone: one of them goes out.
func TestRefusedTogether(t *testing.T) {
	web := &strictWeb{pair: []string{"h3", "h7"}}
	web.stateDir = t.TempDir()
	m := open(t, web.stateDir, web, &fakeVRRP{})
	out := apply(t, m, build("h1", "h2", "h3", "h4", "h5", "h6", "h7"))
	if len(out.Quarantined) != 1 || len(out.Model.Hosts) != 6 {
		t.Errorf("%+v", out)
	}
	out = apply(t, m, build("h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"))
	if len(out.Quarantined) != 1 || out.Quarantined[0].Route != "projects/p/routes/h7" || len(out.Model.Hosts) != 7 {
		t.Errorf("%+v", out)
	}
}

// What is not about routes is not put on them, and takes two tests to see.
func TestARefusalOfTheWholeBlamesNoRoute(t *testing.T) {
	web := &brokenWeb{}
	web.stateDir = t.TempDir()
	m := open(t, web.stateDir, web, &fakeVRRP{})
	if out, err := m.Apply(t.Context(), build("a", "b", "c")); err == nil || web.tests != 2 {
		t.Errorf("%+v after %d tests", out, web.tests)
	}
}

type brokenWeb struct{ fakeWeb }

func (b *brokenWeb) Test(context.Context, string) error {
	b.tests++
	return &nginx.Refusal{Reason: "no such module"}
}

// A route that is refused gives way alone: another one of its host goes out,
// and the refused one stays as it was.
func TestOneRouteOfAHostIsQuarantined(t *testing.T) {
	web := &pathWeb{}
	web.stateDir = t.TempDir()
	m := open(t, web.stateDir, web, &fakeVRRP{})
	apply(t, m, build("a", "b"))
	b := build("a", "b")
	old := b.Model.Hosts[0].Locations[0]
	b.Model.Hosts[0].Locations = []render.Location{
		{Path: "/", Route: old.Route, Upstream: "p/a:666"},
		{Path: "/new", Route: "projects/p/routes/new", Upstream: "p/a:80"},
	}
	out := apply(t, m, b)
	want := b.Model.Hosts[0]
	want.Locations = []render.Location{old, want.Locations[1]}
	if diff := cmp.Diff(want, out.Model.Hosts[0]); diff != "" || len(out.Quarantined) != 1 || !strings.Contains(out.Quarantined[0].Reason, "no good") {
		t.Errorf("%v %s", out.Quarantined, diff)
	}
}

// pathWeb refuses port 666.
type pathWeb struct{ fakeWeb }

func (*pathWeb) Test(_ context.Context, dir string) error {
	files, _ := filepath.Glob(filepath.Join(dir, "hosts", "*"))
	for _, f := range files {
		if text, _ := os.ReadFile(f); strings.Contains(string(text), ":666") {
			return &nginx.Refusal{File: filepath.Base(f), Reason: "no good"}
		}
	}
	return nil
}
