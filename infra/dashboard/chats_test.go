package dashboard

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/chasqui/chasqui/infra/testbrowser"
	"github.com/chasqui/chasqui/infra/testdev"
)

type object = map[string]any

// chatOf is the address of a chat with a number.
func chatOf(session, number string) string {
	return "/chats/" + session + "/" + number + "@s.whatsapp.net"
}

// says makes a phone send something, and returns WhatsApp's id of it.
func says(t *testing.T, number, to string, message object) string {
	t.Helper()
	message["to"] = to
	var sent struct{ ID string }
	sandbox(t, "POST", "/phones/"+number+"/messages", message, &sent)
	return sent.ID
}

// phoneSees waits for something that a phone shows.
func phoneSees(t *testing.T, number, what string, want func(object) bool) (found object) {
	t.Helper()
	eventually(t, number+" to see "+what, func() error {
		var page struct{ Messages []object }
		sandbox(t, "GET", "/phones/"+number+"/messages", nil, &page)
		for _, m := range page.Messages {
			if want(m) {
				found = m
				return nil
			}
		}
		return fmt.Errorf("it saw %v", page.Messages)
	})
	return found
}

// kept waits until the API has a message by WhatsApp's id, and returns it.
func kept(t *testing.T, session, id string) (message object) {
	t.Helper()
	eventually(t, "the message "+id, func() error {
		if status, raw := testdev.Call(t, "GET", running.URL+"/v1/sessions/"+session+"/messages/"+id, nil, &message); status != 200 {
			return errors.New(string(raw))
		}
		return nil
	})
	return message
}

// at is a member of JSON below others; nil where there is none.
func at(value any, names ...string) any {
	for _, name := range names {
		m, _ := value.(object)
		value = m[name]
	}
	return value
}

// openChats opens a page of the chats, as wide as a desktop's.
func openChats(t *testing.T, path string) *testbrowser.Tab {
	t.Helper()
	tab := open(t, path)
	tab.Size(1440, 900)
	return tab
}

// openMenu opens the menu of the message that WhatsApp knows by an id.
func openMenu(t *testing.T, tab *testbrowser.Tab, session, id string) {
	t.Helper()
	tab.Click(fmt.Sprintf(`[data-message=%q] .open-menu`, at(kept(t, session, id), "id")))
	tab.Await(`document.querySelector('#message-menu').matches(':popover-open')`)
}

// write types a message and sends it with Enter.
func write(tab *testbrowser.Tab, text string) {
	tab.Fill("#message-text", text)
	tab.Press(kb.Enter)
}

// TestChatsLive receives in a list that is looked at, opens the chat, answers a message, and sees the ticks move until the other side has read.
func TestChatsLive(t *testing.T) {
	t.Parallel()
	number, bert, anna := newSession(t, "chats-live"), newPhone(t, "Bert"), newPhone(t, "Anna")
	says(t, anna, number, object{"type": "text", "text": "the first of all"})
	tab := openChats(t, "/chats/chats-live")
	tab.Sees("the first of all")
	written := time.Now().Unix()
	eventually(t, "another second, since messages have no finer time", func() error {
		if time.Now().Unix() == written {
			return errors.New("it is the same")
		}
		return nil
	})
	question := says(t, bert, number, object{"type": "text", "text": "is it *ready*?"})
	row := `[data-row="` + bert + `@s.whatsapp.net"]`
	tab.Await(fmt.Sprintf(`document.querySelector(%q)?.innerText.includes('is it *ready*?') && document.querySelector(%q)?.querySelector('.badge [aria-hidden]')?.innerText === '1'`, row, row+" a"))
	if first := tab.Evaluate(`document.querySelector('[role=listitem]').dataset.row`); first != bert+"@s.whatsapp.net" {
		t.Errorf("the first of the list is %s", first)
	}

	tab.Click(row + " a")
	tab.Await(`document.querySelector('article strong')?.innerText === 'ready'`) // bold, not asterisks
	tab.Await(fmt.Sprintf(`!document.querySelector(%q)?.querySelector('.badge')`, row))
	eventually(t, "Bert's message to be read", func() error {
		var page struct{ Messages []struct{ ID, Status string } }
		sandbox(t, "GET", "/phones/"+bert+"/sent", nil, &page)
		for _, m := range page.Messages {
			if m.ID == question && m.Status == "read" {
				return nil
			}
		}
		return fmt.Errorf("it is %v", page.Messages)
	})

	openMenu(t, tab, "chats-live", question)
	tab.Click("text=Reply")
	tab.Sees("Answer to Bert")
	write(tab, "tomorrow, I hope")
	answer := phoneSees(t, bert, "the answer", func(m object) bool { return m["text"] == "tomorrow, I hope" })
	if quoted := at(answer, "quote", "id"); quoted != question {
		t.Errorf("it answers %v", quoted)
	}
	// The answer waits for nothing to come in: it moves forward while one looks, and the row too.
	bubble := fmt.Sprintf(`[data-message=%q]`, at(kept(t, "chats-live", answer["id"].(string)), "id"))
	tab.Await(fmt.Sprintf(`document.querySelector(%q)?.dataset.status === 'delivered'`, bubble))
	sandbox(t, "POST", "/phones/"+bert+"/read", object{"from": number}, nil)
	tab.Await(fmt.Sprintf(`document.querySelector(%q)?.dataset.status === 'read'`, bubble))
	tab.Await(fmt.Sprintf(`!!document.querySelector(%q)?.querySelector('[data-status=read]')`, row))

	tab.Click(bubble + " button.ticks")
	tab.Await(`document.querySelector('aside')?.innerText.includes('Bert') && /Read/.test(document.querySelector('aside').innerText)`)
	tab.Press(kb.Escape)
	tab.Await(`!document.querySelector('aside')`)

	sandbox(t, "POST", "/phones/"+bert+"/chatstate", object{"to": number, "state": "typing"}, nil)
	tab.Await(`document.querySelector('#chat-presence')?.innerText === 'typing…'`)
	sandbox(t, "POST", "/phones/"+bert+"/chatstate", object{"to": number, "state": "paused"}, nil)
	tab.Await(`document.querySelector('#chat-presence')?.innerText !== 'typing…'`)

	// What is written fast goes in its order; what is not sent is still there when one comes back.
	for i := range 5 {
		write(tab, fmt.Sprintf("line %d", i))
	}
	phoneSees(t, bert, "the last line", func(m object) bool { return m["text"] == "line 4" })
	var page struct{ Data []object }
	must(t, "GET", "/v1/sessions/chats-live/chats/"+bert+"/messages?limit=5", nil, &page)
	for i, m := range page.Data {
		if text := at(m, "content", "text"); text != fmt.Sprintf("line %d", 4-i) {
			t.Errorf("the last but %d is %v", i, text)
		}
	}
	tab.Fill("#message-text", "a draft")
	tab.Click(`[data-row="` + anna + `@s.whatsapp.net"] a`)
	tab.Await(`document.querySelector('#message-text')?.value === '' && [...document.querySelectorAll('article')].some((e) => e.innerText.includes('the first of all'))`)
	tab.Click(row + " a")
	tab.Await(`document.querySelector('#message-text')?.value === 'a draft'`)
}

// TestChatsActions reacts to a message, edits, stars, pins and deletes an own one, and looks at the phone for each.
func TestChatsActions(t *testing.T) {
	t.Parallel()
	number, bert := newSession(t, "chats-actions"), newPhone(t, "Bert")
	theirs := says(t, bert, number, object{"type": "text", "text": "look at this"})
	kept(t, "chats-actions", theirs)
	tab := openChats(t, chatOf("chats-actions", bert))
	tab.Sees("look at this")
	write(tab, "a typo here")
	own := phoneSees(t, bert, "it", func(m object) bool { return m["text"] == "a typo here" })["id"].(string)
	about := func(kind string) func(object) bool {
		return func(m object) bool {
			return m["type"] == kind && (at(m, "target", "id") == theirs || at(m, "target", "id") == own)
		}
	}

	openMenu(t, tab, "chats-actions", theirs)
	tab.Click("text=👍")
	if m := phoneSees(t, bert, "the reaction", about("reaction")); m["emoji"] != "👍" {
		t.Errorf("the reaction is %v", m)
	}
	tab.Await(`document.querySelector('.reactions')?.innerText.includes('👍')`)

	tab.Await(`document.querySelector('.line.own')?.dataset.status === 'delivered'`)
	tab.Run(`document.activeElement.blur()`) // in the composer e is a letter
	tab.Press("e")
	tab.Sees("Edit the message")
	write(tab, "no typo here")
	if m := phoneSees(t, bert, "the edit", about("edit")); m["text"] != "no typo here" {
		t.Errorf("the edit is %v", m)
	}
	tab.Sees("no typo here")
	tab.Sees("edited")

	openMenu(t, tab, "chats-actions", own)
	tab.Click("text=Star")
	tab.Await(`!!document.querySelector('[title=Starred]')`)
	openMenu(t, tab, "chats-actions", own)
	tab.Click("text=Pin for a week")
	phoneSees(t, bert, "the pin", about("pin"))

	openMenu(t, tab, "chats-actions", own)
	tab.Click("text=Delete for everybody")
	tab.Click("text=Delete")
	phoneSees(t, bert, "the deletion", about("revoke"))
	tab.Sees("This message was deleted")
	tab.SeesNot("no typo here")

	// What others do is seen as well.
	says(t, bert, number, object{"type": "edit", "target": object{"id": theirs}, "text": "look at that"})
	tab.Sees("look at that")
	says(t, bert, number, object{"type": "revoke", "target": object{"id": theirs}})
	tab.SeesNot("look at that")
}

// TestChatsMenu archives, pins, mutes and marks a chat, filters by what it did, and deletes it once that was confirmed.
func TestChatsMenu(t *testing.T) {
	t.Parallel()
	number, bert, anna := newSession(t, "chats-menu"), newPhone(t, "Bert Unique"), newPhone(t, "Anna Other")
	kept(t, "chats-menu", says(t, bert, number, object{"type": "text", "text": "from bert"}))
	kept(t, "chats-menu", says(t, anna, number, object{"type": "text", "text": "from anna"}))
	tab := openChats(t, chatOf("chats-menu", bert))
	choose := func(item string) {
		tab.Click(`[aria-label="What to do with this chat"]`)
		tab.Click("text=" + item)
	}
	chat := func(what string, want func(object) bool) {
		t.Helper()
		eventually(t, "the chat to be "+what, func() error {
			var c object
			if must(t, "GET", "/v1/sessions/chats-menu/chats/"+bert, nil, &c); !want(c) {
				return fmt.Errorf("it is %v", c)
			}
			return nil
		})
	}
	tab.Sees("from bert")
	choose("Pin")
	chat("pinned", func(c object) bool { return c["pinned"] == true })
	tab.Await(`document.querySelector('[role=listitem]')?.innerText.includes('Bert Unique') && !!document.querySelector('[role=listitem] [title=Pinned]')`)
	choose("Mute for good")
	chat("muted", func(c object) bool { return c["mutedUntil"] != nil })
	choose("Mark as unread")
	chat("marked", func(c object) bool { return c["markedUnread"] == true })
	tab.Click("text=Unread")
	tab.Await(`location.search === '?show=unread' && document.querySelector('[role=list]')?.innerText.includes('Bert Unique')`)
	tab.Click("text=All")
	choose("Archive")
	chat("archived", func(c object) bool { return c["archived"] == true && c["pinned"] == false })
	tab.Await(`!document.querySelector('[role=list]')?.innerText.includes('Bert Unique')`)
	tab.Click("text=Archived")
	tab.Await(`document.querySelector('[role=list]')?.innerText.includes('Bert Unique')`)
	tab.Click("text=All")
	tab.Fill("#chats-search", "nobody has this name")
	tab.Sees("No chat matches.")
	tab.Click("text=Clear filters")
	tab.Sees("Anna Other")

	choose("Delete the chat")
	tab.Sees("It disappears with its messages here")
	tab.Click(`dialog[open] button[type=submit]`)
	tab.Await(`location.pathname === '/chats/chats-menu'`)
	eventually(t, "the chat to be gone", func() error {
		if status, _ := testdev.Call(t, "GET", running.URL+"/v1/sessions/chats-menu/chats/"+bert, nil, nil); status != 404 {
			return fmt.Errorf("%d", status)
		}
		return nil
	})

	// By number: one that has an account, and one that has not.
	tab.Click("text=New chat")
	tab.Fill("input[name=number]", "15550009999")
	tab.Click("text=Open chat")
	tab.Sees("15550009999 has no WhatsApp account.")
	tab.Fill("input[name=number]", "+"+bert)
	tab.Click("text=Open chat")
	tab.Await(fmt.Sprintf(`decodeURIComponent(location.pathname) === %q`, chatOf("chats-menu", bert)))
}

// TestChatsGroup shows who says what in a group, by name, and who belongs to it; mentions one of them, chosen from a list by keys, and everybody.
func TestChatsGroup(t *testing.T) {
	t.Parallel()
	number, bert, anna := newSession(t, "chats-group"), newPhone(t, "Bert"), newPhone(t, "Anna")
	var group struct{ JID string }
	sandbox(t, "POST", "/phones/"+bert+"/groups", object{"subject": "The crew", "participants": []string{number, anna}}, &group)
	kept(t, "chats-group", says(t, bert, group.JID, object{"type": "text", "text": "who comes?"}))
	kept(t, "chats-group", says(t, anna, group.JID, object{"type": "text", "text": "me and @" + bert, "mentions": []string{bert}}))
	tab := openChats(t, "/chats/chats-group/"+url.PathEscape(group.JID))
	tab.Await(`[...document.querySelectorAll('.sender')].map((e) => e.innerText).join() === 'Bert,Anna'`)
	tab.Sees("me and @Bert")
	tab.Await(`document.querySelector('[role=listitem]')?.innerText.includes('Anna:')`)
	tab.Click("header .who")
	tab.Sees("3 members")
	write(tab, "so do I")
	phoneSees(t, anna, "it in the group", func(m object) bool { return m["text"] == "so do I" && m["chat"] == group.JID })
	tab.Await(`!!document.querySelector('.line.own[data-status=delivered]')`)
	tab.Click(".line.own button.ticks")
	tab.Await(`['Bert', 'Anna'].every((name) => document.querySelector('aside')?.innerText.includes(name))`)
	tab.Press(kb.Escape)
	tab.SeesNot("Receipts")

	const marked = `document.getElementById(document.querySelector('#message-text').getAttribute('aria-activedescendant'))?.querySelector('.name').innerText`
	options := func(want string) {
		t.Helper()
		tab.Await(fmt.Sprintf(`[...document.querySelectorAll('[role=option] .name')].map((e) => e.innerText).join() === %q`, want))
	}
	tab.Fill("#message-text", "thanks @")
	options("Anna,Bert,@everyone") // and not oneself
	tab.Press(kb.Escape)
	options("")
	tab.Press("b")
	options("Bert")
	tab.Press(kb.Backspace)
	options("Anna,Bert,@everyone")
	tab.Await(marked + ` === 'Anna'`)
	tab.Press(kb.ArrowDown)
	tab.Await(marked + ` === 'Bert'`)
	tab.Press(kb.Enter)
	tab.Await(fmt.Sprintf(`document.querySelector('#message-text').value === %q && document.querySelector('#mentioned').innerText === 'Mentions Bert'`, "thanks @"+bert+" "))
	tab.Press("and @ever")
	options("@everyone")
	tab.Click("[role=option]")
	tab.Await(fmt.Sprintf(`document.querySelector('#message-text').value === %q`, "thanks @"+bert+" and @everyone "))
	tab.Press(kb.Enter)
	m := phoneSees(t, bert, "that it is mentioned", func(m object) bool {
		return m["mentions"] != nil && m["chat"] == group.JID && m["mentionsEveryone"] == true
	})
	own := kept(t, "chats-group", m["id"].(string))
	if people, _ := own["mentions"].([]any); len(people) != 1 || at(people[0], "phone") != bert || own["mentionsEveryone"] != true {
		t.Errorf("the API says that it mentions %v, everybody: %v", own["mentions"], own["mentionsEveryone"])
	}
	tab.Sees("thanks @Bert and @everyone")
}

// TestChatsForReaders shows a key that may only read the messages, and nothing to write with; nothing is read by it.
func TestChatsForReaders(t *testing.T) {
	t.Parallel()
	number, bert := newSession(t, "chats-readers"), newPhone(t, "Bert")
	kept(t, "chats-readers", says(t, bert, number, object{"type": "text", "text": "only to be read"}))
	var key struct{ Key string }
	must(t, "POST", "/v1/api-keys", object{"name": "reader of TestChatsForReaders", "scopes": []string{"read"}}, &key)
	tab := openAs(t, key.Key, chatOf("chats-readers", bert))
	tab.Await(`[...document.querySelectorAll('article')].some((e) => e.innerText.includes('only to be read'))`)
	tab.Click(`[aria-label="What to do with this chat"]`)
	tab.Sees("Details")
	if found := tab.Evaluate(`[!!document.querySelector('#message-text'), document.body.innerText.includes('Archive the'), !!document.querySelector('[aria-label="New chat"]')].join()`); found != "false,false,false" {
		t.Errorf("the composer, the menu, a new chat: %s", found)
	}
	says(t, bert, number, object{"type": "text", "text": "and another"})
	tab.Await(`[...document.querySelectorAll('article')].some((e) => e.innerText.includes('and another'))`)
	var chat struct{ Unread int }
	if must(t, "GET", "/v1/sessions/chats-readers/chats/"+bert, nil, &chat); chat.Unread != 2 {
		t.Errorf("%d are unread", chat.Unread)
	}
}

// TestChatsOnAPhone shows the list or the thread at 390 pixels, without a sideways scroll, and in Spanish.
func TestChatsOnAPhone(t *testing.T) {
	t.Parallel()
	number, bert := newSession(t, "chats-phone"), newPhone(t, "Bert")
	kept(t, "chats-phone", says(t, bert, number, object{"type": "text", "text": "https://example.com/" + fmt.Sprintf("%0200d", 7)}))
	kept(t, "chats-phone", says(t, bert, number, object{"type": "image", "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkeM9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "mimetype": "image/png"}))
	tab := testbrowser.Open(t)
	tab.Size(390, 844)
	tab.Go(running.URL + "/chats/chats-phone")
	tab.Click("text=Español")
	tab.Fill("#key", running.APIKey)
	tab.Click("form button[type=submit]")
	fits := func(where string) {
		t.Helper()
		if wide := tab.Evaluate(`document.scrollingElement.scrollWidth <= innerWidth && [...document.querySelectorAll('.scroller, .chats, .pane')].every((e) => !e.checkVisibility() || e.scrollWidth <= e.clientWidth + 1)`); wide != "true" {
			t.Errorf("%s scrolls sideways: %s", where, tab.Evaluate(`[...document.querySelectorAll('.chats *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.className).slice(0, 9).join()`))
		}
	}
	tab.Sees("Bert")
	tab.Sees("No leídos")
	fits("the list")
	tab.Click(".pane [role=listitem] a")
	tab.Await(`!document.querySelector('#chats-search').checkVisibility() && document.querySelector('#message-text')?.placeholder === 'Escribe un mensaje'`)
	tab.Sees("Hoy")
	fits("the thread")
	tab.Fill("#message-text", "hola desde aquí")
	tab.Click(`[aria-label="Enviar"]`)
	phoneSees(t, bert, "it", func(m object) bool { return m["text"] == "hola desde aquí" })
	tab.Await(`document.querySelector('.line.own')?.innerText.includes('hola desde aquí') && document.querySelector('.line.own .ticks')?.textContent.includes('Entregado')`)
	tab.Click("header .who")
	tab.Sees("Detalles")
	fits("the details")
	tab.Click(`aside [aria-label="Cerrar"]`)
	tab.Click(`[aria-label="Volver a los chats"]`)
	tab.Await(`document.querySelector('#chats-search').checkVisibility()`)
}
