package connector

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// A draft is a message that is to be sent, as its row has it.
type draft struct {
	id      string // WhatsApp's
	chat    types.JID
	content events.Content
	beside  postgres.MessageContext
	media   *uuid.UUID
	handle  string // of the upload of a post's file
	learned []byte // content as JSON, where more became known of it than the row says
}

func newDraft(m db.MessageBeginSendRow) (*draft, error) {
	d := &draft{id: m.WhatsappID, media: m.MediaID}
	if err := json.Unmarshal(m.Content, &d.content); err != nil {
		return nil, fmt.Errorf("decode content: %w", err)
	}
	if len(m.Context) > 0 {
		if err := json.Unmarshal(m.Context, &d.beside); err != nil {
			return nil, fmt.Errorf("decode context: %w", err)
		}
	}
	var err error
	if d.chat, err = types.ParseJID(m.ChatID); err != nil {
		return nil, fmt.Errorf("parse chat id: %w", err)
	}
	return d, nil
}

// compose makes the message that whatsmeow sends, as WhatsApp's own apps make it.
func (c *connection) compose(ctx context.Context, d *draft) (*waE2E.Message, error) {
	if d.chat.Server == types.NewsletterServer {
		return c.composePost(ctx, d)
	}
	info, err := c.contextOf(ctx, d) // before the content: it rewrites what is mentioned there
	if err != nil {
		return nil, err
	}
	message, err := c.body(ctx, d)
	if err != nil {
		return nil, err
	}
	dress(message, &d.content)
	if info != nil {
		setContext(message, info)
	}
	message.MessageContextInfo = &waE2E.MessageContextInfo{}
	if message.MessageContextInfo.MessageSecret, err = c.secret(d.id); err != nil {
		return nil, err
	}
	if d.content.AlbumID != "" {
		message.MessageContextInfo.MessageAssociation = &waE2E.MessageAssociation{
			AssociationType:  waE2E.MessageAssociation_MEDIA_ALBUM.Enum(),
			ParentMessageKey: c.client.BuildMessageKey(d.chat, types.EmptyJID, d.content.AlbumID),
		}
	}
	return message, nil
}

// secret is what votes in a message, answers to it and reports of it are encrypted with. It is derived and not random: a copy that is sent after
// a crash must not have another than the one that some recipients already took. Only the account's devices know the key that it is made of.
func (c *connection) secret(id string) ([]byte, error) {
	secret, err := hkdf.Key(sha256.New, c.device.NoiseKey.Priv[:], nil, "chasqui message secret "+id, 32)
	if err != nil {
		return nil, fmt.Errorf("derive message secret: %w", err)
	}
	return secret, nil
}

// body makes what the message says, without what stands beside it.
func (c *connection) body(ctx context.Context, d *draft) (*waE2E.Message, error) {
	content := &d.content
	switch {
	case content.Type == events.ContentText:
		return textMessage(content, d.beside.PreviewThumbnail), nil
	case content.Type == events.ContentLocation && content.Location != nil:
		return &waE2E.Message{LocationMessage: place(content.Location)}, nil
	case content.Type == events.ContentLiveLocation && content.LiveLocation != nil:
		return liveLocation(content), nil
	case content.Type == events.ContentContacts && len(content.Contacts) > 0:
		return cards(content.Contacts), nil
	case content.Type == events.ContentPoll && content.Poll != nil:
		return c.client.BuildPollCreation(content.Poll.Question, content.Poll.Options, content.Poll.SelectableCount), nil
	case content.Type == events.ContentEvent && content.Event != nil:
		return &waE2E.Message{EventMessage: calendarEvent(content.Event)}, nil
	case content.Type == events.ContentGroupInvite && content.GroupInvite != nil:
		return c.groupInvite(ctx, d)
	case content.Type == events.ContentAlbum && content.Album != nil:
		return &waE2E.Message{AlbumMessage: &waE2E.AlbumMessage{
			ExpectedImageCount: proto.Uint32(uint32(content.Album.Images)), ExpectedVideoCount: proto.Uint32(uint32(content.Album.Videos)),
		}}, nil
	}
	if _, ok := kinds[content.Type]; !ok || d.media == nil || content.Media == nil {
		return nil, fmt.Errorf("make message: this version sends no %s", content.Type)
	}
	m, up, err := c.upload(ctx, *d.media, content.Type)
	if err != nil {
		return nil, err
	}
	return fileMessage(*content, m, up, time.Now())
}

// optional is a text that is left out of a message when it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// onlyTrue is left out of a message when it is false.
func onlyTrue(b bool) *bool {
	if !b {
		return nil
	}
	return &b
}
