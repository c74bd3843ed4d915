// Package api serves cluster-mgr's part of the public API. Each service is a
// file; they share the store, the observer and the ways of this file's
// neighbours: who may (authorize.go), once only (once.go), pages (page.go).
package api

import (
	"context"
	"errors"
	"log/slog"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"gantry.dev/services/cluster-mgr/internal/observe"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
	"gantry.dev/services/cluster-mgr/internal/vault"
	"google.golang.org/grpc"
)

// Fitter knows whether an app has room.
type Fitter interface {
	// Fit refuses, with what is missing, an app whose wanted replicas fit
	// nowhere.
	Fit(ctx context.Context, app *gantryv1.App, desired int) error
	// Division is how the replicas of an app would be divided now; with
	// rebalance, all of them anew.
	Division(ctx context.Context, app *gantryv1.App, desired int, rebalance bool) (placement.Plan, error)
}

// Planner starts operations, and says what one would find.
type Planner interface {
	Survival(ctx context.Context) (*gantryv1.SurvivalReport, error)
	// With validate_only the operation is not stored and has no name.
	MigrateApps(ctx context.Context, r *gantryv1.MigrateAppsRequest, user string) (*longrunningpb.Operation, error)
	Approve(ctx context.Context, name, user string) (*longrunningpb.Operation, error)
	Reverse(ctx context.Context, r *gantryv1.ReverseOperationRequest, user string) (*longrunningpb.Operation, error)
	SwitchTraffic(ctx context.Context, r *gantryv1.SwitchTrafficRequest, user string) (*longrunningpb.Operation, error)
	FailBack(ctx context.Context, r *gantryv1.FailBackRequest, user string) (*longrunningpb.Operation, error)
	// With validate_only the operation is not stored and has no name.
	ShiftTraffic(ctx context.Context, r *gantryv1.ShiftTrafficRequest, user string) (*longrunningpb.Operation, error)
}

// Viewer gives what was seen last.
type Viewer interface {
	View() observe.View
}

// Resolver gives the digest of an image in a registry: NotFound when the
// registry does not have it, Unavailable when it does not say.
type Resolver func(ctx context.Context, registry, image string) (string, error)

// Config is what New needs; all fields but the last are required.
type Config struct {
	Store    *store.Store
	Pool     *clusters.Pool
	Observer Viewer
	Resolve  Resolver
	Fitter   Fitter
	Planner  Planner
	Vault    *vault.Vault
	Logger   *slog.Logger
}

// Services are all services of the API.
type Services struct{ Config }

// New checks its Config.
func New(c Config) (*Services, error) {
	if c.Store == nil || c.Pool == nil || c.Observer == nil || c.Resolve == nil || c.Fitter == nil || c.Planner == nil || c.Vault == nil || c.Logger == nil {
		return nil, errors.New("api: every field of Config is required")
	}
	return &Services{c}, nil
}

// Register adds every service to a server.
func (s *Services) Register(r grpc.ServiceRegistrar) {
	gantryv1.RegisterClusterServiceServer(r, &clusterService{Services: s})
	gantryv1.RegisterProjectServiceServer(r, &projectService{Services: s})
	gantryv1.RegisterAppServiceServer(r, &appService{Services: s})
	gantryv1.RegisterGatewayServiceServer(r, &gatewayService{Services: s})
	gantryv1.RegisterRouteServiceServer(r, &routeService{Services: s})
	gantryv1.RegisterStreamRouteServiceServer(r, &streamRouteService{Services: s})
	gantryv1.RegisterSecretServiceServer(r, &secretService{Services: s})
	gantryv1.RegisterVolumeServiceServer(r, &volumeService{Services: s})
	gantryv1.RegisterOperationServiceServer(r, &operationService{Services: s})
	gantryv1.RegisterDecisionServiceServer(r, &decisionService{Services: s})
	gantryv1.RegisterAlarmServiceServer(r, &alarmService{Services: s})
}
