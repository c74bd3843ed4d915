package fleet

import (
	"fmt"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"k8s.io/apimachinery/pkg/api/resource"
)

// What an app gets that does not say.
const (
	defaultCPU    = "1"
	defaultMemory = "1Gi"
)

// PerReplica is what one replica requests.
func PerReplica(r *gantryv1.Resources) (placement.Resources, error) {
	cpu, err := quantity(r.GetCpu(), defaultCPU)
	if err != nil {
		return placement.Resources{}, fmt.Errorf("cpu: %w", err)
	}
	memory, err := quantity(r.GetMemory(), defaultMemory)
	if err != nil {
		return placement.Resources{}, fmt.Errorf("memory: %w", err)
	}
	return placement.Resources{MilliCPU: cpu.MilliValue(), MemoryBytes: memory.Value()}, nil
}

func quantity(s, byDefault string) (resource.Quantity, error) {
	if s == "" {
		s = byDefault
	}
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return q, fmt.Errorf("%q: %w", s, err)
	}
	return q, nil
}
