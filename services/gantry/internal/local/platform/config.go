package platform

import (
	"os"
	"path/filepath"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local/layout"
	"sigs.k8s.io/yaml"
)

// WriteConfig renders the configuration of Prometheus and Alertmanager.
func WriteConfig(p layout.Paths, plan layout.Plan) error {
	files := map[string]map[string]any{
		"prometheus.yml": prometheusConfig(p, plan), "alertmanager.yml": alertmanagerConfig(),
	}
	for name, content := range files {
		if err := writeFile(p.Conf(name), content); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(file string, content map[string]any) error {
	data, err := yaml.Marshal(content)
	if err != nil {
		return fault.Internal("RENDER_FAILED", "configuration %s: %w", file, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fault.Internal("WRITE_FAILED", "folder of %s: %w", file, err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		return fault.Internal("WRITE_FAILED", "configuration %s: %w", file, err)
	}
	return nil
}

// alertmanagerConfig keeps alarms for those who look, and sends nothing: there
// is nobody on this machine to be woken.
func alertmanagerConfig() map[string]any {
	return map[string]any{
		"route": map[string]any{
			"receiver": "operators", "group_by": []string{"alertname"},
			"group_wait": "1s", "group_interval": "5s", "repeat_interval": "1h",
		},
		"receivers": []any{map[string]any{"name": "operators"}},
	}
}
