package connector

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chasqui/chasqui/events"
)

func TestSessionIsLinkedByQRAndTextsGoBothWays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone("5491100000002", "Juan")
	b.linked("sales", "5491100000001")

	id := b.send("sales", "5491100000002", "hello")
	if got := b.shown("5491100000002", 1); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("the phone shows %q", got)
	}
	b.awaitStatus(id, events.StatusDelivered)
	if _, err := b.sandbox.Read(b.ctx(), "5491100000002", "5491100000001"); err != nil {
		t.Fatal(err)
	}
	b.awaitStatus(id, events.StatusRead)

	b.fromPhone("5491100000002", "5491100000001", "hi there")
	b.await("the incoming message", func() bool { return len(b.events(events.MessageReceived)) == 1 })
	m := b.events(events.MessageReceived)[0].Data.Message
	if m.Content.Text != "hi there" || m.ChatID != "5491100000002@s.whatsapp.net" || m.Direction != events.Incoming || m.From.Name != "Juan" ||
		m.From.Phone != "5491100000002" || m.From.LID == "" || m.To.Phone != "5491100000001" {
		t.Errorf("received %+v", m)
	}
	stored := one[int](b, `SELECT count(*)::int FROM messages m JOIN chats c ON c.session_id = m.session_id AND c.id = m.chat_id
		JOIN contacts p ON p.session_id = m.session_id AND p.id = m.sender_id AND p.name = 'Juan'
		WHERE m.session_id = 'sales' AND m.direction = 'incoming' AND m.id = $1`, mustParse(t, m.ID))
	if stored != 1 {
		t.Error("the message is not stored with its chat and contact")
	}

	var told []events.MessageStatus
	for _, e := range b.events(events.MessageSent, events.MessageUpdated) {
		if e.Type == events.MessageSent {
			told = append(told, e.Data.Message.Status)
			continue
		}
		told = append(told, e.Data.Status)
		if e.Data.By == nil || e.Data.By.Phone != "5491100000002" {
			t.Errorf("status %s is by %+v", e.Data.Status, e.Data.By)
		}
	}
	if want := []events.MessageStatus{events.StatusSent, events.StatusDelivered, events.StatusRead}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	var states []events.SessionState
	for _, e := range b.events(events.SessionStatus) {
		states = append(states, e.Data.Session.State)
	}
	want := []events.SessionState{events.StateStarting, events.StateQR, events.StateStarting, events.StateConnected}
	if !slices.Equal(states, want) {
		t.Errorf("states told were %v, want %v", states, want)
	}
	if codes := b.events(events.SessionQR); len(codes) != 1 || codes[0].Data.QR == nil || codes[0].Data.QR.Text == "" {
		t.Errorf("QR events: %+v", codes)
	}
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestLogTellsWhatHappensToSessionsAndNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var log lines
	c := b.connector(func(cfg *Config) { cfg.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	b.linked("sales", owner)
	before := c.session("sales").sender()
	b.sandbox.Disconnect("")
	b.await("another connection", func() bool {
		conn := c.session("sales").sender()
		return conn != nil && conn != before
	})
	b.stop(c)
	text := log.String()
	messages := map[string]int{}
	for line := range strings.Lines(text) {
		var l struct{ Msg, Level, Component, Session, Module, In, State string }
		if err := json.Unmarshal([]byte(line), &l); err != nil { // as a duration that is a number
			t.Fatalf("%s: %v", line, err)
		}
		if l.Component != "connector" || strings.HasPrefix(l.Msg, "connector") {
			t.Errorf("not one plain line of the connector's: %s", line)
		}
		if l.Level == "INFO" && (l.Session == "" || l.Module != "") || strings.Contains(l.Msg, "515 code") {
			t.Errorf("tells of no session, or is a library's: %s", line)
		}
		messages[l.Msg+" "+l.State]++
	}
	for _, want := range []string{"device linked ", "connecting again ", "session state changed reconnecting", "session state changed connected"} {
		if messages[want] == 0 {
			t.Errorf("%q is missing in %v", want, messages)
		}
	}
}
