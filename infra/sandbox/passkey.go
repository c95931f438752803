package sandbox

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"go.mau.fi/util/jsonbytes"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// Authenticator holds a phone's passkey and answers for it, as the owner's key ring does after a look at a fingerprint. Its answers are
// those of navigator.credentials.get in a browser that shows web.whatsapp.com.
type Authenticator struct {
	CredentialID, UserHandle []byte
	Key                      *ecdsa.PrivateKey // on P-256: the algorithm is ES256
}

// RequirePasskey gives the phone a passkey, if it has none, and returns what answers for it. From then on each client that is linked to the
// phone is asked for it, after its QR code was scanned or its pairing code entered. It outlives the process.
func (s *Sandbox) RequirePasskey(ctx context.Context, number string) (*Authenticator, error) {
	if _, err := s.phone(number); err != nil {
		return nil, err
	}
	k, err := s.server.RequirePasskey(ctx, number)
	if err != nil {
		return nil, err
	}
	return &Authenticator{CredentialID: k.ID, UserHandle: k.UserHandle, Key: k.Key}, nil
}

// DropPasskey takes the phone's passkey away, if it has one.
func (s *Sandbox) DropPasskey(ctx context.Context, number string) error {
	if _, err := s.phone(number); err != nil {
		return err
	}
	return s.server.DropPasskey(ctx, number)
}

// Authenticator returns what answers for the phone's passkey; a phone without one is an *Error with status 409.
func (s *Sandbox) Authenticator(number string) (*Authenticator, error) {
	if _, err := s.phone(number); err != nil {
		return nil, err
	}
	k, ok := s.server.Passkey(number)
	if !ok {
		return nil, failure(http.StatusConflict, "phone %s has no passkey", number)
	}
	return &Authenticator{CredentialID: k.ID, UserHandle: k.UserHandle, Key: k.Key}, nil
}

// Answer takes a request as JSON, the PublicKey of whatsmeow's events.PairPasskeyRequest or an object with that as its member "publicKey",
// and returns the assertion as the JSON that types.WebAuthnResponse has, for Client.SendPasskeyResponse. A request that is not for this
// passkey is an *Error with status 422.
func (a *Authenticator) Answer(request []byte) ([]byte, error) {
	var wrapped struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if err := json.Unmarshal(request, &wrapped); err == nil && wrapped.PublicKey != nil {
		request = wrapped.PublicKey
	}
	var options types.WebAuthnPublicKey
	if err := json.Unmarshal(request, &options); err != nil {
		return nil, failure(http.StatusUnprocessableEntity, "the request is not WebAuthn's JSON: %v", err)
	}
	if len(options.Challenge) == 0 || options.RelyingPartID != server.PasskeyRPID {
		return nil, failure(http.StatusUnprocessableEntity, "the request must have a challenge, and %q as its rpId", server.PasskeyRPID)
	}
	if len(options.AllowCredentials) > 0 && !slices.ContainsFunc(options.AllowCredentials, func(c types.AllowedCredential) bool {
		return bytes.Equal(c.ID, a.CredentialID)
	}) {
		return nil, failure(http.StatusUnprocessableEntity, "the request allows other passkeys only")
	}
	client, err := json.Marshal(struct {
		Type        string `json:"type"`
		Challenge   string `json:"challenge"`
		Origin      string `json:"origin"`
		CrossOrigin bool   `json:"crossOrigin"`
	}{"webauthn.get", base64.RawURLEncoding.EncodeToString(options.Challenge), server.PasskeyOrigin, false})
	if err != nil {
		return nil, fmt.Errorf("marshal client data: %w", err)
	}
	// The relying party's hash; the flags user present, user verified, and backup eligible and state, as a passkey in a cloud has them; a
	// counter that stays 0 (Web Authentication Level 3, section 6.1).
	party := sha256.Sum256([]byte(server.PasskeyRPID))
	data := append(party[:], 0x01|0x04|0x08|0x10, 0, 0, 0, 0)
	clientHash := sha256.Sum256(client)
	digest := sha256.Sum256(slices.Concat(data, clientHash[:]))
	signature, err := ecdsa.SignASN1(rand.Reader, a.Key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign assertion: %w", err)
	}
	handle := jsonbytes.UnpaddedURLBytes(a.UserHandle)
	return json.Marshal(types.WebAuthnResponse{
		ID: base64.RawURLEncoding.EncodeToString(a.CredentialID), RawID: a.CredentialID, Type: "public-key",
		Response: types.WebAuthnResponseData{ClientDataJSON: client, AuthenticatorData: data, Signature: signature, UserHandle: &handle},
	})
}

func (s *Sandbox) putPasskey(r *http.Request) (int, any, error) {
	a, err := s.RequirePasskey(r.Context(), r.PathValue("number"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]string{"credentialId": base64.RawURLEncoding.EncodeToString(a.CredentialID)}, nil
}

func (s *Sandbox) postPasskey(r *http.Request) (int, any, error) {
	var in struct {
		Request json.RawMessage `json:"request"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	a, err := s.Authenticator(r.PathValue("number"))
	if err != nil {
		return 0, nil, err
	}
	response, err := a.Answer(in.Request)
	return http.StatusOK, map[string]json.RawMessage{"response": response}, err
}

func (s *Sandbox) deletePasskey(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.DropPasskey(r.Context(), r.PathValue("number"))
}
