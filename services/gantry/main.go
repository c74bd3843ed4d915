// Gantry is the command line of the platform, and starts a local one.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gantry.dev/services/gantry/internal/cli"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return cli.Run(ctx, cli.Config{
		Args:   os.Args[1:],
		In:     os.Stdin,
		Out:    os.Stdout,
		Err:    os.Stderr,
		Getenv: os.Getenv,
		Now:    time.Now,
	})
}
