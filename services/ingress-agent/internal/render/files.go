package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"

	"gantry.dev/services/ingress-agent/internal/conftext"
)

// Env is what the files need to know about the node; paths are absolute.
type Env struct {
	// Directory of everything that the agent writes.
	StateDir string
	// Directory of this generation's files.
	Dir string
	// Directory of Nginx's dynamic modules.
	ModulesDir string
	// Body files of slow requests; the workers must be able to enter it.
	TempDir string
	// Port of HTTP on all addresses of the node, the VIP included.
	HTTPPort int
	// The same of HTTPS; 0: none.
	HTTPSPort int
	// User of the workers; empty: that of the agent.
	WorkerUser string
	// Interface that carries the VIP.
	Interface string
	// Keepalived may have real-time priority: without the right to raise limits
	// a reload would leave it one of 10 ms, and the kernel would kill it.
	Realtime bool
	// Program and arguments that exit 0 when the local Nginx serves.
	Check []string
}

// Paths below Env.StateDir that the files name and the agent uses.
const (
	ControlSocket = "run/control.sock"
	NginxPid      = "run/nginx.pid"
	NginxLog      = "log/nginx.error.log"
)

// Names of a generation's files.
const (
	NginxConf      = "nginx.conf"
	KeepalivedConf = "keepalived.conf"
	hostsDir       = "hosts"
	luaDir         = "lua"
)

// Generation is the files of one generation by path relative to its directory.
type Generation struct {
	Files map[string][]byte
	// Identity of the files' content: Nginx tells it when asked what it
	// serves. Equal models give equal layouts.
	Layout string
}

// Files renders the model; code is the balancer's Lua by file name. A model
// without VRRP has no keepalived.conf. It fails on a value that cannot be
// written, which the grammar should have refused.
func Files(m Model, env Env, code map[string][]byte) (Generation, error) {
	if err := checkEnv(env); err != nil {
		return Generation{}, err
	}
	files := map[string][]byte{}
	for name, text := range code {
		files[path.Join(luaDir, name)] = text
	}
	for _, h := range m.Hosts {
		text, err := conftext.WriteNginx(hostOf(h, env))
		if err != nil {
			return Generation{}, fmt.Errorf("host %s: %w", h.Name, err)
		}
		files[HostFile(h.Name)] = text
	}
	if m.VRRP.Source != "" {
		text, err := conftext.WriteKeepalived(keepalivedOf(m, env))
		if err != nil {
			return Generation{}, fmt.Errorf("%s: %w", KeepalivedConf, err)
		}
		files[KeepalivedConf] = text
	}
	layout, err := mainFile(m, env, files)
	if err != nil {
		return Generation{}, fmt.Errorf("%s: %w", NginxConf, err)
	}
	return Generation{Files: files, Layout: layout}, nil
}

// mainFile adds nginx.conf, which names the layout: the hash of everything
// else but the directory that it happens to lie in.
func mainFile(m Model, env Env, files map[string][]byte) (string, error) {
	neutral := env
	neutral.Dir = "/"
	text, err := conftext.WriteNginx(mainOf(m, neutral, "-"))
	if err != nil {
		return "", err
	}
	files[NginxConf] = text
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != KeepalivedConf {
			fmt.Fprintf(hash, "%s %d\n%s", name, len(files[name]), files[name])
		}
	}
	layout := hex.EncodeToString(hash.Sum(nil))[:16]
	files[NginxConf], err = conftext.WriteNginx(mainOf(m, env, layout))
	return layout, err
}

// maxFileName leaves room for a suffix below the file system's 255.
const maxFileName = 200

// HostFile is the path of a host's file in a generation.
func HostFile(host string) string {
	if len(host) > maxFileName {
		sum := sha256.Sum256([]byte(host))
		host = host[:maxFileName] + "-" + hex.EncodeToString(sum[:8])
	}
	return path.Join(hostsDir, host+".conf")
}

// checkEnv refuses paths that mean something else inside a search path.
func checkEnv(env Env) error {
	plain := regexp.MustCompile(`^/[-A-Za-z0-9_./]*$`)
	for _, p := range []string{env.StateDir, env.Dir, env.ModulesDir, env.TempDir} {
		if !plain.MatchString(p) {
			return fmt.Errorf("path %q must be absolute and hold only letters, digits and -_./", p)
		}
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_.-]{1,15}$`).MatchString(env.Interface) {
		return fmt.Errorf("%q is not the name of a network interface", env.Interface)
	}
	return nil
}

func intOf(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("%q is not a number from %d to %d", s, low, high)
	}
	return n, nil
}
