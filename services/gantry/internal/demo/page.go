package demo

import (
	"slices"
	"time"

	"gantry.dev/services/gantry/internal/chart"
	"gantry.dev/services/gantry/internal/load"
)

// page turns what was recorded into what the picture shows. Time zero is the
// begin of the run.
func (s *stage) page(r *Report, history []played, samples []sample, buckets []load.Bucket) chart.Page {
	zero := s.started
	p := chart.Page{
		Title: "Gantry demo", Started: r.Started, OK: r.OK, Seconds: r.Seconds,
		Requests: r.Requests.Total, Failed: r.Requests.Failed,
		Figures: []chart.Figure{
			{Name: "VIP takeover", Value: figure(r.VIPTakeoverSeconds)},
			{Name: "cluster down, alarm with plan", Value: figure(r.ClusterDownDetectedSeconds)},
			{Name: "cluster down, recovered", Value: figure(r.RecoveredSeconds)},
		},
		Load: loadPoints(buckets, zero),
	}
	for i, h := range history {
		p.Phases = append(p.Phases, chart.Phase{
			Name: h.name, From: h.begin.Sub(zero).Seconds(), To: h.end.Sub(zero).Seconds(),
			Requests: r.Phases[i].Requests, Failed: r.Phases[i].Failed, Detail: h.detail,
		})
	}
	for _, e := range s.marked() {
		p.Events = append(p.Events, chart.Event{At: e.at.Sub(zero).Seconds(), Kind: e.kind, Short: e.short, Text: e.text})
	}
	for _, e := range r.expectations {
		p.Expectations = append(p.Expectations, chart.Expectation{Phase: e.phase, Name: e.Name, Held: e.Held, Detail: e.Detail})
	}
	for _, c := range s.res.clusters {
		name := clusterName(c)
		p.Replicas = append(p.Replicas, chart.Series{Name: name, Points: points(samples, zero, func(s sample) (float64, bool) {
			n, ok := s.ready[name]
			return float64(n), ok
		})})
		p.CPU = append(p.CPU, chart.Series{Name: name, Points: points(samples, zero, func(s sample) (float64, bool) {
			v, ok := s.cpu[name]
			return v, ok
		})})
	}
	return p
}

func points(samples []sample, zero time.Time, value func(sample) (float64, bool)) []chart.Point {
	var all []chart.Point
	for _, s := range samples {
		if v, ok := value(s); ok {
			all = append(all, chart.Point{At: s.at.Sub(zero).Seconds(), Value: v})
		}
	}
	return all
}

// loadPoints joins the phases of each second.
func loadPoints(buckets []load.Bucket, zero time.Time) []chart.LoadPoint {
	bySecond := map[time.Time]*chart.LoadPoint{}
	for _, b := range buckets {
		if b.Phase == probePhase {
			continue
		}
		p := bySecond[b.Second]
		if p == nil {
			p = &chart.LoadPoint{At: b.Second.Sub(zero).Seconds()}
			bySecond[b.Second] = p
		}
		p.Requests += b.Requests
		p.Failed += b.Failed
		p.P99 = max(p.P99, b.P99)
	}
	var all []chart.LoadPoint
	for _, p := range bySecond {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b chart.LoadPoint) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		default:
			return 0
		}
	})
	return all
}
