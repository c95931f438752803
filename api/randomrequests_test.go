package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	randomRequests = flag.Int("requests", 20000, "how many random requests TestRandomRequests makes")
	randomSeed     = flag.Uint64("seed", 1, "where TestRandomRequests begins")
)

// randomWait is how long an answer is waited for: the operations that wait for news do not say how long they take, and are left then.
const randomWait = 2 * time.Second

// enough requests were left: nothing more is asked of an operation.
const enough = 3

// A randomOperation is an operation of the document, and what came of the requests to it.
type randomOperation struct {
	method, path, id string
	parameters       []map[string]any
	body             map[string]any // the schema; nil: it has none
	statuses         map[int]int
	left             int // requests that were left while they waited
}

// TestRandomRequests makes requests to every operation, out of what the document says of it and with one place spoiled in two of three, and holds
// each answer against the document: it must be one that the document knows, never 500, and a request that the document forbids must not be
// accepted nor write anything. One that the document allows must not be told that it is malformed.
func TestRandomRequests(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.MediaMaxBytes = 1 << 20 })
	operations, g := readOperations(t)
	for _, id := range []string{"sales", "support"} {
		f.session(id)
	}
	f.linked("support", "reconnecting")
	f.crowd("support", 120)
	v, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	var allowed, forbidden, failures int
	for i := range *randomRequests {
		o := operations[i%len(operations)]
		if o.left == enough {
			continue
		}
		r := g.request(o, f.base, g.IntN(3) > 0)
		fits, _ := v.ValidateHttpRequest(r.with(t.Context()))
		looks := !fits && o.method != "GET" && i%8 == 0
		var before map[string]int
		if looks {
			before = f.rows()
		}
		response, body, err := r.do(t.Context(), client)
		if errors.Is(err, context.DeadlineExceeded) {
			o.left++
			continue
		}
		if err != nil {
			t.Fatalf("request %d, %s: %v", i, r, err)
		}
		fail := func(what string, more ...any) {
			failures++
			t.Errorf("request %d, %s, is answered %d: %s\n%s", i, r, response.StatusCode, fmt.Sprintf(what, more...), body)
		}
		status := response.StatusCode
		if o.statuses[status]++; status == http.StatusInternalServerError || status == http.StatusServiceUnavailable && o.id != "get-session-qr" { // which is not there yet
			fail("the server fails")
		}
		if ok, errs := v.ValidateHttpResponse(r.with(t.Context()), response); !ok && body != nil {
			fail("not what the document says: %v", errs)
		}
		if fits {
			// The document cannot say that no string holds U+0000.
			malformed := status == http.StatusBadRequest || status == http.StatusUnsupportedMediaType && bytes.Contains(body, []byte("the body must be"))
			if allowed++; malformed && !bytes.Contains(r.body, []byte(`\u0000`)) && !strings.Contains(r.url, "%00") {
				fail("the document allows it")
			}
		} else {
			// The original's clients may send a null for nothing.
			if forbidden++; status < 300 && (strings.HasPrefix(o.path, "/v1/") || !bytes.Contains(r.body, []byte("null"))) {
				fail("the document forbids it")
			}
			if looks {
				for table, n := range f.rows() {
					if n > before[table] { // less is the sweeper's work
						fail("it was refused, and wrote into %s", table)
					}
				}
			}
		}
		if status < 300 {
			g.learn(body)
		}
		if failures > 30 {
			break // what there is to see has been seen
		}
	}
	t.Logf("%d requests fit, %d did not", allowed, forbidden)
	if allowed < *randomRequests/5 || forbidden < *randomRequests/5 {
		t.Errorf("of %d requests %d fit, and %d did not: they say little", *randomRequests, allowed, forbidden)
	}
	waiting := 0
	for _, o := range operations {
		t.Log(o.id, o.statuses)
		if o.left == enough {
			waiting++
		}
	}
	if waiting > 3 { // the original's, which have no word for how long
		t.Errorf("%d operations let their clients wait", waiting)
	}
}

// A randomRequest can be made more than once.
type randomRequest struct {
	method, url string
	header      http.Header
	body        []byte
}

func (r *randomRequest) String() string {
	return fmt.Sprintf("%s %s %v %.2000s", r.method, r.url, r.header, r.body)
}

func (r *randomRequest) with(ctx context.Context) *http.Request {
	made, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		panic(err) // every part of the URL is escaped
	}
	made.Header = r.header.Clone()
	return made
}

// do returns the answer with its body, which is nil when it is a stream.
func (r *randomRequest) do(ctx context.Context, client *http.Client) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, randomWait)
	defer cancel()
	response, err := client.Do(r.with(ctx))
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return response, nil, nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, append([]byte{}, body...), nil
}

// request makes a request to an operation, as the document wants it, as far as the generator knows, or with a parameter or the body spoiled.
func (g *generator) request(o *randomOperation, base string, spoils bool) *randomRequest {
	r := &randomRequest{method: o.method, header: http.Header{"X-Api-Key": {testKey}}}
	spoiled := -1 // the parameter that is; the body is the one behind the last
	if spoils {
		spoiled = g.IntN(len(o.parameters) + 1)
		if o.body != nil && g.IntN(2) == 0 {
			spoiled = len(o.parameters)
		}
	}
	path, query := o.path, url.Values{}
	for i, p := range o.parameters {
		name, in := p["name"].(string), p["in"].(string)
		required, _ := p["required"].(bool)
		if !required && i != spoiled && g.IntN(4) > 0 && name != "Prefer" {
			continue
		}
		var value any
		switch {
		case name == "Prefer":
			value = "wait=0" // nobody answers here
		case name == "wait" && i != spoiled:
			value = 0
		case i == spoiled:
			value = g.odd()
		case name == "sessionId" && !strings.Contains(o.id, "delete-session") && g.IntN(8) > 0:
			value = "support" // it has something of everything; without it there is nothing to find
		default:
			value = g.value(p["schema"].(map[string]any), 0)
		}
		text := parameterText(value)
		switch in {
		case "path":
			if text == "" || strings.Trim(text, ".") == "" {
				text = "-" // another path, or none
			}
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(text))
		case "query":
			if text != "" { // which is as none
				query.Set(name, text)
			}
		case "header":
			text = strings.TrimSpace(strings.Map(func(c rune) rune {
				if c < ' ' || c > '~' {
					return -1 // no client sends it
				}
				return c
			}, text))
			if text != "" { // which is as none
				r.header.Set(name, text)
			}
		}
	}
	if spoiled >= 0 && o.body == nil && spoiled == len(o.parameters) {
		query.Set("unknown", "1")
	}
	r.url = base + path
	if len(query) > 0 {
		r.url += "?" + query.Encode()
	}
	if o.body == nil {
		return r
	}
	value := g.value(o.body, 0)
	if spoiled == len(o.parameters) {
		value = g.spoil(value)
	}
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	r.body = body
	r.header.Set("Content-Type", "application/json")
	if spoiled == len(o.parameters) {
		switch g.IntN(20) {
		case 0:
			r.body = body[:g.IntN(len(body))]
		case 1:
			r.body = append(body, body...)
		case 2:
			r.header.Set("Content-Type", []string{"text/plain", "application/xml", "application/json; charset=utf-16", "multipart/form-data"}[g.IntN(4)])
		case 3:
			r.body = bytes.Repeat([]byte("["), 1+g.IntN(20000))
		}
	}
	return r
}

func parameterText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		texts := make([]string, 0, len(v))
		for _, item := range v {
			texts = append(texts, parameterText(item))
		}
		return strings.Join(texts, ",")
	}
	return fmt.Sprint(v)
}

// learn remembers the strings of an answer that may be ids.
func (g *generator) learn(body []byte) {
	var answer any
	if json.Unmarshal(body, &answer) != nil {
		return
	}
	var collect func(any)
	collect = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				collect(v[name])
			}
		case []any:
			for _, item := range v {
				collect(item)
			}
		case string:
			if len(v) < 100 && !slices.Contains(g.seen, v) {
				g.seen = append(g.seen, v)
			}
		}
	}
	collect(answer)
	if many := len(g.seen) - 300; many > 0 {
		g.seen = g.seen[many:]
	}
}

// readOperations reads the document as a client does.
func readOperations(t *testing.T) ([]*randomOperation, *generator) {
	t.Helper()
	raw, err := newRoutes().document()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []map[string]any
			RequestBody struct {
				Content map[string]struct{ Schema map[string]any }
			}
		}
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	var operations []*randomOperation
	for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(document.Paths[path])) {
			o := document.Paths[path][method]
			operations = append(operations, &randomOperation{
				method: strings.ToUpper(method), path: path, id: o.OperationID, parameters: o.Parameters,
				body: o.RequestBody.Content["application/json"].Schema, statuses: map[int]int{},
			})
		}
	}
	return operations, &generator{Rand: rand.New(rand.NewPCG(*randomSeed, 0)), schemas: document.Components.Schemas, patterns: map[string]*regexp.Regexp{}}
}

// public are the operations that want no key.
var public = map[string]bool{"legacy-health": true, "legacy-info": true, "get-version": true, "get-health": true, "get-readiness": true}

// TestEveryOperationWantsAKey: but for those that load balancers and people without one ask for, with and without a valid request.
func TestEveryOperationWantsAKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	operations, g := readOperations(t)
	for i, o := range operations {
		for name, key := range map[string]string{"": "", "X-Api-Key": "wrong", "Authorization": "Bearer wrong"} {
			random := g.request(o, f.base, g.IntN(3) > 0)
			if strings.Contains(random.url, "%00") {
				continue // refused before anybody is asked for a key
			}
			random.header.Del("X-Api-Key")
			random.header.Set(name, key)
			r := random.with(t.Context())
			r.RemoteAddr = fmt.Sprintf("198.51.100.%d:4711", i) // the same one would be kept out after a while
			w := httptest.NewRecorder()
			f.router.ServeHTTP(w, r)
			if got := w.Code; (got == http.StatusUnauthorized) == public[o.id] {
				t.Errorf("%s with %s %q: %d %s", random, name, key, got, w.Body)
			}
		}
	}
}
