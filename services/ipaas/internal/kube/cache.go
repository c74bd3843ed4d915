package kube

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gantry.dev/services/ipaas/internal/labels"
	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Cache holds live copies of the cluster's pods, nodes and Gantry's
// deployments and services. While the API server is away it keeps what it knew
// last.
type Cache struct {
	config      CacheConfig
	pin         *pin
	pods        *mirror[Pod]
	nodes       *mirror[Node]
	deployments *mirror[Deployment]
	services    *mirror[service]
}

// CacheConfig is what NewCache needs; every field is required.
type CacheConfig struct {
	Client kubernetes.Interface
	Logger *slog.Logger
	// Pods gets each change of a pod, in order, and the first whole list in
	// one call, even when it is empty. It must not block.
	Pods func([]Change[Pod])
}

// NewCache makes an empty cache; Run fills it.
func NewCache(c CacheConfig) *Cache {
	return &Cache{
		config:      c,
		pin:         &pin{client: c.Client},
		pods:        newMirror(toPod, c.Pods),
		nodes:       newMirror(toNode, func([]Change[Node]) {}),
		deployments: newMirror(toDeployment, func([]Change[Deployment]) {}),
		services:    newMirror(toService, func([]Change[service]) {}),
	}
}

// Run follows the cluster until ctx ends or another cluster answers
// (ErrOtherCluster).
func (c *Cache) Run(ctx context.Context) error {
	// client-go would log each of its attempts; source says once what is
	// wrong.
	ctx, cancel := context.WithCancelCause(klog.NewContext(ctx, logr.Discard()))
	defer cancel(nil)
	var group sync.WaitGroup
	for _, r := range c.reflectors(cancel) {
		group.Go(func() { r.RunWithContext(ctx) })
	}
	group.Wait()
	return context.Cause(ctx)
}

// reflectors end everything when they meet another cluster.
func (c *Cache) reflectors(end context.CancelCauseFunc) []*cache.Reflector {
	core, apps := c.config.Client.CoreV1(), c.config.Client.AppsV1()
	all := metav1.NamespaceAll
	return []*cache.Reflector{
		c.reflector("pods", &corev1.Pod{}, c.pods, source{
			end: end,
			list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return core.Pods(all).List(ctx, o)
			},
			watch: core.Pods(all).Watch,
		}),
		c.reflector("nodes", &corev1.Node{}, c.nodes, source{
			end: end,
			list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return core.Nodes().List(ctx, o)
			},
			watch: core.Nodes().Watch,
		}),
		c.reflector("deployments", &appsv1.Deployment{}, c.deployments, source{
			end:      end,
			selector: labels.Selector,
			list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return apps.Deployments(all).List(ctx, o)
			},
			watch: apps.Deployments(all).Watch,
		}),
		c.reflector("services", &corev1.Service{}, c.services, source{
			end:      end,
			selector: labels.Selector,
			list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return core.Services(all).List(ctx, o)
			},
			watch: core.Services(all).Watch,
		}),
	}
}

func (c *Cache) reflector(kind string, expected runtime.Object, into cache.ReflectorStore, s source) *cache.Reflector {
	s.kind, s.logger, s.pin = kind, c.config.Logger, c.pin
	return cache.NewReflectorWithOptions(s.listWatch(), expected, into, cache.ReflectorOptions{
		Name: kind,
		// Endpoints must be right soon after the API server is back.
		Backoff: &wait.Backoff{Duration: 400 * time.Millisecond, Jitter: 0.5},
	})
}

// Synced tells whether everything has been read once; if not, missing names
// the kinds that have not. Nothing may be answered before (rule K1). Services
// are not waited for: nothing is answered from them, they only save writes.
func (c *Cache) Synced() (synced bool, missing string) {
	var open []string
	for _, k := range []struct {
		name   string
		synced bool
	}{{"pods", c.pods.isSynced()}, {"nodes", c.nodes.isSynced()}, {"deployments", c.deployments.isSynced()}} {
		if !k.synced {
			open = append(open, k.name)
		}
	}
	return len(open) == 0, strings.Join(open, ", ")
}

// Identity of the cluster that the cache is about; empty before the first
// answer.
func (c *Cache) Identity() string { return c.pin.identity() }

// EachPod calls f with every pod of the cluster, in no order.
func (c *Cache) EachPod(f func(Pod)) { c.pods.each(f) }

// EachNode calls f with every node, in no order.
func (c *Cache) EachNode(f func(Node)) { c.nodes.each(f) }

// EachDeployment calls f with every app's Deployment, in no order.
func (c *Cache) EachDeployment(f func(Deployment)) {
	c.deployments.each(func(d Deployment) {
		if d.App != (labels.ID{}) {
			f(d)
		}
	})
}

// hasDeployment tells whether an app's Deployment was there when the cluster
// was heard of last.
func (c *Cache) hasDeployment(id labels.ID) bool {
	_, ok := c.deployments.get(id.Namespace() + "/" + id.App)
	return ok
}

// deployment is an app's Deployment as the cluster was heard of last.
func (c *Cache) deployment(id labels.ID) (Deployment, bool) {
	return c.deployments.get(id.Namespace() + "/" + id.App)
}

// serviceShape gives the shape of an app's Service when the cluster was heard
// of last, "" if there was none; ok is false while that is not known.
func (c *Cache) serviceShape(id labels.ID) (shape string, ok bool) {
	s, _ := c.services.get(id.Namespace() + "/" + id.App)
	return s.Shape, c.services.isSynced()
}

// source lists and watches one kind, and says once when that begins to fail.
type source struct {
	kind, selector string
	list           func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch          func(context.Context, metav1.ListOptions) (watch.Interface, error)
	logger         *slog.Logger
	pin            *pin
	end            context.CancelCauseFunc
}

func (s source) listWatch() *cache.ListWatch {
	failing := false // only the reflector's own goroutine calls
	// verify gives err, or the reason for which the answer does not count.
	verify := func(ctx context.Context, err error) error {
		if err == nil {
			err = s.pin.check(ctx)
		}
		if errors.Is(err, ErrOtherCluster) {
			s.end(err)
		} else if err != nil && !failing && ctx.Err() == nil {
			s.logger.Warn("following the cluster fails; the last known state stays", "kind", s.kind, "error", err.Error())
		}
		failing = err != nil
		return err
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = s.selector
			list, err := s.list(ctx, o)
			return list, verify(ctx, err)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = s.selector
			w, err := s.watch(ctx, o)
			refused := verify(ctx, err)
			if err == nil && refused != nil {
				w.Stop()
			}
			return w, refused
		},
	}
}
