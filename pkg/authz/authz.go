// Package authz says who may do what. Each RPC declares its permission in the
// proto (option gantry.v1.permission); an identity is a user with groups,
// proved by portal and passed on as metadata over mutual TLS.
package authz

import (
	"context"
	"slices"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Metadata keys of an identity. Only portal may set them.
const (
	UserKey   = "x-gantry-user"
	GroupsKey = "x-gantry-groups"
)

// OperatorsGroup is the group of those who may do everything.
const OperatorsGroup = "gantry:operators"

// Permission gives the permission that a method declares in its proto.
// method is the full name, "/gantry.v1.AppService/GetApp".
func Permission(method string) (string, bool) {
	service, name, ok := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	if !ok {
		return "", false
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + name))
	if err != nil {
		return "", false
	}
	options, ok := d.Options().(*descriptorpb.MethodOptions)
	if !ok || !proto.HasExtension(options, gantryv1.E_Permission) {
		return "", false
	}
	permission, ok := proto.GetExtension(options, gantryv1.E_Permission).(string)
	return permission, ok && permission != ""
}

// Identity is who calls.
type Identity struct {
	// The token's subject.
	User   string
	Groups []string
}

// Operator tells whether the identity may do everything.
func (i Identity) Operator() bool { return slices.Contains(i.Groups, OperatorsGroup) }

// Role is the highest role that a project's members give the identity.
func (i Identity) Role(project *gantryv1.Project) gantryv1.Member_Role {
	role := gantryv1.Member_ROLE_UNSPECIFIED
	for _, m := range project.GetMembers() {
		if i.is(m.GetSubject()) && m.GetRole() > role {
			role = m.GetRole()
		}
	}
	return role
}

func (i Identity) is(subject string) bool {
	kind, name, _ := strings.Cut(subject, ":")
	switch kind {
	case "user":
		return name == i.User
	case "group":
		return slices.Contains(i.Groups, name)
	}
	return false
}

// FromIncoming reads the identity that portal put into the metadata.
func FromIncoming(ctx context.Context) (Identity, bool) {
	md, ok := metadata.FromIncomingContext(ctx)
	if !ok || len(md.Get(UserKey)) != 1 || md.Get(UserKey)[0] == "" {
		return Identity{}, false
	}
	return Identity{User: md.Get(UserKey)[0], Groups: md.Get(GroupsKey)}, true
}

// ToOutgoing replaces any identity in the outgoing metadata with i.
func ToOutgoing(ctx context.Context, i Identity) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx)
	md = md.Copy()
	if md == nil {
		md = metadata.MD{}
	}
	md.Set(UserKey, i.User)
	md.Delete(GroupsKey)
	md.Append(GroupsKey, i.Groups...)
	return metadata.NewOutgoingContext(ctx, md)
}

// RoleAllows tells whether a role in a project includes a permission.
// Permissions on what belongs to no project (clusters, gateways, operations)
// are the operators' alone, but for looking.
func RoleAllows(role gantryv1.Member_Role, permission string) bool {
	return role >= neededRole(permission)
}

// nobody is above every role.
const nobody = gantryv1.Member_Role(1 << 30)

func neededRole(permission string) gantryv1.Member_Role {
	resource, verb, _ := strings.Cut(permission, ".")
	switch resource {
	case "apps", "routes", "streamRoutes", "secrets":
		if verb == "get" || verb == "list" {
			return gantryv1.Member_ROLE_VIEWER
		}
		return gantryv1.Member_ROLE_DEVELOPER
	case "volumes":
		if verb == "get" || verb == "list" {
			return gantryv1.Member_ROLE_VIEWER
		}
		return gantryv1.Member_ROLE_OWNER
	case "projects":
		switch verb {
		case "get", "list":
			return gantryv1.Member_ROLE_VIEWER
		case "update":
			return gantryv1.Member_ROLE_OWNER
		}
	case "decisions":
		return gantryv1.Member_ROLE_VIEWER
	}
	return nobody
}

// Public tells whether every authenticated user has a permission: looking at
// what all projects share.
func Public(permission string) bool {
	switch permission {
	case "clusters.get", "clusters.list", "gateways.get", "gateways.list", "projects.list":
		return true
	}
	return false
}
