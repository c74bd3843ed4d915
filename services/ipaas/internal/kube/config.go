package kube

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"gantry.dev/services/ipaas/internal/labels"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// keptReleases is how many of an app's newest releases keep their
// configuration, so that a rollback finds it.
const keptReleases = 20

// sweepBudget is how many configuration objects one pass may remove
// (rule K3); what is left goes with the next releases.
const sweepBudget = 3

// ApplyConfig puts the configuration of an app here and gives the object's
// name. What no release of the last 20, no ReplicaSet and not the Deployment
// refers to is removed. config is nil for an app without files.
func (w *Writer) ApplyConfig(ctx context.Context, id labels.ID, release int32, namespace *corev1ac.NamespaceApplyConfiguration, config *corev1ac.ConfigMapApplyConfiguration) (string, error) {
	if config == nil {
		w.sweepOrSay(ctx, id, release)
		return "", nil
	}
	var written bool
	err := w.inNamespace(ctx, namespace, id, func() (err error) {
		written, err = w.ensureConfig(ctx, config, release)
		return err
	})
	if err != nil {
		return "", err
	}
	if written { // else nothing has grown old by this call
		w.sweepOrSay(ctx, id, release)
	}
	return *config.Name, nil
}

// sweepOrSay keeps no release from its configuration because old ones cannot
// be removed: the next release tries again.
func (w *Writer) sweepOrSay(ctx context.Context, id labels.ID, release int32) {
	if err := w.sweep(ctx, id, release); err != nil {
		w.Logger.Warn("old configuration stays", "app", id.Name(), "error", err.Error())
	}
}

// ensureConfig applies the object unless it is there as it should be. Its
// release is the newest that uses it, so it never falls.
func (w *Writer) ensureConfig(ctx context.Context, config *corev1ac.ConfigMapApplyConfiguration, release int32) (written bool, err error) {
	what := fmt.Sprintf("the configuration %s/%s", *config.Namespace, *config.Name)
	configMaps := w.Client.CoreV1().ConfigMaps(*config.Namespace)
	live, err := configMaps.Get(ctx, *config.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return false, faultOf(err, "read "+what)
	case holds(live, config, release):
		return false, nil
	default:
		if _, newest, ours := labels.Of(live.Namespace, live.Labels); ours && newest > release {
			config.Labels[labels.Release] = strconv.Itoa(int(newest))
		}
	}
	if _, err := configMaps.Apply(ctx, config, metav1.ApplyOptions{FieldManager: FieldManager}); err != nil {
		return false, faultOf(err, "apply "+what)
	}
	return true, nil
}

func holds(live *corev1.ConfigMap, config *corev1ac.ConfigMapApplyConfiguration, release int32) bool {
	_, newest, ours := labels.Of(live.Namespace, live.Labels)
	return ours && newest >= release && live.Immutable != nil && *live.Immutable && maps.Equal(live.Data, config.Data)
}

// sweep removes configuration that nobody can need any more. What refers to it
// is read live and whole: an error means that it is not known, and then
// everything stays (rules K1, K2). A release that takes an object into use
// meanwhile changes it, and the deletion's preconditions fail.
func (w *Writer) sweep(ctx context.Context, id labels.ID, release int32) error {
	all, err := w.configs(ctx, id)
	if err != nil {
		return err
	}
	newest := release
	for _, m := range all {
		newest = max(newest, releaseOf(m))
	}
	old := slices.DeleteFunc(all, func(m corev1.ConfigMap) bool { return releaseOf(m) > newest-keptReleases })
	if len(old) == 0 {
		return nil
	}
	used, err := w.usedConfigs(ctx, id)
	if err != nil {
		return err
	}
	old = slices.DeleteFunc(old, func(m corev1.ConfigMap) bool { return used[m.Name] })
	slices.SortFunc(old, func(a, b corev1.ConfigMap) int {
		return cmp.Or(cmp.Compare(releaseOf(a), releaseOf(b)), cmp.Compare(a.Name, b.Name))
	})
	for _, m := range old[:min(len(old), sweepBudget)] {
		if err := w.deleteConfig(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// configs reads an app's configuration objects.
func (w *Writer) configs(ctx context.Context, id labels.ID) ([]corev1.ConfigMap, error) {
	list, err := w.Client.CoreV1().ConfigMaps(id.Namespace()).List(ctx, selecting(id.All(0)))
	if err != nil {
		return nil, faultOf(err, "list the configuration of "+id.Name())
	}
	return slices.DeleteFunc(list.Items, func(m corev1.ConfigMap) bool { return m.Immutable == nil || !*m.Immutable }), nil
}

// usedConfigs gives the names that templates of the app refer to: its
// Deployment's and those of all its ReplicaSets.
func (w *Writer) usedConfigs(ctx context.Context, id labels.ID) (map[string]bool, error) {
	used := map[string]bool{}
	note := func(pod corev1.PodSpec) {
		for _, v := range pod.Volumes {
			if v.ConfigMap != nil {
				used[v.ConfigMap.Name] = true
			}
		}
	}
	d, err := w.Client.AppsV1().Deployments(id.Namespace()).Get(ctx, id.App, metav1.GetOptions{})
	if err == nil {
		note(d.Spec.Template.Spec)
	} else if !apierrors.IsNotFound(err) {
		return nil, faultOf(err, "read what "+id.Name()+" uses")
	}
	sets, err := w.Client.AppsV1().ReplicaSets(id.Namespace()).List(ctx, selecting(id.Selector()))
	if err != nil {
		return nil, faultOf(err, "read what the releases of "+id.Name()+" use")
	}
	for _, s := range sets.Items {
		note(s.Spec.Template.Spec)
	}
	return used, nil
}

// deleteConfig removes exactly the object that was read. If it has changed
// since, it is in use again.
func (w *Writer) deleteConfig(ctx context.Context, m corev1.ConfigMap) error {
	err := w.Client.CoreV1().ConfigMaps(m.Namespace).Delete(ctx, m.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &m.UID, ResourceVersion: &m.ResourceVersion},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return faultOf(err, fmt.Sprintf("delete the configuration %s/%s", m.Namespace, m.Name))
}

func releaseOf(m corev1.ConfigMap) int32 {
	_, release, _ := labels.Of(m.Namespace, m.Labels)
	return release
}

// selecting lists the objects that carry all these labels.
func selecting(all map[string]string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: all})}
}
