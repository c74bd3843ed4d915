package app_test

import (
	"context"
	"testing"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
)

// TestIpaas runs all of ipaas, with no more rights than it needs, against a
// real API server.
func TestIpaas(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a kube-apiserver; left out by -short")
	}
	s := newSite(t)
	s.awaitReady()
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *site)
	}{
		{"apply is idempotent", applyIsIdempotent},
		{"replicas alone keep the template", replicasKeepTheTemplate},
		{"a conflict is an error", conflictIsAnError},
		{"a service goes with its last port", serviceGoesWithItsLastPort},
		{"an apply costs little more than a bare one", applyCostsLittle},
		{"configuration goes with the release", configGoesWithTheRelease},
		{"a workload needs its configuration", workloadNeedsItsConfig},
		{"secrets go with the release", secretsGoWithTheRelease},
		{"volumes are bound to the project", volumesAreBoundToTheProject},
		{"another source is another volume", anotherSourceIsAnotherVolume},
		{"volumes of others stay", volumesOfOthersStay},
		{"sources of every kind", sourcesOfEveryKind},
		{"a fence holds when nothing is left", fenceHoldsWhenNothingIsLeft},
		{"the class can change", classCanChange},
		{"unschedulable pods", unschedulablePodsAreCounted},
		{"another identity is refused", otherIdentityIsRefused},
		{"delete", deleteRemovesOnlyOurs},
		{"callers", callersGetWhatTheyNeed},
		{"state of nodes, pods and workloads", stateOfTheCluster},
		{"endpoints", endpointsFollowPods},
		{"a stale epoch is refused, also after a restart", staleEpochIsRefused},
		{"the API server hangs", apiServerHangs},
		{"the API server dies", apiServerDies},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, s) })
	}
}

// rule K4
func applyIsIdempotent(t *testing.T, s *site) {
	state, err := s.apply(workload("projects/idem/apps/web", 3))
	check(t, err)
	if state.GetRelease() != 1 || state.GetReplicas() != 3 || state.GetSettled() {
		t.Errorf("state %v, want release 1 with 3 replicas, not settled", state)
	}
	first := s.deployment(t, "gantry-idem", "web")
	_, err = s.apply(workload("projects/idem/apps/web", 3))
	check(t, err)
	if diff := cmp.Diff(first, s.deployment(t, "gantry-idem", "web")); diff != "" {
		t.Errorf("the second apply changed something:\n%s", diff)
	}
}

func replicasKeepTheTemplate(t *testing.T, s *site) {
	_, err := s.apply(workload("projects/scale/apps/web", 3))
	check(t, err)
	before := s.deployment(t, "gantry-scale", "web")
	_, err = s.apply(workload("projects/scale/apps/web", 5))
	check(t, err)
	after := s.deployment(t, "gantry-scale", "web")
	if *after.Spec.Replicas != 5 {
		t.Errorf("%d replicas, want 5", *after.Spec.Replicas)
	}
	if diff := cmp.Diff(before.Spec.Template, after.Spec.Template); diff != "" {
		t.Errorf("the template changed, so every pod would be replaced:\n%s", diff)
	}
}

// rule K4
func conflictIsAnError(t *testing.T, s *site) {
	_, err := s.apply(workload("projects/fight/apps/web", 3))
	check(t, err)
	theirs := appsac.Deployment("web", "gantry-fight").WithSpec(appsac.DeploymentSpec().WithReplicas(7))
	_, err = s.Admin.AppsV1().Deployments("gantry-fight").Apply(t.Context(), theirs, metav1.ApplyOptions{FieldManager: "other", Force: true})
	check(t, err)
	if _, err = s.apply(workload("projects/fight/apps/web", 4)); !fault.HasReason(err, "FIELD_CONFLICT") || !fault.Is(err, fault.KindConflict) {
		t.Errorf("%v, want FIELD_CONFLICT", err)
	}
	if n := *s.deployment(t, "gantry-fight", "web").Spec.Replicas; n != 7 {
		t.Errorf("%d replicas: the other manager's 7 have been overwritten", n)
	}
}

func serviceGoesWithItsLastPort(t *testing.T, s *site) {
	w := workload("projects/ports/apps/web", 1)
	_, err := s.apply(w)
	check(t, err)
	services := s.Admin.CoreV1().Services("gantry-ports")
	_, err = services.Get(t.Context(), "web", metav1.GetOptions{})
	check(t, err)
	w.Spec.Ports, w.Spec.Readiness = nil, nil
	_, err = s.apply(w)
	check(t, err)
	if _, err = services.Get(t.Context(), "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("%v, want the service to be gone", err)
	}
}

// rule K2
func otherIdentityIsRefused(t *testing.T, s *site) {
	_, err := s.ApplyWorkload(t.Context(), &ipaasv1.ApplyWorkloadRequest{Epoch: 99, Identity: "another", Workload: workload("projects/wrong/apps/web", 1)})
	if !fault.HasReason(err, "WRONG_CLUSTER") || !fault.Is(err, fault.KindPrecondition) {
		t.Errorf("apply: %v, want WRONG_CLUSTER", err)
	}
	_, err = s.DeleteWorkload(t.Context(), &ipaasv1.DeleteWorkloadRequest{Epoch: 99, Identity: "another", App: "projects/idem/apps/web"})
	if !fault.HasReason(err, "WRONG_CLUSTER") {
		t.Errorf("delete: %v, want WRONG_CLUSTER", err)
	}
	if epoch := s.epoch(t); epoch >= 99 {
		t.Errorf("the epoch of a call meant for another cluster counts here: %d", epoch)
	}
}

func (s *site) epoch(t *testing.T) int64 {
	t.Helper()
	state, err := s.GetClusterState(t.Context(), &ipaasv1.GetClusterStateRequest{})
	check(t, err)
	return state.GetEpoch()
}

func (s *site) delete(app string, epoch int64) error {
	_, err := s.DeleteWorkload(context.Background(), &ipaasv1.DeleteWorkloadRequest{Epoch: epoch, Identity: s.identity, App: app})
	return err
}

// rule K1
func deleteRemovesOnlyOurs(t *testing.T, s *site) {
	_, err := s.apply(workload("projects/del/apps/web", 1))
	check(t, err)
	check(t, s.delete("projects/del/apps/web", 10))
	deployments := s.Admin.AppsV1().Deployments("gantry-del")
	if _, err := deployments.Get(t.Context(), "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("%v, want the deployment to be gone", err)
	}
	if err := s.delete("projects/del/apps/web", 10); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
	if err := s.delete("projects/never/apps/web", 10); err != nil {
		t.Errorf("deleting what never was: %v", err)
	}
	labels := map[string]string{"by": "hand"}
	_, err = deployments.Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "foreign"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}},
		}},
	}, metav1.CreateOptions{})
	check(t, err)
	if err := s.delete("projects/del/apps/foreign", 10); !fault.HasReason(err, "NOT_GANTRYS") {
		t.Errorf("%v, want NOT_GANTRYS", err)
	}
}

func callersGetWhatTheyNeed(t *testing.T, s *site) {
	agent := s.client("ingress-agent.main.lb-1")
	if _, err := agent.ListPods(t.Context(), &ipaasv1.ListPodsRequest{}); !fault.Is(err, fault.KindDenied) {
		t.Errorf("an agent lists pods: %v", err)
	}
	stream, err := agent.WatchEndpoints(t.Context(), &ipaasv1.WatchEndpointsRequest{})
	check(t, err)
	if m, err := stream.Recv(); err != nil || !m.GetBookmark() {
		t.Errorf("an agent watches no apps: %v %v, want a bookmark", m, err)
	}
	if _, err := s.client("portal").GetClusterState(t.Context(), &ipaasv1.GetClusterStateRequest{}); !fault.Is(err, fault.KindDenied) {
		t.Errorf("portal: %v", err)
	}
}

func stateOfTheCluster(t *testing.T, s *site) {
	s.addNode(t, "n1")
	_, err := s.apply(workload("projects/look/apps/web", 2))
	check(t, err)
	good := s.setReady(t, s.addPod(t, "look", "web", "web-1", "10.1.0.1"), true)
	bad := s.addPod(t, "look", "web", "web-2", "")
	bad.Status.Phase = corev1.PodPending
	bad.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "app", RestartCount: 2,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}},
	}}
	_, err = s.Admin.CoreV1().Pods("gantry-look").UpdateStatus(t.Context(), bad, metav1.UpdateOptions{})
	check(t, err)
	var pods *ipaasv1.ListPodsResponse
	eventually(t, "both pods are seen", func() bool {
		pods, err = s.ListPods(t.Context(), &ipaasv1.ListPodsRequest{App: "projects/look/apps/web"})
		check(t, err)
		return len(pods.GetPods()) == 2 && pods.GetPods()[1].GetPhase() == "ImagePullBackOff" && pods.GetPods()[0].GetReady()
	})
	if p := pods.GetPods()[0]; p.GetName() != good.Name || p.GetIp() != "10.1.0.1" || p.GetNode() != "n1" || p.GetRelease() != 1 || p.GetApp() != "projects/look/apps/web" {
		t.Errorf("pod %v", p)
	}
	if p := pods.GetPods()[1]; p.GetReady() || p.GetRestarts() != 2 {
		t.Errorf("pod %v", p)
	}
	if m := s.workload(t, "projects/look/apps/web").GetMessage(); m != "pod web-2: ImagePullBackOff: no such image" {
		t.Errorf("message %q", m)
	}
	d := s.deployment(t, "gantry-look", "web")
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2}
	_, err = s.Admin.AppsV1().Deployments("gantry-look").UpdateStatus(t.Context(), d, metav1.UpdateOptions{})
	check(t, err)
	eventually(t, "the workload is settled", func() bool { return s.workload(t, "projects/look/apps/web").GetSettled() })
	state, err := s.GetClusterState(t.Context(), &ipaasv1.GetClusterStateRequest{})
	check(t, err)
	n := state.GetNodes()[0]
	if state.GetDns() != nil {
		t.Errorf("DNS %v in a cluster without a DNS service", state.GetDns())
	}
	if n.GetMaxPods() != 110 || n.GetPods() < 2 {
		t.Errorf("%d of %d pods", n.GetPods(), n.GetMaxPods())
	}
	if !state.GetApiServerReady() || state.GetIdentity() != s.identity || state.GetKubernetesVersion() == "" || !n.GetReady() || n.GetAllocatableMilliCpu() != 4000 {
		t.Errorf("state %v", state)
	}
}

func (s *site) workload(t *testing.T, app string) *ipaasv1.WorkloadState {
	t.Helper()
	list, err := s.ListWorkloads(t.Context(), &ipaasv1.ListWorkloadsRequest{})
	check(t, err)
	for _, w := range list.GetWorkloads() {
		if w.GetApp() == app {
			return w
		}
	}
	t.Fatalf("%s is not among %v", app, list.GetWorkloads())
	return nil
}

func (s *site) addNode(t *testing.T, name string) {
	t.Helper()
	n, err := s.Admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	check(t, err)
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	_, err = s.Admin.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{})
	check(t, err)
}

// rule S2
func staleEpochIsRefused(t *testing.T, s *site) {
	change := func(epoch int64) error {
		_, err := s.ApplyWorkload(context.Background(), &ipaasv1.ApplyWorkloadRequest{Epoch: epoch, Identity: s.identity, Workload: workload("projects/epoch/apps/web", int32(epoch))})
		return err
	}
	check(t, change(20))
	if err := change(19); !fault.HasReason(err, "STALE_EPOCH") || !fault.Is(err, fault.KindPrecondition) {
		t.Errorf("apply: %v, want STALE_EPOCH", err)
	}
	if err := s.delete("projects/epoch/apps/web", 19); !fault.HasReason(err, "STALE_EPOCH") {
		t.Errorf("delete: %v, want STALE_EPOCH", err)
	}
	if n := s.refusals(t); n != 2 {
		t.Errorf("%v refusals are counted, want 2", n)
	}
	s.stop()
	s.start()
	s.awaitReady()
	if epoch := s.epoch(t); epoch != 20 {
		t.Errorf("epoch %d after a restart, want 20", epoch)
	}
	if err := change(19); !fault.HasReason(err, "STALE_EPOCH") {
		t.Errorf("apply after a restart: %v, want STALE_EPOCH", err)
	}
	check(t, change(20))
	if n := *s.deployment(t, "gantry-epoch", "web").Spec.Replicas; n != 20 {
		t.Errorf("%d replicas, want those of epoch 20", n)
	}
	s.otherIpaasSees(t, "30")
	if err := change(20); !fault.HasReason(err, "STALE_EPOCH") {
		t.Errorf("another ipaas of the cluster has seen a newer leader: %v, want STALE_EPOCH", err)
	}
}

// otherIpaasSees keeps an epoch as another ipaas of the same cluster would.
func (s *site) otherIpaasSees(t *testing.T, epoch string) {
	t.Helper()
	maps := s.Admin.CoreV1().ConfigMaps("gantry-system")
	kept, err := maps.Get(t.Context(), "gantry-fence", metav1.GetOptions{})
	check(t, err)
	kept.Data["epoch"] = epoch
	_, err = maps.Update(t.Context(), kept, metav1.UpdateOptions{})
	check(t, err)
}

// refusals is the metric that counts stale epochs.
func (s *site) refusals(t *testing.T) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	check(t, err)
	for _, f := range families {
		if f.GetName() == "gantry_ipaas_stale_epochs_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("the metric of refusals is missing")
	return 0
}
