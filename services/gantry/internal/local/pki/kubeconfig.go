package pki

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// Kubeconfig points to one cluster as one user; the paths are absolute.
type Kubeconfig struct {
	Cluster, Server, CA string
	// Cert and Key are the user's client certificate.
	User, Cert, Key string
}

// Write stores it as YAML, mode 0600.
func (k Kubeconfig) Write(file string) error {
	data, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": k.Cluster,
		"clusters": []any{map[string]any{"name": k.Cluster,
			"cluster": map[string]any{"server": k.Server, "certificate-authority": k.CA}}},
		"users": []any{map[string]any{"name": k.User,
			"user": map[string]any{"client-certificate": k.Cert, "client-key": k.Key}}},
		"contexts": []any{map[string]any{"name": k.Cluster,
			"context": map[string]any{"cluster": k.Cluster, "user": k.User}}},
	})
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", file, err)
	}
	return write(file, data, 0o600)
}
