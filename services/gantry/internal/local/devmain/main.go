// Temporary driver for trying the local platform by hand.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"gantry.dev/services/gantry/internal/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	exe, _ := os.Executable()
	o := local.Options{Dir: "/work/main/.local", Progress: os.Stderr, Supervisor: []string{exe, "supervise"}, BinDir: "/tmp/gbin"}
	if v := os.Getenv("ONLY"); v != "" {
		o.Only = strings.Split(v, ",")
	}
	o.Purge = os.Getenv("PURGE") != ""
	var err error
	switch os.Args[1] {
	case "up":
		err = local.Up(ctx, o)
	case "down":
		err = local.Down(ctx, o)
	case "supervise":
		err = local.Supervise(ctx, o)
	case "kill":
		err = local.Kill(ctx, o, os.Args[2])
	case "start":
		err = local.Start(ctx, o, os.Args[2])
	case "preflight":
		for _, p := range local.Preflight(ctx, o) {
			fmt.Println(p.What, "=>", p.Fix)
		}
	case "status":
		var r local.Report
		r, err = local.Status(ctx, o)
		if len(os.Args) > 2 {
			b, _ := json.MarshalIndent(r, "", " ")
			fmt.Println(string(b))
			break
		}
		for _, p := range r.Processes {
			fmt.Printf("%-26s %-8s %-10s %7d r%d %5.0fM %s\n", p.Name, p.Group, p.State, p.PID, p.Restarts, float64(p.MemoryBytes)/1e6, p.Detail)
		}
		for _, g := range r.Groups {
			fmt.Printf("%+v\n", g)
		}
		fmt.Println(r.Ready, r.MemoryBytes/1e6)
	}
	if err != nil {
		fmt.Println("ERR", err)
		os.Exit(1)
	}
}
