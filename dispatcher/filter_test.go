package dispatcher

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// TestEndpointsGetWhatTheyWant: what is published goes to the endpoints whose filters it passes, and the log knows whose message it is about.
//
// Feature: Several webhook endpoints with filters
func TestEndpointsGetWhatTheyWant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const person, group = "5491123456789@s.whatsapp.net", "120363025246125486@g.us"
	want := map[string]string{}
	for name, set := range map[string]string{
		"all":                 "events = '{*}'",
		"messages":            "events = '{message.*}'",
		"sessions or media":   "events = '{session.status,media.*}'",
		"of support":          "sessions = '{support}'",
		"groups":              "chat_kinds = '{group}'",
		"people and channels": "chat_kinds = '{user,channel}'",
		"own":                 "from_me = true",
		"not own":             "from_me = false",
		"all parts":           "events = '{message.*}', sessions = '{sales,other}', chat_kinds = '{group}', from_me = false",
		"legacy, in groups":   "format = 'legacy', events = '{message.received}', chat_kinds = '{group}'",
	} {
		want[b.addEndpoint("http://127.0.0.1:1/", "state = 'paused', events = '{*}'", set).id.String()] = name
	}
	incoming, outgoing := events.MessageData{Message: events.Message{Direction: events.Incoming}}, events.MessageData{Message: events.Message{Direction: events.Outgoing}}
	for _, e := range []struct {
		kind          events.Type
		session, chat string
		data          any
		fromMe        string
		gets          []string
	}{
		{events.MessageReceived, "sales", person, incoming, "false", []string{"all", "messages", "people and channels", "not own"}},
		{events.MessageReceived, "sales", group, incoming, "false", []string{"all", "messages", "groups", "not own", "all parts", "legacy, in groups"}},
		{events.MessageReceived, "support", events.StatusChat, incoming, "false", []string{"all", "messages", "of support", "not own"}},
		{events.MessageSent, "sales", group, outgoing, "true", []string{"all", "messages", "groups", "own"}},
		{events.MessageUpdated, "support", person, events.StatusData{}, "true", []string{"all", "messages", "of support", "people and channels", "own"}},
		{events.MediaFailed, "sales", group, events.MediaFailedData{Direction: events.Incoming}, "false", []string{"all", "sessions or media", "groups", "not own"}},
		{events.MediaFailed, "sales", person, events.MediaFailedData{Direction: events.Outgoing}, "true", []string{"all", "sessions or media", "people and channels", "own"}},
		{events.SessionStatus, "support", "", events.SessionData{}, "", []string{"all", "sessions or media", "of support", "groups", "people and channels", "own", "not own"}},
		{events.WebhookFailing, "", "", events.WebhookData{}, "", []string{"all", "groups", "people and channels", "own", "not own"}},
	} {
		name := fmt.Sprintf("%s of %s in %s", e.kind, e.session, e.chat)
		var id string
		err := b.db.InTx(t.Context(), func(tx *queue.Tx) error {
			event, err := events.Publish(tx, e.kind, e.session, e.chat, time.Now(), e.data)
			id = event.String()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		b.sequenceAll()
		if n := b.count(`SELECT count(*) FROM events WHERE id = $1 AND coalesce(from_me::text, '') = $2`, id, e.fromMe); n != 1 {
			t.Errorf("%s: the log does not say that from_me is %q", name, e.fromMe)
		}
		rows, err := b.pool.Query(t.Context(), `SELECT endpoint_id::text FROM deliveries WHERE event_id = $1`, id)
		if err != nil {
			t.Fatal(err)
		}
		endpoints, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, endpoint := range endpoints {
			got[want[endpoint]] = true
		}
		for _, endpoint := range e.gets {
			if !got[endpoint] {
				t.Errorf("%s: %q does not get it", name, endpoint)
			}
			delete(got, endpoint)
		}
		for endpoint := range got {
			t.Errorf("%s: %q gets it", name, endpoint)
		}
	}
}

// sequenceAll runs the sequencer, which nobody else does, until the queue is empty.
func (b *bench) sequenceAll() {
	b.t.Helper()
	d := New(Config{DSN: b.dsn, Guard: localGuard(), S3: b.s3, Logger: silent()})
	d.pool = b.pool
	d.notifier = queue.NewNotifier(b.pool)
	defer d.notifier.Close()
	for more := true; more; {
		var err error
		if more, err = d.sequence(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
}
