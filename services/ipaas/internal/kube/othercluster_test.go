package kube_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/kubetest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patience is for a machine that is busy with other tests.
const patience = 60 * time.Second

// rule K2, rule C1: what another cluster at the same address lists is neither
// our cluster's emptiness nor its content.
func TestAnotherClusterIsNotOurs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a kube-apiserver; left out by -short")
	}
	t.Parallel() // most of it is waiting for its API server
	c := kubetest.Start(t)
	c.GrantIpaas()
	addPod(t, c, "gantry-pay", "web-1")
	access, err := kube.NewAccessFrom(c.Config(kubetest.ServiceAccount))
	check(t, err)
	changes := make(chan []kube.Change[kube.Pod], 1000)
	cache := kube.NewCache(kube.CacheConfig{
		Client: access.Client, Logger: slog.New(slog.DiscardHandler),
		Pods: func(c []kube.Change[kube.Pod]) { changes <- c },
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- cache.Run(ctx) }()
	if first := <-changes; len(first) != 1 || first[0].After.Name != "web-1" {
		t.Fatalf("first list: %v, want web-1", first)
	}
	for synced := false; !synced; synced, _ = cache.Synced() {
		time.Sleep(10 * time.Millisecond)
	}
	c.Replace()
	c.GrantIpaas()
	select {
	case err := <-ended:
		if !errors.Is(err, kube.ErrOtherCluster) {
			t.Errorf("%v, want ErrOtherCluster", err)
		}
	case more := <-changes:
		t.Errorf("the other cluster's pods count as ours: %+v", more)
		cancel()
		<-ended
	}
	pods := 0
	cache.EachPod(func(kube.Pod) { pods++ })
	if pods != 1 {
		t.Errorf("%d pods, want the one that was known last", pods)
	}
}

func addPod(t *testing.T, c *kubetest.Cluster, ns, name string) {
	t.Helper()
	_, err := c.Admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	check(t, err)
	_, err = c.Admin.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "app", Image: "hello"}}},
	}, metav1.CreateOptions{})
	check(t, err)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
