package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/loop"
	"gantry.dev/services/cluster-mgr/internal/store"
	httptransport "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"
	amclient "github.com/prometheus/alertmanager/api/v2/client/alert"
	"golang.org/x/sync/errgroup"
)

const (
	// repeat is the time between two messages while nothing changes, and
	// validFor is how long one holds: three may be lost.
	repeat   = 30 * time.Second
	validFor = 4 * repeat
	// retry is the time before a message that failed is sent again.
	retry = 5 * time.Second
	// patience bounds one message.
	patience = 10 * time.Second
)

// Config is what New needs.
type Config struct {
	Store *store.Store
	// URLs of the Alertmanagers, "http://10.0.0.1:9093"; each is told
	// everything. None: nobody is told.
	URLs   []string
	Logger *slog.Logger
}

// Loop tells every Alertmanager during one leader's term. It writes nothing
// to the store, so it needs no proof of its leadership: what it tells is what
// a linearizable read gave just before.
type Loop struct {
	store   *store.Store
	senders []*sender
}

// sender tells one Alertmanager; one that is dead delays no other.
type sender struct {
	url    string
	client amclient.ClientService
	http   *http.Client
	store  *store.Store
	logger *slog.Logger
	wake   loop.Waker
	// The last message failed: it is logged once.
	failing bool
}

// New checks its Config.
func New(c Config) (*Loop, error) {
	if c.Store == nil || c.Logger == nil {
		return nil, errors.New("alert: store and logger are required")
	}
	l := &Loop{store: c.Store}
	for _, raw := range c.URLs {
		s, err := newSender(raw)
		if err != nil {
			return nil, err
		}
		s.store, s.logger = c.Store, c.Logger
		l.senders = append(l.senders, s)
	}
	return l, nil
}

func newSender(raw string) (*sender, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the URL of an Alertmanager, such as http://10.0.0.1:9093", raw)
	}
	s := &sender{url: raw, wake: loop.NewWaker(), http: &http.Client{
		Timeout:   patience,
		Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * repeat},
	}}
	transport := httptransport.NewWithClient(u.Host, path.Join("/", u.Path, "api/v2"), []string{u.Scheme}, s.http)
	s.client = amclient.New(transport, strfmt.Default)
	return s, nil
}

// Run tells at once what changes, and everything again before it expires,
// until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range l.senders {
		group.Go(func() error { return s.run(ctx) })
	}
	group.Go(func() error {
		return l.store.Alarms.Watch(ctx, "", 0, func(store.Event[*gantryv1.Alarm]) error {
			for _, s := range l.senders {
				s.wake.Wake()
			}
			return nil
		})
	})
	return group.Wait()
}

func (s *sender) run(ctx context.Context) error {
	defer s.http.CloseIdleConnections()
	for {
		wait, woken := repeat, s.wake
		err := s.send(ctx)
		if err != nil {
			wait, woken = retry, nil // changes do not wake one who does not answer
		}
		s.log(ctx, err)
		if err := loop.Rest(ctx, woken, wait); err != nil {
			return err
		}
	}
}

// send tells what fires now, if anything does.
func (s *sender) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	items, _, err := s.store.Alarms.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list alarms: %w", err)
	}
	var alarms []*gantryv1.Alarm
	for _, i := range items {
		alarms = append(alarms, i.Value)
	}
	body := alerts(alarms, time.Now(), validFor)
	if len(body) == 0 {
		return nil
	}
	_, err = s.client.PostAlerts(amclient.NewPostAlertsParams().WithContext(ctx).WithAlerts(body))
	return err
}

// log says when an Alertmanager stops and starts to take alerts.
func (s *sender) log(ctx context.Context, err error) {
	switch failing := err != nil; {
	case failing && !s.failing && ctx.Err() == nil:
		s.logger.Error("alarms cannot be told and will be tried again", "alertmanager", s.url, "error", err.Error())
		s.failing = true
	case !failing && s.failing:
		s.logger.Info("alarms are told again", "alertmanager", s.url)
		s.failing = false
	}
}
