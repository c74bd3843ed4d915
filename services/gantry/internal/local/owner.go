package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/local/supervisor"
)

// ownerFile names the folder whose platform has the machine's fixed addresses
// and names; there can be only one.
const ownerFile = "/run/gantry-local"

// owner returns the folder of the platform that was last started and not taken
// down, and whether its supervisor still runs; an empty folder means nobody.
func owner(file string) (dir string, alive bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", false
	}
	dir = strings.TrimSpace(string(data))
	_, alive = supervisor.ReadRecord(Options{Dir: dir}.supervisorRecord())
	return dir, alive
}

// refuseOther fails while another folder's platform runs.
func refuseOther(file, dir string) error {
	other, alive := owner(file)
	if !alive || other == dir {
		return nil
	}
	return fault.Precondition("OTHER_PLATFORM",
		"another local platform runs from %s; stop it first: gantry local down --dir %s", other, other)
}

// inherit returns the options of a platform that crashed in another folder,
// for its rest to be removed.
func (o Options) inherit(file string) (Options, bool) {
	dir, alive := owner(file)
	if alive || dir == "" || dir == o.Dir || !filepath.IsAbs(dir) {
		return o, false
	}
	o.Dir = dir
	return o, true
}

func own(file, dir string) error {
	return os.WriteFile(file, []byte(dir+"\n"), 0o644)
}

func disown(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
