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

// maxMinReady bounds how long a rollout waits for each new pod, in seconds.
const maxMinReady = 10

// Container is the name of the app's container.
const Container = "app"

// Objects are what an app is in Kubernetes.
type Objects struct {
	Namespace  *corev1ac.NamespaceApplyConfiguration
	Deployment *appsac.DeploymentApplyConfiguration
	// Nil for an app without ports.
	Service *corev1ac.ServiceApplyConfiguration
	// Nil for an app without configuration files.
	Config *corev1ac.ConfigMapApplyConfiguration
	// At most one copy may run, ever (rule C5).
	Single bool
}

// Render gives the objects of a workload in the cluster with this id. Faults:
// APP_NAME, PROJECT_RESERVED, QUANTITY, SINGLE_REPLICAS, CONFIG_PATH,
// CONFIG_TOO_LARGE, SECRET_VERSION, VOLUME_NAME.
func Render(cluster string, w *ipaasv1.Workload) (Objects, error) {
	id, err := labels.Parse(w.GetApp())
	if err != nil {
		return Objects{}, err
	}
	single := w.GetSpec().GetClass() == gantryv1.AppClass_APP_CLASS_SINGLE
	if single && w.GetReplicas() > 1 {
		return Objects{}, fault.Invalid("SINGLE_REPLICAS", "%s is of class SINGLE, so it has one replica at most, not %d; ask for one, or change its class", id.Name(), w.GetReplicas())
	}
	config, err := Config(w.GetApp(), w.GetRelease(), w.GetSpec().GetFiles())
	if err != nil {
		return Objects{}, err
	}
	if err := firstOf(checkVersions(id, w), checkMounts(id, w.GetSpec())); err != nil {
		return Objects{}, err
	}
	container, err := container(cluster, id, w)
	if err != nil {
		return Objects{}, err
	}
	return Objects{
		Namespace:  Namespace(id),
		Deployment: deployment(id, w, container),
		Service:    service(id, w.GetSpec().GetPorts()),
		Config:     config,
		Single:     single,
	}, nil
}

// Namespace gives the namespace of an app's project.
func Namespace(id labels.ID) *corev1ac.NamespaceApplyConfiguration {
	return corev1ac.Namespace(id.Namespace()).
		WithLabels(map[string]string{labels.Project: id.Project, labels.ManagedBy: labels.Manager})
}

func deployment(id labels.ID, w *ipaasv1.Workload, c *corev1ac.ContainerApplyConfiguration) *appsac.DeploymentApplyConfiguration {
	all, spec := id.All(w.GetRelease()), w.GetSpec()
	pod := corev1ac.PodSpec().
		WithContainers(c.
			WithVolumeMounts(mounts(spec.GetFiles())...).
			WithVolumeMounts(secretMounts(spec.GetFiles())...).
			WithVolumeMounts(volumeMounts(spec.GetVolumes())...)).
		WithVolumes(volumes(id, spec.GetFiles())...).
		WithVolumes(secretVolumes(id, w)...).
		WithVolumes(claimVolumes(spec.GetVolumes())...).
		WithTopologySpreadConstraints(overNodes(id)).
		WithTerminationGracePeriodSeconds(drain(spec) + grace(spec)).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false)
	return appsac.Deployment(id.App, id.Namespace()).
		WithLabels(all).
		WithSpec(appsac.DeploymentSpec().
			WithReplicas(w.GetReplicas()).
			WithRevisionHistoryLimit(revisions).
			WithMinReadySeconds(minReady(spec)).
			WithStrategy(strategy(spec.GetClass())).
			WithSelector(metaac.LabelSelector().WithMatchLabels(id.Selector())).
			WithTemplate(corev1ac.PodTemplateSpec().WithLabels(all).WithSpec(pod)))
}

// strategy replaces pods: a new one must be ready before an old one goes. Of a
// class SINGLE app the old one must be gone before the new one starts.
func strategy(class gantryv1.AppClass) *appsac.DeploymentStrategyApplyConfiguration {
	if class == gantryv1.AppClass_APP_CLASS_SINGLE {
		return appsac.DeploymentStrategy().WithType(appsv1.RecreateDeploymentStrategyType)
	}
	return appsac.DeploymentStrategy().
		WithType(appsv1.RollingUpdateDeploymentStrategyType).
		WithRollingUpdate(appsac.RollingUpdateDeployment().
			WithMaxUnavailable(intstr.FromInt32(0)).
			WithMaxSurge(intstr.FromString("25%")))
}

// minReady is how many seconds a new pod must be ready before it replaces an
// old one: one period of its check, so that it has passed twice. Otherwise a
// release that dies right after its start would replace all pods that serve.
func minReady(s *gantryv1.AppSpec) int32 {
	return int32(min(orDefault(s.GetReadiness().GetPeriodSeconds(), defaultPeriod), maxMinReady))
}

// overNodes spreads an app's pods over nodes as far as there is room, so that
// a lost node takes few of them along. Pods of different templates are counted
// apart: during a rollout the old ones, which go anyway, should not decide.
// Zones are left out on purpose: with two constraints Kubernetes ignores nodes
// without a zone label, and so all nodes of many clusters.
func overNodes(id labels.ID) *corev1ac.TopologySpreadConstraintApplyConfiguration {
	return corev1ac.TopologySpreadConstraint().
		WithMaxSkew(1).
		WithTopologyKey(corev1.LabelHostname).
		WithWhenUnsatisfiable(corev1.ScheduleAnyway).
		WithLabelSelector(metaac.LabelSelector().WithMatchLabels(id.Selector())).
		WithMatchLabelKeys(appsv1.DefaultDeploymentUniqueLabelKey)
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
		own := variable(id, w, e)
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

// variable is one of the app's own: a text, or a key of a secret.
func variable(id labels.ID, w *ipaasv1.Workload, e *gantryv1.EnvVar) *corev1ac.EnvVarApplyConfiguration {
	key := e.GetSecret()
	if key == nil {
		return value(e.GetName(), e.GetValue())
	}
	return corev1ac.EnvVar().WithName(e.GetName()).WithValueFrom(corev1ac.EnvVarSource().
		WithSecretKeyRef(corev1ac.SecretKeySelector().WithName(SecretName(id, key.GetSecret(), w.GetSecretVersions()[key.GetSecret()])).WithKey(key.GetKey())))
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

func firstOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// quantityFault names the field that is no quantity.
func quantityFault(field, got string, err error) error {
	return fault.Invalid("QUANTITY", "spec.resources.%s: %q is no quantity: %w", field, got, err).
		With(fault.Violation{Field: "workload.spec.resources." + field, Description: "must be a Kubernetes quantity"})
}
