// Package metrics asks Prometheus for the use of all pods of all apps at once:
// one grouped query per metric, however many apps there are. What an app's own
// query may say is in query.go.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// queryTimeout bounds one query.
const queryTimeout = 5 * time.Second

// Pod names a pod as Prometheus labels it.
type Pod struct{ Cluster, Namespace, Name string }

// Answer is the use of every pod that has a fresh sample.
type Answer struct {
	// One number per pod; several are several series, which rule A1 refuses.
	Pods map[Pod][]float64
	// Numbers that are about no pod but a whole app: one is due.
	Totals []float64
	// Warnings of Prometheus: the answer may be partial (rule A1).
	Warnings []string
}

// Source asks Prometheus servers and keeps the connections to them.
type Source struct {
	sampleInterval time.Duration
	transport      *http.Transport
	mu             sync.Mutex
	clients        map[string]promv1.API
}

// New makes a source; sampleInterval is how often a pod's sample is renewed at
// the latest. Rates are taken over four of them, and a pod whose newest sample
// is older than two of them has none (rule A2).
func New(sampleInterval time.Duration) *Source {
	return &Source{
		sampleInterval: sampleInterval,
		clients:        map[string]promv1.API{},
		transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: queryTimeout}).DialContext,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     time.Minute,
			// To compress a big answer costs Prometheus more than to compute it.
			DisableCompression: true,
		},
	}
}

// Close ends the idle connections.
func (s *Source) Close() { s.transport.CloseIdleConnections() }

// CPU is the CPU use per pod in CPUs (1 = one core).
func (s *Source) CPU(ctx context.Context, url string) (Answer, error) {
	const metric = `container_cpu_usage_seconds_total{namespace=~"gantry-.+",container="app"}`
	return s.ask(ctx, url, s.fresh(fmt.Sprintf(`rate(%s[%ds])`, metric, int((4*s.sampleInterval).Seconds())), metric))
}

// Memory is the working set per pod in bytes.
func (s *Source) Memory(ctx context.Context, url string) (Answer, error) {
	const metric = `container_memory_working_set_bytes{namespace=~"gantry-.+",container="app"}`
	return s.ask(ctx, url, s.fresh(metric, metric))
}

// fresh sums a value up by pod and leaves out the pods whose newest sample is
// old (rule A2). The question itself says so: Prometheus before 2.43 ignores
// the lookback of a query, and a rate over a window that is almost empty reads
// as idle.
func (s *Source) fresh(value, metric string) string {
	return fmt.Sprintf(`sum by (cluster, namespace, pod) (%s) and on (cluster, namespace, pod) timestamp(%s) > time() - %g`,
		value, metric, 2*s.sampleInterval.Seconds())
}

// Query is the answer to an app's own query about one cluster, of which it sees
// the series of its namespace only.
func (s *Source) Query(ctx context.Context, url, query, cluster, namespace string) (Answer, error) {
	limited, err := limit(query, cluster, namespace)
	if err != nil {
		return Answer{}, err
	}
	answer, err := s.ask(ctx, url, current(limited, 2*s.sampleInterval).String())
	if err != nil {
		return Answer{}, err
	}
	// What an aggregation has left of the labels does not matter: the selectors
	// were limited to this cluster and namespace.
	whole := make(map[Pod][]float64, len(answer.Pods))
	for p, values := range answer.Pods {
		p.Cluster, p.Namespace = cluster, namespace
		whole[p] = append(whole[p], values...)
	}
	answer.Pods = whole
	return answer, nil
}

func (s *Source) ask(ctx context.Context, url, query string) (Answer, error) {
	value, warnings, err := s.evaluate(ctx, url, query)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Warnings: warnings}
	switch v := value.(type) {
	case model.Vector:
		answer.fill(v)
	case *model.Scalar:
		answer.Totals = []float64{float64(v.Value)}
	default:
		return Answer{}, fmt.Errorf("ask Prometheus %s: the answer is a %s, not a vector", query, value.Type())
	}
	return answer, nil
}

func (a *Answer) fill(v model.Vector) {
	a.Pods = make(map[Pod][]float64, len(v))
	for _, sample := range v {
		p := Pod{Cluster: string(sample.Metric["cluster"]), Namespace: string(sample.Metric["namespace"]), Name: string(sample.Metric["pod"])}
		if p.Name == "" {
			a.Totals = append(a.Totals, float64(sample.Value))
			continue
		}
		a.Pods[p] = append(a.Pods[p], float64(sample.Value))
	}
}

func (s *Source) client(url string) (promv1.API, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.clients[url]; ok {
		return c, nil
	}
	if url == "" {
		return nil, errors.New("the cluster has no Prometheus")
	}
	client, err := api.NewClient(api.Config{Address: url, RoundTripper: s.transport})
	if err != nil {
		return nil, fmt.Errorf("reach Prometheus at %s: %w", url, err)
	}
	s.clients[url] = promv1.NewAPI(client)
	return s.clients[url], nil
}
