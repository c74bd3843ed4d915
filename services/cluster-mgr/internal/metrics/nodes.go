package metrics

import (
	"context"
	"fmt"
	"math"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// looksPerWindow is at how many moments of a window the use is looked at: the
// 95th percentile needs 20 to differ from the highest.
const looksPerWindow = 30

// Amount is what pods use: thousandths of a CPU, bytes.
type Amount struct{ MilliCPU, MemoryBytes int64 }

// NodeUse is the 95th percentile of what the pods of each node used together
// over a window.
type NodeUse struct {
	// By cluster id ("site-a"), then node. A node without both numbers is left out.
	Clusters map[string]map[string]Amount
	Window   time.Duration
}

// NodeMeter measures the use of nodes over a window.
type NodeMeter struct {
	source *Source
	window time.Duration
}

// NewNodeMeter makes a meter; window is at least a minute.
func NewNodeMeter(source *Source, window time.Duration) (*NodeMeter, error) {
	if window < time.Minute {
		return nil, fmt.Errorf("use over %s says nothing about a busy time; take a minute or more", window)
	}
	return &NodeMeter{source: source, window: window}, nil
}

// Use asks one Prometheus twice, for CPU and memory, however many nodes and
// pods there are. It sums up pods, as ipaas does, because the kubelet's number
// of a node holds the whole host. An answer that may be partial is an error
// (rule A1).
func (m *NodeMeter) Use(ctx context.Context, url string) (NodeUse, error) {
	use := NodeUse{Clusters: map[string]map[string]Amount{}, Window: m.window}
	cpu, err := m.source.nodes(ctx, url, m.cpu())
	if err != nil {
		return NodeUse{}, err
	}
	memory, err := m.source.nodes(ctx, url, m.memory())
	if err != nil {
		return NodeUse{}, err
	}
	for at, cores := range cpu {
		bytes, ok := memory[at]
		if !ok {
			continue
		}
		if use.Clusters[at.cluster] == nil {
			use.Clusters[at.cluster] = map[string]Amount{}
		}
		use.Clusters[at.cluster][at.node] = Amount{MilliCPU: int64(math.Ceil(cores * 1000)), MemoryBytes: int64(math.Ceil(bytes))}
	}
	return use, nil
}

func (m *NodeMeter) cpu() string {
	over := max(m.step(), 4*m.source.sampleInterval)
	return m.busy(fmt.Sprintf(`rate(pod_cpu_usage_seconds_total{cluster!="",node!=""}[%s])`, model.Duration(over)))
}

func (m *NodeMeter) memory() string {
	return m.busy(`pod_memory_working_set_bytes{cluster!="",node!=""}`)
}

func (m *NodeMeter) busy(perPod string) string {
	return fmt.Sprintf(`quantile_over_time(0.95, (sum by (cluster, node) (%s))[%s:%s])`, perPod, model.Duration(m.window), model.Duration(m.step()))
}

// step between two looks, in whole seconds.
func (m *NodeMeter) step() time.Duration {
	return max(m.window/looksPerWindow, m.source.sampleInterval, time.Second).Truncate(time.Second)
}

// spot is a node as Prometheus labels it.
type spot struct{ cluster, node string }

// nodes asks for a number per node. What is no amount (NaN, infinite, negative) is left out.
func (s *Source) nodes(ctx context.Context, url, query string) (map[spot]float64, error) {
	value, warnings, err := s.evaluate(ctx, url, query)
	if err != nil {
		return nil, err
	}
	vector, ok := value.(model.Vector)
	switch {
	case !ok:
		return nil, fmt.Errorf("ask Prometheus %s: the answer is a %s, not a vector", query, value.Type())
	case len(warnings) > 0:
		return nil, fmt.Errorf("ask Prometheus %s: the answer may be partial: %s", query, warnings[0])
	}
	out := make(map[spot]float64, len(vector))
	for _, sample := range vector {
		if amount := float64(sample.Value); amount >= 0 && amount < math.MaxInt64/1000 {
			out[spot{string(sample.Metric["cluster"]), string(sample.Metric["node"])}] = amount
		}
	}
	return out, nil
}

// evaluate asks for the value of a query now. Rule A2: what was sampled before
// the lookback is not seen.
func (s *Source) evaluate(ctx context.Context, url, query string) (model.Value, promv1.Warnings, error) {
	prometheus, err := s.client(url)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	value, warnings, _, err := prometheus.Query(ctx, query, time.Time{}, promv1.WithLookbackDelta(2*s.sampleInterval), promv1.WithTimeout(queryTimeout))
	if err != nil {
		return nil, nil, fmt.Errorf("ask Prometheus %s: %w", query, err)
	}
	return value, warnings, nil
}
