package signalstore

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
)

// A call is one method of whatsmeow's stores with arguments that make it reach the database.
type call struct {
	name string
	args []any
}

var (
	chat   = types.NewJID("5550", types.DefaultUserServer)
	hidden = types.NewJID("9550", types.HiddenUserServer)
	key    = [32]byte{1}
)

// writes are the calls that change a device's own state, in an order in which each has something to change.
var writes = []call{
	{"PutIdentity", []any{"a:0", key}},
	{"PutMany", nil}, // GetManySessions and PutManySessions
	{"Put", nil},     // GetSession and PutSession
	{"Decrypt", nil}, // DoDecryptionTxn with a PutSession
	{"MigratePNToLID", []any{chat, hidden}},
	{"GetOrGenPreKeys", []any{uint32(2)}},
	{"GenOnePreKey", nil},
	{"MarkPreKeysAsUploaded", []any{uint32(1)}},
	{"RemovePreKey", []any{uint32(1)}},
	{"PutSenderKey", []any{"group", "user", []byte("k")}},
	{"PutAppStateSyncKey", []any{[]byte("id"), store.AppStateSyncKey{Data: []byte("d"), Fingerprint: []byte("f"), Timestamp: 1}}},
	{"State", nil}, // PutAppStateVersion and PutAppStateMutationMACs, which stores both
	{"PutAppStateMutationMACs", []any{"regular", uint64(2), []store.AppStateMutationMAC{{IndexMAC: key[:], ValueMAC: key[:]}}}},
	{"DeleteAppStateMutationMACs", []any{"regular", [][]byte{key[:]}}},
	{"DeleteAppStateVersion", []any{"regular"}},
	{"PutPushName", []any{chat, "name"}},
	{"PutBusinessName", []any{chat, "business"}},
	{"PutContactName", []any{chat, "full", "first"}},
	{"PutAllContactNames", []any{[]store.ContactEntry{{JID: chat, FirstName: "f", FullName: "g"}}}},
	{"PutManyRedactedPhones", []any{[]store.RedactedPhoneEntry{{JID: hidden, RedactedPhone: "+1***"}}}},
	{"PutMutedUntil", []any{chat, time.Unix(1e9, 0)}},
	{"PutPinned", []any{chat, true}},
	{"PutArchived", []any{chat, true}},
	{"PutMessageSecrets", []any{[]store.MessageSecretInsert{{Chat: chat, Sender: chat, ID: "many", Secret: []byte("s")}}}},
	{"PutMessageSecret", []any{chat, chat, types.MessageID("one"), []byte("s")}},
	{"PutPrivacyTokens", []any{store.PrivacyToken{User: chat, Token: []byte("t"), Timestamp: time.Unix(1, 0)}}},
	{"DeleteExpiredPrivacyTokens", []any{time.Unix(2, 0)}},
	{"PutNCTSalt", []any{[]byte("salt")}},
	{"DeleteNCTSalt", nil},
	{"PutBufferedEvent", []any{key, []byte("plain"), time.Unix(1, 0)}},
	{"ClearBufferedEventPlaintext", []any{key}},
	{"DeleteOldBufferedHashes", nil},
	{"AddOutgoingEvent", []any{chat, types.MessageID("out"), "wa", []byte("plain")}},
	{"DeleteOldOutgoingEvents", nil},
	{"DeleteSession", []any{"a:0"}},
	{"DeleteAllSessions", []any{"a"}},
	{"DeleteIdentity", []any{"a:0"}},
	{"DeleteAllIdentities", []any{"a"}},
}

// shared are the calls that write what all devices share, and carry no fence.
var shared = []call{
	{"PutLIDMapping", []any{hidden, chat}},
	{"PutManyLIDMappings", []any{[]store.LIDMapping{{LID: types.NewJID("9551", types.HiddenUserServer), PN: types.NewJID("5551", types.DefaultUserServer)}}}},
}

// reads are the calls that only read. The sessions' are in writes.
var reads = []call{
	{"IsTrustedIdentity", []any{"a:0", key}},
	{"HasSession", []any{"a:0"}},
	{"GetPreKey", []any{uint32(1)}},
	{"UploadedPreKeyCount", nil},
	{"GetSenderKey", []any{"group", "user"}},
	{"GetAppStateSyncKey", []any{[]byte("id")}},
	{"GetLatestAppStateSyncKeyID", nil},
	{"GetAllAppStateSyncKeys", nil},
	{"GetAppStateVersion", []any{"regular"}},
	{"GetAppStateMutationMAC", []any{"regular", key[:]}},
	{"GetContact", []any{hidden}},
	{"GetAllContacts", nil},
	{"GetChatSettings", []any{chat}},
	{"GetMessageSecret", []any{chat, chat, types.MessageID("one")}},
	{"GetPrivacyToken", []any{chat}},
	{"GetNCTSalt", nil},
	{"GetBufferedEvent", []any{key}},
	{"GetOutgoingEvent", []any{chat, hidden, types.MessageID("out")}},
	{"GetPNForLID", []any{types.NewJID("9559", types.HiddenUserServer)}},
	{"GetLIDForPN", []any{types.NewJID("5559", types.DefaultUserServer)}},
	{"GetManyLIDsForPNs", []any{[]types.JID{types.NewJID("5558", types.DefaultUserServer)}}},
}

// run makes the call and returns its error.
func (c call) run(ctx context.Context, s *deviceStore) error {
	switch c.name {
	case "PutMany":
		if _, err := s.GetManySessions(ctx, []string{"a:0"}); err != nil {
			return err
		}
		return s.PutManySessions(ctx, map[string][]byte{"a:0": []byte("many")})
	case "Put":
		if _, err := s.GetSession(ctx, "a:0"); err != nil {
			return err
		}
		return s.PutSession(ctx, "a:0", []byte("one"))
	case "State":
		if err := s.PutAppStateVersion(ctx, "regular", 1, [128]byte{}); err != nil {
			return err
		}
		return s.PutAppStateMutationMACs(ctx, "regular", 1, []store.AppStateMutationMAC{{IndexMAC: key[:], ValueMAC: key[:]}})
	case "Decrypt":
		return s.DoDecryptionTxn(ctx, func(ctx context.Context) error { return s.PutSession(ctx, "a:0", []byte("decrypted")) })
	}
	in := []reflect.Value{reflect.ValueOf(ctx)}
	for _, a := range c.args {
		in = append(in, reflect.ValueOf(a))
	}
	out := reflect.ValueOf(s).MethodByName(c.name).Call(in)
	err, _ := out[len(out)-1].Interface().(error)
	return err
}

// all is every call there is.
func all() []call { return append(append(append([]call(nil), writes...), shared...), reads...) }

func TestTheListsOfCallsAreComplete(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{"GetSession": true, "PutSession": true, "GetManySessions": true, "PutManySessions": true, "DoDecryptionTxn": true, "PutAppStateVersion": true}
	for _, c := range all() {
		listed[c.name] = true
	}
	for _, c := range reads {
		if !strings.HasPrefix(c.name, "Get") && c.name != "IsTrustedIdentity" && c.name != "HasSession" && c.name != "UploadedPreKeyCount" {
			t.Errorf("%s does not sound like a read", c.name)
		}
	}
	stores := reflect.TypeFor[store.AllStores]()
	for i := range stores.NumMethod() {
		if name := stores.Method(i).Name; !listed[name] {
			t.Errorf("%s is in no list", name)
		}
	}
}
