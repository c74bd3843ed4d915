package manifest

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// scalar reads one value by the field's type; false means that it was wrong.
func (d *decoder) scalar(n *yaml.Node, f protoreflect.FieldDescriptor, path string) (protoreflect.Value, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "expected "+expected(f)+", found "+describe(n))
		return protoreflect.Value{}, false
	}
	v, problem := parseScalar(n, f)
	if problem != "" {
		d.fail(n, path, problem)
		return protoreflect.Value{}, false
	}
	return v, true
}

func parseScalar(n *yaml.Node, f protoreflect.FieldDescriptor) (_ protoreflect.Value, problem string) {
	switch f.Kind() {
	case protoreflect.StringKind:
		return parseString(n)
	case protoreflect.BytesKind:
		return parseBytes(n)
	case protoreflect.BoolKind:
		var v bool
		if n.ShortTag() != "!!bool" || n.Decode(&v) != nil {
			return protoreflect.Value{}, mismatch(n, f)
		}
		return protoreflect.ValueOfBool(v), ""
	case protoreflect.EnumKind:
		return parseEnum(n, f.Enum())
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return parseInt(n, f)
	default:
		return protoreflect.Value{}, "this field cannot be written in a manifest"
	}
}

func parseString(n *yaml.Node) (_ protoreflect.Value, problem string) {
	if n.ShortTag() != "!!str" {
		return protoreflect.Value{}, fmt.Sprintf("expected text, found %s; put it in quotes: %s", describe(n), strconv.Quote(n.Value))
	}
	return protoreflect.ValueOfString(n.Value), ""
}

// parseBytes takes text as it is, and what is no text as YAML writes it:
// !!binary and its base64.
func parseBytes(n *yaml.Node) (_ protoreflect.Value, problem string) {
	if n.ShortTag() != "!!binary" {
		v, problem := parseString(n)
		return protoreflect.ValueOfBytes([]byte(v.String())), problem
	}
	var text string
	if err := n.Decode(&text); err != nil {
		return protoreflect.Value{}, "this is not base64, which !!binary promises"
	}
	return protoreflect.ValueOfBytes([]byte(text)), ""
}

func parseInt(n *yaml.Node, f protoreflect.FieldDescriptor) (_ protoreflect.Value, problem string) {
	var v int64
	if n.ShortTag() != "!!int" || n.Decode(&v) != nil {
		return protoreflect.Value{}, mismatch(n, f)
	}
	if f.Kind() == protoreflect.Int64Kind {
		return protoreflect.ValueOfInt64(v), ""
	}
	if v < math.MinInt32 || v > math.MaxInt32 {
		return protoreflect.Value{}, fmt.Sprintf("%d is out of range", v)
	}
	return protoreflect.ValueOfInt32(int32(v)), ""
}

// parseEnum accepts the value's full name, or without the prefix that all
// values share, in any case.
func parseEnum(n *yaml.Node, enum protoreflect.EnumDescriptor) (_ protoreflect.Value, problem string) {
	prefix := strings.TrimSuffix(string(enum.Values().Get(0).Name()), "UNSPECIFIED")
	var known []string
	for i := range enum.Values().Len() {
		v := enum.Values().Get(i)
		short := strings.TrimPrefix(string(v.Name()), prefix)
		if strings.EqualFold(n.Value, short) || strings.EqualFold(n.Value, string(v.Name())) {
			return protoreflect.ValueOfEnum(v.Number()), ""
		}
		if v.Number() != 0 {
			known = append(known, short)
		}
	}
	return protoreflect.Value{}, fmt.Sprintf("%q is not one of %s%s", n.Value, strings.Join(known, ", "), nearestOnly(n.Value, known))
}

// nearestOnly leaves the list out that didYouMean falls back to.
func nearestOnly(name string, known []string) string {
	if s := didYouMean(name, known); strings.HasPrefix(s, "; did") {
		return s
	}
	return ""
}

func mismatch(n *yaml.Node, f protoreflect.FieldDescriptor) string {
	return "expected " + expected(f) + ", found " + describe(n)
}

func expected(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return "text"
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.EnumKind:
		return "one of its names"
	default:
		return "a whole number"
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says in words what a node is.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	value := strconv.Quote(shorten(n.Value))
	switch n.ShortTag() {
	case "!!str":
		return "the text " + value
	case "!!int", "!!float":
		return "the number " + shorten(n.Value)
	case "!!bool":
		return n.Value
	case "!!null":
		return "nothing"
	}
	return value
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
