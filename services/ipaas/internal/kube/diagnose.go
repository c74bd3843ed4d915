package kube

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// requests of a pod, as the scheduler counts them: containers and sidecars
// together, or the largest of the init containers with the sidecars started
// before it, plus overhead; a request of the pod itself goes first.
func requests(s *corev1.PodSpec) (milliCPU, memory int64) {
	cpu, mem := total(s, corev1.ResourceCPU), total(s, corev1.ResourceMemory)
	return cpu, mem
}

func total(s *corev1.PodSpec, name corev1.ResourceName) int64 {
	if s.Resources != nil {
		if _, ok := s.Resources.Requests[name]; ok {
			return amount(s.Resources.Requests, name) + amount(s.Overhead, name)
		}
	}
	var running, start, sidecars int64
	for _, c := range s.Containers {
		running += amount(c.Resources.Requests, name)
	}
	for _, c := range s.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			sidecars += amount(c.Resources.Requests, name)
			start = max(start, sidecars)
			continue
		}
		start = max(start, sidecars+amount(c.Resources.Requests, name))
	}
	return max(running+sidecars, start) + amount(s.Overhead, name)
}

// amount is in thousandths for CPU, else in whole units.
func amount(l corev1.ResourceList, name corev1.ResourceName) int64 {
	q := l[name]
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

// diagnose gives the phase of a pod and the leaf cause of its trouble, if it
// has any.
func diagnose(p *corev1.Pod) (phase, trouble string) {
	phase = string(p.Status.Phase)
	if p.Status.Reason != "" {
		phase, trouble = p.Status.Reason, sentence(p.Status.Reason, p.Status.Message)
	}
	if c := condition(p, corev1.PodScheduled); c.Status == corev1.ConditionFalse {
		return phase, sentence(c.Reason, c.Message)
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			if reason, t := waiting(&list[i]); reason != "" {
				return reason, t
			}
		}
	}
	return phase, trouble
}

// waiting gives the reason for which a container does not run; the reasons of
// a normal start are no trouble.
func waiting(c *corev1.ContainerStatus) (reason, trouble string) {
	if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
		return t.Reason, ended(t)
	}
	w := c.State.Waiting
	if w == nil {
		return "", ""
	}
	switch w.Reason {
	case "", "ContainerCreating", "PodInitializing":
		return "", ""
	case "CrashLoopBackOff":
		if last := c.LastTerminationState.Terminated; last != nil {
			return w.Reason, sentence(w.Reason, ended(last))
		}
	}
	return w.Reason, sentence(w.Reason, w.Message)
}

func ended(t *corev1.ContainerStateTerminated) string {
	what := fmt.Sprintf("the app ended with exit code %d", t.ExitCode)
	if t.Signal != 0 {
		what = fmt.Sprintf("the app was ended by signal %d", t.Signal)
	}
	if t.Reason != "" && t.Reason != "Error" {
		what += " (" + t.Reason + ")"
	}
	return sentence(what, strings.TrimSpace(t.Message))
}

func sentence(reason, message string) string {
	switch {
	case message == "":
		return reason
	case reason == "":
		return message
	}
	return reason + ": " + message
}
