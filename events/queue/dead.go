package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A DeadLetter is a message that needs a person: it failed for good, or it stands at the front of a lane that was parked because processes
// kept dying with it in hand.
type DeadLetter struct {
	Fetched
	Parked    bool // its lane is parked by crashes, and with it everything behind; otherwise the lane went on without it
	Crashes   int
	LastError string    // "" for a message that never came back with an error
	DiedAt    time.Time // zero when Parked
}

// ErrNoDeadLetter is Resume's answer to an id that is none of a dead letter.
var ErrNoDeadLetter = errors.New("no dead letter of that id")

// Dead lists up to limit dead letters of a topic: those that block a lane first, then the newest.
func Dead(ctx context.Context, db interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, topic string, limit int) ([]DeadLetter, error) {
	rows, err := db.Query(ctx, `
		SELECT true, l.lane, coalesce(l.session, ''), m.id, m.uuid, m.payload, m.metadata, m.attempts, m.crashes, coalesce(m.last_error, ''),
		       m.created_at, NULL::timestamptz
		  FROM queue_lanes l CROSS JOIN LATERAL (SELECT * FROM queue_messages x WHERE x.lane = l.lane ORDER BY x.id LIMIT 1) m
		 WHERE l.topic = $1 AND l.parked = 'crashes'
		UNION ALL
		SELECT false, lane, coalesce(session, ''), id, uuid, payload, metadata, attempts, crashes, coalesce(last_error, ''), created_at, died_at
		  FROM queue_dead WHERE topic = $1
		 ORDER BY 1 DESC, 12 DESC, 4 DESC LIMIT $2`, topic, limit)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(rows pgx.CollectableRow) (DeadLetter, error) {
		var d DeadLetter
		var died *time.Time
		if err := rows.Scan(&d.Parked, &d.lane, &d.Session, &d.QueueID, &d.ID, &d.Payload, &d.Metadata, &d.Attempts, &d.Crashes, &d.LastError,
			&d.CreatedAt, &died); err != nil {
			return d, err
		}
		if died != nil {
			d.DiedAt = *died
		}
		d.Lane = laneKey(topic, d.lane)
		return d, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return list, nil
}

// Resume gives a dead letter another life, with attempts and crashes counted anew. It stands where it stood: before everything of its lane
// that was published after it and is still there (a lane that is in hand right now first finishes the few messages it has leased). When tx
// is a *Tx, subscribers are woken after its commit. ErrNoDeadLetter: there is none of that queue id.
func Resume(ctx context.Context, tx pgx.Tx, topic string, queueID int64) error {
	var found bool
	if err := tx.QueryRow(ctx, `SELECT queue_resume($1, $2)`, topic, queueID).Scan(&found); err != nil {
		return fmt.Errorf("resume dead letter: %w", err)
	}
	if !found {
		return ErrNoDeadLetter
	}
	if t, ok := tx.(*Tx); ok {
		t.Notify(topic)
	}
	return nil
}

// Figures say how a topic fares.
type Figures struct {
	Lanes    int           // lanes that have messages
	Messages int           // messages not yet completed, parked ones included, dead letters not
	Oldest   time.Duration // age of the oldest message that is not in a parked lane; 0 when there is none
	Parked   int           // lanes set aside for their session
	Stuck    int           // lanes parked by crashes: each needs a person
	Dead     int           // dead letters
}

// Stats counts a topic's lanes, messages and dead letters by reading all of them: for an operator's look, not for every request.
func Stats(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, topic string) (Figures, error) {
	var f Figures
	var oldest float64
	err := db.QueryRow(ctx, `
		SELECT count(*), coalesce(sum(m.n), 0), coalesce(extract(epoch FROM clock_timestamp() - min(m.oldest) FILTER (WHERE l.parked IS NULL)), 0)::float8,
		       count(*) FILTER (WHERE l.parked = 'session'), count(*) FILTER (WHERE l.parked = 'crashes'),
		       (SELECT count(*) FROM queue_dead WHERE topic = $1)
		  FROM queue_lanes l LEFT JOIN (
		       SELECT lane, count(*) AS n, min(created_at) AS oldest FROM queue_messages
		        WHERE lane >= $1 || '/' AND lane < $1 || '0' -- by bytes: 0 follows /
		        GROUP BY lane) m ON m.lane = l.lane
		 WHERE l.topic = $1`, topic).Scan(&f.Lanes, &f.Messages, &oldest, &f.Parked, &f.Stuck, &f.Dead)
	if err != nil {
		return f, fmt.Errorf("count queue: %w", err)
	}
	f.Oldest = time.Duration(max(oldest, 0) * float64(time.Second))
	return f, nil
}
