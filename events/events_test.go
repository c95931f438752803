package events

import (
	"flag"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestIDsComeBackAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	id := NewID()
	for _, p := range []Prefix{MessagePrefix, EventPrefix, EndpointPrefix, DeliveryPrefix} {
		back, err := p.Parse(p.Format(id))
		if err != nil || back != id {
			t.Errorf("%s: %v, %v", p.Format(id), back, err)
		}
	}
	for _, bad := range []string{"", "msg_", "evt_01932f0c5d6b7a10b1f4d0c4a8e2f001", "msg_01932F0C5D6B7A10B1F4D0C4A8E2F001", "msg_01932f0c5d6b7a10b1f4d0c4a8e2f0012", "msg_01932f0c-5d6b7a10b1f4d0c4a8e2f00"} {
		if id, err := MessagePrefix.Parse(bad); err == nil {
			t.Errorf("%q was read as %v", bad, id)
		}
	}
}

func TestIDsGrowWithTime(t *testing.T) {
	t.Parallel()
	last := uuid.UUID{}
	for range 1000 {
		id := NewID()
		if strings.Compare(string(id[:]), string(last[:])) <= 0 {
			t.Fatalf("%v came after %v", id, last)
		}
		last = id
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"5491123456789":                 "5491123456789@s.whatsapp.net",
		"+5491123456789":                "5491123456789@s.whatsapp.net",
		"5491123456789@s.whatsapp.net":  "5491123456789@s.whatsapp.net",
		"120363001122334@lid":           "120363001122334@lid",
		"120363025246125486@g.us":       "120363025246125486@g.us",
		"5491123456789-1398765432@g.us": "5491123456789-1398765432@g.us",
		"status@broadcast":              "status@broadcast",
		"120363144038483540@newsletter": "120363144038483540@newsletter",
	} {
		if got, err := ParseAddress(in); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{
		"", "+", "123456", "1234567890123456", "54911CALLME", "+54 911 2345", "5491123456789@c.us", "5491123456789:1@s.whatsapp.net", "@s.whatsapp.net", "-@g.us",
		"@g.us", "x@lid", "5491123456789@", "a@b@c", "٥٤٩١١٢٣٤٥٦٧", "5491123456789\x00",
	} {
		if got, err := ParseAddress(bad); err == nil {
			t.Errorf("%q was read as %q", bad, got)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"5491123456789", "+5491123456789", "120363025246125486@g.us", "1-2@g.us", "status@broadcast", "x@lid", "\x00", "+@s.whatsapp.net", "٣٣٣٣٣٣٣", "5491123456789:7@s.whatsapp.net"} {
		f.Add(s)
	}
	testfuzz.Run(f, func(t *testing.T, s string) {
		jid, err := ParseAddress(s)
		if err != nil {
			return
		}
		if again, err := ParseAddress(jid); err != nil || again != jid {
			t.Errorf("%q gave %q, which gives %q, %v", s, jid, again, err)
		}
		a := NewAddress(jid, "", "", "")
		if a.Kind == KindUser && a.Phone == "" && a.LID == "" {
			t.Errorf("the address of %q has neither phone nor LID", jid)
		}
		// It stands inside a lane's name, in URLs and in logs.
		if strings.ContainsFunc(jid, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '#' }) {
			t.Errorf("%q is %q", s, jid)
		}
	})
}

func TestAddressesShowPhoneAndLID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want Address }{
		{NewAddress("549@s.whatsapp.net", "", "77", "Ana"), Address{ID: "549@s.whatsapp.net", Phone: "549", LID: "77", Kind: KindUser, Name: "Ana"}},
		{NewAddress("77@lid", "", "", ""), Address{ID: "77@lid", LID: "77", Kind: KindUser}},
		{NewAddress("12@g.us", "549", "77", "Team"), Address{ID: "12@g.us", Kind: KindGroup, Name: "Team"}},
		{NewAddress(StatusChat, "", "", ""), Address{ID: StatusChat, Kind: KindStatus}},
		{NewAddress("1@broadcast", "", "", ""), Address{ID: "1@broadcast", Kind: KindBroadcast}},
		{NewAddress("1@newsletter", "", "", ""), Address{ID: "1@newsletter", Kind: KindChannel}},
	} {
		if c.got != c.want {
			t.Errorf("%+v, want %+v", c.got, c.want)
		}
	}
}

func TestStatusesThatEndASend(t *testing.T) {
	t.Parallel()
	for s, done := range map[MessageStatus]bool{
		StatusScheduled: false, StatusQueued: false, StatusSending: false, StatusSent: true, StatusDelivered: true, StatusRead: true,
		StatusPlayed: true, StatusFailed: true, StatusCancelled: true, StatusExpired: true,
	} {
		if s.Done() != done {
			t.Errorf("%s: done is %v", s, s.Done())
		}
	}
}

func TestLanesOfAChatAreItsOwn(t *testing.T) {
	t.Parallel()
	if a, b := EventLane("s", "549@s.whatsapp.net"), EventLane("s", ""); a != "s/549@s.whatsapp.net" || b != "s" {
		t.Errorf("%s, %s", a, b)
	}
	if lane := EndpointLane(uuid.UUID{}); !strings.HasPrefix(lane, "@we_") {
		t.Error(lane)
	}
	if SendLane("s") != "s/send" {
		t.Error(SendLane("s"))
	}
}
