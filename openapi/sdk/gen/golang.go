package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed oapi-codegen.yaml
var codegenConfig []byte

// goModels has oapi-codegen write the types, and the requests of a client, of a document. Headers that the SDK sets itself are left out of it.
func goModels(ctx context.Context, tool string, doc object, work, out string) error {
	doc, err := clone(doc)
	if err != nil {
		return err
	}
	for _, item := range at(doc, "paths") {
		for _, op := range item.(object) {
			op := op.(object)
			for _, p := range list(op, "parameters") {
				if schema := at(p.(object), "schema"); text(schema, "type") == "array" {
					schema["x-go-type-skip-optional-pointer"] = true
				}
			}
			delete(op, "summary") // they stand at the methods
			delete(op, "description")
			if kept := slices.DeleteFunc(list(op, "parameters"), func(p any) bool {
				name := text(p.(object), "name")
				return name == "Idempotency-Key" || name == "Prefer"
			}); len(kept) > 0 {
				op["parameters"] = kept
			} else {
				delete(op, "parameters")
			}
		}
	}
	plainAnswers(doc)
	spec, config := filepath.Join(work, "go.json"), filepath.Join(work, "oapi-codegen.yaml")
	if err := write(doc, spec); err != nil {
		return err
	}
	if err := os.WriteFile(config, codegenConfig, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "none.tmpl"), []byte("// operations_gen.go has the methods that read answers.\n"), 0o600); err != nil {
		return err
	}
	tool, err = filepath.Abs(tool)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, tool, "-config", config, spec) //nolint:gosec // the tool is what make has built
	cmd.Dir = work
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	code, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("oapi-codegen: %w\n%s", err, stderr.Bytes())
	}
	if stderr.Len() > 0 { // a name that it changed, a schema that it does not understand
		fmt.Fprintf(os.Stderr, "oapi-codegen: %s", stderr.Bytes())
	}
	code, err = format.Source([]byte(hidden.Replace(string(code))))
	if err != nil {
		return fmt.Errorf("format models_gen.go: %w", err)
	}
	return os.WriteFile(filepath.Join(out, "models_gen.go"), code, 0o644) //nolint:gosec // source code
}

// hidden are names of oapi-codegen's client, which is inside ours and nobody else's business.
var hidden = strings.NewReplacer(
	"Package chasqui provides primitives to interact with the openapi HTTP API.\n//\n// Code", "Code",
	"NewClient", "newRequests", "ClientOption", "requestsOption", "ClientInterface", "requestsInterface", "WithHTTPClient", "withHTTPClient",
	"WithBaseURL", "withBaseURL", "WithRequestEditorFn", "withRequestEditorFn", "HttpRequestDoer", "doer", "RequestEditorFn", "Option",
)

// plainAnswers takes the pointers off the members of answers whose zero value says that they are not there: texts, flags, lists and maps.
// Requests keep theirs, since PATCH tells false from nothing.
func plainAnswers(doc object) {
	schemas, sent := at(doc, "components", "schemas"), map[string]bool{}
	for _, item := range at(doc, "paths") {
		for _, op := range item.(object) {
			reach(schemas, at(op.(object), "requestBody"), sent)
		}
	}
	for name, schema := range schemas {
		if sent[name] {
			continue
		}
		for _, member := range at(schema.(object), "properties") {
			switch m := member.(object); text(m, "type") {
			case "string":
				if text(m, "format") == "date-time" {
					continue
				}
				fallthrough
			case "boolean", "array", "object":
				m["x-go-type-skip-optional-pointer"] = true
			}
		}
	}
}

// goOperations writes the client's methods.
func goOperations(doc object, ops []operation, codes []string, out string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// %s\n\npackage chasqui\n\nimport (\n\t\"context\"\n\t\"io\"\n\t\"iter\"\n\t\"net/http\"\n)\n\n", ours)
	fmt.Fprintf(&b, "// The codes of problems that this version knows. More can come.\nconst (\n")
	for _, code := range codes {
		fmt.Fprintf(&b, "\tCode%s = %q\n", goName(code), code)
	}
	b.WriteString(")\n\n")
	schemas := at(doc, "components", "schemas")
	b.WriteString("// The types of events that this version knows. More can come.\nconst (\n")
	for _, eventType := range keys(at(schemas, "Event", "discriminator", "mapping")) {
		fmt.Fprintf(&b, "\tEvent%s = %q\n", goName(eventType), eventType)
	}
	b.WriteString(")\n\n")
	for _, member := range keys(at(schemas, "SendContent", "discriminator", "mapping")) {
		name := refName(object{"$ref": at(schemas, "SendContent", "discriminator", "mapping")[member]})
		fmt.Fprintf(&b, "// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.\nfunc (v %s) AsContent() (c SendContent) {\n\t_ = c.From%s(v)\n\treturn c\n}\n\n", name, name)
	}
	for _, o := range ops {
		o.writeGo(&b)
	}
	code, err := format.Source(b.Bytes())
	if err != nil {
		return fmt.Errorf("format operations_gen.go: %w", err)
	}
	return os.WriteFile(filepath.Join(out, "operations_gen.go"), code, 0o644) //nolint:gosec // source code
}

func (o operation) writeGo(b *bytes.Buffer) {
	name := goName(o.id)
	args, call := "ctx context.Context", "ctx"
	for _, p := range o.pathParams {
		args, call = args+", "+goArg(p.name)+" string", call+", "+goArg(p.name)
	}
	if len(o.query) > 0 {
		args, call = args+", params *"+name+"Params", call+", params"
	}
	with := ""
	switch {
	case o.upload:
		with = "WithBody"
		args, call = args+", contentType string, body io.Reader", call+", contentType, body"
	case o.body != "":
		args, call = args+", body "+o.body, call+", body"
	}
	args, call = args+", options ...Option", call+", options..."
	b.WriteString(wrap(fmt.Sprintf("%s: %s. %s %s", name, strings.TrimSuffix(o.summary, "."), o.method, o.path), "// ", 140))
	if o.doc != "" {
		b.WriteString("//\n" + wrap(o.doc, "// ", 140))
	}
	if o.queued != "" {
		b.WriteString("//\n// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.\n")
	}
	switch {
	case o.bytes:
		fmt.Fprintf(b, "//\n// The caller closes the answer's body.\nfunc (c *Client) %s(%s) (*http.Response, error) { return c.requests.%s%s(%s) }\n\n", name, args, name, with, call)
	case o.result == "":
		fmt.Fprintf(b, "func (c *Client) %s(%s) error { return nothing(c.requests.%s%s(%s)) }\n\n", name, args, name, with, call)
	case o.queued != "":
		fmt.Fprintf(b, "func (c *Client) %s(%s) (*%s, *%s, error) { return either[%s, %s](c.requests.%s%s(%s)) }\n\n", name, args, o.result, o.queued, o.result, o.queued, name, with, call)
	default:
		fmt.Fprintf(b, "func (c *Client) %s(%s) (*%s, error) { return one[%s](c.requests.%s%s(%s)) }\n\n", name, args, o.result, o.result, name, with, call)
	}
	if o.page == "" {
		return
	}
	all, cursor := "All"+strings.TrimPrefix(name, "List"), goName(o.cursor)
	fmt.Fprintf(b, "// %s is %s over all pages. It ends after the first error.\nfunc (c *Client) %s(%s) iter.Seq2[%s, error] {\n", all, name, all, args, o.page)
	fmt.Fprintf(b, "\tvar q %sParams\n\tif params != nil {\n\t\tq = *params\n\t}\n\treturn pages(func() ([]%s, bool, error) {\n\t\tpage, err := c.%s(%s)\n", name, o.page, name, strings.Replace(call, "params", "&q", 1))
	fmt.Fprintf(b, "\t\tif err != nil {\n\t\t\treturn nil, false, err\n\t\t}\n\t\tq.%s = &page.NextCursor\n\t\treturn page.Data, page.HasMore, nil\n\t})\n}\n\n", cursor)
}

// initialisms are those of oapi-codegen, which the methods that it writes are named with, and ours of oapi-codegen.yaml.
var initialisms = strings.Fields("acl api ascii cpu css dns eof guid html http https id ip json qps ram rpc sla smtp sql ssh tcp tls ttl udp ui gid uid uuid " +
	"uri url utf8 vm xml xmpp xsrf xss sip rtp amqp db ts qr")

// goName is a name as oapi-codegen's ToCamelCaseWithInitialisms has it.
func goName(name string) string {
	var b strings.Builder
	for _, w := range words(name) {
		if slices.Contains(initialisms, w) {
			b.WriteString(strings.ToUpper(w))
		} else {
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}

func goArg(name string) string {
	all := words(name)
	return all[0] + goName(strings.Join(all[1:], "-"))
}
