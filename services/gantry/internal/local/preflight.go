package local

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gantry.dev/services/gantry/internal/local/cgroup"
	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/parts"
	"gantry.dev/services/gantry/internal/local/supervisor"
)

const (
	needDiskBytes   = 10 << 30
	needMemoryBytes = 4 << 30
	// socketPathMost is the kernel's limit for a Unix socket's path.
	socketPathMost = 107
)

// Preflight lists everything that this machine lacks; nil means ready. It
// changes nothing. A platform that is up already has no problems.
func Preflight(ctx context.Context, o Options) []Problem {
	o, err := o.complete()
	if err != nil {
		return []Problem{{What: "the options", Fix: err.Error()}}
	}
	if err := o.refuseOtherNodes(); err != nil {
		return []Problem{{"a folder for " + o.Nodes + " nodes", err.Error()}}
	}
	if report, err := Status(ctx, o); err == nil && report.Running {
		return nil
	}
	if err := refuseOther(ownerFile, o.Dir); err != nil {
		return []Problem{{"the fixed addresses", err.Error()}}
	}
	if o.Nodes == NodesFake {
		return slices.Concat(checkPrograms(o), checkParts(ctx, o), checkDisk(o), checkPorts(ctx, o), checkPaths(o))
	}
	if runtime.GOOS != "linux" {
		return []Problem{{"Linux", "real containers need Linux; use a Debian 12 machine, or --nodes=fake"}}
	}
	return slices.Concat(checkRights(ctx), checkPrograms(o), checkParts(ctx, o),
		checkDisk(o), checkMemory(), checkAddresses(), checkPorts(ctx, o), checkPaths(o))
}

func checkRights(ctx context.Context) []Problem {
	if os.Geteuid() != 0 {
		return []Problem{{"root", "containers and networks need it; run the command with sudo, or use --nodes=fake"}}
	}
	var problems []Problem
	if _, err := cgroup.Find(cgroupRoot); err != nil {
		problems = append(problems, Problem{"cgroup v2: " + err.Error(), "mount it: mount -t cgroup2 none /sys/fs/cgroup"})
	}
	// Tried in a network of its own, which vanishes with the command.
	if _, err := exec.LookPath("ip"); err == nil {
		try := exec.CommandContext(ctx, "unshare", "--net", "sh", "-c",
			"ip link add name br0 type bridge && ip link add name v0 type veth peer name v1 && ip route add blackhole 10.111.0.0/24")
		if out, err := try.CombinedOutput(); err != nil {
			problems = append(problems, Problem{
				"kernel features bridge, veth and network namespaces: " + strings.TrimSpace(string(out)),
				"load them (modprobe bridge veth) or use Debian's standard kernel",
			})
		}
	}
	if overlay, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(overlay), "overlay") {
		problems = append(problems, Problem{"kernel feature overlay file system", "modprobe overlay"})
	}
	return problems
}

// checkPrograms wants Gantry's own programs when they are to be started.
func checkPrograms(o Options) []Problem {
	specs, err := supervisor.Select(o.specs(), o.Only)
	if err != nil {
		return []Problem{{err.Error(), "choose one of: " + strings.Join(layout.Groups(), ", ")}}
	}
	var problems []Problem
	seen := map[string]bool{}
	for _, s := range specs {
		if filepath.Dir(s.Path) != o.BinDir || seen[s.Path] {
			continue
		}
		seen[s.Path] = true
		if _, err := os.Stat(s.Path); err != nil {
			problems = append(problems, Problem{"the program " + s.Path, "build it: make build"})
		}
	}
	return problems
}

// checkParts looks for what getting the missing parts needs.
func checkParts(ctx context.Context, o Options) []Problem {
	built, packages := o.parts().Missing()
	var problems []Problem
	if len(packages) > 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			names := make([]string, 0, len(packages))
			for _, p := range packages {
				names = append(names, p.Name)
			}
			problems = append(problems, Problem{"the programs of Debian's packages " + strings.Join(names, " "),
				"there is no apt-get: install them by hand, or use Debian 12"})
		}
	}
	if len(built) == 0 {
		return problems
	}
	if _, err := os.Stat(filepath.Join(o.Repo, built[0].Module)); err != nil {
		return append(problems, Problem{"the source of " + built[0].Name + ": " + err.Error(), "run it in a checkout of Gantry, or with --dir below one"})
	}
	if _, err := exec.LookPath("go"); err != nil {
		return append(problems, Problem{"Go 1.26, to build " + built[0].Name, "install it from https://go.dev/dl and put it into PATH"})
	}
	return append(problems, checkModules(ctx, o, built)...)
}

// checkModules is content with a full module cache and no network.
func checkModules(ctx context.Context, o Options, built []parts.Part) []Problem {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	seen := map[string]bool{}
	for _, p := range built {
		if seen[p.Module] || p.Module == "services" {
			continue
		}
		seen[p.Module] = true
		// One module's go.mod is the smallest thing that only the proxy or the cache has.
		cmd := exec.CommandContext(ctx, "go", "list", "-f", "{{.ImportPath}}", p.Package)
		cmd.Dir = filepath.Join(o.Repo, p.Module)
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			said := strings.Split(strings.TrimSpace(string(out)), "\n")
			return []Problem{{fmt.Sprintf("the Go modules of %s: %v: %s", p.Name, err, said[len(said)-1]),
				"make the module proxy reachable (go env GOPROXY), or fill the module cache"}}
		}
	}
	return nil
}

func checkDisk(o Options) []Problem {
	dir := o.Dir
	for dir != "/" {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return []Problem{{"the free space of " + dir + ": " + err.Error(), "choose another folder"}}
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < needDiskBytes {
		return []Problem{{fmt.Sprintf("10 GiB of free disk at %s, there are %.1f", dir, float64(free)/(1<<30)), "make room, or choose another folder"}}
	}
	return nil
}

func checkMemory() []Problem {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return []Problem{{"the free memory: " + err.Error(), "mount /proc"}}
	}
	if free := availableBytes(string(data)); free < needMemoryBytes {
		return []Problem{{fmt.Sprintf("4 GiB of free memory, there are %.1f", float64(free)/(1<<30)), "end other programs, or use a larger machine"}}
	}
	return nil
}

func availableBytes(meminfo string) uint64 {
	for line := range strings.Lines(meminfo) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "MemAvailable:" {
			kib, err := strconv.ParseUint(fields[1], 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// checkAddresses looks for somebody else's networks in our ranges.
func checkAddresses() []Problem {
	links, err := net.Interfaces()
	if err != nil {
		return []Problem{{"the network interfaces: " + err.Error(), "run it as root"}}
	}
	var problems []Problem
	for _, link := range links {
		addresses, err := link.Addrs()
		if err != nil || strings.HasPrefix(link.Name, "gantry-") {
			continue
		}
		for _, a := range addresses {
			if network, ok := a.(*net.IPNet); ok && ours(network) {
				problems = append(problems, Problem{
					fmt.Sprintf("the networks 10.110.0.0 to 10.112.0.0/24, %s has %s", link.Name, a), "give that interface another address"})
			}
		}
	}
	return problems
}

func ours(network *net.IPNet) bool {
	ranges := []string{layout.LBNetwork}
	for _, s := range layout.Sites() {
		ranges = append(ranges, s.Network, s.ServiceNetwork)
	}
	for _, r := range ranges {
		_, n, err := net.ParseCIDR(r)
		if err == nil && (n.Contains(network.IP) || network.Contains(n.IP)) {
			return true
		}
	}
	return false
}

func checkPaths(o Options) []Problem {
	longest := o.paths().Run(layout.GroupSiteA, "containerd.sock.ttrpc")
	if len(longest) <= socketPathMost {
		return nil
	}
	return []Problem{{fmt.Sprintf("a folder with a shorter path than %s (%d bytes; sockets allow %d)", o.Dir, len(longest), socketPathMost),
		"move the checkout, or choose another folder"}}
}
