// Package features shows what chasqui can do, feature by feature: each test goes through HTTP, as clients do, against the simulated WhatsApp,
// and looks at what the phone saw, or at what clients saw when the phone acted. infra/docs/features.md is made of them.
package features

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdev"
	"github.com/chasqui/chasqui/infra/testpoll"
)

// running is the program under test.
var running = &testdev.Running

func TestMain(m *testing.M) { os.Exit(testdev.Main(m, "MCP_ALLOW_SENDING=true")) }

var (
	client = testdev.Client
	call   = testdev.Call
)

const patience = 60 * time.Second

// eventually polls until cond answers nil.
func eventually(t *testing.T, what string, cond func() error) {
	t.Helper()
	if err := testpoll.Until(patience, cond); err != nil {
		t.Fatalf("waited %s for %s: %v", patience, what, err)
	}
}

var lastNumber atomic.Int64

// A phone is a simulated phone, which nobody else's test uses.
type phone struct {
	t      *testing.T
	number string
}

// newPhone makes a phone; more are what the sandbox's POST /phones takes beside number and name.
func newPhone(t *testing.T, name string, more ...map[string]any) phone {
	t.Helper()
	p := phone{t, strconv.FormatInt(5491150000000+lastNumber.Add(1), 10)}
	body := map[string]any{"number": p.number, "name": name}
	for _, m := range more {
		for k, v := range m {
			body[k] = v
		}
	}
	p.do("POST", running.SandboxURL+"/phones", body, nil)
	return p
}

func (p phone) jid() string { return p.number + "@s.whatsapp.net" }

func (p phone) do(method, target string, in, out any) {
	p.t.Helper()
	if status, raw := call(p.t, method, target, in, out); status >= 300 {
		p.t.Fatalf("%s %s: %d %s", method, target, status, raw)
	}
}

// act calls an operation of the phone's, such as act("POST", "/read", ...).
func (p phone) act(method, path string, in, out any) {
	p.t.Helper()
	p.do(method, running.SandboxURL+"/phones/"+p.number+path, in, out)
}

// send makes the phone send something and returns WhatsApp's id of it.
func (p phone) send(message map[string]any) string {
	p.t.Helper()
	var sent struct{ ID string }
	p.act("POST", "/messages", message, &sent)
	return sent.ID
}

// sees waits for something that the phone shows.
func (p phone) sees(what string, want func(sandbox.Message) bool) sandbox.Message {
	p.t.Helper()
	after, deadline := int64(0), time.Now().Add(30*time.Second)
	var all []sandbox.Message
	for time.Now().Before(deadline) {
		var page struct {
			Messages []sandbox.Message
			Next     int64
		}
		p.act("GET", fmt.Sprintf("/messages?wait=2&after=%d", after), nil, &page)
		for _, m := range page.Messages {
			if want(m) {
				return m
			}
		}
		all, after = append(all, page.Messages...), max(after, page.Next)
	}
	text, _ := json.Marshal(all)
	p.t.Fatalf("the phone never saw %s; it saw %s", what, text)
	return sandbox.Message{}
}

// notices waits for something that the phone noticed beside messages.
func (p phone) notices(kind string, want func(data map[string]any) bool) map[string]any {
	p.t.Helper()
	after, deadline := int64(0), time.Now().Add(30*time.Second)
	for time.Now().Before(deadline) {
		var page struct {
			Events []struct{ Data map[string]any }
			Next   int64
		}
		p.act("GET", fmt.Sprintf("/events?wait=2&kind=%s&after=%d", kind, after), nil, &page)
		for _, e := range page.Events {
			if want(e.Data) {
				return e.Data
			}
		}
		after = max(after, page.Next)
	}
	p.t.Fatalf("the phone never noticed that %s", kind)
	return nil
}

// group makes the phone create a group with others, and returns its JID.
func (p phone) group(subject string, others ...phone) string {
	p.t.Helper()
	var numbers []string
	for _, o := range others {
		numbers = append(numbers, o.number)
	}
	var g struct{ JID string }
	p.act("POST", "/groups", map[string]any{"subject": subject, "participants": numbers}, &g)
	return g.JID
}

// A session is one that is linked to a phone of its own.
type session struct {
	t     *testing.T
	id    string
	phone phone
}

// newSession makes a session and links it by QR code.
func newSession(t *testing.T) session {
	t.Helper()
	return linked(t, newPhone(t, "Owner"))
}

// linked makes a session and links it to a phone.
func linked(t *testing.T, p phone) session {
	t.Helper()
	s := session{t, "s" + strconv.FormatInt(lastNumber.Add(1), 10), p}
	s.must(201, "POST", "/v1/sessions", map[string]any{"id": s.id}, nil)
	s.scanned()
	return s
}

// scanned makes the phone scan the session's QR code.
func (s session) scanned() {
	s.t.Helper()
	var qr struct{ QR string }
	if status, raw := call(s.t, "GET", s.url("/qr?wait=30"), nil, &qr, "Accept", "application/json"); status != 200 {
		s.t.Fatalf("QR: %d %s", status, raw)
	}
	s.phone.act("POST", "/scan", map[string]string{"qr": qr.QR}, nil)
	s.awaitState("connected")
}

// url is that of a path: one that begins with /v1 of the API, any other below the session.
func (s session) url(path string) string {
	if len(path) >= 3 && path[:3] == "/v1" {
		return running.URL + path
	}
	return running.URL + "/v1/sessions/" + s.id + path
}

// must calls the API and fails the test when the status is another. The path is as for url.
func (s session) must(status int, method, path string, in, out any, header ...string) {
	s.t.Helper()
	if got, raw := call(s.t, method, s.url(path), in, out, header...); got != status {
		s.t.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, raw)
	}
}

// refused calls the API and fails the test unless it answers the problem of a code.
func (s session) refused(code, method, path string, in any, header ...string) {
	s.t.Helper()
	got, raw := call(s.t, method, s.url(path), in, nil, header...)
	var p struct{ Code string }
	if _ = json.Unmarshal(raw, &p); got < 400 || p.Code != code {
		s.t.Fatalf("%s %s: %d, want the problem %s: %s", method, path, got, code, raw)
	}
}

func (s session) awaitState(state string) {
	s.t.Helper()
	eventually(s.t, "the session to be "+state, func() error {
		var is struct{ State, Reason string }
		s.must(200, "GET", "", nil, &is)
		if is.State != state {
			return fmt.Errorf("it is %s (%s)", is.State, is.Reason)
		}
		return nil
	})
}

// stop takes the session offline until start.
func (s session) stop() {
	s.t.Helper()
	s.must(202, "POST", "/stop", nil, nil)
	s.awaitState("stopped")
}

// start brings the session back.
func (s session) start() {
	s.t.Helper()
	s.must(202, "POST", "/start", nil, nil)
	s.awaitState("connected")
}

// send sends a content and waits until WhatsApp has it; more are other members of the request.
func (s session) send(to string, content map[string]any, more ...map[string]any) message {
	s.t.Helper()
	body := map[string]any{"to": to, "content": content}
	for _, m := range more {
		for k, v := range m {
			body[k] = v
		}
	}
	var m message
	s.must(200, "POST", "/messages", body, &m, "Prefer", "wait=20")
	return m
}

// gets waits for an event of a type, and returns its data.
func (s session) gets(eventType string, want func(data map[string]any) bool) map[string]any {
	s.t.Helper()
	after, deadline := "", time.Now().Add(30*time.Second)
	var all []json.RawMessage
	for time.Now().Before(deadline) {
		var page struct {
			Data       []json.RawMessage
			NextCursor string
		}
		query := url.Values{"type": {eventType}, "sessionId": {s.id}, "wait": {"2"}, "limit": {"200"}}
		if after != "" {
			query.Set("after", after)
		}
		s.must(200, "GET", "/v1/events?"+query.Encode(), nil, &page)
		for _, raw := range page.Data {
			var e struct{ Data map[string]any }
			if err := json.Unmarshal(raw, &e); err != nil {
				s.t.Fatal(err)
			}
			if want(e.Data) {
				return e.Data
			}
		}
		all, after = append(all, page.Data...), page.NextCursor
	}
	s.t.Fatalf("no such event %s; there were %s", eventType, all)
	return nil
}

// received waits until the API has a message that a phone sent, by WhatsApp's id.
func (s session) received(whatsappID string) message {
	s.t.Helper()
	var m message
	eventually(s.t, "message "+whatsappID, func() error {
		status, raw := call(s.t, "GET", s.url("/messages/"+whatsappID), nil, &m)
		if status != 200 {
			return fmt.Errorf("%d %s", status, raw)
		}
		return nil
	})
	return m
}

// message is a message as clients get it: what tests look at by name, and the rest.
type message struct {
	ID         string         `json:"id"`
	WhatsAppID string         `json:"whatsappId"`
	ChatID     string         `json:"chatId"`
	Direction  string         `json:"direction"`
	Status     string         `json:"status"`
	Content    map[string]any `json:"content"`
	ReplyTo    map[string]any `json:"replyTo"`
	Mentions   []address      `json:"mentions"`
	Reactions  []struct {
		From  address `json:"from"`
		Emoji string  `json:"emoji"`
	} `json:"reactions"`
	From address `json:"from"`
	To   address `json:"to"`
	raw  map[string]any
}

// UnmarshalJSON keeps everything beside the members with names.
func (m *message) UnmarshalJSON(b []byte) error {
	type plain message
	if err := json.Unmarshal(b, (*plain)(m)); err != nil {
		return err
	}
	m.raw = nil
	return json.Unmarshal(b, &m.raw)
}

type address struct {
	ID    string `json:"id"`
	Phone string `json:"phone"`
	LID   string `json:"lid"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// dig returns what stands at a path in decoded JSON, or nil.
func dig(value any, path ...string) any {
	for _, name := range path {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[name]
	}
	return value
}
