package dispatcher

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// retentionLock is the key of the advisory lock under which partitions are made and dropped: ASCII "keeping".
	retentionLock int64 = 0x6b656570696e67
	// retentionEvery is how often that is looked at. Partitions are made days ahead, so that hours of failure cost nothing.
	retentionEvery = time.Hour
	// retentionBatch bounds the rows that one statement removes from a default partition.
	retentionBatch = 10000
	day            = 24 * time.Hour
)

// A partitioned table is cut by time into ranges of width; ahead ranges beyond the present one are kept ready. A claim looks into every
// partition of deliveries, so those are few; attempts are only appended, so those are as fine as their retention.
type partitioned struct {
	table  string
	column string // the partition key
	byID   bool   // the key is a UUIDv7, whose first 48 bits are milliseconds; otherwise it is a time
	width  time.Duration
	ahead  int
	with   string // storage parameters, which partitions do not inherit
}

// Deliveries go before the events that they are of.
var partitionedTables = []partitioned{
	{table: "deliveries", column: "event_id", byID: true, width: 7 * day, ahead: 2, with: " WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01)"},
	{table: "attempts", column: "started_at", width: day, ahead: 7},
	{table: "events", column: "id", byID: true, width: 7 * day, ahead: 2},
}

// monday is one from which the ranges are counted.
var monday = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// MaintainPartitions makes the partitions of events, deliveries and attempts that will be needed soon, and drops those that hold nothing
// younger than retention; what lies in a default partition is deleted when it is older. It does nothing while another process does it. It
// may be called at any time, and needs the rights of the tables' owner.
//
// Failure policy: a range for which the default partition holds rows already stays there, and is skipped; a lock that cannot be had within
// 2 s fails the call, and the next one goes on.
func MaintainPartitions(ctx context.Context, pool *pgxpool.Pool, now time.Time, retention time.Duration) error {
	for _, t := range partitionedTables {
		have, err := t.list(ctx, pool)
		if err != nil {
			return err
		}
		present := t.start(now)
		for i := range t.ahead + 1 {
			start := present.Add(time.Duration(i) * t.width)
			if have[t.name(start)] {
				continue
			}
			if err := t.create(ctx, pool, start); err != nil {
				return err
			}
		}
		cutoff := now.Add(-retention)
		for name := range have {
			start, err := time.Parse(t.table+"_p20060102", name)
			if err != nil || start.Add(t.width).After(cutoff) { // err: the default partition, or one that somebody else made
				continue
			}
			if _, err := alone(ctx, pool, "DROP TABLE IF EXISTS "+name); err != nil {
				return fmt.Errorf("drop partition %s: %w", name, err)
			}
		}
		if err := t.purgeDefault(ctx, pool, cutoff); err != nil {
			return err
		}
	}
	return nil
}

// start is the begin of the range in which at lies.
func (t partitioned) start(at time.Time) time.Time {
	since := at.Sub(monday) % t.width
	if since < 0 {
		since += t.width
	}
	return at.Add(-since).UTC()
}

func (t partitioned) name(start time.Time) string { return start.Format(t.table + "_p20060102") }

// bound is the least key that belongs to at or later, as a literal.
func (t partitioned) bound(at time.Time) string {
	if t.byID {
		return "'" + events.FirstID(at).String() + "'"
	}
	return "'" + at.UTC().Format(time.RFC3339) + "'"
}

func (t partitioned) list(ctx context.Context, pool *pgxpool.Pool) (map[string]bool, error) {
	rows, err := pool.Query(ctx, `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass`, t.table)
	if err != nil {
		return nil, fmt.Errorf("list partitions of %s: %w", t.table, err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list partitions of %s: %w", t.table, err)
	}
	have := make(map[string]bool, len(names))
	for _, n := range names {
		have[n] = true
	}
	return have, nil
}

func (t partitioned) create(ctx context.Context, pool *pgxpool.Pool, start time.Time) error {
	name := t.name(start)
	_, err := alone(ctx, pool, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM (%s) TO (%s)%s",
		name, t.table, t.bound(start), t.bound(start.Add(t.width)), t.with))
	if postgres.ErrorCode(err) == "23514" { // check_violation: the default partition has rows of this range
		return nil
	}
	if err != nil {
		return fmt.Errorf("make partition %s: %w", name, err)
	}
	return nil
}

// purgeDefault removes what is too old from the default partition, which is never dropped.
func (t partitioned) purgeDefault(ctx context.Context, pool *pgxpool.Pool, cutoff time.Time) error {
	statement := fmt.Sprintf("DELETE FROM %[1]s_default WHERE ctid = ANY (ARRAY(SELECT ctid FROM %[1]s_default WHERE %[2]s < %[3]s LIMIT %[4]d))",
		t.table, t.column, t.bound(cutoff), retentionBatch)
	for {
		n, err := alone(ctx, pool, statement)
		if err != nil {
			return fmt.Errorf("purge default partition of %s: %w", t.table, err)
		}
		if n < retentionBatch {
			return nil
		}
	}
}

// alone runs a statement in a transaction of its own, unless another process is looking after the partitions. It waits for locks for 2 s at
// most: whoever wants the table meanwhile waits behind it.
func alone(ctx context.Context, pool *pgxpool.Pool, statement string) (affected int64, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		mine, err := db.New().RetentionTryLock(ctx, tx, retentionLock)
		if err != nil || !mine {
			return err
		}
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, statement)
		affected = tag.RowsAffected()
		return err
	})
	return affected, err
}

// maintainPartitions goes by this process's clock or PostgreSQL's, whichever is behind: what a clock that is ahead dropped would be gone.
func (d *Dispatcher) maintainPartitions(ctx context.Context, pool *pgxpool.Pool) error {
	var now time.Time
	if err := pool.QueryRow(ctx, `SELECT least($1::timestamptz, statement_timestamp())`, time.Now()).Scan(&now); err != nil {
		return fmt.Errorf("read PostgreSQL's clock: %w", err)
	}
	return MaintainPartitions(ctx, pool, now, d.cfg.Retention)
}

func (d *Dispatcher) runPartitions() {
	ticker := time.NewTicker(retentionEvery)
	defer ticker.Stop()
	for {
		select {
		case <-d.loops.Done():
			return
		case <-ticker.C:
		}
		if err := d.maintainPartitions(d.loops, d.pool); err != nil && d.loops.Err() == nil {
			d.log.ErrorContext(d.loops, "looking after partitions did not work; again in an hour", "error", err)
		}
	}
}
