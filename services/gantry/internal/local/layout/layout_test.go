package layout

import (
	"net"
	"testing"
)

func TestSitesShareNothing(t *testing.T) {
	a, b := Sites()[0], Sites()[1]
	if a.Name != GroupSiteA || b.Name != GroupSiteB || a.APIServer() != "https://10.111.0.1:6443" || b.Registry() != "10.112.0.1:5000" {
		t.Errorf("sites are %+v and %+v", a, b)
	}
	seen := map[string]string{}
	for _, s := range Sites() {
		for _, port := range []int{s.EtcdPort, s.EtcdPeerPort, s.ControllerPort, s.SchedulerPort, s.KubeletHealthPort} {
			at := Join("127.0.0.1", port)
			if other := seen[at]; other != "" {
				t.Errorf("%s of %s belongs to %s", at, s.Name, other)
			}
			seen[at] = s.Name
		}
		_, network, err := net.ParseCIDR(s.Network)
		if err != nil {
			t.Fatal(err)
		}
		for _, ip := range []string{s.HostIP, s.PodFirst, s.PodLast} {
			if !network.Contains(net.ParseIP(ip)) {
				t.Errorf("%s is not in %s", ip, s.Network)
			}
		}
	}
	if got := a.ServiceIP(); got != "10.121.0.1" {
		t.Errorf("service address %s", got)
	}
}

func TestLinkNamesFitTheKernel(t *testing.T) {
	names := []string{LBBridge}
	for _, s := range Sites() {
		names = append(names, s.Bridge)
	}
	for _, n := range append(Balancers(), Client()) {
		names = append(names, n.Port)
	}
	for _, name := range names {
		if len(name) > 15 {
			t.Errorf("%s has %d bytes, the kernel takes 15", name, len(name))
		}
	}
}

func TestPaths(t *testing.T) {
	p := Paths{Dir: "/x/.local"}
	tests := map[string]string{
		p.Part("etcd"):                   "/x/.local/parts/bin/etcd",
		p.Log("etcd"):                    "/x/.local/log/etcd.log",
		p.Data("site-a", "etcd"):         "/x/.local/data/site-a/etcd",
		p.Kubeconfig("site-a", "admin"):  "/x/.local/pki/site-a/admin.kubeconfig",
		p.Token("dev"):                   "/x/.local/tokens/dev.jwt",
		p.Socket():                       "/x/.local/run/supervisor.sock",
		p.Conf("site-b", "kubelet.yaml"): "/x/.local/conf/site-b/kubelet.yaml",
	}
	for got, want := range tests {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
