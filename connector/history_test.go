package connector

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/proto/waWeb"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// parts are the ends of parts of the history that were told, by kind: how many messages each had.
func (b *bench) parts(kind string) []int {
	b.Helper()
	return many[int](b, `SELECT (convert_from(payload, 'UTF8')::json->'data'->>'messages')::int FROM queue_messages
		WHERE lane LIKE 'events/%' AND metadata->>'type' = 'history.synced' AND convert_from(payload, 'UTF8')::json->'data'->>'kind' = $1 ORDER BY id`, kind)
}

func TestAPartOfTheHistoryIsStoredOnceWhereverItsProcessDies(t *testing.T) {
	t.Parallel()
	for _, point := range []struct{ name, trigger string }{
		{"before it is noted", `BEFORE INSERT ON history_parts FOR EACH ROW`},
		{"in the middle", `BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.whatsapp_id = '5EED199900000010000000100')`},
		{"at its end", `BEFORE UPDATE ON history_parts FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL AND OLD.messages > 700)`},
		{"after its end", `BEFORE DELETE ON queue_messages FOR EACH ROW WHEN (OLD.lane LIKE 'commands/%/history')`},
	} {
		for _, another := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, another %t", point.name, another), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
				c := b.connector(same)
				b.phone(owner, "Owner")
				seed := sandbox.HistorySeed{Chats: 2, Messages: 400}
				if err := b.sandbox.SetHistory(b.ctx(), owner, sandbox.HistorySettings{Mode: "media", Messages: 1000, Seed: seed}); err != nil {
					t.Fatal(err)
				}
				g := b.gate(point.trigger)
				g.shut()
				b.createSession("sales")
				b.scan("sales", owner)
				g.await()
				g.kill(c)
				g.open()
				if another {
					b.exec(`UPDATE claims SET expires_at = now()`)
					b.connector(func(c *Config) { c.Owner = "second" })
				} else {
					b.connector(same)
				}
				b.await("the history", func() bool {
					return len(b.parts("recent")) > 0 && one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE lane = 'commands/sales/history'`) == 0
				})
				if initial, recent := b.parts("initial"), b.parts("recent"); !slices.Equal(initial, []int{20}) || !slices.Equal(recent, []int{780}) {
					t.Errorf("told of %v and %v messages", initial, recent)
				}
				if n := one[int](b, `SELECT count(*)::int FROM messages WHERE history`); n != 800 {
					t.Errorf("%d messages", n)
				}
				if texts := many[string](b, `SELECT content->>'text' FROM messages WHERE chat_id = '19990000001@s.whatsapp.net' ORDER BY id`); len(texts) != 400 ||
					texts[0] != "message 1 of Contact 2" || texts[150] != "message 151 of Contact 2" || texts[399] != "message 400 of Contact 2" {
					t.Errorf("out of order: %q", texts)
				}
				if told := b.events(events.MessageReceived, events.MessageSent); len(told) > 0 {
					t.Errorf("told as live: %v", told)
				}
				if n := one[int](b, `SELECT count(*)::int FROM history_parts WHERE notification IS NOT NULL OR finished_at IS NULL`); n != 0 {
					t.Errorf("%d parts are open", n)
				}
			})
		}
	}
}

// offer is a part of a history as the phone offers it, within its message.
func offer(t *testing.T, own types.JID, id string, past *waHistorySync.HistorySync) *waevents.Message {
	t.Helper()
	var packed bytes.Buffer
	if past != nil {
		plain, err := proto.Marshal(past)
		if err != nil {
			t.Fatal(err)
		}
		w := zlib.NewWriter(&packed)
		_, _ = w.Write(plain)
		_ = w.Close()
	} else {
		packed.WriteString("garbage")
	}
	own.Device = 0
	return &waevents.Message{
		Info: types.MessageInfo{ID: id, Category: "peer", MessageSource: types.MessageSource{Chat: own, Sender: own, IsFromMe: true}},
		Message: &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
			Type:                    waE2E.ProtocolMessage_HISTORY_SYNC_NOTIFICATION.Enum(),
			HistorySyncNotification: &waE2E.HistorySyncNotification{InitialHistBootstrapInlinePayload: packed.Bytes()},
		}},
	}
}

func TestWhatTheHistorySays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(owner, "Owner")
	if err := b.sandbox.SetHistory(b.ctx(), owner, sandbox.HistorySettings{Mode: "none"}); err != nil {
		t.Fatal(err)
	}
	b.createSession("sales")
	b.scan("sales", owner)
	conn := c.session("sales").sender()
	const lid, group = "123450000000001@lid", "120363000000000001@g.us"
	message := func(chat, id, text string, at time.Time, change func(*waWeb.WebMessageInfo)) *waHistorySync.HistorySyncMsg {
		m := &waWeb.WebMessageInfo{
			Key: &waCommon.MessageKey{RemoteJID: &chat, ID: &id, FromMe: proto.Bool(false)}, MessageTimestamp: proto.Uint64(uint64(at.Unix())),
			Message: &waE2E.Message{Conversation: &text},
		}
		if change != nil {
			change(m)
		}
		return &waHistorySync.HistorySyncMsg{Message: m}
	}
	before := time.Now().Add(-time.Hour).Truncate(time.Second)
	chat := juan + "@" + events.PhoneServer
	past := &waHistorySync.HistorySync{
		SyncType: waHistorySync.HistorySync_INITIAL_BOOTSTRAP.Enum(), Progress: proto.Uint32(40),
		Conversations: []*waHistorySync.Conversation{
			{
				ID: proto.String(lid), PnJID: &chat, UnreadCount: proto.Uint32(3), Archived: proto.Bool(true), MuteEndTime: proto.Uint64(^uint64(0)),
				EphemeralExpiration: proto.Uint32(604800), Name: proto.String("Juan\x00"), LastMsgTimestamp: proto.Uint64(uint64(before.Unix())),
				Messages: []*waHistorySync.HistorySyncMsg{
					message(lid, "PAST1", "one", before, func(m *waWeb.WebMessageInfo) {
						m.Starred = proto.Bool(true)
						m.Reactions = []*waWeb.Reaction{
							{Key: &waCommon.MessageKey{FromMe: proto.Bool(true)}, Text: proto.String("👍"), SenderTimestampMS: proto.Int64(before.UnixMilli())},
							{Key: &waCommon.MessageKey{FromMe: proto.Bool(true)}, Text: proto.String("❤️"), SenderTimestampMS: proto.Int64(before.UnixMilli() - 5)},
						}
					}),
					message(lid, "PAST2", "two", before.Add(time.Second), func(m *waWeb.WebMessageInfo) {
						m.Key.FromMe, m.Status = proto.Bool(true), waWeb.WebMessageInfo_READ.Enum()
					}),
					message(lid, "FUTURE", "three", time.Now().Add(100*365*24*time.Hour), nil),
					message(lid, "", "no id", before, nil),
					{Message: &waWeb.WebMessageInfo{Key: &waCommon.MessageKey{ID: proto.String("STUB"), RemoteJID: proto.String(lid)}, MessageTimestamp: proto.Uint64(1)}},
				},
			},
			{
				ID: proto.String(group), Name: proto.String("Crew"), Pinned: proto.Uint32(uint32(before.Unix())), MarkedAsUnread: proto.Bool(true),
				Messages: []*waHistorySync.HistorySyncMsg{
					message(group, "G1", "hello", before, func(m *waWeb.WebMessageInfo) { m.Participant, m.PushName = proto.String(lid), proto.String("Juan P.") }),
					message(group, "G2", "from nobody", before, nil),
				},
			},
			{ID: proto.String("status@broadcast")}, {ID: proto.String("120@newsletter")}, {ID: proto.String("\x00")}, {ID: proto.String("")},
		},
		PhoneNumberToLidMappings: []*waHistorySync.PhoneNumberToLIDMapping{{PnJID: &chat, LidJID: proto.String(lid)}},
	}
	own := *conn.device.ID
	stranger := offer(t, own, "STRANGER", past)
	stranger.Info.IsFromMe = false
	companion := offer(t, own, "COMPANION", past)
	companion.Info.Sender.Device = 7
	for _, e := range []*waevents.Message{stranger, companion, offer(t, own, "BROKEN", nil), offer(t, own, "PART", past), offer(t, own, "PART", past), offer(t, own, "LAST", past)} {
		if !conn.handle(e) {
			t.Fatalf("%s was not taken", e.Info.ID)
		}
	}
	b.await("all parts", func() bool { return len(b.parts("initial")) == 3 })
	if got := many[string](b, `SELECT d->>'kind' || ' ' || (d->>'missing') FROM (SELECT convert_from(payload, 'UTF8')::json->'data' AS d FROM queue_messages
		WHERE lane LIKE 'events/%' AND metadata->>'type' = 'history.synced') e WHERE d->>'missing' <> ''`); !slices.Equal(got, []string{"initial unreadable"}) {
		t.Errorf("given up were %q", got)
	}
	if got := b.parts("initial"); !slices.Equal(got, []int{0, 4, 0}) {
		t.Errorf("told of %v messages", got)
	}
	if got := many[string](b, `SELECT whatsapp_id || ' ' || (error <> '') FROM history_parts WHERE finished_at IS NOT NULL ORDER BY created_at`); !slices.Equal(got, []string{"BROKEN true", "PART false", "LAST false"}) {
		t.Errorf("the parts are %q", got)
	}
	want := []string{
		chat + " archived unread=3 timer=604800 muted",
		group + " pinned marked unread=0 timer=0",
	}
	if got := many[string](b, `SELECT id || CASE WHEN archived THEN ' archived' ELSE '' END || CASE WHEN pinned_at IS NOT NULL THEN ' pinned' ELSE '' END ||
		CASE WHEN marked_unread THEN ' marked' ELSE '' END || ' unread=' || unread || ' timer=' || disappearing_seconds ||
		CASE WHEN muted_until > now() + interval '1000 years' THEN ' muted' ELSE '' END FROM chats ORDER BY archived DESC`); !slices.Equal(got, want) {
		t.Errorf("the chats are %q, want %q", got, want)
	}
	want = []string{
		chat + " PAST1 incoming delivered " + chat + " star", chat + " PAST2 outgoing read ", chat + " FUTURE incoming delivered " + chat, group + " G1 incoming delivered " + chat,
	}
	if got := many[string](b, `SELECT chat_id || ' ' || whatsapp_id || ' ' || direction || ' ' || status || ' ' || sender_id || CASE WHEN starred THEN ' star' ELSE '' END
		FROM messages WHERE raw IS NOT NULL ORDER BY chat_id = $1, id`, group); !slices.Equal(got, want) {
		t.Errorf("the messages are %q, want %q", got, want)
	}
	if n := one[int](b, `SELECT count(*)::int FROM messages WHERE timestamp > now()`); n > 0 {
		t.Error("a message is from the future")
	}
	if got := many[string](b, `SELECT emoji FROM reactions`); !slices.Equal(got, []string{"👍"}) {
		t.Errorf("the reactions are %q", got)
	}
	if got := many[string](b, `SELECT name FROM contacts ORDER BY name`); !slices.Equal(got, []string{"Crew", "Juan\uFFFD"}) {
		t.Errorf("the names are %q", got)
	}

	// A message that comes live although the history had it is told.
	live := &waevents.Message{
		Info: types.MessageInfo{ID: "PAST1", Timestamp: before, MessageSource: types.MessageSource{
			Chat: types.NewJID(juan, types.DefaultUserServer), Sender: types.NewJID(juan, types.DefaultUserServer),
		}},
		Message: &waE2E.Message{Conversation: proto.String("one")},
	}
	for range 2 {
		if !conn.handle(live) {
			t.Fatal("it was not taken")
		}
	}
	if told := b.events(events.MessageReceived); len(told) != 1 || told[0].Data.Message.History || told[0].Data.Message.WhatsAppID != "PAST1" {
		t.Errorf("told %+v", told)
	}
	if n := one[int](b, `SELECT unread FROM chats WHERE id = $1`, chat); n != 3 {
		t.Errorf("%d are unread", n)
	}
}

func TestIDsOfTheHistoryAreInTheOrderOfTime(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	var ids []string
	for i := range 5 {
		ids = append(ids, pastID(at, uint64(i)).String())
	}
	ids = append(ids, pastID(at.Add(time.Second), 0).String(), events.NewID().String())
	if !slices.IsSorted(ids) {
		t.Errorf("%q", ids)
	}
	if id := pastID(at, 9); id.Version() != 7 || id.Variant() != events.NewID().Variant() || !events.MadeAt(id).Equal(at) {
		t.Errorf("%s is version %d of %s", id, id.Version(), events.MadeAt(id))
	}
}

func TestAPartOfTheHistoryThatIsGoneIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	chat := juan + "@" + events.PhoneServer
	b.exec(`INSERT INTO changes (id, session_id, kind, target, chat_id, parameters, status, expires_at, finished_at)
		VALUES (gen_random_uuid(), 'sales', $1, $2, $2, '{"whatsappId": "3EB0ASKED"}', 'done', now(), now())`, events.AskHistory.Kind, chat)
	conn := c.session("sales").sender()
	part := func(id, request string, kind waE2E.HistorySyncType) *waevents.Message {
		m := offer(t, *conn.device.ID, id, nil)
		hash := bytes.Repeat([]byte{7}, 32)
		m.Message.ProtocolMessage.HistorySyncNotification = &waE2E.HistorySyncNotification{
			SyncType: kind.Enum(), Progress: proto.Uint32(70), DirectPath: proto.String("/v/t62.7114-24/gone?hash=x"), MediaKey: hash, FileSHA256: hash,
			FileEncSHA256: hash, FileLength: proto.Uint64(100), PeerDataRequestSessionID: &request,
		}
		return m
	}
	for _, m := range []*waevents.Message{part("GONE1", "3EB0ASKED", waE2E.HistorySyncType_ON_DEMAND), part("GONE2", "", waE2E.HistorySyncType_RECENT)} {
		if !conn.handle(m) {
			t.Fatalf("%s was not taken", m.Info.ID)
		}
	}
	gone := func() []string {
		return many[string](b, `SELECT concat_ws(' ', d->>'kind', d->>'progress', d->>'missing', d->>'messages', d->>'chatId') FROM (SELECT id,
			convert_from(payload, 'UTF8')::json->'data' AS d FROM queue_messages WHERE lane LIKE 'events/%' AND metadata->>'type' = 'history.synced') e
			WHERE d->>'missing' <> '' ORDER BY id`)
	}
	b.await("both parts", func() bool { return len(gone()) == 2 })
	if got := gone(); !slices.Equal(got, []string{"on_demand 70 gone 0 " + chat, "recent 70 gone 0"}) {
		t.Errorf("told %q", got)
	}
}
