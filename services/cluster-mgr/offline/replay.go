package offline

import (
	"errors"
	"fmt"
	"io"
	"math"

	"gantry.dev/services/cluster-mgr/internal/autoscale"
)

// site is the one cluster of a replay.
const site = "recorded"

// Step is one decision of a replay.
type Step struct {
	// Time as the series writes it.
	Time string `json:"time"`
	// Pods that were recorded; Samples of them had a value.
	Pods    int `json:"pods"`
	Samples int `json:"samples"`
	// Sum of the finite values, percent of one pod's request.
	Sum float64 `json:"sum"`
	// Replicas before the decision, and Desired after it.
	Replicas int `json:"replicas"`
	Desired  int `json:"desired"`
	// Action is UP, DOWN or HOLD.
	Action string `json:"action"`
	// Code and Reason are why, as a word and as a sentence.
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	Formula string `json:"formula,omitempty"`
	// Alarm is what would have been raised; mostly empty.
	Alarm string `json:"alarm,omitempty"`
}

// rules are a policy with what a series does not tell.
type rules struct {
	autoscale.Policy
	// Target is the percent of its request that each pod shall use, above 0.
	Target float64 `json:"target"`
	// Replicas before the first decision; 0 = as many as were recorded.
	Replicas int `json:"replicas"`
	// Interval between two decisions in seconds, three of which are a gap; 0 = the usual one of the series.
	Interval float64 `json:"interval_seconds"`
}

// Replay decides at every moment of a recorded series, with the code of the leader, and gives one row per
// decision.
//
// The series is CSV. Its first line is `time,pod,value`: seconds or a time of RFC 3339; the pod's name;
// percent of the pod's request, where nothing stands for a sample that is missing. A pod without a row at
// a moment was not there then. Rows may come in any order.
//
// The policy is JSON: the fields of a stored input's policy (min, max, rounding, tolerance_percent,
// window_seconds, max_step_up, max_step_down, …), and
//
//	target            percent of its request that each pod shall use; required
//	replicas          before the first decision; as many as were recorded at first
//	interval_seconds  between two decisions; the usual step of the series
//
// Each decision starts from the number and the history that the one before left; the pods, all of them
// ready, and their load are the recorded ones. So a growth shows in the number and not in the load, and
// replicas that were decided but not recorded count as not ready.
func Replay(series io.Reader, policy []byte) ([]Step, error) {
	var r rules
	if err := decode(policy, &r); err != nil {
		return nil, fmt.Errorf("the policy: %w", err)
	}
	if !(r.Target > 0) {
		return nil, errors.New(`the policy has no target; add "target": 50 for 50 % of the request per pod`)
	}
	moments, err := readSeries(series)
	if err != nil {
		return nil, err
	}
	if r.Interval <= 0 {
		r.Interval = usualStep(moments)
	}
	in := autoscale.Input{App: "the app", Policy: r.Policy, Current: r.Replicas, EvalIntervalSeconds: r.Interval}
	steps := make([]Step, 0, len(moments))
	for i, m := range moments {
		// Times are counted from 1, since 0 is "never" to a decision.
		in.NowUnix = 1 + int64(m.unix-moments[0].unix)
		m.into(&in, r.Target)
		if i == 0 && r.Replicas <= 0 {
			in.Current = len(in.Pods)
		}
		out := autoscale.Decide(in)
		steps = append(steps, m.step(in, out))
		in.Current, in.History, in.HoldSinceUnix, in.Growths = out.Desired, out.History, out.HoldSinceUnix, out.Growths
	}
	return steps, nil
}

// into makes what was recorded the pods and samples of a decision.
func (m recorded) into(in *autoscale.Input, target float64) {
	metric := autoscale.Metric{Name: "LOAD", TargetPercent: target}
	seen := map[string]bool{}
	in.Pods = nil
	for _, r := range m.rows {
		metric.Samples = append(metric.Samples, autoscale.Sample{Pod: r.pod, Cluster: site, Percent: r.value, Missing: r.missing})
		if !seen[r.pod] {
			seen[r.pod] = true
			in.Pods = append(in.Pods, autoscale.Pod{Name: r.pod, Cluster: site, Ready: true})
		}
	}
	in.Metrics = []autoscale.Metric{metric}
	in.Clusters = []autoscale.ClusterView{{Name: site, Observed: true, InRotation: true, Replicas: len(in.Pods)}}
}

func (m recorded) step(in autoscale.Input, out autoscale.Decision) Step {
	s := Step{
		Time: m.at, Pods: len(in.Pods), Replicas: in.Current, Desired: out.Desired, Action: out.Action,
		Code: out.ReasonCode, Reason: out.Reason, Formula: out.Formula, Alarm: out.Alarm,
	}
	if s.Alarm == "" {
		s.Alarm = out.Useless
	}
	for _, r := range m.rows {
		if r.missing {
			continue
		}
		s.Samples++
		if sum := s.Sum + r.value; !math.IsNaN(sum) && !math.IsInf(sum, 0) {
			s.Sum = sum
		}
	}
	return s
}
