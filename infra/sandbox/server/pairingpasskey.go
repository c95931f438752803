package server

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waCompanionReg"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// PasskeyRPID is the relying party that WhatsApp's passkeys are bound to, as users report it of the real server's request.
	PasskeyRPID = "whatsapp.com"
	// PasskeyOrigin is where WhatsApp's web client runs, which the browser puts into what the passkey signs.
	PasskeyOrigin = "https://web.whatsapp.com" //nolint:gosec // G101: an address, not a credential
	// passkeyPatience is how long a companion may take from the request to the last step: 10 min, the timeout in the real server's request
	// as users report it. whatsmeow can prove the handoff for 5 min (pair-passkey.go); later the owner compares codes.
	passkeyPatience = 10 * time.Minute
)

// Passkey is an account's passkey, an ES256 key. An account that has one has every companion asked for it that is being linked, after its
// QR code was scanned or its pairing code entered. That is what users report of real accounts with a passkey; what else makes the real
// server ask is unknown.
type Passkey struct {
	ID         []byte // of the credential
	UserHandle []byte
	Key        *ecdsa.PrivateKey
}

// passkeyRecord is a passkey in the journal, under its account's phone number.
type passkeyRecord struct{ ID, UserHandle, Key []byte }

// RequirePasskey gives an account a passkey, so that pairings ask for it from now on, and returns it; one that it has is returned as it is.
// It is persisted when the call returns. Errors: ErrNoAccount, the database's.
func (s *Server) RequirePasskey(ctx context.Context, phone string) (Passkey, error) {
	a, err := s.lockAccount(phone)
	if err != nil {
		return Passkey{}, err
	}
	defer a.change.Unlock()
	if had, ok := s.Passkey(phone); ok {
		return had, nil
	}
	made := Passkey{ID: make([]byte, 16), UserHandle: make([]byte, 16)}
	_, _ = rand.Read(made.ID)
	_, _ = rand.Read(made.UserHandle)
	if made.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return Passkey{}, fmt.Errorf("make passkey: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(made.Key)
	if err != nil {
		return Passkey{}, fmt.Errorf("marshal passkey: %w", err)
	}
	kept := record("passkey", phone, passkeyRecord{ID: made.ID, UserHandle: made.UserHandle, Key: key})
	if err := s.commit(ctx, []journal.Record{kept}, nil); err != nil {
		return Passkey{}, fmt.Errorf("persist passkey: %w", err)
	}
	s.mu.Lock()
	a.passkey = &made
	s.mu.Unlock()
	return made, nil
}

// DropPasskey takes an account's passkey away; pairings that asked for it go on. Errors: ErrNoAccount, the database's.
func (s *Server) DropPasskey(ctx context.Context, phone string) error {
	a, err := s.lockAccount(phone)
	if err != nil {
		return err
	}
	defer a.change.Unlock()
	if err := s.commit(ctx, []journal.Record{{Kind: "passkey", Key: phone}}, nil); err != nil {
		return fmt.Errorf("drop passkey: %w", err)
	}
	s.mu.Lock()
	a.passkey = nil
	s.mu.Unlock()
	return nil
}

// Passkey returns an account's passkey.
func (s *Server) Passkey(phone string) (Passkey, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.byPhone[phone]
	if a == nil || a.passkey == nil {
		return Passkey{}, false
	}
	return *a.passkey, true
}

// lockAccount finds an account and locks its changes.
func (s *Server) lockAccount(phone string) (*account, error) {
	a, err := s.accountOf(phone)
	if err == nil {
		a.change.Lock()
	}
	return a, err
}

func loadPasskey(s *Server, r journal.Record) error {
	var kept passkeyRecord
	if err := json.Unmarshal(r.Value, &kept); err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(kept.Key)
	if err != nil {
		return err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	a := s.byPhone[r.Key]
	if !ok || a == nil {
		return errors.New("a passkey of no account, or of another algorithm")
	}
	a.passkey = &Passkey{ID: kept.ID, UserHandle: kept.UserHandle, Key: private}
	return nil
}

// passkeyExchange is a pairing that asks for a passkey. The first fields never change; the rest belongs to the reading goroutine until the
// last step is taken.
type passkeyExchange struct {
	passkey   Passkey
	challenge []byte
	ref       string
	secret    []byte // what the phone and the companion shared before: from the QR code or the pairing code
	own       *ecdh.PrivateKey
	primary   *waCompanionReg.PrimaryEphemeralIdentity

	identity   []byte // the companion's CompanionEphemeralIdentity, marshalled
	commitment []byte // the hash of identity and a nonce that it tells later
	key        []byte // encrypts its pairing request
	handoff    bool   // it proved that it knows secret, so the owner need not compare codes
	code       string // what both sides can show to be compared
	agreed     []byte // the secret that replaces the old one
}

// askPasskey asks the companion for the account's passkey, if it has one, and returns the secret that the pairing is authenticated with
// from then on (pair-passkey.go; pair.go has the rest in common). A companion whose answer is refused may send another until its time is up.
func (s *Server) askPasskey(ctx context.Context, a *account, c *conn, secret []byte) ([]byte, error) {
	passkey, ok := s.Passkey(a.keys.Phone)
	if !ok {
		return secret, nil
	}
	x := &passkeyExchange{passkey: passkey, challenge: make([]byte, 32), ref: newRef(), secret: secret}
	_, _ = rand.Read(x.challenge)
	var err error
	if x.own, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	x.primary = &waCompanionReg.PrimaryEphemeralIdentity{PublicKey: x.own.PublicKey().Bytes(), Nonce: make([]byte, 32)}
	_, _ = rand.Read(x.primary.Nonce)
	continuation, err := proto.Marshal(x.primary)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	c.pairing.passkey = x
	s.mu.Unlock()
	err = s.perform(ctx, c, passkeyPatience, pairingNotice("passkey_prologue_request", x.options()),
		step{child: "passkey_prologue", take: x.takePrologue, then: func() {
			c.sendNode(pairingNotice("crsc_continuation", waBinary.Node{Tag: "primary_ephemeral_identity", Content: continuation}))
		}},
		step{child: "companion_nonce", take: x.takeNonce, then: func() {
			s.notify(a.keys.Phone, "passkey_code", map[string]any{"code": x.code[:4] + "-" + x.code[4:], "compare": !x.handoff})
		}},
		step{child: "encrypted_pairing_request", take: func(child *waBinary.Node) error { return x.takeRequest(child, c.pairing) }},
	)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	c.pairing.passkey = nil
	s.mu.Unlock()
	return x.agreed, nil
}

// options is the request for an assertion in WebAuthn's JSON form, with the values that users report of the real server: no credential is
// named, so the authenticator finds the one for the relying party by itself.
func (x *passkeyExchange) options() waBinary.Node {
	text, err := json.Marshal(types.WebAuthnPublicKey{
		Challenge: x.challenge, Timeout: int(passkeyPatience.Milliseconds()), RelyingPartID: PasskeyRPID,
		AllowCredentials: []types.AllowedCredential{}, UserVerification: "required", Extensions: map[string]any{"uvm": true},
	})
	if err != nil {
		panic(err) // texts and numbers always marshal
	}
	return waBinary.Node{Tag: "passkey_request_options", Content: text}
}

// pending is the exchange that the connection is in, or nil.
func (c *conn) pending() *passkeyExchange {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	return c.pairing.passkey
}

// handlePasskeyOptions repeats the request: whatsmeow asks when it could not read the notification.
func handlePasskeyOptions(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	if x := c.pending(); x != nil {
		return []waBinary.Node{x.options()}, nil
	}
	return nil, errNotAllowed
}

// handlePasskeyRef gives the companion the name of the exchange, which goes into what it signs and derives.
func handlePasskeyRef(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	if x := c.pending(); x != nil {
		return []waBinary.Node{{Tag: "ref", Content: []byte(x.ref)}}, nil
	}
	return nil, errNotAllowed
}

// takePrologue takes the assertion, and the companion's commitment to what it will say.
func (x *passkeyExchange) takePrologue(child *waBinary.Node) error {
	if err := x.passkey.verify(content(child.GetChildByTag("credential_id")), content(child.GetChildByTag("webauthn_assertion")), x.challenge); err != nil {
		return queryError{401, "passkey refused: " + err.Error()}
	}
	payload := content(child.GetChildByTag("prologue_payload"))
	var prologue waCompanionReg.ProloguePayload
	var identity waCompanionReg.CompanionEphemeralIdentity
	if proto.Unmarshal(payload, &prologue) != nil || proto.Unmarshal(prologue.GetCompanionEphemeralIdentity(), &identity) != nil ||
		identity.GetRef() != x.ref || len(prologue.GetCommitment().GetHash()) != sha256.Size {
		return errBadRequest
	}
	shared, err := agree(x.own, identity.GetPublicKey())
	if err != nil {
		return errBadRequest
	}
	if proof, ok := child.GetOptionalChildByTag("pairing_handoff_proof"); ok {
		key, err := hkdf.Key(sha256.New, x.secret, nil, "shortcake-passkey-handoff-v1", 32)
		if err != nil {
			return err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(payload)
		if x.handoff = hmac.Equal(mac.Sum(nil), content(proof)); !x.handoff {
			return queryError{401, "handoff proof is wrong"}
		}
	}
	salt := fmt.Sprintf("Companion Pairing %d with ref %s", identity.GetDeviceType(), x.ref)
	x.key, err = hkdf.Key(sha256.New, shared, []byte(salt), "Pairing Information Encryption Key", 32)
	x.identity, x.commitment = prologue.CompanionEphemeralIdentity, prologue.Commitment.Hash
	return err
}

// codeAlphabet is that of pairing codes (linkingBase32 in pair-code.go).
var codeAlphabet = base32.NewEncoding("123456789ABCDEFGHJKLMNPQRSTVWXYZ")

// takeNonce opens the commitment, and makes the code that the owner can compare: neither side could choose it.
func (x *passkeyExchange) takeNonce(child *waBinary.Node) error {
	nonce := content(*child)
	committed := sha256.Sum256(slices.Concat(x.identity, nonce))
	if !hmac.Equal(committed[:], x.commitment) {
		return queryError{401, "nonce is not the one committed to"}
	}
	digest := sha256.Sum256(slices.Concat(nonce, x.primary.PublicKey))
	code := make([]byte, 5)
	for i := range code {
		code[i] = x.primary.Nonce[i] ^ digest[i]
	}
	x.code = codeAlphabet.EncodeToString(code)
	return nil
}

// takeRequest decrypts the companion's keys and its new secret.
func (x *passkeyExchange) takeRequest(child *waBinary.Node, p *pairing) error {
	var sealed waCompanionReg.EncryptedPairingRequest
	if proto.Unmarshal(content(*child), &sealed) != nil || len(sealed.GetIV()) != 12 {
		return errBadRequest
	}
	aead, err := newAEAD(x.key)
	if err != nil {
		return err
	}
	plain, err := aead.Open(nil, sealed.IV, sealed.EncryptedPayload, nil)
	if err != nil {
		return queryError{401, "pairing request is encrypted with another key"}
	}
	var request waCompanionReg.PairingRequest
	if proto.Unmarshal(plain, &request) != nil || len(request.GetAdvSecret()) != 32 ||
		!slices.Equal(request.GetCompanionPublicKey(), p.noise[:]) || !slices.Equal(request.GetCompanionIdentityKey(), p.identity[:]) {
		return errBadRequest
	}
	x.agreed = request.AdvSecret
	return nil
}
