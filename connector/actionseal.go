package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// errUnsealed is why nothing can be encrypted for those who have a message.
var errUnsealed = &refusal{"not_found", "The secret of the message is not known here, without which nobody can answer it: it came before the session was linked."}

// names is how everybody who has a message knows its chat and its author, and the session's account: what is encrypted with the message's secret
// is bound to these JIDs. They are LIDs, but in groups that go by phones.
func (c *connection) names(ctx context.Context, t target) (info types.MessageInfo, own types.JID, err error) {
	info = types.MessageInfo{ID: t.WhatsappID, MessageSource: types.MessageSource{
		Chat: t.chat, Sender: t.sender, IsFromMe: t.Direction == events.Outgoing, IsGroup: t.chat.Server == types.GroupServer,
	}}
	own = c.device.GetLID().ToNonAD()
	switch {
	case info.IsGroup:
		group, err := c.client.DangerousInternals().GetCachedGroupData(ctx, t.chat) //nolint:staticcheck // SA1019: as in participant
		if err != nil {
			return info, own, fmt.Errorf("look up group: %w", err)
		}
		if group.AddressingMode != types.AddressingModeLID {
			own = c.device.GetJID().ToNonAD()
		}
	case t.chat.Server == types.DefaultUserServer:
		if err := c.findLID(ctx, t.chat); err != nil {
			return info, own, err
		}
		if info.Chat, err = c.device.LIDs.GetLIDForPN(ctx, t.chat); err != nil {
			return info, own, fmt.Errorf("look up LID: %w", err)
		}
		info.Sender = info.Chat
	}
	if info.IsFromMe {
		info.Sender = own
	}
	return info, own, nil
}

// seal encrypts with the secret of a message what whatsmeow has no builder for.
func (c *connection) seal(ctx context.Context, t target, use whatsmeow.MsgSecretType, m proto.Message) (sealed, nonce []byte, info types.MessageInfo, err error) {
	info, own, err := c.names(ctx, t)
	if err != nil {
		return nil, nil, info, err
	}
	plain, err := proto.Marshal(m)
	if err != nil {
		return nil, nil, info, fmt.Errorf("encode: %w", err)
	}
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API knows neither edits of events nor answers to them
	sealed, nonce, err = c.client.DangerousInternals().EncryptMsgSecret(ctx, own, info.Chat, info.Sender, info.ID, use, plain)
	return sealed, nonce, info, sealError(err)
}

func sealError(err error) error {
	if errors.Is(err, whatsmeow.ErrOriginalMessageSecretNotFound) {
		return errUnsealed
	}
	return err
}

// vote makes events.Vote.
func (c *connection) vote(ctx context.Context, ch change, p events.Voting) (func(context.Context, *queue.Tx) (events.VoteData, error), error) {
	t, err := c.targetOf(ctx, ch)
	if err != nil {
		return nil, err
	}
	if t.Type != events.ContentPoll || t.RevokedAt != nil {
		return nil, &refusal{"message_not_found", "The poll was deleted."}
	}
	info, _, err := c.names(ctx, t)
	if err != nil {
		return nil, err
	}
	message, err := c.client.BuildPollVote(ctx, &info, p.Options)
	if err := sealError(err); err != nil {
		return nil, err
	}
	at, err := c.act(ctx, t.chat, message, p.WhatsAppID)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.VoteData, error) {
		v, err := c.did(ctx, tx, t, at, c.voted(whatsmeow.HashPollOptions(p.Options)))
		return events.VoteData{MessageRef: t.ref(), From: c.own(v), Direction: events.Outgoing, Options: p.Options, At: at.UTC()}, err
	}, nil
}

// respond makes events.Respond.
func (c *connection) respond(ctx context.Context, ch change, p events.Responding) (func(context.Context, *queue.Tx) (events.ResponseData, error), error) {
	t, err := c.targetOf(ctx, ch)
	if err != nil {
		return nil, err
	}
	if t.Type != events.ContentEvent || t.RevokedAt != nil {
		return nil, &refusal{"message_not_found", "The event was deleted."}
	}
	answer := &waE2E.EventResponseMessage{TimestampMS: proto.Int64(time.Now().UnixMilli()), ExtraGuestCount: proto.Int32(int32(p.ExtraGuests))}
	for response, name := range responses {
		if name == p.Response {
			answer.Response = response.Enum()
		}
	}
	sealed, nonce, info, err := c.seal(ctx, t, whatsmeow.EncSecretEventResponse, answer)
	if err != nil {
		return nil, err
	}
	at, err := c.act(ctx, t.chat, &waE2E.Message{EncEventResponseMessage: &waE2E.EncEventResponseMessage{
		EventCreationMessageKey: c.client.BuildMessageKey(info.Chat, info.Sender, t.WhatsappID), EncPayload: sealed, EncIV: nonce,
	}}, p.WhatsAppID)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.ResponseData, error) {
		v, err := c.did(ctx, tx, t, at, c.responded(answer))
		return events.ResponseData{
			MessageRef: t.ref(), From: c.own(v), Direction: events.Outgoing, Response: p.Response, ExtraGuests: p.ExtraGuests, At: at.UTC(),
		}, err
	}, nil
}
