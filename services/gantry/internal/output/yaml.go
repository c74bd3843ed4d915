package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"gantry.dev/pkg/fault"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
)

// toYAML keeps the order of the API's fields.
func toYAML(m proto.Message) ([]byte, error) {
	data, err := toJSON(m)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	node, err := yamlNode(decoder)
	if err != nil {
		return nil, fault.Internal("ENCODE", "encode the answer: %w", err)
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(node); err != nil {
		return nil, fault.Internal("ENCODE", "encode the answer: %w", err)
	}
	return out.Bytes(), nil
}

// yamlNode turns the next JSON value into YAML. JSON is not simply read as
// YAML, because YAML's reader refuses some characters that JSON may hold.
func yamlNode(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		kind := yaml.MappingNode
		if v == '[' {
			kind = yaml.SequenceNode
		}
		return yamlChildren(d, kind)
	case string:
		return yamlString(v), nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(token)}, nil
}

// yamlChildren reads to the closing bracket; keys and values alternate in both.
func yamlChildren(d *json.Decoder, kind yaml.Kind) (*yaml.Node, error) {
	n := &yaml.Node{Kind: kind}
	for d.More() {
		child, err := yamlNode(d)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, child)
	}
	_, err := d.Token()
	return n, err
}

// yamlString quotes only what would be read as something else; text of several
// lines too, since what begins with a tab cannot be read back as a block.
func yamlString(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	plain := yaml.Node{Kind: yaml.ScalarNode, Value: s}
	// The parser takes "<<" for a merge key, ShortTag does not.
	if plain.ShortTag() != "!!str" || s == "<<" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
