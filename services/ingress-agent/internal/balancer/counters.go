package balancer

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// BucketBounds are the upper bounds of the latency histogram in seconds, as
// the Lua counts them.
func BucketBounds() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

// Key says whose counters these are; Cluster is empty for requests that
// found no pod.
type Key struct{ Upstream, Cluster string }

// Counters are what happened since Nginx started.
type Counters struct {
	// Requests by class: "2xx" to "5xx"; "lost" are attempts without an
	// answer (a retry may have saved the request); "none" found no pod.
	Requests map[string]int64
	// Of upstreams whose requests may be held, and of no cluster: requests
	// that came and those that ended, and how many are held now.
	Started, Ended, Held int64
	// Latency counts by bucket, one more than BucketBounds, and their sum.
	Buckets []uint64
	Seconds float64
}

// Counters reads all counters.
func (c *Client) Counters(ctx context.Context) (map[Key]Counters, error) {
	var raw map[string]float64
	if err := c.call(ctx, http.MethodGet, "/v1/counters", nil, &raw); err != nil {
		return nil, err
	}
	out := map[Key]Counters{}
	for name, value := range raw {
		parts := strings.Split(name, "|")
		if len(parts) != 3 {
			continue
		}
		key := Key{Upstream: parts[0], Cluster: parts[1]}
		counters, ok := out[key]
		if !ok {
			counters = Counters{Requests: map[string]int64{}, Buckets: make([]uint64, len(BucketBounds())+1)}
		}
		counters.add(parts[2], value)
		out[key] = counters
	}
	return out, nil
}

func (c *Counters) add(kind string, value float64) {
	bucket, isBucket := strings.CutPrefix(kind, "le")
	switch {
	case kind == "started":
		c.Started = int64(value)
	case kind == "ended":
		c.Ended = int64(value)
	case strings.HasPrefix(kind, "held"): // by each worker
		c.Held += int64(value)
	case kind == "sum":
		c.Seconds = value
	case isBucket:
		if i, err := strconv.Atoi(bucket); err == nil && i >= 1 && i <= len(c.Buckets) {
			c.Buckets[i-1] = uint64(value)
		}
	default:
		c.Requests[kind] = int64(value)
	}
}

// Total sums a cluster's counters over its upstreams: attempts sent to it,
// and those that ended with 5xx or without an answer.
func Total(all map[Key]Counters, cluster string) (requests, failed int64) {
	t := ServedBy(all, cluster)
	return t.Requests, t.Failed
}

// Served are the attempts sent to a cluster, those of them that ended with 5xx
// or without an answer, and how long all that were answered took.
type Served struct {
	Requests, Failed int64
	Latency          time.Duration
}

// ServedBy sums a cluster's counters.
func ServedBy(all map[Key]Counters, cluster string) Served {
	var s Served
	for key, c := range all {
		if key.Cluster != cluster {
			continue
		}
		for class, n := range c.Requests {
			s.Requests += n
			if class == "5xx" || class == "lost" {
				s.Failed += n
			}
		}
		s.Latency += time.Duration(c.Seconds * float64(time.Second))
	}
	return s
}

// Traffic is what came for an upstream.
type Traffic struct {
	Requests int64
	// Held for want of a pod, and under way, those included. Open is known
	// only where requests may be held.
	Held, Open int64
}

// By sorts counters in one pass, for those who would else each look through all
// of them; of says by upstream whose they are, or that they are nobody's.
func By(all map[Key]Counters, of func(upstream string) (owner string, ok bool)) map[string]map[Key]Counters {
	out := map[string]map[Key]Counters{}
	for key, c := range all {
		owner, ok := of(key.Upstream)
		if !ok {
			continue
		}
		if out[owner] == nil {
			out[owner] = map[Key]Counters{}
		}
		out[owner][key] = c
	}
	return out
}

// TrafficOf sums counters.
func TrafficOf(all map[Key]Counters) Traffic {
	var t Traffic
	started := map[string]bool{}
	for key, c := range all {
		t.Held += c.Held
		if c.Started > 0 {
			started[key.Upstream] = true
			t.Requests += c.Started
			t.Open += max(0, c.Started-c.Ended)
		}
	}
	for key, c := range all {
		if started[key.Upstream] {
			continue
		}
		for class, n := range c.Requests {
			if class != "lost" { // an attempt; its request is counted by its end
				t.Requests += n
			}
		}
	}
	return t
}
