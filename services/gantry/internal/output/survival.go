package output

import (
	"fmt"
	"io"
	"strconv"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// lossColumns are those of one cluster's loss in the survival report.
func lossColumns() []column {
	type loss = *gantryv1.SurvivalReport_Loss
	return []column{
		of("IF LOST", func(l loss, _ time.Time) string { return Last(l.GetCluster()) }),
		of("REPLICAS", func(l loss, _ time.Time) string { return strconv.Itoa(int(l.GetReplicas())) }),
		of("WITHOUT PLACE", func(l loss, _ time.Time) string { return strconv.Itoa(int(l.GetUnplaced())) }),
		of("MISSING CPU", func(l loss, _ time.Time) string {
			if l.GetMissingMilliCpu() == 0 {
				return ""
			}
			return fmt.Sprintf("%.1f", float64(l.GetMissingMilliCpu())/1000)
		}),
		of("MISSING MEMORY", func(l loss, _ time.Time) string {
			if l.GetMissingMemoryBytes() == 0 {
				return ""
			}
			return fmt.Sprintf("%.1f GiB", float64(l.GetMissingMemoryBytes())/(1<<30))
		}),
		of("VERDICT", func(l loss, _ time.Time) string {
			if l.GetUnplaced() > 0 {
				return "NotWhole"
			}
			return "Survives"
		}),
	}
}

// Losses tells which apps would not be whole, a line each.
func Losses(w io.Writer, report *gantryv1.SurvivalReport) {
	for _, l := range report.GetLosses() {
		for _, a := range l.GetApps() {
			fmt.Fprintf(w, "without %s: %s would miss %d of %d replicas", Last(l.GetCluster()), Short(a.GetApp()), a.GetUnplaced(), a.GetReplicas())
			if a.GetReason() != "" {
				fmt.Fprintf(w, ": %s", clean(a.GetReason()))
			}
			fmt.Fprintln(w)
		}
	}
}

// assignmentColumns are those of one cluster's part of an app.
func assignmentColumns() []column {
	type part = *gantryv1.ClusterAssignment
	return []column{
		of("CLUSTER", func(a part, _ time.Time) string { return Last(a.GetCluster()) }),
		of("REPLICAS", func(a part, _ time.Time) string { return strconv.Itoa(int(a.GetReplicas())) }),
		of("READY NOW", func(a part, _ time.Time) string { return strconv.Itoa(int(a.GetReadyReplicas())) }),
		of("REASON", func(a part, _ time.Time) string { return a.GetReason() }),
	}
}
