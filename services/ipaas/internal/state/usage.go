package state

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"gantry.dev/services/ipaas/internal/kube"
	"golang.org/x/sync/errgroup"
)

const (
	usageInterval = 5 * time.Second
	usageTimeout  = 3 * time.Second
	// usageStale is how long a node's last figures count while its kubelet
	// does not answer.
	usageStale = 30 * time.Second
	// scrapes at a time.
	scrapes = 8
	// maxMetrics bounds what is read of a kubelet's answer, in bytes.
	maxMetrics = 8 << 20
)

// Usage is what a node's pods use: thousandths of a CPU, bytes.
type Usage struct{ MilliCPU, MemoryBytes int64 }

// Meter measures what nodes use. It asks the kubelets themselves: the way
// through the API server needs the right to nodes/proxy, with which one may
// run anything in any pod.
type Meter struct {
	client *http.Client
	nodes  func(func(kube.Node))

	mu   sync.Mutex
	last map[string]reading
}

// reading of one node.
type reading struct {
	sample
	usage Usage
}

// sample is what a kubelet says: CPU seconds of its pods since their start.
type sample struct {
	time   time.Time
	cpu    float64
	memory int64
}

// NewMeter makes a meter. client authenticates to kubelets; nodes lists the
// nodes.
func NewMeter(client *http.Client, nodes func(func(kube.Node))) *Meter {
	return &Meter{client: client, nodes: nodes, last: map[string]reading{}}
}

// Usage of a node; zero while it is not known.
func (m *Meter) Usage(node string, now time.Time) Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.last[node]
	if now.Sub(r.time) > usageStale {
		return Usage{}
	}
	return r.usage
}

// Run measures until ctx ends.
func (m *Meter) Run(ctx context.Context) error {
	tick := time.NewTicker(usageInterval)
	defer tick.Stop()
	for {
		m.round(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (m *Meter) round(ctx context.Context) {
	addresses := map[string]string{}
	m.nodes(func(n kube.Node) {
		if n.Kubelet != "" {
			addresses[n.Name] = n.Kubelet
		}
	})
	m.forget(addresses)
	var group errgroup.Group
	group.SetLimit(scrapes)
	for node, address := range addresses {
		group.Go(func() error {
			// Missing figures are shown as zero; whether the node lives is
			// for its conditions to tell.
			if s, err := m.scrape(ctx, address); err == nil {
				m.keep(node, s)
			}
			return nil
		})
	}
	_ = group.Wait() // no scrape gives an error
}

func (m *Meter) forget(present map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for node := range m.last {
		if _, ok := present[node]; !ok {
			delete(m.last, node)
		}
	}
}

func (m *Meter) keep(node string, s sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.last[node]
	if !s.time.After(before.time) {
		return // the kubelet has not measured again
	}
	m.last[node] = reading{sample: s, usage: between(before, s)}
}

// between gives the use from one sample to the next. Where the sum falls,
// because a pod has ended or the node starts anew, the last rate stays.
func between(before reading, s sample) Usage {
	u := Usage{MilliCPU: before.usage.MilliCPU, MemoryBytes: s.memory}
	if !before.time.IsZero() && s.cpu >= before.cpu {
		u.MilliCPU = int64(1000 * (s.cpu - before.cpu) / s.time.Sub(before.time).Seconds())
	}
	return u
}

func (m *Meter) scrape(ctx context.Context, address string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/metrics/resource", nil)
	if err != nil {
		return sample{}, fmt.Errorf("address of the kubelet: %w", err)
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return sample{}, fmt.Errorf("ask the kubelet: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMetrics))
	if err != nil {
		return sample{}, fmt.Errorf("read the kubelet's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return sample{}, fmt.Errorf("the kubelet answers %s", resp.Status)
	}
	return parse(body, time.Now())
}

// parse sums the figures of a node's pods. The node's own figures hold also
// what the system uses, for which allocatable has made room already; they only
// say when the kubelet measured. now is that time if they do not.
func parse(text []byte, now time.Time) (sample, error) {
	s, found := sample{time: now}, false
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxMetrics)
	for lines.Scan() {
		series, rest, _ := strings.Cut(lines.Text(), " ")
		name, _, _ := strings.Cut(series, "{")
		if name != "node_cpu_usage_seconds_total" && name != "pod_cpu_usage_seconds_total" && name != "pod_memory_working_set_bytes" {
			continue
		}
		v, at, err := value(rest, now)
		if err != nil {
			return sample{}, fmt.Errorf("the kubelet's %s: %w", series, err)
		}
		switch name {
		case "node_cpu_usage_seconds_total":
			found, s.time = true, at
		case "pod_cpu_usage_seconds_total":
			s.cpu += v
		default:
			s.memory += int64(v)
		}
	}
	if !found {
		return sample{}, errors.New("the kubelet gives no figures of its node")
	}
	return s, lines.Err()
}

// value reads "12.5" or "12.5 1700000000000".
func value(s string, now time.Time) (float64, time.Time, error) {
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return 0, now, fmt.Errorf("no value in %q", s)
	}
	v, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0, now, fmt.Errorf("no number: %w", err)
	}
	if len(fields) > 1 {
		ms, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, now, fmt.Errorf("no time: %w", err)
		}
		now = time.UnixMilli(ms)
	}
	return v, now, nil
}
