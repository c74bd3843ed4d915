package api

import (
	"context"
	"fmt"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type volumeService struct {
	gantryv1.UnimplementedVolumeServiceServer
	*Services
}

func (s *volumeService) CreateVolume(ctx context.Context, r *gantryv1.CreateVolumeRequest) (*gantryv1.Volume, error) {
	if err := own(r.GetParent(), r.GetVolume().GetName()); err != nil {
		return nil, err
	}
	return once(ctx, s.Services, r, func() (*gantryv1.Volume, error) { return s.create(ctx, r, r.GetVolume(), r.GetValidateOnly()) })
}

func (s *volumeService) create(ctx context.Context, r mutation, wish *gantryv1.Volume, validateOnly bool) (*gantryv1.Volume, error) {
	project, err := s.Store.Projects.Get(ctx, names.Parent(wish.GetName()))
	if err != nil {
		return nil, err
	}
	if _, err := s.Store.Volumes.Get(ctx, wish.GetName()); err == nil {
		return nil, fault.Exists("VOLUME_EXISTS", "%s exists already; change it with UpdateVolume", wish.GetName())
	}
	next := &gantryv1.Volume{Name: wish.GetName(), Capacity: wish.GetCapacity(), Sources: wish.GetSources(), CreateTime: timestamppb.Now()}
	change := store.NewChange()
	s.Store.Projects.Expect(change, project.Name, project.ModRevision)
	return s.put(ctx, r, change, store.Item[*gantryv1.Volume]{Name: next.GetName(), Value: &gantryv1.Volume{}}, next, validateOnly)
}

func (s *volumeService) UpdateVolume(ctx context.Context, r *gantryv1.UpdateVolumeRequest) (*gantryv1.Volume, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Volume, error) { return s.update(ctx, r) })
}

func (s *volumeService) update(ctx context.Context, r *gantryv1.UpdateVolumeRequest) (*gantryv1.Volume, error) {
	item, err := s.Store.Volumes.Get(ctx, r.GetVolume().GetName())
	if r.GetAllowMissing() && fault.Is(err, fault.KindNotFound) {
		return s.create(ctx, r, r.GetVolume(), r.GetValidateOnly())
	}
	if err != nil {
		return nil, err
	}
	if err := current(item, r.GetVolume().GetEtag()); err != nil {
		return nil, err
	}
	next := proto.CloneOf(item.Value)
	next.Capacity, next.Sources = r.GetVolume().GetCapacity(), r.GetVolume().GetSources()
	if proto.Equal(next, item.Value) {
		shown, err := s.shown(ctx, item)
		if err != nil {
			return nil, err
		}
		return shown, s.unchanged(ctx, r, shown, func(ch *store.Change) { s.Store.Volumes.Expect(ch, item.Name, item.ModRevision) })
	}
	change := store.NewChange()
	if err := s.unmoved(ctx, change, item.Value, next); err != nil {
		return nil, err
	}
	return s.put(ctx, r, change, item, next, r.GetValidateOnly())
}

// put checks and stores a volume in the place of what was there.
func (s *volumeService) put(ctx context.Context, r mutation, change *store.Change, was store.Item[*gantryv1.Volume], next *gantryv1.Volume, validateOnly bool) (*gantryv1.Volume, error) {
	if err := s.check(ctx, was.Value, next); err != nil {
		return nil, err
	}
	if !validateOnly {
		s.Store.Volumes.Put(change, next.GetName(), next, was.ModRevision)
	}
	users, err := s.users(ctx, names.Parent(next.GetName()))
	if err != nil {
		return nil, err
	}
	shown := proto.CloneOf(next)
	shown.UsedBy = users[next.GetName()]
	if validateOnly {
		return shown, nil
	}
	shown.Etag, err = s.commit(ctx, change, r, shown)
	return shown, err
}

// check refuses sources that cannot be, or that the user may not name: a
// directory of the nodes, and a secret that belongs to the cluster.
func (s *volumeService) check(ctx context.Context, was, next *gantryv1.Volume) error {
	if strings.Trim(next.GetCapacity(), "0KMGTi") == "" && next.GetCapacity() != "" {
		return invalid("volume.capacity", "%s is no size; leave it out for 1Gi", next.GetCapacity())
	}
	seen := map[string]bool{}
	for i, source := range next.GetSources() {
		field := fmt.Sprintf("volume.sources[%d]", i)
		if seen[source.GetCluster()] {
			return invalid(field+".cluster", "%s is listed twice", source.GetCluster())
		}
		seen[source.GetCluster()] = true
		if proto.Equal(source, sourceOf(was, source.GetCluster())) {
			continue
		}
		if _, err := s.Store.Clusters.Get(ctx, source.GetCluster()); err != nil {
			return unknownCluster(field+".cluster", source.GetCluster(), err)
		}
		if err := mayName(ctx, field, source); err != nil {
			return err
		}
	}
	return nil
}

func mayName(ctx context.Context, field string, source *gantryv1.VolumeSource) error {
	for _, closed := range closedPaths() {
		if below, same := within(source.GetDirectory(), closed); below || same {
			return invalid(field+".directory", "%s is in %s, which belongs to the system", source.GetDirectory(), closed)
		}
	}
	switch {
	case user(ctx).Operator():
	case source.GetDirectory() != "":
		return fault.Denied("DIRECTORY_DENIED", "%s.directory: only an operator may give apps a directory of the nodes; ask one", field)
	case source.GetCsi().GetNodeSecret() != "":
		return fault.Denied("NODE_SECRET_DENIED", "%s.csi.node_secret: only an operator may name a secret of the cluster; ask one", field)
	}
	return nil
}

func sourceOf(v *gantryv1.Volume, cluster string) *gantryv1.VolumeSource {
	for _, source := range v.GetSources() {
		if source.GetCluster() == cluster {
			return source
		}
	}
	return nil
}

// unmoved refuses to change a volume under the apps that use it: a source and
// the capacity while there are any, and to take it from a cluster that they
// have replicas in.
func (s *volumeService) unmoved(ctx context.Context, change *store.Change, was, next *gantryv1.Volume) error {
	project := names.Parent(was.GetName()) + "/"
	users, err := s.usersIn(ctx, change, project)
	if err != nil || len(users[was.GetName()]) == 0 {
		return err
	}
	by := strings.Join(users[was.GetName()], ", ")
	if was.GetCapacity() != next.GetCapacity() {
		return fault.Precondition("VOLUME_IN_USE", "%s is used by %s, so its capacity stays; make another volume", was.GetName(), by)
	}
	for _, source := range was.GetSources() {
		kept := sourceOf(next, source.GetCluster())
		if kept != nil && !proto.Equal(kept, source) {
			return fault.Precondition("VOLUME_IN_USE", "%s is used by %s, so its source in %s stays; make another volume and mount that", was.GetName(), by, names.ID(source.GetCluster()))
		}
		if kept != nil {
			continue
		}
		if err := s.unassigned(ctx, change, users[was.GetName()], was.GetName(), source.GetCluster()); err != nil {
			return err
		}
	}
	return nil
}

// unassigned refuses while one of the apps has replicas in a cluster, also one
// that gets some meanwhile.
func (s *volumeService) unassigned(ctx context.Context, change *store.Change, apps []string, volume, cluster string) error {
	assignments, err := s.Store.Assignments.GetMany(ctx, apps)
	if err != nil {
		return err
	}
	for _, a := range assignments {
		if a.Value.Replicas(cluster) > 0 {
			return fault.Precondition("VOLUME_IN_USE", "%s runs in %s and uses %s; move it elsewhere first, by its placement", a.Name, names.ID(cluster), volume)
		}
		s.Store.Assignments.Expect(change, a.Name, a.ModRevision)
	}
	return nil
}

func (s *volumeService) shown(ctx context.Context, item store.Item[*gantryv1.Volume]) (*gantryv1.Volume, error) {
	users, err := s.users(ctx, names.Parent(item.Name))
	return shownVolume(item, users), err
}

func shownVolume(item store.Item[*gantryv1.Volume], users map[string][]string) *gantryv1.Volume {
	item.Value.Etag, item.Value.UsedBy = item.ETag(), users[item.Name]
	return item.Value
}

func (s *volumeService) GetVolume(ctx context.Context, r *gantryv1.GetVolumeRequest) (*gantryv1.Volume, error) {
	item, err := s.Store.Volumes.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return s.shown(ctx, item)
}

func (s *volumeService) ListVolumes(ctx context.Context, r *gantryv1.ListVolumesRequest) (*gantryv1.ListVolumesResponse, error) {
	if err := s.inProject(ctx, r.GetParent()); err != nil {
		return nil, err
	}
	users, err := s.users(ctx, r.GetParent())
	if err != nil {
		return nil, err
	}
	list, next, err := page(ctx, s.Store.Volumes, r, below(r.GetParent()), false, func(item store.Item[*gantryv1.Volume]) (*gantryv1.Volume, bool) {
		return shownVolume(item, users), true
	})
	return &gantryv1.ListVolumesResponse{Volumes: list, NextPageToken: next}, err
}

// DeleteVolume forgets where a volume is; the clusters drop what they know of
// it with the last app that used it.
func (s *volumeService) DeleteVolume(ctx context.Context, r *gantryv1.DeleteVolumeRequest) (*emptypb.Empty, error) {
	return again(ctx, func() (*emptypb.Empty, error) { return &emptypb.Empty{}, s.delete(ctx, r) })
}

func (s *volumeService) delete(ctx context.Context, r *gantryv1.DeleteVolumeRequest) error {
	item, err := s.Store.Volumes.Get(ctx, r.GetName())
	if err != nil {
		return err
	}
	if err := current(item, r.GetEtag()); err != nil {
		return err
	}
	change := store.NewChange()
	if err := s.unused(ctx, change, item.Name, "VOLUME_IN_USE"); err != nil {
		return err
	}
	s.Store.Volumes.Delete(change, item.Name, item.ModRevision)
	_, err = s.Store.Commit(ctx, change)
	return err
}
