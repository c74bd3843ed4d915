package vip

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gantry.dev/services/ingress-agent/internal/process"
)

// Handover keeps connections whole when a node gives a VIP away on purpose.
// The node keeps the address on its loopback, silent to ARP, and goes on
// serving what is connected; the new owner passes packets of connections that
// are not its own on to it. Its methods may be repeated and must not run at
// the same time.
type Handover struct {
	// Interface that carries the VIPs.
	Interface string
	// Names the firewall chain; unique on the node.
	RouterID int

	passing string // what Pass last brought into effect
	lent    []string
}

const commandLimit = 5 * time.Second

func (h *Handover) chain() string { return "GANTRY-VIP-" + strconv.Itoa(h.RouterID) }

// Pass sends packets for the VIPs that belong to no connection of this node
// and begin none to the nodes at these addresses; none ends it.
func (h *Handover) Pass(ctx context.Context, vips, nodes []string) error {
	wanted := strings.Join(vips, " ") + "|" + strings.Join(nodes, " ")
	if len(nodes) == 0 {
		wanted = "-"
	}
	if wanted == h.passing {
		return nil
	}
	err := h.remove(ctx)
	if len(nodes) > 0 {
		err = errors.Join(err, h.install(ctx, vips, nodes))
	}
	if err == nil {
		h.passing = wanted
	}
	return err
}

func (h *Handover) install(ctx context.Context, vips, nodes []string) error {
	rules := [][]string{{"-N", h.chain()}}
	for _, vip := range vips {
		stray := []string{"-A", h.chain(), "-i", h.Interface, "-d", vip, "-p", "tcp", "!", "--syn"}
		// Packets of own connections; listening sockets do not count.
		rules = append(rules, append(slices.Clone(stray), "-m", "socket", "-j", "RETURN"))
		for _, node := range nodes {
			rules = append(rules, append(slices.Clone(stray), "-j", "TEE", "--gateway", node))
		}
		rules = append(rules, append(slices.Clone(stray), "-j", "DROP"))
	}
	rules = append(rules, []string{"-I", "PREROUTING", "-j", h.chain()})
	for _, rule := range rules {
		if err := mangle(ctx, rule...); err != nil {
			return err
		}
	}
	return nil
}

// remove takes away what is there; that there is nothing is no error.
func (h *Handover) remove(ctx context.Context) error {
	if there := mangle(ctx, "-n", "-L", h.chain()) == nil; !there {
		return nil
	}
	for ctx.Err() == nil && mangle(ctx, "-D", "PREROUTING", "-j", h.chain()) == nil {
		continue // there may be several
	}
	return errors.Join(mangle(ctx, "-F", h.chain()), mangle(ctx, "-X", h.chain()))
}

func mangle(ctx context.Context, args ...string) error {
	out, err := process.Run(ctx, commandLimit, "iptables", append([]string{"--wait", "-t", "mangle"}, args...)...)
	if err != nil {
		return fmt.Errorf("iptables %s: %s: %w", strings.Join(args, " "), strings.TrimSpace(out), err)
	}
	return nil
}

// Lend keeps the VIPs on the loopback, so that connections to them go on when
// they leave the interface; those lent before and not named are taken away.
func (h *Handover) Lend(ctx context.Context, vips []string) error {
	if len(vips) > 0 {
		if err := h.silence(); err != nil {
			return err
		}
	}
	var all error
	for _, vip := range h.lent {
		if !slices.Contains(vips, vip) {
			all = errors.Join(all, loopback(ctx, "del", vip))
		}
	}
	for _, vip := range vips {
		if !slices.Contains(h.lent, vip) {
			all = errors.Join(all, loopback(ctx, "replace", vip))
		}
	}
	if all == nil {
		h.lent = slices.Clone(vips)
	}
	return all
}

// Forget takes away what an earlier agent lent or passed.
func (h *Handover) Forget(ctx context.Context, vips []string) error {
	for _, vip := range vips {
		_ = loopback(ctx, "del", vip) // mostly it is not there
	}
	h.lent = nil
	return h.remove(ctx)
}

// silence makes the node answer ARP only for addresses of the interface that
// is asked, and ask only in the name of such.
func (h *Handover) silence() error {
	for name, value := range map[string]string{"arp_ignore": "1", "arp_announce": "2"} {
		path := filepath.Join("/proc/sys/net/ipv4/conf", h.Interface, name)
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("keep a lent VIP silent: %w", err)
		}
	}
	return nil
}

func loopback(ctx context.Context, verb, vip string) error {
	out, err := process.Run(ctx, commandLimit, "ip", "address", verb, vip+"/32", "dev", "lo")
	if err != nil {
		return fmt.Errorf("ip address %s %s on lo: %s: %w", verb, vip, strings.TrimSpace(out), err)
	}
	return nil
}
