package local

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local/cgroup"
	"gantry.dev/services/gantry/internal/local/supervisor"
)

func TestDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	o, err := Options{}.complete()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(here, ".local")
	if o.Dir != dir || o.Repo != here || o.Nodes != NodesReal || o.AutoscaleInterval != 5*time.Second || o.Progress == nil {
		t.Errorf("options are %+v", o)
	}
	if got := strings.Join(o.Supervisor[1:], " "); got != "local supervise --dir "+dir {
		t.Errorf("supervisor is started with %q", got)
	}
	if _, err := (Options{Nodes: "some"}).complete(); !fault.Is(err, fault.KindInvalid) {
		t.Errorf("unknown nodes: %v", err)
	}
}

// What Up decided reaches the supervisor through the file.
func TestOptionsSurviveTheFile(t *testing.T) {
	o, err := Options{Dir: t.TempDir(), BinDir: "/srv/bin", Only: []string{"site-a"}, AutoscaleInterval: time.Minute}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(o.paths().Run(), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := (Options{Dir: o.Dir}).load(); !fault.HasReason(err, "NOT_UP") {
		t.Errorf("without a file: %v", err)
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.optionsFile(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Options{Dir: o.Dir}.load()
	if err != nil || got.BinDir != "/srv/bin" || !slices.Equal(got.Only, o.Only) || got.AutoscaleInterval != time.Minute {
		t.Errorf("options are %+v %v", got, err)
	}
}

func TestNotRunning(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	if report, err := Status(t.Context(), o); err != nil || report.Running {
		t.Errorf("status %+v %v", report, err)
	}
	if err := Kill(t.Context(), o, "site-a"); !fault.HasReason(err, "NOT_RUNNING") {
		t.Errorf("kill: %v", err)
	}
	if err := Start(t.Context(), o, "site-a"); !fault.HasReason(err, "NOT_RUNNING") {
		t.Errorf("start: %v", err)
	}
	if err := Supervise(t.Context(), o); !fault.HasReason(err, "NOT_UP") {
		t.Errorf("supervise: %v", err)
	}
}

// The machine's names and addresses are fixed, so a second platform would end
// the first one.
func TestOnePlatformPerMachine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "owner")
	first, err := Options{Dir: t.TempDir()}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if err := refuseOther(file, first.Dir); err != nil {
		t.Errorf("nobody owns it: %v", err)
	}
	if err := own(file, first.Dir); err != nil {
		t.Fatal(err)
	}
	if err := supervisor.WriteRecord(first.supervisorRecord(), os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if err := refuseOther(file, first.Dir); err != nil {
		t.Errorf("its own: %v", err)
	}
	if err := refuseOther(file, "/elsewhere"); !fault.HasReason(err, "OTHER_PLATFORM") || !strings.Contains(err.Error(), first.Dir) {
		t.Errorf("another folder: %v", err)
	}
	if _, crashed := (Options{Dir: "/elsewhere"}).inherit(file); crashed {
		t.Error("a running platform counts as crashed")
	}
	if err := os.Remove(first.supervisorRecord()); err != nil {
		t.Fatal(err)
	}
	if err := refuseOther(file, "/elsewhere"); err != nil {
		t.Errorf("the other one crashed: %v", err)
	}
	if got, crashed := (Options{Dir: "/elsewhere"}).inherit(file); !crashed || got.Dir != first.Dir {
		t.Errorf("inherited %q %v", got.Dir, crashed)
	}
	if err := disown(file); err != nil {
		t.Fatal(err)
	}
	if dir, _ := owner(file); dir != "" {
		t.Errorf("still owned by %s", dir)
	}
}

func TestMissingProgramsAreNamed(t *testing.T) {
	o, err := Options{Dir: t.TempDir(), BinDir: t.TempDir()}.complete()
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, p := range checkPrograms(o) {
		missing = append(missing, filepath.Base(p.What))
	}
	slices.Sort(missing)
	if got := strings.Join(missing, " "); got != "cluster-mgr ingress-agent ipaas portal" {
		t.Errorf("missing are %s", got)
	}
	o.Only = []string{"prometheus"}
	if problems := checkPrograms(o); len(problems) > 0 {
		t.Errorf("not wanted, but missing: %v", problems)
	}
	o.Only = []string{"nobody"}
	if problems := checkPrograms(o); len(problems) != 1 || !strings.Contains(problems[0].Fix, "site-a") {
		t.Errorf("an unknown group: %v", problems)
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	if tree, err := cgroup.Find(cgroupRoot); err == nil && len(tree.PIDs("")) > 0 {
		t.Skip("a platform is running")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:7092")
	if err != nil {
		t.Skipf("somebody has the port: %v", err)
	}
	defer listener.Close()
	found := slices.ContainsFunc(checkPorts(t.Context(), Options{}), func(p Problem) bool {
		return strings.Contains(p.What, "127.0.0.1:7092")
	})
	if !found {
		t.Error("the taken port is not reported")
	}
}

func TestOurNetworks(t *testing.T) {
	for text, want := range map[string]bool{
		"10.110.0.1/24": true, "10.111.7.1/24": false, "10.0.0.1/8": true, "192.0.2.2/24": false,
		"10.122.0.9/32": true, "10.112.0.77/16": true, "fd00::2/64": false,
	} {
		ip, network, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		network.IP = ip
		if got := ours(network); got != want {
			t.Errorf("%s overlaps: %v, want %v", text, got, want)
		}
	}
}

func TestAvailableBytes(t *testing.T) {
	if got := availableBytes("MemTotal: 100 kB\nMemAvailable:    2048 kB\n"); got != 2<<20 {
		t.Errorf("%d bytes", got)
	}
	if got := availableBytes("nonsense"); got != 0 {
		t.Errorf("%d bytes from nonsense", got)
	}
}

func TestLongPathIsRefused(t *testing.T) {
	if problems := checkPaths(Options{Dir: "/" + strings.Repeat("x", 80)}); len(problems) != 1 {
		t.Errorf("problems %v", problems)
	}
	if problems := checkPaths(Options{Dir: "/srv/gantry/.local"}); len(problems) != 0 {
		t.Errorf("problems %v", problems)
	}
}

// A second platform, in whatever folder, uses the parts of the checkout.
func TestPartsAreShared(t *testing.T) {
	repo := t.TempDir()
	module := filepath.Join(repo, "tools", "kubernetes")
	if err := os.MkdirAll(module, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(repo, ".local", "bin", "gantry")
	for _, dir := range []string{filepath.Join(repo, ".local"), filepath.Join(repo, ".local", "fake"), filepath.Join(t.TempDir(), "x")} {
		o := Options{Dir: dir, Repo: checkout(dir, exe)}
		if want := filepath.Join(repo, ".local", "parts", "bin", "etcd"); o.paths().Part("etcd") != want {
			t.Errorf("%s: parts are at %s", dir, o.paths().Part("etcd"))
		}
	}
}

// Missing parts without a checkout to build them from are explained.
func TestNoCheckout(t *testing.T) {
	problems := checkParts(t.Context(), Options{Dir: t.TempDir(), Repo: t.TempDir(), Nodes: NodesFake})
	if len(problems) != 1 || !strings.Contains(problems[0].What, "the source of kube-apiserver: stat ") {
		t.Errorf("%+v", problems)
	}
}
