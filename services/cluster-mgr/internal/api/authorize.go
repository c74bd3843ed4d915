package api

import (
	"context"
	"slices"
	"strings"

	"gantry.dev/pkg/authz"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/mtls"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// callers are the services that may bring a user's identity.
func callers() []string { return []string{"portal", "gantry-local"} }

// Authorize refuses a call whose user lacks the permission that the method
// declares. What belongs to a project that the user is no member of does not
// exist for the user (rule E1).
func (s *Services) Authorize(ctx context.Context, method string, req any) (context.Context, error) {
	if peer := mtls.PeerName(ctx); !slices.Contains(callers(), peer) {
		return ctx, fault.Denied("CALLER_REFUSED", "%q may not call cluster-mgr; users come through portal", peer)
	}
	who, ok := authz.FromIncoming(ctx)
	if !ok {
		return ctx, fault.Unauthenticated("NO_IDENTITY", "the call carries no user; sign in and call portal")
	}
	permission, ok := authz.Permission(method)
	if !ok {
		return ctx, fault.Denied("NO_PERMISSION_DECLARED", "%s declares no permission, so nobody may call it", method)
	}
	if who.Operator() || authz.Public(permission) {
		return ctx, nil
	}
	if needs, project := s.ofApp(ctx, permission, req); project != "" {
		if err := s.authorizeIn(ctx, who, needs, project); !fault.Is(err, fault.KindNotFound) {
			return ctx, err
		}
	}
	return ctx, s.authorizeIn(ctx, who, permission, projectOf(req))
}

// ofApp is what a call about an operation needs, and in which project: what an
// operation does to an app is for the app's project to look at, to stop and to
// take back. Of what moves clusters there is no project.
func (s *Services) ofApp(ctx context.Context, permission string, req any) (needs, project string) {
	named, ok := req.(interface{ GetName() string })
	if !ok || !strings.HasPrefix(permission, "operations.") {
		return permission, ""
	}
	item, err := s.Store.Operations.Get(ctx, named.GetName())
	if err != nil {
		return permission, ""
	}
	metadata := &gantryv1.OperationMetadata{}
	if err := item.Value.GetMetadata().UnmarshalTo(metadata); err != nil {
		return permission, ""
	}
	if permission == "operations.get" {
		return "apps.get", names.Project(metadata.GetSubject())
	}
	return "apps.shift", names.Project(metadata.GetSubject())
}

// authorizeIn checks the user's role in one project.
func (s *Services) authorizeIn(ctx context.Context, who authz.Identity, permission, project string) error {
	denied := fault.Denied("PERMISSION_DENIED", "%s lacks the permission %s; ask an operator, or an owner of the project", who.User, permission)
	if project == "" || project == "-" || !authz.RoleAllows(gantryv1.Member_ROLE_OWNER, permission) {
		return denied
	}
	item, err := s.Store.Projects.Get(ctx, "projects/"+project)
	if err != nil {
		return err
	}
	switch role := who.Role(item.Value); {
	case role == gantryv1.Member_ROLE_UNSPECIFIED:
		return fault.NotFound("PROJECT_NOT_FOUND", "there is no projects/%s", project)
	case !authz.RoleAllows(role, permission):
		return denied
	}
	return nil
}

// projectOf finds the project that a request is about, in its parent, name or
// subject, or in the name of the resource that it carries.
func projectOf(req any) string {
	m, ok := req.(proto.Message)
	if !ok {
		return ""
	}
	r := m.ProtoReflect()
	fields := r.Descriptor().Fields()
	for _, field := range []protoreflect.Name{"parent", "name", "subject"} {
		if f := fields.ByName(field); f != nil && f.Kind() == protoreflect.StringKind {
			return names.Project(r.Get(f).String())
		}
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() != protoreflect.MessageKind || f.IsList() || !strings.HasPrefix(string(f.Message().FullName()), "gantry.v1.") {
			continue
		}
		if name := f.Message().Fields().ByName("name"); name != nil {
			return names.Project(r.Get(f).Message().Get(name).String())
		}
	}
	return ""
}

// user is who calls; Authorize has made sure that there is one.
func user(ctx context.Context) authz.Identity {
	who, _ := authz.FromIncoming(ctx)
	return who
}

// own refuses a resource under another parent than the request names.
func own(parent, name string) error {
	if !strings.HasPrefix(name, parent+"/") {
		return fault.Invalid("NAME_MISMATCH", "%s is not in %s", name, parent).With(fault.Violation{Field: "name", Description: "must begin with " + parent + "/"})
	}
	return nil
}
