// Package serve is what the main of every service shares: flags, logger,
// signals, the metrics server and the exit code.
package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gantry.dev/pkg/mtls"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Common is what every service is told and given.
type Common struct {
	Name string
	// host:port of the service itself.
	Listen string
	// host:port of /metrics and /healthz, plain HTTP; empty: none.
	MetricsListen string
	LogLevel      string
	TLS           mtls.Files
	Logger        *slog.Logger
	Registry      *prometheus.Registry
}

// Main runs a service until SIGTERM or SIGINT. register adds the service's own
// flags and returns what runs it once they are parsed. Exit codes: 0 after a
// signal, 1 after an error, 2 after a wrong flag.
func Main(name string, register func(*flag.FlagSet) func(context.Context, Common) error) {
	os.Exit(main(name, os.Args[1:], register))
}

func main(name string, args []string, register func(*flag.FlagSet) func(context.Context, Common) error) int {
	c := Common{Name: name}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	commonFlags(flags, &c)
	run := register(flags)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		fmt.Fprintf(os.Stderr, "--log-level %s: want debug, info, warn or error\n", c.LogLevel)
		return 2
	}
	c.Logger = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	c.Registry = newRegistry()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := withMetrics(ctx, c, run); err != nil {
		c.Logger.Error("stopped by an error", "service", name, "error", err.Error())
		return 1
	}
	return 0
}

func commonFlags(flags *flag.FlagSet, c *Common) {
	flags.StringVar(&c.Listen, "listen", "", "host:port to serve on")
	flags.StringVar(&c.MetricsListen, "metrics-listen", "", "host:port of /metrics and /healthz (plain HTTP; empty: none)")
	flags.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&c.TLS.Cert, "tls-cert", "", "PEM file of this service's certificate")
	flags.StringVar(&c.TLS.Key, "tls-key", "", "PEM file of its key")
	flags.StringVar(&c.TLS.CA, "tls-ca", "", "PEM file of the CA that signs the other services")
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// withMetrics runs the service beside the metrics server.
func withMetrics(ctx context.Context, c Common, run func(context.Context, Common) error) error {
	if c.MetricsListen == "" {
		return run(ctx, c)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.MetricsListen)
	if err != nil {
		return fmt.Errorf("listen for metrics on %s: %w", c.MetricsListen, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.Logger.Error("the metrics server ended", "error", err.Error())
		}
	}()
	err = run(ctx, c)
	_ = server.Close() // nothing to lose: a scrape is repeated
	<-done
	return err
}
