package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/fleet"
	"google.golang.org/protobuf/proto"
)

// check refuses what the fields' own rules cannot see.
func (s *appService) check(ctx context.Context, spec *gantryv1.AppSpec) error {
	if spec.GetImage() == "" {
		return invalid("app.spec.image", "an app needs an image, for example hello:v1")
	}
	if err := wellFormed(spec); err != nil {
		return err
	}
	for i, p := range spec.GetPlacement().GetClusters() {
		if _, err := s.Store.Clusters.Get(ctx, p.GetCluster()); err != nil {
			return unknownCluster(fmt.Sprintf("app.spec.placement.clusters[%d].cluster", i), p.GetCluster(), err)
		}
	}
	return nil
}

// wellFormed holds the rules of one spec by itself, also of one that a mask
// has put together.
func wellFormed(spec *gantryv1.AppSpec) error {
	if err := wellFormedAs("app.spec", spec); err != nil {
		return err
	}
	for _, rule := range []func(*gantryv1.AppSpec) error{
		portRules, envRules, resourceRules, mountRules, singleRules, placementRules, autoscaleRules,
	} {
		if err := rule(spec); err != nil {
			return err
		}
	}
	return nil
}

// wellFormedAs holds the rules of a message's proto; field is where it stands
// in the request.
func wellFormedAs(field string, m proto.Message) error {
	var wrong *protovalidate.ValidationError
	err := protovalidate.Validate(m)
	if err == nil {
		return nil
	}
	if !errors.As(err, &wrong) {
		return fault.Internal("VALIDATION_FAILED", "check %s: %w", field, err)
	}
	var list []fault.Violation
	var words []string
	for _, v := range wrong.Violations {
		at := field
		if path := protovalidate.FieldPathString(v.Proto.GetField()); path != "" {
			at += "." + path
		}
		list = append(list, fault.Violation{Field: at, Description: v.Proto.GetMessage()})
		words = append(words, at+": "+v.Proto.GetMessage())
	}
	return fault.Invalid("INVALID_FIELDS", "%s", strings.Join(words, "; ")).With(list...)
}

func portRules(spec *gantryv1.AppSpec) error {
	taken := map[any]bool{}
	for i, p := range spec.GetPorts() {
		for _, key := range []any{p.GetPort(), p.GetName()} {
			if taken[key] {
				return invalid(fmt.Sprintf("app.spec.ports[%d]", i), "%v is listed twice", key)
			}
			taken[key] = true
		}
	}
	for _, c := range []struct {
		field string
		check *gantryv1.HealthCheck
	}{{"readiness", spec.GetReadiness()}, {"liveness", spec.GetLiveness()}} {
		if c.check != nil && !taken[c.check.GetPort()] {
			return invalid("app.spec."+c.field+".port", "%d is none of the app's ports", c.check.GetPort())
		}
	}
	return nil
}

func envRules(spec *gantryv1.AppSpec) error {
	set := map[string]bool{}
	for i, e := range spec.GetEnv() {
		if set[e.GetName()] {
			return invalid(fmt.Sprintf("app.spec.env[%d].name", i), "%s is set twice", e.GetName())
		}
		set[e.GetName()] = true
	}
	return nil
}

// resourceRules refuse those with which nothing runs.
func resourceRules(spec *gantryv1.AppSpec) error {
	r := spec.GetResources()
	per, err := fleet.PerReplica(r)
	if err != nil {
		return invalid("app.spec.resources", "%v", err)
	}
	if per.MilliCPU == 0 || per.MemoryBytes == 0 {
		return invalid("app.spec.resources", "cpu and memory must be more than 0")
	}
	limit, err := fleet.PerReplica(&gantryv1.Resources{Cpu: r.GetCpuLimit()})
	if err != nil {
		return invalid("app.spec.resources.cpu_limit", "%v", err)
	}
	if r.GetCpuLimit() != "" && limit.MilliCPU < per.MilliCPU {
		return invalid("app.spec.resources.cpu_limit", "%s is less than the request", r.GetCpuLimit())
	}
	return nil
}

// singleRules hold what class SINGLE promises: never two copies (rule C5).
func singleRules(spec *gantryv1.AppSpec) error {
	if spec.GetClass() != gantryv1.AppClass_APP_CLASS_SINGLE {
		return nil
	}
	if spec.GetReplicas() > 1 {
		return invalid("app.spec.replicas", "an app of class SINGLE has 1 replica or none, not %d", spec.GetReplicas())
	}
	if spec.GetAutoscale() != nil {
		return invalid("app.spec.autoscale", "an app of class SINGLE cannot be autoscaled; remove the policy, or the class")
	}
	minima := int32(0)
	for i, p := range spec.GetPlacement().GetClusters() {
		if minima += p.GetMin(); minima > 1 {
			return invalid(fmt.Sprintf("app.spec.placement.clusters[%d].min", i), "an app of class SINGLE runs in one cluster at a time")
		}
	}
	return nil
}

func placementRules(spec *gantryv1.AppSpec) error {
	seen := map[string]bool{}
	for i, p := range spec.GetPlacement().GetClusters() {
		field := fmt.Sprintf("app.spec.placement.clusters[%d]", i)
		switch {
		case seen[p.GetCluster()]:
			return invalid(field+".cluster", "%s is listed twice", p.GetCluster())
		case p.GetMax() > 0 && p.GetMin() > p.GetMax():
			return invalid(field+".min", "%d is larger than max %d", p.GetMin(), p.GetMax())
		case p.GetPriority() > 0 && spec.GetPlacement().GetStrategy() != gantryv1.Placement_STRATEGY_ORDERED:
			return invalid(field+".priority", "a priority counts with the strategy ORDERED only; set app.spec.placement.strategy, or use weight")
		}
		seen[p.GetCluster()] = true
	}
	return nil
}

func unknownCluster(field, name string, err error) error {
	if fault.Is(err, fault.KindNotFound) {
		return invalid(field, "there is no %s; `gantry get clusters` lists them", name)
	}
	return err
}

func invalid(field, format string, args ...any) error {
	f := fault.Invalid("INVALID_FIELDS", format, args...)
	f.Violations = []fault.Violation{{Field: field, Description: f.Message}}
	f.Message = field + ": " + f.Message
	return f
}
