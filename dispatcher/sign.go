package dispatcher

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
)

// secrets are those that sign at a time: the present one, and those before it whose time is not over.
func (t *target) secrets(at time.Time) []string {
	live := []string{t.secret}
	for _, p := range t.previous {
		if p.Until.After(at) {
			live = append(live, p.Secret)
		}
	}
	return live
}

// sign makes the signatures of Standard Webhooks 1.0, one for each secret with spaces between: HMAC-SHA256 over id.timestamp.body, keyed by
// what whsec_ and base64 stand for. It reads the body once.
func sign(secrets []string, id, timestamp string, body io.Reader) (string, error) {
	macs, all := make([]hash.Hash, len(secrets)), make([]io.Writer, len(secrets))
	for i, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			return "", errors.New("sign: the endpoint's secret is not valid")
		}
		macs[i] = hmac.New(sha256.New, key)
		all[i] = macs[i]
	}
	signed := io.MultiWriter(all...)
	_, _ = io.WriteString(signed, id+"."+timestamp+".") // a hash never returns an error
	if _, err := io.Copy(signed, body); err != nil {    // without a buffer where the body is in memory
		return "", fmt.Errorf("sign: %w", err)
	}
	signatures := make([]string, len(macs))
	for i, mac := range macs {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}
