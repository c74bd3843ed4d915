// Package output prints resources: tables for people, YAML, JSON and names for
// programs. It writes data only; progress is somebody else's.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/gantry/internal/manifest"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Format is the value of -o.
type Format string

// Formats.
const (
	Table Format = "table"
	Wide  Format = "wide"
	JSON  Format = "json"
	YAML  Format = "yaml"
	Name  Format = "name"
)

// Formats lists all formats, for completion and messages.
func Formats() []string {
	return []string{string(Table), string(Wide), string(JSON), string(YAML), string(Name)}
}

// ParseFormat reads the value of -o; empty means a table.
func ParseFormat(s string) (Format, error) {
	if s == "" {
		return Table, nil
	}
	for _, f := range Formats() {
		if s == f {
			return Format(f), nil
		}
	}
	return "", fault.Invalid("FORMAT_UNKNOWN", "there is no output format %q; use one of %s", s, strings.Join(Formats(), ", "))
}

// Printer writes resources of one kind at a time. Its table goes on over
// several calls, as a watch needs.
type Printer struct {
	Out    io.Writer
	Format Format
	// Now is what ages are relative to.
	Now time.Time
	// AllProjects adds the project as a column.
	AllProjects bool

	headed bool
}

// List prints any number of resources: JSON as one object with `items`, YAML
// as documents that `gantry apply` takes.
func (p *Printer) List(items []proto.Message) error {
	switch p.Format {
	case JSON:
		return p.jsonList(items)
	case YAML, Name:
		for i, m := range items {
			if i > 0 && p.Format == YAML {
				fmt.Fprintln(p.Out, "---")
			}
			if err := p.One(m); err != nil {
				return err
			}
		}
		return nil
	}
	return p.table(items)
}

// One prints a single resource.
func (p *Printer) One(m proto.Message) error {
	switch p.Format {
	case JSON:
		data, err := toJSON(m)
		if err != nil {
			return err
		}
		return p.write(append(data, '\n'))
	case YAML:
		data, err := toYAML(m)
		if err != nil {
			return err
		}
		return p.write(data)
	case Name:
		_, err := fmt.Fprintln(p.Out, ShortName(m))
		return err
	}
	return p.table([]proto.Message{m})
}

func (p *Printer) write(data []byte) error {
	_, err := p.Out.Write(data)
	return err
}

func (p *Printer) jsonList(items []proto.Message) error {
	raw := make([]json.RawMessage, 0, len(items))
	for _, m := range items {
		data, err := toJSON(m)
		if err != nil {
			return err
		}
		raw = append(raw, data)
	}
	data, err := json.MarshalIndent(map[string]any{"items": raw}, "", "  ")
	if err != nil {
		return fault.Internal("ENCODE", "encode the answer: %w", err)
	}
	return p.write(append(data, '\n'))
}

// toJSON has the API's own names, with the manifest kind if there is one.
// protojson varies its spaces on purpose, so the text is indented anew.
func toJSON(m proto.Message) ([]byte, error) {
	data, err := protojson.Marshal(m)
	if err != nil {
		return nil, fault.Internal("ENCODE", "encode the answer: %w", err)
	}
	var out bytes.Buffer
	if kind := manifest.KindOf(m); kind != "" {
		data = append([]byte(fmt.Sprintf(`{"kind":%q,`, kind)), bytes.TrimLeft(data, "{ ")...)
	}
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return nil, fault.Internal("ENCODE", "encode the answer: %w", err)
	}
	return out.Bytes(), nil
}
