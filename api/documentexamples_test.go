package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestExamplesFitTheirSchemas holds every example of the document against the schema beside it: those of requests, answers, parameters, headers,
// webhooks, and of each member of a schema. infra/features sends them to a running program.
func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	raw, err := newRoutes().document()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	shut(document)
	e := examples{t: t, schemas: jsonschema.NewCompiler(), document: document}
	e.schemas.AssertFormat()
	if err := e.schemas.AddResource("document.json", document); err != nil {
		t.Fatal(err)
	}
	e.look("", document)
	if e.checked < 3500 {
		t.Errorf("only %d examples were found", e.checked)
	}
}

// shut lets no schema take members that it does not name. Those of answers are open for their clients, who are to bear what comes later; an example with
// such a member is an error of ours. Each schema of a union stands for itself here: there is no allOf.
func shut(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, member := range v {
			shut(member)
		}
	case []any:
		for _, item := range v {
			shut(item)
		}
	}
}

type examples struct {
	t        *testing.T
	schemas  *jsonschema.Compiler
	document any
	checked  int
}

// look looks for examples in v, which stands at a place in the document, a JSON pointer.
func (e *examples) look(place string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["schema"] != nil { // of a body, a parameter, a header
			if example, ok := v["example"]; ok {
				e.check(place+"/schema", place+"/example", example)
			}
			if named, ok := v["examples"].(map[string]any); ok {
				for name, example := range named {
					e.check(place+"/schema", place+"/examples/"+name, e.value(example))
				}
			}
		}
		if list, ok := v["examples"].([]any); ok { // of a schema
			for i, example := range list {
				e.check(place, place+"/examples/"+strconv.Itoa(i), example)
			}
		}
		for name, member := range v {
			if name != "example" && name != "examples" {
				e.look(place+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), member)
			}
		}
	case []any:
		for i, item := range v {
			e.look(place+"/"+strconv.Itoa(i), item)
		}
	}
}

// value is that of a named example, which may stand among the components.
func (e *examples) value(example any) any {
	m, _ := example.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		example = e.document
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			example = example.(map[string]any)[name]
		}
		m, _ = example.(map[string]any)
	}
	return m["value"]
}

func (e *examples) check(schema, place string, example any) {
	e.checked++
	s, err := e.schemas.Compile("document.json#" + schema)
	if err != nil {
		e.t.Fatalf("%s: %v", schema, err)
	}
	if err := s.Validate(example); err != nil {
		text, _ := json.Marshal(example)
		e.t.Errorf("%s does not fit its schema: %v\n%.500s", place, err, text)
	}
}
