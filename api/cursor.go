package api

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
)

// sealedCursor begins a place in the event log that is sealed.
const sealedCursor = "cur_"

// cursorSeal seals places under API_KEY, which all processes have: when that changes, clients begin anew.
func (s *Server) cursorSeal() cipher.AEAD {
	key := sha256.Sum256(append([]byte("cursor"), s.principal[:]...))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size that GCM wants
	}
	return aead
}

// cursor is a place in the event log for the caller. For one who has not all sessions it is sealed, and another each time: the place is that of the
// event that was looked at last, whosever it is, and would tell when something happens elsewhere.
func (s *Server) cursor(ctx context.Context, place string) string {
	id, err := events.EventPrefix.Parse(place)
	if err != nil || callerOf(ctx).sessions == nil {
		return place
	}
	aead := s.cursorSeal()
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(id)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails: the runtime ends the program when the system has no randomness
	return sealedCursor + base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, id[:], nil))
}

// openCursor is the event's id of a place that was sealed, and anything else as it is.
func (s *Server) openCursor(given string) string {
	sealed, ok := strings.CutPrefix(given, sealedCursor)
	if !ok {
		return given
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	aead := s.cursorSeal()
	if err != nil || len(raw) < aead.NonceSize() {
		return given
	}
	opened, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], nil)
	if err != nil || len(opened) != len(uuid.UUID{}) {
		return given
	}
	return events.EventPrefix.Format(uuid.UUID(opened))
}
