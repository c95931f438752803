package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// device is the JID of a session's device.
func (b *bench) device(session string) types.JID {
	b.Helper()
	jid, err := types.ParseJID(one[string](b, `SELECT jid FROM sessions WHERE id = $1`, session))
	if err != nil {
		b.Fatal(err)
	}
	return jid
}

// enc is a ciphertext as a stanza has it.
func enc(kind string, content any) waBinary.Node {
	return waBinary.Node{Tag: "enc", Attrs: waBinary.Attrs{"v": "2", "type": kind}, Content: content}
}

// raw sends a stanza to one device as it is, and waits until the server has taken it.
func (c *caller) raw(id string, to types.JID, enc waBinary.Node) {
	c.w.Helper()
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API sends nothing that is wrong
	internals := c.DangerousInternals()
	err := internals.SendNode(c.w.ctx, waBinary.Node{
		Tag: "message", Attrs: waBinary.Attrs{"id": id, "to": to, "type": "text", "device_fanout": "false"}, Content: []waBinary.Node{enc},
	})
	if err != nil {
		c.w.Fatal(err)
	}
	if answered, _ := internals.SendKeepAlive(c.w.ctx); !answered {
		c.w.Fatal("the server did not answer")
	}
}

// sealed encrypts any bytes for a device, as a message.
func (c *caller) sealed(to types.JID, plaintext []byte) waBinary.Node {
	c.w.Helper()
	lid, err := c.Store.LIDs.GetLIDForPN(c.w.ctx, to.ToNonAD())
	if err != nil || lid.IsEmpty() {
		c.w.Fatal("no LID", err)
	}
	lid.Device = to.Device
	//nolint:staticcheck // SA1019: as in raw
	node, _, err := c.DangerousInternals().EncryptMessageForDevice(c.w.ctx, plaintext, lid, nil, waBinary.Attrs{}, nil)
	if err != nil {
		c.w.Fatal(err)
	}
	return *node
}

// Whatever a contact sends, the process lives and what follows arrives.
func TestHostileStanzasStopNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	group, err := b.sandbox.CreateGroup(b.ctx(), juan, sandbox.NewGroup{Subject: "Crew", Participants: []string{owner}})
	if err != nil {
		t.Fatal(err)
	}
	room, err := types.ParseJID(group.JID)
	if err != nil {
		t.Fatal(err)
	}
	friend := b.companion(juan)
	friend.tell("hello")
	device := b.device("sales")
	n := 0
	raw := func(enc waBinary.Node) {
		n++
		friend.raw(fmt.Sprint("RAW", n), device, enc)
	}

	for _, kind := range []string{"msg", "pkmsg", "skmsg", "msmsg", "unheard-of", ""} { // ciphertexts that are none
		for _, content := range []any{nil, []byte{}, []byte{0x33}, []byte{0xff, 0xff}, []byte(strings.Repeat("\x33", 40)), []byte(strings.Repeat("x", 100_000)), []waBinary.Node{{Tag: "x"}}} {
			raw(enc(kind, content))
		}
	}
	whole := friend.sealed(device, []byte{})
	text := whole.Content.([]byte)
	for _, at := range []int{0, 1, 2, len(text) / 2, len(text) - 1} { // damaged in each of their parts
		damaged := slices.Clone(text)
		damaged[at] ^= 0x80
		raw(enc("msg", damaged))
	}
	raw(enc("msg", text[:len(text)-9]))

	deep := []byte{}
	for range 3000 { // a protobuf in a protobuf
		deep = append(append([]byte{0xa2, 0x02}, lengthOf(len(deep)+1+len(lengthOf(len(deep))))...), append(append([]byte{0x0a}, lengthOf(len(deep))...), deep...)...)
	}
	for _, plaintext := range [][]byte{{}, {0xff}, []byte(strings.Repeat("\xff", 1000)), deep} {
		raw(friend.sealed(device, plaintext))
	}
	short := []byte{1, 2, 3}
	for _, m := range []*waE2E.Message{
		{PollUpdateMessage: &waE2E.PollUpdateMessage{Vote: &waE2E.PollEncValue{EncIV: short, EncPayload: short}}},
		{EncReactionMessage: &waE2E.EncReactionMessage{EncIV: short, EncPayload: short}},
		{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_HISTORY_SYNC_NOTIFICATION.Enum(), HistorySyncNotification: &waE2E.HistorySyncNotification{}}},
		{ProtocolMessage: &waE2E.ProtocolMessage{AppStateSyncKeyShare: &waE2E.AppStateSyncKeyShare{Keys: []*waE2E.AppStateSyncKey{nil, {}}}}},
		{DeviceSentMessage: &waE2E.DeviceSentMessage{}},
		{EphemeralMessage: &waE2E.FutureProofMessage{}},
		{MessageContextInfo: &waE2E.MessageContextInfo{MessageSecret: short}},
		{ImageMessage: &waE2E.ImageMessage{MediaKey: short}},
	} {
		plaintext, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		raw(friend.sealed(device, plaintext))
	}
	for _, keys := range [][]byte{{}, {0x33}, []byte("keys that are none")} { // for a group
		_, err := friend.SendMessage(b.ctx(), room, &waE2E.Message{
			Conversation: proto.String("with keys"), SenderKeyDistributionMessage: &waE2E.SenderKeyDistributionMessage{AxolotlSenderKeyDistributionMessage: keys},
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	friend.tell("in the chat")
	if _, err := friend.SendMessage(b.ctx(), room, &waE2E.Message{Conversation: proto.String("in the group")}); err != nil {
		t.Fatal(err)
	}
	b.await("what follows", func() bool {
		got := b.texts(events.MessageReceived)
		return slices.Contains(got, "in the chat") && slices.Contains(got, "in the group") && b.sandbox.Queued(owner) == 0
	})
	if told := b.events(events.SessionStatus); told[len(told)-1].Data.Session.State != events.StateConnected || slices.ContainsFunc(told, func(e event) bool {
		return e.Data.Session.State == events.StateReconnecting
	}) {
		t.Error("the session had to connect again")
	}
}

// lengthOf is a length as protobuf has it.
func lengthOf(n int) (v []byte) {
	for ; n >= 0x80; n >>= 7 {
		v = append(v, byte(n)|0x80)
	}
	return append(v, byte(n))
}
