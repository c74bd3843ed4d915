// Package failover plans how traffic and replicas leave a cluster and come back, and what to do
// next while such a plan is carried out. It is pure: capacity, counts and time come in, plans and
// steps go out; the same input gives the same plan, byte for byte as JSON.
//
//   - Switch takes traffic from a cluster in weight steps; replicas stay (planned work).
//   - Migrate moves the apps of a cluster elsewhere: at once in number, in steps in weight.
//   - FailBack brings work back to a cluster that has been healthy for a while, with least moves.
//   - Shift leads the requests of one app to other clusters in steps; cluster and replicas stay.
//
// The rules:
//
//   - Capacity first, traffic second, removal last (rules C1, C2): a step that takes something away
//     comes after the step that waits for its replacement. In a cluster that is down nothing is
//     removed; it is only closed, so that its replicas are wanted elsewhere.
//   - Apps are planned one after the other, by priority then name, and each leaves less room to the
//     next. What does not fit is named with its shortfall; of a lost cluster as much is saved as fits.
//   - A missing image, volume or config closes a cluster to that app, by name.
//   - Apps of class single move last and behind a fence (rule C5): nothing of them is wanted anywhere
//     until the old cluster has answered that no pod of theirs is left. Where it cannot be asked, only
//     a person who approves the plan, which names them, can say so; automation never does.
//   - Weight steps stop and turn round when the target's errors (of a shift, its latency too) rise
//     above the baseline by the margin. Where there is nothing to go back to (a lost cluster) they stop and ask.
//   - A plan and the number of steps done say everything: any process can resume it at any step.
//
// The executor gives the steps their effects; it needs no more than two facts per cluster, its
// traffic percent and whether it is closed to placement, and the shares of an app's requests:
//
//	EVACUATE         close the cluster: placement moves its replicas to the others
//	ADMIT            open it again
//	PLACE            let placement run, steered by Steer; done when Assignments are assigned in the cluster
//	WAIT_READY       wait until Assignments are ready in the cluster
//	SET_TRAFFIC      set the cluster's share of its normal traffic
//	SET_SHARES       set how an app's requests are divided over the clusters
//	WAIT_GENERATION  wait until every load balancer node serves that
//	DRAIN            let requests under way finish
//	RELEASE          let placement take back what is beyond the wanted total
//	WITHDRAW         let nothing of the apps be wanted anywhere
//	FENCE            ask the cluster again and again until none of the apps' pods is left there
package failover

import "gantry.dev/services/cluster-mgr/internal/placement"

// Kind is what a plan is for.
type Kind string

// The kinds of plans.
const (
	KindSwitchTraffic Kind = "SWITCH_TRAFFIC"
	KindMigrateApps   Kind = "MIGRATE_APPS"
	KindFailBack      Kind = "FAIL_BACK"
	KindShiftTraffic  Kind = "SHIFT_TRAFFIC"
)

// StepKind is what a step does.
type StepKind string

// The kinds of steps; the package comment says what each does.
const (
	StepSetTraffic     StepKind = "SET_TRAFFIC"
	StepSetShares      StepKind = "SET_SHARES"
	StepEvacuate       StepKind = "EVACUATE"
	StepAdmit          StepKind = "ADMIT"
	StepPlace          StepKind = "PLACE"
	StepWaitReady      StepKind = "WAIT_READY"
	StepWaitGeneration StepKind = "WAIT_GENERATION"
	StepDrain          StepKind = "DRAIN"
	StepRelease        StepKind = "RELEASE"
	StepWithdraw       StepKind = "WITHDRAW"
	StepFence          StepKind = "FENCE"
)

// Step is a unit of work after which a plan can be resumed. Doing a step again changes nothing.
type Step struct {
	Kind    StepKind `json:"kind"`
	Cluster string   `json:"cluster"`
	// App and Shares, 100 together or none (by ready pods), are of SET_SHARES; Former are the shares
	// before, where they are part of a migration.
	App    string  `json:"app,omitempty"`
	Shares []Share `json:"shares,omitempty"`
	Former []Share `json:"former,omitempty"`
	// TrafficPercent and FromPercent, 0 to 100, are of SET_TRAFFIC only.
	TrafficPercent int `json:"traffic_percent,omitempty"`
	FromPercent    int `json:"from_percent,omitempty"`
	// Assignments are, for PLACE and WAIT_READY, what is to be in the cluster at least; for RELEASE,
	// WITHDRAW and FENCE they name the apps.
	Assignments []Assignment `json:"assignments,omitempty"`
	// Confirmed is of FENCE only: where the cluster cannot be asked, whoever approved the plan has said
	// that nothing of these apps runs there.
	Confirmed bool   `json:"confirmed,omitempty"`
	Sentence  string `json:"sentence"`
}

// Assignment is how many replicas of an app a cluster has in all.
type Assignment struct {
	App      string `json:"app"`
	Replicas int    `json:"replicas"`
}

// Target is how many replicas go to a cluster.
type Target struct {
	Cluster  string `json:"cluster"`
	Replicas int    `json:"replicas"`
}

// Move is what happens to the replicas of one app in one cluster.
type Move struct {
	App  string `json:"app"`
	From string `json:"from"`
	// Replicas that were there when it was planned.
	Replicas int      `json:"replicas,omitempty"`
	To       []Target `json:"to"`
	// Single: class single, so it moves behind a fence.
	Single bool `json:"single,omitempty"`
	// Fits: all of them have a place.
	Fits bool `json:"fits"`
	// Note says why not, or what else is to know; may be empty.
	Note string `json:"note,omitempty"`
}

// Plan is what will be done. Without Steps it cannot be done, and Problems say why.
type Plan struct {
	Kind    Kind   `json:"kind"`
	Cluster string `json:"cluster"`
	// App is of SHIFT_TRAFFIC, which is about no one Cluster; Former are its shares before.
	App    string  `json:"app,omitempty"`
	Former []Share `json:"former,omitempty"`
	// SourceDown: Cluster does not serve, so there is nothing to go back to.
	SourceDown bool     `json:"source_down,omitempty"`
	Targets    []string `json:"targets"`
	Moves      []Move   `json:"moves"`
	Steps      []Step   `json:"steps"`
	// Problems are sentences about what the plan cannot do.
	Problems []string `json:"problems"`
	// Reverse takes a finished plan back in good order. An unfinished one is taken back by Abort.
	Reverse []Step `json:"reverse"`
	Guard   Guard  `json:"guard"`
	// StepPercent and Concurrency are what was asked for, so that it can be planned anew.
	StepPercent int `json:"step_percent,omitempty"`
	Concurrency int `json:"concurrency,omitempty"`
}

// Unplaced is how many replicas of the moves have no place.
func (p Plan) Unplaced() int {
	sum := 0
	for _, m := range p.Moves {
		sum += max(0, m.Replicas-targeted(m))
	}
	return sum
}

// Returning tells whether the plan gives traffic to its cluster, as opposed to taking it away.
func (p Plan) Returning() bool {
	for _, s := range p.Steps {
		if s.Kind == StepSetTraffic {
			return s.TrafficPercent > s.FromPercent
		}
	}
	return false
}

// Singles are the apps of class single that the plan moves.
func (p Plan) Singles() []string { return p.fenced() }

// Guard are the limits under which a plan is carried out; every zero is its default.
type Guard struct {
	// MarginPercent of requests answered 5xx above the baseline that stops weight steps; 1.
	MarginPercent float64 `json:"margin_percent,omitempty"`
	// LatencyPercent and LatencyMillis by which the mean latency of an app may rise above the baseline;
	// more than both stops SHIFT_TRAFFIC. 50 and 20.
	LatencyPercent float64 `json:"latency_percent,omitempty"`
	LatencyMillis  float64 `json:"latency_millis,omitempty"`
	// MinRequests below which an error rate or a latency says nothing; 50.
	MinRequests int64 `json:"min_requests,omitempty"`
	// PauseSeconds after each weight step, for errors to show; 2, negative = none.
	PauseSeconds int64 `json:"pause_seconds,omitempty"`
	// DrainSeconds of DRAIN; 5, negative = none.
	DrainSeconds int64 `json:"drain_seconds,omitempty"`
	// ReadyTimeoutSeconds of PLACE and WAIT_READY; 300.
	ReadyTimeoutSeconds int64 `json:"ready_timeout_seconds,omitempty"`
	// GenerationTimeoutSeconds of WAIT_GENERATION; 60.
	GenerationTimeoutSeconds int64 `json:"generation_timeout_seconds,omitempty"`
}

// Cluster is a cluster as source or target.
type Cluster struct {
	Name  string           `json:"name"`
	Nodes []placement.Node `json:"nodes"`
	// Use is what their used is, as part of a sentence; nothing is decided by it.
	Use string `json:"use,omitempty"`
	// Eligible clusters may take replicas and traffic; Reason says why not ("is DOWN").
	Eligible bool   `json:"eligible"`
	Reason   string `json:"reason,omitempty"`
	// TrafficPercent is the share of its normal traffic it gets now.
	TrafficPercent int `json:"traffic_percent"`
}

// App is an app that may have to move.
type App struct {
	Name       string              `json:"name"`
	PerReplica placement.Resources `json:"per_replica"`
	// Priority: higher ones are placed first.
	Priority int `json:"priority,omitempty"`
	// Single: at most one copy may ever run (rule C5).
	Single   bool   `json:"single,omitempty"`
	Clusters []Here `json:"clusters"`
	// Shares of its requests that hold; empty = by ready pods.
	Shares []Share `json:"shares,omitempty"`
}

// Here is an app in one cluster. A cluster not listed is closed to the app.
type Here struct {
	Cluster  string `json:"cluster"`
	Replicas int    `json:"replicas"`
	Min      int    `json:"min,omitempty"`
	Max      int    `json:"max,omitempty"`
	Weight   int    `json:"weight,omitempty"`
	// Missing names what the cluster lacks for this app: "image registry/web@sha256:..", "volume data".
	Missing []string `json:"missing,omitempty"`
	// Home is what the cluster had before it was left; 0 = not known. Only FailBack looks at it.
	Home int `json:"home,omitempty"`
}

// SwitchInput is everything that a plan to take or give back traffic depends on.
type SwitchInput struct {
	Cluster string `json:"cluster"`
	// ToPercent of its normal traffic at the end.
	ToPercent int `json:"to_percent"`
	// StepPercent is the size of a weight step; 0 = 25.
	StepPercent int `json:"step_percent,omitempty"`
	// Grow starts as many replicas elsewhere as the leaving traffic needs, before it leaves.
	Grow bool `json:"grow,omitempty"`
	// Partly: what does not fit elsewhere stops only growing, not the switch.
	Partly   bool      `json:"partly,omitempty"`
	Clusters []Cluster `json:"clusters"`
	Apps     []App     `json:"apps"`
	Guard    Guard     `json:"guard"`
}

// MigrateInput is everything that a plan to move apps away depends on.
type MigrateInput struct {
	Cluster string `json:"cluster"`
	// Down: it does not serve; traffic leaves in one step, and what does not fit does not stop the
	// rest. Otherwise it is planned work, and all or nothing.
	Down        bool `json:"down,omitempty"`
	StepPercent int  `json:"step_percent,omitempty"`
	// Concurrency is how many apps start elsewhere at a time, by priority; 0 = all. Only of planned work.
	Concurrency int       `json:"concurrency,omitempty"`
	Clusters    []Cluster `json:"clusters"`
	Apps        []App     `json:"apps"`
	Guard       Guard     `json:"guard"`
}

// FailBackInput is everything that a plan to bring work back depends on.
type FailBackInput struct {
	Cluster string `json:"cluster"`
	NowUnix int64  `json:"now_unix"`
	// HealthySinceUnix; 0 = it is not healthy.
	HealthySinceUnix int64 `json:"healthy_since_unix"`
	// StabilizeSeconds it must have been healthy; 0 = 300, negative = none.
	StabilizeSeconds int64 `json:"stabilize_seconds,omitempty"`
	StepPercent      int   `json:"step_percent,omitempty"`
	// Left is the migration by which the cluster was left; nil = not known.
	Left     *Plan     `json:"left,omitempty"`
	Clusters []Cluster `json:"clusters"`
	Apps     []App     `json:"apps"`
	Guard    Guard     `json:"guard"`
}
