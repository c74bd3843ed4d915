package watchdog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"gantry.dev/services/cluster-mgr/internal/observe"
)

// alarmVips is the kind of the alarm about a VIP with several owners.
const alarmVips = "VipConflict"

// vipConflicts gives a sentence per gateway, "gateways/main", that some node
// of it says something about; it is empty when no node hears two owners.
func vipConflicts(view observe.View) map[string]string {
	found := map[string]map[string]bool{}
	for key, agent := range view.Agents {
		if agent.Err != nil || agent.Status == nil {
			continue
		}
		gateway, node, _ := strings.Cut(key, "/")
		gateway = "gateways/" + gateway
		if found[gateway] == nil {
			found[gateway] = map[string]bool{}
		}
		for _, c := range agent.Status.GetVipConflicts() {
			found[gateway][fmt.Sprintf("%s is answered for by %s, as %s hears", c.GetVip(), strings.Join(c.GetHardwareAddresses(), " and "), node)] = true
		}
	}
	out := map[string]string{}
	for gateway, sentences := range found {
		out[gateway] = strings.Join(slices.Sorted(maps.Keys(sentences)), "; ")
	}
	return out
}

// alarmVipConflicts raises or ends the alarm of each gateway that is heard of.
func (l *Loop) alarmVipConflicts(ctx context.Context, s fleet.Snapshot) error {
	var failed error
	for gateway, sentence := range vipConflicts(s.View) {
		switch fires := s.Firing[decision.AlarmName(alarmVips, gateway)]; {
		case sentence != "" && !fires:
			l.Logger.Error("ALARM", "kind", alarmVips, "gateway", gateway, "summary", sentence)
			failed = errors.Join(failed, decision.RaiseAlarm(ctx, l.Store, l.term.Guard(), &gantryv1.Alarm{Kind: alarmVips, Subject: gateway, Summary: sentence}))
		case sentence == "" && fires:
			failed = errors.Join(failed, decision.EndAlarm(ctx, l.Store, l.term.Guard(), alarmVips, gateway))
		}
	}
	return failed
}
