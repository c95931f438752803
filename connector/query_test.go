package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.mau.fi/whatsmeow"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// check asks which numbers have WhatsApp, as the API does, for whoever waits so long: a row and a command in one transaction.
func (b *bench) check(session string, wait time.Duration, numbers ...string) uuid.UUID {
	b.Helper()
	question, err := json.Marshal(events.CheckContactsQuestion{Numbers: numbers})
	if err != nil {
		b.Fatal(err)
	}
	return b.query(session, events.CheckContacts.Kind, question, wait)
}

func (b *bench) query(session, kind string, question []byte, wait time.Duration) uuid.UUID {
	b.Helper()
	id := events.NewID()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		_, err := tx.Exec(b.ctx(), `INSERT INTO queries (id, session_id, kind, parameters, deadline) VALUES ($1, $2, $3, $4, clock_timestamp() + $5)`,
			id, session, kind, question, wait)
		if err != nil {
			return err
		}
		command, _ := json.Marshal(events.QueryCommand{QueryID: id, SessionID: session, Kind: kind, Deadline: time.Now().Add(wait)})
		tx.Publish(events.TopicCommands, queue.Message{
			ID: id, Session: session, Payload: command, Metadata: map[string]string{events.MetaCommand: events.CommandQuery},
		})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// answer waits until a query is answered and returns its answer, or the code for which it has none.
func (b *bench) answer(id uuid.UUID) (checks []events.ContactCheck, code string) {
	b.Helper()
	b.await("the answer", func() bool { return one[bool](b, `SELECT answered_at IS NOT NULL FROM queries WHERE id = $1`, id) })
	if code := one[string](b, `SELECT coalesce(error_code, '') FROM queries WHERE id = $1`, id); code != "" {
		return nil, code
	}
	var answer events.ContactChecks
	if err := json.Unmarshal(one[[]byte](b, `SELECT result FROM queries WHERE id = $1`, id), &answer); err != nil {
		b.Fatal(err)
	}
	return answer.Data, ""
}

// done waits until no command is left.
func (b *bench) done() {
	b.Helper()
	b.await("the commands to be done", func() bool {
		return one[int](b, `SELECT count(*)::int FROM queue_messages WHERE lane LIKE 'commands/%'`) == 0
	})
}

// checksAtWhatsApp is how many checks have reached it.
func (b *bench) checksAtWhatsApp() int { return int(b.sandbox.Stats().Stanzas["in iq usync get"]) }

// counted is a metric's value, or a histogram's count, by its name and the values of its labels.
func counted(t *testing.T, registry *prometheus.Registry, name string, labels ...string) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			var values []string
			for _, l := range m.Label {
				values = append(values, l.GetValue())
			}
			if fmt.Sprint(values) == fmt.Sprint(labels) {
				n += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return n
}

func TestQueryThatNobodyWaitsForIsDroppedWithATrace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		wait time.Duration
		late time.Duration     // of the log, and up to a test's patience more
		then func(*bench, any) // after the query was asked
	}{
		{name: "its deadline has passed", wait: -90 * time.Second, late: 90 * time.Second},
		{name: "its client has left", wait: time.Hour, late: 0, then: func(b *bench, id any) { b.exec(`DELETE FROM queries WHERE id = $1`, id) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var log lines
			registry := prometheus.NewRegistry()
			c := b.connector(func(cfg *Config) {
				cfg.Logger, cfg.Metrics = slog.New(slog.NewJSONHandler(&log, nil)), registry
			})
			b.linked("sales", owner)
			b.stop(c)
			before := b.checksAtWhatsApp()
			id := b.check("sales", tt.wait, juan) // while nobody runs the session
			if tt.then != nil {
				tt.then(b, id)
			}
			b.connector(func(cfg *Config) {
				cfg.Logger, cfg.Metrics = slog.New(slog.NewJSONHandler(&log, nil)), registry
			})
			b.awaitState("sales", events.StateConnected)
			b.done()
			if n := b.checksAtWhatsApp() - before; n != 0 {
				t.Errorf("WhatsApp was asked %d times", n)
			}
			if n := counted(t, registry, "chasqui_connector_commands_total", "dropped"); n != 1 {
				t.Errorf("%v commands were dropped", n)
			}
			if n := one[int](b, `SELECT count(*)::int FROM queries WHERE answered_at IS NOT NULL`) + one[int](b, `SELECT count(*)::int FROM queue_dead`); n != 0 {
				t.Errorf("%d answers and dead letters", n)
			}
			traces := 0
			for line := range strings.Lines(log.String()) {
				var l struct{ Msg, Level, Session, Kind, Query, Late string }
				if err := json.Unmarshal([]byte(line), &l); err != nil || !strings.HasPrefix(l.Msg, "query dropped") {
					continue
				}
				traces++
				late, err := time.ParseDuration(l.Late)
				if l.Level != "INFO" || l.Session != "sales" || l.Kind != "contacts.check" || l.Query != id.String() ||
					err != nil || late < tt.late || late > tt.late+patience || (tt.late == 0 && late != 0) {
					t.Errorf("the trace is %s", line)
				}
			}
			if traces != 1 {
				t.Errorf("%d traces in\n%s", traces, log.String())
			}
		})
	}
}

func TestSilentWhatsAppEndsAQueryAtItsDeadline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	registry := prometheus.NewRegistry()
	b.connector(func(cfg *Config) { cfg.Metrics = registry })
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.sandbox.SetFaults(server.Faults{Silence: true})
	before := b.checksAtWhatsApp()
	began := time.Now()
	id := b.check("sales", 2*time.Second, juan)
	if _, code := b.answer(id); code != "whatsapp_timeout" {
		t.Errorf("the answer is %q", code)
	}
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	if n := b.checksAtWhatsApp() - before; n != 1 {
		t.Errorf("WhatsApp was asked %d times", n)
	}
	b.done()
	if n := counted(t, registry, "chasqui_connector_query_seconds", "contacts.check", "whatsapp_timeout"); n != 1 {
		t.Errorf("%v queries timed out", n)
	}
	b.sandbox.SetFaults(server.Faults{})
	if checks, code := b.answer(b.check("sales", patience, juan)); code != "" || len(checks) != 1 {
		t.Errorf("the next is answered %v %q", checks, code)
	}
}

func TestEightQueriesOfASessionAreAskedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	registry := prometheus.NewRegistry()
	b.connector(func(cfg *Config) { cfg.Metrics = registry })
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.sandbox.SetFaults(server.Faults{QueryDelay: 1500 * time.Millisecond})
	before := b.checksAtWhatsApp()
	const n = 3 * queriesMost
	var ids []uuid.UUID
	for range n {
		ids = append(ids, b.check("sales", 2*patience, juan))
	}
	most := 0
	b.await("all of them", func() bool {
		asked := b.checksAtWhatsApp() - before // first, so that the difference is never more than what is in hand
		answered := one[int](b, `SELECT count(*)::int FROM queries WHERE answered_at IS NOT NULL`)
		most = max(most, asked-answered)
		return answered == n
	})
	if most != queriesMost {
		t.Errorf("%d were asked at once", most)
	}
	b.done()
	for _, id := range ids {
		if checks, code := b.answer(id); code != "" || !checks[0].OnWhatsApp {
			t.Errorf("answered %v %q", checks, code)
		}
	}
	if n := one[int](b, `SELECT count(*)::int FROM queue_dead`); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	if n := counted(t, registry, "chasqui_connector_query_seconds", "contacts.check", "answered"); n != float64(len(ids)) {
		t.Errorf("%v queries were counted", n)
	}
}

func TestQueryPassesASendThatTakesItsTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.awaitStatus(b.send("sales", juan, "devices are known"), events.StatusDelivered)
	b.sandbox.SetFaults(server.Faults{DropAcks: true})
	stuck := b.send("sales", juan, "not acknowledged")
	b.awaitStatus(stuck, events.StatusDelivered) // it has left, and its command waits for the acknowledgement
	if checks, code := b.answer(b.check("sales", patience, juan)); code != "" || len(checks) != 1 {
		t.Errorf("answered %v %q", checks, code)
	}
	if n := one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE lane = 'commands/sales/send'`); n != 1 {
		t.Error("the send was over before")
	}
}

func TestQueryOfASessionThatIsOfflineIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)

	// One that is asked when the connection breaks.
	b.sandbox.SetFaults(server.Faults{QueryDelay: time.Hour, RefuseConnections: true})
	before := b.checksAtWhatsApp()
	id := b.check("sales", 2*patience, juan)
	b.await("the query at WhatsApp", func() bool { return b.checksAtWhatsApp() > before })
	b.sandbox.Disconnect("")
	// whatsmeow's own query would hold up the next login for 5 s.
	b.awaitFor(4*time.Second, "the session to reconnect", func() bool { return one[string](b, `SELECT state FROM sessions`) == "reconnecting" })
	if _, code := b.answer(id); code != "session_not_connected" {
		t.Errorf("cut off, it is answered %q", code)
	}
	// And one that comes when it is broken: it does not park.
	if _, code := b.answer(b.check("sales", 2*patience, juan)); code != "session_not_connected" {
		t.Errorf("offline, it is answered %q", code)
	}
	b.done()
}

func TestNextOwnerAnswersTheQueryOfADeadConnector(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*bench, *Connector){
		"killed":  (*bench).abandon,
		"stopped": (*bench).stop, // it hands over what it has in hand
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			same := func(c *Config) { c.Owner, c.TakeOver = "dev", true }
			first := b.connector(same)
			b.phone(juan, "Juan")
			b.linked("sales", owner)
			b.sandbox.SetFaults(server.Faults{QueryDelay: time.Hour})
			before := b.checksAtWhatsApp()
			id := b.check("sales", 2*patience, juan)
			b.await("the query at WhatsApp", func() bool { return b.checksAtWhatsApp() > before })
			leave(b, first)
			b.sandbox.SetFaults(server.Faults{QueryDelay: time.Second}) // and so long takes the login, which the query has to wait for
			b.connector(same)
			if checks, code := b.answer(id); code != "" || len(checks) != 1 || !checks[0].OnWhatsApp {
				t.Errorf("answered %v %q", checks, code)
			}
			if n := b.checksAtWhatsApp() - before; n != 2 {
				t.Errorf("WhatsApp was asked %d times", n)
			}
		})
	}
}

// TestAnsweredQueryIsNotAskedAgain repeats a command whose answer was written, as after a crash just there.
func TestAnsweredQueryIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	id := b.check("sales", patience, juan)
	b.answer(id)
	b.done()
	before := b.checksAtWhatsApp()
	outcome, err := c.session("sales").query(b.ctx(), events.QueryCommand{QueryID: id, SessionID: "sales"})
	if outcome != "repeated" || err != nil || b.checksAtWhatsApp() != before {
		t.Errorf("repeated, it is %q: %v", outcome, err)
	}
}

func TestStaleOwnerAnswersNoQuery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	s := c.session("sales")
	id := events.NewID()
	b.exec(`INSERT INTO queries (id, session_id, kind, parameters, deadline) VALUES ($1, 'sales', 'contacts.check', '{}', now() + interval '1 hour')`, id)
	b.exec(`UPDATE claims SET owner = 'another', epoch = epoch + 1, expires_at = now() + interval '1 hour'`)
	if err := s.answer(b.ctx(), id, json.RawMessage(`{}`), nil); !errors.Is(err, errClaimLost) {
		t.Errorf("it answered: %v", err)
	}
	if one[bool](b, `SELECT answered_at IS NOT NULL FROM queries`) {
		t.Error("the answer is written")
	}
}

func TestRefusedAndOddQueries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.linked("sales", owner)
	many := make([]string, 10_001) // the sandbox takes 10,000
	for i := range many {
		many[i] = fmt.Sprintf("54911%08d", i)
	}
	if _, code := b.answer(b.check("sales", patience, many...)); code != "whatsapp_rejected" {
		t.Errorf("too many numbers are answered %q", code)
	}
	if _, code := b.answer(b.query("sales", "future.kind", []byte(`{}`), patience)); code != "unavailable" {
		t.Errorf("an unknown kind is answered %q", code)
	}
	if _, code := b.answer(b.query("sales", events.CheckContacts.Kind, []byte(`[]`), patience)); code != "internal_error" {
		t.Errorf("a question of another shape is answered %q", code)
	}
	b.done()
	if n := one[int](b, `SELECT count(*)::int FROM queue_dead`); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestQueryThatPanicsOrSaysTooMuchIsRefused asks what no query of WhatsApp's would do.
func TestQueryThatPanicsOrSaysTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	for name, do := range map[string]ask{
		"panics": func(context.Context, *connection, json.RawMessage) (any, error) { panic("odd") },
		"says too much": func(context.Context, *connection, json.RawMessage) (any, error) {
			return strings.Repeat("x", events.MaxAnswer), nil
		},
		"is of no shape": func(context.Context, *connection, json.RawMessage) (any, error) { return func() {}, nil },
	} {
		if answer, err := conn.ask(b.ctx(), time.Minute, do, nil); err == nil || answer != nil || refusalOf(err).code != "internal_error" {
			t.Errorf("one that %s is answered %d bytes: %v", name, len(answer), err)
		}
	}
	if answer, err := conn.ask(b.ctx(), time.Minute, func(context.Context, *connection, json.RawMessage) (any, error) { return "ok", nil }, nil); err != nil || string(answer) != `"ok"` {
		t.Errorf("the next is answered %s: %v", answer, err)
	}
}

func TestRefusalOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		code string
	}{
		{&whatsmeow.IQError{Code: 429}, "rate_limited"}, {&whatsmeow.IQError{Code: 479}, "whatsapp_rejected"}, {&whatsmeow.IQError{Code: 463}, "account_restricted"},
		{&whatsmeow.IQError{Code: 401}, "forbidden"}, {whatsmeow.ErrIQForbidden, "forbidden"}, {whatsmeow.ErrIQNotFound, "not_found"}, {whatsmeow.ErrIQGone, "not_found"},
		{&whatsmeow.IQError{Code: 501}, "whatsapp_rejected"}, {&whatsmeow.IQError{Code: 503}, "whatsapp_rejected"}, {whatsmeow.ErrIQBadRequest, "whatsapp_rejected"},
		{whatsmeow.ErrIQTimedOut, "whatsapp_timeout"}, {context.DeadlineExceeded, "whatsapp_timeout"},
		{whatsmeow.ErrIQDisconnected, "session_not_connected"}, {whatsmeow.ErrNotConnected, "session_not_connected"}, {context.Canceled, "session_not_connected"},
		{&whatsmeow.IQError{}, "internal_error"}, {errors.New("anything"), "internal_error"}, {&refusal{"not_found", "There is no such group."}, "not_found"},
	} {
		if got := refusalOf(fmt.Errorf("ask: %w", tt.err)); got.code != tt.code || !strings.HasSuffix(got.message, ".") {
			t.Errorf("%v is %v, want %s", tt.err, got, tt.code)
		}
	}
}
