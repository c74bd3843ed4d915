package kube

import (
	"context"
	"fmt"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/labels"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// deleteTries bounds how often a deletion is repeated because the object
// changed between reading and deleting it.
const deleteTries = 5

// Delete removes an app's objects; what is not there is no error. The
// namespace stays: it belongs to the project. Fault: NOT_GANTRYS.
func (w *Writer) Delete(ctx context.Context, id labels.ID) error {
	if err := w.delete(ctx, w.deployment(id.Namespace(), id.App)); err != nil {
		return err
	}
	if err := w.delete(ctx, w.service(id.Namespace(), id.App)); err != nil {
		return err
	}
	w.services.put(id, "")
	for _, shelf := range w.shelves() {
		all, err := shelf.contents(ctx, id)
		if err != nil {
			return err
		}
		for _, m := range all {
			if err := w.delete(ctx, shelf.object(m.Namespace, m.Name)); err != nil {
				return err
			}
		}
	}
	return w.leaveVolumes(ctx, id, nil)
}

// object is one object that may have to be deleted.
type object struct {
	what   string
	get    func(context.Context) (metav1.Object, error)
	delete func(context.Context, metav1.DeleteOptions) error
}

func (w *Writer) deployment(ns, name string) object {
	client := w.Client.AppsV1().Deployments(ns)
	return object{
		what:   fmt.Sprintf("the deployment %s/%s", ns, name),
		get:    func(ctx context.Context) (metav1.Object, error) { return client.Get(ctx, name, metav1.GetOptions{}) },
		delete: func(ctx context.Context, o metav1.DeleteOptions) error { return client.Delete(ctx, name, o) },
	}
}

func (w *Writer) service(ns, name string) object {
	client := w.Client.CoreV1().Services(ns)
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
