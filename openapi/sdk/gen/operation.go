package main

import (
	"fmt"
	"slices"
	"strings"
)

// A param is a parameter in the path or the query.
type param struct {
	name     string
	schema   object
	required bool
	doc      string
}

// An operation is what an SDK's method needs to know.
type operation struct {
	id, method, path string
	summary, doc     string
	pathParams       []param
	query            []param
	keyed            bool   // takes an Idempotency-Key
	waits            bool   // takes Prefer: wait=N
	body             string // the component that is sent, or nothing
	bodyOptional     bool
	upload           bool   // sends multipart/form-data
	result           string // the component that is answered, or nothing
	queued           string // the component that 202 answers, where that is another one
	bytes            bool   // answers a file
	page             string // the component of the items, where it answers pages
	cursor           string // the parameter that takes nextCursor
}

// operations returns those of a document by id, but for the stream, which every SDK reads in its own way.
func operations(doc object) ([]operation, error) {
	var all []operation
	paths := at(doc, "paths")
	for _, path := range keys(paths) {
		item := at(paths, path)
		for _, method := range keys(item) {
			if op := at(item, method); text(op, "operationId") != "stream-events" {
				o, err := parse(doc, op)
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", method, path, err)
				}
				o.method, o.path = strings.ToUpper(method), path
				all = append(all, o)
			}
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	return all, nil
}

func parse(doc, op object) (operation, error) {
	o := operation{id: text(op, "operationId"), summary: text(op, "summary"), doc: text(op, "description")}
	for _, p := range list(op, "parameters") {
		p := p.(object)
		one := param{text(p, "name"), at(p, "schema"), truth(p, "required"), text(p, "description")}
		switch where := text(p, "in"); {
		case where == "path":
			o.pathParams = append(o.pathParams, one)
		case where == "query":
			o.query = append(o.query, one)
		case one.name == "Idempotency-Key":
			o.keyed = true
		case one.name == "Prefer":
			o.waits = true
		default:
			return o, fmt.Errorf("SDKs do not know the header %s", one.name)
		}
	}
	if body := at(op, "requestBody"); body != nil {
		content := at(body, "content")
		switch {
		case content["multipart/form-data"] != nil:
			o.upload = true
		case refName(at(content, "application/json", "schema")) != "":
			o.body, o.bodyOptional = refName(at(content, "application/json", "schema")), !truth(body, "required")
		default:
			return o, fmt.Errorf("SDKs do not know a body of %v that is not a component", keys(content))
		}
	}
	for _, status := range keys(at(op, "responses")) {
		content := at(op, "responses", status, "content")
		if len(content) == 0 {
			continue
		}
		if content["application/json"] == nil {
			o.bytes = true
			continue
		}
		name := refName(at(content, "application/json", "schema"))
		switch {
		case name == "":
			return o, fmt.Errorf("the answer %s is not a component", status)
		case o.result == "" || o.result == name:
			o.result = name
		case status == "202" && o.queued == "":
			o.queued = name
		default:
			return o, fmt.Errorf("more than two answers: %s, %s, %s", o.result, o.queued, name)
		}
	}
	properties := at(doc, "components", "schemas", o.result, "properties")
	for _, p := range o.query {
		if (p.name == "cursor" || p.name == "after") && properties["nextCursor"] != nil {
			o.cursor, o.page = p.name, refName(at(properties, "data", "items"))
		}
	}
	return o, nil
}

// words are the parts of a name in lower case: sessionId is session id, look-up-group is look up group.
func words(name string) []string {
	var all []string
	start := 0
	flush := func(end int) {
		if end > start {
			all = append(all, strings.ToLower(name[start:end]))
		}
	}
	for i, r := range name {
		switch {
		case r == '-' || r == '_' || r == '.':
			flush(i)
			start = i + 1
		case r >= 'A' && r <= 'Z' && i > 0 && (name[i-1] < 'A' || name[i-1] > 'Z'):
			flush(i)
			start = i
		}
	}
	flush(len(name))
	return all
}

// wrap breaks a text into lines of up to so many characters, each after a prefix.
func wrap(s, prefix string, width int) string {
	var out strings.Builder
	for paragraph := range strings.Lines(s) {
		line := prefix
		for word := range strings.FieldsSeq(paragraph) {
			if len(line)+1+len(word) > width && line != prefix {
				out.WriteString(strings.TrimRight(line, " ") + "\n")
				line = prefix
			}
			if line != prefix {
				line += " "
			}
			line += word
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return out.String()
}
