package connector

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/chasqui/chasqui/events"
)

// contextOf is what stands beside a message's content: what it answers, whom it mentions, and when it disappears; nil for nothing of it. Who is
// mentioned in the content is named there as the chat names its members.
func (c *connection) contextOf(ctx context.Context, d *draft) (*waE2E.ContextInfo, error) {
	info := &waE2E.ContextInfo{}
	if err := c.mention(ctx, d, info); err != nil {
		return nil, err
	}
	if d.beside.MentionsEveryone {
		info.NonJIDMentions = proto.Uint32(1)
	}
	if d.beside.ReplyTo != nil {
		if err := c.quote(ctx, d, info); err != nil {
			return nil, err
		}
	}
	if d.beside.DisappearsAfter > 0 {
		info.Expiration = proto.Uint32(uint32(d.beside.DisappearsAfter))
	}
	if proto.Size(info) == 0 {
		return nil, nil
	}
	return info, nil
}

// member is how a chat names a person of it.
func (c *connection) member(ctx context.Context, chat types.JID, id string) (types.JID, error) {
	who, err := types.ParseJID(id)
	if err != nil {
		return who, fmt.Errorf("parse id of person: %w", err)
	}
	return c.participant(ctx, chat, who)
}

// mentioned finds what can be a mention in a text: @ and digits.
var mentioned = regexp.MustCompile(`@\+?[0-9]{5,20}`)

// mention names the mentioned people to WhatsApp. Its apps show the name where the text has @ and the digits of that very JID, so a phone in the
// text becomes the LID's digits in a group that hides phones.
func (c *connection) mention(ctx context.Context, d *draft, info *waE2E.ContextInfo) error {
	if len(d.beside.Mentions) == 0 {
		return nil
	}
	digits := map[string]string{} // what a client may have written, and what WhatsApp looks for
	for _, a := range d.beside.Mentions {
		who, err := c.member(ctx, d.chat, a.ID)
		if err != nil {
			return err
		}
		info.MentionedJID = append(info.MentionedJID, who.String())
		for _, written := range []string{a.Phone, a.LID} {
			if written != "" {
				digits[written] = who.User
			}
		}
	}
	rename := func(text *string) { *text = renamed(*text, digits) }
	rename(&d.content.Text)
	rename(&d.content.Caption)
	return nil
}

// renamed writes the digits of mentions anew.
func renamed(text string, digits map[string]string) string {
	var b strings.Builder
	done := 0
	for _, at := range mentioned.FindAllStringIndex(text, -1) {
		before, _ := utf8.DecodeLastRuneInString(text[:at[0]])
		name, known := digits[strings.TrimLeft(text[at[0]:at[1]], "@+")]
		if !known || at[0] > 0 && (unicode.IsLetter(before) || unicode.IsDigit(before)) || at[1] < len(text) && text[at[1]] >= '0' && text[at[1]] <= '9' {
			continue // somebody else, an e-mail address, or a longer number
		}
		b.WriteString(text[done:at[0]] + "@" + name)
		done = at[1]
	}
	b.WriteString(text[done:])
	return b.String()
}

// quote adds the message that this one answers, as it was sent; where that is not known, its text.
func (c *connection) quote(ctx context.Context, d *draft, info *waE2E.ContextInfo) error {
	r := d.beside.ReplyTo
	id, err := events.MessagePrefix.Parse(r.MessageID)
	if err != nil {
		return fmt.Errorf("parse id of quoted message: %w", err)
	}
	raw, err := c.s.c.queries.MessageQuoted(ctx, c.s.c.pool, c.s.id, id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) { // it was deleted since
		return fmt.Errorf("read quoted message: %w", err)
	}
	if raw, err = c.s.openRaw(raw); err != nil {
		return err
	}
	info.StanzaID, info.RemoteJID = proto.String(r.WhatsAppID), optional(r.ChatID)
	if r.From != nil && r.From.ID != "" {
		author, err := c.member(ctx, d.chat, r.From.ID)
		if err != nil {
			return err
		}
		info.Participant = proto.String(author.String())
	}
	quoted := &waE2E.Message{}
	if len(raw) == 0 || proto.Unmarshal(raw, quoted) != nil {
		quoted = &waE2E.Message{Conversation: proto.String(r.Text)}
	}
	quoted = bare(quoted)
	quoted.MessageContextInfo = nil // its secret is not told again
	setContext(quoted, nil)         // nor what is quoted there
	info.QuotedMessage = quoted
	return nil
}

// maxWrapped bounds how deep a message is looked for in those that only hold another. WhatsApp's apps nest three.
const maxWrapped = 8

// bare is the message that says something, in those that only hold another: the fields of type FutureProofMessage, as of what is viewed once,
// and what the account's own devices tell each other.
func bare(m *waE2E.Message) *waE2E.Message {
	for range maxWrapped {
		var held *waE2E.Message
		for field, value := range m.ProtoReflect().Range {
			if field.Message() == nil || field.IsList() {
				continue
			}
			switch wrapper := value.Message().Interface().(type) {
			case *waE2E.FutureProofMessage:
				held = wrapper.GetMessage()
			case *waE2E.DeviceSentMessage:
				held = wrapper.GetMessage()
			}
		}
		if held == nil {
			break
		}
		m = held
	}
	return m
}

// setContext replaces what stands beside a message's content; nil takes it away. Only a text needs another form to have it.
func setContext(m *waE2E.Message, info *waE2E.ContextInfo) {
	m = bare(m)
	if info != nil && m.Conversation != nil {
		m.ExtendedTextMessage, m.Conversation = &waE2E.ExtendedTextMessage{Text: m.Conversation}, nil
	}
	for field, value := range m.ProtoReflect().Range {
		if field.Message() == nil || field.IsList() {
			continue
		}
		held := value.Message()
		switch place := held.Descriptor().Fields().ByName("contextInfo"); {
		case place == nil || place.Message() == nil || place.Message().FullName() != (&waE2E.ContextInfo{}).ProtoReflect().Descriptor().FullName():
		case info == nil:
			held.Clear(place)
		default:
			held.Set(place, protoreflect.ValueOfMessage(info.ProtoReflect()))
		}
	}
}
