// Package parts gets the programs that the local platform runs: built from
// pinned Go modules, or installed from Debian. What is there is kept.
package parts

// Part is one program built from source.
type Part struct {
	// Name is the program's file name.
	Name string
	// Module is the folder of its Go module in the checkout, Package what is built.
	Module, Package string
	// Flags are added to go build.
	Flags []string
}

// The versions are written into the programs, because a client that sees
// v0.0.0 behaves as with a very old server. They must agree with go.mod.
const (
	kubeFlags = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3" +
		" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36" +
		" -X k8s.io/client-go/pkg/version.gitVersion=v1.36.3"
	containerdFlags = "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.4.2"
	registryFlags   = "-s -w -X github.com/distribution/distribution/v3/version.version=v3.1.2"
	plainFlags      = "-s -w"
)

// List returns the parts that are built, the longest first. Fake nodes need no
// container runtime, real ones no simulator.
func List(fake bool) []Part {
	all := []Part{
		kubernetes("kube-apiserver"), kubernetes("kube-controller-manager"), kubernetes("kube-scheduler"),
		kubernetes("kubectl"),
		{Name: "etcd", Module: "tools/etcd", Package: "go.etcd.io/etcd/server/v3", Flags: ldflags(plainFlags)},
		{Name: "registry", Module: "tools/registry", Package: "github.com/distribution/distribution/v3/cmd/registry", Flags: ldflags(registryFlags)},
	}
	if fake {
		return append(all, Part{Name: "kwok", Module: "tools/kwok", Package: "sigs.k8s.io/kwok/cmd/kwok", Flags: ldflags(plainFlags)})
	}
	return append(all, kubernetes("kubelet"),
		containerd("containerd"), containerd("containerd-shim-runc-v2"), containerd("ctr"),
		Part{Name: "pause", Module: "services", Package: "gantry.dev/services/gantry/internal/local/pause", Flags: ldflags(plainFlags)},
	)
}

func kubernetes(name string) Part {
	return Part{Name: name, Module: "tools/kubernetes", Package: "k8s.io/kubernetes/cmd/" + name, Flags: ldflags(kubeFlags)}
}

func containerd(name string) Part {
	return Part{
		Name: name, Module: "tools/containerd", Package: "github.com/containerd/containerd/v2/cmd/" + name,
		Flags: append(ldflags(containerdFlags), "-tags=no_btrfs,no_devmapper,no_zfs"),
	}
}

func ldflags(flags string) []string { return []string{"-trimpath", "-ldflags", flags} }

// Package is one Debian package.
type Package struct {
	Name string
	// Files prove that it is there, also where it was installed by other means.
	Files []string
}

// Packages lists what comes from Debian. libluajit2-5.1-2 stands here by name
// because apt may pick libluajit-5.1-2 instead, with which nginx refuses to
// start (undefined symbol lua_setexdata).
func Packages() []Package {
	return []Package{
		{"nginx", []string{"/usr/sbin/nginx"}},
		{"libnginx-mod-http-lua", []string{"/usr/lib/nginx/modules/ngx_http_lua_module.so"}},
		{"libnginx-mod-stream", []string{"/usr/lib/nginx/modules/ngx_stream_module.so"}},
		{"libluajit2-5.1-2", []string{"/usr/share/doc/libluajit2-5.1-2"}},
		{"lua-cjson", []string{"/usr/share/doc/lua-cjson"}},
		{"lua-resty-core", []string{"/usr/share/doc/lua-resty-core"}},
		{"keepalived", []string{"/usr/sbin/keepalived"}},
		{"prometheus", []string{"/usr/bin/prometheus"}},
		{"prometheus-alertmanager", []string{"/usr/bin/prometheus-alertmanager"}},
		{"runc", []string{"/usr/sbin/runc"}},
		{"containernetworking-plugins", []string{"/usr/lib/cni/bridge", "/usr/lib/cni/host-local"}},
		{"iproute2", []string{"/sbin/ip"}},
		{"iptables", []string{"/usr/sbin/iptables"}},
	}
}
