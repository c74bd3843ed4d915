package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// alert is one of Alertmanager's.
type alert struct {
	Labels map[string]string `json:"labels"`
	EndsAt time.Time         `json:"endsAt"`
}

// alerts asks Alertmanager for those of a kind about a cluster that are active.
func alerts(t *testing.T, kind, cluster string) []alert {
	t.Helper()
	body, err := get(t, "http://127.0.0.1:9493/api/v2/alerts?active=true&silenced=false&inhibited=false")
	if err != nil {
		t.Fatal(err)
	}
	var all, of []alert
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatalf("Alertmanager answers %q: %v", body, err)
	}
	for _, a := range all {
		if labels := fmt.Sprint(a.Labels); strings.Contains(labels, kind) && strings.Contains(labels, cluster) {
			of = append(of, a)
		}
	}
	return of
}

// fires waits until Alertmanager has the alarm, resolved until it has it no more.
func fires(t *testing.T, kind, cluster string) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		if len(alerts(t, kind, cluster)) == 0 {
			return "Alertmanager has no active " + kind + " about " + cluster
		}
		return ""
	})
}

func resolved(t *testing.T, kind, cluster string) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		if left := alerts(t, kind, cluster); len(left) > 0 {
			return fmt.Sprintf("Alertmanager still has %+v", left)
		}
		return ""
	})
}
