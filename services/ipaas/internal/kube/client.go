// Package kube is the one place that talks to the cluster's API server: live
// copies of what runs there, and the writes.
package kube

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Access to one cluster.
type Access struct {
	// Client for reads, watches and writes.
	Client kubernetes.Interface
	// Probe is a second way with a connection for each request, so that a
	// question whether the API server lives does not wait behind a connection
	// that died, and a stream that nobody reads stops nobody else's.
	Probe kubernetes.Interface
	// Kubelets authenticates to kubelets as it does to the API server.
	Kubelets *http.Client
}

// NewAccess reads a kubeconfig; an empty path means the service account of the
// pod. Nothing is contacted yet.
func NewAccess(kubeconfig string) (Access, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return Access{}, fmt.Errorf("read the access to the cluster: %w", err)
	}
	return NewAccessFrom(config)
}

// NewAccessFrom is NewAccess with a configuration at hand.
func NewAccessFrom(config *rest.Config) (Access, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "gantry-ipaas"
	// The API server itself shares its time out fairly among its callers.
	config.QPS = -1
	// A peer that vanished without a word is noticed within about ten seconds.
	config.Dial = (&net.Dialer{
		Timeout:         5 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 4 * time.Second, Interval: 2 * time.Second, Count: 3},
	}).DialContext
	probe := rest.CopyConfig(config)
	// A timed-out request closes its connection only with HTTP/1.1.
	probe.NextProtos = []string{"http/1.1"}
	kubelets, err := rest.HTTPClientFor(probe)
	if err != nil {
		return Access{}, fmt.Errorf("make a client for kubelets: %w", err)
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	var a Access
	if a.Client, err = kubernetes.NewForConfig(config); err != nil {
		return Access{}, fmt.Errorf("make a client: %w", err)
	}
	if a.Probe, err = kubernetes.NewForConfig(probe); err != nil {
		return Access{}, fmt.Errorf("make a client for probes: %w", err)
	}
	a.Kubelets = kubelets
	return a, nil
}
