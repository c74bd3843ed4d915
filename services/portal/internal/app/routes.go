package app

import (
	"net/http"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/proto"
	"gantry.dev/services/portal/internal/rest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// routes tells gRPC, REST and the two open paths apart.
func routes(grpcServer, api http.Handler, conn *grpc.ClientConn) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { healthz(w, conn) })
	mux.HandleFunc("GET /openapi.json", openAPI)
	mux.Handle("/", api)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			grpcServer.ServeHTTP(w, r)
			return
		}
		harden(w.Header())
		mux.ServeHTTP(w, r)
	})
}

// harden keeps browsers from guessing types, framing and caching answers.
func harden(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")
	h.Set("Strict-Transport-Security", "max-age=31536000")
}

// healthz is good while at least one cluster-mgr can be reached.
func healthz(w http.ResponseWriter, conn *grpc.ClientConn) {
	if !ready(conn) {
		rest.WriteFault(w, http.StatusServiceUnavailable, fault.Unavailable("CLUSTER_MGR_UNREACHABLE",
			"no cluster-mgr can be reached (%s); see the logs of portal and cluster-mgr", strings.ToLower(conn.GetState().String())))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n")) // the asker has gone if this fails
}

// ready tells whether a cluster-mgr can be reached, and looks for one if not.
func ready(conn *grpc.ClientConn) bool {
	if conn.GetState() == connectivity.Ready {
		return true
	}
	conn.Connect()
	return false
}

func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(proto.OpenAPI) // the asker has gone if this fails
}
