package rest

import (
	"context"
	"sync"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/portal/internal/admission"
	"gantry.dev/services/portal/internal/audit"
	"gantry.dev/services/portal/internal/methods"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// connection is the backend as the gateway sees it: each call passes the gate
// and is recorded.
type connection struct {
	Config
}

// Invoke implements grpc.ClientConnInterface.
func (c *connection) Invoke(ctx context.Context, name string, args, reply any, opts ...grpc.CallOption) error {
	method, call := c.begin(name, args)
	err := c.invoke(ctx, method, args, reply, opts)
	call.End(ctx, err)
	return err
}

func (c *connection) invoke(ctx context.Context, method methods.Method, args, reply any, opts []grpc.CallOption) error {
	ctx, leave, err := c.Gate.Enter(ctx, method)
	if err != nil {
		return fault.ToStatus(err).Err()
	}
	defer leave()
	return c.Backend.Invoke(ctx, method.Name, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (c *connection) NewStream(ctx context.Context, desc *grpc.StreamDesc, name string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	method, call := c.begin(name, nil)
	streamCtx, leave, err := c.Gate.Enter(ctx, method)
	if err != nil {
		err = fault.ToStatus(err).Err()
		call.End(ctx, err)
		return nil, err
	}
	finish := sync.OnceFunc(func() {
		call.End(ctx, admission.Outcome(streamCtx, status.FromContextError(streamCtx.Err()).Err()))
		leave()
	})
	// The gateway stops reading without a word when the user is gone.
	context.AfterFunc(streamCtx, finish)
	down, err := c.Backend.NewStream(streamCtx, desc, method.Name, opts...)
	if err != nil {
		finish()
		return nil, err
	}
	return &recordedStream{ClientStream: down, ctx: streamCtx, finish: finish}, nil
}

func (c *connection) begin(name string, args any) (methods.Method, *audit.Call) {
	method := c.Methods[name]
	call := c.Audit.Begin(method, "rest")
	if request, ok := args.(proto.Message); ok {
		call.Resource = methods.ResourceOf(request)
	}
	return method, call
}

// recordedStream gives its place free when the backend ends it.
type recordedStream struct {
	grpc.ClientStream
	ctx    context.Context //nolint:containedctx // a stream's context is the stream's
	finish func()
}

// RecvMsg implements grpc.ClientStream.
func (s *recordedStream) RecvMsg(m any) error {
	err := admission.Outcome(s.ctx, s.ClientStream.RecvMsg(m))
	if err != nil {
		s.finish()
	}
	return err
}
