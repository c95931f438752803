package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
)

const (
	// simulatedWait is how long a simulated phone waits for a code to scan: a session that was just started has one after a second or two.
	simulatedWait = 30 * time.Second
	// simulatedContact writes where nobody else is named: a number that nobody has.
	simulatedContact = "5491155550199"
	// simulatedTries is how many numbers are tried for a new phone: there are 100 million.
	simulatedTries = 5
	// simulatedScans bounds the codes that are tried: one may end between being read and being scanned.
	simulatedScans = 3
	// sandboxTimeout bounds a request to the sandbox, which gives what a phone does 20 s.
	sandboxTimeout = 30 * time.Second
	// sandboxAnswer bounds what is read of the sandbox's answer, which is a few lines.
	sandboxAnswer = 64 << 10
	// pairingCodeKept is how far back a pairing code is looked for: it is good for up to 160 s, and clocks may differ.
	pairingCodeKept = 5 * time.Minute
)

type simulateScan struct {
	Number string `json:"number,omitempty" maxLength:"64" doc:"The phone, with its country code; it is made if there is none. Default: a new one, with a number that no phone has." example:"+5491155550120"`
}

type simulateMessage struct {
	Text string `json:"text" minLength:"1" maxLength:"4096" doc:"What it writes." example:"Is the shop open on Sunday?"`
	From string `json:"from,omitempty" maxLength:"64" doc:"The contact's phone number, with its country code; it is made if there is none. Default: one that is the same each time." example:"+5491155550199"`
	Name string `json:"name,omitempty" maxLength:"25" doc:"What it is called, if it is made. Default: Simulated contact." example:"Ana"`
}

// SimulatedMessage is a message that a contact in the sandbox has sent.
type SimulatedMessage struct {
	From       string `json:"from" doc:"The contact's phone number, digits only." example:"5491155550199"`
	WhatsAppID string `json:"whatsappId" doc:"WhatsApp's id of the message, by which it can be read once it has come." example:"3EB0C767D097B7C7C030"`
}

// SimulatedScan is a phone of the sandbox that has linked a session.
type SimulatedScan struct {
	Number    string `json:"number" doc:"The phone's number, digits only." example:"5491155550120"`
	SessionID string `json:"sessionId" example:"sales"`
}

// simulatedCodes are the problems of all that a phone of the sandbox does.
var simulatedCodes = []Code{SandboxNotAvailable, SessionNotFound, SessionNotConnected, WhatsAppRejected, WhatsAppTimeout}

func (s *Server) addSimulated() {
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/simulated-scan", id: "simulate-scan", scope: scopePair, tag: "Sessions", status: 200, wait: 3 * sandboxTimeout,
		summary: "Link the session with a simulated phone",
		description: "For trying things without a phone, where the simulated WhatsApp runs: GET /v1/version says whether it does. A simulated phone scans the session's QR code, for which it waits up to 30 s; it enters the " +
			"pairing code instead where the session shows one for this phone, and answers for its passkey where WhatsApp asks for it. The session is connected a moment later. It takes no Idempotency-Key: asked twice, " +
			"the second is told session_already_linked.",
		request: simulateScan{"+5491155550120"}, response: SimulatedScan{"5491155550120", "sales"},
		codes: append([]Code{SessionAlreadyLinked, SessionLoggedOut, PairingExpired, PasskeyRequired, PasskeyNotRequired, PasskeyRefused, RateLimited}, simulatedCodes...),
	}, s.simulateScan)
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/simulated-message", id: "simulate-message", scope: scopeSend, tag: "Messages", status: 200, wait: 2 * sandboxTimeout,
		summary: "Receive a message of a simulated contact",
		description: "For trying things without a phone, where the simulated WhatsApp runs: GET /v1/version says whether it does. A simulated contact writes to the session's account. WhatsApp has the message when this " +
			"answers; the session receives it a moment later, or once it is connected again, as message.received. It takes no Idempotency-Key: asked twice, the contact writes twice.",
		request: simulateMessage{"Is the shop open on Sunday?", "+5491155550199", "Ana"}, response: SimulatedMessage{"5491155550199", "3EB0C767D097B7C7C030"},
		codes: append([]Code{SessionLoggedOut}, simulatedCodes...),
	}, s.simulateMessage)
}

func (s *Server) simulateScan(ctx context.Context, in *struct {
	SessionPath
	Body simulateScan
}) (*struct{ Body SimulatedScan }, error) {
	if s.sandbox == nil {
		return nil, noSandbox()
	}
	number, err := simulatedNumber("body.number", in.Body.Number)
	if err != nil {
		return nil, err
	}
	row, err := s.sessionPairing(ctx, s.pool, in.SessionID)
	if err != nil {
		return nil, err
	}
	if events.SessionState(row.ShownState) == events.StatePasskeyRequired {
		if number == "" {
			return nil, problem(PasskeyRequired, "a phone is linking the session, and its passkey is asked for: name that phone as number, and it answers")
		}
		if err := s.answerSimulated(ctx, in.SessionID, number); err != nil {
			return nil, err
		}
		return &struct{ Body SimulatedScan }{SimulatedScan{number, in.SessionID}}, nil
	}
	var past string // a code that has expired, and is shown until the session has the next
	for try := 1; ; try++ {
		code, err := s.awaitQR(ctx, in.SessionID, past, simulatedWait)
		if err != nil {
			return nil, err
		}
		step, body := "/scan", map[string]string{"qr": code.Text}
		if shown, err := s.shownCode(ctx, in.SessionID); err != nil {
			return nil, err
		} else if shown != nil && (number == "" || number == shown.Phone) {
			number, step, body = shown.Phone, "/code", map[string]string{"code": shown.Code}
		}
		if number, err = s.simulatedPhone(ctx, number, "Simulated phone"); err != nil {
			return nil, err
		}
		if try == 1 {
			if err := s.noteSimulated(ctx, in.SessionID); err != nil {
				return nil, err
			}
		}
		if err = s.linkSimulated(ctx, in.SessionID, number, step, body); err == nil {
			return &struct{ Body SimulatedScan }{SimulatedScan{number, in.SessionID}}, nil
		}
		var refused *sandboxRefusal
		if !errors.As(err, &refused) {
			return nil, err
		}
		if refused.status != http.StatusConflict || try == simulatedScans || !strings.Contains(refused.detail, "expired") { // else another code may do
			return nil, s.sandboxProblem(ctx, err)
		}
		past = code.Text
	}
}

func (s *Server) simulateMessage(ctx context.Context, in *struct {
	SessionPath
	Body simulateMessage
}) (*struct{ Body SimulatedMessage }, error) {
	if s.sandbox == nil {
		return nil, noSandbox()
	}
	from, err := simulatedNumber("body.from", cmp.Or(in.Body.From, simulatedContact))
	if err != nil {
		return nil, err
	}
	session, err := s.readSession(ctx, s.pool, in.SessionID)
	switch {
	case err != nil:
		return nil, err
	case session.State == events.StateLoggedOut:
		return nil, problem(SessionLoggedOut, "the session is logged out; link it first")
	case session.Phone == "":
		return nil, problem(SessionNotConnected, "the session is not linked, so nobody can write to it; link it first")
	case session.Phone == from:
		return nil, invalid("body.from", "expected another number than the session's own")
	}
	if _, err := s.simulatedPhone(ctx, from, cmp.Or(in.Body.Name, "Simulated contact")); err != nil {
		return nil, err
	}
	if err := s.noteSimulated(ctx, in.SessionID); err != nil {
		return nil, err
	}
	var sent struct{ ID string }
	if _, err := s.sandbox.call(ctx, http.MethodPost, "/phones/"+from+"/messages", map[string]string{"to": session.Phone, "type": "text", "text": in.Body.Text}, &sent); err != nil {
		return nil, s.sandboxProblem(ctx, err)
	}
	return &struct{ Body SimulatedMessage }{SimulatedMessage{from, sent.ID}}, nil
}

// noSandbox is the problem of whoever asks for a simulated phone where there are none.
func noSandbox() *Problem {
	return problem(SandboxNotAvailable, "there is no simulated WhatsApp here; run chasqui dev, or set SANDBOX_URL where the sandbox runs beside the api")
}

// simulatedNumber is a phone's number in digits; "" stays that.
func simulatedNumber(location, given string) (string, error) {
	if given == "" {
		return "", nil
	}
	jid, err := events.ParseAddress(given)
	digits, isPhone := strings.CutSuffix(jid, "@"+events.PhoneServer)
	if err != nil || !isPhone {
		return "", invalid(location, "expected a phone number with its country code, 7 to 15 digits")
	}
	return digits, nil
}

// noteSimulated looks whether the session is still there, and writes what is about to be done into the audit log.
func (s *Server) noteSimulated(ctx context.Context, sessionID string) error {
	return s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		_, err := s.sessionRow(ctx, tx, sessionID)
		return err
	})
}

// simulatedPhone makes a phone unless it is there, and returns its number; "" makes one with a number that no phone has.
func (s *Server) simulatedPhone(ctx context.Context, number, name string) (string, error) {
	for range simulatedTries {
		candidate := number
		if candidate == "" {
			n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
			if err != nil {
				return "", fmt.Errorf("choose a number: %w", err)
			}
			candidate = fmt.Sprintf("54911%08d", n) // a mobile phone of Buenos Aires
		}
		status, err := s.sandbox.call(ctx, http.MethodPost, "/phones", map[string]string{"number": candidate, "name": name}, nil)
		switch {
		case status == http.StatusConflict && number != "": // there is one of another name
		case err != nil && status != http.StatusConflict:
			return "", s.sandboxProblem(ctx, err)
		case number == "" && status != http.StatusCreated:
			continue
		}
		return candidate, nil
	}
	return "", problem(Unavailable, "no number was free; ask again")
}

// shownCode is the pairing code that the session shows, or nil.
func (s *Server) shownCode(ctx context.Context, sessionID string) (*events.PairingCode, error) {
	row, err := s.sessionPairing(ctx, s.pool, sessionID)
	if err != nil || events.SessionState(row.ShownState) != events.StatePairingCode {
		return nil, err
	}
	body, err := s.q.EventPairingCode(ctx, postgres.Planned(s.pool), sessionID, events.FirstID(time.Now().Add(-pairingCodeKept)))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil // the dispatcher has not come to it yet; the QR code goes on beside it
	}
	if err != nil {
		return nil, fmt.Errorf("read pairing code: %w", err)
	}
	var event struct{ Data events.SessionData }
	if err := json.Unmarshal(body, &event); err != nil {
		return nil, fmt.Errorf("decode pairing code: %w", err)
	}
	code := event.Data.PairingCode
	if code == nil || !time.Now().Before(code.ExpiresAt) {
		return nil, nil
	}
	return code, nil
}

// linkSimulated lets a phone take a code, and answers for its passkey if WhatsApp asks for it meanwhile. What the phone is refused is a *sandboxRefusal.
func (s *Server) linkSimulated(ctx context.Context, sessionID, number, step string, code map[string]string) error {
	ctx, cancel := context.WithCancel(ctx)
	listener := s.waker.ListenKey(events.WakeSessions, sessionID)
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		_, err := s.sandbox.call(ctx, http.MethodPost, "/phones/"+number+step, code, nil)
		done <- err
		close(done)
	}()
	defer func() {
		cancel()
		for range done { // what it says is needed no more
			continue
		}
	}()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for answered := false; ; {
		select {
		case err := <-done:
			if refused := (*sandboxRefusal)(nil); err == nil || errors.As(err, &refused) {
				return err
			}
			return s.sandboxProblem(ctx, err)
		case <-s.stopping:
			return problem(Unavailable, "this server stops; ask again")
		case <-listener.C():
		case <-poll.C:
		}
		if answered {
			continue
		}
		row, err := s.sessionPairing(ctx, s.pool, sessionID)
		if err != nil {
			return err
		}
		if events.SessionState(row.ShownState) == events.StatePasskeyRequired {
			answered = true
			if err := s.answerSimulated(ctx, sessionID, number); err != nil {
				return err
			}
		}
	}
}

// answerSimulated lets the passkey of a phone answer what WhatsApp asks of it.
func (s *Server) answerSimulated(ctx context.Context, sessionID, number string) error {
	asks, err := askOver(ctx, s, sessionID, Asking{}, events.ReadPasskey, struct{}{}, s.passkeyWay())
	if err != nil || asks.Body.Step != events.PasskeyRequest {
		return err
	}
	var signed struct{ Response events.PasskeyAnswer }
	if _, err := s.sandbox.call(ctx, http.MethodPost, "/phones/"+number+"/passkey", map[string]any{"request": asks.Body.Request}, &signed); err != nil {
		return s.sandboxProblem(ctx, err)
	}
	_, err = askOver(ctx, s, sessionID, Asking{}, events.AnswerPasskey, signed.Response, s.passkeyWay())
	return err
}

// sandboxClient speaks to the sandbox's control interface.
type sandboxClient struct {
	base string
	http *http.Client
}

// newSandboxClient returns nil where there is no sandbox. Its address is the operator's own, so no guard judges it.
func newSandboxClient(base string) *sandboxClient {
	if base == "" {
		return nil
	}
	return &sandboxClient{strings.TrimRight(base, "/"), &http.Client{
		Timeout: sandboxTimeout, Transport: &http.Transport{DisableKeepAlives: true}, // it is asked now and then
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// A sandboxRefusal is what the sandbox does not do, and why.
type sandboxRefusal struct {
	status int
	detail string
}

// Error implements error.
func (r *sandboxRefusal) Error() string { return fmt.Sprintf("sandbox: %d %s", r.status, r.detail) }

// call makes one request and decodes the answer into out unless that is nil. The status is 0 where there was no answer; from 300 on it is a *sandboxRefusal.
//
// Failure policy: nothing is tried twice; whoever asked may ask again.
func (c *sandboxClient) call(ctx context.Context, method, path string, in, out any) (int, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, fmt.Errorf("encode request to the sandbox: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make request to the sandbox: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, fmt.Errorf("ask the sandbox: %w", err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, sandboxAnswer))
	if err != nil {
		return 0, fmt.Errorf("read the sandbox's answer: %w", err)
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		var said struct{ Detail string }
		_ = json.Unmarshal(raw, &said) // what is no problem of the sandbox's has no detail
		return answer.StatusCode, &sandboxRefusal{answer.StatusCode, said.Detail}
	}
	if out == nil {
		return answer.StatusCode, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return answer.StatusCode, fmt.Errorf("decode the sandbox's answer: %w", err)
	}
	return answer.StatusCode, nil
}

// sandboxProblem is what a caller sees of an error of the sandbox's: what a phone cannot do is WhatsApp's refusal, and a sandbox that is not there is
// unavailable. Errors of others stay as they are.
func (s *Server) sandboxProblem(ctx context.Context, err error) error {
	var p *Problem
	var refused *sandboxRefusal
	switch {
	case errors.As(err, &p), ctx.Err() != nil:
		return err
	case errors.As(err, &refused) && refused.status == http.StatusGatewayTimeout:
		return problem(WhatsAppTimeout, shorten(refused.detail))
	case errors.As(err, &refused) && refused.status < http.StatusInternalServerError && refused.detail != "":
		return problem(WhatsAppRejected, shorten(refused.detail))
	}
	s.log.WarnContext(ctx, "the sandbox does not answer", "error", err)
	return problem(Unavailable, "the sandbox does not answer; see whether it runs, and SANDBOX_URL")
}
