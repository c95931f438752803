package server_test

import (
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

func TestAnAccountHidesItsNumber(t *testing.T) {
	t.Parallel()
	n := setup(t)
	phone, friend := n.phone("5491155550013", "Ana"), n.phone("5491155550014", "Bea")
	companion, own := n.companion(phone), n.companion(friend)
	introduce(phone, friend)
	fails(t, n.Server().HideNumber(t.Context(), "5491155559999", true), server.ErrNoAccount)
	hide := func(on bool) {
		t.Helper()
		if err := n.Server().HideNumber(t.Context(), friend.Store.ID.User, on); err != nil {
			t.Fatal(err)
		}
	}
	hide(true)
	n.restart(phone, companion, friend, own)
	if !n.Server().NumberHidden(friend.Store.ID.User) {
		t.Error("the number is shown after a restart")
	}
	friend.text(phone.Store.LID, "who am I?")
	m := companion.receives("who am I?")
	if m.Info.Sender.ToNonAD() != friend.Store.LID.ToNonAD() || !m.Info.SenderAlt.IsEmpty() {
		t.Errorf("the sender is %s, and beside it %s", m.Info.Sender, m.Info.SenderAlt)
	}
	group := n.group(friend, "Strangers", phone)
	info, err := companion.GetGroupInfo(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range info.Participants {
		if hidden := member.JID.User == friend.Store.LID.User; hidden != member.PhoneNumber.IsEmpty() {
			t.Errorf("member %s has the number %s", member.JID, member.PhoneNumber)
		}
	}
	found, err := companion.IsOnWhatsApp(t.Context(), []string{"+" + friend.Store.ID.User})
	if err != nil || len(found) != 1 || found[0].JID.ToNonAD() != friend.Store.LID.ToNonAD() {
		t.Errorf("who asks for the number is told %+v, %v", found, err)
	}
	hide(false)
	friend.text(phone.Store.LID, "it is me")
	if m := companion.receives("it is me"); m.Info.SenderAlt.User != friend.Store.ID.User {
		t.Errorf("beside the sender is %s once the number is shown", m.Info.SenderAlt)
	}
	n.settled()
}
