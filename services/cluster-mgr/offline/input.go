package offline

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Kinds of decisions.
const (
	kindAutoscale = "autoscale"
	kindPlacement = "placement"
	kindFailover  = "failover"
)

// envelope is a decision of the API, in either of its spellings; the rest of it is not looked at.
type envelope struct {
	Kind       string            `json:"kind"`
	Subject    string            `json:"subject"` // no input has this field
	InputJSON  string            `json:"inputJson"`
	Input      string            `json:"input_json"`
	OutputJSON string            `json:"outputJson"`
	Output     string            `json:"output_json"`
	Items      []json.RawMessage `json:"items"` // of a list of decisions
}

// read takes an input, alone or in its decision, and the answer that is stored with it ("" when it came
// alone).
func read[T any](data []byte, kind string) (in T, stored string, err error) {
	input, stored, err := open(data, kind)
	if err != nil {
		return in, "", err
	}
	return in, stored, decode(input, &in)
}

// open takes the input out of its decision, if it is in one.
func open(data []byte, kind string) (input []byte, stored string, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, "", notJSON(err)
	}
	e := envelope{}
	if json.Unmarshal(data, &e) != nil {
		return data, "", nil //nolint:nilerr // no decision: the input's own fields say what is wrong
	}
	switch {
	case e.Items != nil && len(e.Items) != 1:
		return nil, "", fmt.Errorf("there are %d decisions in it; take one, with `gantry explain decision/ID -o json`", len(e.Items))
	case e.Items != nil:
		return open(e.Items[0], kind)
	case e.Subject == "" && e.InputJSON+e.Input == "":
		return data, "", nil
	}
	if err := e.suits(kind); err != nil {
		return nil, "", err
	}
	return []byte(e.InputJSON + e.Input), e.OutputJSON + e.Output, nil
}

// suits checks that a decision can be made again, and by this kind.
func (e envelope) suits(kind string) error {
	if e.InputJSON+e.Input == "" {
		return errors.New("the decision comes without its input; `gantry explain decision/ID -o json` gives both")
	}
	is := strings.ToLower(strings.TrimPrefix(e.Kind, "KIND_"))
	if is == "" || is == kind {
		return nil
	}
	command := map[string]string{
		kindAutoscale: "gantry autoscale eval -f FILE", kindPlacement: "gantry placement plan -f FILE", kindFailover: "gantry failover plan -f FILE",
	}[is]
	if command == "" {
		return fmt.Errorf("it is a decision of kind %s, which cannot be made again offline", is)
	}
	return fmt.Errorf("it is a decision of kind %s; `%s` makes it again", is, command)
}

func notJSON(err error) error {
	return fmt.Errorf("it is not a JSON object: %w", err)
}

// decode reads JSON into a struct and refuses fields that it does not have.
func decode(data []byte, into any) error {
	var raw any
	if err := json.Unmarshal(data, &raw); err != nil {
		return notJSON(err)
	}
	if _, ok := raw.(map[string]any); !ok {
		return notJSON(errors.New("no { at its beginning"))
	}
	if err := known(raw, reflect.TypeOf(into).Elem(), ""); err != nil {
		return err
	}
	err := json.Unmarshal(data, into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s: must be of type %s, not a %s", wrong.Field, wrong.Type.Kind(), wrong.Value)
	}
	return err
}

// known refuses the first field, in order of names, that a type does not have. The json package has the
// same check, but it ends where a type reads itself, and it says no path.
func known(value any, t reflect.Type, path string) error {
	switch v := value.(type) {
	case []any:
		if t.Kind() != reflect.Slice {
			return nil
		}
		for i, item := range v {
			if err := known(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		return knownFields(v, t, path)
	}
	return nil
}

func knownFields(object map[string]any, t reflect.Type, path string) error {
	if t.Kind() != reflect.Struct {
		return nil
	}
	has := fieldsOf(t)
	for _, name := range sortedNames(object) {
		at := strings.TrimPrefix(path+"."+name, ".")
		field, ok := has[name]
		if !ok {
			return fmt.Errorf("%s: there is no such field here; the fields are %s", at, strings.Join(sortedNames(has), ", "))
		}
		if err := known(object[name], field, at); err != nil {
			return err
		}
	}
	return nil
}

// fieldsOf are the types of a struct's fields by their names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := make(map[string]reflect.Type, t.NumField())
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			out[name] = f.Type
		}
	}
	return out
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
