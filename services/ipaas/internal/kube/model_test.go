package kube

import (
	"errors"
	"net/netip"
	"testing"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func requesting(cpu, memory string) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
	}}}
}

func sidecar(cpu, memory string) corev1.Container {
	c, always := requesting(cpu, memory), corev1.ContainerRestartPolicyAlways
	c.RestartPolicy = &always
	return c
}

func TestRequests(t *testing.T) {
	containers := func(c ...corev1.Container) []corev1.Container { return c }
	tests := map[string]struct {
		spec        corev1.PodSpec
		cpu, memory int64
	}{
		"none":           {corev1.PodSpec{Containers: containers(corev1.Container{})}, 0, 0},
		"two containers": {corev1.PodSpec{Containers: containers(requesting("500m", "1Ki"), requesting("1", "1Ki"))}, 1500, 2048},
		"a large init container": {corev1.PodSpec{
			Containers: containers(requesting("1", "1Ki")), InitContainers: containers(requesting("3", "1")),
		}, 3000, 1024},
		"a sidecar runs along": {corev1.PodSpec{
			Containers: containers(requesting("1", "1")), InitContainers: containers(sidecar("1", "1"), requesting("1500m", "1")),
		}, 2500, 2},
		"overhead": {corev1.PodSpec{
			Containers: containers(requesting("1", "1")), Overhead: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")},
		}, 1250, 1},
		"the pod's own request": {corev1.PodSpec{
			Containers: containers(requesting("1", "1")),
			Resources:  &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}},
		}, 2000, 1},
	}
	for name, tc := range tests {
		if cpu, memory := requests(&tc.spec); cpu != tc.cpu || memory != tc.memory {
			t.Errorf("%s: %d and %d, want %d and %d", name, cpu, memory, tc.cpu, tc.memory)
		}
	}
}

func TestDiagnose(t *testing.T) {
	in := func(s corev1.ContainerState) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{State: s}}}
	}
	wait := func(reason, message string) corev1.PodStatus {
		return in(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
	}
	crashed := wait("CrashLoopBackOff", "back-off 40s restarting failed container")
	crashed.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
	tests := map[string]struct {
		status         corev1.PodStatus
		phase, trouble string
	}{
		"runs":     {corev1.PodStatus{Phase: corev1.PodRunning}, "Running", ""},
		"starts":   {wait("ContainerCreating", ""), "Pending", ""},
		"no image": {wait("ImagePullBackOff", "not found"), "ImagePullBackOff", "ImagePullBackOff: not found"},
		"crashes":  {crashed, "CrashLoopBackOff", "CrashLoopBackOff: the app ended with exit code 137 (OOMKilled)"},
		"has crashed": {
			in(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error", Message: "no config\n"}}),
			"Error", "the app ended with exit code 2: no config",
		},
		"has no room": {corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"},
		}}, "Pending", "Unschedulable: 0/1 nodes are available"},
		"was evicted": {corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "low on memory"}, "Evicted", "Evicted: low on memory"},
	}
	for name, tc := range tests {
		phase, trouble := diagnose(&corev1.Pod{Status: tc.status})
		if phase != tc.phase || trouble != tc.trouble {
			t.Errorf("%s: %q, %q, want %q, %q", name, phase, trouble, tc.phase, tc.trouble)
		}
	}
}

func TestPodOfAnotherCountsOnlyItsRequests(t *testing.T) {
	p, err := toPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "dns", UID: "u"},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{requesting("100m", "64Mi")}},
		Status:     corev1.PodStatus{PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	})
	want := Pod{Namespace: "kube-system", Name: "dns", UID: "u", Node: "n1", MilliCPU: 100, MemoryBytes: 64 << 20}
	if err != nil || p != want || p.Serves() {
		t.Errorf("%v %v, want %v", p, err, want)
	}
}

func TestUnschedulableIsWhatNoNodeTakes(t *testing.T) {
	id := labels.ID{Project: "pay", App: "web"}
	turned := metav1.Unix(500, 0)
	pod := func(c corev1.PodCondition) Pod {
		p, err := toPod(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "gantry-pay", Name: "web-1", Labels: id.All(1), CreationTimestamp: metav1.Unix(400, 0)},
			Status:     corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{c}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	condition := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes", LastTransitionTime: turned}
	if p := pod(condition); p.Unschedulable != 500 || p.UnschedulableReason != "0/3 nodes" {
		t.Errorf("%+v, want since 500", p)
	}
	condition.LastTransitionTime = metav1.Time{}
	if p := pod(condition); p.Unschedulable != 400 {
		t.Errorf("%+v, want since it was made", p)
	}
	condition.Reason = corev1.PodReasonSchedulingGated
	if p := pod(condition); p.Unschedulable != 0 {
		t.Errorf("%+v: a gate is no lack of room", p)
	}
	condition.Status, condition.Reason = corev1.ConditionTrue, ""
	if p := pod(condition); p.Unschedulable != 0 {
		t.Errorf("%+v: it has a node", p)
	}
}

// A Service that is as Gantry would apply it is known as such, whatever the
// API server has filled in; any change of what Gantry sets shows.
func TestShapeOfAService(t *testing.T) {
	objects, err := render.Render("site-a", &ipaasv1.Workload{
		App: "projects/pay/apps/web", Image: "i", Spec: &gantryv1.AppSpec{Ports: []*gantryv1.Port{{Name: "http", Port: 80}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := wantedShape(objects.Service)
	if err != nil {
		t.Fatal(err)
	}
	id := labels.ID{Project: "pay", App: "web"}
	live := func() *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "gantry-pay", Name: "web", UID: "u", Labels: id.All(0), Annotations: map[string]string{"a": "b"}},
			Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.7", Selector: id.Selector(), SessionAffinity: corev1.ServiceAffinityNone,
				Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(80)}},
			},
		}
	}
	for name, change := range map[string]func(*corev1.Service){
		"":              func(*corev1.Service) {},
		"another port":  func(s *corev1.Service) { s.Spec.Ports[0].Port = 81 },
		"one more port": func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "x"}) },
		"selector":      func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "other"} },
		"type":          func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort },
		"labels":        func(s *corev1.Service) { s.Labels = nil },
	} {
		s := live()
		change(s)
		got, err := toService(s)
		if err != nil || (got.Shape == wanted) != (name == "") {
			t.Errorf("%q changed: %v, %s, wanted %s", name, err, got.Shape, wanted)
		}
	}
	if none, err := wantedShape(nil); none != "" || err != nil {
		t.Errorf("no service: %q %v", none, err)
	}
}

func TestAddressIsTheFirstIPv4(t *testing.T) {
	for want, status := range map[string]corev1.PodStatus{
		"10.0.0.1": {PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}}},
		"10.0.0.2": {PodIP: "fd00::1", PodIPs: []corev1.PodIP{{IP: "fd00::1"}, {IP: "10.0.0.2"}}},
	} {
		if got := address(&corev1.Pod{Status: status}); got != netip.MustParseAddr(want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := address(&corev1.Pod{}); got.IsValid() {
		t.Errorf("%s without an address", got)
	}
}

func TestDeployment(t *testing.T) {
	replicas := int32(3)
	id := labels.ID{Project: "pay", App: "web"}
	got, err := toDeployment(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gantry-pay", Name: "web", Labels: id.All(4), Generation: 7},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 6, Replicas: 4, UpdatedReplicas: 1, ReadyReplicas: 3, AvailableReplicas: 2,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionFalse, Reason: "MinimumReplicasUnavailable"},
				{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "quota exceeded"},
			},
		},
	})
	want := Deployment{App: id, Release: 4, Replicas: 3, Total: 4, Updated: 1, Ready: 3, Available: 2, Generation: 7, Trouble: "FailedCreate: quota exceeded"}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// rule K2
func TestOnlyAClearAnswerIsMoreThanUnavailable(t *testing.T) {
	r := schema.GroupResource{Resource: "deployments"}
	tests := map[string]struct {
		err    error
		kind   fault.Kind
		reason string
	}{
		"connection":   {errors.New("connection refused"), fault.KindUnavailable, "KUBERNETES_UNAVAILABLE"},
		"5xx":          {apierrors.NewInternalError(errors.New("etcd is away")), fault.KindUnavailable, "KUBERNETES_UNAVAILABLE"},
		"throttled":    {apierrors.NewTooManyRequests("later", 1), fault.KindUnavailable, "KUBERNETES_UNAVAILABLE"},
		"not found":    {apierrors.NewNotFound(r, "web"), fault.KindUnavailable, "KUBERNETES_UNAVAILABLE"},
		"timeout":      {apierrors.NewTimeoutError("slow", 1), fault.KindTimeout, "KUBERNETES_TIMEOUT"},
		"forbidden":    {apierrors.NewForbidden(r, "web", errors.New("no")), fault.KindPrecondition, "KUBERNETES_FORBIDDEN"},
		"unauthorised": {apierrors.NewUnauthorized("who?"), fault.KindPrecondition, "KUBERNETES_FORBIDDEN"},
		"invalid":      {apierrors.NewInvalid(schema.GroupKind{Kind: "Deployment"}, "web", nil), fault.KindInvalid, "KUBERNETES_INVALID"},
		"conflict":     {apierrors.NewConflict(r, "web", errors.New("other")), fault.KindConflict, "FIELD_CONFLICT"},
	}
	for name, tc := range tests {
		if err := faultOf(tc.err, "apply"); !fault.Is(err, tc.kind) || !fault.HasReason(err, tc.reason) || !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, want %s", name, err, tc.reason)
		}
	}
	if faultOf(nil, "apply") != nil {
		t.Error("nothing wrong became a fault")
	}
}
