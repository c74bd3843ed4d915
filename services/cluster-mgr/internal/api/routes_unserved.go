package api

import (
	"cmp"
	"slices"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkServed refuses what the load balancers do not serve: a rule that is
// taken and passed over would let in whom it keeps out.
func checkServed(r *gantryv1.Route, unserved []string) error {
	field := ""
	if r.GetPathMatch() == gantryv1.PathMatch_PATH_MATCH_EXACT && slices.Contains(unserved, "path_match") {
		field = "route.path_match"
	}
	r.GetRules().ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		plain := f.Name() == "protocol" && r.GetRules().GetProtocol() == gantryv1.BackendProtocol_BACKEND_PROTOCOL_HTTP
		if !plain && slices.Contains(unserved, string(f.Name())) {
			field = cmp.Or(field, "route.rules."+string(f.Name()))
		}
		return true
	})
	if field == "" {
		return nil
	}
	f := fault.Invalid("RULE_NOT_SUPPORTED", "%s: the load balancers of this version do not serve it; leave it out", field)
	return f.With(fault.Violation{Field: field, Description: "the load balancers of this version do not serve it; leave it out"})
}
