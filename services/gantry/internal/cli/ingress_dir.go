package cli

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
)

// renderedList names a rendered directory as our own: it lists what else was
// written to it, a path a line.
const renderedList = ".rendered"

// writeRendered replaces what an earlier call wrote to dir; it refuses one
// with anything else in it.
func writeRendered(dir string, files map[string][]byte) error {
	old, err := ownFiles(dir)
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unwritable(err)
		}
	}
	names := slices.Sorted(maps.Keys(files))
	all := maps.Clone(files)
	all[renderedList] = []byte(strings.Join(names, "\n") + "\n")
	// The list comes first: what a call that is cut short wrote is our own too.
	for _, name := range append([]string{renderedList}, names...) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return unwritable(err)
		}
		if err := os.WriteFile(path, all[name], 0o644); err != nil {
			return unwritable(err)
		}
	}
	return nil
}

func unwritable(err error) error {
	return fault.Invalid("DIRECTORY_UNWRITABLE", "cannot write the files: %w", err)
}

// ownFiles are the files in dir, relative to it; an error when one is not ours.
// The list is the last: as long as there is anything, it is there.
func ownFiles(dir string) ([]string, error) {
	list, err := os.ReadFile(filepath.Join(dir, renderedList))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Invalid("DIRECTORY_INVALID", "%s cannot be used: %w", dir, err)
	}
	ours := map[string]bool{renderedList: true}
	for _, name := range strings.Fields(string(list)) {
		ours[name] = true
	}
	var found []string
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fault.Invalid("DIRECTORY_INVALID", "%s cannot be used: %w", dir, err)
		case d.IsDir() || name == renderedList:
		case !ours[name]:
			return fault.Invalid("DIRECTORY_NOT_EMPTY", "%s holds %s, which gantry did not write; name an empty or a new directory", dir, name)
		default:
			found = append(found, name)
		}
		return nil
	})
	return append(found, renderedList), err
}
