package api

import (
	"context"
	"fmt"

	"github.com/chasqui/chasqui/events"
)

// MessageReceipts holds the receipts of a message.
type MessageReceipts struct {
	Data []events.MessageReceipt `json:"data" doc:"One for each person whose device has told something, in the order in which they received it: at most as many as the group has participants."`
}

func (s *Server) addReceipts() {
	read := exampleTime
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/messages/{messageId}/receipts", id: "list-receipts", tag: "Messages", status: 200,
		summary:     "Read a message's receipts",
		description: "Who has received, read and played a message that the session sent, and when: in a group each participant. A message that was received has none.",
		response:    MessageReceipts{[]events.MessageReceipt{{Contact: exampleMessage.To, DeliveredAt: &read, ReadAt: &read}}}, codes: []Code{SessionNotFound, MessageNotFound},
	}, s.listReceipts)
}

func (s *Server) listReceipts(ctx context.Context, in *struct{ MessagePath }) (*struct{ Body MessageReceipts }, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	m, err := s.messageRow(ctx, s.pool, in.MessagePath)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.ReceiptList(ctx, s.pool, in.SessionID, m.ID)
	if err != nil {
		return nil, fmt.Errorf("list receipts: %w", err)
	}
	list := make([]events.MessageReceipt, len(rows))
	for i, r := range rows {
		list[i] = events.MessageReceipt{
			Contact: events.NewAddress(r.ContactID, r.Phone, r.Lid, r.Name), DeliveredAt: r.DeliveredAt, ReadAt: r.ReadAt, PlayedAt: r.PlayedAt,
		}
	}
	return &struct{ Body MessageReceipts }{MessageReceipts{list}}, nil
}
