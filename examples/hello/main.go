// Hello is the sample app of the demo: an HTTP server that says which pod
// answers, burns CPU on demand and ends without losing a request.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// version is set by the linker: -X main.version=v2.
var version = "dev"

const (
	listen = ":8080"
	// maxProcs keeps the Go scheduler small on large nodes: the app asks for
	// a tenth of a CPU. A CPU limit lowers GOMAXPROCS further by itself.
	maxProcs = 4
	// shutdownTimeout is below the 30 s that Kubernetes waits before SIGKILL.
	shutdownTimeout = 25 * time.Second
)

func main() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) > maxProcs {
		runtime.GOMAXPROCS(maxProcs)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, listen, identify(version)); err != nil {
		slog.Error("hello ends", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, then finishes the requests in flight.
func run(ctx context.Context, address string, who identity) error {
	server := &http.Server{
		Addr:    address,
		Handler: handler(who),
		// Longer than a load balancer keeps its idle connections, so that it
		// is always the one who closes them: no request meets a closed one.
		IdleTimeout:       5 * time.Minute,
		ReadHeaderTimeout: 10 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	slog.Info("hello serves", "address", address, "version", who.Version, "pod", who.Pod)
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", address, err)
	case <-ctx.Done():
	}
	slog.Info("hello finishes what is in flight")
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ending); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
