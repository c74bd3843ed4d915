package demo

import (
	"context"
	"fmt"
	"path"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/load"
	"gantry.dev/services/gantry/internal/output"
)

// siteLoss kills a whole cluster, approves the plan that the platform makes,
// and waits until everything runs on the other one.
func siteLoss(ctx context.Context, s *stage) (outcome, error) {
	cluster, survivor := s.res.lost(), s.res.survivor()
	s.command("gantry local kill %s", cluster)
	killed := time.Now()
	s.mark(eventFault, "kill "+cluster, "every process and container of "+cluster+" is killed")
	if err := s.cfg.Platform.Kill(ctx, cluster); err != nil {
		return outcome{}, err
	}
	s.say("%s is dead; the load balancers must go around it by themselves", cluster)
	alarm, err := s.awaitAlarm(ctx, cluster, killed)
	if err != nil {
		return outcome{}, err
	}
	detected := time.Since(killed)
	s.figures.detected = &detected
	s.tellAlarm(ctx, alarm, detected)
	if err := s.awaitAlert(ctx, alarm.GetKind(), cluster, true); err != nil {
		return outcome{}, err
	}
	s.say("Alertmanager has it %s after the kill", round(time.Since(killed)))
	if last, found := load.LastFailure(inPhase(s.load.Buckets(), "site-loss"), killed); found {
		s.say("the last failed request was sent %s after the kill", round(last.Sent.Sub(killed)))
	}
	if err := s.approve(ctx, alarm.GetOperation()); err != nil {
		return outcome{}, err
	}
	app, err := s.awaitApp(ctx, "all replicas on "+survivor, func(a *gantryv1.App) bool {
		_, ready := replicasOn(a, survivor)
		return ready > 0 && ready == a.GetStatus().GetDesiredReplicas()
	})
	if err != nil {
		return outcome{}, err
	}
	recovered := time.Since(killed)
	s.figures.recovered = &recovered
	s.say("recovered %s after the kill: %s", round(recovered), describeApp(app))
	_, ready := replicasOn(app, survivor)
	return outcome{
		detail: fmt.Sprintf("alarm with plan after %s, recovered after %s", round(detected), round(recovered)),
		checks: []check{
			lastFailureSoon(killed),
			fact("alarm with its plan within 60 s", detected <= maxDetection, "after %s", round(detected)),
			fact("replicas as planned", ready == app.GetStatus().GetDesiredReplicas(), "%d of %d ready on %s", ready, app.GetStatus().GetDesiredReplicas(), survivor),
		},
	}, nil
}

// awaitAlarm waits for the alarm about a cluster, with its prepared plan.
func (s *stage) awaitAlarm(ctx context.Context, cluster string, since time.Time) (*gantryv1.Alarm, error) {
	var alarm *gantryv1.Alarm
	err := await(ctx, 2*time.Minute, "the alarm about "+cluster, func(ctx context.Context) (bool, string, error) {
		list, err := s.api.Alarms.ListAlarms(ctx, &gantryv1.ListAlarmsRequest{})
		if err != nil {
			return false, "", err
		}
		for _, a := range list.GetAlarms() {
			fires := a.GetState() == gantryv1.Alarm_STATE_FIRING && a.GetSubject() == "clusters/"+cluster
			if fires && a.GetOperation() != "" && a.GetStartTime().AsTime().After(since) {
				alarm = a
				return true, "", nil
			}
		}
		return false, fmt.Sprintf("%d alarms, none of them this one", len(list.GetAlarms())), nil
	})
	return alarm, err
}

// tellAlarm shows the alarm and its plan.
func (s *stage) tellAlarm(ctx context.Context, alarm *gantryv1.Alarm, after time.Duration) {
	s.command("gantry get alarms")
	s.say("ALARM %s after %s: %s", alarm.GetKind(), round(after), alarm.GetSummary())
	s.mark(eventHealth, "alarm", alarm.GetSummary())
	op, err := s.api.Operations.GetOperation(ctx, &gantryv1.GetOperationRequest{Name: alarm.GetOperation()})
	if err != nil {
		s.say("the plan cannot be shown: %v", err)
		return
	}
	plan := output.OperationMetadata(op)
	for _, m := range plan.GetMoves() {
		s.say("plan: %s: %d replicas from %s to %s %s", path.Base(m.GetApp()), m.GetReplicas(),
			path.Base(m.GetFromCluster()), path.Base(m.GetToCluster()), m.GetProblem())
	}
	for _, problem := range plan.GetProblems() {
		s.say("plan, not solved: %s", problem)
	}
}

func (s *stage) approve(ctx context.Context, operation string) error {
	s.command("gantry operation approve %s", path.Base(operation))
	s.mark(eventAction, "approved", "the plan is approved")
	op, err := s.api.Operations.ApproveOperation(ctx, &gantryv1.ApproveOperationRequest{Name: operation})
	if err != nil {
		return err
	}
	return s.follow(ctx, op)
}
