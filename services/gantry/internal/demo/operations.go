package demo

import (
	"context"
	"path"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/output"
)

// follow tells each step of an operation and returns when it has succeeded.
func (s *stage) follow(ctx context.Context, op *longrunningpb.Operation) error {
	told := map[string]gantryv1.OperationStep_State{}
	return await(ctx, patience, "operation "+path.Base(op.GetName()), func(ctx context.Context) (bool, string, error) {
		now, err := s.api.Operations.GetOperation(ctx, &gantryv1.GetOperationRequest{Name: op.GetName()})
		if err != nil {
			return false, "", err
		}
		meta := output.OperationMetadata(now)
		s.tellSteps(meta.GetSteps(), told)
		if !now.GetDone() {
			return false, meta.GetSummary(), nil
		}
		if meta.GetState() != gantryv1.OperationMetadata_STATE_SUCCEEDED {
			return false, "", fault.Precondition("DEMO_OPERATION_FAILED", "operation %s ended as %s: %s %s; see `gantry get operations`",
				path.Base(op.GetName()), output.OperationState(now), meta.GetSummary(), now.GetError().GetMessage())
		}
		return true, "", nil
	})
}

func (s *stage) tellSteps(steps []*gantryv1.OperationStep, told map[string]gantryv1.OperationStep_State) {
	for _, step := range steps {
		state := step.GetState()
		if told[step.GetSentence()] == state {
			continue
		}
		told[step.GetSentence()] = state
		switch state {
		case gantryv1.OperationStep_STATE_DONE:
			s.say("done: %s", withDetail(step))
		case gantryv1.OperationStep_STATE_FAILED:
			s.say("FAILED: %s", withDetail(step))
		}
	}
}

func withDetail(step *gantryv1.OperationStep) string {
	if step.GetDetail() == "" {
		return step.GetSentence()
	}
	return step.GetSentence() + " (" + step.GetDetail() + ")"
}

// switchTraffic gives a cluster a share of its normal traffic, 0 to 100.
func (s *stage) switchTraffic(ctx context.Context, cluster string, percent int32) error {
	return s.begin(ctx, "the switch of "+cluster, func(ctx context.Context) (*longrunningpb.Operation, error) {
		return s.api.Clusters.SwitchTraffic(ctx, &gantryv1.SwitchTrafficRequest{
			Name: "clusters/" + cluster, ToPercent: percent, StepPercent: switchStep,
		})
	})
}

// switchStep is in percent points.
const switchStep = 50

func (s *stage) failBack(ctx context.Context, cluster string) error {
	return s.begin(ctx, "the failback of "+cluster, func(ctx context.Context) (*longrunningpb.Operation, error) {
		return s.api.Clusters.FailBack(ctx, &gantryv1.FailBackRequest{Name: "clusters/" + cluster})
	})
}

// begin starts an operation and follows it. The platform refuses one while
// another is under way, or until a cluster has been healthy long enough; a
// person would wait and ask again.
func (s *stage) begin(ctx context.Context, what string, call func(context.Context) (*longrunningpb.Operation, error)) error {
	var op *longrunningpb.Operation
	told := ""
	err := await(ctx, briefPatience, what+" to be accepted", func(ctx context.Context) (bool, string, error) {
		got, err := call(ctx)
		if fault.HasReason(err, "PLAN_IMPOSSIBLE") || fault.HasReason(err, "OPERATION_RUNNING") {
			if told == "" {
				s.say("not yet: %v", err)
			}
			told = err.Error()
			return false, told, nil
		}
		op = got
		return err == nil, "", err
	})
	if err != nil {
		return err
	}
	return s.follow(ctx, op)
}
