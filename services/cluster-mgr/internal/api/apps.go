package api

import (
	"cmp"
	"context"
	"slices"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type appService struct {
	gantryv1.UnimplementedAppServiceServer
	*Services
}

func (s *appService) CreateApp(ctx context.Context, r *gantryv1.CreateAppRequest) (*gantryv1.App, error) {
	if err := own(r.GetParent(), r.GetApp().GetName()); err != nil {
		return nil, err
	}
	return s.once(ctx, r, func() (*gantryv1.App, error) { return s.create(ctx, r, r.GetApp(), r.GetValidateOnly()) })
}

func (s *appService) create(ctx context.Context, r mutation, app *gantryv1.App, validateOnly bool) (*gantryv1.App, error) {
	project, err := s.Store.Projects.Get(ctx, names.Parent(app.GetName()))
	if err != nil {
		return nil, err
	}
	if _, err := s.Store.Apps.Get(ctx, app.GetName()); err == nil {
		return nil, fault.Exists("APP_EXISTS", "%s exists already; change it with UpdateApp", app.GetName())
	}
	if _, err := s.Store.Deletions.Get(ctx, app.GetName()); err == nil {
		return nil, fault.Precondition("APP_BEING_DELETED", "%s is still being removed from its clusters; try again in a moment", app.GetName())
	}
	next := &gantryv1.App{Name: app.GetName(), Spec: app.GetSpec(), CreateTime: timestamppb.Now()}
	assignment := store.Item[store.Assignment]{
		ModRevision: store.Any, // what belonged to no app goes
		Value:       store.Assignment{App: app.GetName(), Desired: desired(app.GetSpec(), int(app.GetSpec().GetReplicas()))},
	}
	return s.release(ctx, r, release{app: next, assignment: assignment, project: project}, validateOnly)
}

// desired is a wanted number within the bounds of the app's policy.
func desired(spec *gantryv1.AppSpec, replicas int) int {
	if a := spec.GetAutoscale(); a != nil {
		return max(int(a.GetMinReplicas()), min(replicas, int(a.GetMaxReplicas())))
	}
	return replicas
}

func (s *appService) GetApp(ctx context.Context, r *gantryv1.GetAppRequest) (*gantryv1.App, error) {
	item, err := s.Store.Apps.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return s.shown(ctx, item)
}

func (s *appService) ListApps(ctx context.Context, r *gantryv1.ListAppsRequest) (*gantryv1.ListAppsResponse, error) {
	if err := s.inProject(ctx, r.GetParent()); err != nil {
		return nil, err
	}
	var items []store.Item[*gantryv1.App]
	_, next, err := page(ctx, s.Store.Apps, r, below(r.GetParent()), false, func(item store.Item[*gantryv1.App]) (*gantryv1.App, bool) {
		items = append(items, item)
		return item.Value, true
	})
	if err != nil {
		return nil, err
	}
	apps, err := s.allShown(ctx, items)
	return &gantryv1.ListAppsResponse{Apps: apps, NextPageToken: next}, err
}

func (s *appService) UpdateApp(ctx context.Context, r *gantryv1.UpdateAppRequest) (*gantryv1.App, error) {
	return s.once(ctx, r, func() (*gantryv1.App, error) { return s.update(ctx, r) })
}

func (s *appService) update(ctx context.Context, r *gantryv1.UpdateAppRequest) (*gantryv1.App, error) {
	item, err := s.Store.Apps.Get(ctx, r.GetApp().GetName())
	if r.GetAllowMissing() && fault.Is(err, fault.KindNotFound) {
		return s.create(ctx, r, r.GetApp(), r.GetValidateOnly())
	}
	if err != nil {
		return nil, err
	}
	if err := current(item, r.GetApp().GetEtag()); err != nil {
		return nil, err
	}
	next := proto.CloneOf(item.Value)
	if err := applyMask(next, r.GetApp(), r.GetUpdateMask(), "spec"); err != nil {
		return nil, err
	}
	if proto.Equal(next.GetSpec(), item.Value.GetSpec()) {
		shown, err := s.shown(ctx, item)
		if err != nil {
			return nil, err
		}
		return shown, s.unchanged(ctx, r, withoutFiles(shown), func(ch *store.Change) { s.Store.Apps.Expect(ch, item.Name, item.ModRevision) })
	}
	assignment, err := s.Store.Assignments.Get(ctx, item.Name)
	if err != nil {
		return nil, err
	}
	had := assignment.Value.Desired
	wanted := had
	if next.GetSpec().GetAutoscale() == nil {
		wanted = int(next.GetSpec().GetReplicas())
	}
	assignment.Value.Desired = desired(next.GetSpec(), wanted)
	return s.release(ctx, r, release{app: next, revision: item.ModRevision, assignment: assignment, before: item.Value.GetSpec(), desiredBefore: had}, r.GetValidateOnly())
}

// DeleteApp forgets the app at once; the leader then removes it from the
// clusters, those that cannot be asked as soon as they can.
func (s *appService) DeleteApp(ctx context.Context, r *gantryv1.DeleteAppRequest) (*emptypb.Empty, error) {
	return again(ctx, func() (*emptypb.Empty, error) { return &emptypb.Empty{}, s.delete(ctx, r) })
}

func (s *appService) delete(ctx context.Context, r *gantryv1.DeleteAppRequest) error {
	item, err := s.Store.Apps.Get(ctx, r.GetName())
	if err != nil {
		return err
	}
	if err := current(item, r.GetEtag()); err != nil {
		return err
	}
	change := store.NewChange()
	if err := s.unrouted(ctx, change, r.GetName()); err != nil {
		return err
	}
	clusters, _, err := s.Store.Clusters.List(ctx, "")
	if err != nil {
		return err
	}
	deletion := store.Deletion{App: r.GetName()}
	for _, c := range clusters {
		deletion.Clusters = append(deletion.Clusters, c.Name)
	}
	s.Store.Apps.Delete(change, item.Name, item.ModRevision)
	s.Store.Assignments.Delete(change, item.Name, store.Any)
	s.Store.Shares.Delete(change, item.Name, store.Any)
	s.Store.Deletions.Put(change, item.Name, deletion, store.Any)
	s.Store.Releases.DeleteAll(change, item.Name+"/")
	if _, err = s.Store.Commit(ctx, change); err != nil {
		return err
	}
	for _, secret := range fleet.SecretNames(item.Value.GetSpec()) {
		s.prune(ctx, secret)
	}
	return nil
}

// unrouted refuses while a route leads to an app, also one that is made
// meanwhile.
func (s *appService) unrouted(ctx context.Context, change *store.Change, app string) error {
	leads, err := s.leadingTo(ctx, change, app)
	if err != nil || len(leads) == 0 {
		return err
	}
	return fault.Precondition("APP_IN_USE", "%s leads to %s; delete it first", leads[0].from, app)
}

func (s *appService) ListReleases(ctx context.Context, r *gantryv1.ListReleasesRequest) (*gantryv1.ListReleasesResponse, error) {
	if _, err := s.Store.Apps.Get(ctx, r.GetParent()); err != nil {
		return nil, err
	}
	list, next, err := page(ctx, s.Store.Releases, r, r.GetParent()+"/releases/", true, all)
	return &gantryv1.ListReleasesResponse{Releases: list, NextPageToken: next}, err
}

func (s *appService) ListPods(ctx context.Context, r *gantryv1.ListPodsRequest) (*gantryv1.ListPodsResponse, error) {
	if _, err := s.Store.Apps.Get(ctx, r.GetParent()); err != nil {
		return nil, err
	}
	clusters, _, err := s.Store.Clusters.List(ctx, "")
	if err != nil {
		return nil, err
	}
	out := &gantryv1.ListPodsResponse{}
	view := s.Observer.View()
	for _, c := range clusters {
		seen := view.Clusters[c.Name]
		if seen.Attempt.IsZero() || seen.WorkloadsErr != nil || !seen.State.GetApiServerReady() {
			out.Unreachable = append(out.Unreachable, c.Name)
		}
		for _, p := range seen.Pods {
			if p.GetApp() == r.GetParent() {
				out.Pods = append(out.Pods, p)
			}
		}
	}
	slices.SortStableFunc(out.Pods, func(a, b *gantryv1.Pod) int {
		return cmp.Compare(a.GetCluster()+a.GetName(), b.GetCluster()+b.GetName())
	})
	return out, nil
}
