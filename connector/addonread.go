package connector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// nonceLength is what AES-GCM wants. whatsmeow panics at any other (util/gcmutil).
	nonceLength = 12
	// maxOptions bounds a vote, above the 12 options that WhatsApp's apps allow.
	maxOptions = 100
)

var errNonce = errors.New("nonce of a wrong length")

// decrypted reads what is encrypted with the secret of the message that it is done to, which whatsmeow keeps: the key of that message, nil where
// there is nothing of the kind, and the effect, nil where it cannot be read. An error is the database's.
func (c *connection) decrypted(ctx context.Context, e *waevents.Message, m *waE2E.Message) (key *waCommon.MessageKey, does effect, err error) {
	opened := *e
	opened.Message = m
	var nonce []byte
	var open func() error
	switch {
	case m.GetPollUpdateMessage() != nil:
		key, nonce = m.GetPollUpdateMessage().GetPollCreationMessageKey(), m.GetPollUpdateMessage().GetVote().GetEncIV()
		open = func() error {
			vote, err := c.client.DecryptPollVote(ctx, &opened)
			does = c.voted(vote.GetSelectedOptions())
			return err
		}
	case m.GetEncReactionMessage() != nil:
		key, nonce = m.GetEncReactionMessage().GetTargetMessageKey(), m.GetEncReactionMessage().GetEncIV()
		open = func() error {
			reaction, err := c.client.DecryptReaction(ctx, &opened)
			does = c.reacted(reaction.GetText())
			return err
		}
	case m.GetEncEventResponseMessage() != nil:
		key, nonce = m.GetEncEventResponseMessage().GetEventCreationMessageKey(), m.GetEncEventResponseMessage().GetEncIV()
		open = func() error {
			answer, err := c.eventResponse(ctx, &opened)
			does = c.responded(answer)
			return err
		}
	case m.GetSecretEncryptedMessage() != nil:
		key, nonce = m.GetSecretEncryptedMessage().GetTargetMessageKey(), m.GetSecretEncryptedMessage().GetEncIV()
		open = func() error {
			switch m.GetSecretEncryptedMessage().GetSecretEncType() {
			case waE2E.SecretEncryptedMessage_EVENT_EDIT, waE2E.SecretEncryptedMessage_MESSAGE_EDIT:
			default: // whatsmeow panics where it is missing; polls' edits have a shape of their own
				return errors.New("an edit of an unknown kind")
			}
			edit, err := c.client.DecryptSecretEncryptedMessage(ctx, &opened)
			if err != nil {
				return err
			}
			if inner, _ := unwrap(edit); inner.GetProtocolMessage().GetEditedMessage() != nil {
				edit = inner.GetProtocolMessage().GetEditedMessage()
			}
			does, err = c.edited(ctx, edit)
			return err
		}
	default:
		return nil, nil, nil
	}
	if key == nil {
		key = &waCommon.MessageKey{} // which names nothing
	}
	if err = errNonce; len(nonce) == nonceLength {
		err = open()
	}
	switch {
	case err == nil:
		return key, does, nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil: // the store wraps its own trouble in this
		return key, nil, fmt.Errorf("decrypt: %w", err)
	}
	c.s.log.InfoContext(ctx, "what was done to a message cannot be decrypted", "chat", e.Info.Chat, "message", e.Info.ID, "error", err)
	return key, nil, nil
}

// eventResponse is what whatsmeow has for votes and not for answers to events.
func (c *connection) eventResponse(ctx context.Context, e *waevents.Message) (*waE2E.EventResponseMessage, error) {
	sealed := e.Message.GetEncEventResponseMessage()
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API knows no answers to events
	plain, err := c.client.DangerousInternals().DecryptMsgSecret(ctx, e, whatsmeow.EncSecretEventResponse, sealed, sealed.GetEventCreationMessageKey())
	if err != nil {
		return nil, err
	}
	var answer waE2E.EventResponseMessage
	if err := proto.Unmarshal(plain, &answer); err != nil {
		return nil, fmt.Errorf("parse answer to event: %w", err)
	}
	return &answer, nil
}

// optionsOf names the options of a poll by their hashes (whatsmeow.HashPollOptions), each once, in the order of the poll. One that is not known
// stands as its hash, in hexadecimal.
func optionsOf(poll *events.Poll, hashes [][]byte) []string {
	left := make(map[string]bool, len(hashes))
	for _, hash := range hashes {
		if len(hash) == sha256.Size {
			left[string(hash)] = true
		}
	}
	chosen := []string{}
	if poll != nil {
		for _, option := range poll.Options {
			if sum := sha256.Sum256([]byte(option)); left[string(sum[:])] {
				delete(left, string(sum[:]))
				chosen = append(chosen, option)
			}
		}
	}
	var unknown []string
	for hash := range left {
		unknown = append(unknown, hex.EncodeToString([]byte(hash)))
	}
	slices.Sort(unknown)
	return append(chosen, unknown...)
}

// edited is the effect of an edit, which must say the same kind of thing as the message did. One of a message that the session never had makes no
// event: there is nothing to show.
func (c *connection) edited(ctx context.Context, m *waE2E.Message) (effect, error) {
	m, outer := unwrap(m)
	if m == nil {
		return nil, nil
	}
	info := contextInfo(m)
	mentions, err := c.mentions(ctx, info)
	if err != nil {
		return nil, err
	}
	if m.MessageContextInfo == nil {
		m.MessageContextInfo = outer.info
	}
	raw, err := rawOf(m)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx, a addOn) error {
		if a.row.MessageID == nil {
			return nil
		}
		p := db.AddOnEditParams{ID: *a.row.MessageID, EditedAt: &a.at}
		var old events.Content
		if err := json.Unmarshal(a.row.Content, &old); err != nil {
			return fmt.Errorf("decode content: %w", err)
		}
		content, whole, ok := revised(old, m)
		if !ok {
			c.s.log.InfoContext(ctx, "an edit that does not fit its message is passed over", "message", a.ref.MessageID, "type", old.Type)
			return nil
		}
		var err error
		if p.Content, err = json.Marshal(content); err != nil {
			return fmt.Errorf("encode content: %w", err)
		}
		if p.Context, err = revisedContext(a.row.Context, mentions, info); err != nil {
			return err
		}
		if len(p.Content)+len(p.Context) > maxContent {
			return nil
		}
		if p.KeepRaw = !whole; whole {
			p.Raw = c.s.sealRaw(raw)
		}
		changed, err := c.s.c.queries.AddOnEdit(ctx, tx, p)
		if err != nil {
			return fmt.Errorf("write edit: %w", err)
		}
		if changed == 0 {
			return nil
		}
		_, now, err := c.shown(ctx, tx, *a.row.MessageID)
		if err != nil {
			return err
		}
		return c.tell(tx, events.MessageEdited, a, events.EditedData{Message: now, By: &a.who})
	}, nil
}

// captioned are the contents whose caption can be edited.
var captioned = map[string]bool{events.ContentImage: true, events.ContentVideo: true, events.ContentDocument: true}

// revised is what a message says after an edit: a text instead of a text, a caption instead of a caption, an event instead of an event. whole says
// that the edit holds all of the message.
func revised(old events.Content, m *waE2E.Message) (now events.Content, whole, ok bool) {
	now = old
	if said, f := fileOf(m); f != nil {
		now.Caption = printable(said.Caption)
		return now, len(f.GetMediaKey()) == 32 && f.GetDirectPath() != "", said.Type == old.Type && captioned[old.Type]
	}
	said, shown := contentOf(m)
	switch {
	case !shown:
	case said.Type == events.ContentText && captioned[old.Type]:
		now.Caption = said.Text
		return now, false, true
	case said.Type == old.Type && (said.Type == events.ContentText || said.Type == events.ContentEvent):
		return said, true, true
	}
	return old, false, false
}

// revisedContext is what a message has beside its content after an edit, which says anew who is mentioned, and not what the message quotes.
func revisedContext(old json.RawMessage, mentions []events.Address, info *waE2E.ContextInfo) (json.RawMessage, error) {
	var said postgres.MessageContext
	if len(old) > 0 {
		if err := json.Unmarshal(old, &said); err != nil {
			return nil, fmt.Errorf("decode context: %w", err)
		}
	}
	said.Mentions, said.MentionsEveryone = mentions, info.GetNonJIDMentions() > 0
	return contextJSON(said)
}
