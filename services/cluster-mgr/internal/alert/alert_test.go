package alert

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gantry.dev/pkg/etcdkv/etcdtest"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/decision"
	"gantry.dev/services/cluster-mgr/internal/store"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/api/v2/models"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long a test waits for what is to happen at once.
const limit = 10 * time.Second

// manager is an Alertmanager that keeps what it was told: it reads the
// messages with the types of the real one, and checks them as it does.
type manager struct {
	*httptest.Server
	told chan models.PostableAlerts

	mu   sync.Mutex
	dead bool
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{told: make(chan models.PostableAlerts, 1000)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/alerts", m.post)
	m.Server = httptest.NewServer(mux)
	t.Cleanup(m.Close)
	return m
}

func (m *manager) post(w http.ResponseWriter, r *http.Request) {
	var body models.PostableAlerts
	m.mu.Lock()
	dead := m.dead
	m.mu.Unlock()
	err := json.NewDecoder(r.Body).Decode(&body)
	switch {
	case dead:
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	case err != nil || body.Validate(nil) != nil:
		http.Error(w, "not the message of an Alertmanager's client", http.StatusBadRequest)
		return
	}
	m.told <- body
}

func (m *manager) die(dead bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = dead
}

// expect waits for a message that says, by subject, whether alerts fire.
func (m *manager) expect(t *testing.T, want map[string]bool) models.PostableAlerts {
	t.Helper()
	var last map[string]bool
	for end := time.After(limit); ; {
		select {
		case body := <-m.told:
			last = map[string]bool{}
			for _, a := range body {
				last[a.Labels["subject"]] = time.Time(a.EndsAt).After(time.Now())
			}
			if cmp.Equal(want, last) {
				return body
			}
		case <-end:
			t.Fatalf("told last: %v, want %v", last, want)
		}
	}
}

// platform is a store with alarms, and a leader that may change.
type platform struct {
	t     *testing.T
	store *store.Store
	any   clientv3.Cmp
}

func newPlatform(t *testing.T) *platform {
	client := etcdtest.Start(t).Client(t)
	return &platform{t, store.New(client), clientv3.Compare(clientv3.Version("none"), "=", 0)}
}

func (p *platform) raise(subject string) {
	p.t.Helper()
	alarm := &gantryv1.Alarm{Kind: "ClusterDown", Subject: subject, Summary: subject + " does not serve", Operation: "operations/0001"}
	if err := decision.RaiseAlarm(p.t.Context(), p.store, p.any, alarm); err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) end(subject string) {
	p.t.Helper()
	if err := decision.EndAlarm(p.t.Context(), p.store, p.any, "ClusterDown", subject); err != nil {
		p.t.Fatal(err)
	}
}

// lead runs the loop of a term until it is stopped, or the test ends.
func (p *platform) lead(urls ...string) (stop func()) {
	p.t.Helper()
	l, err := New(Config{Store: p.store, URLs: urls, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Run(ctx); !errors.Is(err, context.Canceled) {
			p.t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	p.t.Cleanup(stop)
	return stop
}

func TestAnAlarmIsToldWhenItFiresAndWhenItEnds(t *testing.T) {
	p, m := newPlatform(t), newManager(t)
	p.lead(m.URL)
	p.raise("clusters/site-b")
	first := m.expect(t, map[string]bool{"clusters/site-b": true})
	want := models.LabelSet{"alertname": "ClusterDown", "subject": "clusters/site-b", "severity": "critical", "source": "gantry"}
	if diff := cmp.Diff(want, first[0].Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	want = models.LabelSet{"summary": "clusters/site-b does not serve", "runbook": "gantry operation approve 0001", "operation": "operations/0001"}
	if diff := cmp.Diff(want, first[0].Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	p.raise("clusters/site-c")
	m.expect(t, map[string]bool{"clusters/site-b": true, "clusters/site-c": true})
	p.end("clusters/site-b")
	last := m.expect(t, map[string]bool{"clusters/site-b": false, "clusters/site-c": true})
	if time.Time(last[0].StartsAt) != time.Time(first[0].StartsAt) {
		t.Error("an alert that ends began at another time than the one that fired")
	}
}

func TestADeadAlertmanagerDelaysNobodyAndIsToldLater(t *testing.T) {
	p, dead, well := newPlatform(t), newManager(t), newManager(t)
	dead.die(true)
	p.lead(dead.URL, well.URL)
	p.raise("clusters/site-b")
	well.expect(t, map[string]bool{"clusters/site-b": true})
	dead.die(false)
	dead.expect(t, map[string]bool{"clusters/site-b": true})
}

// Whoever leads next tells the same alerts: none is lost, and none is another one.
func TestAChangeOfLeaderLosesAndDoublesNoAlarm(t *testing.T) {
	p, m := newPlatform(t), newManager(t)
	stop := p.lead(m.URL)
	p.raise("clusters/site-b")
	before := m.expect(t, map[string]bool{"clusters/site-b": true})
	stop()
	p.end("clusters/site-b") // nobody leads
	p.raise("clusters/site-c")
	p.lead(m.URL)
	after := m.expect(t, map[string]bool{"clusters/site-b": false, "clusters/site-c": true})
	if diff := cmp.Diff(before[0].Labels, after[0].Labels); diff != "" {
		t.Errorf("the same alarm is another alert (-before +after):\n%s", diff)
	}
}

func TestWhatIsTold(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }
	alarms := []*gantryv1.Alarm{
		{Kind: "ClusterDown", Subject: "clusters/site-b", State: gantryv1.Alarm_STATE_FIRING, StartTime: ago(time.Hour)},
		{Kind: "AutomationFrozen", Subject: "clusters", State: gantryv1.Alarm_STATE_FIRING, StartTime: ago(time.Hour)},
		{Kind: "AutoscaleHold", Subject: "projects/pay/apps/web", State: gantryv1.Alarm_STATE_RESOLVED, StartTime: ago(time.Hour), EndTime: ago(time.Minute)},
		{Kind: "ClusterDown", Subject: "clusters/site-c", State: gantryv1.Alarm_STATE_RESOLVED, StartTime: ago(time.Hour), EndTime: ago(16 * time.Minute)},
	}
	type line struct {
		Name, Severity, Runbook string
		Ends                    time.Duration
	}
	var got []line
	for _, a := range alerts(alarms, now, 2*time.Minute) {
		got = append(got, line{a.Labels["alertname"], a.Labels["severity"], a.Annotations["runbook"], time.Time(a.EndsAt).Sub(now)})
	}
	want := []line{
		{"ClusterDown", "critical", "gantry cluster health site-b", 2 * time.Minute},
		{"AutomationFrozen", "critical", "gantry get clusters", 2 * time.Minute},
		{"AutoscaleHold", "warning", "gantry explain app/web --project pay", -time.Minute},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
}

func TestURLs(t *testing.T) {
	s := newPlatform(t).store
	for url, ok := range map[string]bool{"http://10.0.0.1:9093": true, "https://am.example/prefix": true, "10.0.0.1:9093": false, "ftp://am": false, "": false} {
		_, err := New(Config{Store: s, URLs: []string{url}, Logger: slog.New(slog.DiscardHandler)})
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// The verdict of the real Alertmanager: it takes the alarm, shows it as
// active, and no more once it has ended.
func TestARealAlertmanager(t *testing.T) {
	url := startAlertmanager(t)
	p := newPlatform(t)
	p.lead(url)
	p.raise("clusters/site-b")
	active(t, url, 1)
	p.end("clusters/site-b")
	active(t, url, 0)
}

func startAlertmanager(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("alertmanager")
	if err != nil {
		binary, _ = filepath.Abs("../../../../.local/parts/bin/alertmanager")
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skip("there is no alertmanager in PATH or .local/parts/bin")
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "--config.file="+config, "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return "http://" + address
}

// active waits until the Alertmanager shows so many active alerts.
func active(t *testing.T, url string, want int) {
	t.Helper()
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	got := -1
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(2 * limit); ; {
		select {
		case <-tick.C:
			if got = count(client, url); got == want {
				return
			}
		case <-end:
			t.Fatalf("%d active alerts, want %d", got, want)
		}
	}
}

func count(client *http.Client, url string) int {
	r, err := client.Get(url + "/api/v2/alerts?active=true")
	if err != nil {
		return -1
	}
	defer r.Body.Close()
	var alerts models.GettableAlerts
	if json.NewDecoder(r.Body).Decode(&alerts) != nil {
		return -1
	}
	return len(alerts)
}
