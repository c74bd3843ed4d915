package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/gather"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
)

// FieldManager is the name under which Gantry owns fields (rule K4).
const FieldManager = "gantry"

// namespaceTimeout bounds the apply of a namespace for all that wait for it.
const namespaceTimeout = 5 * time.Second

// Writer changes the cluster. Every call brings the app's objects further
// towards the wanted state and can be repeated: a crash between any two
// requests leaves what the next call completes (rule K5).
type Writer struct {
	WriterConfig
	identity *gather.Reader[string]
	services *written
	applied  *contents
	flights  singleflight.Group

	mu sync.Mutex
	// Namespaces that this ipaas has applied.
	namespaces map[string]bool
}

// WriterConfig is what NewWriter needs; every field is required.
type WriterConfig struct {
	Client kubernetes.Interface
	// Cache saves writes of what is there already. It may be stale or empty.
	Cache  *Cache
	Logger *slog.Logger
}

// NewWriter makes a writer.
func NewWriter(c WriterConfig) *Writer {
	return &Writer{
		WriterConfig: c,
		identity:     gather.New(func(ctx context.Context) (string, error) { return Identity(ctx, c.Client) }),
		services:     &written{shapes: map[labels.ID]string{}},
		applied:      &contents{by: map[labels.ID]template{}},
		namespaces:   map[string]bool{},
	}
}

// Identity reads the UID of the kube-system namespace from the API server.
func Identity(ctx context.Context, client kubernetes.Interface) (string, error) {
	ns, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", faultOf(err, "read the identity of the cluster")
	}
	return string(ns.UID), nil
}

// Check asks the cluster who it is. Fault: WRONG_CLUSTER.
func (w *Writer) Check(ctx context.Context, identity string) error {
	got, err := w.identity.Get(ctx)
	if err != nil {
		return asFault(err, "read the identity of the cluster")
	}
	if got != identity {
		return fault.Precondition("WRONG_CLUSTER", "this is the cluster %s, the call is meant for %s; correct the address of the cluster's ipaas", got, identity)
	}
	return nil
}

// Apply brings the objects of an app to the wanted state. A field that another
// manager owns with another value is an error and stays as it is (rule K4).
// The Deployment is always applied, so that such a field is always noticed, or
// its replicas alone while it is known to have none; the Service needs nothing
// of it and goes beside it.
func (w *Writer) Apply(ctx context.Context, id labels.ID, o render.Objects) (Deployment, error) {
	var applied Deployment
	err := w.inNamespace(ctx, o.Namespace, id, func() error {
		service := make(chan error, 1)
		go func() { service <- w.applyService(ctx, id, o.Service) }()
		var err error
		applied, err = w.applyDeployment(ctx, id, o)
		return firstOf(<-service, err)
	})
	return applied, err
}

// applyDeployment applies what its pods need first.
func (w *Writer) applyDeployment(ctx context.Context, id labels.ID, o render.Objects) (Deployment, error) {
	if o.Config != nil {
		_, release, _ := labels.Of(id.Namespace(), o.Config.Labels)
		if _, err := ensure(ctx, w.configContent(o.Config), release); err != nil {
			return Deployment{}, err
		}
	}
	content, err := contentOf(o.Deployment)
	if err != nil {
		return Deployment{}, err
	}
	if scaled, done, err := w.scale(ctx, id, o, content); done || err != nil {
		return scaled, err
	}
	d, err := w.applyWhole(ctx, id, o.Deployment)
	if err != nil {
		return Deployment{}, applyFault(err, id)
	}
	w.applied.put(id, template{content, d.Generation})
	return toDeployment(d)
}

// applyFault tells a Deployment that has changed since it was read from one
// that somebody else owns.
func applyFault(err error, id labels.ID) error {
	if apierrors.IsConflict(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict) {
		return fault.Conflict("WORKLOAD_CHANGED", "%s has been changed at the same time; look at it and try again: %w", id.Name(), err)
	}
	return faultOf(err, fmt.Sprintf("apply the deployment %s/%s", id.Namespace(), id.App))
}

// inNamespace runs f where the namespace is there. An app whose Deployment is
// known has one; should it be gone nevertheless, f fails with "not found",
// since an apply itself creates what is missing.
func (w *Writer) inNamespace(ctx context.Context, namespace *corev1ac.NamespaceApplyConfiguration, id labels.ID, f func() error) error {
	if !w.Cache.hasDeployment(id) && !w.hasApplied(*namespace.Name) {
		if err := w.applyNamespace(ctx, namespace); err != nil {
			return err
		}
	}
	err := f()
	if !apierrors.IsNotFound(err) {
		return err
	}
	if err := w.applyNamespace(ctx, namespace); err != nil {
		return err
	}
	return f()
}

func (w *Writer) hasApplied(namespace string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.namespaces[namespace]
}

// applyNamespace lets many new apps of a project share one apply.
func (w *Writer) applyNamespace(ctx context.Context, namespace *corev1ac.NamespaceApplyConfiguration) error {
	_, err, _ := w.flights.Do(*namespace.Name, func() (any, error) {
		// The caller that happens to be first may leave.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), namespaceTimeout)
		defer cancel()
		_, err := w.Client.CoreV1().Namespaces().Apply(ctx, namespace, metav1.ApplyOptions{FieldManager: FieldManager})
		return nil, err
	})
	if err != nil {
		return faultOf(err, "apply the namespace "+*namespace.Name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.namespaces[*namespace.Name] = true
	return nil
}

// firstOf gives the first error, the others being of the same cause or told
// by the next try.
func firstOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
