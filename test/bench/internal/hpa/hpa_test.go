package hpa

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gantry.dev/test/bench/internal/kube"
)

func TestRounds(t *testing.T) {
	begin := time.UnixMilli(1_700_000_000_000)
	at := func(ms int, app kube.Key) Asked { return Asked{begin.Add(time.Duration(ms) * time.Millisecond), app} }
	asked := []Asked{at(0, "a"), at(100, "b"), at(150, "a"), at(300, "c"), at(1000, "c"), at(1010, "b"), at(1500, "a"), at(2000, "b")}
	got := Rounds(asked, 3)
	if len(got) != 2 || got[0] != 300*time.Millisecond || got[1] != 500*time.Millisecond {
		t.Errorf("%v", got)
	}
	if got := Rounds(nil, 3); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}

func TestSelected(t *testing.T) {
	for selector, want := range map[string]kube.Key{"app%3Dapp-007": "gantry-bench-01/app-007", "": "", "tier%3Dweb": "", "app+in+(x,y)": ""} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?labelSelector="+selector, nil)
		r.SetPathValue("namespace", "gantry-bench-01")
		if got, err := selected(r); got != want || (want == "") != (err != nil) {
			t.Errorf("%s: %q, %v", selector, got, err)
		}
	}
}

func TestQueryQuotesNames(t *testing.T) {
	want := `sum(rate(container_cpu_usage_seconds_total{namespace="gantry-bench-01",app="app-007"}[4s]))`
	if got := Query("gantry-bench-01/app-007", 4*time.Second); got != want {
		t.Errorf("got %s", got)
	}
}
