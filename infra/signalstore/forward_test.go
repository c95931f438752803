package signalstore

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/libsignal/protocol"
	"go.mau.fi/whatsmeow/types"
)

// A device is put back to an older copy after it has sent, and once after its sending chain has changed as well. Without Forward the first
// texts after that are dropped as "received message with old counter".
func TestADevicePutBackToAnOlderCopyIsStillReadAndReads(t *testing.T) {
	t.Parallel()
	for _, turns := range []int{1, 3} {
		b := setup(t)
		left, right := make(chan protocol.CiphertextMessage, 64), make(chan protocol.CiphertextMessage, 64)
		ours, theirs := b.adopt(t, "111", Options{}), b.adopt(t, "222", Options{})
		us, them := &peer{ours, left, right, theirs.ID.SignalAddress()}, &peer{theirs, right, left, ours.ID.SignalAddress()}
		pass := func(from, to *peer, text string) {
			t.Helper()
			if err := from.answer(b.ctx, text); err != nil {
				t.Fatal(err)
			}
			if got, err := to.receive(b.ctx, <-from.out); err != nil || got != text {
				t.Errorf("%d turns: %q came as %q, %v", turns, text, got, err)
			}
		}
		if err := us.begin(b.ctx, them); err != nil {
			t.Fatal(err)
		}
		pass(us, them, "hello")
		pass(them, us, "hello")
		pass(us, them, "before the copy")
		b.exec(t, "CREATE TABLE copy AS SELECT * FROM whatsmeow.whatsmeow_sessions WHERE our_jid = $1", ours.ID.String())
		for turn := range turns {
			if turn > 0 {
				pass(them, us, "a turn")
			}
			for range 20 {
				pass(us, them, "after the copy")
			}
		}
		b.exec(t, "UPDATE whatsmeow.whatsmeow_sessions s SET session = c.session FROM copy c WHERE c.our_jid = s.our_jid AND c.their_id = s.their_id")
		b.forward(t, *ours.ID)
		pass(us, them, "after the restore")
		pass(us, them, "and again")
		if turns == 1 { // else what they send is of a key the copy does not have, and is asked for again
			pass(them, us, "an answer")
			pass(us, them, "and on")
		}
	}
}

func (b bundle) forward(t testing.TB, jid types.JID) {
	t.Helper()
	err := pgx.BeginFunc(b.ctx, b.admin, func(tx pgx.Tx) error { return Forward(b.ctx, tx, "whatsmeow", []string{jid.String()}) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestForwardForgetsOwnSessionsAndSenderKeysOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ours, others := b.adopt(t, "111", Options{}), b.adopt(t, "222", Options{}) // LIDs 9111 and 9222
	for _, d := range []string{ours.ID.String(), others.ID.String()} {
		for _, address := range []string{"111:0", "9111_1:3", "222:0", "9222_1:0", "11:0", "9111:0@x"} {
			b.exec(t, "INSERT INTO whatsmeow.whatsmeow_sessions VALUES ($1, $2, 'unreadable')", d, address)
			b.exec(t, "INSERT INTO whatsmeow.whatsmeow_sender_keys VALUES ($1, 'g@g.us', $2, 'k')", d, address)
		}
	}
	b.forward(t, *ours.ID)
	for _, table := range []string{"sessions", "sender_keys"} {
		if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_"+table+" WHERE our_jid = $1", ours.ID.String()); n != 3 {
			t.Errorf("%d %s are left of 6, want 3", n, table)
		}
		if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_"+table+" WHERE our_jid = $1", others.ID.String()); n != 6 {
			t.Errorf("another device has %d %s, want 6", n, table)
		}
	}
}
