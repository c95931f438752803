package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

// Outgoing is a message that a phone is told to send: whom to, what, and what is known of its file.
type Outgoing struct {
	// To is a phone number in digits, or the JID of a group, a channel or "status@broadcast".
	To string `json:"to"`
	Content
	File
}

// File describes the file of an image, a video, an audio, a voice, a document or a sticker.
type File struct {
	// Mimetype is the file's; "" is the type's usual one.
	Mimetype string `json:"mimetype,omitempty"`
	// Caption is for images, videos and documents, at most 65,536 bytes.
	Caption string `json:"caption,omitempty"`
	// FileName is for documents; "" is "document".
	FileName string `json:"fileName,omitempty"`
	// GIF and PTV (a round video note) are for videos, Animated is for stickers.
	GIF      bool `json:"gif,omitempty"`
	PTV      bool `json:"ptv,omitempty"`
	Animated bool `json:"animated,omitempty"`
	// Seconds is the length of audio, voice and video.
	Seconds uint32 `json:"seconds,omitempty"`
	// Waveform is a voice's, at most 1,024 values; WhatsApp's apps draw 64.
	Waveform []byte `json:"waveform,omitempty"`
	// Thumbnail is a small JPEG (a PNG for stickers), at most 64 KiB.
	Thumbnail []byte `json:"thumbnail,omitempty"`
	// Width and Height are in pixels; of JPEG and PNG images the phone knows them.
	Width  uint32 `json:"width,omitempty"`
	Height uint32 `json:"height,omitempty"`
}

// builder builds messages that need no client: whatsmeow's builders take a nil one, to which one's own messages are those of no sender.
var builder *whatsmeow.Client

// outgoingKind is what may be sent under a type, and how.
type outgoingKind struct {
	// members are those that it has beside the common ones, by their names in JSON. One that ends in "!" must be there.
	members string
	// speaks says that it says something by itself, so that it can quote, mention, be forwarded and disappear.
	speaks bool
	build  func(*composer) (*waE2E.Message, error)
}

const speaking = " quote mentions mentionsEveryone forwarded forwardingScore ephemeralSeconds"

// composer builds one message.
type composer struct {
	ctx    context.Context
	phone  *phone
	to     types.JID
	target *knownMessage // where the message has one
	Outgoing
}

func refuse(format string, args ...any) *Error {
	return failure(http.StatusUnprocessableEntity, format, args...)
}

// Send makes the phone send a message without a file and returns its id once the server has acknowledged it. The message is stored before it
// is tried: an error with status 504 means that it is not sent yet, and will be, also after a crash. SendMedia sends one with a file.
//
// What is encrypted with the secret of another message (a vote, an answer to an event, a comment, the edit of an event, an encrypted
// reaction) is so before it is stored, which takes a phone that is connected, or status 503.
func (s *Sandbox) Send(ctx context.Context, number string, o Outgoing) (string, error) {
	if mediaKinds[o.Type].class != "" {
		return "", refuse("data must be the file, in base64")
	}
	c, kind, err := s.composer(ctx, number, o)
	if err != nil {
		return "", err
	}
	message, err := kind.build(c)
	if err != nil {
		return "", err
	}
	return c.post(message)
}

// composer checks what can be checked of any message.
func (s *Sandbox) composer(ctx context.Context, number string, o Outgoing) (*composer, outgoingKind, error) {
	p, err := s.phone(number)
	if err != nil {
		return nil, outgoingKind{}, err
	}
	kind, ok := outgoingKinds[o.Type]
	if !ok {
		return nil, kind, refuse("type must be one of %s", strings.Join(slices.Sorted(maps.Keys(outgoingKinds)), ", "))
	}
	c := &composer{ctx: ctx, phone: p, Outgoing: o}
	if c.to, err = s.recipient(ctx, p, o.To); err != nil {
		return nil, kind, err
	}
	if err := o.checkMembers(kind); err != nil {
		return nil, kind, err
	}
	if strings.Contains(kind.members, "target") {
		chat := o.To
		if o.Type == "forward" {
			chat = ""
		}
		if c.target = p.known(chat, o.Target.ID); c.target == nil && o.Type == "reaction" {
			c.target = p.known(StatusBroadcast, o.Target.ID) // which goes to its author
		}
		if c.target == nil {
			return nil, kind, refuse("the phone knows no message %s in the chat with %s", o.Target.ID, o.To)
		}
	}
	return c, kind, nil
}

// recipient refuses whom nobody can write to.
func (s *Sandbox) recipient(ctx context.Context, p *phone, to string) (types.JID, error) {
	if !strings.Contains(to, "@") {
		if err := s.checkRecipient(to); err != nil {
			return types.EmptyJID, err
		}
		return recipientJID(to), nil
	}
	jid := recipientJID(to)
	switch {
	case jid.String() != to || jid.User == "":
	case jid.Server == types.GroupServer:
		// A group that does not take the message would keep it in the outbox for ever.
		return jid, s.act(ctx, p.number, func(ctx context.Context, client *whatsmeow.Client) error {
			_, err := client.GetGroupInfo(ctx, jid)
			return err
		})
	case jid.Server == types.NewsletterServer, jid == types.StatusBroadcastJID:
		return jid, nil
	}
	return types.EmptyJID, refuse(`to must be a phone number in digits, or the JID of a group, a channel or "status@broadcast"`)
}

// recipientJID is the address of whom an outbox names.
func recipientJID(to string) types.JID {
	if !strings.Contains(to, "@") {
		return types.NewJID(to, types.DefaultUserServer)
	}
	jid, _ := types.ParseJID(to) // what is none is empty, and refused by all
	return jid
}

// checkMembers refuses members that the type has no use for, so that none is left out silently, and texts that are too long.
func (o *Outgoing) checkMembers(kind outgoingKind) error {
	if o.ViewOnce && o.Type == "document" {
		return refuse("a document has no viewOnce")
	}
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("marshal message to check: %w", err)
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(text, &given); err != nil {
		return fmt.Errorf("read message to check: %w", err)
	}
	if o.Text == "" {
		delete(given, "text")
	}
	delete(given, "to")
	delete(given, "type")
	members := kind.members
	if kind.speaks {
		members += speaking
	}
	for _, member := range strings.Fields(members) {
		name, needed := strings.CutSuffix(member, "!")
		if _, ok := given[name]; !ok && needed {
			return refuse("a message of type %s must have %s", o.Type, name)
		}
		delete(given, name)
	}
	if _, ok := given["text"]; ok && mediaKinds[o.Type].class != "" {
		return refuse("a message of type %s has no text; what is said beside a file is its caption", o.Type)
	}
	if name := slices.Sorted(maps.Keys(given)); len(name) > 0 {
		return refuse("a message of type %s has no %s", o.Type, name[0])
	}
	switch {
	case strings.Contains(string(text), `\u0000`):
		return refuse("a message must have no NUL bytes")
	case len(o.Text) > maxText, len(o.Caption) > maxText:
		return refuse("text and caption must have at most %d bytes", maxText)
	case len(o.Thumbnail) > 64<<10, o.Preview != nil && len(o.Preview.Thumbnail) > 64<<10:
		return refuse("a thumbnail must have at most 65536 bytes")
	case o.Target != nil && o.Target.ID == "", o.Quote != nil && o.Quote.ID == "":
		return refuse("target and quote must have an id")
	case len(o.Mentions) > 1024:
		return refuse("at most 1024 users can be mentioned")
	}
	return nil
}

// context is what the message says beside what it says itself; nil when that is nothing.
func (c *composer) context() (*waE2E.ContextInfo, error) {
	info := &waE2E.ContextInfo{}
	if c.Quote != nil {
		quoted := c.phone.known(c.To, c.Quote.ID)
		if quoted == nil { // as an answer in private to what was said in a group, or to a status
			if quoted = c.phone.known("", c.Quote.ID); quoted == nil {
				return nil, refuse("the phone knows no message %s to quote", c.Quote.ID)
			}
			info.RemoteJID = proto.String(quoted.chat.String())
		}
		info.StanzaID, info.Participant = &c.Quote.ID, proto.String(quoted.author().String())
		info.QuotedMessage = proto.CloneOf(quoted.message)
		info.QuotedMessage.MessageContextInfo = nil // the secret is not quoted
		setContext(info.QuotedMessage, nil)         // nor what is quoted there
	}
	for _, mention := range c.Mentions {
		jid := recipientJID(mention)
		account, known := c.phone.sandbox.server.Account(mention)
		if known && c.to.Server == types.GroupServer {
			jid = types.NewJID(account.LID, types.HiddenUserServer)
		}
		if !known && (!strings.Contains(mention, "@") || jid.String() != mention || jid.User == "") {
			return nil, refuse("mentions must be numbers of this WhatsApp, or JIDs")
		}
		info.MentionedJID = append(info.MentionedJID, jid.String())
	}
	if c.MentionsEveryone {
		info.NonJIDMentions = proto.Uint32(1)
	}
	if c.Forwarded || c.ForwardingScore > 0 {
		info.IsForwarded, info.ForwardingScore = proto.Bool(true), proto.Uint32(max(c.ForwardingScore, 1))
	}
	if c.EphemeralSeconds > 0 {
		info.Expiration = &c.EphemeralSeconds
	}
	if proto.Size(info) == 0 {
		return nil, nil
	}
	return info, nil
}

// setContext replaces what a message says beside what it says itself. A text without context and preview is a plain one.
func setContext(m *waE2E.Message, info *waE2E.ContextInfo) {
	if m.Conversation != nil && info != nil {
		m.ExtendedTextMessage = &waE2E.ExtendedTextMessage{Text: m.Conversation}
		m.Conversation = nil
	}
	inner, _ := unwrap(m)
	reflection := inner.ProtoReflect()
	for field, value := range reflection.Range {
		if field.Message() == nil || field.IsList() {
			continue
		}
		held := value.Message()
		context := held.Descriptor().Fields().ByName("contextInfo")
		switch {
		case context == nil || context.Message() == nil:
		case info == nil:
			held.Clear(context)
		default:
			reflection.Mutable(field).Message().Set(context, protoValue(info))
		}
	}
}

// post adds the context, stores the message and waits for the phone to have sent it.
func (c *composer) post(message *waE2E.Message) (string, error) {
	if outgoingKinds[c.Type].speaks && c.Type != "forward" {
		info, err := c.context()
		if err != nil {
			return "", err
		}
		if info != nil {
			setContext(message, info)
		}
	}
	payload, err := proto.Marshal(message)
	if err != nil {
		return "", fmt.Errorf("marshal message to send: %w", err)
	}
	return c.phone.sandbox.post(c.ctx, c.phone, outgoing{ID: newMessageID(), Recipient: c.To, Message: payload})
}

// client is the phone's own, whose store has the secrets of the messages that it knows.
func (c *composer) client() (*whatsmeow.Client, error) {
	ctx, cancel := context.WithTimeout(c.ctx, actTimeout)
	defer cancel()
	connection, err := c.phone.awaitConnection(ctx)
	if err != nil {
		return nil, err
	}
	return connection.client, nil
}

// sealed says to the caller why something could not be encrypted with the secret of the target.
func (c *composer) sealed(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, whatsmeow.ErrOriginalMessageSecretNotFound) {
		return refuse("message %s has no secret, without which there is no %s", c.Target.ID, c.Type)
	}
	return fmt.Errorf("encrypt with the secret of a message: %w", err)
}
