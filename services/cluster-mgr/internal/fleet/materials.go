package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
)

func volumes(ctx context.Context, s *store.Store) (map[string]*gantryv1.Volume, error) {
	list, _, err := s.Volumes.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	out := make(map[string]*gantryv1.Volume, len(list))
	for _, v := range list {
		out[v.Name] = v.Value
	}
	return out, nil
}

// SecretNames are the secrets that an app uses, in name order.
func SecretNames(spec *gantryv1.AppSpec) []string {
	used := map[string]bool{}
	for _, e := range spec.GetEnv() {
		used[e.GetSecret().GetSecret()] = true
	}
	for _, f := range spec.GetFiles() {
		used[f.GetSecret().GetSecret()] = true
	}
	delete(used, "")
	return slices.Sorted(maps.Keys(used))
}

// VolumeNames are the volumes that an app mounts, in name order.
func VolumeNames(spec *gantryv1.AppSpec) []string {
	if len(spec.GetVolumes()) == 0 {
		return nil
	}
	used := map[string]bool{}
	for _, m := range spec.GetVolumes() {
		used[m.GetVolume()] = true
	}
	return slices.Sorted(maps.Keys(used))
}

// Brings tells whether an app needs anything to be in a cluster before its
// workload: files, secrets or volumes.
func Brings(spec *gantryv1.AppSpec) bool {
	return len(spec.GetFiles()) > 0 || len(spec.GetVolumes()) > 0 ||
		slices.ContainsFunc(spec.GetEnv(), func(e *gantryv1.EnvVar) bool { return e.GetSecret() != nil })
}

// VolumesIn are the volumes that an app mounts as a cluster finds them: each
// with the source of that cluster only.
func (s Snapshot) VolumesIn(app *gantryv1.App, cluster string) []*gantryv1.Volume {
	var out []*gantryv1.Volume
	for _, name := range VolumeNames(app.GetSpec()) {
		volume := s.Volumes[name]
		if source := sourceIn(volume, cluster); source != nil {
			out = append(out, &gantryv1.Volume{Name: name, Capacity: volume.GetCapacity(), Sources: []*gantryv1.VolumeSource{source}})
		}
	}
	return out
}

// Lacks are the names of the volumes of an app that are not in a cluster.
func (s Snapshot) Lacks(app *gantryv1.App, cluster string) []string {
	return slices.DeleteFunc(VolumeNames(app.GetSpec()), func(name string) bool { return sourceIn(s.Volumes[name], cluster) != nil })
}

func sourceIn(v *gantryv1.Volume, cluster string) *gantryv1.VolumeSource {
	for _, source := range v.GetSources() {
		if source.GetCluster() == cluster {
			return source
		}
	}
	return nil
}
