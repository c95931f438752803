package server

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

var (
	// ErrCodeInvalid is returned by EnterCode for what cannot be a pairing code: not eight letters and digits, dashes left aside.
	ErrCodeInvalid = errors.New("not a pairing code")
	// ErrCodeNotRequested is returned by EnterCode when no companion asked a code for this number: it asked for another's, or before the
	// server was restarted.
	ErrCodeNotRequested = errors.New("no client asked for a pairing code for this number")
	// ErrCodeExpired is returned by EnterCode when the companion that asked last does not wait any more, or is being linked already.
	ErrCodeExpired = errors.New("pairing code expired")
	// ErrCodeWrong is returned by EnterCode for a code that is not the companion's. The companion waits on, and the code can be entered again.
	ErrCodeWrong = errors.New("wrong pairing code")
)

const (
	// codeRounds is how often PBKDF2 hashes a code (2<<16 in pair-code.go); it takes some 30 ms.
	codeRounds = 131072
	// wrappedKey is the length of a public key that is encrypted with a code: salt 32, IV 16, key 32.
	wrappedKey = 80
	// keyBundle is the length of what the companion proves its knowledge of the code with: salt 32, nonce 12, three keys, GCM's tag 16.
	keyBundle = 32 + 12 + 3*32 + 16
)

var (
	// codePattern is wider than the alphabet of whatsmeow's codes, which is Crockford's with neither 0, I, O nor U (linkingBase32 in
	// pair-code.go): Baileys lets its caller choose a code.
	codePattern = regexp.MustCompile(`^[0-9A-Z]{8}$`)
	// displayPattern is the form of a companion's name, "Browser (OS)". The real server answers 400 to others (PairPhone in pair-code.go),
	// and knows which browsers and systems there are, which is not known here.
	displayPattern = regexp.MustCompile(`^[\pL\pN .-]{1,40} \([\pL\pN .-]{1,40}\)$`)
)

// codeRequest is a companion's wish to be linked by a code that its user enters on the phone. The unmarked fields never change.
type codeRequest struct {
	account *account
	ref     string
	display string // the companion's name, "Browser (OS)"
	wrapped [wrappedKey]byte
	conn    *conn // guarded by Server.mu; nil once the connection has ended or the companion asked anew
}

// handleLinkCode takes the two stages of code pairing that are the companion's.
func handleLinkCode(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	registration := iq.GetChildByTag("link_code_companion_reg")
	switch attr(&registration, "stage") {
	case "companion_hello":
		return c.requestCode(&registration)
	case "companion_finish":
		return handlePairingStep(ctx, c, iq)
	}
	return nil, errBadRequest
}

// requestCode remembers that a companion showed its user a code for a number. An account has one such request, the last. That a number
// without an account is answered with 404 is a convenience of this server: what the real one does is unknown.
func (c *conn) requestCode(registration *waBinary.Node) ([]waBinary.Node, error) {
	s, p := c.s, c.pairing
	jid, _ := registration.Attrs["jid"].(types.JID)
	wrapped := content(registration.GetChildByTag("link_code_pairing_wrapped_companion_ephemeral_pub"))
	platform := content(registration.GetChildByTag("companion_platform_id"))
	display := string(content(registration.GetChildByTag("companion_platform_display")))
	if jid.Server != types.DefaultUserServer || jid.Device != 0 || len(wrapped) != wrappedKey || len(platform) == 0 || len(platform) > 8 ||
		!slices.Equal(content(registration.GetChildByTag("companion_server_auth_key_pub")), p.noise[:]) || !displayPattern.MatchString(display) {
		return nil, errBadRequest
	}
	a := s.user(jid)
	if a == nil {
		return nil, errItemNotFound
	}
	request := &codeRequest{account: a, conn: c, ref: rand.Text(), display: display, wrapped: [wrappedKey]byte(wrapped)}
	s.mu.Lock()
	refused := p.claimed || p.over
	if !refused {
		if p.request != nil {
			p.request.conn = nil
		}
		p.request, a.code = request, request
	}
	s.mu.Unlock()
	if refused {
		return nil, errNotAllowed
	}
	if attr(registration, "should_show_push_notification") == "true" {
		c.then = func() { s.notify(a.keys.Phone, "pairing_code_requested", map[string]any{"client": display}) }
	}
	return []waBinary.Node{{
		Tag: "link_code_companion_reg", Attrs: waBinary.Attrs{"stage": "companion_hello"},
		Content: []waBinary.Node{{Tag: "link_code_pairing_ref", Content: []byte(request.ref)}},
	}}, nil
}

// EnterCode does what a phone does on which its owner enters the pairing code that a companion shows, in letters of any case, with dashes
// or without: like Scan, it returns the new device's JID once that is persisted, asks for the passkey of an account that has one, and ends
// the pairing when its context ends. Errors: ErrNoAccount, ErrCodeInvalid, ErrCodeNotRequested, ErrCodeExpired, ErrCodeWrong, ErrRefused,
// ErrTooManyDevices, context.DeadlineExceeded for a companion that does not answer, the context's, the database's.
func (s *Server) EnterCode(ctx context.Context, phone, code string) (types.JID, error) {
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	if !codePattern.MatchString(code) {
		return types.EmptyJID, ErrCodeInvalid
	}
	a, request, c, err := s.claimRequest(phone)
	if err != nil {
		return types.EmptyJID, err
	}
	secret, err := s.exchangeCode(ctx, a, request, c, code)
	if errors.Is(err, ErrCodeWrong) {
		s.release(c)
		return types.EmptyJID, err
	}
	if err != nil {
		c.cut()
		err = fmt.Errorf("exchange keys by code: %w", err)
	}
	var jid types.JID
	if err == nil {
		jid, err = s.finish(ctx, a, c, secret)
	}
	if errors.Is(err, ErrQRExpired) { // the companion went away
		err = ErrCodeExpired
	}
	return jid, err
}

// claimRequest finds the companion that asked a code for a number, and claims it.
func (s *Server) claimRequest(phone string) (*account, *codeRequest, *conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byPhone[phone]
	switch {
	case a == nil:
		return nil, nil, nil, ErrNoAccount
	case a.code == nil:
		return nil, nil, nil, ErrCodeNotRequested
	case a.code.conn == nil || a.code.conn.pairing.claimed || a.code.conn.pairing.over:
		return nil, nil, nil, ErrCodeExpired
	}
	a.code.conn.pairing.claimed = true
	return a, a.code, a.code.conn, nil
}

// exchangeCode agrees with the companion on the secret that the pairing is authenticated with (handleCodePairNotification in pair-code.go).
// Nothing tells a wrong code from the right one until the companion answers: the code alone encrypts the keys, without a checksum.
func (s *Server) exchangeCode(ctx context.Context, a *account, request *codeRequest, c *conn, code string) ([]byte, error) {
	companion, err := cryptKey(code, request.wrapped[:])
	if err != nil {
		return nil, err
	}
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	wrapped := slices.Concat(make([]byte, 48), own.PublicKey().Bytes())
	_, _ = rand.Read(wrapped[:48])
	ciphered, err := cryptKey(code, wrapped)
	if err != nil {
		return nil, err
	}
	copy(wrapped[48:], ciphered)
	shared, err := agree(own, companion)
	if err != nil {
		return nil, ErrCodeWrong // a key that nobody made: the code did not decrypt it
	}
	var secret []byte
	err = s.perform(ctx, c, signPatience, pairingNotice("link_code_companion_reg", waBinary.Node{
		Tag: "link_code_companion_reg", Attrs: waBinary.Attrs{"stage": "primary_hello"},
		Content: []waBinary.Node{
			{Tag: "link_code_pairing_ref", Content: []byte(request.ref)},
			{Tag: "link_code_pairing_wrapped_primary_ephemeral_pub", Content: wrapped},
			{Tag: "primary_identity_pub", Content: a.keys.Identity.Pub[:]},
		},
	}), step{child: "link_code_companion_reg", take: func(finish *waBinary.Node) error {
		bundle := content(finish.GetChildByTag("link_code_pairing_wrapped_key_bundle"))
		if string(content(finish.GetChildByTag("link_code_pairing_ref"))) != request.ref || len(bundle) != keyBundle ||
			!slices.Equal(content(finish.GetChildByTag("companion_identity_public")), c.pairing.identity[:]) {
			return errBadRequest
		}
		// The answer is the same for a wrong code: the real server cannot know, it only passes the bundle on to the phone.
		random, err := openBundle(shared, bundle, c.pairing.identity, *a.keys.Identity.Pub)
		if err == nil {
			secret, err = codeSecret(shared, *a.keys.Identity.Priv, c.pairing.identity, random)
		}
		if err != nil {
			s.log.DebugContext(c.ctx, "pairing code is wrong", "error", err)
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	if secret == nil {
		return nil, ErrCodeWrong
	}
	return secret, nil
}

// cryptKey encrypts or decrypts the key in a wrapped one, which is the same in counter mode.
func cryptKey(code string, wrapped []byte) ([]byte, error) {
	key, err := pbkdf2.Key(sha256.New, code, wrapped[:32], codeRounds, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 32)
	cipher.NewCTR(block, wrapped[32:48]).XORKeyStream(out, wrapped[48:])
	return out, nil
}

// agree makes the secret shared with the owner of a public key.
func agree(own *ecdh.PrivateKey, public []byte) ([]byte, error) {
	theirs, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	return own.ECDH(theirs)
}

// openBundle decrypts the companion's key bundle, checks the keys in it, and returns its random part.
func openBundle(shared, bundle []byte, companion, primary [32]byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, shared, bundle[:32], "link_code_pairing_key_bundle_encryption_key", 32)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, bundle[32:44], bundle[44:], nil)
	if err != nil {
		return nil, err
	}
	if [32]byte(plain[:32]) != companion || [32]byte(plain[32:64]) != primary {
		return nil, errors.New("the key bundle is for other identities")
	}
	return plain[64:], nil
}

// codeSecret makes the secret that authenticates the pairing.
func codeSecret(shared []byte, primary, companion [32]byte, random []byte) ([]byte, error) {
	identity, err := ecdh.X25519().NewPrivateKey(primary[:])
	if err != nil {
		return nil, err
	}
	identities, err := agree(identity, companion[:])
	if err != nil {
		return nil, err
	}
	return hkdf.Key(sha256.New, slices.Concat(shared, identities, random), nil, "adv_secret", 32)
}
