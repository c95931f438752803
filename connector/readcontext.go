package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxRaw bounds what is kept of WhatsApp's own form of a message; those of people have some hundred bytes, with a thumbnail up to 100 KB.
	maxRaw = 256 << 10
	// maxMentions bounds who is mentioned, by the largest group.
	maxMentions = 1024
	// mentionsBudget bounds the look-ups of who is mentioned. Failure policy: who was not looked up by then stands under the name that the
	// sender wrote; they must not take the time of the transaction (handlerTimeout), since the message would come again and again.
	mentionsBudget = 2 * time.Second
	// maxQuote bounds the text of a quote, in bytes: WhatsApp's limit for a text.
	maxQuote = 64 << 10
)

// contextInfo finds what a message says beside what it says itself; nil where there is nothing.
func contextInfo(m *waE2E.Message) (found *waE2E.ContextInfo) {
	switch {
	case m.GetExtendedTextMessage() != nil:
		return m.GetExtendedTextMessage().GetContextInfo()
	case m == nil || m.Conversation != nil:
		return nil
	}
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Message() != nil && !field.IsList() && !field.IsMap() {
			if holder, ok := value.Message().Interface().(interface{ GetContextInfo() *waE2E.ContextInfo }); ok && found == nil {
				found = holder.GetContextInfo()
			}
		}
		return found == nil
	})
	return found
}

// readContext reads what a message of a chat has beside its content. The message that it quotes is noted in p, for the statement that writes it.
func (c *connection) readContext(ctx context.Context, info *waE2E.ContextInfo, room address, p *db.MessageReceiveParams) (postgres.MessageContext, error) {
	var said postgres.MessageContext
	if info == nil {
		return said, nil
	}
	if id := info.GetStanzaID(); usableID(id) {
		said.ReplyTo = &events.Reply{WhatsAppID: id}
		said.ReplyTo.Type, said.ReplyTo.Text = quoted(info.GetQuotedMessage())
		chat, err := c.parsed(ctx, info.GetRemoteJID())
		if err != nil {
			return said, err
		}
		if chat.id == "" {
			chat = room
		}
		if chat.id != room.id {
			said.ReplyTo.ChatID = chat.id
		}
		author, err := c.parsed(ctx, info.GetParticipant())
		if err != nil {
			return said, err
		}
		p.QuotedID, p.QuotedChats = id, chat.ids()
		if author.id != "" {
			from := events.NewAddress(author.id, author.phone, author.lid, "")
			said.ReplyTo.From, p.QuotedAuthors = &from, author.ids()
		}
	}
	var err error
	if said.Mentions, err = c.mentions(ctx, info); err != nil {
		return said, err
	}
	said.MentionsEveryone = info.GetNonJIDMentions() > 0
	if said.Forwarded = int(info.GetForwardingScore()); info.GetIsForwarded() {
		said.Forwarded = max(1, said.Forwarded)
	}
	said.DisappearsAfter = int(info.GetExpiration())
	return said, nil
}

// mentions are who is mentioned, each once.
func (c *connection) mentions(ctx context.Context, info *waE2E.ContextInfo) (list []events.Address, err error) {
	jids := info.GetMentionedJID()
	for _, group := range info.GetGroupMentions() {
		jids = append(jids[:len(jids):len(jids)], group.GetGroupJID())
	}
	jids = jids[:min(len(jids), maxMentions)]
	started, seen := time.Now(), make(map[string]bool, len(jids))
	for _, text := range jids {
		var a address
		if time.Since(started) < mentionsBudget {
			if a, err = c.parsed(ctx, text); err != nil {
				return nil, err
			}
		} else if jid, ok := parseJID(text); ok {
			a = address{id: jid.String()}
		}
		if a.id != "" && !seen[a.id] {
			seen[a.id] = true
			list = append(list, events.NewAddress(a.id, a.phone, a.lid, ""))
		}
	}
	return list, nil
}

// parsed is the address that a sender wrote into a message; the zero address for what is none.
func (c *connection) parsed(ctx context.Context, text string) (address, error) {
	jid, ok := parseJID(text)
	if !ok {
		return address{}, nil
	}
	return c.address(ctx, jid, types.EmptyJID)
}

// parseJID reads a JID that a sender wrote. Only those that the API can show are any.
func parseJID(text string) (types.JID, bool) {
	if text == "" || len(text) > maxID {
		return types.EmptyJID, false
	}
	jid, err := types.ParseJID(text)
	if err != nil {
		return types.EmptyJID, false
	}
	jid = user(jid)
	_, err = events.ParseAddress(jid.String())
	return jid, err == nil
}

// usableID says whether a sender's id of a message is one that can be looked up.
func usableID(id string) bool {
	return id != "" && len(id) <= maxID && utf8.ValidString(id) && !strings.ContainsRune(id, 0)
}

// quoted is the type of a message that another quotes, with its text or caption.
func quoted(m *waE2E.Message) (kind, text string) {
	m, _ = unwrap(m)
	content, file := fileOf(m)
	if file == nil {
		var shown bool
		if content, shown = contentOf(m); !shown {
			return "", ""
		}
	}
	text = content.Text + printable(content.Caption)
	if len(text) > maxQuote {
		text = strings.ToValidUTF8(text[:maxQuote], "")
	}
	return content.Type, text
}

// contextJSON is the context as the column holds it; nil for none.
func contextJSON(said postgres.MessageContext) (json.RawMessage, error) {
	if said.ReplyTo == nil && len(said.Mentions) == 0 && !said.MentionsEveryone && said.Forwarded == 0 && said.DisappearsAfter == 0 && said.ServerID == 0 {
		return nil, nil
	}
	text, err := json.Marshal(said)
	if err != nil {
		return nil, fmt.Errorf("encode context: %w", err)
	}
	return text, nil
}

// rawOf is WhatsApp's own form of a message, as it is kept: without the wrapper that the account's phone puts around what it sent, and without
// a group's key; nil for one that is too large.
func rawOf(m *waE2E.Message) ([]byte, error) {
	if inner := m.GetDeviceSentMessage().GetMessage(); inner != nil {
		m = inner
	}
	if m.GetSenderKeyDistributionMessage() != nil {
		m = proto.CloneOf(m)
		m.SenderKeyDistributionMessage = nil
	}
	if m == nil || proto.Size(m) > maxRaw {
		return nil, nil
	}
	raw, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return slices.Clip(raw), nil
}
