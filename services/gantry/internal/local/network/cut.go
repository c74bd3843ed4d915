package network

import (
	"context"
	"fmt"
	"strings"

	"gantry.dev/services/gantry/internal/local/command"
	"gantry.dev/services/gantry/internal/local/layout"
)

// Cut takes a site's network away, as a cut cable does: packets are dropped and
// nothing refuses. Inside the site its processes still reach each other, but
// not their pods. Cutting twice is the same as once.
//
// The bridge alone is not enough: a kernel answers for its own addresses also
// when their link is down. So packets between the site's node and outsiders
// are dropped: those of the load balancers by their address, and those of
// processes of the host by their control group (relative to the hierarchy).
func Cut(ctx context.Context, s layout.Site, outsiders string) error {
	if err := Mend(ctx, s); err != nil {
		return err
	}
	rules := [][]string{{"-N", cutChain(s)}}
	for _, match := range [][]string{
		{"-s", layout.LBNetwork, "-d", s.Network}, {"-s", s.Network, "-d", layout.LBNetwork},
		{"-d", s.HostIP, "-m", "cgroup", "--path", outsiders}, {"-s", s.HostIP, "-m", "cgroup", "--path", outsiders},
	} {
		rules = append(rules, append(append([]string{"-A", cutChain(s)}, match...), "-j", "DROP"))
	}
	for _, hook := range cutHooks() {
		rules = append(rules, []string{"-I", hook, "-j", cutChain(s)})
	}
	if err := firewall(ctx, rules...); err != nil {
		return err
	}
	return ip(ctx, "link", "set", s.Bridge, "down")
}

// Mend gives the network back; it does nothing when it is there.
func Mend(ctx context.Context, s layout.Site) error {
	if exists(s.Bridge) {
		if err := ip(ctx, "link", "set", s.Bridge, "up"); err != nil {
			return err
		}
	}
	return uncut(ctx, s)
}

func cutChain(s layout.Site) string { return "GANTRY-CUT-" + s.Name }

// cutHooks leave out FORWARD: what is routed to the site meets its blackhole.
func cutHooks() []string { return []string{"INPUT", "OUTPUT"} }

func uncut(ctx context.Context, s layout.Site) error {
	have, err := command.Run(ctx, "iptables", "-S")
	if err != nil || !strings.Contains(have, "-N "+cutChain(s)) {
		return nil //nolint:nilerr // without iptables nothing was cut
	}
	var rules [][]string
	for _, hook := range cutHooks() {
		if strings.Contains(have, "-A "+hook+" -j "+cutChain(s)) {
			rules = append(rules, []string{"-D", hook, "-j", cutChain(s)})
		}
	}
	return firewall(ctx, append(rules, []string{"-F", cutChain(s)}, []string{"-X", cutChain(s)})...)
}

func firewall(ctx context.Context, rules ...[]string) error {
	for _, args := range rules {
		if _, err := command.Run(ctx, "iptables", append([]string{"-w"}, args...)...); err != nil {
			return fmt.Errorf("firewall: %w", err)
		}
	}
	return nil
}
