package sandbox_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestPhonesSayEverythingInAGroup(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	c := newChat(t, s.URL())
	createPhone(t, s.URL(), echo, "echo")
	group, err := s.CreateGroup(t.Context(), bert, sandbox.NewGroup{Subject: "Friends", Participants: []string{anna, echo}})
	if err != nil {
		t.Fatal(err)
	}
	c.ids["echo"] = echo
	for _, step := range []struct{ from, name, body, want string }{
		{bert, "hello", `"type":"text","text":"hello @` + anna + `","mentions":["` + anna + `"],"mentionsEveryone":true`,
			`{"type":"text","text":"hello @$anna$","mentions":["$anna$"],"mentionsEveryone":true}`},
		{anna, "answer", `"type":"text","text":"hi","quote":{"id":"$hello$"}`, `{"type":"text","text":"hi","quote":{"id":"$hello$","from":"$bert$","type":"text","text":"hello @$anna$"}}`},
		{anna, "like", `"type":"reaction","target":{"id":"$hello$"},"emoji":"👍"`, `{"type":"reaction","text":"","target":{"id":"$hello$","from":"$bert$"},"emoji":"👍"}`},
		{bert, "poll", `"type":"poll","poll":{"question":"Q?","options":["yes","no"],"selectableCount":0}`, `{"type":"poll","text":"","poll":{"question":"Q?","options":["yes","no"],"selectableCount":0}}`},
		{anna, "vote", `"type":"pollVote","target":{"id":"$poll$"},"selected":["no"]`, `{"type":"pollVote","text":"","target":{"id":"$poll$","from":"$bert$"},"selected":["no"]}`},
		{bert, "event", `"type":"event","event":{"name":"E","startAt":"2027-01-15T08:00:00Z"}`, `{"type":"event","text":"","event":{"name":"E","startAt":"2027-01-15T08:00:00Z"}}`},
		{anna, "rsvp", `"type":"eventResponse","target":{"id":"$event$"},"response":"maybe"`, `{"type":"eventResponse","text":"","target":{"id":"$event$","from":"$bert$"},"response":"maybe"}`},
		{anna, "sealed", `"type":"reaction","target":{"id":"$poll$"},"emoji":"👍","encrypted":true`, `{"type":"reaction","text":"","target":{"id":"$poll$","from":"$bert$"},"emoji":"👍","encrypted":true}`},
		{anna, "comment", `"type":"comment","target":{"id":"$poll$"},"text":"so"`, `{"type":"comment","text":"so","target":{"id":"$poll$","from":"$bert$"}}`},
		{anna, "edit", `"type":"edit","target":{"id":"$answer$"},"text":"bye"`, `{"type":"edit","text":"bye","target":{"id":"$answer$","from":"$anna$"}}`},
		{bert, "revoke", `"type":"revoke","target":{"id":"$answer$"}`, `{"type":"revoke","text":"","target":{"id":"$answer$","from":"$anna$"}}`}, // as an administrator
		{bert, "file", `"type":"image","data":"YWJj","caption":"look"`, `{"type":"image","text":""}`},
	} {
		status, text := tryText(t, s.URL()+"/phones/"+step.from+"/messages", c.fill(`{"to":"`+group.JID+`",`+step.body+`}`))
		var sent struct{ ID string }
		if err := json.Unmarshal([]byte(text), &sent); err != nil || status != 201 {
			t.Fatalf("%s is answered with %d %s", step.name, status, text)
		}
		c.ids[step.name] = sent.ID
		for _, reader := range []string{anna, bert, echo} {
			if reader == step.from {
				continue
			}
			want := strings.ReplaceAll(c.fill(step.want), `"from":"`+reader+`"}`, `"from":"`+reader+`","fromMe":true}`)
			if got, m := c.sees(reader, sent.ID); got != want || m.Chat != group.JID || m.From != step.from || m.To != group.JID {
				t.Errorf("%s shows %s as\n %s, want\n %s, in %s from %s to %s", reader, step.name, got, want, m.Chat, m.From, m.To)
			}
		}
	}
	// A message of a group is answered in private, and the echo phone answers none.
	if got := first(c.say(anna, "private", `"type":"text","text":"psst","quote":{"id":"$hello$"}`)); got != c.fill(`{"type":"text","text":"psst","quote":{"id":"$hello$","from":"$bert$","type":"text","text":"hello @$anna$"}}`) {
		t.Errorf("the answer in private is shown as %s", got)
	}
	var read struct{ Read int }
	call(t, "POST", s.URL()+"/phones/"+echo+"/read", map[string]string{"from": bert}, 200, &read)
	if read.Read != 5 {
		t.Errorf("%d messages were read, want 5", read.Read)
	}
	if err := s.WaitReceipt(t.Context(), bert, c.ids["file"], "read"); err != nil {
		t.Error(err)
	}
	if messages, err := s.Messages(t.Context(), bert, 0, 0); err != nil || len(messages) != 8 {
		t.Errorf("Bert's phone shows %d messages, %v; Anna's are 8", len(messages), err)
	}
	// Who is no longer in it is told so, and his outbox goes on.
	_, err = s.Send(t.Context(), "5491100000001", sandbox.Outgoing{To: "1@g.us", Content: sandbox.Content{Type: "text", Text: "x"}})
	if err == nil {
		t.Error("a group that there is none of took a message")
	}
	c.say(anna, "after", `"type":"text","text":"after"`)
}
