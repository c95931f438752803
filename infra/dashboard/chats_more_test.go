package dashboard

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestChatsAttachments sends an album, a sticker, a picture from the clipboard and a live location that moves on, each looked at on the phone, and forwards one of them.
func TestChatsAttachments(t *testing.T) {
	t.Parallel()
	number, bert, anna := newSession(t, "chats-attachments"), newPhone(t, "Bert"), newPhone(t, "Anna Forwarded")
	kept(t, "chats-attachments", says(t, anna, number, object{"type": "text", "text": "from anna"}))
	kept(t, "chats-attachments", says(t, bert, number, object{"type": "text", "text": "show me"}))
	tab := openChats(t, chatOf("chats-attachments", bert))
	tab.Sees("show me")

	first, second, folder := drawing(t, 31), drawing(t, 32), t.TempDir()
	files := []string{filepath.Join(folder, "first.png"), filepath.Join(folder, "second.png"), filepath.Join(folder, "plan.txt")}
	for i, data := range [][]byte{first, second, []byte("the plan of " + t.Name())} {
		if err := os.WriteFile(files[i], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tab.Fill("#message-text", "one of two")
	tab.Upload("#file-picker", files...)
	tab.Await(`document.querySelector('dialog[open] [name=album]')?.checked && document.querySelector('[aria-label="Caption of first.png"]')?.value === 'one of two'`)
	tab.Fill(`[aria-label="Caption of second.png"]`, "two of two")
	tab.Click("text=Send 3 files")
	album := phoneSees(t, bert, "the album", func(m object) bool { return m["type"] == "album" })
	if at(album, "album", "images") != 2.0 || at(album, "album", "videos") != nil && at(album, "album", "videos") != 0.0 {
		t.Errorf("the album is %v", album["album"])
	}
	for caption, data := range map[string][]byte{"one of two": first, "two of two": second} {
		if m := phoneSees(t, bert, caption, func(m object) bool { return m["caption"] == caption }); m["albumId"] != album["id"] || m["sha256"] != hashOf(data) {
			t.Errorf("%s is %v", caption, m)
		}
	}
	phoneSees(t, bert, "the document beside it", func(m object) bool { return m["fileName"] == "plan.txt" && m["albumId"] == nil })
	tab.Await(`document.querySelectorAll('.line.own[data-status=delivered]').length === 4 && document.querySelector('#message-text').value === ''`)
	tab.Sees("2 photos")

	tab.Click("text=Attach")
	tab.Click("text=Sticker")
	sticker := filepath.Join(folder, "sticker.png")
	if err := os.WriteFile(sticker, drawing(t, 33), 0o600); err != nil {
		t.Fatal(err)
	}
	tab.Upload("#file-picker", sticker)
	if m := phoneSees(t, bert, "the sticker", func(m object) bool { return m["type"] == "sticker" }); m["mediaError"] != nil || m["mimetype"] != "image/webp" {
		t.Errorf("the sticker is %v", m)
	}

	pasted := drawing(t, 34)
	tab.Run(fmt.Sprintf(`{
		const data = new DataTransfer();
		data.items.add(new File([Uint8Array.from(atob(%q), (c) => c.charCodeAt(0))], 'image.png', {type: 'image/png'}));
		document.querySelector('#message-text').dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
	}`, base64.StdEncoding.EncodeToString(pasted)))
	tab.Fill("textarea[name=caption]", "from the clipboard")
	tab.Click("text=Send file")
	m := phoneSees(t, bert, "what was pasted", func(m object) bool { return m["caption"] == "from the clipboard" })
	if m["type"] != "image" || m["sha256"] != hashOf(pasted) || m["albumId"] != nil {
		t.Errorf("what was pasted is %v", m)
	}

	id := m["id"].(string)
	tab.Await(fmt.Sprintf(`document.querySelector('[data-message=%q]')?.dataset.status === 'delivered'`, at(kept(t, "chats-attachments", id), "id"))) // before, it cannot be forwarded
	openMenu(t, tab, "chats-attachments", id)
	tab.Click("text=Forward")
	tab.Click(`dialog[open] input[value="` + anna + `@s.whatsapp.net"]`)
	tab.Click("dialog[open] button[type=submit]")
	if m := phoneSees(t, anna, "what was forwarded", func(m object) bool { return m["caption"] == "from the clipboard" }); m["forwarded"] != true || m["sha256"] != hashOf(pasted) {
		t.Errorf("what was forwarded is %v", m)
	}
	tab.Await(`!document.querySelector('dialog[open]')`)

	tab.Click("text=Attach")
	tab.Click("text=Live location")
	tab.Fill("input[name=latitude]", "-34.6037")
	tab.Fill("input[name=longitude]", "-58.3816")
	tab.Fill("input[name=live-caption]", "on my way")
	tab.Click("dialog[open] button[type=submit]")
	phoneSees(t, bert, "where one is", func(m object) bool {
		return m["type"] == "liveLocation" && at(m, "liveLocation", "latitude") == -34.6037 && at(m, "liveLocation", "sequence") == 1.0 && at(m, "liveLocation", "caption") == "on my way"
	})
	tab.Click("text=Send a newer position")
	tab.Fill("input[name=latitude]", "-34.61")
	tab.Click("dialog[open] button[type=submit]")
	phoneSees(t, bert, "where one is then", func(m object) bool {
		return m["type"] == "liveLocation" && at(m, "liveLocation", "latitude") == -34.61 && at(m, "liveLocation", "longitude") == -58.3816 && at(m, "liveLocation", "sequence") == 2.0
	})
	tab.Await(`[...document.querySelectorAll('.place')].length === 2 && document.querySelectorAll('.place button').length === 1 && !!document.querySelectorAll('.place')[1].querySelector('button')`)
}

// TestChatsAnswers answers an event and accepts an invitation from their bubbles, labels a chat, sets its timer, and asks the phone for what was written earlier.
func TestChatsAnswers(t *testing.T) {
	t.Parallel()
	const session, past = "chats-answers", "19990000000"
	number, bert := newPhone(t, "Owner of "+session), newPhone(t, "Bert")
	sandbox(t, "PUT", "/phones/"+number+"/history", object{"mode": "inline", "messages": 20, "seed": object{"chats": 1, "messages": 100}}, nil)
	link(t, session, number)
	sandbox(t, "PUT", "/phones/"+number+"/privacy/groupadd", object{"value": "none"}, nil)
	must(t, "POST", "/v1/sessions/"+session+"/labels", object{"name": "Customer", "color": 3}, nil)
	event := says(t, bert, number, object{"type": "event", "event": object{"name": "Opening", "startAt": time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)}})
	kept(t, session, event)
	type participant struct {
		InviteCode       string
		InviteExpiration int64
	}
	var group struct {
		JID          string
		Participants []participant
	}
	sandbox(t, "POST", "/phones/"+bert+"/groups", object{"subject": "The invited", "participants": []string{number}}, &group)
	invited := slices.IndexFunc(group.Participants, func(p participant) bool { return p.InviteCode != "" })
	if invited < 0 {
		t.Fatalf("nobody is to be invited: %+v", group)
	}
	kept(t, session, says(t, bert, number, object{"type": "groupInvite", "groupInvite": object{
		"groupJid": group.JID, "code": group.Participants[invited].InviteCode, "groupName": "The invited", "expiresAt": time.Unix(group.Participants[invited].InviteExpiration, 0).UTC().Format(time.RFC3339),
	}}))
	tab := openChats(t, chatOf(session, bert))
	chat := func(what string, want func(object) bool) {
		t.Helper()
		eventually(t, "the chat to be "+what, func() error {
			var c object
			if must(t, "GET", "/v1/sessions/"+session+"/chats/"+bert, nil, &c); !want(c) {
				return fmt.Errorf("it is %v", c)
			}
			return nil
		})
	}
	choose := func(item string) {
		tab.Click(`[aria-label="What to do with this chat"]`)
		tab.Click("text=" + item)
	}

	tab.Click("text=Maybe")
	phoneSees(t, bert, "that one may come", func(m object) bool {
		return m["type"] == "eventResponse" && m["response"] == "maybe" && at(m, "target", "id") == event
	})
	tab.Await(`document.querySelector('article')?.innerText.includes('Maybe: ')`)

	tab.Click("text=Join the group")
	tab.Sees("The account has joined.")
	var joined struct{ ParticipantCount int }
	if must(t, "GET", "/v1/sessions/"+session+"/groups/"+group.JID, nil, &joined); joined.ParticipantCount != 2 {
		t.Errorf("the group has %d members", joined.ParticipantCount)
	}

	choose("Labels")
	tab.Click("text=Customer")
	chat("labelled", func(c object) bool { return fmt.Sprint(c["labels"]) == "[1]" })
	tab.Click("text=Close")
	choose("Disappearing messages")
	tab.Click("text=A day")
	tab.Await(`!document.querySelector('dialog[open]')`)
	phoneSees(t, bert, "the timer", func(m object) bool { return m["type"] == "ephemeral" && m["ephemeralSeconds"] == 86400.0 })
	chat("timed", func(c object) bool { return c["disappearingSeconds"] == 86400.0 })

	tab.Click(`[data-row="` + past + `@s.whatsapp.net"] a`)
	tab.Await(`[...document.querySelectorAll('article')].some((e) => e.innerText.includes('message 81 of Contact 1'))`)
	choose("Ask the phone for older messages")
	tab.Await(`[...document.querySelectorAll('article')].some((e) => e.innerText.includes('message 31 of Contact 1'))`)
	var page struct{ Data []object }
	must(t, "GET", "/v1/sessions/"+session+"/chats/"+past+"/messages?limit=100", nil, &page)
	if !slices.ContainsFunc(page.Data, func(m object) bool { return at(m, "content", "text") == "message 31 of Contact 1" }) {
		t.Errorf("the API has %d messages of it", len(page.Data))
	}
}
