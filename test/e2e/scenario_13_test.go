package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

const sleepy = `kind: App
name: projects/demo/apps/sleepy
spec:
  image: hello:v1
  replicas: 1
  resources: {cpu: 100m, memory: 64Mi}
  ports: [{name: http, port: 8080}]
  readiness: {httpPath: /healthz, port: 8080, periodSeconds: 1}
  autoscale:
    minReplicas: 0
    maxReplicas: 4
    scaleToZero: true
    idleSeconds: 20
    stabilizationSeconds: 10
    metrics: [{resource: RESOURCE_CPU, targetPercent: 50}]
---
kind: Route
name: projects/demo/routes/sleepy
gateway: gateways/main
host: sleepy.demo.test
app: projects/demo/apps/sleepy
port: 8080
`

func Test13ScaleToZero(t *testing.T) {
	platform(t)
	settled(t)
	tr := newTraffic(t)
	must(t, "apply", "-f", writeFile(t, sleepy))
	t.Cleanup(func() {
		must(t, "delete", "route", "sleepy", "-p", "demo")
		must(t, "delete", "app", "sleepy", "-p", "demo")
	})
	eventually(t, time.Minute, func() string { return answers(t, "sleepy.demo.test") })
	idle := time.Now()
	eventually(t, 4*time.Minute, func() string {
		if a := read[app](t, "get", "app", "sleepy", "-p", "demo"); a.Status.DesiredReplicas > 0 {
			return fmt.Sprintf("%d replicas are wanted without a request", a.Status.DesiredReplicas)
		}
		for _, site := range []string{"site-a", "site-b"} {
			if pods := kubectl(t, site, "get", "pods", "-n", "gantry-demo", "-o", "name"); strings.Contains(pods, "sleepy") {
				return "pods in " + site + ": " + pods
			}
		}
		return ""
	})
	t.Logf("no replica %.1f s after the last request", time.Since(idle).Seconds())
	wakes(t)
	if a := read[app](t, "get", "app", "sleepy", "-p", "demo"); a.Status.DesiredReplicas == 0 {
		t.Error("it answered without a replica")
	}
	tr.finish(firstPhase)
}

// wakes sends ten requests with a body at once: each is held, none is lost.
func wakes(t *testing.T) {
	t.Helper()
	const count = 10
	script := `for i in $(seq 10); do head -c 20000 /dev/zero | curl -s -o /dev/null -m 90 --data-binary @- ` +
		`-w '%{http_code} %{time_total}\n' -H 'Host: sleepy.demo.test' http://10.110.0.100/ & done; wait`
	out, err := run(t, "ip", "netns", "exec", "gantry-client", "bash", "-c", script)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	soonest, answered := 1e9, 0
	for line := range strings.Lines(out) {
		code, took, _ := strings.Cut(strings.TrimSpace(line), " ")
		seconds, err := strconv.ParseFloat(took, 64)
		if code != "200" || err != nil {
			t.Errorf("a request that woke the app: %q", line)
			continue
		}
		answered++
		soonest = min(soonest, seconds)
	}
	if answered != count {
		t.Errorf("%d of %d requests were answered: %s", answered, count, out)
	}
	t.Logf("the first of %d answers came after %.1f s", answered, soonest)
}
