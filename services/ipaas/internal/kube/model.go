package kube

import (
	"fmt"
	"net/netip"

	"gantry.dev/services/ipaas/internal/labels"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// A Pod is what ipaas keeps of a pod.
type Pod struct {
	Namespace, Name, UID string
	// App of Gantry; zero for the pods of others.
	App     labels.ID
	Release int32
	Node    string
	// "Running", "ImagePullBackOff", …: the reason of the first container
	// that waits, else the phase.
	Phase string
	// True when traffic may reach it: Kubernetes' own condition.
	Ready bool
	// True once it has been asked to end.
	Terminating bool
	// True when its containers have ended for good; it holds no capacity.
	Finished bool
	// The first IPv4 address; invalid while there is none.
	IP       netip.Addr
	Restarts int32
	// Unix seconds; 0: not started.
	Started int64
	// Requests: thousandths of a CPU, bytes.
	MilliCPU, MemoryBytes int64
	// What keeps it from running, as a sentence without its name; "" if
	// nothing does.
	Trouble string
	// Unix seconds since when no node takes it; 0: one has, or the scheduler
	// has not tried.
	Unschedulable int64
	// Why, in the scheduler's words.
	UnschedulableReason string
}

// Serves tells whether the pod is an endpoint. A pod that has been asked to
// end is none, although it still answers: this is seen here before any
// controller of Kubernetes acts upon it (rule K6).
func (p Pod) Serves() bool {
	return p.App != labels.ID{} && p.Ready && !p.Terminating && !p.Finished && p.IP.IsValid()
}

// A Node is what ipaas keeps of a node.
type Node struct {
	Name  string
	Ready bool
	// Thousandths of a CPU, bytes.
	MilliCPU, MemoryBytes int64
	// How many pods it takes.
	MaxPods int64
	// host:port of its kubelet; "" when it tells none.
	Kubelet string
}

// A Deployment is what ipaas keeps of an app's Deployment.
type Deployment struct {
	App     labels.ID
	Release int32
	// Wanted, and as its status counts them.
	Replicas, Total, Updated, Ready, Available int32
	// True when the status speaks about the newest template.
	Observed bool
	// Why Kubernetes cannot make pods or the rollout does not go on; "" if
	// neither is so.
	Trouble string
	// The resourceVersion, and the generation: one more with each change of
	// what is wanted.
	Version    string
	Generation int64
	// Somebody other than Gantry wants to decide the replicas.
	Claimed bool
}

func toPod(obj any) (Pod, error) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return Pod{}, fmt.Errorf("%T is no pod", obj)
	}
	cpu, memory := requests(&p.Spec)
	pod := Pod{
		Namespace: p.Namespace, Name: p.Name, UID: string(p.UID),
		Node:        p.Spec.NodeName,
		Terminating: p.DeletionTimestamp != nil,
		Finished:    p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed,
		MilliCPU:    cpu, MemoryBytes: memory,
	}
	id, release, ours := labels.Of(p.Namespace, p.Labels)
	if !ours {
		return pod, nil
	}
	pod.App, pod.Release = id, release
	pod.Phase, pod.Trouble = diagnose(p)
	pod.Ready = condition(p, corev1.PodReady).Status == corev1.ConditionTrue
	pod.IP = address(p)
	// Other reasons, a gate or an error of the scheduler, say nothing about
	// room.
	if c := condition(p, corev1.PodScheduled); c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
		pod.Unschedulable, pod.UnschedulableReason = since(c, p), c.Message
	}
	for _, c := range p.Status.ContainerStatuses {
		pod.Restarts += c.RestartCount
	}
	if p.Status.StartTime != nil {
		pod.Started = p.Status.StartTime.Unix()
	}
	return pod, nil
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// since is when a condition turned; a pod without that time has had it from
// the beginning.
func since(c corev1.PodCondition, p *corev1.Pod) int64 {
	if c.LastTransitionTime.IsZero() {
		return p.CreationTimestamp.Unix()
	}
	return c.LastTransitionTime.Unix()
}

func address(p *corev1.Pod) netip.Addr {
	for _, s := range append([]corev1.PodIP{{IP: p.Status.PodIP}}, p.Status.PodIPs...) {
		if a, err := netip.ParseAddr(s.IP); err == nil && a.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

func toNode(obj any) (Node, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return Node{}, fmt.Errorf("%T is no node", obj)
	}
	node := Node{
		Name:        n.Name,
		MilliCPU:    n.Status.Allocatable.Cpu().MilliValue(),
		MemoryBytes: n.Status.Allocatable.Memory().Value(),
		MaxPods:     n.Status.Allocatable.Pods().Value(),
		Kubelet:     kubelet(n),
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			node.Ready = c.Status == corev1.ConditionTrue
		}
	}
	return node, nil
}

func kubelet(n *corev1.Node) string {
	port := n.Status.DaemonEndpoints.KubeletEndpoint.Port
	for _, a := range n.Status.Addresses {
		ip, err := netip.ParseAddr(a.Address)
		if err == nil && a.Type == corev1.NodeInternalIP && port > 0 {
			return netip.AddrPortFrom(ip, uint16(port)).String()
		}
	}
	return ""
}

func toDeployment(obj any) (Deployment, error) {
	d, ok := obj.(*appsv1.Deployment)
	if !ok {
		return Deployment{}, fmt.Errorf("%T is no deployment", obj)
	}
	id, release, ours := labels.Of(d.Namespace, d.Labels)
	if !ours {
		return Deployment{}, nil
	}
	return Deployment{
		App: id, Release: release,
		Replicas: wanted(d), Total: d.Status.Replicas, Updated: d.Status.UpdatedReplicas,
		Ready: d.Status.ReadyReplicas, Available: d.Status.AvailableReplicas,
		Observed: d.Status.ObservedGeneration >= d.Generation,
		Trouble:  deploymentTrouble(d),
		Version:  d.ResourceVersion, Generation: d.Generation, Claimed: claimed(d),
	}, nil
}

func deploymentTrouble(d *appsv1.Deployment) string {
	for _, c := range d.Status.Conditions {
		stuck := c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse
		if stuck || c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return c.Reason + ": " + c.Message
		}
	}
	return ""
}
