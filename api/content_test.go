package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testfuzz"
)

// What no schema says is refused with the place where it stands.
func TestContentIsChecked(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	type j = map[string]any
	send := func(content j) j { return j{"to": "5491123456789", "content": content} }
	cards := func(card j) j {
		return send(j{"type": "contacts", "contacts": []j{{"name": "Ana", "phones": []string{"5491123456789"}}, card}})
	}
	poll := func(poll j) j { return send(j{"type": "poll", "poll": poll}) }
	before := f.written()
	for name, c := range map[string]struct {
		body     j
		location string
		says     string
	}{
		"an option twice":            {poll(j{"question": "?", "options": []string{"a", "b", "a"}}), "body.content.poll.options[2]", "once"},
		"a long option":              {poll(j{"question": "?", "options": []string{strings.Repeat("ñ", 101), "b"}}), "body.content.poll.options[0]", "100"},
		"no question":                {poll(j{"question": "  ", "options": []string{"a", "b"}}), "body.content.poll.question", ""},
		"options that are null":      {poll(j{"question": "?", "options": nil}), "body.content.poll.options", ""},
		"more than there are":        {poll(j{"question": "?", "options": []string{"a", "b"}, "selectableCount": 3}), "body.content.poll.selectableCount", "2"},
		"a poll that is null":        {send(j{"type": "poll", "poll": nil}), "body.content.poll", ""},
		"no poll":                    {send(j{"type": "poll"}), "body.content", "poll"},
		"two contents":               {send(j{"type": "poll", "poll": j{"question": "?", "options": []string{"a", "b"}}, "text": "x"}), "body.content.text", ""},
		"letters in a phone":         {cards(j{"name": "Bert", "phones": []string{"5491123456789", "call me"}}), "body.content.contacts[1].phones[1]", "digits"},
		"a card of a LID":            {cards(j{"name": "Bert", "phones": []string{"123456789@lid"}}), "body.content.contacts[1].phones[0]", "digits"},
		"a card without a name":      {cards(j{"phones": []string{"5491123456789"}}), "body.content.contacts[1]", "name"},
		"a card of two lines":        {cards(j{"name": "Bert\nEND:VCARD", "phones": []string{"5491123456789"}}), "body.content.contacts[1].name", "one line"},
		"half a vCard":               {cards(j{"vcard": "BEGIN:VCARD\nFN:Bert"}), "body.content.contacts[1].vcard", "END:VCARD"},
		"a vCard without a name":     {cards(j{"vcard": "BEGIN:VCARD\nFN:  \nEND:VCARD"}), "body.content.contacts[1].vcard", "FN"},
		"a group that is none":       {send(j{"type": "groupInvite", "groupInvite": j{"groupId": "5491123456789"}}), "body.content.groupInvite.groupId", "group"},
		"an invitation that is over": {send(j{"type": "groupInvite", "groupInvite": j{"groupId": "1203@g.us", "expiresAt": "2020-01-01T00:00:00Z"}}), "body.content.groupInvite.expiresAt", "future"},
		"an event that ends before":  {send(j{"type": "event", "event": j{"name": "x", "startAt": "2030-01-01T00:00:00Z", "endAt": "2030-01-01T00:00:00Z"}}), "body.content.event.endAt", "after"},
		"a time that is none":        {send(j{"type": "event", "event": j{"name": "x", "startAt": "tomorrow"}}), "body.content.event.startAt", ""},
		"an album of one":            {send(j{"type": "album", "album": j{"videos": 1}}), "body.content.album", "two"},
		"a latitude too far":         {send(j{"type": "location", "location": j{"latitude": 90.1, "longitude": 0}}), "body.content.location.latitude", ""},
		"a place of an event":        {send(j{"type": "event", "event": j{"name": "x", "startAt": "2030-01-01T00:00:00Z", "location": j{"latitude": 0, "longitude": 181}}}), "body.content.event.location.longitude", ""},
		"a preview of another link":  {send(j{"type": "text", "text": "http://a.example", "linkPreview": j{"url": "http://b.example", "title": "b"}}), "body.content.linkPreview.url", "text"},
		"nobody mentioned":           {j{"to": "5491123456789", "content": j{"type": "text", "text": "x"}, "mentions": []string{"5491123456789", "you"}}, "body.mentions[1]", ""},
		"everybody of one":           {j{"to": "5491123456789", "content": j{"type": "text", "text": "x"}, "mentionsEveryone": true}, "body.mentionsEveryone", "group"},
	} {
		p := f.problem(f.do("POST", sales+"/messages", c.body), ValidationFailed)
		if len(p.Errors) == 0 || p.Errors[0].Location != c.location || !strings.Contains(p.Errors[0].Message, c.says) {
			t.Errorf("%s: %+v, want it at %s", name, p.Errors, c.location)
		}
	}
	// Many cards may each be in order, and be too much for an event.
	var many []j
	for range 20 {
		many = append(many, j{"vcard": "BEGIN:VCARD\nFN:Ana\nNOTE:" + strings.Repeat("x", 60000) + "\nEND:VCARD"})
	}
	f.problem(f.do("POST", sales+"/messages", send(j{"type": "contacts", "contacts": many})), ValidationFailed)
	if after := f.written(); after != before {
		t.Errorf("written: %s, before %s", after, before)
	}
	var m events.Message
	f.must(202, &m, "POST", sales+"/messages", cards(j{"vcard": "begin:vcard\r\nVERSION:4.0\r\nitem1.FN;CHARSET=UTF-8: Bert  \r\nend:vcard\r\n"}))
	if m.Content.Contacts[1].Name != "Bert" {
		t.Errorf("the name is %q", m.Content.Contacts[1].Name)
	}
}

// What a message answers and whom it mentions is known by all of a person's names.
func TestWhatAMessageRefersTo(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	var first, second events.Message
	f.must(202, &first, "POST", sales+"/messages", text("5491123456789", strings.Repeat("ñ", 1200)))
	f.exec("UPDATE contacts SET lid = '120363001122334', saved_name = 'Juan'")
	f.must(202, &second, "POST", sales+"/messages", map[string]any{
		"to": "120363001122334@lid", "content": map[string]any{"type": "text", "text": "@5491123456789"}, "replyTo": first.ID,
		"mentions": []string{"120363001122334@lid", "5491123456789", "999@lid", "+5491100000001"},
	})
	if len(second.Mentions) != 3 || second.Mentions[0] != events.NewAddress("5491123456789@s.whatsapp.net", "", "120363001122334", "Juan") ||
		second.Mentions[1] != events.NewAddress("999@lid", "", "", "") || second.Mentions[2].Phone != "5491100000001" {
		t.Errorf("mentioned are %+v", second.Mentions)
	}
	if r := second.ReplyTo; r == nil || r.MessageID != first.ID || r.WhatsAppID != first.WhatsAppID || r.Text != strings.Repeat("ñ", 1000) || r.Type != "text" {
		t.Errorf("the answer is to %+v", second.ReplyTo)
	}
	if n := f.count("messages WHERE context IS NULL"); n != 1 {
		t.Errorf("%d messages have nothing beside their content, want the first", n)
	}
	reply := func(to string) map[string]any {
		return map[string]any{"to": to, "content": map[string]any{"type": "text", "text": "x"}, "replyTo": first.WhatsAppID}
	}
	// The same id of WhatsApp's in two chats is that of this chat.
	f.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
		VALUES ($1, 'sales', '1203@g.us', '5491123456789@s.whatsapp.net', $2, 'incoming', 'delivered', 'text', '{"type":"text","text":"in the group"}', now())`, events.NewID(), first.WhatsAppID)
	f.must(202, &second, "POST", sales+"/messages", reply("5491123456789"))
	if second.ReplyTo.MessageID != first.ID {
		t.Errorf("the answer is to %+v", second.ReplyTo)
	}
	f.must(202, &second, "POST", sales+"/messages", reply("1203@g.us"))
	if second.ReplyTo.Text != "in the group" || second.ReplyTo.From.Phone != "5491123456789" {
		t.Errorf("the answer is to %+v", second.ReplyTo)
	}
	f.problem(f.do("POST", sales+"/messages", reply("5491100000001")), ValidationFailed)
	f.exec("UPDATE messages SET status = 'failed' WHERE sender_id = ''")
	f.problem(f.do("POST", sales+"/messages", reply("5491123456789")), MessageNotSent)
	other := f.session("other")
	f.problem(f.do("POST", other+"/messages", reply("5491123456789")), MessageNotFound)
}

func TestWhatAPageSaysOfItself(t *testing.T) {
	t.Parallel()
	base, _ := url.Parse("https://example.com/a/b")
	for html, want := range map[string]page{
		`<title>T</title>`: {title: "T"},
		`<head><title>T</title><meta name=description content=D><meta property=og:title content="O &amp; T"><meta property="og:description" content="OD"><meta property="og:image" content="../i.png">`: {"O & T", "OD", "https://example.com/i.png"},
		`<TITLE>` + strings.Repeat("x", 400) + `</TITLE>`:                                         {title: strings.Repeat("x", 300)},
		`<meta property="og:title" content="1"><meta property="og:title" content="2">`:            {title: "1"},
		`<meta property="og:title" content=""><title>a` + "\x00\n\tb \xff" + `c</title>`:          {title: "a b c"},
		`<head></head><title>outside</title>`:                                                     {},
		`<body><title>outside</title>`:                                                            {},
		`<svg><title>T`:                                                                           {title: "T"},
		`<meta property="og:title" content="` + strings.Repeat("x", 1<<17) + `"><title>T</title>`: {},
		`<title>T</title><meta property="og:image" content="http://[::1/">`:                       {title: "T"},
	} {
		if got := describePage(strings.NewReader(html), base); got.title != want.title && !strings.HasPrefix(got.title, "a") || got.description != want.description || got.image != want.image {
			t.Errorf("%.80s: %+v, want %+v", html, got, want)
		}
	}
}

func FuzzDescribePage(f *testing.F) {
	f.Add([]byte(`<head><title>T</title><meta property=og:image content=x>`))
	base, _ := url.Parse("https://example.com/")
	testfuzz.Run(f, func(t *testing.T, html []byte) {
		p := describePage(bytes.NewReader(html), base)
		if len([]rune(p.title)) > maxPreviewTitle || len([]rune(p.description)) > maxPreviewText || strings.ContainsAny(p.title+p.description, "\x00\n\r") {
			t.Errorf("%+v", p)
		}
	})
}

func TestFirstLink(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "example.com": "", "ftp://example.com": "", "see http://a.example, or http://b.example": "http://a.example", "(HTTPS://a.example/x).": "HTTPS://a.example/x",
		"https://a.example/x_(y)": "https://a.example/x_(y)", "*https://a.example/?q=1*": "https://a.example/?q=1", `"https://a.example/ñ"`: "https://a.example/ñ", "xhttp://a.example": "",
		"[https://a.example]!": "https://a.example",
	} {
		if got := firstLink(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A preview is fetched once for a request that is repeated, not at all for a session that takes nothing, and not through a guard that forbids it.
func TestPreviewsAreFetchedWithCare(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<title>T</title>")
	}))
	t.Cleanup(site.Close)
	body := map[string]any{"to": "5491123456789", "content": map[string]any{"type": "text", "text": site.URL, "preview": "fetch"}}
	f := setup(t, local)
	sales := f.session("sales")
	var m events.Message
	for range 2 {
		f.must(202, &m, "POST", sales+"/messages", body, "Idempotency-Key", "k")
		if m.Content.LinkPreview == nil || m.Content.LinkPreview.Title != "T" || asked.Load() != 1 {
			t.Errorf("%+v, asked %d times", m.Content.LinkPreview, asked.Load())
		}
	}
	f.exec("UPDATE sessions SET state = 'banned'")
	f.problem(f.do("POST", sales+"/messages", body), SessionLoggedOut)
	image := base64.StdEncoding.EncodeToString(append(picture(), make([]byte, maxPreviewImage)...))
	f.exec("UPDATE sessions SET state = 'connected'")
	f.problem(f.do("POST", sales+"/messages", map[string]any{"to": "5491123456789", "content": map[string]any{
		"type": "text", "text": site.URL, "linkPreview": map[string]any{"url": site.URL, "title": "T", "image": map[string]any{"base64": image}},
	}}), MediaTooLarge)
	closed := setup(t, func(c *Config) { c.Guard = netguard.New(netguard.Config{}) })
	closed.must(202, &m, "POST", closed.session("sales")+"/messages", body)
	if m.Content.LinkPreview != nil || asked.Load() != 1 {
		t.Errorf("%+v, asked %d times", m.Content.LinkPreview, asked.Load())
	}
	if strings.Contains(f.log.String()+closed.log.String(), site.URL) {
		t.Error("the log tells of a link in a message")
	}
}
