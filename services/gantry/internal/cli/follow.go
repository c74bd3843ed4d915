package cli

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// followApp waits until an app runs as wanted and tells on stderr what changes.
// Portal being away for a moment ends nothing.
func (s *runner) followApp(ctx context.Context, c *client.Client, name string) error {
	last := ""
	for {
		app, err := c.Apps.GetApp(ctx, &gantryv1.GetAppRequest{Name: name})
		if err != nil && !fault.Is(err, fault.KindUnavailable) {
			return appTimeout(name, last, err)
		}
		if line := appProgress(app, err); line != last {
			last = line
			fmt.Fprintln(s.Err, line)
		}
		if err == nil && settled(app) {
			return nil
		}
		if !s.pause(ctx) {
			return appTimeout(name, last, ctx.Err())
		}
	}
}

func appTimeout(name, last string, err error) error {
	if !fault.Is(err, fault.KindTimeout) {
		return err
	}
	return fault.Timeout("WAIT_TIMEOUT", "%s does not yet run as wanted (%s); see gantry get pods %s and gantry explain %s",
		output.Short(name), last, names.ID(name), output.Short(name))
}

func appProgress(app *gantryv1.App, err error) string {
	if err != nil {
		return "the platform does not answer; trying again"
	}
	st := app.GetStatus()
	line := fmt.Sprintf("%s release %d: %d/%d ready", output.ShortName(app), st.GetRelease(), st.GetReadyReplicas(), st.GetDesiredReplicas())
	var parts []string
	for _, a := range st.GetAssignments() {
		parts = append(parts, fmt.Sprintf("%s %d/%d", names.ID(a.GetCluster()), a.GetReadyReplicas(), a.GetReplicas()))
	}
	if len(parts) > 0 {
		line += " (" + strings.Join(parts, ", ") + ")"
	}
	if st.GetMessage() != "" {
		line += ": " + st.GetMessage()
	}
	return line
}

func settled(app *gantryv1.App) bool {
	st := app.GetStatus()
	return !st.GetProgressing() && st.GetReadyReplicas() >= st.GetDesiredReplicas() && st.GetUpdatedReplicas() >= st.GetDesiredReplicas()
}

// followOperation waits for an operation's end and tells its steps on stderr.
func (s *runner) followOperation(ctx context.Context, c *client.Client, name string) (*longrunningpb.Operation, error) {
	told := map[string]bool{}
	for {
		op, err := c.Operations.GetOperation(ctx, &gantryv1.GetOperationRequest{Name: name})
		switch {
		case fault.Is(err, fault.KindUnavailable):
			s.tell(told, "the platform does not answer; trying again")
		case fault.Is(err, fault.KindTimeout):
			return nil, operationTimeout(name)
		case err != nil:
			return nil, err
		default:
			s.tellOperation(told, op)
		}
		if op.GetDone() {
			return op, operationError(op)
		}
		if !s.pause(ctx) {
			if fault.Is(ctx.Err(), fault.KindTimeout) {
				return nil, operationTimeout(name)
			}
			return nil, ctx.Err()
		}
	}
}

func operationTimeout(name string) error {
	return fault.Timeout("WAIT_TIMEOUT", "%s has not ended yet and goes on; see gantry operation get %s, or stop it with gantry operation cancel %s",
		output.Short(name), names.ID(name), names.ID(name))
}

// tell prints a line once.
func (s *runner) tell(told map[string]bool, line string) {
	if !told[line] {
		told[line] = true
		fmt.Fprintln(s.Err, line)
	}
}

func (s *runner) tellOperation(told map[string]bool, op *longrunningpb.Operation) {
	meta := output.OperationMetadata(op)
	if meta.GetState() == gantryv1.OperationMetadata_STATE_AWAITING_APPROVAL {
		s.tell(told, fmt.Sprintf("%s waits for approval: gantry operation approve %s", output.Short(op.GetName()), names.ID(op.GetName())))
	}
	for _, step := range meta.GetSteps() {
		if step.GetState() != gantryv1.OperationStep_STATE_PENDING {
			s.tell(told, output.Step(step))
		}
	}
}

// operationError turns an operation that did not reach its goal into an error.
func operationError(op *longrunningpb.Operation) error {
	meta := output.OperationMetadata(op)
	if e := op.GetError(); e != nil && codes.Code(e.GetCode()) != codes.OK {
		return fault.From(status.FromProto(proto.CloneOf(e)).Err())
	}
	switch meta.GetState() {
	case gantryv1.OperationMetadata_STATE_FAILED, gantryv1.OperationMetadata_STATE_CANCELLED, gantryv1.OperationMetadata_STATE_REVERSED:
		return fault.Precondition("OPERATION_NOT_SUCCEEDED", "%s ended as %s: %s",
			output.Short(op.GetName()), output.OperationState(op), meta.GetSummary())
	}
	return nil
}
