package signalstore

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/ratchet/ratchettest"
)

// The same copy is put back twice, each time after the device has sent on. With the copy's sessions the first texts after that are dropped as
// "received message with old counter".
func TestADevicePutBackToAnOlderCopyIsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ours, theirs := b.adopt(t, "111", Options{}), b.adopt(t, "222", Options{})
	us, them := ratchettest.Connect(ours, theirs)
	pass := func(from, to *ratchettest.Peer, text string) {
		t.Helper()
		if err := from.Answer(b.ctx, text); err != nil {
			t.Fatal(err)
		}
		if got, err := to.Receive(b.ctx, <-from.Out); err != nil || got != text {
			t.Errorf("%q came as %q, %v", text, got, err)
		}
	}
	begin := func() { // as whatsmeow does before it sends to a device without a session
		t.Helper()
		if err := us.Begin(b.ctx, them); err != nil {
			t.Fatal(err)
		}
	}
	begin()
	pass(us, them, "hello")
	pass(them, us, "hello")
	b.exec(t, "CREATE TABLE copy AS SELECT * FROM whatsmeow.whatsmeow_sessions WHERE our_jid = $1", ours.ID.String())
	for range 2 {
		pass(us, them, "after the copy")
		pass(them, us, "an answer")
		pass(us, them, "and on")
		b.exec(t, "UPDATE whatsmeow.whatsmeow_sessions s SET session = c.session FROM copy c WHERE c.our_jid = s.our_jid AND c.their_id = s.their_id")
		b.renew(t, *ours.ID)
		begin()
		pass(us, them, "after the restore")
		pass(them, us, "an answer to it")
		pass(us, them, "and on")
	}
}

func (b bundle) renew(t testing.TB, jid types.JID) {
	t.Helper()
	err := pgx.BeginFunc(b.ctx, b.admin, func(tx pgx.Tx) error { return Renew(b.ctx, tx, "whatsmeow", []string{jid.String()}) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestRenewForgetsWhatADeviceEncryptsWithOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ours, others := b.adopt(t, "111", Options{}), b.adopt(t, "222", Options{}) // LIDs 9111 and 9222
	for _, d := range []string{ours.ID.String(), others.ID.String()} {
		for _, address := range []string{"111:0", "9111_1:3", "222:0", "9222_1:0", "11:0"} {
			b.exec(t, "INSERT INTO whatsmeow.whatsmeow_sessions VALUES ($1, $2, 'x')", d, address)
			b.exec(t, "INSERT INTO whatsmeow.whatsmeow_sender_keys VALUES ($1, 'g@g.us', $2, 'x')", d, address)
		}
	}
	b.renew(t, *ours.ID)
	for _, want := range []struct {
		device, table string
		rows          int
	}{
		{ours.ID.String(), "sessions", 0}, {ours.ID.String(), "sender_keys", 3}, {others.ID.String(), "sessions", 5}, {others.ID.String(), "sender_keys", 5},
	} {
		if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_"+want.table+" WHERE our_jid = $1", want.device); n != want.rows {
			t.Errorf("%s has %d %s, want %d", want.device, n, want.table, want.rows)
		}
	}
}
