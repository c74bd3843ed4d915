// Package canary finds out whether the cluster's DNS answers.
//
// The question comes from ipaas itself, which in production is a pod: it takes
// the same way as the apps, through the Service's address to the DNS pods. A
// pod of its own for it would need an image in every registry, and ipaas the
// right to make pods and to read from inside them, and would say no more.
package canary

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Rhythm of the questions.
const (
	interval = 10 * time.Second
	timeout  = 2 * time.Second
)

// serviceLabel marks the DNS service in every distribution: CoreDNS took it
// over from kube-dns.
const serviceLabel = "k8s-app=kube-dns"

const dnsPort = "53"

// DefaultDomain of a cluster.
const DefaultDomain = "cluster.local"

// Config is what New needs.
type Config struct {
	// Client reads the DNS service; it should have connections of its own.
	Client kubernetes.Interface
	// Domain of the cluster, "cluster.local".
	Domain string
	// Inside is true when ipaas runs in the cluster: then no answer is the
	// DNS's fault from the first question on. From outside the Service's
	// address need not be reachable, so it counts only after a success.
	Inside bool
	Logger *slog.Logger
	// Dial opens a connection to the DNS server; nil: the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Canary asks the cluster's DNS again and again for a name that every cluster
// has. Safe for concurrent use.
type Canary struct {
	Config
	name string

	// Known only to Run.
	server    string // host of the DNS service; "": there is none
	succeeded bool

	mu   sync.Mutex
	last *ipaasv1.DnsCheck
}

// New checks the configuration.
func New(c Config) (*Canary, error) {
	if c.Client == nil || c.Domain == "" || c.Logger == nil {
		return nil, errors.New("canary: Client, Domain and Logger are required")
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	// The dot at the end keeps search lists out.
	return &Canary{Config: c, name: "kubernetes.default.svc." + strings.Trim(c.Domain, ".") + "."}, nil
}

// Last is the newest finding; nil while nothing is known, as in a cluster
// without a DNS service.
func (c *Canary) Last() *ipaasv1.DnsCheck {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Run asks until ctx ends.
func (c *Canary) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		c.round(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (c *Canary) round(ctx context.Context) {
	c.find(ctx)
	if c.server == "" {
		c.set(nil)
		return
	}
	check := c.ask(ctx)
	if ctx.Err() != nil {
		return // it was interrupted
	}
	c.succeeded = c.succeeded || check.GetOk()
	if !check.GetOk() && !c.succeeded && !c.Inside {
		c.set(nil)
		return
	}
	c.set(check)
}

func (c *Canary) set(next *ipaasv1.DnsCheck) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next != nil && (c.last == nil || c.last.GetOk() != next.GetOk()) {
		c.Logger.Info("the cluster's DNS", "ok", next.GetOk(), "detail", next.GetDetail())
	}
	c.last = next
}

// find looks where the DNS service is. While the API server gives no clear
// answer the last known place counts (rule K2).
func (c *Canary) find(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	list, err := c.Client.CoreV1().Services(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: serviceLabel})
	if err != nil {
		return
	}
	found := hosts(list.Items)
	if !slices.Contains(found, c.server) {
		c.server, c.succeeded = "", false
	}
	if c.server == "" && len(found) > 0 {
		c.server = found[0]
	}
}

// hosts gives the addresses of services that answer DNS, in name order.
func hosts(services []corev1.Service) []string {
	slices.SortFunc(services, func(a, b corev1.Service) int { return strings.Compare(a.Name, b.Name) })
	var found []string
	for _, s := range services {
		_, err := netip.ParseAddr(s.Spec.ClusterIP) // headless ones have "None"
		if err == nil && slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == 53 }) {
			found = append(found, s.Spec.ClusterIP)
		}
	}
	return found
}

func (c *Canary) ask(ctx context.Context) *ipaasv1.DnsCheck {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	server := net.JoinHostPort(c.server, dnsPort)
	resolver := &net.Resolver{
		PreferGo: true,
		Dial: func(dial context.Context, network, _ string) (net.Conn, error) {
			conn, err := c.Dial(dial, network, server)
			if err == nil {
				// Go's resolver goes on reading after it was cancelled.
				context.AfterFunc(ctx, func() { _ = conn.Close() }) // only read from
			}
			return conn, err
		},
	}
	addresses, err := resolver.LookupNetIP(ctx, "ip", c.name)
	check := &ipaasv1.DnsCheck{Ok: err == nil, Time: timestamppb.Now()}
	if err != nil {
		check.Detail = c.failure(err)
		return check
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	check.Detail = fmt.Sprintf("%s answers that %s is %s", c.server, c.name, addresses[0].Unmap())
	return check
}

func (c *Canary) failure(err error) string {
	var d *net.DNSError
	switch {
	case !errors.As(err, &d):
		return fmt.Sprintf("%s cannot be asked for %s: %v", c.server, c.name, err)
	case d.IsNotFound:
		return fmt.Sprintf("%s does not know %s; check the DNS pods in kube-system, and ipaas' --cluster-domain", c.server, c.name)
	case d.IsTimeout:
		return fmt.Sprintf("%s does not answer within %s; check the DNS pods in kube-system", c.server, timeout)
	}
	return fmt.Sprintf("%s fails for %s: %s", c.server, c.name, d.Err)
}

// Domain finds the cluster's domain in a pod's resolv.conf: the search list
// has "svc.{domain}". DefaultDomain where it does not.
func Domain(resolvConf io.Reader) string {
	for lines := bufio.NewScanner(resolvConf); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0] != "search" {
			continue
		}
		for _, f := range fields[1:] {
			if domain, ok := strings.CutPrefix(f, "svc."); ok && domain != "" {
				return strings.TrimSuffix(domain, ".")
			}
		}
	}
	return DefaultDomain
}
