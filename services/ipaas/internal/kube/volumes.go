package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// usedBy is the annotation of a claim with the apps that use it, separated by
// commas: the last that leaves takes the volume along.
const usedBy = "gantry.dev/used-by"

// pair is a volume and its claim as they are; nil: there is none.
type pair struct {
	volume *corev1.PersistentVolume
	claim  *corev1.PersistentVolumeClaim
}

// ensureVolume makes a volume and its claim, and notes on the claim that an app
// uses it. A volume with another source is replaced, if no pod uses it.
func (w *Writer) ensureVolume(ctx context.Context, id labels.ID, v render.Volume) error {
	live, err := w.pairOf(ctx, *v.Volume.Name, *v.Claim.Namespace, *v.Claim.Name)
	if err != nil {
		return err
	}
	if err := foreign(live, v); err != nil {
		return err
	}
	if outdated(live, v) {
		return w.replace(ctx, live, v)
	}
	if live.volume == nil {
		if _, err := w.Client.CoreV1().PersistentVolumes().Apply(ctx, v.Volume, metav1.ApplyOptions{FieldManager: FieldManager}); err != nil {
			return faultOf(err, "apply the volume "+*v.Volume.Name)
		}
	}
	return w.join(ctx, id, live.claim, v)
}

func (w *Writer) pairOf(ctx context.Context, volume, ns, claim string) (pair, error) {
	var out pair
	var err error
	out.volume, err = w.Client.CoreV1().PersistentVolumes().Get(ctx, volume, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		out.volume = nil
	} else if err != nil {
		return pair{}, faultOf(err, "read the volume "+volume)
	}
	out.claim, err = w.Client.CoreV1().PersistentVolumeClaims(ns).Get(ctx, claim, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		out.claim = nil
	} else if err != nil {
		return pair{}, faultOf(err, fmt.Sprintf("read the claim %s/%s", ns, claim))
	}
	return out, nil
}

// foreign refuses objects of the same names that somebody else has made.
func foreign(live pair, v render.Volume) error {
	if live.volume != nil && !isVolume(live.volume) {
		return fault.Precondition("NOT_GANTRYS", "there is a volume %s in the cluster that is not Gantry's; delete it by hand, or name yours otherwise", *v.Volume.Name)
	}
	if live.claim != nil && !isVolume(live.claim) {
		return fault.Precondition("NOT_GANTRYS", "there is a claim %s/%s in the cluster that is not Gantry's; delete it by hand, or name the volume otherwise", *v.Claim.Namespace, *v.Claim.Name)
	}
	return nil
}

// isVolume tells whether an object is Gantry's part of a project's volume.
func isVolume(o metav1.Object) bool {
	l := o.GetLabels()
	return l[labels.ManagedBy] == labels.Manager && l[labels.Project] != "" && l[labels.Volume] != ""
}

// outdated tells whether what is there has another source, is on its way out,
// or is bound to a claim that is gone.
func outdated(live pair, v render.Volume) bool {
	if live.claim != nil && live.claim.DeletionTimestamp != nil {
		return true
	}
	if live.volume == nil {
		return false
	}
	bound := live.volume.Spec.ClaimRef
	lost := bound != nil && bound.UID != "" && (live.claim == nil || live.claim.UID != bound.UID)
	return live.volume.DeletionTimestamp != nil || lost || live.volume.Annotations[render.SourceHash] != v.Volume.Annotations[render.SourceHash]
}

// replace removes what is there, unless a pod uses it. Kubernetes confirms that
// in its own time, so the caller comes again.
func (w *Writer) replace(ctx context.Context, live pair, v render.Volume) error {
	pod, err := w.userOf(ctx, *v.Claim.Namespace, *v.Claim.Name)
	if err != nil {
		return err
	}
	if pod != "" {
		return fault.Precondition("VOLUME_IN_USE", "the volume %s is in use by the pod %s as it was before; stop the apps that use it", *v.Volume.Name, pod)
	}
	if err := w.remove(ctx, live); err != nil && !apierrors.IsConflict(err) {
		return faultOf(err, "replace the volume "+*v.Volume.Name)
	}
	return fault.Unavailable("VOLUME_TERMINATING", "what the volume %s was before is being removed; try again in a moment", *v.Volume.Name)
}

// userOf is a pod that has a claim mounted, or will have; empty: there is none.
func (w *Writer) userOf(ctx context.Context, ns, claim string) (string, error) {
	pods, err := w.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", faultOf(err, "list the pods of "+ns)
	}
	for i := range pods.Items {
		if exists(&pods.Items[i]) && slices.Contains(claimsIn(pods.Items[i].Spec), claim) {
			return pods.Items[i].Name, nil
		}
	}
	return "", nil
}

func claimsIn(pod corev1.PodSpec) []string {
	var names []string
	for _, v := range pod.Volumes {
		if v.PersistentVolumeClaim != nil {
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return names
}

// remove deletes a volume before its claim: what is left after a crash in
// between is found by the claim (rule K5). The error is the API server's; a
// conflict says that something has changed since it was read.
func (w *Writer) remove(ctx context.Context, live pair) error {
	if v := live.volume; v != nil && v.DeletionTimestamp == nil && isVolume(v) {
		if err := gone(w.Client.CoreV1().PersistentVolumes().Delete(ctx, v.Name, exactly(v))); err != nil {
			return err
		}
	}
	if c := live.claim; c != nil && c.DeletionTimestamp == nil {
		return gone(w.Client.CoreV1().PersistentVolumeClaims(c.Namespace).Delete(ctx, c.Name, exactly(c)))
	}
	return nil
}

// exactly deletes an object only as it was read (rule K1).
func exactly(o metav1.Object) metav1.DeleteOptions {
	uid, version := o.GetUID(), o.GetResourceVersion()
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}
}

// gone passes over that there was nothing to delete.
func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// join makes a claim that an app uses, or adds the app to one that is there.
func (w *Writer) join(ctx context.Context, id labels.ID, live *corev1.PersistentVolumeClaim, v render.Volume) error {
	var apps []string
	if live != nil {
		if apps = appsOf(live); slices.Contains(apps, id.App) {
			return nil
		}
		v.Claim.WithUID(live.UID).WithResourceVersion(live.ResourceVersion)
	}
	apps = append(apps, id.App)
	slices.Sort(apps)
	v.Claim.WithAnnotations(map[string]string{usedBy: strings.Join(apps, ",")})
	_, err := w.Client.CoreV1().PersistentVolumeClaims(*v.Claim.Namespace).Apply(ctx, v.Claim, metav1.ApplyOptions{FieldManager: FieldManager})
	return faultOf(err, fmt.Sprintf("apply the claim %s/%s", *v.Claim.Namespace, *v.Claim.Name))
}

func appsOf(claim *corev1.PersistentVolumeClaim) []string {
	if claim.Annotations[usedBy] == "" {
		return nil
	}
	return strings.Split(claim.Annotations[usedBy], ",")
}
