package mcp

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/chasqui/chasqui/events"
)

const (
	// pageMost bounds what one call of a tool returns, and textMost and lastMost the characters of a message in a list of messages or of chats: it
	// fills the assistant's context, and strangers write it.
	pageMost, pageUsual = 50, 20
	textMost, lastMost  = 4000, 200
)

// What the tools take.
type (
	page struct {
		Limit  int    `json:"limit,omitempty" jsonschema:"How many; without it 20."`
		Cursor string `json:"cursor,omitempty" jsonschema:"The nextCursor of the answer before, for the next ones."`
	}
	ofSession struct {
		Session string `json:"session" jsonschema:"The session's id, from list_sessions."`
	}
	chatsWanted struct {
		ofSession
		page
		Name   string `json:"name,omitempty" jsonschema:"Only chats whose name or number has this in it."`
		Unread bool   `json:"unread,omitempty" jsonschema:"Only chats with unread messages."`
	}
	messagesWanted struct {
		ofSession
		page
		Chat string `json:"chat" jsonschema:"The chat's id, or a phone number with its country code."`
	}
	search struct {
		ofSession
		page
		Query string `json:"query" jsonschema:"Words, all of which the message has; the last may be the beginning of one. In quotes: one after the other. or: one of both. -word: without it."`
		Chat  string `json:"chat,omitempty" jsonschema:"Only this chat: its id, or a phone number with its country code."`
	}
	ofMessage struct {
		ofSession
		Message string `json:"message" jsonschema:"The message's id."`
	}
	newMessage struct {
		ofSession
		To      string `json:"to" jsonschema:"A chat's id, or a phone number with its country code."`
		Text    string `json:"text" jsonschema:"What it says, as WhatsApp formats it: *bold*, _italic_, ~struck out~."`
		ReplyTo string `json:"replyTo,omitempty" jsonschema:"The id of the message that it answers."`
		Key     string `json:"idempotencyKey,omitempty" jsonschema:"Any name for this one message: however often it is sent with the same, within 24 hours it is sent once."`
	}
	reaction struct {
		ofMessage
		Emoji string `json:"emoji,omitempty" jsonschema:"One emoji; without it the reaction is taken back."`
	}
)

// bounds are those of the API, of the arguments with these names, so that an assistant sees them beforehand. What stands in a path has three
// characters or more, and hence is not one of the two that lead elsewhere.
var bounds = map[string]func(*jsonschema.Schema){
	// Without a default: the SDK panics where it is to put one into arguments that are null.
	"limit":          func(s *jsonschema.Schema) { s.Minimum, s.Maximum = new(1.0), new(float64(pageMost)) },
	"cursor":         length(0, 256),
	"session":        func(s *jsonschema.Schema) { s.Pattern = "^[A-Za-z0-9_-]{1,64}$" },
	"name":           length(0, 100),
	"chat":           length(3, 64),
	"to":             length(3, 64),
	"query":          length(1, 256),
	"message":        length(3, 128),
	"replyTo":        length(0, 128),
	"text":           length(1, 65536),
	"emoji":          length(0, 32),
	"idempotencyKey": func(s *jsonschema.Schema) { s.Pattern = "^[!-~]{1,255}$" },
}

func length(least, most int) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) {
		if s.MaxLength = &most; least > 0 {
			s.MinLength = &least
		}
	}
}

// input is the schema of what a tool takes.
func input[In any]() *jsonschema.Schema {
	s, err := jsonschema.For[In](nil)
	if err != nil {
		panic(err) // the types are ours, and every test meets it
	}
	for name, p := range s.Properties {
		if bound := bounds[name]; bound != nil {
			bound(p)
		}
	}
	return s
}

// What the tools answer: the parts of the API's answers that say something to an assistant.
type (
	session struct {
		ID     string `json:"id"`
		Name   string `json:"name,omitempty"`
		State  string `json:"state" jsonschema:"connected: it sends and receives. Otherwise messages wait until it is."`
		Reason string `json:"reason,omitempty" jsonschema:"Why it is in this state."`
		Phone  string `json:"phone,omitempty" jsonschema:"The account's number."`
	}
	sessions struct {
		Sessions []session `json:"sessions"`
		Next     string    `json:"nextCursor,omitempty" jsonschema:"There are more, with this as cursor."`
	}
	chat struct {
		ID          string   `json:"id"`
		Kind        string   `json:"kind" jsonschema:"user: with a person. group."`
		Name        string   `json:"name,omitempty"`
		Phone       string   `json:"phone,omitempty"`
		Unread      int      `json:"unread" jsonschema:"How many messages are unread."`
		LastMessage *message `json:"lastMessage,omitempty"`
	}
	chats struct {
		Chats []chat `json:"chats"`
		Next  string `json:"nextCursor,omitempty" jsonschema:"There are more, with this as cursor."`
	}
	message struct {
		ID        string         `json:"id"`
		Chat      string         `json:"chat"`
		Direction string         `json:"direction" jsonschema:"incoming, or outgoing: written by the account itself."`
		From      string         `json:"from" jsonschema:"The name and number of who wrote it."`
		At        time.Time      `json:"at"`
		Status    string         `json:"status" jsonschema:"How far it has come: scheduled, queued and sending are before WhatsApp has it; failed, cancelled and expired: it was not sent."`
		Error     string         `json:"error,omitempty" jsonschema:"Why it was not sent."`
		Type      string         `json:"type" jsonschema:"text, image, document, poll and so on."`
		Text      string         `json:"text,omitempty" jsonschema:"What it says, as far as that is text: of a file its name and caption, of a poll its question."`
		Cut       bool           `json:"cut,omitempty" jsonschema:"The text is longer; get_message has all of it."`
		ReplyTo   string         `json:"replyTo,omitempty" jsonschema:"The id of the message that it answers."`
		Deleted   bool           `json:"deleted,omitempty" jsonschema:"It was deleted for everybody; the text is what it said."`
		Reactions map[string]int `json:"reactions,omitempty" jsonschema:"How many people react with which emoji."`
	}
	messages struct {
		Messages []message `json:"messages" jsonschema:"The newest first."`
		Next     string    `json:"nextCursor,omitempty" jsonschema:"There are older ones, with this as cursor."`
	}
	done struct {
		Status string `json:"status" jsonschema:"done, or queued: it is done once the session is connected, and need not be asked for again."`
	}
)

// short is m for an assistant, with at most so many characters of its text.
func short(m events.Message, most int) message {
	out := message{
		ID: m.ID, Chat: m.ChatID, Direction: m.Direction, From: named(m.From), At: m.Timestamp, Status: string(m.Status), Type: m.Content.Type, Text: says(m.Content),
		Deleted: m.RevokedAt != nil,
	}
	if m.Error != nil {
		out.Error = m.Error.Code + ": " + m.Error.Message
	}
	if r := []rune(out.Text); len(r) > most {
		out.Text, out.Cut = string(r[:most])+"…", true
	}
	if m.ReplyTo != nil {
		if out.ReplyTo = m.ReplyTo.MessageID; out.ReplyTo == "" {
			out.ReplyTo = m.ReplyTo.WhatsAppID
		}
	}
	for _, r := range m.Reactions {
		if out.Reactions == nil {
			out.Reactions = map[string]int{}
		}
		out.Reactions[r.Emoji]++
	}
	return out
}

// named is somebody's name with his number, or what there is of them.
func named(a events.Address) string {
	switch {
	case a.Phone == "" && a.Name == "":
		return a.ID
	case a.Phone == "":
		return a.Name
	case a.Name == "":
		return "+" + a.Phone
	}
	return a.Name + " (+" + a.Phone + ")"
}

// says is what there is of text in a content.
func says(c events.Content) string {
	var said []string
	add := func(parts ...string) {
		for _, p := range parts {
			if p != "" {
				said = append(said, p)
			}
		}
	}
	add(c.Text)
	if c.Media != nil {
		add(c.Media.FileName)
	}
	add(c.Caption)
	if l := c.Location; l != nil {
		add(l.Name, l.Address, fmt.Sprintf("%g, %g", l.Latitude, l.Longitude))
	}
	if l := c.LiveLocation; l != nil {
		add(fmt.Sprintf("%g, %g", l.Latitude, l.Longitude))
	}
	for _, card := range c.Contacts {
		add(strings.TrimSpace(card.Name + " " + strings.Join(card.Phones, " ")))
	}
	if p := c.Poll; p != nil {
		add(p.Question)
		for _, option := range p.Options {
			add("- " + option)
		}
	}
	if e := c.Event; e != nil {
		add(e.Name, e.Description, e.StartAt.Format(time.RFC3339), e.JoinLink)
	}
	if g := c.GroupInvite; g != nil {
		add(g.Name, g.Caption)
	}
	return strings.Join(said, "\n")
}
