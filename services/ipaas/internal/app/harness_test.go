package app_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"gantry.dev/pkg/grpcclient"
	"gantry.dev/pkg/mtls/mtlstest"
	"gantry.dev/pkg/serve"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/app"
	"gantry.dev/services/ipaas/internal/kubetest"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long something may take that takes milliseconds on a machine
// that has nothing else to do.
const patience = 30 * time.Second

// site is a real API server with an ipaas in front of it.
type site struct {
	*kubetest.Cluster
	t        *testing.T
	ca       *mtlstest.CA
	identity string

	address  string
	registry *prometheus.Registry
	stop     func()
	ipaasv1.IpaasServiceClient
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Cluster: kubetest.Start(t), t: t, ca: mtlstest.New(t)}
	s.GrantIpaas()
	ns, err := s.Admin.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	check(t, err)
	s.identity = string(ns.UID)
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

// start runs an ipaas with no more rights than it needs.
func (s *site) start() {
	s.t.Helper()
	s.address, s.registry = kubetest.FreeAddress(s.t), prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	config := app.Config{
		Common: serve.Common{
			Name: "ipaas", Listen: s.address, TLS: s.ca.Issue("ipaas.site-t"),
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: s.registry,
		},
		Cluster:    "site-t",
		Kubeconfig: s.Kubeconfig(kubetest.ServiceAccount),
	}
	go func() { ended <- app.Run(ctx, config) }()
	s.IpaasServiceClient = s.client("cluster-mgr")
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("ipaas ended with %v", err)
		}
		s.stop = func() {}
	}
}

// client calls ipaas as somebody.
func (s *site) client(commonName string) ipaasv1.IpaasServiceClient {
	s.t.Helper()
	config, err := s.ca.Issue(commonName).Client("ipaas.site-t")
	check(s.t, err)
	conn, err := grpcclient.Dial(s.address, config)
	check(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	return ipaasv1.NewIpaasServiceClient(conn)
}

// awaitReady waits until ipaas has read the cluster.
func (s *site) awaitReady() {
	s.t.Helper()
	eventually(s.t, "ipaas answers", func() bool {
		_, err := s.GetClusterState(context.Background(), &ipaasv1.GetClusterStateRequest{})
		return err == nil
	})
}

// apply applies a workload as the leader with epoch 10.
func (s *site) apply(w *ipaasv1.Workload) (*ipaasv1.WorkloadState, error) {
	resp, err := s.ApplyWorkload(context.Background(), &ipaasv1.ApplyWorkloadRequest{Epoch: 10, Identity: s.identity, Workload: w})
	return resp.GetState(), err
}

func (s *site) deployment(t *testing.T, ns, name string) *appsv1.Deployment {
	t.Helper()
	d, err := s.Admin.AppsV1().Deployments(ns).Get(t.Context(), name, metav1.GetOptions{})
	check(t, err)
	return d
}

// workload is release 1 of an app with one port.
func workload(app string, replicas int32) *ipaasv1.Workload {
	return &ipaasv1.Workload{
		App: app, Release: 1, Replicas: replicas,
		Image: "10.111.0.1:5000/hello@sha256:0123456789012345678901234567890123456789012345678901234567890123",
		Spec: &gantryv1.AppSpec{
			Image: "hello:1", Replicas: replicas,
			Ports:     []*gantryv1.Port{{Name: "http", Port: 8080}},
			Readiness: &gantryv1.HealthCheck{HttpPath: "/healthz", Port: 8080},
		},
	}
}

// addPod makes a pod of an app on node n1 with an address, not ready yet.
func (s *site) addPod(t *testing.T, project, app, name, ip string) *corev1.Pod {
	t.Helper()
	ns := "gantry-" + project
	pod, err := s.Admin.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"gantry.dev/project": project, "gantry.dev/app": app, "gantry.dev/release": "1", "app.kubernetes.io/managed-by": "gantry",
		}},
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "app", Image: "hello"}}},
	}, metav1.CreateOptions{})
	check(t, err)
	if ip != "" {
		pod.Status.PodIP, pod.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	}
	return s.setReady(t, pod, false)
}

// setReady plays the kubelet.
func (s *site) setReady(t *testing.T, pod *corev1.Pod, ready bool) *corev1.Pod {
	t.Helper()
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	pod, err := s.Admin.CoreV1().Pods(pod.Namespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	check(t, err)
	return pod
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
