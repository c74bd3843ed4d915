package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/kubetest"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// wire is the way to the API server. It notes the requests that change
// something and can break.
type wire struct {
	next http.RoundTripper
	mu   sync.Mutex
	// Changes that still get through; negative: all.
	left int
	// The change that breaks arrives, only its answer is lost.
	answerLost bool
	// Refuses a request that contains this; "": none.
	refuse  string
	changes []string
	broken  bool
}

var errCut = errors.New("the wire is cut")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := w.admit(r); err != nil {
		return nil, err
	}
	resp, err := w.next.RoundTrip(r)
	if err == nil && w.breaks(r) {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return nil, errCut
	}
	return resp, err
}

func (w *wire) admit(r *http.Request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken || w.refuse != "" && strings.Contains(r.Method+" "+r.URL.Path, w.refuse) {
		return errCut
	}
	if r.Method == http.MethodGet {
		return nil
	}
	if w.left == 0 && !w.answerLost {
		w.broken = true
		return errCut
	}
	w.changes = append(w.changes, r.Method+" "+r.URL.Path[strings.LastIndex(r.URL.Path, "/namespaces/")+len("/namespaces/"):])
	return nil
}

// breaks tells whether the answer of this change is lost.
func (w *wire) breaks(r *http.Request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Method == http.MethodGet || w.left < 0 {
		return false
	}
	w.broken = w.broken || w.left == 0
	w.left--
	return w.broken
}

// take gives the changes since the last call.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	changes := w.changes
	w.changes = nil
	return changes
}

// newWriter is a freshly started ipaas with no more rights than it needs.
func newWriter(t *testing.T, c *kubetest.Cluster, w *wire) (*kube.Writer, *kube.Cache) {
	t.Helper()
	config := c.Config(kubetest.ServiceAccount)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		if w.next == nil {
			w.next = next // the first one made is the client of the writer
		}
		return w
	})
	access, err := kube.NewAccessFrom(config)
	check(t, err)
	logger := slog.New(slog.DiscardHandler)
	cache := kube.NewCache(kube.CacheConfig{Client: access.Client, Logger: logger, Pods: func([]kube.Change[kube.Pod]) {}})
	return kube.NewWriter(kube.WriterConfig{Client: access.Client, Cache: cache, Logger: logger}), cache
}

func whole() *wire { return &wire{left: -1} }

// TestWriter runs writers against a real API server.
func TestWriter(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a kube-apiserver; left out by -short")
	}
	t.Parallel() // most of it is waiting for its API server
	c := kubetest.Start(t)
	c.GrantIpaas()
	t.Run("killed at each step", func(t *testing.T) { killedAtEachStep(t, c) })
	t.Run("what is there costs nothing", func(t *testing.T) { whatIsThereCostsNothing(t, c) })
	t.Run("replicas alone", func(t *testing.T) { replicasAlone(t, c) })
	t.Run("replicas that somebody else claims", func(t *testing.T) { replicasOfOthers(t, c) })
	t.Run("a namespace that is gone", func(t *testing.T) { namespaceIsGone(t, c) })
	t.Run("old configuration", func(t *testing.T) { oldConfiguration(t, c) })
	t.Run("a start behind a fence", func(t *testing.T) { startBehindAFence(t, c) })
}

// workload of a release with a port and a file.
func workload(id labels.ID, release int32) *ipaasv1.Workload {
	return &ipaasv1.Workload{
		App: id.Name(), Release: release, Replicas: 1, Image: "10.0.0.1:5000/hello@sha256:00",
		Spec: &gantryv1.AppSpec{
			Ports: []*gantryv1.Port{{Name: "http", Port: 8080}},
			Files: []*gantryv1.ConfigFile{{Path: "/etc/web.toml", Content: fmt.Sprintf("release = %d\n", release)}},
		},
	}
}

func apply(ctx context.Context, w *kube.Writer, work *ipaasv1.Workload) error {
	id, err := labels.Parse(work.GetApp())
	if err != nil {
		return err
	}
	objects, err := render.Render("site-t", work)
	if err != nil {
		return err
	}
	_, err = w.Apply(ctx, id, objects)
	return err
}

func applyConfig(ctx context.Context, w *kube.Writer, id labels.ID, release int32) (string, error) {
	config, err := render.Config(id.Name(), release, workload(id, release).GetSpec().GetFiles())
	if err != nil {
		return "", err
	}
	return w.ApplyConfig(ctx, id, release, render.Brought{Namespace: render.Namespace(id), Config: config})
}

// bring puts a secret and a volume there.
func bring(ctx context.Context, w *kube.Writer, id labels.ID, release int32) error {
	project := "projects/" + id.Project
	b, err := render.Bring(&ipaasv1.ApplyConfigRequest{
		App: id.Name(), Release: release,
		Secrets: []*ipaasv1.SecretContent{{Name: project + "/secrets/db", Version: fmt.Sprintf("sha256:%064d", release), Data: map[string][]byte{"n": []byte(fmt.Sprint(release))}}},
		Volumes: []*gantryv1.Volume{{Name: project + "/volumes/data", Sources: []*gantryv1.VolumeSource{{
			Cluster: "clusters/site-t", Source: &gantryv1.VolumeSource_Directory{Directory: "/mnt/data"},
		}}}},
	})
	if err != nil {
		return err
	}
	_, err = w.ApplyConfig(ctx, id, release, b)
	return err
}

// A kill between any two requests, before one arrives or before its answer
// does, ends in the same state as no kill. rule K5
func killedAtEachStep(t *testing.T, c *kubetest.Cluster) {
	ctx := t.Context()
	for name, op := range map[string]struct {
		before func(*kube.Writer, labels.ID) error
		run    func(*kube.Writer, labels.ID) error
		// Changes of an uninterrupted run.
		changes int
	}{
		"apply": {
			func(*kube.Writer, labels.ID) error { return nil },
			func(w *kube.Writer, id labels.ID) error { return apply(ctx, w, workload(id, 1)) }, 4,
		},
		"update": {
			func(w *kube.Writer, id labels.ID) error { return apply(ctx, w, workload(id, 1)) },
			func(w *kube.Writer, id labels.ID) error {
				if _, err := applyConfig(ctx, w, id, 2); err != nil {
					return err
				}
				next := workload(id, 2)
				next.Spec.Ports = nil
				return apply(ctx, w, next)
			}, 4,
		},
		"stop": {
			func(w *kube.Writer, id labels.ID) error { return apply(ctx, w, workload(id, 1)) },
			func(w *kube.Writer, id labels.ID) error { _, err := w.Stop(ctx, id, 7); return err }, 1,
		},
		"delete": {
			func(w *kube.Writer, id labels.ID) error {
				_, err := applyConfig(ctx, w, id, 1)
				return errors.Join(err, apply(ctx, w, workload(id, 2)))
			},
			func(w *kube.Writer, id labels.ID) error { return w.Delete(ctx, id) }, 4,
		},
		"bring": {
			func(*kube.Writer, labels.ID) error { return nil },
			func(w *kube.Writer, id labels.ID) error { return bring(ctx, w, id, 1) }, 4,
		},
		"leave": {
			func(w *kube.Writer, id labels.ID) error { return bring(ctx, w, id, 1) },
			func(w *kube.Writer, id labels.ID) error { return w.Delete(ctx, id) }, 3,
		},
	} {
		run := func(cut int, answerLost bool) (state, error) {
			id := labels.ID{Project: fmt.Sprintf("%s-%d-%t", name, cut, answerLost), App: "web"}
			good, _ := newWriter(t, c, whole())
			check(t, op.before(good, id))
			line := &wire{left: cut, answerLost: answerLost}
			doomed, _ := newWriter(t, c, line)
			err := op.run(doomed, id)
			if cut < 0 && len(line.take()) != op.changes {
				t.Errorf("%s: another number of changes than %d", name, op.changes)
			}
			restarted, _ := newWriter(t, c, whole())
			check(t, op.run(restarted, id))
			return stateOf(t, c, id), err
		}
		want, err := run(-1, false)
		check(t, err)
		for cut := range 2 * op.changes {
			got, err := run(cut/2, cut%2 == 0)
			if err == nil {
				t.Errorf("%s, cut after %d: no error", name, cut/2)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, cut after %d changes, answer lost %t (-whole +cut):\n%s", name, cut/2, cut%2 == 0, diff)
			}
		}
	}
}

// state is what an app is in the cluster, without what differs each time.
type state struct{ Deployments, Services, Configs, Secrets, Volumes, Claims []string }

func stateOf(t *testing.T, c *kubetest.Cluster, id labels.ID) state {
	t.Helper()
	var s state
	text := func(meta metav1.ObjectMeta, spec any) string {
		whole, err := json.Marshal([]any{meta.Name, meta.Labels, meta.Annotations, spec})
		check(t, err)
		return strings.ReplaceAll(string(whole), id.Project, "PROJECT")
	}
	deployments, err := c.Admin.AppsV1().Deployments(id.Namespace()).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	for _, d := range deployments.Items {
		s.Deployments = append(s.Deployments, text(d.ObjectMeta, d.Spec))
	}
	services, err := c.Admin.CoreV1().Services(id.Namespace()).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	for _, o := range services.Items {
		o.Spec.ClusterIP, o.Spec.ClusterIPs = "", nil
		s.Services = append(s.Services, text(o.ObjectMeta, o.Spec))
	}
	configs, err := c.Admin.CoreV1().ConfigMaps(id.Namespace()).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	for _, o := range configs.Items {
		s.Configs = append(s.Configs, text(o.ObjectMeta, o.Data))
	}
	secrets, err := c.Admin.CoreV1().Secrets(id.Namespace()).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	for _, o := range secrets.Items {
		s.Secrets = append(s.Secrets, text(o.ObjectMeta, o.Data))
	}
	volumes, err := c.Admin.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{LabelSelector: "gantry.dev/project=" + id.Project})
	check(t, err)
	for _, o := range volumes.Items {
		s.Volumes = append(s.Volumes, text(o.ObjectMeta, []any{o.Spec, o.DeletionTimestamp != nil}))
	}
	claims, err := c.Admin.CoreV1().PersistentVolumeClaims(id.Namespace()).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	for _, o := range claims.Items {
		s.Claims = append(s.Claims, text(o.ObjectMeta, []any{o.Spec, o.DeletionTimestamp != nil}))
	}
	return s
}

// A change of an app costs one write of the Deployment, and the rest only when
// it is not there as it should be.
func whatIsThereCostsNothing(t *testing.T, c *kubetest.Cluster) {
	id := labels.ID{Project: "cheap", App: "web"}
	line := whole()
	w, cache := newWriter(t, c, line)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cache.Run(ctx) }()
	defer func() {
		cancel()
		<-ended
	}()
	work := workload(id, 1)
	work.Spec.Files = nil
	check(t, apply(ctx, w, work))
	line.take()
	costs := func(what string, want ...string) {
		t.Helper()
		work.Replicas++
		check(t, apply(ctx, w, work))
		if diff := cmp.Diff(want, line.take()); diff != "" {
			t.Errorf("%s costs (-want +got):\n%s", what, diff)
		}
	}
	settles := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within %s: %s", patience, what)
			}
			work.Replicas++
			check(t, apply(ctx, w, work))
		}
		line.take()
	}
	deployment := "PATCH gantry-cheap/deployments/web"
	scale := deployment + "/scale"
	settles("the cache knows all", func() bool { return len(line.take()) == 1 })
	costs("a change of the replicas", scale)
	services := c.Admin.CoreV1().Services(id.Namespace())
	check(t, services.Delete(ctx, id.App, metav1.DeleteOptions{}))
	settles("a service that somebody deleted is made again", func() bool {
		_, err := services.Get(ctx, id.App, metav1.GetOptions{})
		return err == nil
	})
	settles("the cache knows all", func() bool { return len(line.take()) == 1 })
	// The cache cannot have heard of the one before.
	for _, ports := range [][]*gantryv1.Port{nil, {{Name: "http", Port: 8080}}, nil} {
		work.Spec.Ports = ports
		check(t, apply(ctx, w, work))
		_, err := services.Get(ctx, id.App, metav1.GetOptions{})
		if apierrors.IsNotFound(err) != (ports == nil) {
			t.Errorf("with the ports %v: %v", ports, err)
		}
	}
}

func namespaceIsGone(t *testing.T, c *kubetest.Cluster) {
	w, _ := newWriter(t, c, whole())
	check(t, apply(t.Context(), w, workload(labels.ID{Project: "gone", App: "first"}, 1)))
	namespaces := c.Admin.CoreV1().Namespaces()
	check(t, namespaces.Delete(t.Context(), "gantry-gone", metav1.DeleteOptions{}))
	ns, err := namespaces.Get(t.Context(), "gantry-gone", metav1.GetOptions{})
	check(t, err)
	if err := apply(t.Context(), w, workload(labels.ID{Project: "gone", App: "second"}, 1)); !fault.HasReason(err, "NAMESPACE_TERMINATING") {
		t.Errorf("while it goes: %v, want NAMESPACE_TERMINATING", err)
	}
	ns.Spec.Finalizers = nil
	_, err = namespaces.Finalize(t.Context(), ns, metav1.UpdateOptions{})
	check(t, err)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := apply(t.Context(), w, workload(labels.ID{Project: "gone", App: "second"}, 1))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("when it is gone: %v, want it to be made again", err)
		}
	}
}
