package kube

import (
	"bytes"
	"text/template"

	"gantry.dev/services/gantry/internal/local/layout"
)

// containerdTemplate keeps everything below the platform's own folder.
// restrict_oom_score_adj: without CAP_SYS_RESOURCE (in many virtual machines
// and containers) runc dies when it may not lower the score.
const containerdTemplate = `version = 3
root = {{printf "%q" .Root}}
state = {{printf "%q" .State}}
oom_score = 0
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.native",
]

[grpc]
  address = {{printf "%q" .Socket}}

[ttrpc]
  address = {{printf "%q" .TTRPC}}

[debug]
  level = "warn"

[plugins."io.containerd.internal.v1.opt"]
  path = {{printf "%q" .Opt}}

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = {{printf "%q" .Pause}}
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = {{printf "%q" .Registries}}

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  enable_cdi = false
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = {{printf "%q" .CNI}}
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "/usr/sbin/runc"
      SystemdCgroup = false
      Root = {{printf "%q" .Runc}}

[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
`

func containerdConfig(p layout.Paths, s layout.Site) string {
	var out bytes.Buffer
	// Constant template, string fields: it cannot fail.
	_ = template.Must(template.New("containerd").Parse(containerdTemplate)).Execute(&out, map[string]string{
		"Root": p.Data(s.Name, "containerd"), "State": StateDir(p, s),
		"Socket": Socket(p, s), "TTRPC": Socket(p, s) + ".ttrpc",
		"Opt": p.Data(s.Name, "containerd", "opt"), "Runc": p.Run(s.Name, "runc"),
		"Pause": s.PauseImage(), "Registries": p.Conf(s.Name, "registries"), "CNI": p.Conf(s.Name, "cni"),
	})
	return out.String()
}

// StateDir holds what containerd knows of running containers; it is worthless
// once they are gone.
func StateDir(p layout.Paths, s layout.Site) string { return p.Run(s.Name, "containerd") }
