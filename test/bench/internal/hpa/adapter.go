// Package hpa runs the peer: Kubernetes' HorizontalPodAutoscaler, with a
// metrics adapter that asks the same Prometheus for the same use.
package hpa

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/pki"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The API that an adapter serves.
const (
	group   = "external.metrics.k8s.io"
	version = "v1beta1"
	// metric is the name that the objects ask for.
	metric = "app_cpu"
)

// Asked is one request of the controller: it evaluates an app.
type Asked struct {
	Time time.Time
	App  kube.Key
}

// Adapter serves external.metrics.k8s.io: one query per request, as
// prometheus-adapter makes it.
type Adapter struct {
	prometheus promv1.API
	window     time.Duration
	server     *http.Server

	mu    sync.Mutex
	asked []Asked
}

// NewAdapter makes an adapter whose rates go over window.
func NewAdapter(prometheus promv1.API, window time.Duration) *Adapter {
	return &Adapter{prometheus: prometheus, window: window}
}

// Start serves with a certificate until Close.
func (a *Adapter) Start(ctx context.Context, address string, pair pki.Pair) error {
	cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for the API server: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apis/"+group+"/"+version, a.discover)
	mux.HandleFunc("GET /apis/"+group+"/"+version+"/namespaces/{namespace}/"+metric, a.answer)
	a.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
	}
	go func() {
		if err := a.server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			fmt.Println("the metrics adapter ended:", err)
		}
	}()
	return nil
}

// Close ends the server.
func (a *Adapter) Close() {
	if a.server != nil {
		_ = a.server.Close() // nobody waits for its answers
	}
}

// Since are the requests from a moment on, oldest first.
func (a *Adapter) Since(t time.Time) []Asked {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := len(a.asked)
	for from > 0 && a.asked[from-1].Time.After(t) {
		from--
	}
	return append([]Asked(nil), a.asked[from:]...)
}

func (a *Adapter) discover(w http.ResponseWriter, _ *http.Request) {
	write(w, metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: group + "/" + version,
		APIResources: []metav1.APIResource{{Name: metric, Namespaced: true, Kind: "ExternalMetricValueList", Verbs: metav1.Verbs{"get"}}},
	})
}

// value and list are the API's answer.
type value struct {
	MetricName   string            `json:"metricName"`
	MetricLabels map[string]string `json:"metricLabels"`
	Timestamp    metav1.Time       `json:"timestamp"`
	Value        resource.Quantity `json:"value"`
}

type list struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ListMeta `json:"metadata"`
	Items           []value         `json:"items"`
}

func (a *Adapter) answer(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	app, err := selected(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	used, err := a.query(r.Context(), app, now)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	a.mu.Lock()
	a.asked = append(a.asked, Asked{now, app})
	a.mu.Unlock()
	write(w, list{
		TypeMeta: metav1.TypeMeta{Kind: "ExternalMetricValueList", APIVersion: group + "/" + version},
		Items: []value{{
			MetricName: metric, MetricLabels: map[string]string{"app": app.Name()}, Timestamp: metav1.Time{Time: now},
			Value: *resource.NewMilliQuantity(int64(math.Round(used*1000)), resource.DecimalSI),
		}},
	})
}

// selected is the app that a request is about.
func selected(r *http.Request) (kube.Key, error) {
	set, err := labels.ConvertSelectorToLabelsMap(r.URL.Query().Get("labelSelector"))
	if err != nil || set["app"] == "" {
		return "", fmt.Errorf("the selector %q names no app", r.URL.Query().Get("labelSelector"))
	}
	return kube.KeyOf(r.PathValue("namespace"), set["app"]), nil
}

func (a *Adapter) query(ctx context.Context, app kube.Key, now time.Time) (float64, error) {
	answer, _, _, err := a.prometheus.Query(ctx, Query(app, a.window), now)
	if err != nil {
		return 0, fmt.Errorf("ask Prometheus: %w", err)
	}
	v, ok := answer.(model.Vector)
	if !ok || len(v) != 1 {
		return 0, fmt.Errorf("the answer of Prometheus is %s", strings.TrimSpace(answer.String()))
	}
	return float64(v[0].Value), nil
}

// Query is how many CPUs all pods of one app use, found by labels alone: the
// cheapest form.
func Query(app kube.Key, window time.Duration) string {
	return fmt.Sprintf(`sum(rate(container_cpu_usage_seconds_total{namespace=%q,app=%q}[%s]))`, app.Namespace(), app.Name(), model.Duration(window))
}

func write(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the controller asks again
}
