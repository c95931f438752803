package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

const (
	// maxChannelName and maxChannelText bound what a channel's admins choose, in bytes: WhatsApp takes 100 and 2,048 characters.
	maxChannelName, maxChannelText = 400, 8 << 10
	// channelsTimeout bounds the reading of an account's channels when it connects.
	channelsTimeout = time.Minute
	// mediaSite is where WhatsApp's public files are that it names by their path alone (Baileys, getUrlFromDirectPath).
	mediaSite = "https://mmg.whatsapp.net"
)

var (
	channelNotFound = &refusal{"channel_not_found", "WhatsApp knows no such channel, or it was deleted."}
	notChannelAdmin = &refusal{"not_channel_admin", "Only an admin of the channel may do this, and the account is none."}
)

// WhatsApp tells an account's devices which channels it follows, mutes and leaves, the device that did it left out. What an admin changes in a
// channel whatsmeow does not pass on. So what was last told of each channel is kept, and whatever WhatsApp says of it, in a notice, in an answer,
// or when the account connects, is news where it differs.

// channelRefused says why WhatsApp did not do something about a channel; denied is what it means that the account may not.
func channelRefused(err error, denied *refusal) error {
	switch serverCode(err) {
	case 404, 410:
		return channelNotFound
	case 401, 403:
		return denied
	}
	return err
}

// channelOf is a channel in its public form.
func channelOf(info *types.NewsletterMetadata) events.Channel {
	said := &info.ThreadMeta
	ch := events.Channel{
		ID: info.ID.String(), Name: clipped(said.Name.Text, maxChannelName), Description: clipped(said.Description.Text, maxChannelText),
		Followers: max(0, said.SubscriberCount), Verified: said.VerificationState == types.NewsletterVerificationStateVerified,
	}
	switch state := info.State.Type; state {
	case types.NewsletterStateActive, types.NewsletterStateSuspended, types.NewsletterStateGeoSuspended:
		ch.State = string(state)
	}
	picture := &said.Preview
	if said.Picture != nil && (said.Picture.URL != "" || said.Picture.DirectPath != "") {
		picture = said.Picture
	}
	if picture.URL != "" || picture.DirectPath != "" {
		ch.PictureID, ch.PictureURL = clipped(picture.ID, maxID), clipped(picture.URL, maxDirectPath)
		if ch.PictureURL == "" {
			ch.PictureURL = mediaSite + clipped(picture.DirectPath, maxDirectPath)
		}
	}
	if code := clipped(said.InviteCode, maxID); code != "" {
		ch.InviteCode, ch.InviteURL = code, whatsmeow.NewsletterLinkPrefix+code
	}
	if !said.CreationTime.IsZero() {
		at := said.CreationTime.UTC()
		ch.CreatedAt = &at
	}
	if viewer := info.ViewerMeta; viewer != nil {
		muted := viewer.Mute == types.NewsletterMuteOn
		ch.Role, ch.Muted = events.RoleGuest, &muted
		switch viewer.Role {
		case types.NewsletterRoleOwner, types.NewsletterRoleAdmin, types.NewsletterRoleSubscriber:
			ch.Role = string(viewer.Role)
		}
	}
	return ch
}

// follows says whether the account follows a channel, or runs it.
func follows(ch events.Channel) bool { return ch.Role != "" && ch.Role != events.RoleGuest }

// channelInfo asks for a channel, with what the account is to it.
func (c *connection) channelInfo(ctx context.Context, channel types.JID) (events.Channel, error) {
	info, err := c.client.GetNewsletterInfo(ctx, channel)
	switch {
	case err != nil:
		return events.Channel{}, channelRefused(fmt.Errorf("ask for channel: %w", err), channelNotFound)
	case info == nil || info.ID != channel:
		return events.Channel{}, channelNotFound
	}
	return channelOf(info), nil
}

// channelJID reads the JID of a channel.
func channelJID(id string) (types.JID, error) {
	jid, err := types.ParseJID(id)
	if err != nil || jid.Server != types.NewsletterServer || jid.User == "" {
		return jid, channelNotFound
	}
	return jid, nil
}

// keepChannel notes how a channel is, and tells what is new of it, in a transaction that holds the fence.
func (c *connection) keepChannel(ctx context.Context, tx *queue.Tx, ch events.Channel, tell bool) error {
	q := c.s.c.queries
	if err := q.GroupNameMany(ctx, tx, c.s.id, []string{ch.ID}, []string{ch.Name}); err != nil {
		return fmt.Errorf("write name of channel: %w", err)
	}
	if !follows(ch) {
		if ch.Role == events.RoleGuest {
			return c.forgetChannel(ctx, tx, ch.ID, "left")
		}
		return nil
	}
	known, err := json.Marshal(ch)
	if err != nil {
		return fmt.Errorf("encode channel: %w", err)
	}
	fresh, err := q.ChannelPut(ctx, tx, c.s.id, ch.ID, known)
	if err != nil {
		return fmt.Errorf("note channel: %w", err)
	}
	data := events.ChannelData{Channel: ch, Change: "joined"}
	if fresh == 0 {
		row, err := q.ChannelLock(ctx, tx, c.s.id, ch.ID)
		if err != nil {
			return fmt.Errorf("read channel: %w", err)
		}
		var before events.Channel
		if err := json.Unmarshal(row, &before); err != nil {
			return fmt.Errorf("decode channel: %w", err)
		}
		if data.Change, data.Changed = "changed", channelNews(before, ch); len(data.Changed) == 0 {
			return nil
		}
		if err := q.ChannelWrite(ctx, tx, known, c.s.id, ch.ID); err != nil {
			return fmt.Errorf("write channel: %w", err)
		}
	}
	if !tell {
		return nil
	}
	_, err = events.Publish(tx, events.ChannelUpdated, c.s.id, ch.ID, time.Now(), data)
	return err
}

// channelNews names what of a channel is another. The number of its followers is none: it changes all the time.
func channelNews(before, now events.Channel) (changed []string) {
	same := func(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }
	for _, m := range []struct {
		name string
		same bool
	}{
		{"name", before.Name == now.Name}, {"description", before.Description == now.Description}, {"pictureId", before.PictureID == now.PictureID},
		{"inviteCode", before.InviteCode == now.InviteCode}, {"verified", before.Verified == now.Verified}, {"state", before.State == now.State},
		{"role", before.Role == now.Role}, {"muted", same(before.Muted, now.Muted)},
	} {
		if !m.same {
			changed = append(changed, m.name)
		}
	}
	return changed
}

// forgetChannel notes that the account has no more to do with a channel, and tells it, once.
func (c *connection) forgetChannel(ctx context.Context, tx *queue.Tx, id, change string) error {
	row, err := c.s.c.queries.ChannelRemove(ctx, tx, c.s.id, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("forget channel: %w", err)
	}
	var ch events.Channel
	if err := json.Unmarshal(row, &ch); err != nil {
		return fmt.Errorf("decode channel: %w", err)
	}
	ch.Role, ch.Muted = "", nil
	_, err = events.Publish(tx, events.ChannelUpdated, c.s.id, id, time.Now(), events.ChannelData{Channel: ch, Change: change})
	return err
}

// channelMemory orders what is written of channels: an answer of WhatsApp's may be older than what was written since it was asked for, and must not
// undo it.
type channelMemory struct {
	mu    sync.Mutex // held while an answer is written
	noted int64      // how often something was written that is newer than any answer before
}

// note says that something newer is about to be written. It comes before any row of a channel is touched.
func (m *channelMemory) note() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noted++
}

// now is the time by which answers are told from what is newer.
func (m *channelMemory) now() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.noted
}

// notedChannel writes what a notice says of a channel.
func (c *connection) notedChannel(ctx context.Context, write func(ctx context.Context, tx *queue.Tx) error) error {
	c.channels.note()
	return c.s.inTx(ctx, write)
}

// learnChannels writes what an answer says of channels, unless something newer was noted since it was asked for.
func (c *connection) learnChannels(ctx context.Context, asked int64, write func(ctx context.Context, tx *queue.Tx) error) error {
	c.channels.mu.Lock()
	defer c.channels.mu.Unlock()
	if c.channels.noted != asked {
		return nil
	}
	return c.s.inTx(ctx, write)
}

// learntChannels is learnChannels for what a client has asked for. Failure policy: best effort; the next answer says it again.
func (c *connection) learntChannels(ctx context.Context, asked int64, list ...events.Channel) {
	err := c.learnChannels(ctx, asked, func(ctx context.Context, tx *queue.Tx) error {
		for _, ch := range list {
			if err := c.keepChannel(ctx, tx, ch, true); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		c.s.log.WarnContext(ctx, "what WhatsApp says of channels is not kept", "error", err)
	}
}

// followed asks for the channels that the account follows, by their ids.
func (c *connection) followed(ctx context.Context) ([]events.Channel, error) {
	infos, err := c.client.GetSubscribedNewsletters(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for channels: %w", err)
	}
	if infos == nil { // no answer, which is not the answer that there are none
		return nil, &refusal{"whatsapp_rejected", "WhatsApp did not say which channels there are."}
	}
	list := make([]events.Channel, 0, len(infos))
	for _, info := range infos {
		if info == nil || info.ID.Server != types.NewsletterServer {
			continue
		}
		ch := channelOf(info)
		if !follows(ch) { // it stands in the list of those that are followed
			ch.Role = events.RoleSubscriber
		}
		list = append(list, ch)
	}
	slices.SortFunc(list, func(a, b events.Channel) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(list, func(a, b events.Channel) bool { return a.ID == b.ID }), nil
}

// syncChannels brings what is known of channels up to date when the account connects: what was followed, left and changed meanwhile is told, but
// for what it follows when that is read for the first time. Failure policy: best effort; the next connection does it again.
func (c *connection) syncChannels() {
	ctx, cancel := context.WithTimeout(c.ctx, channelsTimeout)
	defer cancel()
	asked := c.channels.now()
	list, err := c.followed(ctx)
	if err == nil {
		err = c.learnChannels(ctx, asked, func(ctx context.Context, tx *queue.Tx) error {
			q := c.s.c.queries
			first, err := q.ChannelPut(ctx, tx, c.s.id, "", []byte("{}"))
			if err != nil {
				return fmt.Errorf("note channels: %w", err)
			}
			gone, err := q.ChannelIDs(ctx, tx, c.s.id)
			if err != nil {
				return fmt.Errorf("list channels: %w", err)
			}
			for _, ch := range list {
				if err := c.keepChannel(ctx, tx, ch, first == 0); err != nil {
					return err
				}
				gone = slices.DeleteFunc(gone, func(id string) bool { return id == ch.ID })
			}
			for _, id := range gone {
				if err := c.forgetChannel(ctx, tx, id, "left"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil && ctx.Err() == nil {
		c.s.log.WarnContext(ctx, "channels could not be brought up to date", "error", err)
	}
}

// joinedChannel handles the news that the account follows a channel, or has made one.
func (c *connection) joinedChannel(ctx context.Context, e *waevents.NewsletterJoin) error {
	if e.ID.Server != types.NewsletterServer || e.ID.User == "" {
		return nil
	}
	ch := channelOf(&e.NewsletterMetadata)
	if !follows(ch) {
		ch.Role = events.RoleSubscriber
	}
	return c.notedChannel(ctx, func(ctx context.Context, tx *queue.Tx) error { return c.keepChannel(ctx, tx, ch, true) })
}

// leftChannel handles the news that it does so no more.
func (c *connection) leftChannel(ctx context.Context, e *waevents.NewsletterLeave) error {
	return c.notedChannel(ctx, func(ctx context.Context, tx *queue.Tx) error { return c.forgetChannel(ctx, tx, e.ID.String(), "left") })
}

// mutedChannel handles the news that the account mutes a channel, or does so no more.
func (c *connection) mutedChannel(ctx context.Context, e *waevents.NewsletterMuteChange) error {
	muted := e.Mute == types.NewsletterMuteOn
	return c.notedChannel(ctx, func(ctx context.Context, tx *queue.Tx) error {
		row, err := c.s.c.queries.ChannelLock(ctx, tx, c.s.id, e.ID.String())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read channel: %w", err)
		}
		var ch events.Channel
		if err := json.Unmarshal(row, &ch); err != nil {
			return fmt.Errorf("decode channel: %w", err)
		}
		ch.Muted = &muted
		return c.keepChannel(ctx, tx, ch, true)
	})
}

// listChannels answers events.ListChannels.
func (c *connection) listChannels(ctx context.Context, q events.ChannelsQuestion) (page events.ChannelsPage, err error) {
	asked := c.channels.now()
	all, err := c.followed(ctx)
	if err != nil {
		return page, err
	}
	c.learntChannels(ctx, asked, all...)
	page.Data = []events.Channel{}
	size := 0
	for _, ch := range all {
		if ch.ID <= q.After {
			continue
		}
		text, err := json.Marshal(ch)
		if err != nil {
			return page, fmt.Errorf("encode channel: %w", err)
		}
		if size += len(text); len(page.Data) == q.Limit || size > events.MaxAnswer-answerRoom {
			page.Next = page.Data[len(page.Data)-1].ID
			break
		}
		page.Data = append(page.Data, ch)
	}
	return page, nil
}

// getChannel answers events.GetChannel.
func (c *connection) getChannel(ctx context.Context, q events.ChannelQuestion) (events.Channel, error) {
	jid, err := channelJID(q.ChannelID)
	if err != nil {
		return events.Channel{}, err
	}
	asked := c.channels.now()
	ch, err := c.channelInfo(ctx, jid)
	if err == nil {
		c.learntChannels(ctx, asked, ch)
	}
	return ch, err
}

// lookUpChannel answers events.LookUpChannel.
func (c *connection) lookUpChannel(ctx context.Context, q events.InviteQuestion) (events.Channel, error) {
	info, err := c.client.GetNewsletterInfoWithInvite(ctx, q.Code)
	invalid := &refusal{"invite_not_valid", "The code leads to no channel."}
	switch code := serverCode(err); {
	case code == 404 || code == 410 || code == 400, err == nil && (info == nil || info.ID.Server != types.NewsletterServer):
		return events.Channel{}, invalid
	case err != nil:
		return events.Channel{}, fmt.Errorf("look up channel: %w", err)
	}
	ch := channelOf(info)
	ch.Role, ch.Muted = "", nil
	return ch, nil
}
