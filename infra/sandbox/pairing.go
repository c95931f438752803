package sandbox

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// pairingOperations are those of linking devices, beside the scan of a QR code.
func (s *Sandbox) pairingOperations() map[string]operation {
	return map[string]operation{
		"GET /waiting":                    s.getWaiting,
		"POST /phones/{number}/code":      s.postCode,
		"PUT /phones/{number}/passkey":    s.putPasskey,
		"POST /phones/{number}/passkey":   s.postPasskey,
		"DELETE /phones/{number}/passkey": s.deletePasskey,
	}
}

// EnterCode links a device to the phone, as its owner does by entering the pairing code that the device shows; case and dashes do not
// matter. It returns the JID that the device got, before the device has logged in with it. A text that is no code is refused with status
// 422; a code that is wrong, that has expired, or that no client asked for with this number, with 409.
func (s *Sandbox) EnterCode(ctx context.Context, number, code string) (types.JID, error) {
	if err := s.linkable(number); err != nil {
		return types.EmptyJID, err
	}
	jid, err := s.server.EnterCode(ctx, number, code)
	return jid, pairingRefusal(err)
}

// pairingRefusal tells the caller what stands in the way of linking a device.
func pairingRefusal(err error) error {
	switch {
	case errors.Is(err, server.ErrQRInvalid):
		return failure(http.StatusUnprocessableEntity, "qr is not the text of a client's QR code")
	case errors.Is(err, server.ErrCodeInvalid):
		return failure(http.StatusUnprocessableEntity, "code must have eight letters and digits; dashes and case do not matter")
	case errors.Is(err, context.DeadlineExceeded):
		return failure(http.StatusGatewayTimeout, "the client did not answer in time")
	}
	for _, conflict := range []error{
		server.ErrQRExpired, server.ErrRefused, server.ErrTooManyDevices, server.ErrCodeNotRequested, server.ErrCodeExpired, server.ErrCodeWrong,
	} {
		if errors.Is(err, conflict) {
			return failure(http.StatusConflict, "%v", err)
		}
	}
	return err
}

// Waiting returns the clients that wait to be linked, the longest waiting first.
func (s *Sandbox) Waiting() []server.Waiting { return s.server.Waiting() }

// notify shows on a phone what the server has to tell its owner about a pairing.
func (s *Sandbox) notify(number, kind string, data map[string]any) {
	if p, err := s.phone(number); err == nil {
		p.events.note(kind, data)
	}
}

func (s *Sandbox) postCode(r *http.Request) (int, any, error) {
	var in struct {
		Code string `json:"code"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	jid, err := s.EnterCode(r.Context(), r.PathValue("number"), in.Code)
	return http.StatusOK, map[string]string{"device": jid.String()}, err
}

// waiting is the control API's form of server.Waiting.
type waiting struct {
	ID               string    `json:"id"`
	Since            time.Time `json:"since"`
	RemainingSeconds int       `json:"remainingSeconds"`
	// QRRemainingSeconds is for the code that the client shows now.
	QRRemainingSeconds int    `json:"qrRemainingSeconds"`
	OS                 string `json:"os"`
	Platform           string `json:"platform"`
	Browser            string `json:"browser,omitempty"`
	// LinkBy is "code" when the client asked number Phone for a pairing code, else "qr"; a client that shows a code shows QR codes too.
	LinkBy string `json:"linkBy"`
	Phone  string `json:"phone,omitempty"`
	// State is "waiting", "linking" or "passkey".
	State string `json:"state"`
}

func (s *Sandbox) getWaiting(*http.Request) (int, any, error) {
	list := []waiting{}
	for _, w := range s.Waiting() {
		out := waiting{
			ID: w.ID, Since: w.Since.UTC(), RemainingSeconds: remaining(w.Until), QRRemainingSeconds: remaining(w.QRUntil),
			OS: w.Client.OS, Platform: w.Client.Platform, Browser: w.Client.Browser, LinkBy: "qr", Phone: w.Phone, State: "waiting",
		}
		if w.Phone != "" {
			out.LinkBy = "code"
		}
		switch {
		case w.Passkey:
			out.State = "passkey"
		case w.Linking:
			out.State = "linking"
		}
		list = append(list, out)
	}
	return http.StatusOK, map[string]any{"waiting": list}, nil
}

// remaining is the time until then in whole seconds, at least 0.
func remaining(then time.Time) int { return max(0, int(time.Until(then)/time.Second)) }
