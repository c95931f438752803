package api

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/testfuzz"
)

// commands returns what stands on the topic of commands, in order.
func (f *fixture) commands() (sent []events.SendCommand) {
	f.t.Helper()
	tx, err := f.db.Begin(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	batch, err := queue.FetchBatch(f.t.Context(), tx, events.TopicCommands, 100, 100)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range batch.Messages {
		var c events.SendCommand
		if err := json.Unmarshal(m.Payload, &c); err != nil || m.Metadata[events.MetaCommand] != events.CommandSend {
			f.t.Fatalf("command %s %v: %v", m.Payload, m.Metadata, err)
		}
		sent = append(sent, c)
	}
	return sent
}

// finish writes how the sending of a message ended, as the connector does, and wakes who waits.
func (f *fixture) finish(id, status string, code, message *string) {
	f.t.Helper()
	key, err := events.MessagePrefix.Parse(id)
	if err != nil {
		f.t.Fatal(err)
	}
	f.exec("UPDATE messages SET status = $2, error_code = $3, error_message = $4 WHERE id = $1", key, status, code, message)
	f.wake.Notify(events.WakeMessages, key.String())
}

func TestSend(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	var sent, read events.Message
	a := f.must(202, &sent, "POST", sales+"/messages", map[string]any{
		"to": "+5491123456789", "content": map[string]string{"type": "text", "text": "¡Hola! <b>&\u2028"}, "clientReference": "order-1", "expiresAt": time.Now().Add(time.Hour),
	})
	if sent.Status != events.StatusQueued || sent.ChatID != "5491123456789@s.whatsapp.net" || sent.To.Phone != "5491123456789" || sent.Direction != events.Outgoing ||
		sent.Content.Text != "¡Hola! <b>&\u2028" || sent.ClientReference != "order-1" || sent.ExpiresAt == nil || sent.SessionID != "sales" {
		t.Errorf("sent %s", a.body)
	}
	if !regexp.MustCompile("^3EB0[0-9A-F]{18}$").MatchString(sent.WhatsAppID) {
		t.Errorf("WhatsApp id %q", sent.WhatsAppID)
	}
	if b := f.must(200, nil, "GET", a.Header.Get("Location"), nil); string(b.body) != string(a.body) {
		t.Errorf("read %s, sent %s", b.body, a.body)
	}
	f.must(200, &read, "GET", sales+"/messages/"+sent.WhatsAppID, nil)
	if read.ID != sent.ID {
		t.Errorf("by WhatsApp's id: %+v", read)
	}
	if f.count("chats") != 1 || f.count("contacts WHERE phone = '5491123456789'") != 1 {
		t.Errorf("written: %s", f.written())
	}
	commands := f.commands()
	id, _ := events.MessagePrefix.Parse(sent.ID)
	if len(commands) != 1 || commands[0].MessageID != id || commands[0].SessionID != "sales" {
		t.Errorf("commands %v", commands)
	}
	var session string
	if err := f.db.QueryRow(t.Context(), "SELECT session FROM queue_lanes").Scan(&session); err != nil || session != "sales" {
		t.Errorf("the lane's session is %q: %v", session, err)
	}

	// A person who is known by phone and LID is one chat, however addressed.
	f.exec("UPDATE contacts SET lid = '120363001122334'")
	f.must(202, &sent, "POST", sales+"/messages", text("120363001122334@lid", "x"))
	if sent.ChatID != "5491123456789@s.whatsapp.net" || sent.To.LID != "120363001122334" {
		t.Errorf("by LID: %+v", sent)
	}
	f.must(202, &sent, "POST", sales+"/messages", text("999@lid", "x"))
	if sent.ChatID != "999@lid" || sent.To.LID != "999" || sent.To.Phone != "" {
		t.Errorf("by an unknown LID: %+v", sent)
	}
	f.must(202, &sent, "POST", sales+"/messages", text("120363025246125486@g.us", "x"))
	if sent.To.Kind != events.KindGroup {
		t.Errorf("to a group: %+v", sent)
	}
}

func TestEveryMessageHasABound(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session(legacySessionID)
	about := func(at *time.Time, want time.Duration) bool {
		return at != nil && time.Until(*at) > want-time.Minute && time.Until(*at) <= want
	}
	var sent events.Message
	f.must(202, &sent, "POST", sales+"/messages", text("5491123456789", "x"))
	if !about(sent.ExpiresAt, 24*time.Hour) {
		t.Errorf("it may wait until %v", sent.ExpiresAt)
	}
	expiring := func(in time.Duration) map[string]any {
		return map[string]any{"to": "5491123456789", "content": map[string]string{"type": "text", "text": "x"}, "expiresAt": time.Now().Add(in)}
	}
	f.must(202, &sent, "POST", sales+"/messages", expiring(29*24*time.Hour))
	if !about(sent.ExpiresAt, 29*24*time.Hour) {
		t.Errorf("it may wait until %v", sent.ExpiresAt)
	}
	if a := f.do("POST", sales+"/messages", expiring(31*24*time.Hour)); a.StatusCode != 422 || !strings.Contains(string(a.body), "30 days") {
		t.Errorf("%s", a.body)
	}
	f.sending(func() answer {
		return f.do("POST", "/api/send-message", map[string]any{"sessionId": legacySessionID, "number": "5491123456789", "message": "x"})
	})
	if n := f.count("messages WHERE expires_at IS NULL"); n != 0 {
		t.Errorf("%d messages may wait for ever", n)
	}
}

func TestSendIsAcceptedInEveryStateButTwo(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	for _, state := range []string{"stopped", "starting", "qr", "connected", "reconnecting", "restricted", "replaced", "failed", "logged_out", "banned"} {
		f.exec("UPDATE sessions SET state = $1", state)
		a := f.do("POST", sales+"/messages", text("5491123456789", state))
		if state == "logged_out" || state == "banned" {
			f.problem(a, SessionLoggedOut)
		} else if a.StatusCode != 202 {
			t.Errorf("%s: %d %s", state, a.StatusCode, a.body)
		}
	}
}

func TestPreferWait(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	code, why := "recipient_not_on_whatsapp", "5491123456789 has no WhatsApp"
	strange := "from_the_future"
	for _, c := range []struct {
		status        string
		code, message *string
		want          Code // "": 200
	}{
		{status: "sent"},
		{status: "read"},
		{"failed", &code, &why, RecipientNotOnWhatsApp},
		{"failed", &strange, &why, WhatsAppRejected},
		{"expired", nil, nil, WhatsAppTimeout},
	} {
		before := f.count("messages")
		waiting := make(chan answer, 1)
		go func() {
			waiting <- f.do("POST", sales+"/messages", text("5491123456789", c.status), "Prefer", "respond-async, wait=30", "Idempotency-Key", c.status+fmt.Sprint(before))
		}()
		f.eventually("the message", func() bool { return f.count("messages") > before })
		var page List[events.Message]
		f.must(200, &page, "GET", sales+"/messages?limit=1", nil)
		f.finish(page.Data[0].ID, c.status, c.code, c.message)
		a := <-waiting
		if a.Header.Get("Preference-Applied") != "wait=30" || !strings.HasSuffix(a.Header.Get("Location"), page.Data[0].ID) {
			t.Errorf("%s: headers %v", c.status, a.Header)
		}
		if c.want != "" {
			if p := f.problem(a, c.want); p.MessageID != page.Data[0].ID || c.message != nil && p.Detail != *c.message {
				t.Errorf("%s: %s", c.status, a.body)
			}
			continue
		}
		var sent events.Message
		if err := json.Unmarshal(a.body, &sent); err != nil || a.StatusCode != 200 || string(sent.Status) != c.status || sent.ID != page.Data[0].ID {
			t.Errorf("%s: %d %s", c.status, a.StatusCode, a.body)
		}
		// The repeat of a request that waited waits as well, and finds the message sent.
		a = f.must(200, &sent, "POST", sales+"/messages", text("5491123456789", c.status), "Prefer", "wait=30", "Idempotency-Key", c.status+fmt.Sprint(before))
		if sent.ID != page.Data[0].ID || a.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("repeated: %s", a.body)
		}
	}
	// When the time is over it is accepted, as without.
	a := f.must(202, nil, "POST", sales+"/messages", text("5491123456789", "slow"), "Prefer", "wait=0")
	if a.Header.Get("Preference-Applied") != "wait=0" {
		t.Errorf("headers %v", a.Header)
	}
	// A wake-up that is lost costs a poll's interval.
	waiting := make(chan answer, 1)
	before := f.count("messages")
	go func() {
		waiting <- f.do("POST", sales+"/messages", text("5491123456789", "unnoticed"), "Prefer", "wait=30")
	}()
	f.eventually("the message", func() bool { return f.count("messages") > before })
	f.exec("UPDATE messages SET status = 'sent' WHERE content->>'text' = 'unnoticed'")
	if a := <-waiting; a.StatusCode != 200 {
		t.Errorf("without a wake-up: %d %s", a.StatusCode, a.body)
	}
}

func TestPreferredWait(t *testing.T) {
	t.Parallel()
	for prefer, want := range map[string]int{
		"wait=10": 10, "WAIT = 10": 10, `wait="5"`: 5, "respond-async, wait=3": 3, "wait=3; foo=bar": 3, "wait=9999": 30, "wait=0": 0,
		"": -1, "wait": -1, "wait=x": -1, "wait=-1": -1, "wait=99999999999999999999": -1, "await=3": -1, "return=minimal": -1,
	} {
		got, ok := preferredWait(prefer)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d, want %d", prefer, got, want)
		}
	}
}

func TestMessagesAreListedInPages(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.must(202, nil, "POST", f.session("other")+"/messages", text("5491123456789", "not mine"))
	const n = 7
	for i := range n {
		f.must(202, nil, "POST", sales+"/messages", text(fmt.Sprintf("549112345678%d", i%2), fmt.Sprint(i)))
	}
	read := func(path string) (texts string) {
		for path != "" {
			var page List[events.Message]
			a := f.must(200, &page, "GET", path, nil)
			for _, m := range page.Data {
				texts += m.Content.Text
			}
			if page.HasMore != (page.NextCursor != "") {
				t.Fatalf("page %s", a.body)
			}
			path, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
		}
		return texts
	}
	if got := read(sales + "/messages?limit=2"); got != "6543210" {
		t.Errorf("all: %s", got)
	}
	if got := read(sales + "/messages?limit=7"); got != "6543210" {
		t.Errorf("in one full page: %s", got)
	}
	for _, chat := range []string{"5491123456781", "%2B5491123456781", "5491123456781@s.whatsapp.net"} {
		if got := read(sales + "/messages?limit=1&chatId=" + chat); got != "531" {
			t.Errorf("of chat %s: %s", chat, got)
		}
	}
}

// FuzzSend decodes whatever is sent: the answer is never a 500, and what is accepted is whole.
func FuzzSend(f *testing.F) {
	for _, seed := range []string{
		`{"to":"5491123456789","content":{"type":"text","text":"x"}}`, `{"to":"+1@lid","content":{"type":"text"}}`, `{"to":1,"content":[]}`, `{"content":{"type":{"type":"text"}}}`,
		`{"to":"5491123456789@s.whatsapp.net","content":{"type":"text","text":"\ud800"},"expiresAt":"2036-01-01T00:00:00+25:00"}`, `[{}]`, `null`, `"\u0000"`, `{"to":"1","to":"2","TO":"3"}`,
		`{"to":"5491123456789","content":{"type":"text","text":"x","text":"y","Text":"z"},"clientReference":"\\u0000"}`, "{\"to\":\"\xff\"}", `{"to":"5491123456789","content":null}`,
	} {
		f.Add([]byte(seed))
	}
	server := setup(f)
	sales := server.session("sales")
	testfuzz.Run(f, func(t *testing.T, body []byte) {
		g := *server
		g.t = t
		a := g.do("POST", sales+"/messages", string(body))
		if a.StatusCode != 202 {
			var p Problem
			if err := json.Unmarshal(a.body, &p); err != nil || p.Status != a.StatusCode || p.Status < 400 || p.Status >= 500 {
				t.Errorf("%q: %d %s", body, a.StatusCode, a.body)
			}
			return
		}
		var m events.Message
		if err := json.Unmarshal(a.body, &m); err != nil || m.Content.Type != events.ContentText || m.Content.Text == "" {
			t.Errorf("%q was accepted as %s", body, a.body)
		}
		if again, err := events.ParseAddress(m.To.ID); err != nil || again != m.ChatID {
			t.Errorf("%q: address %q is not canonical: %v", body, m.To.ID, err)
		}
	})
}

// The limits are those of what is sent: a stranger's poll may have one option, and his place may be nowhere on earth. do holds the answers against
// the contract.
func TestWhatStrangersSendIsShownAsItIs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	for i, content := range []string{
		`{"type":"poll","poll":{"question":"","options":["only"]}}`, `{"type":"location","location":{"latitude":95,"longitude":-181}}`,
		`{"type":"event","event":{"name":"","startAt":"2026-11-26T12:00:00Z"}}`, `{"type":"liveLocation","liveLocation":{"latitude":-95,"longitude":181,"heading":400}}`,
	} {
		id := f.incoming("sales", fmt.Sprintf("3EB0%d", i))
		uuid, _ := events.MessagePrefix.Parse(id)
		f.exec(`UPDATE messages SET content = $2, type = $2::jsonb ->> 'type' WHERE id = $1`, uuid, content)
		f.must(200, nil, "GET", sales+"/messages/"+id, nil)
	}
	f.must(200, nil, "GET", sales+"/messages", nil)
}
