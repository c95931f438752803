package connector

import (
	"errors"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waCompanionReg"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Feature: QR as an event, renewed until nobody scans it
func TestCodesFollowEachOtherAndThenTheSessionGivesUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.prepared()
	c.pace = pace{firstCode: 30 * time.Millisecond, nextCode: 10 * time.Millisecond, pairing: time.Second, health: time.Second}
	if err := c.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.createSession("sales")
	b.awaitState("sales", events.StateFailed)
	seen := map[string]bool{}
	for _, e := range b.events(events.SessionQR) {
		if seen[e.Data.QR.Text] {
			t.Errorf("a code was shown twice")
		}
		seen[e.Data.QR.Text] = true
	}
	if len(seen) <= 6 {
		t.Errorf("%d codes were shown, want more than one set of six", len(seen))
	}
	if one[bool](b, `SELECT qr IS NOT NULL OR wanted FROM sessions`) {
		t.Error("the session still shows a code or is wanted")
	}

	// A restart asks for codes again, and this time somebody comes.
	c.pace = usual
	b.await("the session to be let go", func() bool { return c.session("sales") == nil })
	b.phone(owner, "Owner")
	b.exec(`UPDATE sessions SET restarts = restarts + 1`)
	b.scan("sales", owner)
}

func TestLinkIsFoundWhoseNewsWasLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	held := c.session("sales")
	unaware := newSession(c, db.SessionListControlRow{ID: "sales", Settings: []byte("{}")}, claim{epoch: held.epoch, at: time.Now()})
	defer unaware.cancel(nil)
	conn, err := unaware.open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	if conn.device.ID == nil || unaware.jid == nil || conn.device.ID.User != owner {
		t.Errorf("the device opened is %v", conn.device.ID)
	}
}

// Feature: Device name shown on the phone
func TestPhoneIsShownTheSessionsDeviceName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	for settings, want := range map[string]string{`{}`: "chasqui", `{"deviceName":"Support desk"}`: "Support desk"} {
		s := newSession(c, db.SessionListControlRow{ID: "sales", Settings: []byte(settings)}, claim{epoch: 1, at: time.Now()})
		defer s.cancel(nil)
		b.exec(`INSERT INTO sessions (id, desired) VALUES ('sales', 'stopped') ON CONFLICT DO NOTHING`)
		conn, err := s.open()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.close()
		var props waCompanionReg.DeviceProps
		err = proto.Unmarshal(conn.client.GetClientPayload().GetDevicePairingData().GetDeviceProps(), &props)
		if err != nil || props.GetOs() != want {
			t.Errorf("with %s the phone shows %q, %v", settings, props.GetOs(), err)
		}
	}
}

// Feature: One persisted state with a reason
func TestSignalsOfWhatsAppDecideTheState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	for _, tt := range []struct {
		said  any
		state events.SessionState
		again bool
	}{
		{&waevents.Disconnected{}, events.StateReconnecting, true},
		{&waevents.StreamError{Code: "500"}, events.StateReconnecting, true},
		{&waevents.KeepAliveTimeout{ErrorCount: pingsMost}, events.StateReconnecting, true},
		{&waevents.LoggedOut{Reason: waevents.ConnectFailureLoggedOut}, events.StateLoggedOut, false},
		{&waevents.StreamReplaced{}, events.StateReplaced, false},
		{&waevents.TemporaryBan{Code: waevents.TempBanBlockedByUsers, Expire: time.Hour}, events.StateBanned, false},
		{&waevents.ClientOutdated{}, events.StateFailed, false},
		{&waevents.ConnectFailure{Reason: waevents.ConnectFailureBadUserAgent}, events.StateFailed, false},
		{&waevents.PairError{Error: whatsmeow.ErrPairInvalidDeviceSignature}, events.StateFailed, false},
		{&waevents.PairError{Error: &whatsmeow.PairDatabaseError{DBErr: errors.New("down")}}, events.StateReconnecting, true},
	} {
		e, end := conn.verdict(tt.said, 0)
		if !end || e.state != tt.state || e.again != tt.again || e.reason == "" || e.logout != (tt.state == events.StateLoggedOut) {
			t.Errorf("%T: %+v", tt.said, e)
		}
	}
	if _, end := conn.verdict(&waevents.KeepAliveTimeout{ErrorCount: 1}, 0); end {
		t.Error("one lost ping ended the connection")
	}
}
