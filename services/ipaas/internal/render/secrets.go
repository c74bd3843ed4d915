package render

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/labels"
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// SecretName is the name of the object that holds one version of a secret for
// an app. Like that of the configuration it tells the content: another version
// is another object, and the template that names it changes.
func SecretName(id labels.ID, secret, version string) string {
	return id.App + "." + names.ID(secret) + "-" + version[len("sha256:"):][:2*hashBytes]
}

// Secret gives the object of one version of a secret for an app. Faults:
// SECRET_NAME, SECRET_VERSION.
func Secret(id labels.ID, release int32, content *ipaasv1.SecretContent) (*corev1ac.SecretApplyConfiguration, error) {
	if err := checkSecret(id, content.GetName(), content.GetVersion()); err != nil {
		return nil, err
	}
	data := content.GetData()
	if data == nil {
		data = map[string][]byte{}
	}
	return corev1ac.Secret(SecretName(id, content.GetName(), content.GetVersion()), id.Namespace()).
		WithLabels(id.All(release)).
		WithType(corev1.SecretTypeOpaque).
		WithImmutable(true).
		WithData(data), nil
}

func checkSecret(id labels.ID, secret, v string) error {
	if names.Parent(secret)+"/secrets/"+names.ID(secret) != secret || names.Project(secret) != id.Project {
		return fault.Invalid("SECRET_NAME", "%q is no secret of the project of %s", secret, id.Name())
	}
	sum, ok := strings.CutPrefix(v, "sha256:")
	if b, err := hex.DecodeString(sum); !ok || err != nil || len(b) != 32 {
		return fault.Invalid("SECRET_VERSION", "%q is no version of %s; a workload names one for each secret that it uses", v, secret)
	}
	return nil
}

// checkVersions refuses a workload that uses a secret of which it names no
// version.
func checkVersions(id labels.ID, w *ipaasv1.Workload) error {
	for _, secret := range secretsOf(w.GetSpec()) {
		if err := checkSecret(id, secret, w.GetSecretVersions()[secret]); err != nil {
			return err
		}
	}
	return nil
}

// secretsOf are the secrets that an app uses, in name order.
func secretsOf(spec *gantryv1.AppSpec) []string {
	var all []string
	for _, e := range spec.GetEnv() {
		all = append(all, e.GetSecret().GetSecret())
	}
	for _, f := range spec.GetFiles() {
		all = append(all, f.GetSecret().GetSecret())
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(name string) bool { return name == "" })
}

// secretFiles are the files whose content is in a secret, in path order.
func secretFiles(files []*gantryv1.ConfigFile) []*gantryv1.ConfigFile {
	return slices.DeleteFunc(byPath(files), func(f *gantryv1.ConfigFile) bool { return f.GetSecret() == nil })
}

func secretVolume(secret string) string { return "secret-" + names.ID(secret) }

// secretMounts puts values of secrets into the container, each at its own path
// like the other files.
func secretMounts(files []*gantryv1.ConfigFile) []*corev1ac.VolumeMountApplyConfiguration {
	var all []*corev1ac.VolumeMountApplyConfiguration
	for _, f := range secretFiles(files) {
		all = append(all, corev1ac.VolumeMount().
			WithName(secretVolume(f.GetSecret().GetSecret())).
			WithMountPath(f.GetPath()).
			WithSubPath(f.GetSecret().GetKey()).
			WithReadOnly(true))
	}
	return all
}

// secretVolumes are those of a pod; only the keys that are mounted are in them.
func secretVolumes(id labels.ID, w *ipaasv1.Workload) []*corev1ac.VolumeApplyConfiguration {
	var all []*corev1ac.VolumeApplyConfiguration
	for _, secret := range secretsOf(&gantryv1.AppSpec{Files: w.GetSpec().GetFiles()}) {
		source := corev1ac.SecretVolumeSource().
			WithSecretName(SecretName(id, secret, w.GetSecretVersions()[secret])).
			WithDefaultMode(fileMode)
		for _, key := range keysOf(secret, w.GetSpec().GetFiles()) {
			source.WithItems(corev1ac.KeyToPath().WithKey(key).WithPath(key))
		}
		all = append(all, corev1ac.Volume().WithName(secretVolume(secret)).WithSecret(source))
	}
	return all
}

// keysOf are the keys of a secret that files take, in order.
func keysOf(secret string, files []*gantryv1.ConfigFile) []string {
	var keys []string
	for _, f := range files {
		if f.GetSecret().GetSecret() == secret {
			keys = append(keys, f.GetSecret().GetKey())
		}
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return slices.Compact(keys)
}
