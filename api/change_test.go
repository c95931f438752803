package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
)

// incoming writes a message that somebody sent to a session, as a connector does.
func (f *fixture) incoming(session, whatsappID string) string {
	f.t.Helper()
	id := events.NewID()
	f.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
		VALUES ($1, $2, '5491123456789@s.whatsapp.net', '5491123456789@s.whatsapp.net', $3, 'incoming', 'delivered', 'text', '{"type":"text","text":"hello"}', now())`,
		id, session, whatsappID)
	return events.MessagePrefix.Format(id)
}

// changeQueued waits until one change is queued and returns it.
func (f *fixture) changeQueued() (id uuid.UUID, kind string, parameters json.RawMessage) {
	f.t.Helper()
	f.eventually("a change", func() bool { return f.count("changes WHERE status = 'queued'") == 1 })
	if err := f.db.QueryRow(f.t.Context(), "SELECT id, kind, parameters FROM changes WHERE status = 'queued'").Scan(&id, &kind, &parameters); err != nil {
		f.t.Fatal(err)
	}
	return id, kind, parameters
}

// ended writes how a change ended, as a connector does, and wakes who waits.
func (f *fixture) ended(id uuid.UUID, status, result, code string) {
	f.t.Helper()
	f.exec(`UPDATE changes SET status = $2, result = nullif($3, '')::json, error_code = nullif($4, ''), error_message = CASE WHEN $4 <> '' THEN 'It said no.' END,
		finished_at = now() WHERE id = $1`, id, status, result, code)
	f.wake.Notify(events.WakeChanges, id.String())
}

func TestAChangeIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.linked("sales", "connected")
	message := f.incoming("sales", "3EB0AA")
	answers := make(chan answer, 1)
	react := func(headers ...string) {
		go func() {
			answers <- f.do("PUT", sales+"/messages/"+message+"/reaction", map[string]any{"emoji": "👍"}, headers...)
		}()
	}
	react()
	id, kind, parameters := f.changeQueued()
	var p events.Reacting
	if err := json.Unmarshal(parameters, &p); err != nil || kind != events.React.Kind || p.Emoji != "👍" || !strings.HasPrefix(p.WhatsAppID, "3EB0") {
		t.Errorf("%s %s", kind, parameters)
	}
	// The command goes with the session's sends, and points at the row.
	var lane, session, command string
	var payload []byte
	err := f.db.QueryRow(t.Context(), "SELECT l.lane, l.session, m.metadata->>'command', m.payload FROM queue_lanes l JOIN queue_messages m USING (lane)").Scan(&lane, &session, &command, &payload)
	var pointed events.ChangeCommand
	if err != nil || json.Unmarshal(payload, &pointed) != nil || lane != "commands/sales/send" || session != "sales" || command != events.CommandChange || pointed.ChangeID != id {
		t.Errorf("command %s of %s in lane %s: %+v %v", command, session, lane, pointed, err)
	}
	result, _ := json.Marshal(exampleMessage)
	f.ended(id, events.ChangeDone, string(result), "")
	if a := <-answers; a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), exampleMessageID) || a.Header.Get("Location") != "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}

	react("Prefer", "wait=20")
	id, _, _ = f.changeQueued()
	f.ended(id, events.ChangeFailed, "", "not_group_admin")
	a := <-answers
	f.problem(a, NotGroupAdmin)
	if a.Header.Get("Location") != sales+"/changes/"+events.ChangePrefix.Format(id) {
		t.Errorf("it leads to %q", a.Header.Get("Location"))
	}

	react("Prefer", "wait=1")
	if a := <-answers; a.StatusCode != http.StatusAccepted || a.Header.Get("Preference-Applied") != "wait=1" {
		t.Errorf("%d %s %v", a.StatusCode, a.body, a.Header)
	}
	react("Prefer", "wait=0")
	var c events.Change
	if a := <-answers; a.StatusCode != http.StatusAccepted || json.Unmarshal(a.body, &c) != nil || a.Header.Get("Location") != sales+"/changes/"+c.ID ||
		c.Status != events.ChangeQueued || c.Target == "" || time.Until(c.ExpiresAt) < 23*time.Hour {
		t.Errorf("%d %s %v", a.StatusCode, a.body, a.Header)
	}
	var list List[events.Change]
	f.must(200, &list, "GET", sales+"/changes?limit=3", nil)
	if len(list.Data) != 3 || !list.HasMore || list.Data[0].ID != c.ID {
		t.Errorf("%+v", list)
	}
	f.must(200, &list, "GET", sales+"/changes?status=failed", nil)
	if len(list.Data) != 1 || list.Data[0].Error == nil || list.Data[0].Error.Code != "not_group_admin" {
		t.Errorf("%+v", list)
	}
	f.problem(f.do("GET", sales+"/changes?cursor=x", nil), ValidationFailed)
	f.problem(f.do("GET", sales+"/changes/chg_x", nil), NotFound)
	f.problem(f.do("GET", "/v1/sessions/none/changes/"+c.ID, nil), SessionNotFound)
}

func TestAChangeOfASessionThatIsOfflineIsAcceptedAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	message := f.incoming("sales", "3EB0AA")
	body := map[string]any{"emoji": "👍"}
	began := time.Now()
	f.must(202, nil, "PUT", sales+"/messages/"+message+"/reaction", body)
	if took := time.Since(began); took > queryWait/2 {
		t.Errorf("it took %s", took)
	}
	f.exec(`UPDATE sessions SET state = 'logged_out'`)
	f.problem(f.do("PUT", sales+"/messages/"+message+"/reaction", body), SessionLoggedOut)
	f.problem(f.do("PUT", "/v1/sessions/none/messages/"+message+"/reaction", body), SessionNotFound)
	if n := f.count("changes"); n != 1 {
		t.Errorf("%d changes", n)
	}
	f.exec(`UPDATE sessions SET state = 'stopped'`)
	f.exec(`INSERT INTO changes (id, session_id, kind, parameters, expires_at)
		SELECT gen_random_uuid(), 'sales', 'message.react', '{}', now() + interval '1 day' FROM generate_series(1, $1::int)`, changesOpen-1)
	if p := f.problem(f.do("PUT", sales+"/messages/"+message+"/reaction", body), RateLimited); !strings.Contains(p.Detail, "1000") {
		t.Errorf("%s", p.Detail)
	}
}

func TestChangesThatEndedAreKeptForADay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	message := f.incoming("sales", "3EB0AA")
	for range 2 {
		f.must(202, nil, "PUT", sales+"/messages/"+message+"/reaction", map[string]any{"emoji": "👍"})
	}
	f.exec(`UPDATE changes SET status = 'expired', finished_at = now() - interval '25 hours' WHERE id = (SELECT min(id::text)::uuid FROM changes)`)
	f.kick <- struct{}{}
	f.eventually("the old one to be gone", func() bool { return f.count("changes") == 1 })
}
