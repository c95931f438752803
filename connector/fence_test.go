package connector

import (
	"context"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// TestWhatAStaleOwnerHearsAndDoesIsNotWritten lets a connector that was stopped for so long that another has its session go on with what it had
// in hand: its clocks let it, and the fence alone stands in between.
func TestWhatAStaleOwnerHearsAndDoesIsNotWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	conn := b.connection(c, "sales")
	s, person := conn.s, types.NewJID("5491100000002", types.DefaultUserServer)
	b.exec(`INSERT INTO chats (session_id, id, kind) VALUES ('sales', $1, 'user')`, person.String())
	change := events.NewID()
	b.exec(`INSERT INTO changes (id, session_id, kind, target, chat_id, parameters, expires_at) VALUES ($1, 'sales', 'none', $2, $2, '{}', now() + interval '1 hour')`,
		change, person.String())
	part := events.NewID()
	b.exec(`INSERT INTO history_parts (id, session_id, whatsapp_id, notification) VALUES ($1, 'sales', 'PART', '')`, part)
	told := one[int](b, `SELECT count(*)::int FROM events`)

	b.exec(`UPDATE claims SET owner = 'another', epoch = epoch + 1, expires_at = now() + interval '1 hour'`)
	for _, tt := range []struct { // the commands last: they close the session, and the store of one that is closed refuses everything
		what  string
		write func(context.Context) error
	}{
		{"a contact that was saved", func(ctx context.Context) error {
			return conn.contactSaved(ctx, &waevents.Contact{JID: person, Timestamp: time.Now(), Action: &waSyncAction.ContactAction{FullName: proto.String("Stale")}})
		}},
		{"a new push name", func(ctx context.Context) error {
			return conn.pushNamed(ctx, &waevents.PushName{JID: person, OldPushName: "Fresh", NewPushName: "Stale"})
		}},
		{"a chat that was archived", func(ctx context.Context) error {
			return conn.chatArchived(ctx, &waevents.Archive{JID: person, Timestamp: time.Now(), Action: &waSyncAction.ArchiveChatAction{Archived: proto.Bool(true)}})
		}},
		{"a label", func(ctx context.Context) error {
			return conn.labelEdited(ctx, &waevents.LabelEdit{LabelID: "9", Timestamp: time.Now(), Action: &waSyncAction.LabelEditAction{Name: proto.String("Stale")}})
		}},
		{"a group's name", func(ctx context.Context) error {
			return conn.groupChanged(ctx, &waevents.GroupInfo{JID: types.NewJID("120363000000000001", types.GroupServer), Timestamp: time.Now(), Name: &types.GroupName{Name: "Stale"}})
		}},
		{"the end of a change", func(ctx context.Context) error {
			if outcome, err := s.endChange(ctx, change, events.ChangeDone, func(_ context.Context, tx *queue.Tx) (any, error) {
				_, err := events.Publish(tx, events.ContactUpdated, "sales", person.String(), time.Now(), events.ContactData{})
				return struct{}{}, err
			}, nil); outcome != "waiting" {
				return err
			}
			return errClaimLost
		}},
		{"the end of a part of the history", func(ctx context.Context) error {
			if outcome, err := s.endHistory(ctx, part, events.HistoryData{}, "", ""); outcome != "waiting" {
				return err
			}
			return errClaimLost
		}},
	} {
		if tt.write(b.ctx()) == nil {
			t.Errorf("%s is written", tt.what)
		}
	}
	<-s.done
	if n := one[int](b, `SELECT count(*)::int FROM events`); n != told {
		t.Errorf("%d events were told", n-told)
	}
	if status := one[string](b, `SELECT status FROM changes`); status != events.ChangeQueued {
		t.Errorf("the change is %s", status)
	}
	if n := one[int](b, `SELECT (SELECT count(*) FROM labels) + (SELECT count(*) FROM chats WHERE archived) + (SELECT count(*) FROM contacts WHERE 'Stale' IN (name, saved_name))`); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}
