package keystore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testdb"
)

// A step is one call of a store, by name, or one of those that run knows beside them.
type step struct {
	name string
	args []any
}

func do(name string, args ...any) step { return step{name, args} }

var (
	pn    = types.NewJID("5550", types.DefaultUserServer)
	lid   = types.NewJID("7550", types.HiddenUserServer)
	other = types.NewJID("5551", types.DefaultUserServer)
	group = types.NewJID("120363", types.GroupServer)
	key   = [32]byte{1}
	key2  = [32]byte{2}
	hash  = [128]byte{3}
)

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

// steps touch every method of whatsmeow's stores, which TestEveryCallIsCompared verifies, and the corners of each.
var steps = []step{
	do("IsTrustedIdentity", "5550:0", key), do("PutIdentity", "5550:0", key), do("PutIdentity", "5550:1", key), do("PutIdentity", "55501:0", key),
	do("IsTrustedIdentity", "5550:0", key), do("IsTrustedIdentity", "5550:0", key2), do("PutIdentity", "5550:0", key2), do("IsTrustedIdentity", "5550:0", key2),
	do("DeleteIdentity", "5550:1"), do("IsTrustedIdentity", "5550:1", key2), do("DeleteAllIdentities", "5550"), do("IsTrustedIdentity", "5550:0", key),
	do("IsTrustedIdentity", "55501:0", key2),

	do("HasSession", "5550:0"), do("GetSession", "5550:0"), do("Answer", "5550:0", "one"), do("GetSession", "5550:0"), do("HasSession", "5550:0"),
	do("Send", map[string][]byte{"5550:0": []byte("A"), "5550:2": []byte("B"), "55501:0": []byte("C"), "7550_1:2": []byte("old")}),
	do("GetManySessions", []string{"5550:0", "5550:2", "nobody:0"}), do("GetManySessions", []string{}), do("DeleteSession", "5550:0"), do("HasSession", "5550:0"),
	do("PutSenderKey", group.String(), "5550:2", []byte("sender")), do("PutIdentity", "5550:2", key), do("GetSenderKey", group.String(), "5550:2"),
	do("GetSenderKey", group.String(), "5550:3"),
	do("MigratePNToLID", pn, lid), do("GetManySessions", []string{"5550:2", "7550_1:2", "55501:0"}), do("GetSenderKey", group.String(), "7550_1:2"),
	do("GetSenderKey", group.String(), "5550:2"), do("IsTrustedIdentity", "7550_1:2", key2), do("IsTrustedIdentity", "5550:2", key2),
	do("Answer", "5550:2", "late"), do("MigratePNToLID", pn, lid), do("HasSession", "5550:2"),
	do("reload"), do("MigratePNToLID", pn, lid), do("GetSession", "7550_1:2"),
	do("DeleteAllSessions", "7550_1"), do("GetManySessions", []string{"7550_1:2", "55501:0"}),

	do("UploadedPreKeyCount"), do("GetPreKey", uint32(1)), do("GetOrGenPreKeys", uint32(0)), do("GetOrGenPreKeys", uint32(3)), do("GetOrGenPreKeys", uint32(2)),
	do("GetOrGenPreKeys", uint32(5)), do("GenOnePreKey"), do("UploadedPreKeyCount"), do("GetOrGenPreKeys", uint32(6)),
	do("MarkPreKeysAsUploaded", uint32(3)), do("UploadedPreKeyCount"), do("GetOrGenPreKeys", uint32(3)), do("MarkPreKeysAsUploaded", uint32(2)),
	do("UploadedPreKeyCount"), do("MarkPreKeysAsUploaded", uint32(100)), do("UploadedPreKeyCount"), do("reload"), do("UploadedPreKeyCount"),
	do("GetPreKey", uint32(2)), do("RemovePreKey", uint32(2)), do("GetPreKey", uint32(2)), do("RemovePreKey", uint32(2)), do("UploadedPreKeyCount"),
	do("RemovePreKey", uint32(7)), do("RemovePreKey", uint32(6)), do("GetOrGenPreKeys", uint32(2)), do("UploadedPreKeyCount"), do("GenOnePreKey"), do("UploadedPreKeyCount"),
	do("MarkPreKeysAsUploaded", uint32(6)), do("UploadedPreKeyCount"), do("reload"), do("UploadedPreKeyCount"), do("GetOrGenPreKeys", uint32(2)),

	do("GetLatestAppStateSyncKeyID"), do("GetAllAppStateSyncKeys"), do("GetAppStateSyncKey", []byte("id")),
	do("PutAppStateSyncKey", []byte("id"), store.AppStateSyncKey{Data: []byte("data"), Fingerprint: []byte("f"), Timestamp: 5}),
	do("PutAppStateSyncKey", []byte{0, 255, '/'}, store.AppStateSyncKey{Data: []byte("newer"), Fingerprint: []byte("f"), Timestamp: 9}),
	do("PutAppStateSyncKey", []byte("id"), store.AppStateSyncKey{Data: []byte("same age"), Fingerprint: []byte("f"), Timestamp: 5}),
	do("GetAppStateSyncKey", []byte("id")), do("GetLatestAppStateSyncKeyID"), do("GetAllAppStateSyncKeys"),
	do("PutAppStateSyncKey", []byte("id"), store.AppStateSyncKey{Data: []byte("newest"), Fingerprint: []byte("g"), Timestamp: 10}),
	do("GetLatestAppStateSyncKeyID"), do("GetAllAppStateSyncKeys"),

	do("GetAppStateVersion", "regular"), do("PutAppStateMutationMACs", "regular", uint64(1), []store.AppStateMutationMAC{{IndexMAC: key[:], ValueMAC: key[:]}}),
	do("PutAppStateVersion", "regular", uint64(1), hash), do("PutAppStateVersion", "regular_low", uint64(7), hash), do("GetAppStateVersion", "regular"),
	do("PutAppStateMutationMACs", "regular", uint64(1), []store.AppStateMutationMAC{{IndexMAC: key[:], ValueMAC: key[:]}, {IndexMAC: key2[:], ValueMAC: key[:]}}),
	do("PutAppStateMutationMACs", "regular_low", uint64(1), []store.AppStateMutationMAC{{IndexMAC: key[:], ValueMAC: key[:]}}),
	do("PutAppStateMutationMACs", "regular", uint64(1), []store.AppStateMutationMAC{{IndexMAC: key[:], ValueMAC: key2[:]}}),
	do("PutAppStateMutationMACs", "regular", uint64(3), []store.AppStateMutationMAC{{IndexMAC: key[:], ValueMAC: key2[:]}}),
	do("PutAppStateMutationMACs", "regular", uint64(2), []store.AppStateMutationMAC{{IndexMAC: key[:], ValueMAC: key[:]}}),
	do("PutAppStateMutationMACs", "regular", uint64(4), []store.AppStateMutationMAC{{IndexMAC: []byte("short"), ValueMAC: key[:]}}),
	do("PutAppStateMutationMACs", "regular", uint64(4), []store.AppStateMutationMAC{}),
	do("GetAppStateMutationMAC", "regular", key[:]), do("GetAppStateMutationMAC", "regular", key2[:]), do("DeleteAppStateMutationMACs", "regular", [][]byte{key[:]}),
	do("GetAppStateMutationMAC", "regular", key[:]), do("reload"), do("GetAppStateMutationMAC", "regular", key2[:]),
	do("DeleteAppStateMutationMACs", "regular", [][]byte{}), do("DeleteAppStateVersion", "regular"), do("GetAppStateVersion", "regular"),
	do("GetAppStateMutationMAC", "regular", key2[:]), do("GetAppStateMutationMAC", "regular_low", key[:]), do("GetAppStateVersion", "regular_low"),
	do("PutAppStateVersion", "zero", uint64(0), hash), do("GetAppStateVersion", "zero"),

	do("GetContact", lid), do("PutPushName", lid, ""), do("GetContact", lid), do("PutPushName", lid, "Ana"), do("PutPushName", lid, "Ana"), do("PutPushName", lid, "Anna"),
	do("PutBusinessName", lid, "Shop"), do("PutBusinessName", lid, "Shop"), do("PutContactName", lid, "first", "full"), do("PutContactName", pn, "", ""), do("GetContact", pn),
	do("GetContact", lid), do("PutAllContactNames", []store.ContactEntry{{JID: pn, FirstName: "a", FullName: "b"}, {JID: lid, FirstName: "c"}, {JID: pn, FirstName: "d"}}),
	do("PutAllContactNames", []store.ContactEntry{}), do("PutManyRedactedPhones", []store.RedactedPhoneEntry{{JID: lid, RedactedPhone: "+5∙∙"}, {JID: group, RedactedPhone: "x"}, {JID: group, RedactedPhone: "y"}}),
	do("PutManyRedactedPhones", []store.RedactedPhoneEntry{}), do("GetContact", pn), do("GetContact", lid), do("reload"), do("GetAllContacts"),
	do("PutPushName", types.NewJID("odd/user %", types.DefaultUserServer), "Odd"), do("GetContact", types.NewJID("odd/user %", types.DefaultUserServer)),

	do("GetChatSettings", pn), do("PutPinned", pn, true), do("GetChatSettings", pn), do("PutMutedUntil", pn, at(1e9)), do("PutArchived", pn, true), do("GetChatSettings", pn),
	do("PutMutedUntil", pn, store.MutedForever), do("PutPinned", pn, false), do("reload"), do("GetChatSettings", pn), do("PutMutedUntil", pn, time.Time{}), do("GetChatSettings", pn),
	do("PutArchived", group, false), do("GetChatSettings", group),

	do("GetPNForLID", lid), do("GetLIDForPN", pn), do("PutLIDMapping", lid, pn), do("GetPNForLID", withDevice(lid, 3)), do("GetLIDForPN", withDevice(pn, 4)),
	do("PutLIDMapping", pn, lid), do("GetLIDForPN", lid), do("GetPNForLID", pn),
	do("PutManyLIDMappings", []store.LIDMapping{{LID: types.NewJID("7551", types.HiddenUserServer), PN: other}, {LID: group, PN: pn}, {LID: lid, PN: pn}}),
	do("GetManyLIDsForPNs", []types.JID{pn, withDevice(other, 2), lid, types.NewJID("1", types.DefaultUserServer)}), do("GetManyLIDsForPNs", []types.JID{}), do("reload"),
	do("PutLIDMapping", types.NewJID("7552", types.HiddenUserServer), other), do("GetPNForLID", types.NewJID("7551", types.HiddenUserServer)), do("GetLIDForPN", other),
	do("reload"), do("GetPNForLID", types.NewJID("7551", types.HiddenUserServer)), do("PutLIDMapping", types.NewJID("7552", types.HiddenUserServer), types.NewJID("5552", types.DefaultUserServer)),
	do("GetLIDForPN", other), do("GetLIDForPN", types.NewJID("5552", types.DefaultUserServer)), do("reload"), do("GetLIDForPN", other),

	do("GetMessageSecret", pn, pn, "m1"), do("PutMessageSecret", withDevice(pn, 1), withDevice(pn, 2), "m1", []byte("s1")), do("PutMessageSecret", pn, pn, "m1", []byte("s2")),
	do("GetMessageSecret", pn, withDevice(pn, 9), "m1"), do("GetMessageSecret", lid, lid, "m1"), do("GetMessageSecret", group, pn, "m1"), do("GetMessageSecret", lid, other, "m1"),
	do("PutMessageSecrets", []store.MessageSecretInsert{{Chat: group, Sender: lid, ID: "m2", Secret: []byte("s3")}, {Chat: group, Sender: lid, ID: "m2", Secret: []byte("s4")}}),
	do("PutMessageSecrets", []store.MessageSecretInsert{}), do("reload"), do("GetMessageSecret", group, pn, "m2"), do("GetMessageSecret", group, lid, "m2"),

	do("GetPrivacyToken", pn), do("PutPrivacyTokens", store.PrivacyToken{User: withDevice(pn, 1), Token: []byte("t1"), Timestamp: at(10), SenderTimestamp: at(3)}),
	do("PutPrivacyTokens", store.PrivacyToken{User: pn, Token: []byte("older"), Timestamp: at(9)}), do("GetPrivacyToken", pn),
	do("PutPrivacyTokens", store.PrivacyToken{User: pn, Token: []byte("t2"), Timestamp: at(10)}, store.PrivacyToken{User: group, Token: []byte("g"), Timestamp: at(1)}),
	do("GetPrivacyToken", lid), do("PutPrivacyTokens", store.PrivacyToken{User: lid, Token: []byte("t3"), Timestamp: at(12)}), do("reload"), do("GetPrivacyToken", withDevice(pn, 5)),
	do("DeleteExpiredPrivacyTokens", at(11)), do("GetPrivacyToken", pn), do("GetPrivacyToken", group), do("DeleteExpiredPrivacyTokens", at(12)),

	do("GetNCTSalt"), do("PutNCTSalt", []byte("salt")), do("PutNCTSalt", []byte("salt2")), do("GetNCTSalt"), do("DeleteNCTSalt"), do("GetNCTSalt"), do("DeleteNCTSalt"),

	do("GetBufferedEvent", key), do("PutBufferedEvent", key, []byte("plain"), at(77)), do("GetBufferedEvent", key), do("reload"), do("PutBufferedEvent", key, []byte("again"), at(78)),
	do("ClearBufferedEventPlaintext", key), do("ClearBufferedEventPlaintext", key2), do("GetBufferedEvent", key), do("DeleteOldBufferedHashes"), do("GetBufferedEvent", key),
	do("GetOutgoingEvent", pn, lid, "o1"), do("AddOutgoingEvent", lid, "o1", "wa", []byte("one\x00two")), do("GetOutgoingEvent", pn, lid, "o1"),
	do("AddOutgoingEvent", lid, "o1", "fb", []byte("changed")), do("DeleteOldOutgoingEvents"), do("reload"), do("GetOutgoingEvent", lid, pn, "o1"), do("GetOutgoingEvent", pn, types.EmptyJID, "o1"),

	do("DoDecryptionTxn", false, []step{
		do("GetSession", "t:0"), do("PutSession", "t:0", []byte("inside")), do("GetSession", "t:0"), do("HasSession", "t:0"), do("PutSession", "t:1", []byte("gone")),
		do("DeleteSession", "t:1"), do("PutIdentity", "t:0", key), do("IsTrustedIdentity", "t:0", key2), do("RemovePreKey", uint32(4)), do("GetPreKey", uint32(4)),
		do("PutBufferedEvent", key2, []byte("text"), at(5)), do("GetBufferedEvent", key2), do("PutSenderKey", group.String(), "t:0", []byte("sk")),
	}),
	do("GetManySessions", []string{"t:0", "t:1"}), do("GetPreKey", uint32(4)), do("GetBufferedEvent", key2), do("UploadedPreKeyCount"),
	do("DoDecryptionTxn", true, []step{
		do("PutSession", "t:0", []byte("undone")), do("PutSession", "t:9", []byte("undone")), do("DeleteAllIdentities", "t"), do("IsTrustedIdentity", "t:0", key2),
		do("RemovePreKey", uint32(5)), do("PutSenderKey", group.String(), "t:0", []byte("undone")), do("ClearBufferedEventPlaintext", key2), do("DeleteAllSessions", "t"),
	}),
	do("GetManySessions", []string{"t:0", "t:9"}), do("GetPreKey", uint32(5)), do("IsTrustedIdentity", "t:0", key2), do("GetSenderKey", group.String(), "t:0"), do("GetBufferedEvent", key2),
	do("reload"), do("GetManySessions", []string{"t:0", "t:9"}), do("GetPreKey", uint32(4)), do("GetPreKey", uint32(5)), do("GetBufferedEvent", key2),
	do("Save", "A new name"), do("reload"), do("device"),
}

func withDevice(jid types.JID, device uint16) types.JID {
	jid.Device = device
	return jid
}

// runner makes the steps of one device and writes down the answers.
type runner struct {
	t       *testing.T
	device  *store.Device
	reload  func() *store.Device
	prekeys map[uint32]keys.PreKey // as they were made
	answers []string
}

var errRefused = errors.New("received message with old counter")

func (r *runner) run(ctx context.Context, s step) string {
	stores := r.device.Sessions.(store.AllStores)
	switch s.name {
	case "reload":
		r.device = r.reload()
		return ""
	case "device":
		d := r.device
		return fmt.Sprint(d.ID, d.LID, d.RegistrationID, d.PushName, d.Account, len(d.AdvSecretKey), d.Initialized, d.SignedPreKey.KeyID)
	case "Save":
		r.device.PushName = s.args[0].(string)
		return fmt.Sprint(r.device.Save(ctx))
	case "Answer":
		_, err := stores.GetSession(ctx, s.args[0].(string))
		return fmt.Sprint(errors.Join(err, stores.PutSession(ctx, s.args[0].(string), []byte(s.args[1].(string)))))
	case "Send":
		_, err := stores.GetManySessions(ctx, []string{"any:0"})
		return fmt.Sprint(errors.Join(err, stores.PutManySessions(ctx, s.args[0].(map[string][]byte))))
	case "DoDecryptionTxn":
		var inner []string
		err := stores.DoDecryptionTxn(ctx, func(ctx context.Context) error {
			for _, s := range s.args[1].([]step) {
				inner = append(inner, s.name+" "+r.run(ctx, s))
			}
			if s.args[0].(bool) {
				return errRefused
			}
			return nil
		})
		return fmt.Sprintf("%s, %v", inner, err)
	}
	in := []reflect.Value{reflect.ValueOf(ctx)}
	for _, a := range s.args {
		v := reflect.ValueOf(a)
		if v.Kind() == reflect.Slice { // sqlstore changes some of them
			v = reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v)
		}
		in = append(in, v)
	}
	var out []string
	for _, v := range reflect.ValueOf(stores).MethodByName(s.name).Call(in) {
		out = append(out, r.answer(v.Interface()))
	}
	return strings.Join(out, ", ")
}

func (r *runner) answer(v any) string {
	switch v := v.(type) {
	case error:
		if errors.Is(v, sql.ErrNoRows) {
			return "no rows"
		}
		r.device = r.reload() // PostgreSQL's errors break a signalstore's device
		return "refused"
	case *keys.PreKey:
		if v == nil {
			return "none"
		}
		made, known := r.prekeys[v.KeyID]
		if !known || *made.Pub != *v.Pub {
			r.prekeys[v.KeyID] = *v
			return fmt.Sprint("new ", v.KeyID, *v.Pub == *keys.NewKeyPairFromPrivateKey(*v.Priv).Pub)
		}
		return fmt.Sprint(v.KeyID)
	case []*keys.PreKey:
		var ids []string
		for _, k := range v {
			ids = append(ids, r.answer(k))
		}
		return fmt.Sprint(ids)
	case *store.BufferedEvent:
		if v == nil {
			return "none"
		}
		return fmt.Sprintf("%q %v %v %v", v.Plaintext, v.Plaintext == nil, v.ServerTime.Unix(), time.Since(v.InsertTime) < time.Hour)
	case types.LocalChatSettings:
		return fmt.Sprintf("%v %v %v %v", v.Found, v.Pinned, v.Archived, v.MutedUntil.Unix())
	case map[types.JID]types.JID:
		return fmt.Sprint(v)
	case []byte:
		return fmt.Sprintf("%q %v", v, v == nil)
	}
	text, err := json.Marshal(v)
	if err != nil {
		r.t.Errorf("%T: %v", v, err)
	}
	return string(text)
}

func (r *runner) all(ctx context.Context) []string {
	r.prekeys = make(map[uint32]keys.PreKey)
	r.device = r.reload()
	for i, s := range steps {
		answer := r.run(ctx, s)
		r.answers = append(r.answers, fmt.Sprintf("%d %s%.60v: %s", i, s.name, s.args, answer))
	}
	return r.answers
}

// The same calls have the same answers from sqlstore, from a keystore in memory, and from one on PostgreSQL that is opened again and again.
func TestAnswersAsSQLStoreDoes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	phone := keyed("111")
	copied := func() *store.Device {
		d := *phone
		return &d
	}
	signals, err := signalstore.Open(ctx, signalstore.Config{DSN: testdb.DSN(t), Schema: "whatsmeow", MaxConns: 2})
	must(t, err)
	defer signals.Close()
	must(t, signals.Upgrade(ctx))
	want := (&runner{t: t, reload: func() *store.Device {
		d, err := signals.Adopt(ctx, copied(), signalstore.Options{})
		must(t, err)
		return d
	}}).all(ctx)

	compare := func(name string, got []string) {
		t.Helper()
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s\n got %s\nwant %s", name, got[i], want[i])
			}
		}
	}
	memory := New(journal.NewMemory())
	compare("memory", (&runner{t: t, reload: func() *store.Device {
		d, err := memory.Adopt(ctx, copied(), Options{})
		must(t, err)
		return d
	}}).all(ctx))

	onDisk := openDurable(t)
	compare("PostgreSQL", (&runner{t: t, reload: func() *store.Device {
		onDisk.checkJournal()
		onDisk.reopen()
		d, err := onDisk.Adopt(ctx, copied(), Options{})
		must(t, err)
		return d
	}}).all(ctx))
	onDisk.checkJournal()
}

func TestEveryCallIsCompared(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{"PutManySessions": true}
	for _, s := range steps {
		listed[s.name] = true
		if s.name == "DoDecryptionTxn" {
			for _, inner := range s.args[1].([]step) {
				listed[inner.name] = true
			}
		}
	}
	stores := reflect.TypeFor[store.AllStores]()
	for i := range stores.NumMethod() {
		if name := stores.Method(i).Name; !listed[name] {
			t.Errorf("%s is in no step", name)
		}
	}
}
