package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/schedule"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// shown is an app with what was decided about it and seen of it.
func (s *appService) shown(ctx context.Context, item store.Item[*gantryv1.App]) (*gantryv1.App, error) {
	assignment, err := s.Store.Assignments.Get(ctx, item.Name)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return nil, err
	}
	app := s.view(item, assignment.Value)
	return app, s.led(ctx, app)
}

// allShown is shown for many apps, with one read for all of them.
func (s *appService) allShown(ctx context.Context, items []store.Item[*gantryv1.App]) ([]*gantryv1.App, error) {
	names := make([]string, 0, len(items))
	for _, item := range items {
		names = append(names, item.Name)
	}
	assignments, err := s.Store.Assignments.GetMany(ctx, names)
	if err != nil {
		return nil, err
	}
	shares, _, err := s.Store.Shares.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	return s.views(items, assignments, shares), nil
}

// views joins apps with their assignments and shares, those that have some.
func (s *appService) views(items []store.Item[*gantryv1.App], assignments []store.Item[store.Assignment], shares []store.Item[store.TrafficShares]) []*gantryv1.App {
	of := make(map[string]store.Assignment, len(assignments))
	for _, a := range assignments {
		of[a.Name] = a.Value
	}
	led := make(map[string]store.TrafficShares, len(shares))
	for _, r := range shares {
		led[r.Name] = r.Value
	}
	seen, now := s.Observer.View(), time.Now()
	out := make([]*gantryv1.App, 0, len(items))
	for _, item := range items {
		app := viewOf(item, of[item.Name], seen, now)
		app.Status.TrafficShares = shownShares(led[item.Name])
		out = append(out, app)
	}
	return out
}

func (s *appService) view(item store.Item[*gantryv1.App], a store.Assignment) *gantryv1.App {
	return viewOf(item, a, s.Observer.View(), time.Now())
}

func viewOf(item store.Item[*gantryv1.App], a store.Assignment, seen observe.View, now time.Time) *gantryv1.App {
	app := proto.CloneOf(item.Value)
	if item.ModRevision != 0 {
		app.Etag = item.ETag()
	}
	app.Status = status(item.Value, a, seen)
	app.Status.Autoscale = autoscaleStatus(item.Value.GetSpec().GetAutoscale(), now)
	return app
}

// autoscaleStatus is nil without a policy.
func autoscaleStatus(policy *gantryv1.Autoscale, now time.Time) *gantryv1.AutoscaleStatus {
	if policy == nil {
		return nil
	}
	schedules := schedulesOf(policy)
	bounds := schedule.At(schedules, int(policy.GetMinReplicas()), int(policy.GetMaxReplicas()), now)
	out := &gantryv1.AutoscaleStatus{
		MinReplicas: int32(bounds.Min), MaxReplicas: int32(bounds.Max), ActiveSchedules: bounds.Active, Paused: policy.GetPaused(),
	}
	if next, ok := schedule.Next(schedules, now); ok {
		out.NextSchedule, out.NextScheduleTime = next.Name, timestamppb.New(next.At)
	}
	return out
}

func schedulesOf(policy *gantryv1.Autoscale) []schedule.Schedule {
	var out []schedule.Schedule
	for _, s := range policy.GetSchedules() {
		out = append(out, schedule.Schedule{
			Name: s.GetName(), Cron: s.GetCron(), TimeZone: s.GetTimeZone(), DurationSeconds: int64(s.GetDurationSeconds()),
			Min: int(s.GetMinReplicas()), Max: int(s.GetMaxReplicas()),
		})
	}
	return out
}

// status joins the assignment with the last look at each cluster.
func status(app *gantryv1.App, a store.Assignment, view observe.View) *gantryv1.AppStatus {
	out := &gantryv1.AppStatus{
		Release:         app.GetStatus().GetRelease(),
		Digest:          app.GetStatus().GetDigest(),
		DesiredReplicas: int32(a.Desired),
		Message:         a.Shortfall,
		Progressing:     len(a.Shares) == 0 && a.Desired > 0 || a.Release != int(app.GetStatus().GetRelease()) || a.Rebalance,
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
