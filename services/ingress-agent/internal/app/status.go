package app

import (
	"context"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/render"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// askDeadline bounds how long a status waits for Nginx.
const askDeadline = time.Second

// Status says what the node serves and sees.
func (a *agent) Status(ctx context.Context) *ingressv1.GetStatusResponse {
	ctx, cancel := context.WithTimeout(ctx, askDeadline)
	defer cancel()
	served, _ := a.manager.Served()
	held := a.keepalived.Holding(served.VRRP.VIPs())
	status, err := a.nginx.Client().Status(ctx)
	r := &ingressv1.GetStatusResponse{
		Node:         a.config.Node,
		Generation:   a.state.confirmed(status.Config),
		NginxOk:      err == nil,
		KeepalivedOk: a.config.Keepalived != "" && a.keepalived.Child() != 0,
		Vips:         held,
		HoldsVip:     len(held) > 0,
		VipConflicts: a.state.conflicted(),
		Message:      a.state.message(),
		Time:         timestamppb.Now(),
		Epoch:        a.fence.Epoch(),
	}
	a.describe(ctx, r)
	return r
}

// describe adds the clusters and the quarantined routes.
func (a *agent) describe(ctx context.Context, r *ingressv1.GetStatusResponse) {
	counters, err := a.nginx.Client().Counters(ctx)
	if err != nil {
		counters = nil // NginxOk says it
	}
	config, quarantined := a.state.view()
	pods, answering := map[string]int32{}, map[string]int32{}
	for _, m := range a.members() {
		pods[m.cluster]++
		if a.prober.Answering(m.target) {
			answering[m.cluster]++
		}
	}
	for _, c := range config.GetClusters() {
		requests, failed := balancer.Total(counters, c.GetName())
		r.Clusters = append(r.Clusters, &ingressv1.ClusterView{
			Cluster: c.GetName(), IpaasConnected: a.store.Connected(c.GetName()),
			Pods: pods[c.GetName()], PodsAnswering: answering[c.GetName()],
			Requests: requests, Failed: failed, TrafficPercent: c.GetTrafficPercent(),
		})
	}
	own := balancer.By(counters, func(upstream string) (string, bool) {
		app, _, err := render.AppOf(upstream)
		return app, err == nil
	})
	for _, app := range a.state.apps() {
		t := balancer.TrafficOf(own[app])
		r.Apps = append(r.Apps, &ingressv1.AppTraffic{
			App: app, Requests: t.Requests, Held: int32(t.Held), Open: int32(t.Open), Clusters: perCluster(config, own[app]),
		})
	}
	for _, q := range append(a.state.quarantinedStreams(), quarantined...) {
		r.Quarantined = append(r.Quarantined, &ingressv1.QuarantinedRoute{Route: q.Route, Reason: q.Reason})
	}
}
