// Package rest serves the API as JSON over HTTP, by grpc-gateway. Field names
// are lowerCamel; unknown fields in a body are refused; errors are
// google.rpc.Status with their details; WatchApps answers one JSON object per
// line, {"result": …} or {"error": …}.
package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/portal/internal/admission"
	"gantry.dev/services/portal/internal/audit"
	"gantry.dev/services/portal/internal/methods"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

// Config is what the REST side needs.
type Config struct {
	Gate *admission.Gate
	// Backend carries the caller's identity.
	Backend grpc.ClientConnInterface
	Methods methods.Catalog
	Audit   *audit.Log
	// MaxBodyBytes bounds a request body.
	MaxBodyBytes int64
}

// New returns the handler of everything under /v1/.
func New(ctx context.Context, cfg Config) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{Marshaler: &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{EmitUnpopulated: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
		}}),
		runtime.WithIncomingHeaderMatcher(nothing),
		runtime.WithOutgoingHeaderMatcher(nothing),
		runtime.WithOutgoingTrailerMatcher(nothing),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(writeRoutingError),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisablePathLengthFallback(),
	)
	conn := &connection{cfg}
	for _, register := range []registration{
		of(gantryv1.NewProjectServiceClient, gantryv1.RegisterProjectServiceHandlerClient),
		of(gantryv1.NewAppServiceClient, gantryv1.RegisterAppServiceHandlerClient),
		of(gantryv1.NewSecretServiceClient, gantryv1.RegisterSecretServiceHandlerClient),
		of(gantryv1.NewVolumeServiceClient, gantryv1.RegisterVolumeServiceHandlerClient),
		of(gantryv1.NewClusterServiceClient, gantryv1.RegisterClusterServiceHandlerClient),
		of(gantryv1.NewGatewayServiceClient, gantryv1.RegisterGatewayServiceHandlerClient),
		of(gantryv1.NewRouteServiceClient, gantryv1.RegisterRouteServiceHandlerClient),
		of(gantryv1.NewStreamRouteServiceClient, gantryv1.RegisterStreamRouteServiceHandlerClient),
		of(gantryv1.NewOperationServiceClient, gantryv1.RegisterOperationServiceHandlerClient),
		of(gantryv1.NewDecisionServiceClient, gantryv1.RegisterDecisionServiceHandlerClient),
		of(gantryv1.NewAlarmServiceClient, gantryv1.RegisterAlarmServiceHandlerClient),
	} {
		if err := register(ctx, mux, conn); err != nil {
			return nil, err
		}
	}
	return authenticate(limitBody(mux, cfg.MaxBodyBytes), cfg.Gate), nil
}

// authenticate comes before anything of the request is read.
func authenticate(next http.Handler, gate *admission.Gate) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := gate.Authenticate(r.Context(), r.Header.Values("Authorization"))
		if err != nil {
			WriteFault(w, http.StatusUnauthorized, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// nothing is the header matcher of both directions: no header becomes
// metadata, no metadata becomes a header (rule E2).
func nothing(string) (string, bool) { return "", false }

// readTimeout bounds how long a body may take to arrive. The answer has no
// bound of its own, because a watch is an answer too.
const readTimeout = 30 * time.Second

// limitBody reads the whole body first, so that one that is too long is
// refused as such and a slow one holds no call open.
func limitBody(next http.Handler, limit int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		// Only a test's recorder knows no deadlines.
		_ = control.SetReadDeadline(time.Now().Add(readTimeout))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		// On HTTP/1 the same connection is watched for the user's leaving.
		_ = control.SetReadDeadline(time.Time{})
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			WriteFault(w, http.StatusRequestEntityTooLarge, fault.Exhausted("REQUEST_TOO_LARGE",
				"the body is larger than the %d bytes allowed; send less at once", limit))
			return
		}
		if err != nil {
			WriteFault(w, http.StatusBadRequest, fault.Invalid("REQUEST_UNREADABLE", "the body ended too soon: %w", err))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// registration puts one service's methods on the mux.
type registration func(context.Context, *runtime.ServeMux, grpc.ClientConnInterface) error

// of joins what the generated code offers for one service.
func of[C any](client func(grpc.ClientConnInterface) C, register func(context.Context, *runtime.ServeMux, C) error) registration {
	return func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
		return register(ctx, mux, client(conn))
	}
}
