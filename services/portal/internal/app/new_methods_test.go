package app

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"gantry.dev/proto"
)

// The methods that the contract grew by answer over REST, as far as the fake
// behind has them: without one it says UNIMPLEMENTED, not PATH_UNKNOWN.
func TestRESTPathsOfOperatorsReachClusterMgr(t *testing.T) {
	h, _ := start(t)
	tests := []struct{ method, path, body string }{
		{"POST", "/v1/" + web + ":rebalance", `{"validateOnly":true}`},
		{"POST", "/v1/clusters/site-b:migrate", `{"validateOnly":true,"stepPercent":10}`},
		{"PATCH", "/v1/clusters/site-b?updateMask=failover.automatic", `{"failover":{"automatic":true}}`},
		{"GET", "/v1/clusters:survival", ""},
		{"POST", "/v1/operations/1:reverse", `{}`},
	}
	for _, tc := range tests {
		code, body := h.do(tc.method, tc.path, tc.body, nil)
		if code != http.StatusNotImplemented || !strings.Contains(body, `"UNIMPLEMENTED"`) {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, code, body)
		}
	}
}

func TestOpenAPINamesEveryPath(t *testing.T) {
	var api struct{ Paths map[string]json.RawMessage }
	if err := json.Unmarshal(proto.OpenAPI, &api); err != nil {
		t.Fatal(err)
	}
	var all []string
	for path := range api.Paths {
		all = append(all, path)
	}
	text := strings.Join(all, "\n")
	for _, verb := range []string{":rebalance", ":migrate", "/v1/clusters:survival", ":reverse"} {
		if !strings.Contains(text, verb) {
			t.Errorf("no path with %s in\n%s", verb, text)
		}
	}
}
