package sandbox_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/testdb"
)

const carl = "5491100000003"

// scenario is a sandbox with three phones, and clients of whatsmeow that are linked to the first.
type scenario struct {
	*testing.T
	ctx  context.Context
	s    *sandbox.Sandbox
	make func() *companion
}

// found waits until a companion saw an event of a type that match accepts.
func found[E any](c *companion, what string, match func(E) bool) (event E) {
	c.t.Helper()
	c.await(what, func() bool {
		for _, evt := range c.other {
			if e, ok := evt.(E); ok && match(e) {
				event = e
				return true
			}
		}
		return false
	})
	return event
}

// says waits until a companion saw a message that match accepts.
func (c *companion) says(what string, match func(*events.Message) bool) (message *events.Message) {
	c.t.Helper()
	c.await(what, func() bool {
		for _, m := range c.messages {
			if match(m) {
				message = m
				return true
			}
		}
		return false
	})
	return message
}

// another is a client that is not linked yet; it tells of the state of chats when it fetches all of it, too.
func (s scenario) another() *companion {
	c := s.make()
	c.client.EmitAppStateEventsOnFullSync = true
	return c
}

func (s scenario) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// shows waits until a phone shows a message of a type and a text.
func (s scenario) shows(number, kind, text string) sandbox.Message {
	s.Helper()
	m, err := s.s.WaitMessage(s.ctx, number, func(m sandbox.Message) bool { return m.Type == kind && (text == "" || m.Text == text) })
	s.must(err)
	return m
}

// notices waits until a phone noticed an event whose data holds a text.
func (s scenario) notices(number, kind, data string) {
	s.Helper()
	_, err := s.s.WaitEvent(s.ctx, number, kind, func(e sandbox.Event) bool { return strings.Contains(string(e.Data), data) })
	s.must(err)
}

func jid(number string) types.JID { return types.NewJID(number, types.DefaultUserServer) }

// A day in the life of a linked client: pairing, conversation, groups with channels and calls, app state with history, on both kinds of
// stores, of the sandbox and of the clients.
func TestAWholeDay(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		s := sandbox.Start(t, sandbox.Config{Logger: quiet()})
		addr := strings.TrimPrefix(s.URL(), "http://")
		wholeDay(t, s, func() *companion {
			return (&companion{t: t, addr: addr}).with(keystore.New(journal.NewMemory()).NewDevice(keystore.Options{}))
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := testdb.DSN(t)
		s := sandbox.Start(t, sandbox.Config{DSN: dsn, Logger: quiet()})
		addr := strings.TrimPrefix(s.URL(), "http://")
		linked := wholeDay(t, s, func() *companion { return newCompanion(t, dsn, addr) })

		// The next day, with another process.
		s.Stop()
		again := sandbox.Start(t, sandbox.Config{DSN: dsn, Addr: addr, Logger: quiet()})
		if _, err := again.SendText(t.Context(), bert, anna, "good morning"); err != nil {
			t.Fatal(err)
		}
		linked.says("a text after the restart", func(m *events.Message) bool { return m.Message.GetConversation() == "good morning" })
		if groups, err := again.Groups(t.Context(), bert); err != nil || len(groups) != 1 || groups[0].Subject != "The three, at last" {
			t.Errorf("Bert's groups: %+v, %v", groups, err)
		}
	})
}

func wholeDay(t *testing.T, s *sandbox.Sandbox, another func() *companion) *companion {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	day := scenario{T: t, ctx: ctx, s: s, make: another}
	for number, name := range map[string]string{anna: "Anna", bert: "Bert", carl: "Carl"} {
		_, _, err := s.CreatePhone(ctx, sandbox.NewPhone{Number: number, Name: name})
		day.must(err)
	}
	linked := day.pairs()
	day.converses(linked)
	day.groups(linked)
	day.remembers(linked)
	if n := s.Stats().UnknownStanzas; n != 0 {
		t.Errorf("%d stanzas were unknown: %v", n, s.Stats().Stanzas)
	}
	return linked
}

// pairs links one client by code, and unlinks it again, and one by QR.
func (s scenario) pairs() *companion {
	other := s.another()
	other.wait()
	code, err := other.client.PairPhone(s.ctx, anna, true, whatsmeow.PairClientChrome, "Chrome (Linux)")
	s.must(err)
	_, err = s.s.EnterCode(s.ctx, anna, code)
	s.must(err)
	found(other, "the login by code", func(*events.Connected) bool { return true })
	other.await("all collections", func() bool { return synced(other) }) // whatsmeow's fetching and its losing its keys are a data race
	s.must(s.s.Unlink(s.ctx, anna))
	found(other, "the end of it", func(e *events.LoggedOut) bool { return !e.OnConnect })

	c := s.another()
	codes := c.wait()
	_, err = s.s.Scan(s.ctx, anna, codes[0])
	s.must(err)
	found(c, "the login by QR", func(*events.Connected) bool { return true })
	return c
}

func (s scenario) converses(c *companion) {
	sent, err := c.client.SendMessage(s.ctx, jid(bert), &waE2E.Message{Conversation: proto.String("hello Bert")})
	s.must(err)
	if m := s.shows(bert, "text", "hello Bert"); m.From != anna || m.ID != sent.ID {
		s.Errorf("Bert's phone shows %+v", m)
	}
	if m := s.shows(anna, "text", "hello Bert"); !m.FromMe || m.To != bert {
		s.Errorf("Anna's phone shows %+v", m)
	}
	s.must(retry(s.ctx, func() error { _, err := s.s.Read(s.ctx, bert, anna); return err }))
	c.await("the receipts", func() bool {
		read := false
		for _, r := range c.receipts {
			read = read || r.Type == types.ReceiptTypeRead && r.MessageIDs[0] == sent.ID
		}
		return read
	})

	picture := bytes.Repeat([]byte("picture"), 5000)
	up, err := c.client.Upload(s.ctx, picture, whatsmeow.MediaImage)
	s.must(err)
	_, err = c.client.SendMessage(s.ctx, jid(bert), &waE2E.Message{ImageMessage: &waE2E.ImageMessage{
		Caption: proto.String("look"), Mimetype: proto.String("image/jpeg"), URL: &up.URL, DirectPath: &up.DirectPath, MediaKey: up.MediaKey,
		FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256, FileLength: &up.FileLength,
	}})
	s.must(err)
	if m := s.shows(bert, "image", ""); m.Media == nil || m.Size != int64(len(picture)) || m.Caption != "look" {
		s.Errorf("Bert's phone shows %+v", m)
	}
	_, err = s.s.SendMedia(s.ctx, bert, sandbox.Outgoing{To: anna, Content: sandbox.Content{Type: "document"}}, bytes.NewReader(picture))
	s.must(err)
	document := c.says("a document", func(m *events.Message) bool { return m.Message.GetDocumentMessage() != nil })
	if got, err := c.client.Download(s.ctx, document.Message.GetDocumentMessage()); err != nil || !bytes.Equal(got, picture) {
		s.Errorf("%d bytes downloaded, %v", len(got), err)
	}

	_, err = c.client.SendMessage(s.ctx, jid(bert), c.client.BuildPollCreation("Lunch?", []string{"yes", "no"}, 1))
	s.must(err)
	poll := s.shows(bert, "poll", "")
	_, err = s.s.Send(s.ctx, bert, sandbox.Outgoing{To: anna, Content: sandbox.Content{
		Type: "pollVote", Target: &sandbox.Target{ID: poll.ID}, Selected: []string{"yes"},
	}})
	s.must(err)
	vote := c.says("the vote", func(m *events.Message) bool { return m.Message.GetPollUpdateMessage() != nil })
	if opened, err := c.client.DecryptPollVote(s.ctx, vote); err != nil || len(opened.GetSelectedOptions()) != 1 {
		s.Errorf("the vote is %v, %v", opened, err)
	}
	_, err = s.s.Send(s.ctx, bert, sandbox.Outgoing{To: anna, Content: sandbox.Content{
		Type: "reaction", Target: &sandbox.Target{ID: sent.ID}, Emoji: "👍",
	}})
	s.must(err)
	c.says("the reaction", func(m *events.Message) bool { return m.Message.GetReactionMessage().GetText() == "👍" })

	s.must(c.client.SendPresence(s.ctx, types.PresenceAvailable))
	s.must(c.client.SubscribePresence(s.ctx, jid(bert)))
	s.must(s.s.SetPresence(s.ctx, bert, true))
	found(c, "Bert's presence", func(e *events.Presence) bool { return !e.Unavailable })
	s.must(s.s.ChatState(s.ctx, bert, anna, "typing"))
	found(c, "Bert's typing", func(e *events.ChatPresence) bool { return e.State == types.ChatPresenceComposing })
	s.must(s.s.SetAbout(s.ctx, bert, "out to lunch"))
	if info, err := c.client.GetUserInfo(s.ctx, []types.JID{jid(bert)}); err != nil || info[jid(bert)].Status != "out to lunch" {
		s.Errorf("Bert is %+v, %v", info, err)
	}
	_, err = c.client.SendMessage(s.ctx, types.StatusBroadcastJID, &waE2E.Message{Conversation: proto.String("what a day")})
	s.must(err)
}

func (s scenario) groups(c *companion) {
	group, err := c.client.CreateGroup(s.ctx, whatsmeow.ReqCreateGroup{Name: "The three", Participants: []types.JID{jid(bert), jid(carl)}})
	s.must(err)
	_, err = c.client.SendMessage(s.ctx, group.JID, &waE2E.Message{Conversation: proto.String("hello both")})
	s.must(err)
	for _, number := range []string{bert, carl} {
		if m := s.shows(number, "text", "hello both"); m.Chat != group.JID.String() || m.From != anna {
			s.Errorf("phone %s shows %+v", number, m)
		}
	}
	_, err = s.s.SendText(s.ctx, carl, group.JID.String(), "hello all")
	s.must(err)
	c.says("Carl's text", func(m *events.Message) bool { return m.Message.GetConversation() == "hello all" && m.Info.IsGroup })
	s.must(c.client.SetGroupName(s.ctx, group.JID, "The three, at last"))
	s.notices(bert, "group", "at last")
	link, err := c.client.GetGroupInviteLink(s.ctx, group.JID, false)
	s.must(err)
	s.must(s.s.LeaveGroup(s.ctx, carl, group.JID.String()))
	found(c, "Carl leaving", func(e *events.GroupInfo) bool { return len(e.Leave) == 1 })
	_, _, err = s.s.JoinGroup(s.ctx, carl, sandbox.Invitation{Link: link})
	s.must(err)
	found(c, "Carl joining", func(e *events.GroupInfo) bool { return len(e.Join) == 1 })

	channel, err := c.client.CreateNewsletter(s.ctx, whatsmeow.CreateNewsletterParams{Name: "News"})
	s.must(err)
	s.must(s.s.FollowChannel(s.ctx, bert, channel.ID.String()))
	_, err = c.client.SendMessage(s.ctx, channel.ID, &waE2E.Message{Conversation: proto.String("the news")})
	s.must(err)
	s.notices(bert, "channel-message", "the news")

	call, err := s.s.Call(s.ctx, bert, anna, false)
	s.must(err)
	offer := found(c, "the call", func(e *events.CallOffer) bool { return e.CallID == call })
	s.must(c.client.RejectCall(s.ctx, offer.From, call))
	s.notices(bert, "call", "rejected")
}

func (s scenario) remembers(c *companion) {
	s.must(retry(s.ctx, func() error { return c.client.SendAppState(s.ctx, appstate.BuildMute(jid(bert), true, time.Hour)) }))
	s.notices(anna, "appState", "mute")
	s.must(s.s.ChangeState(s.ctx, anna, sandbox.StateChange{Action: "pin", Chat: bert, On: true}))
	found(c, "the pin", func(e *events.Pin) bool { return e.Action.GetPinned() })

	late := s.another()
	codes := late.wait()
	_, err := s.s.Scan(s.ctx, anna, codes[0])
	s.must(err)
	found(late, "the history", func(e *events.HistorySync) bool {
		for _, chat := range e.Data.GetConversations() {
			for _, m := range chat.GetMessages() {
				if m.GetMessage().GetMessage().GetConversation() == "hello Bert" {
					return true
				}
			}
		}
		return false
	})
	found(late, "the state of the chats", func(e *events.Pin) bool { return e.Action.GetPinned() })
}

// retry does something again that a client may not be ready for yet, for as long as the context lives.
func retry(ctx context.Context, do func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
