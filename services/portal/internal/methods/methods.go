// Package methods is the list of RPCs that portal lets through, read from the
// compiled API contract. What is not in it does not exist for users.
package methods

import (
	"strings"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// apiPackage is the public API; gantry.ipaas.v1 and others are internal.
const apiPackage protoreflect.FullName = "gantry.v1"

// Method is one RPC that users may call.
type Method struct {
	// Name as on the wire: "/gantry.v1.AppService/GetApp".
	Name string
	// Streams is true when the server sends more than one answer.
	Streams bool
	// Mutates is true when the permission is other than get, list or none.
	Mutates bool
	// Input describes the request; nil for health and reflection.
	Input protoreflect.MessageDescriptor
}

// Catalog maps names on the wire to methods; read only.
type Catalog map[string]Method

// New reads the catalog from the generated API, and adds health and reflection
// so that grpcurl works.
func New() Catalog {
	c := Catalog{}
	protoregistry.GlobalFiles.RangeFilesByPackage(apiPackage, func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			c.addService(f.Services().Get(i))
		}
		return true
	})
	for name, streams := range map[string]bool{
		"/grpc.health.v1.Health/Check":                                   false,
		"/grpc.health.v1.Health/Watch":                                   true,
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      true,
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": true,
	} {
		c[name] = Method{Name: name, Streams: streams}
	}
	return c
}

func (c Catalog) addService(s protoreflect.ServiceDescriptor) {
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		name := "/" + string(s.FullName()) + "/" + string(m.Name())
		c[name] = Method{Name: name, Streams: m.IsStreamingServer() || m.IsStreamingClient(), Mutates: mutates(m), Input: m.Input()}
	}
}

// mutates takes a method without permission for a change: it is refused by
// cluster-mgr anyway, and must not be retried.
func mutates(m protoreflect.MethodDescriptor) bool {
	permission, _ := proto.GetExtension(m.Options(), gantryv1.E_Permission).(string)
	return !strings.HasSuffix(permission, ".get") && !strings.HasSuffix(permission, ".list")
}

// Resource returns the name of the resource that a request in wire format is
// about, "" if it does not say.
func (m Method) Resource(request []byte) string {
	if m.Input == nil {
		return ""
	}
	msg := dynamicpb.NewMessage(m.Input)
	if err := proto.Unmarshal(request, msg); err != nil {
		return ""
	}
	return ResourceOf(msg)
}

// ResourceOf returns the resource a request is about: its `name`, the name of
// the resource inside it, or its `parent`.
func ResourceOf(msg proto.Message) string {
	m := msg.ProtoReflect()
	if name := text(m, "name"); name != "" {
		return name
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || f.IsList() || f.IsMap() || !m.Has(f) {
			continue
		}
		if name := text(m.Get(f).Message(), "name"); name != "" {
			return name
		}
	}
	return text(m, "parent")
}

func text(m protoreflect.Message, field protoreflect.Name) string {
	f := m.Descriptor().Fields().ByName(field)
	if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() {
		return ""
	}
	return m.Get(f).String()
}
