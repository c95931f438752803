package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"
)

// read makes of a message that was decrypted what the phone shows of it; its Type is "" when it shows nothing. An error is passing.
func (c *connection) read(e *events.Message) (Message, error) {
	p := c.phone
	m := Message{ID: e.Info.ID, Chat: e.Info.Chat.String(), FromMe: e.Info.IsFromMe, Timestamp: e.Info.Timestamp.UTC()}
	m.Broadcast = e.Info.Chat.Server == types.BroadcastServer || e.Info.Multicast
	var failed error
	name := func(jid types.JID) string {
		text, err := c.nameOf(jid, types.EmptyJID)
		failed = errors.Join(failed, err)
		return text
	}
	var err error
	direct := !e.Info.IsGroup && e.Info.Chat.Server != types.NewsletterServer
	switch {
	case direct && m.FromMe:
		m.From = p.number
		m.To, err = c.numberOf(e.Info.Chat, e.Info.RecipientAlt)
		m.Chat = m.To
	case direct:
		m.To = p.number
		m.From, err = c.numberOf(e.Info.Sender, e.Info.SenderAlt)
		m.Chat = m.From
	default:
		m.To = m.Chat
		m.From, err = c.nameOf(e.Info.Sender, e.Info.SenderAlt)
	}
	if err != nil {
		return Message{}, err
	}
	r := &reader{name: name, self: p.number, from: m.From, chat: m.Chat, fromMe: m.FromMe, group: !direct}
	m.Content = r.read(e.Message)
	m.ViewOnce = m.Type != "" && (m.ViewOnce || e.IsViewOnce)
	if e.NewsletterMeta != nil && !e.NewsletterMeta.EditTS.IsZero() { // the new form of a channel's message comes under the old one's id
		m.Type, m.Target, m.Timestamp = "edit", &Target{ID: m.ID, From: m.From}, e.NewsletterMeta.EditTS.UTC()
	}
	if failed != nil {
		return Message{}, failed
	}
	return m, c.decrypt(r, e, &m.Content)
}

// nameOf names a user by his number, or by a JID where that is not known.
func (c *connection) nameOf(jid, alt types.JID) (string, error) {
	switch {
	case jid.Server == types.DefaultUserServer:
		return jid.User, nil
	case jid.Server == types.HiddenUserServer && alt.Server == types.DefaultUserServer:
		return alt.User, nil
	case jid.Server != types.HiddenUserServer:
		return jid.ToNonAD().String(), nil
	}
	pn, err := c.client.Store.LIDs.GetPNForLID(c.ctx, jid.ToNonAD())
	if err != nil {
		return "", fmt.Errorf("find number of %s: %w", jid, err)
	}
	if pn.IsEmpty() {
		return jid.ToNonAD().String(), nil
	}
	return pn.User, nil
}

// ivLength is what AES-GCM wants. whatsmeow panics at any other (util/gcmutil).
const ivLength = 12

// decrypt reads what is encrypted with the secret of another message, which whatsmeow keeps in the phone's store. What cannot be decrypted
// is the sender's fault, and shown as such; an error is the store's, and passing.
func (c *connection) decrypt(r *reader, e *events.Message, into *Content) error {
	inner, _ := unwrap(e.Message)
	secret := *e
	secret.Message = inner
	err := errShort
	switch m := inner; {
	case m.GetPollUpdateMessage() != nil:
		var vote *waE2E.PollVoteMessage
		if len(m.GetPollUpdateMessage().GetVote().GetEncIV()) == ivLength {
			vote, err = c.client.DecryptPollVote(c.ctx, &secret)
		}
		into.Selected = c.phone.options(m.GetPollUpdateMessage().GetPollCreationMessageKey().GetID(), vote.GetSelectedOptions())
	case m.GetEncReactionMessage() != nil:
		var reaction *waE2E.ReactionMessage
		if len(m.GetEncReactionMessage().GetEncIV()) == ivLength {
			reaction, err = c.client.DecryptReaction(c.ctx, &secret)
		}
		into.Emoji = reaction.GetText()
	case m.GetEncCommentMessage() != nil:
		var comment *waE2E.Message
		if len(m.GetEncCommentMessage().GetEncIV()) == ivLength {
			comment, err = c.client.DecryptComment(c.ctx, &secret)
		}
		into.Text = textOf(comment)
	case m.GetSecretEncryptedMessage() != nil:
		var edited *waE2E.Message
		if len(m.GetSecretEncryptedMessage().GetEncIV()) == ivLength {
			edited, err = c.client.DecryptSecretEncryptedMessage(c.ctx, &secret)
		}
		r.edited(edited, into)
	case m.GetEncEventResponseMessage() != nil:
		var response *waE2E.EventResponseMessage
		if len(m.GetEncEventResponseMessage().GetEncIV()) == ivLength {
			response, err = decryptEventResponse(c.ctx, c.client, &secret)
		}
		into.Response, into.ExtraGuests = responses[response.GetResponse()], response.GetExtraGuestCount()
	default:
		return nil
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), c.ctx.Err() != nil: // the store wraps its own trouble in this
		return err
	case errors.Is(err, whatsmeow.ErrOriginalMessageSecretNotFound):
		into.ContentError = "the phone does not have the message that this belongs to"
	default:
		into.ContentError = "this does not open with the secret of the message that it belongs to"
	}
	return nil
}

var errShort = errors.New("nonce of a wrong length")

// responses are the answers to an event.
var responses = map[waE2E.EventResponseMessage_EventResponseType]string{
	waE2E.EventResponseMessage_GOING: "going", waE2E.EventResponseMessage_NOT_GOING: "notGoing", waE2E.EventResponseMessage_MAYBE: "maybe",
}

// decryptEventResponse is what whatsmeow has for votes and not for answers to events.
func decryptEventResponse(ctx context.Context, client *whatsmeow.Client, e *events.Message) (*waE2E.EventResponseMessage, error) {
	encrypted := e.Message.GetEncEventResponseMessage()
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API knows no answers to events
	plain, err := client.DangerousInternals().DecryptMsgSecret(ctx, e, whatsmeow.EncSecretEventResponse, encrypted, encrypted.GetEventCreationMessageKey())
	if err != nil {
		return nil, err
	}
	var response waE2E.EventResponseMessage
	if err := proto.Unmarshal(plain, &response); err != nil {
		return nil, fmt.Errorf("parse answer to event: %w", err)
	}
	return &response, nil
}

// options names the options of a poll by their hashes (whatsmeow.HashPollOptions).
func (p *phone) options(poll string, hashes [][]byte) []string {
	var known []string
	if m := p.known("", poll); m != nil {
		for _, option := range pollOf(m.message).GetOptions() {
			known = append(known, option.GetOptionName())
		}
	}
	var names []string
	for _, hash := range hashes {
		i := slices.IndexFunc(known, func(option string) bool {
			sum := sha256.Sum256([]byte(option))
			return slices.Equal(sum[:], hash)
		})
		if i < 0 {
			names = append(names, hex.EncodeToString(hash))
			continue
		}
		names = append(names, known[i])
	}
	return names
}
