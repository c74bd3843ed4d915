// Package kube runs one Kubernetes cluster without containers: etcd, API
// server, controller manager and scheduler are real, kwok plays the kubelets.
package kube

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"gantry.dev/test/bench/internal/pki"
	"gantry.dev/test/bench/internal/process"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// startTime bounds the start of one process.
const startTime = 2 * time.Minute

// Config is what New needs; all fields are required.
type Config struct {
	// "site-a".
	Name  string
	Procs *process.Group
	PKI   *pki.Authority
	// Parts holds etcd, kube-apiserver and the rest; Repo is Gantry's folder.
	Parts, Repo string
	// Dir is for the cluster's data.
	Dir string
	// Port is the first of ten on 127.0.0.1.
	Port int
	// Nodes that kwok plays.
	Nodes int
	// PodNetwork gives the pods' addresses, "10.64.0.0/12".
	PodNetwork string
}

// Cluster is a running cluster.
type Cluster struct {
	Config
	// Client is the administrator's, without a limit of its own.
	Client kubernetes.Interface
	// Floor is that of a client with ipaas' rights and priority.
	Floor kubernetes.Interface
	// REST is what Client is made from.
	REST *rest.Config
	// IpaasKubeconfig is how the cluster's ipaas reaches it.
	IpaasKubeconfig string

	// Kubeconfigs of the others. Each comes as itself: who comes as the
	// administrator is served before everybody else.
	admin, controllers, scheduler string
	apiserver, proxy              pki.Pair
}

// New makes keys and files; nothing runs yet.
func New(c Config) (*Cluster, error) {
	k := &Cluster{Config: c}
	var err error
	if k.apiserver, err = c.PKI.Issue(c.Name+"-apiserver", pki.Leaf{CN: "kube-apiserver", Names: []string{"kubernetes.default.svc"}}); err != nil {
		return nil, err
	}
	if k.proxy, err = c.PKI.Issue(c.Name+"-proxy", pki.Leaf{CN: "aggregator"}); err != nil {
		return nil, err
	}
	if k.admin, err = k.user("admin", pki.Leaf{CN: "bench", Groups: []string{"system:masters"}}); err != nil {
		return nil, err
	}
	account := pki.Leaf{CN: "system:serviceaccount:gantry-system:ipaas", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:gantry-system"}}
	if k.IpaasKubeconfig, err = k.user("ipaas", account); err != nil {
		return nil, err
	}
	if k.controllers, err = k.user("controller-manager", pki.Leaf{CN: "system:kube-controller-manager"}); err != nil {
		return nil, err
	}
	if k.scheduler, err = k.user("scheduler", pki.Leaf{CN: "system:kube-scheduler"}); err != nil {
		return nil, err
	}
	if k.Client, k.REST, err = client(k.admin); err != nil {
		return nil, err
	}
	k.Floor, _, err = client(k.IpaasKubeconfig)
	return k, err
}

// client has no limit of its own, and ipaas' encoding.
func client(kubeconfig string) (kubernetes.Interface, *rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	c, err := kubernetes.NewForConfig(config)
	return c, config, err
}

func (k *Cluster) user(name string, leaf pki.Leaf) (kubeconfig string, err error) {
	pair, err := k.PKI.Issue(k.Name+"-"+name, leaf)
	if err != nil {
		return "", err
	}
	return k.PKI.Kubeconfig(k.Name+"-"+name, k.URL(), pair)
}

// URL of the API server.
func (k *Cluster) URL() string { return "https://" + k.at(apiPort) }

// EtcdMetrics is the URL of etcd's metrics.
func (k *Cluster) EtcdMetrics() string { return "http://" + k.at(etcdMetricsPort) + "/metrics" }

// Process is the name of one of the cluster's processes.
func (k *Cluster) Process(part string) string { return k.Name + "-" + part }

// Processes are the names of all of them.
func (k *Cluster) Processes() []string {
	var out []string
	for _, part := range []string{"etcd", "apiserver", "controller-manager", "scheduler", "kwok"} {
		out = append(out, k.Process(part))
	}
	return out
}

// Offsets of the ports.
const (
	etcdPort = iota
	etcdPeerPort
	etcdMetricsPort
	apiPort
	controllerPort
	schedulerPort
	kwokPort
)

func (k *Cluster) at(offset int) string { return "127.0.0.1:" + k.port(offset) }

func (k *Cluster) port(offset int) string { return strconv.Itoa(k.Port + offset) }

func (k *Cluster) start(part, program string, args ...string) error {
	return k.Procs.Start(process.Spec{Name: k.Process(part), Path: filepath.Join(k.Parts, program), Args: args})
}

// Start starts the whole cluster and makes its nodes and ipaas' roles.
func (k *Cluster) Start(ctx context.Context) error {
	if err := k.startEtcd(); err != nil {
		return err
	}
	if err := k.startAPIServer(); err != nil {
		return err
	}
	if err := k.ready(ctx); err != nil {
		return err
	}
	if err := k.grantRoles(ctx); err != nil {
		return err
	}
	if err := k.startKwok(); err != nil {
		return err
	}
	if err := k.startScheduler(); err != nil {
		return err
	}
	return k.makeNodes(ctx)
}

func (k *Cluster) startEtcd() error {
	client, peer := "http://"+k.at(etcdPort), "http://"+k.at(etcdPeerPort)
	return k.start("etcd", "etcd",
		"--name="+k.Name, "--data-dir="+filepath.Join(k.Dir, k.Name+"-etcd"), "--log-level=warn",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster="+k.Name+"="+peer,
		"--listen-metrics-urls=http://"+k.at(etcdMetricsPort), "--quota-backend-bytes=4294967296")
}

// startAPIServer also lets it pass requests on to an aggregated API.
func (k *Cluster) startAPIServer() error {
	return k.start("apiserver", "kube-apiserver",
		"--etcd-servers=http://"+k.at(etcdPort), "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+k.port(apiPort),
		"--tls-cert-file="+k.apiserver.Cert, "--tls-private-key-file="+k.apiserver.Key, "--client-ca-file="+k.PKI.CA(),
		"--requestheader-client-ca-file="+k.PKI.CA(), "--requestheader-allowed-names=aggregator",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+k.proxy.Cert, "--proxy-client-key-file="+k.proxy.Key,
		"--service-cluster-ip-range=10.96.0.0/16", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+k.apiserver.Key, "--service-account-signing-key-file="+k.apiserver.Key,
		"--authorization-mode=Node,RBAC", "--endpoint-reconciler-type=none", "--profiling=false")
}

// StartControllers starts the controller manager, or starts it again with
// other flags. A kwok node whose lease is late on a busy machine stays ready.
func (k *Cluster) StartControllers(ctx context.Context, flags ...string) error {
	k.Procs.Stop(k.Process("controller-manager"))
	args := append([]string{
		"--kubeconfig=" + k.controllers, "--leader-elect=false", "--use-service-account-credentials=true",
		"--bind-address=127.0.0.1", "--secure-port=" + k.port(controllerPort), "--profiling=false",
		"--root-ca-file=" + k.PKI.CA(), "--service-account-private-key-file=" + k.apiserver.Key,
		"--node-monitor-grace-period=1h",
	}, flags...)
	if err := k.start("controller-manager", "kube-controller-manager", args...); err != nil {
		return err
	}
	return waitFor(ctx, "the controller manager of "+k.Name, insecure(), "https://"+k.at(controllerPort)+"/healthz")
}

func (k *Cluster) startScheduler() error {
	return k.start("scheduler", "kube-scheduler",
		"--kubeconfig="+k.scheduler, "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port="+k.port(schedulerPort),
		"--kube-api-qps=1000", "--kube-api-burst=2000", "--profiling=false")
}

// startKwok plays the nodes with the stages of the local platform.
func (k *Cluster) startKwok() error {
	return k.start("kwok", "kwok",
		"--kubeconfig="+k.admin, "--manage-all-nodes=true", "--config="+k.manifest("stages.yaml"),
		"--node-lease-duration-seconds=40", "--node-ip=127.0.0.1", "--cidr="+k.PodNetwork, "--server-address="+k.at(kwokPort))
}

// manifest is a file that the local platform uses, too.
func (k *Cluster) manifest(name string) string {
	return filepath.Join(k.Repo, "services/gantry/internal/local/kube", name)
}

func (k *Cluster) grantRoles(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(k.Parts, "kubectl"), "--kubeconfig="+k.admin, "--cache-dir="+filepath.Join(k.Dir, "kubectl"),
		"apply", "--server-side", "--field-manager=bench", "-f", k.manifest("roles.yaml"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("grant ipaas its roles in %s: %w: %s", k.Name, err, out)
	}
	return nil
}
