package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gantry.dev/pkg/mtls/mtlstest"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/vip"
	"google.golang.org/protobuf/encoding/protojson"
)

// A pair is two agents behind a bridge, seen from the client's namespace.
type pair struct {
	t      testing.TB
	nodes  []string
	dirs   []string
	config *ingressv1.GatewayConfig
	// A machine of the same network that is no node.
	rogue string
}

// inPair runs the test again in the client's namespace of a pair; nil: this is
// not that run.
func inPair(t *testing.T) *pair {
	t.Helper()
	needNginx(t)
	needNamespaces(t)
	if os.Getenv(insideEnv) == "" {
		client, env := pairNetwork(t)
		inside(t, client, env)
		return nil
	}
	p := thisPair(t)
	p.startAgents()
	return p
}

// pairNetwork makes the namespaces of a pair and gives the client's, and what
// the run inside must know.
func pairNetwork(t testing.TB) (client, env string) {
	t.Helper()
	ns := network(t, "client", "lb1", "lb2", "rogue")
	return ns[0], "GANTRY_TEST_NODES=" + strings.Join(ns[1:], " ")
}

// thisPair is the pair that the run inside belongs to.
func thisPair(t testing.TB) *pair {
	all := strings.Fields(os.Getenv("GANTRY_TEST_NODES"))
	return &pair{t: t, nodes: all[:2], rogue: all[2], config: pairConfig()}
}

func (p *pair) startAgents() {
	p.t.Helper()
	ca := mtlstest.New(p.t)
	for i, ns := range p.nodes {
		p.dirs = append(p.dirs, startAgent(p.t, ca, ns, i+1))
	}
	p.settle()
}

// settle waits until one node has the VIP and both have heard of each other.
func (p *pair) settle() {
	p.t.Helper()
	eventually(p.t, 20*time.Second, func() bool { return owner(p.nodes) != -1 && answersOnce() }, func() string { return fmt.Sprint(owners(p.nodes), logs(p.dirs)) })
	time.Sleep(1500 * time.Millisecond)
}

// offer gives both agents a changed configuration.
func (p *pair) offer(change func(*ingressv1.GatewayConfig)) {
	p.t.Helper()
	p.config.Generation++
	change(p.config)
	text, err := protojson.Marshal(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, dir := range p.dirs {
		if err := os.WriteFile(offerFile(dir)+".new", text, 0o644); err != nil {
			p.t.Fatal(err)
		}
		if err := os.Rename(offerFile(dir)+".new", offerFile(dir)); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *pair) drain(node int, drained bool) {
	p.t.Helper()
	p.offer(func(c *ingressv1.GatewayConfig) { c.Nodes[node].Drained = drained })
}

// killNginx kills every process of a node's Nginx.
func (p *pair) killNginx(node int) {
	out, _ := exec.Command("ip", "netns", "pids", p.nodes[node]).Output()
	for _, word := range strings.Fields(string(out)) {
		line, _ := os.ReadFile("/proc/" + word + "/cmdline")
		if pid, err := strconv.Atoi(word); err == nil && strings.HasPrefix(string(line), "nginx:") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// A watch asks the VIP all the time, on new connections and on kept ones, and
// looks who has it.
type watch struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	answers  int
	last     time.Time
	silence  time.Duration
	failures []string
	two      time.Duration
}

// watch asks with so much patience for a connection.
func (p *pair) watch(patience time.Duration) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{cancel: cancel, last: time.Now()}
	for i := range 8 {
		w.wg.Go(func() { w.ask(ctx, i%2 == 0, patience) })
	}
	w.wg.Go(func() { w.knock(ctx) })
	w.wg.Go(func() {
		for last := time.Now(); ctx.Err() == nil; {
			several := len(owners(p.nodes)) > 1
			now := time.Now()
			if several {
				w.two += now.Sub(last)
			}
			last = now
		}
	})
	p.t.Cleanup(func() { cancel(); w.wg.Wait() })
	return w
}

func (w *watch) ask(ctx context.Context, keep bool, patience time.Duration) {
	dial := (&net.Dialer{Timeout: patience}).DialContext
	transport := &http.Transport{DisableKeepAlives: !keep, MaxIdleConnsPerHost: 1, DialContext: dial}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: max(patience, 2*time.Second)}
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+vipAddress, strings.NewReader("x"))
		if err != nil {
			return
		}
		request.Host = webHost
		response, err := client.Do(request)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		w.note(err)
		time.Sleep(2 * time.Millisecond)
	}
}

func (w *watch) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.failures = append(w.failures, err.Error())
		return
	}
	w.answers++
}

// knock tells for how long nobody who comes anew is answered: those who came
// before may wait for a node that is gone.
func (w *watch) knock(ctx context.Context) {
	for ctx.Err() == nil {
		w.wg.Go(func() {
			if !answersOnce() {
				return
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			now := time.Now()
			w.silence = max(w.silence, now.Sub(w.last))
			w.last = now
		})
		time.Sleep(10 * time.Millisecond)
	}
}

// end gives the words for what was seen.
func (w *watch) end() string {
	w.cancel()
	w.wg.Wait()
	return fmt.Sprintf("%s without an answer, %d of %d requests lost, two owners for %s",
		w.silence.Round(time.Millisecond), len(w.failures), len(w.failures)+w.answers, w.two.Round(time.Millisecond))
}

// A loss is a way to lose the holder of the VIP, and back to mend it; nil: the
// node mends it itself.
type loss struct {
	name       string
	lose, back func(node int)
}

func (p *pair) losses() []loss {
	return []loss{
		{"keepalived SIGKILL", func(n int) { killFile(p.t, p.dirs[n], "keepalived.pid", "vrrp.pid") }, nil},
		{"VRRP child SIGKILL", func(n int) { killFile(p.t, p.dirs[n], "vrrp.pid") }, nil},
		{"Nginx dead", p.killNginx, nil},
		{"partition", func(n int) { run(p.t, "ip link set port%d nomaster", n+1) }, func(n int) { run(p.t, "ip link set port%d master br0", n+1) }},
	}
}

// rule I8: each way to lose a holder moves the VIP; how long it does not
// answer is printed, and nobody has it twice for longer than 3 s.
func TestVIPFigures(t *testing.T) {
	p := inPair(t)
	if p == nil {
		return
	}
	for _, c := range p.losses() {
		first := owner(p.nodes)
		w := p.watch(50 * time.Millisecond)
		time.Sleep(300 * time.Millisecond)
		c.lose(first)
		time.Sleep(3 * time.Second)
		seen := w.end()
		t.Logf("%s: %s", c.name, seen)
		if !answersOnce() {
			t.Errorf("%s: the VIP does not answer: %v %s", c.name, owners(p.nodes), logs(p.dirs))
		}
		if c.back != nil {
			c.back(first)
		} else if w.two > 3*time.Second {
			t.Errorf("%s: two owners for %s", c.name, w.two)
		}
		start := time.Now()
		eventually(t, 10*time.Second, func() bool { return owner(p.nodes) != -1 }, nil)
		t.Logf("%s: one owner again %s later", c.name, time.Since(start).Round(time.Millisecond))
		p.settle()
	}
}

// A planned take-over loses no request, neither on new connections nor on kept
// ones; the drained node serves who is connected, and is the last resort.
func TestDrainLosesNothing(t *testing.T) {
	p := inPair(t)
	if p == nil {
		return
	}
	first := owner(p.nodes)
	second := 1 - first
	// An idle connection knows nothing of the change.
	kept, err := net.Dial("tcp", vipAddress+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	w := p.watch(5 * time.Second)
	time.Sleep(300 * time.Millisecond)
	start := time.Now()
	p.drain(first, true)
	eventually(t, 10*time.Second, func() bool { return slices.Equal(owners(p.nodes), []int{second}) }, func() string { return logs(p.dirs) })
	t.Logf("the VIP has moved after %s", time.Since(start).Round(time.Millisecond))
	time.Sleep(2 * time.Second)
	t.Logf("planned: %s", w.end())
	if len(w.failures) > 0 {
		t.Errorf("lost: %v%s", w.failures[:min(5, len(w.failures))], logs(p.dirs))
	}
	fmt.Fprintf(kept, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", webHost)
	_ = kept.SetDeadline(time.Now().Add(5 * time.Second))
	answer := make([]byte, 12)
	if _, err := io.ReadFull(kept, answer); err != nil || string(answer) != "HTTP/1.1 503" {
		t.Errorf("the connection to the drained node got %q (%v)", answer, err)
	}
	// The last resort takes the VIP when the other dies, and keeps it.
	killAll(p.nodes[second])
	run(t, "ip link set port%d down", second+1)
	eventually(t, 10*time.Second, answersOnce, func() string { return logs(p.dirs) })
	p.drain(first, false)
	time.Sleep(time.Second)
	if !answersOnce() {
		t.Errorf("the last node gave the VIP away%s", logs(p.dirs))
	}
}

// Two VIPs are spread over the nodes, each can take both, and a third machine
// that answers for one is noticed.
func TestVIPsAreSpread(t *testing.T) {
	p := inPair(t)
	if p == nil {
		return
	}
	const second = "10.99.0.101"
	held := func() string {
		var all []string
		for _, ns := range p.nodes {
			out, _ := exec.Command("ip", "-n", ns, "-4", "-o", "addr", "show", "dev", "eth0").Output()
			mine := ""
			for i, address := range []string{vipAddress, second} {
				if strings.Contains(string(out), address+"/32") {
					mine += strconv.Itoa(i + 1)
				}
			}
			all = append(all, mine)
		}
		return strings.Join(all, "|")
	}
	holds := func(want string) {
		t.Helper()
		eventually(t, 15*time.Second, func() bool { return held() == want }, func() string { return held() + " want " + want + logs(p.dirs) })
	}
	first, other := owner(p.nodes), 1-owner(p.nodes)
	spread := []string{"1|2", "2|1"}[first]
	p.offer(func(c *ingressv1.GatewayConfig) {
		c.MoreVips = []*gantryv1.Vip{{Address: second, VirtualRouterId: 52, PreferredNode: c.Nodes[other].Name}}
	})
	holds(spread)
	p.drain(first, true)
	holds([]string{"|12", "12|"}[first])
	run(t, "ip -n %s addr add %s/32 dev eth0", p.rogue, second)
	eventually(t, 15*time.Second, func() bool { return strings.Count(logs(p.dirs), "a VIP has two owners") > 1 }, func() string { return logs(p.dirs) })
}

// A machine that answers for the VIP beside its owner is reported.
func TestADuplicateVIPIsHeard(t *testing.T) {
	needNamespaces(t)
	if os.Getenv(insideEnv) == "" {
		ns := network(t, "third", "one", "two")
		for _, owner := range ns[1:] {
			run(t, "ip -n %s addr add %s/32 dev eth0", owner, vipAddress)
		}
		inside(t, ns[0])
		return
	}
	owners, err := vip.WhoHas(t.Context(), "br0", netip.MustParseAddr(vipAddress), 300*time.Millisecond)
	if err != nil || len(owners) != 2 {
		t.Errorf("heard %v (%v), want two", owners, err)
	}
	owners, err = vip.WhoHas(t.Context(), "br0", netip.MustParseAddr("10.99.0.11"), 100*time.Millisecond)
	if err != nil || len(owners) != 1 {
		t.Errorf("heard %v (%v), want one", owners, err)
	}
}
