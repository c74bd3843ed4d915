package app

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/process"
	"gantry.dev/services/ingress-agent/internal/render"
	"gantry.dev/services/ingress-agent/internal/vip"
)

const (
	vipPause = 100 * time.Millisecond
	// peerPatience bounds the question whether another node serves.
	peerPatience = 200 * time.Millisecond
	// markPause is between two reminders to clients of a drained node.
	markPause = time.Second
	// courtesy is how long a node leaves a VIP that is new to it to the
	// preferred one, to which it is new too: nobody gives it back later.
	courtesy = 3 * time.Second
	// conflictPause is between two rounds of questions who has the VIPs, each
	// of which may be answered for so long.
	conflictPause    = 2 * time.Second
	conflictPatience = 300 * time.Millisecond
)

// vipWork is what the loop of the VIPs remembers.
type vipWork struct {
	plans map[string]*vip.Plan
	// Since when this node knows a VIP; the zero time for those that it shared
	// before the agent started.
	known    map[string]time.Time
	handover vip.Handover
	lent     []string
	marked   time.Time
	drained  bool
}

// keepVIPs gives the VIPs to the others when this node cannot serve or is
// drained, without losing what is connected.
func (a *agent) keepVIPs(ctx context.Context) error {
	if a.config.Keepalived == "" {
		return nil
	}
	w := &vipWork{plans: map[string]*vip.Plan{}, known: map[string]time.Time{}}
	if model, _ := a.manager.Served(); a.keepalived.Child() != 0 { // only the agent was away
		for _, address := range model.VRRP.VIPs() {
			w.known[address] = time.Time{}
		}
	}
	for ctx.Err() == nil {
		a.vipStep(ctx, w)
		process.AwaitEnd(vipPause, a.nginx.Pid())
	}
	return nil
}

func (a *agent) vipStep(ctx context.Context, w *vipWork) {
	config, _ := a.state.view()
	model, _ := a.manager.Served()
	if config == nil || len(model.VRRP.Instances) == 0 {
		return
	}
	vips := model.VRRP.VIPs()
	if w.handover.Interface == "" {
		w.handover = vip.Handover{Interface: a.config.Interface, RouterID: model.VRRP.Instances[0].RouterID}
		if drained, _ := drains(config, a.config.Node); !drained {
			a.note("handover", w.handover.Forget(ctx, vips))
		}
	}
	held := a.keepalived.Holding(vips)
	sight := vip.Sight{WebDead: a.webDead()}
	var others []string
	sight.Drained, others = drains(config, a.config.Node)
	sight.PeerAnswers = sight.Drained && len(held) > 0 && a.peerAnswers(ctx, config)
	a.hand(ctx, w, sight.Drained, vips, held, others)
	now := time.Now()
	w.keep(vips, now)
	for _, address := range vips {
		sight.Holds = slices.Contains(held, address)
		give := w.plans[address].Give(sight, now) || now.Sub(w.known[address]) < courtesy && preferredElsewhere(config, address, a.config.Node)
		a.note("vip "+address, a.keepalived.Weigh(address, weight(give, sight.Drained, model.VRRP, address)))
	}
	a.remind(ctx, w, sight.Drained && len(held) == 0, now)
}

// keep remembers these VIPs and forgets all others.
func (w *vipWork) keep(vips []string, now time.Time) {
	gone := func(address string) bool { return !slices.Contains(vips, address) }
	maps.DeleteFunc(w.plans, func(address string, _ *vip.Plan) bool { return gone(address) })
	maps.DeleteFunc(w.known, func(address string, _ time.Time) bool { return gone(address) })
	for _, address := range vips {
		if _, ok := w.known[address]; !ok {
			w.known[address] = now
		}
		if w.plans[address] == nil {
			w.plans[address] = &vip.Plan{}
		}
	}
}

// introduce makes Keepalived leave VIPs that it does not know yet to their
// preferred node from its first moment on; keepVIPs ends that.
func (a *agent) introduce(c *ingressv1.GatewayConfig, next render.VRRP) {
	if a.config.Keepalived == "" {
		return
	}
	model, _ := a.manager.Served()
	for _, address := range next.VIPs() {
		if !slices.Contains(model.VRRP.VIPs(), address) && preferredElsewhere(c, address, a.config.Node) {
			a.note("vip "+address, a.keepalived.Weigh(address, render.GiveNow))
		}
	}
}

// weight of this node for a VIP: drained, it is the last resort.
func weight(give, drained bool, v render.VRRP, address string) int {
	i := slices.IndexFunc(v.Instances, func(i render.Instance) bool { return i.VIP == address })
	switch {
	case give:
		return render.GiveNow
	case drained:
		return 1 - v.Instances[i].Priority
	}
	return 0
}

// hand keeps connections whole over a planned take-over: a drained node keeps
// what it held for those who are connected, and the others pass on to it what
// is not theirs.
func (a *agent) hand(ctx context.Context, w *vipWork, drained bool, vips, held, others []string) {
	if !drained {
		w.lent = nil
		a.note("handover", w.handover.Pass(ctx, vips, others))
	} else {
		w.lent = append(w.lent, held...)
		slices.Sort(w.lent)
		w.lent = slices.Compact(w.lent)
		a.note("handover", w.handover.Pass(ctx, vips, nil))
	}
	a.note("lend", w.handover.Lend(ctx, w.lent))
}

// remind asks the clients of a node that holds no VIP any more to connect
// anew: they reach the new owner then.
func (a *agent) remind(ctx context.Context, w *vipWork, drained bool, now time.Time) {
	switch {
	case drained && now.Sub(w.marked) >= markPause:
		w.marked = now
		a.note("drain", a.nginx.Client().Drain(ctx))
	case !drained && w.drained:
		a.note("drain", a.nginx.Client().Undrain(ctx))
	}
	w.drained = drained
}

// note keeps a problem in the status until it is over, and logs it once.
func (a *agent) note(part string, err error) {
	if a.state.problem(part, err) && err != nil {
		a.log.Error("the VIPs are not as wanted", "part", part, "error", err.Error())
	}
}

// webDead: there is something to serve and no process of Nginx does.
func (a *agent) webDead() bool {
	if _, layout := a.manager.Served(); layout == "" || a.nginx.Pid() != 0 {
		return false
	}
	return len(process.Find("nginx: worker process", filepath.Join(a.config.StateDir, render.NginxLog))) == 0
}

// drains tells whether this node is drained, and gives the addresses of the
// other nodes that are.
func drains(c *ingressv1.GatewayConfig, node string) (drained bool, others []string) {
	for _, n := range c.GetNodes() {
		switch {
		case !n.GetDrained():
		case n.GetName() == node:
			drained = true
		default:
			others = append(others, n.GetAddress())
		}
	}
	return drained, others
}

func preferredElsewhere(c *ingressv1.GatewayConfig, address, node string) bool {
	for _, m := range c.GetMoreVips() {
		if m.GetAddress() == address && m.GetPreferredNode() != "" && m.GetPreferredNode() != node {
			return true
		}
	}
	return false
}

// peerAnswers tells whether the Nginx of another node that is not drained
// takes connections.
func (a *agent) peerAnswers(ctx context.Context, c *ingressv1.GatewayConfig) bool {
	for _, n := range c.GetNodes() {
		if n.GetName() == a.config.Node || n.GetDrained() {
			continue
		}
		d := net.Dialer{Timeout: peerPatience}
		if conn, err := d.DialContext(ctx, "tcp4", net.JoinHostPort(n.GetAddress(), strconv.Itoa(a.config.HTTPPort))); err == nil {
			_ = conn.Close()
			return true
		}
	}
	return false
}

// watchConflicts asks the network who has the VIPs.
func (a *agent) watchConflicts(ctx context.Context) error {
	if a.config.Keepalived == "" {
		return nil
	}
	var conflicts vip.Conflicts
	return every(ctx, conflictPause, func() {
		model, _ := a.manager.Served()
		owners := map[string][]string{}
		for _, address := range model.VRRP.VIPs() {
			heard, err := a.owners(ctx, address)
			if ctx.Err() != nil {
				return
			}
			a.note("who has "+address, err)
			owners[address] = heard
		}
		found := conflicts.Heard(owners)
		a.state.conflict(found)
		for _, c := range found {
			a.log.Error("a VIP has two owners", "vip", c.VIP, "hardware addresses", c.Owners)
		}
	})
}

// owners of a VIP as heard from the network; a node does not hear itself.
func (a *agent) owners(ctx context.Context, address string) ([]string, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	held := len(a.keepalived.Holding([]string{address})) > 0
	heard, err := vip.WhoHas(ctx, a.config.Interface, ip, conflictPatience)
	if err != nil || !held || len(a.keepalived.Holding([]string{address})) == 0 {
		return heard, err
	}
	i, err := net.InterfaceByName(a.config.Interface)
	if err != nil {
		return heard, err
	}
	heard = append(heard, i.HardwareAddr.String())
	slices.Sort(heard)
	return slices.Compact(heard), nil
}
