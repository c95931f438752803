package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Eight publishers and two dispatchers, one of which is killed again and again: a reader that only remembers the last seq it saw gets every
// event once, those of a chat in order, and each event has one delivery.
func TestTheLogMissesDoublesAndInvertsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addEndpoint("http://127.0.0.1:1/", "state = 'paused'")
	const publishers, chats, each = 8, 3, 60

	b.start()
	ctx, cancel := context.WithCancel(t.Context())
	var killing, reading sync.WaitGroup
	killing.Go(func() {
		for ctx.Err() == nil {
			d := New(Config{DSN: b.dsn, Guard: localGuard(), S3: b.s3, Logger: silent()})
			if err := d.Start(t.Context()); err != nil {
				t.Errorf("start: %v", err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(rand.N(150 * time.Millisecond)):
			}
			kill(d)
		}
	})

	var read []uuid.UUID
	reading.Go(func() {
		var last int64
		for len(read) < publishers*chats*each && ctx.Err() == nil {
			rows, err := b.pool.Query(ctx, `SELECT seq, id FROM events WHERE seq > $1 ORDER BY seq LIMIT 100`, last)
			if err != nil {
				return
			}
			var id uuid.UUID
			_, err = pgx.ForEachRow(rows, []any{&last, &id}, func() error { read = append(read, id); return nil })
			if err != nil {
				t.Errorf("read: %v", err)
				return
			}
		}
	})

	var mu sync.Mutex
	published := map[string][]uuid.UUID{} // by chat, in order
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for i := range chats * each {
				chat := fmt.Sprintf("%d@s.whatsapp.net", p*chats+i%chats)
				var id uuid.UUID
				err := b.db.InTx(t.Context(), func(tx *queue.Tx) (err error) {
					id, err = events.Publish(tx, events.MessageReceived, "s", chat, time.Now(), note{N: i})
					return err
				})
				if err != nil {
					t.Errorf("publish: %v", err)
					return
				}
				mu.Lock()
				published[chat] = append(published[chat], id)
				mu.Unlock()
			}
		})
	}
	publishing.Wait()
	timeout := time.AfterFunc(deadline, cancel)
	reading.Wait()
	timeout.Stop()
	cancel()
	killing.Wait()

	if len(read) != publishers*chats*each {
		t.Fatalf("the reader saw %d events, want %d", len(read), publishers*chats*each)
	}
	place := map[uuid.UUID]int{}
	for i, id := range read {
		if _, twice := place[id]; twice {
			t.Errorf("event %s came twice", id)
		}
		place[id] = i
	}
	for chat, ids := range published {
		if !slices.IsSortedFunc(ids, func(x, y uuid.UUID) int { return place[x] - place[y] }) {
			t.Errorf("chat %s is out of order", chat)
		}
	}
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'held'`); n != len(read) {
		t.Errorf("%d deliveries, want %d", n, len(read))
	}
	if n := b.count(`SELECT count(*) FROM queue_messages`) + b.count(`SELECT count(*) FROM queue_dead`); n != 0 {
		t.Errorf("%d messages are left in the queue", n)
	}
}

func TestAnEventThatCannotBeStoredHoldsUpNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addEndpoint("http://127.0.0.1:1/", "state = 'paused'")
	const good = 20
	err := b.db.InTx(t.Context(), func(tx *queue.Tx) error {
		for i := range good {
			if _, err := events.Publish(tx, events.MessageReceived, "s", "1@s.whatsapp.net", time.Now(), note{N: i}); err != nil {
				return err
			}
			switch i {
			case 3: // no time
				tx.Publish(events.TopicEvents, queue.Message{Lane: "s/1@s.whatsapp.net", Metadata: map[string]string{events.MetaType: "message.received"}})
			case 7: // a time that Go reads and PostgreSQL cannot store in a type that the index takes
				tx.Publish(events.TopicEvents, queue.Message{Lane: "s/1@s.whatsapp.net", Metadata: map[string]string{
					events.MetaType: string(longText()), events.MetaSession: string(longText()), events.MetaTimestamp: time.Now().Format(time.RFC3339Nano)}})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.start()
	eventually(t, "two dead letters and the rest in the log", func() bool {
		return b.count(`SELECT count(*) FROM queue_dead`) == 2 && b.count(`SELECT count(*) FROM queue_messages`) == 0
	})
	if n := b.count(`SELECT count(*) FROM events e JOIN deliveries d ON d.event_id = e.id AND d.event_seq = e.seq`); n != good {
		t.Errorf("%d events with a delivery, want %d", n, good)
	}
	if n := b.count(`SELECT count(*) FROM (SELECT (convert_from(body, 'UTF8')::jsonb #>> '{data,n}')::int AS n, row_number() OVER (ORDER BY seq) - 1 AS place FROM events) x WHERE n <> place`); n != 0 {
		t.Errorf("%d events are out of order", n)
	}
}

// longText is more than an index row holds (2,704 bytes), and compresses badly.
func longText() []byte {
	text := make([]byte, 20000)
	for i := range text {
		text[i] = byte('!' + rand.N(90))
	}
	return text
}

func TestAnEventPublishedTwiceIsOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addEndpoint("http://127.0.0.1:1/", "state = 'paused'")
	message := queue.Message{ID: events.NewID(), Lane: "s", Payload: []byte(`{}`), Metadata: map[string]string{
		events.MetaType: "session.status", events.MetaSession: "s", events.MetaTimestamp: time.Now().Format(time.RFC3339Nano)}}
	again := func(tx *queue.Tx) error { tx.Publish(events.TopicEvents, message); return nil }
	if err := errors.Join(b.db.InTx(t.Context(), again), b.db.InTx(t.Context(), again)); err != nil {
		t.Fatal(err)
	}
	b.start()
	empty := func() bool { return b.count(`SELECT count(*) FROM queue_messages`) == 0 }
	eventually(t, "the queue is empty", empty)
	if err := b.db.InTx(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the queue is empty again", empty)
	if e, d := b.count(`SELECT count(*) FROM events`), b.count(`SELECT count(*) FROM deliveries`); e != 1 || d != 1 {
		t.Errorf("%d events and %d deliveries, want one each", e, d)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		events, sessions []string
		want             bool
	}{
		{[]string{"*"}, nil, true},
		{[]string{"message.received"}, nil, true},
		{[]string{"message.*"}, nil, true},
		{[]string{"session.*", "message.received"}, []string{"other", "sales"}, true},
		{[]string{"*"}, []string{"other"}, false},
		{[]string{"message.sent", "session.*"}, nil, false},
		{[]string{"message.rec"}, nil, false},
		{[]string{"message.rec*"}, nil, false},
		{[]string{"message"}, nil, false},
		{nil, nil, true},
	} {
		e := db.EndpointListForEventsRow{Events: c.events, Sessions: c.sessions}
		if got := matches(e, events.Facts{Type: "message.received", SessionID: "sales"}); got != c.want {
			t.Errorf("%v of %v: got %t", c.events, c.sessions, got)
		}
	}
}

func TestOrderKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mode, session, chat, want string }{
		{"none", "s", "c", ""}, {"chat", "s", "c", "s/c"}, {"chat", "s", "", "s"}, {"session", "s", "c", "s"}, {"session", "", "", ""}, {"chat", "", "", ""},
	} {
		got := orderKey(c.mode, c.session, c.chat)
		if (got == nil) != (c.want == "") || got != nil && *got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
