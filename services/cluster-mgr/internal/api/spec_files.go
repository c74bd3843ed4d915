package api

import (
	"fmt"
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// maxFilesBytes bounds all files of an app: the app and its release are stored
// in one transaction, and etcd takes 1.5 MiB.
const maxFilesBytes = 512 << 10

// closedPaths belong to the kernel and the container runtime.
func closedPaths() []string { return []string{"/proc", "/sys", "/dev"} }

// mounted is one thing that an app wants at a path.
type mounted struct {
	field, path string
	// "file" or "volume".
	what string
}

// mountRules refuse files and volumes that no container could have at once.
// That each path is absolute and clean is a rule of the proto.
func mountRules(spec *gantryv1.AppSpec) error {
	all := mountsOf(spec)
	for i, m := range all {
		for _, closed := range closedPaths() {
			if below, same := within(m.path, closed); below || same {
				return invalid(m.field, "%s is in %s, which belongs to the system", m.path, closed)
			}
		}
		for _, other := range all[:i] {
			if err := apart(m, other); err != nil {
				return err
			}
		}
	}
	return fileSizes(spec)
}

func mountsOf(spec *gantryv1.AppSpec) []mounted {
	var all []mounted
	for i, f := range spec.GetFiles() {
		all = append(all, mounted{fmt.Sprintf("app.spec.files[%d].path", i), f.GetPath(), "file"})
	}
	for i, m := range spec.GetVolumes() {
		all = append(all, mounted{fmt.Sprintf("app.spec.volumes[%d].path", i), m.GetPath(), "volume"})
	}
	return all
}

func fileSizes(spec *gantryv1.AppSpec) error {
	size := 0
	for i, f := range spec.GetFiles() {
		if size += len(f.GetContent()); size > maxFilesBytes {
			return invalid(fmt.Sprintf("app.spec.files[%d].content", i), "the files of an app may have %d bytes together, these have more; put large ones into the image", maxFilesBytes)
		}
	}
	return nil
}

// apart refuses two mounts of which one would be in the other: a file has
// nothing in it, and what is mounted into a volume leaves a trace on it.
func apart(m, other mounted) error {
	below, same := within(m.path, other.path)
	above, _ := within(other.path, m.path)
	switch {
	case same:
		return invalid(m.field, "%s is listed twice", m.path)
	case below:
		return invalid(m.field, "%s would be in %s, which is a %s", m.path, other.path, other.what)
	case above:
		return invalid(m.field, "%s is a %s, and %s would be in it", m.path, m.what, other.path)
	}
	return nil
}

// within tells whether a clean path is below another, or the same.
func within(path, dir string) (below, same bool) {
	return strings.HasPrefix(path, dir+"/"), path == dir
}
