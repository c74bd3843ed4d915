package kube

import (
	"context"
	_ "embed" // the roles are a manifest that people read
	"fmt"
	"os"
	"strconv"

	"gantry.dev/services/gantry/internal/local/command"
	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/probe"
	"gantry.dev/services/gantry/internal/local/scratch"
	"gantry.dev/services/gantry/internal/local/supervisor"
)

//go:embed roles.yaml
var roles string

// site builds the processes of one cluster.
type site struct {
	layout.Site
	paths layout.Paths
}

// Specs returns the cluster's processes, without its ipaas.
func Specs(p layout.Paths, s layout.Site) []supervisor.Spec {
	c := site{Site: s, paths: p}
	if s.Fake {
		return append(c.controlPlane(), c.registry(), c.kwok())
	}
	return append(c.controlPlane(), c.registry(), c.containerd(), c.kubelet())
}

// Name of one of the cluster's processes.
func Name(s layout.Site, part string) string { return s.Name + "-" + part }

func (c site) name(part string) string { return Name(c.Site, part) }

func (c site) pki(name string) string { return c.paths.PKI(c.Name, name) }

// Admin is the identity that may do everything in the cluster.
func Admin(p layout.Paths, s layout.Site) probe.Identity {
	return probe.Identity{
		Cert: p.PKI(s.Name, "admin.crt"), Key: p.PKI(s.Name, "admin.key"), CA: p.PKI(s.Name, "ca.crt"),
	}
}

func (c site) controlPlane() []supervisor.Spec {
	return []supervisor.Spec{c.etcd(), c.apiserver(), c.controllerManager(), c.scheduler()}
}

func (c site) etcd() supervisor.Spec {
	client := "https://" + layout.Join("127.0.0.1", c.EtcdPort)
	peer := "https://" + layout.Join("127.0.0.1", c.EtcdPeerPort)
	return supervisor.Spec{
		Name: c.name("etcd"), Group: c.Name, Path: c.paths.Part("etcd"),
		Args: []string{
			"--name=" + c.Name, "--data-dir=" + c.paths.Data(c.Name, "etcd"), "--log-level=warn",
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=" + c.Name + "=" + peer, "--snapshot-count=5000",
			"--client-cert-auth", "--trusted-ca-file=" + c.pki("ca.crt"),
			"--cert-file=" + c.pki("etcd.crt"), "--key-file=" + c.pki("etcd.key"),
			"--peer-client-cert-auth", "--peer-trusted-ca-file=" + c.pki("ca.crt"),
			"--peer-cert-file=" + c.pki("etcd.crt"), "--peer-key-file=" + c.pki("etcd.key"),
		},
		Probe: probe.HTTPS(client+"/health", Admin(c.paths, c.Site)),
	}
}

func (c site) apiserver() supervisor.Spec {
	return supervisor.Spec{
		Name: c.name("apiserver"), Group: c.Name, Path: c.paths.Part("kube-apiserver"),
		After: []string{c.name("etcd")},
		Args: []string{
			"--bind-address=" + c.HostIP, "--advertise-address=" + c.HostIP, "--secure-port=" + strconv.Itoa(c.Port(layout.APIPort)),
			"--tls-cert-file=" + c.pki("apiserver.crt"), "--tls-private-key-file=" + c.pki("apiserver.key"),
			"--client-ca-file=" + c.pki("ca.crt"),
			"--etcd-servers=https://" + layout.Join("127.0.0.1", c.EtcdPort), "--etcd-cafile=" + c.pki("ca.crt"),
			"--etcd-certfile=" + c.pki("etcd.crt"), "--etcd-keyfile=" + c.pki("etcd.key"),
			"--kubelet-certificate-authority=" + c.pki("ca.crt"),
			"--kubelet-client-certificate=" + c.pki("kubelet-client.crt"),
			"--kubelet-client-key=" + c.pki("kubelet-client.key"),
			"--kubelet-preferred-address-types=InternalIP",
			"--service-cluster-ip-range=" + c.ServiceNetwork,
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + c.pki("service-account.key"),
			"--service-account-signing-key-file=" + c.pki("service-account.key"),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--endpoint-reconciler-type=none", "--profiling=false", "--event-ttl=1h",
		},
		Probe: probe.HTTPS(c.APIServer()+"/readyz", Admin(c.paths, c.Site)),
		Then:  c.grantRoles,
	}
}

// grantRoles makes what ipaas and Prometheus need.
func (c site) grantRoles(ctx context.Context) error {
	_, err := command.Run(ctx, c.paths.Part("kubectl"),
		"--kubeconfig="+c.paths.Kubeconfig(c.Name, "admin"), "--cache-dir="+c.paths.Run(c.Name, "kubectl"),
		"apply", "--server-side", "--force-conflicts", "--field-manager=gantry-local",
		"-f", c.paths.Conf(c.Name, "roles.yaml"))
	if err != nil {
		return fmt.Errorf("grant roles: %w", err)
	}
	return nil
}

func (c site) controllerManager() supervisor.Spec {
	return supervisor.Spec{
		Name: c.name("controller-manager"), Group: c.Name, Path: c.paths.Part("kube-controller-manager"),
		After: []string{c.name("apiserver")},
		Args: []string{
			"--kubeconfig=" + c.paths.Kubeconfig(c.Name, "controller-manager"), "--leader-elect=false",
			"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(c.ControllerPort),
			"--root-ca-file=" + c.pki("ca.crt"), "--use-service-account-credentials=true",
			"--service-account-private-key-file=" + c.pki("service-account.key"),
			"--controllers=*,-nodeipam,-node-route-controller,-cloud-node-lifecycle-controller,-service-lb-controller",
			"--kube-api-qps=100", "--kube-api-burst=200", "--profiling=false",
			"--node-monitor-period=2s", "--node-monitor-grace-period=24s",
		},
		Probe: probe.SelfSigned("https://" + layout.Join("127.0.0.1", c.ControllerPort) + "/healthz"),
	}
}

func (c site) scheduler() supervisor.Spec {
	return supervisor.Spec{
		Name: c.name("scheduler"), Group: c.Name, Path: c.paths.Part("kube-scheduler"),
		After: []string{c.name("apiserver")},
		Args: []string{
			"--kubeconfig=" + c.paths.Kubeconfig(c.Name, "scheduler"), "--leader-elect=false",
			"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(c.SchedulerPort), "--profiling=false",
		},
		Probe: probe.SelfSigned("https://" + layout.Join("127.0.0.1", c.SchedulerPort) + "/healthz"),
	}
}

func (c site) registry() supervisor.Spec {
	return supervisor.Spec{
		Name: c.name("registry"), Group: c.Name, Path: c.paths.Part("registry"),
		Args:  []string{"serve", c.paths.Conf(c.Name, "registry.yaml")},
		Env:   []string{"OTEL_TRACES_EXPORTER=none"},
		Probe: probe.HTTP("http://" + c.Registry() + "/v2/"),
		Then:  c.pushPause,
	}
}

func (c site) pushPause(ctx context.Context) error {
	if c.Fake {
		return nil
	}
	image, err := scratch.Image(c.paths.Part("pause"), "pause")
	if err != nil {
		return fmt.Errorf("pause image: %w", err)
	}
	return scratch.Push(ctx, image, c.PauseImage())
}

func (c site) containerd() supervisor.Spec {
	return supervisor.Spec{
		Name: c.name("containerd"), Group: c.Name, Path: c.paths.Part("containerd"),
		Args: []string{"--config", c.paths.Conf(c.Name, "containerd.toml")},
		// containerd finds its shim through PATH.
		Env:    []string{"PATH=" + c.paths.Part("") + ":/usr/sbin:/usr/bin:/sbin:/bin"},
		Before: c.makeRunDir,
		Probe:  probe.Unix(Socket(c.paths, c.Site)),
	}
}

func (c site) makeRunDir(context.Context) error {
	return os.MkdirAll(c.paths.Run(c.Name), 0o755)
}

func (c site) kubelet() supervisor.Spec {
	return supervisor.Spec{
		Name: c.name("kubelet"), Group: c.Name, Path: c.paths.Part("kubelet"),
		After: []string{c.name("apiserver"), c.name("containerd"), c.name("registry")},
		Args: []string{
			"--config=" + c.paths.Conf(c.Name, "kubelet.yaml"),
			"--kubeconfig=" + c.paths.Kubeconfig(c.Name, "kubelet"),
			"--hostname-override=" + c.Name, "--node-ip=" + c.HostIP,
			"--root-dir=" + KubeletDir(c.paths, c.Site), "--cert-dir=" + c.pki("kubelet-own"),
			// CPU figures are as fresh as this.
			"--housekeeping-interval=2s",
		},
		Probe: probe.NodeReady(c.APIServer()+"/api/v1/nodes/"+c.Name, Admin(c.paths, c.Site)),
	}
}

// KubeletDir holds the pods' volumes; it is cleared of mounts when the
// platform goes down.
func KubeletDir(p layout.Paths, s layout.Site) string { return p.Data(s.Name, "kubelet") }
