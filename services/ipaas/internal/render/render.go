// Package render turns a workload into Kubernetes objects. It is pure: the
// same workload gives the same objects.
package render

import (
	"strconv"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/labels"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
)

// Defaults of AppSpec's times, in seconds.
const (
	defaultDrain = 5
	defaultGrace = 30
)

// revisions that a Deployment keeps: Gantry's own releases are the history.
const revisions = 3

// Container is the name of the app's container.
const Container = "app"

// Objects are what an app is in Kubernetes.
type Objects struct {
	Namespace  *corev1ac.NamespaceApplyConfiguration
	Deployment *appsac.DeploymentApplyConfiguration
	// Nil for an app without ports.
	Service *corev1ac.ServiceApplyConfiguration
}

// Render gives the objects of a workload in the cluster with this id. Faults:
// APP_NAME, PROJECT_RESERVED, QUANTITY.
func Render(cluster string, w *ipaasv1.Workload) (Objects, error) {
	id, err := labels.Parse(w.GetApp())
	if err != nil {
		return Objects{}, err
	}
	container, err := container(cluster, id, w)
	if err != nil {
		return Objects{}, err
	}
	return Objects{
		Namespace: corev1ac.Namespace(id.Namespace()).
			WithLabels(map[string]string{labels.Project: id.Project, labels.ManagedBy: labels.Manager}),
		Deployment: deployment(id, w, container),
		Service:    service(id, w.GetSpec().GetPorts()),
	}, nil
}

func deployment(id labels.ID, w *ipaasv1.Workload, c *corev1ac.ContainerApplyConfiguration) *appsac.DeploymentApplyConfiguration {
	all := id.All(w.GetRelease())
	pod := corev1ac.PodSpec().
		WithContainers(c).
		WithTerminationGracePeriodSeconds(drain(w.GetSpec()) + grace(w.GetSpec())).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false)
	// A new pod must be ready before an old one goes.
	strategy := appsac.DeploymentStrategy().
		WithType(appsv1.RollingUpdateDeploymentStrategyType).
		WithRollingUpdate(appsac.RollingUpdateDeployment().
			WithMaxUnavailable(intstr.FromInt32(0)).
			WithMaxSurge(intstr.FromString("25%")))
	return appsac.Deployment(id.App, id.Namespace()).
		WithLabels(all).
		WithSpec(appsac.DeploymentSpec().
			WithReplicas(w.GetReplicas()).
			WithRevisionHistoryLimit(revisions).
			WithStrategy(strategy).
			WithSelector(metaac.LabelSelector().WithMatchLabels(id.Selector())).
			WithTemplate(corev1ac.PodTemplateSpec().WithLabels(all).WithSpec(pod)))
}

func container(cluster string, id labels.ID, w *ipaasv1.Workload) (*corev1ac.ContainerApplyConfiguration, error) {
	spec := w.GetSpec()
	resources, err := resources(spec.GetResources())
	if err != nil {
		return nil, err
	}
	c := corev1ac.Container().
		WithName(Container).
		WithImage(w.GetImage()).
		WithArgs(spec.GetArgs()...).
		WithResources(resources).
		WithEnv(environment(cluster, id, w)...).
		// The endpoint leaves the balancers when the pod is asked to end;
		// the app gets SIGTERM only after this sleep (rule K6).
		WithLifecycle(corev1ac.Lifecycle().WithPreStop(corev1ac.LifecycleHandler().
			WithSleep(corev1ac.SleepAction().WithSeconds(drain(spec)))))
	for _, p := range spec.GetPorts() {
		c.WithPorts(corev1ac.ContainerPort().WithName(p.GetName()).WithContainerPort(p.GetPort()).WithProtocol(corev1.ProtocolTCP))
	}
	if h := spec.GetReadiness(); h != nil {
		c.WithReadinessProbe(probe(h))
	}
	if h := spec.GetLiveness(); h != nil {
		c.WithLivenessProbe(probe(h))
	}
	return c, nil
}

// environment is Gantry's variables, then the app's own, which may refer to
// them. Kubernetes wants each name once: Gantry's stay, of an app's own the
// last one counts.
func environment(cluster string, id labels.ID, w *ipaasv1.Workload) []*corev1ac.EnvVarApplyConfiguration {
	all := []*corev1ac.EnvVarApplyConfiguration{
		value("GANTRY_APP", id.Name()),
		value("GANTRY_CLUSTER", cluster),
		value("GANTRY_RELEASE", strconv.Itoa(int(w.GetRelease()))),
		field("GANTRY_POD", "metadata.name"),
		field("POD_NAME", "metadata.name"),
		field("POD_IP", "status.podIP"),
	}
	reserved, at := len(all), map[string]int{}
	for i, e := range all {
		at[*e.Name] = i
	}
	for _, e := range w.GetSpec().GetEnv() {
		own := value(e.GetName(), e.GetValue())
		switch i, ok := at[e.GetName()]; {
		case !ok:
			at[e.GetName()] = len(all)
			all = append(all, own)
		case i >= reserved:
			all[i] = own
		}
	}
	return all
}

func value(name, v string) *corev1ac.EnvVarApplyConfiguration {
	return corev1ac.EnvVar().WithName(name).WithValue(v)
}

func field(name, path string) *corev1ac.EnvVarApplyConfiguration {
	// apiVersion is given because Kubernetes defaults it: what is applied
	// should be what is stored.
	return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().
		WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath(path)))
}

func service(id labels.ID, ports []*gantryv1.Port) *corev1ac.ServiceApplyConfiguration {
	if len(ports) == 0 {
		return nil
	}
	spec := corev1ac.ServiceSpec().WithType(corev1.ServiceTypeClusterIP).WithSelector(id.Selector())
	for _, p := range ports {
		spec.WithPorts(corev1ac.ServicePort().
			WithName(p.GetName()).
			WithProtocol(corev1.ProtocolTCP).
			WithPort(p.GetPort()).
			WithTargetPort(intstr.FromInt32(p.GetPort())))
	}
	return corev1ac.Service(id.App, id.Namespace()).WithLabels(id.All(0)).WithSpec(spec)
}

func drain(s *gantryv1.AppSpec) int64 { return orDefault(s.GetDrainSeconds(), defaultDrain) }
func grace(s *gantryv1.AppSpec) int64 { return orDefault(s.GetGraceSeconds(), defaultGrace) }

func orDefault(v, d int32) int64 {
	if v == 0 {
		return int64(d)
	}
	return int64(v)
}

// quantityFault names the field that is no quantity.
func quantityFault(field, got string, err error) error {
	return fault.Invalid("QUANTITY", "spec.resources.%s: %q is no quantity: %w", field, got, err).
		With(fault.Violation{Field: "workload.spec.resources." + field, Description: "must be a Kubernetes quantity"})
}
