package chasqui

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// webhookTolerance is how far a webhook's time may be from ours, as Standard Webhooks 1.0 has it.
const webhookTolerance = 5 * time.Minute

// Why a webhook is not to be believed.
var (
	ErrNotSigned    = errors.New("chasqui: the webhook lacks webhook-id, webhook-timestamp or webhook-signature")
	ErrTooOld       = errors.New("chasqui: the webhook was not signed within the last 5 minutes")
	ErrBadSignature = errors.New("chasqui: none of the webhook's signatures is right")
)

// A Webhook is an event as a webhook brought it.
type Webhook struct {
	Event
	// DataURL is where the whole event is, for one of more than 256 KiB, which comes without its data: see Client.Whole.
	DataURL string
}

// VerifyWebhook checks that a webhook comes from chasqui, and reads it. The body must be the bytes as they came. A secret is what the endpoint's creation
// answered, whsec_ and all; give the new and the old one while you change it. An event can come twice: its ID tells.
func VerifyWebhook(header http.Header, body []byte, secrets ...string) (*Webhook, error) {
	return verifyWebhook(header, body, secrets, time.Now())
}

func verifyWebhook(header http.Header, body []byte, secrets []string, now time.Time) (*Webhook, error) {
	id, at, signatures := header.Get("webhook-id"), header.Get("webhook-timestamp"), header.Get("webhook-signature")
	if id == "" || at == "" || signatures == "" {
		return nil, ErrNotSigned
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return nil, ErrNotSigned
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > webhookTolerance || age < -webhookTolerance {
		return nil, ErrTooOld
	}
	genuine := false
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			return nil, errors.New("chasqui: a webhook's secret is whsec_ and base64")
		}
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(id + "." + at + ".")) // a hash never returns an error
		_, _ = mac.Write(body)
		want := mac.Sum(nil)
		for one := range strings.FieldsSeq(signatures) {
			version, encoded, _ := strings.Cut(one, ",")
			have, err := base64.StdEncoding.DecodeString(encoded)
			genuine = genuine || version == "v1" && err == nil && hmac.Equal(have, want)
		}
	}
	if !genuine {
		return nil, ErrBadSignature
	}
	var w struct {
		DataURL string `json:"dataUrl"`
	}
	out := &Webhook{}
	if err := errors.Join(json.Unmarshal(body, &out.Event), json.Unmarshal(body, &w)); err != nil {
		return nil, fmt.Errorf("chasqui: read webhook: %w", err)
	}
	out.DataURL = w.DataURL
	return out, nil
}

// Whole returns a webhook's event, and gets it where it was too large for a webhook.
func (c *Client) Whole(ctx context.Context, w *Webhook) (*Event, error) {
	if w.DataURL == "" {
		return &w.Event, nil
	}
	return c.GetEvent(ctx, w.ID, nil)
}
