package platform

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gantry.dev/pkg/etcdkv"
	"gantry.dev/pkg/mtls"
	"gantry.dev/services/gantry/internal/local/layout"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// accessLimit is how long granting all access may take.
const accessLimit = 15 * time.Second

// grant lets a user write or only read what begins with prefix.
type grant struct {
	user, prefix string
	permission   clientv3.PermissionType
}

// grants are all rights but root's; a user is the common name of a certificate.
func grants(balancers []layout.Node) []grant {
	all := []grant{
		{"cluster-mgr", "/gantry/", clientv3.PermissionType(clientv3.PermReadWrite)},
		{"cluster-mgr", "/gantry-gateways/", clientv3.PermissionType(clientv3.PermReadWrite)},
	}
	for _, n := range balancers {
		all = append(all, grant{AgentIdentity(n), "/gantry-gateways/" + layout.Gateway + "/",
			clientv3.PermissionType(clientv3.PermRead)})
	}
	return all
}

// ensureAccess makes users and roles and switches on etcd's access control. It
// may run any number of times.
func (c Config) ensureAccess(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, accessLimit)
	defer cancel()
	id := c.admin()
	tls, err := mtls.Files{Cert: id.Cert, Key: id.Key, CA: id.CA}.Client("etcd")
	if err != nil {
		return fmt.Errorf("identity for etcd: %w", err)
	}
	client, err := etcdkv.Dial([]string{c.Plan.Etcd()}, tls)
	if err != nil {
		return fmt.Errorf("connect to etcd: %w", err)
	}
	defer client.Close()
	return grantAll(ctx, client, c.Plan.Balancers)
}

func grantAll(ctx context.Context, auth clientv3.Auth, balancers []layout.Node) error {
	status, err := auth.AuthStatus(ctx)
	if err != nil {
		return fmt.Errorf("access state of etcd: %w", err)
	}
	// etcd wants a user called root before access control can be switched on;
	// nobody has a certificate of that name.
	for _, user := range []string{"root", "gantry-local"} {
		if err := ensureUser(ctx, auth, user, "root"); err != nil {
			return err
		}
	}
	for _, g := range grants(balancers) {
		if err := ensureGrant(ctx, auth, g); err != nil {
			return err
		}
	}
	if status.Enabled {
		return nil
	}
	if _, err := auth.AuthEnable(ctx); err != nil {
		return fmt.Errorf("switch on access control: %w", err)
	}
	return nil
}

func ensureGrant(ctx context.Context, auth clientv3.Auth, g grant) error {
	if err := ensureUser(ctx, auth, g.user, g.user); err != nil {
		return err
	}
	_, err := auth.RoleGrantPermission(ctx, g.user, g.prefix, clientv3.GetPrefixRangeEnd(g.prefix), g.permission)
	if err != nil {
		return fmt.Errorf("grant %s to %s: %w", g.prefix, g.user, err)
	}
	return nil
}

func ensureUser(ctx context.Context, auth clientv3.Auth, user, role string) error {
	_, err := auth.RoleAdd(ctx, role)
	if err != nil && !errors.Is(err, rpctypes.ErrRoleAlreadyExist) {
		return fmt.Errorf("role %s: %w", role, err)
	}
	// Without a password only the certificate opens the door.
	_, err = auth.UserAddWithOptions(ctx, user, "", &clientv3.UserAddOptions{NoPassword: true})
	if err != nil && !errors.Is(err, rpctypes.ErrUserAlreadyExist) {
		return fmt.Errorf("user %s: %w", user, err)
	}
	if _, err := auth.UserGrantRole(ctx, user, role); err != nil {
		return fmt.Errorf("give %s its role: %w", user, err)
	}
	return nil
}
