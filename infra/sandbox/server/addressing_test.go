package server_test

import (
	"testing"

	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// byNumber checks that an address is the phone number of a client's account.
func byNumber(t *testing.T, what string, jid types.JID, of *client) {
	t.Helper()
	if jid.Server != types.DefaultUserServer || jid.User != of.Store.ID.User {
		t.Errorf("%s is %s, want the number of %s", what, jid, of.Store.ID)
	}
}

// checkNumbers lets a phone, a companion of another and that other phone write to each other, and checks that the companion sees numbers.
func checkNumbers(t *testing.T, phone, companion, friend *client, words string) {
	t.Helper()
	friend.text(phone.Store.LID, "to you, "+words)
	m := companion.receives("to you, " + words)
	byNumber(t, "the sender", m.Info.Sender, friend)
	byNumber(t, "the chat", m.Info.Chat, friend)
	if m.Info.SenderAlt.ToNonAD() != friend.Store.LID.ToNonAD() || m.Info.AddressingMode != types.AddressingModePN {
		t.Errorf("beside the sender is %s, mode %q", m.Info.SenderAlt, m.Info.AddressingMode)
	}
	phone.text(friend.Store.LID, "from me, "+words)
	m = companion.receives("from me, " + words)
	byNumber(t, "the chat of an own message", m.Info.Chat, friend)
	if !m.Info.IsFromMe {
		t.Error("an own message is not the own account's")
	}
	id := companion.text(friend.Store.ID.ToNonAD(), "by number, "+words)
	friend.receives("by number, " + words)
	byNumber(t, "a receipt's sender", companion.gets(types.ReceiptTypeDelivered, id).Sender, friend)
	if err := friend.SendChatPresence(t.Context(), phone.Store.LID.ToNonAD(), types.ChatPresenceComposing, types.ChatPresenceMediaText); err != nil {
		t.Fatal(err)
	}
	state := await(companion, func(e *events.ChatPresence) bool { return true })
	byNumber(t, "who is typing", state.Sender, friend)
}

func TestOldClientsAreAddressedByNumber(t *testing.T) {
	t.Parallel()
	n := setup(t)
	phone, friend := n.phone("5491155550001", "Ana"), n.phone("5491155550002", "Bea")
	linked := n.companion(phone)
	linked.Disconnect()
	friend.text(phone.Store.LID, "while away")
	old := linked.reopen()
	old.GetClientPayload = func() *waWa6.ClientPayload {
		payload := old.Store.GetClientPayload()
		payload.LidDbMigrated = nil // which it did not have before there were LIDs
		return payload
	}
	old.connect()
	byNumber(t, "the sender of what waited", old.receives("while away").Info.Sender, friend)
	checkNumbers(t, phone, old, friend, "today")
	n.settled() // what came by number was acknowledged by number

	// The same device with a newer program has LIDs again.
	old.Disconnect()
	friend.text(phone.Store.LID, "once more")
	newer := old.reopen()
	newer.connect()
	if m := newer.receives("once more"); m.Info.Sender.Server != types.HiddenUserServer {
		t.Errorf("a new client's sender is %s", m.Info.Sender)
	}
	n.settled()
}

func TestGroupsOfOldClientsAreAddressedByNumber(t *testing.T) {
	t.Parallel()
	n := setup(t)
	phone, friend := n.phone("5491155550005", "Ana"), n.phone("5491155550006", "Bea")
	introduce(phone, friend)
	old := n.companion(phone)
	if err := n.Server().AddressByNumber(t.Context(), phone.Store.ID.User, true); err != nil {
		t.Fatal(err)
	}
	group := n.group(phone, "Friends", friend)
	joined := await(old, func(e *events.JoinedGroup) bool { return e.JID == group })
	info, err := old.GetGroupInfo(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	for _, seen := range []types.GroupInfo{joined.GroupInfo, *info} {
		if seen.AddressingMode != types.AddressingModePN || len(seen.Participants) != 2 {
			t.Errorf("the group is seen as %+v", seen)
		}
		for _, member := range seen.Participants {
			if member.JID.Server != types.DefaultUserServer || member.LID.Server != types.HiddenUserServer {
				t.Errorf("a member is %s, with the LID %s", member.JID, member.LID)
			}
		}
	}
	friend.text(group, "hello, all")
	m := old.inGroup(group, "hello, all")
	byNumber(t, "who wrote", m.Info.Sender, friend)
	id := old.text(group, "by number")
	if m := friend.inGroup(group, "by number"); m.Info.Sender.Server != types.HiddenUserServer {
		t.Errorf("the friend sees %s", m.Info.Sender)
	}
	byNumber(t, "a receipt's sender", await(old, func(r *events.Receipt) bool {
		return r.Chat == group && r.MessageIDs[0] == id && r.Sender.User == friend.Store.ID.User
	}).Sender, friend)
	n.settled()
}

func TestAnAccountIsSwitchedToAddressesByNumber(t *testing.T) {
	t.Parallel()
	n := setup(t)
	phone, friend := n.phone("5491155550003", "Ana"), n.phone("5491155550004", "Bea")
	companion := n.companion(phone)
	friend.text(phone.Store.LID, "hello")
	if m := companion.receives("hello"); m.Info.Sender.Server != types.HiddenUserServer {
		t.Errorf("the sender is %s before the switch", m.Info.Sender)
	}
	fails(t, n.Server().AddressByNumber(t.Context(), "5491155559999", true), server.ErrNoAccount)
	if err := n.Server().AddressByNumber(t.Context(), phone.Store.ID.User, true); err != nil {
		t.Fatal(err)
	}
	checkNumbers(t, phone, companion, friend, "switched")
	if m := phone.receives("to you, switched"); m.Info.Sender.Server != types.HiddenUserServer {
		t.Errorf("the phone itself sees %s", m.Info.Sender)
	}
	n.restart(phone, companion, friend)
	checkNumbers(t, phone, companion, friend, "restarted")
	if err := n.Server().AddressByNumber(t.Context(), phone.Store.ID.User, false); err != nil {
		t.Fatal(err)
	}
	n.restart(phone, companion, friend)
	if n.Server().AddressedByNumber(phone.Store.ID.User) {
		t.Error("the switch is back after a restart")
	}
	friend.text(phone.Store.LID, "bye")
	if m := companion.receives("bye"); m.Info.Sender.Server != types.HiddenUserServer {
		t.Errorf("the sender is %s after the switch", m.Info.Sender)
	}
	n.settled()
}
