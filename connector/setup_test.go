package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/testpoll"
	"github.com/chasqui/chasqui/infra/tests3"
)

// patience is what a test waits for one thing; most take milliseconds.
const patience = 40 * time.Second

func TestMain(m *testing.M) { testdb.Run(tests3.With(m)) }

// bench is a database with a sandbox, for connectors to run on.
type bench struct {
	testing.TB
	dsn     string
	pool    *pgxpool.Pool
	db      *queue.DB
	sandbox *sandbox.Sandbox
	s3      *s3.Store
}

func setup(t testing.TB) *bench {
	t.Helper()
	b := &bench{TB: t, dsn: testdb.DSN(t), s3: tests3.Open(t)}
	ctx := b.ctx()
	var err error
	if b.pool, err = postgres.Open(ctx, b.dsn, postgres.Options{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.pool.Close)
	signals, err := signalstore.Open(ctx, signalstore.Config{DSN: b.dsn, Schema: SignalSchema, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer signals.Close()
	if err := signals.Upgrade(ctx); err != nil {
		t.Fatal(err)
	}
	b.db = &queue.DB{Pool: b.pool, Notifier: queue.NewNotifier(b.pool)}
	t.Cleanup(b.db.Notifier.Close)
	b.sandbox = sandbox.New(sandbox.Config{DSN: b.dsn, Addr: "127.0.0.1:0", Logger: quiet(), Transcript: 1000})
	if err := b.sandbox.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := b.sandbox.Stats().UnknownStanzas; n != 0 {
			t.Errorf("%d stanzas were unknown to the sandbox", n)
		}
		b.sandbox.Stop()
	})
	return b
}

func quiet() *slog.Logger {
	level := slog.LevelError + 1
	if os.Getenv("CONNECTOR_TEST_LOG") != "" {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	b.Cleanup(cancel)
	return ctx
}

// connector starts a connector that stops with the test.
func (b *bench) connector(change ...func(*Config)) *Connector {
	b.Helper()
	c := b.prepared(change...)
	if err := c.Start(b.ctx()); err != nil {
		b.Fatal(err)
	}
	return c
}

// testKeys are those of all connectors in tests, since what is sealed goes through more than what is not.
var testKeys = func() *seal.Keys {
	keys, err := seal.Parse(strings.Repeat("c7", 32))
	if err != nil {
		panic(err)
	}
	return keys
}()

func (b *bench) prepared(change ...func(*Config)) *Connector {
	root := b.sandbox.RootKey()
	cfg := Config{DSN: b.dsn, WhatsAppURL: b.sandbox.WhatsAppURL(), WhatsAppRootKey: root[:], S3: b.s3, PublicURL: "http://api.test", Keys: testKeys, Logger: quiet(), MaxConns: 8}
	for _, fn := range change {
		fn(&cfg)
	}
	c := New(cfg)
	b.Cleanup(func() { b.stop(c) })
	return c
}

func (b *bench) stop(c *Connector) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		b.Error(err)
	}
}

// abandon ends a connector as kill -9 does, as far as others can see: it stops at once, writes nothing and gives nothing back.
func (b *bench) abandon(c *Connector) {
	for _, s := range c.running() {
		s.cancel(errClaimLost)
	}
	c.startStop.Lock()
	defer c.startStop.Unlock()
	c.stopped = true
	c.shutDown()
}

// exec changes the database as the API does, and wakes the connectors.
func (b *bench) exec(sql string, args ...any) {
	b.Helper()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		_, err := tx.Exec(b.ctx(), sql, args...)
		tx.Notify(events.WakeControl)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) createSession(id string) { b.exec(`INSERT INTO sessions (id) VALUES ($1)`, id) }

// one reads one value.
func one[T any](b *bench, sql string, args ...any) T {
	b.Helper()
	rows, err := b.pool.Query(b.ctx(), sql, args...)
	if err != nil {
		b.Fatal(err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return v
}

func many[T any](b *bench, sql string, args ...any) []T {
	b.Helper()
	rows, err := b.pool.Query(b.ctx(), sql, args...)
	if err != nil {
		b.Fatal(err)
	}
	v, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return v
}

// await waits until true is returned; what describes failure.
func (b *bench) await(what string, ready func() bool) {
	b.Helper()
	b.awaitFor(patience, what, ready)
}

func (b *bench) awaitFor(d time.Duration, what string, ready func() bool) {
	b.Helper()
	if !testpoll.True(d, ready) {
		states := many[string](b, `SELECT id || ': ' || state || ' (' || reason || ')' FROM sessions ORDER BY id`)
		b.Fatalf("waited %s for %s; sessions are %q", d, what, states)
	}
}

func (b *bench) awaitState(id string, want events.SessionState) {
	b.Helper()
	b.await(fmt.Sprintf("session %s to be %s", id, want), func() bool {
		return one[string](b, `SELECT shown_state FROM session_views WHERE id = $1`, id) == string(want)
	})
}

// phone makes a virtual phone.
func (b *bench) phone(number string, name string) {
	b.Helper()
	if _, _, err := b.sandbox.CreatePhone(b.ctx(), sandbox.NewPhone{Number: number, Name: name}); err != nil {
		b.Fatal(err)
	}
}

// scan links a session, which shows a QR code, to a phone, and waits until it is connected.
func (b *bench) scan(id, number string) {
	b.Helper()
	b.awaitState(id, events.StateQR)
	code := one[string](b, `SELECT qr FROM sessions WHERE id = $1`, id)
	if _, err := b.sandbox.Scan(b.ctx(), number, code); err != nil {
		b.Fatal(err)
	}
	b.awaitState(id, events.StateConnected)
}

// linked makes a phone and a session that is linked to it and has its history. It needs a running connector.
func (b *bench) linked(id, number string) {
	b.Helper()
	b.phone(number, "Owner of "+id)
	b.createSession(id)
	b.scan(id, number)
	b.await("the history of "+id, func() bool {
		_, owed, err := b.sandbox.History(number)
		return err == nil && owed == 0 && one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE lane = 'commands/' || $1 || '/history'`, id) == 0
	})
}

// fromPhone sends a text from a phone.
func (b *bench) fromPhone(number, to, text string) (whatsappID string) {
	b.Helper()
	id, err := b.sandbox.SendText(b.ctx(), number, to, text)
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// send accepts a text as the API does: a row and a command in one transaction.
func (b *bench) send(session, number, text string) uuid.UUID {
	b.Helper()
	id := events.NewID()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		content, _ := json.Marshal(events.Content{Type: events.ContentText, Text: text})
		_, err := tx.Exec(b.ctx(), `INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
			VALUES ($1, $2, $3, $4, 'outgoing', 'queued', 'text', $5, now())`,
			id, session, number+"@"+events.PhoneServer, "3EB0"+id.String()[:8]+id.String()[30:], content)
		if err != nil {
			return err
		}
		payload, _ := json.Marshal(events.SendCommand{MessageID: id, SessionID: session})
		tx.Publish(events.TopicCommands, queue.Message{
			ID: id, Lane: events.SendLane(session), Session: session, Payload: payload,
			Metadata: map[string]string{events.MetaCommand: events.CommandSend},
		})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

func (b *bench) status(id uuid.UUID) string {
	b.Helper()
	return one[string](b, `SELECT status FROM messages WHERE id = $1`, id)
}

func (b *bench) awaitStatus(id uuid.UUID, want events.MessageStatus) {
	b.Helper()
	b.await(fmt.Sprintf("message to be %s", want), func() bool { return b.status(id) == string(want) })
}

// shown waits until a phone has seen n messages and returns their texts.
func (b *bench) shown(number string, n int) []string {
	b.Helper()
	var texts []string
	b.await(fmt.Sprintf("%d messages on phone %s", n, number), func() bool {
		list, err := b.sandbox.Messages(b.ctx(), number, 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		texts = nil
		for _, m := range list {
			texts = append(texts, m.Text)
		}
		return len(texts) >= n
	})
	return texts
}

// event is an event as the sequencer will find it.
type event struct {
	ID        string      `json:"id"`
	Type      events.Type `json:"type"`
	SessionID string      `json:"sessionId"`
	Data      struct {
		Message   events.Message       `json:"message"`
		Session   events.Session       `json:"session"`
		QR        *events.QR           `json:"qr"`
		Passkey   *events.Passkey      `json:"passkey"`
		MessageID string               `json:"messageId"`
		Status    events.MessageStatus `json:"status"`
		By        *events.Address      `json:"by"`
		Error     *events.MessageError `json:"error"`
	} `json:"data"`
}

// events returns the events that were published, in the order of the queue, of the given types.
func (b *bench) events(types ...events.Type) []event {
	b.Helper()
	var list []event
	for _, body := range many[[]byte](b, `SELECT payload FROM queue_messages WHERE lane LIKE 'events/%' ORDER BY id`) {
		var e event
		if err := json.Unmarshal(body, &e); err != nil {
			b.Fatal(err)
		}
		for _, t := range types {
			if e.Type == t {
				list = append(list, e)
			}
		}
	}
	return list
}

func mustParse(t testing.TB, id string) uuid.UUID {
	t.Helper()
	v, err := events.MessagePrefix.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
