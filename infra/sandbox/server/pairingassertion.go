package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"

	"go.mau.fi/whatsmeow/types"
)

// The flags of WebAuthn's authenticator data (Web Authentication Level 3, section 6.1), and how long that is at least: the relying party's
// hash, the flags, a counter of 4 bytes.
const (
	flagUserPresent       = 0x01
	flagUserVerified      = 0x04
	authenticatorDataSize = sha256.Size + 1 + 4
)

// verify checks an assertion as a relying party does (Web Authentication Level 3, section 7.2), for the one credential that an account has.
// The counter is not looked at: passkeys that are synchronised between devices leave it at 0. The check is written out here because the
// libraries for it bring the attestation formats of all makers of authenticators along.
func (k Passkey) verify(credential, assertion, challenge []byte) error {
	var response types.WebAuthnResponse
	if err := json.Unmarshal(assertion, &response); err != nil {
		return errors.New("the assertion is not the JSON expected")
	}
	switch data := response.Response; {
	case response.Type != "public-key" || response.ID != base64.RawURLEncoding.EncodeToString(response.RawID) || !bytes.Equal(response.RawID, credential):
		return errors.New("the assertion does not name its credential as it should")
	case !bytes.Equal(credential, k.ID):
		return errors.New("unknown credential")
	case data.UserHandle != nil && !bytes.Equal(*data.UserHandle, k.UserHandle):
		return errors.New("the user handle is another user's")
	default:
		return k.verifySigned(data, challenge)
	}
}

// verifySigned checks what the authenticator signed, and the signature.
func (k Passkey) verifySigned(response types.WebAuthnResponseData, challenge []byte) error {
	var client struct {
		Type, Challenge, Origin string
		CrossOrigin             bool
	}
	if err := json.Unmarshal(response.ClientDataJSON, &client); err != nil {
		return errors.New("clientDataJSON is not JSON")
	}
	party := sha256.Sum256([]byte(PasskeyRPID))
	data := response.AuthenticatorData
	client256 := sha256.Sum256(response.ClientDataJSON)
	digest := sha256.Sum256(slices.Concat(data, client256[:]))
	switch {
	case client.Type != "webauthn.get":
		return errors.New("clientDataJSON is of another type than webauthn.get")
	case client.Challenge != base64.RawURLEncoding.EncodeToString(challenge):
		return errors.New("the challenge is another")
	case client.Origin != PasskeyOrigin || client.CrossOrigin:
		return errors.New("the origin is not WhatsApp's")
	case len(data) < authenticatorDataSize || !bytes.Equal(data[:sha256.Size], party[:]):
		return errors.New("the relying party is another")
	case data[sha256.Size]&flagUserPresent == 0 || data[sha256.Size]&flagUserVerified == 0:
		return errors.New("the user was not verified")
	case !ecdsa.VerifyASN1(&k.Key.PublicKey, digest[:], response.Signature):
		return errors.New("the signature is wrong")
	}
	return nil
}
