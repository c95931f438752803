package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// contactEvents are the contact.updated events that were published, oldest first.
func (b *bench) contactEvents() (list []events.ContactData) {
	b.Helper()
	for _, body := range many[[]byte](b, `SELECT payload FROM queue_messages WHERE lane LIKE 'events/%' ORDER BY id`) {
		var e struct {
			Type events.Type        `json:"type"`
			Data events.ContactData `json:"data"`
		}
		if err := json.Unmarshal(body, &e); err != nil {
			b.Fatal(err)
		}
		if e.Type == events.ContactUpdated {
			list = append(list, e.Data)
		}
	}
	return list
}

const strangerLID, strangerPhone = "777000111222", "5491144440000"

// twoSided makes a contact of whom the LID alone is known, with a chat and messages of every kind, next to the same person by phone.
func (b *bench) twoSided(session string) {
	b.Helper()
	lid, phone := strangerLID+"@lid", strangerPhone+"@s.whatsapp.net"
	b.exec(`INSERT INTO contacts (session_id, id, phone, lid, name, saved_name, about) VALUES ($1, $2, NULL, $3, 'by LID', 'saved', 'about'),
		($1, $4, $5, NULL, 'by phone', '', '')`, session, lid, strangerLID, phone, strangerPhone)
	b.exec(`INSERT INTO chats (session_id, id, kind, last_message_at, unread, archived, marked_unread, disappearing_seconds)
		VALUES ($1, $2, 'user', '2026-01-02', 3, true, true, 60), ($1, $3, 'user', '2026-01-01', 2, false, false, 0)`, session, lid, phone)
	b.exec(`INSERT INTO chat_labels VALUES ($1, $2, '1'), ($1, $2, '2'), ($1, $3, '2')`, session, lid, phone)
	message := func(n int, chat, sender, whatsappID, kind string) {
		b.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
			VALUES ($1::text::uuid, $2, $3, $4, $5, CASE WHEN $4 = '' THEN 'outgoing' ELSE 'incoming' END, 'delivered', $6, '{"type":"text"}', now())`,
			fmt.Sprintf("01932f0c-5d6b-7a10-b1f4-%012d", n), session, chat, sender, whatsappID, kind)
	}
	const group = "120363025246125486@g.us"
	message(1, lid, lid, "A", "text")
	message(2, lid, "", "B", "text")
	message(3, group, lid, "C", "text")
	message(4, lid, lid, "TWICE", "text")             // which came under both
	message(5, phone, phone, "TWICE", "text")         // and stays
	message(6, lid, lid, "HALF", "text")              // which stays
	message(7, phone, phone, "HALF", "undecryptable") // because this says nothing
	message(8, group, lid, "TWICE IN THE GROUP", "text")
	message(9, group, phone, "TWICE IN THE GROUP", "text")
	message(10, phone, phone, "D", "text")
	b.exec(`INSERT INTO reactions SELECT id, $1, 'old', '2026-01-01'::timestamptz FROM messages WHERE whatsapp_id = 'B'
		UNION ALL SELECT id, $2, 'new', '2026-01-02'::timestamptz FROM messages WHERE whatsapp_id = 'B'
		UNION ALL SELECT id, $1, 'alone', '2026-01-02'::timestamptz FROM messages WHERE whatsapp_id = 'D'`, lid, phone)
	b.exec(`INSERT INTO votes (message_id, voter_id, choices, timestamp) SELECT id, $1, '{x}', now() FROM messages WHERE whatsapp_id = 'B'`, lid)
	b.exec(`INSERT INTO message_receipts (message_id, contact_id, read_at) SELECT id, $1, '2026-01-01' FROM messages WHERE whatsapp_id = 'B'`, lid)
	b.exec(`INSERT INTO changes (id, session_id, kind, target, chat_id, parameters, expires_at) VALUES ($1, $2, 'contact.save', $3, $3, '{}', now() + interval '1 hour')`, events.NewID(), session, lid)
}

func (b *bench) connection(c *Connector, session string) *connection {
	b.Helper()
	b.awaitState(session, events.StateConnected)
	conn := c.session(session).sender()
	if conn == nil {
		b.Fatal("the session has no connection")
	}
	return conn
}

func TestWhatIsKeptUnderALIDMovesToThePhone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	b.createSession("other")
	b.exec(`UPDATE sessions SET desired = 'stopped' WHERE id = 'other'`)
	b.twoSided("sales")
	conn := b.connection(c, "sales")
	lid, phone := types.NewJID(strangerLID, types.HiddenUserServer), types.NewJID(strangerPhone, types.DefaultUserServer)
	if who, err := conn.address(b.ctx(), lid, types.EmptyJID); err != nil || who.phone != "" || who.id != lid.String() {
		t.Fatalf("before, he is %+v, %v", who, err)
	}
	for range 2 { // the second finds nothing to do
		if who, err := conn.address(b.ctx(), lid, phone); err != nil || who != (address{phone.String(), strangerPhone, strangerLID}) {
			t.Fatalf("he is %+v, %v", who, err)
		}
	}
	if left := one[int](b, `SELECT (SELECT count(*) FROM contacts WHERE id = $1) + (SELECT count(*) FROM chats WHERE id = $1) + (SELECT count(*) FROM chat_labels WHERE chat_id = $1)
		+ (SELECT count(*) FROM messages WHERE $1 IN (chat_id, sender_id)) + (SELECT count(*) FROM reactions WHERE sender_id = $1) + (SELECT count(*) FROM votes WHERE voter_id = $1)
		+ (SELECT count(*) FROM message_receipts WHERE contact_id = $1) + (SELECT count(*) FROM changes WHERE $1 IN (target, chat_id))`, lid.String()); left != 0 {
		t.Errorf("%d rows are still under the LID", left)
	}
	for what, query := range map[string]string{
		"by phone saved about 777000111222": `SELECT name || ' ' || saved_name || ' ' || about || ' ' || lid FROM contacts WHERE id = $1`,
		"5 false true 60 2026":              `SELECT unread || ' ' || archived || ' ' || marked_unread || ' ' || disappearing_seconds || ' ' || extract(year FROM last_message_at) FROM chats WHERE id = $1`,
		"1 2":                               `SELECT string_agg(label_id, ' ' ORDER BY label_id) FROM chat_labels WHERE chat_id = $1`,
		"A B D HALF TWICE":                  `SELECT string_agg(whatsapp_id, ' ' ORDER BY whatsapp_id) FROM messages WHERE chat_id = $1`,
		"text":                              `SELECT string_agg(type, ' ') FROM messages WHERE chat_id = $1 AND whatsapp_id = 'HALF'`,
		"000000000005":                      `SELECT string_agg(right(id::text, 12), ' ') FROM messages WHERE chat_id = $1 AND whatsapp_id = 'TWICE'`,
		"C TWICE IN THE GROUP":              `SELECT string_agg(whatsapp_id, ' ' ORDER BY whatsapp_id) FROM messages WHERE sender_id = $1 AND chat_id <> sender_id`,
		"alone new":                         `SELECT string_agg(emoji, ' ' ORDER BY emoji) FROM reactions WHERE sender_id = $1`,
		"{x}":                               `SELECT choices::text FROM votes WHERE voter_id = $1`,
		"1":                                 `SELECT count(*)::text FROM message_receipts WHERE contact_id = $1 AND read_at IS NOT NULL`,
		"2":                                 `SELECT (count(*) + 1)::text FROM changes WHERE $1 = target AND $1 = chat_id`,
	} {
		if got := one[string](b, query, phone.String()); got != what {
			t.Errorf("%s: %q, want %q", query, got, what)
		}
	}
	told := b.contactEvents()
	if len(told) != 1 || told[0].Changed != events.ContactAddress || told[0].PreviousID != lid.String() || told[0].Contact.ID != phone.String() || told[0].Contact.LID != strangerLID {
		t.Errorf("the events are %+v", told)
	}
}

// The map of LIDs is whatsmeow's and shared; what the session's own contacts know holds where it knows nothing.
func TestThePhoneOfALIDIsReadFromTheContacts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	b.exec(`INSERT INTO contacts (session_id, id, phone, lid) VALUES ('sales', $1, $2, $3)`, strangerPhone+"@s.whatsapp.net", strangerPhone, strangerLID)
	who, err := b.connection(c, "sales").address(b.ctx(), types.NewJID(strangerLID, types.HiddenUserServer), types.EmptyJID)
	if err != nil || who != (address{strangerPhone + "@s.whatsapp.net", strangerPhone, strangerLID}) {
		t.Errorf("he is %+v, %v", who, err)
	}
}

// A phone that became known while the session was offline, or to another session, is found with the next login; a process that dies before has lost
// nothing.
func TestALoginJoinsWhoBecameKnownMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.connector()
	b.linked("sales", owner)
	b.twoSided("sales")
	b.abandon(first)
	b.exec(`UPDATE claims SET expires_at = now()`)
	b.exec(`INSERT INTO whatsmeow.whatsmeow_lid_map (lid, pn) VALUES ($1, $2)`, strangerLID, strangerPhone)
	b.connector()
	b.await("the stranger to be joined", func() bool {
		return one[int](b, `SELECT count(*) FROM contacts WHERE id = $1`, strangerLID+"@lid") == 0
	})
	if told := b.contactEvents(); len(told) != 1 || told[0].PreviousID != strangerLID+"@lid" {
		t.Errorf("the events are %+v", told)
	}
}

// A connector that lost its claim, and does not know it yet, moves nothing.
func TestAFormerOwnerJoinsNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	b.twoSided("sales")
	conn := b.connection(c, "sales")
	b.exec(`UPDATE claims SET epoch = epoch + 1, owner = 'somebody else'`)
	_, err := conn.address(b.ctx(), types.NewJID(strangerLID, types.HiddenUserServer), types.NewJID(strangerPhone, types.DefaultUserServer))
	if err == nil || len(b.contactEvents()) != 0 || one[int](b, `SELECT count(*) FROM messages WHERE chat_id = $1`, strangerLID+"@lid") != 4 {
		t.Errorf("a former owner joined him: %v", err)
	}
}

// Somebody who holds the rows holds nobody up for long: who is heard of is told of by his phone, and what is under his LID follows later.
func TestAJoinDoesNotWaitForLongLocks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	b.twoSided("sales")
	conn := b.connection(c, "sales")
	lid, phone := types.NewJID(strangerLID, types.HiddenUserServer), types.NewJID(strangerPhone, types.DefaultUserServer)
	held, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
			if _, err := tx.Exec(b.ctx(), `SET LOCAL idle_in_transaction_session_timeout = 0; SELECT FROM contacts WHERE session_id = 'sales' FOR UPDATE`); err != nil {
				return err
			}
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	who, err := conn.address(b.ctx(), lid, phone)
	if err != nil || who.id != phone.String() || len(b.contactEvents()) != 0 {
		t.Errorf("he is %+v, %v", who, err)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	c.session("sales").mu.Lock()
	clear(c.session("sales").people) // as after acquaintanceKept
	c.session("sales").mu.Unlock()
	if _, err := conn.address(b.ctx(), lid, phone); err != nil || len(b.contactEvents()) != 1 {
		t.Errorf("after the locks he is not joined: %v", err)
	}
}

// BenchmarkJoin moves a chat of 100,000 messages (JOIN_MESSAGES, if set).
func BenchmarkJoin(bb *testing.B) {
	b := setup(bb)
	c := b.connector()
	b.linked("sales", owner)
	conn := b.connection(c, "sales")
	n := 100_000
	if v, err := strconv.Atoi(os.Getenv("JOIN_MESSAGES")); err == nil {
		n = v
	}
	for i := range bb.N {
		lid, phone := fmt.Sprintf("8800%d", i), fmt.Sprintf("549117777%04d", i)
		b.exec(`INSERT INTO contacts (session_id, id, lid) VALUES ('sales', $1, $2)`, lid+"@lid", lid)
		b.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
			SELECT gen_random_uuid(), 'sales', $1, CASE WHEN i % 2 = 0 THEN $1 ELSE '' END, 'W' || i, CASE WHEN i % 2 = 0 THEN 'incoming' ELSE 'outgoing' END, 'read', 'text',
			       jsonb_build_object('type', 'text', 'text', repeat('x', 100)), now() FROM generate_series(1, $2::int) i`, lid+"@lid", n)
		began := time.Now()
		if err := conn.join(context.Background(), address{phone + "@s.whatsapp.net", phone, lid}); err != nil {
			bb.Fatal(err)
		}
		bb.ReportMetric(time.Since(began).Seconds(), "s/join")
	}
}
