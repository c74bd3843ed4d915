package watchdog

import (
	"context"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/health"
)

// resume takes over what the former leader stored: the verdicts, when
// automation was last allowed to switch (rule C4), and whether it is frozen
// (rule C3).
func (l *Loop) resume(ctx context.Context) error {
	clusters, _, err := l.Store.Clusters.List(ctx, "")
	if err != nil {
		return err
	}
	allowed, err := l.lastAllowed(ctx)
	if err != nil {
		return err
	}
	for _, c := range clusters {
		if h := c.Value.GetHealth(); h != nil {
			l.states[c.Name] = stored(h, allowed[c.Name])
		}
	}
	return l.resumeFreeze(ctx)
}

// lastAllowed is, by cluster, since when it had been down when automation was
// last allowed to act on that. The operations that were prepared then say so.
func (l *Loop) lastAllowed(ctx context.Context) (map[string]int64, error) {
	operations, _, err := l.Store.Operations.List(ctx, "")
	if err != nil {
		return nil, err
	}
	last := map[string]int64{}
	for _, item := range operations {
		o, err := fleet.Unpack(item)
		if err != nil {
			return nil, err
		}
		last[o.Metadata.GetSubject()] = max(last[o.Metadata.GetSubject()], o.VerdictUnixMilli)
	}
	return last, nil
}

// resumeFreeze goes on with a freeze whose alarm fires: a leader that has just
// begun has not seen its cause go.
func (l *Loop) resumeFreeze(ctx context.Context) error {
	alarm, err := l.Store.Alarms.Get(ctx, decision.AlarmName(alarmFrozen, allClusters))
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil || alarm.Value.GetState() != gantryv1.Alarm_STATE_FIRING {
		return err
	}
	l.setFreeze(health.Freeze{Frozen: true, SinceUnixMilli: alarm.Value.GetStartTime().AsTime().UnixMilli(), Reason: alarm.Value.GetSummary()})
	return nil
}

// stored is the part of a state that a new leader goes on from: the verdict,
// and when automation was last allowed to switch. The voices are heard anew,
// so nothing is held against a cluster that this leader has not seen itself.
func stored(h *gantryv1.ClusterHealth, allowed int64) health.State {
	const prefix = len("STATE_")
	since := h.GetSince().AsTime().UnixMilli()
	return health.State{
		Verdict:             health.Verdict(h.GetState().String()[prefix:]),
		SinceUnixMilli:      since,
		Reason:              h.GetReason(),
		ReachedUnixMilli:    since, // its ipaas has answered once: without that it is not registered
		LastSwitchUnixMilli: allowed,
		SwitchAllowed:       h.GetState() == gantryv1.ClusterHealth_STATE_DOWN && allowed > 0 && allowed == since,
	}
}
