package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// awaitAlert waits until Alertmanager has an active alert of this kind about a
// cluster, or has none any more.
func (s *stage) awaitAlert(ctx context.Context, kind, cluster string, active bool) error {
	what := map[bool]string{true: "Alertmanager to have ", false: "Alertmanager to end "}[active] + kind + " about " + cluster
	return await(ctx, briefPatience, what, func(ctx context.Context) (bool, string, error) {
		n, err := s.cfg.countAlerts(ctx, s.cfg.Alertmanager, kind, cluster)
		if err != nil {
			return false, err.Error(), nil //nolint:nilerr // it may be starting; asked again
		}
		return (n > 0) == active, fmt.Sprintf("%d active alerts", n), nil
	})
}

// countAlerts asks an Alertmanager how many alerts of a kind about a cluster
// are active.
func countAlerts(ctx context.Context, alertmanager, kind, cluster string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	query := url.Values{"active": {"true"}, "filter": {
		fmt.Sprintf("alertname=%q", kind), fmt.Sprintf("subject=%q", "clusters/"+cluster),
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, alertmanager+"/api/v2/alerts?"+query.Encode(), nil)
	if err != nil {
		return 0, fmt.Errorf("ask Alertmanager: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask Alertmanager: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	var active []struct{}
	if err := json.NewDecoder(resp.Body).Decode(&active); err != nil {
		return 0, fmt.Errorf("read the answer of Alertmanager (%s): %w", resp.Status, err)
	}
	return len(active), nil
}
