// Package chart draws what happened during a run as one self-contained HTML
// page: load, failures, replicas and CPU on one time axis, with every event
// marked. It knows nothing about where the figures come from.
package chart

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
)

// Page is everything that is shown. Times are seconds since the begin.
type Page struct {
	Title string
	// RFC 3339.
	Started string
	OK      bool
	Seconds float64
	// Of the whole run.
	Requests, Failed int
	Figures          []Figure
	Load             []LoadPoint
	// A series per cluster: ready replicas, and CPUs used.
	Replicas, CPU []Series
	Phases        []Phase
	Events        []Event
	Expectations  []Expectation
}

// Figure is a number worth a line of its own.
type Figure struct{ Name, Value string }

// LoadPoint is one second of load.
type LoadPoint struct {
	At               float64
	Requests, Failed int
	// 99th percentile of the latency in milliseconds.
	P99 float64
}

// Series is a line.
type Series struct {
	Name   string
	Points []Point
}

// Point of a line.
type Point struct{ At, Value float64 }

// Phase is a part of the run.
type Phase struct {
	Name             string
	From, To         float64
	Requests, Failed int
	Detail           string
}

// Event is a moment worth a mark.
type Event struct {
	At float64
	// "decision", "health", "fault" or "action"; another kind is listed, but
	// not marked.
	Kind string
	// One or two words for the mark, and a sentence for the list.
	Short, Text string
}

// Expectation is a line of the list of what was expected.
type Expectation struct {
	Phase, Name string
	Held        bool
	Detail      string
}

//go:embed echarts/echarts.common.min.js
var echarts string

//go:embed page.html
var pageHTML string

// Render writes the page.
func Render(w io.Writer, p Page) error {
	option, err := json.Marshal(option(p))
	if err != nil {
		return fmt.Errorf("draw the chart: %w", err)
	}
	page, err := template.New("page").Funcs(template.FuncMap{"clock": clock, "clusterColor": clusterColor}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	err = page.Execute(w, struct {
		Page
		ECharts, Option template.JS
	}{p, template.JS(echarts), template.JS(option)}) //nolint:gosec // json.Marshal escapes <, > and &
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// clock is minutes and seconds.
func clock(seconds float64) string {
	return fmt.Sprintf("%d:%02d", int(seconds)/60, int(seconds)%60)
}
