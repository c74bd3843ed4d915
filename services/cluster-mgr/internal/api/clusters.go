package api

import (
	"context"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
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
	first := &gantryv1.Cluster{}
	if etag, found, err := s.answered(ctx, r, first); found || err != nil {
		first.Etag = etag
		return first, err
	}
	cluster := &gantryv1.Cluster{
		Name: r.GetCluster().GetName(), Location: r.GetCluster().GetLocation(), IpaasAddress: r.GetCluster().GetIpaasAddress(),
		PrometheusUrl: r.GetCluster().GetPrometheusUrl(), Registry: r.GetCluster().GetRegistry(), Weight: r.GetCluster().GetWeight(),
		TrafficPercent: 100, CreateTime: timestamppb.Now(),
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
	etag, err := s.commit(ctx, change, r, cluster)
	if err != nil {
		return nil, err
	}
	shown := proto.CloneOf(cluster)
	shown.Etag = etag
	return shown, nil
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
	item, err := s.Store.Clusters.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	if err := current(item, r.GetEtag()); err != nil {
		return nil, err
	}
	assignments, _, err := s.Store.Assignments.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, a := range assignments {
		if n := a.Value.Replicas(r.GetName()); n > 0 {
			return nil, fault.Precondition("CLUSTER_IN_USE", "%s runs %d replicas of %s; move or delete them first", r.GetName(), n, a.Name)
		}
	}
	change := store.NewChange()
	s.Store.Clusters.Delete(change, item.Name, item.ModRevision)
	_, err = s.Store.Commit(ctx, change)
	return &emptypb.Empty{}, err
}

func (s *clusterService) SwitchTraffic(ctx context.Context, r *gantryv1.SwitchTrafficRequest) (*longrunningpb.Operation, error) {
	return s.startOnce(ctx, r, func() (*longrunningpb.Operation, error) {
		return s.Planner.SwitchTraffic(ctx, r, user(ctx).User)
	})
}

func (s *clusterService) FailBack(ctx context.Context, r *gantryv1.FailBackRequest) (*longrunningpb.Operation, error) {
	return s.startOnce(ctx, r, func() (*longrunningpb.Operation, error) {
		return s.Planner.FailBack(ctx, r, user(ctx).User)
	})
}

// startOnce starts an operation unless the request id has started one; a
// second start while the first runs is refused by the planner anyway.
func (s *clusterService) startOnce(ctx context.Context, r mutation, start func() (*longrunningpb.Operation, error)) (*longrunningpb.Operation, error) {
	first := &longrunningpb.Operation{}
	if _, found, err := s.answered(ctx, r, first); found || err != nil {
		return first, err
	}
	o, err := start()
	if err != nil || r.GetRequestId() == "" {
		return o, err
	}
	_, err = s.commit(ctx, store.NewChange(), r, o)
	return o, err
}
