package state

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/labels"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Nodes puts together what nodes have, have given away and use, in name order.
// Pods that have ended hold nothing; pods on no node count nowhere.
func Nodes(nodes func(func(kube.Node)), pods func(func(kube.Pod)), usage func(node string) Usage) []*gantryv1.NodeCapacity {
	all := map[string]*gantryv1.NodeCapacity{}
	nodes(func(n kube.Node) {
		all[n.Name] = &gantryv1.NodeCapacity{
			Name: n.Name, Ready: n.Ready,
			AllocatableMilliCpu: n.MilliCPU, AllocatableMemoryBytes: n.MemoryBytes,
			MaxPods: int32(min(n.MaxPods, math.MaxInt32)),
		}
	})
	pods(func(p kube.Pod) {
		if n := all[p.Node]; n != nil && !p.Finished {
			n.RequestedMilliCpu += p.MilliCPU
			n.RequestedMemoryBytes += p.MemoryBytes
			n.Pods++
		}
	})
	list := make([]*gantryv1.NodeCapacity, 0, len(all))
	for name, n := range all {
		u := usage(name)
		n.UsedMilliCpu, n.UsedMemoryBytes = u.MilliCPU, u.MemoryBytes
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *gantryv1.NodeCapacity) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return list
}

// Pods gives the pods of one app, or of all for "", in name order.
func Pods(pods func(func(kube.Pod)), app string) []*gantryv1.Pod {
	var list []*gantryv1.Pod
	pods(func(p kube.Pod) {
		if p.App != (labels.ID{}) && (app == "" || app == p.App.Name()) {
			list = append(list, pod(p))
		}
	})
	slices.SortFunc(list, func(a, b *gantryv1.Pod) int {
		return cmp.Or(cmp.Compare(a.GetApp(), b.GetApp()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return list
}

func pod(p kube.Pod) *gantryv1.Pod {
	out := &gantryv1.Pod{
		Name: p.Name, Node: p.Node, Phase: p.Phase, Ready: p.Ready, Restarts: p.Restarts,
		Release: p.Release, App: p.App.Name(), Terminating: p.Terminating,
	}
	if p.IP.IsValid() {
		out.Ip = p.IP.String()
	}
	if p.Started != 0 {
		out.StartTime = timestamppb.New(time.Unix(p.Started, 0))
	}
	return out
}

// Workloads gives the state of every app, in name order.
func Workloads(deployments func(func(kube.Deployment)), pods func(func(kube.Pod))) []*ipaasv1.WorkloadState {
	troubles := map[labels.ID][]kube.Pod{}
	pods(func(p kube.Pod) {
		// Kubernetes has replaced a pod that ended for good, and keeps it to
		// be looked at.
		if p.Trouble != "" && !p.Terminating && !p.Finished {
			troubles[p.App] = append(troubles[p.App], p)
		}
	})
	var list []*ipaasv1.WorkloadState
	deployments(func(d kube.Deployment) { list = append(list, Workload(d, troubles[d.App])) })
	slices.SortFunc(list, func(a, b *ipaasv1.WorkloadState) int { return cmp.Compare(a.GetApp(), b.GetApp()) })
	return list
}

// Workload gives the state of one app; troubled are its pods that do not run.
func Workload(d kube.Deployment, troubled []kube.Pod) *ipaasv1.WorkloadState {
	w := &ipaasv1.WorkloadState{
		App: d.App.Name(), Release: d.Release, Replicas: d.Replicas,
		ReadyReplicas: d.Ready, UpdatedReplicas: d.Updated, AvailableReplicas: d.Available,
		Settled: d.Observed && d.Updated == d.Replicas && d.Available == d.Replicas && d.Total == d.Replicas,
		Message: message(d, troubled),
	}
	unschedulable(w, troubled)
	return w
}

// unschedulable counts the pods that no node takes, and lets the one that has
// waited longest speak, of several the first by name.
func unschedulable(w *ipaasv1.WorkloadState, troubled []kube.Pod) {
	var first kube.Pod
	for _, p := range troubled {
		if p.Unschedulable == 0 {
			continue
		}
		if w.UnschedulableReplicas == 0 || cmp.Or(cmp.Compare(p.Unschedulable, first.Unschedulable), cmp.Compare(p.Name, first.Name)) < 0 {
			first = p
		}
		w.UnschedulableReplicas++
	}
	if w.UnschedulableReplicas > 0 {
		w.UnschedulableSince = timestamppb.New(time.Unix(first.Unschedulable, 0))
		w.UnschedulableReason = first.UnschedulableReason
	}
}

// message names the leaf cause: what a pod of the applied release suffers
// from, of several the first by name, so that the sentence stays the same from
// one look to the next.
func message(d kube.Deployment, troubled []kube.Pod) string {
	if len(troubled) == 0 {
		return d.Trouble
	}
	first := slices.MinFunc(troubled, func(a, b kube.Pod) int {
		return cmp.Or(cmp.Compare(b.Release, a.Release), cmp.Compare(a.Name, b.Name))
	})
	if n := len(troubled) - 1; n > 0 {
		return fmt.Sprintf("pod %s and %d more: %s", first.Name, n, first.Trouble)
	}
	return fmt.Sprintf("pod %s: %s", first.Name, first.Trouble)
}
