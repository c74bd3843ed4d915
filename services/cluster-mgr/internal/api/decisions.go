package api

import (
	"context"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

type decisionService struct {
	gantryv1.UnimplementedDecisionServiceServer
	*Services
}

// GetDecision is for operators: a decision holds everything that was known.
func (s *decisionService) GetDecision(ctx context.Context, r *gantryv1.GetDecisionRequest) (*gantryv1.Decision, error) {
	item, err := s.Store.Decisions.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return item.Value, nil
}

// ListDecisions pages through all decisions and picks those asked for, so a
// page may hold fewer than its size.
func (s *decisionService) ListDecisions(ctx context.Context, r *gantryv1.ListDecisionsRequest) (*gantryv1.ListDecisionsResponse, error) {
	list, next, err := page(ctx, s.Store.Decisions, r, "decisions/", true, func(item store.Item[*gantryv1.Decision]) (*gantryv1.Decision, bool) {
		d := item.Value
		d.InputJson, d.OutputJson = "", ""
		return d, (r.GetSubject() == "" || d.GetSubject() == r.GetSubject()) &&
			(r.GetKind() == gantryv1.Decision_KIND_UNSPECIFIED || d.GetKind() == r.GetKind()) &&
			d.GetName() > r.GetAfter()
	})
	return &gantryv1.ListDecisionsResponse{Decisions: list, NextPageToken: next}, err
}

type alarmService struct {
	gantryv1.UnimplementedAlarmServiceServer
	*Services
}

func (s *alarmService) ListAlarms(ctx context.Context, r *gantryv1.ListAlarmsRequest) (*gantryv1.ListAlarmsResponse, error) {
	list, next, err := page(ctx, s.Store.Alarms, r, "alarms/", false, func(item store.Item[*gantryv1.Alarm]) (*gantryv1.Alarm, bool) {
		return item.Value, true
	})
	return &gantryv1.ListAlarmsResponse{Alarms: list, NextPageToken: next}, err
}
