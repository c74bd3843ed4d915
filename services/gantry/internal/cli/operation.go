package cli

import (
	"context"
	"fmt"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func (s *runner) operationCommand() *cobra.Command {
	g := group("operation", "Look at, approve, cancel, take back and wait for long work",
		s.operationGet(), s.operationApprove(), s.operationCancel(), s.operationReverse(), s.operationWait())
	g.Aliases = []string{"op"}
	return g
}

func operationName(arg string) string { return "operations/" + output.Last(arg) }

func (s *runner) operationGet() *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "get ID", Short: "Show an operation's plan, steps and problems", Args: cobra.ExactArgs(1)}
	outputFlag(cmd, &format)
	cmd.ValidArgsFunction = s.completeOperation
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		printer, err := s.printer(format)
		if err != nil {
			return err
		}
		op, err := c.Operations.GetOperation(ctx, &gantryv1.GetOperationRequest{Name: operationName(args[0])})
		if err != nil {
			return err
		}
		if printer.Format != output.Table {
			return printer.One(op)
		}
		output.Operation(s.Out, op)
		return nil
	})
	return cmd
}

func (s *runner) operationApprove() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{Use: "approve ID", Short: "Approve the plan of an operation that waits for it", Args: cobra.ExactArgs(1)}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for its end")
	cmd.ValidArgsFunction = s.completeOperation
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		op, err := c.Operations.ApproveOperation(ctx, &gantryv1.ApproveOperationRequest{Name: operationName(args[0])})
		if err != nil {
			return err
		}
		if wait {
			return s.startOperation(ctx, c, op, nil, false)
		}
		fmt.Fprintf(s.Out, "%s approved\n", output.Short(op.GetName()))
		fmt.Fprintf(s.Err, "follow it with gantry operation wait %s\n", output.Last(op.GetName()))
		return nil
	})
	return cmd
}

func (s *runner) operationCancel() *cobra.Command {
	cmd := &cobra.Command{Use: "cancel ID", Short: "Stop an operation at its next step; what was done stays", Args: cobra.ExactArgs(1)}
	cmd.ValidArgsFunction = s.completeOperation
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		op, err := c.Operations.CancelOperation(ctx, &gantryv1.CancelOperationRequest{Name: operationName(args[0])})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "%s %s\n", output.Short(op.GetName()), cancelled(op))
		return nil
	})
	return cmd
}

func (s *runner) operationReverse() *cobra.Command {
	var async bool
	cmd := &cobra.Command{
		Use:   "reverse ID",
		Short: "Take a finished operation back by its kept reverse plan",
		Long: `Starts a new operation that takes a finished one back. It is refused when the
world is not any more as the operation left it.`,
		Example: "  gantry operation reverse 1763880000000-a1b2c3",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&async, "async", false, "do not wait for the end")
	cmd.ValidArgsFunction = s.completeOperation
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		op, err := c.Operations.ReverseOperation(ctx, &gantryv1.ReverseOperationRequest{Name: operationName(args[0]), RequestId: uuid.NewString()})
		return s.startOperation(ctx, c, op, err, async)
	})
	return cmd
}

func cancelled(op *longrunningpb.Operation) string {
	if op.GetDone() {
		return output.OperationState(op)
	}
	return "stops at its next step"
}

func (s *runner) operationWait() *cobra.Command {
	cmd := &cobra.Command{Use: "wait ID", Short: "Show an operation's steps until it ends", Args: cobra.ExactArgs(1)}
	cmd.ValidArgsFunction = s.completeOperation
	cmd.RunE = s.withClient(waitTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		return s.startOperation(ctx, c, &longrunningpb.Operation{Name: operationName(args[0])}, nil, false)
	})
	return cmd
}
