package observe

import (
	"context"
	"fmt"
	"slices"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/proto"
)

// lookAtCluster asks a cluster's ipaas for everything.
func (o *Observer) lookAtCluster(ctx context.Context, c *gantryv1.Cluster) {
	o.mu.Lock()
	last := o.clusters[c.GetName()]
	o.mu.Unlock()
	next := last
	next.Cluster, next.Attempt = c, time.Now()
	client, err := o.Pool.Ipaas(c)
	if err != nil {
		next.StateErr, next.WorkloadsErr = err, err
	} else {
		lookWith(ctx, client, c, &next)
	}
	if next.StateErr == nil {
		next.Time = time.Now()
	}
	o.mu.Lock()
	o.clusters[c.GetName()] = next
	o.mu.Unlock()
	if differs(last, next) {
		o.notify()
	}
}

// lookWith asks for pods first and for nodes last: a pod that is bound between
// the two is counted twice then, and not overlooked, so its room is given to
// nobody else.
func lookWith(ctx context.Context, client ipaasv1.IpaasServiceClient, c *gantryv1.Cluster, next *ClusterView) {
	workloads, pods, listErr := list(ctx, client)
	state, err := client.GetClusterState(ctx, &ipaasv1.GetClusterStateRequest{})
	if next.StateErr = err; err != nil {
		next.WorkloadsErr = err
		return
	}
	next.State = state
	next.IdentityOK = state.GetIdentity() == c.GetIdentity()
	if !next.IdentityOK {
		// What another cluster runs says nothing about this one (rule K2).
		next.WorkloadsErr = fmt.Errorf("another cluster answers at %s: its kube-system has UID %s", c.GetIpaasAddress(), state.GetIdentity())
		return
	}
	if next.WorkloadsErr = listErr; listErr != nil {
		return
	}
	next.Workloads = make(map[string]*ipaasv1.WorkloadState, len(workloads.GetWorkloads()))
	for _, w := range workloads.GetWorkloads() {
		next.Workloads[w.GetApp()] = w
	}
	next.Pods = pods.GetPods()
	for _, p := range next.Pods {
		p.Cluster = c.GetName()
	}
}

// list leaves half of the time for the question how the cluster is: lists that
// hang say nothing about its ipaas.
func list(ctx context.Context, client ipaasv1.IpaasServiceClient) (*ipaasv1.ListWorkloadsResponse, *ipaasv1.ListPodsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	workloads, err := client.ListWorkloads(ctx, &ipaasv1.ListWorkloadsRequest{})
	if err != nil {
		return nil, nil, err
	}
	pods, err := client.ListPods(ctx, &ipaasv1.ListPodsRequest{})
	return workloads, pods, err
}

// differs tells whether a look found something that a loop may act upon.
func differs(a, b ClusterView) bool {
	if (a.StateErr == nil) != (b.StateErr == nil) || (a.WorkloadsErr == nil) != (b.WorkloadsErr == nil) ||
		a.IdentityOK != b.IdentityOK || a.State.GetApiServerReady() != b.State.GetApiServerReady() ||
		len(a.Workloads) != len(b.Workloads) || len(a.State.GetNodes()) != len(b.State.GetNodes()) {
		return true
	}
	for app, w := range b.Workloads {
		if !proto.Equal(w, a.Workloads[app]) {
			return true
		}
	}
	return !slices.EqualFunc(a.Pods, b.Pods, func(p, q *gantryv1.Pod) bool { return proto.Equal(p, q) })
}

func (o *Observer) lookAtAgent(ctx context.Context, key, gateway string, n *gantryv1.GatewayNode) {
	status, err := o.askAgent(ctx, gateway, n)
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.agents[key]
	v.Err = err
	if err == nil {
		v.Status, v.Time = status, time.Now()
	}
	o.agents[key] = v
}

func (o *Observer) askAgent(ctx context.Context, gateway string, n *gantryv1.GatewayNode) (*ingressv1.GetStatusResponse, error) {
	client, err := o.Pool.Agent(gateway, n.GetName(), n.GetAgentAddress())
	if err != nil {
		return nil, err
	}
	return client.GetStatus(ctx, &ingressv1.GetStatusRequest{})
}
