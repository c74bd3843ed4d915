package output

import (
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

func clusterColumns() []column {
	type cluster = *gantryv1.Cluster
	return []column{
		of("NAME", func(c cluster, _ time.Time) string { return Last(c.GetName()) }),
		of("STATE", func(c cluster, _ time.Time) string { return clusterState(c) }),
		of("TRAFFIC", func(c cluster, _ time.Time) string { return fmt.Sprintf("%d%%", c.GetTrafficPercent()) }),
		of("NODES", func(c cluster, _ time.Time) string { return readyNodes(c.GetNodes()) }),
		of("CPU USED", func(c cluster, _ time.Time) string { return cpu(c.GetNodes()) }),
		of("MEMORY USED", func(c cluster, _ time.Time) string { return memory(c.GetNodes()) }),
		of("LOCATION", func(c cluster, _ time.Time) string { return c.GetLocation() }),
		of("AGE", func(c cluster, now time.Time) string { return age(c.GetCreateTime(), now) }),
		wideOf("IPAAS", func(c cluster, _ time.Time) string { return c.GetIpaasAddress() }),
		wideOf("REGISTRY", func(c cluster, _ time.Time) string { return c.GetRegistry() }),
		wideOf("PROMETHEUS", func(c cluster, _ time.Time) string { return c.GetPrometheusUrl() }),
		wideOf("IDENTITY", func(c cluster, _ time.Time) string { return c.GetIdentity() }),
		wideOf("REASON", func(c cluster, _ time.Time) string { return c.GetHealth().GetReason() }),
	}
}

func clusterState(c *gantryv1.Cluster) string {
	state := enumWord(c.GetHealth().GetState().String(), "STATE_")
	if c.GetEvacuated() {
		state += ",Evacuated"
	}
	return state
}

func readyNodes(nodes []*gantryv1.NodeCapacity) string {
	ready := 0
	for _, n := range nodes {
		if n.GetReady() {
			ready++
		}
	}
	return fmt.Sprintf("%d/%d", ready, len(nodes))
}

// cpu is measured use of what the nodes have, in CPUs.
func cpu(nodes []*gantryv1.NodeCapacity) string {
	var used, all int64
	for _, n := range nodes {
		used += n.GetUsedMilliCpu()
		all += n.GetAllocatableMilliCpu()
	}
	return fmt.Sprintf("%.1f/%.1f", float64(used)/1000, float64(all)/1000)
}

// memory is measured use of what the nodes have, in GiB.
func memory(nodes []*gantryv1.NodeCapacity) string {
	var used, all int64
	for _, n := range nodes {
		used += n.GetUsedMemoryBytes()
		all += n.GetAllocatableMemoryBytes()
	}
	return fmt.Sprintf("%.1f/%.1f GiB", float64(used)/(1<<30), float64(all)/(1<<30))
}

func voiceColumns() []column {
	type voice = *gantryv1.Voice
	return []column{
		of("FROM", func(v voice, _ time.Time) string { return v.GetVantage() }),
		of("LOOKED AT", func(v voice, _ time.Time) string { return v.GetSubject() }),
		of("OK", func(v voice, _ time.Time) string { return yesNo(v.GetOk()) }),
		of("AGE", func(v voice, now time.Time) string { return age(v.GetTime(), now) }),
		of("DETAIL", func(v voice, _ time.Time) string { return v.GetDetail() }),
	}
}

func gatewayColumns() []column {
	type gateway = *gantryv1.Gateway
	return []column{
		of("NAME", func(g gateway, _ time.Time) string { return Last(g.GetName()) }),
		of("VIP", func(g gateway, _ time.Time) string { return vips(g) }),
		of("HELD BY", func(g gateway, _ time.Time) string { return holders(g.GetStatus()) }),
		of("NODES", func(g gateway, _ time.Time) string {
			reachable := 0
			for _, s := range g.GetStatus() {
				if s.GetReachable() {
					reachable++
				}
			}
			return fmt.Sprintf("%d/%d", reachable, len(g.GetNodes()))
		}),
		of("AGE", func(g gateway, now time.Time) string { return age(g.GetCreateTime(), now) }),
		wideOf("GENERATIONS", func(g gateway, _ time.Time) string { return generations(g.GetStatus()) }),
		wideOf("MESSAGE", func(g gateway, _ time.Time) string { return gatewayMessages(g.GetStatus()) }),
	}
}

func vips(g *gantryv1.Gateway) string {
	all := []string{g.GetVip()}
	for _, v := range g.GetMoreVips() {
		all = append(all, v.GetAddress())
	}
	return strings.Join(all, ",")
}

func holders(nodes []*gantryv1.GatewayNodeStatus) string {
	var out []string
	for _, n := range nodes {
		if n.GetHoldsVip() {
			out = append(out, n.GetNode())
		}
	}
	return strings.Join(out, ",")
}

func generations(nodes []*gantryv1.GatewayNodeStatus) string {
	var out []string
	for _, n := range nodes {
		out = append(out, fmt.Sprintf("%s %d", n.GetNode(), n.GetGeneration()))
	}
	return strings.Join(out, ", ")
}

func gatewayMessages(nodes []*gantryv1.GatewayNodeStatus) string {
	var out []string
	for _, n := range nodes {
		if n.GetMessage() != "" {
			out = append(out, n.GetNode()+": "+n.GetMessage())
		}
	}
	return strings.Join(out, "; ")
}

func operationColumns() []column {
	type op = *longrunningpb.Operation
	return []column{
		of("NAME", func(o op, _ time.Time) string { return Last(o.GetName()) }),
		of("KIND", func(o op, _ time.Time) string { return enumWord(OperationMetadata(o).GetKind().String(), "KIND_") }),
		of("STATE", func(o op, _ time.Time) string { return OperationState(o) }),
		of("SUBJECT", func(o op, _ time.Time) string { return Short(OperationMetadata(o).GetSubject()) }),
		of("STEPS", func(o op, _ time.Time) string { return stepsDone(OperationMetadata(o).GetSteps()) }),
		of("AGE", func(o op, now time.Time) string { return age(OperationMetadata(o).GetCreateTime(), now) }),
		of("SUMMARY", func(o op, _ time.Time) string { return OperationMetadata(o).GetSummary() }),
		wideOf("BY", func(o op, _ time.Time) string { return OperationMetadata(o).GetCreatedBy() }),
		wideOf("APPROVED BY", func(o op, _ time.Time) string { return OperationMetadata(o).GetApprovedBy() }),
	}
}

// OperationMetadata returns an operation's metadata, never nil.
func OperationMetadata(o *longrunningpb.Operation) *gantryv1.OperationMetadata {
	m := &gantryv1.OperationMetadata{}
	if o.GetMetadata() == nil || o.GetMetadata().UnmarshalTo(m) != nil {
		return &gantryv1.OperationMetadata{}
	}
	return m
}

// OperationState is an operation's state in a word: "AwaitingApproval".
func OperationState(o *longrunningpb.Operation) string {
	return enumWord(OperationMetadata(o).GetState().String(), "STATE_")
}

func stepsDone(steps []*gantryv1.OperationStep) string {
	done := 0
	for _, s := range steps {
		if s.GetState() == gantryv1.OperationStep_STATE_DONE {
			done++
		}
	}
	return fmt.Sprintf("%d/%d", done, len(steps))
}

func decisionColumns() []column {
	type decision = *gantryv1.Decision
	return []column{
		of("NAME", func(d decision, _ time.Time) string { return Last(d.GetName()) }),
		of("KIND", func(d decision, _ time.Time) string { return enumWord(d.GetKind().String(), "KIND_") }),
		of("SUBJECT", func(d decision, _ time.Time) string { return Short(d.GetSubject()) }),
		of("CHANGE", func(d decision, _ time.Time) string { return change(d) }),
		of("AGE", func(d decision, now time.Time) string { return age(d.GetTime(), now) }),
		of("SUMMARY", func(d decision, _ time.Time) string { return d.GetSummary() }),
		wideOf("FORMULA", func(d decision, _ time.Time) string { return d.GetFormula() }),
	}
}

func change(d *gantryv1.Decision) string {
	if d.GetFrom() == d.GetTo() {
		return d.GetTo()
	}
	return d.GetFrom() + " → " + d.GetTo()
}

func alarmColumns() []column {
	type alarm = *gantryv1.Alarm
	return []column{
		of("NAME", func(a alarm, _ time.Time) string { return Last(a.GetName()) }),
		of("STATE", func(a alarm, _ time.Time) string { return enumWord(a.GetState().String(), "STATE_") }),
		of("KIND", func(a alarm, _ time.Time) string { return a.GetKind() }),
		of("SUBJECT", func(a alarm, _ time.Time) string { return Short(a.GetSubject()) }),
		of("OPERATION", func(a alarm, _ time.Time) string { return Last(a.GetOperation()) }),
		of("AGE", func(a alarm, now time.Time) string { return age(a.GetStartTime(), now) }),
		of("SUMMARY", func(a alarm, _ time.Time) string { return a.GetSummary() }),
	}
}
