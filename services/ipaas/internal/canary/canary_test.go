package canary

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dnsServer answers one name on loopback; its behaviour can be changed.
type dnsServer struct {
	conn  net.PacketConn
	code  atomic.Int32 // an RCode; silent: no answer
	asked atomic.Int32
}

const silent = -1

func startDNS(t *testing.T) *dnsServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dnsServer{conn: conn}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.serve()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return s
}

func (s *dnsServer) serve() {
	buffer := make([]byte, 512)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		s.asked.Add(1)
		code := s.code.Load()
		if code == silent {
			continue
		}
		if reply, ok := answer(buffer[:n], dnsmessage.RCode(code)); ok {
			_, _ = s.conn.WriteTo(reply, from)
		}
	}
}

func answer(question []byte, code dnsmessage.RCode) ([]byte, bool) {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil, false
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.RCode, m.Additionals = true, true, code, nil
	if code == dnsmessage.RCodeSuccess && q.Name.String() != "kubernetes.default.svc.cluster.local." {
		m.RCode = dnsmessage.RCodeNameError
	}
	if m.RCode == dnsmessage.RCodeSuccess && q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 5},
			Body:   &dnsmessage.AResource{A: [4]byte{10, 96, 0, 1}},
		}}
	}
	reply, err := m.Pack()
	return reply, err == nil
}

func dnsService(name, address string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, Labels: map[string]string{"k8s-app": "kube-dns"}},
		Spec:       corev1.ServiceSpec{ClusterIP: address, Ports: []corev1.ServicePort{{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}},
	}
}

// newCanary asks a server in place of 10.96.0.10:53.
func newCanary(t *testing.T, s *dnsServer, change func(*Config), objects ...runtime.Object) (*Canary, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset(objects...)
	config := Config{
		Client: client, Domain: DefaultDomain, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "10.96.0.10:53" {
				t.Errorf("asks %s", address)
			}
			if !strings.HasPrefix(network, "udp") {
				return nil, errors.New("only UDP is served")
			}
			return new(net.Dialer).DialContext(ctx, "udp", s.conn.LocalAddr().String())
		},
	}
	change(&config)
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c, client
}

func inside(c *Config)  { c.Inside = true }
func outside(c *Config) { c.Inside = false }

func TestTheDNSAnswers(t *testing.T) {
	c, _ := newCanary(t, startDNS(t), outside, dnsService("kube-dns", "10.96.0.10"))
	if c.Last() != nil {
		t.Error("something is known before the first question")
	}
	c.round(t.Context())
	got := c.Last()
	if !got.GetOk() || got.GetTime() == nil || got.GetDetail() != "10.96.0.10 answers that kubernetes.default.svc.cluster.local. is 10.96.0.1" {
		t.Errorf("%v", got)
	}
}

// Nothing known is never "broken". rule C1
func TestWithoutADNSServiceNothingIsKnown(t *testing.T) {
	headless, other := dnsService("headless", "None"), dnsService("metrics", "10.96.0.11")
	other.Spec.Ports[0].Port = 9153
	s := startDNS(t)
	c, _ := newCanary(t, s, inside, headless, other)
	c.round(t.Context())
	if got := c.Last(); got != nil || s.asked.Load() != 0 {
		t.Errorf("%v after %d questions, want nothing known", got, s.asked.Load())
	}
}

// From outside the address need not be reachable: only what has worked before
// can have broken.
func TestFailuresCountFromOutsideOnlyAfterASuccess(t *testing.T) {
	for name, code := range map[string]dnsmessage.RCode{"does not know": dnsmessage.RCodeNameError, "fails for": dnsmessage.RCodeServerFailure} {
		s := startDNS(t)
		s.code.Store(int32(code))
		c, _ := newCanary(t, s, outside, dnsService("kube-dns", "10.96.0.10"))
		c.round(t.Context())
		if got := c.Last(); got != nil {
			t.Errorf("%s: %v before any success", name, got)
		}
		s.code.Store(int32(dnsmessage.RCodeSuccess))
		c.round(t.Context())
		s.code.Store(int32(code))
		c.round(t.Context())
		if got := c.Last(); got == nil || got.GetOk() || !strings.Contains(got.GetDetail(), name) {
			t.Errorf("%s: %v after a success", name, got)
		}
	}
}

func TestAFailureCountsInsideAtOnce(t *testing.T) {
	s := startDNS(t)
	s.code.Store(silent)
	c, _ := newCanary(t, s, inside, dnsService("kube-dns", "10.96.0.10"))
	c.round(t.Context())
	if got := c.Last(); got == nil || got.GetOk() || !strings.Contains(got.GetDetail(), "does not answer within 2s") {
		t.Errorf("%v, want no answer in time", got)
	}
}

// rule K2
func TestTheLastKnownServiceCountsWhileTheAPIServerIsAway(t *testing.T) {
	c, client := newCanary(t, startDNS(t), inside, dnsService("kube-dns", "10.96.0.10"))
	c.round(t.Context())
	away := true
	client.PrependReactor("list", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
		return away, nil, errors.New("connection refused")
	})
	c.round(t.Context())
	if !c.Last().GetOk() {
		t.Errorf("%v, want the known service to answer", c.Last())
	}
	away = false
	if err := client.CoreV1().Services("kube-system").Delete(t.Context(), "kube-dns", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.round(t.Context())
	if c.Last() != nil {
		t.Errorf("%v after the service has been removed", c.Last())
	}
}

func TestAnInterruptedQuestionSaysNothing(t *testing.T) {
	s := startDNS(t)
	c, _ := newCanary(t, s, inside, dnsService("kube-dns", "10.96.0.10"))
	c.round(t.Context())
	s.code.Store(silent)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.round(ctx)
	if !c.Last().GetOk() {
		t.Errorf("%v: the end of ipaas is no failure of the DNS", c.Last())
	}
}

func TestDomain(t *testing.T) {
	for text, want := range map[string]string{
		"search gantry-system.svc.corp.example svc.corp.example corp.example\nnameserver 10.96.0.10\n": "corp.example",
		"nameserver 1.1.1.1\nsearch example.com\n":                                                     DefaultDomain,
		"search svc.\n": DefaultDomain,
		"":              DefaultDomain,
	} {
		if got := Domain(strings.NewReader(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
