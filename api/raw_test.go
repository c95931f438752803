package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
)

// received puts a message with its raw form into the database, and its event into the log.
func (f *fixture) received(raw []byte) (id uuid.UUID, event string) {
	f.t.Helper()
	id = events.NewID()
	f.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp, raw)
		VALUES ($1, 'sales', '5491123456789@s.whatsapp.net', '5491123456789@s.whatsapp.net', $2, 'incoming', 'delivered', 'text', '{"type":"text","text":"hi"}', now(), $3)`, id, id.String(), raw)
	at := events.NewID()
	event = events.EventPrefix.Format(at)
	body := fmt.Sprintf(`{"id":%q,"type":"message.received","timestamp":"2026-01-01T00:00:00Z","sessionId":"sales","data":{"message":{"id":%q,  "x":"<&"}, "more":1}}`,
		event, events.MessagePrefix.Format(id))
	f.exec("INSERT INTO events (seq, id, session_id, type, occurred_at, body) VALUES (nextval('events_seq'), $1, 'sales', 'message.received', now(), $2)", at, []byte(body))
	return id, event
}

// conversation is a waE2E.Message with a text.
func conversation(s string) []byte {
	length := []byte{byte(len(s)&0x7f | 0x80), byte(len(s)>>7&0x7f | 0x80), byte(len(s) >> 14)}
	return append(append([]byte{0x0a}, length...), s...)
}

func TestTheRawFormIsAddedWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := f.session("sales")
	id, event := f.received(conversation("hello"))
	none, eventOfNone := f.received(nil)
	broken, _ := f.received([]byte("\xff\xff"))
	shown := func(id uuid.UUID, query string) (m events.Message) {
		f.must(200, &m, "GET", path+"/messages/"+events.MessagePrefix.Format(id)+query, nil)
		return m
	}
	if raw := shown(id, "?raw=true").Raw; string(raw) != `{"conversation":"hello"}` {
		t.Errorf("the raw form is %s", raw)
	}
	if shown(id, "").Raw != nil || shown(none, "?raw=true").Raw != nil || shown(broken, "?raw=true").Raw != nil {
		t.Error("a raw form was made up, or is there unasked")
	}
	plain := string(f.must(200, nil, "GET", "/v1/events/"+event, nil).body)
	want := strings.Replace(plain, `"x":"<&"}`, `"x":"<&","raw":{"conversation":"hello"}}`, 1)
	if with := string(f.must(200, nil, "GET", "/v1/events/"+event+"?raw=true", nil).body); with != want || with == plain {
		t.Errorf("the event is %s, not %s", with, want)
	}
	if a, b := f.must(200, nil, "GET", "/v1/events/"+eventOfNone, nil), f.must(200, nil, "GET", "/v1/events/"+eventOfNone+"?raw=true", nil); string(a.body) != string(b.body) {
		t.Errorf("the event of a message without a raw form is %s", b.body)
	}
	f.logged(1, events.SessionStatus, "sales")
	page := f.must(200, nil, "GET", "/v1/events?raw=true&limit=2", nil)
	var list struct{ Data []json.RawMessage }
	if err := json.Unmarshal(page.body, &list); err != nil || len(list.Data) != 2 || !strings.Contains(string(list.Data[0]), `"raw":{`) {
		t.Errorf("the page is %s", page.body)
	}
	if link := page.Header.Get("Link"); !strings.Contains(link, "raw=true") {
		t.Errorf("the next page is %q", link)
	}
	if link := f.must(200, nil, "GET", path+"/messages?raw=true&limit=1", nil).Header.Get("Link"); !strings.Contains(link, "raw=true") {
		t.Errorf("the next page of messages is %q", link)
	}
}

func TestAPageHasOnlySoMuchOfRawForms(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := f.session("sales")
	const size, most = 250 << 10, maxRawBytes / (250 << 10)
	for range most + 4 {
		f.received(conversation(strings.Repeat("x", size)))
	}
	var list struct{ Data []events.Message }
	f.must(200, &list, "GET", path+"/messages?raw=true&limit=200", nil)
	with := slices.IndexFunc(list.Data, func(m events.Message) bool { return m.Raw == nil })
	if with < most-1 || with > most || len(list.Data) != most+4 {
		t.Errorf("%d of %d messages have their raw form, not some %d", with, len(list.Data), most)
	}
}
