package api

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
)

// contract checks against the committed document what goes over the wire, the way a client of another language would.
var contract = sync.OnceValues(func() (validator.Validator, error) {
	raw, err := Spec()
	if err != nil {
		return nil, err
	}
	document, err := libopenapi.NewDocument(raw)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(document, config.WithFormatAssertions())
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return v, nil
})

// checkContract fails the test when an answer is not what the document promises, or when a request was accepted that it forbids.
func checkContract(t testing.TB, method, path string, header http.Header, body []byte, a answer) {
	t.Helper()
	v, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	// A fresh request with the parts that the document speaks of; the one that was sent has been consumed.
	r, err := http.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		return // a path that is none
	}
	r.Header = header
	response := *a.Response
	response.Body = io.NopCloser(bytes.NewReader(a.body))
	if ok, errs := v.ValidateHttpResponse(r, &response); !ok {
		for _, e := range errs {
			if !e.IsPathMissingError() && !e.IsOperationMissingError() {
				t.Errorf("%s %s: %d breaks the contract: %v\n%s", method, path, a.StatusCode, e, a.body)
			}
		}
	}
	if a.StatusCode >= 300 || method == http.MethodHead || strings.HasPrefix(path, "/problems/") {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if ok, errs := v.ValidateHttpRequest(r); !ok {
		for _, e := range errs {
			if !e.IsPathMissingError() && !e.IsOperationMissingError() {
				t.Errorf("%s %s was accepted (%d) against the contract: %v\n%s", method, path, a.StatusCode, e, body)
			}
		}
	}
}

// TestContractIsChecked: the check would notice.
func TestContractIsChecked(t *testing.T) {
	t.Parallel()
	v, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ method, path, sent, answered string }{
		"a missing member":      {"GET", "/v1/sessions", "", `{"data":[]}`},
		"a wrong type":          {"GET", "/v1/sessions", "", `{"data":{},"hasMore":false}`},
		"a wrong item":          {"GET", "/v1/events", "", `{"data":[{"id":"evt_1"}],"hasMore":false,"nextCursor":""}`},
		"an unknown field":      {"POST", "/v1/sessions", `{"id":"x","nama":"y"}`, ""},
		"content of no variant": {"POST", "/v1/sessions/x/messages", `{"to":"5491123456789","content":{"type":"video"}}`, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, "http://127.0.0.1:3000"+c.path, strings.NewReader(c.sent))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-API-Key", testKey)
		var ok bool
		if c.answered == "" {
			ok, _ = v.ValidateHttpRequest(r)
		} else {
			ok, _ = v.ValidateHttpResponse(r, &http.Response{
				StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(c.answered)), Request: r,
			})
		}
		if ok {
			t.Errorf("%s passes", name)
		}
	}
}
