package kube

import (
	"context"
	"fmt"
	"strconv"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
)

// fencedBy is the annotation with the epoch of the last fence. It also makes
// sure that a fence changes the object, so that a start that was under way in
// another ipaas fails.
const fencedBy = "gantry.dev/fenced-by"

// Pin ties the start of a class SINGLE app to its Deployment as it is now. It
// must be called before the fence is read: then a start cannot slip in behind
// a fence that came in between, not even through another ipaas, because the
// Deployment has changed and the API server refuses (WORKLOAD_CHANGED). An app
// that has no Deployment here yet has nothing to be tied to; it has never run
// here either. rule C5
func (w *Writer) Pin(ctx context.Context, id labels.ID, o render.Objects) error {
	live, err := w.Client.AppsV1().Deployments(id.Namespace()).Get(ctx, id.App, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return faultOf(err, "read the deployment of "+id.Name())
	}
	o.Deployment.WithResourceVersion(live.ResourceVersion)
	return nil
}

// Stop scales an app to nothing for the leader with an epoch, and gives how
// many of its pods still exist. Fault: NOT_GANTRYS.
func (w *Writer) Stop(ctx context.Context, id labels.ID, epoch int64) (pods int32, err error) {
	var d *appsv1.Deployment
	for range deleteTries {
		if d, err = w.stopOnce(ctx, id, epoch); !fault.HasReason(err, "WORKLOAD_CHANGED") {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	return w.remaining(ctx, id, d)
}

// stopOnce gives the stopped Deployment, nil if there is none.
func (w *Writer) stopOnce(ctx context.Context, id labels.ID, epoch int64) (*appsv1.Deployment, error) {
	deployments := w.Client.AppsV1().Deployments(id.Namespace())
	live, err := deployments.Get(ctx, id.App, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, faultOf(err, "read the deployment of "+id.Name())
	}
	if _, _, ours := labels.Of(live.Namespace, live.Labels); !ours {
		return nil, fault.Precondition("NOT_GANTRYS", "the deployment %s/%s does not carry Gantry's labels, so it is left alone; stop it by hand", live.Namespace, live.Name)
	}
	mark := strconv.FormatInt(epoch, 10)
	if wanted(live) == 0 && live.Annotations[fencedBy] == mark {
		return live, nil
	}
	// What Gantry applied before, with another number: an apply takes away
	// what it does not name, and a patch would make a second owner of the
	// replicas (rule K4).
	own, err := appsac.ExtractDeployment(live, FieldManager)
	if err != nil {
		return nil, fault.Internal("FIELDS_UNREADABLE", "what Gantry applied of the deployment %s/%s cannot be told from the rest; stop it by hand: %w", live.Namespace, live.Name, err)
	}
	if own.Spec == nil {
		return nil, fault.Precondition("NOT_GANTRYS", "the deployment %s/%s was not applied by Gantry; stop it by hand", live.Namespace, live.Name)
	}
	own.WithUID(live.UID).WithResourceVersion(live.ResourceVersion).WithAnnotations(map[string]string{fencedBy: mark})
	own.Spec.WithReplicas(0)
	applied, err := w.applyWhole(ctx, id, own)
	if err != nil {
		return nil, applyFault(err, id)
	}
	return applied, nil
}

// remaining counts the pods that exist, live and last of all. While a
// controller has not confirmed that it wants none, it may yet make one from
// what it knew before: then there is at least one.
func (w *Writer) remaining(ctx context.Context, id labels.ID, d *appsv1.Deployment) (int32, error) {
	sets, err := w.Client.AppsV1().ReplicaSets(id.Namespace()).List(ctx, selecting(id.Selector()))
	if err != nil {
		return 0, faultOf(err, fmt.Sprintf("list the replica sets of %s", id.Name()))
	}
	// By the labels of the selector alone: a pod without the others runs too.
	list, err := w.Client.CoreV1().Pods(id.Namespace()).List(ctx, selecting(id.Selector()))
	if err != nil {
		return 0, faultOf(err, fmt.Sprintf("list the pods of %s", id.Name()))
	}
	var pods int32
	for i := range list.Items {
		if exists(&list.Items[i]) {
			pods++
		}
	}
	if pods == 0 && !atRest(d, sets.Items) {
		return 1, nil
	}
	return pods, nil
}

// exists leaves out pods whose containers have ended for good: Kubernetes
// keeps them only to be looked at.
func exists(p *corev1.Pod) bool {
	return p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

func atRest(d *appsv1.Deployment, sets []appsv1.ReplicaSet) bool {
	if d != nil && (wanted(d) != 0 || d.Status.Replicas != 0 || d.Status.ObservedGeneration < d.Generation) {
		return false
	}
	for _, s := range sets {
		if s.Spec.Replicas == nil || *s.Spec.Replicas != 0 || s.Status.Replicas != 0 || s.Status.ObservedGeneration < s.Generation {
			return false
		}
	}
	return true
}

// wanted replicas; Kubernetes takes one where none are given.
func wanted(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}
