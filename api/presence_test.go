package api

import (
	"testing"

	"github.com/chasqui/chasqui/events"
)

func TestSubscriptionsAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.must(201, nil, "POST", "/v1/sessions", map[string]any{"id": "sales", "start": false})
	f.exec(`INSERT INTO presences (session_id, contact_id, subscribed_at) SELECT 'sales', (1000000000000 + n) || '@s.whatsapp.net', now() FROM generate_series(1, $1) n`, subscriptionsMost)
	f.problem(f.do("PUT", "/v1/sessions/sales/presence/5491123456789/subscription", nil), TooManySubscriptions)
	var queued events.Change // whom it is subscribed to already costs nothing more
	f.must(202, &queued, "PUT", "/v1/sessions/sales/presence/1000000000001/subscription", nil)
	if queued.Kind != events.SubscribePresence.Kind || queued.Target != "1000000000001@s.whatsapp.net" {
		t.Errorf("the change is %+v", queued)
	}
	f.must(202, nil, "DELETE", "/v1/sessions/sales/presence/1000000000001/subscription", nil)
}

func TestPresenceIsSweptAndErased(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.must(201, nil, "POST", "/v1/sessions", map[string]any{"id": "sales", "start": false})
	f.exec(`INSERT INTO contacts (session_id, id, phone, lid) VALUES ('sales', $1, $2, $3)`, erasedJID, erasedPhone, erasedLID)
	f.exec(`INSERT INTO presences (session_id, contact_id, subscribed_at, typing_at) VALUES ('sales', $1, now(), now() - interval '1 day'),
		('sales', '1000000000001@s.whatsapp.net', NULL, now() - interval '1 day'), ('sales', '1000000000002@s.whatsapp.net', NULL, now())`, erasedJID)
	f.exec(`INSERT INTO calls (id, session_id, whatsapp_id, caller_id, creator, video, offered_at, created_at) VALUES
		(gen_random_uuid(), 'sales', 'HIS', $1, $1, false, now(), now()), (gen_random_uuid(), 'sales', 'OLD', 'x', 'x', false, now(), now() - interval '31 days'),
		(gen_random_uuid(), 'sales', 'KEPT', 'x', 'x', false, now(), now() - interval '29 days')`, erasedJID)
	f.kickSweep()
	f.eventually("old typings and calls to be gone", func() bool { return f.count("presences") == 2 && f.count("calls") == 2 })

	var p events.Presence // a session that is not connected knows nothing of the moment
	if f.must(200, &p, "GET", "/v1/sessions/sales/presence/1000000000002", nil); p.State != events.PresenceUnknown || p.Typing != "" || p.Contact.Phone != "1000000000002" {
		t.Errorf("the presence is %+v", p)
	}
	f.must(200, nil, "DELETE", erasePath+"?erase=true", nil)
	if n := f.count("presences WHERE contact_id = '"+erasedJID+"'") + f.count("calls WHERE caller_id = '"+erasedJID+"'"); n != 0 {
		t.Errorf("%d rows of the erased contact are left", n)
	}
}
