package kube

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strconv"

	"gantry.dev/services/ipaas/internal/labels"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// content is an object that an app's release needs and that is named by what
// it holds, so that it never changes: a ConfigMap or a Secret.
type content struct {
	what string
	// labels are those that apply gives it.
	labels map[string]string
	// read gives what is there, and whether it holds what it should.
	read  func(context.Context) (live metav1.ObjectMeta, holds bool, err error)
	apply func(context.Context) error
}

func (w *Writer) configContent(config *corev1ac.ConfigMapApplyConfiguration) content {
	client := w.Client.CoreV1().ConfigMaps(*config.Namespace)
	return content{
		what:   fmt.Sprintf("the configuration %s/%s", *config.Namespace, *config.Name),
		labels: config.Labels,
		read: func(ctx context.Context) (metav1.ObjectMeta, bool, error) {
			live, err := client.Get(ctx, *config.Name, metav1.GetOptions{})
			if err != nil {
				return metav1.ObjectMeta{}, false, err
			}
			return live.ObjectMeta, immutable(live.Immutable) && maps.Equal(live.Data, config.Data), nil
		},
		apply: func(ctx context.Context) error {
			_, err := client.Apply(ctx, config, metav1.ApplyOptions{FieldManager: FieldManager})
			return err
		},
	}
}

func (w *Writer) secretContent(secret *corev1ac.SecretApplyConfiguration) content {
	client := w.Client.CoreV1().Secrets(*secret.Namespace)
	return content{
		what:   fmt.Sprintf("the secret %s/%s", *secret.Namespace, *secret.Name),
		labels: secret.Labels,
		read: func(ctx context.Context) (metav1.ObjectMeta, bool, error) {
			live, err := client.Get(ctx, *secret.Name, metav1.GetOptions{})
			if err != nil {
				return metav1.ObjectMeta{}, false, err
			}
			return live.ObjectMeta, immutable(live.Immutable) && maps.EqualFunc(live.Data, secret.Data, bytes.Equal), nil
		},
		apply: func(ctx context.Context) error {
			_, err := client.Apply(ctx, secret, metav1.ApplyOptions{FieldManager: FieldManager})
			return err
		},
	}
}

func immutable(b *bool) bool { return b != nil && *b }

// ensure applies an object unless it is there as it should be. Its release is
// the newest that uses it, so it never falls.
func ensure(ctx context.Context, c content, release int32) (written bool, err error) {
	live, holds, err := c.read(ctx)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return false, faultOf(err, "read "+c.what)
	default:
		_, newest, ours := labels.Of(live.Namespace, live.Labels)
		if ours && holds && newest >= release {
			return false, nil
		}
		if ours && newest > release {
			c.labels[labels.Release] = strconv.Itoa(int(newest))
		}
	}
	if err := c.apply(ctx); err != nil {
		return false, faultOf(err, "apply "+c.what)
	}
	return true, nil
}

// shelf is where all contents of one kind are.
type shelf struct {
	what string
	// list gives what the selector finds, and of each whether it is immutable.
	list   func(ctx context.Context, ns string, o metav1.ListOptions) ([]metav1.ObjectMeta, error)
	object func(ns, name string) object
	// uses are the names that a pod refers to.
	uses func(corev1.PodSpec) []string
}

func (w *Writer) shelves() []shelf { return []shelf{w.configShelf(), w.secretShelf()} }

func (w *Writer) configShelf() shelf {
	return shelf{
		what: "configuration",
		list: func(ctx context.Context, ns string, o metav1.ListOptions) ([]metav1.ObjectMeta, error) {
			list, err := w.Client.CoreV1().ConfigMaps(ns).List(ctx, o)
			if err != nil {
				return nil, err
			}
			var all []metav1.ObjectMeta
			for _, m := range list.Items {
				if immutable(m.Immutable) {
					all = append(all, m.ObjectMeta)
				}
			}
			return all, nil
		},
		object: func(ns, name string) object {
			client := w.Client.CoreV1().ConfigMaps(ns)
			return object{
				what:   fmt.Sprintf("the configuration %s/%s", ns, name),
				get:    func(ctx context.Context) (metav1.Object, error) { return client.Get(ctx, name, metav1.GetOptions{}) },
				delete: func(ctx context.Context, o metav1.DeleteOptions) error { return client.Delete(ctx, name, o) },
			}
		},
		uses: configsIn,
	}
}

func (w *Writer) secretShelf() shelf {
	return shelf{
		what: "secrets",
		list: func(ctx context.Context, ns string, o metav1.ListOptions) ([]metav1.ObjectMeta, error) {
			list, err := w.Client.CoreV1().Secrets(ns).List(ctx, o)
			if err != nil {
				return nil, err
			}
			var all []metav1.ObjectMeta
			for _, m := range list.Items {
				if immutable(m.Immutable) {
					all = append(all, m.ObjectMeta)
				}
			}
			return all, nil
		},
		object: func(ns, name string) object {
			client := w.Client.CoreV1().Secrets(ns)
			return object{
				what:   fmt.Sprintf("the secret %s/%s", ns, name),
				get:    func(ctx context.Context) (metav1.Object, error) { return client.Get(ctx, name, metav1.GetOptions{}) },
				delete: func(ctx context.Context, o metav1.DeleteOptions) error { return client.Delete(ctx, name, o) },
			}
		},
		uses: secretsIn,
	}
}

func configsIn(pod corev1.PodSpec) []string {
	var names []string
	for _, v := range pod.Volumes {
		if v.ConfigMap != nil {
			names = append(names, v.ConfigMap.Name)
		}
	}
	return names
}

func secretsIn(pod corev1.PodSpec) []string {
	var names []string
	for _, v := range pod.Volumes {
		if v.Secret != nil {
			names = append(names, v.Secret.SecretName)
		}
	}
	for _, c := range pod.Containers {
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				names = append(names, e.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
	return names
}

// contents reads an app's objects of one kind.
func (s shelf) contents(ctx context.Context, id labels.ID) ([]metav1.ObjectMeta, error) {
	all, err := s.list(ctx, id.Namespace(), selecting(id.All(0)))
	return all, faultOf(err, "list the "+s.what+" of "+id.Name())
}
