package watchdog

import (
	"context"
	"slices"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/health"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Kinds of the watchdog's alarms.
const (
	alarmDown   = "ClusterDown"
	alarmFrozen = "AutomationFrozen"
)

// allClusters is the subject of an alarm about no single one.
const allClusters = "clusters"

// record stores the new state of a cluster and, when the verdict changed, the
// decision and what follows from it, all in one transaction.
func (l *Loop) record(ctx context.Context, s fleet.Snapshot, in health.Input, prev health.State, next health.Named) error {
	item, err := l.Store.Clusters.Get(ctx, next.Name)
	if fault.Is(err, fault.KindNotFound) {
		return nil // forgotten meanwhile
	}
	if err != nil {
		return err
	}
	cluster := proto.CloneOf(item.Value)
	cluster.Health = shown(next.State)
	change := store.NewChange().Guard(l.term.Guard())
	l.Store.Clusters.Put(change, item.Name, cluster, item.ModRevision)
	if next.State.Changed {
		l.decide(change, in, prev, next)
		if err := l.follow(ctx, change, s, cluster, next.State); err != nil {
			return err
		}
		l.Logger.Info("verdict", "cluster", next.Name, "from", prev.Verdict, "to", next.State.Verdict, "reason", next.State.Reason)
	}
	_, err = l.Store.Commit(ctx, change)
	return err
}

func (l *Loop) decide(change *store.Change, in health.Input, prev health.State, next health.Named) {
	in.Clusters = slices.Clone(in.Clusters)
	decision.New(gantryv1.Decision_KIND_HEALTH, next.Name, next.State.Reason, in, next.State).
		Between(string(prev.Verdict), string(next.State.Verdict)).
		Because(next.State.Evidence...).
		Epoch(l.term.Epoch).
		Put(l.Store, change)
}

// follow adds the alarm and the prepared plan when a cluster is lost, and ends
// the alarm when it is back.
func (l *Loop) follow(ctx context.Context, change *store.Change, s fleet.Snapshot, cluster *gantryv1.Cluster, state health.State) error {
	name := decision.AlarmName(alarmDown, cluster.GetName())
	alarm, err := l.Store.Alarms.Get(ctx, name)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	fires := alarm.Value.GetState() == gantryv1.Alarm_STATE_FIRING
	switch {
	case state.Verdict == health.Down && !fires:
		operation, summary, err := l.Planner.PrepareMigration(change, s, cluster, state.Reason, allowedSince(state), l.term.Epoch)
		if err != nil {
			return err
		}
		decision.PutAlarm(l.Store, change, &gantryv1.Alarm{Kind: alarmDown, Subject: cluster.GetName(), Summary: summary, Operation: operation}, alarm.ModRevision)
		l.Logger.Error("ALARM", "kind", alarmDown, "cluster", cluster.GetName(), "summary", summary, "operation", operation)
	case state.Verdict == health.Healthy && fires:
		next := proto.CloneOf(alarm.Value)
		next.State, next.EndTime = gantryv1.Alarm_STATE_RESOLVED, timestamppb.Now()
		l.Store.Alarms.Put(change, name, next, alarm.ModRevision)
		return l.Planner.DropUnapproved(ctx, change, alarm.Value.GetOperation(), names.ID(cluster.GetName())+" is healthy again")
	}
	return nil
}

func (l *Loop) alarmFreeze(ctx context.Context, s fleet.Snapshot, sentence string, starting bool) error {
	switch fires := s.Firing[decision.AlarmName(alarmFrozen, allClusters)]; {
	case sentence != "" && !fires && !starting:
		return decision.RaiseAlarm(ctx, l.Store, l.term.Guard(), &gantryv1.Alarm{Kind: alarmFrozen, Subject: allClusters, Summary: sentence})
	case sentence == "" && fires:
		return decision.EndAlarm(ctx, l.Store, l.term.Guard(), alarmFrozen, allClusters)
	}
	return nil
}

// shown is a state as the API shows it.
func shown(s health.State) *gantryv1.ClusterHealth {
	h := &gantryv1.ClusterHealth{
		State:  gantryv1.ClusterHealth_State(gantryv1.ClusterHealth_State_value["STATE_"+string(s.Verdict)]),
		Since:  timestamppb.New(time.UnixMilli(s.SinceUnixMilli)),
		Reason: s.Reason,
	}
	for _, v := range s.Voices {
		h.Voices = append(h.Voices, &gantryv1.Voice{
			Vantage: v.Vantage,
			Subject: subjects()[v.Subject],
			Ok:      v.OK,
			Detail:  v.Detail,
			Time:    timestamppb.New(time.UnixMilli(v.HeardUnixMilli)),
		})
	}
	return h
}

// subjects are the subjects in the words of the API.
func subjects() map[string]string {
	return map[string]string{
		health.SubjectIPAAS:     "ipaas",
		health.SubjectAPIServer: "apiserver",
		health.SubjectNodes:     "nodes",
		health.SubjectPods:      "pods",
		health.SubjectIdentity:  "identity",
		health.SubjectDNS:       "dns",
	}
}

// allowedSince is since when a cluster has been down while automation may act
// on that; 0: it may not (rule C4).
func allowedSince(s health.State) int64 {
	if !s.SwitchAllowed {
		return 0
	}
	return s.SinceUnixMilli
}
