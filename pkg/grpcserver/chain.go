package grpcserver

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/mtls"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// chain is what happens to every call before and after its method.
type chain struct {
	logger    *slog.Logger
	authorize func(context.Context, string, any) (context.Context, error)
	validator protovalidate.Validator
}

func (c chain) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	start := time.Now()
	defer func() { err = c.finish(ctx, info.FullMethod, start, recover(), err) }()
	if ctx, err = c.admit(ctx, info.FullMethod, req); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (c chain) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	start := time.Now()
	defer func() { err = c.finish(ss.Context(), info.FullMethod, start, recover(), err) }()
	return handler(srv, &checkedStream{ServerStream: ss, chain: c, method: info.FullMethod, ctx: ss.Context()})
}

// admit validates the request by the rules of its proto, then authorises it.
func (c chain) admit(ctx context.Context, method string, req any) (context.Context, error) {
	if open(method) {
		return ctx, nil
	}
	ctx, err := c.authorize(ctx, method, req)
	if err != nil {
		return ctx, err
	}
	if m, ok := req.(proto.Message); ok {
		return ctx, violations(c.validator.Validate(m))
	}
	return ctx, nil
}

// open methods tell nothing about anybody's data.
func open(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.") || strings.HasPrefix(method, "/grpc.reflection.")
}

// finish turns a panic or error into a status and writes the access log.
func (c chain) finish(ctx context.Context, method string, start time.Time, panicked any, err error) error {
	if panicked != nil {
		c.logger.Error("panic in a method", "method", method, "panic", panicked, "stack", string(debug.Stack()))
		err = fault.Internal("PANIC", "%s failed in an unexpected way; the log of the service says more", method)
	}
	if err == nil {
		c.logger.Debug("call", "method", method, "peer", mtls.PeerName(ctx), "took", time.Since(start))
		return nil
	}
	f := fault.From(err)
	level := slog.LevelInfo
	if f.Kind == fault.KindInternal {
		level = slog.LevelError
	}
	c.logger.Log(ctx, level, "call refused", "method", method, "peer", mtls.PeerName(ctx), "reason", f.Reason, "error", f.Message, "took", time.Since(start))
	return fault.ToStatus(f).Err()
}

// violations names each wrong field.
func violations(err error) error {
	if err == nil {
		return nil
	}
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) {
		return fault.Internal("VALIDATION_FAILED", "check the request: %w", err)
	}
	var list []fault.Violation
	var words []string
	for _, v := range invalid.Violations {
		field := protovalidate.FieldPathString(v.Proto.GetField())
		list = append(list, fault.Violation{Field: field, Description: v.Proto.GetMessage()})
		words = append(words, field+": "+v.Proto.GetMessage())
	}
	return fault.Invalid("INVALID_FIELDS", "%s", strings.Join(words, "; ")).With(list...)
}

// checkedStream admits a stream with its first message.
type checkedStream struct {
	grpc.ServerStream
	chain    chain
	method   string
	ctx      context.Context //nolint:containedctx // a stream's context is the stream's
	admitted bool
}

func (s *checkedStream) Context() context.Context { return s.ctx }

func (s *checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if s.admitted {
		return nil
	}
	ctx, err := s.chain.admit(s.ctx, s.method, m)
	if err != nil {
		return err
	}
	s.ctx, s.admitted = ctx, true
	return nil
}
