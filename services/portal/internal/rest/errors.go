package rest

import (
	"context"
	"net/http"

	"gantry.dev/pkg/fault"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// WriteFault answers with err as google.rpc.Status in JSON and an HTTP status.
func WriteFault(w http.ResponseWriter, httpStatus int, err error) {
	body, merr := protojson.Marshal(fault.ToStatus(err).Proto())
	if merr != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if httpStatus == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gantry"`)
	}
	w.WriteHeader(httpStatus)
	_, _ = w.Write(body) // the caller has gone if this fails
}

// writeError answers with what the backend, the gate or the gateway's own
// decoder said.
func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	f := fault.From(err)
	if f.Reason == "UNKNOWN" && f.Kind == fault.KindInvalid {
		f = fault.Invalid("REQUEST_MALFORMED", "%s; /openapi.json describes every request", f.Message)
	}
	WriteFault(w, runtime.HTTPStatusFromCode(status.Code(fault.ToStatus(f).Err())), f)
}

func writeRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	switch httpStatus {
	case http.StatusNotFound:
		WriteFault(w, httpStatus, fault.NotFound("PATH_UNKNOWN", "there is no %s in this API; /openapi.json lists what there is", r.URL.Path))
	case http.StatusMethodNotAllowed:
		WriteFault(w, httpStatus, fault.New(fault.KindUnimplemented, "METHOD_UNKNOWN",
			"%s cannot be called with %s; /openapi.json lists what there is", r.URL.Path, r.Method))
	default:
		WriteFault(w, httpStatus, fault.Invalid("REQUEST_MALFORMED", "%s; /openapi.json describes every request", http.StatusText(httpStatus)))
	}
}
