package output

import (
	"strings"

	"gantry.dev/pkg/names"
	"google.golang.org/protobuf/proto"
)

// Last returns the last part of a resource name: "web" for
// "projects/pay/apps/web".
func Last(name string) string { return names.ID(name) }

// Short turns a resource name into what the command line takes: "app/web",
// "cluster/site-b", "decision/7".
func Short(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) < 2 {
		return name
	}
	kind := strings.TrimSuffix(parts[len(parts)-2], "s")
	return kind + "/" + parts[len(parts)-1]
}

// ShortName is Short of a resource's own name.
func ShortName(m proto.Message) string {
	named, ok := m.(interface{ GetName() string })
	if !ok {
		return ""
	}
	if strings.Contains(named.GetName(), "/") {
		return Short(named.GetName())
	}
	return strings.ToLower(string(m.ProtoReflect().Descriptor().Name())) + "/" + named.GetName()
}

// enumWord turns "STATE_AWAITING_APPROVAL" into "AwaitingApproval".
func enumWord(name, prefix string) string {
	words := strings.Split(strings.ToLower(strings.TrimPrefix(name, prefix)), "_")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}
