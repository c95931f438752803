package server_test

import (
	"fmt"
	"testing"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// stubs makes accounts that are nothing but keys.
func (n *network) stubs(count int) (jids []types.JID) {
	n.t.Helper()
	wanted := make([]server.NewAccount, count)
	for i := range wanted {
		wanted[i] = server.NewAccount{Phone: fmt.Sprintf("55119%08d", i), Level: server.Stub}
		jids = append(jids, types.NewJID(wanted[i].Phone, types.DefaultUserServer))
	}
	if _, err := n.Server().CreateAccounts(n.t.Context(), wanted...); err != nil {
		n.t.Fatal(err)
	}
	return jids
}

func TestAGroupOf1024Stubs(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	stubs := n.stubs(1023)
	info := n.create(ana, whatsmeow.ReqCreateGroup{Name: "All", Participants: append(pns(ben), stubs...)})
	failed := 0
	for _, p := range info.Participants {
		if p.Error == 419 {
			failed++
		}
	}
	if info.ParticipantCount != 1024 || failed != 1 {
		t.Errorf("%d members, %d without room", info.ParticipantCount, failed)
	}
	await(ben, func(j *events.JoinedGroup) bool { return len(j.Participants) == 1024 })
	ana.text(info.JID, "to all")
	ben.inGroup(info.JID, "to all")
	ben.text(info.JID, "and back")
	ana.inGroup(info.JID, "and back")
	n.settled()
	n.restart(ana, ben)
	if got := ben.info(info.JID); len(got.Participants) != 1024 {
		t.Errorf("%d members", len(got.Participants))
	}
}

// BenchmarkGroupSend sends to a group of 1,024 members, of whom one is live and the others are stubs. In "server", a ready stanza with a
// copy of the key for each of them is routed, as whatsmeow makes it each time; in "client" whatsmeow makes it, with 1,023 encryptions.
func BenchmarkGroupSend(b *testing.B) {
	n := setup(b)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	group := n.create(ana, whatsmeow.ReqCreateGroup{Name: "All", Participants: append(pns(ben), n.stubs(1022)...)}).JID
	ana.text(group, "warm") // sessions with everybody, and the key for the live one
	ben.inGroup(group, "warm")
	info := ana.info(group)
	b.Run("server", func(b *testing.B) {
		n.t = b
		copies := make([]waBinary.Node, 0, len(info.Participants))
		for _, p := range info.Participants {
			if p.JID.User != ben.Store.LID.User { // what it would get is not encrypted for it
				copies = append(copies, waBinary.Node{Tag: "to", Attrs: waBinary.Attrs{"jid": p.JID},
					Content: []waBinary.Node{{Tag: "enc", Attrs: waBinary.Attrs{"v": "2", "type": "msg"}, Content: make([]byte, 200)}}})
			}
		}
		next := 0
		for b.Loop() {
			next++
			ack := ana.ackOf(waBinary.Node{Tag: "message", Content: []waBinary.Node{{Tag: "participants", Content: copies}},
				Attrs: waBinary.Attrs{"id": fmt.Sprintf("B%d", next), "to": group, "type": "text", "phash": "2:AAAAAAAA", "addressing_mode": "lid"}})
			if ack["error"] != nil {
				b.Fatal(ack)
			}
		}
	})
	b.Run("client", func(b *testing.B) {
		n.t = b
		for b.Loop() {
			ana.text(group, "text")
		}
	})
}

// BenchmarkGroupCreate makes a group of 1,024 stubs.
func BenchmarkGroupCreate(b *testing.B) {
	n := setup(b)
	ana := n.phone("5491100000001", "Ana")
	stubs := n.stubs(1023)
	for b.Loop() {
		n.create(ana, whatsmeow.ReqCreateGroup{Name: "All", Participants: stubs})
	}
}
