package state_test

import (
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/state"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each gives a list the form of a cache.
func each[T any](list ...T) func(func(T)) {
	return func(f func(T)) {
		for _, v := range list {
			f(v)
		}
	}
}

func TestNodes(t *testing.T) {
	nodes := each(kube.Node{Name: "n2", MilliCPU: 2000, MemoryBytes: 20}, kube.Node{Name: "n1", Ready: true, MilliCPU: 1000, MemoryBytes: 10, MaxPods: 110})
	pods := each(
		kube.Pod{Node: "n1", MilliCPU: 100, MemoryBytes: 1},
		kube.Pod{Node: "n1", MilliCPU: 200, MemoryBytes: 2, Terminating: true},
		kube.Pod{Node: "n1", MilliCPU: 400, MemoryBytes: 4, Finished: true},
		kube.Pod{Node: "", MilliCPU: 800, MemoryBytes: 8},
		kube.Pod{Node: "gone", MilliCPU: 800, MemoryBytes: 8},
	)
	usage := func(node string) state.Usage {
		if node == "n1" {
			return state.Usage{MilliCPU: 50, MemoryBytes: 5}
		}
		return state.Usage{}
	}
	want := []*gantryv1.NodeCapacity{
		{
			Name: "n1", Ready: true, AllocatableMilliCpu: 1000, AllocatableMemoryBytes: 10,
			RequestedMilliCpu: 300, RequestedMemoryBytes: 3, UsedMilliCpu: 50, UsedMemoryBytes: 5,
			MaxPods: 110, Pods: 2,
		},
		{Name: "n2", AllocatableMilliCpu: 2000, AllocatableMemoryBytes: 20},
	}
	if diff := cmp.Diff(want, state.Nodes(nodes, pods, usage), protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

var web = labels.ID{Project: "pay", App: "web"}

func TestMessageIsTheLeafCause(t *testing.T) {
	d := kube.Deployment{App: web, Release: 2, Trouble: "ProgressDeadlineExceeded: web-1 has timed out"}
	pod := func(name string, release int32, trouble string) kube.Pod {
		return kube.Pod{App: web, Name: name, Release: release, Trouble: trouble}
	}
	ending := pod("a", 2, "CrashLoopBackOff")
	ending.Terminating = true
	evicted := pod("a", 2, "Evicted: low on memory")
	evicted.Finished = true
	other := pod("a", 2, "CrashLoopBackOff")
	other.App.App = "other"
	tests := map[string]struct {
		pods []kube.Pod
		want string
	}{
		"no pod is in trouble":    {[]kube.Pod{pod("a", 2, "")}, d.Trouble},
		"one is":                  {[]kube.Pod{pod("b", 2, "Unschedulable: no room")}, "pod b: Unschedulable: no room"},
		"the newest release says": {[]kube.Pod{pod("a", 1, "old"), pod("c", 2, "new"), pod("b", 2, "newer")}, "pod b and 2 more: newer"},
		"an ending pod does not":  {[]kube.Pod{ending}, d.Trouble},
		"nor does a replaced one": {[]kube.Pod{evicted}, d.Trouble},
		"nor does another app's":  {[]kube.Pod{other}, d.Trouble},
	}
	for name, tc := range tests {
		if got := state.Workloads(each(d), each(tc.pods...))[0].GetMessage(); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestUnschedulable(t *testing.T) {
	d := kube.Deployment{App: web, Release: 2}
	pod := func(name string, since int64, why string) kube.Pod {
		return kube.Pod{App: web, Name: name, Release: 2, Unschedulable: since, UnschedulableReason: why, Trouble: "Unschedulable: " + why}
	}
	ending := pod("0", 1, "ending")
	ending.Terminating = true
	crashing := kube.Pod{App: web, Name: "1", Release: 2, Trouble: "CrashLoopBackOff"}
	foreign := pod("2", 1, "another app's")
	foreign.App.App = "other"
	got := state.Workloads(each(d), each(ending, crashing, foreign, pod("c", 300, "newest"), pod("b", 200, "no room"), pod("a", 200, "no node")))[0]
	if got.GetUnschedulableReplicas() != 3 || got.GetUnschedulableSince().GetSeconds() != 200 || got.GetUnschedulableReason() != "no node" {
		t.Errorf("%v, want 3 since 200: no node", got)
	}
	got = state.Workloads(each(d), each(ending, crashing, foreign))[0]
	if got.GetUnschedulableReplicas() != 0 || got.GetUnschedulableSince() != nil || got.GetUnschedulableReason() != "" {
		t.Errorf("%v, want none", got)
	}
}

// Settled means that every replica is there, new and available, and nothing
// else.
func TestSettled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.Int32Range(0, 3)
		d := kube.Deployment{
			App: web, Observed: rapid.Bool().Draw(t, "observed"), Replicas: count.Draw(t, "replicas"), Total: count.Draw(t, "total"),
			Updated: count.Draw(t, "updated"), Ready: count.Draw(t, "ready"), Available: count.Draw(t, "available"),
		}
		same := d.Total == d.Replicas && d.Updated == d.Replicas && d.Available == d.Replicas
		if got := state.Workload(d, nil).GetSettled(); got != (same && d.Observed) {
			t.Fatalf("%+v: settled %t", d, got)
		}
	})
}

func TestPodsOfOneApp(t *testing.T) {
	other := labels.ID{Project: "pay", App: "api"}
	pods := each(kube.Pod{App: web, Name: "b"}, kube.Pod{App: other, Name: "z"}, kube.Pod{Name: "foreign"}, kube.Pod{App: web, Name: "a"})
	names := func(app string) (out []string) {
		for _, p := range state.Pods(pods, app) {
			out = append(out, p.GetName())
		}
		return out
	}
	if diff := cmp.Diff([]string{"a", "b"}, names(web.Name())); diff != "" {
		t.Errorf("one app (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"z", "a", "b"}, names("")); diff != "" {
		t.Errorf("all apps (-want +got):\n%s", diff)
	}
}
