package signalstore

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"

	"github.com/chasqui/chasqui/infra/seal"
)

func keysOf(t testing.TB, text string) *seal.Keys {
	t.Helper()
	k, err := seal.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// kept is what a device's store gives back of what fillStore put into it, by what it is.
func kept(t *testing.T, b bundle, d *store.Device) map[string][]byte {
	t.Helper()
	ctx, found := b.ctx, map[string][]byte{}
	add := func(name string, value []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found[name] = bytes.Clone(value)
	}
	add("noise", d.NoiseKey.Priv[:], nil)
	add("identity", d.IdentityKey.Priv[:], nil)
	add("signed prekey", d.SignedPreKey.Priv[:], nil)
	add("ADV secret", d.AdvSecretKey, nil)
	for id := range uint32(4) {
		key, err := d.PreKeys.GetPreKey(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if (key == nil) != (id == 0) {
			t.Fatalf("prekey %d is %v", id, key)
		}
		if key != nil {
			add(fmt.Sprint("prekey ", id), key.Priv[:], nil)
		}
	}
	session, err := d.Sessions.GetManySessions(ctx, []string{"1:0", "2:0", "3:0"})
	add("session", append(session["1:0"], session["2:0"]...), err)
	if none, ok := session["3:0"]; none != nil || !ok {
		t.Errorf("a session that there is not is %q", none)
	}
	if err := d.Sessions.PutManySessions(ctx, session); err != nil { // ends the use
		t.Fatal(err)
	}
	one, err := d.Sessions.GetSession(ctx, "1:0")
	add("one session", one, err)
	if err := d.Sessions.PutSession(ctx, "1:0", one); err != nil {
		t.Fatal(err)
	}
	key, err := d.SenderKeys.GetSenderKey(ctx, "g@g.us", "1:0")
	add("sender key", key, err)
	state, err := d.AppStateKeys.GetAppStateSyncKey(ctx, []byte{1})
	add("key of the state", state.Data, err)
	all, err := d.AppStateKeys.GetAllAppStateSyncKeys(ctx)
	add("all keys of the state", all[0].Data, err)
	secret, _, err := d.MsgSecrets.GetMessageSecret(ctx, someone, someone, "ID1")
	add("message secret", secret, err)
	secret, _, err = d.MsgSecrets.GetMessageSecret(ctx, someone, someone, "ID2")
	add("second message secret", secret, err)
	token, err := d.PrivacyTokens.GetPrivacyToken(ctx, someone)
	add("privacy token", token.Token, err)
	salt, err := d.NCTSalt.GetNCTSalt(ctx)
	add("salt", salt, err)
	event, err := d.EventBuffer.GetBufferedEvent(ctx, [32]byte{1})
	add("event", event.Plaintext, err)
	if event, err = d.EventBuffer.GetBufferedEvent(ctx, [32]byte{2}); err != nil || event.Plaintext != nil {
		t.Errorf("an event that was handled is %+v, %v", event, err)
	}
	_, sent, err := d.EventBuffer.GetOutgoingEvent(ctx, someone, someone, "ID1")
	add("sent message", sent, err)
	return found
}

var someone = types.NewJID("333", types.DefaultUserServer)

const plaintext = "what a message says, at some length"

// fillStore puts something into each part of a device's store.
func fillStore(t *testing.T, b bundle, d *store.Device) {
	t.Helper()
	ctx := b.ctx
	value := func(name string) []byte { return []byte(name + ": " + plaintext) }
	made, err := d.PreKeys.GetOrGenPreKeys(ctx, 2)
	var one *keys.PreKey
	if err == nil {
		one, err = d.PreKeys.GenOnePreKey(ctx)
	}
	if err != nil || len(made) != 2 || made[0].KeyID != 1 || made[1].KeyID != 2 || one.KeyID != 3 {
		t.Fatalf("prekeys are %v and %v, %v", made, one, err)
	}
	again, err := d.PreKeys.GetOrGenPreKeys(ctx, 1)
	if err != nil || len(again) != 1 || *again[0].Priv != *made[0].Priv {
		t.Errorf("what was made is not given again: %v", err)
	}
	if n, err := d.PreKeys.UploadedPreKeyCount(ctx); n != 1 || err != nil {
		t.Errorf("%d prekeys are uploaded, %v", n, err)
	}
	if _, err := d.Sessions.GetManySessions(ctx, []string{"1:0"}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		d.Sessions.PutManySessions(ctx, map[string][]byte{"1:0": value("first session"), "2:0": value("second session")}),
		d.SenderKeys.PutSenderKey(ctx, "g@g.us", "1:0", value("sender key")),
		d.AppStateKeys.PutAppStateSyncKey(ctx, []byte{1}, store.AppStateSyncKey{Data: value("key of the state"), Fingerprint: []byte{2}, Timestamp: 3}),
		d.MsgSecrets.PutMessageSecret(ctx, someone, someone, "ID1", value("message secret")),
		d.MsgSecrets.PutMessageSecrets(ctx, []store.MessageSecretInsert{{Chat: someone, Sender: someone, ID: "ID2", Secret: value("second message secret")}}),
		d.PrivacyTokens.PutPrivacyTokens(ctx, store.PrivacyToken{User: someone, Token: value("privacy token"), Timestamp: time.Now()}),
		d.NCTSalt.PutNCTSalt(ctx, value("salt")),
		d.EventBuffer.PutBufferedEvent(ctx, [32]byte{1}, value("event"), time.Now()),
		d.EventBuffer.PutBufferedEvent(ctx, [32]byte{2}, value("handled event"), time.Now()),
		d.EventBuffer.ClearBufferedEventPlaintext(ctx, [32]byte{2}),
		d.EventBuffer.AddOutgoingEvent(ctx, someone, "ID1", "f", value("sent message")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSealsWhatIsSecret puts something into every part of a device's store, looks at every row, and reads it with the keys, with more of them and
// without.
func TestSealsWhatIsSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := strings.Repeat("1a", 32), strings.Repeat("2b", 32)
	with := func(setting string) *Container {
		cfg := Config{DSN: b.dsn, Schema: "whatsmeow"}
		if setting != "" {
			cfg.Keys = keysOf(t, setting)
		}
		return open(b.ctx, t, cfg)
	}
	device, err := with(first).Adopt(b.ctx, keyed("111", 0), Options{})
	if err != nil {
		t.Fatal(err)
	}
	fillStore(t, b, device)
	want := kept(t, b, device)
	for _, p := range seal.Places {
		if !p.Signal() {
			continue
		}
		head := keysOf(t, first).Head()
		if n := b.count(t, "SELECT count(*) FROM whatsmeow."+p.Table+" WHERE substring("+p.Column+" FROM 1 FOR 9) = $1", head); n == 0 {
			t.Errorf("nothing is sealed in %v", p)
		}
		if n := b.count(t, "SELECT count(*) FROM whatsmeow."+p.Table+" WHERE substring("+p.Column+" FROM 1 FOR 9) <> $1", head); n != 0 {
			t.Errorf("%d values of %v stand there as they are", n, p)
		}
	}
	jid := *device.ID
	for _, setting := range []string{first, second + "," + first, "plain," + first + "," + second} {
		loaded, err := with(setting).Device(b.ctx, jid, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := kept(t, b, loaded); len(got) != len(want) {
			t.Errorf("%d values instead of %d", len(got), len(want))
		} else {
			for name, value := range want {
				if !bytes.Equal(got[name], value) {
					t.Errorf("with %s the %s is %q, want %q", setting, name, got[name], value)
				}
			}
		}
		if loaded.PushName = "another name"; loaded.Save(b.ctx) != nil {
			t.Error("the device cannot be saved again")
		}
	}
	if _, err := with(second).Device(b.ctx, jid, Options{}); err == nil || !strings.Contains(err.Error(), keysOf(t, first).ID()) {
		t.Errorf("with another key: %v", err)
	}
	if _, err := with("").Device(b.ctx, jid, Options{}); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	// A row of another device does not open here.
	b.exec(t, `INSERT INTO whatsmeow.whatsmeow_device SELECT '222@s.whatsapp.net', lid, facebook_uuid, registration_id, noise_key, identity_key, signed_pre_key, signed_pre_key_id,
		signed_pre_key_sig, adv_key, adv_details, adv_account_sig, adv_account_sig_key, adv_device_sig FROM whatsmeow.whatsmeow_device`)
	if _, err := with(first).Device(b.ctx, types.JID{User: "222", Server: types.DefaultUserServer}, Options{}); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("a device with another's keys: %v", err)
	}
}

// TestASessionMovesToItsLID sealed as it is.
func TestASessionMovesToItsLID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := open(b.ctx, t, Config{DSN: b.dsn, Schema: "whatsmeow", Keys: keysOf(t, strings.Repeat("1a", 32))})
	device, err := c.Adopt(b.ctx, keyed("111", 0), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := device.Sessions.GetManySessions(b.ctx, []string{"333:0"}); err != nil {
		t.Fatal(err)
	}
	if err := device.Sessions.PutManySessions(b.ctx, map[string][]byte{"333:0": []byte(plaintext)}); err != nil {
		t.Fatal(err)
	}
	if err := device.SenderKeys.PutSenderKey(b.ctx, "g@g.us", "333:0", []byte(plaintext)); err != nil {
		t.Fatal(err)
	}
	if err := device.Sessions.MigratePNToLID(b.ctx, someone, types.NewJID("444", types.HiddenUserServer)); err != nil {
		t.Fatal(err)
	}
	session, err := device.Sessions.GetSession(b.ctx, "444_1:0")
	if err != nil || string(session) != plaintext {
		t.Errorf("the session is %q, %v", session, err)
	}
	if err := device.Sessions.PutSession(b.ctx, "444_1:0", session); err != nil {
		t.Fatal(err)
	}
	if key, err := device.SenderKeys.GetSenderKey(b.ctx, "g@g.us", "444_1:0"); err != nil || string(key) != plaintext {
		t.Errorf("the sender key is %q, %v", key, err)
	}
}

// TestOldSchemaHasNoRoom has the constraints of sqlstore's own schema.
func TestOldSchemaHasNoRoom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.container.CheckVersion(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.exec(t, `ALTER TABLE whatsmeow.whatsmeow_pre_keys ADD CONSTRAINT whatsmeow_pre_keys_key_check CHECK (length(key) = 32)`)
	if err := b.container.CheckVersion(b.ctx); !errors.Is(err, ErrSchemaOld) {
		t.Errorf("with a constraint on keys: %v", err)
	}
	if err := b.container.Upgrade(b.ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.container.CheckVersion(b.ctx); err != nil {
		t.Errorf("after the upgrade: %v", err)
	}
}
