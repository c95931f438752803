package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"rsc.io/qr"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// maxQRWait is the most that ?wait may ask for; the document says so too.
const maxQRWait = 60 * time.Second

// qrForms are the media types of a QR code, the first the one for clients without a preference.
var qrForms = []string{"application/json", "image/png", "text/plain"}

// exampleQRText has the form of a real one, with keys of zeros: reference, then the noise, identity and advertising keys in base64.
const exampleQRText = "2@c2VydmVyLXJlZmVyZW5jZQ,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

type qrInput struct {
	SessionPath
	Accept string `header:"Accept" hidden:"true"` // OpenAPI takes it from the answers' media types
	Wait   int    `query:"wait" minimum:"0" maximum:"60" doc:"Seconds to wait for a code. A session that was just started has one after a second or two." example:"30"`
}

type qrOutput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Vary        string `header:"Vary" hidden:"true"`
	Body        []byte
}

func (s *Server) addQR() {
	code := s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[events.QR](), true, "")
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/qr", id: "get-session-qr", scope: scopePair, tag: "Sessions", status: 200, wait: maxQRWait,
		summary: "Read the QR code",
		description: "The code to scan with the phone (WhatsApp, Linked devices, Link a device). A code is valid until expiresAt, about 20 s, and then another follows, until " +
			"the last one expires: pairing_expired. They go on beside a pairing code. A session that is linked has no code: session_already_linked. unavailable: there is none yet; ask again, or with wait.",
		responses: map[string]*huma.Response{"200": {Description: "The code, in the form that Accept asks for", Content: map[string]*huma.MediaType{
			"application/json": {Schema: code, Example: events.QR{Text: exampleQRText, PNG: "data:image/png;base64,iVBORw0KGgo=", ExpiresAt: exampleTime}},
			"image/png":        {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
			"text/plain":       {Schema: &huma.Schema{Type: huma.TypeString}, Example: exampleQRText},
		}}},
		codes: []Code{SessionNotFound, NotAcceptable, SessionAlreadyLinked, SessionNotConnected, SessionLoggedOut, PairingExpired},
	}, s.getQR)
}

func (s *Server) getQR(ctx context.Context, in *qrInput) (*qrOutput, error) {
	form := preferredForm(in.Accept, qrForms)
	if form == "" {
		return nil, problem(NotAcceptable, "the QR code is there as "+strings.Join(qrForms, ", "))
	}
	code, err := s.awaitQR(ctx, in.SessionID, "", time.Duration(in.Wait)*time.Second)
	if err != nil {
		return nil, err
	}
	return renderQR(*code, form)
}

// awaitQR returns the code that a session shows, or will show within wait, or the problem that says why there is none. The code with the text
// past is none.
func (s *Server) awaitQR(ctx context.Context, sessionID, past string, wait time.Duration) (*events.QR, error) {
	listener := s.waker.ListenKey(events.WakeSessions, sessionID)
	defer listener.Close()
	var code *events.QR
	err := s.await(ctx, listener, wait, func(ctx context.Context) (bool, error) {
		row, err := s.q.SessionPairing(ctx, s.pool, sessionID)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, problem(SessionNotFound, "there is no session "+sessionID)
		}
		if err != nil {
			return false, fmt.Errorf("read session: %w", err)
		}
		if code, err = qrOf(row); code != nil && code.Text == past {
			code = nil
		}
		return code != nil, err
	})
	if err != nil {
		return nil, err
	}
	if code == nil {
		return nil, problem(Unavailable, "there is no QR code yet; ask again in a moment")
	}
	return code, nil
}

// qrOf returns the code that a session shows now, nil while there is none yet, or the problem that says why none will come.
func qrOf(row db.SessionPairingRow) (*events.QR, error) {
	state := events.SessionState(row.ShownState)
	if (state == events.StateQR || state == events.StatePairingCode) && row.Qr != nil && row.QrExpiresAt != nil && time.Now().Before(*row.QrExpiresAt) {
		return &events.QR{Text: *row.Qr, ExpiresAt: *row.QrExpiresAt}, nil
	}
	if p := unlinkable(row); p != nil {
		return nil, p
	}
	return nil, nil
}

// unlinkable is the problem of a session that no phone can link, now or in a moment; nil: one can.
func unlinkable(row db.SessionPairingRow) *Problem {
	state := events.SessionState(row.ShownState)
	switch {
	case row.Linked && state != events.StateBanned:
		return problem(SessionAlreadyLinked, "the session is linked to an account; log it out to link another")
	case row.Desired == events.DesiredStopped:
		return problem(SessionNotConnected, "the session is stopped; start it to get a QR code")
	case row.Restarting:
		return nil
	case state == events.StateLoggedOut || state == events.StateBanned:
		return problem(SessionLoggedOut, "the session is "+strings.ReplaceAll(string(state), "_", " ")+"; start it to link it anew")
	case state == events.StateFailed || state == events.StateReplaced:
		return problem(PairingExpired, strings.Trim("no QR code comes any more until the session is started again; "+row.Reason, "; "))
	default:
		return nil
	}
}

// renderQR writes a code in one of its forms.
func renderQR(code events.QR, form string) (*qrOutput, error) {
	out := &qrOutput{ContentType: form, Vary: "Accept"}
	if form == "text/plain" {
		out.Body = []byte(code.Text)
		return out, nil
	}
	image, err := qr.Encode(code.Text, qr.L) // low correction: it is read from a screen, and the text of about 240 bytes makes it dense already
	if err != nil {
		return nil, fmt.Errorf("draw QR code: %w", err)
	}
	png := image.PNG()
	if form == "image/png" {
		out.Body = png
		return out, nil
	}
	code.PNG = "data:image/png;base64," + base64.StdEncoding.EncodeToString(png)
	if out.Body, err = json.Marshal(code); err != nil {
		return nil, fmt.Errorf("encode QR code: %w", err)
	}
	return out, nil
}

// preferredForm chooses from offered what an Accept header likes most (RFC 9110, section 12.5.1): the most specific range that matches an
// offer gives its weight, and among equals the first offered wins. No header means no preference; "" that nothing is acceptable.
func preferredForm(accept string, offered []string) string {
	if strings.TrimSpace(accept) == "" {
		return offered[0]
	}
	best, bestWeight := "", 0.0
	for _, offer := range offered {
		kind, _, _ := strings.Cut(offer, "/")
		weight, specific := 0.0, 0
		for item := range strings.SplitSeq(accept, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			level := map[string]int{"*/*": 1, kind + "/*": 2, offer: 3}[strings.ToLower(strings.TrimSpace(name))]
			if level <= specific {
				continue
			}
			weight, specific = quality(parameters), level
		}
		if weight > bestWeight {
			best, bestWeight = offer, weight
		}
	}
	return best
}

// quality reads q from a media range's parameters; without one it is 1, and nonsense is 0.
func quality(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		if name, value, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 1
}
