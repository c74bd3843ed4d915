package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	secureHost = "secure.demo.test"
	// requests are asked one after the other while the certificate changes, each
	// over a connection of its own.
	requests = 50
)

const secureRoute = `kind: Route
name: projects/demo/routes/secure
gateway: gateways/main
host: secure.demo.test
app: projects/demo/apps/hello
port: 8080
rules:
  tls: {secret: projects/demo/secrets/secure, redirectHttp: true, hstsSeconds: 3600}
`

func Test21HTTPS(t *testing.T) {
	platform(t)
	settled(t)
	t.Cleanup(func() {
		for _, name := range []string{"route/secure", "secret/secure"} {
			eventually(t, time.Minute, func() string {
				if r := gantry(t, "", "delete", name, "-p", "demo"); r.code != 0 && r.code != 3 {
					return r.err
				}
				return ""
			})
		}
	})
	first, second, other := newPair(t, secureHost), newPair(t, secureHost), newPair(t, "other.demo.test")
	first.store(t)
	applies(t, secureRoute)
	eventually(t, time.Minute, func() string { return secure(t, first.certificate, "/") })
	if out := curl(t, "-w", "%{http_code} %{redirect_url}", "http://"+secureHost+"/a?b=c"); out != "308 https://"+secureHost+"/a?b=c" {
		t.Errorf("plain HTTP: %s", out)
	}

	node := holder(t, "")
	pid := nginxOf(t, node)
	both := writeFile(t, content(t, first.certificate)+content(t, second.certificate))
	answered := make(chan string, 1)
	go func() { answered <- asked(t, both, requests) }()
	second.store(t)
	eventually(t, time.Minute, func() string { return secure(t, second.certificate, "/") })
	if out := <-answered; strings.Count(out, "200 2\n") != requests {
		t.Errorf("while the certificate was renewed: %s", out)
	}
	if now := nginxOf(t, node); now != pid {
		t.Errorf("Nginx of %s was %d and is %d", node, pid, now)
	}

	if r := gantry(t, "", other.arguments()...); r.code == 0 || !strings.Contains(r.err, secureHost) {
		t.Errorf("a certificate of another host: exit code %d: %s", r.code, r.err)
	}
	if err := syscall.Kill(nginxOf(t, node), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() string {
		if nginxOf(t, node) == pid {
			return "Nginx was not started again"
		}
		return secure(t, second.certificate, "/")
	})
	hidden(t, second)
}

// pair is a certificate that signed itself, and its key, in files.
type pair struct{ certificate, key string }

func newPair(t *testing.T, host string) pair {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))),
		writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))),
	}
}

func (p pair) arguments() []string {
	return []string{"secret", "set", "secure", "--from-file", "tls.crt=" + p.certificate, "--from-file", "tls.key=" + p.key, "-p", "demo"}
}

func (p pair) store(t *testing.T) {
	t.Helper()
	must(t, p.arguments()...)
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// curl asks from the clients' namespace through the VIP.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	all := append([]string{
		"netns", "exec", "gantry-client", "curl", "-s", "-o", "/dev/null", "-m", "5",
		"--resolve", secureHost + ":443:" + vip, "--resolve", secureHost + ":80:" + vip,
	}, args...)
	out, _ := run(t, "ip", all...) // what it printed says whether it failed
	return out
}

// secure complains unless the host answers over HTTP/2 with a certificate.
func secure(t *testing.T, certificate, path string) string {
	t.Helper()
	out := curl(t, "--http2", "--cacert", certificate, "-w", "%{http_code} %{http_version} %{ssl_verify_result}", "https://"+secureHost+path)
	if out != "200 2 0" {
		return "HTTPS: " + out
	}
	return ""
}

// asked gives the status and version of so many requests, one a line.
func asked(t *testing.T, certificates string, n int) string {
	t.Helper()
	script := fmt.Sprintf(`for i in $(seq %d); do curl -s -o /dev/null -m 5 --http2 --cacert %s --resolve %s:443:%s -w '%%{http_code} %%{http_version}\n' https://%s/; done`,
		n, certificates, secureHost, vip, secureHost)
	out, err := run(t, "ip", "netns", "exec", "gantry-client", "bash", "-c", script)
	if err != nil {
		return err.Error() + out
	}
	return out + "\n"
}

// hidden looks for the private key where it must not be: in files of the nodes
// that others may read, and in etcd's.
func hidden(t *testing.T, p pair) {
	t.Helper()
	secret := strings.Split(content(t, p.key), "\n")[1]
	found := 0
	for _, folder := range []string{"lb-1", "lb-2", "etcd"} {
		err := filepath.WalkDir(filepath.Join(local, "data", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // files come and go
			}
			info, infoErr := d.Info()
			text, readErr := os.ReadFile(path)
			if infoErr != nil || readErr != nil || !strings.Contains(string(text), secret) {
				return nil //nolint:nilerr // files come and go
			}
			found++
			if folder == "etcd" || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("the private key is in %s (%s)", path, info.Mode())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("no node keeps the certificate for its next start")
	}
}
