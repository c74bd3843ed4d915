package chart

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// example is a run as the demo sees it, with everything that can be shown.
func example() Page {
	p := Page{
		Title: "Gantry demo", Started: "2026-03-01T10:00:00Z", OK: true, Seconds: 120, Requests: 24000, Failed: 31,
		Figures: []Figure{{"VIP takeover", "0.72 s"}},
		Phases: []Phase{
			{Name: "deploy", From: 0, To: 30, Requests: 1000, Detail: "2 on site-a, 2 on site-b"},
			{Name: "site-loss", From: 30, To: 120, Requests: 23000, Failed: 31, Detail: "alarm after 34s"},
		},
		Events: []Event{
			{At: 20, Kind: "action", Short: "v1 ready", Text: "release with hello:v1 is ready"},
			{At: 40, Kind: "fault", Short: "kill site-b", Text: "site-b is killed"},
			{At: 75, Kind: "health", Short: "site-b Down", Text: "site-b is Down: <script>alert(1)</script>"},
			{At: 75.4, Kind: "health", Short: "alarm", Text: "a plan waits"},
			{At: 90, Kind: "decision", Short: "scale 4→6", Text: "4 pods, sum 320 %, target 50 % → 6.4 → 6"},
			{At: 91, Kind: "phase", Short: "only listed", Text: "only listed"},
		},
		Expectations: []Expectation{{"site-loss", "failures end within 5 s", true, "31 failed"}, {"all", "load is steady", false, "no"}},
	}
	for s := range 120 {
		failed := 0
		if s >= 40 && s < 43 {
			failed = 10
		}
		p.Load = append(p.Load, LoadPoint{At: float64(s), Requests: 200, Failed: failed, P99: 12})
	}
	for i, name := range []string{"site-a", "site-b"} {
		var ready, cpu Series
		ready.Name, cpu.Name = name, name
		for s := range 120 {
			n := 2.0
			if i == 1 && s >= 40 {
				n = 0
			}
			ready.Points = append(ready.Points, Point{float64(s), n})
			cpu.Points = append(cpu.Points, Point{float64(s), n * 0.05})
		}
		p.Replicas, p.CPU = append(p.Replicas, ready), append(p.CPU, cpu)
	}
	return p
}

func render(t *testing.T, p Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageIsSelfContainedAndEscaped(t *testing.T) {
	page := render(t, example())
	if keep := os.Getenv("GANTRY_TEST_KEEP"); keep != "" {
		if err := os.WriteFile(filepath.Join(keep, "chart.html"), []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if found := regexp.MustCompile(`(src|href)\s*=\s*"[^"]*"`).FindString(strings.ReplaceAll(page, echarts, "")); found != "" {
		t.Errorf("the page needs another file: %s", found)
	}
	if strings.Contains(page, "<script>alert(1)") {
		t.Error("text became markup")
	}
	for _, want := range []string{"every expectation held", "4 pods, sum 320 %, target 50 % → 6.4 → 6", "echarts.init", "0.72 s", "2:00"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestOptionHoldsEverythingOnOneTimeAxis(t *testing.T) {
	data, err := json.Marshal(option(example()))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		XAxis []struct {
			Min, Max  float64
			GridIndex int
		} `json:"xAxis"`
		Series []struct {
			Name       string
			XAxisIndex int
			Data       []any
			MarkLine   struct {
				Data []struct {
					XAxis float64
					Label struct{ Formatter string }
				}
			}
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for i, x := range got.XAxis {
		if x.Min != 0 || x.Max != 120 || x.GridIndex != i {
			t.Errorf("time axis %d is %+v", i, x)
		}
	}
	var names, marks []string
	for _, s := range got.Series {
		names = append(names, s.Name)
		if len(s.Data) != 120 {
			t.Errorf("%s has %d points, want 120", s.Name, len(s.Data))
		}
	}
	for _, m := range got.Series[0].MarkLine.Data {
		marks = append(marks, m.Label.Formatter)
	}
	if want := "answered failed site-a site-b site-a site-b"; strings.Join(names, " ") != want {
		t.Errorf("series %v, want %s", names, want)
	}
	if want := "v1 ready, kill site-b, site-b Down · alarm, scale 4→6"; strings.Join(marks, ", ") != want {
		t.Errorf("marks %v, want %s", marks, want)
	}
}

func TestAnEmptyRunIsStillAPage(t *testing.T) {
	if page := render(t, Page{Title: "Gantry demo"}); !strings.Contains(page, "not every expectation held") {
		t.Error("an empty run looks like a success")
	}
}
