// Package platform runs Gantry's own processes over the benchmark's clusters,
// and speaks its public API.
package platform

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/pki"
	"gantry.dev/test/bench/internal/process"
	"gantry.dev/test/bench/internal/scrape"
)

// Manager is the name of cluster-mgr's process; ipaas' are "<cluster>-ipaas".
const Manager = "cluster-mgr"

// Config is what New needs; all fields are required.
type Config struct {
	Procs *process.Group
	PKI   *pki.Authority
	// Parts holds etcd; Bin holds cluster-mgr, ipaas and portal.
	Parts, Bin string
	Dir        string
	// Port is the first of twenty on 127.0.0.1.
	Port     int
	Clusters []*kube.Cluster
	// PrometheusURL has the use of all pods.
	PrometheusURL string
	// AutoscaleInterval is the time between two rounds, SampleInterval that
	// between two scrapes.
	AutoscaleInterval, SampleInterval time.Duration
	// ManagerFlags are more flags for cluster-mgr.
	ManagerFlags []string
}

// Platform is Gantry.
type Platform struct {
	Config
	API   *API
	agent *agent

	images   *http.Server
	certs    map[string]pki.Pair
	token    string
	tokenKey string
}

// Offsets of the ports; each ipaas takes two from ipaasPort on.
const (
	etcdPort = iota
	etcdPeerPort
	etcdMetricsPort
	managerPort
	managerMetricsPort
	portalPort
	portalMetricsPort
	agentPort
	registryPort
	ipaasPort
)

// New makes keys and a client; nothing runs yet.
func New(c Config) (*Platform, error) {
	p := &Platform{Config: c, certs: map[string]pki.Pair{}}
	names := []string{"etcd", "cluster-mgr", "portal", agentName}
	for _, k := range c.Clusters {
		names = append(names, "ipaas."+k.Name)
	}
	for _, name := range names {
		pair, err := c.PKI.Issue("platform-"+name, pki.Leaf{CN: name})
		if err != nil {
			return nil, err
		}
		p.certs[name] = pair
	}
	var err error
	if p.token, p.tokenKey, err = c.PKI.Token("bench"); err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.PKI.Pool(), MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true}
	p.API = &API{base: "https://" + p.at(portalPort), token: p.token, client: &http.Client{Transport: transport}}
	return p, nil
}

func (p *Platform) at(offset int) string { return "127.0.0.1:" + strconv.Itoa(p.Port+offset) }

// Start starts everything but what Resume starts, then that.
func (p *Platform) Start(ctx context.Context) error {
	if err := p.startRegistry(ctx); err != nil {
		return err
	}
	if err := p.startAgent(ctx); err != nil {
		return err
	}
	if err := p.startEtcd(); err != nil {
		return err
	}
	return p.Resume(ctx)
}

// Close ends what runs inside this program.
func (p *Platform) Close() {
	if p.images != nil {
		_ = p.images.Close() // nobody waits for its answers
	}
	if p.agent != nil {
		p.agent.stop()
	}
}

// Resume starts cluster-mgr, every ipaas and portal, and waits for the API.
func (p *Platform) Resume(ctx context.Context) error {
	for i, k := range p.Clusters {
		listen, metrics := p.at(ipaasPort+2*i), p.at(ipaasPort+2*i+1)
		if err := p.service(k.Name+"-ipaas", "ipaas", "ipaas."+k.Name, listen, metrics, "--cluster="+k.Name, "--kubeconfig="+k.IpaasKubeconfig); err != nil {
			return err
		}
	}
	manager := append([]string{
		"--name=cluster-mgr-1", "--etcd=https://" + p.at(etcdPort),
		"--autoscale-interval=" + p.AutoscaleInterval.String(), "--sample-interval=" + p.SampleInterval.String(),
	}, p.ManagerFlags...)
	if err := p.service(Manager, "cluster-mgr", "cluster-mgr", p.at(managerPort), p.at(managerMetricsPort), manager...); err != nil {
		return err
	}
	err := p.service("portal", "portal", "portal", p.at(portalPort), p.at(portalMetricsPort),
		"--cluster-mgr="+p.at(managerPort), "--token-issuer="+pki.Issuer, "--token-key="+p.tokenKey, "--token-audience=gantry")
	if err != nil {
		return err
	}
	return kube.Until(ctx, time.Minute, func() string {
		if err := p.API.get(ctx, "/v1/clusters", nil); err != nil {
			return err.Error()
		}
		return ""
	})
}

// Pause ends what Resume started.
func (p *Platform) Pause() {
	p.Procs.Stop("portal", Manager)
	for _, k := range p.Clusters {
		p.Procs.Stop(k.Name + "-ipaas")
	}
}

// service starts one of Gantry's programs.
func (p *Platform) service(name, program, cert, listen, metrics string, args ...string) error {
	pair := p.certs[cert]
	return p.Procs.Start(process.Spec{Name: name, Path: filepath.Join(p.Bin, program), Args: append([]string{
		"--listen=" + listen, "--metrics-listen=" + metrics, "--log-level=info",
		"--tls-cert=" + pair.Cert, "--tls-key=" + pair.Key, "--tls-ca=" + p.PKI.CA(),
	}, args...)})
}

func (p *Platform) startEtcd() error {
	pair := p.certs["etcd"]
	client, peer := "https://"+p.at(etcdPort), "http://"+p.at(etcdPeerPort)
	return p.Procs.Start(process.Spec{Name: "etcd", Path: filepath.Join(p.Parts, "etcd"), Args: []string{
		"--name=platform", "--data-dir=" + filepath.Join(p.Dir, "platform-etcd"), "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=platform=" + peer,
		"--listen-metrics-urls=http://" + p.at(etcdMetricsPort),
		"--client-cert-auth", "--trusted-ca-file=" + p.PKI.CA(), "--cert-file=" + pair.Cert, "--key-file=" + pair.Key,
	}})
}

// Revision of the platform's etcd: one per change.
func (p *Platform) Revision(ctx context.Context) (float64, error) {
	m, err := scrape.Get(ctx, http.DefaultClient, "http://"+p.at(etcdMetricsPort)+"/metrics")
	if err != nil {
		return 0, fmt.Errorf("count the writes of Gantry's etcd: %w", err)
	}
	return kube.Revision(m), nil
}

// ManagerMetrics are cluster-mgr's own.
func (p *Platform) ManagerMetrics(ctx context.Context) (scrape.Metrics, error) {
	return scrape.Get(ctx, http.DefaultClient, "http://"+p.at(managerMetricsPort)+"/metrics")
}
