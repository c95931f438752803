package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.mau.fi/whatsmeow"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

func TestSendsLeaveInOrderAndAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	registry := prometheus.NewRegistry()
	b.connector(func(c *Config) { c.Metrics = registry })
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	want := numbered(0, 50)
	var last uuid.UUID
	for _, text := range want {
		last = b.send("sales", juan, text)
	}
	b.awaitStatus(last, events.StatusDelivered)
	if got := b.shown(juan, len(want)); !slices.Equal(got, want) {
		t.Errorf("the phone shows %q", got)
	}
	if got := b.texts(events.MessageSent); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				counts[f.GetName()+" "+l.GetValue()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	if counts["chasqui_connector_commands_total sent"] != 50 || counts["chasqui_connector_sends_total sent"] != 50 || counts["chasqui_connector_sessions connected"] != 1 {
		t.Errorf("metrics are %v", counts)
	}
}

func TestRecipientWhoIsNotOnWhatsAppFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	id := b.send("sales", "5491199999999", "nobody")
	after := b.send("sales", juan, "somebody")
	b.awaitStatus(id, events.StatusFailed)
	b.awaitStatus(after, events.StatusDelivered)
	var told []event
	for _, e := range b.events(events.MessageUpdated) {
		if e.Data.Status == events.StatusFailed {
			told = append(told, e)
		}
	}
	if len(told) != 1 || told[0].Data.Error == nil || told[0].Data.Error.Code != "recipient_not_on_whatsapp" {
		t.Errorf("told %+v", told)
	}
}

func TestMessageExpiresWhileItsSessionIsParked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.sandbox.SetFaults(server.Faults{RefuseConnections: true})
	b.sandbox.Disconnect("")
	b.awaitState("sales", events.StateReconnecting)
	id, after := b.send("sales", juan, "too late"), b.send("sales", juan, "in time")
	b.await("the lane to be parked", func() bool {
		return one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE session = 'sales' AND parked = 'session'`) == 1
	})
	b.exec(`UPDATE messages SET expires_at = now() WHERE id = $1`, id)
	b.awaitStatus(id, events.StatusExpired)
	b.sandbox.SetFaults(server.Faults{})
	b.awaitStatus(after, events.StatusDelivered)
	if got := b.shown(juan, 1); !slices.Equal(got, []string{"in time"}) {
		t.Errorf("the phone shows %q", got)
	}
	if got := b.status(id); got != string(events.StatusExpired) {
		t.Errorf("the message is %s", got)
	}
}

func TestCrashBeforeTheAnswerRepeatsTheSameMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "dev", true }
	c := b.connector(same)
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.awaitStatus(b.send("sales", juan, "before"), events.StatusDelivered)
	b.sandbox.SetFaults(server.Faults{DropAcks: true})
	id := b.send("sales", juan, "once")
	b.awaitStatus(id, events.StatusDelivered)
	b.abandon(c)
	b.sandbox.SetFaults(server.Faults{})
	// The receipt has proved the message sent; what is tested is a crash before it came.
	b.exec(`UPDATE messages SET status = 'sending' WHERE id = $1`, id)
	b.connector(same)
	after := b.send("sales", juan, "after")
	b.awaitStatus(after, events.StatusDelivered)
	b.await("the message to be sent", func() bool { return wasSent(events.MessageStatus(b.status(id))) })
	if got := b.shown(juan, 3); !slices.Equal(got, []string{"before", "once", "after"}) {
		t.Errorf("the phone shows %q", got)
	}
	if n := b.sandbox.Stats().RepeatedIDs; n != 1 {
		t.Errorf("%d ids were repeated, want 1", n)
	}
}

func TestUnacknowledgedMessageIsSentAgainUnderItsID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.prepared()
	c.pace.ack = 200 * time.Millisecond
	if err := c.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.sandbox.SetFaults(server.Faults{AckDelay: time.Second}) // every acknowledgement comes too late
	id := b.send("sales", juan, "once")
	b.await("a repetition, or the receipt that makes one needless", func() bool {
		return b.sandbox.Stats().RepeatedIDs > 0 || b.status(id) == string(events.StatusDelivered)
	})
	b.sandbox.SetFaults(server.Faults{})
	after := b.send("sales", juan, "after")
	b.awaitStatus(after, events.StatusDelivered)
	if got := b.shown(juan, 2); !slices.Equal(got, []string{"once", "after"}) {
		t.Errorf("the phone shows %q", got)
	}
	if got := b.texts(events.MessageSent); !slices.Equal(got, []string{"once", "after"}) {
		t.Errorf("told %q", got)
	}
}

func TestReceiptThatOvertakesTheAnswerTellsBoth(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.sandbox.SetFaults(server.Faults{AckDelay: time.Second})
	id := b.send("sales", juan, "hello")
	b.awaitStatus(id, events.StatusDelivered)
	b.await("the command to be done", func() bool {
		return one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE session = 'sales'`) == 0
	})
	var told []string
	for _, e := range b.events(events.MessageSent, events.MessageUpdated) {
		told = append(told, string(e.Type)+" "+string(e.Data.Message.Status+e.Data.Status))
	}
	if want := []string{"message.sent sent", "message.status delivered"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	s := c.session("sales")
	conn := s.sender()
	refused := func(code int) error {
		return fmt.Errorf("send message: %w", fmt.Errorf("%w %d", whatsmeow.ErrServerReturnedError, code))
	}
	for _, tt := range []struct {
		err       error
		impatient bool
		code      string // "" when it is tried again
	}{
		{refused(463), false, "account_restricted"}, {refused(429), false, ""}, {refused(479), false, ""}, {whatsmeow.ErrMessageTimedOut, false, ""},
		{errors.New("anything"), false, ""}, {&whatsmeow.IQError{Code: 503}, true, "internal_error"},
		{&whatsmeow.IQError{Code: 429}, false, ""}, {refused(429), true, "rate_limited"}, {whatsmeow.ErrMessageTimedOut, true, "whatsapp_timeout"},
		{refused(406), false, "whatsapp_rejected"}, {&whatsmeow.IQError{Code: 406}, false, "whatsapp_rejected"}, {&whatsmeow.IQError{Code: 501}, false, "whatsapp_rejected"},
		{&refusal{"not_in_group", "No."}, false, "not_in_group"}, {errNotOnWhatsApp, false, "recipient_not_on_whatsapp"},
		{&whatsmeow.DisconnectedError{Action: "message send"}, true, ""}, {whatsmeow.ErrNotConnected, true, ""},
	} {
		id := events.NewID()
		b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
			VALUES ($1, 'sales', '5491100000002@s.whatsapp.net', $2, 'outgoing', 'sending', 'text', '{"type":"text"}', now())`, id, id.String())
		s.sending = attempt{id: id, since: time.Now(), handed: errors.Is(tt.err, whatsmeow.ErrMessageTimedOut)}
		if tt.impatient {
			s.sending.since = time.Now().Add(-sendPatience)
		}
		outcome, err := s.refused(context.Background(), conn, id, tt.err)
		code := one[*string](b, `SELECT error_code FROM messages WHERE id = $1`, id)
		var wait queue.WaitFor
		switch {
		case tt.code == "" && (!errors.As(err, &wait) || code != nil || b.status(id) != "sending"):
			t.Errorf("%v: %s, %v, want it to be tried again", tt.err, outcome, err)
		case tt.code != "" && (err != nil || code == nil || *code != tt.code || outcome != "failed"):
			t.Errorf("%v: %s, %v, %v, want %s", tt.err, outcome, err, code, tt.code)
		}
	}
}
