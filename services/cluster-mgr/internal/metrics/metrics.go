// Package metrics asks Prometheus for the use of all pods of all apps at once:
// one grouped query per metric, however many apps there are.
package metrics

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// queryTimeout bounds one query.
const queryTimeout = 5 * time.Second

// Pod names a pod as Prometheus labels it.
type Pod struct{ Cluster, Namespace, Name string }

// Value is a pod's use and the age of its newest sample in seconds.
type Value struct {
	Use        float64
	AgeSeconds float64
}

// Answer is the use of every pod that has one.
type Answer struct {
	Pods map[Pod][]Value
	// Warnings of Prometheus: the answer may be partial (rule A1).
	Warnings []string
}

// Source asks Prometheus servers. The zero value is not usable.
type Source struct {
	window time.Duration
}

// New makes a source; sampleInterval is how often a pod's sample is renewed at
// the latest. Rates are taken over four of them.
func New(sampleInterval time.Duration) *Source {
	return &Source{window: 4 * sampleInterval}
}

// CPU is the CPU use per pod in CPUs (1 = one core).
func (s *Source) CPU(ctx context.Context, url string) (Answer, error) {
	const metric = `container_cpu_usage_seconds_total{namespace=~"gantry-.+",container="app"}`
	use := fmt.Sprintf(`sum by (cluster, namespace, pod) (rate(%s[%ds]))`, metric, int(s.window.Seconds()))
	return s.ask(ctx, url, use, metric)
}

// Memory is the working set per pod in bytes.
func (s *Source) Memory(ctx context.Context, url string) (Answer, error) {
	const metric = `container_memory_working_set_bytes{namespace=~"gantry-.+",container="app"}`
	return s.ask(ctx, url, fmt.Sprintf(`sum by (cluster, namespace, pod) (%s)`, metric), metric)
}

// ask runs the query for the use and the one for the samples' ages.
func (s *Source) ask(ctx context.Context, url, use, metric string) (Answer, error) {
	client, err := api.NewClient(api.Config{Address: url})
	if err != nil {
		return Answer{}, fmt.Errorf("reach Prometheus at %s: %w", url, err)
	}
	prometheus, now := promv1.NewAPI(client), time.Now()
	used, warnings, err := vector(ctx, prometheus, use, now)
	if err != nil {
		return Answer{}, err
	}
	ages, more, err := vector(ctx, prometheus, fmt.Sprintf(`max by (cluster, namespace, pod) (timestamp(%s))`, metric), now)
	if err != nil {
		return Answer{}, err
	}
	sampled := make(map[Pod]float64, len(ages))
	for _, a := range ages {
		sampled[pod(a.Metric)] = float64(a.Value)
	}
	answer := Answer{Pods: make(map[Pod][]Value, len(used)), Warnings: append(warnings, more...)}
	for _, u := range used {
		p := pod(u.Metric)
		answer.Pods[p] = append(answer.Pods[p], Value{Use: float64(u.Value), AgeSeconds: age(now, sampled, p)})
	}
	return answer, nil
}

// age of a pod's newest sample; infinite when it is not known.
func age(now time.Time, sampled map[Pod]float64, p Pod) float64 {
	at, ok := sampled[p]
	if !ok {
		return math.Inf(1)
	}
	return max(0, float64(now.UnixMilli())/1000-at)
}

func pod(m model.Metric) Pod {
	return Pod{Cluster: string(m["cluster"]), Namespace: string(m["namespace"]), Name: string(m["pod"])}
}

func vector(ctx context.Context, prometheus promv1.API, query string, now time.Time) (model.Vector, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	value, warnings, _, err := prometheus.Query(ctx, query, now)
	if err != nil {
		return nil, nil, fmt.Errorf("ask Prometheus %s: %w", strings.TrimSpace(query), err)
	}
	v, ok := value.(model.Vector)
	if !ok {
		return nil, nil, fmt.Errorf("ask Prometheus %s: the answer is a %s, not a vector", query, value.Type())
	}
	return v, warnings, nil
}
