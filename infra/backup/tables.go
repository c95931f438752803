package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// signalPrefix is what the names of whatsmeow's tables begin with.
const signalPrefix = "whatsmeow_"

// A copiedTable is one of the public schema.
type copiedTable struct {
	name, session, where string
	afresh               []string
}

// ofSession is the condition on the rows where $1 is the only session, or "".
func (t *copiedTable) ofSession() string {
	if t.session == "" {
		return "$1::text = '' AND " + t.where
	}
	return "$1::text IN ('', " + t.session + ") AND " + t.where
}

// ofContacts is the condition on the rows of whatsmeow's only table that is of no device: which LID is which phone number.
const ofContacts = "$1::text = '' OR lid IN (SELECT lid FROM public.contacts WHERE session_id = $1::text)"

// copied are the tables of the public schema that a backup holds, with the column that names the session ("" for webhook_endpoints, which
// have their own rule), the condition on the rows, and the columns that start afresh: a QR code has run out by then, and how an endpoint
// did lately is found out again.
var copied = []copiedTable{
	{name: "sessions", session: "id", where: "true", afresh: []string{"qr", "qr_expires_at"}},
	{name: "contacts", session: "session_id", where: "true"},
	{name: "chats", session: "session_id", where: "true"},
	{name: "labels", session: "session_id", where: "true"},
	{name: "label_ids", session: "session_id", where: "true"},
	{name: "chat_labels", session: "session_id", where: "true"},
	{name: "presences", session: "session_id", where: "subscribed_at IS NOT NULL", afresh: []string{"state", "last_seen", "heard_at", "typing", "typing_at"}},
	{name: "unhandled_states", session: "session_id", where: "true"},
	{name: "channels", session: "session_id", where: "true"},
	{name: "webhook_endpoints", where: "state <> 'deleted'",
		afresh: []string{"failing_since", "consecutive_failures", "breaker_until", "breaker_trips", "rate_tokens", "rate_at", "concurrency", "failing_told"}},
}

// leftOut are the other tables, and why. A test compares both lists with the schema, so that a new table is not forgotten.
var leftOut = map[string]string{
	"claims":           "who runs a session is decided anew",
	"connectors":       "who is alive is decided anew",
	"messages":         "history: of a size that only a copy of the database suits, and its media are elsewhere",
	"events":           "history; its numbers belong to the database's own log",
	"deliveries":       "they go with the events",
	"attempts":         "they go with the deliveries",
	"webhook_replays":  "they go with the deliveries",
	"idempotency_keys": "they protect effects that are not in the backup, such as messages",
	"message_receipts": "they go with the messages",
	"reactions":        "they go with the messages",
	"votes":            "they go with the messages",
	"message_batches":  "they go with the messages",
	"session_log":      "history",
	"restrictions":     "WhatsApp tells them anew",
	"group_notices":    "what WhatsApp has told lately, which it does not tell again",
	"history_parts":    "they go with the messages",
	"calls":            "history, as the messages are",
	"messages_to_read": "they go with the messages",
	"changes":          "they may have been done since",
	"media":            "they go with the messages",
	"objects":          "the bytes are in S3",
	"uploads":          "what is to be swept from S3, which is not in the backup",
	"stats_minutes":    "history",
	"stream_tickets":   "they have run out by then",
	"api_keys":         "they are of whoever runs the gateway, who makes new ones; a backup would bring back those that were deleted since",
	"audit_log":        "history",
	"rate_limits":      "they are of one minute",
	"encryption_keys":  "the file is under the passphrase alone, and what is restored is sealed with the keys of its new place",
	"queries":          "nobody waits for their answers by then",
	"queue_lanes":      "commands of messages that are not in the backup",
	"queue_messages":   "commands of messages that are not in the backup",
	"queue_dead":       "commands of messages that are not in the backup",
	"goose_db_version": "the version is compared, not copied",
}

// identifier is the quoted name of a backup's table.
func (c *Config) identifier(name string) string {
	schema := "public"
	if strings.HasPrefix(name, signalPrefix) {
		schema = c.SignalSchema
	}
	return pgx.Identifier{schema, name}.Sanitize()
}

func quoted(columns []string) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = pgx.Identifier{c}.Sanitize()
	}
	return strings.Join(names, ", ")
}

// deviceColumn is the column of a whatsmeow table that names the device a row belongs to; "" where rows belong to all of them.
func deviceColumn(columns []string) string {
	for _, name := range []string{"our_jid", "jid"} {
		if slices.Contains(columns, name) {
			return name
		}
	}
	return ""
}

// schemaVersion reads how new the database is.
func (c *Config) schemaVersion(ctx context.Context, tx pgx.Tx) (s Schema, err error) {
	err = tx.QueryRow(ctx, `SELECT (SELECT max(version_id) FROM public.goose_db_version WHERE is_applied),
		(SELECT max(version) FROM `+c.identifier("whatsmeow_version")+`)`).Scan(&s.Public, &s.Signal)
	if err != nil {
		return s, fmt.Errorf("read the schema's version: %w", err)
	}
	return s, nil
}

// signalTables reads the names of whatsmeow's tables from the catalog, those that others refer to first.
func (c *Config) signalTables(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `
		WITH RECURSIVE tables AS (
			SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			 WHERE n.nspname = $1 AND c.relkind = 'r' AND starts_with(c.relname, $2) AND c.relname <> 'whatsmeow_version'),
		depths AS (
			SELECT oid, 0 AS depth FROM tables
			UNION
			SELECT f.conrelid, d.depth + 1 FROM depths d JOIN pg_constraint f ON f.confrelid = d.oid AND f.contype = 'f' AND f.conrelid <> d.oid
			 WHERE d.depth < 20)
		SELECT t.relname FROM tables t JOIN depths d USING (oid) GROUP BY t.relname ORDER BY max(d.depth), t.relname`, c.SignalSchema, signalPrefix)
	if err != nil {
		return nil, fmt.Errorf("list the signal store's tables: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the signal store's tables: %w", err)
	}
	return names, nil
}

// column is one that can be written.
type column struct {
	Name     string
	Optional bool // it may be NULL or has a default
}

// columns reads a table's columns in order, without generated ones; none when there is no such table.
func (c *Config) columns(ctx context.Context, tx pgx.Tx, name string) ([]column, error) {
	rows, err := tx.Query(ctx, `SELECT attname, NOT attnotnull OR atthasdef OR attidentity <> '' FROM pg_attribute
		WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`, c.identifier(name))
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", name, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", name, err)
	}
	return all, nil
}
