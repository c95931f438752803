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
