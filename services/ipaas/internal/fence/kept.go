package fence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/labels"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Where the epochs are kept: the largest one under epochKey, those of fenced
// apps under "app.{project}.{app}". Ids hold no dots.
const (
	configMap = "gantry-fence"
	epochKey  = "epoch"
	appPrefix = "app."
)

// kept is what the cluster keeps. It is shared, so it is never changed.
type kept struct {
	// Nil while there is none.
	object *corev1.ConfigMap
	epoch  int64
	// Epochs of fenced apps.
	apps map[labels.ID]int64
}

// after is what must be kept before the change may run; needed is false when
// that is so already, or when the change is the older one.
func (k kept) after(c Change) (next kept, needed bool) {
	if c.Epoch < k.epoch {
		return k, false
	}
	fences := c.Fences && k.apps[c.App] < c.Epoch
	if c.Epoch == k.epoch && k.object != nil && !fences {
		return k, false
	}
	next = kept{object: k.object, epoch: c.Epoch, apps: maps.Clone(k.apps)}
	if fences {
		if next.apps == nil {
			next.apps = map[labels.ID]int64{}
		}
		next.apps[c.App] = c.Epoch
	}
	return next, true
}

// without takes one app out.
func (k kept) without(app labels.ID) (next kept, needed bool) {
	if _, fenced := k.apps[app]; !fenced {
		return k, false
	}
	next = kept{object: k.object, epoch: k.epoch, apps: maps.Clone(k.apps)}
	delete(next.apps, app)
	return next, true
}

func (k kept) data() map[string]string {
	data := map[string]string{epochKey: strconv.FormatInt(k.epoch, 10)}
	for app, epoch := range k.apps {
		data[appPrefix+app.Project+"."+app.App] = strconv.FormatInt(epoch, 10)
	}
	return data
}

// read asks the API server. Fault: FENCE_BROKEN for what is not understood,
// since it admits nobody.
func (f *Fence) read(ctx context.Context) (kept, error) {
	object, err := f.maps.Get(ctx, configMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return kept{epoch: f.largest.Load()}, nil
	}
	if err != nil {
		return kept{}, unavailable("read", err)
	}
	k := kept{object: object, apps: map[labels.ID]int64{}}
	if k.epoch, err = strconv.ParseInt(object.Data[epochKey], 10, 64); err != nil {
		return kept{}, broken(err)
	}
	for key, value := range object.Data {
		rest, isApp := strings.CutPrefix(key, appPrefix)
		if !isApp {
			continue
		}
		project, app, _ := strings.Cut(rest, ".")
		if k.apps[labels.ID{Project: project, App: app}], err = strconv.ParseInt(value, 10, 64); err != nil {
			return kept{}, broken(fmt.Errorf("%s: %w", key, err))
		}
	}
	return k, nil
}

// write keeps it and notes its epoch; the resourceVersion of what was read
// makes the API server refuse if somebody wrote in between.
func (f *Fence) write(ctx context.Context, k kept) error {
	var err error
	if k.object == nil {
		meta := metav1.ObjectMeta{Name: configMap, Labels: map[string]string{labels.ManagedBy: labels.Manager}}
		_, err = f.maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: k.data()}, metav1.CreateOptions{})
	} else {
		object := k.object.DeepCopy()
		object.Data = k.data()
		_, err = f.maps.Update(ctx, object, metav1.UpdateOptions{})
	}
	if apierrors.IsNotFound(err) {
		return errors.Join(fmt.Errorf("the namespace %s is missing; apply ipaas' roles", labels.SystemNamespace), err)
	}
	if err == nil {
		f.note(k.epoch)
	}
	return err
}

func unavailable(done string, err error) error {
	return fault.Unavailable("FENCE_UNAVAILABLE", "the epoch cannot be %s in %s/%s; try again: %w", done, labels.SystemNamespace, configMap, err)
}

func broken(err error) error {
	return fault.Precondition("FENCE_BROKEN", "%s/%s holds no epoch; delete it if no older leader is alive: %w", labels.SystemNamespace, configMap, err)
}
