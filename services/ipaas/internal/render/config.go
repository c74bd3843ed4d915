package render

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/labels"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// configVolume is the name of the volume of an app's configuration files.
const configVolume = "config"

// fileMode lets every user in the container read a configuration file.
const fileMode int32 = 0o644

// maxConfig is what Kubernetes takes in one ConfigMap, in bytes.
const maxConfig = 1 << 20

// hashBytes of the content's SHA-256 are in the name.
const hashBytes = 10

// ConfigName is the name of the object that holds these files of an app: it
// tells the content, so another content is another object, and a release that
// names it finds the same files for ever. Empty without files of its own text. The order of
// the files makes no difference.
func ConfigName(id labels.ID, files []*gantryv1.ConfigFile) string {
	files = plain(files)
	if len(files) == 0 {
		return ""
	}
	// The lengths keep texts apart that look the same when joined.
	sum := sha256.New()
	for _, f := range byPath(files) {
		for _, text := range []string{f.GetPath(), f.GetContent()} {
			_ = binary.Write(sum, binary.BigEndian, uint64(len(text))) // a hash takes everything
			_, _ = sum.Write([]byte(text))
		}
	}
	return id.App + "-" + hex.EncodeToString(sum.Sum(nil)[:hashBytes])
}

// Config gives the object of an app's configuration files, nil without files.
// Its release is the newest that is known to use it. Faults: APP_NAME,
// PROJECT_RESERVED, CONFIG_PATH, CONFIG_TOO_LARGE.
func Config(app string, release int32, files []*gantryv1.ConfigFile) (*corev1ac.ConfigMapApplyConfiguration, error) {
	id, err := labels.Parse(app)
	if err != nil {
		return nil, err
	}
	if err := checkFiles(files); err != nil {
		return nil, err
	}
	files = plain(files)
	if len(files) == 0 {
		return nil, nil
	}
	data := map[string]string{}
	for i, f := range byPath(files) {
		data[fileKey(i, f)] = f.GetContent()
	}
	return corev1ac.ConfigMap(ConfigName(id, files), id.Namespace()).
		WithLabels(id.All(release)).
		WithImmutable(true).
		WithData(data), nil
}

// mounts puts the files into the container, each at its own path: what the
// image has beside them stays visible, which a volume over the whole directory
// would hide. A file mounted like this never changes in a running pod. Here it
// need not: another content is another object, so the template changes and the
// pods are replaced.
func mounts(files []*gantryv1.ConfigFile) []*corev1ac.VolumeMountApplyConfiguration {
	var all []*corev1ac.VolumeMountApplyConfiguration
	for i, f := range byPath(plain(files)) {
		all = append(all, corev1ac.VolumeMount().
			WithName(configVolume).
			WithMountPath(f.GetPath()).
			WithSubPath(fileKey(i, f)).
			WithReadOnly(true))
	}
	return all
}

// volumes are those of a pod.
func volumes(id labels.ID, files []*gantryv1.ConfigFile) []*corev1ac.VolumeApplyConfiguration {
	if len(plain(files)) == 0 {
		return nil
	}
	return []*corev1ac.VolumeApplyConfiguration{corev1ac.Volume().WithName(configVolume).WithConfigMap(
		corev1ac.ConfigMapVolumeSource().WithName(ConfigName(id, files)).WithDefaultMode(fileMode))}
}

// fileKey is a file's key in the object: a whole path is too long for one, and
// names alone need not differ.
func fileKey(i int, f *gantryv1.ConfigFile) string {
	return fmt.Sprintf("%02d-%s", i, path.Base(f.GetPath()))
}

// plain are the files whose content is with them; that of the others is in a
// secret.
func plain(files []*gantryv1.ConfigFile) []*gantryv1.ConfigFile {
	return slices.DeleteFunc(slices.Clone(files), func(f *gantryv1.ConfigFile) bool { return f.GetSecret() != nil })
}

func byPath(files []*gantryv1.ConfigFile) []*gantryv1.ConfigFile {
	return slices.SortedFunc(slices.Values(files), func(a, b *gantryv1.ConfigFile) int { return cmp.Compare(a.GetPath(), b.GetPath()) })
}

// checkFiles refuses what no container could be started with.
func checkFiles(files []*gantryv1.ConfigFile) error {
	seen, size := map[string]bool{}, 0
	for _, f := range files {
		if seen[f.GetPath()] {
			return pathFault(f, "is there twice")
		}
		seen[f.GetPath()] = true
		size += len(f.GetContent())
	}
	for _, f := range files {
		if err := checkPath(f, seen); err != nil {
			return err
		}
	}
	if size > maxConfig {
		return fault.Invalid("CONFIG_TOO_LARGE", "the configuration files have %d bytes together, Kubernetes takes %d; put large ones into the image", size, maxConfig).
			With(fault.Violation{Field: "files", Description: "must not be larger than 1 MiB together"})
	}
	return nil
}

func checkPath(f *gantryv1.ConfigFile, files map[string]bool) error {
	if !path.IsAbs(f.GetPath()) || path.Clean(f.GetPath()) != f.GetPath() || f.GetPath() == "/" {
		return pathFault(f, "is no absolute and clean path of a file")
	}
	for _, kernels := range []string{"/proc", "/sys", "/dev"} {
		if f.GetPath() == kernels || strings.HasPrefix(f.GetPath(), kernels+"/") {
			return pathFault(f, "belongs to the kernel")
		}
	}
	for dir := path.Dir(f.GetPath()); dir != "/"; dir = path.Dir(dir) {
		if files[dir] {
			return pathFault(f, "is below "+dir+", which is a file itself")
		}
	}
	return nil
}

func pathFault(f *gantryv1.ConfigFile, why string) error {
	return fault.Invalid("CONFIG_PATH", "the configuration file %q %s; choose another path", f.GetPath(), why).
		With(fault.Violation{Field: "files.path", Description: fmt.Sprintf("%q %s", f.GetPath(), why)})
}
