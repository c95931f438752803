package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/waproto"
)

// maxRawBytes bounds what one answer holds of WhatsApp's own form of messages, as stored and, twice, as JSON: 4 MiB are a page of 200 messages of
// 20 KB. Messages beyond it come without.
const maxRawBytes = 4 << 20

// RawWish asks for WhatsApp's own form of messages.
type RawWish struct {
	Raw bool `query:"raw" doc:"Add WhatsApp's own form of the message (waE2E.Message in JSON) as raw, as it is stored: after an edit it is the new one. Keys are left out. Absent for a message without one, and where it is very large or the page has too much of it." example:"true"`
}

// raws reads WhatsApp's own form of messages. What cannot be shown is left out.
func (s *Server) raws(ctx context.Context, from db.DBTX, ids []uuid.UUID) (map[uuid.UUID]json.RawMessage, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := s.q.MessageRawMany(ctx, from, ids, maxRawBytes)
	if err != nil {
		return nil, fmt.Errorf("read raw messages: %w", err)
	}
	left, raws := 2*maxRawBytes, make(map[uuid.UUID]json.RawMessage, len(rows))
	for _, row := range rows {
		raw, err := s.config.Keys.Open(row.Raw, seal.RawMessage.At(row.SessionID))
		if err != nil {
			s.log.WarnContext(ctx, "a message's raw form is not shown", "message", row.ID, "error", err)
			continue
		}
		text, err := waproto.JSON(raw)
		if err != nil {
			s.log.InfoContext(ctx, "a message's raw form is not shown", "message", row.ID, "error", err)
			continue
		}
		if left -= len(text); left < 0 {
			break
		}
		raws[row.ID] = text
	}
	return raws, nil
}

// withRaw adds WhatsApp's own form to messages.
func (s *Server) withRaw(ctx context.Context, from db.DBTX, messages []events.Message) error {
	ids := make([]uuid.UUID, 0, len(messages))
	for _, m := range messages {
		id, err := events.MessagePrefix.Parse(m.ID)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	raws, err := s.raws(ctx, from, ids)
	for i := range messages {
		messages[i].Raw = raws[ids[i]]
	}
	return err
}

// eventsWithRaw adds data.message.raw to the events about a message that is stored; the rest of their bytes stays as it is.
func (s *Server) eventsWithRaw(ctx context.Context, from db.DBTX, bodies []storedEvent) error {
	type message struct {
		text json.RawMessage
		id   uuid.UUID
	}
	of, ids := make([]message, len(bodies)), []uuid.UUID{}
	for i, body := range bodies {
		var e struct {
			Data struct {
				Message json.RawMessage `json:"message"`
			} `json:"data"`
		}
		var named struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(body, &e) != nil || json.Unmarshal(e.Data.Message, &named) != nil {
			continue // events of other shapes, such as those without a message
		}
		id, err := events.MessagePrefix.Parse(named.ID)
		if err != nil {
			continue
		}
		of[i] = message{e.Data.Message, id}
		ids = append(ids, id)
	}
	raws, err := s.raws(ctx, from, ids)
	if err != nil {
		return err
	}
	for i, body := range bodies {
		m := of[i]
		raw, ok := raws[m.id]
		if !ok {
			continue
		}
		var fit bytes.Buffer
		if err := json.Compact(&fit, raw); err != nil {
			return fmt.Errorf("compact raw message: %w", err)
		}
		with := append(append(append(bytes.Clone(m.text[:len(m.text)-1]), `,"raw":`...), fit.Bytes()...), '}')
		bodies[i] = bytes.Replace(body, m.text, with, 1)
	}
	return nil
}
