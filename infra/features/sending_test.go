package features

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/sandbox"
)

func text(said string) map[string]any { return map[string]any{"type": "text", "text": said} }

// shows waits for the message that a session sent.
func (p phone) shows(m message) sandbox.Message {
	p.t.Helper()
	return p.sees("message "+m.WhatsAppID, func(seen sandbox.Message) bool { return seen.ID == m.WhatsAppID })
}

// lid is the phone's number that hides its own.
func (p phone) lid() string {
	p.t.Helper()
	var is struct{ LID string }
	p.act("GET", "", nil, &is)
	user, _, _ := strings.Cut(is.LID, "@")
	return user
}

// shownAlike says that what the API answers for a message and what its event tells are what was sent.
func (s session) shownAlike(m message, path ...string) any {
	s.t.Helper()
	want := dig(m.raw, path...)
	var read message
	s.must(200, "GET", "/messages/"+m.ID, nil, &read)
	told := s.gets("message.sent", func(data map[string]any) bool { return dig(data, "message", "id") == m.ID })
	for _, got := range []any{dig(read.raw, path...), dig(told, append([]string{"message"}, path...)...)} {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			s.t.Errorf("%v is %v, and was answered as %v", path, got, want)
		}
	}
	return want
}

// Feature: Text
func TestText(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	said := "¡Hola! *Pedido* <listo> 🎉\nsecond line"
	m := s.send(bert.number, text(said), map[string]any{"clientReference": "order-1"})
	if got := bert.shows(m); got.Type != "text" || got.Text != said || got.From != s.phone.number || got.Quote != nil {
		t.Errorf("the phone shows %+v", got)
	}
	if m.Status != "sent" && m.Status != "delivered" || s.shownAlike(m, "content", "text") != said || s.shownAlike(m, "clientReference") != "order-1" {
		t.Errorf("the answer is %v", m.raw)
	}
	for name, content := range map[string]map[string]any{"empty": text(""), "too long": text(strings.Repeat("a", 65537)), "more": {"type": "text", "text": "x", "caption": "y"}} {
		t.Log(name)
		s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": content})
	}
}

// Feature: Text with mentions
func TestMentions(t *testing.T) {
	t.Parallel()
	s, bert, carla := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla")
	group := s.phone.group("Neighbours", bert, carla)
	both := map[string]any{"mentions": []string{"+" + bert.number, carla.jid(), bert.number}}
	said := "@" + bert.number + ", ask @+" + carla.number + " or mail@" + carla.number + ".example or @" + carla.number + "0"
	m := s.send(group, text(said), both)
	got := bert.shows(m)
	// A group that hides phones finds its members by LID.
	want := "@" + bert.lid() + ", ask @" + carla.lid() + " or mail@" + carla.number + ".example or @" + carla.number + "0"
	if got.Text != want || !slices.Equal(got.Mentions, []string{bert.number, carla.number}) || got.MentionsEveryone {
		t.Errorf("the phone shows %q with %v, want %q", got.Text, got.Mentions, want)
	}
	if len(m.Mentions) != 2 || m.Mentions[0].Phone != bert.number || m.Mentions[1].ID != carla.jid() || m.Content["text"] != said {
		t.Errorf("the answer is %v", m.raw)
	}
	s.shownAlike(m, "mentions")

	m = s.send(group, map[string]any{"type": "image", "media": file("image/png", picture(t)), "caption": "@" + carla.number}, map[string]any{"mentions": []string{carla.number}})
	if got := carla.shows(m); got.Caption != "@"+carla.lid() || !slices.Equal(got.Mentions, []string{carla.number}) {
		t.Errorf("the phone shows %q with %v", got.Caption, got.Mentions)
	}
	m = s.send(bert.number, text("Do you know @"+carla.number+"?"), map[string]any{"mentions": []string{carla.number}})
	if got := bert.shows(m); got.Text != "Do you know @"+carla.number+"?" || !slices.Equal(got.Mentions, []string{carla.number}) {
		t.Errorf("the phone shows %q with %v", got.Text, got.Mentions)
	}
	for name, body := range map[string]map[string]any{
		"a group":  {"content": text("x"), "mentions": []string{group}},
		"nobody":   {"content": text("x"), "mentions": []string{"Carla"}},
		"no words": {"content": map[string]any{"type": "location", "location": map[string]any{"latitude": 1, "longitude": 2}}, "mentions": []string{carla.number}},
	} {
		t.Log(name)
		body["to"] = group
		s.refused("validation_failed", "POST", "/messages", body)
	}
}

// Feature: Text that mentions everyone
func TestMentionOfEveryone(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	group := s.phone.group("Neighbours", bert)
	m := s.send(group, text("@all Supper!"), map[string]any{"mentionsEveryone": true})
	if got := bert.shows(m); !got.MentionsEveryone || got.Text != "@all Supper!" {
		t.Errorf("the phone shows %+v", got)
	}
	if s.shownAlike(m, "mentionsEveryone") != true {
		t.Errorf("the answer is %v", m.raw)
	}
	if got := bert.shows(s.send(group, text("just so"))); got.MentionsEveryone {
		t.Errorf("the phone shows %+v", got)
	}
	s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": text("x"), "mentionsEveryone": true})
}

// Feature: Quote a message in any content
func TestQuotes(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	asked := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "Is it ready?"}))
	for kind, content := range everyContent(t) {
		m := s.send(bert.number, content, map[string]any{"replyTo": asked.ID})
		got := bert.shows(m)
		if got.Type != kind || got.Quote == nil || got.Quote.ID != asked.WhatsAppID || got.Quote.From != bert.number || got.Quote.Type != "text" || got.Quote.Text != "Is it ready?" {
			t.Errorf("%s: the phone shows %s with the quote %+v", kind, got.Type, got.Quote)
		}
		if r := m.ReplyTo; r["messageId"] != asked.ID || r["whatsappId"] != asked.WhatsAppID || r["text"] != "Is it ready?" || r["type"] != "text" || dig(r, "from", "phone") != bert.number {
			t.Errorf("%s: the answer's is %v", kind, r)
		}
	}
	// What the account itself sent, by WhatsApp's id, and as it was: not its text alone, and without what was quoted there.
	photo := s.send(bert.number, map[string]any{"type": "image", "media": file("image/png", picture(t)), "caption": "Here"}, map[string]any{"replyTo": asked.ID})
	m := s.send(bert.number, text("Like it?"), map[string]any{"replyTo": photo.WhatsAppID})
	if q := bert.shows(m).Quote; q == nil || q.ID != photo.WhatsAppID || q.From != s.phone.number || q.Type != "image" || q.Text != "Here" {
		t.Errorf("the quote is %+v", q)
	}
	s.shownAlike(m, "replyTo")
	// In a group, where people have other names.
	group := s.phone.group("Neighbours", bert)
	asked = s.received(bert.send(map[string]any{"to": group, "type": "text", "text": "Anybody?"}))
	m = s.send(group, text("Me."), map[string]any{"replyTo": asked.WhatsAppID})
	if q := bert.shows(m).Quote; q == nil || q.From != bert.number || q.Text != "Anybody?" {
		t.Errorf("the quote is %+v", q)
	}
	m = s.send(group, text("And me."), map[string]any{"replyTo": m.ID})
	if q := bert.shows(m).Quote; q == nil || q.From != s.phone.number || q.Text != "Me." {
		t.Errorf("the quote is %+v", q)
	}
	s.refused("validation_failed", "POST", "/messages", map[string]any{"to": group, "content": text("x"), "replyTo": photo.ID})
	s.refused("message_not_found", "POST", "/messages", map[string]any{"to": group, "content": text("x"), "replyTo": "3EB0NONE"})
	s.refused("message_not_found", "POST", "/messages", map[string]any{"to": group, "content": text("x"), "replyTo": "msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"})
	if got := bert.sees("both", func(m sandbox.Message) bool { return m.Text == "And me." }); got.Quote.Type != "text" {
		t.Errorf("the quote is %+v", got.Quote)
	}
}

// Feature: Link preview, fetched safely
func TestFetchedPreviews(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	mux := http.NewServeMux()
	page := func(path, html string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(html))
		})
	}
	page("/menu", `<!doctype html><html><head><title>Wrong</title><meta property="og:title" content="Our &quot;menu&quot;">
		<meta property="og:description" content="What there is&#10;today."><meta property="og:image" content="/dish.png"></head><body>x</body></html>`)
	page("/plain", `<html><head><title> A  page </title><meta name="description" content="Of old."></head>`)
	page("/elsewhere", `<title>Secret picture</title><meta property="og:image" content="http://10.255.255.1/x.png">`)
	page("/huge", "<head><script>"+strings.Repeat("x", 2<<20)+"</script><title>Too late</title>")
	page("/untitled", `<p>nothing</p>`)
	mux.HandleFunc("/dish.png", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(picture(t))
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/menu", http.StatusFound) })
	mux.HandleFunc("/inside", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pdf")
		_, _ = w.Write([]byte("<title>No page</title>"))
	})
	stuck := make(chan struct{})
	mux.HandleFunc("/stuck", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stuck:
		case <-r.Context().Done():
		}
	})
	site := httptest.NewServer(mux)
	defer site.Close()
	defer close(stuck)

	sent := func(said string) sandbox.Message {
		t.Helper()
		return bert.shows(s.send(bert.number, map[string]any{"type": "text", "text": said, "preview": "fetch"}))
	}
	m := s.send(bert.number, map[string]any{"type": "text", "text": "Look (" + site.URL + "/menu).", "preview": "fetch"})
	got := bert.shows(m)
	if p := got.Preview; p == nil || p.URL != site.URL+"/menu" || p.Title != `Our "menu"` || p.Description != "What there is today." || !p.HasThumbnail || got.Text != "Look ("+site.URL+"/menu)." {
		t.Errorf("the phone shows %+v", p)
	}
	if dig(m.raw, "content", "linkPreview", "title") != `Our "menu"` || s.shownAlike(m, "content", "linkPreview") == nil {
		t.Errorf("the answer is %v", m.raw)
	}
	for path, title := range map[string]string{"/moved": `Our "menu"`, "/plain": "A page", "/elsewhere": "Secret picture"} {
		p := sent("see " + site.URL + path).Preview
		if p == nil || p.Title != title || p.HasThumbnail != (path == "/moved") {
			t.Errorf("%s: the phone shows %+v", path, p)
		}
	}
	// Whatever cannot be read, and whatever the guard keeps away, goes out without a preview.
	for _, link := range []string{
		site.URL + "/huge", site.URL + "/untitled", site.URL + "/file", site.URL + "/inside", site.URL + "/missing", site.URL + "/stuck", "http://10.255.255.1/", "http://169.254.169.254/latest", "no link",
	} {
		if got := sent("see " + link); got.Preview != nil || got.Text != "see "+link {
			t.Errorf("%s: the phone shows %+v", link, got.Preview)
		}
	}
	if got := bert.shows(s.send(bert.number, text(site.URL+"/menu"))); got.Preview != nil {
		t.Errorf("without being asked: %+v", got.Preview)
	}
}

// Feature: Link preview, given
func TestGivenPreview(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	preview := func(more ...any) map[string]any {
		p := map[string]any{"url": "https://example.com/menu", "title": "Our menu"}
		for i := 0; i < len(more); i += 2 {
			p[more[i].(string)] = more[i+1]
		}
		return map[string]any{"type": "text", "text": "Look: https://example.com/menu", "linkPreview": p}
	}
	m := s.send(bert.number, preview("description", "Today", "image", file("image/png", picture(t))))
	if p := bert.shows(m).Preview; p == nil || p.URL != "https://example.com/menu" || p.Title != "Our menu" || p.Description != "Today" || !p.HasThumbnail {
		t.Errorf("the phone shows %+v", p)
	}
	if s.shownAlike(m, "content", "linkPreview", "description") != "Today" || dig(m.raw, "content", "linkPreview", "image") != nil {
		t.Errorf("the answer is %v", m.raw)
	}
	if p := bert.shows(s.send(bert.number, preview())).Preview; p == nil || p.HasThumbnail {
		t.Errorf("without a picture: %+v", p)
	}
	for name, c := range map[string]struct {
		code    string
		content map[string]any
	}{
		"another link":     {"validation_failed", preview("url", "https://example.org/")},
		"no title":         {"validation_failed", preview("title", " ")},
		"two pictures":     {"validation_failed", preview("image", map[string]any{"url": "https://example.com/", "mediaId": "med_x"})},
		"no picture":       {"unsupported_media_type", preview("image", file("image/png", []byte("text")))},
		"a secret address": {"media_fetch_failed", preview("image", map[string]any{"url": "http://169.254.169.254/"})},
	} {
		t.Log(name)
		s.refused(c.code, "POST", "/messages", map[string]any{"to": bert.number, "content": c.content})
	}
	both := preview()
	both["preview"] = "fetch"
	s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": both})
}

// Feature: Location
func TestLocation(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	where := map[string]any{"latitude": -34.6037, "longitude": -58.3816, "name": "Obelisco", "address": "Av. 9 de Julio"}
	m := s.send(bert.number, map[string]any{"type": "location", "location": where})
	got := bert.shows(m)
	if want := (sandbox.Location{Latitude: -34.6037, Longitude: -58.3816, Name: "Obelisco", Address: "Av. 9 de Julio"}); got.Type != "location" || *got.Location != want {
		t.Errorf("the phone shows %+v", got.Location)
	}
	if s.shownAlike(m, "content", "location", "name") != "Obelisco" {
		t.Errorf("the answer is %v", m.raw)
	}
	for _, wrong := range []map[string]any{{"latitude": 91, "longitude": 0}, {"latitude": 0, "longitude": -181}, {"latitude": 0}, {"latitude": "0", "longitude": 0}} {
		s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": map[string]any{"type": "location", "location": wrong}})
	}
}

// Feature: Live location
func TestLiveLocation(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	where := map[string]any{"latitude": 1.5, "longitude": 2.5, "accuracyMeters": 12, "speed": 4.5, "heading": 90, "sequence": 3}
	m := s.send(bert.number, map[string]any{"type": "liveLocation", "liveLocation": where, "caption": "On my way"})
	got := bert.shows(m)
	want := sandbox.LiveLocation{Latitude: 1.5, Longitude: 2.5, AccuracyMeters: 12, Speed: 4.5, Heading: 90, Sequence: 3, Caption: "On my way"}
	if got.Type != "liveLocation" || *got.LiveLocation != want {
		t.Errorf("the phone shows %+v", got.LiveLocation)
	}
	if s.shownAlike(m, "content", "liveLocation", "heading") != 90.0 || s.shownAlike(m, "content", "caption") != "On my way" {
		t.Errorf("the answer is %v", m.raw)
	}
	where["heading"] = 360
	s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": map[string]any{"type": "liveLocation", "liveLocation": where}})
}

// Feature: One or many contacts
func TestContacts(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	cards := func(list ...map[string]any) map[string]any {
		return map[string]any{"type": "contacts", "contacts": list}
	}
	m := s.send(bert.number, cards(map[string]any{"name": "Juan; Pérez", "phones": []string{"+5491123456789", "5491123456780"}}))
	got := bert.shows(m)
	if got.Type != "contacts" || len(got.Contacts) != 1 || got.Contacts[0].Name != "Juan; Pérez" || !slices.Equal(got.Contacts[0].Phones, []string{"5491123456789", "5491123456780"}) ||
		!strings.Contains(got.Contacts[0].VCard, `FN:Juan\; Pérez`) || !strings.HasPrefix(got.Contacts[0].VCard, "BEGIN:VCARD\nVERSION:3.0\n") {
		t.Errorf("the phone shows %+v", got.Contacts)
	}
	s.shownAlike(m, "content", "contacts")
	own := "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Ana\r\nTEL:+1 555\r\nEND:VCARD\r\n"
	m = s.send(bert.number, cards(map[string]any{"name": "Juan", "phones": []string{"5491123456789"}}, map[string]any{"vcard": own}))
	got = bert.shows(m)
	if len(got.Contacts) != 2 || got.Contacts[0].Name != "Juan" || got.Contacts[1].Name != "Ana" || got.Contacts[1].VCard != own {
		t.Errorf("the phone shows %+v", got.Contacts)
	}
	for name, content := range map[string]map[string]any{
		"none": cards(), "a name alone": cards(map[string]any{"name": "Juan"}), "letters": cards(map[string]any{"name": "Juan", "phones": []string{"54 911 x"}}),
		"a group": cards(map[string]any{"name": "Juan", "phones": []string{"120363025246125486@g.us"}}), "no vCard": cards(map[string]any{"vcard": "FN:Ana"}),
		"both": cards(map[string]any{"name": "Ana", "phones": []string{"5491123456789"}, "vcard": own}),
	} {
		t.Log(name)
		s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": content})
	}
}

// Feature: Poll
func TestSendingAPoll(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	poll := func(options []string, count any) map[string]any {
		return map[string]any{"type": "poll", "poll": map[string]any{"question": "When?", "options": options, "selectableCount": count}}
	}
	days := []string{"Monday", "Tuesday", "Wednesday"}
	m := s.send(bert.number, poll(days, 2))
	got := bert.shows(m)
	if got.Type != "poll" || got.Poll.Question != "When?" || !slices.Equal(got.Poll.Options, days) || got.Poll.SelectableCount != 2 {
		t.Errorf("the phone shows %+v", got.Poll)
	}
	s.shownAlike(m, "content", "poll")
	// The phone can vote: it was told what votes are encrypted with.
	bert.send(map[string]any{"to": s.phone.number, "type": "pollVote", "target": map[string]string{"id": m.WhatsAppID}, "selected": []string{"Tuesday"}})
	if got := bert.shows(s.send(bert.number, map[string]any{"type": "poll", "poll": map[string]any{"question": "Any?", "options": days}})); got.Poll.SelectableCount != 0 {
		t.Errorf("the phone shows %+v", got.Poll)
	}
	long := strings.Repeat("ñ", 100)
	if got := bert.shows(s.send(bert.number, poll([]string{long, "b"}, 1))); got.Poll.Options[0] != long {
		t.Errorf("the phone shows %+v", got.Poll)
	}
	many := make([]string, 13)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for name, content := range map[string]map[string]any{
		"one option": poll([]string{"a"}, 1), "thirteen": poll(many, 1), "twice": poll([]string{"a", "a"}, 1), "empty": poll([]string{"a", " "}, 1),
		"too long": poll([]string{long + "x", "b"}, 1), "more than there are": poll([]string{"a", "b"}, 3), "less than none": poll([]string{"a", "b"}, -1),
	} {
		t.Log(name)
		s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": content})
	}
}

// Feature: Event, and answers to it
func TestEventIsSent(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	start := time.Date(2030, 5, 1, 20, 0, 0, 0, time.UTC)
	end := start.Add(2 * time.Hour)
	event := func(more ...any) map[string]any {
		e := map[string]any{"name": "Opening night", "startAt": start}
		for i := 0; i < len(more); i += 2 {
			e[more[i].(string)] = more[i+1]
		}
		return map[string]any{"type": "event", "event": e}
	}
	m := s.send(bert.number, event("endAt", end, "description", "With music.", "location", map[string]any{"latitude": 1, "longitude": 2, "name": "Teatro"},
		"joinLink", "https://call.whatsapp.com/video/abc", "extraGuests", true))
	got := bert.shows(m)
	if e := got.Event; got.Type != "event" || e.Name != "Opening night" || e.Description != "With music." || !e.StartAt.Equal(start) || !e.EndAt.Equal(end) || e.Location.Name != "Teatro" ||
		e.JoinLink != "https://call.whatsapp.com/video/abc" || !e.ExtraGuestsAllowed || e.Canceled {
		t.Errorf("the phone shows %+v", e)
	}
	s.shownAlike(m, "content", "event")
	// The phone can answer: it was told what answers are encrypted with.
	bert.send(map[string]any{"to": s.phone.number, "type": "eventResponse", "target": map[string]string{"id": m.WhatsAppID}, "response": "going"})
	for name, content := range map[string]map[string]any{
		"ends before": event("endAt", start.Add(-time.Hour)), "no name": event("name", " "), "no time": {"type": "event", "event": map[string]any{"name": "x"}},
		"nowhere": event("location", map[string]any{"latitude": 100, "longitude": 0}), "called off": event("cancelled", true), "no link": event("joinLink", "call me"),
	} {
		t.Log(name)
		s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": content})
	}
}

// Feature: Group invitation as a message
func TestGroupInvite(t *testing.T) {
	t.Parallel()
	s, bert, carla := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla")
	invite := func(more ...any) map[string]any {
		i := map[string]any{}
		for n := 0; n < len(more); n += 2 {
			i[more[n].(string)] = more[n+1]
		}
		return map[string]any{"type": "groupInvite", "groupInvite": i}
	}
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	m := s.send(bert.number, invite("groupId", "120363025246125486@g.us", "code", "AbCdEfGh", "name", "Others", "expiresAt", at, "caption", "Join us."))
	got := bert.shows(m)
	if i := got.GroupInvite; got.Type != "groupInvite" || i.GroupJID != "120363025246125486@g.us" || i.Code != "AbCdEfGh" || i.GroupName != "Others" || i.Caption != "Join us." || !i.ExpiresAt.Equal(at) {
		t.Errorf("the phone shows %+v", i)
	}
	// Of a group whose admin the account is, WhatsApp tells the code.
	own := s.phone.group("Neighbours", carla)
	var link struct{ Link string }
	s.phone.act("GET", "/groups/"+own+"/invite", nil, &link)
	m = s.send(bert.number, invite("groupId", own))
	if i := bert.shows(m).GroupInvite; i.Code == "" || !strings.HasSuffix(link.Link, i.Code) || i.GroupName != "Neighbours" || time.Until(*i.ExpiresAt) < 71*time.Hour {
		t.Errorf("the phone shows %+v, the link is %s", i, link.Link)
	}
	if code := s.shownAlike(m, "content", "groupInvite", "code"); code == nil || !strings.HasSuffix(link.Link, code.(string)) {
		t.Errorf("the answer is %v", m.raw)
	}
	foreign := bert.group("Neighbours", s.phone)
	for code, content := range map[string]map[string]any{"not_group_admin": invite("groupId", foreign), "not_in_group": invite("groupId", bert.group("Neighbours", carla)), "group_not_found": invite("groupId", "120363000000000001@g.us")} {
		s.refused(code, "POST", "/messages", map[string]any{"to": bert.number, "content": content}, "Prefer", "wait=20")
	}
	for name, content := range map[string]map[string]any{
		"a person": invite("groupId", bert.number, "code", "x"), "a code that is none": invite("groupId", own, "code", "a b"), "over": invite("groupId", own, "expiresAt", time.Now().Add(-time.Hour)),
	} {
		t.Log(name)
		s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": content})
	}
}

// Feature: Disappearing messages
func TestDisappearingMessages(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	if got := bert.shows(s.send(bert.number, text("stays"))); got.EphemeralSeconds != 0 {
		t.Errorf("the phone shows %d seconds", got.EphemeralSeconds)
	}
	s.timer(bert.jid(), 86400)
	for kind, content := range everyContent(t) {
		m := s.send(bert.number, content)
		if got := bert.shows(m); got.Type != kind || got.EphemeralSeconds != 86400 {
			t.Errorf("the phone shows %s with %d seconds", got.Type, got.EphemeralSeconds)
		}
		if s.shownAlike(m, "disappearsAfter") != 86400.0 {
			t.Errorf("%s: the answer is %v", kind, m.raw)
		}
	}
}

// timer sets a chat's timer for disappearing messages, as the session knows it.
func (s session) timer(chat string, seconds int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, running.DatabaseURL)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if tag, err := conn.Exec(ctx, "UPDATE chats SET disappearing_seconds = $3 WHERE session_id = $1 AND id = $2", s.id, chat, seconds); err != nil || tag.RowsAffected() != 1 {
		s.t.Fatalf("%v: %v", tag, err)
	}
}
