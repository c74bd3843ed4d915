// Package health decides how each cluster is, from what several vantage points see. It is pure:
// time and the previous state come in, the next state goes out.
//
//	HEALTHY   answers, nothing is wrong
//	DEGRADED  serves, with something wrong: a dead API server or ipaas whose pods still answer,
//	          nodes that are not ready, a DNS that does not answer. No reason to move traffic.
//	SUSPECT   may be down: too few failures, too short, or only one vantage point says so
//	DOWN      does not serve (rule C4)
//	UNKNOWN   nothing is known: another cluster answers in its place, or nobody has looked
//
// The rules:
//
//   - Rule C1: unreachable is not empty. No observation is not a failed observation; a voice that
//     falls silent is absent, and a cluster nobody speaks about is UNKNOWN, not DOWN.
//   - Rule C3: at least half of the clusters, and more than one, turning bad in one window, or our
//     own lease lost: we suspect ourselves. Nothing becomes DOWN, automation is frozen, alarm.
//     It ends UnfreezeAfter the cause is gone, or when an operator acknowledges.
//   - Rule C4: DOWN needs at least 3 failures in a row over at least 30 s from at least 2 vantage
//     points, and nobody who still sees it serve. Coming back needs RecoverAfter without a break;
//     within FlapWindow only the first DOWN allows a switch.
//   - A wrong identity is UNKNOWN, never DOWN, until the right identity answers.
//   - Where no pod can be probed the agents' voice is absent: then two who cannot reach ipaas
//     (cluster-mgr replicas, agents dialling it) are the vantage points.
package health

// Verdict is how a cluster is.
type Verdict string

// The verdicts; the empty one is that of a cluster never looked at.
const (
	Healthy  Verdict = "HEALTHY"
	Degraded Verdict = "DEGRADED"
	Suspect  Verdict = "SUSPECT"
	Down     Verdict = "DOWN"
	Unknown  Verdict = "UNKNOWN"
)

// Subjects of observations.
const (
	// SubjectIPAAS: the vantage point reaches the cluster's ipaas.
	SubjectIPAAS = "IPAAS"
	// SubjectAPIServer: ipaas reaches its API server.
	SubjectAPIServer = "APISERVER"
	// SubjectNodes: Ratio is the share of nodes that are ready.
	SubjectNodes = "NODES"
	// SubjectPods: Ratio is the share of the cluster's pods that answer a load balancer node.
	SubjectPods = "PODS"
	// SubjectDNS: a canary inside the cluster gets answers from its DNS.
	SubjectDNS = "DNS"
	// SubjectIdentity: the kube-system UID is the registered one.
	SubjectIdentity = "IDENTITY"
)

// Observation is one look at one thing from one place.
type Observation struct {
	// Vantage names the observer, one name per process: "cluster-mgr-1", "ipaas.site-b",
	// "ingress-agent.main.lb-1". Two names are two vantage points.
	Vantage string `json:"vantage"`
	Subject string `json:"subject"`
	// OK is the observer's own judgement; for NODES and PODS the Ratio decides where there is one.
	OK bool `json:"ok"`
	// Ratio from 0 to 1 for NODES and PODS, otherwise unused; never NaN (JSON has no word for it).
	// OK with a Ratio of 0 means all. Where nothing could be probed (no nodes, no pods) there is
	// no observation.
	Ratio float64 `json:"ratio,omitempty"`
	// Detail is the error or number in words.
	Detail string `json:"detail,omitempty"`
	// AtUnixMilli is when the observer looked, by its own clock: the same time again is the same
	// observation told twice. Durations are measured by now, not by this.
	AtUnixMilli int64 `json:"at_unix_milli"`
}

// Settings are the thresholds; every zero is its default.
type Settings struct {
	MinFailures     int   `json:"min_failures,omitempty"`      // in a row; 3
	MinDurationMS   int64 `json:"min_duration_ms,omitempty"`   // of those failures; 30,000
	MinVantages     int   `json:"min_vantages,omitempty"`      // 2
	SuspectFailures int   `json:"suspect_failures,omitempty"`  // in a row before SUSPECT; 2
	StaleAfterMS    int64 `json:"stale_after_ms,omitempty"`    // after which a voice is absent; 15,000
	RecoverAfterMS  int64 `json:"recover_after_ms,omitempty"`  // without a break, to leave DOWN; 60,000
	SettleAfterMS   int64 `json:"settle_after_ms,omitempty"`   // the same to leave other verdicts; 10,000
	FlapWindowMS    int64 `json:"flap_window_ms,omitempty"`    // one switch in it; 3,600,000
	MassWindowMS    int64 `json:"mass_window_ms,omitempty"`    // rule C3's window; 60,000
	UnfreezeAfterMS int64 `json:"unfreeze_after_ms,omitempty"` // after rule C3's cause is gone; 30,000
	// MinReadyNodes is the share of ready nodes below which a cluster is DEGRADED; 0.7.
	MinReadyNodes float64 `json:"min_ready_nodes,omitempty"`
	// MinPods is the share of answering pods below which a cluster is DEGRADED; 0.5.
	MinPods float64 `json:"min_pods,omitempty"`
}

// Voice is what is remembered of one vantage point about one subject.
type Voice struct {
	Vantage string `json:"vantage"`
	Subject string `json:"subject"`
	OK      bool   `json:"ok"`
	// Dead is a failure that means "does not serve at all" as opposed to "serves badly".
	Dead   bool    `json:"dead,omitempty"`
	Ratio  float64 `json:"ratio,omitempty"`
	Detail string  `json:"detail,omitempty"`
	// Failures in a row, Dead ones only, and when the first of them was heard.
	Failures              int   `json:"failures,omitempty"`
	FirstFailureUnixMilli int64 `json:"first_failure_unix_milli,omitempty"`
	// HeardUnixMilli is when the last observation came in, by our clock; AtUnixMilli is its own time.
	HeardUnixMilli int64 `json:"heard_unix_milli"`
	AtUnixMilli    int64 `json:"at_unix_milli"`
}

// State is what is known of one cluster. The zero State is a cluster never looked at. A new leader
// may go on from Verdict, SinceUnixMilli and LastSwitchUnixMilli alone: the voices are heard anew.
type State struct {
	Verdict        Verdict `json:"verdict"`
	SinceUnixMilli int64   `json:"since_unix_milli"`
	// Changed: the verdict is not the one of the previous state.
	Changed bool `json:"changed"`
	// Reason is the verdict in one sentence, Evidence one sentence per voice.
	Reason   string   `json:"reason"`
	Evidence []string `json:"evidence"`
	Voices   []Voice  `json:"voices"`
	// BetterSinceUnixMilli is since when the evidence has been better than the verdict; 0 = is not.
	BetterSinceUnixMilli int64 `json:"better_since_unix_milli,omitempty"`
	// BadSinceUnixMilli is since when the cluster has been SUSPECT, DOWN or UNKNOWN; 0 = is not.
	BadSinceUnixMilli int64 `json:"bad_since_unix_milli,omitempty"`
	// ReachedUnixMilli is when anybody last reached its ipaas; 0 = never.
	ReachedUnixMilli int64 `json:"reached_unix_milli,omitempty"`
	// SwitchAllowed: DOWN, and the first time within FlapWindow (rule C4). Automation may move
	// traffic only then and while Freeze is not set; a person always may.
	SwitchAllowed bool `json:"switch_allowed"`
	// LastSwitchUnixMilli is when SwitchAllowed last became true; 0 = never.
	LastSwitchUnixMilli int64 `json:"last_switch_unix_milli,omitempty"`
}

// Bad is a verdict that counts for rule C3 and in which a cluster takes nothing new.
func (v Verdict) Bad() bool {
	return v == Suspect || v == Down || v == Unknown
}

// severity orders verdicts: worse is entered at once, better is entered after a while.
func (v Verdict) severity() int {
	switch v {
	case Healthy:
		return 0
	case Degraded:
		return 1
	case Suspect:
		return 2
	case Unknown:
		return 3
	case Down:
		return 4
	}
	return 5
}

func (s Settings) withDefaults() Settings {
	s.MinFailures = orDefault(s.MinFailures, 3)
	s.MinDurationMS = orDefault(s.MinDurationMS, 30_000)
	s.MinVantages = orDefault(s.MinVantages, 2)
	s.SuspectFailures = orDefault(s.SuspectFailures, 2)
	s.StaleAfterMS = orDefault(s.StaleAfterMS, 15_000)
	s.RecoverAfterMS = orDefault(s.RecoverAfterMS, 60_000)
	s.SettleAfterMS = orDefault(s.SettleAfterMS, 10_000)
	s.FlapWindowMS = orDefault(s.FlapWindowMS, 3_600_000)
	s.MassWindowMS = orDefault(s.MassWindowMS, 60_000)
	s.UnfreezeAfterMS = orDefault(s.UnfreezeAfterMS, 30_000)
	s.MinReadyNodes = orDefault(s.MinReadyNodes, 0.7)
	s.MinPods = orDefault(s.MinPods, 0.5)
	return s
}

func orDefault[T int | int64 | float64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}
