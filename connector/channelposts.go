package connector

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxCounted bounds the posts of one live update, and maxCodes the emojis that one post is met with: what is rarer is left out.
	maxCounted, maxCodes = 100, 50
	// liveMost bounds for how long live updates are believed to come; WhatsApp says some 5 minutes.
	liveMost = time.Hour
)

// A post is a message in a channel, kept like any other under the channel as its chat and its author: who of its admins wrote it WhatsApp does not
// say. Posts that this session sends are messages of its own; edits and deletions are told like those of any message.

// posted handles what comes from a channel.
func (c *connection) posted(ctx context.Context, e *waevents.Message) error {
	info := &e.Info
	if !usableID(info.ID) || info.Chat.User == "" {
		c.s.log.WarnContext(ctx, "post without a usable id", "channel", info.Chat)
		return nil
	}
	switch info.Edit {
	case types.EditAttributeAdminRevoke:
		return c.toPost(ctx, e, c.revoked)
	case types.EditAttributeAdminEdit:
		does, err := c.edited(ctx, e.Message)
		if err != nil || does == nil {
			return err
		}
		return c.toPost(ctx, e, does)
	}
	p, file, ok, err := c.post(info.Chat, info.ID, info.ServerID, info.Timestamp, e.Message, e.RawMessage)
	if err != nil || !ok {
		return err
	}
	fresh := false
	err = c.s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		var id *uuid.UUID
		if id, err = c.keepPost(ctx, tx, p, file, false); err != nil {
			return err
		}
		if fresh = id != nil; !fresh {
			return nil
		}
		_, m, err := c.shown(ctx, tx, *id)
		if err != nil {
			return err
		}
		awaited := uuid.Nil
		if file != nil && *id == p.ID {
			awaited = file.ID
		}
		_, err = events.PublishAwaiting(tx, events.ChannelMessage, p.SessionID, p.ChannelID, p.Timestamp, events.MessageData{Message: m}, awaited)
		return err
	})
	if err == nil && fresh {
		c.s.c.metrics.received.WithLabelValues(events.Incoming, p.Type).Inc()
	}
	return err
}

// toPost finds the post that was edited or deleted, whoever wrote it, and lets effect write it. whatsmeow does not say who did it.
func (c *connection) toPost(ctx context.Context, e *waevents.Message, effect effect) error {
	channel := e.Info.Chat.String()
	at := e.Info.Timestamp
	if meta := e.NewsletterMeta; meta != nil && meta.EditTS.Unix() > 0 {
		at = meta.EditTS
	}
	return c.s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		row, err := c.s.c.queries.AddOnTarget(ctx, tx, db.AddOnTargetParams{
			SessionID: c.s.id, Owner: c.s.c.cfg.Owner, Epoch: c.s.epoch, WhatsappID: e.Info.ID, ChatIds: []string{channel}, Authors: []string{}, ContactID: channel,
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return errClaimLost
		}
		if err != nil {
			return fmt.Errorf("find post: %w", err)
		}
		a := addOn{
			row: row, ref: events.MessageRef{WhatsAppID: e.Info.ID, ChatID: channel}, who: events.NewAddress(channel, "", "", row.ContactName),
			sender: channel, direction: events.Incoming, at: at.UTC(),
		}
		if row.MessageID != nil {
			a.ref.MessageID = events.MessagePrefix.Format(*row.MessageID)
		}
		return effect(ctx, tx, a)
	})
}

// post says what is kept of a post, m as whatsmeow unwrapped it; false for one that says nothing to a person.
func (c *connection) post(channel types.JID, id string, number int, at time.Time, m, raw *waE2E.Message) (p db.ChannelPostKeepParams, file *db.Media, ok bool, err error) {
	m, _ = unwrap(m)
	if m == nil {
		return p, nil, false, nil
	}
	content, file := postFile(m)
	if content.Type == "" {
		var shown bool
		if content, shown = contentOf(m); !shown {
			return p, nil, false, nil
		}
	}
	p = db.ChannelPostKeepParams{
		SessionID: c.s.id, Owner: c.s.c.cfg.Owner, Epoch: c.s.epoch, ID: events.NewID(), ChannelID: channel.String(), WhatsappID: id, Type: content.Type, Timestamp: moment(at),
	}
	if p.Content, err = json.Marshal(content); err != nil {
		return p, nil, false, fmt.Errorf("encode content: %w", err)
	}
	if len(p.Content) > maxContent {
		file, p.Type, p.Content = nil, events.ContentUnsupported, json.RawMessage(`{"type":"`+events.ContentUnsupported+`"}`)
	}
	if file != nil {
		p.MediaID = &file.ID
	}
	if p.Context, err = contextJSON(postgres.MessageContext{ServerID: number}); err != nil {
		return p, nil, false, err
	}
	p.Raw, err = rawOf(raw)
	p.Raw = c.s.sealRaw(p.Raw)
	return p, file, err == nil, err
}

// postFile reads a post with a file, which everybody may read and so is not encrypted; nil where it has none that can be fetched. A channel may hold
// what was forwarded from a chat, with keys, too.
func postFile(m *waE2E.Message) (content events.Content, file *db.Media) {
	content, f := fileOf(m)
	if f == nil || len(f.GetMediaKey()) > 0 || len(f.GetFileEncSHA256()) > 0 {
		return mediaOf(m)
	}
	if len(f.GetFileSHA256()) != 32 || f.GetDirectPath() == "" || len(f.GetDirectPath()) > maxDirectPath || f.GetFileLength() > math.MaxInt64 {
		return events.Content{Type: events.ContentUnsupported}, nil
	}
	return fetchable(m, content, f)
}

// keepPost keeps a post, with its file, and returns our id of it; nil where it is there already. One of history is kept without a word, and its file
// is fetched when somebody wants it.
func (c *connection) keepPost(ctx context.Context, tx *queue.Tx, p db.ChannelPostKeepParams, file *db.Media, history bool) (*uuid.UUID, error) {
	p.History = history
	id, err := c.s.c.queries.ChannelPostKeep(ctx, tx, p)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errClaimLost
	}
	if err != nil {
		return nil, fmt.Errorf("write post: %w", err)
	}
	if id == nil || file == nil || *id != p.ID {
		return id, nil
	}
	if !history {
		return id, c.keepMedia(ctx, tx, db.MessageReceiveParams{SessionID: p.SessionID, Timestamp: p.Timestamp}, id, *file)
	}
	err = c.s.c.queries.HistoryMedia(ctx, tx, db.HistoryMediaParams{
		ID: file.ID, SessionID: &p.SessionID, MessageID: id, Mimetype: file.Mimetype, FileName: file.FileName, Size: file.Size, Sha256: file.Sha256, Kind: file.Kind,
		DirectPath: file.DirectPath, MediaKey: c.sealMediaKey(*file), EncSha256: file.EncSha256, RemoteAt: &p.Timestamp,
	})
	if err != nil {
		return nil, fmt.Errorf("write file of post: %w", err)
	}
	return id, nil
}

// listPosts answers events.ListPosts. What it shows is kept, so that every post has an id of ours.
func (c *connection) listPosts(ctx context.Context, q events.PostsQuestion) (page events.PostsPage, err error) {
	channel, err := channelJID(q.ChannelID)
	if err != nil {
		return page, err
	}
	found, err := c.client.GetNewsletterMessages(ctx, channel, &whatsmeow.GetNewsletterMessagesParams{Count: q.Limit, Before: q.Before})
	if err != nil {
		return page, channelRefused(fmt.Errorf("ask for posts: %w", err), &refusal{"forbidden", "WhatsApp does not show this account the channel's posts."})
	}
	slices.SortFunc(found, func(a, b *types.NewsletterMessage) int { return cmp.Compare(b.MessageServerID, a.MessageServerID) })
	found = found[:min(len(found), q.Limit)]
	rows := map[string]db.MessageView{}
	err = c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		var ids []string
		for _, m := range found {
			if !usableID(m.MessageID) {
				continue
			}
			p, file, ok, err := c.post(channel, m.MessageID, m.MessageServerID, m.Timestamp, m.Message, m.Message)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if _, err := c.keepPost(ctx, tx, p, file, true); err != nil {
				return err
			}
			ids = append(ids, m.MessageID)
		}
		list, err := c.s.c.queries.ChannelPostList(ctx, tx, c.s.id, channel.String(), ids)
		if err != nil {
			return fmt.Errorf("read posts: %w", err)
		}
		for _, v := range list {
			rows[v.WhatsappID] = v
		}
		return nil
	})
	if err != nil {
		return page, err
	}
	return c.postsPage(found, rows, len(found) >= q.Limit)
}

// postsPage shows posts, as many as fit into an answer.
func (c *connection) postsPage(found []*types.NewsletterMessage, rows map[string]db.MessageView, more bool) (page events.PostsPage, err error) {
	page.Data = []events.ChannelPost{}
	size, last := 0, 0
	for _, m := range found {
		v, ok := rows[m.MessageID]
		if ok {
			post := events.ChannelPost{PostCounts: countsOf(m)}
			if post.Message, err = postgres.Message(v, c.s.c.cfg.PublicURL); err != nil {
				return page, err
			}
			if post.ServerID == 0 { // one that was sent when its answer was lost
				post.ServerID = m.MessageServerID
			}
			text, err := json.Marshal(post)
			if err != nil {
				return page, fmt.Errorf("encode post: %w", err)
			}
			if size += len(text); size > events.MaxAnswer-answerRoom && len(page.Data) > 0 {
				more = true
				break
			}
			page.Data = append(page.Data, post)
		}
		last = m.MessageServerID
	}
	if more {
		page.Next = last
	}
	return page, nil
}

// countsOf says what a post was met with.
func countsOf(m *types.NewsletterMessage) events.PostCounts {
	counts := events.PostCounts{Views: max(0, m.ViewsCount), ReactionCounts: []events.ReactionCount{}}
	for code, n := range m.ReactionCounts {
		if code = printable(code); code != "" && len(code) <= maxEmoji && n > 0 {
			counts.ReactionCounts = append(counts.ReactionCounts, events.ReactionCount{Emoji: code, Count: n})
		}
	}
	slices.SortFunc(counts.ReactionCounts, func(a, b events.ReactionCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Emoji, b.Emoji))
	})
	counts.ReactionCounts = counts.ReactionCounts[:min(len(counts.ReactionCounts), maxCodes)]
	return counts
}

// watchChannel answers events.WatchChannel.
func (c *connection) watchChannel(ctx context.Context, q events.ChannelQuestion) (events.ChannelWatched, error) {
	channel, err := channelJID(q.ChannelID)
	if err != nil {
		return events.ChannelWatched{}, err
	}
	lasts, err := c.client.NewsletterSubscribeLiveUpdates(ctx, channel)
	if err != nil {
		return events.ChannelWatched{}, channelRefused(fmt.Errorf("ask for live updates: %w", err), &refusal{"forbidden", "WhatsApp does not tell this account of the channel."})
	}
	lasts = min(max(lasts, 0), liveMost)
	return events.ChannelWatched{ChannelID: channel.String(), Until: time.Now().Add(lasts).UTC().Truncate(time.Second)}, nil
}

// countedPosts tells what posts are met with, as far as WhatsApp was asked to tell it. One that comes again says the same again.
func (c *connection) countedPosts(ctx context.Context, e *waevents.NewsletterLiveUpdate) error {
	if e.JID.Server != types.NewsletterServer {
		return nil
	}
	data := events.ChannelCountsData{ChannelID: e.JID.String(), Posts: []events.CountedPost{}}
	for _, m := range e.Messages[:min(len(e.Messages), maxCounted)] {
		if m.MessageServerID <= 0 {
			continue
		}
		post := events.CountedPost{ServerID: m.MessageServerID, PostCounts: countsOf(m)}
		if usableID(m.MessageID) {
			post.WhatsAppID = m.MessageID
		}
		data.Posts = append(data.Posts, post)
	}
	if len(data.Posts) == 0 {
		return nil
	}
	return c.s.inTx(ctx, func(_ context.Context, tx *queue.Tx) error {
		_, err := events.Publish(tx, events.ChannelCounts, c.s.id, data.ChannelID, moment(e.Time), data)
		return err
	})
}
