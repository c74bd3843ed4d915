package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"gantry.dev/services/ipaas/internal/labels"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// service is what ipaas keeps of a Service: the fields that Gantry sets, as
// they are in the cluster, so that a change by somebody else shows.
type service struct{ Shape string }

func toService(obj any) (service, error) {
	s, ok := obj.(*corev1.Service)
	if !ok {
		return service{}, fmt.Errorf("%T is no service", obj)
	}
	shape, err := shapeOf(s)
	return service{Shape: shape}, err
}

// shapeOf is a text that is the same for two Services that are the same as far
// as Gantry sets their fields.
func shapeOf(s *corev1.Service) (string, error) {
	id, _, ours := labels.Of(s.Namespace, s.Labels)
	ports := make([]corev1.ServicePort, len(s.Spec.Ports))
	for i, p := range s.Spec.Ports {
		ports[i] = corev1.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: p.Port, TargetPort: p.TargetPort}
	}
	text, err := json.Marshal([]any{ours, id, s.Spec.Type, s.Spec.Selector, ports})
	if err != nil {
		return "", fmt.Errorf("the service %s/%s: %w", s.Namespace, s.Name, err)
	}
	return string(text), nil
}

// wantedShape is the shape of a Service that would be applied; "" for none.
func wantedShape(c *corev1ac.ServiceApplyConfiguration) (string, error) {
	if c == nil {
		return "", nil
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("the service %s/%s: %w", *c.Namespace, *c.Name, err)
	}
	var s corev1.Service
	if err := json.Unmarshal(text, &s); err != nil {
		return "", fmt.Errorf("the service %s/%s: %w", *c.Namespace, *c.Name, err)
	}
	return shapeOf(&s)
}

// written remembers what this ipaas did to Services: the cache hears of it a
// little later, and must not be believed until then.
type written struct {
	mu     sync.Mutex
	shapes map[labels.ID]string
}

func (w *written) put(id labels.ID, shape string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shapes[id] = shape
}

// agrees tells whether nothing else than this shape was written last.
func (w *written) agrees(id labels.ID, shape string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, wrote := w.shapes[id]
	return !wrote || last == shape
}

// applyService brings an app's Service to the wanted state, and removes that
// of an app that has no ports any more. A Service that is as it should be
// costs nothing: most changes of an app do not concern it.
func (w *Writer) applyService(ctx context.Context, id labels.ID, s *corev1ac.ServiceApplyConfiguration) error {
	wanted, err := wantedShape(s)
	if err != nil {
		return err
	}
	if seen, ok := w.Cache.serviceShape(id); ok && seen == wanted && w.services.agrees(id, wanted) {
		return nil
	}
	if s == nil {
		err = w.delete(ctx, w.service(id.Namespace(), id.App))
	} else {
		_, err = w.Client.CoreV1().Services(id.Namespace()).Apply(ctx, s, metav1.ApplyOptions{FieldManager: FieldManager})
		err = faultOf(err, fmt.Sprintf("apply the service %s/%s", id.Namespace(), id.App))
	}
	if err == nil {
		w.services.put(id, wanted)
	}
	return err
}
