package fleet

import (
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/schedule"
)

// Schedules are a policy's schedules as the pure package has them.
func Schedules(a *gantryv1.Autoscale) []schedule.Schedule {
	out := make([]schedule.Schedule, 0, len(a.GetSchedules()))
	for _, s := range a.GetSchedules() {
		out = append(out, schedule.Schedule{
			Name: s.GetName(), Cron: s.GetCron(), TimeZone: s.GetTimeZone(), DurationSeconds: int64(s.GetDurationSeconds()),
			Min: int(s.GetMinReplicas()), Max: int(s.GetMaxReplicas()),
		})
	}
	return out
}
