package queue

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"

	watermillsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/trace"
)

// Metadata keys by which a Watermill message carries what Message has fields for. They are not stored as metadata; delivered messages have
// them set, so that republishing one keeps its lane.
const (
	MetaLane    = "queue_lane"
	MetaSession = "queue_session"
)

// MetaTrace is the metadata key of the trace that a message belongs to, a traceparent. A message's own wins over its transaction's.
const MetaTrace = trace.Header

// topicName is what a topic may be called: the characters that watermill-sql accepts, and short enough for a channel's name, which
// PostgreSQL cuts off at 63 bytes.
var topicName = regexp.MustCompile(`^[A-Za-z0-9._:$-]{1,55}$`)

// ErrPublisherClosed is what a closed Publisher returns.
var ErrPublisherClosed = errors.New("publish: the publisher is closed")

// Publisher is a Watermill publisher that gives each Publish a transaction of its own. What has state to write publishes with DB.InTx.
type Publisher struct {
	db     *DB
	closed atomic.Bool
}

// NewPublisher returns a Publisher on db.
func NewPublisher(db *DB) *Publisher { return &Publisher{db: db} }

// Publish stores the messages in one transaction. Their UUIDs are UUIDs or empty.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return ErrPublisherClosed
	}
	if len(messages) == 0 {
		return nil
	}
	return p.db.InTx(messages[0].Context(), func(tx *Tx) error {
		for _, m := range messages {
			id, err := uuid.Parse(m.UUID)
			if err != nil && m.UUID != "" {
				return fmt.Errorf("publish: message UUID: %w", err)
			}
			tx.Publish(topic, Message{ID: id, Lane: m.Metadata[MetaLane], Session: m.Metadata[MetaSession], Payload: m.Payload, Metadata: m.Metadata})
		}
		return nil
	})
}

// Close makes later calls of Publish fail; it has nothing to wait for.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}

// publish adds the one statement that stores the messages of a topic.
func publish(batch *pgx.Batch, topic string, messages []Message) error {
	p, err := watermillsql.NewPublisher(executor{batch: batch}, watermillsql.PublisherConfig{SchemaAdapter: schema{}}, nil)
	if err != nil {
		return fmt.Errorf("make publisher: %w", err)
	}
	out := make([]*message.Message, len(messages))
	for i, m := range messages {
		if m.ID == uuid.Nil {
			if m.ID, err = uuid.NewV7(); err != nil {
				return fmt.Errorf("make message id: %w", err)
			}
		}
		out[i] = message.NewMessage(m.ID.String(), m.Payload)
		for k, v := range m.Metadata {
			out[i].Metadata[k] = v
		}
		out[i].Metadata[MetaLane], out[i].Metadata[MetaSession] = m.Lane, m.Session
	}
	if err := p.Publish(topic, out...); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// schema tells watermill-sql's Publisher how messages are inserted. The methods of the embedded interface, which is nil, belong to the
// stock subscriber, which knows no lanes: a Publisher that does not create tables calls none of them.
type schema struct{ watermillsql.SchemaAdapter }

// InsertQuery checks the messages and names each one's lane.
func (schema) InsertQuery(topic string, messages message.Messages) (watermillsql.Query, error) {
	if !topicName.MatchString(topic) {
		return watermillsql.Query{}, fmt.Errorf("topic %q does not match %s", topic, topicName)
	}
	n := len(messages)
	lanes, sessions, ids := make([]string, n), make([]string, n), make([]string, n)
	payloads, metas := make([][]byte, n), make([]string, n)
	for i, m := range messages {
		key := m.Metadata[MetaLane]
		switch {
		case strings.ContainsRune(key, '#'):
			return watermillsql.Query{}, fmt.Errorf("message %s: a lane must not contain #", m.UUID)
		case len(m.Payload) > MaxPayload:
			return watermillsql.Query{}, fmt.Errorf("message %s: a payload of %d bytes exceeds %d", m.UUID, len(m.Payload), MaxPayload)
		case key == "":
			key = "#" + m.UUID
		}
		lanes[i], sessions[i], ids[i] = topic+"/"+key, m.Metadata[MetaSession], m.UUID
		if payloads[i] = m.Payload; payloads[i] == nil {
			payloads[i] = []byte{}
		}
		delete(m.Metadata, MetaLane)
		delete(m.Metadata, MetaSession)
		meta, err := json.Marshal(m.Metadata)
		if err != nil {
			return watermillsql.Query{}, fmt.Errorf("message %s: encode metadata: %w", m.UUID, err)
		}
		metas[i] = string(meta)
	}
	return watermillsql.Query{
		Query: `SELECT queue_publish($1, $2, $3, $4::text[]::uuid[], $5, $6)`,
		Args:  []any{topic, lanes, sessions, ids, payloads, metas},
	}, nil
}

// executor collects what watermill-sql's Publisher, which knows database/sql, would write. The methods of the embedded interface, which is nil,
// belong to the stock subscriber.
type executor struct {
	watermillsql.ContextExecutor
	batch *pgx.Batch
}

// ExecContext adds a statement to the batch. How many rows it changes nobody asks.
func (e executor) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	e.batch.Queue(query, args...)
	return driver.RowsAffected(0), nil
}
