package hpa

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/pki"
	"golang.org/x/sync/errgroup"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// service is the adapter's Service.
const service = "metrics-adapter"

// inFlight bounds how many objects are made at a time.
const inFlight = 32

// ServerName is what the adapter's certificate must be for.
const ServerName = service + ".default.svc"

// Policy is what every object says.
type Policy struct {
	Min, Max int32
	// CPUs that one pod shall use.
	Target float64
}

// Register tells a cluster's API server where the adapter is. The aggregator
// reaches a Service of the kind ExternalName straight away, so no network for
// pods is needed.
func Register(ctx context.Context, k *kube.Cluster, authority *pki.Authority, port int32) error {
	_, err := k.Client.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: service},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost", Ports: []corev1.ServicePort{{Port: port}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make the adapter's Service: %w", err)
	}
	config := rest.CopyConfig(k.REST)
	config.ContentType, config.AcceptContentTypes = "", ""
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}).
		Create(ctx, apiService(authority, port), metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("register the metrics API: %w", err)
	}
	return nil
}

func apiService(authority *pki.Authority, port int32) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": version + "." + group},
		"spec": map[string]any{
			"group": group, "version": version, "groupPriorityMinimum": int64(100), "versionPriority": int64(100),
			"caBundle": base64.StdEncoding.EncodeToString(authority.PEM()),
			"service":  map[string]any{"namespace": "default", "name": service, "port": int64(port)},
		},
	}}
}

// Create makes one object per app.
func Create(ctx context.Context, k *kube.Cluster, apps []kube.Key, policy Policy) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for _, app := range apps {
		group.Go(func() error {
			_, err := k.Client.AutoscalingV2().HorizontalPodAutoscalers(app.Namespace()).Create(ctx, object(app, policy), metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("make a HorizontalPodAutoscaler per app: %w", err)
	}
	return nil
}

// Delete removes all objects of the apps' namespaces.
func Delete(ctx context.Context, k *kube.Cluster, apps []kube.Key) error {
	done := map[string]bool{}
	for _, app := range apps {
		if done[app.Namespace()] {
			continue
		}
		done[app.Namespace()] = true
		err := k.Client.AutoscalingV2().HorizontalPodAutoscalers(app.Namespace()).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("delete the HorizontalPodAutoscalers of %s: %w", app.Namespace(), err)
		}
	}
	return nil
}

func object(app kube.Key, policy Policy) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: app.Namespace(), Name: app.Name()},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: app.Name()},
			MinReplicas:    &policy.Min, MaxReplicas: policy.Max,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ExternalMetricSourceType,
				External: &autoscalingv2.ExternalMetricSource{
					Metric: autoscalingv2.MetricIdentifier{Name: metric, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app.Name()}}},
					Target: autoscalingv2.MetricTarget{
						Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewMilliQuantity(int64(policy.Target*1000), resource.DecimalSI),
					},
				},
			}},
		},
	}
}

// Rounds are how long the controller took to evaluate every app once, one
// round after the other, beginning with the first request.
func Rounds(asked []Asked, apps int) []time.Duration {
	var rounds []time.Duration
	if len(asked) == 0 {
		return nil
	}
	begin, seen := asked[0].Time, map[kube.Key]bool{}
	for _, a := range asked {
		if len(seen) == 0 {
			begin = a.Time
		}
		seen[a.App] = true
		if len(seen) == apps {
			rounds = append(rounds, a.Time.Sub(begin))
			clear(seen)
		}
	}
	return rounds
}
