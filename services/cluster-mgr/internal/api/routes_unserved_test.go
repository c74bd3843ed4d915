package api

import (
	"testing"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

func TestCheckServed(t *testing.T) {
	t.Parallel()
	unserved := []string{"path_match", "cors", "gzip", "protocol"}
	tests := []struct {
		route *gantryv1.Route
		field string
	}{
		{&gantryv1.Route{}, ""},
		{&gantryv1.Route{Rules: &gantryv1.HttpRules{Limits: &gantryv1.Limits{ReadSeconds: 3}}}, ""},
		{&gantryv1.Route{PathMatch: gantryv1.PathMatch_PATH_MATCH_PREFIX}, ""},
		{&gantryv1.Route{PathMatch: gantryv1.PathMatch_PATH_MATCH_EXACT}, "route.path_match"},
		{&gantryv1.Route{Rules: &gantryv1.HttpRules{Protocol: gantryv1.BackendProtocol_BACKEND_PROTOCOL_HTTP}}, ""},
		{&gantryv1.Route{Rules: &gantryv1.HttpRules{Protocol: gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC}}, "route.rules.protocol"},
		{&gantryv1.Route{Rules: &gantryv1.HttpRules{Gzip: true}}, "route.rules.gzip"},
		{&gantryv1.Route{Rules: &gantryv1.HttpRules{Cors: &gantryv1.Cors{}}}, "route.rules.cors"},
	}
	for _, tc := range tests {
		err := checkServed(tc.route, unserved)
		if tc.field == "" && err != nil || tc.field != "" && (!fault.HasReason(err, "RULE_NOT_SUPPORTED") || fault.From(err).Violations[0].Field != tc.field) {
			t.Errorf("%v: got %v, want %q", tc.route, err, tc.field)
		}
	}
}
