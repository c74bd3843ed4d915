package endpoints_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/endpoints"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/labels"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const web = "projects/pay/apps/web"

func pod(app, ip string, ready bool) *kube.Pod {
	return &kube.Pod{App: labels.ID{Project: "pay", App: app}, IP: netip.MustParseAddr(ip), Ready: ready}
}

func change(key string, before, after *kube.Pod) kube.Change[kube.Pod] {
	return kube.Change[kube.Pod]{Key: key, Before: before, After: after}
}

func hub(changes ...kube.Change[kube.Pod]) *endpoints.Hub {
	h := endpoints.NewHub()
	h.Pods(changes)
	return h
}

func watch(t *testing.T, h *endpoints.Hub, apps ...string) *endpoints.Watcher {
	t.Helper()
	w, err := h.Watch(apps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// words of what a watcher is given, for comparing.
func words(apps []endpoints.App) []string {
	var out []string
	for _, a := range apps {
		out = append(out, fmt.Sprint(a.Name, a.Addresses))
	}
	return out
}

func expect(t *testing.T, w *endpoints.Watcher, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, words(w.Take())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// changed tells whether the watcher is told of something new.
func changed(w *endpoints.Watcher) bool {
	select {
	case <-w.Changed():
		return true
	default:
		return false
	}
}

// rule K1
func TestNothingBeforeTheFirstList(t *testing.T) {
	h := endpoints.NewHub()
	if _, err := h.Watch([]string{web}); !fault.Is(err, fault.KindUnavailable) || !fault.HasReason(err, "CACHE_NOT_SYNCED") {
		t.Fatalf("%v, want CACHE_NOT_SYNCED", err)
	}
	h.Pods(nil)
	expect(t, watch(t, h, web), web+"[]")
}

// rule K6
func TestAnEndingPodIsNoEndpoint(t *testing.T) {
	ready := pod("web", "10.0.0.1", true)
	ending := *ready
	ending.Terminating = true
	h := hub(change("a", nil, ready))
	w := watch(t, h, web)
	expect(t, w, web+"[10.0.0.1]")
	h.Pods([]kube.Change[kube.Pod]{change("a", ready, &ending)})
	expect(t, w, web+"[]")
	h.Pods([]kube.Change[kube.Pod]{change("a", &ending, nil)})
	expect(t, w)
}

func TestChangesThatDoNotMatterWakeNobody(t *testing.T) {
	before := pod("web", "10.0.0.1", true)
	after := *before
	after.Restarts = 3
	h := hub(change("a", nil, before))
	w := watch(t, h, web)
	if !changed(w) {
		t.Fatal("a new watcher has everything to read")
	}
	w.Take()
	h.Pods([]kube.Change[kube.Pod]{change("a", before, &after), change("b", nil, pod("other", "10.0.0.2", true)), change("c", nil, pod("web", "10.0.0.3", false))})
	if changed(w) {
		t.Errorf("woken for %v", words(w.Take()))
	}
}

func TestASlowWatcherMissesOnlyWhatIsOver(t *testing.T) {
	a, b := pod("web", "10.0.0.1", true), pod("web", "10.0.0.2", true)
	h := hub()
	w := watch(t, h, web)
	w.Take()
	for range 1000 { // nobody reads, and yet nobody waits
		h.Pods([]kube.Change[kube.Pod]{change("a", nil, a)})
		h.Pods([]kube.Change[kube.Pod]{change("a", a, nil), change("b", nil, b)})
		h.Pods([]kube.Change[kube.Pod]{change("b", b, nil)})
	}
	h.Pods([]kube.Change[kube.Pod]{change("b", nil, b)})
	if !changed(w) {
		t.Fatal("the watcher was not woken")
	}
	expect(t, w, web+"[10.0.0.2]")
}

func TestAnAddressIsThereOnce(t *testing.T) {
	h := hub(change("a", nil, pod("web", "10.0.0.9", true)), change("b", nil, pod("web", "10.0.0.10", true)), change("c", nil, pod("web", "10.0.0.9", true)))
	expect(t, watch(t, h, web), web+"[10.0.0.9 10.0.0.10]")
}

// Whatever happens to pods, and whenever a watcher reads: what it read last is
// what is true once it has nothing more to read.
func TestWatchersEndWithTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, pods := hub(), map[string]kube.Pod{}
		names := []string{"projects/pay/apps/a", "projects/pay/apps/b"}
		w, err := h.Watch(names)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		seen := map[string][]netip.Addr{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			h.Pods(draw(t, pods))
			if rapid.Bool().Draw(t, "reads") {
				read(w, seen)
			}
		}
		read(w, seen)
		for _, name := range names {
			if want := truth(pods, name); !slices.Equal(want, seen[name]) {
				t.Fatalf("%s: %v, want %v", name, seen[name], want)
			}
		}
	})
}

func draw(t *rapid.T, pods map[string]kube.Pod) []kube.Change[kube.Pod] {
	var changes []kube.Change[kube.Pod]
	for range rapid.IntRange(1, 3).Draw(t, "changes") {
		key := rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "key")
		c := kube.Change[kube.Pod]{Key: key}
		if before, was := pods[key]; was {
			c.Before = &before
		}
		delete(pods, key)
		if rapid.IntRange(0, 3).Draw(t, "kind") > 0 {
			after := *pod(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "app"), rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2"}).Draw(t, "ip"), rapid.Bool().Draw(t, "ready"))
			after.Terminating = rapid.Bool().Draw(t, "terminating")
			c.After, pods[key] = &after, after
		}
		if c.Before != nil || c.After != nil {
			changes = append(changes, c)
		}
	}
	return changes
}

func read(w *endpoints.Watcher, seen map[string][]netip.Addr) {
	if !changed(w) {
		return
	}
	for _, a := range w.Take() {
		seen[a.Name] = a.Addresses
	}
}

func truth(pods map[string]kube.Pod, app string) []netip.Addr {
	var all []netip.Addr
	for _, p := range pods {
		if p.Serves() && p.App.Name() == app {
			all = append(all, p.IP)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
