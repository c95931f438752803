package features

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// refusals are the operations whose example cannot succeed here: which problem it gets instead, and why. An entry that is needed no more fails the test.
var refusals = map[string]struct{ code, why string }{
	"confirm-passkey": {"passkey_not_required", "the simulated phone compares codes with no client that proves who it is, as chasqui does"},
}

// walkLimit bounds the walk, which takes some 3 s where nothing else runs: only a failure takes that long.
const walkLimit = 3 * time.Minute

// TestExamples executes the example of every operation of the document, in the order of exampleswalk_test.go, where a new operation gets a line.
func TestExamples(t *testing.T) {
	t.Parallel()
	w := newWalk(t)
	w.links()
	w.keys()
	w.writes()
	w.answers()
	w.chats()
	w.people()
	w.groups()
	w.channels()
	w.statuses()
	w.media()
	w.webhooks()
	w.original()
	w.moves()
	w.ends()
	w.covered()
	w.audited()
}

// unaudited are the operations that are no GET and change nothing.
var unaudited = []string{"check-contacts", "create-stream-ticket"}

// audited: the audit log names every operation that changes something, and no other.
func (w *walk) audited() {
	w.t.Helper()
	for id := range w.executed {
		var log struct{ Data []struct{ Operation string } }
		call(w.t, "GET", running.URL+"/v1/audit-log?limit=1&operation="+id, nil, &log)
		if _, refused := refusals[id]; refused {
			continue
		}
		if changes := w.operations[id].method != "get" && !slices.Contains(unaudited, id); changes != (len(log.Data) > 0) {
			w.t.Errorf("%s: it changes something is %t, the audit log has it is %t", id, changes, len(log.Data) > 0)
		}
	}
}

// documented is an operation as the document has it.
type documented struct {
	method, path string
	OperationID  string
	Parameters   []struct {
		Name, In string
		Required bool
		Schema   struct{ Examples []any }
	}
	RequestBody *struct {
		Content map[string]struct {
			Example any
			Schema  struct {
				Properties map[string]struct{ Format string }
			}
		}
	}
	Responses map[string]struct {
		Content map[string]struct{ Examples map[string]any }
	}
}

// pointer is where something of the operation stands in the document.
func (o *documented) pointer(names ...string) string {
	pointer := "document.json#"
	for _, name := range append([]string{"paths", o.path, o.method}, names...) {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	return pointer
}

// A walk executes examples one after the other.
type walk struct {
	t          *testing.T
	ctx        context.Context
	operations map[string]*documented
	schemas    *jsonschema.Compiler
	executed   map[string]bool
	site       string            // where the files of the examples are, and what takes webhooks
	is         map[string]string // parameters and members whose value only the running program can give, such as messageId
	key        string            // what is sent instead of API_KEY
	s          session           // "sales", as in the examples, and whose account it is
	juan       phone             // whom they write to
	body       string            // of the latest answer
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	w := &walk{t: t, operations: map[string]*documented{}, schemas: jsonschema.NewCompiler(), executed: map[string]bool{}, is: map[string]string{}}
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithTimeout(t.Context(), walkLimit)
	t.Cleanup(cancel)
	status, raw := call(t, "GET", running.URL+"/openapi.json", nil, nil)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if status != 200 || err != nil {
		t.Fatalf("document: %d %v", status, err)
	}
	w.schemas.AssertFormat()
	if err := w.schemas.AddResource("document.json", document); err != nil {
		t.Fatal(err)
	}
	var all struct {
		Paths map[string]map[string]*documented
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for path, item := range all.Paths {
		for method, o := range item {
			o.method, o.path, w.operations[o.OperationID] = method, path, o
		}
	}
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch path.Ext(r.URL.Path) {
		case ".jpg":
			rw.Header().Set("Content-Type", "image/jpeg")
			_ = jpeg.Encode(rw, drawing(), nil)
		case ".pdf":
			rw.Header().Set("Content-Type", "application/pdf")
			_, _ = io.WriteString(rw, "%PDF-1.7")
		default:
			rw.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(site.Close)
	w.site = site.URL
	return w
}

// do executes the example of an operation, checks the answer against the document, and returns it. given are names and values of parameters, and of
// members of the body, that are not to be as in the example, or not as in w.is; an optional parameter is sent when it is among them.
func (w *walk) do(id string, given ...string) map[string]any {
	w.t.Helper()
	o := w.operations[id]
	if o == nil {
		w.t.Errorf("the document has no operation %q: take it out of the walk", id)
		return nil
	}
	w.executed[id] = true
	is := maps.Clone(w.is)
	for i := 0; i+1 < len(given); i += 2 {
		is[given[i]] = given[i+1]
	}
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	r, waits := w.request(ctx, o, is, given)
	began := time.Now()
	res, err := client.Do(r)
	if err != nil {
		w.t.Fatalf("%s: %v", id, err)
	}
	defer res.Body.Close()
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	var body []byte
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
	case kind == "text/event-stream": // goes on for ever
		body = make([]byte, 1)
		_, err = io.ReadFull(res.Body, body)
	default:
		body, err = io.ReadAll(res.Body)
	}
	w.body = string(body)
	if took := time.Since(began); took > time.Second {
		w.t.Logf("%s took %s", id, took.Round(time.Millisecond))
	}
	says := fmt.Sprintf("%s %s: %d %s", r.Method, r.URL.Path, res.StatusCode, body)
	if err != nil {
		w.t.Errorf("%s: %v", says, err)
	}

	// The lowest status is the one of what is done; 202 beside 200 is of what waits, and this was waited for.
	statuses := slices.DeleteFunc(slices.Sorted(maps.Keys(o.Responses)), func(status string) bool { return status >= "3" })
	if waits {
		statuses = statuses[:1]
	}
	refusal, refused := refusals[id]
	status := fmt.Sprint(res.StatusCode)
	switch {
	case refused && res.StatusCode < 400:
		w.t.Errorf("%s succeeds: take it out of refusals", id)
	case refused:
		if o.Responses[status].Content[kind].Examples[refusal.code] == nil || !bytes.Contains(body, []byte(`"code":"`+refusal.code+`"`)) {
			w.t.Errorf("%s: want the problem %s, and that in the document, since %s", says, refusal.code, refusal.why)
		}
	case !slices.Contains(statuses, status):
		w.t.Errorf("the example of %s does not succeed, %v is promised: %s", id, statuses, says)
		return nil
	}
	return w.fits(o, status, kind, body, says)
}

// fits checks an answer against its schema and returns it, if it is JSON.
func (w *walk) fits(o *documented, status, kind string, body []byte, says string) map[string]any {
	w.t.Helper()
	_, anything := o.Responses[status].Content["*/*"]
	if _, ok := o.Responses[status].Content[kind]; !ok {
		if len(body) > 0 && !anything {
			w.t.Errorf("%s: the document has no %q there", says, kind)
		}
		return nil
	}
	if !strings.HasSuffix(kind, "json") {
		return nil
	}
	schema, err := w.schemas.Compile(o.pointer("responses", status, "content", kind, "schema"))
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(answer)
	}
	if err != nil {
		w.t.Errorf("%s does not fit the document: %v", says, err)
	}
	object, _ := answer.(map[string]any)
	return object
}

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// request makes the request of an example, and says whether it waits until what it asks for is done.
func (w *walk) request(ctx context.Context, o *documented, is map[string]string, given []string) (r *http.Request, waits bool) {
	w.t.Helper()
	query, header, inPaths := url.Values{}, http.Header{}, map[string]string{}
	for _, p := range o.Parameters {
		if waits = waits || p.Name == "Prefer"; !p.Required && p.Name != "Prefer" && !slices.Contains(given, p.Name) {
			continue
		}
		value, ok := is[p.Name]
		if !ok && len(p.Schema.Examples) == 0 {
			w.t.Fatalf("%s: the parameter %s has no example", o.OperationID, p.Name)
		}
		if !ok {
			value = fmt.Sprint(p.Schema.Examples[0])
		}
		switch p.In {
		case "path":
			inPaths[p.Name] = value
		case "query":
			query.Set(p.Name, value)
		case "header":
			header.Set(p.Name, value)
		}
	}
	target := inPath.ReplaceAllStringFunc(o.path, func(name string) string { return url.PathEscape(inPaths[name[1:len(name)-1]]) })
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var body bytes.Buffer
	if o.RequestBody != nil {
		for kind, content := range o.RequestBody.Content { // there is one
			example := w.filled("", content.Example, is)
			if header.Set("Content-Type", kind); kind != "multipart/form-data" {
				_ = json.NewEncoder(&body).Encode(example)
				continue
			}
			form := multipart.NewWriter(&body)
			for name, value := range example.(map[string]any) {
				if content.Schema.Properties[name].Format == "binary" {
					part, _ := form.CreateFormFile(name, name)
					_, _ = io.WriteString(part, value.(string))
				} else {
					_ = form.WriteField(name, value.(string))
				}
			}
			_ = form.Close()
			header.Set("Content-Type", form.FormDataContentType())
		}
	}
	r, err := http.NewRequestWithContext(ctx, strings.ToUpper(o.method), running.URL+target, &body)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header = header
	if _, upgrades := o.Responses["101"]; upgrades {
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			header.Set(name, value)
		}
	}
	header.Set("X-API-Key", cmp.Or(w.key, running.APIKey))
	return r, waits
}

// filled is an example whose members called as something in is have that value, and whose URLs lead to the test's own server.
func (w *walk) filled(name string, v any, is map[string]string) any {
	switch v := v.(type) {
	case map[string]any:
		filled := map[string]any{}
		for name, member := range v {
			filled[name] = w.filled(name, member, is)
		}
		return filled
	case []any:
		filled := make([]any, len(v))
		for i, item := range v {
			filled[i] = w.filled(name, item, is)
		}
		return filled
	case string:
		if value, ok := is[name]; ok {
			return value
		}
		for _, site := range []string{"https://example.com/", "https://tu-servidor.com/"} {
			if rest, ok := strings.CutPrefix(v, site); ok {
				return w.site + "/" + rest
			}
		}
	}
	return v
}

// covered fails the test for each operation that was not executed.
func (w *walk) covered() {
	w.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(w.operations)) {
		if w.executed[id] {
			continue
		}
		o, line := w.operations[id], fmt.Sprintf("w.do(%q", id)
		for _, name := range inPath.FindAllStringSubmatch(o.path, -1) {
			if _, known := w.is[name[1]]; !known && name[1] != "sessionId" {
				line += fmt.Sprintf(", %q, its value", name[1])
			}
		}
		w.t.Errorf("nothing executes the example of %s %s: add the line\n\t%s)\nto exampleswalk_test.go, behind what makes the things that it is about. "+
			"What the example has right, such as the contact, needs no value.", strings.ToUpper(o.method), o.path, line)
	}
	for id := range refusals {
		if w.operations[id] == nil {
			w.t.Errorf("the document has no operation %q: take it out of refusals", id)
		}
	}
}
