package balancer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// A Cluster is the pods of an upstream in one cluster.
type Cluster struct {
	Name string `json:"name"`
	// Share of its normal traffic, 0 to 100; 0: gets no request.
	Percent int `json:"percent"`
	// Percent of the upstream's requests, whatever the number of pods; 0 in all
	// clusters: in proportion to pods.
	Share int `json:"share,omitempty"`
	Port  int `json:"port"`
	// IPv4 addresses in order.
	Pods []string `json:"pods"`
}

// An Upstream is all pods of an app's port.
type Upstream struct {
	Clusters []Cluster `json:"clusters"`
	// How long a request waits for the first pod, in seconds; 0: not at all.
	Hold int `json:"hold,omitempty"`
	// By route ("projects/{project}/routes/{route}"): where else its requests go.
	Canaries map[string][]Canary `json:"canaries,omitempty"`
}

// A Canary leads some of a route's requests to another upstream.
type Canary struct {
	To string `json:"to"`
	// Variable of Nginx that decides, and its value; empty: Percent decides.
	Variable string `json:"variable,omitempty"`
	Value    string `json:"value,omitempty"`
	Percent  int    `json:"percent,omitempty"`
}

// A Table is everything the balancer chooses from, by upstream name.
type Table map[string]Upstream

// encode gives each upstream as the text that Nginx keeps. What is as in old
// has its text from there: of thousands of upstreams few change at a time.
func (t Table) encode(old encoded) (encoded, error) {
	out := encoded{table: t, texts: make(map[string]string, len(t))}
	for name, u := range t {
		if text, ok := old.texts[name]; ok && equalUpstream(old.table[name], u) {
			out.texts[name] = text
			continue
		}
		b, err := json.Marshal(u)
		if err != nil {
			return encoded{}, fmt.Errorf("encode upstream %s: %w", name, err)
		}
		out.texts[name] = string(b)
	}
	return out, nil
}

// encoded is a table with its texts by upstream.
type encoded struct {
	table Table
	texts map[string]string
}

func equalUpstream(a, b Upstream) bool {
	return a.Hold == b.Hold && maps.EqualFunc(a.Canaries, b.Canaries, slices.Equal[[]Canary]) && slices.EqualFunc(a.Clusters, b.Clusters, func(x, y Cluster) bool {
		return x.Name == y.Name && x.Percent == y.Percent && x.Share == y.Share && x.Port == y.Port && slices.Equal(x.Pods, y.Pods)
	})
}

// A change is the body of POST /v1/table, and of the snapshot on disk.
type change struct {
	Base       int64             `json:"base"`
	Generation int64             `json:"generation"`
	Full       bool              `json:"full,omitempty"`
	Set        map[string]string `json:"set,omitempty"`
	Delete     []string          `json:"delete,omitempty"`
	// All upstreams that stay; null: not the last part. With Full.
	Keep []string `json:"keep"`
	// Pods that do not answer, "host:port"; null: unchanged.
	Down []string `json:"down"`
	// Generation of the GatewayConfig that is in effect; 0: unchanged.
	Config int64 `json:"config,omitempty"`
}

// diff is what makes have into want.
func diff(have, want map[string]string) (set map[string]string, gone []string) {
	set = map[string]string{}
	for name, spec := range want {
		if have[name] != spec {
			set[name] = spec
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[name]; !ok {
			gone = append(gone, name)
		}
	}
	return set, gone
}

// maxChunk bounds the upstreams of one push: 10,000 at once would hold up a
// worker for 150 ms.
const maxChunk = 500

// chunks splits a full table; only the last part says what to keep.
func chunks(want map[string]string) []change {
	names := slices.Sorted(maps.Keys(want))
	var out []change
	for part := range slices.Chunk(names, maxChunk) {
		c := change{Full: true, Set: map[string]string{}}
		for _, name := range part {
			c.Set[name] = want[name]
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		out = []change{{Full: true}}
	}
	out[len(out)-1].Keep = append([]string{}, names...)
	return out
}
