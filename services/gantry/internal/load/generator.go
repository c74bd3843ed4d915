package load

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

const postBytes = 200

// generator sends requests when they are due.
type generator struct {
	cfg      Config
	pool     *pool
	recorder *recorder
	slots    chan struct{}
	flying   sync.WaitGroup

	mu  sync.Mutex
	now Control // what holds now; all fields set
}

func newGenerator(cfg Config) *generator {
	return &generator{
		cfg:      cfg,
		pool:     &pool{address: cfg.Address, keep: cfg.Connections},
		recorder: newRecorder(),
		slots:    make(chan struct{}, cfg.MaxInFlight),
		now:      Control{Rate: cfg.Rate, Burn: cfg.Burn, Phase: cfg.Phase},
	}
}

func (g *generator) set(c Control) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.Rate != 0 {
		g.now.Rate = c.Rate
	}
	if c.Burn != "" {
		g.now.Burn = c.Burn
	}
	if c.Phase != "" {
		g.now.Phase = c.Phase
	}
	return nil
}

func (g *generator) current() Control {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

// run sends until ctx ends, then waits for what is in flight. emit gets a
// tick each second and one at the end.
func (g *generator) run(ctx context.Context, emit func(Tick)) {
	defer g.pool.close()
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	second := due.Unix()
	for n := 0; ; n++ {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			g.flying.Wait()
			emit(g.tick(time.Now().Unix() + 1))
			return
		case <-timer.C:
		}
		setting := g.current()
		g.launch(n, due, setting)
		due = due.Add(time.Duration(float64(time.Second) / setting.Rate))
		if now := time.Now().Unix(); now != second {
			second = now
			emit(g.tick(second))
		}
	}
}

func (g *generator) tick(before int64) Tick {
	buckets, pending := g.recorder.flush(before)
	setting := g.current()
	return Tick{
		Time: time.Now().UTC(), Rate: setting.Rate, Burn: setting.Burn, Phase: setting.Phase,
		Buckets: buckets, Pending: pending,
	}
}

func (g *generator) launch(n int, due time.Time, setting Control) {
	method := "GET"
	if n%2 == 1 {
		method = "POST"
	}
	g.recorder.begin(setting.Phase)
	select {
	case g.slots <- struct{}{}:
	default:
		g.recorder.failed(setting.Phase, Failure{
			Sent: due, Method: method, Class: ClassSaturated,
			Detail: fmt.Sprintf("%d requests are in flight already", g.cfg.MaxInFlight),
		})
		return
	}
	g.flying.Go(func() {
		defer func() { <-g.slots }()
		g.send(method, due, setting)
	})
}

func (g *generator) send(method string, due time.Time, setting Control) {
	deadline := due.Add(g.cfg.Timeout)
	c, err := g.pool.get(deadline)
	if err != nil {
		g.recorder.failed(setting.Phase, Failure{Sent: due, Method: method, Class: ClassDial, Detail: err.Error()})
		return
	}
	reused := c.used
	got, err := c.exchange(g.request(method, setting.Burn), method, deadline)
	g.pool.put(c)
	if err != nil {
		g.recorder.failed(setting.Phase, Failure{
			Sent: due, Method: method, Class: classify(err), Detail: err.Error(), Reused: reused,
		})
		return
	}
	g.recorder.answered(setting.Phase, due, got)
}

func (g *generator) request(method, burn string) []byte {
	path := "/"
	if burn != "" {
		path = "/?" + url.Values{"burn": {burn}}.Encode()
	}
	head := method + " " + path + " HTTP/1.1\r\nHost: " + g.cfg.Host + "\r\nUser-Agent: gantry-load\r\n"
	if method == "GET" {
		return []byte(head + "\r\n")
	}
	return fmt.Appendf(nil, "%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", head, postBytes, strings.Repeat("x", postBytes))
}
