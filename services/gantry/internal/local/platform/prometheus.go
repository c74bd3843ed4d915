package platform

import (
	"fmt"

	"gantry.dev/services/gantry/internal/local/layout"
)

// scrapeInterval is how often Prometheus reads the kubelets.
const scrapeInterval = "2s"

func prometheusConfig(p layout.Paths, plan layout.Plan) map[string]any {
	jobs := []any{}
	for _, s := range plan.Sites {
		jobs = append(jobs, kubeletJob(p, s))
	}
	return map[string]any{
		"global":         map[string]any{"scrape_interval": scrapeInterval, "scrape_timeout": scrapeInterval},
		"scrape_configs": append(jobs, servicesJob(plan)),
	}
}

// kubeletJob reads CPU and memory per container, with the kubelet's own time
// stamps, so that a rate over them is right however late the scrape is.
func kubeletJob(p layout.Paths, s layout.Site) map[string]any {
	return map[string]any{
		"job_name": "kubelet-" + s.Name, "scheme": "https", "metrics_path": "/metrics/resource",
		"tls_config": map[string]any{
			"ca_file":   p.PKI(s.Name, "ca.crt"),
			"cert_file": p.PKI(s.Name, "prometheus.crt"), "key_file": p.PKI(s.Name, "prometheus.key"),
		},
		"static_configs": []any{target(s.At(layout.KubeletPort), map[string]string{"cluster": s.Name, "node": s.Name})},
	}
}

// servicesJob reads Gantry's own metrics, seldom.
func servicesJob(plan layout.Plan) map[string]any {
	targets := []any{target("127.0.0.1:7090", map[string]string{"service": "portal"})}
	for _, m := range managers(plan) {
		targets = append(targets, target(m.metrics, map[string]string{"service": "cluster-mgr"}))
	}
	for _, s := range plan.Sites {
		targets = append(targets, target(s.At(layout.IpaasMetricsPort), map[string]string{"service": "ipaas", "cluster": s.Name}))
	}
	for _, n := range plan.Balancers {
		targets = append(targets, target(fmt.Sprintf("%s:7390", n.IP), map[string]string{"service": "ingress-agent", "node": n.Name}))
	}
	return map[string]any{"job_name": "gantry", "scrape_interval": "10s", "static_configs": targets}
}

func target(address string, labels map[string]string) map[string]any {
	return map[string]any{"targets": []string{address}, "labels": labels}
}
