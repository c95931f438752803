package dispatcher

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/redirect"
	"github.com/chasqui/chasqui/infra/steady"
)

const (
	// mediaHost serves every file that a direct path names. A logged-in client asks for a list of hosts and tries them in turn (whatsmeow
	// mediaconn.go); this is the one that the messages' own URLs name.
	mediaHost = "https://mmg.whatsapp.net"
	// mediaOrigin is what WhatsApp Web's own requests say they come from (whatsmeow socket/constants.go, Origin).
	mediaOrigin = "https://web.whatsapp.com"
	// downloadTimeout bounds a download as a whole: 2 GiB at 1.2 MB/s.
	downloadTimeout = 29 * time.Minute
)

// errGone says that WhatsApp does not have, or give, a file any more.
var errGone = errors.New("WhatsApp has the file no more")

// statusError is an answer that is neither the file nor the end of it.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("WhatsApp answered %d", int(e)) }

// proxyKey is the key of the proxy's URL in a download's context.
type proxyKey struct{}

// routes sends a request through the proxy in its context, or as the process sends all others.
type routes struct{ direct, proxied *http.Transport }

// RoundTrip implements http.RoundTripper.
func (r routes) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Context().Value(proxyKey{}) != nil {
		return r.proxied.RoundTrip(request)
	}
	return r.direct.RoundTrip(request)
}

// withProxy makes downloads go through a session's proxy; "" is none.
func withProxy(ctx context.Context, proxy string) (context.Context, error) {
	if proxy == "" {
		return ctx, nil
	}
	address, err := netguard.ParseProxy(proxy)
	if err != nil {
		return nil, fmt.Errorf("use the session's proxy: %w", err)
	}
	return context.WithValue(ctx, proxyKey{}, address), nil
}

// newMediaClient returns the client of downloads. It follows no redirects: the path is the sender's choice. The guard judges the addresses of
// sessions' proxies.
func newMediaClient(whatsAppURL string, guard *netguard.Guard) (*http.Client, error) {
	base := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: mediaWorkers, MaxResponseHeaderBytes: 64 << 10,
		DisableCompression: true, ForceAttemptHTTP2: true,
	}
	if guard == nil {
		guard = netguard.New(netguard.Config{})
	}
	proxied := base.Clone()
	proxied.DialContext = guard.Dialer().DialContext
	proxied.Proxy = func(request *http.Request) (*url.URL, error) {
		address, ok := request.Context().Value(proxyKey{}).(*url.URL)
		if !ok {
			return nil, errors.New("no proxy")
		}
		return address, nil
	}
	transport, err := redirect.To(whatsAppURL, routes{base, proxied})
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport:     steady.Transport{Base: transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// download opens WhatsApp's encrypted copy of a media. The body ends with an error when nothing comes for a while, or ctx ends.
func (d *Dispatcher) download(ctx context.Context, m db.Media) (io.ReadCloser, error) {
	if m.DirectPath == nil || m.Kind == nil || !strings.HasPrefix(*m.DirectPath, "/") {
		return nil, errGone
	}
	address := fmt.Sprintf("%s%s&hash=%s&mms-type=%s&__wa-mms=", mediaHost, *m.DirectPath, base64.URLEncoding.EncodeToString(m.EncSha256), *m.Kind)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errGone // a path that makes no URL leads nowhere
	}
	request.Header.Set("Origin", mediaOrigin)
	request.Header.Set("Referer", mediaOrigin+"/")
	answer, err := d.mediaClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask for file: %w", withoutURL(err))
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return answer.Body, nil
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		err = errGone
	default:
		err = statusError(answer.StatusCode)
	}
	answer.Body.Close()
	return nil, err
}
