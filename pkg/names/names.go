// Package names takes resource names apart: "projects/pay/apps/web".
package names

import "strings"

// ID is the last segment: "web".
func ID(name string) string {
	return name[strings.LastIndexByte(name, '/')+1:]
}

// Project is the id of the project that a resource belongs to: "pay"; empty
// for resources without one.
func Project(name string) string {
	rest, ok := strings.CutPrefix(name, "projects/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// Parent is the name without its last two segments: "projects/pay"; empty for
// a top-level resource.
func Parent(name string) string {
	for range 2 {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return ""
		}
		name = name[:i]
	}
	return name
}
