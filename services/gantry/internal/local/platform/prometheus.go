package platform

import (
	"fmt"
	"os"
	"path/filepath"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local/layout"
	"sigs.k8s.io/yaml"
)

// scrapeInterval is how often Prometheus reads the kubelets.
const scrapeInterval = "2s"

// WriteConfig renders Prometheus' configuration.
func WriteConfig(p layout.Paths) error {
	data, err := yaml.Marshal(prometheusConfig(p))
	if err != nil {
		return fault.Internal("RENDER_FAILED", "configuration of Prometheus: %w", err)
	}
	file := p.Conf("prometheus.yml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fault.Internal("WRITE_FAILED", "folder of %s: %w", file, err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		return fault.Internal("WRITE_FAILED", "configuration of Prometheus: %w", err)
	}
	return nil
}

func prometheusConfig(p layout.Paths) map[string]any {
	jobs := []any{}
	for _, s := range layout.Sites() {
		jobs = append(jobs, kubeletJob(p, s))
	}
	return map[string]any{
		"global":         map[string]any{"scrape_interval": scrapeInterval, "scrape_timeout": scrapeInterval},
		"scrape_configs": append(jobs, servicesJob()),
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
		"static_configs": []any{target(s.At(10250), map[string]string{"cluster": s.Name, "node": s.Name})},
	}
}

// servicesJob reads Gantry's own metrics, seldom.
func servicesJob() map[string]any {
	targets := []any{target("127.0.0.1:7090", map[string]string{"service": "portal"})}
	for _, m := range managers() {
		targets = append(targets, target(m.metrics, map[string]string{"service": "cluster-mgr"}))
	}
	for _, s := range layout.Sites() {
		targets = append(targets, target(s.At(7190), map[string]string{"service": "ipaas", "cluster": s.Name}))
	}
	for _, n := range layout.Balancers() {
		targets = append(targets, target(fmt.Sprintf("%s:7390", n.IP), map[string]string{"service": "ingress-agent", "node": n.Name}))
	}
	return map[string]any{"job_name": "gantry", "scrape_interval": "10s", "static_configs": targets}
}

func target(address string, labels map[string]string) map[string]any {
	return map[string]any{"targets": []string{address}, "labels": labels}
}
