package reconcile

import (
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
)

const (
	dbSecret   = "projects/pay/secrets/db"
	dataVolume = "projects/pay/volumes/data"
)

// secret makes a version of db that the next releases have.
func (w *world) secret(password string) string {
	w.t.Helper()
	change := store.NewChange()
	version, err := w.vault.Put(change, dbSecret, map[string][]byte{"password": []byte(password)})
	w.ok(err)
	w.commit(change)
	return version
}

// volume is in these clusters.
func (w *world) volume(clusters ...string) {
	w.t.Helper()
	v := &gantryv1.Volume{Name: dataVolume, Capacity: "5Gi"}
	for _, c := range clusters {
		v.Sources = append(v.Sources, &gantryv1.VolumeSource{Cluster: "clusters/" + c, Source: &gantryv1.VolumeSource_Directory{Directory: "/mnt/" + c}})
	}
	change := store.NewChange()
	w.store.Volumes.Put(change, dataVolume, v, store.Any)
	w.commit(change)
}

// released stores what the API does of the release that the app has now.
func (w *world) released(name, version string) {
	w.t.Helper()
	app, err := w.store.Apps.Get(w.t.Context(), "projects/pay/apps/"+name)
	w.ok(err)
	release := store.ReleaseName(app.Name, app.Value.GetStatus().GetRelease())
	change := store.NewChange()
	w.store.Releases.Put(change, release, &gantryv1.Release{Name: release, SecretVersions: map[string]string{dbSecret: version}}, 0)
	w.commit(change)
}

func withSecret(s *gantryv1.AppSpec) {
	s.Env = []*gantryv1.EnvVar{{Name: "PASSWORD", Secret: &gantryv1.SecretKey{Secret: dbSecret, Key: "password"}}}
}

func withVolume(s *gantryv1.AppSpec) {
	s.Volumes = []*gantryv1.VolumeMount{{Volume: dataVolume, Path: "/data"}}
}

// The content goes into every cluster before the workload, which names the
// version; a rollback brings the old version back.
func secretsGoWithTheRelease(w *world) {
	first := w.secret("1")
	w.deploy("web", 1, withSecret)
	w.released("web", first)
	w.settle()
	for name, c := range w.cells {
		if got := c.brought["web"].GetSecrets(); len(got) != 1 || got[0].GetVersion() != first || string(got[0].GetData()["password"]) != "1" {
			w.t.Errorf("%s was given %v", name, got)
		}
	}
	w.calls("site-a", w.a(), "apply web 1 r1", "config web 1")
	w.calls("a cluster without replicas", w.b(), "config web 1")
	if diff := cmp.Diff(map[string]string{dbSecret: first}, w.a().apps[web1].workload.GetSecretVersions()); diff != "" {
		w.t.Errorf("the workload's versions (-want +got):\n%s", diff)
	}
	second := w.secret("2")
	w.deploy("web", 1, withSecret)
	w.released("web", second)
	w.settle()
	w.deploy("web", 1, withSecret)
	w.released("web", first)
	w.settle()
	if got := w.a().brought["web"].GetSecrets()[0]; got.GetVersion() != first || string(got.GetData()["password"]) != "1" {
		w.t.Errorf("after the rollback: %v", got)
	}
}

// A secret that cannot be opened keeps its app waiting, and nobody else.
func aSecretThatCannotBeOpened(w *world) {
	version := w.secret("1")
	w.deploy("web", 1, withSecret)
	w.released("web", version)
	w.deploy("other", 1)
	change := store.NewChange()
	w.store.SecretVersions.DeleteAll(change, dbSecret)
	w.commit(change)
	if err := w.pass(); err == nil || !strings.Contains(err.Error(), "open the secrets of projects/pay/apps/web") {
		w.t.Errorf("the trouble is %v", err)
	}
	w.calls("site-a", w.a(), "apply other 1 r1")
	w.calls("site-b", w.b())
}

// An app with a volume goes only where the volume is, and the decision says
// why not elsewhere; when another cluster gets the volume, it may go there.
func volumesBindAnApp(w *world) {
	w.volume("site-b")
	w.deploy("web", 3, withVolume)
	w.settle()
	w.expect("shares", w.shares("web"), "site-a 0, site-b 3")
	w.calls("without the volume", w.a())
	got := w.b().brought["web"].GetVolumes()
	if len(got) != 1 || got[0].GetName() != dataVolume || got[0].GetCapacity() != "5Gi" || len(got[0].GetSources()) != 1 || got[0].GetSources()[0].GetDirectory() != "/mnt/site-b" {
		w.t.Errorf("site-b was given %v", got)
	}
	reason := w.assignment("web").Shares[0].Reason
	if !strings.Contains(reason, "does not have the volume "+dataVolume) {
		w.t.Errorf("the reason is %q", reason)
	}
	w.volume("site-a", "site-b")
	w.amend("web", func(a *store.Assignment) { a.Rebalance = true })
	w.settle()
	if w.a().running(web1) < 1 || w.a().brought["web"].GetVolumes()[0].GetSources()[0].GetDirectory() != "/mnt/site-a" {
		w.t.Errorf("site-a got %v and runs %d", w.a().brought["web"], w.a().running(web1))
	}
}

// Taking a volume into use moves an app to where it is, without a gap
// (rule C2).
func takingAVolumeIntoUseMovesAnApp(w *world) {
	w.volume("site-b")
	w.deploy("web", 2)
	w.amend("web", func(a *store.Assignment) { a.Rebalance = true })
	w.settle()
	w.expect("before", w.shares("web"), "site-a 1, site-b 1")
	w.deploy("web", 2, withVolume)
	for range 4 { // what site-a still runs waits for what is ready in site-b
		if err := w.pass(); err != nil && !strings.Contains(err.Error(), "site-a does not have the volume "+dataVolume) {
			w.t.Error(err)
		}
		if ready := w.b().ready(web1); ready+w.a().running(web1) < 2 {
			w.t.Errorf("%d ready in site-b, %d kept in site-a", ready, w.a().running(web1))
		}
		w.b().settle()
	}
	w.expect("after", w.shares("web"), "site-a 0, site-b 2")
	if n := w.a().running(web1); n != 0 {
		w.t.Errorf("site-a keeps %d", n)
	}
}

// ready counts an app's ready pods.
func (c *cell) ready(app string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range c.apps[app].pods {
		if p.GetReady() {
			n++
		}
	}
	return n
}
