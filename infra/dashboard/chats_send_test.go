package dashboard

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/chasqui/chasqui/infra/testbrowser"
)

// drawing is a PNG of a colour of its own, so that no two tests send the same bytes.
func drawing(t *testing.T, shade uint8) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 320, 200))
	for y := range 200 {
		for x := range 320 {
			m.Set(x, y, color.NRGBA{uint8(x % 256), uint8(y), shade, 255})
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// TestChatsFiles drops a picture on a thread and picks a document: the phone has both byte for byte. A picture that came in is shown, and large when it is clicked.
func TestChatsFiles(t *testing.T) {
	t.Parallel()
	number, bert := newSession(t, "chats-files"), newPhone(t, "Bert")
	in := drawing(t, 10)
	kept(t, "chats-files", says(t, bert, number, object{"type": "image", "data": base64.StdEncoding.EncodeToString(in), "mimetype": "image/png", "caption": "from Bert"}))
	tab := openChats(t, chatOf("chats-files", bert))
	tab.Sees("from Bert")
	tab.Await(`document.querySelector('.box img')?.naturalWidth === 320`)
	tab.Click(".box button")
	tab.Await(`document.querySelector('dialog[open] img')?.naturalWidth === 320`)
	tab.Click("text=Close")
	tab.Await(`!document.querySelector('dialog[open]')`)

	out := drawing(t, 200)
	tab.Run(fmt.Sprintf(`{
		const bytes = Uint8Array.from(atob(%q), (c) => c.charCodeAt(0));
		const data = new DataTransfer();
		data.items.add(new File([bytes], 'drawing.png', {type: 'image/png'}));
		document.querySelector('.scroller').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
	}`, base64.StdEncoding.EncodeToString(out)))
	tab.Sees("drawing.png")
	tab.Await(`document.querySelector('.thumb img')?.naturalWidth === 320`)
	tab.Fill("textarea[name=caption]", "a drawing")
	tab.Click("text=Send file")
	if m := phoneSees(t, bert, "the picture", func(m object) bool { return m["type"] == "image" && m["caption"] == "a drawing" }); m["sha256"] != hashOf(out) {
		t.Errorf("the phone has %v, want %s", m["sha256"], hashOf(out))
	}
	tab.Await(`document.querySelector('.line.own[data-status=delivered] .box img')?.naturalWidth === 320`)

	document := []byte("what a document of " + t.Name() + " says")
	file := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		t.Fatal(err)
	}
	tab.Upload("#file-picker", file)
	tab.Sees("notes.txt")
	tab.Click("text=Send file")
	if m := phoneSees(t, bert, "the document", func(m object) bool { return m["type"] == "document" }); m["sha256"] != hashOf(document) || m["fileName"] != "notes.txt" {
		t.Errorf("the phone has %v", m)
	}
	tab.Sees("notes.txt")
}

// TestChatsLostFile opens a chat with a picture that cannot be had, and asks the phone for it: it is shown once the phone has given it.
func TestChatsLostFile(t *testing.T) {
	t.Parallel()
	number, bert := newSession(t, "chats-lost"), newPhone(t, "Bert")
	must(t, "POST", "/v1/sessions/chats-lost/stop", nil, nil)
	id := says(t, bert, number, object{"type": "image", "data": base64.StdEncoding.EncodeToString(drawing(t, 77)), "mimetype": "image/png", "caption": "a lost picture"})
	phoneSees(t, number, "the picture", func(m object) bool { return m["id"] == id && m["mediaError"] == nil })
	sandbox(t, "DELETE", "/phones/"+bert+"/messages/"+id+"/media", nil, nil)
	sandbox(t, "PUT", "/phones/"+number+"/faults", object{"media": object{"phoneHasNone": true}}, nil)
	must(t, "POST", "/v1/sessions/chats-lost/start", nil, nil)
	kept(t, "chats-lost", id)
	tab := openChats(t, chatOf("chats-lost", bert))
	tab.Sees("a lost picture")
	tab.Sees("The file could not be had")
	sandbox(t, "DELETE", "/phones/"+number+"/faults", nil, nil)
	tab.Click("text=Ask the phone for it")
	tab.Await(`document.querySelector('.box img')?.naturalWidth === 320`)
}

// TestChatsKinds sends a poll, an event, a location and contacts by their forms, and sees the phone's vote and answer come in.
func TestChatsKinds(t *testing.T) {
	t.Parallel()
	number, bert := newSession(t, "chats-kinds"), newPhone(t, "Bert")
	kept(t, "chats-kinds", says(t, bert, number, object{"type": "text", "text": "what do we do?"}))
	tab := openChats(t, chatOf("chats-kinds", bert))
	attach := func(kind string) {
		tab.Click("text=Attach")
		tab.Click("text=" + kind)
	}
	attach("Poll")
	tab.Fill("input[name=question]", "Lunch?")
	tab.Fill("input[name=option1]", "Soup")
	tab.Fill("input[name=option2]", "Salad")
	tab.Click("dialog[open] button[type=submit]")
	poll := phoneSees(t, bert, "the poll", func(m object) bool { return at(m, "poll", "question") == "Lunch?" })
	tab.Await(`document.querySelector('.poll')?.innerText.includes('0 people voted')`)
	says(t, bert, number, object{"type": "pollVote", "target": object{"id": poll["id"]}, "selected": []string{"Salad"}})
	tab.Await(`document.querySelector('.poll')?.innerText.includes('1 person voted') && [...document.querySelectorAll('.poll .option')].at(1).innerText.includes('1 vote')`)
	tab.Click(".poll input[type=radio]")
	tab.Click("text=Vote")
	phoneSees(t, bert, "the account's vote", func(m object) bool { return m["type"] == "pollVote" && fmt.Sprint(m["selected"]) == "[Soup]" })
	tab.Await(`document.querySelector('.poll').innerText.includes('2 people voted')`)

	attach("Event")
	tab.Fill("input[name=event-name]", "Opening")
	tab.Run(`{ const e = document.querySelector('dialog[open] input[name=start]'); e.value = '2031-01-02T10:00'; e.dispatchEvent(new Event('input', {bubbles: true})); }`)
	tab.Click("dialog[open] button[type=submit]")
	event := phoneSees(t, bert, "the event", func(m object) bool { return at(m, "event", "name") == "Opening" })
	tab.Sees("Call it off")
	says(t, bert, number, object{"type": "eventResponse", "target": object{"id": event["id"]}, "response": "going"})
	tab.Sees("Going: Bert")

	attach("Location")
	tab.Fill("input[name=latitude]", "-34.6037")
	tab.Fill("input[name=longitude]", "-58.3816")
	tab.Fill("input[name=place]", "Obelisco")
	tab.Click("dialog[open] button[type=submit]")
	phoneSees(t, bert, "the location", func(m object) bool {
		return at(m, "location", "name") == "Obelisco" && at(m, "location", "latitude") == -34.6037
	})
	tab.Await(`document.querySelector('.place a')?.href.startsWith('https://www.openstreetmap.org/?mlat=-34.6037')`)

	attach("Contacts")
	tab.Fill("input[name=contact-name1]", "Juan Pérez")
	tab.Fill("input[name=contact-phone1]", "+54 9 11 2345-6789")
	tab.Click("dialog[open] button[type=submit]")
	phoneSees(t, bert, "the contact", func(m object) bool { return m["type"] == "contacts" })
	tab.Sees("Juan Pérez")
}

// TestChatsVoice records with the browser's microphone and sends it: the phone gets a voice note that it can play.
func TestChatsVoice(t *testing.T) {
	t.Parallel()
	number, bert := newSession(t, "chats-voice"), newPhone(t, "Bert")
	kept(t, "chats-voice", says(t, bert, number, object{"type": "text", "text": "call me"}))
	tab := testbrowser.Open(t, "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
	tab.Go(running.URL + chatOf("chats-voice", bert))
	tab.Fill("#key", running.APIKey)
	tab.Click("form button[type=submit]")
	tab.Sees("call me")
	tab.Click("text=Record a voice note")
	tab.Await(`document.querySelector('[role=timer]')?.innerText === '0:02'`)
	tab.Click("text=Discard the recording")
	tab.Await(`!!document.querySelector('#message-text')`)
	tab.Click("text=Record a voice note")
	tab.Await(`document.querySelector('[role=timer]')?.innerText === '0:02'`)
	tab.Click("text=Stop")
	tab.Await(`!!document.querySelector('audio[controls]')`)
	tab.Click("text=Send the voice note")
	m := phoneSees(t, bert, "the voice note", func(m object) bool { return m["type"] == "voice" })
	if m["ptt"] != true || m["mediaError"] != nil || m["mimetype"] != "audio/ogg; codecs=opus" || m["seconds"] == nil || m["waveform"] == nil {
		t.Errorf("the voice note is %v", m)
	}
	tab.Await(`!!document.querySelector('.line.own[data-status=delivered] .player')`)
}

// TestChatsFailure writes to a number without an account: the message says why it failed, and can be tried again; so can one that the API did not answer.
func TestChatsFailure(t *testing.T) {
	t.Parallel()
	newSession(t, "chats-failure")
	tab := openChats(t, chatOf("chats-failure", "15550001234"))
	tab.Sees("No messages yet.")
	write(tab, "is anybody there?")
	tab.Sees("This number has no WhatsApp account.")
	tab.Await(`document.querySelector('.line.own')?.dataset.status === 'failed'`)
	tab.Click("text=Try again")
	tab.Sees("Sent again below")
	tab.Await(`document.querySelectorAll('.line.own[data-status=failed]').length === 2`)

}

// TestChatsUnanswered sends through a connection that is cut before the answer comes: tried again under the same key, it is one message; so is an album.
func TestChatsUnanswered(t *testing.T) {
	t.Parallel()
	newSession(t, "chats-unanswered")
	bert := newPhone(t, "Bert")
	target, err := url.Parse(running.URL)
	if err != nil {
		t.Fatal(err)
	}
	var cut atomic.Bool
	cut.Store(true)
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cut.Load() && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/messages") {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	tab := testbrowser.Open(t)
	tab.Size(1440, 900)
	tab.Go(server.URL + chatOf("chats-unanswered", bert))
	tab.Fill("#key", running.APIKey)
	tab.Click("form button[type=submit]")
	tab.Sees("No messages yet.")
	// While the session is away no event tells that it was accepted.
	must(t, "POST", "/v1/sessions/chats-unanswered/stop", nil, nil)
	tab.Sees("The session is not connected")
	write(tab, "only once")
	tab.Sees("The API did not answer.")
	cut.Store(false)
	tab.Click("text=Try again")
	tab.Await(`document.querySelector('.line.own')?.dataset.status === 'queued'`)
	must(t, "POST", "/v1/sessions/chats-unanswered/start", nil, nil)
	tab.Await(`document.querySelectorAll('.line.own[data-status=delivered]').length === 1 && document.querySelectorAll('.line.own').length === 1`)
	phoneSees(t, bert, "it", func(m object) bool { return m["text"] == "only once" })
	var page struct{ Data []object }
	if must(t, "GET", "/v1/sessions/chats-unanswered/chats/"+bert+"/messages", nil, &page); len(page.Data) != 1 {
		t.Errorf("the chat has %d messages", len(page.Data))
	}

	// An album and its pictures are tried again together, and belong together still.
	must(t, "POST", "/v1/sessions/chats-unanswered/stop", nil, nil)
	tab.Sees("The session is not connected")
	cut.Store(true)
	files := []string{filepath.Join(t.TempDir(), "one.png"), filepath.Join(t.TempDir(), "two.png")}
	for i, file := range files {
		if err := os.WriteFile(file, drawing(t, uint8(41+i)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tab.Upload("#file-picker", files...)
	tab.Click("text=Send 2 files")
	tab.Await(`document.querySelectorAll('.line.own .failure').length === 3`)
	cut.Store(false)
	tab.Click("text=Try again")
	tab.Await(`document.querySelectorAll('.line.own[data-status=queued]').length === 3`)
	must(t, "POST", "/v1/sessions/chats-unanswered/start", nil, nil)
	tab.Await(`document.querySelectorAll('.line.own[data-status=delivered]').length === 4 && document.querySelectorAll('.line.own').length === 4`)
	album := phoneSees(t, bert, "the album", func(m object) bool { return m["type"] == "album" })
	for shade := range 2 {
		phoneSees(t, bert, "a picture of it", func(m object) bool {
			return m["sha256"] == hashOf(drawing(t, uint8(41+shade))) && m["albumId"] == album["id"]
		})
	}
}

// TestChatsScheduled schedules a text, sees it in the list of what is to be sent, and cancels it.
func TestChatsScheduled(t *testing.T) {
	t.Parallel()
	number, bert := newSession(t, "chats-later"), newPhone(t, "Bert")
	kept(t, "chats-later", says(t, bert, number, object{"type": "text", "text": "remind me"}))
	tab := openChats(t, chatOf("chats-later", bert))
	tab.Sees("remind me")
	tab.Fill("#message-text", "do not forget")
	tab.Click("text=Attach")
	tab.Click("text=Send later")
	tab.Await(`document.querySelector('dialog[open] textarea[name=later]')?.value === 'do not forget'`)
	tab.Run(`{ const e = document.querySelector('dialog[open] input[name=at]'), at = new Date(Date.now() + 86400e3); e.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16); e.dispatchEvent(new Event('input', {bubbles: true})); }`)
	tab.Click("text=Schedule")
	tab.Await(`document.querySelector('dialog[open] ul')?.innerText.includes('do not forget')`)
	scheduled := func() (page struct{ Data []object }) {
		must(t, "GET", "/v1/sessions/chats-later/messages?status=scheduled", nil, &page)
		return page
	}
	if page := scheduled(); len(page.Data) != 1 || at(page.Data[0], "content", "text") != "do not forget" {
		t.Fatalf("scheduled is %v", page.Data)
	}
	tab.Click("dialog[open] li button")
	tab.Sees("Nothing is scheduled for this chat.")
	if page := scheduled(); len(page.Data) != 0 {
		t.Errorf("scheduled is still %v", page.Data)
	}
	tab.Press(kb.Escape)
	tab.Await(`!document.querySelector('dialog[open]')`)
}
