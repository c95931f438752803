package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

// event waits for a phone's next event of a kind, and decodes its data.
func event(t *testing.T, url, number, kind string, data any) {
	t.Helper()
	var p struct{ Events []sandbox.Event }
	call(t, "GET", fmt.Sprintf("%s/phones/%s/events?wait=60&kind=%s", url, number, kind), nil, 200, &p)
	if len(p.Events) != 1 {
		t.Fatalf("%d events of kind %s", len(p.Events), kind)
	}
	if err := json.Unmarshal(p.Events[0].Data, data); err != nil {
		t.Fatal(err)
	}
}

// wait connects a companion that is not linked and waits for its QR codes.
func (c *companion) wait() []string {
	c.t.Helper()
	if err := c.connect(); err != nil {
		c.t.Fatal(err)
	}
	var codes []string
	c.await("QR codes", func() bool {
		for _, evt := range c.other {
			if qr, ok := evt.(*events.QR); ok {
				codes = qr.Codes
			}
		}
		return codes != nil
	})
	return codes
}

func TestLinksByCodeThroughTheControlAPI(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	c := newCompanion(t, dsn, s.URL()[len("http://"):])
	c.wait()
	code, err := c.client.PairPhone(t.Context(), "+"+anna, true, whatsmeow.PairClientFirefox, "Firefox (Windows)")
	if err != nil {
		t.Fatal(err)
	}
	var asked struct{ Client string }
	if event(t, s.URL(), anna, "pairing_code_requested", &asked); asked.Client != "Firefox (Windows)" {
		t.Errorf("the phone was told of %q", asked.Client)
	}
	var list struct {
		Waiting []struct {
			ID, OS, Platform, Browser, LinkBy, Phone, State string
			RemainingSeconds, QRRemainingSeconds            int
			Since                                           time.Time
		}
	}
	call(t, "GET", s.URL()+"/waiting", nil, 200, &list)
	if len(list.Waiting) != 1 {
		t.Fatalf("waiting are %+v", list)
	}
	if w := list.Waiting[0]; w.ID == "" || w.LinkBy != "code" || w.Phone != anna || w.Browser != "Firefox (Windows)" || w.State != "waiting" ||
		w.RemainingSeconds < 60 || w.RemainingSeconds > 160 || w.QRRemainingSeconds > 60 {
		t.Errorf("waiting is %+v", w)
	}
	url := s.URL() + "/phones/" + anna + "/code"
	call(t, "POST", url, map[string]string{"code": "ABC"}, 422, nil)
	call(t, "POST", url, map[string]string{"code": "1111-1111"}, 409, nil)
	call(t, "POST", s.URL()+"/phones/5491100000009/code", map[string]string{"code": code}, 404, nil)
	var linked struct{ Device string }
	call(t, "POST", url, map[string]string{"code": code}, 200, &linked)
	c.await("the login after pairing", func() bool { return saw[*events.Connected](c) })
	if linked.Device != c.client.Store.ID.String() {
		t.Errorf("linked as %s, answered %s", c.client.Store.ID, linked.Device)
	}
	call(t, "POST", url, map[string]string{"code": code}, 409, nil)
	call(t, "GET", s.URL()+"/waiting", nil, 200, &list)
	if len(list.Waiting) != 0 {
		t.Errorf("waiting are %+v", list)
	}
}

func TestAnswersForAPasskeyThroughTheControlAPI(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	passkey := s.URL() + "/phones/" + anna + "/passkey"
	call(t, "POST", passkey, map[string]any{"request": map[string]any{}}, 409, nil)
	call(t, "PUT", passkey, nil, 200, nil)
	call(t, "POST", passkey, map[string]any{"request": map[string]any{"challenge": "AAAA", "rpId": "example.com"}}, 422, nil)
	call(t, "POST", passkey, map[string]any{"request": map[string]any{
		"challenge": "AAAA", "rpId": "whatsapp.com", "allowCredentials": []any{map[string]any{"id": "AAAA", "type": "public-key"}},
	}}, 422, nil)
	c := newCompanion(t, dsn, s.URL()[len("http://"):])
	codes := c.wait()
	scanned := make(chan error, 1)
	go func() {
		_, err := s.Scan(context.WithoutCancel(t.Context()), anna, codes[0])
		scanned <- err
	}()
	var request *events.PairPasskeyRequest
	c.await("the passkey request", func() bool {
		for _, evt := range c.other {
			if e, ok := evt.(*events.PairPasskeyRequest); ok {
				request = e
			}
		}
		return request != nil
	})
	var list struct{ Waiting []struct{ State string } }
	if call(t, "GET", s.URL()+"/waiting", nil, 200, &list); len(list.Waiting) != 1 || list.Waiting[0].State != "passkey" {
		t.Errorf("waiting are %+v", list)
	}
	var answer struct{ Response types.WebAuthnResponse }
	call(t, "POST", passkey, map[string]any{"request": request}, 200, &answer) // the event as it is, with its member PublicKey
	if err := c.client.SendPasskeyResponse(t.Context(), &answer.Response); err != nil {
		t.Fatal(err)
	}
	c.await("the confirmation", func() bool { return saw[*events.PairPasskeyConfirmation](c) })
	if err := c.client.SendPasskeyConfirmation(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-scanned; err != nil {
		t.Fatal(err)
	}
	c.await("the login after pairing", func() bool { return saw[*events.Connected](c) })
	var shown struct {
		Code    string
		Compare bool
	}
	if event(t, s.URL(), anna, "passkey_code", &shown); len(shown.Code) != 9 || shown.Compare {
		t.Errorf("the phone shows %+v", shown)
	}
	call(t, "DELETE", passkey, nil, 204, nil)
	call(t, "POST", passkey, map[string]any{"request": request}, 409, nil)
	call(t, "PUT", s.URL()+"/phones/5491100000009/passkey", nil, 404, nil)
}

func TestRefusesLoginsThroughTheControlAPI(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	c := newCompanion(t, dsn, s.URL()[len("http://"):])
	c.link(s.URL(), anna)
	faults := s.URL() + "/phones/" + anna + "/faults"
	ban := map[string]any{"reason": 402, "code": 102, "expireSeconds": 60, "count": 1}
	call(t, "PUT", faults+"/login", ban, 204, nil)
	var list struct {
		Faults []struct {
			Phone                              string
			Reason, Code, ExpireSeconds, Count int
		}
	}
	if call(t, "GET", s.URL()+"/faults/login", nil, 200, &list); len(list.Faults) != 1 || list.Faults[0].Phone != anna || list.Faults[0].Code != 102 {
		t.Errorf("faults are %+v", list)
	}
	var ended struct{ Connections int }
	call(t, "POST", faults+"/stream", map[string]string{"kind": "503"}, 200, &ended)
	if ended.Connections != 1 {
		t.Errorf("%d connections were ended", ended.Connections)
	}
	c.await("the ban", func() bool {
		for _, evt := range c.other {
			if e, ok := evt.(*events.TemporaryBan); ok {
				return e.Code == events.TempBanBlockedByUsers && e.Expire == time.Minute
			}
		}
		return false
	})
	// Nobody connects again by itself after a ban, so there is no connection to be ended until the test connects.
	call(t, "POST", s.URL()+"/faults/stream", map[string]string{"kind": "replaced"}, 200, &ended)
	if ended.Connections != 0 {
		t.Errorf("%d connections were ended", ended.Connections)
	}
	for url, body := range map[string]map[string]any{
		s.URL() + "/faults/login":  {"reason": 413},
		faults + "/login":          {"reason": 402, "expireSeconds": 1 << 40},
		s.URL() + "/faults/stream": {"kind": "boom"},
	} {
		method := "PUT"
		if body["kind"] != nil {
			method = "POST"
		}
		call(t, method, url, body, 422, nil)
	}
	call(t, "PUT", s.URL()+"/phones/5491100000009/faults/login", ban, 404, nil)
	call(t, "PUT", s.URL()+"/faults/login", map[string]any{"reason": 503}, 204, nil)
	call(t, "PUT", s.URL()+"/faults/login", map[string]any{"reason": 0}, 204, nil)
}
