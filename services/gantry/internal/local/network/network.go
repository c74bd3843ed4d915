// Package network makes the bridges, network namespaces and routes of the
// local platform, all under fixed names so that they can be removed by name
// after a crash.
//
// Pods and load balancers never reach anything outside: the namespaces have no
// default route, and every network has a blackhole route that takes over when
// its bridge is gone, so that a packet for a dead pod does not leave the
// machine and get an answer from a stranger.
package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"gantry.dev/services/gantry/internal/local/command"
	"gantry.dev/services/gantry/internal/local/layout"
)

// metric is worse than any connected route's.
const metric = "4096"

// forwardFile is the kernel's switch for routing between the networks.
const forwardFile = "/proc/sys/net/ipv4/ip_forward"

// chain holds our rules where the firewall drops forwarded packets by default.
const chain = "GANTRY-LOCAL"

type bridge struct{ name, address, network string }

func bridges() []bridge {
	all := []bridge{{layout.LBBridge, layout.Real().HostIP + "/24", layout.LBNetwork}}
	for _, s := range layout.Sites() {
		all = append(all, bridge{s.Bridge, s.HostIP + "/24", s.Network})
	}
	return all
}

func nodes() []layout.Node { return append(layout.Balancers(), layout.Client()) }

// Forwarding tells whether the kernel routes between networks now.
func Forwarding() (string, error) {
	data, err := os.ReadFile(forwardFile)
	return strings.TrimSpace(string(data)), err
}

// SetForwarding switches routing to "1" or "0".
func SetForwarding(value string) error {
	return os.WriteFile(forwardFile, []byte(value), 0o644)
}

// Up makes everything that is missing and repairs what differs.
func Up(ctx context.Context) error {
	for _, b := range bridges() {
		if err := b.up(ctx); err != nil {
			return fmt.Errorf("bridge %s: %w", b.name, err)
		}
	}
	for _, s := range layout.Sites() {
		if err := uncut(ctx, s); err != nil {
			return fmt.Errorf("network of %s: %w", s.Name, err)
		}
	}
	for _, n := range nodes() {
		if err := nodeUp(ctx, n); err != nil {
			return fmt.Errorf("network namespace %s: %w", n.Namespace, err)
		}
	}
	if err := SetForwarding("1"); err != nil {
		return fmt.Errorf("switch on routing: %w", err)
	}
	return openFirewall(ctx)
}

func (b bridge) up(ctx context.Context) error {
	if !exists(b.name) {
		if err := ip(ctx, "link", "add", b.name, "type", "bridge", "forward_delay", "0"); err != nil {
			return err
		}
	}
	return all(ctx,
		words("address", "replace", b.address, "dev", b.name),
		words("link", "set", b.name, "up"),
		words("route", "replace", "blackhole", b.network, "metric", metric),
	)
}

func nodeUp(ctx context.Context, n layout.Node) error {
	if _, err := os.Stat("/run/netns/" + n.Namespace); err != nil {
		if err := ip(ctx, "netns", "add", n.Namespace); err != nil {
			return err
		}
	}
	if !exists(n.Port) {
		if err := plug(ctx, n); err != nil {
			return err
		}
	}
	steps := [][]string{
		words("link", "set", n.Port, "up"),
		words("-n", n.Namespace, "link", "set", "lo", "up"),
		words("-n", n.Namespace, "link", "set", "eth0", "up"),
		words("-n", n.Namespace, "address", "replace", n.IP+"/24", "dev", "eth0"),
		words("-n", n.Namespace, "route", "replace", "224.0.0.0/4", "dev", "eth0"),
	}
	for _, s := range layout.Sites() {
		steps = append(steps, words("-n", n.Namespace, "route", "replace", s.Network, "via", layout.Real().HostIP))
	}
	if err := all(ctx, steps...); err != nil {
		return err
	}
	// A balancer binds the shared address also while the other one holds it.
	_, err := command.Run(ctx, "ip", "netns", "exec", n.Namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind")
	return err
}

func plug(ctx context.Context, n layout.Node) error {
	return all(ctx,
		words("link", "add", n.Port, "type", "veth", "peer", "name", "eth0", "netns", n.Namespace),
		words("link", "set", n.Port, "master", layout.LBBridge),
	)
}

// SetLink connects or disconnects a load balancer node.
func SetLink(ctx context.Context, n layout.Node, up bool) error {
	if !up {
		// A machine that lost power comes back without the shared address. Left
		// there it would answer ARP for a moment and draw clients to itself.
		return all(ctx,
			words("link", "set", n.Port, "down"),
			words("-n", n.Namespace, "addr", "flush", "dev", "eth0", "to", layout.VIP+"/32"),
		)
	}
	// Routes of the inside go with the link, so all is set again.
	return nodeUp(ctx, n)
}

// Down removes everything that Up makes, whatever is left of it.
func Down(ctx context.Context) error {
	var errs []error
	for _, n := range nodes() {
		if exists(n.Port) {
			errs = append(errs, ip(ctx, "link", "delete", n.Port))
		}
		if _, err := os.Stat("/run/netns/" + n.Namespace); err == nil {
			errs = append(errs, ip(ctx, "netns", "delete", n.Namespace))
		}
	}
	for _, b := range bridges() {
		errs = append(errs, b.down(ctx))
	}
	for _, s := range layout.Sites() {
		errs = append(errs, uncut(ctx, s))
	}
	return errors.Join(append(errs, closeFirewall(ctx))...)
}

func (b bridge) down(ctx context.Context) error {
	var errs []error
	if exists(b.name) {
		errs = append(errs, ip(ctx, "link", "delete", b.name))
	}
	route, err := command.Run(ctx, "ip", "route", "show", "type", "blackhole", b.network)
	if err == nil && route != "" {
		errs = append(errs, ip(ctx, "route", "delete", "blackhole", b.network, "metric", metric))
	}
	return errors.Join(errs...)
}

// openFirewall lets the three networks talk where the machine's own policy
// (often Docker's) drops forwarded packets.
func openFirewall(ctx context.Context) error {
	policy, err := command.Run(ctx, "iptables", "-S", "FORWARD")
	if err != nil || !strings.HasPrefix(policy, "-P FORWARD DROP") || strings.Contains(policy, chain) {
		return nil //nolint:nilerr // without iptables there is no such policy
	}
	steps := [][]string{{"-N", chain}, {"-I", "FORWARD", "-j", chain}}
	for _, b := range bridges() {
		steps = append(steps, []string{"-A", chain, "-s", b.network, "-d", "10.108.0.0/14", "-j", "ACCEPT"})
	}
	return firewall(ctx, steps...)
}

func closeFirewall(ctx context.Context) error {
	policy, err := command.Run(ctx, "iptables", "-S", "FORWARD")
	if err != nil || !strings.Contains(policy, chain) {
		return nil //nolint:nilerr // without iptables there is no such policy
	}
	return firewall(ctx, []string{"-D", "FORWARD", "-j", chain}, []string{"-F", chain}, []string{"-X", chain})
}

func exists(link string) bool {
	_, err := os.Stat("/sys/class/net/" + link)
	return err == nil
}

func words(w ...string) []string { return w }

func ip(ctx context.Context, args ...string) error {
	_, err := command.Run(ctx, "ip", args...)
	return err
}

func all(ctx context.Context, steps ...[]string) error {
	for _, args := range steps {
		if err := ip(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
