package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
)

// A question is what a connector would find.
type question struct {
	id      uuid.UUID
	numbers []string
	wait    time.Duration
}

// question waits until one question is open and returns it.
func (f *fixture) question() (q question) {
	f.t.Helper()
	f.eventually("a question", func() bool { return f.count("queries WHERE answered_at IS NULL") == 1 })
	var kind string
	var parameters []byte
	err := f.db.QueryRow(context.Background(), "SELECT id, kind, parameters, deadline - created_at FROM queries WHERE answered_at IS NULL").Scan(&q.id, &kind, &parameters, &q.wait)
	var asked events.CheckContactsQuestion
	if err != nil || kind != "contacts.check" || json.Unmarshal(parameters, &asked) != nil {
		f.t.Fatalf("question of kind %q %s: %v", kind, parameters, err)
	}
	q.numbers = asked.Numbers
	return q
}

// answer writes an answer as a connector does, and wakes who waits.
func (f *fixture) answer(id uuid.UUID, result any) {
	f.t.Helper()
	raw, err := json.Marshal(result)
	if err != nil {
		f.t.Fatal(err)
	}
	f.exec("UPDATE queries SET answered_at = now(), result = $2 WHERE id = $1", id, raw)
	f.wake.Notify(events.WakeQueries, id.String())
}

// check asks in the background.
func (f *fixture) check(path string, headers ...string) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		answers <- f.do("POST", path+"/contacts/check", map[string]any{"numbers": []string{"+5491123456789"}}, headers...)
	}()
	return answers
}

var nobody = events.ContactChecks{Data: []events.ContactCheck{{Number: "5491123456789"}}}

func TestCheckContacts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.linked("sales", "connected")
	answers := make(chan answer, 1)
	go func() {
		answers <- f.do("POST", sales+"/contacts/check", map[string]any{"numbers": []string{"+541123456789", "5511987654321", "5491123456789@s.whatsapp.net"}})
	}()
	q := f.question()
	if fmt.Sprint(q.numbers) != "[541123456789 5511987654321 5491123456789]" || q.wait < 9*time.Second || q.wait > 11*time.Second {
		t.Errorf("asked %+v", q)
	}
	// The command is of the session, in a lane of its own, and points at the row.
	var lane, session, command string
	var payload []byte
	err := f.db.QueryRow(t.Context(), "SELECT l.lane, l.session, m.metadata->>'command', m.payload FROM queue_lanes l JOIN queue_messages m USING (lane)").Scan(&lane, &session, &command, &payload)
	var pointed events.QueryCommand
	if err != nil || json.Unmarshal(payload, &pointed) != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(lane, "commands/#") || session != "sales" || command != events.CommandQuery || pointed.QueryID != q.id || pointed.SessionID != "sales" ||
		pointed.Kind != "contacts.check" || time.Until(pointed.Deadline) > 10*time.Second {
		t.Errorf("command %s of %s in lane %s: %+v", command, session, lane, pointed)
	}
	known := events.NewAddress("5491123456789@s.whatsapp.net", "5491123456789", "120363001122334", "Shop")
	f.answer(q.id, events.ContactChecks{Data: []events.ContactCheck{
		{Number: "541123456789", OnWhatsApp: true, Contact: &known}, {Number: "5511987654321"}, {Number: "5491123456789", OnWhatsApp: true, Contact: &known},
	}})
	a := <-answers
	var got events.ContactChecks
	if err := json.Unmarshal(a.body, &got); err != nil || a.StatusCode != 200 || len(got.Data) != 3 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if g := got.Data[0]; g.Number != "+541123456789" || !g.OnWhatsApp || g.Contact == nil || *g.Contact != known {
		t.Errorf("a number that WhatsApp resolved: %+v", g)
	}
	if g := got.Data[1]; g.Number != "5511987654321" || g.OnWhatsApp || g.Contact != nil {
		t.Errorf("a number without WhatsApp: %+v", g)
	}
	if got.Data[2].Number != "5491123456789@s.whatsapp.net" {
		t.Errorf("a JID: %+v", got.Data[2])
	}
	if n := f.count("queries"); n != 0 {
		t.Errorf("%d questions are left", n)
	}

	// An answer that is not of the question is nobody's.
	waiting := f.check(sales)
	f.answer(f.question().id, events.ContactChecks{})
	f.problem(<-waiting, InternalError)
}

func TestCheckContactsRefusesWhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.linked("sales", "connected")
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprintf("54911234567%02d", i)
	}
	before := f.written()
	for name, body := range map[string]any{
		"no numbers": map[string]any{"numbers": []string{}}, "too many": map[string]any{"numbers": many}, "none at all": map[string]any{},
		"a short one": map[string]any{"numbers": []string{"123"}}, "a name": map[string]any{"numbers": []string{"Juan"}}, "a LID": map[string]any{"numbers": []string{"120363001122334@lid"}},
		"a group": map[string]any{"numbers": []string{"5491123456789", "120363025246125486@g.us"}}, "another field": map[string]any{"numbers": many[:1], "deep": true},
	} {
		if p := f.problem(f.do("POST", sales+"/contacts/check", body), ValidationFailed); len(p.Errors) != 1 || !strings.HasPrefix(p.Errors[0].Location, "body") {
			t.Errorf("%s: %+v", name, p.Errors)
		}
	}
	f.problem(f.do("POST", "/v1/sessions/nobody/contacts/check", map[string]any{"numbers": many[:1]}), SessionNotFound)
	if after := f.written(); after != before || f.count("queries") != 0 {
		t.Errorf("written: %s", after)
	}
}

func TestQuestionsToASessionThatIsNotConnected(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	for _, state := range []string{"stopped", "starting", "qr", "reconnecting", "replaced", "failed", "logged_out", "banned"} {
		f.linked("sales", state)
		want := SessionNotConnected
		if state == "logged_out" || state == "banned" {
			want = SessionLoggedOut
		}
		f.problem(<-f.check(sales, "Prefer", "wait=30"), want)
	}
	// Its connector is dead, whatever the row says.
	f.linked("sales", "connected")
	f.exec("UPDATE claims SET expires_at = now()")
	f.problem(<-f.check(sales, "Prefer", "wait=30"), SessionNotConnected)
	if n := f.count("queries") + f.count("queue_messages"); n != 0 {
		t.Errorf("%d rows are written", n)
	}

	// Stopped while somebody waits, it has no connector any more to answer; one that moves to another is waited for.
	f.linked("sales", "connected")
	waiting := f.check(sales, "Prefer", "wait=30")
	f.question()
	f.exec("UPDATE sessions SET state = 'reconnecting'")
	f.eventually("a look at it", func() bool {
		return f.count("pg_stat_activity WHERE datname = current_database() AND query LIKE '%QueryLook%' AND query_start > (SELECT updated_at FROM sessions) AND state = 'idle'") > 0
	})
	select {
	case a := <-waiting:
		t.Fatalf("while it moves: %d %s", a.StatusCode, a.body)
	default:
	}
	f.exec("UPDATE sessions SET state = 'stopped'")
	f.problem(<-waiting, SessionNotConnected)
	if n := f.count("queries"); n != 0 {
		t.Errorf("%d questions are left", n)
	}
}

func TestQuestionsWait(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.linked("sales", "connected")
	// As long as Prefer says, at least a second.
	for _, prefer := range []string{"wait=1", "wait=0"} {
		began := time.Now()
		a := <-f.check(sales, "Prefer", prefer)
		f.problem(a, WhatsAppTimeout)
		if took := time.Since(began); took < time.Second || took > patience/2 {
			t.Errorf("%s: it took %s", prefer, took)
		}
		if n := f.count("queries"); n != 0 {
			t.Errorf("%d questions are left for a connector to ask", n)
		}
	}
	waiting := f.check(sales, "Prefer", "wait=500")
	q := f.question()
	if q.wait < 29*time.Second || q.wait > 31*time.Second {
		t.Errorf("it waits for %s", q.wait)
	}
	f.answer(q.id, nobody)
	if a := <-waiting; a.StatusCode != 200 || a.Header.Get("Preference-Applied") != "wait=30" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	// A wake-up that is lost costs a poll's interval.
	waiting = f.check(sales, "Prefer", "wait=30")
	f.exec(`UPDATE queries SET answered_at = now(), result = '{"data":[{"number":"5491123456789","onWhatsApp":false}]}' WHERE id = $1`, f.question().id)
	if a := <-waiting; a.StatusCode != 200 {
		t.Errorf("without a wake-up: %d %s", a.StatusCode, a.body)
	}
	// The session is deleted meanwhile.
	waiting = f.check(sales, "Prefer", "wait=30")
	f.question()
	f.exec("DELETE FROM sessions")
	f.problem(<-waiting, SessionNotFound)
}

func TestRefusedQuestions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.linked("sales", "connected")
	for _, c := range []struct {
		code       string
		want       Code
		retryAfter string
	}{
		{"session_not_connected", SessionNotConnected, ""}, {"whatsapp_timeout", WhatsAppTimeout, ""}, {"rate_limited", RateLimited, "30"}, {"account_restricted", AccountRestricted, ""},
		{"forbidden", Forbidden, ""}, {"not_found", NotFound, ""}, {"whatsapp_rejected", WhatsAppRejected, ""}, {"unavailable", Unavailable, "2"},
		{"internal_error", InternalError, ""}, {"from_the_future", WhatsAppRejected, ""},
	} {
		waiting := f.check(sales, "Prefer", "wait=30")
		q := f.question()
		f.exec("UPDATE queries SET answered_at = now(), error_code = $2, error_message = 'It was so.' WHERE id = $1", q.id, c.code)
		f.wake.Notify(events.WakeQueries, q.id.String())
		a := <-waiting
		if p := f.problem(a, c.want); p.Detail != "It was so." || a.Header.Get("Retry-After") != c.retryAfter {
			t.Errorf("%s: %v %s", c.code, a.Header, a.body)
		}
	}
	// Where WhatsApp has told how long a restriction lasts, whoever meets it is told: with questions and changes as with messages.
	f.exec("INSERT INTO restrictions (session_id, until) VALUES ('sales', now() + interval '1 hour')")
	restricted := func(a answer) {
		t.Helper()
		f.problem(a, AccountRestricted)
		if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 3500 || seconds > 3601 {
			t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
		}
	}
	waiting := f.check(sales, "Prefer", "wait=30")
	q := f.question()
	f.exec("UPDATE queries SET answered_at = now(), error_code = 'account_restricted', error_message = 'It was so.' WHERE id = $1", q.id)
	f.wake.Notify(events.WakeQueries, q.id.String())
	restricted(<-waiting)
	made := make(chan answer, 1)
	message := f.incoming("sales", "3EB0AA")
	go func() {
		made <- f.do("PUT", sales+"/messages/"+message+"/reaction", map[string]any{"emoji": "👍"}, "Prefer", "wait=30")
	}()
	id, _, _ := f.changeQueued()
	f.ended(id, "failed", "", "account_restricted")
	restricted(<-made)
}

// TestQuestionEndsWithItsClient: the row, by which a connector knows that somebody waits, goes when the client does.
func TestQuestionEndsWithItsClient(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.linked("sales", "connected")
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", f.base+sales+"/contacts/check", bytes.NewReader([]byte(`{"numbers":["5491123456789"]}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", testKey)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Prefer", "wait=30")
	left := make(chan error, 1)
	go func() {
		response, err := client.Do(r)
		if err == nil {
			_ = response.Body.Close()
		}
		left <- err
	}()
	f.question()
	began := time.Now()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	f.eventually("the end of the question", func() bool { return f.count("queries") == 0 })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestQuestionEndsWithTheServer(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.linked("sales", "connected")
	waiting := f.check(sales, "Prefer", "wait=30")
	f.question()
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	f.problem(<-waiting, Unavailable)
	if n := f.count("queries"); n != 0 {
		t.Errorf("%d questions are left", n)
	}
}

// TestAFloodOfQuestionsIsRefused asks 40 at once where 10 have room: the table holds no more than 100 that somebody waits for.
func TestAFloodOfQuestionsIsRefused(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.linked("sales", "connected")
	other := f.session("other")
	f.linked("other", "connected")
	insert := `INSERT INTO queries (id, session_id, kind, parameters, deadline) SELECT gen_random_uuid(), $1, 'contacts.check', '{}', now() + $3::interval FROM generate_series(1, $2)`
	f.exec(insert, "sales", queriesOpen-10, "1 hour")
	f.exec(insert, "sales", 50, "-1 second") // nobody waits for these
	answers := make(chan answer, 40)
	for range 40 {
		go func() {
			answers <- f.do("POST", sales+"/contacts/check", map[string]any{"numbers": []string{"5491123456789"}}, "Prefer", "wait=30")
		}()
	}
	for range 30 { // those with room still wait
		a := <-answers
		if f.problem(a, RateLimited); a.Header.Get("Retry-After") != "1" {
			t.Errorf("headers %v", a.Header)
		}
	}
	if n := f.count("queries WHERE deadline > now()"); n != queriesOpen {
		t.Errorf("%d questions are open", n)
	}
	f.exec("DELETE FROM queries WHERE deadline > now() + interval '1 minute'")
	for range 10 {
		f.exec(`UPDATE queries SET answered_at = now(), error_code = 'not_found', error_message = 'It was so.' WHERE id = (
			SELECT id FROM queries WHERE deadline > now() AND answered_at IS NULL LIMIT 1)`)
		f.problem(<-answers, NotFound)
	}
	f.problem(<-f.check(other, "Prefer", "wait=1"), WhatsAppTimeout) // another session is not concerned
}

func TestQuestionsThatWereLeftAreSwept(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	for _, age := range []string{"4 minutes", "6 minutes", "2 days", "-10 seconds"} {
		f.exec("INSERT INTO queries (id, session_id, kind, parameters, deadline) VALUES (gen_random_uuid(), 'sales', 'contacts.check', '{}', now() - $1::interval)", age)
	}
	f.kickSweep()
	f.eventually("the sweep", func() bool { return f.count("queries") == 2 })
	if n := f.count("queries WHERE deadline < now() - interval '5 minutes'"); n != 0 {
		t.Errorf("%d old ones are left", n)
	}
}
