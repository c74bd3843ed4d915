package app_test

import (
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
)

// rule K2
func apiServerHangs(t *testing.T, s *site) {
	const app = "projects/hang/apps/web"
	_, err := s.applyNewest(app)
	check(t, err)
	pod := s.setReady(t, s.addPod(t, "hang", "web", "web-1", "10.1.3.1"), true)
	r := s.watch(t, app)
	r.await(app, "10.1.3.1")
	s.Freeze()
	start := time.Now()
	eventually(t, "ipaas sees that the API server hangs", func() bool {
		state, err := s.GetClusterState(t.Context(), &ipaasv1.GetClusterStateRequest{})
		check(t, err)
		return !state.GetApiServerReady()
	})
	t.Logf("a hanging API server is noticed after %s", time.Since(start))
	if _, err := s.applyNewest(app); !fault.HasReason(err, "KUBERNETES_TIMEOUT") {
		t.Errorf("apply to a hanging API server: %v, want KUBERNETES_TIMEOUT", err)
	}
	if pods, err := s.ListPods(t.Context(), &ipaasv1.ListPodsRequest{App: app}); err != nil || len(pods.GetPods()) != 1 {
		t.Errorf("the last known pods: %v, %v", pods, err)
	}
	s.Thaw()
	// Whatever was sent meanwhile, the endpoint was never taken away before.
	s.setReady(t, pod, false)
	r.await(app)
}
