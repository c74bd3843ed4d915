package cli

import (
	"context"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/manifest"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
)

// Outcomes of applying one resource.
const (
	created    = "created"
	configured = "configured"
	unchanged  = "unchanged"
)

// applyOne creates or changes one resource and says which it was.
func applyOne(ctx context.Context, c *client.Client, d manifest.Document, dryRun bool) (string, error) {
	switch m := d.Resource.(type) {
	case *gantryv1.App:
		return applyApp(ctx, c, m, dryRun)
	case *gantryv1.Project:
		return applyProject(ctx, c, m, dryRun)
	case *gantryv1.Route:
		return applyRoute(ctx, c, m, dryRun)
	case *gantryv1.StreamRoute:
		return applyStreamRoute(ctx, c, m, dryRun)
	case *gantryv1.Secret:
		return applySecret(ctx, c, m, secretOptions{dryRun: dryRun})
	case *gantryv1.Volume:
		return applyVolume(ctx, c, m, dryRun)
	case *gantryv1.Gateway:
		return applyGateway(ctx, c, m, dryRun)
	case *gantryv1.Cluster:
		return applyCluster(ctx, c, m, dryRun)
	}
	return "", fault.Internal("KIND_UNKNOWN", "there is no way to apply a %s", d.Kind)
}

// outcome compares what the user decides about before and after.
func outcome(existed bool, before, after proto.Message) string {
	switch {
	case !existed:
		return created
	case proto.Equal(before, after):
		return unchanged
	}
	return configured
}

// found tells "is not there" apart from other errors.
func found(err error) (bool, error) {
	if fault.Is(err, fault.KindNotFound) {
		return false, nil
	}
	return err == nil, err
}

func applyApp(ctx context.Context, c *client.Client, app *gantryv1.App, dryRun bool) (string, error) {
	before, err := c.Apps.GetApp(ctx, &gantryv1.GetAppRequest{Name: app.GetName()})
	existed, err := found(err)
	if err != nil {
		return "", err
	}
	after, err := c.Apps.UpdateApp(ctx, &gantryv1.UpdateAppRequest{
		App: app, AllowMissing: true, ValidateOnly: dryRun, RequestId: uuid.NewString(),
	})
	return outcome(existed, before.GetSpec(), after.GetSpec()), err
}

func applyProject(ctx context.Context, c *client.Client, project *gantryv1.Project, dryRun bool) (string, error) {
	before, err := c.Projects.GetProject(ctx, &gantryv1.GetProjectRequest{Name: project.GetName()})
	existed, err := found(err)
	if err != nil {
		return "", err
	}
	after, err := c.Projects.UpdateProject(ctx, &gantryv1.UpdateProjectRequest{
		Project: project, AllowMissing: true, ValidateOnly: dryRun, RequestId: uuid.NewString(),
	})
	return outcome(existed, projectWish(before), projectWish(after)), err
}

func projectWish(p *gantryv1.Project) proto.Message {
	return &gantryv1.Project{Name: p.GetName(), DisplayName: p.GetDisplayName(), Members: p.GetMembers()}
}

func applyGateway(ctx context.Context, c *client.Client, gateway *gantryv1.Gateway, dryRun bool) (string, error) {
	before, err := c.Gateways.GetGateway(ctx, &gantryv1.GetGatewayRequest{Name: gateway.GetName()})
	existed, err := found(err)
	if err != nil {
		return "", err
	}
	after, err := c.Gateways.UpdateGateway(ctx, &gantryv1.UpdateGatewayRequest{
		Gateway: gateway, AllowMissing: true, ValidateOnly: dryRun, RequestId: uuid.NewString(),
	})
	return outcome(existed, gatewayWish(before), gatewayWish(after)), err
}

func gatewayWish(g *gantryv1.Gateway) proto.Message {
	return &gantryv1.Gateway{Name: g.GetName(), Vip: g.GetVip(), VirtualRouterId: g.GetVirtualRouterId(), Nodes: g.GetNodes(), MoreVips: g.GetMoreVips()}
}

// applyCluster registers a cluster, or changes what is said of it. A file that
// has no failover policy takes one away.
func applyCluster(ctx context.Context, c *client.Client, cluster *gantryv1.Cluster, dryRun bool) (string, error) {
	before, err := c.Clusters.GetCluster(ctx, &gantryv1.GetClusterRequest{Name: cluster.GetName()})
	existed, err := found(err)
	if err != nil {
		return "", err
	}
	if !existed {
		_, err = c.Clusters.CreateCluster(ctx, &gantryv1.CreateClusterRequest{Cluster: cluster, ValidateOnly: dryRun, RequestId: uuid.NewString()})
		return created, err
	}
	if proto.Equal(clusterWish(before), clusterWish(cluster)) {
		return unchanged, nil
	}
	_, err = c.Clusters.UpdateCluster(ctx, &gantryv1.UpdateClusterRequest{Cluster: cluster, ValidateOnly: dryRun, RequestId: uuid.NewString()})
	return configured, err
}

func clusterWish(c *gantryv1.Cluster) proto.Message {
	return &gantryv1.Cluster{
		Name: c.GetName(), Location: c.GetLocation(), IpaasAddress: c.GetIpaasAddress(),
		PrometheusUrl: c.GetPrometheusUrl(), Registry: c.GetRegistry(), Weight: max(c.GetWeight(), 1), Failover: c.GetFailover(),
	}
}
