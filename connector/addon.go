package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxEmoji bounds a reaction, in bytes; the longest emoji, with its joiners, has 35.
	maxEmoji = 64
	// maxGuests bounds how many come along, by what a sender can make believe.
	maxGuests = 1000
	// pinnedFor is how long a message stays pinned where its sender does not say it: what WhatsApp's apps propose.
	pinnedFor = 7 * 24 * time.Hour
)

// addOn is what somebody did to a message, with what the database knows of both. Who is the session's own account has the sender "".
type addOn struct {
	row       db.AddOnTargetRow
	ref       events.MessageRef
	who       events.Address
	sender    string
	direction string
	at        time.Time
}

// An effect writes what was done to a message and publishes its event, in one transaction that holds the fence and the message's row. What is
// there already is told once.
type effect func(ctx context.Context, tx *queue.Tx, a addOn) error

// addOn takes what is done to another message, by others or by the owner on the phone; false for what is a message of its own. The same comes
// again after a crash and changes nothing then: the rows know it. Only what is done to a message that the session never had is told again.
//
// Failure policy: what cannot be read, or is not its sender's to do, is logged and passed over; an error is the database's.
func (c *connection) addOn(ctx context.Context, e *waevents.Message, m *waE2E.Message, outer wrapping) (done bool, err error) {
	switch {
	case m == nil || m.Conversation != nil || m.ExtendedTextMessage != nil:
		return false, nil
	case m.GetReactionMessage() != nil:
		return true, c.add(ctx, e, m.GetReactionMessage().GetKey(), false, c.reacted(m.GetReactionMessage().GetText()))
	case m.GetPinInChatMessage() != nil:
		return true, c.add(ctx, e, m.GetPinInChatMessage().GetKey(), false, c.pinned(m.GetPinInChatMessage().GetType(), outer.info.GetMessageAddOnDurationInSecs()))
	case m.GetProtocolMessage() != nil && m.GetProtocolMessage().Type != nil:
		p := m.GetProtocolMessage()
		switch p.GetType() {
		case waE2E.ProtocolMessage_REVOKE:
			// An admin revokes what others wrote: WhatsApp's server lets nobody else send this kind of stanza.
			does, admin := c.revoked, e.Info.Chat.Server == types.GroupServer && e.Info.Edit == types.EditAttributeAdminRevoke
			if !p.GetKey().GetFromMe() && !admin {
				does = nil
			}
			return true, c.add(ctx, e, p.GetKey(), p.GetKey().GetFromMe(), does)
		case waE2E.ProtocolMessage_MESSAGE_EDIT:
			does, err := c.edited(ctx, p.GetEditedMessage())
			if err != nil {
				return true, err
			}
			return true, c.add(ctx, e, p.GetKey(), true, does)
		}
		return false, nil
	}
	key, effect, err := c.decrypted(ctx, e, m)
	if key == nil || err != nil {
		return key != nil, err
	}
	return true, c.add(ctx, e, key, m.GetSecretEncryptedMessage() != nil, effect)
}

// add finds the message that a key names, from the view of whoever wrote the key, and lets effect write what was done to it; nil stands for what
// cannot be read, or is not its sender's to do. With mine, it must be a message of the one who does it, whatever the key says.
func (c *connection) add(ctx context.Context, e *waevents.Message, key *waCommon.MessageKey, mine bool, effect effect) error {
	info := &e.Info
	room, ok, err := c.room(ctx, info)
	if err != nil || !ok {
		return err
	}
	pass := func(reason string) error {
		c.s.log.InfoContext(ctx, "what was done to a message is passed over", "chat", room.id, "message", info.ID, "reason", reason)
		return nil
	}
	switch {
	case effect == nil:
		return pass("it cannot be read, or is not its sender's to do")
	case !usableID(key.GetID()):
		return pass("it names no message")
	}
	place := room
	if key.GetRemoteJID() == events.StatusChat { // a reaction to a status update comes in the chat with whom it is of
		place = address{id: events.StatusChat}
	}
	p := db.AddOnTargetParams{
		SessionID: c.s.id, Owner: c.s.c.cfg.Owner, Epoch: c.s.epoch, WhatsappID: key.GetID(), ChatIds: place.ids(), Authors: []string{},
	}
	a := addOn{direction: events.Outgoing, at: info.Timestamp.UTC()}
	if !info.IsFromMe {
		who, err := c.address(ctx, info.Sender, info.SenderAlt)
		if err != nil {
			return err
		}
		p.ContactID, p.ContactPhone, p.ContactLid, p.ContactName = who.id, who.phone, who.lid, pushName(info.PushName)
		a.direction, a.sender = events.Incoming, who.id
		if mine || key.GetFromMe() {
			p.Authors = who.ids()
		}
	}
	switch {
	case mine || key.GetFromMe():
		p.Own = info.IsFromMe
	case info.IsGroup:
		author, err := c.parsed(ctx, key.GetParticipant())
		if err != nil {
			return err
		}
		if author.id != "" {
			p.Authors = author.ids()
		}
	case info.IsFromMe:
		p.Authors = room.ids()
	default:
		p.Own = true
	}
	return c.s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		row, err := c.s.c.queries.AddOnTarget(ctx, tx, p)
		if errors.Is(err, pgx.ErrNoRows) {
			return errClaimLost
		}
		if err != nil {
			return fmt.Errorf("find message: %w", err)
		}
		if row.Foreign {
			return pass("the message of this id is somebody else's")
		}
		a.row, a.ref = row, events.MessageRef{WhatsAppID: key.GetID(), ChatID: place.id}
		if row.MessageID != nil {
			a.ref.MessageID, a.ref.ChatID = events.MessagePrefix.Format(*row.MessageID), row.ChatID
		}
		if a.who = events.NewAddress(a.sender, row.ContactPhone, row.ContactLid, row.ContactName); a.sender == "" {
			a.who = c.own(db.MessageView{OwnPhone: row.OwnPhone, OwnLid: row.OwnLid, OwnName: row.OwnName})
		}
		return effect(ctx, tx, a)
	})
}

// tell publishes what was done to a message.
func (c *connection) tell(tx *queue.Tx, t events.Type, a addOn, data any) error {
	_, err := events.Publish(tx, t, c.s.id, a.ref.ChatID, a.at, data)
	return err
}

// reacted is the effect of a reaction, or with "" of its end.
func (c *connection) reacted(emoji string) effect {
	if emoji = printable(emoji); len(emoji) > maxEmoji {
		return nil
	}
	return func(ctx context.Context, tx *queue.Tx, a addOn) error {
		data := events.ReactionData{MessageRef: a.ref, From: a.who, Direction: a.direction, Emoji: emoji, At: a.at}
		if a.row.MessageID == nil {
			return c.tell(tx, events.MessageReaction, a, data)
		}
		return c.keepReaction(ctx, tx, *a.row.MessageID, a.sender, data)
	}
}

// pinned is the effect of pinning a message for some seconds, or of unpinning it.
func (c *connection) pinned(kind waE2E.PinInChatMessage_Type, seconds uint32) effect {
	if kind != waE2E.PinInChatMessage_PIN_FOR_ALL && kind != waE2E.PinInChatMessage_UNPIN_FOR_ALL {
		return nil
	}
	return func(ctx context.Context, tx *queue.Tx, a addOn) error {
		data := events.PinnedData{MessageRef: a.ref, By: &a.who, Pinned: kind == waE2E.PinInChatMessage_PIN_FOR_ALL, At: a.at}
		if data.Pinned {
			until := a.at.Add(time.Duration(seconds) * time.Second)
			if seconds == 0 {
				until = a.at.Add(pinnedFor)
			}
			data.PinnedUntil = &until
		}
		if a.row.MessageID != nil {
			changed, err := c.s.c.queries.AddOnPin(ctx, tx, data.PinnedUntil, *a.row.MessageID)
			if err != nil {
				return fmt.Errorf("write pin: %w", err)
			}
			if changed == 0 {
				return nil
			}
		}
		return c.tell(tx, events.MessagePinned, a, data)
	}
}

// revoked is the effect of deleting a message for everybody.
func (c *connection) revoked(ctx context.Context, tx *queue.Tx, a addOn) error {
	if a.row.MessageID != nil {
		changed, err := c.s.c.queries.AddOnRevoke(ctx, tx, &a.at, *a.row.MessageID)
		if err != nil {
			return fmt.Errorf("write revocation: %w", err)
		}
		if changed == 0 {
			return nil
		}
	}
	return c.tell(tx, events.MessageRevoked, a, events.RevokedData{MessageRef: a.ref, By: &a.who, At: a.at})
}

// voted is the effect of a vote for the options of these hashes.
func (c *connection) voted(hashes [][]byte) effect {
	if len(hashes) > maxOptions {
		return nil
	}
	return func(ctx context.Context, tx *queue.Tx, a addOn) error {
		var poll events.Content
		if a.row.MessageID != nil {
			if err := json.Unmarshal(a.row.Content, &poll); err != nil {
				return fmt.Errorf("decode poll: %w", err)
			}
		}
		data := events.VoteData{MessageRef: a.ref, From: a.who, Direction: a.direction, Options: optionsOf(poll.Poll, hashes), At: a.at}
		if kept, err := c.keepChoices(ctx, tx, a, data.Options, 0); err != nil || !kept {
			return err
		}
		return c.tell(tx, events.PollVoted, a, data)
	}
}

// responded is the effect of an answer to an event.
func (c *connection) responded(answer *waE2E.EventResponseMessage) effect {
	response := responses[answer.GetResponse()]
	if response == "" {
		return nil
	}
	guests := min(max(answer.GetExtraGuestCount(), 0), maxGuests)
	return func(ctx context.Context, tx *queue.Tx, a addOn) error {
		if kept, err := c.keepChoices(ctx, tx, a, []string{response}, guests); err != nil || !kept {
			return err
		}
		return c.tell(tx, events.EventResponded, a, events.ResponseData{
			MessageRef: a.ref, From: a.who, Direction: a.direction, Response: response, ExtraGuests: int(guests), At: a.at,
		})
	}
}

// responses are the answers to an event.
var responses = map[waE2E.EventResponseMessage_EventResponseType]string{
	waE2E.EventResponseMessage_GOING: "going", waE2E.EventResponseMessage_NOT_GOING: "notGoing", waE2E.EventResponseMessage_MAYBE: "maybe",
}

// keepChoices writes what somebody chose; false when a newer choice is there, or this very one.
func (c *connection) keepChoices(ctx context.Context, tx *queue.Tx, a addOn, choices []string, guests int32) (bool, error) {
	if a.row.MessageID == nil {
		return true, nil
	}
	_, err := c.s.c.queries.AddOnVote(ctx, tx, db.AddOnVoteParams{
		MessageID: *a.row.MessageID, VoterID: a.sender, Choices: choices, Guests: guests, Timestamp: a.at,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write choices: %w", err)
	}
	return true, nil
}
