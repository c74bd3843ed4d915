package render

import (
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"gantry.dev/services/ipaas/internal/labels"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// Brought is what has to be in the cluster before an app's workload.
type Brought struct {
	Namespace *corev1ac.NamespaceApplyConfiguration
	// Nil without files of their own text.
	Config  *corev1ac.ConfigMapApplyConfiguration
	Secrets []*corev1ac.SecretApplyConfiguration
	Volumes []Volume
}

// Empty tells whether there is nothing.
func (b Brought) Empty() bool { return b.Config == nil && len(b.Secrets)+len(b.Volumes) == 0 }

// Bring gives the objects of a request. Faults: those of Config, Secret and
// VolumeOf.
func Bring(r *ipaasv1.ApplyConfigRequest) (Brought, error) {
	id, err := labels.Parse(r.GetApp())
	if err != nil {
		return Brought{}, err
	}
	out := Brought{Namespace: Namespace(id)}
	if out.Config, err = Config(r.GetApp(), r.GetRelease(), r.GetFiles()); err != nil {
		return Brought{}, err
	}
	for _, content := range r.GetSecrets() {
		secret, err := Secret(id, r.GetRelease(), content)
		if err != nil {
			return Brought{}, err
		}
		out.Secrets = append(out.Secrets, secret)
	}
	for _, v := range r.GetVolumes() {
		volume, err := VolumeOf(id, v)
		if err != nil {
			return Brought{}, err
		}
		out.Volumes = append(out.Volumes, volume)
	}
	return out, nil
}
