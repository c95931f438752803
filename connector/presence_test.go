package connector

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// payloads are the data of the events of a type that were published, oldest first.
func payloads[T any](b *bench, t events.Type) (list []T) {
	b.Helper()
	for _, body := range many[[]byte](b, `SELECT payload FROM queue_messages WHERE lane LIKE 'events/%' ORDER BY id`) {
		var e struct {
			Type events.Type `json:"type"`
			Data T           `json:"data"`
		}
		if err := json.Unmarshal(body, &struct{ Type *events.Type }{&e.Type}); err != nil {
			b.Fatal(err)
		}
		if e.Type != t {
			continue
		}
		if err := json.Unmarshal(body, &e); err != nil {
			b.Fatal(err)
		}
		list = append(list, e.Data)
	}
	return list
}

// said counts the stanzas that the session's device sent, which match.
func (b *bench) said(device types.JID, match func(server.Stanza) bool) (n int) {
	b.Helper()
	res, err := http.Get(b.sandbox.URL() + "/transcript")
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var e struct {
			Device, Direction string
			Stanza            server.Stanza
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			b.Fatal(err)
		}
		if e.Device == device.String() && e.Direction == "in" && match(e.Stanza) {
			n++
		}
	}
	return n
}

// An account that is to be there stays there when it has typed, and acknowledges what comes as somebody who is looking.
func TestAnAccountThatIsToBeThereStaysThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.prepared()
	c.pace.typing, c.pace.present = 100*time.Millisecond, 300*time.Millisecond
	if err := c.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	device := b.device("sales")
	receipts := func(kind any) int {
		return b.said(device, func(s server.Stanza) bool { return s.Tag == "receipt" && s.Attrs["type"] == kind })
	}
	b.fromPhone(juan, owner, "nobody looks")
	b.await("a receipt of somebody who is not there", func() bool { return receipts("inactive") > 0 })
	before := receipts(nil)

	if err := b.sandbox.SetPresence(b.ctx(), juan, true); err != nil {
		t.Fatal(err)
	}
	if err := b.sandbox.Subscribe(b.ctx(), juan, owner); err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE sessions SET settings = '{"presence":"available"}' WHERE id = 'sales'`)
	b.noticed(juan, "presence", "available", true)
	b.fromPhone(juan, owner, "somebody looks")
	b.await("a receipt of somebody who is there", func() bool { return receipts(nil) > before })

	b.awaitStatus(b.sendTyped("sales", juan, "typed", 1), events.StatusDelivered)
	conn := b.connection(c, "sales")
	b.await("the end of being there because of the typing", func() bool {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		return !conn.attends.IsZero() && time.Now().After(conn.attends)
	})
	conn.unattend() // as its timer does
	gone := func() (n int) {
		list, err := b.sandbox.Events(b.ctx(), juan, 0, "presence", 0)
		if err != nil {
			t.Fatal(err)
		}
		there := false
		for _, e := range list {
			var data struct{ Available bool }
			if err := json.Unmarshal(e.Data, &data); err != nil {
				t.Fatal(err)
			}
			if there = there || data.Available; there && !data.Available {
				n++
			}
		}
		return n
	}
	if n := gone(); n != 0 {
		t.Errorf("it went away %d times", n)
	}
	b.exec(`UPDATE sessions SET settings = '{}' WHERE id = 'sales'`)
	b.await("the account to go", func() bool { return gone() == 1 })
}

// Subscriptions are WhatsApp's until the connection ends: each login asks for all of them, portion by portion.
func TestSubscriptionsAreRenewedInPortions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	if err := b.sandbox.SetPresence(b.ctx(), juan, true); err != nil {
		t.Fatal(err)
	}
	b.abandon(first) // before there is anything that it could ask for
	b.exec(`UPDATE sessions SET settings = '{"presence":"available"}' WHERE id = 'sales'`)
	b.exec(`INSERT INTO presences (session_id, contact_id, subscribed_at) SELECT 'sales', (1000000000000 + n) || '@s.whatsapp.net', now() FROM generate_series(1, $1) n`, 2*renewPage)
	b.exec(`INSERT INTO presences (session_id, contact_id, subscribed_at) VALUES ('sales', $1, now())`, juan+"@s.whatsapp.net")
	b.exec(`UPDATE claims SET expires_at = now()`)
	b.connector()
	state := func() string {
		return one[string](b, `SELECT state FROM presences WHERE contact_id = $1`, juan+"@s.whatsapp.net")
	}
	b.await("the last subscription", func() bool { return state() == events.PresenceAvailable })
	asked := b.said(b.device("sales"), func(s server.Stanza) bool { return s.Tag == "presence" && s.Attrs["type"] == "subscribe" })
	if asked != 2*renewPage+1 {
		t.Errorf("%d subscriptions were asked for", asked)
	}
	if list := payloads[events.PresenceData](b, events.PresenceUpdated); len(list) != 1 || list[0].Presence.State != events.PresenceAvailable || list[0].Presence.Contact.Phone != juan {
		t.Errorf("the events are %+v", list)
	}
	if err := b.sandbox.SetPresence(b.ctx(), juan, false); err != nil {
		t.Fatal(err)
	}
	b.await("his going", func() bool { return state() == events.PresenceUnavailable })
}

// What WhatsApp tells twice, or of whom nobody asked for, is told no further; whatever strangers write stops nothing.
func TestOddPresencesAndCallsAreGotOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	b.exec(`INSERT INTO presences (session_id, contact_id, subscribed_at) VALUES ('sales', $1, now())`, strangerPhone+"@s.whatsapp.net")
	conn := b.connection(c, "sales")
	who, group := types.NewJID(strangerPhone, types.DefaultUserServer), types.NewJID("120363025246125486", types.GroupServer)
	ownJID := conn.device.ID.ToNonAD()
	meta := func(id string, creator types.JID) types.BasicCallMeta {
		return types.BasicCallMeta{From: creator, CallCreator: creator, CallID: id, Timestamp: time.Now()}
	}
	for i, evt := range []any{
		&waevents.Presence{From: who},
		&waevents.Presence{From: who},
		&waevents.Presence{From: who, Unavailable: true, LastSeen: time.Unix(1<<40, 0)},
		&waevents.Presence{From: types.NewJID("5491144449999", types.DefaultUserServer)},
		&waevents.Presence{From: group}, &waevents.Presence{},
		&waevents.ChatPresence{}, &waevents.ChatPresence{State: "sleeping"},
		&waevents.ChatPresence{State: types.ChatPresenceComposing, MessageSource: types.MessageSource{Chat: who, Sender: ownJID, IsFromMe: true}},
		&waevents.ChatPresence{State: types.ChatPresenceComposing, MessageSource: types.MessageSource{Chat: types.StatusBroadcastJID, Sender: who}},
		&waevents.CallOfferNotice{}, &waevents.CallOfferNotice{BasicCallMeta: meta("A\x00B", who)}, &waevents.CallOfferNotice{BasicCallMeta: meta(strings.Repeat("A", 300), who)},
		&waevents.CallOfferNotice{BasicCallMeta: meta("OWN", ownJID)}, &waevents.CallOfferNotice{BasicCallMeta: meta("GROUP", group)},
		&waevents.CallTerminate{BasicCallMeta: meta("NEVER SEEN", who)}, &waevents.CallTerminate{}, &waevents.CallAccept{}, &waevents.CallReject{},
		&waevents.CallOfferNotice{BasicCallMeta: meta("TWICE", who), Media: "video"}, &waevents.CallOfferNotice{BasicCallMeta: meta("TWICE", who)},
		&waevents.CallReject{BasicCallMeta: meta("TWICE", who)}, &waevents.CallAccept{BasicCallMeta: meta("TWICE", who)}, // what other members of a group do
	} {
		if !conn.handle(evt) {
			t.Fatalf("%d, %T, is refused", i, evt)
		}
	}
	if list := payloads[events.PresenceData](b, events.PresenceUpdated); len(list) != 2 || list[0].Presence.State != "available" || list[1].Presence.State != "unavailable" || list[1].Presence.LastSeen != nil {
		t.Errorf("presence.updated: %+v", list)
	}
	if list := payloads[events.TypingData](b, events.ChatTyping); len(list) != 0 {
		t.Errorf("chat.typing: %+v", list)
	}
	offered, taken, over := payloads[events.CallData](b, events.CallOffered), payloads[events.CallData](b, events.CallTaken), payloads[events.CallData](b, events.CallOver)
	if len(offered) != 1 || !offered[0].Call.Video || len(taken) != 0 || len(over) != 0 {
		t.Errorf("calls: %+v, %+v, %+v", offered, taken, over)
	}
	// How it ends for this device, each once.
	for _, reason := range []string{"accepted_elsewhere", "accepted_elsewhere", "", "timeout"} {
		if !conn.handle(&waevents.CallTerminate{BasicCallMeta: meta("TWICE", who), Reason: reason}) {
			t.Fatal("an end is refused")
		}
	}
	taken, over = payloads[events.CallData](b, events.CallTaken), payloads[events.CallData](b, events.CallOver)
	if len(taken) != 1 || len(over) != 1 || over[0].Call.Reason != events.CallCompleted || over[0].Call.AcceptedAt == nil {
		t.Errorf("the end: %+v, %+v", taken, over)
	}
}

// What is known under a LID moves to the phone: the subscription holds, and the caller is the same person.
func TestPresenceAndCallsMoveToThePhone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	lid, phone := types.NewJID(strangerLID, types.HiddenUserServer), types.NewJID(strangerPhone, types.DefaultUserServer)
	b.exec(`INSERT INTO contacts (session_id, id, lid) VALUES ('sales', $1, $2)`, lid.String(), strangerLID)
	b.exec(`INSERT INTO presences (session_id, contact_id, subscribed_at, typing_at) VALUES ('sales', $1, now(), NULL), ('sales', $2, NULL, now())`, lid.String(), phone.String())
	b.exec(`INSERT INTO calls (id, session_id, whatsapp_id, caller_id, creator, video, offered_at) VALUES (gen_random_uuid(), 'sales', 'A', $1, $1, false, now())`, lid.String())
	if _, err := b.connection(c, "sales").address(b.ctx(), lid, phone); err != nil {
		t.Fatal(err)
	}
	if got := one[string](b, `SELECT string_agg(contact_id || ' ' || (subscribed_at IS NOT NULL), ', ') FROM presences`); got != phone.String()+" true" {
		t.Errorf("subscriptions are %s", got)
	}
	if got := one[string](b, `SELECT caller_id FROM calls`); got != phone.String() {
		t.Errorf("the caller is %s", got)
	}
}

// What came in while settings.markRead was on is read also where the process died before it was.
func TestMessagesToReadAreReadAfterACrash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	var ids []string
	for i := range 3 {
		ids = append(ids, b.fromPhone(juan, owner, fmt.Sprint(i)))
	}
	b.await("the messages", func() bool {
		return one[int](b, `SELECT count(*)::int FROM messages WHERE direction = 'incoming'`) == len(ids)
	})
	b.abandon(first)
	b.exec(`UPDATE claims SET expires_at = now()`)
	b.exec(`INSERT INTO messages_to_read (message_id, session_id) SELECT id, session_id FROM messages WHERE direction = 'incoming'`)
	b.exec(`UPDATE messages_to_read SET created_at = now() - interval '2 days' WHERE message_id = (SELECT id FROM messages WHERE whatsapp_id = $1)`, ids[0]) // too old
	b.connector()
	for _, id := range ids[1:] {
		b.await("the message to be read", func() bool {
			sent, err := b.sandbox.Sent(b.ctx(), juan, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range sent {
				if m.ID == id && m.Status == "read" {
					return true
				}
			}
			return false
		})
	}
	b.await("nothing to be left to read", func() bool {
		return one[int](b, `SELECT count(*)::int + (SELECT unread FROM chats WHERE id = $1) FROM messages_to_read`, juan+"@s.whatsapp.net") == 0
	})
}

// A process that dies with a call in hand has lost nothing: it is rejected, once, and its caller gets one text.
func TestACallIsRejectedAlsoWhereTheProcessDied(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.prepared()
	b.phone(juan, "Juan")
	offered := make(chan struct{}, 10)
	first.handling = func(evt any) {
		if _, ok := evt.(*waevents.CallOffer); ok {
			offered <- struct{}{}
		}
	}
	if err := first.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.linked("sales", owner)
	b.exec(`UPDATE sessions SET settings = '{"calls":{"reject":true,"text":"No calls, please."}}' WHERE id = 'sales'`)
	b.await("the setting to be known", func() bool { return b.connection(first, "sales").s.settings().Calls != nil })
	dying := first.session("sales")
	dying.inHand <- struct{}{} // the text cannot be sent
	go func() { <-dying.ctx.Done(); <-dying.inHand }()
	id, err := b.sandbox.Call(b.ctx(), juan, owner, false)
	if err != nil {
		t.Fatal(err)
	}
	<-offered
	b.await("the call to be written", func() bool { return one[int](b, `SELECT count(*)::int FROM calls`) == 1 })
	b.abandon(first)
	b.exec(`UPDATE claims SET expires_at = now()`)
	second := b.connector()
	b.await("the call to be over", func() bool { return one[string](b, `SELECT state || ' ' || reason FROM calls`) == "ended rejected" })
	if texts := b.shown(juan, 1); len(texts) != 1 || texts[0] != "No calls, please." {
		t.Errorf("the caller got %q", texts)
	}
	// The same stanza again, and another call within the hour.
	conn := b.connection(second, "sales")
	creator := types.NewJID(juan, types.DefaultUserServer)
	for _, call := range []string{id, "ANOTHER"} {
		if !conn.handle(&waevents.CallOfferNotice{BasicCallMeta: types.BasicCallMeta{From: creator, CallCreator: creator, CallID: call, Timestamp: time.Now()}}) {
			t.Fatal("the offer is refused")
		}
	}
	b.await("the other call's rejection", func() bool {
		return one[int](b, `SELECT count(*)::int FROM changes WHERE status = 'done' AND kind = 'call.reject'`) == 2
	})
	if n := one[int](b, `SELECT count(*)::int FROM messages WHERE direction = 'outgoing'`); n != 1 {
		t.Errorf("there are %d texts", n)
	}
	if list := payloads[events.CallData](b, events.CallOffered); len(list) != 2 {
		t.Errorf("offers told: %+v", list)
	}
	calls, err := b.sandbox.Calls(juan)
	if err != nil || len(calls) != 1 || calls[0].State != "rejected" {
		t.Errorf("the caller's phone shows %+v, %v", calls, err)
	}
}

// A call that came while the session was offline is not rejected: it rings no more. One whose end nobody told ends by itself.
func TestOldCallsAreLeft(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	b.exec(`UPDATE sessions SET settings = '{"calls":{"reject":true,"text":"No calls, please."}}' WHERE id = 'sales'`)
	conn := b.connection(c, "sales")
	b.await("the setting to be known", func() bool { return conn.s.settings().Calls != nil })
	creator := types.NewJID(juan, types.DefaultUserServer)
	if !conn.handle(&waevents.CallOfferNotice{BasicCallMeta: types.BasicCallMeta{From: creator, CallCreator: creator, CallID: "OLD", Timestamp: time.Now().Add(-2 * callRings)}}) {
		t.Fatal("the offer is refused")
	}
	if n := one[int](b, `SELECT (SELECT count(*) FROM changes) + (SELECT count(*) FROM messages WHERE direction = 'outgoing')`); n != 0 {
		t.Errorf("%d things are done about it", n)
	}
	b.exec(`UPDATE calls SET created_at = now() - interval '10 minutes'`)
	b.await("its end", func() bool { return len(payloads[events.CallData](b, events.CallOver)) == 1 })
	if end := payloads[events.CallData](b, events.CallOver)[0].Call; end.Reason != events.CallUnknown || end.EndedAt == nil {
		t.Errorf("it ended as %+v", end)
	}
}
