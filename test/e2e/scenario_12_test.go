package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// rule K2: a stranger at a cluster's address is nobody, and nothing is deleted.
func Test12TwoForOne(t *testing.T) {
	platform(t)
	settled(t)
	becomes(t, "site-b", "STATE_HEALTHY", 2*time.Minute)
	before := map[string]string{"site-a": deployments(t, "site-a"), "site-b": deployments(t, "site-b")}
	known := len(operations(t))
	tr := newTraffic(t)
	must(t, "local", "kill", "site-b-ipaas")
	t.Cleanup(func() { must(t, "local", "start", "site-b-ipaas") })
	stop := stranger(t)
	becomes(t, "site-b", "STATE_UNKNOWN", 2*time.Minute)
	time.Sleep(15 * time.Second) // in which several passes would have deleted
	if c := clusterOf(t, "site-b"); c.Health.State != "STATE_UNKNOWN" || c.TrafficPercent != 100 {
		t.Errorf("site-b: %+v", c)
	}
	for site, had := range before {
		if have := deployments(t, site); have != had {
			t.Errorf("%s had\n%s\nand has\n%s", site, had, have)
		}
	}
	if n := len(operations(t)); n != known {
		t.Errorf("%d operations, before it were %d", n, known)
	}
	stop()
	must(t, "local", "start", "site-b-ipaas")
	becomes(t, "site-b", "STATE_HEALTHY", 2*time.Minute)
	for site, had := range before {
		if have := deployments(t, site); have != had {
			t.Errorf("%s had\n%s\nand has after it\n%s", site, had, have)
		}
	}
	sum := tr.whole(firstPhase, "end")
	if sum.byCluster["site-b"] == 0 {
		t.Errorf("site-b got no request: %v", sum.byCluster)
	}
}

// stranger answers at the address of site-b's ipaas, with its certificate, but
// speaks to site-a: a kubeconfig that was mixed up.
func stranger(t *testing.T) (stop func()) {
	t.Helper()
	return ipaasOf(t, "site-b", filepath.Join(local, "pki", "site-a", "ipaas.kubeconfig"))
}

// ipaasOf answers at the address of a site's ipaas, with its certificate, by
// another kubeconfig.
func ipaasOf(t *testing.T, site, kubeconfig string) (stop func()) {
	t.Helper()
	address := map[string]string{"site-a": "10.111.0.1", "site-b": "10.112.0.1"}[site]
	pki := func(name string) string { return filepath.Join(local, "pki", name) }
	cmd := exec.CommandContext(t.Context(), filepath.Join(local, "bin", "ipaas"), "--listen", address+":7100", "--metrics-listen", address+":7190",
		"--tls-cert", pki("ipaas."+site+".crt"), "--tls-key", pki("ipaas."+site+".key"), "--tls-ca", pki("ca.crt"),
		"--cluster", site, "--kubeconfig", kubeconfig)
	log, err := os.Create(filepath.Join(t.TempDir(), "ipaas.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(stop)
	eventually(t, 30*time.Second, func() string {
		if _, err := get(t, "http://"+address+":7190/metrics"); err != nil {
			return err.Error()
		}
		return ""
	})
	return stop
}
