package api

import (
	"context"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type projectService struct {
	gantryv1.UnimplementedProjectServiceServer
	*Services
}

func shownProject(item store.Item[*gantryv1.Project]) *gantryv1.Project {
	item.Value.Etag = item.ETag()
	return item.Value
}

func (s *projectService) CreateProject(ctx context.Context, r *gantryv1.CreateProjectRequest) (*gantryv1.Project, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Project, error) {
		return s.put(ctx, r, r.GetProject(), 0, r.GetValidateOnly())
	})
}

func (s *projectService) GetProject(ctx context.Context, r *gantryv1.GetProjectRequest) (*gantryv1.Project, error) {
	item, err := s.Store.Projects.Get(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	return shownProject(item), nil
}

func (s *projectService) ListProjects(ctx context.Context, r *gantryv1.ListProjectsRequest) (*gantryv1.ListProjectsResponse, error) {
	who := user(ctx)
	list, next, err := page(ctx, s.Store.Projects, r, "", false, func(item store.Item[*gantryv1.Project]) (*gantryv1.Project, bool) {
		member := who.Role(item.Value) > gantryv1.Member_ROLE_UNSPECIFIED
		return shownProject(item), member || who.Operator()
	})
	return &gantryv1.ListProjectsResponse{Projects: list, NextPageToken: next}, err
}

func (s *projectService) UpdateProject(ctx context.Context, r *gantryv1.UpdateProjectRequest) (*gantryv1.Project, error) {
	return once(ctx, s.Services, r, func() (*gantryv1.Project, error) { return s.update(ctx, r) })
}

func (s *projectService) update(ctx context.Context, r *gantryv1.UpdateProjectRequest) (*gantryv1.Project, error) {
	item, err := s.Store.Projects.Get(ctx, r.GetProject().GetName())
	if r.GetAllowMissing() && fault.Is(err, fault.KindNotFound) {
		return s.put(ctx, r, r.GetProject(), 0, r.GetValidateOnly())
	}
	if err != nil {
		return nil, err
	}
	if err := current(item, r.GetProject().GetEtag()); err != nil {
		return nil, err
	}
	next := proto.CloneOf(item.Value)
	if err := applyMask(next, r.GetProject(), r.GetUpdateMask(), "display_name", "members"); err != nil {
		return nil, err
	}
	if proto.Equal(next, item.Value) {
		shown := shownProject(item)
		return shown, s.unchanged(ctx, r, shown, func(ch *store.Change) { s.Store.Projects.Expect(ch, item.Name, item.ModRevision) })
	}
	return s.put(ctx, r, next, item.ModRevision, r.GetValidateOnly())
}

// put stores a project; revision 0 creates it.
func (s *projectService) put(ctx context.Context, r mutation, project *gantryv1.Project, revision int64, validateOnly bool) (*gantryv1.Project, error) {
	project = proto.CloneOf(project)
	project.Etag = ""
	if revision == 0 {
		if _, err := s.Store.Projects.Get(ctx, project.GetName()); err == nil {
			return nil, fault.Exists("PROJECT_EXISTS", "%s exists already", project.GetName())
		}
		project.CreateTime = timestamppb.Now()
	}
	if validateOnly {
		return project, nil
	}
	change := store.NewChange()
	s.Store.Projects.Put(change, project.GetName(), project, revision)
	etag, err := s.commit(ctx, change, r, project)
	project.Etag = etag
	return project, err
}

func (s *projectService) DeleteProject(ctx context.Context, r *gantryv1.DeleteProjectRequest) (*emptypb.Empty, error) {
	return again(ctx, func() (*emptypb.Empty, error) { return &emptypb.Empty{}, s.delete(ctx, r) })
}

func (s *projectService) delete(ctx context.Context, r *gantryv1.DeleteProjectRequest) error {
	item, err := s.Store.Projects.Get(ctx, r.GetName())
	if err != nil {
		return err
	}
	if err := current(item, r.GetEtag()); err != nil {
		return err
	}
	apps, appsAt, err := s.Store.Apps.List(ctx, r.GetName()+"/")
	if err != nil {
		return err
	}
	routes, routesAt, err := s.Store.Routes.List(ctx, r.GetName()+"/")
	if err != nil {
		return err
	}
	secrets, secretsAt, err := s.Store.Secrets.List(ctx, r.GetName()+"/")
	if err != nil {
		return err
	}
	volumes, volumesAt, err := s.Store.Volumes.List(ctx, r.GetName()+"/")
	if err != nil {
		return err
	}
	if len(apps)+len(routes)+len(secrets)+len(volumes) > 0 {
		return fault.Precondition("PROJECT_NOT_EMPTY", "%s has %d apps, %d routes, %d secrets and %d volumes; delete them first",
			r.GetName(), len(apps), len(routes), len(secrets), len(volumes))
	}
	change := store.NewChange()
	s.Store.Secrets.ExpectNoneSince(change, r.GetName()+"/", secretsAt)
	s.Store.Volumes.ExpectNoneSince(change, r.GetName()+"/", volumesAt)
	s.Store.Apps.ExpectNoneSince(change, r.GetName()+"/", appsAt)
	s.Store.Routes.ExpectNoneSince(change, r.GetName()+"/", routesAt)
	s.Store.Projects.Delete(change, item.Name, item.ModRevision)
	_, err = s.Store.Commit(ctx, change)
	return err
}

// inProject refuses a list below a project that does not exist, which would
// else look like an empty one.
func (s *Services) inProject(ctx context.Context, parent string) error {
	if parent == anyProject {
		return nil
	}
	_, err := s.Store.Projects.Get(ctx, parent)
	return err
}
