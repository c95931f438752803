package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// ended is how a message ended: its status and the code of its error.
func (b *bench) ended(id uuid.UUID) string {
	b.Helper()
	return one[string](b, `SELECT status || coalesce(' ' || error_code, '') FROM messages WHERE id = $1`, id)
}

// toldOf lists what was told of a message after it was accepted.
func (b *bench) toldOf(id uuid.UUID) (told []string) {
	b.Helper()
	name := events.MessagePrefix.Format(id)
	for _, e := range b.events(events.MessageSent, events.MessageUpdated) {
		switch {
		case e.Data.Message.ID == name:
			told = append(told, "sent")
		case e.Data.MessageID == name && e.Data.Error != nil:
			told = append(told, fmt.Sprint(e.Data.Status, " ", e.Data.Error.Code))
		case e.Data.MessageID == name:
			told = append(told, string(e.Data.Status))
		}
	}
	return told
}

// A sender that waits for the row while it expires must not go by what the row was.
func TestAMessageThatExpiresUnderItsSenderIsNotSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	tx, err := b.pool.Begin(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(b.ctx()) }()
	var id uuid.UUID
	b.sandbox.SetFaults(server.Faults{RefuseConnections: true})
	b.sandbox.Disconnect("")
	b.awaitState("sales", events.StateReconnecting)
	id = b.send("sales", juan, "too late")
	after := b.send("sales", juan, "in time")
	if _, err := tx.Exec(b.ctx(), `UPDATE messages SET status = 'expired' WHERE id = $1`, id); err != nil { // a sweep, before its commit
		t.Fatal(err)
	}
	b.sandbox.SetFaults(server.Faults{})
	b.await("the sender to wait for the row", func() bool {
		return one[int](b, `SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%MessageBeginSend%' AND datname = current_database()`) > 0
	})
	if err := tx.Commit(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.awaitStatus(after, events.StatusDelivered)
	if got := b.seen(juan); !slices.Equal(got, []string{"in time"}) || b.ended(id) != "expired" {
		t.Errorf("the message is %s, and the phone shows %q", b.ended(id), got)
	}
}

func TestTheSweeperLeavesAMessageToItsSender(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	g := b.gate(`BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.status IN ('sent', 'delivered'))`)
	g.shut()
	id := b.send("sales", juan, "in time")
	g.await() // WhatsApp has it
	b.exec(`ALTER TABLE messages DISABLE TRIGGER held0`)
	other := b.send("sales", juan, "waits")
	b.exec(`UPDATE messages SET expires_at = now() WHERE id = $1`, other)
	if _, err := c.sweepOnce(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.await("a sweep", func() bool { return b.ended(other) == "expired" })
	g.open()
	b.awaitStatus(id, events.StatusDelivered)

	// The row alone: within the time of an attempt it is the sender's, whatever its own time.
	for _, tt := range []struct {
		age  time.Duration
		want string
	}{{sendTimeout, "sending"}, {sweepSending - time.Minute, "sending"}, {sweepSending + time.Second, "expired whatsapp_timeout"}} {
		id := b.outgoing("sales", events.StatusSending)
		b.exec(`UPDATE messages SET expires_at = now() - interval '1 hour', updated_at = clock_timestamp() - make_interval(secs => $2) WHERE id = $1`, id, tt.age.Seconds())
		if _, err := c.sweepOnce(b.ctx()); err != nil {
			t.Fatal(err)
		}
		if tt.age > sweepSending {
			b.await("a sweep", func() bool { return b.ended(id) != "sending" })
		}
		if got := b.ended(id); got != tt.want {
			t.Errorf("%s after its last attempt began a message is %s, want %s", tt.age, got, tt.want)
		}
	}
}

func TestAnUnknownAnswerIsAskedForAlsoWhenTheTimeIsOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
	c := b.connector(same)
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	g := b.gate(`BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.status IN ('sent', 'delivered'))`)
	g.shut()
	id := b.send("sales", juan, "in time")
	g.await() // WhatsApp has it
	g.kill(c)
	g.open()
	b.exec(`UPDATE messages SET expires_at = now() WHERE id = $1`, id)
	b.connector(same)
	b.awaitStatus(id, events.StatusDelivered)
	if got := b.seen(juan); !slices.Equal(got, []string{"in time"}) {
		t.Errorf("the phone shows %q", got)
	}
	if got := b.toldOf(id); !slices.Equal(got, []string{"sent", "delivered"}) {
		t.Errorf("told %q", got)
	}
}

func TestAnAttemptWithoutAnAnswerIsRepeatedAlsoWhenTheTimeIsOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.prepared()
	c.pace.ack = 500 * time.Millisecond
	if err := c.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	// Neither the answer nor the phone's receipt reaches the sender.
	b.sandbox.SetFaults(server.Faults{DropAcks: true, Drop: server.Sometimes{Rate: 1}})
	id := b.send("sales", juan, "in time")
	b.shown(juan, 1)
	b.exec(`UPDATE messages SET expires_at = now() WHERE id = $1`, id)
	b.await("a repetition", func() bool { return b.sandbox.Stats().RepeatedIDs > 0 })
	b.sandbox.SetFaults(server.Faults{})
	b.await("the message to be sent", func() bool { return wasSent(events.MessageStatus(b.status(id))) })
	if got := b.toldOf(id); got[0] != "sent" {
		t.Errorf("told %q", got)
	}

	// One that another process left: nobody knows whether it had gone out.
	b.exec(`UPDATE sessions SET desired = 'stopped'`)
	b.awaitState("sales", events.StateStopped)
	left := b.send("sales", juan, "left")
	b.exec(`UPDATE messages SET status = 'sending', updated_at = clock_timestamp(), expires_at = now() WHERE id = $1`, left)
	b.exec(`UPDATE sessions SET desired = 'started'`)
	b.awaitStatus(left, events.StatusDelivered)
	if got := b.seen(juan); !slices.Equal(got, []string{"in time", "left"}) {
		t.Errorf("the phone shows %q", got)
	}
}

func TestAFileWhoseTimeEndsDuringItsUploadIsNotSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.sandbox.SetFaults(server.Faults{Media: server.MediaFaults{Uploads: true, BytesPerSecond: 100_000}})
	id := b.sendFile("sales", juan, events.Content{Type: events.ContentDocument, Media: &events.Media{Mimetype: "text/plain"}}, b.keep("text/plain", make([]byte, 300_000)))
	after := b.send("sales", juan, "after")
	b.awaitStatus(id, events.StatusSending)
	b.exec(`UPDATE messages SET expires_at = now() WHERE id = $1`, id)
	b.awaitStatus(after, events.StatusDelivered)
	if got := b.seen(juan); !slices.Equal(got, []string{"after"}) || b.ended(id) != "expired" {
		t.Errorf("the file is %s, and the phone shows %q", b.ended(id), got)
	}
	if n := one[int](b, `SELECT count(*)::int FROM media WHERE direct_path IS NOT NULL`); n != 1 {
		t.Error("the upload did not end")
	}
}

func TestStatesOfASessionDecideWhatBecomesOfItsMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.createSession("sales")
	b.exec(`UPDATE sessions SET desired = 'stopped'`)
	b.exec(`INSERT INTO claims (session, owner, expires_at) VALUES ('sales', 'another', now() + interval '1 hour')`) // nobody writes its state
	c := b.connector()
	for state, want := range map[events.SessionState]string{
		events.StateLoggedOut: "failed session_logged_out", events.StateBanned: "failed account_banned",
		events.StateStopped: "", events.StateReplaced: "", events.StateFailed: "", events.StateReconnecting: "", events.StateQR: "",
	} {
		var ids []uuid.UUID
		for _, status := range []events.MessageStatus{events.StatusQueued, events.StatusSending} {
			ids = append(ids, b.outgoing("sales", status))
		}
		b.exec(`UPDATE sessions SET state = $1`, string(state))
		if _, err := c.sweepOnce(b.ctx()); err != nil {
			t.Fatal(err)
		}
		for i, before := range []string{"queued", "sending"} {
			if want == "" {
				if got := b.ended(ids[i]); got != before {
					t.Errorf("%s: a message that was %s is %s", state, before, got)
				}
				continue
			}
			b.await("a message to end", func() bool { return b.ended(ids[i]) == want }) // the connector sweeps too
			if got := b.toldOf(ids[i]); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: told %q", state, got)
			}
		}
		b.exec(`UPDATE sessions SET state = 'stopped'`)
		// Whatever the state, a message does not outlast its own time.
		b.exec(`UPDATE messages SET expires_at = now(), updated_at = now() - interval '1 hour' WHERE status IN ('queued', 'sending')`)
		b.await("nothing to wait", func() bool {
			return one[int](b, `SELECT count(*)::int FROM messages WHERE status IN ('queued', 'sending')`) == 0
		})
	}
}

func TestABanFailsWhatWaitsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.awaitStatus(b.send("sales", juan, "before"), events.StatusDelivered)
	b.phone("5491100000077", "Stranger")
	b.sandbox.SetFaults(server.Faults{Ban: server.BanRule{NewContacts: 1, Window: time.Hour, Duration: time.Hour}})
	var ids []uuid.UUID
	for i := range 5 {
		number := fmt.Sprintf("549110000008%d", i)
		b.phone(number, "Stranger")
		ids = append(ids, b.send("sales", number, "hello"))
	}
	b.awaitState("sales", events.StateBanned)
	for _, id := range ids[2:] {
		b.awaitStatus(id, events.StatusFailed)
		if got := b.ended(id); got != "failed account_banned" {
			t.Errorf("a message is %s", got)
		}
	}
	if reason := one[string](b, `SELECT reason FROM sessions`); !strings.Contains(reason, "expires in") {
		t.Errorf("the reason is %q", reason)
	}
}

func TestRefusalsByCodeHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	for _, tt := range []struct {
		code, count int
		want        string
	}{
		{463, 1, "failed account_restricted"}, {479, malformedMost, "failed whatsapp_rejected"}, {479, malformedMost - 1, "delivered"}, {420, 1, "failed whatsapp_rejected"},
	} {
		b.sandbox.SetFaults(server.Faults{AckError: server.AckError{Code: tt.code, Sometimes: server.Sometimes{Rate: 1, Count: tt.count}}})
		began := time.Now()
		id, after := b.send("sales", juan, "refused"), b.send("sales", juan, "after")
		b.awaitStatus(after, events.StatusDelivered)
		b.await("the message to end", func() bool { return b.ended(id) == tt.want })
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%d held the session up for %s", tt.code, took)
		}
	}
	// What the account may not do now is waited for, in order.
	b.sandbox.SetFaults(server.Faults{AckError: server.AckError{Code: 429, Sometimes: server.Sometimes{Rate: 1, Count: 1}}})
	began, id, after := time.Now(), b.send("sales", juan, "limited"), b.send("sales", juan, "after the limit")
	b.awaitStatus(after, events.StatusDelivered)
	b.awaitStatus(id, events.StatusDelivered)
	if took := time.Since(began); took < limitedFirst {
		t.Errorf("it was tried again after %s", took)
	}
	if got := b.seen(juan); !slices.Equal(got[len(got)-2:], []string{"limited", "after the limit"}) {
		t.Errorf("the phone shows %q", got)
	}
}

func TestAMessageWhoseCommandIsGivenUpFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.createSession("sales")
	b.exec(`UPDATE sessions SET desired = 'stopped'`)
	dead, stuck, behind := b.send("sales", juan, "dead"), b.send("sales", juan, "stuck"), b.send("sales", juan, "behind")
	b.exec(`WITH d AS (DELETE FROM queue_messages WHERE uuid = $1 RETURNING *)
		INSERT INTO queue_dead (topic, id, lane, session, uuid, payload, metadata, attempts, crashes, created_at)
		SELECT 'commands', id, lane, 'sales', uuid, payload, metadata, 5, 0, created_at FROM d`, dead)
	b.exec(`UPDATE queue_messages SET crashes = 5 WHERE uuid = $1`, stuck)
	b.exec(`UPDATE queue_lanes SET parked = 'crashes', ready_at = 'infinity' WHERE session = 'sales'`)
	b.exec(`UPDATE messages SET status = 'sending' WHERE id = $1`, stuck)
	b.connector()
	for _, id := range []uuid.UUID{dead, stuck} {
		b.await("the message to fail", func() bool { return b.ended(id) == "failed internal_error" })
		if got := b.toldOf(id); !slices.Equal(got, []string{"failed internal_error"}) {
			t.Errorf("told %q", got)
		}
	}
	b.await("the lane to go on", func() bool {
		return one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE session = 'sales' AND parked = 'crashes'`) == 0
	})
	if b.ended(behind) != "queued" {
		t.Errorf("the message behind is %s", b.ended(behind))
	}
	if list, err := queue.Dead(b.ctx(), b.pool, events.TopicCommands, 10); err != nil || len(list) != 1 || list[0].ID != dead {
		t.Errorf("dead letters %v, %v", list, err)
	}
}

// A command that makes its handler panic each time is given up, and what stands behind it is sent.
func TestACommandThatPanicsIsGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	media := b.keep("text/plain", []byte("file"))
	b.exec(`UPDATE media SET direct_path = '/x', media_key = sha256('x'), kind = 'document', remote_at = NULL WHERE id = $1`, media) // which never happens
	id := b.sendFile("sales", juan, events.Content{Type: events.ContentDocument, Media: &events.Media{Mimetype: "text/plain"}}, media)
	after := b.send("sales", juan, "after")
	b.await("a first panic", func() bool {
		return one[int](b, `SELECT count(*)::int FROM queue_messages WHERE uuid = $1 AND attempts = 1 AND last_error LIKE '%panic%'`, id) == 1
	})
	b.exec(`UPDATE queue_messages SET attempts = $2 WHERE uuid = $1`, id, panicsMost-1) // and others
	b.await("the message to fail", func() bool { return b.ended(id) == "failed internal_error" })
	b.awaitStatus(after, events.StatusDelivered)
}

func TestMessagesOfReleasesBeforeGetABound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.createSession("sales")
	id, done := b.outgoing("sales", events.StatusQueued), b.outgoing("sales", events.StatusRead)
	b.connector()
	b.await("a bound", func() bool {
		return one[bool](b, `SELECT coalesce(expires_at BETWEEN now() + interval '23 hours' AND now() + interval '24 hours', false) FROM messages WHERE id = $1`, id)
	})
	if n := one[int](b, `SELECT count(*)::int FROM messages WHERE id = $1 AND expires_at IS NULL`, done); n != 1 {
		t.Error("a message that was sent has a bound")
	}
}
