// Package load plays the load of all apps: it knows which pods exist, divides
// an overloaded app's CPU use evenly among them, and tells Prometheus in the
// kubelet's form.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"gantry.dev/test/bench/internal/kube"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Labels of Gantry's pods.
const (
	AppLabel     = "gantry.dev/app"
	ProjectLabel = "gantry.dev/project"
)

// Generator plays the load. Safe for concurrent use.
type Generator struct {
	mu sync.Mutex
	// CPUs that all pods of an app use together; each pod of an app that is not
	// named uses the normal number, however many there are.
	offered map[kube.Key]float64
	normal  float64
	// The use of each app that is not in offered is another at each scrape, by
	// at most this share.
	jitter float64
	live   map[kube.Key]int
	sites  map[string]*site
}

// site is one cluster's pods.
type site struct {
	pods    map[string]*pod
	scraped time.Time
	lost    bool
}

type pod struct {
	app             kube.Key
	namespace, name string
	// CPU seconds since it began.
	used float64
}

// New makes a generator; normal is what each pod uses of an app of which
// nothing else is said, in CPUs.
func New(normal float64) *Generator {
	return &Generator{offered: map[kube.Key]float64{}, normal: normal, live: map[kube.Key]int{}, sites: map[string]*site{}}
}

// Follow learns of a cluster's pods until ctx ends.
func (g *Generator) Follow(ctx context.Context, k *kube.Cluster) error {
	g.mu.Lock()
	s := &site{pods: map[string]*pod{}}
	g.sites[k.Name] = s
	g.mu.Unlock()
	factory := informers.NewSharedInformerFactoryWithOptions(k.Client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = AppLabel }))
	informer := factory.Core().V1().Pods().Informer()
	if err := informer.SetTransform(slim); err != nil {
		return err
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { g.see(s, object) },
		UpdateFunc: func(_, object any) { g.see(s, object) },
		DeleteFunc: func(object any) { g.forget(s, object) },
	})
	if err != nil {
		return fmt.Errorf("watch the pods of %s: %w", k.Name, err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("watch the pods of %s: %w", k.Name, ctx.Err())
	}
	return nil
}

// slim keeps of a pod what is needed here.
func slim(object any) (any, error) {
	p, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion, DeletionTimestamp: p.DeletionTimestamp,
			Labels: map[string]string{AppLabel: p.Labels[AppLabel], ProjectLabel: p.Labels[ProjectLabel]},
		},
		Status: corev1.PodStatus{Phase: p.Status.Phase},
	}, nil
}

func (g *Generator) see(s *site, object any) {
	p, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	uid := string(p.UID)
	_, known := s.pods[uid]
	switch running := p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil; {
	case running && !known:
		app := kube.KeyOf(p.Namespace, p.Labels[AppLabel])
		s.pods[uid] = &pod{app: app, namespace: p.Namespace, name: p.Name}
		g.live[app]++
	case !running && known:
		g.drop(s, uid)
	}
}

func (g *Generator) forget(s *site, object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if p, ok := object.(*corev1.Pod); ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.drop(s, string(p.UID))
	}
}

func (g *Generator) drop(s *site, uid string) {
	if p, ok := s.pods[uid]; ok {
		g.live[p.app]--
		delete(s.pods, uid)
	}
}

// Offer sets what an app's pods use together from now on, without jitter, in
// CPUs.
func (g *Generator) Offer(app kube.Key, cpus float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.offered[app] = cpus
}

// Calm takes back all offers.
func (g *Generator) Calm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.offered)
}

// Jitter sets by which share each app's normal use is another at each scrape.
func (g *Generator) Jitter(share float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jitter = share
}

// Lose lets a cluster's exporter fall silent. Its pods keep their share of the
// load until Bury: nobody has taken it over yet.
func (g *Generator) Lose(cluster string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sites[cluster].lost = true
}

// Bury divides the load among the pods of the other clusters.
func (g *Generator) Bury(cluster string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sites[cluster]
	for uid := range s.pods {
		g.drop(s, uid)
	}
}

// Pods counts the pods that exist.
func (g *Generator) Pods() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, s := range g.sites {
		n += len(s.pods)
	}
	return n
}

// ServeHTTP answers /{cluster}/metrics.
func (g *Generator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := g.render(r.PathValue("cluster"), time.Now())
	if !ok {
		http.Error(w, "this cluster is dead", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = w.Write(body) // Prometheus asks again
}

// render moves all counters of a cluster on to now. The time stamps are the
// generator's own, as a kubelet's are: a late scrape changes no rate.
func (g *Generator) render(cluster string, now time.Time) ([]byte, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.sites[cluster]
	if !ok || s.lost {
		return nil, false
	}
	passed := 0.0
	if !s.scraped.IsZero() {
		passed = now.Sub(s.scraped).Seconds()
	}
	s.scraped = now
	factors := map[kube.Key]float64{}
	out := make([]byte, 0, 192*len(s.pods)+64)
	out = append(out, "# TYPE container_cpu_usage_seconds_total counter\n"...)
	for _, p := range s.pods {
		p.used += passed * g.use(p.app, factors)
		out = appendSample(out, p, now)
	}
	return out, true
}

// use of one pod of an app now, in CPUs.
func (g *Generator) use(app kube.Key, factors map[kube.Key]float64) float64 {
	if offered, ok := g.offered[app]; ok {
		return offered / float64(g.live[app])
	}
	factor, ok := factors[app]
	if !ok {
		factor = 1 + g.jitter*(2*rand.Float64()-1) //nolint:gosec // noise
		factors[app] = factor
	}
	return factor * g.normal
}

// appendSample writes one series. A kubelet has no label app; Prometheus often
// adds it by a rule, and the adapter's queries for the HPA are cheapest with
// it. Gantry's queries do not use it.
func appendSample(out []byte, p *pod, now time.Time) []byte {
	out = append(out, `container_cpu_usage_seconds_total{container="app",namespace="`...)
	out = append(out, p.namespace...)
	out = append(out, `",pod="`...)
	out = append(out, p.name...)
	out = append(out, `",app="`...)
	out = append(out, p.app.Name()...)
	out = append(out, `"} `...)
	out = strconv.AppendFloat(out, p.used, 'f', 6, 64)
	out = append(out, ' ')
	out = strconv.AppendInt(out, now.UnixMilli(), 10)
	return append(out, '\n')
}
