package kube_test

import (
	"slices"
	"testing"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/kubetest"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/render"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// configsOf gives the names of an app's configuration objects.
func configsOf(t *testing.T, c *kubetest.Cluster, id labels.ID) []string {
	t.Helper()
	list, err := c.Admin.CoreV1().ConfigMaps(id.Namespace()).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	var names []string
	for _, m := range list.Items {
		names = append(names, m.Name)
	}
	return names
}

// Configuration stays for the last 20 releases and for whatever refers to it,
// and goes otherwise, a few objects at a time. rules K1, K2, K3
func oldConfiguration(t *testing.T, c *kubetest.Cluster) {
	id := labels.ID{Project: "config", App: "web"}
	line := whole()
	w, _ := newWriter(t, c, line)
	names := map[int32]string{}
	release := func(n int32) {
		t.Helper()
		var err error
		names[n], err = applyConfig(t.Context(), w, id, n)
		check(t, err)
	}
	gone := func(want ...int32) {
		t.Helper()
		there, missing := configsOf(t, c, id), []int32(nil)
		for n, name := range names {
			if !slices.Contains(there, name) {
				missing = append(missing, n)
			}
		}
		slices.Sort(missing)
		if diff := cmp.Diff(want, missing); diff != "" {
			t.Errorf("gone (-want +got):\n%s", diff)
		}
	}
	for n := range int32(20) {
		release(n + 1)
	}
	check(t, apply(t.Context(), w, workload(id, 2)))
	addReplicaSet(t, c, id, 3)
	gone()
	release(21)
	gone(1)
	line.refuse = "GET /apis/apps/v1/namespaces/gantry-config/replicasets"
	release(30)
	gone(1) // what is used is not known, so everything is
	line.refuse = ""
	release(30) // nothing new, so there is nothing to sweep
	gone(1)
	release(31)
	gone(1, 4, 5, 6) // the Deployment has 2, a ReplicaSet 3, and no more than three at once
	release(32)
	gone(1, 4, 5, 6, 7, 8, 9)
	_, err := w.ApplyConfig(t.Context(), id, 33, render.Brought{Namespace: render.Namespace(id)})
	check(t, err)
	gone(1, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	name, err := applyConfig(t.Context(), w, id, 5)
	if err != nil || name != names[5] {
		t.Errorf("a rollback gets %s, %v, want %s again", name, err, names[5])
	}
	check(t, w.Delete(t.Context(), id))
	if left := configsOf(t, c, id); len(left) > 0 {
		t.Errorf("%v is left after the app", left)
	}
}

// addReplicaSet plays the controller: it keeps the template of a release.
func addReplicaSet(t *testing.T, c *kubetest.Cluster, id labels.ID, release int32) {
	t.Helper()
	old := workload(id, release)
	old.App = id.Name() + "-old"
	w, _ := newWriter(t, c, whole())
	check(t, apply(t.Context(), w, old))
	d, err := c.Admin.AppsV1().Deployments(id.Namespace()).Get(t.Context(), id.App+"-old", metav1.GetOptions{})
	check(t, err)
	template := d.Spec.Template
	template.Labels = id.All(release)
	template.Spec.Volumes[0].ConfigMap.Name = render.ConfigName(id, old.GetSpec().GetFiles())
	check(t, w.Delete(t.Context(), labels.ID{Project: id.Project, App: id.App + "-old"}))
	none := int32(0)
	_, err = c.Admin.AppsV1().ReplicaSets(id.Namespace()).Create(t.Context(), &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web-old", Labels: id.All(release)},
		Spec:       appsv1.ReplicaSetSpec{Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: id.Selector()}, Template: template},
	}, metav1.CreateOptions{})
	check(t, err)
}

// A start that was under way when the fence came fails, also in another ipaas
// and also when there was nothing to scale down. rule C5
func startBehindAFence(t *testing.T, c *kubetest.Cluster) {
	id := labels.ID{Project: "fence", App: "web"}
	old, _ := newWriter(t, c, whole())
	fencing, _ := newWriter(t, c, whole())
	work := workload(id, 1)
	work.Spec.Class = gantryv1.AppClass_APP_CLASS_SINGLE
	for epoch, replicas := range map[int64]int32{11: 1, 12: 0} {
		work.Replicas = replicas
		check(t, apply(t.Context(), old, work))
		work.Replicas = 1
		start, err := render.Render("site-t", work)
		check(t, err)
		check(t, old.Pin(t.Context(), id, start))
		_, err = fencing.Stop(t.Context(), id, epoch)
		check(t, err)
		if _, err := old.Apply(t.Context(), id, start); !fault.HasReason(err, "WORKLOAD_CHANGED") {
			t.Errorf("from %d replicas: %v, want WORKLOAD_CHANGED", replicas, err)
		}
		d, err := c.Admin.AppsV1().Deployments(id.Namespace()).Get(t.Context(), id.App, metav1.GetOptions{})
		check(t, err)
		if *d.Spec.Replicas != 0 {
			t.Errorf("%d replicas behind the fence", *d.Spec.Replicas)
		}
	}
	check(t, apply(t.Context(), old, work)) // the field is still Gantry's alone
	never := labels.ID{Project: "fence", App: "never"}
	if pods, err := fencing.Stop(t.Context(), never, 12); pods != 0 || err != nil {
		t.Errorf("an app that never was: %d pods, %v", pods, err)
	}
}
