// Package autoscale decides how many replicas an app gets from measured use. It is pure: the same
// Input gives the same Decision, byte for byte as JSON, in whatever order pods and samples come.
//
//	desired = sum(percent of request over the ready pods of all clusters) / target
//
// The rules:
//
//   - Rounding NEAREST by default (6.4 → 6); UP is what Kubernetes' HPA does; DOWN. Bounds always;
//     within the tolerance (10 %) nothing changes. Several metrics: the largest wins.
//   - Up at once; down only to the highest recommendation of the stabilisation window; both at
//     most by their step limit.
//   - Coverage: a cluster that cannot be observed but is in rotation keeps its replicas, and the
//     observed ones are sized from their own sum. A cluster out of rotation counts for nothing.
//   - Rule A1: an empty answer, NaN, Inf, a negative value, two series for one pod or a warning
//     makes a metric unusable; nothing changes by it and ReasonCode says why.
//   - Rule A2: down only on fresh samples (younger than 2 scrape intervals) for all ready pods
//     through the whole window; after a gap the window starts anew.
//   - Rule A3: missing data never turns the direction: pods without a sample count as 0 for
//     growing, and forbid shrinking; so do clusters that report fewer pods than assigned. Replicas that are
//     not ready count as fully used for shrinking (readiness fails first where pods are overloaded).
//   - Rule A4: more than 10 minutes without complete data alarms.
//   - Frozen during the app's own rollout, switch or migration; a paused policy keeps the number.
//   - An app's own query is a metric like the others, in plain numbers: one per pod, or one per
//     cluster for the whole app.
//   - To zero only where the policy allows it, after no request came for a while, as every load
//     balancer node says, and while no metric asks for more than one replica. One held request wakes.
//   - Usefulness: when the metric per pod did not fall through three growths in a row and four times the
//     replicas, though no more requests came, more replicas do not help: no growth for two minutes, and
//     an alarm.
package autoscale

// Rounding of the wanted number.
const (
	RoundNearest = "NEAREST"
	RoundUp      = "UP"
	RoundDown    = "DOWN"
)

// Action is the direction of a decision.
const (
	ActionUp   = "UP"
	ActionDown = "DOWN"
	ActionHold = "HOLD"
)

// Reason codes: stable, counted in metrics.
const (
	ReasonAboveTarget     = "ABOVE_TARGET"         // UP
	ReasonBelowMin        = "BELOW_MIN"            // UP
	ReasonRequestHeld     = "REQUEST_HELD"         // UP: from zero
	ReasonIdle            = "IDLE"                 // DOWN: to zero
	ReasonAtZero          = "AT_ZERO"              // HOLD: nobody asks for it
	ReasonPaused          = "PAUSED"               // HOLD
	ReasonUseless         = "USELESS"              // HOLD: growing did not help
	ReasonBelowTarget     = "BELOW_TARGET"         // DOWN
	ReasonAboveMax        = "ABOVE_MAX"            // DOWN
	ReasonOnTarget        = "ON_TARGET"            // HOLD: within the tolerance, or the same number
	ReasonAtMin           = "AT_MIN"               // HOLD: fewer would do
	ReasonAtMax           = "AT_MAX"               // HOLD: more would be needed
	ReasonWindow          = "STABILIZATION_WINDOW" // HOLD: fewer would do, but not for long enough
	ReasonNotReady        = "REPLICAS_NOT_READY"   // HOLD: fewer would do, but not all are ready
	ReasonFrozen          = "FROZEN"               // HOLD
	ReasonNoMetrics       = "NO_METRICS"           // HOLD: the policy names no metric
	ReasonNoReadyPods     = "NO_READY_PODS"        // HOLD
	ReasonNoSamples       = "NO_SAMPLES"           // HOLD, rule A1
	ReasonInvalidSample   = "INVALID_SAMPLE"       // HOLD, rule A1
	ReasonDuplicateSeries = "DUPLICATE_SERIES"     // HOLD, rule A1
	ReasonWarnings        = "METRIC_WARNINGS"      // HOLD, rule A1
	ReasonBadTarget       = "BAD_TARGET"           // HOLD
	ReasonPartialData     = "PARTIAL_DATA"         // HOLD, rules A2 and A3
	ReasonClusterSilent   = "CLUSTER_SILENT"       // HOLD, coverage rule
)

// Sample is one measured value of one pod.
type Sample struct {
	Pod     string `json:"pod"`
	Cluster string `json:"cluster"`
	// Percent of the pod's request.
	Percent float64 `json:"percent"`
	// AgeSeconds since the value was scraped.
	AgeSeconds float64 `json:"age_seconds"`
	// Missing is a pod that was asked for and had no value.
	Missing bool `json:"missing,omitempty"`
}

// Metric is the answer to one query.
type Metric struct {
	Name string `json:"name"` // CPU, MEMORY or the policy's own name
	// TargetPercent of request per pod, above 0.
	TargetPercent float64  `json:"target_percent"`
	Samples       []Sample `json:"samples"`
	// Plain: an app's own query; TargetPercent and the samples' Percent are plain numbers.
	Plain bool `json:"plain,omitempty"`
	// Totals of a plain metric that is one number per cluster for the whole app; then there are no
	// Samples.
	Totals []Total `json:"totals,omitempty"`
	// Warnings of the metrics server; any makes the answer unusable (rule A1).
	Warnings []string `json:"warnings,omitempty"`
}

// Total is a number for all of an app's pods in a cluster.
type Total struct {
	Cluster string `json:"cluster"`
	Value   number `json:"value"`
}

// Pod is a pod of the app as ipaas reports it; names are unique in a cluster.
type Pod struct {
	Name    string `json:"name"`
	Cluster string `json:"cluster"`
	Ready   bool   `json:"ready"`
}

// ClusterView is what is known of one cluster of the app.
type ClusterView struct {
	Name string `json:"name"`
	// Observed: its ipaas answers, so that its pods are known.
	Observed bool `json:"observed"`
	// InRotation: it is given traffic.
	InRotation bool `json:"in_rotation"`
	// Replicas assigned to it.
	Replicas int `json:"replicas"`
}

// Policy is the app's autoscale policy.
type Policy struct {
	Min int `json:"min"` // 0 = 1, or none with ScaleToZero
	Max int `json:"max"` // 0 = no limit
	// Schedules are the names of those that Min and Max are from now; empty: the policy's own.
	Schedules []string `json:"schedules,omitempty"`
	Paused    bool     `json:"paused,omitempty"`
	// ScaleToZero after IdleSeconds (0 = 600) without a request.
	ScaleToZero bool  `json:"scale_to_zero,omitempty"`
	IdleSeconds int64 `json:"idle_seconds,omitempty"`
	// Rounding is NEAREST (also when empty), UP or DOWN.
	Rounding string `json:"rounding,omitempty"`
	// TolerancePercent around the present number; 0 = 10, negative = none.
	TolerancePercent float64 `json:"tolerance_percent"`
	// WindowSeconds of stabilisation before shrinking; 0 = 300, negative = none.
	WindowSeconds int `json:"window_seconds"`
	// MaxStepUp and MaxStepDown limit one decision; 0 = no limit.
	MaxStepUp   int `json:"max_step_up,omitempty"`
	MaxStepDown int `json:"max_step_down,omitempty"`
}

// Recommendation is what complete data asked for at a moment.
type Recommendation struct {
	AtUnix  int64 `json:"at_unix"`
	Desired int   `json:"desired"`
}

// Traffic is what the load balancer nodes say of an app.
type Traffic struct {
	// Held requests wait for a pod.
	Held int `json:"held,omitempty"`
	// QuietSeconds without a request, as far as is known.
	QuietSeconds int64 `json:"quiet_seconds,omitempty"`
	// Unknown says as part of a sentence why QuietSeconds is not to be trusted ("lb-1 does not
	// answer"); empty: it is.
	Unknown string `json:"unknown,omitempty"`
	// RequestsPerSecond lately; 0 = not known.
	RequestsPerSecond float64 `json:"requests_per_second,omitempty"`
}

// Growth is a growth that is to be judged by what follows.
type Growth struct {
	AtUnix int64 `json:"at_unix"`
	// Replicas that served, the metric per pod, and the requests per second (0 = not known) before it.
	Replicas int     `json:"replicas"`
	PerPod   float64 `json:"per_pod"`
	Requests float64 `json:"requests,omitempty"`
}

// Input is everything that a decision depends on.
type Input struct {
	App     string `json:"app"`
	NowUnix int64  `json:"now_unix"`
	Policy  Policy `json:"policy"`
	// Current is the total that is assigned now, over all clusters.
	Current  int           `json:"current"`
	Clusters []ClusterView `json:"clusters"`
	Pods     []Pod         `json:"pods"`
	Metrics  []Metric      `json:"metrics"`
	// History is the History of the last Decision.
	History []Recommendation `json:"history,omitempty"`
	// FrozenReason, when set, says as part of a sentence why nothing may change ("release 7 is
	// being rolled out").
	FrozenReason string `json:"frozen_reason,omitempty"`
	// ScrapeIntervalSeconds of the samples; 0 = 15.
	ScrapeIntervalSeconds float64 `json:"scrape_interval_seconds"`
	// EvalIntervalSeconds between two decisions; 0 = 30. Three of them without a decision are a
	// gap in the history.
	EvalIntervalSeconds float64 `json:"eval_interval_seconds,omitempty"`
	// HoldSinceUnix is the HoldSinceUnix of the last Decision.
	HoldSinceUnix int64 `json:"hold_since_unix,omitempty"`
	// Growths are the Growths of the last Decision.
	Growths []Growth `json:"growths,omitempty"`
	Traffic Traffic  `json:"traffic,omitzero"`
}

// Decision is the outcome.
type Decision struct {
	// Desired is the total to assign; on HOLD it is Input.Current. Otherwise it is meant for the
	// clusters in rotation alone: placement must be given the others as not eligible.
	Desired int    `json:"desired"`
	Action  string `json:"action"`
	// Formula is the computation filled in: `4 pods, sum 320 %, target 50 % → 6.4 → 6`.
	Formula string `json:"formula"`
	// Reason is a sentence for people.
	Reason     string `json:"reason"`
	ReasonCode string `json:"reason_code"`
	// History is to be given to the next decision; empty after a gap.
	History []Recommendation `json:"history,omitempty"`
	// HoldSinceUnix is since when data has been incomplete; 0 while it is complete.
	HoldSinceUnix int64 `json:"hold_since_unix,omitempty"`
	// Alarm is a sentence to raise, or empty (rule A4).
	Alarm string `json:"alarm,omitempty"`
	// Growths, one after the other, that have not helped; to be given to the next decision.
	Growths []Growth `json:"growths,omitempty"`
	// Useless is a sentence to raise while growing is stopped because it does not help, or empty.
	Useless string `json:"useless,omitempty"`
}
