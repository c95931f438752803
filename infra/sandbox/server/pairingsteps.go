package server

import (
	"context"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

func registerPairing(r *registry) {
	r.pairing[query{"w:p", "get", ""}] = handleEmpty
	r.pairing[query{"md", "set", "link_code_companion_reg"}] = handleLinkCode
	r.pairing[query{"md", "get", "passkey_request_options"}] = handlePasskeyOptions
	r.pairing[query{"md", "get", "ref"}] = handlePasskeyRef
	for _, child := range []string{"passkey_prologue", "companion_nonce", "encrypted_pairing_request"} {
		r.pairing[query{"md", "set", child}] = handlePairingStep
	}
	r.loaders["passkey"] = loadPasskey
}

// step is what a companion has to say next while a phone links it.
type step struct {
	child string // of the query
	// take looks at what the companion said. A queryError goes back to it, and it may say the same step again.
	take func(child *waBinary.Node) error
	// then is done once the answer was sent; nil for nothing.
	then func()
}

// script is what is left of the steps; once made, it belongs to the connection's reading goroutine.
type script struct {
	steps []step
	done  chan struct{} // closed after the last
}

// perform sends a companion what opens a dialogue and waits until it has taken every step. It returns ErrQRExpired when the companion
// went away, context.DeadlineExceeded when it did not answer in time, or the context's error.
func (s *Server) perform(ctx context.Context, c *conn, patience time.Duration, opening waBinary.Node, steps ...step) error {
	play := &script{steps: steps, done: make(chan struct{})}
	s.mu.Lock()
	c.pairing.script = play
	s.mu.Unlock()
	c.sendNode(opening)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-play.done:
		return nil
	case <-timer.C:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return ErrQRExpired
	}
}

// handlePairingStep takes the step that is due, and refuses any other.
func handlePairingStep(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	child := iq.GetChildren()[0]
	c.s.mu.RLock()
	play := c.pairing.script
	c.s.mu.RUnlock()
	if play == nil || len(play.steps) == 0 || play.steps[0].child != child.Tag {
		return nil, errNotAllowed
	}
	due := play.steps[0]
	if err := due.take(&child); err != nil {
		return nil, err
	}
	play.steps = play.steps[1:]
	last := len(play.steps) == 0
	c.then = func() {
		if due.then != nil {
			due.then()
		}
		if last {
			close(play.done)
		}
	}
	return nil, nil
}

// pairingNotice makes a notification of the pairing, which is kept nowhere: a companion that is not linked has no queue.
func pairingNotice(kind string, child waBinary.Node) waBinary.Node {
	return waBinary.Node{
		Tag:     "notification",
		Attrs:   waBinary.Attrs{"from": types.ServerJID, "type": kind, "id": newID(), "t": time.Now().Unix()},
		Content: []waBinary.Node{child},
	}
}
