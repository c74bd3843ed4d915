package cli

import (
	"context"
	"fmt"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
)

func (s *runner) routeCommand() *cobra.Command {
	return group("route", "Look at routes, compare them, take changes back, read Nginx files", s.routeGet(), s.routeDiff(), s.routeHistory(), s.routeRollback(), s.routeImport())
}

func (s *runner) routeGet() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "get ROUTE",
		Short:   "Show a route and whether every load balancer node serves it",
		Example: "  gantry route get web\n  gantry route get web -o yaml",
		Args:    cobra.ExactArgs(1),
	}
	outputFlag(cmd, &format)
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		printer, err := s.printer(format)
		if err != nil {
			return err
		}
		name, err := s.routeName(args[0])
		if err != nil {
			return err
		}
		route, err := c.Routes.GetRoute(ctx, &gantryv1.GetRouteRequest{Name: name})
		if err != nil {
			return err
		}
		if err := printer.One(route); err != nil || printer.Format != output.Table {
			return err
		}
		for _, problem := range route.GetStatus().GetProblems() {
			fmt.Fprintln(s.Out, "  "+problem)
		}
		return nil
	})
	return cmd
}

// routeName completes the name of a route.
func (s *runner) routeName(arg string) (string, error) {
	r, err := findResource("routes")
	if err != nil {
		return "", err
	}
	arg = strings.TrimPrefix(arg, "route/")
	q, _, err := s.scopeOf(r, false, []string{arg})
	if err != nil {
		return "", err
	}
	return r.fullName(arg, q.parent), nil
}

func (s *runner) routeHistory() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "history ROUTE",
		Short:   "List the forms that a route had, newest first",
		Example: "  gantry route history web\n  gantry route history web -o yaml",
		Args:    cobra.ExactArgs(1),
	}
	outputFlag(cmd, &format)
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		printer, err := s.printer(format)
		if err != nil {
			return err
		}
		name, err := s.routeName(args[0])
		if err != nil {
			return err
		}
		items, err := pages(func(token string) ([]*gantryv1.RouteRevision, string, error) {
			r, err := c.Routes.ListRouteRevisions(ctx, &gantryv1.ListRouteRevisionsRequest{Parent: name, PageSize: pageSize, PageToken: token})
			return r.GetRevisions(), r.GetNextPageToken(), err
		})
		if err != nil {
			return err
		}
		return printer.List(items)
	})
	return cmd
}

func (s *runner) routeRollback() *cobra.Command {
	var to int32
	cmd := &cobra.Command{
		Use:     "rollback ROUTE --to REVISION",
		Short:   "Give a route an earlier form again",
		Long:    `Gives a route an earlier form again, as a new revision; "gantry route history" lists them.`,
		Example: "  gantry route rollback web --to 3",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().Int32Var(&to, "to", 0, "revision to repeat")
	cmd.RunE = s.withClient(callTimeout, func(ctx context.Context, c *client.Client, args []string) error {
		if to < 1 {
			return usage("say which revision with --to; gantry route history %s lists them", args[0])
		}
		name, err := s.routeName(args[0])
		if err != nil {
			return err
		}
		route, err := c.Routes.RollbackRoute(ctx, &gantryv1.RollbackRouteRequest{Name: name, Revision: to, RequestId: uuid.NewString()})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "%s rolled back to revision %d; it is revision %d now\n", output.Short(name), to, route.GetRevision())
		return nil
	})
	return cmd
}

func applyRoute(ctx context.Context, c *client.Client, route *gantryv1.Route, dryRun bool) (string, error) {
	before, after, err := tryRoute(ctx, c, route, dryRun)
	return outcome(before != nil, routeWish(before), routeWish(after)), err
}

// tryRoute applies a route, or lets the platform check it only, and gives what
// it was, nil when there was none, and what it is.
func tryRoute(ctx context.Context, c *client.Client, route *gantryv1.Route, dryRun bool) (before, after *gantryv1.Route, err error) {
	before, err = c.Routes.GetRoute(ctx, &gantryv1.GetRouteRequest{Name: route.GetName()})
	if fault.Is(err, fault.KindNotFound) {
		before, err = nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	after, err = c.Routes.UpdateRoute(ctx, &gantryv1.UpdateRouteRequest{
		Route: route, AllowMissing: true, ValidateOnly: dryRun, RequestId: uuid.NewString(),
	})
	return before, after, err
}

// routeWish is what of a route the user decides about.
func routeWish(r *gantryv1.Route) proto.Message {
	return &gantryv1.Route{
		Name: r.GetName(), Gateway: r.GetGateway(), Host: r.GetHost(), PathPrefix: r.GetPathPrefix(), PathMatch: r.GetPathMatch(),
		App: r.GetApp(), Port: r.GetPort(), Rules: r.GetRules(),
	}
}

func applyStreamRoute(ctx context.Context, c *client.Client, route *gantryv1.StreamRoute, dryRun bool) (string, error) {
	before, err := c.Streams.GetStreamRoute(ctx, &gantryv1.GetStreamRouteRequest{Name: route.GetName()})
	existed, err := found(err)
	if err != nil {
		return "", err
	}
	after, err := c.Streams.UpdateStreamRoute(ctx, &gantryv1.UpdateStreamRouteRequest{
		StreamRoute: route, AllowMissing: true, ValidateOnly: dryRun, RequestId: uuid.NewString(),
	})
	return outcome(existed, streamRouteWish(before), streamRouteWish(after)), err
}

func streamRouteWish(r *gantryv1.StreamRoute) proto.Message {
	return &gantryv1.StreamRoute{
		Name: r.GetName(), Gateway: r.GetGateway(), Protocol: r.GetProtocol(), ListenPort: r.GetListenPort(), App: r.GetApp(), Port: r.GetPort(),
		ProxyProtocol: r.GetProxyProtocol(), AllowCidrs: r.GetAllowCidrs(), IdleSeconds: r.GetIdleSeconds(),
	}
}
