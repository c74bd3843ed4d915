// Package layout holds the fixed addresses, names and paths of the local
// platform. It does nothing: every other package of the platform reads it.
package layout

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

// Addresses of the platform; sites have theirs in Site, balancers in Node.
const (
	// hostIP is the host's address in the load balancer network.
	hostIP = "10.110.0.1"
	// LBNetwork is the load balancer network.
	LBNetwork = "10.110.0.0/24"
	// LBBridge is its bridge.
	LBBridge = "gantry-lb"
	// VIP is the address that the two load balancer nodes share.
	VIP = "10.110.0.100"
	// Prometheus answers queries over both clusters.
	Prometheus = "http://127.0.0.1:9490"
	// Alertmanager takes the platform's alarms.
	Alertmanager = "http://127.0.0.1:9493"
	// Portal is the public API: REST and gRPC on one port, TLS.
	Portal = "127.0.0.1:8443"
	// Gateway is the name of the only gateway.
	Gateway = "main"
	// RegistryAlias is the host name that every site's containerd resolves to
	// the site's own registry, so that one image name works on all sites.
	RegistryAlias = "registry.gantry.local"
	// ClientNamespace is the network namespace for load clients.
	ClientNamespace = "gantry-client"
	// Cgroup is the root of everything that runs, relative to the hierarchy.
	Cgroup = "gantry-local"
)

// Ports of a site at its host address, before shifting.
const (
	APIPort          = 6443
	KubeletPort      = 10250
	RegistryPort     = 5000
	IpaasPort        = 7100
	IpaasMetricsPort = 7190
)

// Names of the groups that can be killed and started whole.
const (
	GroupPlatform = "platform"
	GroupSiteA    = "site-a"
	GroupSiteB    = "site-b"
	GroupLB1      = "lb-1"
	GroupLB2      = "lb-2"
)

// Groups lists all groups in starting order.
func Groups() []string {
	return []string{GroupPlatform, GroupSiteA, GroupSiteB, GroupLB1, GroupLB2}
}

// Plan is what runs where.
type Plan struct {
	// HostIP is where the platform's state store and cluster-mgr listen.
	HostIP    string
	Sites     []Site
	Balancers []Node
	// Fake is whether nodes are simulated and nothing needs root.
	Fake bool
}

// Real is the plan with containers, networks and load balancers.
func Real() Plan {
	return Plan{HostIP: hostIP, Sites: Sites(), Balancers: Balancers()}
}

// Fake is the plan without root: all on loopback, nodes simulated, nothing
// that carries traffic.
func Fake() Plan {
	plan := Plan{HostIP: loopback, Fake: true}
	for i, s := range Sites() {
		s.HostIP, s.Fake, s.PortShift = loopback, true, 100*i
		plan.Sites = append(plan.Sites, s)
	}
	return plan
}

const loopback = "127.0.0.1"

// Etcd is where the platform's state is.
func (p Plan) Etcd() string { return "https://" + Join(p.HostIP, 2379) }

// Site is one Kubernetes cluster with its registry and ipaas.
type Site struct {
	// Name is the cluster's name, its node's name and its group.
	Name string
	// Bridge connects its pods; HostIP is the host's and the node's address on it.
	Bridge, HostIP string
	// Network is the CIDR of node and pods; pods get PodFirst to PodLast.
	Network, PodFirst, PodLast string
	// ServiceNetwork is the CIDR of cluster IPs.
	ServiceNetwork string
	// Fake is whether its nodes are simulated.
	Fake bool
	// PortShift is added to every port of HostIP; sites that share it differ.
	PortShift int
	// Ports on 127.0.0.1 that two sites cannot share.
	EtcdPort, EtcdPeerPort, ControllerPort, SchedulerPort, KubeletHealthPort int
}

// Sites returns both clusters.
func Sites() []Site { return []Site{site("a", 1, 0), site("b", 2, 100)} }

func site(letter string, n, shift int) Site {
	net := fmt.Sprintf("10.11%d.0.", n)
	return Site{
		Name: "site-" + letter, Bridge: "gantry-" + letter, HostIP: net + "1",
		Network: net + "0/24", PodFirst: net + "10", PodLast: net + "250",
		ServiceNetwork: fmt.Sprintf("10.12%d.0.0/24", n),
		EtcdPort:       2479 + shift, EtcdPeerPort: 2480 + shift,
		ControllerPort: 10357 + shift, SchedulerPort: 10359 + shift, KubeletHealthPort: 10348 + shift,
	}
}

// ServiceIP is the cluster IP of the Kubernetes API inside the cluster.
func (s Site) ServiceIP() string {
	_, n, err := net.ParseCIDR(s.ServiceNetwork)
	if err != nil {
		return ""
	}
	ip := n.IP.To4()
	ip[3]++
	return ip.String()
}

// APIServer is the URL of the cluster's API server.
func (s Site) APIServer() string { return "https://" + s.At(APIPort) }

// Ports are all on which the site listens at HostIP.
func (s Site) Ports() []int {
	ports := []int{APIPort, RegistryPort, IpaasPort, IpaasMetricsPort}
	if !s.Fake {
		ports = append(ports, KubeletPort)
	}
	return ports
}

// Registry is host:port of the site's image registry (plain HTTP).
func (s Site) Registry() string { return s.At(RegistryPort) }

// PauseImage is what keeps a pod's namespaces open.
func (s Site) PauseImage() string { return s.Registry() + "/gantry/pause:1" }

// At joins the site's host address and a port, which is shifted.
func (s Site) At(port int) string { return Join(s.HostIP, s.Port(port)) }

// Port is a port after shifting.
func (s Site) Port(port int) int { return port + s.PortShift }

// Cgroup is the parent of the site's pods, relative to the hierarchy.
func (s Site) Cgroup() string { return Cgroup + "/" + s.Name + "/pods" }

// Node is one load balancer node: a network namespace on the bridge.
type Node struct {
	// Name is the node's and group's name.
	Name string
	// Namespace is its network namespace, IP its address there on eth0.
	Namespace, IP string
	// Port is the host's end of its link.
	Port string
}

// Balancers returns the load balancer nodes.
func Balancers() []Node {
	return []Node{
		{Name: GroupLB1, Namespace: "gantry-lb-1", IP: "10.110.0.11", Port: "gantry-p1"},
		{Name: GroupLB2, Namespace: "gantry-lb-2", IP: "10.110.0.12", Port: "gantry-p2"},
	}
}

// Client returns the namespace in which load is made.
func Client() Node {
	return Node{Name: "client", Namespace: ClientNamespace, IP: "10.110.0.50", Port: "gantry-pc"}
}

// Join makes host:port.
func Join(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// Paths finds files below the platform's folder.
type Paths struct {
	// Dir is the absolute folder, usually .local.
	Dir string
	// Parts is the absolute folder of built programs; empty means Dir/parts.
	Parts string
}

// Part is a built program.
func (p Paths) Part(name string) string {
	if p.Parts == "" {
		return filepath.Join(p.Dir, "parts", "bin", name)
	}
	return filepath.Join(p.Parts, "bin", name)
}

// Log is the log file of one process.
func (p Paths) Log(name string) string { return filepath.Join(p.Dir, "log", name+".log") }

// Run is a file that has a meaning only while the platform runs.
func (p Paths) Run(name ...string) string { return p.join("run", name) }

// Data is state that is kept between runs.
func (p Paths) Data(name ...string) string { return p.join("data", name) }

// Conf is a rendered configuration file.
func (p Paths) Conf(name ...string) string { return p.join("conf", name) }

// PKI is a key, certificate or kubeconfig; a cluster's are in its own folder.
func (p Paths) PKI(name ...string) string { return p.join("pki", name) }

// Token is a user's bearer token.
func (p Paths) Token(user string) string { return filepath.Join(p.Dir, "tokens", user+".jwt") }

// CLIConfig is the command line's configuration with both users.
func (p Paths) CLIConfig() string { return filepath.Join(p.Dir, "gantry.yaml") }

// Socket is where the supervisor answers.
func (p Paths) Socket() string { return p.Run("supervisor.sock") }

// Kubeconfig is the file with which who ("admin", "ipaas") speaks to a site.
func (p Paths) Kubeconfig(site, who string) string { return p.PKI(site, who+".kubeconfig") }

func (p Paths) join(first string, rest []string) string {
	return filepath.Join(append([]string{p.Dir, first}, rest...)...)
}
