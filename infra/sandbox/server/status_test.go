package server_test

import (
	"slices"
	"testing"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"
)

// saves puts a contact into the client's own address book, which whatsmeow takes the audience of a status from.
func (c *client) saves(other *client, name string) {
	c.n.t.Helper()
	if err := c.Store.Contacts.PutContactName(c.n.t.Context(), *other.Store.ID, name, name); err != nil {
		c.n.t.Fatal(err)
	}
}

// posts sends a status.
func (c *client) posts(text string) types.MessageID {
	c.n.t.Helper()
	answer, err := c.SendMessage(c.n.t.Context(), types.StatusBroadcastJID, &waE2E.Message{Conversation: proto.String(text)})
	if err != nil {
		c.n.t.Fatalf("post %q: %v", text, err)
	}
	return answer.ID
}

// limits sets who is to get the client's statuses.
func (c *client) limits(kind string, people ...*client) {
	c.n.t.Helper()
	var users []waBinary.Node
	for _, p := range people {
		users = append(users, waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": *p.Store.ID}})
	}
	list := waBinary.Node{Tag: "list", Attrs: waBinary.Attrs{"type": kind}, Content: users}
	if _, err := c.query("status", "set", waBinary.Node{Tag: "privacy", Content: []waBinary.Node{list}}); err != nil {
		c.n.t.Fatal(err)
	}
}

func TestStatusesReachTheirAudience(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone(anaNumber, "Ana"), n.phone(benNumber, "Ben"), n.phone(eveNumber, "Eve")
	anaWeb, benWeb := n.companion(ana), n.companion(ben)
	ana.saves(ben, "Ben")
	ana.saves(eve, "Eve")
	id := ana.posts("for all")
	for _, c := range []*client{ben, benWeb, eve} {
		m := c.receives("for all")
		if m.Info.ID != id || m.Info.Chat != types.StatusBroadcastJID || m.Info.Sender != *ana.Store.ID || m.Info.SenderAlt != ana.Store.LID || m.Info.PushName != "Ana" {
			t.Errorf("the status is %+v", m.Info.MessageSource)
		}
	}
	if m := anaWeb.receives("for all"); !m.Info.IsFromMe || len(m.Info.BroadcastRecipients) != 3 {
		t.Errorf("one's own status is %+v", m.Info.MessageSource)
	}
	ana.gets(types.ReceiptTypeDelivered, id)
	if err := ben.MarkRead(t.Context(), []types.MessageID{id}, benWeb.receives("for all").Info.Timestamp, types.StatusBroadcastJID, *ana.Store.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{ana, anaWeb} {
		if r := c.gets(types.ReceiptTypeRead, id); r.Chat != types.StatusBroadcastJID || r.Sender.ToNonAD() != *ben.Store.ID {
			t.Errorf("seen: %+v", r.MessageSource)
		}
	}
	if r := benWeb.gets(types.ReceiptTypeRead, id); !r.IsFromMe || r.MessageSender != *ana.Store.ID {
		t.Errorf("seen by oneself: %+v, %s", r.MessageSource, r.MessageSender)
	}
	// A reaction goes to the author alone.
	if _, err := ben.SendMessage(t.Context(), *ana.Store.ID, ben.BuildReaction(types.StatusBroadcastJID, *ana.Store.ID, id, "♥")); err != nil {
		t.Fatal(err)
	}
	await(ana, func(m *events.Message) bool {
		key := m.Message.GetReactionMessage().GetKey()
		return !m.Info.IsGroup && key.GetID() == id && key.GetRemoteJID() == types.StatusBroadcastJID.String()
	})
	if _, err := ana.SendMessage(t.Context(), types.StatusBroadcastJID, ana.BuildRevoke(types.StatusBroadcastJID, types.EmptyJID, id)); err != nil {
		t.Fatal(err)
	}
	await(eve, func(m *events.Message) bool {
		return m.Info.Edit == types.EditAttributeSenderRevoke && m.Message.GetProtocolMessage().GetKey().GetID() == id
	})

	ana.limits("blacklist", ben)
	n.restart(ana, anaWeb, ben, benWeb, eve)
	ana.posts("not for Ben")
	eve.receives("not for Ben")
	ana.limits("whitelist", ben)
	ana.posts("for Ben")
	ben.receives("for Ben")
	benWeb.receives("for Ben")
	ana.limits("contacts")
	if _, err := eve.UpdateBlocklist(t.Context(), *ana.Store.ID, events.BlocklistChangeActionBlock); err != nil {
		t.Fatal(err)
	}
	ana.posts("Eve does not want it")
	ben.receives("Eve does not want it")
	ana.text(*ben.Store.ID, "end")
	ben.receives("end")
	if got := eve.texts(); !slices.Equal(got, []string{"for all", "not for Ben"}) {
		t.Errorf("Eve got %q", got)
	}
	if slices.Contains(ben.texts(), "not for Ben") {
		t.Errorf("Ben got %q", ben.texts())
	}
	n.settled()
}

func TestAStatusIsSentAgainToWhoCannotReadIt(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted() // so that the messages are no longer such as begin a session
	ana.saves(ben, "Ben")
	ana.posts("first")
	ben.receives("first")
	if err := ben.Store.Sessions.DeleteSession(t.Context(), ana.Store.LID.SignalAddress().String()); err != nil {
		t.Fatal(err)
	}
	id := ana.posts("second")
	if m := ben.receives("second"); m.Info.ID != id || m.Info.Chat != types.StatusBroadcastJID {
		t.Errorf("it is %+v", m.Info)
	}
	ana.gets(types.ReceiptTypeRetry, id)
	n.settled()
}
