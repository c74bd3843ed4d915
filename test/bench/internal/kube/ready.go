package kube

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

const pollPause = 200 * time.Millisecond

// ready waits until the API server has done everything it does at its start.
func (k *Cluster) ready(ctx context.Context) error {
	client, err := rest.HTTPClientFor(k.REST)
	if err != nil {
		return err
	}
	return waitFor(ctx, "the API server of "+k.Name, client, k.URL()+"/readyz")
}

// insecure asks a server on this machine whose certificate it made itself.
func insecure() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // a health check over loopback
}

func waitFor(ctx context.Context, what string, client *http.Client, url string) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollPause, startTime, true, func(ctx context.Context) (bool, error) {
		last = ask(ctx, client, url)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s does not become ready: %w (%w)", what, last, err)
	}
	return nil
}

func ask(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// HTTP is an administrator's client of the API server itself.
func (k *Cluster) HTTP() (*http.Client, error) { return rest.HTTPClientFor(k.REST) }

// makeNodes makes nodes so large that room is never what is measured.
func (k *Cluster) makeNodes(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range k.Nodes {
		group.Go(func() error {
			_, err := k.Client.CoreV1().Nodes().Create(ctx, node(k.Name+"-"+strconv.Itoa(i+1)), metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("make nodes in %s: %w", k.Name, err)
	}
	return nil
}

func node(name string) *corev1.Node {
	size := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("4000"), corev1.ResourceMemory: resource.MustParse("8Ti"), corev1.ResourcePods: resource.MustParse("4000"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{corev1.LabelHostname: name}, Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"},
		},
		Status: corev1.NodeStatus{Capacity: size, Allocatable: size},
	}
}
