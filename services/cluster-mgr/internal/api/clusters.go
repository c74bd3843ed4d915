package api

import (
	"context"
	"slices"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type clusterService struct {
	gantryv1.UnimplementedClusterServiceServer
	*Services
}

// shown adds what was seen last of a cluster.
func (s *clusterService) shown(item store.Item[*gantryv1.Cluster]) *gantryv1.Cluster {
	c := item.Value
	c.Etag = item.ETag()
	c.Nodes = s.Observer.View().Clusters[item.Name].State.GetNodes()
	if c.GetHealth() == nil {
		c.Health = &gantryv1.ClusterHealth{State: gantryv1.ClusterHealth_STATE_UNKNOWN, Reason: "nobody has looked yet"}
	}
	return c
}

func (s *clusterService) CreateCluster(ctx context.Context, r *gantryv1.CreateClusterRequest) (*gantryv1.Cluster, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Cluster, error) { return s.register(ctx, r) })
}

func (s *clusterService) register(ctx context.Context, r *gantryv1.CreateClusterRequest) (*gantryv1.Cluster, error) {
	cluster := &gantryv1.Cluster{
		Name: r.GetCluster().GetName(), Location: r.GetCluster().GetLocation(), IpaasAddress: r.GetCluster().GetIpaasAddress(),
		PrometheusUrl: r.GetCluster().GetPrometheusUrl(), Registry: r.GetCluster().GetRegistry(), Weight: r.GetCluster().GetWeight(),
		Failover: r.GetCluster().GetFailover(), TrafficPercent: 100, CreateTime: timestamppb.Now(),
	}
	if err := reachable(cluster); err != nil {
		return nil, err
	}
	identity, err := s.identify(ctx, cluster)
	if err != nil {
		return nil, err
	}
	cluster.Identity = identity
	if err := s.unregistered(ctx, cluster); err != nil || r.GetValidateOnly() {
		return cluster, err
	}
	change := store.NewChange()
	s.Store.Clusters.Put(change, cluster.GetName(), cluster, 0)
	s.Store.Identities.Put(change, identity, store.IdentityClaim{Cluster: cluster.GetName()}, 0)
	cluster.Etag, err = s.commit(ctx, change, r, cluster)
	return cluster, err
}

// reachable refuses a cluster without the addresses that it is useless
// without; a request whose mask leaves them out need not have them.
func reachable(c *gantryv1.Cluster) error {
	if c.GetIpaasAddress() == "" {
		return invalid("cluster.ipaas_address", "a cluster needs the host:port of its ipaas")
	}
	if c.GetRegistry() == "" {
		return invalid("cluster.registry", "a cluster needs the host:port of its registry")
	}
	return nil
}

// identify asks the cluster's ipaas which cluster it wraps.
func (s *clusterService) identify(ctx context.Context, c *gantryv1.Cluster) (string, error) {
	client, err := s.Pool.Ipaas(c)
	if err != nil {
		return "", err
	}
	state, err := client.GetClusterState(ctx, &ipaasv1.GetClusterStateRequest{})
	if err != nil {
		return "", fault.Unavailable("IPAAS_UNREACHABLE", "the ipaas at %s does not answer as %s, so the cluster was not registered; look whether it runs and has the certificate of that name: %w", c.GetIpaasAddress(), c.GetName(), err)
	}
	if state.GetIdentity() == "" {
		return "", fault.Unavailable("IDENTITY_UNKNOWN", "the ipaas at %s has not reached its API server yet (%s); try again", c.GetIpaasAddress(), state.GetApiServerDetail())
	}
	return state.GetIdentity(), nil
}

// unregistered refuses a name or an identity that is taken.
func (s *clusterService) unregistered(ctx context.Context, c *gantryv1.Cluster) error {
	registered, _, err := s.Store.Clusters.List(ctx, "")
	if err != nil {
		return err
	}
	for _, other := range registered {
		if other.Value.GetIdentity() == c.GetIdentity() {
			return fault.Exists("CLUSTER_ALREADY_REGISTERED", "the cluster at %s is registered already, as %s", c.GetIpaasAddress(), other.Name)
		}
		if other.Name == c.GetName() {
			return fault.Exists("CLUSTER_EXISTS", "%s is another cluster; choose another name", c.GetName())
		}
	}
	return nil
}

func (s *clusterService) GetCluster(ctx context.Context, r *gantryv1.GetClusterRequest) (*gantryv1.Cluster, error) {
	item, err := s.Store.Clusters.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return s.shown(item), nil
}

func (s *clusterService) ListClusters(ctx context.Context, r *gantryv1.ListClustersRequest) (*gantryv1.ListClustersResponse, error) {
	list, next, err := page(ctx, s.Store.Clusters, r, "", false, func(item store.Item[*gantryv1.Cluster]) (*gantryv1.Cluster, bool) {
		return s.shown(item), true
	})
	return &gantryv1.ListClustersResponse{Clusters: list, NextPageToken: next}, err
}

func (s *clusterService) DeleteCluster(ctx context.Context, r *gantryv1.DeleteClusterRequest) (*emptypb.Empty, error) {
	return again(ctx, func() (*emptypb.Empty, error) { return &emptypb.Empty{}, s.forget(ctx, r) })
}

func (s *clusterService) forget(ctx context.Context, r *gantryv1.DeleteClusterRequest) error {
	item, err := s.Store.Clusters.Get(ctx, r.GetName())
	if err != nil {
		return err
	}
	if err := current(item, r.GetEtag()); err != nil {
		return err
	}
	assignments, assignedAt, err := s.Store.Assignments.List(ctx, "")
	if err != nil {
		return err
	}
	for _, a := range assignments {
		if n := a.Value.Replicas(r.GetName()); n > 0 {
			return fault.Precondition("CLUSTER_IN_USE", "%s runs %d replicas of %s; move or delete them first", r.GetName(), n, a.Name)
		}
	}
	if _, err := s.Store.EndShares(ctx, names.ID(r.GetName())); err != nil {
		return err
	}
	change := store.NewChange()
	s.Store.Assignments.ExpectNoneSince(change, "", assignedAt)
	s.Store.Clusters.Delete(change, item.Name, item.ModRevision)
	s.Store.Identities.Delete(change, item.Value.GetIdentity(), store.Any)
	_, err = s.Store.Commit(ctx, change)
	return err
}

// UpdateCluster changes what an operator may say of a cluster. Where it is
// reached may change, which cluster it is may not.
func (s *clusterService) UpdateCluster(ctx context.Context, r *gantryv1.UpdateClusterRequest) (*gantryv1.Cluster, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Cluster, error) { return s.update(ctx, r) })
}

func (s *clusterService) update(ctx context.Context, r *gantryv1.UpdateClusterRequest) (*gantryv1.Cluster, error) {
	item, err := s.Store.Clusters.Get(ctx, r.GetCluster().GetName())
	if err != nil {
		return nil, err
	}
	if err := current(item, r.GetCluster().GetEtag()); err != nil {
		return nil, err
	}
	next := proto.CloneOf(item.Value)
	err = applyMask(next, r.GetCluster(), r.GetUpdateMask(), "location", "ipaas_address", "prometheus_url", "registry", "weight", "failover")
	if err != nil {
		return nil, err
	}
	if proto.Equal(next, item.Value) {
		shown := s.shown(item)
		return shown, s.unchanged(ctx, r, shown, func(ch *store.Change) { s.Store.Clusters.Expect(ch, item.Name, item.ModRevision) })
	}
	if err := s.same(ctx, next, item.Value); err != nil || r.GetValidateOnly() {
		return next, err
	}
	change := store.NewChange()
	s.Store.Clusters.Put(change, next.GetName(), next, item.ModRevision)
	etag, err := s.commit(ctx, change, r, next)
	if err != nil {
		return nil, err
	}
	shown := s.shown(store.Item[*gantryv1.Cluster]{Name: next.GetName(), Value: next})
	shown.Etag = etag
	return shown, nil
}

// same refuses a change after which the cluster would be another one.
func (s *clusterService) same(ctx context.Context, next, was *gantryv1.Cluster) error {
	if err := wellFormedAs("cluster", next); err != nil {
		return err
	}
	if err := reachable(next); err != nil {
		return err
	}
	if next.GetIpaasAddress() == was.GetIpaasAddress() {
		return nil
	}
	identity, err := s.identify(ctx, next)
	if err != nil {
		return err
	}
	if identity != was.GetIdentity() {
		return fault.Precondition("OTHER_CLUSTER", "the ipaas at %s wraps another cluster (%s) than %s (%s); register it under a name of its own",
			next.GetIpaasAddress(), identity, was.GetName(), was.GetIdentity()).
			With(fault.Violation{Field: "cluster.ipaas_address", Description: "it wraps another cluster"})
	}
	return nil
}

// GetSurvivalReport says what would not fit if a cluster died now. How much is
// for everybody to see, whose apps they are is not (rule E1).
func (s *clusterService) GetSurvivalReport(ctx context.Context, _ *gantryv1.GetSurvivalReportRequest) (*gantryv1.SurvivalReport, error) {
	report, err := s.Planner.Survival(ctx)
	if err != nil || user(ctx).Operator() {
		return report, err
	}
	mine, err := s.memberships(ctx)
	if err != nil {
		return nil, err
	}
	for _, loss := range report.GetLosses() {
		loss.Apps = slices.DeleteFunc(loss.GetApps(), func(a *gantryv1.SurvivalReport_AppLoss) bool { return !mine[names.Parent(a.GetApp())] })
	}
	return report, nil
}

// memberships are the names of the projects in which the caller has a role.
func (s *clusterService) memberships(ctx context.Context) (map[string]bool, error) {
	projects, _, err := s.Store.Projects.List(ctx, "")
	if err != nil {
		return nil, err
	}
	mine := map[string]bool{}
	for _, p := range projects {
		mine[p.Name] = user(ctx).Role(p.Value) > gantryv1.Member_ROLE_UNSPECIFIED
	}
	return mine, nil
}

// MigrateApps plans to leave a cluster; the plan waits for approval.
func (s *clusterService) MigrateApps(ctx context.Context, r *gantryv1.MigrateAppsRequest) (*longrunningpb.Operation, error) {
	if r.GetValidateOnly() {
		return s.Planner.MigrateApps(ctx, r, user(ctx).User)
	}
	return s.startOnce(ctx, r, func() (*longrunningpb.Operation, error) { return s.Planner.MigrateApps(ctx, r, user(ctx).User) })
}

func (s *clusterService) SwitchTraffic(ctx context.Context, r *gantryv1.SwitchTrafficRequest) (*longrunningpb.Operation, error) {
	return s.startOnce(ctx, r, func() (*longrunningpb.Operation, error) { return s.Planner.SwitchTraffic(ctx, r, user(ctx).User) })
}

func (s *clusterService) FailBack(ctx context.Context, r *gantryv1.FailBackRequest) (*longrunningpb.Operation, error) {
	return s.startOnce(ctx, r, func() (*longrunningpb.Operation, error) { return s.Planner.FailBack(ctx, r, user(ctx).User) })
}
