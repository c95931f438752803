package server_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/socket"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"go.mau.fi/whatsmeow/util/keys"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

func TestPairsWithAnyOfTheQRCodes(t *testing.T) {
	t.Parallel()
	n := setup(t)
	n.phone("5491100000001", "Ana")
	c, codes := n.waiting()
	if len(codes) != 6 {
		t.Fatalf("%d QR codes", len(codes))
	}
	// Older clients show the code without the URL and the client's type.
	_, bare, _ := strings.Cut(codes[5], "#")
	bare = bare[:strings.LastIndex(bare, ",")]
	jid, err := n.Server().Scan(t.Context(), "5491100000001", bare)
	if err != nil {
		t.Fatal(err)
	}
	await(c, func(*events.Connected) bool { return true })
	if devices := n.Server().Devices("5491100000001"); len(devices) != 1 || devices[0] != jid || *c.Store.ID != jid || jid.Device != 1 {
		t.Errorf("devices are %v, scanned %s", devices, jid)
	}
	_, err = n.Server().Scan(t.Context(), "5491100000001", codes[0])
	fails(t, err, server.ErrQRExpired)
}

func TestScanTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	n := setup(t)
	n.phone("5491100000001", "Ana")
	for _, qr := range []string{"", "hello", "https://wa.me/settings/linked_devices#a,b,c,d,e", strings.Repeat(",", 5)} {
		_, err := n.Server().Scan(t.Context(), "5491100000001", qr)
		fails(t, err, server.ErrQRInvalid)
	}
	c, codes := n.waiting()
	_, err := n.Server().Scan(t.Context(), "5491100000009", codes[0])
	fails(t, err, server.ErrNoAccount)
	_, others := n.waiting()
	own, foreign := strings.Split(codes[0], ","), strings.Split(others[0], ",")
	_, err = n.Server().Scan(t.Context(), "5491100000001", strings.Join(append(own[:1:1], foreign[1:]...), ","))
	fails(t, err, server.ErrQRInvalid)
	c.PrePairCallback = func(types.JID, string, string) bool { return false }
	_, err = n.Server().Scan(t.Context(), "5491100000001", codes[0])
	fails(t, err, server.ErrRefused)
	await(c, func(*events.PairError) bool { return true })
	if devices := n.Server().Devices("5491100000001"); len(devices) != 0 {
		t.Errorf("devices are %v", devices)
	}
	c.Disconnect()
	n.eventually("disconnection", func() bool { return n.Server().Stats().Connections == 2 })
	_, err = n.Server().Scan(t.Context(), "5491100000001", codes[1])
	fails(t, err, server.ErrQRExpired)
}

// Clients that remember routing information send it before the header (Baileys does), and the bytes of a stream may be cut anywhere.
func TestTakesRoutingInformationAndSplitFrames(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ws, _, err := websocket.Dial(t.Context(), n.http.URL+"/ws/chat", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	hello, err := proto.Marshal(&waWa6.HandshakeMessage{ClientHello: &waWa6.HandshakeMessage_ClientHello{Ephemeral: keys.NewKeyPair().Pub[:]}})
	if err != nil {
		t.Fatal(err)
	}
	stream := slices.Concat([]byte("ED\x00\x01\x00\x00\x05route"), socket.WAConnHeader, []byte{0, 0, byte(len(hello))}, hello)
	for part := range slices.Chunk(stream, 7) {
		if err := ws.Write(t.Context(), websocket.MessageBinary, part); err != nil {
			t.Fatal(err)
		}
	}
	_, frame, err := ws.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var answer waWa6.HandshakeMessage
	if err := proto.Unmarshal(frame[3:], &answer); err != nil || len(answer.GetServerHello().GetEphemeral()) != 32 {
		t.Errorf("answered with %v, %v", &answer, err)
	}
}

func TestUnlinkRemovesAllCompanions(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	online, offline := n.companion(ana), n.companion(ana)
	ben.text(*ana.Store.ID, "to three devices")
	for _, c := range []*client{ana, online, offline} {
		c.receives("to three devices")
	}
	offline.Disconnect()
	ben.text(*ana.Store.ID, "queued for the one offline")
	online.receives("queued for the one offline")
	if err := n.Server().Unlink(t.Context(), "5491100000001"); err != nil {
		t.Fatal(err)
	}
	if out := await(online, func(*events.LoggedOut) bool { return true }); out.OnConnect {
		t.Error("logged out on connect")
	}
	n.restart(ana, ben)
	if devices := n.Server().Devices("5491100000001"); len(devices) != 0 {
		t.Errorf("devices are %v", devices)
	}
	if err := offline.Connect(); err != nil {
		t.Fatal(err)
	}
	if out := await(offline, func(*events.LoggedOut) bool { return true }); !out.OnConnect || out.Reason != events.ConnectFailureLoggedOut {
		t.Errorf("logged out with %+v", out)
	}
	ben.text(*ana.Store.ID, "to the phone alone")
	ana.receives("to the phone alone")
	n.settled()
}

func TestLogoutUnlinksOneCompanion(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	first, second := n.companion(ana), n.companion(ana)
	ben.text(*ana.Store.ID, "to three devices")
	second.receives("to three devices")
	if err := first.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if devices := n.Server().Devices("5491100000001"); len(devices) != 1 || devices[0] != *second.Store.ID {
		t.Errorf("devices are %v", devices)
	}
	n.settled()
	ben.text(*ana.Store.ID, "to two devices")
	second.receives("to two devices")
	third := n.companion(ana)
	if third.Store.ID.Device != 3 {
		t.Errorf("device number %d was given again", third.Store.ID.Device)
	}
	n.settled() // Ben and the others know of the third device
	ben.text(*ana.Store.ID, "to three devices again")
	third.receives("to three devices again")
	second.text(*ben.Store.ID, "from the second")
	third.receives("from the second")
}

func TestAStaleDeviceListIsNoticed(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ben.text(*ana.Store.ID, "one device")
	// The notice is lost: Ben still has a list without the companion, and is told by the hash in the acknowledgement.
	ben.Disconnect()
	web := n.companion(ana)
	n.Server().DropQueued("notification")
	ben.connect()
	ben.text(*ana.Store.ID, "missed")
	ben.text(*ana.Store.ID, "noticed")
	web.receives("noticed")
	if got := web.texts(); len(got) != 1 {
		t.Errorf("the companion received %v", got)
	}
}

func TestASecondLoginReplacesTheFirst(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	web := n.companion(ana)
	again := web.reopen()
	again.connect()
	await(web, func(*events.StreamReplaced) bool { return true })
	n.eventually("end of the first", func() bool { return n.Server().Stats().Connections == 2 })
	ben := n.phone("5491100000002", "Ben")
	ben.text(*ana.Store.ID, "to the second")
	again.receives("to the second")
}

func TestALoginWithAWrongKeyIsRefused(t *testing.T) {
	t.Parallel()
	n := setup(t)
	n.phone("5491100000001", "Ana")
	thief := n.phone("5491100000002", "Ben")
	thief.Disconnect()
	victim := types.NewJID("5491100000001", types.DefaultUserServer)
	thief.Store.ID = &victim
	if err := thief.Connect(); err != nil {
		t.Fatal(err)
	}
	await(thief, func(out *events.LoggedOut) bool { return out.Reason == events.ConnectFailureLoggedOut })
}

// A device number is one byte; one that is too large must not be cut off to the number of a device that exists.
func TestALoginOfAnImpossibleDeviceIsRefused(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	ana.Disconnect()
	ana.GetClientPayload = func() *waWa6.ClientPayload {
		payload := ana.Store.GetClientPayload()
		payload.Device = proto.Uint32(1 << 16)
		return payload
	}
	if err := ana.Connect(); err != nil {
		t.Fatal(err)
	}
	await(ana, func(out *events.LoggedOut) bool { return out.Reason == events.ConnectFailureLoggedOut })
}

func TestPeerMessagesReachThePhoneAlone(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	web, other := n.companion(ana), n.companion(ana)
	web.text(*ben.Store.ID, "makes the session") // a peer message never fetches prekeys
	ana.receives("makes the session")
	n.settled()
	sent, err := web.SendPeerMessage(t.Context(), &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type:                   waE2E.ProtocolMessage_APP_STATE_SYNC_KEY_REQUEST.Enum(),
		AppStateSyncKeyRequest: &waE2E.AppStateSyncKeyRequest{KeyIDs: []*waE2E.AppStateSyncKeyId{{KeyID: []byte("key")}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if m := await(ana, func(m *events.Message) bool { return m.Info.ID == sent.ID }); m.Info.Category != "peer" || !m.Info.IsFromMe {
		t.Errorf("peer message came as %+v", m.Info)
	}
	n.settled()
	for _, m := range all[*events.Message](other) {
		if m.Info.ID == sent.ID {
			t.Error("the peer message came to another companion")
		}
	}
	if s := n.Server().Stats(); s.RepeatedIDs != 0 {
		t.Errorf("stats are %+v", s)
	}
}
