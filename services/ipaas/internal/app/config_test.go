package app_test

import (
	"context"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (s *site) applyConfig(epoch int64, identity, app string, release int32, files []*gantryv1.ConfigFile) (string, error) {
	resp, err := s.ApplyConfig(context.Background(), &ipaasv1.ApplyConfigRequest{Epoch: epoch, Identity: identity, App: app, Release: release, Files: files})
	return resp.GetObject(), err
}

// Another file is another object and a rollout; a rollback brings the old
// object back.
func configGoesWithTheRelease(t *testing.T, s *site) {
	const app = "projects/files/apps/web"
	w := workload(app, 1)
	deploy := func(release int32, content string) (object string, template corev1.PodTemplateSpec) {
		t.Helper()
		w.Release, w.Spec.Files = release, []*gantryv1.ConfigFile{{Path: "/etc/web/web.toml", Content: content}}
		object, err := s.applyConfig(10, s.identity, app, release, w.GetSpec().GetFiles())
		check(t, err)
		_, err = s.apply(w)
		check(t, err)
		template = s.deployment(t, "gantry-files", "web").Spec.Template
		if template.Spec.Volumes[0].ConfigMap.Name != object {
			t.Errorf("the pods mount %s, the object is %s", template.Spec.Volumes[0].ConfigMap.Name, object)
		}
		return object, template
	}
	first, _ := deploy(1, "a")
	second, _ := deploy(2, "b")
	third, _ := deploy(3, "a")
	if first == second || first != third {
		t.Errorf("objects %s, %s, %s, want the first and the last the same", first, second, third)
	}
	m, err := s.Admin.CoreV1().ConfigMaps("gantry-files").Get(t.Context(), first, metav1.GetOptions{})
	check(t, err)
	if m.Labels["gantry.dev/app"] != "web" || m.Labels["gantry.dev/release"] != "3" || !*m.Immutable || m.Data["00-web.toml"] != "a" {
		t.Errorf("object %v", m)
	}
	if _, err := s.applyConfig(10, "another", app, 4, w.GetSpec().GetFiles()); !fault.HasReason(err, "WRONG_CLUSTER") {
		t.Errorf("%v, want WRONG_CLUSTER", err)
	}
	if _, err := s.applyConfig(9, s.identity, app, 4, w.GetSpec().GetFiles()); !fault.HasReason(err, "STALE_EPOCH") {
		t.Errorf("%v, want STALE_EPOCH", err)
	}
	if object, err := s.applyConfig(10, s.identity, "projects/nofiles/apps/web", 1, nil); object != "" || err != nil {
		t.Errorf("without files: %q, %v", object, err)
	}
}

// The workload brings what it needs along, should the configuration have been
// lost.
func workloadNeedsItsConfig(t *testing.T, s *site) {
	w := workload("projects/lost/apps/web", 1)
	w.Spec.Files = []*gantryv1.ConfigFile{{Path: "/etc/web.toml", Content: "x"}}
	object, err := s.applyConfig(10, s.identity, w.GetApp(), 1, w.GetSpec().GetFiles())
	check(t, err)
	maps := s.Admin.CoreV1().ConfigMaps("gantry-lost")
	check(t, maps.Delete(t.Context(), object, metav1.DeleteOptions{}))
	_, err = s.apply(w)
	check(t, err)
	if _, err := maps.Get(t.Context(), object, metav1.GetOptions{}); err != nil {
		t.Errorf("%v, want the configuration to be there again", err)
	}
	check(t, s.delete(w.GetApp(), 10))
	if _, err := maps.Get(t.Context(), object, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("%v, want the configuration to go with the app", err)
	}
}

func (s *site) fence(t *testing.T, app string, epoch int64) int32 {
	t.Helper()
	resp, err := s.FenceApp(t.Context(), &ipaasv1.FenceAppRequest{Epoch: epoch, Identity: s.identity, App: app})
	check(t, err)
	return resp.GetPods()
}

// The fence holds only when no pod is left, not even one that ends, and when
// the controllers know that they may make none. rule C5
func fenceHoldsWhenNothingIsLeft(t *testing.T, s *site) {
	const app, ns = "projects/single/apps/web", "gantry-single"
	w := workload(app, 1)
	w.Spec.Class = gantryv1.AppClass_APP_CLASS_SINGLE
	start := func(epoch int64) error {
		_, err := s.ApplyWorkload(t.Context(), &ipaasv1.ApplyWorkloadRequest{Epoch: epoch, Identity: s.identity, Workload: w})
		return err
	}
	check(t, start(12))
	if strategy := s.deployment(t, ns, "web").Spec.Strategy; strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("strategy %v, want Recreate", strategy)
	}
	pod := s.addPod(t, "single", "web", "web-1", "10.1.9.1")
	expect := func(want int32, when string) {
		t.Helper()
		if pods := s.fence(t, app, 14); pods != want {
			t.Errorf("%s: %d pods, want %d", when, pods, want)
		}
	}
	expect(1, "while it runs")
	if n := *s.deployment(t, ns, "web").Spec.Replicas; n != 0 {
		t.Errorf("%d replicas are wanted", n)
	}
	pods := s.Admin.CoreV1().Pods(ns)
	check(t, pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{})) // no kubelet confirms
	expect(1, "while it ends")
	now := int64(0)
	check(t, pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
	expect(1, "before the controller knows")
	s.confirm(t, ns, "web")
	set := s.addReplicaSet(t, ns, 1)
	expect(1, "while a replica set wants one")
	check(t, s.Admin.AppsV1().ReplicaSets(ns).Delete(t.Context(), set, metav1.DeleteOptions{}))
	failed := s.addPod(t, "single", "web", "web-2", "")
	failed.Status.Phase = corev1.PodFailed
	_, err := pods.UpdateStatus(t.Context(), failed, metav1.UpdateOptions{})
	check(t, err)
	expect(0, "with a pod that has ended for good")
	if err := start(13); !fault.HasReason(err, "STALE_EPOCH") {
		t.Errorf("an older leader: %v, want STALE_EPOCH", err)
	}
	s.otherIpaasSees(t, "12")
	s.restart() // what it has seen itself must not be what holds
	if err := start(13); !fault.HasReason(err, "FENCED") {
		t.Errorf("an older leader after the epoch was set back: %v, want FENCED", err)
	}
	check(t, start(14))
	check(t, start(15))
	check(t, s.delete(app, 15))
	s.otherIpaasSees(t, "10")
	s.restart()
}

func (s *site) restart() {
	s.t.Helper()
	s.stop()
	s.start()
	s.awaitReady()
}

// confirm plays the deployment controller that has scaled down.
func (s *site) confirm(t *testing.T, ns, name string) {
	t.Helper()
	d := s.deployment(t, ns, name)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation}
	_, err := s.Admin.AppsV1().Deployments(ns).UpdateStatus(t.Context(), d, metav1.UpdateOptions{})
	check(t, err)
}

// addReplicaSet plays it, too.
func (s *site) addReplicaSet(t *testing.T, ns string, replicas int32) (name string) {
	t.Helper()
	d := s.deployment(t, ns, "web")
	set, err := s.Admin.AppsV1().ReplicaSets(ns).Create(t.Context(), &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web-old", Labels: d.Spec.Template.Labels},
		Spec:       appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: d.Spec.Selector, Template: d.Spec.Template},
	}, metav1.CreateOptions{})
	check(t, err)
	return set.Name
}

// Between one copy and many, the strategy changes without a conflict.
func classCanChange(t *testing.T, s *site) {
	w := workload("projects/class/apps/web", 1)
	for _, class := range []gantryv1.AppClass{gantryv1.AppClass_APP_CLASS_REPLICATED, gantryv1.AppClass_APP_CLASS_SINGLE, gantryv1.AppClass_APP_CLASS_REPLICATED} {
		w.Spec.Class = class
		_, err := s.apply(w)
		check(t, err)
		strategy, single := s.deployment(t, "gantry-class", "web").Spec.Strategy, class == gantryv1.AppClass_APP_CLASS_SINGLE
		if (strategy.Type == appsv1.RecreateDeploymentStrategyType) != single || (strategy.RollingUpdate == nil) != single {
			t.Errorf("%s: strategy %v", class, strategy)
		}
	}
	w.Replicas, w.Spec.Class = 2, gantryv1.AppClass_APP_CLASS_SINGLE
	if _, err := s.apply(w); !fault.HasReason(err, "SINGLE_REPLICAS") {
		t.Errorf("two copies: %v, want SINGLE_REPLICAS", err)
	}
}

func unschedulablePodsAreCounted(t *testing.T, s *site) {
	const app = "projects/full/apps/web"
	_, err := s.apply(workload(app, 2))
	check(t, err)
	pods := s.Admin.CoreV1().Pods("gantry-full")
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Labels: s.deployment(t, "gantry-full", "web").Spec.Template.Labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "hello"}}},
	}, metav1.CreateOptions{})
	check(t, err)
	since := time.Now().Add(-time.Minute).Truncate(time.Second)
	pod.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		Message: "0/1 nodes are available: 1 Insufficient cpu.", LastTransitionTime: metav1.NewTime(since),
	}}
	_, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	check(t, err)
	eventually(t, "the pod counts as unschedulable", func() bool {
		w := s.workload(t, app)
		return w.GetUnschedulableReplicas() == 1 && w.GetUnschedulableSince().AsTime().Equal(since) &&
			w.GetUnschedulableReason() == "0/1 nodes are available: 1 Insufficient cpu."
	})
	check(t, pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	eventually(t, "it counts no more", func() bool { return s.workload(t, app).GetUnschedulableSince() == nil })
}
