package demo

import (
	"fmt"
	"path"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// describeApp is "release 2: 4 of 6 ready (site-a 2/3, site-b 2/3)".
func describeApp(a *gantryv1.App) string {
	st := a.GetStatus()
	var parts []string
	for _, p := range st.GetAssignments() {
		parts = append(parts, fmt.Sprintf("%s %d/%d", path.Base(p.GetCluster()), p.GetReadyReplicas(), p.GetReplicas()))
	}
	text := fmt.Sprintf("release %d: %d of %d ready (%s)", st.GetRelease(), st.GetReadyReplicas(), st.GetDesiredReplicas(), strings.Join(parts, ", "))
	if st.GetMessage() != "" {
		text += "; " + st.GetMessage()
	}
	return text
}

// division is "2 on site-a, 2 on site-b".
func division(a *gantryv1.App) string {
	var parts []string
	for _, p := range a.GetStatus().GetAssignments() {
		parts = append(parts, fmt.Sprintf("%d on %s", p.GetReplicas(), path.Base(p.GetCluster())))
	}
	return strings.Join(parts, ", ")
}

// stateWord is "Healthy" for STATE_HEALTHY.
func stateWord(s gantryv1.ClusterHealth_State) string {
	return capital(strings.TrimPrefix(s.String(), "STATE_"))
}

// kindWord is "autoscale" for KIND_AUTOSCALE.
func kindWord(k gantryv1.Decision_Kind) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "KIND_"))
}

func capital(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + strings.ToLower(word[1:])
}

// clusterName is "site-a" for clusters/site-a.
func clusterName(c *gantryv1.Cluster) string { return path.Base(c.GetName()) }
