package api_test

import (
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// healthy writes the verdict that the watchdog would.
func (h *harness) healthy(clusters ...string) {
	h.t.Helper()
	for _, name := range clusters {
		item, err := h.store.Clusters.Get(h.t.Context(), name)
		h.ok(err)
		item.Value.Health = &gantryv1.ClusterHealth{State: gantryv1.ClusterHealth_STATE_HEALTHY, Since: timestamppb.Now()}
		change := store.NewChange()
		h.store.Clusters.Put(change, name, item.Value, item.ModRevision)
		_, err = h.store.Commit(h.t.Context(), change)
		h.ok(err)
	}
}

// runs stores an app and gives it replicas as the reconciler would.
func (h *harness) runs(app *gantryv1.App, cluster string, replicas int) {
	h.t.Helper()
	_, err := h.apply(app)
	h.ok(err)
	item, err := h.store.Assignments.Get(h.t.Context(), app.GetName())
	h.ok(err)
	item.Value.Release, item.Value.Shares = 1, []store.ShareRecord{{Cluster: cluster, Replicas: replicas}}
	change := store.NewChange()
	h.store.Assignments.Put(change, item.Name, item.Value, item.ModRevision)
	_, err = h.store.Commit(h.t.Context(), change)
	h.ok(err)
}

// scaledBy is a policy of 2 to 6 replicas.
func scaledBy(change func(*gantryv1.Autoscale)) func(*gantryv1.AppSpec) {
	return func(s *gantryv1.AppSpec) {
		s.Autoscale = &gantryv1.Autoscale{MinReplicas: 2, MaxReplicas: 6, Metrics: []*gantryv1.ScaleMetric{{Resource: gantryv1.ScaleMetric_RESOURCE_CPU, TargetPercent: 50}}}
		change(s.GetAutoscale())
	}
}

func scheduled(schedules ...*gantryv1.ScaleSchedule) func(*gantryv1.AppSpec) {
	return scaledBy(func(a *gantryv1.Autoscale) { a.Schedules = schedules })
}

func withFiles(files ...*gantryv1.ConfigFile) func(*gantryv1.AppSpec) {
	return func(s *gantryv1.AppSpec) { s.Files = files }
}

func singled(change func(*gantryv1.AppSpec)) func(*gantryv1.AppSpec) {
	return func(s *gantryv1.AppSpec) {
		s.Class, s.Replicas = gantryv1.AppClass_APP_CLASS_SINGLE, 1
		change(s)
	}
}

func file(path string) *gantryv1.ConfigFile {
	return &gantryv1.ConfigFile{Path: path, Content: "x"}
}

// Each refusal names the field, as it stands in the request.
func TestWrongFieldsAreNamed(t *testing.T) {
	h := newHarness(t)
	h.platform()
	office := &gantryv1.ScaleSchedule{Name: "office", Cron: "0 8 * * 1-5", DurationSeconds: 3600, MinReplicas: 4}
	large := strings.Repeat("x", 200<<10)
	tests := []struct {
		name   string
		change func(*gantryv1.AppSpec)
		field  string
	}{
		{"a cron with six fields", scheduled(&gantryv1.ScaleSchedule{Name: "a", Cron: "0 0 8 * * 1-5", DurationSeconds: 60}), "app.spec.autoscale.schedules[0].cron"},
		{"a zone that does not exist", scheduled(office, &gantryv1.ScaleSchedule{Name: "a", Cron: "0 8 * * *", TimeZone: "Mars/North", DurationSeconds: 60}), "app.spec.autoscale.schedules[1].time_zone"},
		{"a minimum above the policy's maximum", scheduled(&gantryv1.ScaleSchedule{Name: "a", Cron: "0 8 * * *", DurationSeconds: 60, MinReplicas: 9}), "app.spec.autoscale.schedules[0].min_replicas"},
		{"two schedules of one name", scheduled(office, office), "app.spec.autoscale.schedules[1].name"},
		{"a query that is none", scaledBy(func(a *gantryv1.Autoscale) {
			a.Metrics = append(a.Metrics, &gantryv1.ScaleMetric{Query: "sum(rate(", TargetValue: 1})
		}), "app.spec.autoscale.metrics[1].query"},
		{"a query and a resource", scaledBy(func(a *gantryv1.Autoscale) { a.Metrics[0].Query = "up" }), "app.spec.autoscale.metrics[0]"},
		{"no minimum without consent to none", scaledBy(func(a *gantryv1.Autoscale) { a.MinReplicas = 0 }), "app.spec.autoscale"},
		{"two of a single", singled(func(s *gantryv1.AppSpec) { s.Replicas = 2 }), "app.spec.replicas"},
		{"an autoscaled single", singled(scaledBy(func(*gantryv1.Autoscale) {})), "app.spec.autoscale"},
		{"a single in two places", singled(func(s *gantryv1.AppSpec) {
			s.Placement = &gantryv1.Placement{Clusters: []*gantryv1.ClusterPlacement{{Cluster: "clusters/site-a", Min: 1}, {Cluster: "clusters/site-b", Min: 1}}}
		}), "app.spec.placement.clusters[1].min"},
		{"a priority that nothing reads", func(s *gantryv1.AppSpec) {
			s.Placement = &gantryv1.Placement{Clusters: []*gantryv1.ClusterPlacement{{Cluster: "clusters/site-a", Priority: 1}}}
		}, "app.spec.placement.clusters[0].priority"},
		{"a strategy that does not exist", func(s *gantryv1.AppSpec) { s.Placement = &gantryv1.Placement{Strategy: 9} }, "app.spec.placement.strategy"},
		{"a file twice", withFiles(file("/etc/a"), file("/etc/a")), "app.spec.files[1].path"},
		{"a file in a file", withFiles(file("/etc/a"), file("/etc/a/b")), "app.spec.files[1].path"},
		{"a file around a file", withFiles(file("/etc/a/b"), file("/etc/a")), "app.spec.files[1].path"},
		{"a file of the kernel", withFiles(file("/proc/self")), "app.spec.files[0].path"},
		{"a file as a device tree", withFiles(file("/dev")), "app.spec.files[0].path"},
		{"a path that climbs", withFiles(file("/etc/../root")), "app.spec.files[0].path"},
		{"files that are too large", withFiles(
			&gantryv1.ConfigFile{Path: "/a", Content: large}, &gantryv1.ConfigFile{Path: "/b", Content: large}, &gantryv1.ConfigFile{Path: "/c", Content: large},
		), "app.spec.files[2].content"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			h.t = t
			_, err := h.apply(web(tc.change))
			h.refused(err, "INVALID_FIELDS")
			v := fault.From(err).Violations
			if len(v) == 0 || v[0].Field != tc.field || v[0].Description == "" {
				t.Errorf("%v names %v, want %s", err, v, tc.field)
			}
			_, err = gantryv1.NewAppServiceClient(h.conn).GetApp(h.as("ann"), &gantryv1.GetAppRequest{Name: web().GetName()})
			h.refused(err, "APP_NOT_FOUND")
		})
	}
}

func TestGoodSpecsOfEveryKind(t *testing.T) {
	h := newHarness(t)
	h.platform()
	for name, change := range map[string]func(*gantryv1.AppSpec){
		"neighbours": withFiles(file("/etc/a"), file("/etc/ab"), file("/etc/b/a"), file("/process")),
		"single":     singled(func(*gantryv1.AppSpec) {}),
		"none":       singled(func(s *gantryv1.AppSpec) { s.Replicas = 0 }),
		"ordered": func(s *gantryv1.AppSpec) {
			s.Placement = &gantryv1.Placement{Strategy: gantryv1.Placement_STRATEGY_ORDERED, Clusters: []*gantryv1.ClusterPlacement{{Cluster: "clusters/site-a", Priority: 1}}}
		},
		"query": scaledBy(func(a *gantryv1.Autoscale) {
			a.Metrics = []*gantryv1.ScaleMetric{{Query: `sum(rate(http_requests_total[1m]))`, TargetValue: 100}}
		}),
		"zero": scaledBy(func(a *gantryv1.Autoscale) { a.MinReplicas, a.ScaleToZero = 0, true }),
	} {
		app := web(change)
		app.Name = "projects/pay/apps/" + name
		_, err := gantryv1.NewAppServiceClient(h.conn).UpdateApp(h.as("ann"), &gantryv1.UpdateAppRequest{App: app, AllowMissing: true, ValidateOnly: true})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// As large as allowed, and of what cannot be made small, it fits into etcd.
	noise := noise(256 << 10)
	app, err := h.apply(web(withFiles(&gantryv1.ConfigFile{Path: "/a", Content: noise}, &gantryv1.ConfigFile{Path: "/b", Content: noise[:len(noise)-1] + "x"})))
	h.ok(err)
	if len(app.GetSpec().GetFiles()) != 2 {
		t.Errorf("stored %d files", len(app.GetSpec().GetFiles()))
	}
	list, err := gantryv1.NewAppServiceClient(h.conn).ListApps(h.as("ann"), &gantryv1.ListAppsRequest{Parent: "projects/pay"})
	h.ok(err)
	if len(list.GetApps()) != 1 || len(list.GetApps()[0].GetSpec().GetFiles()[1].GetContent()) != 256<<10 {
		t.Error("a list loses the files")
	}
}

// noise is printable text without any repetition that a compressor finds.
func noise(n int) string {
	out := make([]byte, n)
	for i, x := 0, uint64(88172645463325252); i < n; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] = byte(' ' + x%95)
	}
	return string(out)
}

// A rollback under load must not take replicas away; how many there are, by
// which policy and where is not what a release is.
func TestARollbackKeepsTheSize(t *testing.T) {
	h := newHarness(t)
	h.platform()
	_, err := h.apply(web())
	h.ok(err)
	_, err = h.apply(web(func(s *gantryv1.AppSpec) {
		s.Image, s.Replicas, s.Priority = "hello:v2", 7, 5
		s.Placement = &gantryv1.Placement{Clusters: []*gantryv1.ClusterPlacement{{Cluster: "clusters/site-a"}}}
	}))
	h.ok(err)
	back, err := gantryv1.NewAppServiceClient(h.conn).RollbackApp(h.as("ann"), &gantryv1.RollbackAppRequest{Name: web().GetName(), Release: 1})
	h.ok(err)
	spec := back.GetSpec()
	if spec.GetImage() != "hello:v1" || spec.GetReplicas() != 7 || back.GetStatus().GetDesiredReplicas() != 7 ||
		len(spec.GetPlacement().GetClusters()) != 1 || spec.GetPriority() != 5 {
		t.Errorf("rolled back to %v", back)
	}
}

func TestStatusTellsTheAutoscalersBounds(t *testing.T) {
	h := newHarness(t)
	h.platform()
	always := &gantryv1.ScaleSchedule{Name: "always", Cron: "* * * * *", DurationSeconds: 120, MinReplicas: 4, MaxReplicas: 9}
	app, err := h.apply(web(scheduled(always)))
	h.ok(err)
	got := app.GetStatus().GetAutoscale()
	if got.GetMinReplicas() != 4 || got.GetMaxReplicas() != 9 || len(got.GetActiveSchedules()) != 1 || got.GetPaused() {
		t.Errorf("bounds %v", got)
	}
	paused, err := gantryv1.NewAppServiceClient(h.conn).UpdateApp(h.as("ann"), &gantryv1.UpdateAppRequest{
		App: web(scaledBy(func(a *gantryv1.Autoscale) { a.Paused = true })), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"spec.autoscale.paused"}},
	})
	h.ok(err)
	if !paused.GetStatus().GetAutoscale().GetPaused() || len(paused.GetSpec().GetAutoscale().GetSchedules()) != 1 || paused.GetStatus().GetRelease() != 1 {
		t.Errorf("paused %v", paused)
	}
	plain := web()
	plain.Name = "projects/pay/apps/plain"
	plain, err = h.apply(plain)
	h.ok(err)
	if plain.GetStatus().GetAutoscale() != nil {
		t.Error("bounds without a policy")
	}
}

// rule C1: clusters out of sight are not full, and the caller may try again.
func TestClustersOutOfSightAreNotFull(t *testing.T) {
	h := newHarness(t)
	h.platform()
	h.view.blind.Store(true)
	_, err := h.apply(web())
	h.refused(err, "CLUSTERS_NOT_OBSERVED")
	if !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("nobody would try again: %v", err)
	}
	h.view.blind.Store(false)
	_, err = h.apply(web(func(s *gantryv1.AppSpec) { s.Replicas = 11 }))
	h.refused(err, "CAPACITY_EXHAUSTED")
	_, err = h.apply(web())
	h.ok(err)
}
