package local

import (
	"context"
	"net"
	"strconv"
	"syscall"

	"gantry.dev/services/gantry/internal/local/cgroup"
	"gantry.dev/services/gantry/internal/local/layout"
)

// addresses are all that the platform's processes listen on in the host's own
// network; those of the balancers are in namespaces that nobody else uses.
func addresses(plan layout.Plan) []string {
	all := []string{
		plan.HostIP + ":2379", "127.0.0.1:2380", "127.0.0.1:9490", "127.0.0.1:9493",
		plan.HostIP + ":7001", plan.HostIP + ":7002",
		"127.0.0.1:7090", "127.0.0.1:7091", "127.0.0.1:7092", "127.0.0.1:8443",
	}
	for _, s := range plan.Sites {
		for _, port := range s.Ports() {
			all = append(all, s.At(port))
		}
		for _, port := range []int{s.EtcdPort, s.EtcdPeerPort, s.ControllerPort, s.SchedulerPort, s.KubeletHealthPort} {
			all = append(all, "127.0.0.1:"+strconv.Itoa(port))
		}
	}
	return all
}

// checkPorts tries to listen. What a crashed platform left behind does not
// count: Up removes it.
func checkPorts(ctx context.Context, o Options) []Problem {
	if tree, err := cgroup.Find(cgroupRoot); o.Nodes == NodesReal && err == nil && len(tree.PIDs("")) > 0 {
		return nil
	}
	var problems []Problem
	// The bridges' addresses do not exist yet; the kernel is asked to accept that.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return c.Control(bindFreely) }}
	for _, address := range addresses(o.plan()) {
		listener, err := config.Listen(ctx, "tcp4", address)
		if err != nil {
			problems = append(problems, Problem{"port " + address + ": " + err.Error(),
				"see who has it (ss -ltnp) and end that program"})
			continue
		}
		_ = listener.Close()
	}
	return problems
}
