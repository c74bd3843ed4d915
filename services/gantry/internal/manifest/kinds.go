package manifest

import (
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A kind is a resource that a manifest can hold.
type kind struct {
	name string
	// order in which documents are applied: what others refer to comes first.
	order int
	new   func() proto.Message
	// collection is the last plural of the resource name: "apps".
	collection string
	// inProject is true for "projects/{project}/{collection}/{name}".
	inProject bool
	// outputOnly fields are set by the platform and ignored in a manifest.
	outputOnly []protoreflect.Name
}

// kinds returns all kinds in the order of their application.
func kinds() []kind {
	return []kind{
		{name: "Cluster", order: 1, collection: "clusters", new: func() proto.Message { return &gantryv1.Cluster{} },
			outputOnly: []protoreflect.Name{"identity", "traffic_percent", "evacuated", "health", "nodes", "create_time"}},
		{name: "Project", order: 2, collection: "projects", new: func() proto.Message { return &gantryv1.Project{} },
			outputOnly: []protoreflect.Name{"create_time"}},
		{name: "Secret", order: 3, collection: "secrets", inProject: true, new: func() proto.Message { return &gantryv1.Secret{} },
			outputOnly: []protoreflect.Name{"keys", "version", "used_by", "create_time"}},
		{name: "Volume", order: 3, collection: "volumes", inProject: true, new: func() proto.Message { return &gantryv1.Volume{} },
			outputOnly: []protoreflect.Name{"used_by", "create_time"}},
		{name: "Gateway", order: 3, collection: "gateways", new: func() proto.Message { return &gantryv1.Gateway{} },
			outputOnly: []protoreflect.Name{"status", "create_time"}},
		{name: "App", order: 4, collection: "apps", inProject: true, new: func() proto.Message { return &gantryv1.App{} },
			outputOnly: []protoreflect.Name{"status", "create_time"}},
		{name: "Route", order: 5, collection: "routes", inProject: true, new: func() proto.Message { return &gantryv1.Route{} },
			outputOnly: []protoreflect.Name{"status", "revision", "create_time"}},
		{name: "StreamRoute", order: 5, collection: "streamRoutes", inProject: true, new: func() proto.Message { return &gantryv1.StreamRoute{} },
			outputOnly: []protoreflect.Name{"status", "create_time"}},
	}
}

func kindNames() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

func findKind(name string) (kind, bool) {
	for _, k := range kinds() {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

// KindOf returns the manifest kind of a resource, "" if it has none.
func KindOf(m proto.Message) string {
	name := string(m.ProtoReflect().Descriptor().Name())
	if k, ok := findKind(name); ok {
		return k.name
	}
	return ""
}

// reference says which collection a field's short name belongs to.
type reference struct {
	collection string
	inProject  bool
}

// references are the fields of manifests that name another resource.
func references() map[protoreflect.FullName]reference {
	return map[protoreflect.FullName]reference{
		"gantry.v1.Route.gateway":            {collection: "gateways"},
		"gantry.v1.Route.app":                {collection: "apps", inProject: true},
		"gantry.v1.Canary.app":               {collection: "apps", inProject: true},
		"gantry.v1.StreamRoute.gateway":      {collection: "gateways"},
		"gantry.v1.StreamRoute.app":          {collection: "apps", inProject: true},
		"gantry.v1.ClusterPlacement.cluster": {collection: "clusters"},
		"gantry.v1.VolumeSource.cluster":     {collection: "clusters"},
		"gantry.v1.VolumeMount.volume":       {collection: "volumes", inProject: true},
		"gantry.v1.Tls.secret":               {collection: "secrets", inProject: true},
		"gantry.v1.SecretKey.secret":         {collection: "secrets", inProject: true},
	}
}

// fullName completes a short resource name; a full one is returned unchanged,
// and so is a short one without project.
func fullName(name, collection string, inProject bool, project string) string {
	switch {
	case name == "" || strings.Contains(name, "/"):
		return name
	case !inProject:
		return collection + "/" + name
	case project == "":
		return name
	}
	return "projects/" + project + "/" + collection + "/" + name
}
