package metrics

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

// age is how old a sample may be in these tests.
const age = 10 * time.Second

// queues are of two pods, every 5 s: one has been silent since 20 s. All is
// silent after 60 s. One pod's series ended at 40 s, which Prometheus was told.
const queues = `load 5s
	queue{cluster="site-a",namespace="gantry-pay",pod="young"} 1x12
	queue{cluster="site-a",namespace="gantry-pay",pod="silent"} 2x4
	backlog{cluster="site-a",namespace="gantry-pay",pod="young"} 4x12
	backlog{cluster="site-a",namespace="gantry-pay",pod="silent"} 8x12
	ended{cluster="site-a",namespace="gantry-pay",pod="young"} 1x12
	ended{cluster="site-a",namespace="gantry-pay",pod="gone"} 1x7 stale
	jobs_total{cluster="site-a",namespace="gantry-pay",pod="young"} 0+5x12
	jobs_total{cluster="site-a",namespace="gantry-pay",pod="silent"} 0+5x4
`

// rule A2, before a Prometheus that always looks back for five minutes.
func TestAnAppsQuerySeesWhatIsYoung(t *testing.T) {
	server := newServer(t)
	tests := []struct {
		query string
		at    time.Duration
		want  map[string]float64 // by pod; "" is a total
	}{
		{`queue`, 20 * time.Second, map[string]float64{"young": 1, "silent": 2}},
		{`queue`, 29 * time.Second, map[string]float64{"young": 1, "silent": 2}},
		{`queue`, 34 * time.Second, map[string]float64{"young": 1}},
		{`queue`, 69 * time.Second, map[string]float64{"young": 1}},
		{`queue`, 74 * time.Second, nil},
		{`sum(queue)`, 20 * time.Second, map[string]float64{"": 3}},
		{`sum(queue)`, 34 * time.Second, map[string]float64{"": 1}},
		{`sum(queue)`, 74 * time.Second, nil},
		{`-queue + 3 > 1`, 34 * time.Second, map[string]float64{"young": 2}},
		{`queue + on (pod) backlog`, 34 * time.Second, map[string]float64{"young": 5}},
		{`queue or backlog`, 34 * time.Second, map[string]float64{"young": 1, "silent": 8}},
		{`topk(1, backlog unless queue)`, 34 * time.Second, map[string]float64{"silent": 8}},
		// The end of a series is seen at once.
		{`ended`, 41 * time.Second, map[string]float64{"young": 1}},
		// Names by a pattern give series that differ in nothing else.
		{`sum({__name__=~"queue|backlog"})`, 20 * time.Second, map[string]float64{"": 15}},
		{`sum({__name__=~"queue|backlog"})`, 34 * time.Second, map[string]float64{"": 13}},
		{`{__name__="queue"}`, 34 * time.Second, map[string]float64{"young": 1}},
		{`timestamp(queue)`, 29 * time.Second, map[string]float64{"young": 25, "silent": 20}},
		{`timestamp((queue))`, 34 * time.Second, map[string]float64{"young": 30}},
		// Over a range per pod, as for CPU and memory.
		{`rate(jobs_total[20s])`, 20 * time.Second, map[string]float64{"young": 1, "silent": 1}},
		{`rate(jobs_total[20s])`, 34 * time.Second, map[string]float64{"young": 1}},
		{`max by (pod) (rate(jobs_total[20s]))`, 34 * time.Second, map[string]float64{"young": 1}},
		{`sum without (cluster) (rate(jobs_total[20s]))`, 34 * time.Second, map[string]float64{"young": 1}},
		{`topk(2, rate(jobs_total[20s]))`, 34 * time.Second, map[string]float64{"young": 1}},
		{`quantile_over_time(0.5, queue[1m])`, 34 * time.Second, map[string]float64{"young": 1}},
		// A total over a range holds what ended pods did in it, until all is silent.
		{`sum(max_over_time(jobs_total[1m]))`, 35 * time.Second, map[string]float64{"": 55}},
		{`sum without (pod) (max_over_time(jobs_total[1m]))`, 35 * time.Second, map[string]float64{"": 55}},
		{`sum(max_over_time(jobs_total[1m]))`, 74 * time.Second, nil},
		{`sum(last_over_time({__name__=~"queue|backlog"}[1m]))`, 74 * time.Second, nil},
		{`absent(queue)`, 74 * time.Second, nil},
		{`absent(nothing)`, 74 * time.Second, map[string]float64{"": 1}},
		{`absent_over_time(nothing[1m])`, 74 * time.Second, map[string]float64{"": 1}},
	}
	for _, test := range tests {
		if d := cmp.Diff(test.want, server.answer(t, test.query, test.at)); d != "" {
			t.Errorf("%s after %s (-want +got):\n%s", test.query, test.at, d)
		}
	}
}

// server is a Prometheus of before 2.43.
type server struct {
	engine  *promql.Engine
	storage storage.Queryable
}

func newServer(t *testing.T) server {
	t.Helper()
	stored := promqltest.LoadedStorage(t, queues)
	t.Cleanup(func() { _ = stored.Close() })
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{})})
	t.Cleanup(func() { _ = engine.Close() })
	return server{engine, stored}
}

func (s server) answer(t *testing.T, query string, at time.Duration) map[string]float64 {
	t.Helper()
	limited, err := limit(query, "site-a", "gantry-pay")
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	asked := current(limited, age).String()
	q, err := s.engine.NewInstantQuery(t.Context(), s.storage, nil, asked, time.Unix(0, 0).Add(at))
	if err != nil {
		t.Fatalf("%s: %v", asked, err)
	}
	defer q.Close()
	result := q.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil || len(result.Warnings.AsErrors()) > 0 {
		t.Fatalf("%s: %v, %v", asked, err, result.Warnings)
	}
	var answer map[string]float64
	for _, sample := range vector {
		if answer == nil {
			answer = map[string]float64{}
		}
		answer[sample.Metric.Get("pod")] += sample.F
	}
	return answer
}

// Rules A2 and E5: whatever can be an app's query can still be read when it is
// asked, has the type it had, and looks at the series it looked at.
func FuzzCurrent(f *testing.F) {
	for _, query := range []string{
		`queue`, `sum by (pod) (rate(http_requests_total{code=~"2..",path!="a\"b"}[1m]))`, `a / on (pod) group_left (x) b > bool 0`,
		`scalar(max(lag))`, `-{__name__=~"h.*"}`, `histogram_quantile(0.9, sum by (le) (rate(b[5m])))`, `time() - timestamp((x))`,
		`topk(scalar(k), (x))`, `label_replace(x, "a", "$1", "b", "(.*)")`, `absent(x) or absent_over_time(x[1m])`, `x ^ -y ^ 2`,
		`count_values("v", x) unless ignoring (v) {"a.b", c="d"}`, `quantile_over_time(scalar(q), x[1m])`, `x and y or z`, `predict_linear(x[1m], 60)`,
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		before, err := limit(query, "site-a", "gantry-pay")
		if err != nil {
			return
		}
		kind, selectors := before.Type(), selected(before)
		asked := current(before, age).String()
		after, err := parser.NewParser(parser.Options{}).ParseExpr(asked)
		if err != nil {
			t.Fatalf("%s: %s: %v", query, asked, err)
		}
		if after.Type() != kind {
			t.Errorf("%s: a %s became a %s", asked, kind, after.Type())
		}
		if d := cmp.Diff(selectors, selected(after)); d != "" {
			t.Errorf("%s: %s looks elsewhere:\n%s", query, asked, d)
		}
	})
}

// selected lists the selectors of an expression, each once.
func selected(e parser.Expr) []string {
	var out []string
	for _, matchers := range parser.ExtractSelectors(e) {
		var words []string
		for _, m := range matchers {
			words = append(words, (&labels.Matcher{Type: m.Type, Name: m.Name, Value: m.Value}).String())
		}
		slices.Sort(words)
		out = append(out, strings.Join(words, ","))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
