// Package alert tells Alertmanagers which alarms fire. It keeps nothing: each
// message says everything that fires and what has ended lately, so whoever
// leads next goes on with the same alerts, and a message that is lost is
// repeated before the one before it expires.
package alert

import (
	"strings"
	"time"

	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/go-openapi/strfmt"
	"github.com/prometheus/alertmanager/api/v2/models"
)

// resolvedFor is how long an alarm that has ended is still told: longer than
// an Alertmanager is usually away.
const resolvedFor = 15 * time.Minute

// alerts are what is told at a moment: alarms that fire, which end by
// themselves after validFor unless they are told again, and those that have
// ended lately.
func alerts(alarms []*gantryv1.Alarm, now time.Time, validFor time.Duration) models.PostableAlerts {
	out := models.PostableAlerts{}
	for _, a := range alarms {
		ends := now.Add(validFor)
		if a.GetState() != gantryv1.Alarm_STATE_FIRING {
			ends = a.GetEndTime().AsTime()
			if now.Sub(ends) > resolvedFor {
				continue
			}
		}
		out = append(out, &models.PostableAlert{
			Alert:       models.Alert{Labels: labels(a)},
			Annotations: annotations(a),
			StartsAt:    strfmt.DateTime(a.GetStartTime().AsTime()),
			EndsAt:      strfmt.DateTime(ends),
		})
	}
	return out
}

// labels are the alert's identity: they never change while it fires, and do
// not say who tells it.
func labels(a *gantryv1.Alarm) models.LabelSet {
	return models.LabelSet{
		"alertname": a.GetKind(),
		"subject":   a.GetSubject(),
		"severity":  severity(a.GetKind()),
		"source":    "gantry",
	}
}

// severity is critical where nothing is done until a person acts.
func severity(kind string) string {
	switch kind {
	case "ClusterDown", "AutomationFrozen":
		return "critical"
	}
	return "warning"
}

func annotations(a *gantryv1.Alarm) models.LabelSet {
	out := models.LabelSet{"summary": a.GetSummary(), "runbook": runbook(a)}
	if a.GetOperation() != "" {
		out["operation"] = a.GetOperation()
	}
	return out
}

// runbook is the command to begin with.
func runbook(a *gantryv1.Alarm) string {
	switch kind, id, _ := strings.Cut(a.GetSubject(), "/"); {
	case a.GetOperation() != "":
		return "gantry operation approve " + names.ID(a.GetOperation())
	case kind == "clusters" && id != "":
		return "gantry cluster health " + id
	case kind == "gateways":
		return "gantry get gateways " + id + " -o wide"
	case kind == "projects":
		project, _, _ := strings.Cut(id, "/")
		return "gantry explain app/" + names.ID(a.GetSubject()) + " --project " + project
	}
	return "gantry get clusters"
}
