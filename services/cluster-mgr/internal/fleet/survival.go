package fleet

import (
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/survival"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Survival is the input of survival.Decide.
func (s Snapshot) Survival(there ImageThere) (survival.Input, error) {
	apps, err := s.FailoverApps(there)
	return survival.Input{Clusters: s.FailoverClusters(), Apps: apps}, err
}

// SurvivalReport is a report as the API gives it.
func (s Snapshot) SurvivalReport(r survival.Report) *gantryv1.SurvivalReport {
	out := &gantryv1.SurvivalReport{Time: timestamppb.New(s.Time)}
	for _, l := range r.Losses {
		loss := &gantryv1.SurvivalReport_Loss{
			Cluster: "clusters/" + l.Cluster, Replicas: int32(l.Replicas), Unplaced: int32(l.Unplaced),
			MissingMilliCpu: l.Missing.MilliCPU, MissingMemoryBytes: l.Missing.MemoryBytes,
		}
		for _, a := range l.Apps {
			loss.Apps = append(loss.Apps, &gantryv1.SurvivalReport_AppLoss{
				App: a.App, Replicas: int32(a.Replicas), Unplaced: int32(a.Unplaced), Reason: a.Reason,
			})
		}
		out.Losses = append(out.Losses, loss)
	}
	return out
}
