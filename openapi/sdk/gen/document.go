package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	refs = "#/components/schemas/"
	// ours is the file's first line; linters, editors and reviews pass over what carries it.
	ours = "Code generated from openapi.yaml by make generate. DO NOT EDIT."
)

// object is one of the document's objects.
type object = map[string]any

func at(o object, path ...string) object {
	for _, name := range path {
		o, _ = o[name].(object)
	}
	return o
}

func text(o object, name string) string {
	s, _ := o[name].(string)
	return s
}

func list(o object, name string) []any {
	l, _ := o[name].([]any)
	return l
}

func truth(o object, name string) bool {
	b, _ := o[name].(bool)
	return b
}

func keys(o object) []string { return slices.Sorted(maps.Keys(o)) }

// refName is the component that a schema refers to, or nothing.
func refName(schema object) string { return strings.TrimPrefix(text(schema, "$ref"), refs) }

// read returns the document as SDKs see it:
//   - without the routes of the original program, and without the WebSocket, which no generator knows; events come by SSE
//   - Event is the union of all that the section webhooks describes, told apart by type; the section itself is left out
//   - answers that are errors are left out: each SDK makes one error of all of them, which has the problem's code
//   - a success is JSON, or bytes where there is no JSON
func read(path string) (object, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err := uniteEvents(doc); err != nil {
		return nil, err
	}
	paths := at(doc, "paths")
	for path, item := range paths {
		for method, op := range item.(object) {
			op := op.(object)
			if slices.Contains(list(op, "tags"), any("Compatibility")) || text(op, "operationId") == "stream-events-websocket" {
				delete(item.(object), method)
				continue
			}
			keepSuccesses(op)
		}
		if len(item.(object)) == 0 {
			delete(paths, path)
		}
	}
	prune(doc)
	return doc, nil
}

func uniteEvents(doc object) error {
	var members []any
	mapping := object{}
	schemas := at(doc, "components", "schemas")
	hooks := at(doc, "webhooks")
	for _, eventType := range keys(hooks) {
		body := at(hooks, eventType, "post", "requestBody", "content", "application/json", "schema")
		either := list(body, "anyOf") // the event, or the same without its data
		if len(either) == 0 {
			either = []any{body}
		}
		name := refName(either[0].(object))
		if tag := list(at(schemas, name, "properties", "type"), "enum"); len(tag) != 1 || tag[0] != eventType {
			if eventType == "legacy.message" {
				continue // the original program's form
			}
			return fmt.Errorf("webhook %s: the component %s is not of this type alone", eventType, name)
		}
		members = append(members, object{"$ref": refs + name})
		mapping[eventType] = refs + name
	}
	event := at(schemas, "Event")
	delete(at(event, "properties"), "data")
	event["required"] = []any{"id", "type", "timestamp"}
	event["oneOf"], event["discriminator"] = members, object{"propertyName": "type", "mapping": mapping}
	event["description"] = "Something that happened, told apart by type. Types that this version does not know can come; pass over them."
	delete(doc, "webhooks")
	return nil
}

func keepSuccesses(op object) {
	responses := at(op, "responses")
	for status, response := range responses {
		if status[0] != '2' || status == "206" {
			delete(responses, status)
			continue
		}
		r := response.(object)
		delete(r, "headers")
		if content := at(r, "content"); content["application/json"] != nil {
			r["content"] = object{"application/json": content["application/json"]}
		} else if content["*/*"] != nil {
			r["content"] = object{"application/octet-stream": content["*/*"]}
		}
	}
}

// prune leaves out the components that nothing leads to, and examples. ThinEvent stays: webhooks carry it.
func prune(doc object) {
	schemas := at(doc, "components", "schemas")
	used := map[string]bool{}
	reach(schemas, doc["paths"], used)
	for _, always := range []string{"ThinEvent", "Problem"} {
		reach(schemas, object{"$ref": refs + always}, used)
	}
	dropExamples(doc)
	for name := range schemas {
		if !used[name] {
			delete(schemas, name)
		}
	}
}

// reach marks the components that v leads to.
func reach(schemas object, v any, marked map[string]bool) {
	switch v := v.(type) {
	case object:
		if name := refName(v); name != "" && !marked[name] {
			marked[name] = true
			reach(schemas, schemas[name], marked)
		}
		for _, member := range v {
			reach(schemas, member, marked)
		}
	case []any:
		for _, item := range v {
			reach(schemas, item, marked)
		}
	}
}

func dropExamples(v any) {
	switch v := v.(type) {
	case object:
		for name, member := range v {
			switch name {
			case "properties": // whose members are named by us
				for _, schema := range member.(object) {
					dropExamples(schema)
				}
			case "example", "examples":
				delete(v, name)
			default:
				dropExamples(member)
			}
		}
	case []any:
		for _, item := range v {
			dropExamples(item)
		}
	}
}

// problemCodes are the codes of errors, which the document names as the examples of its error answers.
func problemCodes(path string) ([]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Components struct {
			Examples map[string]struct {
				Value struct {
					Code string `yaml:"code"`
				} `yaml:"value"`
			} `yaml:"examples"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	codes := map[string]bool{}
	for name, example := range doc.Components.Examples {
		if example.Value.Code == name {
			codes[name] = true
		}
	}
	return slices.Sorted(maps.Keys(codes)), nil
}

// write puts a document into a file as JSON, which every generator reads.
func write(doc object, path string) error {
	raw, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return os.WriteFile(path, raw, 0o600)
}

func clone(doc object) (object, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("copy document: %w", err)
	}
	var copied object
	if err := json.Unmarshal(raw, &copied); err != nil {
		return nil, fmt.Errorf("copy document: %w", err)
	}
	return copied, nil
}
