package watchdog

import (
	"errors"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/cluster-mgr/internal/health"
	"gantry.dev/services/cluster-mgr/internal/observe"
)

// rule C1: who does not answer says nothing, whatever it said before, and of
// pods that are not there nobody says that they are silent.
func TestWhatANodeSays(t *testing.T) {
	t.Parallel()
	said := func(pods int32, err error) observe.AgentView {
		status := &ingressv1.GetStatusResponse{Clusters: []*ingressv1.ClusterView{
			{Cluster: "site-a", IpaasConnected: true, Pods: 4, PodsAnswering: 4}, {Cluster: "site-b", Pods: pods},
		}}
		return observe.AgentView{Status: status, Err: err, Time: time.Unix(1_790_000_000, 0)}
	}
	for _, c := range []struct {
		name string
		view observe.AgentView
		want []string
	}{
		{"it answers", said(4, nil), []string{health.SubjectIPAAS, health.SubjectPods}},
		{"there are no pods", said(0, nil), []string{health.SubjectIPAAS}},
		{"it is silent now", said(4, errors.New("no answer")), nil},
		{"it never answered", observe.AgentView{}, nil},
	} {
		got := fromAgent("ingress-agent.main.lb-1", c.view, "site-b")
		if len(got) != len(c.want) {
			t.Errorf("%s: %+v", c.name, got)
			continue
		}
		for i, o := range got {
			if o.Subject != c.want[i] || o.OK || o.Ratio != 0 {
				t.Errorf("%s: %+v", c.name, o)
			}
		}
	}
}
