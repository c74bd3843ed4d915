package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"gantry.dev/services/gantry/internal/local"
)

// localReport prints the parts of the local platform.
func localReport(out io.Writer, r local.Report) {
	if !r.Running {
		return
	}
	if r.NotReal != "" {
		fmt.Fprintf(out, "%s\n\n", r.NotReal)
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "GROUP\tPART\tSTATE\tPID\tRESTARTS\tMEMORY\tLOG\tDETAIL")
	for _, p := range r.Processes {
		detail := p.Detail
		if detail == "" {
			detail = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", p.Group, p.Name, p.State, p.PID, p.Restarts, mebibytes(p.MemoryBytes), p.Log, detail)
	}
	_ = w.Flush() // what cannot be written to standard output has no reader
	with := " with all containers"
	if r.NotReal != "" {
		with = ""
	}
	fmt.Fprintf(out, "\n%d parts, %s of memory%s\n", len(r.Processes), mebibytes(r.MemoryBytes), with)
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
