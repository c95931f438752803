package connector

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// maxLabelID bounds a label's id, which other devices choose; WhatsApp's are small numbers.
const maxLabelID = 64

// editLabel makes events.EditLabel.
func (c *connection) editLabel(ctx context.Context, ch change, p events.LabelEdit) (func(context.Context, *queue.Tx) (events.Label, error), error) {
	label := events.Label{ID: p.ID}
	if p.Name == nil || p.Color == nil {
		row, err := c.s.c.queries.LabelGet(ctx, c.s.c.pool, c.s.id, p.ID)
		switch {
		case errors.Is(err, pgx.ErrNoRows) && p.Deleted && ch.begun: // this very change deleted it
		case errors.Is(err, pgx.ErrNoRows):
			return nil, &refusal{"label_not_found", "The label was deleted."}
		case err != nil:
			return nil, fmt.Errorf("read label: %w", err)
		}
		label.Name, label.Color = row.Name, int(row.Color)
	}
	if p.Name != nil {
		label.Name = *p.Name
	}
	if p.Color != nil {
		label.Color = *p.Color
	}
	if err := c.sendAppState(ctx, appstate.BuildLabelEdit(label.ID, label.Name, int32(label.Color), p.Deleted)); err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Label, error) {
		return label, c.keepLabel(ctx, tx, label, p.Deleted, true)
	}, nil
}

// keepLabel writes a label, or its end, and with tell publishes label.updated if that is news.
func (c *connection) keepLabel(ctx context.Context, tx *queue.Tx, label events.Label, deleted, tell bool) error {
	q, s := c.s.c.queries, c.s
	var n int64
	var err error
	if deleted {
		if n, err = q.LabelRemove(ctx, tx, s.id, label.ID); err == nil {
			if number, bad := strconv.ParseInt(label.ID, 10, 32); bad == nil && number < 1e8 {
				err = q.LabelRetire(ctx, tx, s.id, int32(number))
			}
		}
		if err == nil {
			err = q.LabelClear(ctx, tx, s.id, label.ID)
		}
	} else {
		n, err = q.LabelPut(ctx, tx, s.id, label.ID, label.Name, int32(label.Color))
	}
	if err != nil {
		return fmt.Errorf("write label: %w", err)
	}
	if n == 0 || !tell {
		return nil
	}
	_, err = events.Publish(tx, events.LabelUpdated, s.id, "", time.Now(), events.LabelData{Label: label, Deleted: deleted})
	return err
}

// labelChat makes events.LabelChat.
func (c *connection) labelChat(ctx context.Context, ch change, p events.ChatLabel) (func(context.Context, *queue.Tx) (events.Chat, error), error) {
	chat, err := types.ParseJID(ch.chat)
	if err != nil {
		return nil, fmt.Errorf("parse chat id: %w", err)
	}
	if chat, err = c.stateJID(ctx, chat); err != nil {
		return nil, err
	}
	if err := c.sendAppState(ctx, appstate.BuildLabelChat(chat, p.LabelID, p.Labeled)); err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Chat, error) {
		if err := c.keepChatLabel(ctx, tx, ch.chat, p.LabelID, p.Labeled, true); err != nil {
			return events.Chat{}, err
		}
		return c.chat(ctx, tx, ch.chat)
	}, nil
}

// keepChatLabel writes whether a chat has a label, and with tell publishes label.updated if that is news.
func (c *connection) keepChatLabel(ctx context.Context, tx *queue.Tx, chat, labelID string, labeled, tell bool) error {
	write := c.s.c.queries.LabelChatRemove
	if labeled {
		write = c.s.c.queries.LabelChatAdd
	}
	n, err := write(ctx, tx, c.s.id, chat, labelID)
	if err != nil {
		return fmt.Errorf("write label of chat: %w", err)
	}
	if n == 0 || !tell {
		return nil
	}
	row, err := c.s.c.queries.LabelGet(ctx, tx, c.s.id, labelID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read label: %w", err)
	}
	data := events.LabelData{Label: events.Label{ID: labelID, Name: row.Name, Color: int(row.Color)}, ChatID: chat, Labeled: &labeled}
	_, err = events.Publish(tx, events.LabelUpdated, c.s.id, chat, time.Now(), data)
	return err
}

// labelEdited takes that a label was made, changed or deleted on another device.
func (c *connection) labelEdited(ctx context.Context, e *waevents.LabelEdit) error {
	if c.echoes.own(e.Timestamp, e.LabelID) || !usableLabel(e.LabelID) {
		return nil
	}
	label := events.Label{ID: e.LabelID, Name: pushName(e.Action.GetName()), Color: int(e.Action.GetColor())}
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		return c.keepLabel(ctx, tx, label, e.Action.GetDeleted(), !e.FromFullSync)
	})
}

// chatLabeled takes that a chat got a label, or lost it, on another device.
func (c *connection) chatLabeled(ctx context.Context, e *waevents.LabelAssociationChat) error {
	if c.echoes.own(e.Timestamp, e.LabelID) || !usableLabel(e.LabelID) {
		return nil
	}
	id, ok, err := c.settingOf(ctx, e.JID, e.Timestamp)
	if err != nil || !ok {
		return err
	}
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		return c.keepChatLabel(ctx, tx, id, e.LabelID, e.Action.GetLabeled(), !e.FromFullSync)
	})
}

// usableLabel says whether an id is one that can be kept.
func usableLabel(id string) bool {
	return id != "" && len(id) <= maxLabelID && printable(id) == id && !strings.Contains(id, "/")
}
