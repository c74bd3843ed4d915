package api

import (
	"context"
	"fmt"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// shown is an app with what was decided about it and seen of it.
func (s *appService) shown(ctx context.Context, item store.Item[*gantryv1.App]) (*gantryv1.App, error) {
	assignment, err := s.Store.Assignments.Get(ctx, item.Name)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return nil, err
	}
	app := proto.CloneOf(item.Value)
	app.Etag = item.ETag()
	app.Status = status(item.Value, assignment.Value, s.Observer.View())
	return app, nil
}

// status joins the assignment with the last look at each cluster.
func status(app *gantryv1.App, a store.Assignment, view observe.View) *gantryv1.AppStatus {
	out := &gantryv1.AppStatus{
		Release:         app.GetStatus().GetRelease(),
		Digest:          app.GetStatus().GetDigest(),
		DesiredReplicas: int32(a.Desired),
		Message:         a.Shortfall,
		Progressing:     len(a.Shares) == 0 && a.Desired > 0 || a.Release != int(app.GetStatus().GetRelease()),
	}
	var troubles []string
	for _, share := range a.Shares {
		c, settled, trouble := part(app, share, view.Clusters[share.Cluster])
		out.Assignments = append(out.Assignments, c)
		if c.GetObserved() {
			out.ReadyReplicas += c.GetReadyReplicas()
			out.UpdatedReplicas += c.GetUpdatedReplicas()
		}
		out.Progressing = out.Progressing || c.GetObserved() && !settled
		if trouble != "" {
			troubles = append(troubles, names.ID(share.Cluster)+": "+trouble)
		}
	}
	if out.Message == "" {
		out.Message = strings.Join(troubles, "; ")
	}
	return out
}

// part is one cluster's part of an app, and whether it is as wanted.
func part(app *gantryv1.App, share store.ShareRecord, seen observe.ClusterView) (part *gantryv1.ClusterAssignment, settled bool, trouble string) {
	w := seen.Workloads[app.GetName()]
	observed := !seen.Attempt.IsZero() && seen.WorkloadsErr == nil && seen.State.GetApiServerReady()
	part = &gantryv1.ClusterAssignment{
		Cluster:       share.Cluster,
		Replicas:      int32(share.Replicas),
		ReadyReplicas: w.GetReadyReplicas(),
		Reason:        share.Reason,
		Observed:      observed,
		Release:       w.GetRelease(),
	}
	if w.GetRelease() == app.GetStatus().GetRelease() {
		part.UpdatedReplicas = w.GetUpdatedReplicas()
	}
	settled = share.Replicas == 0 && w.GetReplicas() == 0 ||
		w.GetSettled() && w.GetRelease() == app.GetStatus().GetRelease() && int(w.GetReplicas()) == share.Replicas
	switch {
	case !observed:
		trouble = "cannot be asked now, the counts are the last known"
	case w.GetMessage() != "":
		trouble = w.GetMessage()
	case !settled:
		trouble = fmt.Sprintf("%d of %d ready", w.GetReadyReplicas(), share.Replicas)
	}
	return part, settled, trouble
}
