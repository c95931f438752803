package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// headerValue is the value of a header of the client's own.
type headerValue string

// Schema bounds the value and keeps line breaks out of it.
func (headerValue) Schema(huma.Registry) *huma.Schema {
	longest := 1024
	return &huma.Schema{Type: huma.TypeString, MaxLength: &longest, Pattern: `^[\x20-\x7e]*$`}
}

// goodHeaderName is a token of RFC 9110.
var goodHeaderName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")

// reservedHeaders are set by the delivery itself or belong to the connection.
var reservedHeaders = []string{"Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade",
	"Expect", "User-Agent", "Proxy-Connection", "Proxy-Authorization", "Accept-Encoding"}

// headersJSON checks a client's own headers and returns them as they are stored.
func headersJSON(headers map[string]headerValue) (json.RawMessage, error) {
	seen := map[string]bool{}
	for name := range headers {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !goodHeaderName.MatchString(name):
			return nil, invalid("body.headers", "expected header names of up to 64 letters, digits and hyphens")
		case slices.Contains(reservedHeaders, canonical), strings.HasPrefix(canonical, "Webhook-"):
			return nil, invalid("body.headers", canonical+" is set by chasqui")
		case seen[canonical]:
			return nil, invalid("body.headers", canonical+" stands there twice")
		}
		seen[canonical] = true
	}
	if headers == nil {
		headers = map[string]headerValue{}
	}
	return json.Marshal(headers)
}
