package kube

import (
	"context"
	"fmt"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// FieldManager is the name under which Gantry owns fields (rule K4).
const FieldManager = "gantry"

// deleteTries bounds how often a deletion is repeated because the object
// changed between reading and deleting it.
const deleteTries = 5

// Writer changes the cluster. Every write first makes sure that it is the
// cluster that the caller means.
type Writer struct{ client kubernetes.Interface }

// NewWriter makes a writer.
func NewWriter(client kubernetes.Interface) *Writer { return &Writer{client: client} }

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
	got, err := Identity(ctx, w.client)
	if err != nil {
		return err
	}
	if got != identity {
		return fault.Precondition("WRONG_CLUSTER", "this is the cluster %s, the call is meant for %s; correct the address of the cluster's ipaas", got, identity)
	}
	return nil
}

// Apply brings the objects of an app to the wanted state. A field that another
// manager owns with another value is an error and stays as it is (rule K4).
func (w *Writer) Apply(ctx context.Context, o render.Objects) (Deployment, error) {
	options := metav1.ApplyOptions{FieldManager: FieldManager}
	ns, name := *o.Deployment.Namespace, *o.Deployment.Name
	if _, err := w.client.CoreV1().Namespaces().Apply(ctx, o.Namespace, options); err != nil {
		return Deployment{}, faultOf(err, "apply the namespace "+ns)
	}
	if err := w.applyService(ctx, o, options); err != nil {
		return Deployment{}, err
	}
	d, err := w.client.AppsV1().Deployments(ns).Apply(ctx, o.Deployment, options)
	if err != nil {
		return Deployment{}, faultOf(err, fmt.Sprintf("apply the deployment %s/%s", ns, name))
	}
	return toDeployment(d)
}

// applyService also removes the service of an app that has no ports any more.
func (w *Writer) applyService(ctx context.Context, o render.Objects, options metav1.ApplyOptions) error {
	ns, name := *o.Deployment.Namespace, *o.Deployment.Name
	if o.Service == nil {
		return w.delete(ctx, w.service(ns, name))
	}
	_, err := w.client.CoreV1().Services(ns).Apply(ctx, o.Service, options)
	return faultOf(err, fmt.Sprintf("apply the service %s/%s", ns, name))
}

// Delete removes an app's objects; what is not there is no error. The
// namespace stays: it belongs to the project. Fault: NOT_GANTRYS.
func (w *Writer) Delete(ctx context.Context, id labels.ID) error {
	if err := w.delete(ctx, w.deployment(id.Namespace(), id.App)); err != nil {
		return err
	}
	return w.delete(ctx, w.service(id.Namespace(), id.App))
}

// object is one object that may have to be deleted.
type object struct {
	what   string
	get    func(context.Context) (metav1.Object, error)
	delete func(context.Context, metav1.DeleteOptions) error
}

func (w *Writer) deployment(ns, name string) object {
	client := w.client.AppsV1().Deployments(ns)
	return object{
		what:   fmt.Sprintf("the deployment %s/%s", ns, name),
		get:    func(ctx context.Context) (metav1.Object, error) { return client.Get(ctx, name, metav1.GetOptions{}) },
		delete: func(ctx context.Context, o metav1.DeleteOptions) error { return client.Delete(ctx, name, o) },
	}
}

func (w *Writer) service(ns, name string) object {
	client := w.client.CoreV1().Services(ns)
	return object{
		what:   fmt.Sprintf("the service %s/%s", ns, name),
		get:    func(ctx context.Context) (metav1.Object, error) { return client.Get(ctx, name, metav1.GetOptions{}) },
		delete: func(ctx context.Context, o metav1.DeleteOptions) error { return client.Delete(ctx, name, o) },
	}
}

// delete reads the object from the API server and deletes exactly what it has
// read (rule K1).
func (w *Writer) delete(ctx context.Context, o object) error {
	var err error
	for range deleteTries {
		var gone bool
		if gone, err = w.deleteOnce(ctx, o); gone || !apierrors.IsConflict(err) {
			break
		}
	}
	return asFault(err, "delete "+o.what)
}

func (w *Writer) deleteOnce(ctx context.Context, o object) (gone bool, err error) {
	live, err := o.get(ctx)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if _, _, ours := labels.Of(live.GetNamespace(), live.GetLabels()); !ours {
		return false, fault.Precondition("NOT_GANTRYS", "%s does not carry Gantry's labels, so it is left alone; delete it by hand if it is not needed", o.what)
	}
	uid, version := live.GetUID(), live.GetResourceVersion()
	background := metav1.DeletePropagationBackground
	err = o.delete(ctx, metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
		PropagationPolicy: &background,
	})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return err == nil, err
}
