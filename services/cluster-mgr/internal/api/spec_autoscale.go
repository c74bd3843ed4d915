package api

import (
	"fmt"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/metrics"
)

func autoscaleRules(spec *gantryv1.AppSpec) error {
	policy := spec.GetAutoscale()
	for i, m := range policy.GetMetrics() {
		if m.GetQuery() == "" {
			continue
		}
		if err := metrics.CheckQuery(m.GetQuery()); err != nil {
			return invalid(fmt.Sprintf("app.spec.autoscale.metrics[%d].query", i), "%w", err)
		}
	}
	return scheduleRules(policy)
}

func scheduleRules(policy *gantryv1.Autoscale) error {
	taken := map[string]bool{}
	for i, s := range schedulesOf(policy) {
		field := fmt.Sprintf("app.spec.autoscale.schedules[%d]", i)
		if taken[s.Name] {
			return invalid(field+".name", "%s is listed twice", s.Name)
		}
		taken[s.Name] = true
		if err := s.Check(int(policy.GetMinReplicas()), int(policy.GetMaxReplicas())); err != nil {
			name, text, _ := strings.Cut(err.Error(), ": ") // it begins with the field
			return invalid(field+"."+name, "%s", text)
		}
	}
	return nil
}
