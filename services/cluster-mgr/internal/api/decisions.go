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

// ListDecisions gives decisions without their inputs. Of one kind about
// anything, a page may hold fewer than its size.
func (s *decisionService) ListDecisions(ctx context.Context, r *gantryv1.ListDecisionsRequest) (*gantryv1.ListDecisionsResponse, error) {
	p, err := s.Store.Decisions.Find(ctx, store.Query{
		Subject: r.GetSubject(), Kind: r.GetKind(), After: r.GetAfter(), Size: sizeOf(r), Token: r.GetPageToken(),
	})
	if err != nil {
		return nil, err
	}
	out := &gantryv1.ListDecisionsResponse{NextPageToken: p.Next}
	for _, item := range p.Items {
		item.Value.InputJson, item.Value.OutputJson = "", ""
		out.Decisions = append(out.Decisions, item.Value)
	}
	return out, nil
}

type alarmService struct {
	gantryv1.UnimplementedAlarmServiceServer
	*Services
}

func (s *alarmService) ListAlarms(ctx context.Context, r *gantryv1.ListAlarmsRequest) (*gantryv1.ListAlarmsResponse, error) {
	list, next, err := page(ctx, s.Store.Alarms, r, "alarms/", false, all)
	return &gantryv1.ListAlarmsResponse{Alarms: list, NextPageToken: next}, err
}
