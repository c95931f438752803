package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.mau.fi/whatsmeow"
)

// actTimeout bounds what a phone does for a caller of the control API, its reconnection included.
const actTimeout = 20 * time.Second

// operation answers a request of the control API: the status and what is written as JSON (nil for no body), or an error, which is an *Error
// where the caller has to change something.
type operation func(*http.Request) (status int, body any, err error)

// act lets the phone's own client do something, as a tap on its screen would. It waits for the phone to be connected. What the server
// refuses is an *Error with status 409 and the server's words; a phone that is not connected in time is one with status 503.
func (s *Sandbox) act(ctx context.Context, number string, do func(context.Context, *whatsmeow.Client) error) error {
	return s.actOn(ctx, number, func(ctx context.Context, c *connection) error { return do(ctx, c.client) })
}

// actOn is act for what needs more than the client.
func (s *Sandbox) actOn(ctx context.Context, number string, do func(context.Context, *connection) error) error {
	p, err := s.phone(number)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	c, err := p.awaitConnection(ctx)
	if err != nil {
		return err
	}
	err = do(ctx, c)
	var refusal *Error
	var refused *whatsmeow.IQError
	switch {
	case err == nil, errors.As(err, &refusal):
		return err
	case errors.As(err, &refused):
		return failure(http.StatusConflict, "WhatsApp refuses: %d %s", refused.Code, refused.Text)
	case ctx.Err() != nil, errors.Is(err, whatsmeow.ErrNotConnected):
		return failure(http.StatusGatewayTimeout, "the phone's request was not answered in time: %v", err)
	}
	return fmt.Errorf("act on phone %s: %w", number, err)
}

// awaitConnection returns the phone's logged-in connection, once there is one.
func (p *phone) awaitConnection(ctx context.Context) (*connection, error) {
	for {
		changed := p.connection.wait()
		p.mu.Lock()
		c := p.current
		p.mu.Unlock()
		if c != nil {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, failure(http.StatusServiceUnavailable, "phone %s is not connected just now", p.number)
		}
	}
}
