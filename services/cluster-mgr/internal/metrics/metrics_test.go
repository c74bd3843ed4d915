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
		*queries = append(*queries, query)
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

func TestOneGroupedQueryForAllPods(t *testing.T) {
	sampled := float64(time.Now().Add(-3*time.Second).UnixMilli()) / 1000
	url, queries := fakePrometheus(t, map[string]string{
		"rate(":      vector("", series("web-1", 0.4), series("web-2", "NaN")),
		"timestamp(": vector("", series("web-1", sampled)),
	})
	answer, err := metrics.New(5*time.Second).CPU(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if len(*queries) != 2 || !strings.Contains((*queries)[0], "[20s]") {
		t.Errorf("queries %q", *queries)
	}
	one := answer.Pods[metrics.Pod{Cluster: "site-a", Namespace: "gantry-pay", Name: "web-1"}]
	if len(one) != 1 || one[0].Use != 0.4 || one[0].AgeSeconds < 2.9 || one[0].AgeSeconds > 10 {
		t.Errorf("web-1: %+v", one)
	}
	two := answer.Pods[metrics.Pod{Cluster: "site-a", Namespace: "gantry-pay", Name: "web-2"}]
	if len(two) != 1 || !math.IsNaN(two[0].Use) || !math.IsInf(two[0].AgeSeconds, 1) {
		t.Errorf("a NaN must stay one, and an unknown age is infinite: %+v", two)
	}
}

// rule A1: warnings and several series for a pod reach the decision.
func TestWarningsAndDuplicatesAreKept(t *testing.T) {
	url, _ := fakePrometheus(t, map[string]string{
		"sum by":     vector(`"partial answer"`, series("web-1", 1), series("web-1", 2)),
		"timestamp(": vector(""),
	})
	answer, err := metrics.New(time.Second).Memory(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Warnings) != 1 || len(answer.Pods[metrics.Pod{Cluster: "site-a", Namespace: "gantry-pay", Name: "web-1"}]) != 2 {
		t.Errorf("%+v", answer)
	}
}

// rule A1: no answer is an error, never zero.
func TestNoAnswerIsAnError(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	refusing, _ := fakePrometheus(t, nil)
	scalar, _ := fakePrometheus(t, map[string]string{"": `{"status":"success","data":{"resultType":"scalar","result":[0,"1"]}}`})
	for name, url := range map[string]string{"down": down.URL, "refusing": refusing, "not a vector": scalar, "no URL": "::"} {
		if answer, err := metrics.New(time.Second).CPU(t.Context(), url); err == nil {
			t.Errorf("%s: %+v", name, answer)
		}
	}
}
