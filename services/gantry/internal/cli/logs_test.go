package cli

import (
	"strings"
	"testing"
	"time"
)

func TestLogs(t *testing.T) {
	const all = "site-a/web-1 one\nsite-b/web-2 two\nsite-a/web-1 three\n"
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
		err  string
	}{
		{"all", []string{"logs", "web"}, 0, all, "site-b/web-3 has printed nothing: the image is missing\n"},
		{"breaks off, goes on", []string{"logs", "web", "-f"}, 0, all, "the stream broke off; trying again\nsite-b/web-3"},
		{"json", []string{"logs", "app/web", "-o", "json"}, 0, `{"cluster":"site-a","pod":"web-1","time":"2026-10-22T10:00:00Z","text":"one"}`, "site-b"},
		{"no such format", []string{"logs", "web", "-o", "yaml"}, 2, "", "text or json"},
		{"no app", []string{"logs"}, 2, "", "arg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, config := startPlatform(t)
			got := gantry(t, config, "", c.args...)
			if got.code != c.code || !strings.HasPrefix(got.out, c.out) || !strings.Contains(got.err, c.err) {
				t.Errorf("exit code %d\n%s\n%s", got.code, got.out, got.err)
			}
		})
	}
}

func TestLogsAskForWhatIsWanted(t *testing.T) {
	p, config := startPlatform(t)
	gantry(t, config, "", "logs", "web", "--since", "10m", "--tail", "7", "--grep", "a.c", "--pod", "web-1,web-2", "--cluster", "site-b", "--previous")
	if len(p.logs) != 1 {
		t.Fatalf("asked %d times", len(p.logs))
	}
	r := p.logs[0]
	if r.GetTailLines() != 7 || r.GetMatch() != "a.c" || len(r.GetPods()) != 2 || r.GetClusters()[0] != "clusters/site-b" || !r.GetPrevious() || r.GetFollow() ||
		time.Since(r.GetSinceTime().AsTime()) < 9*time.Minute {
		t.Errorf("asked for %v", r)
	}
}
