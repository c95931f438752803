package api

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// searchTimeout bounds a list with filters. An index leads to the words of a session; a word that most of a million messages have takes seconds.
const searchTimeout = 5 * time.Second

// MessageFilter says which messages of a session are wanted. What is given must all hold.
type MessageFilter struct {
	Query     string    `query:"q" maxLength:"256" doc:"Only those with all these words in their text, caption, file name, or question of a poll; the last word may be the beginning of one. In quotes: one after the other; or: one of both; -: without. Case does not matter, accents do." example:"invoice june"`
	ChatID    string    `query:"chatId" maxLength:"64" doc:"Only this chat: a phone number or a JID. Status updates are in none but status@broadcast: without it they are left out." example:"5491123456789@s.whatsapp.net"`
	Since     time.Time `query:"since" doc:"Only those with a timestamp of then or later." example:"2026-01-01T00:00:00Z"`
	Until     time.Time `query:"until" doc:"Only those with a timestamp before then." example:"2026-01-02T00:00:00Z"`
	Type      string    `query:"type" maxLength:"32" doc:"Only this type of content." example:"document"`
	Direction string    `query:"direction" enum:"incoming,outgoing" doc:"Only those received, or sent." example:"incoming"`
	Status    string    `query:"status" enum:"scheduled,queued,sending,sent,delivered,read,played,failed,cancelled,expired" doc:"Only with this status." example:"scheduled"`
	BatchID   string    `query:"batchId" maxLength:"64" doc:"Only those of a batch." example:"bat_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

// values are the filter as a query, for the link to the next page.
func (f MessageFilter) values() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{
		"q": f.Query, "chatId": f.ChatID, "type": f.Type, "direction": f.Direction, "status": f.Status, "batchId": f.BatchID,
		"since": moment(f.Since), "until": moment(f.Until),
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

func (s *Server) listMessages(ctx context.Context, in *struct {
	SessionPath
	Page
	RawWish
	MessageFilter
}) (*listed[events.Message], error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	chat := ""
	if in.ChatID != "" {
		var err error
		if chat, err = s.addressed(ctx, s.pool, in.SessionID, "query.chatId", in.ChatID); err != nil {
			return nil, err
		}
	}
	before, err := parseCursor(events.MessagePrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	var rows []db.MessageView
	if in.MessageFilter == (MessageFilter{ChatID: in.ChatID}) {
		rows, err = s.q.MessageList(ctx, s.pool, in.SessionID, chat, before, in.rows())
	} else {
		rows, err = s.findMessages(ctx, in.SessionID, chat, in.MessageFilter, before, in.rows())
	}
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	query := in.values()
	if in.Raw {
		query.Set("raw", "true")
	}
	out, err := paged(rows, in.Limit, "/v1/sessions/"+in.SessionID+"/messages", query, s.message, func(v db.MessageView) string {
		return events.MessagePrefix.Format(v.ID)
	})
	if err != nil {
		return nil, err
	}
	if in.Raw {
		if err := s.withRaw(ctx, s.pool, out.Body.Data); err != nil {
			return nil, err
		}
	}
	return out, s.withReactions(ctx, s.pool, in.SessionID, out.Body.Data)
}

// findMessages lists the messages of a session that a filter lets through, newest first. Each list is planned for its own values: how rare a word
// is decides how it is best found.
func (s *Server) findMessages(ctx context.Context, sessionID, chat string, f MessageFilter, before *uuid.UUID, limit int32) (rows []db.MessageView, err error) {
	var where []string
	var args []any
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	add("session_id = $%d", sessionID)
	if chat == "" {
		add("chat_id <> $%d", events.StatusChat)
	}
	if f.BatchID != "" {
		batch, err := events.BatchPrefix.Parse(f.BatchID)
		if err != nil {
			return nil, invalid("query.batchId", "expected the id of a batch")
		}
		add("batch_id = $%d", batch)
	}
	for _, is := range [][2]string{{"chat_id", chat}, {"type", f.Type}, {"direction", f.Direction}, {"status", f.Status}} {
		if is[1] != "" {
			add(is[0]+" = $%d", is[1])
		}
	}
	if !f.Since.IsZero() {
		add("timestamp >= $%d", f.Since)
	}
	if !f.Until.IsZero() {
		add("timestamp < $%d", f.Until)
	}
	if before != nil {
		add("id < $%d", *before)
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		var words string
		err := tx.QueryRow(ctx, `SELECT websearch_to_tsquery('simple', $1)::text 
			  FROM set_config('statement_timeout', $2, true) AS bound, set_config('plan_cache_mode', 'force_custom_plan', true) AS plan`,
			f.Query, searchTimeout.String()).Scan(&words)
		if err != nil {
			return fmt.Errorf("read the words: %w", err)
		}
		if f.Query != "" {
			if words == "" {
				return nil // of commas alone, say
			}
			if last, _ := utf8.DecodeLastRuneInString(f.Query); strings.HasSuffix(words, "'") && (unicode.IsLetter(last) || unicode.IsDigit(last)) {
				words += ":*"
			}
			add("message_words(session_id, content) @@ $%d::tsquery", fmt.Sprintf("' %s' & (%s)", sessionID, words))
		}
		args = append(args, limit)
		var ids []uuid.UUID
		found, err := tx.Query(ctx, fmt.Sprintf("SELECT id FROM messages WHERE %s ORDER BY id DESC LIMIT $%d", strings.Join(where, " AND "), len(args)), args...)
		if err == nil {
			ids, err = pgx.CollectRows(found, pgx.RowTo[uuid.UUID])
		}
		if postgres.ErrorCode(err) == "57014" { // query_canceled
			return problem(Unavailable, "the search took longer than "+searchTimeout.String()+"; narrow it, with chatId, since and until, or rarer words")
		}
		if err != nil {
			return fmt.Errorf("find messages: %w", err)
		}
		rows, err = s.q.MessageListByID(ctx, tx, ids)
		return err
	})
	return rows, err
}
