package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/trace"
)

const (
	// maxComposed bounds a content with what stands beside it, in bytes of JSON: its event has to fit into 1 MiB, as those of messages received.
	maxComposed = 900 << 10
	// maxQuoted bounds the text of a quote in answers and events, in characters. WhatsApp's apps show three lines of it.
	maxQuoted = 1000
)

// compose settles what a message refers to, and returns what is stored of it: its content, and what it has beside that, nil for nothing. A
// message that refers to nothing makes no statement. timer is the chat's, in seconds.
func (s *Server) compose(ctx context.Context, tx db.DBTX, sessionID, chat string, body *sendMessage, timer int) (content, beside []byte, err error) {
	c := postgres.MessageContext{MentionsEveryone: body.MentionsEveryone, DisappearsAfter: timer, PreviewThumbnail: body.Content.thumbnail, Trace: trace.Parent(ctx)}
	if (len(body.Mentions) > 0 || body.MentionsEveryone) && body.Content.Text == "" && body.Content.Caption == "" {
		return nil, nil, invalid("body.mentions", "expected a text or a caption that mentions somebody")
	}
	if body.MentionsEveryone && events.KindOf(chat) != events.KindGroup {
		return nil, nil, invalid("body.mentionsEveryone", "expected a group, where there is an everybody")
	}
	if body.ReplyTo != "" {
		if c.ReplyTo, err = s.reply(ctx, tx, sessionID, chat, body.ReplyTo); err != nil {
			return nil, nil, err
		}
	}
	if len(body.Mentions) > 0 {
		if c.Mentions, err = s.mentioned(ctx, tx, sessionID, body.Mentions); err != nil {
			return nil, nil, err
		}
	}
	if body.Content.AlbumID != "" {
		if body.Content.AlbumID, err = s.album(ctx, tx, sessionID, chat, body.Content.AlbumID); err != nil {
			return nil, nil, err
		}
	}
	if content, err = json.Marshal(body.Content.Content); err != nil {
		return nil, nil, fmt.Errorf("encode content: %w", err)
	}
	if !reflect.ValueOf(c).IsZero() {
		if beside, err = json.Marshal(c); err != nil {
			return nil, nil, fmt.Errorf("encode context: %w", err)
		}
	}
	if len(content)+len(beside) > maxComposed {
		return nil, nil, invalid("body.content", fmt.Sprintf("expected %d bytes of JSON at most", maxComposed))
	}
	return content, beside, nil
}

// referred is the message, of the same chat or a status update of the other, that a member of a request names.
func (s *Server) referred(ctx context.Context, from db.DBTX, sessionID, chat, location, name string) (row db.MessageView, err error) {
	if id, no := events.MessagePrefix.Parse(name); no == nil {
		row, err = s.q.MessageGet(ctx, from, sessionID, id)
	} else {
		row, err = s.q.MessageReferred(ctx, from, sessionID, name, chat)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		p := problem(MessageNotFound, "the session has no message "+shorten(name))
		p.Errors = []FieldError{{Code: "invalid", Message: "expected the id of a message of this chat", Location: location}}
		return row, p
	}
	if err != nil {
		return row, fmt.Errorf("read message referred to: %w", err)
	}
	in, err := s.canonical(ctx, from, sessionID, row.ChatID)
	if err != nil {
		return row, err
	}
	if in != chat && (row.ChatID != events.StatusChat || row.SenderID != chat) { // a status update is answered in the chat with its author
		return row, invalid(location, "expected a message of the same chat")
	}
	switch status := events.MessageStatus(row.Status); status {
	case events.StatusFailed, events.StatusCancelled, events.StatusExpired:
		return row, problem(MessageNotSent, "the message "+shorten(name)+" was never sent; it is "+string(status))
	}
	return row, nil
}

func (s *Server) reply(ctx context.Context, from db.DBTX, sessionID, chat, name string) (*events.Reply, error) {
	row, err := s.referred(ctx, from, sessionID, chat, "body.replyTo", name)
	if err != nil {
		return nil, err
	}
	m, err := s.message(row)
	if err != nil {
		return nil, err
	}
	r := &events.Reply{MessageID: m.ID, WhatsAppID: m.WhatsAppID, From: &m.From, Type: m.Content.Type, Text: m.Content.Text}
	if r.Text == "" {
		r.Text = m.Content.Caption
	}
	r.Text = firstRunes(r.Text, maxQuoted)
	if m.ChatID == events.StatusChat {
		r.ChatID = m.ChatID
	}
	return r, nil
}

// album is WhatsApp's id of the album that a member of a request names.
func (s *Server) album(ctx context.Context, from db.DBTX, sessionID, chat, name string) (string, error) {
	const location = "body.content.albumId"
	row, err := s.referred(ctx, from, sessionID, chat, location, name)
	if err != nil {
		return "", err
	}
	if row.Type != events.ContentAlbum || row.Direction != events.Outgoing {
		return "", invalid(location, "expected an album that the account sent")
	}
	return row.WhatsappID, nil
}

// mentioned are the people that a message mentions, each once, with what is known of them.
func (s *Server) mentioned(ctx context.Context, from db.DBTX, sessionID string, names []string) ([]events.Address, error) {
	jids, lids := make([]string, len(names)), make([]string, len(names))
	for i, name := range names {
		jid, err := events.ParseAddress(name)
		if err == nil && events.KindOf(jid) != events.KindUser {
			err = errors.New("expected a person")
		}
		if err != nil {
			return nil, invalid(fmt.Sprintf("body.mentions[%d]", i), err.Error())
		}
		jids[i], lids[i] = jid, events.NewAddress(jid, "", "", "").LID
	}
	rows, err := s.q.ContactMentioned(ctx, from, sessionID, jids, slices.DeleteFunc(slices.Clone(lids), func(lid string) bool { return lid == "" }))
	if err != nil {
		return nil, fmt.Errorf("look up mentioned people: %w", err)
	}
	known := map[string]events.Address{} // by id and by LID; a row with a phone comes first
	for _, r := range rows {
		a := events.NewAddress(r.ID, r.Phone, r.Lid, r.Name)
		if _, ok := known[r.ID]; !ok {
			known[r.ID] = a
		}
		if lid := r.Lid + "@" + events.LIDServer; r.Lid != "" {
			if _, ok := known[lid]; !ok {
				known[lid] = a
			}
		}
	}
	var all []events.Address
	for _, jid := range jids {
		a, ok := known[jid]
		if !ok {
			a = events.NewAddress(jid, "", "", "")
		}
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all, nil
}

// fetching is what is slow about a content, to be done before its transaction, nil for nothing: its file, and the preview of a link.
func (s *Server) fetching(ctx context.Context, location string, c *sendContent) func() (*attachment, error) {
	switch {
	case c.Media != nil:
		return func() (*attachment, error) { return s.attach(ctx, location+".media", c.Type, c.source) }
	case c.image != mediaSource{}:
		return func() (_ *attachment, err error) {
			c.thumbnail, err = s.previewImage(ctx, location+".linkPreview.image", c.image)
			return nil, err
		}
	case c.preview == "fetch" && c.LinkPreview == nil:
		return func() (*attachment, error) {
			c.LinkPreview, c.thumbnail = s.preview(ctx, c.Text)
			return nil, nil
		}
	}
	return nil
}
