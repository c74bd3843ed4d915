package autoscale

import (
	"cmp"
	"slices"
)

// podKey names a pod over all clusters.
type podKey struct{ cluster, pod string }

func (k podKey) compare(o podKey) int {
	return cmp.Or(cmp.Compare(k.cluster, o.cluster), cmp.Compare(k.pod, o.pod))
}

// view is the input sorted into what counts.
type view struct {
	// ready are the ready pods of observed clusters in rotation, sorted: floats are summed in this
	// order, so the sum does not depend on the order of the input.
	ready []podKey
	// serving is Current without the replicas of clusters out of rotation; held is the part of it
	// in silent clusters, observed the rest.
	serving, held, observed int
	heldIn                  []string // in name order
	outOfRotation           []string
	// gaps are observed clusters that report fewer pods than are assigned to them.
	gaps []string
	// unready is how many of the observed replicas are not ready.
	unready int
	// stray is a pod whose cluster is not among the views; its load may not be forgotten.
	stray bool
}

func look(in Input) view {
	v := view{serving: max(0, in.Current)}
	use := map[string]bool{}
	clusters := slices.Clone(in.Clusters)
	slices.SortFunc(clusters, func(a, b ClusterView) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range clusters {
		n := max(0, c.Replicas)
		use[c.Name] = c.Observed && c.InRotation
		switch {
		case !c.InRotation:
			v.serving = max(0, v.serving-n)
			if n > 0 {
				v.outOfRotation = append(v.outOfRotation, c.Name)
			}
		case !c.Observed && n > 0:
			v.held += n
			v.heldIn = append(v.heldIn, c.Name)
		}
	}
	v.held = min(v.held, v.serving)
	v.observed = v.serving - v.held
	reported := v.readPods(in.Pods, use)
	for _, c := range clusters {
		if use[c.Name] && reported[c.Name] < c.Replicas {
			v.gaps = append(v.gaps, c.Name)
		}
	}
	v.unready = max(0, v.observed-len(v.ready))
	return v
}

// readPods collects the ready pods that count, and counts all pods, ready or not, per cluster.
func (v *view) readPods(pods []Pod, use map[string]bool) map[string]int {
	reported := map[string]int{}
	for _, p := range pods {
		counts, known := use[p.Cluster]
		v.stray = v.stray || !known
		reported[p.Cluster]++
		if counts && p.Ready {
			v.ready = append(v.ready, podKey{p.Cluster, p.Name})
		}
	}
	slices.SortFunc(v.ready, podKey.compare)
	v.ready = slices.Compact(v.ready)
	return reported
}

// blind is why data is incomplete before any sample is looked at; empty when it is not.
func (v view) blind() problem {
	switch {
	case len(v.heldIn) > 0:
		return problem{ReasonClusterSilent, list(v.heldIn) + " cannot be observed and is in rotation"}
	case len(v.gaps) > 0:
		// An empty list from a broken API server is not an idle cluster.
		return problem{ReasonPartialData, list(v.gaps) + " reports fewer pods than are assigned to it"}
	case v.stray:
		return problem{ReasonPartialData, "a pod is reported from a cluster that is not known"}
	}
	return problem{}
}
