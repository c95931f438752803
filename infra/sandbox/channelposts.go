package sandbox

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"
)

// ChannelPost is a message to be sent to a channel: a text, or a file with an optional caption.
type ChannelPost struct {
	// Type is "text", or one of Attachment's types.
	Type     string `json:"type"`
	Text     string `json:"text,omitempty"`
	Data     []byte `json:"data,omitempty"`
	Mimetype string `json:"mimetype,omitempty"`
	Caption  string `json:"caption,omitempty"`
	FileName string `json:"fileName,omitempty"`
}

// ChannelMessage is a message in a channel.
type ChannelMessage struct {
	// ServerID is the channel's own number of the message.
	ServerID int    `json:"serverId"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	// Text is the text, or a file's caption.
	Text      string         `json:"text"`
	Views     int            `json:"views"`
	Reactions map[string]int `json:"reactions"`
	Timestamp time.Time      `json:"timestamp"`
}

func (s *Sandbox) postChannelMessage(r *http.Request) (int, any, error) {
	var in ChannelPost
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	id, serverID, err := s.PostToChannel(r.Context(), r.PathValue("number"), r.PathValue("channel"), in)
	return http.StatusCreated, map[string]any{"id": id, "serverId": serverID}, err
}

func (s *Sandbox) getChannelMessages(r *http.Request) (int, any, error) {
	count, err := queryNumber(r, "count", 300)
	if err != nil {
		return 0, nil, err
	}
	before, err := queryNumber(r, "before", 1<<31)
	if err != nil {
		return 0, nil, err
	}
	list, err := s.ChannelMessages(r.Context(), r.PathValue("number"), r.PathValue("channel"), int(count), int(before))
	return http.StatusOK, map[string]any{"messages": list}, err
}

func (s *Sandbox) patchChannelMessage(r *http.Request) (int, any, error) {
	var in struct {
		Text string `json:"text"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.EditChannelMessage(r.Context(), r.PathValue("number"), r.PathValue("channel"), r.PathValue("id"), in.Text)
}

func (s *Sandbox) deleteChannelMessage(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.RevokeChannelMessage(r.Context(), r.PathValue("number"), r.PathValue("channel"), r.PathValue("id"))
}

func (s *Sandbox) putChannelReaction(r *http.Request) (int, any, error) {
	var in struct {
		Reaction string `json:"reaction"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	id, err := strconv.Atoi(r.PathValue("serverId"))
	if err != nil {
		return 0, nil, failure(http.StatusUnprocessableEntity, "a message to react to is named by its serverId, a number")
	}
	return http.StatusNoContent, nil, s.ReactInChannel(r.Context(), r.PathValue("number"), r.PathValue("channel"), id, in.Reaction)
}

func (s *Sandbox) postChannelViews(r *http.Request) (int, any, error) {
	var in struct {
		ServerIDs []int `json:"serverIds"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.ViewInChannel(r.Context(), r.PathValue("number"), r.PathValue("channel"), in.ServerIDs)
}

func (s *Sandbox) postChannelLive(r *http.Request) (int, any, error) {
	d, err := s.WatchChannel(r.Context(), r.PathValue("number"), r.PathValue("channel"))
	return http.StatusOK, map[string]any{"seconds": int(d / time.Second)}, err
}

// PostToChannel sends a message to a channel that the phone is the owner or an admin of, and returns its id and the channel's number of it.
// Other than a message to a user it is not kept for later: an error may mean that it was sent all the same.
func (s *Sandbox) PostToChannel(ctx context.Context, number, channel string, p ChannelPost) (id string, serverID int, err error) {
	a := Outgoing{Content: Content{Type: p.Type}, File: File{Mimetype: p.Mimetype, Caption: p.Caption, FileName: p.FileName}}
	kind := mediaKinds[p.Type]
	switch {
	case p.Type == "text" && (p.Text == "" || len(p.Text) > maxText || len(p.Data) > 0):
		return "", 0, refuse("a message of type text has a text of at most %d bytes, and no data", maxText)
	case p.Type != "text" && kind.class == "":
		return "", 0, refuse("a channel takes messages of type text, image, video, audio, voice, document and sticker")
	case p.Type != "text" && (p.Text != "" || len(p.Data) == 0):
		return "", 0, refuse("a message of type %s has data, and a caption instead of a text", p.Type)
	case len(p.Caption) > maxText:
		return "", 0, refuse("caption must have at most %d bytes", maxText)
	}
	if p.Type != "text" {
		if err := a.complete(); err != nil {
			return "", 0, err
		}
	}
	err = s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		message, extra := textMessage(p.Text), whatsmeow.SendRequestExtra{ID: newMessageID(), Timeout: ackTimeout}
		if p.Type != "text" {
			up, err := client.UploadNewsletterReader(ctx, bytes.NewReader(p.Data), kind.class)
			if err != nil {
				return err
			}
			message, extra.MediaHandle = publicFile(a, up), up.Handle
		}
		sent, err := client.SendMessage(ctx, jid, message, extra)
		id, serverID = sent.ID, sent.ServerID
		return err
	})
	return id, serverID, err
}

// publicFile makes the message of a file that was uploaded as it is, without encryption.
func publicFile(a Outgoing, up whatsmeow.UploadResponse) *waE2E.Message {
	optional := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	mimetype, caption := &a.Mimetype, optional(a.Caption)
	switch a.Type {
	case "image":
		return &waE2E.Message{ImageMessage: &waE2E.ImageMessage{
			URL: &up.URL, DirectPath: &up.DirectPath, FileSHA256: up.FileSHA256, FileLength: &up.FileLength, Mimetype: mimetype, Caption: caption,
		}}
	case "video":
		return &waE2E.Message{VideoMessage: &waE2E.VideoMessage{
			URL: &up.URL, DirectPath: &up.DirectPath, FileSHA256: up.FileSHA256, FileLength: &up.FileLength, Mimetype: mimetype, Caption: caption,
		}}
	case "sticker":
		return &waE2E.Message{StickerMessage: &waE2E.StickerMessage{
			URL: &up.URL, DirectPath: &up.DirectPath, FileSHA256: up.FileSHA256, FileLength: &up.FileLength, Mimetype: mimetype,
		}}
	case "document":
		return &waE2E.Message{DocumentMessage: &waE2E.DocumentMessage{
			URL: &up.URL, DirectPath: &up.DirectPath, FileSHA256: up.FileSHA256, FileLength: &up.FileLength, Mimetype: mimetype, Caption: caption,
			FileName: &a.FileName,
		}}
	}
	return &waE2E.Message{AudioMessage: &waE2E.AudioMessage{
		URL: &up.URL, DirectPath: &up.DirectPath, FileSHA256: up.FileSHA256, FileLength: &up.FileLength, Mimetype: mimetype,
		PTT: proto.Bool(a.Type == "voice"),
	}}
}

// EditChannelMessage replaces a message by a text.
func (s *Sandbox) EditChannelMessage(ctx context.Context, number, channel, id, text string) error {
	if text == "" || len(text) > maxText {
		return failure(http.StatusUnprocessableEntity, "text must have 1 to %d bytes", maxText)
	}
	return s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		_, err := client.SendMessage(ctx, jid, client.BuildEdit(jid, id, textMessage(text)), whatsmeow.SendRequestExtra{Timeout: ackTimeout})
		return err
	})
}

// RevokeChannelMessage empties a message.
func (s *Sandbox) RevokeChannelMessage(ctx context.Context, number, channel, id string) error {
	return s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		_, err := client.SendMessage(ctx, jid, &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
			Type: waE2E.ProtocolMessage_REVOKE.Enum(),
			Key:  &waCommon.MessageKey{RemoteJID: proto.String(jid.String()), FromMe: proto.Bool(true), ID: &id},
		}}, whatsmeow.SendRequestExtra{Timeout: ackTimeout})
		return err
	})
}

// ChannelMessages lists the newest messages of a channel, oldest first: count of them (0 means 50), and before a serverId where that is
// not 0.
func (s *Sandbox) ChannelMessages(ctx context.Context, number, channel string, count, before int) (list []ChannelMessage, err error) {
	list = []ChannelMessage{}
	err = s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		found, err := client.GetNewsletterMessages(ctx, jid, &whatsmeow.GetNewsletterMessagesParams{Count: count, Before: before})
		for _, m := range found {
			kind, text := postContent(m.Message)
			list = append(list, ChannelMessage{
				ServerID: m.MessageServerID, ID: m.MessageID, Type: kind, Text: text, Views: m.ViewsCount, Reactions: reactionsOf(m.ReactionCounts),
				Timestamp: m.Timestamp.UTC(),
			})
		}
		return err
	})
	return list, err
}

// ReactInChannel sets the phone's reaction to a message; "" removes it. The server does not say whether it took it.
func (s *Sandbox) ReactInChannel(ctx context.Context, number, channel string, serverID int, reaction string) error {
	return s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		return client.NewsletterSendReaction(ctx, jid, serverID, reaction, "")
	})
}

// ViewInChannel says that the phone has shown messages, which counts once for each.
func (s *Sandbox) ViewInChannel(ctx context.Context, number, channel string, serverIDs []int) error {
	return s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		return client.NewsletterMarkViewed(ctx, jid, serverIDs)
	})
}

// WatchChannel asks for live updates of views and reactions, which come as events of kind "channel-update", and returns for how long.
func (s *Sandbox) WatchChannel(ctx context.Context, number, channel string) (lasts time.Duration, err error) {
	err = s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		lasts, err = client.NewsletterSubscribeLiveUpdates(ctx, jid)
		return err
	})
	return lasts, err
}

// notePost notes a message of a channel, which is an event and not among the phone's messages: it has no sender but the channel.
func (c *connection) notePost(e *events.Message) {
	kind, text := postContent(e.Message)
	change := "message"
	switch e.Info.Edit {
	case types.EditAttributeAdminEdit:
		change = "edit"
	case types.EditAttributeAdminRevoke:
		change, kind = "revoke", ""
	}
	c.phone.events.note("channel-message", map[string]any{
		"channel": e.Info.Chat, "change": change, "id": e.Info.ID, "serverId": e.Info.ServerID, "type": kind, "text": text, "timestamp": e.Info.Timestamp.UTC(),
	})
}

// postContent names what a channel's message holds, and its text or caption; "other" is what phones do not send to channels.
func postContent(m *waE2E.Message) (kind, text string) {
	switch {
	case m == nil:
		return "", ""
	case m.ImageMessage != nil:
		return "image", m.ImageMessage.GetCaption()
	case m.VideoMessage != nil:
		return "video", m.VideoMessage.GetCaption()
	case m.DocumentMessage != nil:
		return "document", m.DocumentMessage.GetCaption()
	case m.StickerMessage != nil:
		return "sticker", ""
	case m.AudioMessage.GetPTT():
		return "voice", ""
	case m.AudioMessage != nil:
		return "audio", ""
	}
	if text := m.GetConversation() + m.GetExtendedTextMessage().GetText(); text != "" {
		return "text", text
	}
	return "other", ""
}

// reactionsOf is never nil, so that it is an object in JSON.
func reactionsOf(counts map[string]int) map[string]int {
	if counts == nil {
		return map[string]int{}
	}
	return counts
}
