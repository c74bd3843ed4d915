package app_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reader reads one stream in the background.
type reader struct {
	t      *testing.T
	events chan *ipaasv1.WatchEndpointsResponse
	err    error // set before events is closed
}

func (s *site) watch(t *testing.T, apps ...string) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := s.client("ingress-agent.main.lb-1").WatchEndpoints(ctx, &ipaasv1.WatchEndpointsRequest{Apps: apps})
	check(t, err)
	r := &reader{t: t, events: make(chan *ipaasv1.WatchEndpointsResponse, 1000)}
	go func() {
		defer close(r.events)
		for {
			m, err := stream.Recv()
			if err != nil {
				r.err = err
				return
			}
			r.events <- m
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range r.events {
		}
	})
	return r
}

// next gives the next event that is not a mere sign of life.
func (r *reader) next() *ipaasv1.WatchEndpointsResponse {
	r.t.Helper()
	select {
	case m, ok := <-r.events:
		if !ok {
			r.t.Fatalf("the stream broke: %v", r.err)
		}
		return m
	case <-time.After(patience):
		r.t.Fatalf("no event within %s", patience)
	}
	return nil
}

// await reads until an app has exactly these addresses.
func (r *reader) await(app string, want ...string) {
	r.t.Helper()
	for {
		if e := r.next().GetEndpoints(); e.GetApp() == app && slices.Equal(e.GetAddresses(), want) {
			return
		}
	}
}

// rule K6, rule K1
func endpointsFollowPods(t *testing.T, s *site) {
	_, err := s.apply(workload("projects/ends/apps/web", 2))
	check(t, err)
	one := s.setReady(t, s.addPod(t, "ends", "web", "web-1", "10.1.1.10"), true)
	two := s.addPod(t, "ends", "web", "web-2", "10.1.1.9")
	eventually(t, "both pods are seen", func() bool {
		pods, err := s.ListPods(t.Context(), &ipaasv1.ListPodsRequest{App: "projects/ends/apps/web"})
		check(t, err)
		return len(pods.GetPods()) == 2 && pods.GetPods()[0].GetReady() && pods.GetPods()[1].GetIp() != ""
	})
	r := s.watch(t, "projects/ends/apps/web", "projects/ends/apps/none", "projects/ends/apps/web")
	var got []string
	for m := r.next(); !m.GetBookmark(); m = r.next() {
		if m.GetIdentity() != s.identity {
			t.Errorf("identity %q", m.GetIdentity())
		}
		got = append(got, fmt.Sprint(m.GetEndpoints().GetApp(), m.GetEndpoints().GetAddresses()))
	}
	if diff := cmp.Diff([]string{"projects/ends/apps/none[]", "projects/ends/apps/web[10.1.1.10]"}, got); diff != "" {
		t.Errorf("before the bookmark (-want +got):\n%s", diff)
	}
	two = s.setReady(t, two, true)
	r.await("projects/ends/apps/web", "10.1.1.9", "10.1.1.10")
	s.measure(t, r, two)
	// A pod that is asked to end is no endpoint any more, while it still runs.
	check(t, s.Admin.CoreV1().Pods("gantry-ends").Delete(t.Context(), one.Name, metav1.DeleteOptions{}))
	r.await("projects/ends/apps/web", "10.1.1.9")
	pod, err := s.Admin.CoreV1().Pods("gantry-ends").Get(t.Context(), one.Name, metav1.GetOptions{})
	check(t, err)
	if pod.DeletionTimestamp == nil {
		t.Error("the pod is expected to be ending still")
	}
	s.foreignPodCatchesNothing(t, r)
}

// foreignPodCatchesNothing: labels alone, in another namespace, make no
// endpoint.
func (s *site) foreignPodCatchesNothing(t *testing.T, r *reader) {
	_, err := s.Admin.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "thief", Labels: map[string]string{"gantry.dev/project": "ends", "gantry.dev/app": "web", "app.kubernetes.io/managed-by": "gantry"}},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "app", Image: "x"}}},
	}, metav1.CreateOptions{})
	check(t, err)
	thief, err := s.Admin.CoreV1().Pods("default").Get(t.Context(), "thief", metav1.GetOptions{})
	check(t, err)
	thief.Status.PodIP, thief.Status.PodIPs = "10.6.6.6", []corev1.PodIP{{IP: "10.6.6.6"}}
	s.setReady(t, thief, true)
	s.setReady(t, s.addPod(t, "ends", "web", "web-3", "10.1.1.11"), true)
	r.await("projects/ends/apps/web", "10.1.1.9", "10.1.1.11")
}

// measure says how long a change takes from the kubelet's write to the watcher.
func (s *site) measure(t *testing.T, r *reader, pod *corev1.Pod) {
	var took []time.Duration
	for range 20 {
		for _, ready := range []bool{false, true} {
			start := time.Now()
			pod = s.setReady(t, pod, ready)
			want := []string{"10.1.1.10"}
			if ready {
				want = []string{"10.1.1.9", "10.1.1.10"}
			}
			r.await("projects/ends/apps/web", want...)
			took = append(took, time.Since(start))
		}
	}
	slices.Sort(took)
	t.Logf("from the write of a pod's status to the watcher: median %s, worst of %d %s", took[len(took)/2], len(took), took[len(took)-1])
}

// rule K1, rule C1
func apiServerDies(t *testing.T, s *site) {
	const app = "projects/dead/apps/web"
	_, err := s.applyNewest(app)
	check(t, err)
	s.setReady(t, s.addPod(t, "dead", "web", "web-1", "10.1.2.1"), true)
	r := s.watch(t, app)
	r.await(app, "10.1.2.1")
	s.StopAPIServer()
	eventually(t, "ipaas sees that the API server is dead", func() bool {
		state, err := s.GetClusterState(t.Context(), &ipaasv1.GetClusterStateRequest{})
		check(t, err)
		return !state.GetApiServerReady() && state.GetApiServerDetail() != "" && state.GetIdentity() == s.identity && len(state.GetNodes()) > 0
	})
	pods, err := s.ListPods(t.Context(), &ipaasv1.ListPodsRequest{App: app})
	if err != nil || len(pods.GetPods()) != 1 {
		t.Errorf("the last known pods: %v, %v", pods, err)
	}
	if _, err := s.applyNewest(app); !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("apply to a dead API server: %v, want unavailable", err)
	}
	again := s.watch(t, app)
	again.await(app, "10.1.2.1")
	s.restartWithoutAPIServer(t)
	s.StartAPIServer()
	s.awaitReady()
	s.setReady(t, s.addPod(t, "dead", "web", "web-2", "10.1.2.2"), true)
	fresh := s.watch(t, app)
	for m := fresh.next(); m.GetBookmark() || len(m.GetEndpoints().GetAddresses()) != 2; m = fresh.next() {
		if len(m.GetEndpoints().GetAddresses()) == 0 && !m.GetBookmark() {
			t.Error("unreachable is not empty: an empty list was sent")
		}
	}
	r.onlyKnown("10.1.2.1")
	again.onlyKnown("10.1.2.1")
}

// restartWithoutAPIServer: an ipaas that knows nothing says nothing.
func (s *site) restartWithoutAPIServer(t *testing.T) {
	s.stop()
	s.start()
	eventually(t, "ipaas says that it knows nothing", func() bool {
		_, err := s.GetClusterState(t.Context(), &ipaasv1.GetClusterStateRequest{})
		if !fault.Is(err, fault.KindUnavailable) {
			t.Fatalf("state before anything was read: %v, want unavailable", err)
		}
		return fault.HasReason(err, "CLUSTER_NOT_READ")
	})
	if _, err := s.ListWorkloads(t.Context(), &ipaasv1.ListWorkloadsRequest{}); !fault.HasReason(err, "CLUSTER_NOT_READ") {
		t.Errorf("workloads before anything was read: %v, want unavailable", err)
	}
	silent := s.watch(t, "projects/dead/apps/web")
	for m := range silent.events {
		t.Errorf("sent before anything was read: %v", m)
	}
	if !fault.HasReason(silent.err, "CLUSTER_NOT_READ") {
		t.Errorf("endpoints before anything was read: %v, want unavailable", silent.err)
	}
}

// applyNewest applies as the leader that the test of epochs has left behind.
func (s *site) applyNewest(app string) (*ipaasv1.ApplyWorkloadResponse, error) {
	return s.ApplyWorkload(context.Background(), &ipaasv1.ApplyWorkloadRequest{Epoch: 30, Identity: s.identity, Workload: workload(app, 1)})
}

// onlyKnown reads what is left of an ended stream: no event may have taken the
// endpoint away.
func (r *reader) onlyKnown(address string) {
	r.t.Helper()
	for m := range r.events {
		if e := m.GetEndpoints(); e != nil && !slices.Equal(e.GetAddresses(), []string{address}) {
			r.t.Errorf("the API server is away and %s got %v", e.GetApp(), e.GetAddresses())
		}
	}
}
