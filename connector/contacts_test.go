package connector

import (
	"reflect"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

func TestNumbersAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.phone("5491100000003", "Shop")
	if err := b.sandbox.SetBusiness(b.ctx(), "5491100000003", &server.Business{Name: "The Shop"}); err != nil {
		t.Fatal(err)
	}
	b.linked("sales", owner)
	const nobody = "5491199999999"
	checks, code := b.answer(b.check("sales", patience, juan, nobody, owner, "5491100000003", juan))
	if code != "" || len(checks) != 5 {
		t.Fatalf("answered %v %q", checks, code)
	}
	for i, number := range []string{juan, nobody, owner, "5491100000003", juan} {
		got := checks[i]
		if got.Number != number || got.OnWhatsApp != (number != nobody) || got.OnWhatsApp != (got.Contact != nil) {
			t.Errorf("number %s is %+v", number, got)
		}
		if got.Contact == nil {
			continue
		}
		if got.Contact.ID != number+"@"+events.PhoneServer || got.Contact.Phone != number || got.Contact.LID == "" || got.Contact.Kind != events.KindUser {
			t.Errorf("number %s is of %+v", number, got.Contact)
		}
	}
	if name := checks[3].Contact.Name; name != "The Shop" {
		t.Errorf("the business is called %q", name)
	}
	if !reflect.DeepEqual(checks[0], checks[4]) {
		t.Errorf("asked twice, a number is %+v and %+v", checks[0], checks[4])
	}
	// What was learned is kept: a send need not ask for the LID again.
	lid, err := c.session("sales").sender().device.LIDs.GetLIDForPN(b.ctx(), types.NewJID(juan, types.DefaultUserServer))
	if err != nil || lid.User != checks[0].Contact.LID {
		t.Errorf("the LID is kept as %v: %v", lid, err)
	}
}

func TestANameThatIsSeenForTheFirstTimeIsNoChange(t *testing.T) {
	t.Parallel()
	h := handling(t)
	h.handle(fromJuan("TEXT", &waE2E.Message{Conversation: proto.String("hello")}))
	told := func() int {
		return one[int](h.bench, `SELECT count(*)::int FROM queue_messages WHERE lane LIKE 'events/%' AND metadata->>'type' = 'contact.updated'`)
	}
	for i, e := range []waevents.PushName{{NewPushName: "Juan"}, {OldPushName: "Juan", NewPushName: "Juan"}, {OldPushName: "Juan"}, {OldPushName: "Juan", NewPushName: "Juanito"}} {
		e.JID = types.NewJID(juan, types.DefaultUserServer)
		h.handle(&e)
		if want := i / 3; told() != want {
			t.Errorf("after %q instead of %q %d are told, want %d", e.NewPushName, e.OldPushName, told(), want)
		}
	}
}

func TestWhatAChangeSavedIsNoNewsWhenItComesBack(t *testing.T) {
	t.Parallel()
	h := handling(t)
	jid := types.NewJID(juan, types.DefaultUserServer)
	saved := func(at time.Time) string {
		h.handle(&waevents.Contact{JID: jid, Timestamp: at, Action: &waSyncAction.ContactAction{FullName: proto.String("Juan Pérez")}})
		return one[string](h.bench, `SELECT coalesce(string_agg(saved_name, ' '), '') FROM contacts WHERE id = $1`, jid.String())
	}
	at := h.conn.echoes.expect([]appstate.MutationInfo{{Index: []string{appstate.IndexContact, jid.String()}}})
	if name := saved(at); name != "" {
		t.Errorf("the change's own word saved %q", name)
	}
	if name := saved(at.Add(time.Second)); name != "Juan Pérez" {
		t.Errorf("the phone's word saved %q", name)
	}
}
