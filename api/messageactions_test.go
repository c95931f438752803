package api

import (
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
)

// message sends a text and makes it look as its sender or its phone would leave it; set is SQL.
func (f *fixture) message(sales, set string) (m events.Message) {
	f.t.Helper()
	f.must(202, &m, "POST", sales+"/messages", text("5491123456789", "hello"))
	id, _ := events.MessagePrefix.Parse(m.ID)
	f.exec("UPDATE messages SET "+set+" WHERE id = $1", id)
	f.must(200, &m, "GET", sales+"/messages/"+m.ID, nil)
	return m
}

const theirs = "direction = 'incoming', status = 'delivered', sender_id = '5491123456789@s.whatsapp.net'"

// What is refused has no change, no message and no command.
func TestActionsThatAreRefusedChangeNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	for _, c := range []struct {
		name, set, method, path string
		body                    any
		want                    Code
	}{
		{"an edit after 15 minutes", "status = 'read', timestamp = now() - interval '901 s'", "PATCH", "", map[string]any{"text": "x"}, MessageNotEditable},
		{"an edit of what others wrote", theirs, "PATCH", "", map[string]any{"text": "x"}, MessageNotEditable},
		{"an edit of what was forwarded", `status = 'queued', context = '{"forwarded":1}'`, "PATCH", "", map[string]any{"text": "x"}, MessageNotEditable},
		{"an edit of what was revoked", "status = 'sent', revoked_at = now()", "PATCH", "", map[string]any{"text": "x"}, MessageNotEditable},
		{"an edit of a sticker", `status = 'sent', type = 'sticker', content = '{"type":"sticker"}'`, "PATCH", "", map[string]any{"text": "x"}, MessageNotEditable},
		{"an edit of what is to be viewed once", `status = 'sent', type = 'image', content = '{"type":"image","viewOnce":true}'`, "PATCH", "", map[string]any{"caption": "x"}, MessageNotEditable},
		{"an edit of what failed", "status = 'failed'", "PATCH", "", map[string]any{"text": "x"}, MessageNotSent},
		{"an event that is queued", `type = 'event', content = '{"type":"event","event":{"name":"E","startAt":"2030-01-01T00:00:00Z"}}'`, "PATCH", "", map[string]any{"event": map[string]any{"cancelled": true}}, MessageNotSent},
		{"a revocation after 60 hours", "status = 'read', timestamp = now() - interval '61 h'", "DELETE", "", nil, MessageNotRevocable},
		{"a revocation of what others wrote", theirs, "DELETE", "", nil, MessageNotRevocable},
		{"a revocation of what is queued", "status = 'queued'", "DELETE", "", nil, MessageNotSent},
		{"a deletion of what is scheduled", "status = 'scheduled'", "DELETE", "?scope=me", nil, MessageNotSent},
		{"a deletion of what expired", "status = 'expired'", "DELETE", "?scope=me", nil, MessageNotSent},
		{"a vote in a text", theirs, "POST", "/vote", map[string]any{"options": []string{}}, MessageNotFound},
		{"an answer to a text", theirs, "POST", "/respond", map[string]any{"response": "going"}, MessageNotFound},
		{"a vote in a poll that was deleted", `status = 'sent', revoked_at = now(), type = 'poll', content = '{"type":"poll","poll":{"question":"Q","options":["a","b"]}}'`, "POST", "/vote", map[string]any{"options": []string{"a"}}, MessageNotFound},
		{"a pin for ever", theirs, "PUT", "/pin", map[string]any{"seconds": 1}, ValidationFailed},
		{"forwarding of what is queued", "status = 'queued'", "POST", "/forward", map[string]any{"to": []string{"5491123456780"}}, MessageNotSent},
		{"forwarding of a place whose original is gone", theirs + `, type = 'location', content = '{"type":"location"}'`, "POST", "/forward", map[string]any{"to": []string{"5491123456780"}}, MessageNotForwardable},
		{"forwarding of what cannot be read", theirs + `, type = 'unsupported', raw = '\x00', content = '{"type":"unsupported"}'`, "POST", "/forward", map[string]any{"to": []string{"5491123456780"}}, MessageNotForwardable},
	} {
		m := f.message(sales, c.set)
		before := f.written()
		f.problem(f.do(c.method, sales+"/messages/"+m.ID+c.path, c.body), c.want)
		if after := f.written(); after != before || f.count("changes") != 0 {
			t.Errorf("%s: %s is now %s, and %d changes", c.name, before, after, f.count("changes"))
		}
		var now events.Message
		f.must(200, &now, "GET", sales+"/messages/"+m.ID, nil)
		if now.Content.Text != m.Content.Text || now.Content.Caption != m.Content.Caption {
			t.Errorf("%s: it says %+v", c.name, now.Content)
		}
	}
	m := f.message(sales, theirs)
	f.exec("UPDATE sessions SET state = 'logged_out'")
	for _, path := range []string{"PATCH ", "DELETE ", "PUT /star", "POST /forward"} {
		method, path, _ := strings.Cut(path, " ")
		body := map[string]any{"PATCH": map[string]any{"text": "x"}, "POST": map[string]any{"to": []string{"5491123456780"}}}[method]
		f.problem(f.do(method, sales+"/messages/"+m.ID+path, body), SessionLoggedOut)
	}
	f.problem(f.do("POST", sales+"/messages/mark-read", map[string]any{"messageIds": []string{m.ID}}), SessionLoggedOut)
}

func TestEditOfAMessageThatWaits(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	preview := `content = '{"type":"text","text":"see http://a.test/","linkPreview":{"url":"http://a.test/"}}'`
	for _, status := range []string{"queued", "scheduled"} {
		m := f.message(sales, "timestamp = now() - interval '2 h', status = '"+status+"', "+preview) // its time plays no part
		f.must(200, &m, "PATCH", sales+"/messages/"+m.ID, map[string]any{"text": "here: http://a.test/"})
		if string(m.Status) != status || m.Content.Text != "here: http://a.test/" || m.Content.LinkPreview == nil || m.EditedAt != nil {
			t.Errorf("%s: %+v", status, m)
		}
		f.must(200, &m, "PATCH", sales+"/messages/"+m.WhatsAppID, map[string]any{"text": "no link"})
		if m.Content.LinkPreview != nil {
			t.Errorf("it kept the preview: %+v", m.Content)
		}
	}
	file := f.message(sales, `status = 'queued', type = 'image', content = '{"type":"image","media":{"id":"med_1","url":"","mimetype":"image/png","size":1,"sha256":""}}'`)
	f.must(200, &file, "PATCH", sales+"/messages/"+file.ID, map[string]any{"caption": "new"})
	if file.Content.Caption != "new" || file.Content.Media.ID != "med_1" || f.count(`messages WHERE content #>> '{media,url}' = ''`) != 1 {
		t.Errorf("%+v", file.Content)
	}
	if n := f.count("changes"); n != 0 {
		t.Errorf("%d changes", n)
	}

	// One that is being sent is not touched: the edit follows it.
	m := f.message(sales, "status = 'sending', timestamp = now() - interval '2 h'")
	var c events.Change
	f.must(202, &c, "PATCH", sales+"/messages/"+m.ID, map[string]any{"text": strings.Repeat("é", 65536)}, "Prefer", "wait=0") // the longest
	if c.Kind != events.Edit.Kind || c.Status != events.ChangeQueued {
		t.Errorf("%+v", c)
	}
	if f.count(`messages WHERE status = 'sending' AND content ->> 'text' = 'hello'`) != 1 {
		t.Error("it says something else")
	}
	f.problem(f.do("PATCH", sales+"/messages/"+m.ID, map[string]any{"text": strings.Repeat("x", 65537)}), ValidationFailed)
}

func TestActionsAreAccepted(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	sent, came := f.message(sales, "status = 'sent'"), f.message(sales, theirs)
	old := f.message(sales, "status = 'sent', timestamp = now() - interval '59 h'")
	poll := f.message(sales, theirs+`, type = 'poll', content = '{"type":"poll","poll":{"question":"Q","options":["a","b"]}}'`)
	for _, c := range []struct {
		method, path string
		body         any
		kind         string
		inOrder      bool
	}{
		{"PATCH", "/" + sent.ID, map[string]any{"text": "x"}, "message.edit", true}, {"DELETE", "/" + old.ID, nil, "message.delete", true},
		{"DELETE", "/" + came.ID + "?scope=me", nil, "message.delete", true}, {"PUT", "/" + came.ID + "/star", nil, "message.star", true},
		{"DELETE", "/" + came.ID + "/star", nil, "message.star", true}, {"PUT", "/" + came.ID + "/pin", map[string]any{"seconds": 2592000}, "message.pin", true},
		{"DELETE", "/" + sent.ID + "/pin", nil, "message.pin", true}, {"POST", "/" + poll.ID + "/vote", map[string]any{"options": []string{"b", "a"}}, "message.vote", true},
		{"POST", "/mark-read", map[string]any{"messageIds": []string{came.ID, came.WhatsAppID}}, "message.read", false},
	} {
		var c1 events.Change
		a := f.must(202, &c1, c.method, sales+"/messages"+c.path, c.body)
		if c1.Kind != c.kind || a.Header.Get("Location") != sales+"/changes/"+c1.ID {
			t.Errorf("%s %s: %s", c.method, c.path, a.body)
		}
		id, _ := events.ChangePrefix.Parse(c1.ID)
		lane := events.ChangeLane("sales")
		if c.inOrder {
			lane = events.SendLane("sales")
		}
		var got string
		if err := f.db.QueryRow(t.Context(), "SELECT lane FROM queue_messages WHERE uuid = $1", id).Scan(&got); err != nil || got != "commands/"+lane {
			t.Errorf("%s is on lane %s: %v", c.kind, got, err)
		}
	}
	if n := f.count(`changes WHERE kind = 'message.vote' AND parameters #>> '{options}' = '["a","b"]'`); n != 1 {
		t.Error("the vote is not in the poll's order")
	}
	if n := f.count(`changes WHERE kind = 'message.read' AND json_array_length(parameters -> 'messageIds') = 1`); n != 1 {
		t.Error("one message is read twice")
	}
}

func TestForwardedMessages(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.exec(`INSERT INTO chats (session_id, id, kind, disappearing_seconds) VALUES ('sales', '5491123456780@s.whatsapp.net', 'user', 86400)`)
	m := f.message(sales, theirs+`, raw = '\x0a0178', context = '{"forwarded":4294967295,"mentionsEveryone":true,"replyTo":{"whatsappId":"X"}}', content = content || '{"albumId":"A"}'`)
	before := f.count("messages")
	var out ForwardedMessages
	f.must(202, &out, "POST", sales+"/messages/"+m.ID+"/forward", map[string]any{"to": []string{"+5491123456780", "120363025246125486@g.us"}, "clientReference": "r"})
	if len(out.Data) != 2 || f.count("messages") != before+2 {
		t.Fatalf("%+v", out)
	}
	for i, got := range out.Data {
		if got.Forwarded != 127 || got.MentionsEveryone || got.ReplyTo != nil || got.Content.AlbumID != "" || got.Status != events.StatusQueued || got.ClientReference != "r" ||
			(got.DisappearsAfter == 86400) != (i == 0) || got.Direction != events.Outgoing || got.ExpiresAt == nil || time.Until(*got.ExpiresAt) > 24*time.Hour || got.WhatsAppID == m.WhatsAppID {
			t.Errorf("%+v", got)
		}
	}
	if n := f.count(`messages WHERE raw = '\x0a0178' AND direction = 'outgoing'`); n != 2 {
		t.Errorf("%d have the original", n)
	}
	if n := f.count("queue_messages"); n != before+2 {
		t.Errorf("%d commands", n)
	}
}

func TestVotesAreAggregated(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.linked("sales", "connected")
	m := f.message(sales, theirs+`, type = 'poll', content = '{"type":"poll","poll":{"question":"Q","options":["a","b"]}}'`)
	id, _ := events.MessagePrefix.Parse(m.ID)
	f.exec(`INSERT INTO votes (message_id, voter_id, choices, timestamp) VALUES ($1, '', '{b}', now()), ($1, '5491123456789@s.whatsapp.net', '{b,a}', now() - interval '1 s'),
		($1, '77@lid', '{}', now()), ($1, '78@lid', '{00ff}', now())`, id)
	var results events.PollResults
	f.must(200, &results, "GET", sales+"/messages/"+m.ID+"/poll-results", nil)
	b := results.Options[1]
	if results.Voters != 3 || results.Options[0].Count != 1 || b.Count != 2 || b.Voters[0].Phone != "5491123456789" || b.Voters[1].Phone != "5491100000000" {
		t.Errorf("%+v", results)
	}
	f.problem(f.do("GET", sales+"/messages/"+m.ID+"/responses", nil), MessageNotFound)
	f.problem(f.do("GET", "/v1/sessions/none/messages/"+m.ID+"/poll-results", nil), SessionNotFound)
}
