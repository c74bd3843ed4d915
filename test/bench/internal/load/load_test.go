package load

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"gantry.dev/test/bench/internal/kube"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func running(app, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gantry-pay", Name: name, UID: types.UID(name), Labels: map[string]string{AppLabel: app}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// counters reads what is exposed, by pod.
func counters(t *testing.T, g *Generator, cluster string, now time.Time) map[string]float64 {
	t.Helper()
	body, ok := g.render(cluster, now)
	if !ok {
		t.Fatalf("%s is silent", cluster)
	}
	out := map[string]float64{}
	for _, line := range strings.Split(strings.TrimSpace(string(body)), "\n")[1:] {
		_, rest, _ := strings.Cut(line, `pod="`)
		name, rest, _ := strings.Cut(rest, `"`)
		fields := strings.Fields(rest[strings.Index(rest, "}")+1:])
		v, err := strconv.ParseFloat(fields[0], 64)
		if err != nil || fields[1] != strconv.FormatInt(now.UnixMilli(), 10) {
			t.Fatalf("line %q: %v", line, err)
		}
		out[name] = v
	}
	return out
}

func TestLoadIsDividedAmongAllPodsOfAllClusters(t *testing.T) {
	g := New(0.5)
	a, b := &site{pods: map[string]*pod{}}, &site{pods: map[string]*pod{}}
	g.sites["site-a"], g.sites["site-b"] = a, b
	g.see(a, running("web", "web-1"))
	g.see(b, running("web", "web-2"))
	g.see(b, running("db", "db-1"))
	now := time.UnixMilli(1_700_000_000_000)
	counters(t, g, "site-a", now)
	counters(t, g, "site-b", now)
	g.Offer(kube.KeyOf("gantry-pay", "web"), 2)
	now = now.Add(2 * time.Second)
	got := counters(t, g, "site-b", now)
	if got["web-2"] != 2 || got["db-1"] != 1 {
		t.Errorf("after two seconds: %v", got)
	}
	g.Lose("site-b")
	if _, ok := g.render("site-b", now); ok {
		t.Error("a lost cluster answers")
	}
	if got := counters(t, g, "site-a", now)["web-1"]; got != 2 {
		t.Errorf("a lost cluster's load went over at once: %v", got)
	}
	g.Bury("site-b")
	if got := counters(t, g, "site-a", now.Add(time.Second))["web-1"]; got != 4 {
		t.Errorf("all of the load on one pod: %v", got)
	}
	if g.Pods() != 1 {
		t.Errorf("%d pods", g.Pods())
	}
}

func TestJitterStaysWithinItsShareAndPodsThatEndAreGone(t *testing.T) {
	g := New(1)
	s := &site{pods: map[string]*pod{}}
	g.sites["site-a"] = s
	g.see(s, running("web", "web-1"))
	g.Jitter(0.03)
	now := time.UnixMilli(1_700_000_000_000)
	before := counters(t, g, "site-a", now)["web-1"]
	for range 100 {
		now = now.Add(time.Second)
		next := counters(t, g, "site-a", now)["web-1"]
		if d := next - before; math.Abs(d-1) > 0.0301 {
			t.Fatalf("moved by %v", d)
		}
		before = next
	}
	ended := running("web", "web-1")
	ended.DeletionTimestamp = &metav1.Time{Time: now}
	g.see(s, ended)
	if got := counters(t, g, "site-a", now); len(got) != 0 {
		t.Errorf("ended pods: %v", got)
	}
}
