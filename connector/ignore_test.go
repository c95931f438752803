package connector

import (
	"fmt"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Feature: Ignore groups, status, broadcasts, channels
func TestWhatIsIgnoredIsTakenAndForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	conn, sender := c.session("sales").sender(), types.NewJID(juan, types.DefaultUserServer)
	chats := map[string]types.JID{
		"groups": types.NewJID("120363000000000001", types.GroupServer), "status": types.StatusBroadcastJID,
		"broadcasts": types.NewJID("1700000000", types.BroadcastServer), "channels": types.NewJID("120363000000000002", types.NewsletterServer),
	}
	about := func(chat types.JID) []any {
		source := types.MessageSource{Chat: chat, Sender: sender, IsGroup: true}
		return []any{
			&waevents.Message{Info: types.MessageInfo{MessageSource: source, ID: "3EB01", Timestamp: time.Now()}, Message: &waE2E.Message{Conversation: proto.String("hello")}},
			&waevents.UndecryptableMessage{Info: types.MessageInfo{MessageSource: source, ID: "3EB02", Timestamp: time.Now()}},
			&waevents.Receipt{MessageSource: source, MessageIDs: []string{"3EB03"}, Timestamp: time.Now(), Type: types.ReceiptTypeRead},
			&waevents.ChatPresence{MessageSource: source}, &waevents.JoinedGroup{GroupInfo: types.GroupInfo{JID: chat}}, &waevents.GroupInfo{JID: chat},
			&waevents.Picture{JID: chat}, &waevents.Star{ChatJID: chat}, &waevents.DeleteForMe{ChatJID: chat}, &waevents.Archive{JID: chat}, &waevents.Pin{JID: chat},
			&waevents.Mute{JID: chat}, &waevents.MarkChatAsRead{JID: chat}, &waevents.ClearChat{JID: chat}, &waevents.DeleteChat{JID: chat},
			&waevents.LabelAssociationChat{JID: chat}, &waevents.NewsletterLiveUpdate{JID: chat},
			&waevents.CallOffer{BasicCallMeta: types.BasicCallMeta{GroupJID: chat}}, &waevents.CallOfferNotice{BasicCallMeta: types.BasicCallMeta{GroupJID: chat}},
		}
	}
	count := func() string {
		return one[string](b, `SELECT (SELECT count(*) FROM messages) || ' ' || (SELECT count(*) FROM chats) || ' ' || (SELECT count(*) FROM contacts)`) +
			fmt.Sprint(len(b.events(events.Types...)))
	}
	for rule, chat := range chats {
		c.session("sales").setControl(db.SessionListControlRow{ID: "sales", Desired: events.DesiredStarted, Settings: fmt.Appendf(nil, `{"ignore":{%q:true}}`, rule)})
		before := count()
		for _, evt := range about(chat) {
			if _, viewer := evt.(*waevents.Receipt); viewer && rule == "status" { // of the account's own updates
				continue
			}
			if !conn.ignored(evt) || !conn.handle(evt) {
				t.Errorf("%s: %T is not taken, or not ignored", rule, evt)
			}
		}
		if after := count(); after != before {
			t.Errorf("%s: rows and events were %s and are %s", rule, before, after)
		}
		for other, chat := range chats {
			if c.session("sales").ignores(chat) != (other == rule) {
				t.Errorf("with %s, ignoring %s is %t", rule, other, other != rule)
			}
		}
		own := types.MessageSource{Chat: chat, Sender: types.NewJID(owner, types.DefaultUserServer), IsFromMe: true}
		if conn.ignored(&waevents.Message{Info: types.MessageInfo{MessageSource: own}}) != (rule != "status") {
			t.Errorf("%s: what the account's phone sends there is treated otherwise", rule)
		}
		if c.session("sales").ignores(sender) {
			t.Errorf("with %s a person is ignored", rule)
		}
	}
}

// Feature: Log of a session
func TestSessionLogKeepsTheNewest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	b.exec(`INSERT INTO session_log (session_id, kind, reason) SELECT 'sales', 'pairing', g::text FROM generate_series(1, 600) g`)
	conn := c.session("sales").sender()
	if err := conn.restricted(b.ctx(), &waevents.NotifyAccountReachoutTimelock{IsActive: true}); err != nil {
		t.Fatal(err)
	}
	if n := one[int](b, `SELECT count(*)::int FROM session_log`); n != 500 {
		t.Errorf("%d entries are kept", n)
	}
	if kind := one[string](b, `SELECT kind || ' ' || code FROM session_log ORDER BY id DESC LIMIT 1`); kind != "restriction 463" {
		t.Errorf("the last is %q", kind)
	}
	// What WhatsApp says at a connection's end is there with its code, and nobody writes who has lost the claim.
	b.sandbox.Disconnect("")
	s := c.session("sales")
	b.await("the end to be told", func() bool {
		return one[bool](b, `SELECT EXISTS (SELECT FROM session_log WHERE kind = 'state' AND state = 'reconnecting' AND reason <> '')`)
	})
	b.awaitState("sales", events.StateConnected)
	b.exec(`UPDATE claims SET epoch = epoch + 1`)
	before := one[int64](b, `SELECT max(id) FROM session_log WHERE kind = 'pairing'`)
	s.note(b.ctx(), "from the past", 0)
	if after := one[int64](b, `SELECT max(id) FROM session_log WHERE kind = 'pairing'`); after != before {
		t.Error("a session whose claim is lost has written")
	}
	if got := codeOf(&waevents.LoggedOut{Reason: waevents.ConnectFailureLoggedOut}) + codeOf(&waevents.StreamError{Code: "503"}); got != "401503" {
		t.Errorf("codes %s", got)
	}
}
