// Package labels holds the labels by which Gantry knows its objects.
package labels

import (
	"strconv"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
)

// Keys and values of the labels on Gantry's objects.
const (
	Project   = "gantry.dev/project"
	App       = "gantry.dev/app"
	Release   = "gantry.dev/release"
	Volume    = "gantry.dev/volume"
	ManagedBy = "app.kubernetes.io/managed-by"
	Manager   = "gantry"
)

// Selector selects Gantry's objects.
const Selector = ManagedBy + "=" + Manager

// SystemNamespace holds what Gantry itself keeps in a cluster.
const SystemNamespace = "gantry-system"

const namespacePrefix = "gantry-"

// An ID is an app in Kubernetes' words.
type ID struct{ Project, App string }

// Parse takes "projects/{project}/apps/{app}" apart. The project "system" is
// refused: its namespace is Gantry's own.
func Parse(app string) (ID, error) {
	id := ID{Project: names.Project(app), App: names.ID(app)}
	if id.Project == "" || id.App == "" || id.Name() != app {
		return ID{}, fault.Invalid("APP_NAME", "%q is no app; write projects/{project}/apps/{app}", app)
	}
	if id.Namespace() == SystemNamespace {
		return ID{}, fault.Invalid("PROJECT_RESERVED", "the project %q belongs to Gantry itself; choose another name", id.Project)
	}
	return id, nil
}

// Name is "projects/{project}/apps/{app}".
func (i ID) Name() string { return "projects/" + i.Project + "/apps/" + i.App }

// Namespace is where the app's objects are.
func (i ID) Namespace() string { return namespacePrefix + i.Project }

// Selector matches the pods of every release.
func (i ID) Selector() map[string]string {
	return map[string]string{Project: i.Project, App: i.App}
}

// All are the labels of an object of the app; release 0 leaves that label out.
func (i ID) All(release int32) map[string]string {
	all := i.Selector()
	all[ManagedBy] = Manager
	if release > 0 {
		all[Release] = strconv.Itoa(int(release))
	}
	return all
}

// OfVolume are the labels of what a project's volume is in the cluster; it
// belongs to no app.
func OfVolume(project, volume string) map[string]string {
	return map[string]string{Project: project, Volume: volume, ManagedBy: Manager}
}

// Of finds the app and release of an object. ok is false for objects that are
// not Gantry's, also for those that carry the labels in a foreign namespace:
// they must not catch an app's traffic.
func Of(namespace string, l map[string]string) (id ID, release int32, ok bool) {
	id = ID{Project: l[Project], App: l[App]}
	if l[ManagedBy] != Manager || id.App == "" || namespace != id.Namespace() {
		return ID{}, 0, false
	}
	n, err := strconv.ParseInt(l[Release], 10, 32)
	if err != nil {
		n = 0
	}
	return id, int32(n), true
}
