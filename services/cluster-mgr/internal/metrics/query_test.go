package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"pgregory.net/rapid"
)

// rule E5
func TestEverySelectorIsLimited(t *testing.T) {
	tests := map[string]string{
		`queue_length`: `queue_length{cluster="site-a",namespace="gantry-pay"}`,
		`sum by (pod) (rate(http_requests_total{code=~"2.."}[1m]))`: `sum by (pod) (rate(http_requests_total{cluster="site-a",code=~"2..",namespace="gantry-pay"}[1m]))`,
		`a / on (pod) group_left () b > 0`:                          `a{cluster="site-a",namespace="gantry-pay"} / on (pod) group_left () b{cluster="site-a",namespace="gantry-pay"} > 0`,
		`scalar(max(lag))`:                                          `scalar(max(lag{cluster="site-a",namespace="gantry-pay"}))`,
		`{__name__="up"}`:                                           `{__name__="up",cluster="site-a",namespace="gantry-pay"}`,
	}
	for query, want := range tests {
		got, err := limit(query, "site-a", "gantry-pay")
		if err != nil || got.String() != want {
			t.Errorf("%s: %v, %v, want %s", query, got, err, want)
		}
	}
}

func TestQueriesThatCannotBeMetrics(t *testing.T) {
	for query, complaint := range map[string]string{
		`sum(`:                               "cannot be read",
		`up{namespace="gantry-other"}`:       "leave the label namespace out",
		`up or up{cluster="site-b"}`:         "leave the label cluster out",
		`up{namespace=~".*"}`:                "leave the label namespace out",
		`up offset 1h`:                       "offset and @",
		`up @ 1700000000`:                    "offset and @",
		`up @ end()`:                         "offset and @",
		`max_over_time(rate(x[1m])[10m:1m])`: "subquery",
		`rate(x[2h])`:                        "an hour",
		`x[5m]`:                              "not a number",
		`"text"`:                             "not a number",
		`1 + 1`:                              "looks at no series",
		`vector(1)`:                          "looks at no series",
	} {
		if err := CheckQuery(query); err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%s: %v, want a complaint with %q", query, err, complaint)
		}
	}
}

// rule E5: whatever a query says, none of its selectors sees another namespace.
func TestNoSelectorEscapes(t *testing.T) {
	selector := rapid.SampledFrom([]string{
		`a`, `b{x="}"}`, `c{x=~"a|b",y!="namespace=\"other\""}`, `rate(d[5m])`, `sum without (namespace) (e)`, `label_replace(f, "namespace", "other", "", "")`,
		`absent(g{x="1"})`, `{__name__=~"h.*"}`,
	})
	operator := rapid.SampledFrom([]string{" + ", " or ", " and ", " unless on (pod) ", " / "})
	rapid.Check(t, func(t *rapid.T) {
		query := selector.Draw(t, "first")
		for range rapid.IntRange(0, 3).Draw(t, "more") {
			query += operator.Draw(t, "operator") + selector.Draw(t, "next")
		}
		limited, err := limit(query, "site-a", "gantry-pay")
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		asked := current(limited, 10*time.Second).String()
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(asked)
		if err != nil {
			t.Fatalf("%s: %v", asked, err)
		}
		for _, matchers := range parser.ExtractSelectors(expr) {
			if !has(matchers, "namespace", "gantry-pay") || !has(matchers, "cluster", "site-a") {
				t.Fatalf("%s: %v", asked, matchers)
			}
		}
	})
}

func has(matchers []*labels.Matcher, name, value string) bool {
	for _, m := range matchers {
		if m.Name == name && m.Type == labels.MatchEqual && m.Value == value {
			return true
		}
	}
	return false
}
