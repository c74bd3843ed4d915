package manifest

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of one document (rule E4).
const (
	maxDepth = 32
	maxNodes = 50_000
)

// decoder turns one document's nodes into a message.
type decoder struct {
	file       string
	project    string
	kind       kind
	references map[protoreflect.FullName]reference
	positions  map[string]Position
	nodes      int
	tooLarge   bool
	wrong      []Error
	warnings   []string
}

func parseDocument(file string, root *yaml.Node, project string) (*Document, []Error) {
	d := &decoder{file: file, project: project, references: references(), positions: map[string]Position{}}
	if len(root.Content) == 0 || isNull(root.Content[0]) {
		return nil, nil // an empty document between two "---"
	}
	body := root.Content[0]
	if body.Kind != yaml.MappingNode {
		d.fail(body, "", "a resource is a mapping that begins with `kind: App`, not "+describe(body))
		return nil, d.wrong
	}
	if !d.findKind(body) {
		return nil, d.wrong
	}
	m := d.kind.new()
	d.positions[""] = Position{body.Line, body.Column}
	d.message(body, m.ProtoReflect(), "", 0)
	d.completeName(body, m)
	if len(d.wrong) > 0 {
		return nil, d.wrong
	}
	return &Document{
		Kind: d.kind.name, Resource: m, Warnings: d.warnings,
		file: file, positions: d.positions, order: d.kind.order,
	}, nil
}

func (d *decoder) fail(n *yaml.Node, path, problem string) {
	d.wrong = append(d.wrong, Error{File: d.file, Position: Position{n.Line, n.Column}, Field: path, Problem: problem})
}

// findKind reads `kind`; false means that nothing else can be read.
func (d *decoder) findKind(body *yaml.Node) bool {
	for i := 0; i+1 < len(body.Content); i += 2 {
		if body.Content[i].Value != "kind" {
			continue
		}
		value := body.Content[i+1]
		k, ok := findKind(value.Value)
		if !ok {
			d.fail(value, "kind", fmt.Sprintf("there is no kind %q%s", value.Value, didYouMean(value.Value, kindNames())))
		}
		d.kind = k
		return ok
	}
	d.fail(body, "", "`kind` is missing; it is one of "+strings.Join(kindNames(), ", "))
	return false
}

// completeName makes the resource's name a full one.
func (d *decoder) completeName(body *yaml.Node, m proto.Message) {
	field := m.ProtoReflect().Descriptor().Fields().ByName("name")
	name := m.ProtoReflect().Get(field).String()
	if name == "" {
		if !d.has("name") {
			d.fail(body, "name", "a resource needs a name")
		}
		return
	}
	full := fullName(name, d.kind.collection, d.kind.inProject, d.project)
	if !strings.Contains(full, "/") {
		p := d.positions["name"]
		d.fail(&yaml.Node{Line: p.Line, Column: p.Column}, "name",
			fmt.Sprintf("the project is not known; write projects/PROJECT/%s/%s, or name a project with -p", d.kind.collection, name))
	}
	m.ProtoReflect().Set(field, protoreflect.ValueOfString(full))
	d.completeReferences(m.ProtoReflect(), projectOf(full))
}

// completeReferences fills in the short names of other resources.
func (d *decoder) completeReferences(m protoreflect.Message, project string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch ref, ok := d.references[f.FullName()]; {
		case ok:
			m.Set(f, protoreflect.ValueOfString(fullName(v.String(), ref.collection, ref.inProject, project)))
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				d.completeReferences(v.List().Get(i).Message(), project)
			}
		case f.Message() != nil && !f.IsMap():
			d.completeReferences(v.Message(), project)
		}
		return true
	})
}

func projectOf(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) < 2 || parts[0] != "projects" {
		return ""
	}
	return parts[1]
}

func (d *decoder) has(path string) bool { _, ok := d.positions[path]; return ok }

// message fills m from a mapping.
func (d *decoder) message(n *yaml.Node, m protoreflect.Message, path string, depth int) {
	n, ok := d.enter(n, path, depth)
	if !ok {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "expected fields (a mapping), found "+describe(n))
		return
	}
	seen := map[protoreflect.Name]Position{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if depth == 0 && key.Value == "kind" {
			continue
		}
		d.field(key, value, m, path, depth, seen)
	}
}

func (d *decoder) field(key, value *yaml.Node, m protoreflect.Message, path string, depth int, seen map[protoreflect.Name]Position) {
	fields := m.Descriptor().Fields()
	f := fields.ByJSONName(key.Value)
	if f == nil {
		f = fields.ByTextName(key.Value)
	}
	if f == nil || key.Kind != yaml.ScalarNode {
		d.fail(key, join(path, key.Value), "unknown field"+didYouMean(key.Value, fieldNames(m.Descriptor())))
		return
	}
	if first, twice := seen[f.Name()]; twice {
		d.fail(key, join(path, key.Value), fmt.Sprintf("this field is set twice, first in line %d", first.Line))
		return
	}
	at := Position{key.Line, key.Column}
	seen[f.Name()] = at
	if depth == 0 && slices.Contains(d.kind.outputOnly, f.Name()) {
		d.warnings = append(d.warnings, fmt.Sprintf("%s:%d: %s is set by the platform; ignored", d.file, key.Line, key.Value))
		return
	}
	path = join(path, string(f.Name()))
	d.positions[path] = at
	d.value(value, f, m, path, depth+1)
}

// value sets one field of m; null leaves it unset.
func (d *decoder) value(n *yaml.Node, f protoreflect.FieldDescriptor, m protoreflect.Message, path string, depth int) {
	resolved, ok := d.enter(n, path, depth)
	if !ok || isNull(resolved) {
		return
	}
	switch {
	case f.IsMap():
		d.entries(resolved, f, m.Mutable(f).Map(), path, depth)
	case f.IsList():
		d.list(resolved, f, m.Mutable(f).List(), path, depth)
	case f.Message() != nil:
		d.message(resolved, m.Mutable(f).Message(), path, depth)
	default:
		if v, ok := d.scalar(resolved, f, path); ok {
			m.Set(f, v)
		}
	}
}

func (d *decoder) list(n *yaml.Node, f protoreflect.FieldDescriptor, list protoreflect.List, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "expected a list (lines that begin with `-`), found "+describe(n))
		return
	}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.positions[at] = Position{item.Line, item.Column}
		if f.Message() != nil {
			d.message(item, list.AppendMutable().Message(), at, depth+1)
			continue
		}
		resolved, ok := d.enter(item, at, depth+1)
		if !ok {
			return
		}
		if v, ok := d.scalar(resolved, f, at); ok {
			list.Append(v)
		}
	}
}

// entries fills a map from a mapping; its keys are text.
func (d *decoder) entries(n *yaml.Node, f protoreflect.FieldDescriptor, m protoreflect.Map, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "expected names with values (a mapping), found "+describe(n))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := protoreflect.ValueOfString(n.Content[i].Value).MapKey()
		at := join(path, n.Content[i].Value)
		d.positions[at] = Position{n.Content[i].Line, n.Content[i].Column}
		if m.Has(key) {
			d.fail(n.Content[i], at, "this name is set twice")
			continue
		}
		resolved, ok := d.enter(n.Content[i+1], at, depth+1)
		if !ok {
			return
		}
		if f.MapKey().Kind() != protoreflect.StringKind || f.MapValue().Message() != nil {
			d.fail(n.Content[i], at, "this field cannot be written in a manifest")
			return
		}
		if v, ok := d.scalar(resolved, f.MapValue(), at); ok {
			m.Set(key, v)
		}
	}
}

// enter counts a node and follows an alias.
func (d *decoder) enter(n *yaml.Node, path string, depth int) (*yaml.Node, bool) {
	d.nodes++
	if depth > maxDepth || d.nodes > maxNodes {
		if !d.tooLarge {
			d.fail(n, path, "the document is nested too deeply, or too large")
		}
		d.tooLarge = true
		return n, false
	}
	for range maxDepth {
		if n.Kind != yaml.AliasNode {
			return n, true
		}
		n = n.Alias
	}
	return n, false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func fieldNames(md protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range md.Fields().Len() {
		names = append(names, md.Fields().Get(i).JSONName())
	}
	return names
}
