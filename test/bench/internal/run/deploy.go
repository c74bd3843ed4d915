package run

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/platform"
	"gantry.dev/test/bench/internal/usage"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
)

// deployed is the project of the apps that are deployed at once.
const deployed = "bench-deploy"

// deployTime bounds one wave.
const deployTime = 2 * time.Minute

// measureDeploy deploys waves of apps straight to both API servers and through
// the API, by turns.
func (b *bench) measureDeploy(ctx context.Context) error {
	if err := b.platform.API.CreateProject(ctx, deployed); err != nil {
		return err
	}
	for _, k := range b.clusters {
		ns := corev1ac.Namespace("gantry-" + deployed)
		if _, err := k.Client.CoreV1().Namespaces().Apply(ctx, ns, metav1.ApplyOptions{FieldManager: "bench"}); err != nil {
			return err
		}
	}
	b.result.Deploy = Deploy{}
	for i := range b.Size.Waves {
		if err := b.floorDeploy(ctx, i); err != nil {
			return err
		}
		if err := b.gantryDeploy(ctx, i); err != nil {
			return err
		}
		d := b.result.Deploy
		b.say("p99: Gantry %.2f s, floor %.2f s", d.Gantry[i].P99, d.Floors[i].P99)
	}
	return nil
}

// wave calls deploy for each name at once, waits until each object is in both
// clusters, and gives how long that and the call alone took.
func (b *bench) wave(ctx context.Context, prefix string, deploy func(context.Context, kube.Key) error) (there, answered []time.Duration, err error) {
	keys := make([]kube.Key, b.Size.Deploys)
	began, called := make([]time.Time, len(keys)), make([]time.Duration, len(keys))
	var wave errgroup.Group
	for i := range keys {
		keys[i] = kube.KeyOf("gantry-"+deployed, fmt.Sprintf("%s-%03d", prefix, i))
		wave.Go(func() error {
			began[i] = time.Now()
			err := deploy(ctx, keys[i])
			called[i] = time.Since(began[i])
			return err
		})
	}
	if err := wave.Wait(); err != nil {
		return nil, nil, err
	}
	if err := kube.Until(ctx, deployTime, func() string { return b.absent(keys) }); err != nil {
		return nil, nil, err
	}
	for i, key := range keys {
		last := time.Duration(0)
		for _, w := range b.watches {
			last = max(last, w.Events(key)[0].Time.Sub(began[i]))
		}
		there = append(there, last)
	}
	return there, called, nil
}

// absent names an object that is not in every cluster.
func (b *bench) absent(keys []kube.Key) string {
	for i, w := range b.watches {
		for _, key := range keys {
			if len(w.Events(key)) == 0 {
				return fmt.Sprintf("%s is not in %s", key, b.clusters[i].Name)
			}
		}
	}
	return ""
}

func (b *bench) gantryDeploy(ctx context.Context, n int) error {
	var mu sync.Mutex
	var made []kube.Key
	before, err := usage.Take(b.procs.PIDs())
	if err != nil {
		return err
	}
	there, answered, err := b.wave(ctx, fmt.Sprintf("gantry-%d", n), func(ctx context.Context, key kube.Key) error {
		mu.Lock()
		made = append(made, key)
		mu.Unlock()
		return b.platform.API.CreateApp(ctx, platform.App{Key: key, Replicas: 2})
	})
	if err != nil {
		return err
	}
	after, err := usage.Take(b.procs.PIDs())
	if err != nil {
		return err
	}
	d := &b.result.Deploy
	d.Gantry, d.Answer, d.Usage = append(d.Gantry, distOf(there)), append(d.Answer, distOf(answered)), after.Since(before)
	if err := b.settled(ctx, nothing); err != nil {
		return err
	}
	for _, key := range made {
		if err := b.platform.API.DeleteApp(ctx, key); err != nil {
			return err
		}
	}
	return b.gone(ctx)
}

func (b *bench) floorDeploy(ctx context.Context, n int) error {
	there, _, err := b.wave(ctx, fmt.Sprintf("floor-%d", n), func(ctx context.Context, key kube.Key) error {
		var both errgroup.Group
		for _, k := range b.clusters {
			both.Go(func() error {
				_, err := k.Floor.AppsV1().Deployments(key.Namespace()).Apply(ctx, deployment(key), metav1.ApplyOptions{FieldManager: "bench"})
				return err
			})
		}
		return both.Wait()
	})
	if err != nil {
		return err
	}
	b.result.Deploy.Floors = append(b.result.Deploy.Floors, distOf(there))
	if err := b.settled(ctx, nothing); err != nil {
		return err
	}
	for _, k := range b.clusters {
		err := k.Client.AppsV1().Deployments("gantry-"+deployed).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		if err != nil {
			return err
		}
	}
	return b.gone(ctx)
}

// gone waits until nothing is left of a wave.
func (b *bench) gone(ctx context.Context) error {
	return b.settled(ctx, func() string {
		for key := range b.wanted() {
			if key.Namespace() == "gantry-"+deployed {
				return fmt.Sprintf("%s is still there", key)
			}
		}
		return ""
	})
}

// deployment is what ipaas applies for an app of one replica, as far as its
// size goes.
func deployment(key kube.Key) *appsac.DeploymentApplyConfiguration {
	labels := map[string]string{"app": key.Name(), "app.kubernetes.io/managed-by": "bench"}
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	container := corev1ac.Container().WithName("app").WithImage("127.0.0.1/"+platform.Image).
		WithResources(corev1ac.ResourceRequirements().WithRequests(size)).
		WithEnv(corev1ac.EnvVar().WithName("APP").WithValue(key.Name()), corev1ac.EnvVar().WithName("CLUSTER").WithValue("bench"))
	return appsac.Deployment(key.Name(), key.Namespace()).WithLabels(labels).WithSpec(appsac.DeploymentSpec().
		WithReplicas(1).
		WithStrategy(appsac.DeploymentStrategy().WithType(appsv1.RollingUpdateDeploymentStrategyType)).
		WithSelector(metaac.LabelSelector().WithMatchLabels(labels)).
		WithTemplate(corev1ac.PodTemplateSpec().WithLabels(labels).WithSpec(corev1ac.PodSpec().WithContainers(container))))
}
