// Package kube says how one Kubernetes cluster is run on this machine: its
// configuration files and processes.
package kube

import (
	"fmt"
	"os"
	"path/filepath"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local/layout"
	"sigs.k8s.io/yaml"
)

// file is one rendered configuration file.
type file struct {
	path string
	data []byte
}

// WriteConfig renders all files of a cluster.
func WriteConfig(p layout.Paths, s layout.Site) error {
	files, err := render(p, s)
	if s.Fake {
		files, err = renderFake(p, s)
	}
	if err != nil {
		return fault.Internal("RENDER_FAILED", "configuration of %s: %w", s.Name, err)
	}
	for _, f := range files {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return fault.Internal("WRITE_FAILED", "folder of %s: %w", f.path, err)
		}
		if err := os.WriteFile(f.path, f.data, 0o644); err != nil {
			return fault.Internal("WRITE_FAILED", "configuration of %s: %w", s.Name, err)
		}
	}
	return nil
}

func render(p layout.Paths, s layout.Site) ([]file, error) {
	kubelet, err := yaml.Marshal(kubeletConfig(p, s))
	if err != nil {
		return nil, err
	}
	network, err := yaml.Marshal(networkConfig(p, s))
	if err != nil {
		return nil, err
	}
	network, err = yaml.YAMLToJSON(network)
	if err != nil {
		return nil, err
	}
	registry, err := yaml.Marshal(registryConfig(p, s))
	if err != nil {
		return nil, err
	}
	mirror := []byte(hosts(s))
	certs := p.Conf(s.Name, "registries")
	return []file{
		{p.Conf(s.Name, "kubelet.yaml"), kubelet},
		{p.Conf(s.Name, "cni", "10-gantry.conflist"), network},
		{p.Conf(s.Name, "registry.yaml"), registry},
		{p.Conf(s.Name, "containerd.toml"), []byte(containerdConfig(p, s))},
		{filepath.Join(certs, s.Registry(), "hosts.toml"), mirror},
		{filepath.Join(certs, layout.RegistryAlias, "hosts.toml"), mirror},
		{p.Conf(s.Name, "roles.yaml"), []byte(roles)},
	}, nil
}

// hosts sends pulls to the site's own registry, over plain HTTP.
func hosts(s layout.Site) string {
	url := "http://" + s.Registry()
	return fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url, url)
}

func registryConfig(p layout.Paths, s layout.Site) map[string]any {
	return map[string]any{
		"version": 0.1,
		"log":     map[string]any{"level": "warn", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			"filesystem": map[string]any{"rootdirectory": p.Data(s.Name, "registry")},
			"delete":     map[string]any{"enabled": true},
		},
		"http": map[string]any{"addr": s.Registry()},
	}
}

// networkConfig gives a pod an address on the site's bridge and a route to the
// load balancers, and no default route: nothing of a pod leaves the machine.
func networkConfig(p layout.Paths, s layout.Site) map[string]any {
	return map[string]any{
		"cniVersion": "1.0.0", "name": s.Bridge,
		"plugins": []any{map[string]any{
			"type": "bridge", "bridge": s.Bridge, "isGateway": false, "ipMasq": false,
			"ipam": map[string]any{
				"type": "host-local", "dataDir": p.Run(s.Name, "addresses"),
				"ranges": []any{[]any{map[string]any{
					"subnet": s.Network, "rangeStart": s.PodFirst, "rangeEnd": s.PodLast, "gateway": s.HostIP,
				}}},
				"routes": []any{map[string]any{"dst": layout.LBNetwork, "gw": s.HostIP}},
			},
		}},
	}
}

// kubeletConfig is tuned for one small machine that runs two kubelets: quick
// answers, no garbage collection by disk use (the disk is the developer's),
// no changes to the machine's firewall.
func kubeletConfig(p layout.Paths, s layout.Site) map[string]any {
	pki := func(name string) string { return p.PKI(s.Name, name) }
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address": s.HostIP, "port": s.Port(layout.KubeletPort), "readOnlyPort": 0,
		"healthzBindAddress": "127.0.0.1", "healthzPort": s.KubeletHealthPort,
		"tlsCertFile": pki("kubelet-server.crt"), "tlsPrivateKeyFile": pki("kubelet-server.key"),
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": pki("ca.crt")},
		},
		"authorization":                  map[string]any{"mode": "Webhook"},
		"containerRuntimeEndpoint":       "unix://" + Socket(p, s),
		"cgroupDriver":                   "cgroupfs",
		"cgroupRoot":                     "/" + s.Cgroup(),
		"failCgroupV1":                   false,
		"enforceNodeAllocatable":         []string{"none"},
		"failSwapOn":                     false,
		"makeIPTablesUtilChains":         false,
		"podLogsDir":                     p.Data(s.Name, "pod-logs"),
		"volumePluginDir":                p.Data(s.Name, "volume-plugins"),
		"cpuManagerPolicy":               "none",
		"imageGCHighThresholdPercent":    100,
		"imageGCLowThresholdPercent":     99,
		"evictionHard":                   eviction(),
		"registryPullQPS":                0,
		"serializeImagePulls":            false,
		"eventRecordQPS":                 0,
		"kubeAPIQPS":                     100,
		"kubeAPIBurst":                   200,
		"syncFrequency":                  "10s",
		"nodeStatusUpdateFrequency":      "5s",
		"nodeLeaseDurationSeconds":       20,
		"volumeStatsAggPeriod":           "-1s",
		"containerLogMaxSize":            "10Mi",
		"maxPods":                        110,
		"shutdownGracePeriod":            "0s",
		"memorySwap":                     map[string]any{},
		"enableDebuggingHandlers":        true,
		"enableProfilingHandler":         false,
		"streamingConnectionIdleTimeout": "1h",
	}
}

func eviction() map[string]string {
	return map[string]string{
		"memory.available": "100Mi", "nodefs.available": "1%",
		"nodefs.inodesFree": "1%", "imagefs.available": "1%", "imagefs.inodesFree": "1%",
	}
}

// Socket is where the cluster's containerd listens.
func Socket(p layout.Paths, s layout.Site) string { return p.Run(s.Name, "containerd.sock") }
