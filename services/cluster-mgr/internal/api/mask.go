package api

import (
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// applyMask copies the fields that mask names from src to dst, two messages of
// one type. An empty mask names all that may be changed. Other fields of the
// resource (its name, what is output only) are passed over, so that what was
// read can be sent back; a path that does not exist is refused.
func applyMask(dst, src proto.Message, mask *fieldmaskpb.FieldMask, changeable ...string) error {
	paths := mask.GetPaths()
	if len(paths) == 0 {
		paths = changeable
	}
	for _, path := range paths {
		root, _, _ := strings.Cut(path, ".")
		if !slices.Contains(changeable, root) && dst.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(root)) != nil {
			continue
		}
		if !copyField(dst.ProtoReflect(), src.ProtoReflect(), strings.Split(path, ".")) {
			return fault.Invalid("MASK_INVALID", "update_mask: there is no field %q; these can be changed: %s", path, strings.Join(changeable, ", ")).
				With(fault.Violation{Field: "update_mask", Description: path})
		}
	}
	return nil
}

// copyField reports false when there is no such field.
func copyField(dst, src protoreflect.Message, path []string) bool {
	field := dst.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	switch {
	case field == nil:
		return false
	case len(path) > 1:
		if field.Kind() != protoreflect.MessageKind || field.IsList() || field.IsMap() {
			return false
		}
		return copyField(dst.Mutable(field).Message(), src.Get(field).Message(), path[1:])
	case !src.Has(field):
		dst.Clear(field)
	default:
		dst.Set(field, src.Get(field))
	}
	return true
}
