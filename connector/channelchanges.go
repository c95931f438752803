package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/postgres"
)

// Ids of WhatsApp's stored queries that whatsmeow has no call for: its own mutationUpdateNewsletter (newsletter.go), and what Baileys has for the
// deletion (Types/Mex, QueryIds.DELETE).
const (
	mexUpdateChannel = "7150902998257522"
	mexDeleteChannel = "30062808666639665"
)

// channelTerms are WhatsApp's terms for those who run channels, which its apps have accepted before the first is made (whatsmeow newsletter.go,
// AcceptTOSNotice).
const channelTerms, channelTermsStage = "20601218", "5"

// channel is the channel that a change is about.
func (ch change) channel() (types.JID, error) { return channelJID(ch.target) }

// shownChannel is the end of a change that answers a channel.
func (c *connection) shownChannel(ch events.Channel) func(context.Context, *queue.Tx) (events.Channel, error) {
	return func(ctx context.Context, tx *queue.Tx) (events.Channel, error) {
		c.channels.note()
		return ch, c.keepChannel(ctx, tx, ch, true)
	}
}

// channelGone is the end of a change after which the account has no more to do with a channel.
func (c *connection) channelGone(id, change string) func(context.Context, *queue.Tx) (events.ChannelDone, error) {
	return func(ctx context.Context, tx *queue.Tx) (events.ChannelDone, error) {
		c.channels.note()
		return events.ChannelDone{ChannelID: id}, c.forgetChannel(ctx, tx, id, change)
	}
}

// createChannel makes events.CreateChannel. WhatsApp makes another channel each time, so that a change which may have made one before a crash looks
// for it: one of this name that the account has made since the change was accepted, and that no other change has made.
func (c *connection) createChannel(ctx context.Context, ch change, p events.ChannelUpdate) (func(context.Context, *queue.Tx) (events.Channel, error), error) {
	request := whatsmeow.CreateNewsletterParams{}
	if p.Name != nil {
		request.Name = *p.Name
	}
	if p.Description != nil {
		request.Description = *p.Description
	}
	if ch.begun {
		made, err := c.adoptedChannel(ctx, ch, request.Name)
		if err != nil {
			return nil, err
		}
		if made != nil {
			return c.shownChannel(*made), nil
		}
	}
	if err := c.client.AcceptTOSNotice(ctx, channelTerms, channelTermsStage); err != nil {
		return nil, fmt.Errorf("accept terms for channels: %w", err)
	}
	info, err := c.client.CreateNewsletter(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("make channel: %w", err)
	}
	if info == nil || info.ID.Server != types.NewsletterServer {
		return nil, &refusal{"whatsapp_rejected", "WhatsApp did not say which channel it has made."}
	}
	made := channelOf(info)
	if made.Role = events.RoleOwner; made.Muted == nil {
		made.Muted = new(bool)
	}
	return c.shownChannel(made), nil
}

// adoptedChannel finds the channel that a change has made before a crash, or nil.
func (c *connection) adoptedChannel(ctx context.Context, ch change, name string) (*events.Channel, error) {
	all, err := c.followed(ctx)
	if err != nil {
		return nil, err
	}
	for _, made := range all {
		if made.Role != events.RoleOwner || made.Name != name || made.CreatedAt == nil || made.CreatedAt.Before(ch.created.Add(-adoptSlack)) {
			continue
		}
		other, err := c.s.c.queries.GroupCreatedHere(ctx, c.s.c.pool, c.s.id, events.CreateChannel.Kind, made.ID)
		if err != nil {
			return nil, fmt.Errorf("look for channel: %w", err)
		}
		if !other {
			return &made, nil
		}
	}
	return nil, nil
}

// mex sends one of WhatsApp's stored queries about a channel.
func (c *connection) mex(ctx context.Context, query string, channel types.JID, more map[string]any) error {
	variables := map[string]any{"newsletter_id": channel.String()}
	for name, value := range more {
		variables[name] = value
	}
	//nolint:staticcheck // SA1019: whatsmeow's public API has no call for these
	_, err := c.client.DangerousInternals().SendMexIQ(ctx, query, variables)
	return err
}

// updateChannel makes events.UpdateChannel.
func (c *connection) updateChannel(ctx context.Context, ch change, p events.ChannelUpdate) (func(context.Context, *queue.Tx) (events.Channel, error), error) {
	channel, err := ch.channel()
	if err != nil {
		return nil, err
	}
	updates := map[string]any{}
	if p.Name != nil {
		updates["name"] = *p.Name
	}
	if p.Description != nil {
		updates["description"] = *p.Description
	}
	switch {
	case p.PictureID != "":
		if updates["picture"], err = c.channelPicture(ctx, p.PictureID); err != nil {
			return nil, err
		}
	case p.NoPicture:
		updates["picture"] = ""
	}
	if err := c.mex(ctx, mexUpdateChannel, channel, map[string]any{"updates": updates}); err != nil {
		return nil, channelRefused(fmt.Errorf("change channel: %w", err), notChannelAdmin)
	}
	return c.afterwards(ctx, channel, func(*events.Channel) {})
}

// afterwards is the end of a change of a channel that goes on: how WhatsApp says that it is now, and what was just done, which its answer may not
// know yet.
func (c *connection) afterwards(ctx context.Context, channel types.JID, did func(*events.Channel)) (func(context.Context, *queue.Tx) (events.Channel, error), error) {
	now, err := c.channelInfo(ctx, channel)
	if err != nil {
		return nil, err
	}
	did(&now)
	return c.shownChannel(now), nil
}

// channelPicture reads the picture for a channel; in JSON it becomes base64.
func (c *connection) channelPicture(ctx context.Context, id string) ([]byte, error) {
	gone := &refusal{"media_expired", "The picture is kept no more."}
	media, err := uuid.Parse(id)
	if err != nil {
		return nil, fmt.Errorf("parse picture's id: %w", err)
	}
	m, err := c.s.c.queries.MediaGet(ctx, c.s.c.pool, media)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && m.Status != "ready" {
		return nil, gone
	}
	if err != nil {
		return nil, fmt.Errorf("read media: %w", err)
	}
	body, err := c.s.c.media.Open(ctx, m.Object, 0, -1)
	if errors.Is(err, mediastore.ErrNotFound) {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	picture, err := io.ReadAll(io.LimitReader(body, maxPicture))
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	return picture, nil
}

// deleteChannel makes events.DeleteChannel. A channel that is not there is deleted, where it may have been done before a crash.
func (c *connection) deleteChannel(ctx context.Context, ch change, _ events.ChannelTarget) (func(context.Context, *queue.Tx) (events.ChannelDone, error), error) {
	channel, err := ch.channel()
	if err != nil {
		return nil, err
	}
	err = c.mex(ctx, mexDeleteChannel, channel, nil)
	if err != nil {
		err = channelRefused(fmt.Errorf("delete channel: %w", err), &refusal{"not_channel_admin", "Only the owner can delete a channel."})
	}
	if err != nil && (!ch.begun || !errors.Is(err, channelNotFound)) {
		return nil, err
	}
	return c.channelGone(channel.String(), "deleted"), nil
}

// followChannel makes events.FollowChannel.
func (c *connection) followChannel(ctx context.Context, ch change, _ events.ChannelTarget) (func(context.Context, *queue.Tx) (events.Channel, error), error) {
	channel, err := ch.channel()
	if err != nil {
		return nil, err
	}
	if err := c.client.FollowNewsletter(ctx, channel); err != nil {
		return nil, channelRefused(fmt.Errorf("follow channel: %w", err), &refusal{"forbidden", "WhatsApp does not let this account follow the channel."})
	}
	return c.afterwards(ctx, channel, func(now *events.Channel) {
		if !follows(*now) {
			now.Role = events.RoleSubscriber
		}
	})
}

// leaveChannel makes events.LeaveChannel.
func (c *connection) leaveChannel(ctx context.Context, ch change, _ events.ChannelTarget) (func(context.Context, *queue.Tx) (events.ChannelDone, error), error) {
	channel, err := ch.channel()
	if err != nil {
		return nil, err
	}
	if err := c.client.UnfollowNewsletter(ctx, channel); err != nil {
		return nil, channelRefused(fmt.Errorf("leave channel: %w", err), &refusal{"forbidden", "Who owns a channel cannot leave it, only delete it, or give it to somebody else on the phone."})
	}
	return c.channelGone(channel.String(), "left"), nil
}

// muteChannel makes events.MuteChannel.
func (c *connection) muteChannel(ctx context.Context, ch change, p events.ChannelMute) (func(context.Context, *queue.Tx) (events.Channel, error), error) {
	channel, err := ch.channel()
	if err != nil {
		return nil, err
	}
	if err := c.client.NewsletterToggleMute(ctx, channel, p.Muted); err != nil {
		return nil, channelRefused(fmt.Errorf("mute channel: %w", err), &refusal{"forbidden", "The account does not follow the channel."})
	}
	return c.afterwards(ctx, channel, func(now *events.Channel) { now.Muted = &p.Muted })
}

// reactToPost makes events.ReactToPost. Repeated, it is the same reaction.
func (c *connection) reactToPost(ctx context.Context, ch change, p events.PostReacting) (func(context.Context, *queue.Tx) (events.PostReacted, error), error) {
	channel, err := channelJID(ch.chat)
	if err != nil {
		return nil, err
	}
	if p.Number == 0 {
		if p.Number, err = c.postNumber(ctx, ch); err != nil {
			return nil, err
		}
	}
	if err := c.sendPostReaction(ctx, channel, p); err != nil {
		err = channelRefused(fmt.Errorf("react to post: %w", err), &refusal{"forbidden", "Only who follows the channel can react to its posts, where its admins let them."})
		if errors.Is(err, channelNotFound) {
			err = &refusal{"message_not_found", "The channel has no such post."}
		}
		return nil, err
	}
	return done(events.PostReacted{ChannelID: ch.chat, ServerID: p.Number, Emoji: p.Emoji}), nil
}

// postNumber is the channel's number of the post that a change has as its target.
func (c *connection) postNumber(ctx context.Context, ch change) (int, error) {
	t, err := c.targetOf(ctx, ch)
	if err != nil {
		return 0, err
	}
	v, err := c.s.c.queries.MessageShow(ctx, c.s.c.pool, t.ID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("read post: %w", err)
	}
	var said postgres.MessageContext
	if len(v.Context) > 0 {
		if err := json.Unmarshal(v.Context, &said); err != nil {
			return 0, fmt.Errorf("decode context: %w", err)
		}
	}
	if said.ServerID == 0 {
		return 0, &refusal{"message_not_found", "The channel's number of the post is not known."}
	}
	return said.ServerID, nil
}

// sendPostReaction sends a reaction and waits until WhatsApp has it, which whatsmeow's call does not.
func (c *connection) sendPostReaction(ctx context.Context, channel types.JID, p events.PostReacting) error {
	internals := c.client.DangerousInternals() //nolint:staticcheck // SA1019: the answer is to be had in no other way
	ctx, cancel := context.WithTimeout(ctx, c.s.c.pace.ack)
	defer cancel()
	answer := internals.WaitResponse(p.WhatsAppID)
	if err := c.client.NewsletterSendReaction(ctx, channel, p.Number, p.Emoji, p.WhatsAppID); err != nil {
		internals.CancelResponse(p.WhatsAppID, answer)
		return err
	}
	select {
	case ack := <-answer:
		if ack == nil || ack.Tag != "ack" { // the connection ended
			return whatsmeow.ErrNotConnected
		}
		if code := ack.AttrGetter().OptionalInt("error"); code != 0 {
			return fmt.Errorf("%w %d", whatsmeow.ErrServerReturnedError, code)
		}
		return nil
	case <-ctx.Done(): // the waiter stays, as in readReceipt
		return whatsmeow.ErrMessageTimedOut
	}
}
