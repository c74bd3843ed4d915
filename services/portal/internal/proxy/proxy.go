// Package proxy passes gRPC calls of users to the backend without decoding
// them: authenticated, limited and recorded, but otherwise as they are.
package proxy

import (
	"context"
	"errors"
	"io"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/portal/internal/admission"
	"gantry.dev/services/portal/internal/audit"
	"gantry.dev/services/portal/internal/methods"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Config is what a proxy needs.
type Config struct {
	// Gate authenticates and limits calls.
	Gate *admission.Gate
	// Backend carries the caller's identity.
	Backend grpc.ClientConnInterface
	// Methods that may be called; others answer UNIMPLEMENTED.
	Methods methods.Catalog
	Audit   *audit.Log
	// Ready tells whether a backend can be reached now.
	Ready func() bool
	// MaxMessageBytes bounds a request message.
	MaxMessageBytes int
}

// New returns a gRPC server that proxies every call; use it as http.Handler
// under an HTTP/2 server, or serve a listener.
func New(cfg Config) *grpc.Server {
	p := &proxy{cfg}
	return grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.UnknownServiceHandler(p.handle),
		grpc.MaxRecvMsgSize(cfg.MaxMessageBytes),
	)
}

type proxy struct{ Config }

// handle serves one call; its errors are gRPC statuses.
func (p *proxy) handle(_ any, up grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(up)
	if name == healthCheck {
		return p.health(up)
	}
	md, _ := metadata.FromIncomingContext(up.Context())
	ctx, err := p.Gate.Authenticate(up.Context(), md.Get("authorization"))
	if err != nil {
		return fault.ToStatus(err).Err()
	}
	method, ok := p.Methods[name]
	if !ok {
		return fault.ToStatus(fault.New(fault.KindUnimplemented, "METHOD_UNKNOWN",
			"there is no method %s in this API; gRPC reflection lists what there is", name)).Err()
	}
	call := p.Audit.Begin(method, "grpc")
	err = p.enter(ctx, up, method, call)
	call.End(ctx, err)
	return err
}

func (p *proxy) enter(ctx context.Context, up grpc.ServerStream, method methods.Method, call *audit.Call) error {
	ctx, leave, err := p.Gate.Enter(ctx, method)
	if err != nil {
		return fault.ToStatus(err).Err()
	}
	defer leave()
	return admission.Outcome(ctx, p.forward(ctx, up, method, call))
}

func (p *proxy) forward(ctx context.Context, up grpc.ServerStream, method methods.Method, call *audit.Call) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := firstFrame(ctx, up)
	if err != nil {
		return err
	}
	call.Resource = method.Resource(first.data)
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	down, err := p.Backend.NewStream(ctx, desc, method.Name, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		return err
	}
	// It ends with the caller's stream, which gRPC ends when handle returns.
	go sendAll(up, down, first, cancel)
	return receiveAll(up, down)
}

// firstFrame waits for the request no longer than ctx. A caller that sends
// none would hold its place for ever.
func firstFrame(ctx context.Context, up grpc.ServerStream) (*frame, error) {
	type received struct {
		frame *frame
		err   error
	}
	got := make(chan received, 1)
	go func() {
		f := &frame{}
		err := up.RecvMsg(f)
		got <- received{f, err}
	}()
	select {
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case r := <-got:
		if errors.Is(r.err, io.EOF) {
			return nil, fault.ToStatus(fault.Invalid("REQUEST_MISSING", "the call ended before its request message")).Err()
		}
		return r.frame, r.err
	}
}

// sendAll passes the caller's messages on until the caller is done. A caller
// that breaks off cancels the call behind it.
func sendAll(up grpc.ServerStream, down grpc.ClientStream, first *frame, cancel context.CancelFunc) {
	for f := first; ; {
		if err := down.SendMsg(f); err != nil {
			return // receiveAll gets the reason
		}
		f = &frame{}
		err := up.RecvMsg(f)
		if errors.Is(err, io.EOF) {
			_ = down.CloseSend() // receiveAll gets the reason
			return
		}
		if err != nil {
			cancel()
			return
		}
	}
}

// receiveAll passes headers, messages and trailers back until the call ends.
func receiveAll(up grpc.ServerStream, down grpc.ClientStream) error {
	defer func() { up.SetTrailer(down.Trailer()) }()
	header, err := down.Header()
	if err != nil {
		return err
	}
	if err := up.SendHeader(header); err != nil {
		return err
	}
	for {
		f := &frame{}
		err := down.RecvMsg(f)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := up.SendMsg(f); err != nil {
			return err
		}
	}
}
