package connector

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// change accepts a change as the API does.
func (b *bench) change(session, kind, target string, parameters any, expires time.Duration) uuid.UUID {
	b.Helper()
	id := events.NewID()
	raw, err := json.Marshal(parameters)
	if err != nil {
		b.Fatal(err)
	}
	err = b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		_, err := db.New().ChangeQueue(b.ctx(), tx, db.ChangeQueueParams{
			ID: id, SessionID: session, Kind: kind, Target: target, Parameters: raw, ExpiresAt: time.Now().Add(expires), MaxOpen: 100,
		})
		if err != nil {
			return err
		}
		payload, _ := json.Marshal(events.ChangeCommand{ChangeID: id, SessionID: session})
		tx.Publish(events.TopicCommands, queue.Message{
			ID: id, Lane: events.ChangeLane(session), Session: session, Payload: payload, Metadata: map[string]string{events.MetaCommand: events.CommandChange},
		})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// changed waits until a change has ended, and returns its status and code.
func (b *bench) changed(id uuid.UUID) (status string) {
	b.Helper()
	b.await("the change to end", func() bool { return one[bool](b, `SELECT finished_at IS NOT NULL FROM changes WHERE id = $1`, id) })
	return one[string](b, `SELECT trim(status || ' ' || coalesce(error_code, '')) FROM changes WHERE id = $1`, id)
}

func TestChangesThatCannotBeMadeEndAndAreTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.linked("sales", owner)
	for want, id := range map[string]uuid.UUID{
		"failed unavailable":       b.change("sales", "future.kind", "", nil, time.Hour),
		"failed message_not_found": b.change("sales", events.React.Kind, events.NewID().String(), events.Reacting{WhatsAppID: "3EB0AA", Emoji: "x"}, time.Hour),
		"expired":                  b.change("sales", events.React.Kind, "", events.Reacting{}, -time.Second),
	} {
		if got := b.changed(id); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if told := b.events(events.ChangeUndone); len(told) != 3 {
		t.Errorf("%d are told", len(told))
	}
}

// A change that no connector makes is swept: its time is over, or its session has ended.
func TestChangesAreSwept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.createSession("sales")
	b.createSession("gone")
	late := b.change("sales", events.React.Kind, "", events.Reacting{}, time.Second)
	gone := b.change("gone", events.React.Kind, "", events.Reacting{}, time.Hour)
	b.exec(`UPDATE sessions SET desired = 'stopped', state = CASE id WHEN 'gone' THEN 'logged_out' ELSE 'stopped' END`)
	b.connector()
	if got := b.changed(late); got != "expired" {
		t.Error(got)
	}
	if got := b.changed(gone); got != "failed session_logged_out" {
		t.Error(got)
	}
	if told := b.events(events.ChangeUndone); len(told) != 2 {
		t.Errorf("%d are told", len(told))
	}
}

func TestAStaleOwnerEndsNoChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	s := c.session("sales")
	b.exec(`UPDATE claims SET owner = 'another', epoch = epoch + 1, expires_at = now() + interval '1 hour'`)
	id := b.change("sales", events.React.Kind, "", events.Reacting{}, time.Hour)
	wrote := false
	_, err := s.endChange(b.ctx(), id, events.ChangeDone, func(context.Context, *queue.Tx) (any, error) { wrote = true; return nil, nil }, nil)
	var wait queue.WaitFor
	if !errors.As(err, &wait) || wrote || one[string](b, `SELECT status FROM changes`) != "queued" {
		t.Errorf("%v, wrote %t", err, wrote)
	}
}

func TestAChangeThatPanicsIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	_, err := conn.make(b.ctx(), func(context.Context, *connection, change) (written, error) { panic("odd") }, change{})
	var refused *refusal
	if !errors.As(err, &refused) || refused.code != "internal_error" {
		t.Errorf("%v", err)
	}
}

// What WhatsApp does not take is tried again until patience ends; what it refuses is not.
func TestPatienceWithChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	s := c.session("sales")
	conn := s.sender()
	for _, tt := range []struct {
		err     error
		patient bool
	}{
		{&whatsmeow.IQError{Code: 429}, true}, {whatsmeow.ErrIQTimedOut, true}, {&whatsmeow.IQError{Code: 503}, true}, {whatsmeow.ErrNotConnected, true},
		{&whatsmeow.IQError{Code: 403}, false}, {errNotOnWhatsApp, false}, {whatsmeow.ErrNotInGroup, false}, {&refusal{"not_group_admin", "No."}, false},
	} {
		id := events.NewID()
		_, err := s.changeRefused(b.ctx(), conn, id, tt.err)
		var wait queue.WaitFor
		if errors.As(err, &wait) != tt.patient {
			t.Errorf("%v: %v", tt.err, err)
		}
	}
	id := b.change("sales", "never", "", nil, time.Hour)
	b.changed(id)
	tired := events.NewID()
	s.mu.Lock()
	s.changing[tired] = time.Now().Add(-sendPatience)
	s.mu.Unlock()
	if outcome, err := s.changeRefused(b.ctx(), conn, tired, whatsmeow.ErrIQTimedOut); err != nil || outcome != "refused" {
		t.Errorf("%s %v", outcome, err)
	}
	if len(s.changing) != 3 { // those above that wait, but for the one that the connection cut short
		t.Errorf("%d are in hand", len(s.changing))
	}
}
