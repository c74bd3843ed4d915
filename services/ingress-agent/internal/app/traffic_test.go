package app

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"gantry.dev/pkg/mtls/mtlstest"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
)

// twoSites starts a node with pods in two clusters and waits until it serves.
func twoSites(t *testing.T, a, b []string) (*testNode, *fakeIpaas, *fakeIpaas) {
	t.Helper()
	return startSites(t, a, b, func(*testNode) {})
}

// startSites does the same with a node that is prepared further.
func startSites(t *testing.T, a, b []string, prepare func(*testNode)) (*testNode, *fakeIpaas, *fakeIpaas) {
	t.Helper()
	ca := mtlstest.New(t)
	siteA, siteB := newIpaas(t, ca, "site-a"), newIpaas(t, ca, "site-b")
	n := newNode(t, siteA, siteB)
	prepare(n)
	siteA.set(a...)
	siteB.set(b...)
	n.publish(nil)
	n.start()
	n.serving(1)
	return n, siteA, siteB
}

func (n *testNode) get() (int, string, string) {
	n.t.Helper()
	request, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.url(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	request.Host = webHost
	request.Close = true
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer response.Body.Close()
	var text [256]byte
	size, _ := response.Body.Read(text[:])
	return response.StatusCode, string(text[:size]), response.Header.Get("X-Gantry-Reason")
}

// answers waits until the node answers at all.
func (n *testNode) answers() {
	n.t.Helper()
	eventually(n.t, 10*time.Second, func() bool { code, _, _ := n.get(); return code == http.StatusOK }, n.log)
}

func addresses(site, count int) []string {
	var all []string
	for i := range count {
		all = append(all, fmt.Sprintf("127.0.%d.%d", site, i+1))
	}
	return all
}

// rule I5: endpoints and weights change under load without a reload, and no
// request is lost.
func TestChurnLosesNothing(t *testing.T) {
	a, b := addresses(11, 6), addresses(12, 6)
	n, siteA, siteB := twoSites(t, a[:4], b[:4])
	startPods(t, n.podPort, append(a, b...)...)
	n.answers()
	before, err := n.agent.nginx.Client().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := startLoad(t, n.url(), 16)
	random := rand.New(rand.NewPCG(1, 2))
	from := 0
	for i := range 100 {
		last := n.tableGeneration()
		from = (from + 1 + random.IntN(4)) % 5 // another than before
		siteA.set(a[from:]...)
		siteB.set(b[random.IntN(5):]...)
		if i%10 == 5 {
			n.publish(func(c *ingressv1.GatewayConfig) {
				c.Clusters[0].TrafficPercent = int32(random.IntN(100) + 1)
				c.Clusters[1].TrafficPercent = int32(random.IntN(100) + 1)
			})
		}
		eventually(t, 10*time.Second, func() bool { return n.tableGeneration() > last }, n.log)
		time.Sleep(20 * time.Millisecond) // of requests by this table
	}
	l.none()
	n.serving(n.gateway.GetGeneration())
	after, err := n.agent.nginx.Client().Status(t.Context())
	if err != nil || after.Epoch != before.Epoch {
		t.Errorf("epoch %d became %d (%v): something reloaded", before.Epoch, after.Epoch, err)
	}
	if after.Generation-before.Generation < 100 {
		t.Errorf("only %d changes reached nginx", after.Generation-before.Generation)
	}
}

// tableGeneration is that of the table of pods in Nginx; 0: it does not say.
func (n *testNode) tableGeneration() int64 {
	status, err := n.agent.nginx.Client().Status(n.t.Context())
	if err != nil {
		return 0
	}
	return status.Generation
}

func TestNewPodServesWithinMilliseconds(t *testing.T) {
	a := addresses(13, 2)
	n, siteA, _ := twoSites(t, a[:1], nil)
	startPods(t, n.podPort, a...)
	n.answers()
	var worst time.Duration
	for i := range 20 {
		want := a[(i+1)%2]
		start := time.Now()
		siteA.set(want)
		eventually(t, 5*time.Second, func() bool { _, body, _ := n.get(); return body == want }, n.log)
		worst = max(worst, time.Since(start))
	}
	t.Logf("endpoint change to answer of the new pod: worst of 20: %s", worst)
	if worst > time.Second {
		t.Errorf("a change took %s to show", worst)
	}
}

func TestKilledPodsAreSkipped(t *testing.T) {
	a, b := addresses(14, 3), addresses(15, 3)
	n, _, _ := twoSites(t, a, b)
	pods := startPods(t, n.podPort, append(a, b...)...)
	n.answers()
	// Killed before the load: no request is on its way, so none may fail.
	for _, ip := range []string{a[0], b[0], b[1], b[2]} {
		pods[ip].kill()
	}
	l := startLoad(t, n.url(), 16)
	time.Sleep(3 * time.Second)
	view := n.agent.Status(t.Context())
	l.none()
	for _, ip := range []string{a[1], a[2]} {
		if l.answers[ip] == 0 {
			t.Errorf("%s got nothing of %v", ip, l.answers)
		}
	}
	if got := view.GetClusters()[1]; got.GetPods() != 3 || got.GetPodsAnswering() != 0 {
		t.Errorf("site-b is seen as %v", got)
	}
	if got := view.GetClusters()[0]; got.GetPods() != 3 || got.GetPodsAnswering() != 2 {
		t.Errorf("site-a is seen as %v", got)
	}
}

// A pod that comes back is used again.
func TestAPodComesBack(t *testing.T) {
	a := addresses(16, 2)
	n, _, _ := twoSites(t, a, nil)
	pods := startPods(t, n.podPort, a...)
	n.answers()
	pods[a[0]].kill()
	eventually(t, 10*time.Second, func() bool { return len(n.agent.prober.Down()) == 1 }, nil)
	startPods(t, n.podPort, a[0])
	l := startLoad(t, n.url(), 4)
	eventually(t, 10*time.Second, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.answers[a[0]] > 0
	}, nil)
	l.none()
}

// The load of each pod is even; a cluster's share follows its percentage.
func TestWeights(t *testing.T) {
	a, b := addresses(17, 3), addresses(18, 1)
	n, _, _ := twoSites(t, a, b)
	startPods(t, n.podPort, append(a, b...)...)
	n.answers()
	for _, c := range []struct {
		percentA, percentB int32
		wantA              float64
	}{{100, 100, 0.75}, {0, 100, 0}, {100, 0, 1}, {20, 60, 0.5}} {
		n.publish(func(g *ingressv1.GatewayConfig) {
			g.Clusters[0].TrafficPercent, g.Clusters[1].TrafficPercent = c.percentA, c.percentB
		})
		n.serving(n.gateway.GetGeneration())
		// A busy machine may make a probe late, and then a pod is skipped for a
		// while.
		eventually(t, 30*time.Second, func() bool {
			share, of := n.share(a)
			t.Logf("%d:%d gives site-a %.3f of %d, want %.2f", c.percentA, c.percentB, share, of, c.wantA)
			return share >= c.wantA-0.04 && share <= c.wantA+0.04
		}, n.log)
	}
}

// share is the part of some hundred requests that pods answer.
func (n *testNode) share(pods []string) (share float64, of int64) {
	l := startLoad(n.t, n.url(), 8)
	eventually(n.t, 20*time.Second, func() bool { return l.total.Load() >= 400 }, n.log)
	l.none()
	var answered int64
	for _, pod := range pods {
		answered += int64(l.answers[pod])
	}
	return float64(answered) / float64(l.total.Load()), l.total.Load()
}

func TestNoEndpointsIsA503WithAReason(t *testing.T) {
	n, siteA, _ := twoSites(t, nil, nil)
	code, body, reason := n.get()
	if code != http.StatusServiceUnavailable || reason != "NO_ENDPOINTS" {
		t.Errorf("got %d %s %q", code, reason, body)
	}
	a := addresses(19, 1)
	startPods(t, n.podPort, a...)
	siteA.set(a...)
	n.answers()
	n.publish(func(c *ingressv1.GatewayConfig) { c.Clusters[0].TrafficPercent = 0 })
	eventually(t, 5*time.Second, func() bool { _, _, reason := n.get(); return reason == "NO_TRAFFIC" }, n.log)
}
