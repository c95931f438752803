package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// pythonNames are what Python keeps for itself, and what a parameter may not be called.
var pythonNames = strings.Fields("False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda " +
	"nonlocal not or pass raise return try while with yield self body")

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// python writes the types and the client's methods into out.
func python(doc object, ops []operation, codes []string, out string) error {
	p := &pythonTypes{schemas: at(doc, "components", "schemas")}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\"\"\"What the API takes and answers, as dictionaries.\"\"\"\n\n", ours)
	b.WriteString("from __future__ import annotations\n\nfrom typing import Any, Dict, List, Literal, NotRequired, TypedDict, Union\n\n")
	var unions []string
	for _, name := range keys(p.schemas) {
		schema := at(p.schemas, name)
		if text(schema, "type") == "object" && schema["oneOf"] == nil {
			if err := p.class(&b, name, schema); err != nil {
				return err
			}
		} else {
			unions = append(unions, name)
		}
	}
	for _, name := range unions { // these are evaluated when the module is read, so they follow what they name
		schema := at(p.schemas, name)
		t, err := p.of(schema, name)
		if err != nil {
			return err
		}
		b.WriteString(wrap(text(schema, "description"), "# ", 140))
		fmt.Fprintf(&b, "%s = %s\n\n", name, t)
	}
	b.WriteString("# The codes of problems that this version knows. More can come.\nCode = Literal[\n")
	for _, code := range codes {
		fmt.Fprintf(&b, "    %q,\n", code)
	}
	b.WriteString("]\n")
	if err := os.WriteFile(filepath.Join(out, "models.py"), b.Bytes(), 0o644); err != nil { //nolint:gosec // source code
		return err
	}
	b.Reset()
	fmt.Fprintf(&b, "# %s\n\"\"\"The client's methods, one for each operation.\"\"\"\n\n", ours)
	b.WriteString("from __future__ import annotations\n\nfrom typing import Iterator, List, Literal, Optional, Union, cast\n\nfrom . import models\nfrom ._send import Answer, Sender, segment\n\n\n")
	b.WriteString("class Operations(Sender):\n    \"\"\"The operations of the API.\"\"\"\n")
	for _, o := range ops {
		if o.upload { // written by hand
			continue
		}
		if err := o.writePython(p, &b); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(out, "_operations.py"), b.Bytes(), 0o644) //nolint:gosec // source code
}

type pythonTypes struct{ schemas object }

// class writes an object as a TypedDict. The syntax of a class cannot name members such as from.
func (p *pythonTypes) class(b *bytes.Buffer, name string, schema object) error {
	properties, required := at(schema, "properties"), list(schema, "required")
	asClass := !slices.ContainsFunc(keys(properties), func(m string) bool { return !identifier.MatchString(m) || slices.Contains(pythonNames[:35], m) })
	if asClass {
		fmt.Fprintf(b, "class %s(TypedDict):\n    \"\"\"%s\"\"\"\n", name, docString(text(schema, "description"), name, "    "))
	} else {
		b.WriteString(wrap(text(schema, "description"), "# ", 140))
		fmt.Fprintf(b, "%s = TypedDict(\n    %q,\n    {\n", name, name)
	}
	for _, member := range keys(properties) {
		m := at(properties, member)
		t, err := p.of(m, name+" "+member)
		if err != nil {
			return err
		}
		if !slices.Contains(required, any(member)) {
			t = "NotRequired[" + t + "]"
		}
		indent := "    "
		if !asClass {
			indent = "        "
		}
		if doc := text(m, "description"); doc != "" {
			b.WriteString(wrap(doc, indent+"# ", 140))
		}
		if asClass {
			fmt.Fprintf(b, "%s%s: %s\n", indent, member, t)
		} else { // evaluated when the module is read, before what it names may be there
			fmt.Fprintf(b, "%s%q: %q,\n", indent, member, strings.ReplaceAll(t, `"`, "'"))
		}
	}
	if !asClass {
		b.WriteString("    },\n)\n")
	}
	b.WriteString("\n\n")
	return nil
}

func docString(s, otherwise, indent string) string {
	if s == "" {
		return otherwise + "."
	}
	s = strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"""`, `'''`)
	s = strings.TrimSpace(wrap(s, indent, 140))
	if strings.HasSuffix(s, `"`) {
		s += " "
	}
	return s
}

// of returns the type of a schema.
func (p *pythonTypes) of(schema object, where string) (string, error) {
	if name := refName(schema); name != "" {
		return name, nil
	}
	if either := append(list(schema, "oneOf"), list(schema, "anyOf")...); len(either) > 0 {
		var members []string
		for _, one := range either {
			t, err := p.of(one.(object), where)
			if err != nil {
				return "", err
			}
			members = append(members, t)
		}
		return "Union[" + strings.Join(members, ", ") + "]", nil
	}
	types := list(schema, "type")
	if len(types) == 0 && text(schema, "type") != "" {
		types = []any{schema["type"]}
	}
	if values := list(schema, "enum"); len(values) > 0 {
		var all []string
		for _, v := range values {
			if word, known := map[any]string{nil: "None", true: "True", false: "False"}[v]; known {
				all = append(all, word)
				continue
			}
			raw, err := json.Marshal(v)
			if err != nil {
				return "", err
			}
			all = append(all, string(raw))
		}
		return "Literal[" + strings.Join(all, ", ") + "]", nil
	}
	var members []string
	for _, one := range types {
		var t string
		switch one {
		case "string":
			t = "str"
		case "integer":
			t = "int"
		case "number":
			t = "float"
		case "boolean":
			t = "bool"
		case "null":
			t = "None"
		case "array":
			items, err := p.of(at(schema, "items"), where)
			if err != nil {
				return "", err
			}
			t = "List[" + items + "]"
		case "object":
			if at(schema, "properties") != nil {
				return "", fmt.Errorf("%s: an object with members needs a name: make it a component", where)
			}
			values := "Any"
			if more := at(schema, "additionalProperties"); more != nil {
				var err error
				if values, err = p.of(more, where); err != nil {
					return "", err
				}
			}
			t = "Dict[str, " + values + "]"
		default:
			return "", fmt.Errorf("%s: Python does not know the type %v", where, one)
		}
		members = append(members, t)
	}
	switch len(members) {
	case 0:
		return "Any", nil
	case 1:
		return members[0], nil
	default:
		return "Union[" + strings.Join(members, ", ") + "]", nil
	}
}

func (o operation) writePython(p *pythonTypes, b *bytes.Buffer) error {
	name := pythonName(o.id)
	args, names := []string{"self"}, []string{}
	path := o.path
	for _, one := range o.pathParams {
		arg := pythonName(one.name)
		args, names = append(args, arg+": str"), append(names, arg)
		path = strings.Replace(path, "{"+one.name+"}", "{segment("+arg+")}", 1)
	}
	if o.body != "" {
		args, names = append(args, "body: models."+o.body), append(names, "body")
	}
	given := len(args)
	var query, docs []string
	keyword := func(arg, t, doc string) {
		args, names = append(args, arg+": Optional["+t+"] = None"), append(names, arg+"="+arg)
		docs = append(docs, arg+": "+doc)
	}
	for _, q := range o.query {
		t, err := p.of(q.schema, o.id+" "+q.name)
		if err != nil {
			return err
		}
		arg := pythonName(q.name)
		keyword(arg, t, q.doc)
		query = append(query, fmt.Sprintf("%q: %s", q.name, arg))
	}
	if o.waits {
		keyword("wait", "int", "Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.")
	}
	if o.keyed {
		keyword("idempotency_key", "str", "Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it.")
	}
	if len(args) > given {
		args = slices.Insert(args, given, "*")
	}
	returns := "None"
	switch {
	case o.bytes:
		returns = "Answer"
	case o.queued != "":
		returns = "Union[models." + o.result + ", models." + o.queued + "]"
	case o.result != "":
		returns = "models." + o.result
	}
	doc := strings.TrimSuffix(o.summary, ".") + ". " + o.method + " " + o.path
	if o.doc != "" {
		doc += "\n\n" + o.doc
	}
	if o.bytes {
		doc += "\n\nThe caller closes the answer."
	}
	if o.queued != "" {
		doc += "\n\nAnswers the " + o.queued + " where WhatsApp has not done it within the wait, and still will: see is_queued."
	}
	if len(docs) > 0 {
		doc += "\n\n" + strings.Join(docs, "\n")
	}
	fmt.Fprintf(b, "\n    def %s(\n        %s,\n    ) -> %s:\n", name, strings.Join(args, ",\n        "), returns)
	fmt.Fprintf(b, "        \"\"\"%s\"\"\"\n", docString(doc, name, "        "))
	call := fmt.Sprintf("%q, f%q", o.method, path)
	if len(o.pathParams) == 0 {
		call = fmt.Sprintf("%q, %q", o.method, path)
	}
	if len(query) > 0 {
		call += ", query={" + strings.Join(query, ", ") + "}"
	}
	if o.body != "" {
		call += ", body=body"
	}
	if o.waits {
		call += ", wait=wait"
	}
	if o.keyed {
		call += ", idempotency_key=idempotency_key"
	}
	switch {
	case o.bytes:
		fmt.Fprintf(b, "        return self.open(%s)\n", call)
	case o.result == "":
		fmt.Fprintf(b, "        self.request(%s)\n", call)
	default:
		fmt.Fprintf(b, "        return cast(%q, self.request(%s))\n", returns, call)
	}
	if o.page != "" {
		o.writePythonPages(p, b, name, args, names)
	}
	return nil
}

func (o operation) writePythonPages(p *pythonTypes, b *bytes.Buffer, name string, args, names []string) {
	all, cursor := "all_"+strings.TrimPrefix(name, "list_"), pythonName(o.cursor)
	fmt.Fprintf(b, "\n    def %s(\n        %s,\n    ) -> Iterator[models.%s]:\n", all, strings.Join(args, ",\n        "), o.page)
	fmt.Fprintf(b, "        \"\"\"%s over all pages.\"\"\"\n        while True:\n            page = self.%s(%s)\n", name, name, strings.Join(names, ", "))
	fmt.Fprintf(b, "            yield from page[\"data\"]\n")
	if slices.Contains(list(at(p.schemas, o.result), "required"), any("nextCursor")) {
		fmt.Fprintf(b, "            if not page[\"hasMore\"]:\n                return\n            %s = page[\"nextCursor\"]\n", cursor)
	} else {
		fmt.Fprintf(b, "            %s = page.get(\"nextCursor\")\n            if not page[\"hasMore\"] or %s is None:\n                return\n", cursor, cursor)
	}
}

// pythonName is a name as Python has it: sessionId is session_id.
func pythonName(name string) string {
	s := strings.Join(words(name), "_")
	if slices.Contains(pythonNames, s) {
		s += "_"
	}
	return s
}
