package run

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"gantry.dev/test/bench/internal/platform"
)

// Row is one comparison.
type Row struct {
	What string `json:"what"`
	// Gantry's figure, the one it is compared with, and their unit.
	Gantry  float64 `json:"gantry"`
	Against string  `json:"against"`
	Other   float64 `json:"other"`
	Unit    string  `json:"unit"`
	// How many times better (More) or worse Gantry is, and what is wanted.
	Ratio float64 `json:"ratio"`
	More  bool    `json:"more"`
	Goal  float64 `json:"goal"`
	Met   bool    `json:"met"`
}

// faster is a row in which the other one should be so many times larger.
func faster(what string, ours float64, against string, other float64, unit string, goal float64) Row {
	r := Row{What: what, Gantry: ours, Against: against, Other: other, Unit: unit, More: true, Goal: goal}
	if ours > 0 {
		r.Ratio = other / ours
	}
	r.Met = r.Ratio >= goal
	return r
}

// within is a row in which ours may be so many times the other one.
func within(what string, ours float64, against string, other float64, unit string, goal float64) Row {
	r := Row{What: what, Gantry: ours, Against: against, Other: other, Unit: unit, Goal: goal}
	if other > 0 {
		r.Ratio = ours / other
	}
	r.Met = other > 0 && r.Ratio <= goal
	return r
}

// atMost is a row with a goal of its own; the other figure is shown only.
func atMost(what string, ours float64, against string, other float64, unit string, goal float64) Row {
	return Row{What: what, Gantry: ours, Against: against, Other: other, Unit: unit, Goal: goal, Met: ours <= goal}
}

// writes of every kind but leases, per minute.
func (s Steady) writes() float64 { return s.WritesPerMinute + s.ChangesPerMinute }

// Goals of the autoscaler by peer: less wall time, less CPU time, less latency.
type goals struct{ wall, cpu, latency float64 }

func goalsOf(peer string) goals {
	if peer == "default" {
		return goals{100, 50, 10}
	}
	return goals{20, 50, 10}
}

func (b *bench) rows() []Row {
	r := b.result
	ours, measured := r.Steady[gantry]
	step := r.Steps[gantry]
	rows := []Row{within("autoscale round, wall", ours.Round, "bare query", r.Query.Wall.P50, "s", 2)}
	if r.Size.Apps >= Stretch().Apps {
		rows = append(rows, atMost("autoscale round, wall", ours.Round, "", 0, "s", 1))
	}
	for _, peer := range b.Peers {
		who, goal := "hpa "+peer, goalsOf(peer)
		theirs, ok := r.Steady[who]
		if !ok || !measured {
			continue // nobody is better than what was not measured
		}
		rows = append(rows,
			faster("autoscale round, wall", ours.Round, who, theirs.Round, "s", goal.wall),
			faster("autoscale round, CPU", ours.CPUPerRound, who, theirs.CPUPerRound, "CPU s", goal.cpu),
			faster("autoscale round, CPU net of idle", ours.NetCPUPerRound, who, theirs.NetCPUPerRound, "CPU s", goal.cpu),
			faster("overload visible → first change, p99", step.First.P99, who, r.Steps[who].First.P99, "s", goal.latency),
			faster("overload visible → number due, p99", step.Final.P99, who, r.Steps[who].Final.P99, "s", goal.latency),
			atMost("writes to API servers and Gantry's etcd, steady", ours.writes(), who, theirs.writes(), "/min", 0),
			atMost("memory of the autoscaler", max(ours.RSS[platform.Manager], r.Move.ManagerRSS), who, theirs.RSS["site-a-controller-manager"], "MiB", 100))
	}
	rows = append(rows,
		within("cluster lost: approval → all wanted", r.Move.Wanted, "raw PATCHes", best(r.Move.Floors), "s", 1.5),
		atMost("cluster lost: kill → all wanted", r.Move.Detection+r.Move.Wanted, "", 0, "s", 45),
		within("deploy to two clusters, p99", middleP99(r.Deploy.Gantry), "raw applies", middleP99(r.Deploy.Floors), "s", 1.5))
	// What was not measured took no time.
	return slices.DeleteFunc(rows, func(r Row) bool { return r.Gantry == 0 && r.Unit == "s" })
}

// Print writes the table.
func (r Result) Print(w io.Writer) {
	fmt.Fprintf(w, "\n%d apps x %d pods in %d namespaces, %d CPUs, load average %.1f before and %.1f after\n\n",
		r.Size.Apps, replicas, r.Size.Projects, r.Machine.CPUs, r.Machine.LoadBefore, r.Machine.LoadAfter)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tGANTRY\tAGAINST\tTHAT\tRATIO\tGOAL\t")
	for _, row := range r.Rows {
		fmt.Fprintf(table, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\n",
			row.What, figure(row.Gantry), row.Unit, row.Against, row.other(), row.ratio(), row.goal(), verdict(row.Met))
	}
	_ = table.Flush() // a screen that cannot be written to
	fmt.Fprintln(w, "\nRATIO: how many times more the other one takes, or (≤) Gantry. Other work, cores: "+r.others())
	if n := len(r.Differences); n > 0 {
		fmt.Fprintf(w, "NOT THE SAME ANSWERS for %d apps: %s\n", n, strings.Join(r.Differences[:min(n, 5)], "; "))
	}
	for who, s := range r.Steps {
		if s.Late+s.Wrong > 0 {
			fmt.Fprintf(w, "%s: %d overloaded apps were late, %d others changed\n", who, s.Late, s.Wrong)
		}
	}
}

// others is how busy the machine was with other work in each window.
func (r Result) others() string {
	var out []string
	for who, s := range r.Steady {
		if s.Seconds > 0 {
			out = append(out, fmt.Sprintf("%s %.2f", who, s.Other/s.Seconds))
		}
	}
	return strings.Join(out, ", ")
}

func (r Row) other() string {
	if r.Against == "" {
		return ""
	}
	return figure(r.Other) + " " + r.Unit
}

func (r Row) ratio() string {
	if r.Ratio == 0 {
		return ""
	}
	return figure(r.Ratio) + "x"
}

func (r Row) goal() string {
	switch {
	case r.More:
		return "≥ " + figure(r.Goal) + "x"
	case r.Ratio > 0:
		return "≤ " + figure(r.Goal) + "x"
	}
	return "≤ " + figure(r.Goal) + " " + r.Unit
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

// figure shows three digits.
func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
