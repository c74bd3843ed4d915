package decision

import (
	"context"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// AlarmName is the name of the alarm of a kind about a subject: there is one
// of each, which fires and is resolved.
func AlarmName(kind, subject string) string {
	return "alarms/" + strings.ToLower(kind) + "." + strings.ReplaceAll(subject, "/", ".")
}

// PutAlarm adds a firing alarm to a change. modRevision is that of the alarm
// of the same name, 0 when there is none.
func PutAlarm(s *store.Store, change *store.Change, alarm *gantryv1.Alarm, modRevision int64) string {
	alarm.Name = AlarmName(alarm.GetKind(), alarm.GetSubject())
	alarm.State = gantryv1.Alarm_STATE_FIRING
	alarm.StartTime = timestamppb.Now()
	s.Alarms.Put(change, alarm.GetName(), alarm, modRevision)
	return alarm.GetName()
}

// RaiseAlarm stores an alarm unless it fires already.
func RaiseAlarm(ctx context.Context, s *store.Store, guard clientv3.Cmp, alarm *gantryv1.Alarm) error {
	item, err := s.Alarms.Get(ctx, AlarmName(alarm.GetKind(), alarm.GetSubject()))
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	if item.Value.GetState() == gantryv1.Alarm_STATE_FIRING {
		return nil
	}
	change := store.NewChange().Guard(guard)
	PutAlarm(s, change, alarm, item.ModRevision)
	_, err = s.Commit(ctx, change)
	return err
}

// EndAlarm marks an alarm as resolved; without a firing one it does nothing.
func EndAlarm(ctx context.Context, s *store.Store, guard clientv3.Cmp, kind, subject string) error {
	item, err := s.Alarms.Get(ctx, AlarmName(kind, subject))
	if fault.Is(err, fault.KindNotFound) {
		return nil
	}
	if err != nil || item.Value.GetState() != gantryv1.Alarm_STATE_FIRING {
		return err
	}
	next := proto.CloneOf(item.Value)
	next.State, next.EndTime = gantryv1.Alarm_STATE_RESOLVED, timestamppb.Now()
	change := store.NewChange().Guard(guard)
	s.Alarms.Put(change, item.Name, next, item.ModRevision)
	_, err = s.Commit(ctx, change)
	return err
}
