package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/events"
)

const (
	erasedPhone, erasedLID = "5491133330000", "333000333000"
	erasedJID, erasedLIDs  = erasedPhone + "@s.whatsapp.net", erasedLID + "@lid"
	erasePath              = "/v1/sessions/sales/contacts/" + erasedPhone
)

// stored puts a message into the store and returns its UUID.
func (f *fixture) stored(session, chat, sender, status string, more ...string) string {
	f.t.Helper()
	id := events.NewID()
	f.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
		VALUES ($1, $2, $3, $4, $5, CASE WHEN $4 = '' THEN 'outgoing' ELSE 'incoming' END, $6, 'text', '{"type":"text","text":"words"}', now())`, id, session, chat, sender, id.String(), status)
	for _, set := range more {
		f.exec(`UPDATE messages SET `+set+` WHERE id = $1`, id)
	}
	return id.String()
}

// number reads a number.
func (f *fixture) number(sql string, args ...any) (n int) {
	f.t.Helper()
	if err := f.pool.QueryRow(f.t.Context(), sql, args...).Scan(&n); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestEraseContact(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.SignalSchema = "whatsmeow" })
	f.exec(`CREATE SCHEMA whatsmeow`)
	for _, table := range signalTables {
		column := strings.Fields(table.where)[0]
		sender := ""
		if strings.Contains(table.where, "sender_jid") {
			sender = ", sender_jid text"
		}
		f.exec(`CREATE TABLE whatsmeow.` + table.name + ` (our_jid text, ` + column + ` text` + sender + `)`)
		f.exec(`INSERT INTO whatsmeow.`+table.name+` VALUES ('me:1@s.whatsapp.net', $1), ('me:1@s.whatsapp.net', 'other@lid'), ('you:1@s.whatsapp.net', $1)`, erasedLIDs)
	}
	const group, cleo = "120363025246125486@g.us", "5491122220000@s.whatsapp.net"
	for _, id := range []string{"sales", "other"} {
		f.session(id)
		f.exec(`INSERT INTO contacts (session_id, id, phone, lid, name) VALUES ($1, $2, $3, $4, 'Bert'), ($1, $5, '5491122220000', NULL, 'Cleo')`, id, erasedJID, erasedPhone, erasedLID, cleo)
		f.exec(`INSERT INTO chats (session_id, id, kind) VALUES ($1, $2, 'user'), ($1, $3, 'group')`, id, erasedJID, group)
		f.exec(`INSERT INTO chat_labels VALUES ($1, $2, '1')`, id, erasedJID)
	}
	f.exec(`UPDATE sessions SET jid = 'me:1@s.whatsapp.net', phone = '5491100000009', lid = '999' WHERE id = 'sales'`)
	direct, waiting, inGroup := f.stored("sales", erasedJID, erasedJID, "delivered"), f.stored("sales", erasedJID, "", "queued"), f.stored("sales", group, erasedJID, "delivered")
	elsewhere := f.stored("other", erasedJID, erasedJID, "delivered")
	quoting := f.stored("sales", group, cleo, "delivered", `raw = '\x01'`,
		`context = '{"replyTo":{"whatsappId":"X","text":"his words","from":{"id":"`+erasedJID+`"}},"mentions":[{"id":"`+erasedLIDs+`"},{"id":"`+cleo+`"}],"forwarded":1}'`)
	own := f.stored("sales", group, "", "sent")
	f.exec(`INSERT INTO reactions SELECT id, $1, '👍', now() FROM messages WHERE id = $2 UNION ALL SELECT id, $3, '👍', now() FROM messages WHERE id = $2`, erasedJID, own, cleo)
	f.exec(`INSERT INTO votes VALUES ($1, $2, '{x}', 0, now())`, own, erasedLIDs)
	f.exec(`INSERT INTO message_receipts (message_id, contact_id, read_at) VALUES ($1, $2, now()), ($1, $3, now())`, own, erasedJID, cleo)
	file, sent, shared := f.upload("text/plain", "from him"), f.upload("text/plain", "to him"), f.upload("text/plain", "to many")
	mediaOf := func(m MediaInfo) string {
		id, _ := events.MediaPrefix.Parse(m.ID)
		return id.String()
	}
	f.exec(`UPDATE media SET session_id = 'sales', message_id = $1 WHERE id = $2`, direct, mediaOf(file))
	f.stored("sales", erasedJID, "", "read", `media_id = '`+mediaOf(sent)+`'`)
	f.stored("sales", erasedJID, "", "read", `media_id = '`+mediaOf(shared)+`'`)
	f.stored("sales", group, "", "read", `media_id = '`+mediaOf(shared)+`'`)
	f.exec(`INSERT INTO changes (id, session_id, kind, target, parameters, expires_at) VALUES ($1, 'sales', 'contact.save', $2, '{}', now()), ($3, 'sales', 'x', '', '{"who":"`+erasedLIDs+`"}', now()), ($4, 'sales', 'x', $5, '{}', now())`,
		events.NewID(), erasedJID, events.NewID(), events.NewID(), cleo)

	_, endpoint := f.endpointOf()
	said := func(session, orderKey, body string, states ...string) string {
		id := events.NewID()
		body = `{"id":"` + events.EventPrefix.Format(id) + `","type":"message.received","timestamp":"2026-01-01T00:00:00Z",` + body[1:]
		f.exec(`INSERT INTO events (seq, id, session_id, type, order_key, occurred_at, body) VALUES (nextval('events_seq'), $1, $2, 'message.received', $3, now(), $4)`, id, session, orderKey, []byte(body))
		for _, state := range states {
			f.exec(`INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, order_key, state, finished_at) SELECT $1, id, seq, $3, order_key, $4, CASE WHEN $4 = 'succeeded' THEN now() END FROM events WHERE id = $2`,
				events.NewID(), id, endpoint, state)
			f.exec(`INSERT INTO attempts (delivery_id, attempt, started_at, duration_ms, class, body) SELECT id, 1, now(), 1, 'ok', 'thanks' FROM deliveries WHERE event_id = $1`, id)
		}
		return events.EventPrefix.Format(id)
	}
	pending := said("sales", erasedJID, `{"data":{}}`, "pending")
	done := said("sales", group, `{"data":{"from":{"id":"`+erasedLIDs+`"}}}`, "succeeded")
	stays := said("sales", group, `{"data":{"from":{"id":"1`+erasedJID+`"}}}`, "pending") // a longer number
	others := said("other", erasedJID, `{"data":{"from":{"id":"`+erasedJID+`"}}}`, "pending")

	f.problem(f.do("DELETE", erasePath, nil), ValidationFailed)
	f.problem(f.do("DELETE", erasePath+"?erase=false", nil), ValidationFailed)
	f.problem(f.do("DELETE", "/v1/sessions/sales/contacts/5491100000009?erase=true", nil), ValidationFailed)
	f.problem(f.do("DELETE", "/v1/sessions/sales/contacts/999@lid?erase=true", nil), ValidationFailed)
	f.problem(f.do("DELETE", "/v1/sessions/sales/contacts/4915111111111?erase=true", nil), ContactNotFound)
	f.problem(f.do("DELETE", "/v1/sessions/none/contacts/4915111111111?erase=true", nil), SessionNotFound)
	var erased Erased
	f.must(200, &erased, "DELETE", "/v1/sessions/sales/contacts/"+erasedLIDs+"?erase=true", nil)
	if erased != (Erased{Messages: 5, Events: 2}) {
		t.Errorf("erased were %+v", erased)
	}
	for want, query := range map[string]string{
		"messages":   fmt.Sprintf(`SELECT count(*) FROM messages WHERE id IN ('%s', '%s', '%s')`, direct, waiting, inGroup),
		"contacts":   `SELECT count(*) FROM contacts WHERE session_id = 'sales' AND id = '` + erasedJID + `'`,
		"chats":      `SELECT (SELECT count(*) FROM chats WHERE session_id = 'sales' AND id <> '` + group + `') + (SELECT count(*) FROM chat_labels WHERE session_id = 'sales')`,
		"reactions":  `SELECT (SELECT count(*) FROM reactions WHERE sender_id = '` + erasedJID + `') + (SELECT count(*) FROM votes)`,
		"receipts":   `SELECT count(*) FROM message_receipts WHERE contact_id = '` + erasedJID + `'`,
		"media":      `SELECT count(*) FROM media WHERE id IN ('` + mediaOf(file) + `', '` + mediaOf(sent) + `')`,
		"context":    `SELECT count(*) FROM messages WHERE session_id = 'sales' AND context::text ~ '` + erasedJID + `|` + erasedLIDs + `|his words'`,
		"raw":        `SELECT count(*) FROM messages WHERE raw IS NOT NULL`,
		"events":     `SELECT count(*) FROM events WHERE session_id = 'sales' AND (order_key = '` + erasedJID + `' OR position('"` + erasedLIDs + `"'::bytea IN body) > 0)`,
		"deliveries": `SELECT count(*) FROM deliveries d JOIN events e ON e.id = d.event_id WHERE e.body = '' AND (d.state NOT IN ('cancelled', 'succeeded') OR d.order_key = '` + erasedJID + `')`,
		"attempts":   `SELECT count(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id JOIN events e ON e.id = d.event_id WHERE e.body = ''`,
		"signals":    `SELECT count(*) FROM whatsmeow.whatsmeow_contacts WHERE our_jid LIKE 'me%' AND their_jid = '` + erasedLIDs + `'`,
		"secrets":    `SELECT count(*) FROM whatsmeow.whatsmeow_message_secrets WHERE our_jid LIKE 'me%' AND chat_jid = '` + erasedLIDs + `'`,
	} {
		if n := f.number(query); n != 0 {
			t.Errorf("%s: %d are left", want, n)
		}
	}
	for what, query := range map[string]string{
		"the message that quotes him": `SELECT count(*) FROM messages WHERE id = '` + quoting + `' AND context = '{"mentions":[{"id":"` + cleo + `"}],"forwarded":1}'`,
		"another's reaction":          `SELECT count(*) FROM reactions WHERE message_id = '` + own + `'`,
		"another's receipt":           `SELECT count(*) FROM message_receipts`,
		"a file that others have":     `SELECT count(*) FROM media WHERE id = '` + mediaOf(shared) + `'`,
		"the other session's message": `SELECT count(*) FROM messages WHERE id = '` + elsewhere + `'`,
		"the other session's contact": `SELECT count(*) FROM contacts WHERE session_id = 'other' AND id = '` + erasedJID + `'`,
		"another's change":            `SELECT count(*) FROM changes`,
		"another's names":             `SELECT count(*) FROM whatsmeow.whatsmeow_contacts WHERE their_jid = 'other@lid'`,
		"another account's names":     `SELECT count(*) FROM whatsmeow.whatsmeow_contacts WHERE our_jid LIKE 'you%'`,
	} {
		if n := f.number(query); n != 1 {
			t.Errorf("%s: there are %d", what, n)
		}
	}
	// What was erased has its place in the log and nothing more.
	for id, code := range map[string]int{pending: 404, done: 404, stays: 200, others: 200} {
		if a := f.do("GET", "/v1/events/"+id, nil); a.StatusCode != code {
			t.Errorf("event %s: %d, want %d", id, a.StatusCode, code)
		}
	}
	if ids, _ := f.read("", pending); len(ids) < 2 || ids[0] != stays || ids[1] != others {
		t.Errorf("after an erased event come %q", ids)
	}
	for _, id := range []string{pending, done} {
		var delivery string
		parsed, _ := events.EventPrefix.Parse(id)
		if err := f.pool.QueryRow(t.Context(), `SELECT id::text FROM deliveries WHERE event_id = $1`, parsed).Scan(&delivery); err != nil {
			t.Fatal(err)
		}
		made, _ := events.EventPrefix.Parse("evt_" + strings.ReplaceAll(delivery, "-", ""))
		f.problem(f.do("POST", "/v1/webhook-deliveries/"+events.DeliveryPrefix.Format(made)+"/retry", nil), DeliveryExpired)
	}
	told := f.published()
	last := told[len(told)-1]
	if body := string(last.Payload); !strings.Contains(body, `"changed":"erased"`) || strings.Contains(body, "Bert") || strings.Contains(body, erasedLID) {
		t.Errorf("the event is %s", body)
	}
	f.problem(f.do("DELETE", erasePath+"?erase=true", nil), ContactNotFound)
}

// An erasure goes through all there is, page by page, and so does a reader of the log after it.
func TestEraseContactWithMuch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.exec(`INSERT INTO contacts (session_id, id, phone) VALUES ('sales', $1, $2)`, erasedJID, erasedPhone)
	const much = 2*erasePage + 500
	f.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
		SELECT gen_random_uuid(), 'sales', 'g@g.us', CASE WHEN i % 2 = 0 THEN $1 ELSE 'x@lid' END, 'W' || i, 'incoming', 'delivered', 'text', '{}', now() FROM generate_series(1, $2::int) i`, erasedJID, much)
	f.exec(`INSERT INTO events (seq, id, session_id, type, order_key, occurred_at, body) SELECT nextval('events_seq'), gen_random_uuid(), 'sales', 'session.status', $1, now(), '{}' FROM generate_series(1, $2::int)`, erasedJID, much)
	after, _ := f.logged(2, events.MessageReceived, "sales")
	var erased Erased
	f.must(200, &erased, "DELETE", erasePath+"?erase=true", nil)
	if erased.Messages != much/2 || erased.Events != much || f.count("messages") != much/2 {
		t.Errorf("erased were %+v, %d messages are left", erased, f.count("messages"))
	}
	if ids, _ := f.read("", ""); len(ids) != 2 || ids[1] != after[1] {
		t.Errorf("the log is %q, want %q", ids, after)
	}
	if ids, _ := f.read("sessionId=sales&limit=1", ""); len(ids) != 2 {
		t.Errorf("the session's log is %q", ids)
	}
}
