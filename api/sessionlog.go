package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

func (s *Server) addSessionLog() {
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/log", id: "list-session-log", tag: "Sessions", status: 200,
		summary: "Read a session's log",
		description: "What happened to the session, newest first: its states with their reasons and WhatsApp's codes, what linked it and what came to nothing, restrictions, and which settings " +
			"were changed, without their values. The newest 500 entries are kept, and go with the session.",
		response: List[events.LogEntry]{Data: []events.LogEntry{
			{ID: "4711", At: exampleTime, Kind: events.LogState, State: events.StateReconnecting, Reason: `WhatsApp closed the connection (error "503")`, Code: "503"},
			{ID: "4702", At: exampleTime, Kind: events.LogSettings, Settings: []string{"proxy"}},
		}},
		codes: []Code{SessionNotFound},
	}, s.listSessionLog)
}

func (s *Server) listSessionLog(ctx context.Context, in *struct {
	SessionPath
	Page
}) (*listed[events.LogEntry], error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	before := int64(0)
	if in.Cursor != "" {
		var err error
		if before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || before <= 0 {
			return nil, invalid("query.cursor", "this is no nextCursor of this list")
		}
	}
	rows, err := s.q.SessionLogList(ctx, s.pool, in.SessionID, before, in.rows())
	if err != nil {
		return nil, fmt.Errorf("list session log: %w", err)
	}
	id := func(row db.SessionLog) string { return strconv.FormatInt(row.ID, 10) }
	return paged(rows, in.Limit, "/v1/sessions/"+in.SessionID+"/log", url.Values{}, func(row db.SessionLog) (events.LogEntry, error) {
		return events.LogEntry{
			ID: id(row), At: row.At, Kind: row.Kind, State: events.SessionState(row.State), Reason: row.Reason, Code: row.Code, Settings: row.Settings,
		}, nil
	}, id)
}

// logSettings notes that a client changed a session's name or settings: their names alone, for a proxy has a password.
func (s *Server) logSettings(ctx context.Context, tx db.DBTX, sessionID string, name *string, settings json.RawMessage) error {
	given := map[string]json.RawMessage{}
	if err := json.Unmarshal(settings, &given); err != nil {
		return fmt.Errorf("decode settings: %w", err)
	}
	if name != nil {
		given["name"] = nil
	}
	if len(given) == 0 {
		return nil
	}
	err := s.q.SessionLogAppend(ctx, tx, db.SessionLogAppendParams{SessionID: sessionID, Kind: events.LogSettings, Settings: slices.Sorted(maps.Keys(given))})
	if err != nil {
		return fmt.Errorf("write session log: %w", err)
	}
	return nil
}
