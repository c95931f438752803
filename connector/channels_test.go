package connector

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// channelBy makes a channel of a phone's, which others follow.
func (b *bench) channelBy(number string, followers ...string) (id string) {
	b.Helper()
	made, err := b.sandbox.CreateChannel(b.ctx(), number, whatsmeow.CreateNewsletterParams{Name: "News"})
	if err != nil {
		b.Fatal(err)
	}
	if err := b.sandbox.AddFollowers(b.ctx(), made.ID, followers...); err != nil {
		b.Fatal(err)
	}
	return made.ID
}

// post accepts a text for a channel as the API does.
func (b *bench) post(session, channel, text string) uuid.UUID {
	b.Helper()
	id := events.NewID()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		content, _ := json.Marshal(events.Content{Type: events.ContentText, Text: text})
		_, err := tx.Exec(b.ctx(), `INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
			VALUES ($1, $2, $3, $4, 'outgoing', 'queued', 'text', $5, now())`, id, session, channel, "3EB0"+id.String()[:8]+id.String()[30:], content)
		if err != nil {
			return err
		}
		return events.SendMessage(tx, events.SendCommand{MessageID: id, SessionID: session})
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// posted are the texts of a channel's posts, the oldest first.
func (b *bench) posted(number, channel string) (texts []string) {
	b.Helper()
	list, err := b.sandbox.ChannelMessages(b.ctx(), number, channel, 100, 0)
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range list {
		texts = append(texts, m.Text)
	}
	return texts
}

// follows makes a phone follow a channel, and waits until the session of its account knows it.
func (b *bench) follows(session, number, channel string) {
	b.Helper()
	if err := b.sandbox.FollowChannel(b.ctx(), number, channel); err != nil {
		b.Fatal(err)
	}
	b.await("the channel to be known", func() bool {
		return one[int](b, `SELECT count(*)::int FROM channels WHERE session_id = $1 AND id = $2`, session, channel) == 1
	})
}

// A post is in its channel once, with its number here, wherever the connector dies.
func TestAPostIsMadeOnceWhereverAConnectorDies(t *testing.T) {
	t.Parallel()
	for name, trigger := range map[string]string{
		"answered, and not written":              `BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.status = 'sent')`,
		"written, and the command not completed": `BEFORE DELETE ON queue_messages FOR EACH ROW WHEN (OLD.lane LIKE 'commands/%/send')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
			c := b.connector(same)
			b.linked("sales", owner)
			channel := b.channelBy(owner)
			g := b.gate(trigger)
			g.shut()
			id := b.post("sales", channel, "hello all")
			g.await()
			g.kill(c)
			g.open()
			c = b.connector(same)
			b.awaitStatus(id, events.StatusSent)
			after := b.post("sales", channel, "and more")
			b.awaitStatus(after, events.StatusSent)
			if got := b.posted(owner, channel); !slices.Equal(got, []string{"hello all", "and more"}) {
				t.Errorf("the channel has %q", got)
			}
			sent := b.events(events.MessageSent)
			if len(sent) != 2 || sent[0].Data.Message.ServerID == 0 || sent[1].Data.Message.ServerID != sent[0].Data.Message.ServerID+1 {
				t.Errorf("told %+v", sent)
			}
			// What a list shows of them is what was sent, and not somebody else's.
			page, err := b.running(c, "sales").listPosts(b.ctx(), events.PostsQuestion{ChannelID: channel, Limit: 10})
			if err != nil || len(page.Data) != 2 || page.Data[1].ID != events.MessagePrefix.Format(id) || one[int](b, `SELECT count(*)::int FROM messages`) != 2 {
				t.Errorf("listed %+v, %v", page.Data, err)
			}
			if n := one[int](b, `SELECT (context ->> 'serverId')::int FROM messages WHERE id = $1`, id); n != sent[0].Data.Message.ServerID {
				t.Errorf("it is kept as number %d", n)
			}
		})
	}
}

// A channel is made once, and told once, although its connector died when WhatsApp had made it.
func TestAChannelIsMadeOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
	c := b.connector(same)
	b.linked("sales", owner)
	b.channelBy(owner) // of this name, too, and not by this change
	g := b.gate(`BEFORE UPDATE ON changes FOR EACH ROW WHEN (NEW.status = 'done')`)
	other := b.change("sales", events.CreateChannel.Kind, "", events.ChannelUpdate{Name: new("Weather")}, time.Hour)
	if got := b.changed(other); got != "done" {
		t.Fatal(got)
	}
	g.shut()
	id := b.change("sales", events.CreateChannel.Kind, "", events.ChannelUpdate{Name: new("Weather")}, time.Hour)
	g.await()
	g.kill(c)
	g.open()
	b.connector(same)
	if got := b.changed(id); got != "done" {
		t.Fatal(got)
	}
	list, err := b.sandbox.Channels(b.ctx(), owner)
	if err != nil {
		t.Fatal(err)
	}
	weather := slices.DeleteFunc(list, func(ch sandbox.Channel) bool { return ch.Name != "Weather" })
	made := many[string](b, `SELECT DISTINCT result ->> 'id' FROM changes`)
	if len(weather) != 2 || len(made) != 2 {
		t.Errorf("%d channels were made, and %d changes made one", len(weather), len(made))
	}
	if n := one[int](b, `SELECT count(*)::int FROM queue_messages WHERE metadata ->> 'type' = 'channel.updated' AND convert_from(payload, 'UTF8') LIKE '%Weather%'`); n != 2 {
		t.Errorf("told %d times", n)
	}
}

// A post whose acknowledgement was lost comes again, and is told once.
func TestAPostThatComesIsToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
	c := b.connector(same)
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	channel := b.channelBy(juan)
	b.follows("sales", owner, channel)
	g := b.gate(`BEFORE INSERT ON queue_messages FOR EACH ROW WHEN (NEW.lane LIKE 'events/%newsletter%')`)
	g.shut()
	id, number, err := b.sandbox.PostToChannel(b.ctx(), juan, channel, sandbox.ChannelPost{Type: "text", Text: "hello all"})
	if err != nil {
		t.Fatal(err)
	}
	g.await()
	g.kill(c) // nothing is kept
	g.open()
	c = b.connector(same)
	b.await("the post", func() bool { return len(b.events(events.ChannelMessage)) == 1 && b.sandbox.Queued(owner) == 0 })
	m := b.events(events.ChannelMessage)[0].Data.Message
	if m.WhatsAppID != id || m.ServerID != number || m.Content.Text != "hello all" || m.From.ID != channel || m.From.Name != "News" {
		t.Errorf("told %+v", m)
	}
	conn := b.running(c, "sales")
	again := &waevents.Message{
		Info:       types.MessageInfo{MessageSource: types.MessageSource{Chat: jidOf(t, channel), Sender: jidOf(t, channel)}, ID: id, ServerID: number, Timestamp: m.Timestamp},
		RawMessage: &waE2E.Message{Conversation: proto.String("hello all")},
	}
	if !conn.handle(again.UnwrapRaw()) {
		t.Fatal("it was not taken")
	}
	if n := len(b.events(events.ChannelMessage)); n != 1 {
		t.Errorf("told %d times", n)
	}
	// What a list has shown first is told when it comes.
	if _, err := conn.listPosts(b.ctx(), events.PostsQuestion{ChannelID: channel, Limit: 10}); err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE messages SET history = true`)
	if !conn.handle(again.UnwrapRaw()) || len(b.events(events.ChannelMessage)) != 2 {
		t.Errorf("told %d times", len(b.events(events.ChannelMessage)))
	}
	if n := one[int](b, `SELECT count(*)::int FROM messages WHERE chat_id = $1`, channel); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func jidOf(t *testing.T, id string) types.JID {
	t.Helper()
	jid, err := types.ParseJID(id)
	if err != nil {
		t.Fatal(err)
	}
	return jid
}

// running is the connection of a session.
func (b *bench) running(c *Connector, session string) (conn *connection) {
	b.Helper()
	b.await("a connection of "+session, func() bool {
		if s := c.session(session); s != nil {
			conn = s.sender()
		}
		return conn != nil
	})
	return conn
}

// Whatever an admin of a channel posts, the process lives and what follows arrives.
func TestHostilePostsStopNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	channel := b.channelBy(juan)
	b.follows("sales", owner, channel)
	conn := b.running(c, "sales")
	n := 0
	takes := func(info types.MessageInfo, m *waE2E.Message, meta *waevents.NewsletterMessageMeta) {
		t.Helper()
		if n++; info.ID == "" {
			info.ID = "POST" + strings.Repeat("X", n)
		}
		info.Chat, info.Sender = jidOf(t, channel), jidOf(t, channel)
		if !conn.handle((&waevents.Message{Info: info, RawMessage: m, NewsletterMeta: meta}).UnwrapRaw()) {
			t.Fatalf("post %d was not taken", n)
		}
	}
	short, file := []byte{1, 2, 3}, make([]byte, 32)
	for _, m := range []*waE2E.Message{
		{}, {Conversation: proto.String("\x00\xff")}, {Conversation: proto.String(strings.Repeat("x", 1<<20))}, {ImageMessage: &waE2E.ImageMessage{}},
		{ImageMessage: &waE2E.ImageMessage{FileSHA256: short, DirectPath: proto.String("/v")}}, {DocumentMessage: &waE2E.DocumentMessage{FileSHA256: file, DirectPath: proto.String("")}},
		{VideoMessage: &waE2E.VideoMessage{FileSHA256: file, DirectPath: proto.String("/v\x00"), FileLength: proto.Uint64(1 << 63), MediaKey: short}},
		{AudioMessage: &waE2E.AudioMessage{FileSHA256: file, DirectPath: proto.String("/\xffv?x"), Mimetype: proto.String("a\x00b")}},
		{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_HISTORY_SYNC_NOTIFICATION.Enum(), HistorySyncNotification: &waE2E.HistorySyncNotification{}}},
		{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_EPHEMERAL_SETTING.Enum(), EphemeralExpiration: proto.Uint32(5)}},
		{PollUpdateMessage: &waE2E.PollUpdateMessage{}}, {ReactionMessage: &waE2E.ReactionMessage{}}, {EphemeralMessage: &waE2E.FutureProofMessage{}},
	} {
		takes(types.MessageInfo{ServerID: -5}, m, nil)
		for _, edit := range []types.EditAttribute{types.EditAttributeAdminEdit, types.EditAttributeAdminRevoke} {
			takes(types.MessageInfo{Edit: edit}, m, &waevents.NewsletterMessageMeta{}) // of posts that nobody has
		}
	}
	for _, id := range []string{"\x00", strings.Repeat("x", 300), "\xff"} {
		takes(types.MessageInfo{ID: id}, &waE2E.Message{Conversation: proto.String("x")}, nil)
	}
	counts := map[string]int{"": 1, "\x00": 2, strings.Repeat("x", 500): 3, "👍": -1}
	for i := range 200 {
		counts["x"+string(rune('a'+i%26))+string(rune('a'+i/26))] = i + 1
	}
	live := &waevents.NewsletterLiveUpdate{JID: jidOf(t, channel), Messages: []*types.NewsletterMessage{{}, {MessageServerID: -1}, {MessageServerID: 1, MessageID: "\x00", ViewsCount: -3, ReactionCounts: counts}}}
	for range 300 {
		live.Messages = append(live.Messages, &types.NewsletterMessage{MessageServerID: 2})
	}
	for _, e := range []any{
		live, &waevents.NewsletterLiveUpdate{}, &waevents.NewsletterLeave{}, &waevents.NewsletterMuteChange{}, &waevents.NewsletterJoin{},
		&waevents.NewsletterJoin{NewsletterMetadata: types.NewsletterMetadata{ID: types.NewJID("5", types.NewsletterServer), ThreadMeta: types.NewsletterThreadMetadata{
			Name: types.NewsletterText{Text: "\x00" + strings.Repeat("\xff", 5000)}, SubscriberCount: -1, InviteCode: "\x00", Picture: &types.ProfilePictureInfo{DirectPath: "\x00"},
		}}},
	} {
		if !conn.handle(e) {
			t.Fatalf("%T was not taken", e)
		}
	}
	told := many[[]byte](b, `SELECT payload FROM queue_messages WHERE metadata ->> 'type' = 'channel.counts'`)
	var counted struct{ Data events.ChannelCountsData }
	if len(told) != 1 || json.Unmarshal(told[0], &counted) != nil {
		t.Fatalf("%d events of counts", len(told))
	}
	first := counted.Data.Posts[0]
	if len(counted.Data.Posts) != maxCounted-2 || first.Views != 0 || first.WhatsAppID != "" || len(first.ReactionCounts) != maxCodes || first.ReactionCounts[0].Count != 200 {
		t.Errorf("%d posts, of which the first is %+v", len(counted.Data.Posts), first)
	}
	if _, _, err := b.sandbox.PostToChannel(b.ctx(), juan, channel, sandbox.ChannelPost{Type: "text", Text: "what follows"}); err != nil {
		t.Fatal(err)
	}
	b.await("what follows", func() bool { return slices.Contains(b.texts(events.ChannelMessage), "what follows") })
}

// An answer that WhatsApp gave before something newer was noted does not undo it.
func TestAnOldAnswerDoesNotUndoWhatWasNoted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	conn := b.running(c, "sales")
	muted := true
	ch := events.Channel{ID: "120363000000000009@newsletter", Name: "News", Role: events.RoleSubscriber, Muted: &muted}
	known := func() (n int) { return one[int](b, `SELECT count(*)::int FROM channels WHERE id = $1`, ch.ID) }
	asked := conn.channels.now()
	conn.channels.note()
	conn.learntChannels(b.ctx(), asked, ch)
	if known() != 0 {
		t.Error("it was kept")
	}
	conn.learntChannels(b.ctx(), conn.channels.now(), ch)
	if known() != 1 {
		t.Error("it was not kept")
	}
}
