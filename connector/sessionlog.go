package connector

import (
	"context"
	"fmt"
	"strconv"

	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// logged adds an entry to the session's log, in a transaction that holds the claim.
func (s *session) logged(ctx context.Context, tx db.DBTX, entry events.LogEntry) error {
	err := s.c.queries.SessionLogAppend(ctx, tx, db.SessionLogAppendParams{
		SessionID: s.id, Kind: entry.Kind, State: string(entry.State), Reason: printable(entry.Reason), Code: printable(entry.Code), Settings: []string{},
	})
	if err != nil {
		return fmt.Errorf("write session log: %w", err)
	}
	return nil
}

// note adds an entry about a step of linking that changes no state. Failure policy: best effort; the step is the same without it.
func (s *session) note(ctx context.Context, reason string, code int) {
	entry := events.LogEntry{Kind: events.LogPairing, Reason: reason}
	if code != 0 {
		entry.Code = strconv.Itoa(code)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handlerTimeout)
	defer cancel()
	err := s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		if err := s.hold(ctx, tx); err != nil {
			return err
		}
		return s.logged(ctx, tx, entry)
	})
	if err != nil {
		s.log.WarnContext(ctx, "session log not written", "error", err)
	}
}

// codeOf is WhatsApp's own code in what whatsmeow says of a connection's end, or "".
func codeOf(said any) string {
	switch e := said.(type) {
	case *waevents.StreamError:
		return e.Code
	case *waevents.LoggedOut:
		if e.Reason != 0 {
			return e.Reason.NumberString()
		}
	case *waevents.ConnectFailure:
		return e.Reason.NumberString()
	case *waevents.TemporaryBan:
		return strconv.Itoa(int(e.Code))
	case *waevents.ClientOutdated:
		return waevents.ConnectFailureClientOutdated.NumberString()
	}
	return ""
}
