package render

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/labels"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// defaultCapacity of a volume that names none.
const defaultCapacity = "1Gi"

// SourceHash is the annotation that tells volumes with different sources apart:
// Kubernetes does not change the source of one.
const SourceHash = "gantry.dev/source"

// Volume is what a project's volume is in a cluster: storage that is there
// already, and the claim by which the project's pods mount it. Nothing is
// provisioned, and nothing is deleted with it.
type Volume struct {
	Volume *corev1ac.PersistentVolumeApplyConfiguration
	// Belongs to the project's namespace.
	Claim *corev1ac.PersistentVolumeClaimApplyConfiguration
}

// VolumeOf gives the objects of a volume with one source. Faults: VOLUME_NAME,
// VOLUME_SOURCE, QUANTITY.
func VolumeOf(id labels.ID, v *gantryv1.Volume) (Volume, error) {
	if err := checkVolume(id, v.GetName()); err != nil {
		return Volume{}, err
	}
	if len(v.GetSources()) != 1 {
		return Volume{}, fault.Invalid("VOLUME_SOURCE", "%s has %d sources for this cluster, want one", v.GetName(), len(v.GetSources()))
	}
	text := v.GetCapacity()
	if text == "" {
		text = defaultCapacity
	}
	capacity, err := quantity("capacity", text)
	if err != nil {
		return Volume{}, err
	}
	hash, err := sourceHash(v)
	if err != nil {
		return Volume{}, err
	}
	claim, volume := names.ID(v.GetName()), id.Namespace()+"."+names.ID(v.GetName())
	all, room := labels.OfVolume(id.Project, names.ID(v.GetName())), corev1.ResourceList{corev1.ResourceStorage: capacity}
	return Volume{
		Volume: corev1ac.PersistentVolume(volume).
			WithLabels(all).
			WithAnnotations(map[string]string{SourceHash: hash}).
			WithSpec(source(v.GetSources()[0]).
				WithCapacity(room).
				WithAccessModes(corev1.ReadWriteMany).
				WithVolumeMode(corev1.PersistentVolumeFilesystem).
				WithPersistentVolumeReclaimPolicy(corev1.PersistentVolumeReclaimRetain).
				WithStorageClassName("").
				WithClaimRef(corev1ac.ObjectReference().WithKind("PersistentVolumeClaim").WithAPIVersion("v1").WithNamespace(id.Namespace()).WithName(claim))),
		Claim: corev1ac.PersistentVolumeClaim(claim, id.Namespace()).
			WithLabels(all).
			WithSpec(corev1ac.PersistentVolumeClaimSpec().
				WithAccessModes(corev1.ReadWriteMany).
				WithVolumeMode(corev1.PersistentVolumeFilesystem).
				WithStorageClassName("").
				WithVolumeName(volume).
				WithResources(corev1ac.VolumeResourceRequirements().WithRequests(room))),
	}, nil
}

func checkVolume(id labels.ID, volume string) error {
	if names.Parent(volume)+"/volumes/"+names.ID(volume) != volume || names.Project(volume) != id.Project {
		return fault.Invalid("VOLUME_NAME", "%q is no volume of the project of %s", volume, id.Name())
	}
	return nil
}

// sourceHash is of what Kubernetes cannot change.
func sourceHash(v *gantryv1.Volume) (string, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&gantryv1.Volume{Capacity: v.GetCapacity(), Sources: v.GetSources()})
	if err != nil {
		return "", fault.Internal("VOLUME_SOURCE", "encode %s: %w", v.GetName(), err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:hashBytes]), nil
}

func source(s *gantryv1.VolumeSource) *corev1ac.PersistentVolumeSpecApplyConfiguration {
	spec := corev1ac.PersistentVolumeSpec()
	switch {
	case s.GetNfs() != nil:
		return spec.WithNFS(corev1ac.NFSVolumeSource().WithServer(s.GetNfs().GetServer()).WithPath(s.GetNfs().GetPath()))
	case s.GetCsi() != nil:
		return spec.WithCSI(csi(s.GetCsi()))
	}
	// It has to be there: a directory made by the kubelet would be another
	// one on each node.
	return spec.WithHostPath(corev1ac.HostPathVolumeSource().WithPath(s.GetDirectory()).WithType(corev1.HostPathDirectory))
}

func csi(c *gantryv1.CsiVolume) *corev1ac.CSIPersistentVolumeSourceApplyConfiguration {
	out := corev1ac.CSIPersistentVolumeSource().WithDriver(c.GetDriver()).WithVolumeHandle(c.GetVolumeHandle())
	if len(c.GetAttributes()) > 0 {
		out.WithVolumeAttributes(c.GetAttributes())
	}
	if namespace, name, ok := strings.Cut(c.GetNodeSecret(), "/"); ok {
		out.WithNodeStageSecretRef(corev1ac.SecretReference().WithNamespace(namespace).WithName(name))
	}
	return out
}

func volumeName(volume string) string { return "volume-" + names.ID(volume) }

func volumeMounts(mounts []*gantryv1.VolumeMount) []*corev1ac.VolumeMountApplyConfiguration {
	var all []*corev1ac.VolumeMountApplyConfiguration
	for _, m := range mounts {
		mount := corev1ac.VolumeMount().WithName(volumeName(m.GetVolume())).WithMountPath(m.GetPath())
		if m.GetReadOnly() {
			mount.WithReadOnly(true)
		}
		all = append(all, mount)
	}
	return all
}

// claimVolumes are those of a pod, one per volume.
func claimVolumes(mounts []*gantryv1.VolumeMount) []*corev1ac.VolumeApplyConfiguration {
	var all []*corev1ac.VolumeApplyConfiguration
	seen := map[string]bool{}
	for _, m := range mounts {
		if seen[m.GetVolume()] {
			continue
		}
		seen[m.GetVolume()] = true
		all = append(all, corev1ac.Volume().WithName(volumeName(m.GetVolume())).WithPersistentVolumeClaim(
			corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(names.ID(m.GetVolume()))))
	}
	return all
}

// checkMounts refuses what no container could be started with: two things at
// one path, or one inside a volume.
func checkMounts(id labels.ID, spec *gantryv1.AppSpec) error {
	taken := make([]string, 0, len(spec.GetFiles())+len(spec.GetVolumes()))
	for _, f := range spec.GetFiles() {
		taken = append(taken, f.GetPath())
	}
	for _, m := range spec.GetVolumes() {
		if err := checkVolume(id, m.GetVolume()); err != nil {
			return err
		}
		if err := checkPath(&gantryv1.ConfigFile{Path: m.GetPath()}, nil); err != nil {
			return err
		}
		for _, other := range taken {
			if strings.HasPrefix(m.GetPath()+"/", other+"/") || strings.HasPrefix(other+"/", m.GetPath()+"/") {
				return pathFault(&gantryv1.ConfigFile{Path: m.GetPath()}, "and "+other+" are in one another")
			}
		}
		taken = append(taken, m.GetPath())
	}
	return nil
}
