package metrics_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gantry.dev/services/cluster-mgr/internal/metrics"
)

// fakePrometheus answers each instant query whose text holds a key.
func fakePrometheus(t *testing.T, answers map[string]string) (url string, queries *[]string) {
	t.Helper()
	queries = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.FormValue("query")
		*queries = append(*queries, query+" lookback "+r.FormValue("lookback_delta"))
		for key, answer := range answers {
			if strings.Contains(query, key) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, answer)
				return
			}
		}
		http.Error(w, "no such query", http.StatusBadRequest)
	}))
	t.Cleanup(server.Close)
	return server.URL, queries
}

func vector(warnings string, series ...string) string {
	return fmt.Sprintf(`{"status":"success","warnings":[%s],"data":{"resultType":"vector","result":[%s]}}`, warnings, strings.Join(series, ","))
}

func series(pod string, value any) string {
	return fmt.Sprintf(`{"metric":{"cluster":"site-a","namespace":"gantry-pay","pod":%q},"value":[0,"%v"]}`, pod, value)
}

// rule A2: what is older than two sample intervals is not looked at.
func TestOneGroupedQueryForAllPods(t *testing.T) {
	url, queries := fakePrometheus(t, map[string]string{"rate(": vector("", series("web-1", 0.4), series("web-2", "NaN"))})
	answer, err := newSource(t, 5*time.Second).CPU(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if len(*queries) != 1 || !strings.Contains((*queries)[0], "[20s]") || !strings.HasSuffix((*queries)[0], " lookback 10s") {
		t.Errorf("queries %q", *queries)
	}
	if one := answer.Pods[pod("web-1")]; len(one) != 1 || one[0] != 0.4 {
		t.Errorf("web-1: %v", one)
	}
	if two := answer.Pods[pod("web-2")]; len(two) != 1 || !math.IsNaN(two[0]) {
		t.Errorf("a NaN must stay one: %v", two)
	}
}

func pod(name string) metrics.Pod {
	return metrics.Pod{Cluster: "site-a", Namespace: "gantry-pay", Name: name}
}

func newSource(t *testing.T, interval time.Duration) *metrics.Source {
	s := metrics.New(interval)
	t.Cleanup(s.Close)
	return s
}

func TestAnAppsOwnQuery(t *testing.T) {
	url, queries := fakePrometheus(t, map[string]string{
		"queue":   vector("", `{"metric":{"pod":"web-1"},"value":[0,"3"]}`, series("web-2", 4)),
		"backlog": vector("", `{"metric":{},"value":[0,"70"]}`),
		"lag":     `{"status":"success","data":{"resultType":"scalar","result":[0,"12"]}}`,
	})
	source := newSource(t, time.Second)
	perPod, err := source.Query(t.Context(), url, "queue", "site-a", "gantry-pay")
	if err != nil || len(perPod.Pods[pod("web-1")]) != 1 || len(perPod.Pods[pod("web-2")]) != 1 || len(perPod.Totals) != 0 {
		t.Errorf("%+v, %v", perPod, err)
	}
	// Rules E5 and A2.
	const limited = `queue{cluster="site-a",namespace="gantry-pay"}`
	if q := (*queries)[0]; q != "("+limited+" and timestamp("+limited+") > time() - 2) lookback 2s" {
		t.Errorf("asked %s", q)
	}
	for query, want := range map[string]float64{"sum(backlog)": 70, "scalar(lag)": 12} {
		answer, err := source.Query(t.Context(), url, query, "site-a", "gantry-pay")
		if err != nil || len(answer.Totals) != 1 || answer.Totals[0] != want {
			t.Errorf("%s: %+v, %v", query, answer, err)
		}
	}
	if _, err := source.Query(t.Context(), url, `queue{namespace="gantry-other"}`, "site-a", "gantry-pay"); err == nil {
		t.Error("a query for another namespace was asked")
	}
}

// rule A1: warnings and several series for a pod reach the decision.
func TestWarningsAndDuplicatesAreKept(t *testing.T) {
	url, _ := fakePrometheus(t, map[string]string{
		"sum by": vector(`"partial answer"`, series("web-1", 1), series("web-1", 2)),
	})
	answer, err := newSource(t, time.Second).Memory(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Warnings) != 1 || len(answer.Pods[pod("web-1")]) != 2 {
		t.Errorf("%+v", answer)
	}
}

// rule A1: no answer is an error, never zero.
func TestNoAnswerIsAnError(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	refusing, _ := fakePrometheus(t, nil)
	text, _ := fakePrometheus(t, map[string]string{"": `{"status":"success","data":{"resultType":"string","result":[0,"1"]}}`})
	for name, url := range map[string]string{"down": down.URL, "refusing": refusing, "not a vector": text, "no URL": "::", "none": ""} {
		if answer, err := newSource(t, time.Second).CPU(t.Context(), url); err == nil {
			t.Errorf("%s: %+v", name, answer)
		}
	}
}
