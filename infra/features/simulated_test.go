package features

import (
	"strconv"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// Feature: Simulated phones by the API: link a session, write to it
func TestSimulatedScan(t *testing.T) {
	t.Parallel()
	var version struct{ Sandbox bool }
	if call(t, "GET", running.URL+"/v1/version", nil, &version); !version.Sandbox {
		t.Error("dev says that it has no sandbox")
	}
	type scan struct{ Number, SessionID string }
	var first, second scan
	s := unlinked(t, newPhone(t, "Owner"))
	s.refused("session_not_connected", "POST", "/simulated-scan", map[string]any{})
	s.must(202, "POST", "/start", nil, nil) // its code is waited for
	s.must(200, "POST", "/simulated-scan", map[string]any{}, &first)
	s.awaitState("connected")
	if first.SessionID != s.id || len(first.Number) != 13 || first.Number[:5] != "54911" {
		t.Errorf("answered %+v", first)
	}
	var is struct{ Phone string }
	if s.must(200, "GET", "", nil, &is); is.Phone != first.Number {
		t.Errorf("the session has %s, the answer says %s", is.Phone, first.Number)
	}
	s.refused("session_already_linked", "POST", "/simulated-scan", map[string]any{})

	// Another one is another phone, and one that there is already scans too.
	other := unlinked(t, newPhone(t, "Owner"))
	other.must(202, "POST", "/start", nil, nil)
	other.must(200, "POST", "/simulated-scan", map[string]any{"number": "+" + other.phone.number}, &second)
	other.awaitState("connected")
	if second.Number != other.phone.number {
		t.Errorf("answered %+v", second)
	}
}

// Feature: Simulated phones by the API: link a session, write to it
func TestSimulatedScanEntersThePairingCode(t *testing.T) {
	t.Parallel()
	p := newPhone(t, "Owner")
	s := unlinked(t, p)
	s.pairingCode()
	s.awaitState("pairing_code")
	s.gets("session.pairing-code", func(map[string]any) bool { return true })
	var scan struct{ Number string }
	s.must(200, "POST", "/simulated-scan", map[string]any{}, &scan)
	if s.awaitState("connected"); scan.Number != p.number {
		t.Errorf("%s has linked it, the code was for %s", scan.Number, p.number)
	}
	// A code for one phone, and another phone: that one scans.
	s = unlinked(t, newPhone(t, "Late"))
	s.pairingCode()
	other := newPhone(t, "Other")
	s.must(200, "POST", "/simulated-scan", map[string]any{"number": other.number}, &scan)
	if s.awaitState("connected"); scan.Number != other.number {
		t.Errorf("%s has linked it, want %s", scan.Number, other.number)
	}
}

// Feature: Simulated phones by the API: link a session, write to it
func TestSimulatedScanAnswersForThePasskey(t *testing.T) {
	t.Parallel()
	p := newPhone(t, "Guarded")
	p.act("PUT", "/passkey", nil, nil)
	s := unlinked(t, p)
	s.must(202, "POST", "/start", nil, nil)
	s.must(200, "POST", "/simulated-scan", map[string]any{"number": p.number}, nil)
	s.awaitState("connected")

	// One whose phone has scanned its code already.
	s = unlinked(t, p)
	linked := s.passkeyStep(func() (string, any) { return "/code", map[string]string{"code": s.pairingCode().Code} })
	s.refused("passkey_required", "POST", "/simulated-scan", map[string]any{})
	s.must(200, "POST", "/simulated-scan", map[string]any{"number": p.number}, nil)
	if err := <-linked; err != "" {
		t.Fatal(err)
	}
	s.awaitState("connected")
}

// Feature: Simulated phones by the API: link a session, write to it
func TestSimulatedMessage(t *testing.T) {
	t.Parallel()
	s := unlinked(t, newPhone(t, "Owner"))
	s.refused("session_not_connected", "POST", "/simulated-message", map[string]any{"text": "too early"})
	s.must(202, "POST", "/start", nil, nil)
	s.must(200, "POST", "/simulated-scan", map[string]any{}, nil)
	s.awaitState("connected")
	var first, second struct{ From, WhatsAppID string }
	s.must(200, "POST", "/simulated-message", map[string]any{"text": "hello from nowhere"}, &first)
	data := s.gets("message.received", func(d map[string]any) bool { return dig(d, "message", "whatsappId") == first.WhatsAppID })
	if dig(data, "message", "content", "text") != "hello from nowhere" || dig(data, "message", "from", "phone") != first.From {
		t.Errorf("received %v, answered %+v", data, first)
	}

	// A contact of one's choice, and one that is there; the session answers it.
	number := newPhone(t, "Ana").number
	s.must(200, "POST", "/simulated-message", map[string]any{"text": "and from Ana", "from": "+" + number, "name": "Somebody else"}, &second)
	if m := s.received(second.WhatsAppID); second.From != number || m.Content["text"] != "and from Ana" || m.From.Name != "Ana" {
		t.Errorf("received %+v, answered %+v", m, second)
	}
	var third struct{ From, WhatsAppID string }
	s.must(200, "POST", "/simulated-message", map[string]any{"text": "and from nobody", "from": strconv.FormatInt(5491150000000+lastNumber.Add(1), 10)}, &third) // the default contact may have been made with another name
	if m := s.received(third.WhatsAppID); m.From.Name != "Simulated contact" {
		t.Errorf("a contact without a name is %q", m.From.Name)
	}
	s.send(second.From, map[string]any{"type": "text", "text": "hello Ana"})
	phone{t, number}.sees("the answer", func(m sandbox.Message) bool { return m.Text == "hello Ana" })
}
