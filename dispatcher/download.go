package dispatcher

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

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

// newMediaClient returns the client of downloads. It follows no redirects: the path is the sender's choice.
func newMediaClient(whatsAppURL string) (*http.Client, error) {
	base := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: mediaWorkers, MaxResponseHeaderBytes: 64 << 10,
		DisableCompression: true, ForceAttemptHTTP2: true,
	}
	transport, err := redirect.To(whatsAppURL, base)
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
