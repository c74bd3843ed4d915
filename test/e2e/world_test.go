package e2e

import (
	"fmt"
	"path"
	"testing"
	"time"
)

// cluster is the part of a cluster that the scenarios look at.
type cluster struct {
	TrafficPercent int `json:"trafficPercent"`
	Health         struct {
		State  string `json:"state"`
		Reason string `json:"reason"`
	} `json:"health"`
}

func clusterOf(t *testing.T, name string) cluster {
	t.Helper()
	return read[cluster](t, "get", "cluster", name)
}

// becomes waits until the verdict about a cluster is as wanted.
func becomes(t *testing.T, name, state string, patience time.Duration) {
	t.Helper()
	begin := time.Now()
	eventually(t, patience, func() string {
		if c := clusterOf(t, name); c.Health.State != state {
			return fmt.Sprintf("%s is %s: %s", name, c.Health.State, c.Health.Reason)
		}
		return ""
	})
	t.Logf("%s is %s after %.1f s", name, state, time.Since(begin).Seconds())
}

// alarm is one alarm of the platform.
type alarm struct {
	Kind      string    `json:"kind"`
	State     string    `json:"state"`
	Subject   string    `json:"subject"`
	Summary   string    `json:"summary"`
	Operation string    `json:"operation"`
	StartTime time.Time `json:"startTime"`
}

// operation is one operation of the platform.
type operation struct {
	Name     string `json:"name"`
	Metadata struct {
		State   string `json:"state"`
		Kind    string `json:"kind"`
		Summary string `json:"summary"`
	} `json:"metadata"`
}

type list[T any] struct {
	Items []T `json:"items"`
}

// alarmAbout waits for an alarm with a plan that began after a time.
func alarmAbout(t *testing.T, subject string, since time.Time, patience time.Duration) alarm {
	t.Helper()
	var found alarm
	eventually(t, patience, func() string {
		all := read[list[alarm]](t, "get", "alarms").Items
		for _, a := range all {
			if a.Subject == subject && a.State == "STATE_FIRING" && a.Operation != "" && a.StartTime.After(since) {
				found = a
				return ""
			}
		}
		return fmt.Sprintf("no alarm with a plan about %s among %+v", subject, all)
	})
	return found
}

func operations(t *testing.T) []operation {
	t.Helper()
	return read[list[operation]](t, "get", "operations").Items
}

// placed gives the replicas and the ready ones of the sample app by cluster.
func placed(a app) (wanted, ready map[string]int) {
	wanted, ready = map[string]int{}, map[string]int{}
	for _, part := range a.Status.Assignments {
		wanted[path.Base(part.Cluster)] = part.Replicas
		ready[path.Base(part.Cluster)] = part.ReadyReplicas
	}
	return wanted, ready
}

// decision is one thing that the platform decided by itself.
type decision struct {
	Name    string    `json:"name"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Formula string    `json:"formula"`
	Time    time.Time `json:"time"`
}

// decisionsSince gives what was decided about the sample app since a time.
func decisionsSince(t *testing.T, kind string, since time.Time) []decision {
	t.Helper()
	var recent []decision
	for _, d := range read[list[decision]](t, "explain", "app/hello", "-p", "demo", "--kind", kind, "--limit", "100").Items {
		if d.Time.After(since) {
			recent = append(recent, d)
		}
	}
	return recent
}
