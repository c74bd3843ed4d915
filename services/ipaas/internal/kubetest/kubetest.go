// Package kubetest runs a real etcd and kube-apiserver for a test. There are
// no controllers and no kubelet: a test plays them itself.
package kubetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// PartsEnv names the directory that holds etcd and kube-apiserver.
const PartsEnv = "GANTRY_PARTS"

// startTimeout is long because tests share few cores with each other.
const startTimeout = 90 * time.Second

// Cluster is a control plane that lives as long as its test.
type Cluster struct {
	t         *testing.T
	parts     string
	dir       string
	address   string
	etcd      string
	pki       *pki
	apiserver *process
	// Admin may do everything.
	Admin kubernetes.Interface
}

// Start runs a control plane; it skips the test where the programs are
// missing.
func Start(t *testing.T) *Cluster {
	t.Helper()
	parts := findParts(t)
	dir := t.TempDir()
	c := &Cluster{t: t, parts: parts, dir: dir, address: FreeAddress(t), pki: newPKI(t, dir)}
	c.startEtcd()
	c.StartAPIServer()
	admin, err := kubernetes.NewForConfig(c.Config("admin", "system:masters"))
	if err != nil {
		t.Fatal(err)
	}
	c.Admin = admin
	return c
}

// findParts looks at the environment, then for .local/parts/bin upwards.
func findParts(t *testing.T) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	candidates := []string{os.Getenv(PartsEnv)}
	for ; len(wd) > 1; wd = filepath.Dir(wd) {
		candidates = append(candidates, filepath.Join(wd, ".local", "parts", "bin"))
	}
	for _, dir := range candidates {
		if executable(filepath.Join(dir, "etcd")) && executable(filepath.Join(dir, "kube-apiserver")) {
			return dir
		}
	}
	t.Skipf("etcd and kube-apiserver are missing: run make parts, or set %s to the directory that holds them", PartsEnv)
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return filepath.IsAbs(path) && err == nil && info.Mode()&0o111 != 0
}

// FreeAddress gives host:port on loopback that nobody listened on just now.
func FreeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *Cluster) startEtcd() {
	client, peer := "http://"+FreeAddress(c.t), "http://"+FreeAddress(c.t)
	c.etcd = client
	c.run("etcd",
		"--data-dir", c.t.TempDir(), "--log-level", "error", "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
}

// StartAPIServer starts it at the same address as before and waits until it is
// ready.
func (c *Cluster) StartAPIServer() {
	c.t.Helper()
	_, port, err := net.SplitHostPort(c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.apiserver = c.run("kube-apiserver",
		"--etcd-servers", c.etcd, "--bind-address", "127.0.0.1", "--secure-port", port,
		"--tls-cert-file", c.pki.file("apiserver.crt"), "--tls-private-key-file", c.pki.file("apiserver.key"),
		"--client-ca-file", c.pki.file("ca.crt"), "--authorization-mode", "RBAC",
		"--service-account-key-file", c.pki.file("accounts.key"), "--service-account-signing-key-file", c.pki.file("accounts.key"),
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/24",
		"--endpoint-reconciler-type", "none", "--disable-admission-plugins", "ServiceAccount", "--profiling=false", "-v=0")
	c.await()
}

// StopAPIServer kills it: nobody is told.
func (c *Cluster) StopAPIServer() { c.apiserver.stop() }

// Freeze stops the API server while its connections stay: callers hear nothing
// any more. Thaw undoes it.
func (c *Cluster) Freeze() { c.apiserver.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (c *Cluster) Thaw() { c.apiserver.signal(syscall.SIGCONT) }

// Replace puts another cluster at the same address, which knows the same users
// and grants them nothing yet. It is empty and has a longer history, so its
// API server calls every old resourceVersion too old.
func (c *Cluster) Replace() {
	c.t.Helper()
	c.StopAPIServer()
	c.startEtcd()
	c.growHistory()
	c.StartAPIServer()
}

// longHistory is more writes than a test makes.
const longHistory = 5000

func (c *Cluster) growHistory() {
	c.t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{c.etcd}, Logger: zap.NewNop()})
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), startTimeout)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(64)
	for range longHistory {
		group.Go(func() error {
			_, err := client.Put(ctx, "history", "")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		c.t.Fatalf("write a history: %v", err)
	}
}

func (c *Cluster) await() {
	c.t.Helper()
	client, err := kubernetes.NewForConfig(c.Config("admin", "system:masters"))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		if err = client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err == nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			c.t.Fatalf("kube-apiserver is not ready: %v\n%s", err, c.apiserver.tail())
		}
	}
}

// Config is access as a user with groups.
func (c *Cluster) Config(user string, groups ...string) *rest.Config {
	c.t.Helper()
	cert, key := c.pki.client(c.t, user, groups)
	return &rest.Config{
		Host:            "https://" + c.address,
		TLSClientConfig: rest.TLSClientConfig{CertData: cert, KeyData: key, CAData: c.pki.caPEM},
		QPS:             -1,
	}
}

// Kubeconfig writes Config to a file and gives its path.
func (c *Cluster) Kubeconfig(user string, groups ...string) string {
	c.t.Helper()
	text := kubeconfig(c.t, c.Config(user, groups...))
	path := filepath.Join(c.dir, strings.ReplaceAll(user, ":", "-")+".kubeconfig")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// process is a program that ends with its test at the latest.
type process struct {
	cmd  *exec.Cmd
	log  string
	once sync.Once
}

func (c *Cluster) run(program string, args ...string) *process {
	c.t.Helper()
	p := &process{log: filepath.Join(c.dir, program+"."+strconv.FormatInt(time.Now().UnixNano(), 36)+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(filepath.Join(c.parts, program), args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = endWithTest()
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(p.stop)
	return p
}

func (p *process) stop() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill() // it may have ended by itself
		_ = p.cmd.Wait()         // a killed process never ends well
	})
}

func (p *process) signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // it may have ended by itself
}

func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("its log is gone: %v", err)
	}
	return string(text[max(0, len(text)-4000):])
}
