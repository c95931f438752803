package features

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// channel is a channel as clients get it.
type channel struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	PictureID   string     `json:"pictureId"`
	PictureURL  string     `json:"pictureUrl"`
	InviteCode  string     `json:"inviteCode"`
	InviteURL   string     `json:"inviteUrl"`
	Followers   int        `json:"followers"`
	State       string     `json:"state"`
	Role        string     `json:"role"`
	Muted       *bool      `json:"muted"`
	CreatedAt   *time.Time `json:"createdAt"`
}

func (c channel) path() string { return "/channels/" + c.ID }

// post is a post as a channel's list has it.
type post struct {
	message
	ServerID int
	Views    int
	Counts   map[string]int
}

func (p *post) UnmarshalJSON(b []byte) error {
	if err := p.message.UnmarshalJSON(b); err != nil {
		return err
	}
	number := func(name string) int { n, _ := p.raw[name].(float64); return int(n) }
	p.ServerID, p.Views, p.Counts = number("serverId"), number("views"), map[string]int{}
	list, ok := p.raw["reactionCounts"].([]any)
	if !ok {
		return fmt.Errorf("no reactionCounts in %s", b)
	}
	for _, r := range list {
		emoji, _ := dig(r, "emoji").(string)
		count, _ := dig(r, "count").(float64)
		p.Counts[emoji] = int(count)
	}
	return nil
}

// posts lists a page of a channel's posts.
func (s session) posts(c channel, query string) (list []post, next string) {
	s.t.Helper()
	var page struct {
		Data       []post
		NextCursor string
		HasMore    bool
	}
	s.must(200, "GET", c.path()+"/messages?"+query, nil, &page)
	if page.HasMore != (page.NextCursor != "") {
		s.t.Errorf("hasMore is %t and nextCursor %q", page.HasMore, page.NextCursor)
	}
	return page.Data, page.NextCursor
}

// channel makes a channel of the session's account.
func (s session) channel(name string) (c channel) {
	s.t.Helper()
	s.must(200, "POST", "/channels", map[string]any{"name": name, "description": "of the day"}, &c)
	return c
}

// posts writes to a channel, and waits until WhatsApp has it.
func (s session) post(c channel, content map[string]any) (m message) {
	s.t.Helper()
	s.must(200, "POST", c.path()+"/messages", map[string]any{"content": content}, &m, "Prefer", "wait=20")
	return m
}

// channel makes a channel of the phone's.
func (p phone) channel(name string) channel {
	p.t.Helper()
	var made sandbox.Channel
	p.act("POST", "/channels", map[string]any{"name": name, "description": "of the day"}, &made)
	return channel{ID: made.ID, Name: made.Name, InviteCode: made.Invite}
}

// posts writes to a channel by the phone.
func (p phone) posts(c channel, content map[string]any) (id string, number int) {
	p.t.Helper()
	var sent struct {
		ID       string
		ServerID int
	}
	p.act("POST", c.path()+"/messages", content, &sent)
	return sent.ID, sent.ServerID
}

// hears waits for what the phone is told of a channel's post.
func (p phone) hears(change, id string) map[string]any {
	p.t.Helper()
	return p.notices("channel-message", func(data map[string]any) bool { return data["change"] == change && data["id"] == id })
}

// knows is what the phone is told of a channel when it asks.
func (p phone) knows(c channel) (known sandbox.Channel) {
	p.t.Helper()
	p.act("GET", c.path(), nil, &known)
	return known
}

func ofChannel(id, change, member string) func(map[string]any) bool {
	return func(data map[string]any) bool {
		changed, _ := data["changed"].([]any)
		return dig(data, "channel", "id") == id && data["change"] == change && (member == "" || slices.Contains(changed, any(member)))
	}
}

func ofPost(id string) func(map[string]any) bool {
	return func(data map[string]any) bool { return dig(data, "message", "whatsappId") == id }
}

func all(map[string]any) bool { return true }

// Feature: Create, change and delete a channel
func TestChannelSettings(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	c := s.channel("News")
	if c.Name != "News" || c.Description != "of the day" || c.Role != "owner" || c.State != "active" || c.Followers != 1 || c.Muted == nil || *c.Muted || c.CreatedAt == nil ||
		c.InviteURL != "https://whatsapp.com/channel/"+c.InviteCode {
		t.Errorf("the channel is %+v", c)
	}
	s.gets("channel.updated", ofChannel(c.ID, "joined", ""))
	if known := bert.knows(c); known.Name != "News" || known.Description != "of the day" {
		t.Errorf("Bert sees %+v", known)
	}
	var changed channel
	s.must(200, "PATCH", c.path(), map[string]any{"name": "Old news", "description": ""}, &changed)
	if changed.Name != "Old news" || changed.Description != "" || changed.Role != "owner" {
		t.Errorf("changed to %+v", changed)
	}
	if known := bert.knows(c); known.Name != "Old news" || known.Description != "" {
		t.Errorf("Bert sees %+v", known)
	}
	s.gets("channel.updated", func(data map[string]any) bool {
		return ofChannel(c.ID, "changed", "name")(data) && ofChannel(c.ID, "changed", "description")(data) && dig(data, "channel", "name") == "Old news"
	})
	s.must(200, "PUT", c.path()+"/picture", map[string]any{"media": map[string]any{"base64": picture(t)}}, &changed)
	if changed.PictureID == "" || bert.knows(c).PictureURL != changed.PictureURL || changed.PictureURL == "" {
		t.Errorf("the picture is %q, and Bert sees %q", changed.PictureURL, bert.knows(c).PictureURL)
	}
	s.gets("channel.updated", ofChannel(c.ID, "changed", "pictureId"))
	changed = channel{}
	s.must(200, "DELETE", c.path()+"/picture", nil, &changed)
	if changed.PictureURL != "" || changed.PictureID != "" || bert.knows(c).PictureURL != "" {
		t.Errorf("the picture is still %+v", changed)
	}
	var read channel
	s.must(200, "GET", "/channels/"+c.ID[:len(c.ID)-len("@newsletter")], nil, &read)
	if read.ID != c.ID || read.Name != "Old news" {
		t.Errorf("read %+v", read)
	}
	var list struct {
		Data       []channel
		NextCursor string
		HasMore    bool
	}
	second := s.channel("Weather")
	s.must(200, "GET", "/channels?limit=1", nil, &list)
	first := list
	if len(first.Data) != 1 || !first.HasMore {
		t.Fatalf("the first page is %+v", first)
	}
	list.Data, list.HasMore = nil, true
	s.must(200, "GET", "/channels?limit=1&cursor="+url.QueryEscape(first.NextCursor), nil, &list)
	if got := []string{first.Data[0].ID, list.Data[0].ID}; !slices.Contains(got, c.ID) || !slices.Contains(got, second.ID) || list.HasMore {
		t.Errorf("listed %q", got)
	}
	s.gets("channel.updated", func(data map[string]any) bool { return dig(data, "channel", "id") == second.ID }) // the last, so all are in the log
	if n := s.countOf("channel.updated", all); n != 5 {                                                          // two made, and three changes
		t.Errorf("%d events, want 5", n)
	}

	// What others may not.
	others := bert.channel("Of Bert")
	s.refused("not_channel_admin", "PATCH", others.path(), map[string]any{"name": "mine"})
	s.refused("not_channel_admin", "DELETE", others.path(), nil)
	s.refused("not_channel_admin", "DELETE", others.path()+"/picture", nil)
	const nobody = "/channels/120363000000000001@newsletter"
	s.refused("channel_not_found", "GET", nobody, nil)
	s.refused("channel_not_found", "PATCH", nobody, map[string]any{"name": "x"})
	s.refused("channel_not_found", "DELETE", nobody, nil)
	s.refused("validation_failed", "PATCH", c.path(), map[string]any{})
	s.refused("validation_failed", "PATCH", c.path(), map[string]any{"name": "  "})
	s.refused("validation_failed", "POST", "/channels", map[string]any{"name": " "})
	s.refused("validation_failed", "POST", "/channels", map[string]any{"description": "nameless"})
	s.refused("validation_failed", "GET", "/channels/120363025246125486@g.us", nil)
	s.refused("validation_failed", "GET", "/channels?cursor=x", nil)
	s.refused("validation_failed", "PUT", c.path()+"/picture", map[string]any{"media": map[string]any{}})
	s.refused("unsupported_media_type", "PUT", c.path()+"/picture", map[string]any{"media": map[string]any{"base64": []byte("no picture")}})
	s.refused("session_not_found", "GET", "/v1/sessions/none/channels", nil)

	// A client that repeats itself makes one channel; what is asked while there is no connection is done once there is one.
	key := []string{"Idempotency-Key", "channel-" + s.id}
	var once, again channel
	s.must(200, "POST", "/channels", map[string]any{"name": "Once"}, &once, key...)
	s.must(200, "POST", "/channels", map[string]any{"name": "Once"}, &again, key...)
	if once.ID != again.ID {
		t.Errorf("made %s and %s", once.ID, again.ID)
	}
	s.stop()
	s.refused("session_not_connected", "GET", "/channels", nil)
	s.refused("session_not_connected", "GET", c.path(), nil)
	s.refused("session_not_connected", "GET", c.path()+"/messages", nil)
	var queued struct{ ID, Status, Kind, Target string }
	s.must(202, "DELETE", c.path(), nil, &queued)
	if queued.Status != "queued" || queued.Kind != "channel.delete" || queued.Target != c.ID {
		t.Errorf("the change is %+v", queued)
	}
	s.start()
	gone := s.gets("channel.updated", ofChannel(c.ID, "deleted", ""))
	if dig(gone, "channel", "name") != "Old news" {
		t.Errorf("deleted %v", gone)
	}
	s.refused("channel_not_found", "GET", c.path(), nil)
}

// Feature: Follow, mute and leave channels
func TestFollowChannels(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	c := bert.channel("News")
	var found channel
	s.must(200, "GET", "/channel-invites/"+c.InviteCode, nil, &found)
	if found.ID != c.ID || found.Name != "News" || found.Role != "" || found.Muted != nil {
		t.Errorf("found %+v", found)
	}
	s.must(200, "GET", c.path(), nil, &found)
	if found.Role != "guest" {
		t.Errorf("the account is %q", found.Role)
	}
	s.must(200, "PUT", c.path()+"/subscription", nil, &found)
	if found.Role != "subscriber" || found.Followers != 2 || found.Muted == nil || !*found.Muted {
		t.Errorf("followed %+v", found)
	}
	s.gets("channel.updated", ofChannel(c.ID, "joined", ""))
	s.must(200, "DELETE", c.path()+"/mute", nil, &found)
	if *found.Muted {
		t.Errorf("unmuted to %+v", found)
	}
	s.gets("channel.updated", func(data map[string]any) bool {
		return ofChannel(c.ID, "changed", "muted")(data) && dig(data, "channel", "muted") == false
	})
	s.phone.notices("channel", func(data map[string]any) bool {
		return data["channel"] == c.ID && data["change"] == "mute" && data["muted"] == false
	})
	s.must(200, "PUT", c.path()+"/mute", nil, &found)
	if !*found.Muted {
		t.Errorf("muted to %+v", found)
	}
	s.must(200, "PUT", c.path()+"/mute", nil, &found) // once more changes nothing
	if known := s.phone.knows(c); !known.Muted || known.Role != "subscriber" {
		t.Errorf("the phone sees %+v", known)
	}
	var left struct{ ChannelID string }
	s.must(200, "DELETE", c.path()+"/subscription", nil, &left)
	if left.ChannelID != c.ID || bert.knows(c).Followers != 1 {
		t.Errorf("left %+v, and it has %d followers", left, bert.knows(c).Followers)
	}
	s.gets("channel.updated", ofChannel(c.ID, "left", ""))
	if n := s.countOf("channel.updated", all); n != 4 {
		t.Errorf("%d events, want 4", n)
	}

	own := s.channel("Mine")
	s.refused("forbidden", "DELETE", own.path()+"/subscription", nil)
	s.refused("forbidden", "PUT", c.path()+"/mute", nil) // not followed
	const nobody = "/channels/120363000000000002@newsletter"
	s.refused("channel_not_found", "PUT", nobody+"/subscription", nil)
	s.refused("channel_not_found", "DELETE", nobody+"/subscription", nil)
	s.refused("channel_not_found", "PUT", nobody+"/mute", nil)
	s.refused("invite_not_valid", "GET", "/channel-invites/0029VaAAAAAAAAAAAAAAAA", nil)
	s.refused("validation_failed", "GET", "/channel-invites/no%20code", nil)
	s.stop()
	s.refused("session_not_connected", "GET", "/channel-invites/"+c.InviteCode, nil)
	var queued struct{ Status, Kind string }
	s.must(202, "PUT", c.path()+"/subscription", nil, &queued)
	if queued.Status != "queued" || queued.Kind != "channel.follow" {
		t.Errorf("the change is %+v", queued)
	}
	s.start()
	s.gets("channel.message", func() func(map[string]any) bool {
		eventually(t, "the session to follow", func() error {
			if n := bert.knows(c).Followers; n != 2 {
				return fmt.Errorf("%d followers", n)
			}
			return nil
		})
		id, _ := bert.posts(c, map[string]any{"type": "text", "text": "welcome"})
		return ofPost(id)
	}())
}

// Feature: Posts: list, write, react
func TestChannelPosts(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	c := s.channel("News")
	bert.act("POST", c.path()+"/follow", nil, nil)
	m := s.post(c, text("hello all"))
	if m.Status != "sent" || m.ChatID != c.ID || m.Direction != "outgoing" || m.To.Kind != "channel" || m.To.Name != "News" || m.raw["serverId"] == nil {
		t.Errorf("posted %v", m.raw)
	}
	if heard := bert.hears("message", m.WhatsAppID); heard["text"] != "hello all" || heard["serverId"] != m.raw["serverId"] {
		t.Errorf("Bert hears %v", heard)
	}
	s.gets("message.sent", func(data map[string]any) bool {
		return ofPost(m.WhatsAppID)(data) && dig(data, "message", "serverId") == m.raw["serverId"] && dig(data, "message", "to", "name") == "News"
	})
	// Everything that a channel takes. Files are not encrypted, and whoever reads them gets what was posted.
	sent := []string{m.WhatsAppID}
	for kind, content := range everyContent(t) {
		body := map[string]any{"content": content}
		if !slices.Contains([]string{"image", "video", "gif", "audio", "voice", "document", "sticker"}, kind) {
			continue
		}
		var posted message
		s.must(200, "POST", c.path()+"/messages", body, &posted, "Prefer", "wait=20")
		heard := bert.hears("message", posted.WhatsAppID)
		if heard["type"] != content["type"] {
			t.Errorf("%s: Bert hears %v", kind, heard)
		}
		sent = append(sent, posted.WhatsAppID)
	}
	if len(sent) < 6 {
		t.Errorf("only %d posts", len(sent))
	}

	number := int(m.raw["serverId"].(float64))
	bert.act("POST", c.path()+"/views", map[string]any{"serverIds": []int{number}}, nil)
	bert.act("PUT", c.path()+"/messages/"+strconv.Itoa(number)+"/reaction", map[string]any{"reaction": "👍"}, nil)
	var reacted struct {
		ChannelID, Emoji string
		ServerID         int
	}
	s.must(200, "PUT", c.path()+"/messages/"+m.ID+"/reaction", map[string]any{"emoji": "🎉"}, &reacted)
	if reacted.ServerID != number || reacted.Emoji != "🎉" || reacted.ChannelID != c.ID {
		t.Errorf("reacted %+v", reacted)
	}
	counts := func() map[string]int {
		list, _ := s.posts(c, "limit=100")
		if len(list) != len(sent) || list[len(list)-1].ID != m.ID {
			t.Fatalf("listed %+v", list)
		}
		return list[len(list)-1].Counts
	}
	eventually(t, "the reactions", func() error {
		if got := counts(); len(got) != 2 || got["👍"] != 1 || got["🎉"] != 1 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	s.must(200, "PUT", c.path()+"/messages/"+strconv.Itoa(number)+"/reaction", map[string]any{"emoji": "👍"}, nil)
	if got := counts(); len(got) != 1 || got["👍"] != 2 {
		t.Errorf("reactions %v", got)
	}
	s.must(200, "DELETE", c.path()+"/messages/"+m.WhatsAppID+"/reaction", nil, &reacted)
	if got := counts(); reacted.Emoji != "" || got["👍"] != 1 {
		t.Errorf("reactions %v after %+v", got, reacted)
	}
	// Page by page, the newest first, each once.
	var ids []string
	for cursor := "limit=3"; cursor != ""; {
		list, next := s.posts(c, cursor)
		for _, p := range list {
			ids = append(ids, p.WhatsAppID)
			if p.Views > 0 != (p.ID == m.ID) {
				t.Errorf("%s was seen by %d", p.ID, p.Views)
			}
		}
		if cursor = ""; next != "" {
			cursor = "limit=3&cursor=" + next
		}
	}
	slices.Reverse(ids)
	if !slices.Equal(ids, sent) {
		t.Errorf("listed %q, want %q", ids, sent)
	}
	// An edit, and a deletion.
	var edited message
	s.must(200, "PATCH", "/messages/"+m.ID, map[string]any{"text": "hello everybody"}, &edited)
	if edited.Content["text"] != "hello everybody" || edited.raw["serverId"] != m.raw["serverId"] {
		t.Errorf("edited %v", edited.raw)
	}
	if heard := bert.hears("edit", m.WhatsAppID); heard["text"] != "hello everybody" {
		t.Errorf("Bert hears %v", heard)
	}
	s.gets("message.edited", ofPost(m.WhatsAppID))
	s.must(200, "DELETE", "/messages/"+sent[1], nil, nil)
	bert.hears("revoke", sent[1])
	if list, _ := s.posts(c, "limit=100"); len(list) != len(sent)-1 {
		t.Errorf("%d posts are left of %d", len(list), len(sent))
	}
	// A channel is in no list of chats, and its posts are found where they are asked for.
	if list, _ := s.chats(""); len(list) > 0 {
		t.Errorf("the chats are %+v", list)
	}
	var kept struct{ Data []message }
	s.must(200, "GET", "/messages?chatId="+url.QueryEscape(c.ID), nil, &kept)
	if len(kept.Data) != len(sent) {
		t.Errorf("%d posts are kept, want %d", len(kept.Data), len(sent))
	}
	var legacy struct{ Messages []any }
	if status, raw := call(t, "GET", running.URL+"/api/messages/"+s.id, nil, &legacy); status != 200 || len(legacy.Messages) > 0 {
		t.Errorf("the original's list is %d %s", status, raw)
	}
}

// Feature: Posts: list, write, react
func TestChannelPostsThatAreRefused(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	mine, others := s.channel("Mine"), bert.channel("Of Bert")
	const nobody = "/channels/120363000000000003@newsletter"
	say := map[string]any{"content": text("hello")}
	s.refused("not_channel_admin", "POST", others.path()+"/messages", say, "Prefer", "wait=20")
	s.refused("channel_not_found", "POST", nobody+"/messages", say, "Prefer", "wait=20")
	s.gets("message.status", func(data map[string]any) bool {
		return data["chatId"] == others.ID && data["status"] == "failed" && dig(data, "error", "code") == "not_channel_admin"
	})
	s.refused("channel_not_found", "GET", nobody+"/messages", nil)
	s.refused("channel_not_found", "PUT", nobody+"/live-updates", nil)
	for name, content := range map[string]map[string]any{
		"poll": {"type": "poll", "poll": map[string]any{"question": "When?", "options": []string{"a", "b"}}}, "place": {"type": "location", "location": map[string]any{"latitude": 1, "longitude": 2}},
		"view once":  {"type": "image", "media": map[string]any{"base64": pixel}, "viewOnce": true},
		"video note": {"type": "video", "media": map[string]any{"base64": pixel}, "videoNote": true}, "no content": {},
	} {
		if status, raw := call(t, "POST", s.url(mine.path()+"/messages"), map[string]any{"content": content}, nil); status != 422 {
			t.Errorf("%s: %d %s", name, status, raw)
		}
	}
	s.refused("validation_failed", "POST", mine.path()+"/messages", map[string]any{"content": text("x"), "sendAt": "2020-01-01T00:00:00Z"})
	s.refused("validation_failed", "GET", mine.path()+"/messages?cursor=x", nil)
	s.refused("validation_failed", "POST", "/messages", map[string]any{"to": mine.ID, "content": text("x")})

	id, number := bert.posts(others, map[string]any{"type": "image", "data": pixel, "mimetype": "image/png", "caption": "a pixel"})
	list, _ := s.posts(others, "")
	if len(list) != 1 || list[0].WhatsAppID != id {
		t.Fatalf("listed %+v", list)
	}
	// What a post is not good for.
	at := "/messages/" + list[0].ID
	s.refused("forbidden", "PUT", others.path()+at+"/reaction", map[string]any{"emoji": "👍"}) // not followed
	s.must(200, "PUT", others.path()+"/subscription", nil, nil)
	s.must(200, "PUT", others.path()+at+"/reaction", map[string]any{"emoji": "👍"}, nil)
	s.refused("message_not_found", "PUT", others.path()+"/messages/"+strconv.Itoa(number+1)+"/reaction", map[string]any{"emoji": "👍"})
	s.refused("message_not_found", "PUT", others.path()+"/messages/3EB0A1B2C3/reaction", map[string]any{"emoji": "👍"})
	s.refused("message_not_found", "PUT", mine.path()+at+"/reaction", map[string]any{"emoji": "👍"})
	s.refused("validation_failed", "PUT", at+"/reaction", map[string]any{"emoji": "👍"})
	s.refused("validation_failed", "PUT", at+"/star", nil)
	s.refused("validation_failed", "PUT", at+"/pin", map[string]any{"seconds": 604800})
	s.refused("validation_failed", "DELETE", at+"?scope=me", nil)
	s.refused("validation_failed", "POST", "/messages/mark-read", map[string]any{"messageIds": []string{list[0].ID}})
	s.refused("message_not_forwardable", "POST", at+"/forward", map[string]any{"to": []string{bert.number}})
	s.refused("message_not_editable", "PATCH", at, map[string]any{"caption": "mine"})
	s.refused("message_not_revocable", "DELETE", at, nil)
	s.refused("validation_failed", "POST", at+"/vote", map[string]any{"options": []string{"a"}})
	// Its file goes to a chat as any other.
	media := list[0].Content["media"].(map[string]any)["id"]
	if status, _ := call(t, "GET", s.url("/v1/media/"+media.(string)+"/content"), nil, nil); status != 200 {
		t.Errorf("its file: %d", status)
	}
	m := s.send(bert.number, map[string]any{"type": "image", "media": map[string]any{"mediaId": media}})
	if got := bert.bytesOf(bert.shows(m)); len(got) == 0 || hashOf(got) != list[0].Content["media"].(map[string]any)["sha256"] {
		t.Errorf("Bert got %d other bytes", len(got))
	}

	// Without a connection a post waits, and is posted once.
	s.stop()
	var queued, again message
	key := []string{"Idempotency-Key", "post-" + s.id}
	s.must(202, "POST", mine.path()+"/messages", say, &queued, key...)
	s.must(202, "POST", mine.path()+"/messages", say, &again, key...)
	var change struct{ Status string }
	s.must(202, "PUT", mine.path()+"/messages/"+queued.ID+"/reaction", map[string]any{"emoji": "👍"}, &change)
	if queued.Status != "queued" || queued.ID != again.ID || change.Status != "queued" {
		t.Errorf("accepted %+v and %+v, and a change that is %s", queued, again, change.Status)
	}
	s.start()
	s.ends(queued.ID, "sent")
	eventually(t, "the reaction after the post", func() error {
		list, _ := s.posts(mine, "")
		if len(list) != 1 || list[0].ID != queued.ID || list[0].Counts["👍"] != 1 {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
}

// Feature: Channel events
func TestChannelEvents(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	c := bert.channel("News")
	// By the owner's hand, on the phone.
	s.phone.act("POST", c.path()+"/follow", nil, nil)
	joined := s.gets("channel.updated", ofChannel(c.ID, "joined", ""))
	if dig(joined, "channel", "name") != "News" || dig(joined, "channel", "role") != "subscriber" || dig(joined, "channel", "muted") != true {
		t.Errorf("joined %v", joined)
	}
	s.phone.act("POST", c.path()+"/unmute", nil, nil)
	s.gets("channel.updated", ofChannel(c.ID, "changed", "muted"))

	id, number := bert.posts(c, map[string]any{"type": "text", "text": "hello all"})
	data := s.gets("channel.message", ofPost(id))
	if !holds(data["message"], map[string]any{
		"chatId": c.ID, "serverId": float64(number), "direction": "incoming", "content": map[string]any{"type": "text", "text": "hello all"},
		"from": map[string]any{"id": c.ID, "kind": "channel", "name": "News"},
	}) {
		t.Errorf("told %v", data)
	}
	photo := picture(t)
	file, _ := bert.posts(c, map[string]any{"type": "image", "data": photo, "mimetype": "image/png", "caption": "look"})
	data = s.gets("channel.message", ofPost(file))
	if dig(data, "message", "content", "caption") != "look" || dig(data, "message", "content", "media", "sha256") != hashOf(photo) {
		t.Errorf("told %v", data)
	}
	where, _ := dig(data, "message", "content", "media", "id").(string)
	if status, raw := call(t, "GET", s.url("/v1/media/"+where+"/content"), nil, nil); status != 200 || !bytes.Equal(raw, photo) {
		t.Errorf("its file: %d, %d bytes", status, len(raw))
	}
	// What becomes of posts is told like what becomes of messages.
	bert.act("PATCH", c.path()+"/messages/"+id, map[string]any{"text": "hello everybody"}, nil)
	data = s.gets("message.edited", ofPost(id))
	if !holds(data, map[string]any{"message": map[string]any{"content": map[string]any{"text": "hello everybody"}, "serverId": float64(number)}, "by": map[string]any{"id": c.ID}}) {
		t.Errorf("edited %v", data)
	}
	bert.act("DELETE", c.path()+"/messages/"+file, nil, nil)
	s.gets("message.revoked", func(data map[string]any) bool { return data["whatsappId"] == file && data["chatId"] == c.ID })

	// Counts, for as long as they are asked for.
	var watched struct {
		ChannelID string
		Until     time.Time
	}
	s.must(200, "PUT", c.path()+"/live-updates", nil, &watched)
	if watched.ChannelID != c.ID || time.Until(watched.Until) < time.Minute || time.Until(watched.Until) > time.Hour {
		t.Errorf("watched %+v", watched)
	}
	bert.act("PUT", c.path()+"/messages/"+strconv.Itoa(number)+"/reaction", map[string]any{"reaction": "👍"}, nil)
	bert.act("POST", c.path()+"/views", map[string]any{"serverIds": []int{number}}, nil)
	s.gets("channel.counts", func(data map[string]any) bool {
		posts, _ := data["posts"].([]any)
		return data["channelId"] == c.ID && len(posts) == 1 && holds(posts[0], map[string]any{
			"serverId": float64(number), "whatsappId": id, "views": 1.0, "reactionCounts": []any{map[string]any{"emoji": "👍", "count": 1.0}},
		})
	})

	// What an admin changes is told where WhatsApp is asked, and what happened without a connection once there is one.
	bert.act("PATCH", c.path(), map[string]any{"name": "Old news"}, nil)
	s.must(200, "GET", "/channels", nil, nil)
	s.gets("channel.updated", func(data map[string]any) bool {
		return ofChannel(c.ID, "changed", "name")(data) && dig(data, "channel", "name") == "Old news"
	})
	gone, fresh := bert.channel("Gone"), bert.channel("Fresh")
	s.must(200, "PUT", gone.path()+"/subscription", nil, nil)
	s.stop()
	bert.act("DELETE", gone.path(), nil, nil)
	bert.act("PATCH", c.path(), map[string]any{"name": "Ancient news"}, nil)
	s.phone.act("POST", fresh.path()+"/follow", nil, nil)
	late, _ := bert.posts(c, map[string]any{"type": "text", "text": "while you slept"})
	s.start()
	s.gets("channel.updated", ofChannel(gone.ID, "left", ""))
	s.gets("channel.updated", ofChannel(fresh.ID, "joined", ""))
	s.gets("channel.updated", func(data map[string]any) bool { return dig(data, "channel", "name") == "Ancient news" })
	s.gets("channel.message", ofPost(late))

	s.phone.act("POST", c.path()+"/unfollow", nil, nil)
	s.gets("channel.updated", ofChannel(c.ID, "left", ""))
	for name, n := range map[string]int{c.ID: 5, gone.ID: 2, fresh.ID: 1} { // each once, whichever way it came to be known
		if got := s.countOf("channel.updated", func(data map[string]any) bool { return dig(data, "channel", "id") == name }); got != n {
			t.Errorf("%d events of %s, want %d", got, name, n)
		}
	}
	if n := s.countOf("message.received", all) + s.countOf("message.sent", all); n > 0 {
		t.Errorf("%d posts were told as messages", n)
	}
}

// What is followed when a session is linked is known from then on, and not told.
//
// Feature: Channel events
func TestChannelsFromBeforeTheLink(t *testing.T) {
	t.Parallel()
	owner, bert := newPhone(t, "Owner"), newPhone(t, "Bert")
	c := bert.channel("News")
	owner.act("POST", c.path()+"/follow", nil, nil)
	s := linked(t, owner)
	id, number := bert.posts(c, map[string]any{"type": "text", "text": "hello"})
	s.gets("channel.message", ofPost(id))
	eventually(t, "the channels to be known", func() error {
		var m message
		if s.must(200, "GET", "/messages/"+id, nil, &m); m.From.Name != "News" {
			return fmt.Errorf("it is from %+v", m.From)
		}
		return nil
	})
	list, _ := s.posts(c, "")
	if len(list) != 1 || list[0].ServerID != number || list[0].Direction != "incoming" {
		t.Errorf("listed %+v", list)
	}
	if n := s.countOf("channel.updated", all); n > 0 {
		t.Errorf("%d were told", n)
	}
}
