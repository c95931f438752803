package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/seal"
)

const (
	// historiesMost bounds the parts of histories in memory at once, of all sessions here. A part is held whole, as whatsmeow loads it; a
	// phone sends some megabytes at a time.
	historiesMost = 2
	// historyTimeout bounds the loading of one part.
	historyTimeout = 5 * time.Minute
	// maxHistoryFile bounds the file of a part, in bytes.
	maxHistoryFile = 256 << 20
	// historyWait is the pause after a part could not be loaded, historyRoom where others are being stored.
	historyWait, historyRoom = 5 * time.Second, 500 * time.Millisecond
)

// historyOffered notes that the phone offers a part of its history: the account's own phone, for nobody else may write the past. A command
// stores it.
func (c *connection) historyOffered(ctx context.Context, info *types.MessageInfo, offer *waE2E.HistorySyncNotification) error {
	if !info.IsFromMe || info.Sender.Device != 0 || info.ID == "" || len(info.ID) > maxID || printable(info.ID) != info.ID {
		return nil
	}
	notification, err := proto.Marshal(offer)
	if err != nil {
		return fmt.Errorf("encode offer of history: %w", err)
	}
	id := events.NewID()
	command, err := json.Marshal(events.HistoryCommand{PartID: id, SessionID: c.s.id})
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		n, err := c.s.c.queries.HistoryOffer(ctx, tx, id, c.s.id, info.ID, c.s.c.cfg.Keys.Seal(notification, seal.HistoryOffer.At(c.s.id)))
		if err != nil {
			return fmt.Errorf("write offer of history: %w", err)
		}
		if n > 0 {
			tx.Publish(events.TopicCommands, queue.Message{
				ID: id, Lane: events.HistoryLane(c.s.id), Session: c.s.id, Payload: command, Metadata: map[string]string{events.MetaCommand: events.CommandHistory},
			})
		}
		return nil
	})
}

// history stores a part of the phone's history. The row is the truth: one that has ended is done. It may be repeated after a crash: what is
// there already is left as it is, and the end is told once, with its row.
//
// Failure policy: without a connection the lane is parked; what cannot be loaded is tried again for sendPatience while the session is
// connected, what is broken or gone not at all, and then given up, which is told: the phone offers it no more, but can be asked for a chat's older
// messages. What the database does not take is tried again without an end.
func (s *session) history(ctx context.Context, id uuid.UUID) (outcome string, err error) {
	conn := s.sender()
	if conn == nil {
		s.untry(id)
		return s.park()
	}
	select {
	case s.c.histories <- struct{}{}:
		defer func() { <-s.c.histories }()
	default:
		return "waiting", queue.WaitFor{D: historyRoom}
	}
	row, err := s.c.queries.HistoryRead(ctx, s.c.pool, s.id, id)
	if errors.Is(err, pgx.ErrNoRows) { // stored, unless it is the claim that is gone
		return s.ended(ctx, id)
	}
	if err != nil {
		return s.again(fmt.Errorf("read part of history: %w", err))
	}
	notification, err := s.c.cfg.Keys.Open(row.Notification, seal.HistoryOffer.At(s.id))
	if err != nil {
		return s.again(fmt.Errorf("open part of history: %w", err))
	}
	var offer waE2E.HistorySyncNotification
	if err := proto.Unmarshal(notification, &offer); err != nil {
		return s.giveUpHistory(ctx, id, events.HistoryData{Kind: "other", Missing: events.HistoryUnreadable}, "", err)
	}
	past, err := conn.loadHistory(ctx, &offer)
	switch {
	case err == nil:
	case errors.Is(err, errClaimLost):
		return s.again(err)
	case interrupted(ctx, conn, err):
		return "waiting", queue.WaitFor{D: brokenWait}
	case historyGone(err), offer.InitialHistBootstrapInlinePayload != nil, time.Since(s.triedSince(id)) >= sendPatience:
		return s.giveUpHistory(ctx, id, offeredHistory(&offer, err), offer.GetPeerDataRequestSessionID(), err)
	default:
		s.log.WarnContext(ctx, "history not loaded; trying again", "part", id, "error", err)
		return "waiting", queue.WaitFor{D: historyWait}
	}
	told, err := conn.storeHistory(ctx, id, past)
	if err != nil {
		return s.again(err)
	}
	if err := conn.joinKnown(ctx); err != nil { // whose phones the part has shown
		return s.again(err)
	}
	outcome, err = s.endHistory(ctx, id, told, "", "")
	if err == nil {
		conn.dropHistory(ctx, &offer)
	}
	return outcome, err
}

// historyGone says that a part cannot be had, however often it is tried.
func historyGone(err error) bool { return historyError(err) != events.HistoryUnavailable }

// historyError is why a part cannot be had, as events tell it.
func historyError(err error) string {
	switch {
	case errors.Is(err, whatsmeow.ErrMediaDownloadFailedWith403), errors.Is(err, whatsmeow.ErrMediaDownloadFailedWith404),
		errors.Is(err, whatsmeow.ErrMediaDownloadFailedWith410):
		return events.HistoryFileGone
	case errors.Is(err, errHistoryTooLarge), errors.Is(err, whatsmeow.ErrInvalidMediaHMAC):
		return events.HistoryUnreadable
	}
	return events.HistoryUnavailable
}

// offeredHistory is what is told of a part that was offered and cannot be had. One that came within its offer was not loaded.
func offeredHistory(offer *waE2E.HistorySyncNotification, err error) events.HistoryData {
	told := events.HistoryData{
		Kind:     historyKind(waHistorySync.HistorySync_HistorySyncType(offer.GetSyncType())),
		Progress: int(min(offer.GetProgress(), 100)), Missing: historyError(err),
	}
	if offer.InitialHistBootstrapInlinePayload != nil {
		told.Missing = events.HistoryUnreadable
	}
	return told
}

var errHistoryTooLarge = errors.New("the part is too large")

// loadHistory loads a part of the history over this connection. whatsmeow keeps of it what it needs itself: secrets of messages, the LIDs of
// phones, names.
func (c *connection) loadHistory(ctx context.Context, offer *waE2E.HistorySyncNotification) (past *waHistorySync.HistorySync, err error) {
	err = c.call(ctx, historyTimeout, "loading history", func(ctx context.Context) (err error) {
		if offer.GetFileLength() > maxHistoryFile {
			return errHistoryTooLarge
		}
		if past, err = c.client.DownloadHistorySync(ctx, offer, true); err != nil {
			return fmt.Errorf("load history: %w", err)
		}
		return nil
	})
	return past, err
}

// dropHistory deletes the file of a part that is stored, as WhatsApp's own clients do. Failure policy: best effort, WhatsApp's copy expires.
func (c *connection) dropHistory(ctx context.Context, offer *waE2E.HistorySyncNotification) {
	if offer.GetDirectPath() == "" || offer.InitialHistBootstrapInlinePayload != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	if err := c.client.DeleteMedia(ctx, whatsmeow.MediaHistory, offer.GetDirectPath(), offer.GetFileEncSHA256(), offer.GetEncHandle()); err != nil {
		c.s.log.InfoContext(ctx, "the file of a stored part of history is left to expire", "error", err)
	}
}

// giveUpHistory ends a part that cannot be had. request is WhatsApp's id of the request that it answers, "" for none.
func (s *session) giveUpHistory(ctx context.Context, id uuid.UUID, told events.HistoryData, request string, cause error) (string, error) {
	s.log.WarnContext(ctx, "part of history given up", "part", id, "error", cause)
	if _, err := s.endHistory(ctx, id, told, request, printable(cause.Error())); err != nil {
		return "", err
	}
	return "refused", nil
}

// endHistory ends a part and tells of it.
func (s *session) endHistory(ctx context.Context, id uuid.UUID, told events.HistoryData, request, failure string) (string, error) {
	err := s.inTx(context.WithoutCancel(ctx), func(ctx context.Context, tx *queue.Tx) error {
		messages, err := s.c.queries.HistoryFinish(ctx, tx, failure, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write end of part of history: %w", err)
		}
		if err := s.c.queries.HistoryForget(ctx, tx, s.id); err != nil {
			return fmt.Errorf("forget old parts of history: %w", err)
		}
		if request != "" {
			told.ChatID, err = s.c.queries.HistoryAskedOf(ctx, tx, s.id, events.AskHistory.Kind, request)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return fmt.Errorf("find request for history: %w", err)
			}
		}
		told.Messages = int(messages)
		_, err = events.Publish(tx, events.HistorySynced, s.id, told.ChatID, time.Now(), told)
		return err
	})
	if err != nil {
		return s.again(err)
	}
	s.untry(id)
	return "done", nil
}

// askHistory makes events.AskHistory. The request is a message between the account's devices, under an id of its own: repeated after a crash,
// the phone answers the same.
func (c *connection) askHistory(ctx context.Context, ch change, p events.HistoryAsk) (func(context.Context, *queue.Tx) (events.HistoryAsked, error), error) {
	chat, err := types.ParseJID(ch.chat)
	if err != nil {
		return nil, fmt.Errorf("parse chat id: %w", err)
	}
	if chat, err = c.stateJID(ctx, chat); err != nil {
		return nil, err
	}
	before := types.MessageInfo{ID: p.BeforeID, Timestamp: p.At, MessageSource: types.MessageSource{Chat: chat, IsFromMe: p.FromMe}}
	request := c.client.BuildHistorySyncRequest(&before, p.Count)
	if c.device.ID == nil {
		return nil, whatsmeow.ErrNotLoggedIn
	}
	extra := whatsmeow.SendRequestExtra{ID: p.WhatsAppID, Peer: true, Timeout: c.s.c.pace.ack}
	if _, err := c.client.SendMessage(ctx, c.device.ID.ToNonAD(), request, extra); err != nil {
		return nil, fmt.Errorf("ask phone: %w", err)
	}
	return func(context.Context, *queue.Tx) (events.HistoryAsked, error) {
		return events.HistoryAsked{ChatID: ch.chat, Count: p.Count}, nil
	}, nil
}

// historyKind names a kind of history as events do.
func historyKind(t waHistorySync.HistorySync_HistorySyncType) string {
	switch t {
	case waHistorySync.HistorySync_INITIAL_BOOTSTRAP:
		return "initial"
	case waHistorySync.HistorySync_RECENT, waHistorySync.HistorySync_FULL, waHistorySync.HistorySync_ON_DEMAND:
		return strings.ToLower(t.String())
	case waHistorySync.HistorySync_PUSH_NAME:
		return "push_names"
	}
	return "other"
}
