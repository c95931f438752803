package server_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

func TestCarriesTextsBetweenAllDevices(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	web := n.companion(ana)

	id := web.text(*ben.Store.ID, "from the companion")
	if m := ben.receives("from the companion"); m.Info.PushName != "Ana" || m.Info.Sender != web.Store.LID || m.Info.SenderAlt.User != ana.Store.ID.User {
		t.Errorf("message came as %+v", m.Info)
	}
	if m := ana.receives("from the companion"); !m.Info.IsFromMe || m.Info.Chat != ben.Store.LID || m.Info.RecipientAlt.User != ben.Store.ID.User {
		t.Errorf("the phone's copy came as %+v", m.Info)
	}
	web.gets(types.ReceiptTypeDelivered, id)
	ana.gets(types.ReceiptTypeDelivered, id)
	web.gets(types.ReceiptTypeSender, id)

	id = ben.text(*ana.Store.ID, "from the other phone")
	ana.receives("from the other phone")
	web.receives("from the other phone")
	until(ben, func() bool {
		from := map[uint16]bool{}
		for _, r := range all[*events.Receipt](ben) {
			if r.Type == types.ReceiptTypeDelivered && r.MessageIDs[0] == id {
				from[r.Sender.Device] = true
			}
		}
		return from[0] && from[web.Store.ID.Device]
	})
	if err := web.MarkRead(t.Context(), []types.MessageID{id}, time.Now(), ben.Store.LID, ben.Store.LID); err != nil {
		t.Fatal(err)
	}
	if r := ben.gets(types.ReceiptTypeRead, id); r.Sender != web.Store.LID {
		t.Errorf("read by %s, want %s", r.Sender, web.Store.LID)
	}
	if r := ana.gets(types.ReceiptTypeRead, id); !r.IsFromMe || r.Chat != ben.Store.LID {
		t.Errorf("own read receipt came as %+v", r)
	}
	id = ana.text(*ana.Store.ID, "to myself")
	web.receives("to myself")
	ana.gets(types.ReceiptTypeSender, id)

	n.settled()
	if s := n.Server().Stats(); s.MessagesSent != 3 || s.MessagesDelivered != 5 || s.RepeatedIDs != 0 || s.Connections != 3 {
		t.Errorf("stats are %+v", s)
	}
}

func TestSurvivesRestartsWithoutNewPairing(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	web := n.companion(ana)
	web.text(*ben.Store.ID, "before")
	ben.receives("before")
	account, _ := n.Server().Account("5491100000001")

	n.restart(ana, ben, web)
	web.text(*ben.Store.ID, "after")
	ben.receives("after")
	ben.text(*ana.Store.ID, "and back")
	web.receives("and back")
	ana.receives("and back")

	again, ok := n.Server().Account("5491100000001")
	if !ok || again.LID != account.LID || *again.Identity.Priv != *account.Identity.Priv || *again.SignedPreKey.Signature != *account.SignedPreKey.Signature ||
		again.RegistrationID != account.RegistrationID || !again.CreatedAt.Equal(account.CreatedAt) || again.Name != "Ana" {
		t.Errorf("account came back as %+v, was %+v", again, account)
	}
	if devices := n.Server().Devices("5491100000001"); len(devices) != 1 || devices[0] != *web.Store.ID {
		t.Errorf("devices are %v", devices)
	}
	if accounts := n.Server().Accounts(); len(accounts) != 2 || accounts[1].Phone != "5491100000002" {
		t.Errorf("accounts are %v", accounts)
	}
	if n.Server().RootKey() != server.RootKey("") {
		t.Error("root key changed")
	}
}

func TestRefusesASecondServer(t *testing.T) {
	t.Parallel()
	n := setup(t)
	_, err := journal.OpenPostgres(t.Context(), n.pool)
	fails(t, err, journal.ErrLocked)
}

func TestRefusesBadAccounts(t *testing.T) {
	t.Parallel()
	n := setup(t)
	n.phone("5491100000001", "Ana")
	_, err := n.Server().CreateAccount(t.Context(), "5491100000001", "Ana")
	fails(t, err, server.ErrAccountExists)
	for _, phone := range []string{"", "123456", "1234567890123456", "+5491100000001", "549110000000x"} {
		_, err := n.Server().CreateAccount(t.Context(), phone, "x")
		fails(t, err, server.ErrPhoneInvalid)
	}
	fails(t, n.Server().Unlink(t.Context(), "5491100000009"), server.ErrNoAccount)
}

func TestKeepsTheOrderOfALongQueue(t *testing.T) {
	t.Parallel()
	const count = 350
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "hello")
	ben.receives("hello")
	n.settled("5491100000002")
	ben.Disconnect()
	var want []string
	for i := range count {
		want = append(want, fmt.Sprint("number ", i))
		ana.text(*ben.Store.ID, want[i])
	}
	n.restart()
	ben = ben.reopen()
	ben.connect()
	until(ben, func() bool { return len(ben.texts()) >= count })
	if got := ben.texts(); !slices.Equal(got, want) {
		t.Errorf("received %v", got)
	}
	preview := await(ben, func(*events.OfflineSyncPreview) bool { return true })
	end := await(ben, func(*events.OfflineSyncCompleted) bool { return true })
	if preview.Messages != count || end.Count < count {
		t.Errorf("preview %+v, end %+v", preview, end)
	}
	n.settled("5491100000002")
	if delivered := n.Server().Stats().MessagesDelivered; delivered != count {
		t.Errorf("%d delivered", delivered)
	}
}

func TestSendsNoMoreThanTheWindowUnacknowledged(t *testing.T) {
	t.Parallel()
	const count, window = 130, 100
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "hello") // and the token that comes with it
	ben.receives("hello")
	n.eventually("token", func() bool { // it would take a place in the window
		token, err := ben.Store.PrivacyTokens.GetPrivacyToken(t.Context(), ana.Store.LID.ToNonAD())
		return err == nil && token != nil
	})
	n.settled("5491100000002")
	ben.Disconnect()
	for i := range count {
		ana.text(*ben.Store.ID, fmt.Sprint("number ", i))
	}
	ben = ben.reopen()
	ben.refuse = true
	ben.connect()
	until(ben, func() bool { return len(ben.texts()) >= window })
	// An answer that was asked for after the hundredth message is behind whatever was sent with it.
	if _, err := ben.TryFetchPrivacySettings(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := len(ben.texts()); got != window {
		t.Errorf("%d messages came unacknowledged", got)
	}
	ben.Disconnect()
	ben = ben.reopen()
	ben.connect()
	until(ben, func() bool { return len(ben.texts()) >= count })
	n.settled("5491100000002")
}

func TestAnswersRetryReceipts(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	web := n.companion(ana)
	web.text(*ben.Store.ID, "one")
	ben.receives("one")
	ben.text(*ana.Store.ID, "two")
	web.receives("two")
	ana.receives("one")

	// Ben and Ana's phone lose their sessions with the companion, and cannot read what comes next.
	for _, c := range []*client{ben, ana} {
		if err := c.Store.Sessions.DeleteSession(t.Context(), web.Store.LID.SignalAddress().String()); err != nil {
			t.Fatal(err)
		}
	}
	id := web.text(*ben.Store.ID, "three")
	for _, c := range []*client{ben, ana} {
		await(c, func(u *events.UndecryptableMessage) bool { return u.Info.ID == id })
		if m := c.receives("three"); m.Info.ID != id || m.RetryCount == 0 {
			t.Errorf("answer came as %+v", m)
		}
	}
	n.settled()
	if s := n.Server().Stats(); s.RepeatedIDs != 0 {
		t.Errorf("stats are %+v", s)
	}
}

func TestCountsRepeatedIDs(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	send := func(to types.JID) {
		t.Helper()
		if _, err := ana.SendMessage(t.Context(), to, &waE2E.Message{Conversation: proto.String("again")}, whatsmeow.SendRequestExtra{ID: "3EB0AAAA"}); err != nil {
			t.Fatal(err)
		}
	}
	send(*ben.Store.ID)
	if got := n.Server().Stats().RepeatedIDs; got != 0 {
		t.Errorf("%d repeated after the first", got)
	}
	send(ben.Store.LID)
	if got := n.Server().Stats().RepeatedIDs; got != 1 {
		t.Errorf("%d repeated after the second", got)
	}
	n.restart(ana)
	send(*ben.Store.ID)
	if got := n.Server().Stats().RepeatedIDs; got != 1 {
		t.Errorf("%d repeated after the restart", got)
	}
	until(ben, func() bool { return len(ben.texts()) == 3 })
	n.settled()
}

func TestAMessageWhoseAckIsLostIsRepeatedAndShownOnce(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "first")
	ben.receives("first")
	n.Server().SetFaults(server.Faults{DropAcks: true})
	sent := make(chan error, 1)
	go func() {
		_, err := ana.SendMessage(t.Context(), ben.Store.LID, &waE2E.Message{Conversation: proto.String("second")})
		sent <- err
	}()
	ben.receives("second")
	n.Server().SetFaults(server.Faults{})
	n.restart() // after routing, before the ack
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	n.eventually("repetition", func() bool { return n.Server().Stats().RepeatedIDs == 1 })
	n.settled("5491100000002")
	if got := ben.texts(); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("received %v", got)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const delay = 300 * time.Millisecond
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "warm")
	n.Server().SetFaults(server.Faults{AckDelay: delay, RefuseConnections: true})
	begun := time.Now()
	ana.text(*ben.Store.ID, "slow")
	if took := time.Since(begun); took < delay {
		t.Errorf("acknowledged after %s", took)
	}
	ben.receives("slow")
	ben.Disconnect()
	if err := ben.Connect(); err == nil {
		t.Error("a connection was taken")
	}
	n.Server().SetFaults(server.Faults{})
	ben.connect()
}

func TestFaultsAndDisconnectSparePhones(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	web := n.companion(ana)
	ana.Disconnect()
	n.Server().MarkPhone(ana.WebSocketHeaders)
	ana.connect()
	logins := len(all[*events.Connected](ana))

	n.Server().SetFaults(server.Faults{DropAcks: true, RefuseConnections: true})
	n.Server().Disconnect("")
	await(web, func(*events.Disconnected) bool { return true })
	ana.text(*ben.Store.ID, "meanwhile")
	if got := len(all[*events.Connected](ana)); got != logins {
		t.Errorf("the phone was cut: %d logins, want %d", got, logins)
	}
	ana.Disconnect()
	ana.connect()
	if web.IsConnected() || ben.IsConnected() {
		t.Error("a companion got through")
	}
	n.Server().SetFaults(server.Faults{})
	web.receives("meanwhile")
	ben.receives("meanwhile")
}

func TestARefusalFollowedByADisconnectLeavesNoConnection(t *testing.T) {
	t.Parallel()
	n := setup(t)
	for range 30 {
		n.Server().SetFaults(server.Faults{})
		var dialing sync.WaitGroup
		begun := make(chan struct{}, 8)
		for range cap(begun) {
			dialing.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				begun <- struct{}{}
				ws, _, err := websocket.Dial(ctx, n.http.URL, nil)
				if err != nil {
					return
				}
				defer ws.CloseNow()
				if _, _, err := ws.Read(ctx); ctx.Err() != nil {
					t.Errorf("a connection stands: %v", err)
				}
			})
		}
		for range cap(begun) {
			<-begun
		}
		n.Server().SetFaults(server.Faults{RefuseConnections: true})
		n.Server().Disconnect("")
		dialing.Wait()
	}
}
