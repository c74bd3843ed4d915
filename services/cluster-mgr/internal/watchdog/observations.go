package watchdog

import (
	"fmt"
	"strings"
	"time"

	"gantry.dev/pkg/names"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/health"
	"gantry.dev/services/cluster-mgr/internal/observe"
)

// vantage is the name under which cluster-mgr's own look is heard.
const vantage = "cluster-mgr"

// observations are what every vantage point says about one cluster now.
func observations(view observe.View, cluster *gantryv1.Cluster) []health.Observation {
	out := direct(view.Clusters[cluster.GetName()], names.ID(cluster.GetName()))
	for key, agent := range view.Agents {
		out = append(out, fromAgent("ingress-agent "+strings.ReplaceAll(key, "/", " "), agent, names.ID(cluster.GetName()))...)
	}
	return out
}

// direct is what cluster-mgr sees itself, and what the cluster's ipaas says.
func direct(v observe.ClusterView, id string) []health.Observation {
	if v.Attempt.IsZero() {
		return nil
	}
	at := v.Attempt.UnixMilli()
	reach := health.Observation{Vantage: vantage, Subject: health.SubjectIPAAS, OK: v.StateErr == nil, AtUnixMilli: at, Detail: "ipaas answers"}
	if v.StateErr != nil {
		reach.Detail = v.StateErr.Error()
		return []health.Observation{reach}
	}
	ipaas := "ipaas " + id
	identity := health.Observation{Vantage: vantage, Subject: health.SubjectIdentity, OK: v.IdentityOK, AtUnixMilli: at, Detail: "it is the registered cluster"}
	if !v.IdentityOK {
		identity.Detail = fmt.Sprintf("another cluster answers: kube-system has UID %s", v.State.GetIdentity())
	}
	server := health.Observation{Vantage: ipaas, Subject: health.SubjectAPIServer, OK: v.State.GetApiServerReady(), AtUnixMilli: at, Detail: "the API server is ready"}
	if !server.OK {
		server.Detail = v.State.GetApiServerDetail()
	}
	out := []health.Observation{reach, identity, server}
	if nodes := v.State.GetNodes(); len(nodes) > 0 && server.OK {
		out = append(out, readyNodes(ipaas, nodes, at))
	}
	return append(out, canary(ipaas, v.State, at)...)
}

// dnsAge is how old the canary's last look may be: a canary that does not look
// any more says nothing.
const dnsAge = time.Minute

// canary is what the cluster's DNS canary found last. Its age is measured
// between two times of the cluster's own clock.
func canary(vantage string, state *ipaasv1.GetClusterStateResponse, at int64) []health.Observation {
	dns := state.GetDns()
	if dns == nil {
		return nil
	}
	if seen := state.GetObserveTime(); seen != nil && dns.GetTime() != nil && seen.AsTime().Sub(dns.GetTime().AsTime()) > dnsAge {
		return nil
	}
	return []health.Observation{{Vantage: vantage, Subject: health.SubjectDNS, OK: dns.GetOk(), Detail: dns.GetDetail(), AtUnixMilli: at}}
}

func readyNodes(vantage string, nodes []*gantryv1.NodeCapacity, at int64) health.Observation {
	ready := 0
	for _, n := range nodes {
		if n.GetReady() {
			ready++
		}
	}
	return health.Observation{
		Vantage: vantage, Subject: health.SubjectNodes, AtUnixMilli: at, OK: ready == len(nodes),
		Ratio:  float64(ready) / float64(len(nodes)),
		Detail: fmt.Sprintf("%d of %d nodes are ready", ready, len(nodes)),
	}
}

// fromAgent is what a load balancer node sees of a cluster. An agent that does
// not answer says nothing.
func fromAgent(vantage string, agent observe.AgentView, id string) []health.Observation {
	if agent.Err != nil || agent.Status == nil {
		return nil
	}
	var out []health.Observation
	for _, c := range agent.Status.GetClusters() {
		if c.GetCluster() != id {
			continue
		}
		out = append(out, health.Observation{
			Vantage: vantage, Subject: health.SubjectIPAAS, OK: c.GetIpaasConnected(), AtUnixMilli: agent.Time.UnixMilli(),
			Detail: connected(c.GetIpaasConnected()),
		})
		if c.GetPods() > 0 {
			out = append(out, answering(vantage, c, agent.Time))
		}
	}
	return out
}

func connected(ok bool) string {
	if ok {
		return "its endpoint stream is alive"
	}
	return "its endpoint stream is broken"
}

func answering(vantage string, c *ingressv1.ClusterView, at time.Time) health.Observation {
	return health.Observation{
		Vantage: vantage, Subject: health.SubjectPods, AtUnixMilli: at.UnixMilli(),
		OK:     c.GetPodsAnswering() > 0,
		Ratio:  float64(c.GetPodsAnswering()) / float64(c.GetPods()),
		Detail: fmt.Sprintf("%d of %d pods answer", c.GetPodsAnswering(), c.GetPods()),
	}
}
