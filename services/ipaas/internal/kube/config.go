package kube

import (
	"cmp"
	"context"
	"slices"

	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// keptReleases is how many of an app's newest releases keep their
// configuration and secrets, so that a rollback finds them.
const keptReleases = 20

// sweepBudget is how many objects of a kind one pass may remove (rule K3); what
// is left goes with the next releases.
const sweepBudget = 3

// ApplyConfig puts what an app needs here before its workload, and gives the
// name of its configuration's object. Of configuration and secrets it removes
// what no release of the last 20, no ReplicaSet and not the Deployment refers
// to. Faults: VOLUME_TERMINATING, VOLUME_IN_USE, NOT_GANTRYS.
func (w *Writer) ApplyConfig(ctx context.Context, id labels.ID, release int32, b render.Brought) (string, error) {
	if b.Empty() {
		w.sweepOrSay(ctx, id, release)
		return "", nil
	}
	var written bool
	err := w.inNamespace(ctx, b.Namespace, id, func() (err error) {
		written, err = w.bring(ctx, id, release, b)
		return err
	})
	if err != nil {
		return "", err
	}
	if len(b.Volumes) > 0 {
		w.leaveOrSay(ctx, id, b.Volumes)
	}
	if written { // else nothing has grown old by this call
		w.sweepOrSay(ctx, id, release)
	}
	if b.Config == nil {
		return "", nil
	}
	return *b.Config.Name, nil
}

// bring ensures every object, all at once.
func (w *Writer) bring(ctx context.Context, id labels.ID, release int32, b render.Brought) (bool, error) {
	var contents []content
	if b.Config != nil {
		contents = append(contents, w.configContent(b.Config))
	}
	for _, s := range b.Secrets {
		contents = append(contents, w.secretContent(s))
	}
	written := make([]bool, len(contents))
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range contents {
		group.Go(func() (err error) {
			written[i], err = ensure(ctx, c, release)
			return err
		})
	}
	for _, v := range b.Volumes {
		group.Go(func() error { return w.ensureVolume(ctx, id, v) })
	}
	err := group.Wait()
	return slices.Contains(written, true), err
}

// sweepOrSay keeps no release from what it needs because old objects cannot be
// removed: the next release tries again.
func (w *Writer) sweepOrSay(ctx context.Context, id labels.ID, release int32) {
	var group errgroup.Group
	for _, shelf := range w.shelves() {
		group.Go(func() error {
			if err := w.sweep(ctx, shelf, id, release); err != nil {
				w.Logger.Warn("old "+shelf.what+" stays", "app", id.Name(), "error", err.Error())
			}
			return nil
		})
	}
	_ = group.Wait() // each error was said
}

// sweep removes objects that nobody can need any more. What refers to them is
// read live and whole: an error means that it is not known, and then everything
// stays (rules K1, K2). A release that takes an object into use meanwhile
// changes it, and the deletion's preconditions fail.
func (w *Writer) sweep(ctx context.Context, shelf shelf, id labels.ID, release int32) error {
	all, err := shelf.contents(ctx, id)
	if err != nil {
		return err
	}
	newest := release
	for _, m := range all {
		newest = max(newest, releaseOf(m))
	}
	old := slices.DeleteFunc(all, func(m metav1.ObjectMeta) bool { return releaseOf(m) > newest-keptReleases })
	if len(old) == 0 {
		return nil
	}
	pods, err := w.templates(ctx, id)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, pod := range pods {
		for _, name := range shelf.uses(pod) {
			used[name] = true
		}
	}
	old = slices.DeleteFunc(old, func(m metav1.ObjectMeta) bool { return used[m.Name] })
	slices.SortFunc(old, func(a, b metav1.ObjectMeta) int {
		return cmp.Or(cmp.Compare(releaseOf(a), releaseOf(b)), cmp.Compare(a.Name, b.Name))
	})
	for _, m := range old[:min(len(old), sweepBudget)] {
		if err := deleteRead(ctx, shelf.object(m.Namespace, m.Name), m); err != nil {
			return err
		}
	}
	return nil
}

// templates are the pods that an app's Deployment and all its ReplicaSets make.
func (w *Writer) templates(ctx context.Context, id labels.ID) ([]corev1.PodSpec, error) {
	var pods []corev1.PodSpec
	d, err := w.Client.AppsV1().Deployments(id.Namespace()).Get(ctx, id.App, metav1.GetOptions{})
	if err == nil {
		pods = append(pods, d.Spec.Template.Spec)
	} else if !apierrors.IsNotFound(err) {
		return nil, faultOf(err, "read what "+id.Name()+" uses")
	}
	sets, err := w.Client.AppsV1().ReplicaSets(id.Namespace()).List(ctx, selecting(id.Selector()))
	if err != nil {
		return nil, faultOf(err, "read what the releases of "+id.Name()+" use")
	}
	for _, s := range sets.Items {
		pods = append(pods, s.Spec.Template.Spec)
	}
	return pods, nil
}

// deleteRead removes exactly the object that was read. If it has changed
// since, it is in use again.
func deleteRead(ctx context.Context, o object, m metav1.ObjectMeta) error {
	err := o.delete(ctx, exactly(&m))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return faultOf(err, "delete "+o.what)
}

func releaseOf(m metav1.ObjectMeta) int32 {
	_, release, _ := labels.Of(m.Namespace, m.Labels)
	return release
}

// selecting lists the objects that carry all these labels.
func selecting(all map[string]string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: all})}
}
