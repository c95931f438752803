package connector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.mau.fi/whatsmeow/socket"
	waLog "go.mau.fi/whatsmeow/util/log"

	"github.com/chasqui/chasqui/infra/redirect"
)

const (
	// cutOffAfter is how long WhatsApp must not have answered any session of a connector until the connector leaves them to others. A short
	// disturbance of the network is shorter, and a login without trouble takes 0.2 s.
	cutOffAfter = 20 * time.Second
	// probeEvery is how often a connector that is cut off looks whether WhatsApp answers again, and how long it waits for that.
	probeEvery = 5 * time.Second
)

// reach is what a connector knows of its way to WhatsApp. A connector that reaches PostgreSQL alone would hold its sessions for ever, while
// another could have them connected.
type reach struct {
	cutOff   atomic.Bool
	answered atomic.Pointer[time.Time] // when WhatsApp last answered a session, whatever it said
	probe    *http.Client

	mu      sync.Mutex
	waiting chan struct{} // closed when WhatsApp answers; nil while nobody waits for that
}

// back returns what is closed when WhatsApp next answers a session, or the probe of a connector that was cut off. The waits between dials
// grow to a minute, and a network that is back serves all sessions.
func (r *reach) back() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = make(chan struct{})
	}
	return r.waiting
}

// wake ends the waiting.
func (r *reach) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != nil {
		close(r.waiting)
		r.waiting = nil
	}
}

// newProbe returns a client that goes the way of the sessions, by the same proxy, without being a session's.
func newProbe(cfg Config) (*http.Client, error) {
	direct := http.DefaultTransport.(*http.Transport).Clone()
	direct.DialContext = newDialer(nil).DialContext
	direct.DisableKeepAlives = true
	transport, err := redirect.To(cfg.WhatsAppURL, direct)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: transport}, nil
}

// answered says whether a dialling that ended with err has met WhatsApp: a refusal over HTTP comes from there, and another connector would be
// refused as well.
func answered(err error) bool {
	var refused socket.ErrWithStatusCode
	return err == nil || errors.As(err, &refused)
}

// dials notes that the session asks WhatsApp for a connection.
func (s *session) dials() {
	if s.settings().Proxy != "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trying.IsZero() {
		s.trying = time.Now()
	}
}

// untried notes that what keeps the session from being connected is not WhatsApp.
func (s *session) untried() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trying = time.Time{}
}

// reached notes that WhatsApp has answered the session.
func (s *session) reached() {
	s.untried()
	if s.settings().Proxy != "" {
		return
	}
	now := time.Now()
	s.c.reach.answered.Store(&now)
	s.c.setCutOff(false, "it answered a session")
	s.c.reach.wake()
}

// tries returns since when WhatsApp has not answered the session, or zero.
func (s *session) tries() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trying
}

// watchReach finds out whether this connector is cut off from WhatsApp, and when it no longer is. Failure policy: a probe that fails is repeated
// until one succeeds; where every connector is cut off the sessions try as well, and the first answer to one of them counts too.
func (c *Connector) watchReach(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var probed time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch {
		case !c.reach.cutOff.Load():
			if c.unanswered(time.Now()) {
				c.setCutOff(true, fmt.Sprintf("no session was answered for %s", cutOffAfter))
			}
		case time.Since(probed) >= probeEvery:
			probed = time.Now()
			if err := c.askWhatsApp(ctx); answered(err) {
				c.setCutOff(false, "it answers again")
				c.reach.wake()
			} else {
				c.log.DebugContext(ctx, "WhatsApp still cannot be reached", "error", err)
			}
		}
	}
}

// unanswered says whether every session that runs here is trying to reach WhatsApp, one of them for cutOffAfter, and none was answered in that
// time. A session that is connected, or kept from it by something else, is not trying. One that goes through a proxy of its own says nothing about
// the connector's way.
func (c *Connector) unanswered(now time.Time) bool {
	if at := c.reach.answered.Load(); at != nil && now.Sub(*at) < cutOffAfter {
		return false
	}
	long := false
	for _, s := range c.running() {
		if s.settings().Proxy != "" {
			continue
		}
		since := s.tries()
		if since.IsZero() {
			return false
		}
		long = long || now.Sub(since) >= cutOffAfter
	}
	return long
}

// setCutOff notes whether WhatsApp can be reached; the claims' keeper tells the other connectors.
func (c *Connector) setCutOff(cutOff bool, why string) {
	if !c.reach.cutOff.CompareAndSwap(!cutOff, cutOff) {
		return
	}
	if cutOff {
		c.log.Warn("this connector does not reach WhatsApp; others take its sessions, if they do", "reason", why)
		c.metrics.cutOff.Set(1)
	} else {
		c.log.Info("this connector reaches WhatsApp again and takes its share of the sessions", "reason", why)
		c.metrics.cutOff.Set(0)
	}
	signal(c.wake)
}

// askWhatsApp opens the socket that a session would open, and closes it. A connection alone is no answer: something in between may take it
// and pass nothing on.
func (c *Connector) askWhatsApp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeEvery)
	defer cancel()
	fs := socket.NewFrameSocket(waLog.Noop, c.reach.probe)
	err := fs.Connect(ctx)
	fs.Close(0)
	return err
}
