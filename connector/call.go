package connector

import (
	"context"
	"runtime/debug"
	"time"

	"go.mau.fi/whatsmeow"
)

// panicked is why something that the program itself failed at was not done.
var panicked = &refusal{"internal_error", "The program failed at it."}

// enter lets something begin that the end of the connection waits for, until c.work.Done is called. False says that it has ended.
func (c *connection) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.ctx.Err() != nil {
		return false
	}
	c.work.Add(1)
	return true
}

// call does something at WhatsApp over this connection, within limit, and ends with it or with the claim. A panic is caught, logged and
// returned as panicked: one odd answer must not end the others.
func (c *connection) call(ctx context.Context, limit time.Duration, doing string, do func(context.Context) error) (err error) {
	if !c.enter() {
		return whatsmeow.ErrNotConnected
	}
	defer c.work.Done()
	defer func() {
		if p := recover(); p != nil {
			c.s.log.ErrorContext(ctx, doing+" panicked", "panic", p, "stack", string(debug.Stack()))
			err = panicked
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if !c.s.holds() {
		return errClaimLost
	}
	return do(ctx)
}
