package pki

import (
	"fmt"
	"net"
	"path/filepath"
	"time"

	"gantry.dev/services/gantry/internal/local/layout"
	"sigs.k8s.io/yaml"
)

// Identity is a service's certificate under the platform's authority.
type Identity struct {
	// File is the base name below pki/.
	File string
	Leaf Leaf
}

// Identities returns the certificates of all services. The common name is the
// identity that a server checks, so it never depends on the instance.
func Identities(plan layout.Plan) []Identity {
	all := []Identity{
		identity("etcd", "etcd", plan.HostIP),
		identity("gantry-local", "gantry-local"),
		identity("cluster-mgr", "cluster-mgr", plan.HostIP),
		identity("portal", "portal"),
	}
	for _, s := range plan.Sites {
		all = append(all, identity("ipaas."+s.Name, "ipaas."+s.Name, s.HostIP))
	}
	for _, n := range plan.Balancers {
		name := "ingress-agent." + layout.Gateway + "." + n.Name
		all = append(all, identity(name, name, n.IP))
	}
	return all
}

func identity(file, cn string, ips ...string) Identity {
	return Identity{File: file, Leaf: Leaf{CN: cn, IPs: parse(ips)}}
}

func parse(ips []string) []net.IP {
	out := make([]net.IP, 0, len(ips))
	for _, ip := range ips {
		out = append(out, net.ParseIP(ip))
	}
	return out
}

// Ensure makes every key, certificate, kubeconfig and token that is missing
// or about to end.
func Ensure(p layout.Paths, plan layout.Plan, now time.Time) error {
	ca, err := Open(p.PKI("ca"), "Gantry local CA", now)
	if err != nil {
		return fmt.Errorf("platform authority: %w", err)
	}
	for _, id := range Identities(plan) {
		if err := ca.Issue(p.PKI(id.File), id.Leaf, now); err != nil {
			return fmt.Errorf("certificate of %s: %w", id.File, err)
		}
	}
	if err := ensureSealing(p); err != nil {
		return err
	}
	for _, s := range plan.Sites {
		if err := ensureSite(p, s, now); err != nil {
			return fmt.Errorf("certificates of %s: %w", s.Name, err)
		}
	}
	return ensureUsers(p, now)
}

// SiteIdentities returns the certificates under one cluster's own authority,
// by file name; those with a kubeconfig of the same name are users.
func SiteIdentities(s layout.Site) []Identity {
	ip := []net.IP{net.ParseIP(s.HostIP)}
	account := "system:serviceaccount:" + IpaasNamespace + ":" + IpaasAccount
	return []Identity{
		{"apiserver", Leaf{CN: "kube-apiserver", IPs: append(ip, net.ParseIP(s.ServiceIP())),
			Names: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc"}}},
		{"kubelet-server", Leaf{CN: "system:node:" + s.Name, IPs: ip, Names: []string{s.Name}}},
		{"kubelet-client", Leaf{CN: "kube-apiserver-kubelet-client", Orgs: []string{"system:masters"}}},
		{"etcd", Leaf{CN: "etcd"}},
		{"admin", Leaf{CN: "gantry-local", Orgs: []string{"system:masters"}}},
		{"controller-manager", Leaf{CN: "system:kube-controller-manager"}},
		{"scheduler", Leaf{CN: "system:kube-scheduler"}},
		{"kubelet", Leaf{CN: "system:node:" + s.Name, Orgs: []string{"system:nodes"}}},
		{"prometheus", Leaf{CN: PrometheusUser}},
		{"ipaas", Leaf{CN: account, Orgs: []string{"system:serviceaccounts", "system:serviceaccounts:" + IpaasNamespace}}},
	}
}

// Names under which the cluster knows Gantry's own identities. The local
// ipaas runs outside the cluster with a certificate that carries its service
// account's name, so the same role binds both.
const (
	IpaasNamespace = "gantry-system"
	IpaasAccount   = "ipaas"
	PrometheusUser = "gantry:prometheus"
)

func ensureSite(p layout.Paths, s layout.Site, now time.Time) error {
	ca, err := Open(p.PKI(s.Name, "ca"), "Kubernetes CA of "+s.Name, now)
	if err != nil {
		return err
	}
	if _, err := openKey(p.PKI(s.Name, "service-account.key")); err != nil {
		return err
	}
	for _, id := range SiteIdentities(s) {
		base := p.PKI(s.Name, id.File)
		if err := ca.Issue(base, id.Leaf, now); err != nil {
			return err
		}
		k := Kubeconfig{Cluster: s.Name, Server: s.APIServer(), CA: ca.File,
			User: id.File, Cert: base + ".crt", Key: base + ".key"}
		if err := k.Write(p.Kubeconfig(s.Name, id.File)); err != nil {
			return err
		}
	}
	return nil
}

func ensureUsers(p layout.Paths, now time.Time) error {
	signer, err := OpenSigner(p.PKI("jwt"))
	if err != nil {
		return err
	}
	if err := signer.WriteToken(p.Token("admin"), "admin", []string{OperatorGroup}, now); err != nil {
		return err
	}
	if err := signer.WriteToken(p.Token("dev"), "dev", []string{}, now); err != nil {
		return err
	}
	return writeCLIConfig(p)
}

func writeCLIConfig(p layout.Paths) error {
	data, err := yaml.Marshal(map[string]any{
		"current_context": "admin",
		"contexts":        []any{cliContext(p, "admin"), cliContext(p, "dev")},
	})
	if err != nil {
		return fmt.Errorf("command line configuration: %w", err)
	}
	return write(p.CLIConfig(), data, 0o600)
}

// demoProject is what commands without a project mean.
const demoProject = "demo"

func cliContext(p layout.Paths, user string) map[string]any {
	return map[string]any{
		"name": user, "server": layout.Portal,
		"ca_file": filepath.Join(p.Dir, "pki", "ca.crt"), "token_file": p.Token(user), "project": demoProject,
	}
}
