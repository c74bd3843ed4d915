package kube

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
	autoscalingac "k8s.io/client-go/applyconfigurations/autoscaling/v1"
)

// An apply of a whole Deployment costs an API server more than twice what an
// apply of its scale does, and most changes are of the replicas alone. Who
// applied the scale owns the replicas from then on, as a manager apart from
// the one that applied the rest, although both are Gantry.

// template is what this ipaas applied of a Deployment last, but for the
// replicas: it is still there while the generation is the same.
type template struct {
	content    [sha256.Size]byte
	generation int64
}

// contents are the templates by app.
type contents struct {
	mu sync.Mutex
	by map[labels.ID]template
}

func (t *contents) put(id labels.ID, to template) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.by[id] = to
}

func (t *contents) is(id labels.ID, like template) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by[id] == like
}

// contentOf is the same for two Deployments that differ in the replicas alone.
func contentOf(d *appsac.DeploymentApplyConfiguration) ([sha256.Size]byte, error) {
	whole, spec := *d, *d.Spec
	spec.Replicas, whole.Spec = nil, &spec
	text, err := json.Marshal(whole)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("the deployment %s/%s: %w", *d.Namespace, *d.Name, err)
	}
	return sha256.Sum256(text), nil
}

// scale changes the replicas alone, when the Deployment is otherwise what this
// ipaas applied and nobody else claims them. The API server refuses if it is
// not any more as it was seen, so nothing of somebody else is overwritten (rule
// K4). Not done: the whole Deployment is to be applied.
func (w *Writer) scale(ctx context.Context, id labels.ID, o render.Objects, content [sha256.Size]byte) (d Deployment, done bool, err error) {
	seen, ok := w.Cache.deployment(id)
	replicas := *o.Deployment.Spec.Replicas
	if !ok || o.Single || seen.Claimed || seen.Replicas == replicas || !w.applied.is(id, template{content, seen.Generation}) {
		return Deployment{}, false, nil
	}
	_, err = w.applyScale(ctx, id, replicas, seen.Version)
	switch {
	case err == nil:
		w.applied.put(id, template{content, seen.Generation + 1})
		seen.Replicas, seen.Observed = replicas, false
		return seen, true, nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return Deployment{}, false, nil
	}
	return Deployment{}, false, faultOf(err, fmt.Sprintf("scale the deployment %s/%s", id.Namespace(), id.App))
}

// applyWhole applies a Deployment. Replicas that belong to Gantry's own last
// change of the scale get their number there first; then both own it.
func (w *Writer) applyWhole(ctx context.Context, id labels.ID, d *appsac.DeploymentApplyConfiguration) (*appsv1.Deployment, error) {
	deployments := w.Client.AppsV1().Deployments(id.Namespace())
	applied, err := deployments.Apply(ctx, d, metav1.ApplyOptions{FieldManager: FieldManager})
	if !conflictsWithScale(err) {
		return applied, err
	}
	if err := w.scaleFirst(ctx, id, d, err); err != nil {
		return nil, err
	}
	return deployments.Apply(ctx, d, metav1.ApplyOptions{FieldManager: FieldManager})
}

// scaleTries bounds how often a scale is applied anew because the status of its
// Deployment has changed.
const scaleTries = 5

// scaleFirst gives the replicas of a Deployment that is to be applied their
// number, or the conflict that was met if somebody else claims them. What is
// tied to a state stays tied to it (rule C5).
func (w *Writer) scaleFirst(ctx context.Context, id labels.ID, d *appsac.DeploymentApplyConfiguration, conflict error) error {
	tied := d.ResourceVersion != nil
	for try := 1; ; try++ {
		live, err := w.Client.AppsV1().Deployments(id.Namespace()).Get(ctx, id.App, metav1.GetOptions{})
		switch {
		case err != nil:
			return err
		case claimed(live):
			return conflict
		case tied:
			live.ResourceVersion = *d.ResourceVersion
		}
		scaled, err := w.applyScale(ctx, id, *d.Spec.Replicas, live.ResourceVersion)
		if err == nil && tied {
			d.WithResourceVersion(scaled.ResourceVersion)
		}
		if tied || !apierrors.IsConflict(err) || try == scaleTries {
			return err
		}
	}
}

// applyScale changes the replicas of a Deployment that nobody else claims and
// that still has this resourceVersion. By force: they may belong to what was
// applied as a whole.
func (w *Writer) applyScale(ctx context.Context, id labels.ID, replicas int32, version string) (*autoscalingv1.Scale, error) {
	scale := autoscalingac.Scale().WithResourceVersion(version).WithSpec(autoscalingac.ScaleSpec().WithReplicas(replicas))
	return w.Client.AppsV1().Deployments(id.Namespace()).ApplyScale(ctx, id.App, scale, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
}

// conflictsWithScale tells whether nothing is in the way but Gantry's own last
// change of the scale.
func conflictsWithScale(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	causes := status.Status().Details.Causes
	for _, c := range causes {
		ours := strings.HasPrefix(c.Message, fmt.Sprintf("conflict with %q with subresource %q", FieldManager, "scale"))
		if c.Type != metav1.CauseTypeFieldManagerConflict || c.Field != ".spec.replicas" || !ours {
			return false
		}
	}
	return len(causes) > 0
}

// claimed tells whether somebody else wants to decide the replicas.
func claimed(d *appsv1.Deployment) bool {
	return slices.ContainsFunc(d.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager != FieldManager && m.Subresource != "status" && m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:replicas":{}`)
	})
}
