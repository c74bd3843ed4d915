package kube

import (
	"bytes"
	"context"
	_ "embed" // the stages are a manifest that people read
	"fmt"
	"strconv"

	"gantry.dev/services/gantry/internal/local/command"
	"gantry.dev/services/gantry/internal/local/layout"
	"gantry.dev/services/gantry/internal/local/probe"
	"gantry.dev/services/gantry/internal/local/supervisor"
	"sigs.k8s.io/yaml"
)

//go:embed stages.yaml
var stages string

// fakeNodes is how many simulated nodes a cluster has.
const fakeNodes = 3

// renderFake renders what a cluster without containers needs.
func renderFake(p layout.Paths, s layout.Site) ([]file, error) {
	registry, err := yaml.Marshal(registryConfig(p, s))
	if err != nil {
		return nil, err
	}
	nodes, err := nodeList(s)
	if err != nil {
		return nil, err
	}
	return []file{
		{p.Conf(s.Name, "registry.yaml"), registry},
		{p.Conf(s.Name, "roles.yaml"), []byte(roles)},
		{p.Conf(s.Name, "nodes.yaml"), nodes},
		{p.Conf(s.Name, "stages.yaml"), []byte(stages)},
	}, nil
}

func nodeList(s layout.Site) ([]byte, error) {
	var out bytes.Buffer
	for i := range fakeNodes {
		data, err := yaml.Marshal(fakeNode(s.Name + "-" + strconv.Itoa(i+1)))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "---\n%s", data)
	}
	return out.Bytes(), nil
}

func fakeNode(name string) map[string]any {
	size := map[string]string{"cpu": "4", "memory": "8Gi", "pods": "110"}
	return map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{
			"name": name, "annotations": map[string]string{"kwok.x-k8s.io/node": "fake"},
			"labels": map[string]string{"kubernetes.io/hostname": name, "type": "kwok"},
		},
		"status": map[string]any{"capacity": size, "allocatable": size},
	}
}

// kwok plays the kubelets of all nodes: it sets pods Running, and runs nothing.
func (c site) kwok() supervisor.Spec {
	return supervisor.Spec{
		Name: c.name("kwok"), Group: c.Name, Path: c.paths.Part("kwok"),
		After: []string{c.name("apiserver")},
		Args: []string{
			"--kubeconfig=" + c.paths.Kubeconfig(c.Name, "admin"), "--manage-all-nodes=true",
			"--config=" + c.paths.Conf(c.Name, "stages.yaml"), "--node-lease-duration-seconds=40",
			"--node-ip=" + c.HostIP, "--cidr=" + c.Network, "--server-address=" + layout.Join("127.0.0.1", c.KubeletHealthPort),
		},
		Probe: probe.HTTP("http://" + layout.Join("127.0.0.1", c.KubeletHealthPort) + "/healthz"),
		Then:  c.makeNodes,
	}
}

// makeNodes makes the simulated nodes and waits for the first to be ready.
func (c site) makeNodes(ctx context.Context) error {
	_, err := command.Run(ctx, c.paths.Part("kubectl"),
		"--kubeconfig="+c.paths.Kubeconfig(c.Name, "admin"), "--cache-dir="+c.paths.Run(c.Name, "kubectl"),
		"apply", "--server-side", "--force-conflicts", "--field-manager=gantry-local",
		"-f", c.paths.Conf(c.Name, "nodes.yaml"))
	if err != nil {
		return fmt.Errorf("make nodes: %w", err)
	}
	return probe.NodeReady(c.APIServer()+"/api/v1/nodes/"+c.Name+"-1", Admin(c.paths, c.Site))(ctx)
}
