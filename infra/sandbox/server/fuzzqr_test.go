package server

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

// FuzzQR reads what was pasted as a QR code: it is refused as one, or holds three keys of 32 bytes that read the same when they are written again.
func FuzzQR(f *testing.F) {
	key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	for _, seed := range []string{
		"", ",,,", "2@ref," + key + "," + key + "," + key, "https://wa.me/settings/linked_devices#2@ref," + key + "," + key + "," + key + ",1", "2@ref," + key + "," + key,
		"2@ref," + key[:40] + "," + key + "," + key, "#", " 2@ref," + key + "," + key + "," + key + "\n", "2@ref,=,=,=",
	} {
		f.Add(seed)
	}
	testfuzz.Run(f, func(t *testing.T, text string) {
		ref, noise, identity, secret, err := parseQR(text)
		if err != nil {
			if !errors.Is(err, ErrQRInvalid) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		parts := []string{ref}
		for _, key := range [][]byte{noise[:], identity[:], secret} {
			parts = append(parts, base64.StdEncoding.EncodeToString(key))
		}
		again, n, i, s, err := parseQR("#" + strings.Join(parts, ",")) // the first # ends a URL
		if err != nil || strings.TrimSpace(again) != strings.TrimSpace(ref) || n != noise || i != identity || string(s) != string(secret) {
			t.Errorf("%q is %q when it is written again, %v", text, again, err)
		}
	})
}
