package output

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/proto"
)

// columnsOf returns the table of a message's type.
func columnsOf(m proto.Message) []column {
	switch m.(type) {
	case *gantryv1.App:
		return appColumns()
	case *gantryv1.Release:
		return releaseColumns()
	case *gantryv1.Pod:
		return podColumns()
	case *gantryv1.Cluster:
		return clusterColumns()
	case *gantryv1.ClusterAssignment:
		return assignmentColumns()
	case *gantryv1.SurvivalReport_Loss:
		return lossColumns()
	case *gantryv1.Voice:
		return voiceColumns()
	case *gantryv1.Secret:
		return secretColumns()
	case *gantryv1.Volume:
		return volumeColumns()
	case *gantryv1.Project:
		return projectColumns()
	case *gantryv1.Gateway:
		return gatewayColumns()
	case *gantryv1.Route:
		return routeColumns()
	case *gantryv1.StreamRoute:
		return streamRouteColumns()
	case *gantryv1.RouteRevision:
		return revisionColumns()
	case *longrunningpb.Operation:
		return operationColumns()
	case *gantryv1.Decision:
		return decisionColumns()
	case *gantryv1.Alarm:
		return alarmColumns()
	}
	return nil
}

func appColumns() []column {
	type app = *gantryv1.App
	return []column{
		of("NAME", func(a app, _ time.Time) string { return Last(a.GetName()) }),
		of("READY", func(a app, _ time.Time) string {
			return fmt.Sprintf("%d/%d", a.GetStatus().GetReadyReplicas(), a.GetStatus().GetDesiredReplicas())
		}),
		of("RELEASE", func(a app, _ time.Time) string { return strconv.Itoa(int(a.GetStatus().GetRelease())) }),
		of("CLUSTERS", func(a app, _ time.Time) string { return division(a.GetStatus().GetAssignments()) }),
		of("STATE", func(a app, _ time.Time) string { return appState(a.GetStatus()) }),
		of("IMAGE", func(a app, _ time.Time) string { return a.GetSpec().GetImage() }),
		of("AGE", func(a app, now time.Time) string { return age(a.GetCreateTime(), now) }),
		wideOf("DIGEST", func(a app, _ time.Time) string { return shortDigest(a.GetStatus().GetDigest()) }),
		wideOf("AUTOSCALE", func(a app, _ time.Time) string {
			return autoscale(a.GetSpec().GetAutoscale(), a.GetStatus().GetAutoscale())
		}),
		wideOf("NEXT SCHEDULE", func(a app, now time.Time) string { return nextSchedule(a.GetStatus().GetAutoscale(), now) }),
		wideOf("MESSAGE", func(a app, _ time.Time) string { return a.GetStatus().GetMessage() }),
	}
}

// division is "site-a 2/2, site-b 1/2": ready of given; "?" marks a cluster
// that cannot be asked now.
func division(parts []*gantryv1.ClusterAssignment) string {
	var out []string
	for _, p := range parts {
		text := fmt.Sprintf("%s %d/%d", Last(p.GetCluster()), p.GetReadyReplicas(), p.GetReplicas())
		if !p.GetObserved() {
			text += "?"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func appState(s *gantryv1.AppStatus) string {
	if s.GetProgressing() {
		return "Progressing"
	}
	return "Stable"
}

func shortDigest(d string) string {
	if len(d) > len("sha256:")+12 {
		return d[:len("sha256:")+12]
	}
	return d
}

// autoscale is "2..12 at cpu 50%, paused": the bounds are those that hold now,
// with the schedules that made them.
func autoscale(policy *gantryv1.Autoscale, now *gantryv1.AutoscaleStatus) string {
	if policy == nil {
		return ""
	}
	var metrics []string
	for _, m := range policy.GetMetrics() {
		if m.GetQuery() != "" {
			metrics = append(metrics, fmt.Sprintf("query %g", m.GetTargetValue()))
			continue
		}
		metrics = append(metrics, fmt.Sprintf("%s %d%%", strings.ToLower(enumWord(m.GetResource().String(), "RESOURCE_")), m.GetTargetPercent()))
	}
	least, most := policy.GetMinReplicas(), policy.GetMaxReplicas()
	if now != nil {
		least, most = now.GetMinReplicas(), now.GetMaxReplicas()
	}
	text := fmt.Sprintf("%d..%d at %s", least, most, strings.Join(metrics, ", "))
	if active := now.GetActiveSchedules(); len(active) > 0 {
		text += " by " + strings.Join(active, "+")
	}
	if policy.GetPaused() {
		text += ", paused"
	}
	return text
}

// nextSchedule is "office in 3h": what begins or ends next.
func nextSchedule(s *gantryv1.AutoscaleStatus, now time.Time) string {
	if s.GetNextSchedule() == "" {
		return ""
	}
	return s.GetNextSchedule() + " in " + span(s.GetNextScheduleTime().AsTime().Sub(now))
}

func releaseColumns() []column {
	type release = *gantryv1.Release
	return []column{
		of("RELEASE", func(r release, _ time.Time) string { return strconv.Itoa(int(r.GetNumber())) }),
		of("IMAGE", func(r release, _ time.Time) string { return r.GetSpec().GetImage() }),
		of("DIGEST", func(r release, _ time.Time) string { return shortDigest(r.GetDigest()) }),
		of("BY", func(r release, _ time.Time) string { return r.GetCreatedBy() }),
		of("ROLLBACK OF", func(r release, _ time.Time) string {
			if r.GetRollbackOf() == 0 {
				return ""
			}
			return strconv.Itoa(int(r.GetRollbackOf()))
		}),
		of("AGE", func(r release, now time.Time) string { return age(r.GetCreateTime(), now) }),
	}
}

func podColumns() []column {
	type pod = *gantryv1.Pod
	return []column{
		of("NAME", func(p pod, _ time.Time) string { return p.GetName() }),
		of("CLUSTER", func(p pod, _ time.Time) string { return Last(p.GetCluster()) }),
		of("READY", func(p pod, _ time.Time) string { return yesNo(p.GetReady()) }),
		of("STATE", func(p pod, _ time.Time) string {
			if p.GetTerminating() {
				return "Terminating"
			}
			return p.GetPhase()
		}),
		of("RESTARTS", func(p pod, _ time.Time) string { return strconv.Itoa(int(p.GetRestarts())) }),
		of("RELEASE", func(p pod, _ time.Time) string { return strconv.Itoa(int(p.GetRelease())) }),
		of("AGE", func(p pod, now time.Time) string { return age(p.GetStartTime(), now) }),
		wideOf("IP", func(p pod, _ time.Time) string { return p.GetIp() }),
		wideOf("NODE", func(p pod, _ time.Time) string { return p.GetNode() }),
		wideOf("APP", func(p pod, _ time.Time) string { return p.GetApp() }),
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func projectColumns() []column {
	type project = *gantryv1.Project
	return []column{
		of("NAME", func(p project, _ time.Time) string { return Last(p.GetName()) }),
		of("DISPLAY NAME", func(p project, _ time.Time) string { return p.GetDisplayName() }),
		of("MEMBERS", func(p project, _ time.Time) string { return strconv.Itoa(len(p.GetMembers())) }),
		of("AGE", func(p project, now time.Time) string { return age(p.GetCreateTime(), now) }),
	}
}
