package connector

import (
	"bytes"
	"encoding/json"
	picture "image"
	"image/jpeg"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
)

// toldAbout counts what was told of the account itself, by what has changed.
func (b *bench) toldAbout(id string) map[string]int {
	b.Helper()
	told := map[string]int{}
	for _, body := range many[[]byte](b, `SELECT payload FROM queue_messages WHERE lane LIKE 'events/%' ORDER BY id`) {
		var e struct {
			Type events.Type        `json:"type"`
			Data events.ContactData `json:"data"`
		}
		if err := json.Unmarshal(body, &e); err != nil {
			b.Fatal(err)
		}
		if e.Type == events.ContactUpdated && e.Data.Contact.ID == id {
			told[e.Data.Changed]++
		}
	}
	return told
}

func TestChangesOfTheProfileCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.linked("a", "5491150000001")
	own, name, about, timer := "5491150000001@"+events.PhoneServer, "Olga", "At work", 86400
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, picture.NewGray(picture.Rect(0, 0, 100, 100)), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sandbox.SetPicture(b.ctx(), "5491150000001", "5491150000001", photo.Bytes()); err != nil {
		t.Fatal(err)
	}
	b.await("the picture to be told", func() bool { return b.toldAbout(own)["picture"] == 1 })
	for _, c := range []struct {
		kind       string
		parameters any
		result     string
	}{
		{events.UpdateProfile.Kind, events.ProfileChange{Name: &name, About: &about}, `"about":"At work"`},
		{events.SetProfilePicture.Kind, events.GroupPicture{}, `{}`},
		{events.UpdatePrivacy.Kind, events.PrivacyChange{Settings: map[string]string{"lastSeen": "none", "readReceipts": "none"}, DisappearingSeconds: &timer}, `"lastSeen":"none"`},
	} {
		id := b.asks("a", c.kind, own, c.parameters, false)
		for range 2 {
			status, result := b.outcome(id)
			if status != events.ChangeDone || !strings.Contains(strings.ReplaceAll(result, ": ", ":"), c.result) {
				t.Fatalf("%s: %s %s", c.kind, status, result)
			}
			b.repeats("a", id)
		}
		if status, _ := b.outcome(id); status != events.ChangeDone {
			t.Errorf("%s again: %s", c.kind, status)
		}
	}
	// A name and an about are told once; that a picture was taken away is told each time it is.
	told := b.toldAbout(own)
	if told["name"] != 1 || told["about"] != 1 || told["picture"] < 2 {
		t.Errorf("it was told %v", told)
	}
	if text, err := b.sandbox.About(b.ctx(), "5491150000001", "5491150000001"); err != nil || text != about {
		t.Errorf("the account says %q, %v", text, err)
	}
	if settings, err := b.sandbox.Privacy(b.ctx(), "5491150000001"); err != nil || settings["last"] != "none" || settings["readreceipts"] != "none" || settings["status"] != "all" {
		t.Errorf("the settings are %v, %v", settings, err)
	}
}

func TestRefusedChangesOfTheProfileFail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.linked("a", "5491150000001")
	own, long := "5491150000001@"+events.PhoneServer, strings.Repeat("x", 2000)
	for _, c := range []struct {
		kind       string
		parameters any
		want       string
	}{
		{events.UpdateProfile.Kind, events.ProfileChange{About: &long}, "failed whatsapp_rejected"},
		{events.UpdatePrivacy.Kind, events.PrivacyChange{Settings: map[string]string{"lastSeen": "sometimes"}}, "failed whatsapp_rejected"},
		{events.UpdatePrivacy.Kind, events.PrivacyChange{Settings: map[string]string{"mood": "none"}}, "failed unavailable"},
	} {
		if status, _ := b.outcome(b.asks("a", c.kind, own, c.parameters, false)); status != c.want {
			t.Errorf("%s %v: %s, want %s", c.kind, c.parameters, status, c.want)
		}
	}
}

func TestTheFirstNewsOfTheAccountIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("a", "5491150000001")
	jid := types.NewJID("5491150000001", types.DefaultUserServer)
	for range 2 {
		if !connected(c, "a").handle(&waevents.UserAbout{JID: jid, Timestamp: time.Now(), Status: "On holiday"}) {
			t.Fatal("it was not taken")
		}
	}
	if told := b.toldAbout(jid.String()); !maps.Equal(told, map[string]int{"about": 1}) {
		t.Errorf("it was told %v", told)
	}
}

func TestNamesOfTheAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("a", "5491150000001")
	own := "5491150000001@" + events.PhoneServer
	conn := connected(c, "a")
	name := func() string {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		return conn.name
	}
	b.await("the name that the device was linked with", func() bool { return name() != "" })
	first := name()
	set := func(to string, whole bool) {
		t.Helper()
		if !conn.handle(&waevents.PushNameSetting{Timestamp: time.Now(), Action: &waSyncAction.PushNameSetting{Name: &to}, FromFullSync: whole}) {
			t.Fatalf("%q was not taken", to)
		}
	}
	if !conn.handle(&waevents.PushNameSetting{}) {
		t.Fatal("a setting without a name was not taken")
	}
	if set("", false); name() != first {
		t.Errorf("without a name it is %q", name())
	}
	if set("Read anew", true); len(b.toldAbout(own)) > 0 {
		t.Errorf("what is read anew was told: %v", b.toldAbout(own))
	}
	set("a\x00b", false)
	set("a\x00b", false)
	set(strings.Repeat("é", 500), false)
	// A message of the phone's shows the name too, which was told already.
	jid := types.NewJID("5491150000001", types.DefaultUserServer)
	if !conn.handle(&waevents.PushName{JID: jid, OldPushName: "a", NewPushName: strings.Repeat("é", 500), Message: &types.MessageInfo{Timestamp: time.Now()}}) {
		t.Fatal("the name beside a message was not taken")
	}
	if told := b.toldAbout(own); !maps.Equal(told, map[string]int{"name": 2}) {
		t.Errorf("it was told %v", told)
	}
	if kept := many[string](b, `SELECT name FROM contacts WHERE id = $1`, own); !slices.Equal(kept, []string{strings.Repeat("é", 128)}) {
		t.Errorf("kept is %q", kept)
	}
}
