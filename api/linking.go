package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

type askPairingCode struct {
	Phone string `json:"phone" maxLength:"64" doc:"The phone number of the account, with its country code." example:"+5491123456789"`
}

// answerPasskey is what a browser's PublicKeyCredential.toJSON() returns, or any other authenticator in the same form.
type answerPasskey struct {
	ID         string          `json:"id" pattern:"^[A-Za-z0-9_-]+$" maxLength:"2048" doc:"The credential's id, in base64url." example:"a2V5"`
	RawID      string          `json:"rawId" pattern:"^[A-Za-z0-9_-]+$" maxLength:"2048" doc:"The same." example:"a2V5"`
	Type       string          `json:"type" enum:"public-key" example:"public-key"`
	Response   passkeyResponse `json:"response"`
	Attachment *string         `json:"authenticatorAttachment,omitempty" maxLength:"64" doc:"Not looked at." example:"platform"`
	Extensions map[string]any  `json:"clientExtensionResults,omitempty" doc:"Not looked at."`
}

type passkeyResponse struct {
	ClientDataJSON    string  `json:"clientDataJSON" pattern:"^[A-Za-z0-9_-]+$" maxLength:"16384" doc:"In base64url, as all that follows." example:"e30"`
	AuthenticatorData string  `json:"authenticatorData" pattern:"^[A-Za-z0-9_-]+$" maxLength:"16384" example:"AAAA"`
	Signature         string  `json:"signature" pattern:"^[A-Za-z0-9_-]+$" maxLength:"4096" example:"MEUC"`
	UserHandle        *string `json:"userHandle,omitempty" pattern:"^[A-Za-z0-9_-]*$" maxLength:"256" example:"dXNlcg"`
}

var examplePasskey = events.Passkey{
	Step:      events.PasskeyRequest,
	Request:   json.RawMessage(`{"challenge":"c2VydmVyLWNoYWxsZW5nZQ","timeout":600000,"rpId":"whatsapp.com","allowCredentials":[],"userVerification":"required","extensions":{"uvm":true}}`),
	ExpiresAt: exampleTime,
}

// linkingCodes are the problems of what is asked of a session that is being linked.
var linkingCodes = []Code{SessionNotFound, SessionAlreadyLinked, RateLimited, WhatsAppRejected, WhatsAppTimeout}

func (s *Server) addLinking() {
	compare, waiting := examplePasskey, examplePasskey
	compare.Step, compare.Request, compare.Code = events.PasskeyConfirmation, nil, "ABCD-EFGH"
	waiting.Step, waiting.Request = events.PasskeyWaiting, nil
	wait := maxPreferredWait * time.Second
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/pairing-code", id: "ask-pairing-code", scope: scopePair, tag: "Sessions", status: 200, wait: wait,
		summary: "Ask for a pairing code",
		description: "A code that the account's owner enters on the phone instead of scanning a QR code (WhatsApp, Linked devices, Link a device, Link with phone number). The session is started " +
			"if it does not run. The code is valid until expiresAt, 100 s to 160 s, and ends sooner if the session is restarted or moves to another connector, or another code is asked for: " +
			"then ask again. It takes no Idempotency-Key: asked twice, it gives two codes, of which the second counts. QR codes go on beside it; after a wrong code was entered a QR code " +
			"shown by then cannot be scanned any more, and others follow. The code is also the event session.pairing-code.",
		request: askPairingCode{"+5491123456789"}, response: examplePairingCode,
		codes: append([]Code{RecipientNotOnWhatsApp, PasskeyRequired, SessionNotConnected, SessionLoggedOut, PairingExpired}, linkingCodes...),
	}, s.askPairingCode)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/passkey", id: "get-passkey", scope: scopePair, tag: "Sessions", status: 200, wait: wait,
		summary: "Read what WhatsApp asks of a passkey",
		description: "WhatsApp asks for the passkey of some accounts after their QR code was scanned or their pairing code entered; the session is passkey_required then. Each step is also in the " +
			"event session.status. The passkey is bound to whatsapp.com: an answer can be made by a browser that shows web.whatsapp.com, or by whatever else holds the passkey.",
		response: examplePasskey, codes: append([]Code{PasskeyNotRequired}, linkingCodes...),
	}, s.getPasskey)
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/passkey/response", id: "answer-passkey", scope: scopePair, tag: "Sessions", status: 200, wait: wait,
		summary: "Answer with a passkey",
		description: "Gives WhatsApp the assertion that the passkey made for request. Mostly the phone has linked the session a moment later. Where the answer took longer than 5 minutes, WhatsApp wants " +
			"codes compared first: the step is confirmation then. passkey_refused: WhatsApp did not accept it, and takes another.",
		request: map[string]any{"id": "a2V5", "rawId": "a2V5", "type": "public-key", "response": map[string]any{
			"clientDataJSON": "e30", "authenticatorData": "AAAA", "signature": "MEUC", "userHandle": "dXNlcg",
		}},
		response: waiting, codes: append([]Code{PasskeyNotRequired, PasskeyRefused}, linkingCodes...),
	}, s.answerPasskey)
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/passkey/confirmation", id: "confirm-passkey", scope: scopePair, tag: "Sessions", status: 200, wait: wait,
		summary: "Confirm that the codes are equal", description: "Says that code is the one that the phone shows, and so ends the step confirmation. If they differ, restart the session instead.",
		response: waiting, codes: append([]Code{PasskeyNotRequired}, linkingCodes...),
	}, s.confirmPasskey)
}

// sessionPairing reads how far a session's linking has come, or session_not_found.
func (s *Server) sessionPairing(ctx context.Context, from db.DBTX, sessionID string) (db.SessionPairingRow, error) {
	row, err := s.q.SessionPairing(ctx, from, sessionID)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, problem(SessionNotFound, "there is no session "+sessionID)
	}
	if err != nil {
		return row, fmt.Errorf("read session: %w", err)
	}
	return row, nil
}

// codeWay is the way of a pairing code: the session is started if it is not linked, and shows codes in a moment.
func (s *Server) codeWay() way {
	return way{
		open: func(ctx context.Context, tx *queue.Tx, sessionID string) error {
			if _, err := s.q.SessionStartUnlinked(ctx, tx, sessionID); err != nil {
				return fmt.Errorf("start session: %w", err)
			}
			row, err := s.sessionPairing(ctx, tx, sessionID)
			if err != nil {
				return err
			}
			if p := unlinkable(row); p != nil {
				return p
			}
			tx.Notify(events.WakeControl, sessionID)
			return nil
		},
		lost: func(ctx context.Context, sessionID string, _ events.SessionState) (*Problem, error) {
			row, err := s.sessionPairing(ctx, s.pool, sessionID)
			if err != nil {
				return nil, err
			}
			return unlinkable(row), nil
		},
	}
}

// passkeyWay is the way of a passkey: WhatsApp must have asked for it. What becomes of it the connector says.
func (s *Server) passkeyWay() way {
	return way{
		open: func(ctx context.Context, tx *queue.Tx, sessionID string) error {
			row, err := s.sessionPairing(ctx, tx, sessionID)
			switch state := events.SessionState(row.ShownState); {
			case err != nil:
				return err
			case state == events.StatePasskeyRequired:
				return nil
			case row.Linked:
				return problem(SessionAlreadyLinked, "the session is linked to an account")
			default:
				return problem(PasskeyNotRequired, "the session is "+strings.ReplaceAll(string(state), "_", " "))
			}
		},
		lost: func(context.Context, string, events.SessionState) (*Problem, error) { return nil, nil },
	}
}

func (s *Server) askPairingCode(ctx context.Context, in *struct {
	SessionPath
	Asking
	Body askPairingCode
}) (*asked[events.PairingCode], error) {
	jid, err := events.ParseAddress(in.Body.Phone)
	digits, isPhone := strings.CutSuffix(jid, "@"+events.PhoneServer)
	if err != nil || !isPhone {
		return nil, invalid("body.phone", "expected a phone number with its country code, 7 to 15 digits")
	}
	return askOver(ctx, s, in.SessionID, in.Asking, events.AskPairingCode, events.PairingCodeQuestion{Phone: digits}, s.codeWay())
}

func (s *Server) getPasskey(ctx context.Context, in *struct {
	SessionPath
	Asking
}) (*asked[events.Passkey], error) {
	return askOver(ctx, s, in.SessionID, in.Asking, events.ReadPasskey, struct{}{}, s.passkeyWay())
}

func (s *Server) answerPasskey(ctx context.Context, in *struct {
	SessionPath
	Asking
	Body answerPasskey
}) (*asked[events.Passkey], error) {
	b := in.Body
	return askOver(ctx, s, in.SessionID, in.Asking, events.AnswerPasskey, events.PasskeyAnswer{ID: b.ID, RawID: b.RawID, Type: b.Type, Response: events.PasskeyAssertion{
		ClientDataJSON: b.Response.ClientDataJSON, AuthenticatorData: b.Response.AuthenticatorData, Signature: b.Response.Signature, UserHandle: b.Response.UserHandle,
	}}, s.passkeyWay())
}

func (s *Server) confirmPasskey(ctx context.Context, in *struct {
	SessionPath
	Asking
}) (*asked[events.Passkey], error) {
	return askOver(ctx, s, in.SessionID, in.Asking, events.ConfirmPasskey, struct{}{}, s.passkeyWay())
}
