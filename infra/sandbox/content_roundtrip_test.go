package sandbox_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

// chat is two phones that write to each other.
type chat struct {
	t   *testing.T
	url string
	ids map[string]string // of messages, by the names that the test gives them: "$name" in bodies and answers
}

func newChat(t *testing.T, url string) *chat {
	t.Helper()
	createPhone(t, url, anna, "")
	createPhone(t, url, bert, "")
	return &chat{t: t, url: url, ids: map[string]string{"anna": anna, "bert": bert}}
}

func (c *chat) fill(text string) string {
	for name, id := range c.ids {
		text = strings.ReplaceAll(text, "$"+name+"$", id)
	}
	return text
}

// say lets a phone send a body, whose id gets a name, and returns what the other phone shows: its content and, where it has a file, its media.
func (c *chat) say(from, name, body string) (content string, m sandbox.Message) {
	c.t.Helper()
	to := anna
	if from == anna {
		to = bert
	}
	status, text := tryText(c.t, c.url+"/phones/"+from+"/messages", c.fill(`{"to":"`+to+`",`+body+`}`))
	var sent struct{ ID string }
	if err := json.Unmarshal([]byte(text), &sent); err != nil || status != 201 {
		c.t.Fatalf("%s is answered with %d %s", body, status, text)
	}
	c.ids[name] = sent.ID
	return c.sees(to, sent.ID)
}

// sees waits until a phone shows a message.
func (c *chat) sees(number, id string) (content string, m sandbox.Message) {
	c.t.Helper()
	m = shown(c.t, c.url, number, 1, func(m sandbox.Message) bool { return m.ID == id })[0]
	text, err := json.Marshal(m.Content)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text), m
}

func TestPhonesSayEverythingToEachOther(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{"memory": "", "postgres": testdb.DSN(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sayEverything(t, newChat(t, start(t, dsn, "127.0.0.1:0").URL()))
		})
	}
}

func sayEverything(t *testing.T, c *chat) {
	t.Helper()
	for _, step := range []struct{ from, name, body, want string }{
		{bert, "hello", `"type":"text","text":"hello"`, `{"type":"text","text":"hello"}`},
		{anna, "answer", `"type":"text","text":"hi @` + bert + `","quote":{"id":"$hello$"},"mentions":["` + bert + `"],"mentionsEveryone":true,"forwarded":true,"ephemeralSeconds":86400`,
			`{"type":"text","text":"hi @$bert$","quote":{"id":"$hello$","from":"$bert$","type":"text","text":"hello"},"mentions":["$bert$"],"mentionsEveryone":true,` +
				`"forwarded":true,"forwardingScore":1,"ephemeralSeconds":86400}`},
		{bert, "preview", `"type":"text","text":"see https://a.example","preview":{"url":"https://a.example","title":"A","description":"D","thumbnail":"/9j/"}`,
			`{"type":"text","text":"see https://a.example","preview":{"url":"https://a.example","title":"A","description":"D","hasThumbnail":true}}`},
		{bert, "place", `"type":"location","location":{"latitude":-34.5,"longitude":-58.25,"name":"N","address":"A","url":"https://a.example"}`,
			`{"type":"location","text":"","location":{"latitude":-34.5,"longitude":-58.25,"name":"N","address":"A","url":"https://a.example"}}`},
		{bert, "live", `"type":"liveLocation","liveLocation":{"latitude":1,"longitude":2,"accuracyMeters":3,"speed":4,"heading":5,"caption":"c","sequence":6}`,
			`{"type":"liveLocation","text":"","liveLocation":{"latitude":1,"longitude":2,"accuracyMeters":3,"speed":4,"heading":5,"caption":"c","sequence":6}}`},
		{bert, "card", `"type":"contacts","contacts":[{"name":"Eva","phones":["5491100000003"]}]`,
			`{"type":"contacts","text":"","contacts":[{"name":"Eva","phones":["5491100000003"],"vcard":"BEGIN:VCARD\nVERSION:3.0\nN:;Eva;;;\nFN:Eva\nTEL;type=CELL;waid=5491100000003:+5491100000003\nEND:VCARD"}]}`},
		{bert, "cards", `"type":"contacts","contacts":[{"name":"A","vcard":"BEGIN:VCARD"},{"name":"B","vcard":"BEGIN:VCARD"}],"quote":{"id":"$answer$"}`,
			`{"type":"contacts","text":"","quote":{"id":"$answer$","from":"$anna$","type":"text","text":"hi @$bert$"},"contacts":[{"name":"A","vcard":"BEGIN:VCARD"},{"name":"B","vcard":"BEGIN:VCARD"}]}`},
		{bert, "poll", `"type":"poll","poll":{"question":"Q?","options":["yes","no","maybe"],"selectableCount":2}`,
			`{"type":"poll","text":"","poll":{"question":"Q?","options":["yes","no","maybe"],"selectableCount":2}}`},
		{anna, "vote", `"type":"pollVote","target":{"id":"$poll$"},"selected":["maybe","yes"]`,
			`{"type":"pollVote","text":"","target":{"id":"$poll$","from":"$bert$","fromMe":true},"selected":["maybe","yes"]}`},
		{anna, "unvote", `"type":"pollVote","target":{"id":"$poll$"}`, `{"type":"pollVote","text":"","target":{"id":"$poll$","from":"$bert$","fromMe":true}}`},
		{bert, "ownvote", `"type":"pollVote","target":{"id":"$poll$"},"selected":["no"]`,
			`{"type":"pollVote","text":"","target":{"id":"$poll$","from":"$bert$"},"selected":["no"]}`},
		{bert, "event", `"type":"event","event":{"name":"E","description":"D","startAt":"2027-01-15T08:00:00Z","endAt":"2027-01-15T09:00:00Z","joinLink":"https://a.example","extraGuestsAllowed":true,"location":{"latitude":1,"longitude":2,"name":"L"}}`,
			`{"type":"event","text":"","event":{"name":"E","description":"D","location":{"latitude":1,"longitude":2,"name":"L"},"joinLink":"https://a.example","startAt":"2027-01-15T08:00:00Z","endAt":"2027-01-15T09:00:00Z","extraGuestsAllowed":true}}`},
		{anna, "rsvp", `"type":"eventResponse","target":{"id":"$event$"},"response":"going","extraGuests":2`,
			`{"type":"eventResponse","text":"","target":{"id":"$event$","from":"$bert$","fromMe":true},"response":"going","extraGuests":2}`},
		{bert, "moved", `"type":"edit","target":{"id":"$event$"},"event":{"name":"E","startAt":"2027-01-16T08:00:00Z","canceled":true}`,
			`{"type":"edit","text":"","target":{"id":"$event$","from":"$bert$"},"event":{"name":"E","startAt":"2027-01-16T08:00:00Z","canceled":true}}`},
		{anna, "heart", `"type":"reaction","target":{"id":"$hello$"},"emoji":"❤️"`, `{"type":"reaction","text":"","target":{"id":"$hello$","from":"$bert$","fromMe":true},"emoji":"❤️"}`},
		{anna, "noheart", `"type":"reaction","target":{"id":"$hello$"}`, `{"type":"reaction","text":"","target":{"id":"$hello$","from":"$bert$","fromMe":true}}`},
		{bert, "myheart", `"type":"reaction","target":{"id":"$hello$"},"emoji":"👍"`, `{"type":"reaction","text":"","target":{"id":"$hello$","from":"$bert$"},"emoji":"👍"}`},
		{anna, "sealed", `"type":"reaction","target":{"id":"$poll$"},"emoji":"👍","encrypted":true`,
			`{"type":"reaction","text":"","target":{"id":"$poll$","from":"$bert$","fromMe":true},"emoji":"👍","encrypted":true}`},
		{anna, "comment", `"type":"comment","target":{"id":"$poll$"},"text":"so"`, `{"type":"comment","text":"so","target":{"id":"$poll$","from":"$bert$","fromMe":true}}`},
		{bert, "edit", `"type":"edit","target":{"id":"$hello$"},"text":"hello @` + anna + `","mentions":["` + anna + `"]`,
			`{"type":"edit","text":"hello @$anna$","mentions":["$anna$"],"target":{"id":"$hello$","from":"$bert$"}}`},
		{bert, "pin", `"type":"pin","target":{"id":"$answer$"}`, `{"type":"pin","text":"","target":{"id":"$answer$","from":"$anna$","fromMe":true},"pinSeconds":604800}`},
		{bert, "unpin", `"type":"unpin","target":{"id":"$answer$"}`, `{"type":"unpin","text":"","target":{"id":"$answer$","from":"$anna$","fromMe":true}}`},
		{bert, "keep", `"type":"keep","target":{"id":"$answer$"}`, `{"type":"keep","text":"","target":{"id":"$answer$","from":"$anna$","fromMe":true}}`},
		{bert, "unkeep", `"type":"unkeep","target":{"id":"$answer$"}`, `{"type":"unkeep","text":"","target":{"id":"$answer$","from":"$anna$","fromMe":true}}`},
		{bert, "timer", `"type":"ephemeral","ephemeralSeconds":604800`, `{"type":"ephemeral","text":"","ephemeralSeconds":604800}`},
		{bert, "untimer", `"type":"ephemeral"`, `{"type":"ephemeral","text":""}`},
		{bert, "invite", `"type":"groupInvite","groupInvite":{"groupJid":"1@g.us","code":"C","groupName":"G","caption":"join","expiresAt":"2027-01-15T08:00:00Z"}`,
			`{"type":"groupInvite","text":"","groupInvite":{"groupJid":"1@g.us","code":"C","expiresAt":"2027-01-15T08:00:00Z","groupName":"G","caption":"join"}}`},
		{bert, "buttons", `"type":"buttons","title":"H","text":"pick","buttons":[{"id":"1","text":"one"}]`, `{"type":"buttons","text":"pick","title":"H","buttons":[{"id":"1","text":"one"}]}`},
		{anna, "pressed", `"type":"buttonsResponse","text":"one","selectedId":"1","quote":{"id":"$buttons$"}`,
			`{"type":"buttonsResponse","text":"one","quote":{"id":"$buttons$","from":"$bert$","type":"buttons","text":"pick"},"selectedId":"1"}`},
		{bert, "list", `"type":"list","title":"T","text":"pick","buttons":[{"id":"1","text":"one","description":"d"}]`, `{"type":"list","text":"pick","title":"T","buttons":[{"id":"1","text":"one","description":"d"}]}`},
		{anna, "picked", `"type":"listResponse","text":"one","selectedId":"1","quote":{"id":"$list$"}`,
			`{"type":"listResponse","text":"one","quote":{"id":"$list$","from":"$bert$","type":"list","text":"pick"},"selectedId":"1"}`},
		{anna, "template", `"type":"templateButtonReply","text":"one","selectedId":"1","quote":{"id":"$list$"}`,
			`{"type":"templateButtonReply","text":"one","quote":{"id":"$list$","from":"$bert$","type":"list","text":"pick"},"selectedId":"1"}`},
		{anna, "number", `"type":"requestPhoneNumber"`, `{"type":"requestPhoneNumber","text":""}`},
		{anna, "forward", `"type":"forward","target":{"id":"$answer$"}`, `{"type":"text","text":"hi @$bert$","forwarded":true,"forwardingScore":2}`},
		{bert, "revoke", `"type":"revoke","target":{"id":"$hello$"}`, `{"type":"revoke","text":"","target":{"id":"$hello$","from":"$bert$"}}`},
	} {
		got, m := c.say(step.from, step.name, step.body)
		if want := c.fill(step.want); got != want {
			t.Errorf("%s is shown as\n %s, want\n %s", step.name, got, want)
		}
		if m.Chat != step.from || m.From != step.from || m.FromMe || m.Broadcast {
			t.Errorf("%s is shown in the chat %s from %s", step.name, m.Chat, m.From)
		}
	}
}

func TestPhonesSendFilesInAllTheirForms(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	c := newChat(t, s.URL())
	data := random(3, 5000)
	file := `,"data":"` + base64.StdEncoding.EncodeToString(data) + `"`
	c.say(bert, "hello", `"type":"text","text":"hello"`)
	if got, _ := c.say(bert, "album", `"type":"album","album":{"images":1,"videos":1}`); got != `{"type":"album","text":"","album":{"images":1,"videos":1}}` {
		t.Errorf("the album is shown as %s", got)
	}
	for _, step := range []struct{ name, body, want, media string }{
		{"gif", `"type":"video","gif":true,"seconds":3,"width":320,"height":240,"thumbnail":"/9j/","caption":"c"`, `{"type":"video","text":""}`,
			`"caption":"c","mimetype":"video/mp4","seconds":3,"width":320,"height":240,"thumbnail":3,"gif":true`},
		{"ptv", `"type":"video","ptv":true,"seconds":3,"viewOnce":true`, `{"type":"video","text":"","viewOnce":true}`, `"mimetype":"video/mp4","seconds":3,"ptv":true`},
		{"once", `"type":"image","viewOnce":true`, `{"type":"image","text":"","viewOnce":true}`, `"mimetype":"image/jpeg"`},
		{"voice", `"type":"voice","viewOnce":true,"seconds":2,"waveform":"AAECAw=="`, `{"type":"voice","text":"","viewOnce":true}`,
			`"mimetype":"audio/ogg; codecs=opus","ptt":true,"seconds":2,"waveform":"AAECAw=="`},
		{"sticker", `"type":"sticker","animated":true,"width":512,"height":512`, `{"type":"sticker","text":""}`, `"mimetype":"image/webp","width":512,"height":512,"animated":true`},
		{"child", `"type":"image","albumId":"$album$"`, `{"type":"image","text":"","albumId":"$album$"}`, `"mimetype":"image/jpeg"`},
		{"video", `"type":"video","albumId":"$album$"`, `{"type":"video","text":"","albumId":"$album$"}`, `"mimetype":"video/mp4"`},
		{"doc", `"type":"document","caption":"read @` + anna + `","fileName":"a.pdf","mentions":["` + anna + `"],"quote":{"id":"$hello$"}`,
			`{"type":"document","text":"","quote":{"id":"$hello$","from":"$bert$","type":"text","text":"hello"},"mentions":["$anna$"]}`,
			`"caption":"read @$anna$","fileName":"a.pdf","mimetype":"application/octet-stream"`},
		{"again", `"type":"document","caption":"more","quote":{"id":"$doc$"}`, // what is quoted there is not quoted again
			`{"type":"document","text":"","quote":{"id":"$doc$","from":"$bert$","type":"document","text":"read @$anna$"}}`,
			`"caption":"more","fileName":"document","mimetype":"application/octet-stream"`},
	} {
		got, m := c.say(bert, step.name, step.body+file)
		if want := c.fill(step.want); got != want {
			t.Errorf("%s is shown as\n %s, want\n %s", step.name, got, want)
		}
		media := map[string]any{}
		if err := json.Unmarshal([]byte(c.fill("{"+step.media+"}")), &media); err != nil {
			t.Fatal(err)
		}
		media["size"], media["sha256"] = float64(len(data)), hashOf(data)
		text, _ := json.Marshal(m.Media)
		wanted, _ := json.Marshal(media)
		have := map[string]any{}
		_ = json.Unmarshal(text, &have)
		if text, _ = json.Marshal(have); string(text) != string(wanted) {
			t.Errorf("%s is shown with\n %s, want\n %s", step.name, text, wanted)
		}
	}
	// The caption of what was sent is edited, and Anna, who got it, sends it on: the same file, at no new place.
	if got, want := first(c.say(bert, "edit", `"type":"edit","target":{"id":"$doc$"},"text":"reread"`)), `{"type":"edit","text":"reread","target":{"id":"$doc$","from":"$bert$"}}`; got != c.fill(want) {
		t.Errorf("the edit is shown as %s", got)
	}
	got, m := c.say(anna, "forward", `"type":"forward","target":{"id":"$doc$"}`)
	if got != `{"type":"document","text":"","forwarded":true,"forwardingScore":1}` || m.Media == nil || m.SHA256 != hashOf(data) || m.FileName != "a.pdf" {
		t.Errorf("the file that is sent on is shown as %s %+v", got, m.Media)
	}
	if status, text := tryText(t, s.URL()+"/phones/"+anna+"/messages", c.fill(`{"to":"$bert$","type":"forward","target":{"id":"$once$"}}`)); status != 422 || !strings.Contains(text, "once") {
		t.Errorf("to send on what is viewed once is answered with %d %s", status, text)
	}
}

func TestWhatIsSaidToAMessageSurvivesAKill(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	url, kill := startChild(t, dsn, "127.0.0.1:0")
	c := newChat(t, url)
	c.say(bert, "poll", `"type":"poll","poll":{"question":"Q?","options":["yes","no"],"selectableCount":1}`)
	c.say(anna, "hello", `"type":"text","text":"hello"`)
	kill()
	c.url, _ = startChild(t, dsn, host(url))
	for _, step := range []struct{ from, body, want string }{
		{anna, `"type":"pollVote","target":{"id":"$poll$"},"selected":["no"]`, `{"type":"pollVote","text":"","target":{"id":"$poll$","from":"$bert$","fromMe":true},"selected":["no"]}`},
		{bert, `"type":"text","text":"so","quote":{"id":"$hello$"}`, `{"type":"text","text":"so","quote":{"id":"$hello$","from":"$anna$","type":"text","text":"hello"}}`},
		{anna, `"type":"edit","target":{"id":"$hello$"},"text":"bye"`, `{"type":"edit","text":"bye","target":{"id":"$hello$","from":"$anna$"}}`},
	} {
		if got := first(c.say(step.from, "last", step.body)); got != c.fill(step.want) {
			t.Errorf("%s is shown as %s", step.body, got)
		}
	}
	for number, id := range map[string]string{anna: c.ids["poll"], bert: c.ids["hello"]} { // shown before the kill
		if _, m := c.sees(number, id); m.Chat == "" || m.Type == "" {
			t.Errorf("after the kill %s shows %+v", number, m)
		}
	}
}

func first(content string, _ sandbox.Message) string { return content }

func TestMessagesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	c := newChat(t, s.URL())
	c.say(bert, "hello", `"type":"text","text":"hello"`)
	c.say(anna, "own", `"type":"text","text":"hello"`)
	c.say(bert, "poll", `"type":"poll","poll":{"question":"Q?","options":["yes","no"],"selectableCount":1}`)
	for body, detail := range map[string]string{
		`"type":"text","text":"x","poll":{"question":"Q?","options":["a","b"],"selectableCount":1}`: "has no poll",
		`"type":"text","text":"x","quote":{"id":"nothing"}`:                                         "to quote",
		`"type":"text","text":"x","quote":{"id":""}`:                                                "an id",
		`"type":"text","text":"x","mentions":["1"]`:                                                 "mentions",
		`"type":"text","text":"x\u0000"`:                                                            "NUL",
		`"type":"text","text":"x","preview":{"url":"https://a.example"}`:                            "preview",
		`"type":"text","text":"` + strings.Repeat("x", 65537) + `"`:                                 "65536",
		`"type":"location","location":{"latitude":91,"longitude":0}`:                                "latitude",
		`"type":"contacts","contacts":[{"name":"A"}]`:                                               "vcard",
		`"type":"poll","poll":{"question":"Q?","options":["a","a"],"selectableCount":1}`:            "twice",
		`"type":"poll","poll":{"question":"Q?","options":["a","b"],"selectableCount":3}`:            "selectableCount",
		`"type":"pollVote","target":{"id":"$hello$"},"selected":["yes"]`:                            "no poll",
		`"type":"pollVote","target":{"id":"$poll$"},"selected":["perhaps"]`:                         "options of the poll",
		`"type":"pollVote","target":{"id":"$poll$"},"selected":["yes","no"]`:                        "at most 1",
		`"type":"event","event":{"name":"E"}`:                                                       "startAt",
		`"type":"eventResponse","target":{"id":"$poll$"},"response":"going"`:                        "event",
		`"type":"edit","target":{"id":"$hello$"},"text":"mine"`:                                     "own messages",
		`"type":"revoke","target":{"id":"$hello$"}`:                                                 "own messages",
		`"type":"revoke"`: "target",
		`"type":"reaction","target":{"id":"nothing"},"emoji":"x"`:                               "knows no message",
		`"type":"reaction","target":{"id":"$hello$"},"emoji":"` + strings.Repeat("x", 65) + `"`: "one emoji",
		`"type":"pin","target":{"id":"$hello$"},"pinSeconds":5`:                                 "pinSeconds",
		`"type":"ephemeral","ephemeralSeconds":5`:                                               "ephemeralSeconds",
		`"type":"album","album":{"images":1,"videos":0}`:                                        "2",
		`"type":"image","data":"YWJj","albumId":"$own$"`:                                        "album",
		`"type":"video","data":"YWJj","gif":true,"ptv":true`:                                    "at once",
		`"type":"document","data":"YWJj","viewOnce":true`:                                       "viewOnce",
		`"type":"groupInvite","groupInvite":{"groupJid":"x","code":"C"}`:                        "groupJid",
		`"type":"buttons","text":"x","buttons":[{"text":"x"}]`:                                  "id",
		`"type":"listResponse","text":"x","selectedId":"1"`:                                     "quote",
		`"type":"forward","target":{"id":"$poll$"}`:                                             "cannot be forwarded",
		`"type":"comment","target":{"id":"$poll$"}`:                                             "must have text",
	} {
		status, text := tryText(t, s.URL()+"/phones/"+anna+"/messages", c.fill(`{"to":"$bert$",`+body+`}`))
		if status != 422 || !strings.Contains(text, detail) {
			t.Errorf("%s is answered with %d %s, want 422 with %q", body, status, text, detail)
		}
	}
	for to, want := range map[string]int{"x@example": 422, "@g.us": 422, "5491100000002@s.whatsapp.net": 422, "123@g.us": 409} {
		_, err := s.Send(t.Context(), anna, sandbox.Outgoing{To: to, Content: sandbox.Content{Type: "text", Text: "x"}})
		if refusal := (*sandbox.Error)(nil); !errors.As(err, &refusal) || refusal.Status != want {
			t.Errorf("to %s: %v, want status %d", to, err, want)
		}
	}
	_, err := s.Send(t.Context(), anna, sandbox.Outgoing{To: bert, Content: sandbox.Content{Type: "image"}})
	if refusal := (*sandbox.Error)(nil); !errors.As(err, &refusal) || refusal.Status != http.StatusUnprocessableEntity {
		t.Errorf("a file that is none: %v", err)
	}
}

func TestPhonesShowWhatCompanionsSay(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	c := newChat(t, s.URL())
	linked := newCompanion(t, dsn, host(s.URL()))
	linked.link(s.URL(), anna)
	str, cli := proto.String, linked.client
	c.say(bert, "hello", `"type":"text","text":"hello"`)
	c.say(bert, "poll", `"type":"poll","poll":{"question":"Q?","options":["yes","no"],"selectableCount":1}`)
	var poll, hello types.MessageInfo
	linked.await("Bert's messages", func() bool {
		for _, m := range linked.messages {
			switch m.Info.ID {
			case c.ids["hello"]:
				hello = m.Info
			case c.ids["poll"]:
				poll = m.Info
			}
		}
		return poll.ID != "" && hello.ID != ""
	})
	vote, err := cli.BuildPollVote(t.Context(), &poll, []string{"no"})
	if err != nil {
		t.Fatal(err)
	}
	them := hello.Chat
	for _, step := range []struct {
		id   string
		m    *waE2E.Message
		want string
	}{
		{"QUOTE", &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: str("yes"), ContextInfo: &waE2E.ContextInfo{
			StanzaID: &hello.ID, Participant: str(hello.Sender.ToNonAD().String()), QuotedMessage: &waE2E.Message{Conversation: str("hello")}, MentionedJID: []string{them.String()},
		}}}, `{"type":"text","text":"yes","quote":{"id":"$hello$","from":"$bert$","type":"text","text":"hello"},"mentions":["$bert$"]}`},
		{"REACT", cli.BuildReaction(them, hello.Sender, hello.ID, "👍"), `{"type":"reaction","text":"","target":{"id":"$hello$","from":"$bert$","fromMe":true},"emoji":"👍"}`},
		{"EDIT", cli.BuildEdit(them, "QUOTE", &waE2E.Message{Conversation: str("no")}), `{"type":"edit","text":"no","target":{"id":"QUOTE","from":"$anna$"}}`},
		{"REVOKE", cli.BuildRevoke(them, types.EmptyJID, "QUOTE"), `{"type":"revoke","text":"","target":{"id":"QUOTE","from":"$anna$"}}`},
		{"POLL", cli.BuildPollCreation("P?", []string{"a", "b"}, 1), `{"type":"poll","text":"","poll":{"question":"P?","options":["a","b"],"selectableCount":1}}`},
		{"VOTE", vote, `{"type":"pollVote","text":"","target":{"id":"$poll$","from":"$bert$","fromMe":true},"selected":["no"]}`},
		{"ONCE", &waE2E.Message{ViewOnceMessageV2: &waE2E.FutureProofMessage{Message: &waE2E.Message{LocationMessage: &waE2E.LocationMessage{DegreesLatitude: proto.Float64(1), DegreesLongitude: proto.Float64(2)}}}},
			`{"type":"location","text":"","viewOnce":true,"location":{"latitude":1,"longitude":2}}`},
		{"CARD", &waE2E.Message{ContactMessage: &waE2E.ContactMessage{DisplayName: str("X"), Vcard: str("V")}}, `{"type":"contacts","text":"","contacts":[{"name":"X","vcard":"V"}]}`},
		{"LATER", &waE2E.Message{ScheduledCallCreationMessage: &waE2E.ScheduledCallCreationMessage{Title: str("C")}}, `{"type":"scheduledCall","text":"","call":{},"title":"C"}`},
		{"STRANGE", &waE2E.Message{StickerPackMessage: &waE2E.StickerPackMessage{Name: str("S")}}, `{"type":"stickerPack","text":""}`},
		// A vote whose nonce has a wrong length makes whatsmeow panic, and one for a poll that nobody knows cannot be read.
		{"BADVOTE", &waE2E.Message{PollUpdateMessage: &waE2E.PollUpdateMessage{PollCreationMessageKey: vote.GetPollUpdateMessage().GetPollCreationMessageKey(), Vote: &waE2E.PollEncValue{EncIV: []byte{1}}}},
			`{"type":"pollVote","text":"","target":{"id":"$poll$","from":"$bert$","fromMe":true},"contentError":"this does not open with the secret of the message that it belongs to"}`},
		{"NOVOTE", &waE2E.Message{PollUpdateMessage: &waE2E.PollUpdateMessage{PollCreationMessageKey: cli.BuildMessageKey(them, hello.Sender, "NONE"), Vote: &waE2E.PollEncValue{EncIV: make([]byte, 12)}}},
			`{"type":"pollVote","text":"","target":{"id":"NONE","from":"$bert$","fromMe":true},"contentError":"the phone does not have the message that this belongs to"}`},
	} {
		if _, err := cli.SendMessage(t.Context(), them, step.m, whatsmeow.SendRequestExtra{ID: step.id, Timeout: 20 * time.Second}); err != nil {
			t.Fatal(err)
		}
		want := c.fill(step.want)
		if got, m := c.sees(bert, step.id); got != want || m.Chat != anna || m.From != anna || m.To != bert {
			t.Errorf("%s is shown as\n %s, want\n %s", step.id, got, want)
		}
		// Anna's own phone shows it as its account's own: what Bert wrote is his there.
		want = strings.ReplaceAll(want, `,"fromMe":true`, "")
		want = strings.ReplaceAll(want, `"from":"`+anna+`"`, `"from":"`+anna+`","fromMe":true`)
		if got, m := c.sees(anna, step.id); got != want || !m.FromMe || m.Chat != bert || m.To != bert {
			t.Errorf("%s is shown by Anna's phone as\n %s, want\n %s", step.id, got, want)
		}
	}
	// Bert's phone votes in the companion's poll, which opens the vote.
	c.ids["POLL"] = "POLL"
	c.say(bert, "answer", `"type":"pollVote","target":{"id":"POLL"},"selected":["b"]`)
	var opened *waE2E.PollVoteMessage
	linked.await("the vote", func() bool {
		for _, m := range linked.messages {
			if m.Info.ID == c.ids["answer"] {
				opened, err = cli.DecryptPollVote(t.Context(), m)
				return true
			}
		}
		return false
	})
	if hashes := whatsmeow.HashPollOptions([]string{"b"}); err != nil || len(opened.GetSelectedOptions()) != 1 || string(opened.GetSelectedOptions()[0]) != string(hashes[0]) {
		t.Errorf("the companion opens the vote as %v, %v", opened, err)
	}
}
