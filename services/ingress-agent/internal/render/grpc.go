package render

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ingress-agent/internal/conftext"
)

// grpcUpstream is podsUpstream for gRPC: a kept connection to a pod speaks one
// protocol.
const grpcUpstream = "gantry_grpc_pods"

func grpcOf(r *gantryv1.HttpRules) bool {
	return r.GetProtocol() == gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC && r.GetRedirect() == nil
}

// maxGRPCName is the longest name of a header that Nginx's gRPC takes: its hash
// has buckets of a fixed size.
const maxGRPCName = 46

// checkGRPC refuses what would make Nginx refuse the files.
func checkGRPC(r Rules) error {
	if !r.GRPC {
		return nil
	}
	for _, h := range []Headers{r.Request, r.Response} {
		all := slices.Clone(h.Remove)
		for _, s := range h.Set {
			all = append(all, s.Name)
		}
		for _, name := range all {
			if len(name) > maxGRPCName {
				return fmt.Errorf("rules.protocol: with gRPC the name of a header has at most %d letters, %s has %d", maxGRPCName, name, len(name))
			}
		}
	}
	return nil
}

func (m Model) grpc() bool {
	return slices.ContainsFunc(m.Hosts, func(h Host) bool {
		return slices.ContainsFunc(h.Locations, func(l Location) bool { return l.Rules.GRPC })
	})
}

// grpcSide is proxySide and the upstream for gRPC; nothing when no location
// speaks it.
func grpcSide(m Model, env Env) []conftext.Node {
	if !m.grpc() {
		return nil
	}
	return append(asGRPC(proxySide(env)), podsBlock(grpcUpstream))
}

// asGRPC turns lines of the proxy into those of gRPC, which has most of them
// under another name.
func asGRPC(lines []conftext.Node) []conftext.Node {
	without := strings.Fields("proxy_http_version proxy_max_temp_file_size proxy_headers_hash_bucket_size")
	var out []conftext.Node
	for _, n := range lines {
		hop := n.Name == "proxy_set_header" && slices.Contains([]string{"Connection", "Upgrade"}, n.Arg(0))
		if hop || slices.Contains(without, n.Name) {
			continue
		}
		if rest, ok := strings.CutPrefix(n.Name, "proxy_"); ok {
			n.Name = "grpc_" + rest
		}
		out = append(out, n)
	}
	return out
}

// fromGRPC is the inverse for the lines of a location.
func fromGRPC(lines []conftext.Node) []conftext.Node {
	out := slices.Clone(lines)
	for i, n := range out {
		if rest, ok := strings.CutPrefix(n.Name, "grpc_"); ok {
			out[i].Name = "proxy_" + rest
		}
	}
	return out
}

// defaultRead is proxy_read_timeout in seconds.
const defaultRead = 300

// streamLines let a gRPC stream live as long as one without limits of its own
// may: the body is the stream.
func streamLines(l Limits) []conftext.Node {
	var lines []conftext.Node
	if l.BodyBytes == 0 {
		lines = append(lines, conftext.Line("client_max_body_size", "0"))
	}
	return append(lines, conftext.Line("client_body_timeout", strconv.Itoa(cmp.Or(l.Read, defaultRead))+"s"))
}
