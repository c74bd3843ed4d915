// Package manifest reads resources from YAML as strictly as the API does: an
// unknown field or a wrong type is an error that names file, line, column and
// field, and the nearest known name.
//
// A document is a resource of the API with its `kind`. Field names are
// lowerCamel or as in the proto; enum values may leave their prefix out; names
// may be short ("web", "site-a") where the collection is clear.
package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
)

// MaxBytes bounds one file (rule E4).
const MaxBytes = 1 << 20

// Position is a place in a file, both from 1; column 0: not known.
type Position struct{ Line, Column int }

// Document is one resource of a file.
type Document struct {
	// Kind is "App", "Project", "Secret", "Volume", "Gateway", "Route" or "Cluster".
	Kind string
	// Resource is the message of that kind, its name completed.
	Resource proto.Message
	// Warnings name fields that were ignored because the platform sets them.
	Warnings []string

	file      string
	positions map[string]Position
	order     int
}

// Error is one wrong place in a file.
type Error struct {
	File string
	Position
	// Field is the path from the document's root, "spec.ports[0].port"; empty
	// for the document as a whole.
	Field string
	// Problem says what is wrong and what is expected.
	Problem string
}

// Error is "app.yaml:7:5: spec.replcas: unknown field; did you mean …".
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Column > 0 {
		fmt.Fprintf(&b, ":%d", e.Column)
	}
	b.WriteString(": ")
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	return b.String() + e.Problem
}

// Parse reads all documents of a file, in the order in which they are to be
// applied. Project completes short names of apps and routes; file is for
// messages. All wrong places are reported at once, as KindInvalid with one
// violation each.
func Parse(file string, data []byte, project string) ([]Document, error) {
	if len(data) > MaxBytes {
		return nil, invalid([]Error{{File: file, Problem: fmt.Sprintf("the file is larger than %d bytes; split it", MaxBytes)}})
	}
	var docs []Document
	var wrong []Error
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			wrong = append(wrong, syntaxError(file, err))
			break // nothing after it can be trusted
		}
		doc, problems := parseDocument(file, &root, project)
		wrong = append(wrong, problems...)
		if doc != nil {
			docs = append(docs, *doc)
		}
	}
	if len(wrong) == 0 && len(docs) == 0 {
		wrong = append(wrong, Error{File: file, Problem: "there is no resource in it; begin with `kind: App`"})
	}
	if len(wrong) > 0 {
		return nil, invalid(wrong)
	}
	slices.SortStableFunc(docs, func(a, b Document) int { return cmp.Compare(a.order, b.order) })
	return docs, nil
}

func invalid(wrong []Error) error {
	var lines []string
	var violations []fault.Violation
	for _, e := range wrong {
		lines = append(lines, e.Error())
		violations = append(violations, fault.Violation{Field: e.Field, Description: e.Problem})
	}
	return fault.Invalid("MANIFEST_INVALID", "%s", strings.Join(lines, "\n")).With(violations...)
}

// syntaxLine finds the line that the YAML parser names in its messages.
var syntaxLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

func syntaxError(file string, err error) Error {
	e := Error{File: file, Problem: "this is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
		_, _ = fmt.Sscan(m[1], &e.Line) // digits by the pattern
		e.Problem = "this is not YAML: " + m[2]
	}
	return e
}

// Locate says where a field that the server refused stands in the file. Field
// is as the API names it, "app.spec.replicas"; a field that the manifest leaves
// out gets the place of its nearest parent.
func (d Document) Locate(field string) Error {
	_, path, nested := strings.Cut(field, ".")
	if !nested || !strings.EqualFold(field[:len(field)-len(path)-1], d.Kind) {
		path = field
	}
	e := Error{File: d.file, Field: path, Position: d.positions[""]}
	for at := path; at != ""; at = parent(at) {
		if p, ok := d.positions[at]; ok {
			e.Position = p
			break
		}
	}
	return e
}

func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}
