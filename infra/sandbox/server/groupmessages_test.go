package server_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"go.mau.fi/libsignal/protocol"
	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// inGroup waits for a text in a group.
func (c *client) inGroup(group types.JID, text string) *events.Message {
	c.n.t.Helper()
	return await(c, func(m *events.Message) bool { return m.Info.Chat == group && m.Message.GetConversation() == text })
}

func TestMessagesReachAllDevicesOfAGroup(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	web := n.companion(ana)
	introduce(ana, ben, eve)
	group := n.group(ana, "Friends", ben, eve)

	id := web.text(group, "from the companion")
	for _, c := range []*client{ana, ben, eve} {
		m := c.inGroup(group, "from the companion")
		if m.Info.Sender != web.Store.LID || m.Info.SenderAlt.User != ana.Store.ID.User || m.Info.PushName != "Ana" || !m.Info.IsGroup ||
			m.Info.AddressingMode != types.AddressingModeLID || m.Info.IsFromMe != (c == ana) || m.Info.ID != id {
			t.Errorf("message came as %+v", m.Info)
		}
	}
	for _, c := range []*client{ben, eve} {
		delivered := await(web, func(r *events.Receipt) bool {
			return r.Type == types.ReceiptTypeDelivered && r.MessageIDs[0] == id && r.Sender == c.Store.LID
		})
		if delivered.Chat != group || delivered.SenderAlt.User != c.Store.ID.User {
			t.Errorf("receipt came as %+v", delivered)
		}
		await(ana, func(r *events.Receipt) bool {
			return r.Type == types.ReceiptTypeDelivered && r.MessageIDs[0] == id && r.Sender == c.Store.LID
		})
	}
	web.gets(types.ReceiptTypeSender, id)

	// A restart in the middle, with one member away.
	eve.Disconnect()
	ben.text(group, "before the restart")
	n.restart(ana, ben, web)
	ben.text(group, "after the restart")
	eve = eve.reopen()
	eve.connect()
	for _, text := range []string{"before the restart", "after the restart"} {
		for _, c := range []*client{ana, web, eve} {
			c.inGroup(group, text)
		}
	}
	if got := eve.texts(); !slices.Equal(got, []string{"before the restart", "after the restart"}) {
		t.Errorf("received %v", got)
	}
	if s := n.Server().Stats(); s.RepeatedIDs != 0 || s.MessagesSent != 1 {
		t.Errorf("stats are %+v", s)
	}
	n.settled()
}

func TestGroupReceipts(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	web := n.companion(ben)
	introduce(ana, ben, eve)
	group := n.group(ana, "Friends", ben, eve)
	var ids []types.MessageID
	for i := range 3 {
		ids = append(ids, ana.text(group, "number "+strconv.Itoa(i)))
	}
	web.inGroup(group, "number 2")
	ben.inGroup(group, "number 2")
	if err := web.MarkRead(t.Context(), ids, time.Now(), group, ana.Store.LID); err != nil {
		t.Fatal(err)
	}
	read := ana.gets(types.ReceiptTypeRead, ids[2])
	if !slices.Equal(read.MessageIDs, ids) || read.Sender != web.Store.LID || read.Chat != group {
		t.Errorf("read as %+v", read)
	}
	own := ben.gets(types.ReceiptTypeRead, ids[2])
	if !own.IsFromMe || !slices.Equal(own.MessageIDs, ids) || own.MessageSender.User != ana.Store.LID.User || own.Chat != group {
		t.Errorf("own receipt came as %+v", own)
	}
	ben.SetPrivacySetting(t.Context(), types.PrivacySettingTypeReadReceipts, types.PrivacySettingNone)
	id := eve.text(group, "from Eve")
	ben.inGroup(group, "from Eve")
	if err := ben.MarkRead(t.Context(), []types.MessageID{id}, time.Now(), group, eve.Store.LID); err != nil {
		t.Fatal(err)
	}
	web.gets(types.ReceiptTypeReadSelf, id)
	n.settled()
	for _, r := range all[*events.Receipt](ana) {
		if r.MessageIDs[0] == id {
			t.Errorf("somebody else learnt of it: %+v", r)
		}
	}
	for _, r := range all[*events.Receipt](eve) {
		if r.Type != types.ReceiptTypeDelivered {
			t.Errorf("Eve learnt of it: %+v", r)
		}
	}
}

func TestOnlyMembersSendAndReceive(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	introduce(ana, ben, eve)
	group, ctx := n.group(ana, "Friends", ben), t.Context()
	ana.text(group, "one")
	ben.inGroup(group, "one")

	// Who joins reads from then on, also what is encrypted with a key that others have had before.
	must[[]types.GroupParticipant](t)(ana.UpdateGroupParticipants(ctx, group, lids(eve), whatsmeow.ParticipantChangeAdd))
	ben.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Join, lids(eve)) })
	ana.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Join, lids(eve)) })
	ana.text(group, "two")
	ben.text(group, "three")
	for _, text := range []string{"two", "three"} {
		eve.inGroup(group, text)
	}
	ben.inGroup(group, "two")

	must[[]types.GroupParticipant](t)(ana.UpdateGroupParticipants(ctx, group, lids(ben), whatsmeow.ParticipantChangeRemove))
	ana.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Leave, lids(ben)) })
	ben.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Leave, lids(ben)) })
	ana.text(group, "four")
	eve.inGroup(group, "four")
	_, err := ben.SendMessage(ctx, group, &waE2E.Message{Conversation: proto.String("five")})
	fails(t, err, whatsmeow.ErrServerReturnedError)
	_, err = ben.SendMessage(ctx, types.NewJID("120363000000000000", types.GroupServer), &waE2E.Message{Conversation: proto.String("six")})
	fails(t, err, whatsmeow.ErrGroupNotFound)
	if err := ana.SetGroupAnnounce(ctx, group, true); err != nil {
		t.Fatal(err)
	}
	_, err = eve.SendMessage(ctx, group, &waE2E.Message{Conversation: proto.String("seven")})
	fails(t, err, whatsmeow.ErrServerReturnedError)
	id := ana.text(group, "eight")
	eve.inGroup(group, "eight")
	if _, err := eve.SendMessage(ctx, group, eve.BuildReaction(group, ana.Store.LID, id, "+")); err != nil {
		t.Errorf("a reaction: %v", err)
	}
	await(ana, func(m *events.Message) bool { return m.Message.GetReactionMessage().GetText() == "+" })
	n.settled()
	if got := ben.texts(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("Ben received %v", got)
	}
}

func TestAnswersRetryReceiptsInGroups(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	web := n.companion(ben)
	introduce(ana, ben, eve)
	group := n.group(ana, "Friends", ben, eve)
	ana.text(group, "one")
	for _, c := range []*client{ben, web, eve} {
		c.inGroup(group, "one")
	}
	n.settled()

	// The companion loses the session, and so the key to what Ana says in the group.
	sender := protocol.NewSenderKeyName(group.String(), ana.Store.LID.SignalAddress())
	if err := web.Store.SenderKeys.PutSenderKey(t.Context(), group.String(), sender.Sender().String(), []byte{}); err != nil {
		t.Fatal(err)
	}
	if err := web.Store.Sessions.DeleteSession(t.Context(), ana.Store.LID.SignalAddress().String()); err != nil {
		t.Fatal(err)
	}
	id := ana.text(group, "two")
	await(web, func(u *events.UndecryptableMessage) bool { return u.Info.ID == id })
	m := web.inGroup(group, "two")
	if m.Info.ID != id || m.RetryCount == 0 || m.Info.Sender != ana.Store.LID || m.Info.SenderAlt.User != ana.Store.ID.User {
		t.Errorf("answer came as %+v", m)
	}
	ana.text(group, "three")
	web.inGroup(group, "three")
	ben.inGroup(group, "three")
	n.settled()
	for _, c := range []*client{ben, eve} {
		if got := c.texts(); !slices.Equal(got, []string{"one", "two", "three"}) {
			t.Errorf("received %v", got)
		}
	}
	if s := n.Server().Stats(); s.RepeatedIDs != 0 {
		t.Errorf("stats are %+v", s)
	}
}

func TestANewDeviceOfAMemberIsReached(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	introduce(ana, ben)
	group := n.group(ana, "Friends", ben)
	ana.text(group, "one")
	ben.inGroup(group, "one")
	web := n.companion(ben)
	n.settled() // the changed device list is told, and so known
	ana.text(group, "two")
	web.inGroup(group, "two")
	if lost := all[*events.UndecryptableMessage](web); len(lost) != 0 {
		t.Errorf("%d messages came without their key", len(lost))
	}
	n.settled()
}

// ackOf sends a stanza and returns the attributes of its acknowledgement.
func (c *client) ackOf(message waBinary.Node) waBinary.Attrs {
	c.n.t.Helper()
	id := message.Attrs["id"].(string)
	//nolint:staticcheck // SA1019: the public API sends no message of one's own making
	internals := c.DangerousInternals()
	answer := internals.WaitResponse(id)
	if err := internals.SendNode(c.n.t.Context(), message); err != nil {
		c.n.t.Fatal(err)
	}
	select {
	case ack := <-answer:
		return ack.Attrs
	case <-time.After(patience):
		c.n.t.Fatal("no acknowledgement")
		return nil
	}
}

func TestAcksOfGroupMessages(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	group := n.group(ana, "Mine") // with nobody else, who could not read what comes below
	message := func(id, phash, mode string) waBinary.Node {
		return waBinary.Node{Tag: "message", Attrs: waBinary.Attrs{"id": id, "to": group, "type": "text", "phash": phash, "addressing_mode": mode},
			Content: []waBinary.Node{{Tag: "enc", Attrs: waBinary.Attrs{"v": "2", "type": "skmsg"}, Content: []byte{1}}}}
	}
	right, _ := ana.ackOf(message("A1", "2:AAAAAAAA", "lid"))["phash"].(string)
	if right == "" {
		t.Error("a wrong list of devices is not noticed")
	}
	for id, phash := range map[string]string{"A2": right, "A3": ""} {
		if ack := ana.ackOf(message(id, phash, "lid")); ack["phash"] != nil || ack["error"] != nil {
			t.Errorf("ack for phash %q is %v", phash, ack)
		}
	}
	if ack := ana.ackOf(message("A4", right, "pn")); ack["error"] != "421" {
		t.Errorf("ack for a message by phone number is %v", ack)
	}
	stranger := message("A5", right, "lid")
	stranger.Attrs["to"] = types.NewJID("120363000000000000", types.GroupServer)
	if ack := ana.ackOf(stranger); ack["error"] != "404" {
		t.Errorf("ack for a message to no group is %v", ack)
	}
}

func TestSinksInAGroupAnswerWithReceipts(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	made, err := n.Server().CreateAccounts(t.Context(), server.NewAccount{Phone: "5491100000002", Level: server.Sink})
	if err != nil {
		t.Fatal(err)
	}
	info := n.create(ana, whatsmeow.ReqCreateGroup{Name: "Mine", Participants: []types.JID{types.NewJID("5491100000002", types.DefaultUserServer)}})
	id := ana.text(info.JID, "hello")
	for _, kind := range []types.ReceiptType{types.ReceiptTypeDelivered, types.ReceiptTypeRead} {
		if r := ana.gets(kind, id); r.Chat != info.JID || r.Sender.User != made[0].LID || r.SenderAlt.User != "5491100000002" {
			t.Errorf("receipt came as %+v", r)
		}
	}
	n.settled()
}
