package server_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waCompanionReg"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"go.mau.fi/whatsmeow/util/keys"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// outcome is what a pairing came to.
type outcome struct {
	jid types.JID
	err error
}

// asked starts a pairing that asks for a passkey, and returns the request and what will come of the pairing.
func asked(c *client, pair func() (types.JID, error)) (*types.WebAuthnPublicKey, <-chan outcome) {
	c.n.t.Helper()
	result := make(chan outcome, 1)
	go func() {
		jid, err := pair()
		result <- outcome{jid, err}
	}()
	return await(c, func(*events.PairPasskeyRequest) bool { return true }).PublicKey, result
}

// answer asks an authenticator.
func answer(t testing.TB, k server.Passkey, request *types.WebAuthnPublicKey) *types.WebAuthnResponse {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err = (&sandbox.Authenticator{CredentialID: k.ID, UserHandle: k.UserHandle, Key: k.Key}).Answer(text)
	if err != nil {
		t.Fatal(err)
	}
	var response types.WebAuthnResponse
	if err := json.Unmarshal(text, &response); err != nil {
		t.Fatal(err)
	}
	return &response
}

func TestPairsWithAPasskey(t *testing.T) {
	t.Parallel()
	codes := make(chan map[string]any, 10)
	n := setupWith(t, func(c *server.Config) {
		c.Notify = func(_, kind string, data map[string]any) {
			if kind == "passkey_code" {
				codes <- data
			}
		}
	})
	ana := n.phone("5491100000001", "Ana")
	key, err := n.Server().RequirePasskey(t.Context(), "5491100000001")
	if err != nil {
		t.Fatal(err)
	}
	n.restart(ana)
	if again, err := n.Server().RequirePasskey(t.Context(), "5491100000001"); err != nil || !again.Key.Equal(key.Key) || string(again.ID) != string(key.ID) {
		t.Fatalf("the passkey is another after a restart (%v)", err)
	}
	finish := func(c *client, request *types.WebAuthnPublicKey, result <-chan outcome) {
		t.Helper()
		if w := n.Server().Waiting(); len(w) != 1 || !w[0].Passkey {
			t.Errorf("waiting are %+v", w)
		}
		if request.RelyingPartID != "whatsapp.com" || request.UserVerification != "required" || request.Timeout != 600000 || len(request.Challenge) != 32 {
			t.Errorf("the request is %+v", request)
		}
		if err := c.SendPasskeyResponse(t.Context(), answer(t, key, request)); err != nil {
			t.Fatal(err)
		}
		confirm := await(c, func(*events.PairPasskeyConfirmation) bool { return true })
		if shown := <-codes; shown["code"] != confirm.Code || shown["compare"] != false || !confirm.SkipHandoffUX {
			t.Errorf("the phone shows %v, the companion %+v", shown, confirm)
		}
		if err := c.SendPasskeyConfirmation(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o := <-result; o.err != nil {
			t.Fatal(o.err)
		}
		await(c, func(*events.Connected) bool { return true })
	}
	byQR, qr := n.waiting()
	request, result := asked(byQR, func() (types.JID, error) { return n.Server().Scan(t.Context(), "5491100000001", qr[0]) })
	finish(byQR, request, result)

	byCode, _ := n.waiting()
	code := byCode.asks("5491100000001")
	request, result = asked(byCode, func() (types.JID, error) { return n.Server().EnterCode(t.Context(), "5491100000001", code) })
	finish(byCode, request, result)

	if err := n.Server().DropPasskey(t.Context(), "5491100000001"); err != nil {
		t.Fatal(err)
	}
	n.companion(ana)
	n.restart(ana)
	if _, ok := n.Server().Passkey("5491100000001"); ok {
		t.Error("the passkey came back")
	}
	_, err = n.Server().RequirePasskey(t.Context(), "5491100000009")
	fails(t, err, server.ErrNoAccount)
	fails(t, n.Server().DropPasskey(t.Context(), "5491100000009"), server.ErrNoAccount)
}

func TestAWrongPasskeyIsRefusedAndTheRightOneTaken(t *testing.T) {
	t.Parallel()
	n := setup(t)
	n.phone("5491100000001", "Ana")
	n.phone("5491100000002", "Ben")
	key, err := n.Server().RequirePasskey(t.Context(), "5491100000001")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := n.Server().RequirePasskey(t.Context(), "5491100000002")
	if err != nil {
		t.Fatal(err)
	}
	c, qr := n.waiting()
	request, result := asked(c, func() (types.JID, error) { return n.Server().Scan(t.Context(), "5491100000001", qr[0]) })
	otherChallenge := *request
	otherChallenge.Challenge = make([]byte, 32)
	stolen := answer(t, foreign, request)
	stolen.RawID, stolen.ID = key.ID, answer(t, key, request).ID // signed by another key
	stolen.Response.UserHandle = nil
	unverified := answer(t, key, request)
	unverified.Response.AuthenticatorData[32] &^= 0x04
	otherParty := answer(t, key, request)
	otherParty.Response.AuthenticatorData[0] ^= 1
	otherUser := answer(t, key, request)
	otherUser.Response.UserHandle = answer(t, foreign, request).Response.UserHandle
	created := answer(t, key, request)
	created.Response.ClientDataJSON = []byte(`{"type":"webauthn.create"}`)
	for name, wrong := range map[string]*types.WebAuthnResponse{
		"another challenge": answer(t, key, &otherChallenge), "another's passkey": answer(t, foreign, request), "another key": stolen,
		"user not verified": unverified, "another party": otherParty, "another user": otherUser, "another type": created, "nothing": {},
	} {
		err := c.SendPasskeyResponse(t.Context(), wrong)
		if refused := (*whatsmeow.IQError)(nil); !errors.As(err, &refused) || refused.Code != 401 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.SendPasskeyResponse(t.Context(), answer(t, key, request)); err != nil {
		t.Fatal(err)
	}
	await(c, func(*events.PairPasskeyConfirmation) bool { return true })
	if err := c.SendPasskeyConfirmation(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := <-result; o.err != nil {
		t.Fatal(o.err)
	}
	await(c, func(*events.Connected) bool { return true })
}

// A companion that does not prove the handoff has its owner compare codes; whatsmeow leaves the proof out 5 minutes after the request.
func TestAPasskeyWithoutHandoffShowsACodeToCompare(t *testing.T) {
	t.Parallel()
	codes := make(chan map[string]any, 10)
	n := setupWith(t, func(c *server.Config) {
		c.Notify = func(_, _ string, data map[string]any) { codes <- data }
	})
	n.phone("5491100000001", "Ana")
	key, err := n.Server().RequirePasskey(t.Context(), "5491100000001")
	if err != nil {
		t.Fatal(err)
	}
	c, qr := n.waiting()
	_, result := asked(c, func() (types.JID, error) { return n.Server().Scan(t.Context(), "5491100000001", qr[0]) })
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; it asks for the options by itself only after an error
	request, err := c.DangerousInternals().GetPasskeyRequestOptions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ref, err := c.query("md", "get", waBinary.Node{Tag: "ref"})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := proto.Marshal(&waCompanionReg.CompanionEphemeralIdentity{
		PublicKey: keys.NewKeyPair().Pub[:], DeviceType: waCompanionReg.DeviceProps_CHROME.Enum(),
		Ref: proto.String(string(ref.GetChildByTag("ref").Content.([]byte))),
	})
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, 32)
	commitment := sha256.Sum256(slices.Concat(identity, nonce))
	payload, err := proto.Marshal(&waCompanionReg.ProloguePayload{
		CompanionEphemeralIdentity: identity, Commitment: &waCompanionReg.CompanionCommitment{Hash: commitment[:]},
	})
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := json.Marshal(answer(t, key, request))
	if err != nil {
		t.Fatal(err)
	}
	prologue := []waBinary.Node{{Tag: "credential_id", Content: key.ID}, {Tag: "webauthn_assertion", Content: assertion}, {Tag: "prologue_payload", Content: payload}}
	forged := append(slices.Clone(prologue), waBinary.Node{Tag: "pairing_handoff_proof", Content: make([]byte, 32)})
	if _, err := c.query("md", "set", waBinary.Node{Tag: "passkey_prologue", Content: forged}); err == nil {
		t.Error("a forged proof was taken")
	}
	if _, err := c.query("md", "set", waBinary.Node{Tag: "passkey_prologue", Content: prologue}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.query("md", "set", waBinary.Node{Tag: "companion_nonce", Content: make([]byte, 31)}); err == nil {
		t.Error("another nonce was taken")
	}
	if _, err := c.query("md", "set", waBinary.Node{Tag: "companion_nonce", Content: nonce}); err != nil {
		t.Fatal(err)
	}
	if shown := <-codes; shown["compare"] != true || len(shown["code"].(string)) != 9 {
		t.Errorf("the phone shows %v", shown)
	}
	if _, err := c.query("md", "set", waBinary.Node{Tag: "encrypted_pairing_request", Content: []byte{}}); err == nil {
		t.Error("an empty pairing request was taken")
	}
	c.Disconnect()
	fails(t, (<-result).err, server.ErrQRExpired)
}
