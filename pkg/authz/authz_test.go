package authz_test

import (
	"context"
	"strings"
	"testing"

	"gantry.dev/pkg/authz"
	_ "gantry.dev/proto/gen/gantry/ingress/v1"
	_ "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// rule E1: a method without a permission may not exist.
func TestEveryMethodDeclaresItsPermission(t *testing.T) {
	methods := 0
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package()), "gantry.") {
			return true
		}
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				methods++
				full := "/" + string(service.FullName()) + "/" + string(service.Methods().Get(j).Name())
				if p, ok := authz.Permission(full); !ok || !strings.Contains(p, ".") {
					t.Errorf("%s declares no permission", full)
				}
			}
		}
		return true
	})
	if methods < 30 {
		t.Fatalf("saw %d methods: the descriptors are not linked in", methods)
	}
}

func TestPermissionOfAnUnknownMethod(t *testing.T) {
	for _, m := range []string{"", "/", "/x", "/gantry.v1.AppService/Nope", "/gantry.v1.App/name"} {
		if p, ok := authz.Permission(m); ok {
			t.Errorf("%q has permission %q", m, p)
		}
	}
}

func TestRoles(t *testing.T) {
	none, viewer, developer, owner := gantryv1.Member_ROLE_UNSPECIFIED, gantryv1.Member_ROLE_VIEWER, gantryv1.Member_ROLE_DEVELOPER, gantryv1.Member_ROLE_OWNER
	tests := []struct {
		permission string
		allowed    []gantryv1.Member_Role
	}{
		{"apps.get", []gantryv1.Member_Role{viewer, developer, owner}},
		{"apps.update", []gantryv1.Member_Role{developer, owner}},
		{"routes.create", []gantryv1.Member_Role{developer, owner}},
		{"secrets.update", []gantryv1.Member_Role{developer, owner}},
		{"streamRoutes.create", []gantryv1.Member_Role{developer, owner}},
		{"volumes.list", []gantryv1.Member_Role{viewer, developer, owner}},
		{"volumes.create", []gantryv1.Member_Role{owner}},
		{"gateways.drain", nil},
		{"projects.update", []gantryv1.Member_Role{owner}},
		{"projects.create", nil},
		{"clusters.switch", nil},
		{"operations.approve", nil},
		{"", nil},
	}
	for _, tc := range tests {
		var got []gantryv1.Member_Role
		for _, r := range []gantryv1.Member_Role{none, viewer, developer, owner} {
			if authz.RoleAllows(r, tc.permission) {
				got = append(got, r)
			}
		}
		if diff := cmp.Diff(tc.allowed, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.permission, diff)
		}
	}
}

func TestTheHighestMatchingMemberCounts(t *testing.T) {
	project := &gantryv1.Project{Members: []*gantryv1.Member{
		{Subject: "user:ann", Role: gantryv1.Member_ROLE_VIEWER},
		{Subject: "group:pay", Role: gantryv1.Member_ROLE_DEVELOPER},
		{Subject: "user:pay", Role: gantryv1.Member_ROLE_OWNER},
	}}
	tests := []struct {
		who  authz.Identity
		want gantryv1.Member_Role
	}{
		{authz.Identity{User: "ann"}, gantryv1.Member_ROLE_VIEWER},
		{authz.Identity{User: "ann", Groups: []string{"pay"}}, gantryv1.Member_ROLE_DEVELOPER},
		{authz.Identity{User: "bob"}, gantryv1.Member_ROLE_UNSPECIFIED},
		{authz.Identity{User: "group:pay"}, gantryv1.Member_ROLE_UNSPECIFIED},
	}
	for _, tc := range tests {
		if got := tc.who.Role(project); got != tc.want {
			t.Errorf("%+v: %v, want %v", tc.who, got, tc.want)
		}
	}
}

// rule E2: an identity that is already in the metadata does not survive.
func TestToOutgoingReplacesAnyIdentity(t *testing.T) {
	ctx := metadata.AppendToOutgoingContext(context.Background(), authz.UserKey, "mallory", authz.GroupsKey, authz.OperatorsGroup)
	ctx = authz.ToOutgoing(ctx, authz.Identity{User: "ann", Groups: []string{"pay"}})
	md, _ := metadata.FromOutgoingContext(ctx)
	got, ok := authz.FromIncoming(metadata.NewIncomingContext(context.Background(), md))
	if diff := cmp.Diff(authz.Identity{User: "ann", Groups: []string{"pay"}}, got); !ok || diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	twice := metadata.Pairs(authz.UserKey, "ann", authz.UserKey, "mallory")
	if _, ok := authz.FromIncoming(metadata.NewIncomingContext(context.Background(), twice)); ok {
		t.Error("two users are no identity")
	}
}
