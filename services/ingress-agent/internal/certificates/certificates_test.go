package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/seal"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A maker makes certificates that a key seals.
type maker struct {
	t    testing.TB
	key  seal.Key
	file string
}

func newMaker(t testing.TB) maker {
	t.Helper()
	m := maker{t: t, key: seal.New(), file: filepath.Join(t.TempDir(), "key")}
	if err := os.WriteFile(m.file, []byte(m.key.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m maker) pair() (chain, private []byte) {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		m.t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		m.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

func (m maker) sealed(host, about string, chain, private []byte) *ingressv1.Certificate {
	m.t.Helper()
	text, err := m.key.Seal(private, []byte(about))
	if err != nil {
		m.t.Fatal(err)
	}
	return &ingressv1.Certificate{Host: host, ChainPem: chain, SealedKey: text}
}

func (m maker) good(host string) *ingressv1.Certificate {
	chain, private := m.pair()
	return m.sealed(host, host, chain, private)
}

func (m maker) store(dir string) *Store {
	m.t.Helper()
	s, err := New(Config{StateDir: dir, KeyFile: m.file})
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// What cannot be served is said for its host alone, whatever is wrong with it.
func TestBadCertificates(t *testing.T) {
	m := newMaker(t)
	chain, private := m.pair()
	_, others := m.pair()
	for want, bad := range map[string]*ingressv1.Certificate{
		"does not open":        m.sealed("a", "b", chain, private), // sealed for another host
		"does not match":       m.sealed("a", "a", chain, others),
		"cannot be used":       m.sealed("a", "a", []byte("-----BEGIN CERTIFICATE-----"), private),
		"find any PEM data":    m.sealed("a", "a", chain, []byte("x")),
		"there is no":          nil,
		"of the same gateway":  {Host: "a", ChainPem: chain},
		"failed to find any P": m.sealed("a", "a", nil, private),
	} {
		s := m.store(t.TempDir())
		given := []*ingressv1.Certificate{m.good("b")}
		if bad != nil {
			given = append(given, bad)
		}
		problems, err := s.Take(given, []string{"a", "b"})
		if err != nil || len(problems) != 1 || problems["a"].Kept || !strings.Contains(problems["a"].Reason, want) {
			t.Errorf("%s: %v, %v", want, problems, err)
		}
		if got := slices.Collect(maps.Keys(s.snapshot())); !cmp.Equal(got, []string{"b"}) {
			t.Errorf("%s: served %v", want, got)
		}
	}
}

func TestWithoutAKey(t *testing.T) {
	m := newMaker(t)
	s, err := New(Config{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	problems, err := s.Take([]*ingressv1.Certificate{m.good("a")}, []string{"a"})
	if err != nil || !strings.Contains(problems["a"].Reason, "--gateway-key") {
		t.Errorf("%v %v", problems, err)
	}
}

// rule I3: whatever comes, a host that had a certificate has one, over restarts
// too, and only hosts that need one have one.
func TestLastGoodStays(t *testing.T) {
	m := newMaker(t)
	all := []*ingressv1.Certificate{m.good("a"), m.good("a"), m.good("b"), {Host: "a"}, {Host: "b", SealedKey: []byte("x")}}
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		s := m.store(dir)
		for range rapid.IntRange(1, 8).Draw(r, "steps") {
			before := s.snapshot()
			given := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 2, func(c *ingressv1.Certificate) string { return c.GetHost() }).Draw(r, "given")
			hosts := rapid.SampledFrom([][]string{{"a", "b"}, {"a"}, nil}).Draw(r, "hosts")
			problems, err := s.Take(given, hosts)
			if err != nil {
				r.Fatal(err)
			}
			now := s.snapshot()
			for _, host := range hosts {
				good := slices.ContainsFunc(given, func(c *ingressv1.Certificate) bool { return c.GetHost() == host && c.GetChainPem() != nil })
				if _, bad := problems[host]; bad == good {
					r.Fatalf("%s: good %v, said %v", host, good, problems)
				}
				_, had := before[host]
				if _, has := now[host]; had && !has || problems[host].Kept && now[host] != before[host] {
					r.Fatalf("%s: %v became %v", host, before, now)
				}
			}
			if len(now) > len(hosts) {
				r.Fatalf("hosts %v hold %v", hosts, now)
			}
			if rapid.Bool().Draw(r, "restart") {
				s = m.store(dir)
			}
			if diff := cmp.Diff(now, s.snapshot()); diff != "" {
				r.Fatal(diff)
			}
		}
	})
}

// Nginx ends up with what the store has, and is told so only at the end.
func TestChangesLeadThere(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		versions := rapid.MapOf(rapid.StringMatching(`[a-z]{1,3}`), rapid.SampledFrom([]string{"1", "2"}))
		have := versions.Draw(r, "have")
		want := map[string]Pair{}
		for host, version := range versions.Draw(r, "want") {
			want[host] = Pair{Version: version}
		}
		all := changes(have, want)
		for i, c := range all {
			for host, pair := range c.Set {
				have[host] = pair.Version
			}
			for _, host := range c.Delete {
				delete(have, host)
			}
			if last := i == len(all)-1; last != (c.Digest != nil) || len(c.Set) > maxChunk {
				r.Fatalf("part %d of %d: %v", i, len(all), c)
			}
		}
		got := map[string]Pair{}
		for host, version := range have {
			got[host] = Pair{Version: version}
		}
		if diff := cmp.Diff(want, got); diff != "" || digest(got) != *all[len(all)-1].Digest {
			r.Fatal(diff)
		}
	})
}
