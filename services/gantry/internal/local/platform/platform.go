// Package platform says how Gantry's own processes are run on this machine:
// the state store, Prometheus, the services and the load balancer nodes.
package platform

import (
	"path/filepath"
	"strings"
	"time"

	"gantry.dev/services/gantry/internal/local/kube"
	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/pki"
	"gantry.dev/services/gantry/internal/local/probe"
	"gantry.dev/services/gantry/internal/local/supervisor"
)

// Config is what the services are started with.
type Config struct {
	Paths layout.Paths
	Plan  layout.Plan
	// BinDir holds ipaas, cluster-mgr, ingress-agent and portal.
	BinDir string
	// AutoscaleInterval is the pause between two autoscaling passes.
	AutoscaleInterval time.Duration
}

// manager is one instance of cluster-mgr.
type manager struct{ name, listen, metrics string }

func managers(plan layout.Plan) []manager {
	return []manager{
		{"cluster-mgr-1", plan.HostIP + ":7001", "127.0.0.1:7091"},
		{"cluster-mgr-2", plan.HostIP + ":7002", "127.0.0.1:7092"},
	}
}

// Specs returns all processes but those of the clusters themselves.
func Specs(c Config) []supervisor.Spec {
	specs := []supervisor.Spec{c.etcd()}
	// Simulated nodes have no metrics, and Debian's packages may not be there.
	if !c.Plan.Fake {
		specs = append(specs, c.prometheus(), c.alertmanager())
	}
	for _, s := range c.Plan.Sites {
		specs = append(specs, c.ipaas(s))
	}
	specs = append(specs, c.managers()...)
	specs = append(specs, c.portal())
	for _, n := range c.Plan.Balancers {
		specs = append(specs, c.agent(n))
	}
	return specs
}

func (c Config) pki(name string) string { return c.Paths.PKI(name) }

// admin is the identity that may do everything in the platform's etcd and ask
// every service for its health.
func (c Config) admin() probe.Identity { return c.identity("gantry-local") }

func (c Config) identity(name string) probe.Identity {
	return probe.Identity{Cert: c.pki(name + ".crt"), Key: c.pki(name + ".key"), CA: c.pki("ca.crt")}
}

func (c Config) etcd() supervisor.Spec {
	const peer = "https://127.0.0.1:2380"
	return supervisor.Spec{
		Name: "etcd", Group: layout.GroupPlatform, Path: c.Paths.Part("etcd"),
		Args: []string{
			"--name=platform", "--data-dir=" + c.Paths.Data("etcd"), "--log-level=warn",
			"--listen-client-urls=" + c.Plan.Etcd(), "--advertise-client-urls=" + c.Plan.Etcd(),
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=platform=" + peer,
			"--auto-compaction-mode=periodic", "--auto-compaction-retention=30m", "--snapshot-count=5000",
			"--client-cert-auth", "--trusted-ca-file=" + c.pki("ca.crt"),
			"--cert-file=" + c.pki("etcd.crt"), "--key-file=" + c.pki("etcd.key"),
			"--peer-client-cert-auth", "--peer-trusted-ca-file=" + c.pki("ca.crt"),
			"--peer-cert-file=" + c.pki("etcd.crt"), "--peer-key-file=" + c.pki("etcd.key"),
		},
		Probe: probe.HTTPS(c.Plan.Etcd()+"/health", c.admin()),
		Then:  c.ensureAccess,
	}
}

func (c Config) prometheus() supervisor.Spec {
	return supervisor.Spec{
		Name: "prometheus", Group: layout.GroupPlatform, Path: "/usr/bin/prometheus",
		Args: []string{
			"--config.file=" + c.Paths.Conf("prometheus.yml"), "--storage.tsdb.path=" + c.Paths.Data("prometheus"),
			"--storage.tsdb.retention.time=6h", "--web.listen-address=127.0.0.1:9490", "--log.level=warn",
		},
		Probe: probe.HTTP(layout.Prometheus + "/-/ready"),
	}
}

// alertmanager is one of its kind, so it gossips with nobody.
func (c Config) alertmanager() supervisor.Spec {
	return supervisor.Spec{
		Name: "alertmanager", Group: layout.GroupPlatform, Path: "/usr/bin/prometheus-alertmanager",
		Args: []string{
			"--config.file=" + c.Paths.Conf("alertmanager.yml"), "--storage.path=" + c.Paths.Data("alertmanager"),
			"--web.listen-address=" + strings.TrimPrefix(layout.Alertmanager, "http://"),
			"--cluster.listen-address=", "--log.level=warn",
		},
		Probe: probe.HTTP(layout.Alertmanager + "/-/ready"),
	}
}

// service is what all of Gantry's services share.
func (c Config) service(name, group, program, cert, listen, metrics string, args ...string) supervisor.Spec {
	common := []string{
		"--listen", listen, "--metrics-listen", metrics, "--log-level", "info",
		"--tls-cert", c.pki(cert + ".crt"), "--tls-key", c.pki(cert + ".key"), "--tls-ca", c.pki("ca.crt"),
	}
	return supervisor.Spec{
		Name: name, Group: group, Path: filepath.Join(c.BinDir, program),
		Args: append(common, args...), Probe: probe.GRPC(listen, c.admin()), StopTimeout: 8 * time.Second,
	}
}

func (c Config) ipaas(s layout.Site) supervisor.Spec {
	spec := c.service(kube.Name(s, "ipaas"), s.Name, "ipaas", "ipaas."+s.Name, s.At(layout.IpaasPort), s.At(layout.IpaasMetricsPort),
		"--cluster", s.Name, "--kubeconfig", c.Paths.Kubeconfig(s.Name, "ipaas"))
	spec.After = []string{kube.Name(s, "apiserver")}
	return spec
}

func (c Config) managers() []supervisor.Spec {
	common := []string{
		"--etcd", c.Plan.Etcd(),
		"--autoscale-interval", c.AutoscaleInterval.String(), "--health-interval", "2s",
		"--sample-interval", "5s", "--recover-after", "20s", "--failback-after", "10s",
		"--secret-key", pki.SecretKey(c.Paths),
	}
	if !c.Plan.Fake {
		common = append(common, "--alertmanager", layout.Alertmanager)
	}
	var specs []supervisor.Spec
	for _, m := range managers(c.Plan) {
		spec := c.service(m.name, layout.GroupPlatform, "cluster-mgr", "cluster-mgr", m.listen, m.metrics,
			append([]string{"--name", m.name}, common...)...)
		spec.After = []string{"etcd"}
		specs = append(specs, spec)
	}
	return specs
}

func (c Config) portal() supervisor.Spec {
	var addresses, names []string
	for _, m := range managers(c.Plan) {
		addresses, names = append(addresses, m.listen), append(names, m.name)
	}
	spec := c.service("portal", layout.GroupPlatform, "portal", "portal", "127.0.0.1:8443", "127.0.0.1:7090",
		"--cluster-mgr", strings.Join(addresses, ","),
		"--token-issuer", pki.Issuer, "--token-key", c.pki("jwt.pub"), "--token-audience", pki.Audience)
	spec.After = names
	return spec
}

func (c Config) agent(n layout.Node) supervisor.Spec {
	spec := c.service(n.Name+"-ingress-agent", n.Name, "ingress-agent", AgentIdentity(n),
		n.IP+":7300", n.IP+":7390",
		"--gateway", layout.Gateway, "--node", n.Name, "--etcd", c.Plan.Etcd(),
		"--state-dir", c.Paths.Data(n.Name), "--nginx", "nginx", "--keepalived", "keepalived", "--interface", "eth0",
		"--gateway-key", pki.GatewayKey(c.Paths, layout.Gateway))
	spec.After = []string{"etcd"}
	spec.Namespace = n.Namespace
	return spec
}

// AgentIdentity is the certificate and etcd user of a balancer's agent.
func AgentIdentity(n layout.Node) string { return "ingress-agent." + layout.Gateway + "." + n.Name }
