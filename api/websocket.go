package api

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// closeCursorExpired is our own close code (RFC 6455 leaves 4000-4999 to applications), after HTTP's 410.
	closeCursorExpired websocket.StatusCode = 4410
	// maxClientMessage is what is read of a client: control frames, which have 125 bytes at most.
	maxClientMessage = 1 << 10
)

// errClientSpoke: a stream takes no messages.
var errClientSpoke = errors.New("the client sent a message")

// webSocketInput is a request that asks for a WebSocket.
type webSocketInput struct {
	StreamInput
	upgrade *Problem // why it cannot have one
}

// Resolve is where Huma shows the request.
func (in *webSocketInput) Resolve(ctx huma.Context) []error {
	r, _ := humachi.Unwrap(ctx)
	in.upgrade = cannotUpgrade(r)
	return nil
}

// cannotUpgrade returns what keeps a request from becoming a WebSocket (RFC 6455, section 4.2.1), which the library would answer as plain text.
func cannotUpgrade(r *http.Request) *Problem {
	p := problem(UpgradeRequired, "this path speaks WebSocket, version 13")
	p.headers.Set("Upgrade", "websocket")
	p.headers.Set("Connection", "Upgrade")
	p.headers.Set("Sec-WebSocket-Version", "13")
	key := r.Header.Values("Sec-WebSocket-Key")
	switch {
	case r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket") ||
		r.Header.Get("Sec-WebSocket-Version") != "13":
		return p
	case len(key) != 1 || !isNonce(key[0]):
		return problem(BadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")
	default:
		return nil
	}
}

func hasToken(h http.Header, name, token string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(h.Values(name), ","), ","), func(t string) bool { return strings.EqualFold(strings.TrimSpace(t), token) })
}

func isNonce(key string) bool {
	nonce, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	return err == nil && len(nonce) == 16
}

func (s *Server) streamWebSocket(ctx context.Context, in *webSocketInput) (*huma.StreamResponse, error) {
	if in.upgrade != nil {
		return nil, in.upgrade
	}
	at, err := s.streamPlace(ctx, in.After, "query.after")
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		s.serveStream("websocket", hc, at, in.filter(callerOf(hc.Context())), (*stream).serveWebSocket)
	}}, nil
}

// serveWebSocket writes events as text messages. Any origin may connect: the Origin check protects cookies, which a browser sends along whoever
// asks, and here only a key or a ticket opens anything. Nothing is compressed: a compressor costs each connection more memory than its events.
func (s *stream) serveWebSocket() error {
	ws, err := websocket.Accept(s.w, s.r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil { // the connection broke
		return errClientLeft
	}
	defer ws.CloseNow() //nolint:errcheck // after a close there is nothing to close
	ws.SetReadLimit(maxClientMessage)
	// What is read and written ends with hard, a last second after the stream has ended: for a write under way, and the closing handshake.
	hard, cut := context.WithCancel(context.WithoutCancel(s.ctx))
	defer cut()
	defer context.AfterFunc(s.ctx, func() { time.AfterFunc(closeGrace, cut) })()
	reading := make(chan struct{})
	go func() { // ends with the connection
		defer close(reading)
		_, _, err := ws.Reader(hard) // answers pings and the close, takes pongs
		if err == nil {
			err = errClientSpoke
		} else {
			err = errClientLeft
		}
		s.cancel(err)
	}()
	within := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(hard, s.limits.write)
		defer cancel()
		err := do(ctx)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return errSlow
		}
		if err != nil && s.ctx.Err() != nil {
			return s.whyEnded()
		}
		if err != nil {
			return errClientLeft
		}
		return nil
	}
	err = s.pump(sink{
		every: s.limits.ping,
		send: func(rows []db.EventPageRow) error {
			for _, row := range rows {
				if err := within(func(ctx context.Context) error { return ws.Write(ctx, websocket.MessageText, row.Body) }); err != nil {
					return err
				}
			}
			return nil
		},
		idle: func(place) error { return within(ws.Ping) },
	})
	s.cancel(err)
	switch {
	case errors.Is(err, errStopping):
		_ = ws.Close(websocket.StatusGoingAway, "the server is stopping") // a client that is not there any more needs no farewell
	case errors.Is(err, errClientSpoke):
		_ = ws.Close(websocket.StatusPolicyViolation, "send nothing here")
	case errors.Is(err, errPlaceGone):
		_ = ws.Close(closeCursorExpired, "cursor_expired")
	default:
		_ = ws.CloseNow()
	}
	cut()
	<-reading
	return err
}
