package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
)

// cpuUse asks Prometheus for the CPUs that the app's project uses in each
// cluster. The query holds only names that passed the API's own rules.
func (p *sampler) cpuUse(ctx context.Context) (map[string]float64, error) {
	query := fmt.Sprintf(`sum by (cluster) (rate(container_cpu_usage_seconds_total{namespace="gantry-%s"}[15s]))`,
		path.Base(p.res.project.GetName()))
	address := p.cfg.Prometheus + "/api/v1/query?" + url.Values{"query": {query}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus: %w", err)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	return decodeVector(resp)
}

// vector is an answer of Prometheus to an instant query.
type vector struct {
	Data struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"` // time, number as text
		} `json:"result"`
	} `json:"data"`
}

func decodeVector(resp *http.Response) (map[string]float64, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask Prometheus: %s", resp.Status)
	}
	var v vector
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return nil, fmt.Errorf("read the answer of Prometheus: %w", err)
	}
	byCluster := map[string]float64{}
	for _, r := range v.Data.Result {
		text, _ := r.Value[1].(string) // anything else does not parse below
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("read the answer of Prometheus: %w", err)
		}
		byCluster[r.Metric["cluster"]] = n
	}
	return byCluster, nil
}
