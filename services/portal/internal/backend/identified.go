package backend

import (
	"context"

	"gantry.dev/pkg/authz"
	"gantry.dev/pkg/fault"
	"gantry.dev/services/portal/internal/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Identified is a connection on which every call carries the caller's identity
// and no other metadata: whatever came from outside ends here (rule E2).
type Identified struct {
	conn grpc.ClientConnInterface
}

// Identify wraps conn.
func Identify(conn grpc.ClientConnInterface) Identified { return Identified{conn: conn} }

// Invoke implements grpc.ClientConnInterface. A context without a Caller is an
// error: an unauthenticated call must never reach the backend.
func (i Identified) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	ctx, err := outgoing(ctx)
	if err != nil {
		return err
	}
	return i.conn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface, as Invoke does.
func (i Identified) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, err := outgoing(ctx)
	if err != nil {
		return nil, err
	}
	return i.conn.NewStream(ctx, desc, method, opts...)
}

func outgoing(ctx context.Context) (context.Context, error) {
	caller, ok := auth.FromContext(ctx)
	if !ok {
		return nil, fault.ToStatus(fault.Unauthenticated("TOKEN_MISSING", "the call has no authenticated user")).Err()
	}
	return authz.ToOutgoing(metadata.NewOutgoingContext(ctx, metadata.MD{}), caller.Identity), nil
}
