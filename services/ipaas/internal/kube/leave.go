package kube

import (
	"context"
	"slices"
	"strings"

	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// leaveOrSay takes an app off the volumes that it has stopped using: neither
// its release nor a template has them. It keeps no release waiting.
func (w *Writer) leaveOrSay(ctx context.Context, id labels.ID, volumes []render.Volume) {
	kept := map[string]bool{}
	for _, v := range volumes {
		kept[*v.Claim.Name] = true
	}
	if err := w.leaveUnused(ctx, id, kept); err != nil {
		w.Logger.Warn("an unused volume stays", "app", id.Name(), "error", err.Error())
	}
}

func (w *Writer) leaveUnused(ctx context.Context, id labels.ID, kept map[string]bool) error {
	left, err := w.claimsOf(ctx, id, kept)
	if err != nil || len(left) == 0 {
		return err
	}
	pods, err := w.templates(ctx, id)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		for _, claim := range claimsIn(pod) {
			kept[claim] = true
		}
	}
	return w.leaveVolumes(ctx, id, kept)
}

// leaveVolumes takes an app off all claims but those that are kept. A volume
// that no app uses any more goes; what is stored on it stays.
func (w *Writer) leaveVolumes(ctx context.Context, id labels.ID, kept map[string]bool) error {
	claims, err := w.claimsOf(ctx, id, kept)
	if err != nil {
		return err
	}
	for _, name := range claims {
		if err := w.leave(ctx, id, name); err != nil {
			return faultOf(err, "take "+id.Name()+" off the volume "+name)
		}
	}
	return nil
}

// claimsOf are the names of the claims that an app is noted on, but those that
// are kept.
func (w *Writer) claimsOf(ctx context.Context, id labels.ID, kept map[string]bool) ([]string, error) {
	list, err := w.Client.CoreV1().PersistentVolumeClaims(id.Namespace()).List(ctx, selecting(map[string]string{
		labels.ManagedBy: labels.Manager, labels.Project: id.Project,
	}))
	if err != nil {
		return nil, faultOf(err, "list the volumes of "+id.Name())
	}
	var out []string
	for i := range list.Items {
		if c := &list.Items[i]; isVolume(c) && slices.Contains(appsOf(c), id.App) && !kept[c.Name] {
			out = append(out, c.Name)
		}
	}
	return out, nil
}

// leave takes an app off one claim; when somebody else changes the claim
// meanwhile, anew from what it is then.
func (w *Writer) leave(ctx context.Context, id labels.ID, name string) error {
	claims := w.Client.CoreV1().PersistentVolumeClaims(id.Namespace())
	var err error
	for range deleteTries {
		var live *corev1.PersistentVolumeClaim
		if live, err = claims.Get(ctx, name, metav1.GetOptions{}); err != nil {
			return gone(err)
		}
		if err = w.leaveAs(ctx, id, live); !apierrors.IsConflict(err) {
			return err
		}
	}
	return err
}

func (w *Writer) leaveAs(ctx context.Context, id labels.ID, live *corev1.PersistentVolumeClaim) error {
	apps := slices.DeleteFunc(appsOf(live), func(app string) bool { return app == id.App })
	if len(apps) == 0 {
		volume, err := w.Client.CoreV1().PersistentVolumes().Get(ctx, live.Spec.VolumeName, metav1.GetOptions{})
		if gone(err) != nil {
			return err
		}
		if err != nil {
			volume = nil
		}
		return w.remove(ctx, pair{volume, live})
	}
	own, err := corev1ac.ExtractPersistentVolumeClaim(live, FieldManager)
	if err != nil {
		return err
	}
	own.WithUID(live.UID).WithResourceVersion(live.ResourceVersion).WithAnnotations(map[string]string{usedBy: strings.Join(apps, ",")})
	_, err = w.Client.CoreV1().PersistentVolumeClaims(live.Namespace).Apply(ctx, own, metav1.ApplyOptions{FieldManager: FieldManager})
	return err
}
