package sandbox

import (
	"net/http"
	"slices"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

// forward sends what the phone knows to somebody else: the same file, and nothing of whom it quoted or mentioned.
func (c *composer) forward() (*waE2E.Message, error) {
	known := Content{}
	(&reader{name: types.JID.String}).body(c.target.message, &known)
	kind := outgoingKinds[known.Type]
	_, once := unwrap(c.target.message)
	if file, ok := fileOf(c.target.message).(interface{ GetViewOnce() bool }); once.viewOnce || ok && file.GetViewOnce() ||
		!kind.speaks || known.Type == "poll" || known.Type == "event" || known.Type == "album" {
		return nil, refuse("a message of type %s, or one to be viewed once, cannot be forwarded", known.Type)
	}
	if file := fileOf(c.target.message); file != nil && file.GetDirectPath() == "" {
		return nil, failure(http.StatusConflict, "the file of message %s is not sent yet", c.Target.ID)
	}
	score := c.ForwardingScore
	before := (&reader{name: types.JID.String}).read(c.target.message)
	c.Forwarded, c.ForwardingScore = true, max(score, before.ForwardingScore+1)
	info, err := c.context()
	if err != nil {
		return nil, err
	}
	m := proto.CloneOf(c.target.message)
	m.MessageContextInfo = nil
	setContext(m, info)
	return withCaption(m), nil
}

// edit replaces the text of a message, or its caption, or an event.
func (c *composer) edit() (*waE2E.Message, error) {
	if !c.target.fromMe || (c.Text == "") == (c.Event == nil) {
		return nil, refuse("only the phone's own messages can be edited, and an edit must have either a text or an event")
	}
	if c.Event != nil {
		return c.editEvent()
	}
	content := textMessage(c.Text)
	switch m := c.target.message; {
	case m.GetImageMessage() != nil, m.GetVideoMessage() != nil, m.GetDocumentMessage() != nil:
		content = proto.CloneOf(m)
		content.MessageContextInfo = nil
		setContext(content, nil)
		*caption(content) = &c.Text
	case m.Conversation == nil && m.GetExtendedTextMessage() == nil:
		return nil, refuse("message %s has no text or caption to be edited", c.Target.ID)
	}
	info, err := c.context()
	if err != nil {
		return nil, err
	}
	if info != nil {
		setContext(content, info)
	}
	return builder.BuildEdit(c.target.chat, c.Target.ID, withCaption(content)), nil
}

// caption is where a message has its caption.
func caption(m *waE2E.Message) **string {
	switch {
	case m.GetImageMessage() != nil:
		return &m.ImageMessage.Caption
	case m.GetVideoMessage() != nil:
		return &m.VideoMessage.Caption
	}
	return &m.DocumentMessage.Caption
}

func (c *composer) editEvent() (*waE2E.Message, error) {
	if c.target.message.GetEventMessage() == nil {
		return nil, refuse("message %s is no event", c.Target.ID)
	}
	event, err := c.Event.message()
	if err != nil {
		return nil, err
	}
	ciphertext, iv, err := c.seal(whatsmeow.EncSecretEventEdit, &waE2E.Message{EventMessage: event})
	if err != nil {
		return nil, err
	}
	return &waE2E.Message{SecretEncryptedMessage: &waE2E.SecretEncryptedMessage{
		TargetMessageKey: c.target.key(), EncPayload: ciphertext, EncIV: iv, SecretEncType: waE2E.SecretEncryptedMessage_EVENT_EDIT.Enum(),
	}}, nil
}

// seal encrypts with the target's secret what whatsmeow has no builder for.
func (c *composer) seal(use whatsmeow.MsgSecretType, m proto.Message) (ciphertext, iv []byte, err error) {
	plain, err := proto.Marshal(m)
	if err != nil {
		return nil, nil, err
	}
	client, err := c.client()
	if err != nil {
		return nil, nil, err
	}
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API knows neither events' edits nor answers to them
	ciphertext, iv, err = client.DangerousInternals().EncryptMsgSecret(c.ctx, c.target.own, c.target.chat, c.target.author(), c.Target.ID, use, plain)
	return ciphertext, iv, c.sealed(err)
}

func (c *composer) revoke() (*waE2E.Message, error) {
	if !c.target.fromMe && c.to.Server != types.GroupServer {
		return nil, refuse("only the phone's own messages can be revoked, and as an administrator those in a group")
	}
	return builder.BuildRevoke(c.target.chat, c.target.sender, c.Target.ID), nil
}

func (c *composer) reaction() (*waE2E.Message, error) {
	m := builder.BuildReaction(c.target.chat, c.target.sender, c.Target.ID, c.Emoji)
	if len(c.Emoji) > 64 { // the longest emoji, with its joiners, has 35 bytes
		return nil, refuse("emoji must be one emoji")
	}
	if !c.Encrypted {
		return m, nil
	}
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	encrypted, err := client.EncryptReaction(c.ctx, c.target.info(), m.ReactionMessage)
	return &waE2E.Message{EncReactionMessage: encrypted}, c.sealed(err)
}

func (c *composer) comment() (*waE2E.Message, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	m, err := client.EncryptComment(c.ctx, c.target.info(), textMessage(c.Text))
	return m, c.sealed(err)
}

func (c *composer) pollVote() (*waE2E.Message, error) {
	poll := pollOf(c.target.message)
	if poll == nil {
		return nil, refuse("message %s is no poll", c.Target.ID)
	}
	for i, selected := range c.Selected {
		is := func(option *waE2E.PollCreationMessage_Option) bool { return option.GetOptionName() == selected }
		if !slices.ContainsFunc(poll.GetOptions(), is) || slices.Contains(c.Selected[:i], selected) {
			return nil, refuse("selected must be options of the poll, each once")
		}
	}
	if most := poll.GetSelectableOptionsCount(); most > 0 && len(c.Selected) > int(most) {
		return nil, refuse("at most %d options of this poll can be selected", most)
	}
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	m, err := client.BuildPollVote(c.ctx, c.target.info(), c.Selected)
	return m, c.sealed(err)
}

func (c *composer) eventResponse() (*waE2E.Message, error) {
	answer := &waE2E.EventResponseMessage{TimestampMS: proto.Int64(time.Now().UnixMilli()), ExtraGuestCount: &c.ExtraGuests}
	for response, name := range responses {
		if name == c.Response {
			answer.Response = response.Enum()
		}
	}
	if c.target.message.GetEventMessage() == nil || answer.Response == nil || c.ExtraGuests < 0 {
		return nil, refuse(`target must be an event, and response "going", "notGoing" or "maybe"`)
	}
	ciphertext, iv, err := c.seal(whatsmeow.EncSecretEventResponse, answer)
	if err != nil {
		return nil, err
	}
	return &waE2E.Message{EncEventResponseMessage: &waE2E.EncEventResponseMessage{
		EventCreationMessageKey: c.target.key(), EncPayload: ciphertext, EncIV: iv,
	}}, nil
}

// pin pins a message for 7 days unless it is told otherwise, or unpins it.
func (c *composer) pin() (*waE2E.Message, error) {
	m := &waE2E.Message{PinInChatMessage: &waE2E.PinInChatMessage{
		Key: c.target.key(), Type: waE2E.PinInChatMessage_UNPIN_FOR_ALL.Enum(), SenderTimestampMS: proto.Int64(time.Now().UnixMilli()),
	}}
	if c.Type == "unpin" {
		return m, nil
	}
	if c.PinSeconds == 0 {
		c.PinSeconds = 7 * 86400
	}
	if !slices.Contains([]uint32{86400, 7 * 86400, 30 * 86400}, c.PinSeconds) {
		return nil, refuse("pinSeconds must be 86400, 604800 or 2592000")
	}
	m.PinInChatMessage.Type = waE2E.PinInChatMessage_PIN_FOR_ALL.Enum()
	m.MessageContextInfo = &waE2E.MessageContextInfo{MessageAddOnDurationInSecs: &c.PinSeconds}
	return m, nil
}

// keep keeps a message that would disappear, or lets it go.
func (c *composer) keep() (*waE2E.Message, error) {
	m := &waE2E.KeepInChatMessage{Key: c.target.key(), KeepType: waE2E.KeepType_KEEP_FOR_ALL.Enum(), TimestampMS: proto.Int64(time.Now().UnixMilli())}
	if c.Type == "unkeep" {
		m.KeepType = waE2E.KeepType_UNDO_KEEP_FOR_ALL.Enum()
	}
	return &waE2E.Message{KeepInChatMessage: m}, nil
}
