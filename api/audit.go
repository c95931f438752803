package api

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// auditKept is how long the audit log reaches back.
const auditKept = 400 * 24 * time.Hour

// An auditEntry is a change that a request asks for, until it is made.
type auditEntry struct {
	operation, path, session, remote string
}

// AuditEntry is a change that was made.
type AuditEntry struct {
	ID        string    `json:"id" example:"aud_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	At        time.Time `json:"at"`
	KeyID     string    `json:"keyId,omitempty" doc:"Whose request it was; absent for API_KEY." example:"key_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	KeyName   string    `json:"keyName" doc:"What the key was called then." example:"CRM"`
	Operation string    `json:"operation" doc:"The operationId of this document." example:"send-message"`
	Path      string    `json:"path" doc:"What was asked for, without its query." example:"/v1/sessions/sales/messages"`
	SessionID string    `json:"sessionId,omitempty" doc:"The session that the path names." example:"sales"`
	Address   string    `json:"address" doc:"Where the request came from; behind a reverse proxy the proxy's." example:"203.0.113.7"`
	RequestID string    `json:"requestId" doc:"The request in the log." example:"req_5f2b9c0e7a1d4f63"`
}

func (s *Server) addAudit() {
	register(s, operation{
		method: "GET", path: "/v1/audit-log", id: "list-audit-log", tag: keysTag, status: 200, scope: scopeAdmin,
		summary: "Read the audit log",
		description: "Every change that was made through the API: who, what, from where; newest first. An entry is written with its change, or not at all. What was sent is not in it, nor are requests that were " +
			"refused. It reaches back 400 days.",
		response: List[AuditEntry]{Data: []AuditEntry{{
			ID: "aud_01932f0c5d6b7a10b1f4d0c4a8e2f001", At: exampleTime, KeyID: exampleKey.ID, KeyName: "CRM", Operation: "send-message", Path: "/v1/sessions/sales/messages",
			SessionID: "sales", Address: "203.0.113.7", RequestID: "req_5f2b9c0e7a1d4f63",
		}}},
	}, s.listAudit)
}

// audit adds the entry of the request to the transaction of its change, with the commit and in its round trip. A request that makes its change in
// several transactions has one entry, with the first.
func (s *Server) audit(ctx context.Context, tx *queue.Tx) {
	c := callOf(ctx)
	if c.change == nil {
		return
	}
	e := c.change
	var key *uuid.UUID
	if c.caller.id != (uuid.UUID{}) {
		key = &c.caller.id
	}
	host, _, err := net.SplitHostPort(e.remote)
	if err != nil {
		host = e.remote
	}
	tx.Last(`INSERT INTO audit_log (id, key_id, key_name, operation, path, session_id, remote, request_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		events.NewID(), key, c.caller.name, e.operation, shorten(e.path), e.session, host, c.id)
	tx.After(func() { c.change = nil })
}

func (s *Server) listAudit(ctx context.Context, in *struct {
	KeyID     string `query:"keyId" maxLength:"64" doc:"Only of this key." example:"key_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	SessionID string `query:"sessionId" maxLength:"64" doc:"Only where the path names this session." example:"sales"`
	Operation string `query:"operation" maxLength:"64" doc:"Only this operationId." example:"send-message"`
	Page
}) (*listed[AuditEntry], error) {
	before, err := parseCursor(events.AuditPrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	arg := db.AuditListParams{Before: before, SessionID: in.SessionID, Operation: in.Operation, MaxRows: in.rows()}
	query := url.Values{}
	for name, value := range map[string]string{"keyId": in.KeyID, "sessionId": in.SessionID, "operation": in.Operation} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if in.KeyID != "" {
		id, err := events.KeyPrefix.Parse(in.KeyID)
		if err != nil {
			return nil, invalid("query.keyId", "this is no key's id")
		}
		arg.KeyID = &id
	}
	rows, err := s.q.AuditList(ctx, s.pool, arg)
	if err != nil {
		return nil, fmt.Errorf("list audit log: %w", err)
	}
	return paged(rows, in.Limit, "/v1/audit-log", query, func(row db.AuditLog) (AuditEntry, error) {
		e := AuditEntry{
			ID: events.AuditPrefix.Format(row.ID), At: row.At.UTC(), KeyName: row.KeyName, Operation: row.Operation, Path: row.Path, SessionID: row.SessionID,
			Address: row.Remote, RequestID: row.RequestID,
		}
		if row.KeyID != nil {
			e.KeyID = events.KeyPrefix.Format(*row.KeyID)
		}
		return e, nil
	}, func(row db.AuditLog) string { return events.AuditPrefix.Format(row.ID) })
}
