package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd is a number of apps without replicas: changing them all is work for the
// leader and both sites, and none for the nodes.
type crowd struct {
	t     *testing.T
	names []string
	rest  *rest
	// The grace in seconds that each was given last.
	grace int
}

const crowdApp = `---
kind: App
name: projects/crowd/apps/%s
spec:
  image: hello:v1
  replicas: 1
  resources: {cpu: 10m, memory: 16Mi}
  ports: [{name: http, port: 8080}]
  drainSeconds: 1
`

// newCrowd makes the apps, which are gone after the test.
func newCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	c := &crowd{t: t, rest: newREST(t)}
	var all strings.Builder
	all.WriteString("kind: Project\nname: projects/crowd\n")
	for i := range n {
		c.names = append(c.names, fmt.Sprintf("one-%02d", i))
		fmt.Fprintf(&all, crowdApp, c.names[i])
	}
	file := writeFile(t, all.String())
	// The crowd of a test before may still be on its way out.
	eventually(t, time.Minute, func() string {
		if r := gantry(t, "", "apply", "-f", file); r.code != 0 {
			return r.err
		}
		return ""
	})
	t.Cleanup(func() { must(t, append([]string{"delete", "app", "-p", "crowd"}, c.names...)...) })
	// An app that nowhere ran is nothing to a cluster: each ran once.
	eventually(t, 2*time.Minute, func() string { return c.wrong(func(a app) bool { return a.Status.ReadyReplicas == 1 }) })
	c.patch(`{"spec":{"replicas":0}}`)
	eventually(t, 2*time.Minute, func() string { return c.wrong(func(a app) bool { return a.Status.ReadyReplicas == 0 }) })
	return c
}

// wrong names the apps that are not as wanted.
func (c *crowd) wrong(as func(app) bool) string {
	c.t.Helper()
	var wrong []string
	for _, a := range read[list[app]](c.t, "get", "apps", "-p", "crowd").Items {
		if !as(a) {
			wrong = append(wrong, fmt.Sprintf("%+v", a.Status))
		}
	}
	return strings.Join(wrong, "; ")
}

// change makes one more release of every app, with another file, all at once,
// and returns when all are accepted.
func (c *crowd) change() {
	c.t.Helper()
	c.grace++
	c.patch(fmt.Sprintf(`{"spec":{"graceSeconds":%d,"files":[{"path":"/etc/crowd","content":%q}]}}`, c.grace, c.file()))
}

// file is the content of the newest release's.
func (c *crowd) file() string { return fmt.Sprintf("grace-%d", c.grace) }

// isBrought waits until a site has the newest release's file of an app.
func (c *crowd) isBrought(site string) {
	c.t.Helper()
	eventually(c.t, 10*time.Second, func() string {
		there := kubectl(c.t, site, "get", "configmaps", "-n", "gantry-crowd", "-o", "jsonpath={.items[*].data}")
		if !strings.Contains(there, c.file()) {
			return fmt.Sprintf("no %s in %s: %s", c.file(), site, there)
		}
		return ""
	})
}

func (c *crowd) patch(body string) {
	c.t.Helper()
	var all sync.WaitGroup
	for _, name := range c.names {
		all.Go(func() {
			for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
				code, answer, err := c.rest.try(http.MethodPatch, "/v1/projects/crowd/apps/"+name, body)
				if err == nil && code == http.StatusOK {
					return
				}
				if time.Now().After(end) {
					c.t.Errorf("change %s: %d %s %v", name, code, answer, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// holds waits until every app is in a cluster as it was changed last.
func (c *crowd) holds() {
	c.t.Helper()
	eventually(c.t, time.Minute, func() string {
		have := map[string]int{}
		for _, site := range []string{"site-a", "site-b"} {
			for _, seconds := range strings.Fields(kubectl(c.t, site, "get", "deployments", "-n", "gantry-crowd", "-o",
				`jsonpath={.items[*].spec.template.spec.terminationGracePeriodSeconds}`)) {
				have[seconds]++
			}
		}
		// A pod is given the time to drain besides.
		if n := have[fmt.Sprint(1+c.grace)]; n != len(c.names) || len(have) != 1 {
			return fmt.Sprintf("the grace of %d apps is to be %d s, with draining it is (seconds: apps) %v", len(c.names), c.grace, have)
		}
		return ""
	})
}
