package app_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"gantry.dev/services/ipaas/internal/render"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
)

// pairs of measurements; enough for a median on a busy machine.
const pairs = 40

// applyCostsLittle measures an ApplyWorkload and, alternating with it, a bare
// apply of the same Deployment: only a ratio from one run says something.
func applyCostsLittle(t *testing.T, s *site) {
	w := workload("projects/cost/apps/web", 0)
	_, err := s.apply(w)
	check(t, err)
	bare := bareOf(t, s)
	var calls, floor []time.Duration
	for i := range int32(pairs) {
		w.Replicas = i
		floor = append(floor, took(func() { bare(t, "bare", i) }))
		calls = append(calls, took(func() { _, err = s.apply(w) }))
		check(t, err)
	}
	report(t, "one at a time", calls, floor)
	report(t, "20 new ones at once, without ports", atOnce(func(i int32) {
		w := workload("projects/cost/apps/new"+string('a'+i), i)
		w.Spec.Ports, w.Spec.Readiness = nil, nil
		if _, err := s.apply(w); err != nil {
			t.Error(err)
		}
	}), atOnce(func(i int32) { bare(t, "bare"+string('a'+i), i) }))
}

// atOnce measures new objects, 20 at the same time.
func atOnce(f func(i int32)) []time.Duration {
	all := make([]time.Duration, 20)
	var group sync.WaitGroup
	for i := range all {
		group.Go(func() { all[i] = took(func() { f(int32(i)) }) })
	}
	group.Wait()
	return all
}

// bareOf applies the same Deployment under another name straight to the API
// server.
func bareOf(t *testing.T, s *site) func(t *testing.T, name string, replicas int32) {
	t.Helper()
	objects, err := render.Render("site-t", workload("projects/cost/apps/bare", 0))
	check(t, err)
	text, err := json.Marshal(objects.Deployment)
	check(t, err)
	return func(t *testing.T, name string, replicas int32) {
		var d appsac.DeploymentApplyConfiguration
		if err := json.Unmarshal(text, &d); err != nil {
			t.Error(err)
		}
		d.WithName(name).Spec.WithReplicas(replicas)
		_, err := s.Admin.AppsV1().Deployments("gantry-cost").Apply(t.Context(), &d, metav1.ApplyOptions{FieldManager: "bare"})
		if err != nil {
			t.Error(err)
		}
	}
}

func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func report(t *testing.T, what string, calls, floor []time.Duration) {
	t.Helper()
	slices.Sort(calls)
	slices.Sort(floor)
	mid, last := len(calls)/2, len(calls)-1
	t.Logf("%s: ApplyWorkload median %s, worst %s; bare apply %s, %s: %.2f times the median, %.2f the worst", what,
		calls[mid], calls[last], floor[mid], floor[last], float64(calls[mid])/float64(floor[mid]), float64(calls[last])/float64(floor[last]))
}
