package api

import (
	"encoding/json"
	"fmt"
	"slices"
)

// keywords30 are the schema keywords that the document uses and that OpenAPI 3.0.3 (section 4.7.24) has in the same form. What is neither here
// nor converted by schema30 is an error, so that nothing that 3.0 cannot say is left out in silence.
var keywords30 = []string{
	"$ref", "additionalProperties", "allOf", "anyOf", "default", "description", "discriminator", "enum", "format", "items", "maxItems", "maxLength", "maxProperties",
	"maximum", "minItems", "minLength", "minimum", "oneOf", "pattern", "properties", "required", "title", "type", "uniqueItems",
}

// document30 converts the document to OpenAPI 3.0.3, for tools that know no 3.1. It says the same, but for two things that 3.0 has no words
// for: the webhooks stand under x-webhooks, and a file in a form is format binary.
func document30(document []byte) ([]byte, error) {
	var all map[string]any
	if err := json.Unmarshal(document, &all); err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	if err := schemas30(all["paths"]); err != nil {
		return nil, err
	}
	if err := schemas30(all["webhooks"]); err != nil {
		return nil, err
	}
	components := all["components"].(map[string]any)
	for name, schema := range components["schemas"].(map[string]any) {
		if err := schema30(schema.(map[string]any)); err != nil {
			return nil, fmt.Errorf("schema %s: %w", name, err)
		}
	}
	if err := schemas30(components["headers"]); err != nil {
		return nil, err
	}
	license := all["info"].(map[string]any)["license"].(map[string]any)
	license["url"] = fmt.Sprintf("https://spdx.org/licenses/%s.html", license["identifier"])
	delete(license, "identifier")
	all["openapi"], all["x-webhooks"] = "3.0.3", all["webhooks"]
	delete(all, "webhooks")
	return inOrder(all, "openapi", "info", "servers", "tags", "security", "paths", "x-webhooks", "components")
}

// schemas30 converts every schema that v, which is none, leads to.
func schemas30(v any) error {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			switch name {
			case "example", "examples":
			case "schema":
				if err := schema30(member.(map[string]any)); err != nil {
					return err
				}
			default:
				if err := schemas30(member); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	case []any:
		for _, item := range v {
			if err := schemas30(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// schema30 converts a schema and those in it.
func schema30(schema map[string]any) error {
	if types, ok := schema["type"].([]any); ok {
		kept := slices.DeleteFunc(slices.Clone(types), func(t any) bool { return t == "null" })
		if len(kept) != 1 || len(types) != 2 {
			return fmt.Errorf("3.0 has no type %v", types)
		}
		schema["type"], schema["nullable"] = kept[0], true
	}
	if examples, ok := schema["examples"].([]any); ok {
		schema["example"] = examples[0]
		delete(schema, "examples")
	}
	if schema["contentMediaType"] == "application/octet-stream" {
		schema["format"] = "binary"
		delete(schema, "contentMediaType")
	}
	for name, member := range schema {
		var err error
		switch name {
		case "properties":
			for property, inner := range member.(map[string]any) {
				if err := schema30(inner.(map[string]any)); err != nil {
					return fmt.Errorf("%s: %w", property, err)
				}
			}
		case "allOf", "anyOf", "oneOf":
			for _, inner := range member.([]any) {
				if err := schema30(inner.(map[string]any)); err != nil {
					return err
				}
			}
		case "items", "additionalProperties":
			if inner, ok := member.(map[string]any); ok {
				err = schema30(inner)
			}
		case "nullable", "example":
		default:
			if !slices.Contains(keywords30, name) {
				err = fmt.Errorf("3.0 has no keyword %s", name)
			}
		}
		if err != nil {
			return err
		}
	}
	// What stands beside a $ref is not read in 3.0.
	if ref := schema["$ref"]; ref != nil && len(schema) > 1 {
		delete(schema, "$ref")
		schema["allOf"] = []any{map[string]any{"$ref": ref}}
	}
	return nil
}
