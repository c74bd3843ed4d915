package render

import (
	"cmp"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// Defaults of Resources.
const (
	defaultCPU    = "1"
	defaultMemory = "1Gi"
)

// Defaults of HealthCheck; times in seconds.
const (
	defaultPeriod   = 5
	defaultTimeout  = 2
	defaultFailures = 3
)

// resources requests CPU and memory and limits memory to the request: memory
// cannot be taken back. CPU is limited only when asked for, since a limit
// throttles an app while the node is idle.
func resources(r *gantryv1.Resources) (*corev1ac.ResourceRequirementsApplyConfiguration, error) {
	cpu, err := quantity("cpu", cmp.Or(r.GetCpu(), defaultCPU))
	if err != nil {
		return nil, err
	}
	memory, err := quantity("memory", cmp.Or(r.GetMemory(), defaultMemory))
	if err != nil {
		return nil, err
	}
	limits := corev1.ResourceList{corev1.ResourceMemory: memory}
	if r.GetCpuLimit() != "" {
		limit, err := quantity("cpu_limit", r.GetCpuLimit())
		if err != nil {
			return nil, err
		}
		limits[corev1.ResourceCPU] = limit
	}
	return corev1ac.ResourceRequirements().
		WithRequests(corev1.ResourceList{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory}).
		WithLimits(limits), nil
}

func quantity(field, s string) (resource.Quantity, error) {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return q, quantityFault(field, s, err)
	}
	return q, nil
}

func probe(h *gantryv1.HealthCheck) *corev1ac.ProbeApplyConfiguration {
	p := corev1ac.Probe().
		WithPeriodSeconds(int32(orDefault(h.GetPeriodSeconds(), defaultPeriod))).
		WithTimeoutSeconds(int32(orDefault(h.GetTimeoutSeconds(), defaultTimeout))).
		WithFailureThreshold(int32(orDefault(h.GetFailureThreshold(), defaultFailures)))
	if d := h.GetInitialDelaySeconds(); d > 0 {
		p.WithInitialDelaySeconds(d)
	}
	port := intstr.FromInt32(h.GetPort())
	if h.GetHttpPath() == "" {
		return p.WithTCPSocket(corev1ac.TCPSocketAction().WithPort(port))
	}
	return p.WithHTTPGet(corev1ac.HTTPGetAction().WithPath(h.GetHttpPath()).WithPort(port).WithScheme(corev1.URISchemeHTTP))
}
