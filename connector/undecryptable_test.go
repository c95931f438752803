package connector

import (
	"slices"
	"testing"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/sandbox/server"
	"github.com/chasqui/chasqui/infra/signalstore"
)

// companion links a device of the test's own to a phone.
func (b *bench) companion(number string) *caller {
	b.Helper()
	root := b.sandbox.RootKey()
	w := &wire{TB: b, ctx: b.ctx(), cfg: Config{WhatsAppURL: b.sandbox.WhatsAppURL(), WhatsAppRootKey: root[:]}}
	var err error
	if w.store, err = signalstore.Open(w.ctx, signalstore.Config{DSN: b.dsn, Schema: SignalSchema, MaxConns: 4}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { w.store.Close() })
	c := w.pair(number, func(code string) error {
		_, err := b.sandbox.Scan(w.ctx, number, code)
		return err
	})
	b.await("the companion to have what its phone sends it first", func() bool { // a fault would hit that
		_, owed, err := b.sandbox.History(number)
		return err == nil && owed == 0 && b.sandbox.Queued(number) == 0
	})
	return c
}

var ownerJID = types.NewJID(owner, types.DefaultUserServer)

// tell sends a text from the companion to the owner.
func (c *caller) tell(text string) (id string) {
	c.w.Helper()
	sent, err := c.SendMessage(c.w.ctx, ownerJID, &waE2E.Message{Conversation: proto.String(text)})
	if err != nil {
		c.w.Fatal(err)
	}
	return sent.ID
}

// list is what GET messages shows of a session, the oldest first.
func (b *bench) list(session string) []db.MessageView {
	b.Helper()
	rows, err := db.New().MessageList(b.ctx(), b.pool, session, "", nil, 100)
	if err != nil {
		b.Fatal(err)
	}
	slices.Reverse(rows)
	return rows
}

// The sender does not send it again; the account's own phone has it.
func TestTheOwnersPhoneHelpsWithAnUndecryptableMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	friend := b.companion(juan)
	asked := make(chan struct{}, 10)
	friend.PreRetryCallback = func(*waevents.Receipt, types.MessageID, int, *waE2E.Message) bool {
		asked <- struct{}{}
		return false
	}
	friend.tell("first")
	b.await("the first message", func() bool { return len(b.events(events.MessageReceived)) == 1 })
	b.sandbox.SetFaults(server.Faults{Corrupt: server.Sometimes{Rate: 1, Count: 1}})
	friend.tell("second")
	<-asked
	b.await("the second message", func() bool { return len(b.events(events.MessageReceived)) >= 2 })
	friend.tell("third")
	b.await("the third message", func() bool { return len(b.events(events.MessageReceived)) >= 3 && b.sandbox.Queued(owner) == 0 })
	if got := b.texts(events.MessageReceived); !slices.Equal(got, []string{"first", "second", "third"}) {
		t.Errorf("told %q", got)
	}
	if rows := b.list("sales"); len(rows) != 3 || rows[1].Type != events.ContentText {
		t.Errorf("shown %+v", rows)
	}
}

// whatsmeow passes over the failure of the handler of what the phone answers (message.go, handleDecryptedMessage): it would note the answer as
// done, and drop the copy that comes again.
func TestThePhonesAnswerIsNotLostWhenItsHandlerFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.armed()
	b.exec(`CREATE TRIGGER crash_replaced BEFORE UPDATE ON messages FOR EACH ROW WHEN (OLD.type = 'undecryptable') EXECUTE FUNCTION crash('replaced')`)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	friend := b.companion(juan)
	friend.PreRetryCallback = func(*waevents.Receipt, types.MessageID, int, *waE2E.Message) bool { return false }
	b.exec(`INSERT INTO crash_at VALUES ('replaced', true)`)
	b.sandbox.SetFaults(server.Faults{Corrupt: server.Sometimes{Rate: 1, Count: 1}})
	friend.tell("hello")
	b.await("an error", func() bool { return one[bool](b, `SELECT is_called FROM crash_raised`) })
	if rows := b.list("sales"); len(rows) != 1 || rows[0].Type != events.ContentUndecryptable {
		t.Errorf("shown %+v", rows)
	}
	b.exec(`DELETE FROM crash_at`)
	b.await("the message", func() bool { return len(b.events(events.MessageReceived)) >= 1 && b.sandbox.Queued(owner) == 0 })
	if got := b.texts(events.MessageReceived); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("told %q", got)
	}
}

// Neither the sender nor the account's phone can send it again. It stays what it is, and nothing waits for it.
func TestWhatStaysUndecryptableIsShownAsSuch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	friend := b.companion(juan)
	friend.raw("LOST", b.device("sales"), enc("msg", []byte("nobody can read this")))
	b.await("the notice", func() bool { return len(b.list("sales")) == 1 })
	b.fromPhone(juan, owner, "found")
	b.await("what follows", func() bool { return len(b.events(events.MessageReceived)) >= 1 && b.sandbox.Queued(owner) == 0 })
	if got := b.texts(events.MessageReceived); !slices.Equal(got, []string{"found"}) {
		t.Errorf("told %q", got)
	}
	rows := b.list("sales")
	if len(rows) != 2 || rows[0].Type != events.ContentUndecryptable || rows[0].Direction != events.Incoming || rows[0].SenderPhone != juan ||
		string(rows[0].Content) != `{"type": "undecryptable"}` {
		t.Errorf("shown %+v", rows)
	}
}

// The ratchet of the account was put back: what the sender encrypts cannot be read until it was sent again in another session.
func TestASessionThatWasLostHealsWithoutALoss(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.fromPhone(juan, owner, "before")
	b.awaitStatus(b.send("sales", juan, "hello"), events.StatusDelivered)
	b.stop(c)
	b.exec(`DELETE FROM whatsmeow.whatsmeow_sessions`)
	for _, text := range numbered(0, 5) {
		b.fromPhone(juan, owner, text)
	}
	b.connector()
	b.await("the messages", func() bool { return len(b.events(events.MessageReceived)) >= 6 && b.sandbox.Queued(owner) == 0 })
	got := b.texts(events.MessageReceived)
	slices.Sort(got)
	if want := append([]string{"before"}, numbered(0, 5)...); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
	if n := one[int](b, `SELECT count(*)::int FROM messages WHERE type = 'undecryptable'`); n != 0 {
		t.Errorf("%d messages stayed undecryptable", n)
	}
}

// A receipt is acknowledged when what it says is written.
func TestAReceiptIsNotLostInACrash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.armed()
	b.exec(`CREATE TRIGGER crash_moved BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.status = 'read') EXECUTE FUNCTION crash('moved')`)
	hold, err := b.pool.Acquire(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold.Exec(b.ctx(), `SELECT pg_advisory_lock($1)`, crashLock); err != nil {
		t.Fatal(err)
	}
	same := func(c *Config) { c.Owner, c.TakeOver = "dev", true }
	c := b.connector(same)
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	id := b.send("sales", juan, "hello")
	b.awaitStatus(id, events.StatusDelivered)
	b.exec(`INSERT INTO crash_at VALUES ('moved', false)`)
	if _, err := b.sandbox.Read(b.ctx(), juan, owner); err != nil {
		t.Fatal(err)
	}
	b.await("the receipt", b.stopped)
	b.abandon(c)
	b.exec(`DELETE FROM crash_at`)
	if _, err := hold.Exec(b.ctx(), `SELECT pg_advisory_unlock_all()`); err != nil {
		t.Fatal(err)
	}
	hold.Release()
	b.connector(same)
	b.awaitStatus(id, events.StatusRead)
	read := slices.DeleteFunc(b.events(events.MessageUpdated), func(e event) bool { return e.Data.Status != events.StatusRead })
	if len(read) != 1 {
		t.Errorf("told %+v", read)
	}
}
