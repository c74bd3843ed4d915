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

// fileRules refuse those that no container could have at once. That each path is
// absolute and clean is a rule of the proto.
func fileRules(spec *gantryv1.AppSpec) error {
	all := spec.GetFiles()
	size := 0
	for i, f := range all {
		field := fmt.Sprintf("app.spec.files[%d]", i)
		for _, closed := range closedPaths() {
			if below, same := within(f.GetPath(), closed); below || same {
				return invalid(field+".path", "%s is in %s, which belongs to the system", f.GetPath(), closed)
			}
		}
		for _, other := range all[:i] {
			if err := apart(field, f.GetPath(), other.GetPath()); err != nil {
				return err
			}
		}
		if size += len(f.GetContent()); size > maxFilesBytes {
			return invalid(field+".content", "the files of an app may have %d bytes together, these have more; put large ones into the image", maxFilesBytes)
		}
	}
	return nil
}

// apart refuses two files of which one would be the other's directory.
func apart(field, path, other string) error {
	below, same := within(path, other)
	above, _ := within(other, path)
	switch {
	case same:
		return invalid(field+".path", "%s is listed twice", path)
	case below:
		return invalid(field+".path", "%s would be in %s, which is a file", path, other)
	case above:
		return invalid(field+".path", "%s is a file, and %s would be in it", path, other)
	}
	return nil
}

// within tells whether a clean path is below another, or the same.
func within(path, dir string) (below, same bool) {
	return strings.HasPrefix(path, dir+"/"), path == dir
}
