// Package redirect leads requests for WhatsApp's hosts to another server that speaks its protocol, as WHATSAPP_URL names it.
package redirect

import (
	"fmt"
	"net/http"
	"net/url"
)

// Transport takes every request, the socket's and the media's, to another server. Make one with To.
type Transport struct {
	to   *url.URL
	base http.RoundTripper // may lead through a proxy
}

// To reads WHATSAPP_URL (ws://host:port/ws/chat). An empty one leaves base as it is.
func To(address string, base http.RoundTripper) (http.RoundTripper, error) {
	if address == "" {
		return base, nil
	}
	to, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("parse WHATSAPP_URL: %w", err)
	}
	schemes := map[string]string{"ws": "http", "wss": "https"}
	if to.Scheme = schemes[to.Scheme]; to.Scheme == "" || to.Host == "" {
		return nil, fmt.Errorf("parse WHATSAPP_URL: %q is not of the form ws://host:port/ws/chat", address)
	}
	return &Transport{to: to, base: base}, nil
}

// RoundTrip implements http.RoundTripper. The socket has the path of WHATSAPP_URL, media keep theirs.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.URL.Scheme, request.URL.Host, request.Host = t.to.Scheme, t.to.Host, t.to.Host
	if request.Header.Get("Upgrade") != "" && t.to.Path != "" {
		request.URL.Path, request.URL.RawPath = t.to.Path, t.to.RawPath
	}
	return t.base.RoundTrip(request)
}
