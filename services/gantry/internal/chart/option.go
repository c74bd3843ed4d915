package chart

import (
	"math"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

const (
	ink     = "#334155"
	faint   = "#e2e8f0"
	green   = "#0f766e"
	failRed = "#dc2626"
)

// The three panels, each a grid of the same chart.
const (
	panelLoad = iota
	panelReplicas
	panelCPU
	panels
)

// option is the chart as ECharts wants it.
func option(p Page) map[string]any {
	end := math.Max(1, math.Ceil(p.Seconds))
	c := charts.NewLine()
	c.SetGlobalOptions(
		charts.WithAnimation(false),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(false)}),
		charts.WithAxisPointerOpts(&opts.AxisPointer{Link: []opts.AxisPointerLink{{XAxisIndex: []int{0, 1, 2}}}}),
		charts.WithGridOpts(
			opts.Grid{Left: "70", Right: "30", Top: "150", Height: "230"},
			opts.Grid{Left: "70", Right: "30", Top: "430", Height: "140"},
			opts.Grid{Left: "70", Right: "30", Top: "620", Height: "140"},
		),
	)
	c.ExtendXAxis(make([]opts.XAxis, panels-1)...)
	c.ExtendYAxis(make([]opts.YAxis, panels-1)...)
	for panel, name := range []string{"requests per second", "ready replicas", "CPU used, thousandths"} {
		c.XAxisList[panel] = timeAxis(panel, end)
		c.YAxisList[panel] = valueAxis(panel, name)
	}
	c.YAxisList[panelLoad].Max = headroom(p.Load)
	c.YAxisList[panelReplicas].MinInterval = 1
	addLoad(c, p, end)
	addLines(c, panelReplicas, p.Replicas, 1, "end")
	addLines(c, panelCPU, p.CPU, 1000, "")
	drawing := c.JSON()
	drawing["yAxis"] = c.YAxisList
	return drawing
}

func timeAxis(panel int, end float64) opts.XAxis {
	return opts.XAxis{
		Type: "value", GridIndex: panel, Min: 0, Max: end,
		SplitLine: &opts.SplitLine{Show: opts.Bool(false)},
		AxisLabel: &opts.AxisLabel{Show: opts.Bool(true), Color: ink, Formatter: "{value} s", ShowMaxLabel: opts.Bool(false)},
	}
}

func valueAxis(panel int, name string) opts.YAxis {
	return opts.YAxis{
		Type: "value", GridIndex: panel, Name: name, NameLocation: "middle", NameGap: 45, Min: 0,
		SplitLine: &opts.SplitLine{Show: opts.Bool(true), LineStyle: &opts.LineStyle{Color: faint}},
		AxisLabel: &opts.AxisLabel{Show: opts.Bool(true), Color: ink},
	}
}

// headroom leaves place for the phases' names above the load.
func headroom(points []LoadPoint) float64 {
	most := 1
	for _, l := range points {
		most = max(most, l.Requests)
	}
	return math.Ceil(float64(most)*1.25/10) * 10
}

// addLoad draws requests, failures, phases and events.
func addLoad(c *charts.Line, p Page, end float64) {
	var requests, failed []opts.LineData
	for _, l := range p.Load {
		requests = append(requests, opts.LineData{Value: []float64{tenth(l.At), float64(l.Requests - l.Failed)}})
		failed = append(failed, opts.LineData{Value: []float64{tenth(l.At), float64(l.Failed)}})
	}
	marks := markLines(groupEvents(p.Events, end))
	c.AddSeries("answered", requests, onPanel(panelLoad, green, ""), marks, phaseBands(p.Phases),
		charts.WithAreaStyleOpts(opts.AreaStyle{Opacity: opts.Float(0.12)}))
	c.AddSeries("failed", failed, onPanel(panelLoad, failRed, "middle"),
		charts.WithAreaStyleOpts(opts.AreaStyle{Opacity: opts.Float(0.45)}))
}

// addLines draws a line per cluster.
func addLines(c *charts.Line, panel int, series []Series, scale float64, step string) {
	for i, s := range series {
		var data []opts.LineData
		for _, point := range s.Points {
			data = append(data, opts.LineData{Value: []float64{tenth(point.At), tenth(point.Value * scale)}})
		}
		c.AddSeries(s.Name, data, onPanel(panel, clusterColor(i), step), charts.WithAreaStyleOpts(opts.AreaStyle{Opacity: opts.Float(0.10)}))
	}
}

func onPanel(panel int, color, step string) charts.SeriesOpts {
	return func(s *charts.SingleSeries) {
		charts.WithLineChartOpts(opts.LineChart{
			XAxisIndex: panel, YAxisIndex: panel, ShowSymbol: opts.Bool(false),
		})(s)
		charts.WithLineStyleOpts(opts.LineStyle{Width: 1.8, Color: color})(s)
		charts.WithItemStyleOpts(opts.ItemStyle{Color: color})(s)
		if step != "" {
			s.Step = step
		}
	}
}

// tenth rounds to one decimal: more only makes the file larger.
func tenth(v float64) float64 { return math.Round(v*10) / 10 }

// group is one or several events so close to each other that they share a
// mark.
type group struct {
	at    float64
	kind  string
	label string
}

// groupEvents joins events whose labels would lie over each other.
func groupEvents(events []Event, end float64) []group {
	closest := end / 75 // the width has room for so many labels
	var groups []group
	for _, e := range events {
		if color(e.Kind) == "" {
			continue
		}
		last := len(groups) - 1
		if last < 0 || e.At-groups[last].at > closest {
			groups = append(groups, group{e.At, e.Kind, e.Short})
			continue
		}
		if !strings.Contains(groups[last].label, e.Short) {
			groups[last].label += " · " + e.Short
		}
	}
	return groups
}

// clusterColor is the color of the cluster with an index.
func clusterColor(i int) string {
	palette := []string{"#2563eb", "#d97706", "#db2777", "#0891b2"}
	return palette[i%len(palette)]
}

// color of an event's mark; empty: not marked.
func color(kind string) string {
	switch kind {
	case "decision":
		return "#7c3aed"
	case "health":
		return "#b45309"
	case "fault":
		return failRed
	case "action":
		return "#475569"
	default:
		return ""
	}
}

// mark is a vertical line over one moment with its label above it.
type mark struct {
	XAxis     float64         `json:"xAxis"`
	LineStyle *opts.LineStyle `json:"lineStyle"`
	Label     map[string]any  `json:"label"`
}

func markLines(groups []group) charts.SeriesOpts {
	return func(s *charts.SingleSeries) {
		marks := &opts.MarkLines{MarkLineStyle: opts.MarkLineStyle{Symbol: []string{"none", "none"}}}
		for _, g := range groups {
			marks.Data = append(marks.Data, mark{
				XAxis:     tenth(g.at),
				LineStyle: &opts.LineStyle{Color: color(g.kind), Type: "dashed", Width: 1},
				Label: map[string]any{
					"show": true, "formatter": g.label, "color": color(g.kind), "fontSize": 11,
					"position": "end", "rotate": 55, "align": "left", "verticalAlign": "middle",
				},
			})
		}
		s.MarkLines = marks
	}
}

// phaseBands shades every other phase and names each one.
func phaseBands(phases []Phase) charts.SeriesOpts {
	return func(s *charts.SingleSeries) {
		areas := &opts.MarkAreas{}
		for i, p := range phases {
			shade := "rgba(148,163,184,0.10)"
			if i%2 == 1 {
				shade = "rgba(148,163,184,0.24)"
			}
			areas.Data = append(areas.Data, []any{
				map[string]any{
					"xAxis": tenth(p.From), "name": p.Name, "itemStyle": map[string]any{"color": shade},
					"label": map[string]any{"position": "insideTop", "color": ink, "fontSize": 11, "fontWeight": "bold"},
				},
				map[string]any{"xAxis": tenth(p.To)},
			})
		}
		s.MarkAreas = areas
	}
}
