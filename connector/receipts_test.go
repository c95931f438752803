package connector

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// outgoing stores a message to Juan as it stands between the connector's steps.
func (b *bench) outgoing(session string, status events.MessageStatus) (id uuid.UUID) {
	b.Helper()
	id = events.NewID()
	b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
		VALUES ($1, $2, $3, $4, 'outgoing', $5, 'text', '{"type":"text","text":"hello"}', now())`,
		id, session, juan+"@"+events.PhoneServer, id.String(), string(status))
	return id
}

// receipt is an event as whatsmeow gives it for a receipt of a message to Juan.
func receipt(id uuid.UUID, by string, t types.ReceiptType) *waevents.Receipt {
	chat, sender := types.NewJID(juan, types.DefaultUserServer), types.NewJID(by, types.DefaultUserServer)
	return &waevents.Receipt{
		MessageSource: types.MessageSource{Chat: chat, Sender: sender, IsFromMe: by == owner},
		MessageIDs:    []types.MessageID{id.String()}, Type: t, Timestamp: time.Now(),
	}
}

func TestOnlyWhatTheRecipientWasSeenToGetMovesAStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	id := b.outgoing("sales", events.StatusSent)
	for _, tt := range []struct {
		by   string
		kind types.ReceiptType
		want events.MessageStatus
	}{
		{owner, types.ReceiptTypeRead, events.StatusSent}, // the owner's own devices
		{owner, types.ReceiptTypeReadSelf, events.StatusSent},
		{owner, types.ReceiptTypeDelivered, events.StatusSent},
		{owner, types.ReceiptTypeSender, events.StatusSent},
		{juan, types.ReceiptTypeInactive, events.StatusSent}, // a device in the background
		{juan, types.ReceiptTypeRetry, events.StatusSent},
		{juan, types.ReceiptTypeDelivered, events.StatusDelivered},
		{owner, types.ReceiptTypeRead, events.StatusDelivered},
		{juan, types.ReceiptTypeRead, events.StatusRead},
		{juan, types.ReceiptTypeDelivered, events.StatusRead}, // never back
		{juan, types.ReceiptTypePlayed, events.StatusPlayed},
	} {
		if !conn.handle(receipt(id, tt.by, tt.kind)) {
			t.Fatalf("%s by %s was refused: %v", tt.kind, tt.by, context.Cause(conn.ctx))
		}
		if got := b.status(id); got != string(tt.want) {
			t.Errorf("after %q by %s the message is %s, want %s", tt.kind, tt.by, got, tt.want)
		}
	}
	if n := len(b.events(events.MessageUpdated)); n != 3 {
		t.Errorf("%d events tell of the status, want 3", n)
	}
}

// Taken without the claim it would be acknowledged, and the next owner would never see it.
func TestReceiptOfALostClaimIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	for _, status := range []events.MessageStatus{events.StatusSent, events.StatusRead} { // something to move, and nothing
		id := b.outgoing("sales", status)
		b.exec(`UPDATE claims SET epoch = epoch + 1`)
		ctx, cancel := context.WithTimeout(b.ctx(), patience)
		defer cancel()
		if err := conn.receipt(ctx, receipt(id, juan, types.ReceiptTypeDelivered)); err == nil {
			t.Errorf("a receipt for a message that is %s was taken without the claim", status)
		}
		if got := b.status(id); got != string(status) {
			t.Errorf("the message is %s", got)
		}
	}
}

// trips counts a pool's round trips: every statement is one, a transaction's begin and commit among them.
type trips struct{ n atomic.Int64 }

func (c *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (*trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *trips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (*trips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (*trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// A receipt that comes before the end of the sending is written tells that the message was sent, and counts it; the end does not do so again.
func TestAReceiptThatIsFasterCountsTheMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	registry := prometheus.NewRegistry()
	c := b.connector(func(cfg *Config) { cfg.Metrics = registry })
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	s := c.session("sales")
	id, now := b.outgoing("sales", events.StatusSending), time.Now()
	if !s.sender().handle(receipt(id, juan, types.ReceiptTypeDelivered)) {
		t.Fatal("the receipt was refused")
	}
	if _, err := s.finish(b.ctx(), id, db.MessageFinishParams{Status: string(events.StatusSent), Timestamp: &now}); err != nil {
		t.Fatal(err)
	}
	sends, latencies := counted(t, registry, "chasqui_connector_sends_total", "", "sent"), counted(t, registry, "chasqui_connector_send_latency_seconds")
	if told := len(b.events(events.MessageSent)); sends != 1 || latencies != 1 || told != 1 || b.status(id) != "delivered" {
		t.Errorf("counted %v times, its latency %v times, told %d times; it is %s", sends, latencies, told, b.status(id))
	}
}

func TestEachStepOfAMessageTakesFewRoundTrips(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	live := c.session("sales")

	// A session beside the live one, under the same claim, whose statements are counted.
	var count trips
	cfg, err := pgxpool.ParseConfig(b.dsn)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.Tracer = &count
	pool, err := pgxpool.NewWithConfig(b.ctx(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	beside := New(Config{Owner: c.cfg.Owner, Logger: quiet()})
	beside.pool, beside.db, beside.ctx = pool, &queue.DB{Pool: pool}, b.ctx()
	s := newSession(beside, db.SessionListControlRow{ID: "sales", Settings: []byte("{}")}, claim{epoch: live.epoch, at: time.Now()})
	ctx, fail := context.WithCancelCause(b.ctx())
	conn := &connection{s: s, device: live.sender().device, ctx: ctx, fail: fail, signals: make(chan any, 1)}

	now := time.Now()
	sending, sent := b.outgoing("sales", events.StatusSending), b.outgoing("sales", events.StatusSent)
	code, message := "internal_error", "no"
	for _, step := range []struct {
		name string
		want int64
		do   func() bool
	}{
		{"an incoming message", 2, func() bool { return conn.handle(fromJuan("A", &waE2E.Message{Conversation: proto.String("a")})) }},
		{"a repeated copy of it", 2, func() bool { return conn.handle(fromJuan("A", &waE2E.Message{Conversation: proto.String("a")})) }},
		{"the end of sending", 2, func() bool {
			outcome, err := s.finish(ctx, sending, db.MessageFinishParams{Status: string(events.StatusSent), Timestamp: &now})
			return err == nil && outcome == string(events.StatusSent)
		}},
		{"a failure", 2, func() bool {
			outcome, err := s.finish(ctx, b.outgoing("sales", events.StatusSending),
				db.MessageFinishParams{Status: string(events.StatusFailed), ErrorCode: &code, ErrorMessage: &message})
			return err == nil && outcome == string(events.StatusFailed)
		}},
		{"a receipt", 2, func() bool { return conn.handle(receipt(sent, juan, types.ReceiptTypeDelivered)) }},
		{"a receipt that changes nothing", 3, func() bool { return conn.handle(receipt(sent, juan, types.ReceiptTypeDelivered)) }},
	} {
		before := count.n.Load()
		if !step.do() {
			t.Fatalf("%s: refused: %v", step.name, context.Cause(ctx))
		}
		if got := count.n.Load() - before; got != step.want {
			t.Errorf("%s takes %d round trips, want %d", step.name, got, step.want)
		}
	}
	told := b.events(events.MessageSent)
	if len(told) != 1 || told[0].Data.Message.Status != events.StatusSent || told[0].Data.Message.Content.Text != "hello" ||
		told[0].Data.Message.To.Phone != juan || !told[0].Data.Message.Timestamp.Equal(now) {
		t.Errorf("told %+v", told)
	}
	if n := one[int](b, `SELECT count(*)::int FROM messages WHERE error_code = 'internal_error' AND status = 'failed'`); n != 1 {
		t.Errorf("%d messages failed", n)
	}
}

// kept are the receipts of a message: who, and when he received, read and played it, in seconds after from.
func (b *bench) kept(id uuid.UUID, from time.Time) []string {
	b.Helper()
	return many[string](b, `SELECT concat_ws(' ', split_part(contact_id, '@', 1), 'd' || round(extract(epoch FROM delivered_at - $2)), 'r' || round(extract(epoch FROM read_at - $2)),
		'p' || round(extract(epoch FROM played_at - $2))) FROM message_receipts WHERE message_id = $1 ORDER BY contact_id`, id, from)
}

func TestReceiptsAreKeptForEachRecipient(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	const other = "5491166666666"
	first, second := b.outgoing("sales", events.StatusSent), b.outgoing("sales", events.StatusSent)
	from := time.Now().Truncate(time.Second)
	for _, tt := range []struct {
		by    string
		kind  types.ReceiptType
		after int // seconds
		ids   []uuid.UUID
		want  string // of the first message
	}{
		{juan, types.ReceiptTypeDelivered, 20, []uuid.UUID{first, second}, "[5491155550001 d20]"},
		{juan, types.ReceiptTypeDelivered, 30, []uuid.UUID{first}, "[5491155550001 d20]"},                   // another device of his
		{juan, types.ReceiptTypeDelivered, 10, []uuid.UUID{first}, "[5491155550001 d10]"},                   // one that was faster, told later
		{owner, types.ReceiptTypeRead, 35, []uuid.UUID{first}, "[5491155550001 d10]"},                       // the account's own
		{juan, types.ReceiptTypeInactive, 5, []uuid.UUID{first}, "[5491155550001 d10]"},                     // in the background
		{other, types.ReceiptTypeRead, 40, []uuid.UUID{first}, "[5491155550001 d10 5491166666666 d40 r40]"}, // who reads has received
		{juan, types.ReceiptTypePlayed, 50, []uuid.UUID{first}, "[5491155550001 d10 r50 p50 5491166666666 d40 r40]"},
		{juan, types.ReceiptTypeRead, 45, []uuid.UUID{first, second}, "[5491155550001 d10 r45 p50 5491166666666 d40 r40]"}, // moves the second alone
	} {
		e := receipt(tt.ids[0], tt.by, tt.kind)
		e.Timestamp = from.Add(time.Duration(tt.after) * time.Second)
		for _, id := range tt.ids[1:] {
			e.MessageIDs = append(e.MessageIDs, id.String())
		}
		if !conn.handle(e) {
			t.Fatalf("%s by %s was refused: %v", tt.kind, tt.by, context.Cause(conn.ctx))
		}
		if got := fmt.Sprint(b.kept(first, from)); got != strings.ReplaceAll(tt.want, "5491155550001", juan) {
			t.Errorf("after %q by %s there is %s, want %s", tt.kind, tt.by, got, tt.want)
		}
	}
	if got := fmt.Sprint(b.kept(second, from)); got != "["+juan+" d20 r45]" {
		t.Errorf("of the second there is %s", got)
	}
	if b.status(first) != "played" || b.status(second) != "read" {
		t.Errorf("they are %s and %s", b.status(first), b.status(second))
	}
	b.exec(`UPDATE claims SET epoch = epoch + 1`)
	ctx, cancel := context.WithTimeout(b.ctx(), patience)
	defer cancel()
	late := b.outgoing("sales", events.StatusSent)
	if err := conn.receipt(ctx, receipt(late, juan, types.ReceiptTypeRead)); err == nil || len(b.kept(late, from)) != 0 {
		t.Errorf("without the claim: %v, kept %v", err, b.kept(late, from))
	}
}
