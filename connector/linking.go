package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// linkings are the questions that go over the connection over which a phone can link the session.
var linkings = map[string]ask{
	events.AskPairingCode.Kind: asking(events.AskPairingCode, (*connection).pairingCode),
	events.ReadPasskey.Kind:    asking(events.ReadPasskey, (*connection).readPasskey),
	events.AnswerPasskey.Kind:  asking(events.AnswerPasskey, (*connection).answerPasskey),
	events.ConfirmPasskey.Kind: asking(events.ConfirmPasskey, (*connection).confirmPasskey),
}

// WhatsApp's server knows a list of browsers and systems, and answers 400 to a display name that is not made of them (whatsmeow pair-code.go). The
// phone's list of linked devices shows the session's device name all the same.
const (
	pairingClient  = whatsmeow.PairClientChrome
	pairingDisplay = "Chrome (Linux)"
)

// optionsMost bounds WhatsApp's request for a passkey, in bytes; it has some 300.
const optionsMost = 64 << 10

var (
	// errNotYet says that a question finds no connection, or one that ends, and is to be asked over the next.
	errNotYet          = errors.New("the session shows no codes yet")
	passkeyNotRequired = &refusal{"passkey_not_required", "WhatsApp asks this session for no passkey now."}
)

// codeGiven is a pairing code that WhatsApp has taken; told gets it with its end once it is published, or is closed.
type codeGiven struct {
	phone, code string
	told        chan events.PairingCode
}

// codesWanted asks the supervisor for another connection, which has all of its time before it.
type codesWanted struct{}

// setUnlinked makes a connection the one over which a phone can link the session, or none.
func (s *session) setUnlinked(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlinked = c
}

// linkable returns the connection over which a phone can link the session, or nil.
func (s *session) linkable() *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unlinked == nil || s.unlinked.ctx.Err() != nil || !s.holds() {
		return nil
	}
	return s.unlinked
}

// pairingCode answers events.AskPairingCode. How long a code lives nobody has told; it ends with its connection, which WhatsApp closes when the
// QR codes have run out, after 160 s (whatsmeow pair-code.go, PairPhone). So a code is asked for while the first of them is shown, which leaves it
// 100 s at least, else over a new connection.
//
// Failure policy: where the connection ends, the question is asked again over the next, as long as somebody waits.
func (c *connection) pairingCode(ctx context.Context, q events.PairingCodeQuestion) (events.PairingCode, error) {
	out := events.PairingCode{Phone: q.Phone}
	free, err := c.alone(ctx)
	if err != nil {
		return out, err
	}
	defer free()
	if c.passkey.asked() {
		return out, &refusal{"passkey_required", "A phone is linking this session, and WhatsApp waits for the passkey."}
	}
	if c.stale.Load() {
		_ = c.signal(ctx, codesWanted{})
		return out, errNotYet
	}
	code, err := c.client.PairPhone(ctx, q.Phone, true, pairingClient, pairingDisplay)
	var refused *refusal
	if err != nil {
		refused = refusalOf(err)
	}
	switch {
	case err == nil:
	case errors.Is(err, whatsmeow.ErrPhoneNumberTooShort), errors.Is(err, whatsmeow.ErrPhoneNumberIsNotInternational):
		return out, &refusal{"validation_failed", "The phone number is not an international one."}
	case refused == offline:
		return out, errNotYet
	case refused.code == "not_found":
		c.s.note(ctx, "WhatsApp gave no pairing code: the number is not on WhatsApp", serverCode(err))
		return out, &refusal{"recipient_not_on_whatsapp", "The number is not on WhatsApp."}
	default:
		c.s.note(ctx, "WhatsApp gave no pairing code", serverCode(err))
		return out, err
	}
	given := &codeGiven{q.Phone, code, make(chan events.PairingCode, 1)}
	if err := c.signal(ctx, given); err != nil {
		return out, err
	}
	select {
	case out, ok := <-given.told:
		if !ok {
			return out, errNotYet
		}
		return out, nil
	case <-ctx.Done():
		return out, errNotYet
	}
}

// alone waits until nobody else exchanges something with WhatsApp that links a phone: whatsmeow remembers what it said last.
func (c *connection) alone(ctx context.Context) (free func(), err error) {
	select {
	case c.asking <- struct{}{}:
		return func() { <-c.asking }, nil
	case <-ctx.Done():
		return nil, errNotYet
	}
}

// signal tells the supervisor something.
func (c *connection) signal(ctx context.Context, said any) error {
	select {
	case c.signals <- said:
		return nil
	case <-ctx.Done():
		return errNotYet
	}
}

// showPairingCode publishes a pairing code that WhatsApp has taken, and says so to who asked for it. The QR codes go on beside it.
func (c *connection) showPairingCode(p *pairing, given *codeGiven) error {
	s := c.s
	p.code = &events.PairingCode{Code: given.code, Phone: given.phone, ExpiresAt: p.ends.UTC()}
	row := p.row()
	first := s.state != events.SessionState(row.State)
	err := s.persist(row, func(tx *queue.Tx, shown events.Session, at time.Time) error {
		entry := events.LogEntry{Kind: events.LogPairing, Reason: "a pairing code was given for the number that ends with " + given.phone[max(0, len(given.phone)-4):]}
		if err := s.logged(s.ctx, tx, entry); err != nil {
			return err
		}
		if first {
			if _, err := events.Publish(tx, events.SessionStatus, s.id, "", at, events.SessionData{Session: shown}); err != nil {
				return err
			}
		}
		_, err := events.Publish(tx, events.SessionPairingCode, s.id, "", at, events.SessionData{Session: shown, PairingCode: p.code})
		return err
	})
	if err != nil {
		close(given.told)
		return err
	}
	given.told <- *p.code
	return nil
}

// passkey is how far a phone's linking has come that WhatsApp wants the account's passkey for. The zero value is: it wants none.
type passkey struct {
	mu sync.Mutex
	is events.Passkey // Step "" is none
}

// asked says whether WhatsApp wants a passkey.
func (p *passkey) asked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.is.Step != ""
}

// now returns the step at hand, or the refusal of a client that has come for another than those it can be.
func (p *passkey) now(steps ...string) (events.Passkey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.is.Step == "" {
		return p.is, passkeyNotRequired
	}
	if len(steps) == 0 || slices.Contains(steps, p.is.Step) {
		return p.is, nil
	}
	return p.is, &refusal{"passkey_not_required", "WhatsApp does not wait for that: the step is " + p.is.Step + "."}
}

// move goes to another step from one, and returns it; from any other it stays.
func (p *passkey) move(from, to string) events.Passkey {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.is.Step == from {
		p.is.Step, p.is.Code, p.is.Request = to, "", nil
	}
	return p.is
}

// askPasskey tells what WhatsApp asks for, and returns how long that is waited for.
func (c *connection) askPasskey(e *waevents.PairPasskeyRequest) (left time.Duration, end ending, ends bool) {
	left = c.s.c.pace.passkey
	if asked := time.Duration(e.PublicKey.Timeout) * time.Millisecond; asked > 0 {
		left = min(left, asked)
	}
	request, err := json.Marshal(e.PublicKey)
	if err != nil || len(request) > optionsMost {
		c.s.log.WarnContext(c.s.ctx, "WhatsApp's request for a passkey is not understood", "bytes", len(request), "error", err)
		return 0, c.unlinked("pairing with the passkey failed; restart the session"), true
	}
	c.passkey.mu.Lock()
	c.passkey.is = events.Passkey{Step: events.PasskeyRequest, Request: request, ExpiresAt: time.Now().Add(left).UTC()}
	c.passkey.mu.Unlock()
	return left, ending{}, c.tellPasskey("WhatsApp asks for the account's passkey") != nil
}

// tellPasskey publishes the step at hand.
func (c *connection) tellPasskey(reason string) error {
	s := c.s
	is, err := c.passkey.now()
	if err != nil {
		return err
	}
	return s.persist(db.SessionSetStateParams{State: string(events.StatePasskeyRequired), Reason: reason}, func(tx *queue.Tx, shown events.Session, at time.Time) error {
		_, err := events.Publish(tx, events.SessionStatus, s.id, "", at, events.SessionData{Session: shown, Passkey: &is})
		return err
	})
}

// comparePasskey goes on after WhatsApp has taken the passkey. The owner is to compare codes, unless this device has proved that the phone which
// links it is the one that scanned its QR code, or had its pairing code entered; it can for 5 minutes (whatsmeow pair-passkey.go).
func (c *connection) comparePasskey(e *waevents.PairPasskeyConfirmation) error {
	if !e.SkipHandoffUX {
		c.passkey.mu.Lock()
		c.passkey.is.Step, c.passkey.is.Code, c.passkey.is.Request = events.PasskeyConfirmation, e.Code, nil
		c.passkey.mu.Unlock()
		return c.tellPasskey("WhatsApp has taken the passkey; compare the code with the phone's and confirm it")
	}
	c.passkey.move(events.PasskeyRequest, events.PasskeyWaiting)
	c.work.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, handlerTimeout)
		defer cancel()
		if err := c.client.SendPasskeyConfirmation(ctx); err != nil {
			_ = c.signal(c.ctx, &waevents.PairPasskeyError{Error: err, Continuation: true})
		}
	})
	return nil
}

// readPasskey answers events.ReadPasskey.
func (c *connection) readPasskey(context.Context, struct{}) (events.Passkey, error) {
	return c.passkey.now()
}

// answerPasskey answers events.AnswerPasskey. WhatsApp takes another answer after one that it refused.
func (c *connection) answerPasskey(ctx context.Context, q events.PasskeyAnswer) (events.Passkey, error) {
	free, err := c.alone(ctx)
	if err != nil {
		return events.Passkey{}, err
	}
	defer free()
	is, err := c.passkey.now(events.PasskeyRequest)
	if err != nil {
		return is, err
	}
	raw, err := json.Marshal(q)
	if err != nil {
		return is, fmt.Errorf("encode assertion: %w", err)
	}
	var assertion types.WebAuthnResponse
	if json.Unmarshal(raw, &assertion) != nil { // the text of the error may hold what was signed
		return is, &refusal{"validation_failed", "The assertion is not made of base64url without padding."}
	}
	if err := c.client.SendPasskeyResponse(ctx, &assertion); err != nil {
		if code := serverCode(err); code >= 400 && code < 500 && code != codeTooMany {
			c.s.note(ctx, "WhatsApp did not accept the passkey's answer", code)
			return is, &refusal{"passkey_refused", fmt.Sprintf("WhatsApp did not accept the passkey's answer (code %d).", code)}
		}
		return is, err
	}
	return c.passkey.move(events.PasskeyRequest, events.PasskeyWaiting), nil
}

// confirmPasskey answers events.ConfirmPasskey.
func (c *connection) confirmPasskey(ctx context.Context, _ struct{}) (events.Passkey, error) {
	free, err := c.alone(ctx)
	if err != nil {
		return events.Passkey{}, err
	}
	defer free()
	is, err := c.passkey.now(events.PasskeyConfirmation)
	if err != nil {
		return is, err
	}
	if err := c.client.SendPasskeyConfirmation(ctx); err != nil {
		return is, err
	}
	return c.passkey.move(events.PasskeyConfirmation, events.PasskeyWaiting), nil
}
