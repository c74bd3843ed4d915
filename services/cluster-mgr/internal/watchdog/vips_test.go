package watchdog

import (
	"strings"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
)

func TestAVipWithTwoOwnersIsAnAlarm(t *testing.T) {
	t.Parallel()
	// rule I8
	w := newWorld(t, siteA, siteB).pass(20 * time.Second)
	state := func() *gantryv1.Alarm {
		item, err := w.store.Alarms.Get(t.Context(), decision.AlarmName(alarmVips, "gateways/main"))
		if err != nil {
			return nil
		}
		return item.Value
	}
	if a := state(); a != nil {
		t.Fatalf("an alarm without a reason: %v", a)
	}
	w.conflicts = []*ingressv1.VipConflict{{Vip: "10.0.0.9", HardwareAddresses: []string{"02:00:00:00:00:01", "02:00:00:00:00:02"}}}
	w.pass(2 * time.Second)
	if a := state(); a.GetState() != gantryv1.Alarm_STATE_FIRING || !strings.Contains(a.GetSummary(), "10.0.0.9 is answered for by 02:00:00:00:00:01 and 02:00:00:00:00:02, as lb-1 hears") {
		t.Errorf("%v", a)
	}
	w.conflicts = nil
	w.pass(2 * time.Second)
	if a := state(); a.GetState() != gantryv1.Alarm_STATE_RESOLVED {
		t.Errorf("%v", a)
	}
}
