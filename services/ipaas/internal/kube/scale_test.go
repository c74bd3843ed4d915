package kube_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/kubetest"
	"gantry.dev/services/ipaas/internal/labels"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	autoscalingac "k8s.io/client-go/applyconfigurations/autoscaling/v1"
)

// follower is an ipaas that follows its cluster, and one app of it.
type follower struct {
	t     *testing.T
	c     *kubetest.Cluster
	line  *wire
	w     *kube.Writer
	cache *kube.Cache
	id    labels.ID
	work  *ipaasv1.Workload
}

func follow(t *testing.T, c *kubetest.Cluster, project string) *follower {
	t.Helper()
	f := &follower{t: t, c: c, line: whole(), id: labels.ID{Project: project, App: "web"}}
	f.w, f.cache = newWriter(t, c, f.line)
	f.work = workload(f.id, 1)
	f.work.Spec.Files, f.work.Spec.Ports = nil, nil
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.cache.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	check(t, apply(t.Context(), f.w, f.work))
	f.hears()
	return f
}

// hears waits until the cache shows the Deployment as it is.
func (f *follower) hears() {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		live, err := f.c.Admin.AppsV1().Deployments(f.id.Namespace()).Get(f.t.Context(), f.id.App, metav1.GetOptions{})
		check(f.t, err)
		heard := false
		f.cache.EachDeployment(func(d kube.Deployment) { heard = heard || d.App == f.id && d.Version == live.ResourceVersion })
		if heard {
			f.line.take()
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatal("the cache hears nothing")
		}
	}
}

// change applies the app and says what that cost and left.
func (f *follower) change(what string, replicas, want int32, reason string, requests ...string) {
	f.t.Helper()
	f.work.Replicas = replicas
	err := apply(f.t.Context(), f.w, f.work)
	if reason == "" && err != nil || reason != "" && !fault.HasReason(err, reason) {
		f.t.Errorf("%s: %v, want %q", what, err, reason)
	}
	if diff := cmp.Diff(requests, f.line.take()); diff != "" && requests != nil {
		f.t.Errorf("%s costs (-want +got):\n%s", what, diff)
	}
	live, err := f.c.Admin.AppsV1().Deployments(f.id.Namespace()).Get(f.t.Context(), f.id.App, metav1.GetOptions{})
	check(f.t, err)
	if got := *live.Spec.Replicas; got != want {
		f.t.Errorf("%s: %d replicas, want %d", what, got, want)
	}
	if got := live.Labels[labels.Release]; reason == "" && got != strconv.Itoa(int(f.work.GetRelease())) {
		f.t.Errorf("%s: release %s, want %d", what, got, f.work.GetRelease())
	}
}

// Whatever came before, a change leaves the replicas and the release that it
// names. rules K4, K5
func replicasAlone(t *testing.T, c *kubetest.Cluster) {
	f := follow(t, c, "scaled")
	const all = "PATCH gantry-scaled/deployments/web"
	f.change("the first change", 3, 3, "", all+"/scale")
	f.change("what the cache has not heard of", 4, 4, "")
	f.hears()
	f.change("another one", 2, 2, "", all+"/scale")
	f.hears()
	f.change("what is there, so that it is looked at", 2, 2, "", all)
	f.hears()
	f.change("after that", 5, 5, "", all+"/scale")
	f.work.Release = 2
	f.change("another release and number", 6, 6, "", all, all+"/scale", all)
	f.hears()
	f.change("of the new release", 1, 1, "", all+"/scale")
	restarted, _ := newWriter(t, c, whole())
	f.w = restarted
	f.change("by an ipaas that knows nothing", 7, 7, "")
	pods, err := f.w.Stop(t.Context(), f.id, 9)
	check(t, err)
	if live, err := c.Admin.AppsV1().Deployments(f.id.Namespace()).Get(t.Context(), "web", metav1.GetOptions{}); err != nil || *live.Spec.Replicas != 0 || pods != 1 {
		t.Errorf("stopped: %v, %d pods", err, pods)
	}
}

// Replicas that somebody else claims stay as they are, heard of or not. rule K4
func replicasOfOthers(t *testing.T, c *kubetest.Cluster) {
	for _, heard := range []bool{true, false} {
		project := map[bool]string{true: "claimed", false: "claimed-just-now"}[heard]
		f := follow(t, c, project)
		f.change("the first change", 3, 3, "", "PATCH gantry-"+project+"/deployments/web/scale")
		f.hears()
		scale := autoscalingac.Scale().WithSpec(autoscalingac.ScaleSpec().WithReplicas(9))
		_, err := c.Admin.AppsV1().Deployments(f.id.Namespace()).ApplyScale(t.Context(), "web", scale, metav1.ApplyOptions{FieldManager: "somebody", Force: true})
		check(t, err)
		if heard {
			f.hears()
		}
		f.change("what somebody else claims", 4, 9, "FIELD_CONFLICT")
	}
}
