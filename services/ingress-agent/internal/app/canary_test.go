package app

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

const nextApp = "projects/shop/apps/next"

// visit asks for the web host and gives the pod that answered; with a jar, as a
// browser does.
func (n *testNode) visit(jar http.CookieJar, header http.Header) string {
	n.t.Helper()
	request, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.url()+"/", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	request.Header = header.Clone()
	if request.Header == nil {
		request.Header = http.Header{}
	}
	request.Host = webHost
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		n.t.Fatalf("%s: %s, %v", response.Status, text, err)
	}
	return string(text)
}

// visits counts the pods that answer.
func (n *testNode) visits(count int, header http.Header) map[string]int {
	n.t.Helper()
	answers := map[string]int{}
	for range count {
		answers[n.visit(nil, header)]++
	}
	return answers
}

func newJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

func (n *testNode) epoch() int64 {
	n.t.Helper()
	s, err := n.agent.nginx.Client().Status(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return s.Epoch
}

// split leads some of the web route's requests to another app.
func (n *testNode) split(rules *gantryv1.HttpRules) {
	n.t.Helper()
	n.publish(func(c *ingressv1.GatewayConfig) { c.Routes[0].Rules = rules })
	n.serving(n.gateway.GetGeneration())
}

func TestCanaries(t *testing.T) {
	web, next := addresses(48, 1)[0], addresses(49, 1)[0]
	n, site, _ := twoSites(t, []string{web}, nil)
	site.setApp(nextApp, next)
	startPods(t, n.podPort, web, next)
	n.answers()
	before := n.epoch()
	canary := func(c *gantryv1.Canary) *gantryv1.Canary {
		c.App, c.Port = nextApp, int32(n.podPort)
		return c
	}
	byWeight := func(percent int32) *gantryv1.HttpRules {
		return &gantryv1.HttpRules{Canaries: []*gantryv1.Canary{
			canary(&gantryv1.Canary{Header: "X-Use-Next", Value: "yes"}), canary(&gantryv1.Canary{Cookie: "use-next"}), canary(&gantryv1.Canary{WeightPercent: percent}),
		}}
	}
	n.split(byWeight(30))
	eventually(t, 10*time.Second, func() bool { return n.visit(nil, http.Header{"X-Use-Next": {"yes"}}) == next }, n.log)
	for _, x := range []struct {
		header   http.Header
		least    int
		most     int
		sentence string
	}{
		{http.Header{"X-Use-Next": {"yes"}}, 200, 200, "header"},
		{http.Header{"Cookie": {"a=b; use-next=always"}}, 200, 200, "cookie"},
		{http.Header{"X-Use-Next": {"no"}, "Cookie": {"use-next=no"}}, 25, 95, "other values"}, // 60 +- 5 standard deviations
	} {
		if got := n.visits(200, x.header)[next]; got < x.least || got > x.most {
			t.Errorf("%s: %d of 200 to the canary, want %d to %d", x.sentence, got, x.least, x.most)
		}
	}
	n.split(byWeight(100))
	eventually(t, 10*time.Second, func() bool { return n.visits(50, nil)[next] == 50 }, n.log)
	if after := n.epoch(); after != before {
		t.Errorf("Nginx was reloaded: epoch %d, was %d", after, before)
	}
}

// The requests of an app that is only a canary are divided as those of others.
func TestACanaryIsDividedOverClusters(t *testing.T) {
	web, nextA, nextB := addresses(64, 1)[0], addresses(65, 1)[0], addresses(66, 1)[0]
	n, siteA, siteB := twoSites(t, []string{web}, nil)
	siteA.setApp(nextApp, nextA)
	siteB.setApp(nextApp, nextB)
	startPods(t, n.podPort, web, nextA, nextB)
	n.split(&gantryv1.HttpRules{Canaries: []*gantryv1.Canary{{App: nextApp, Port: int32(n.podPort), WeightPercent: 100}}})
	n.answers()
	eventually(t, 10*time.Second, func() bool { got := n.visits(20, nil); return got[nextA] > 0 && got[nextB] > 0 }, n.log)
	n.publish(func(c *ingressv1.GatewayConfig) {
		c.CanaryShares = []*ingressv1.CanaryShares{{App: nextApp, TrafficShares: map[string]int32{"site-b": 100}}}
	})
	n.serving(n.gateway.GetGeneration())
	if got := n.visits(50, nil); got[nextB] != 50 {
		t.Errorf("all are to be led to site-b: %v", got)
	}
}

// A canary without a pod that answers fails nobody.
func TestACanaryThatIsDownGetsNothing(t *testing.T) {
	web, next := addresses(50, 1)[0], addresses(59, 1)[0]
	n, site, _ := twoSites(t, []string{web}, nil)
	startPods(t, n.podPort, web)
	pod := startPods(t, n.podPort, next)[next]
	n.split(&gantryv1.HttpRules{Canaries: []*gantryv1.Canary{{App: nextApp, Port: int32(n.podPort), WeightPercent: 100}}})
	if got := n.visits(20, nil); got[web] != 20 {
		t.Errorf("before it has a pod: %v", got)
	}
	site.setApp(nextApp, next)
	eventually(t, 10*time.Second, func() bool { return n.visit(nil, nil) == next }, n.log)
	pod.kill()
	eventually(t, 10*time.Second, func() bool { return n.allFrom(web) }, n.log)
}

// allFrom asks until an answer comes: the first request may meet the dead pod.
func (n *testNode) allFrom(pod string) bool {
	for range 20 {
		if code, text, _ := n.get(); code != http.StatusOK || !strings.Contains(text, pod) {
			return false
		}
	}
	return true
}

func TestStickyClientsStay(t *testing.T) {
	pods, next := addresses(60, 4), addresses(61, 1)[0]
	n, site, _ := twoSites(t, pods[:2], pods[2:])
	site.setApp(nextApp, next)
	startPods(t, n.podPort, append(pods, next)...)
	rules := &gantryv1.HttpRules{
		Sticky:   &gantryv1.Sticky{MaxAgeSeconds: 60},
		Canaries: []*gantryv1.Canary{{App: nextApp, Port: int32(n.podPort), WeightPercent: 50}},
	}
	n.split(rules)
	n.answers()
	jars, homes, seen := make([]http.CookieJar, 20), make([]string, 20), map[string]bool{}
	for i := range jars {
		jars[i] = newJar(t)
		homes[i] = n.visit(jars[i], nil)
		seen[homes[i]] = true
	}
	if len(seen) < 3 || !seen[next] {
		t.Errorf("20 clients are at %v", seen)
	}
	stays := func(when string) {
		t.Helper()
		for range 5 {
			for i, jar := range jars {
				if at := n.visit(jar, nil); at != homes[i] {
					t.Fatalf("%s: client %d was at %s and is at %s", when, i, homes[i], at)
				}
			}
		}
	}
	stays("undisturbed")
	site.set(append(pods[:2:2], addresses(62, 1)...)...)
	startPods(t, n.podPort, addresses(62, 1)...)
	stays("with a new pod")
	n.publish(func(c *ingressv1.GatewayConfig) { c.Routes = append(c.Routes, n.route("more", "more.example")) })
	n.serving(n.gateway.GetGeneration())
	stays("after a reload")

	// A cluster that is led to no more keeps nobody; where a client went, it stays.
	n.publish(func(c *ingressv1.GatewayConfig) { c.Clusters[1].TrafficPercent = 0 })
	n.serving(n.gateway.GetGeneration())
	for i, jar := range jars {
		at := n.visit(jar, nil)
		if at == pods[2] || at == pods[3] {
			t.Errorf("client %d is still at %s of a drained cluster", i, at)
		}
		homes[i] = at
	}
	stays("after its cluster was drained")
}

// The cookie tells no address, and does not leave the route.
func TestStickyCookie(t *testing.T) {
	pods := addresses(63, 1)
	n, _, _ := twoSites(t, pods, nil)
	startHandler(t, n.podPort, pods[0], func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Set-Cookie", "own=1") })
	n.publish(func(c *ingressv1.GatewayConfig) {
		r := n.route("shop", "shop.example")
		r.PathPrefix, r.Rules = "/cart", &gantryv1.HttpRules{Sticky: &gantryv1.Sticky{Cookie: "at", MaxAgeSeconds: 60}}
		c.Routes = append(c.Routes, r)
	})
	n.serving(2)
	n.answers()
	cookies := n.ask("shop.example", "/cart/1", "", nil).Cookies()
	if len(cookies) != 2 || cookies[0].Name != "own" {
		t.Fatalf("cookies %v", cookies)
	}
	c := cookies[1]
	if c.Name != "at" || c.Path != "/cart" || c.MaxAge != 60 || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure || len(c.Value) != 16 {
		t.Errorf("cookie %v", c)
	}
	again := n.ask("shop.example", "/cart", "", http.Header{"Cookie": {"at=" + c.Value}}).Cookies()
	if len(again) != 1 {
		t.Errorf("a client that is at its pod gets %v", again)
	}
}
