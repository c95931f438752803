package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A Fetched message is one that was read from the queue.
type Fetched struct {
	ID        uuid.UUID
	QueueID   int64  // its place in the queue: messages of a lane are in this order
	Lane      string // the ordering key; "" when unordered
	Session   string
	Payload   []byte
	Metadata  map[string]string
	Attempts  int // attempts that failed
	CreatedAt time.Time

	lane string // the lane's full name
}

// Batch is what FetchBatch found; it is worth nothing outside the transaction that fetched it.
type Batch struct {
	Messages []Fetched // in queue-id order, whatever their lanes

	epochs map[string]int64 // by full name, every lane that was locked
}

// errBatchStale says that a Batch was used outside its transaction.
var errBatchStale = fmt.Errorf("the batch's lanes are not held by this transaction")

// FetchBatch locks up to lanes ready lanes of a topic and reads up to perLane messages of each, for work that is done and completed in the
// same transaction (READ COMMITTED): a crash rolls all of it back, with no lease to wait for. Lanes that another transaction holds are
// skipped. A topic is consumed either by FetchBatch or by a Subscriber.
func FetchBatch(ctx context.Context, tx pgx.Tx, topic string, lanes, perLane int) (Batch, error) {
	rows, err := fetch(ctx, tx, fetchArgs{topic: topic, lanes: lanes, perLane: perLane})
	if err != nil {
		return Batch{}, err
	}
	b := Batch{epochs: map[string]int64{}}
	for _, r := range rows {
		b.epochs[r.lane] = r.epoch
		if !r.empty {
			b.Messages = append(b.Messages, r.Fetched)
		}
	}
	slices.SortFunc(b.Messages, func(x, y Fetched) int { return cmp.Compare(x.QueueID, y.QueueID) })
	return b, nil
}

// Complete removes the messages that are done; the others stay, in their places. It is called once, last in the transaction, also for an
// empty batch: lanes without messages are cleared away by it.
func (b Batch) Complete(ctx context.Context, tx pgx.Tx, done ...Fetched) error {
	if len(b.epochs) == 0 {
		return nil
	}
	c := completion{lanes: map[string]lease{}}
	for lane, epoch := range b.epochs {
		c.lanes[lane] = lease{epoch: epoch, release: true}
	}
	for _, m := range done {
		c.add(m.lane, m.QueueID)
	}
	result, err := c.run(ctx, tx)
	if err != nil {
		return err
	}
	if len(result.lost) > 0 {
		return fmt.Errorf("complete batch: %w", errBatchStale)
	}
	return nil
}

// CompleteAll is Complete with every message of the batch.
func (b Batch) CompleteAll(ctx context.Context, tx pgx.Tx) error {
	return b.Complete(ctx, tx, b.Messages...)
}

// Kill moves one message of the batch to the dead letters, with the error that it caused; the rest of the batch is unaffected. The work that
// failed has to be rolled back to a savepoint first.
func (b Batch) Kill(ctx context.Context, tx pgx.Tx, m Fetched, cause error) error {
	ok, err := kill(ctx, tx, m.lane, b.epochs[m.lane], m.QueueID, cause)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("kill message: %w", errBatchStale)
	}
	return nil
}

// fetchArgs are the arguments of the function queue_fetch; without an owner nothing is leased.
type fetchArgs struct {
	topic, owner   string
	lanes, perLane int
	lease          time.Duration
	claims         bool
	maxCrashes     int
}

// row is one row of the function queue_fetch.
type row struct {
	Fetched
	epoch   int64
	left    time.Duration // until the lease ends
	parked  bool          // the lane was parked, not leased: its first message crashed too often
	crashes int
	empty   bool // the lane has no message
}

// querier is what a pool and a transaction have in common here.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func fetch(ctx context.Context, q querier, a fetchArgs) ([]row, error) {
	rows, err := q.Query(ctx, `SELECT o_lane, coalesce(o_session, ''), o_epoch, o_left, o_parked, o_id, o_uuid, o_payload, o_metadata,
		coalesce(o_attempts, 0), coalesce(o_crashes, 0), o_created FROM queue_fetch($1, nullif($2, ''), $3, $4, $5, $6, $7)`,
		a.topic, a.owner, a.lanes, a.perLane, a.lease, a.claims, a.maxCrashes)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(rows pgx.CollectableRow) (row, error) {
		var r row
		var left float64
		var queueID *int64
		var id *uuid.UUID
		var created *time.Time
		if err := rows.Scan(&r.lane, &r.Session, &r.epoch, &left, &r.parked, &queueID, &id, &r.Payload, &r.Metadata, &r.Attempts, &r.crashes,
			&created); err != nil {
			return r, err
		}
		r.left = time.Duration(left * float64(time.Second))
		r.Lane = laneKey(a.topic, r.lane)
		if r.empty = queueID == nil; !r.empty {
			r.QueueID, r.ID, r.CreatedAt = *queueID, *id, *created
		}
		return r, nil
	})
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	return list, nil
}

// laneKey is the ordering key in a lane's full name: topic/key, topic/key#id for a message split off, topic/#uuid for an unordered one.
func laneKey(topic, lane string) string {
	key, _, _ := strings.Cut(strings.TrimPrefix(lane, topic+"/"), "#")
	return key
}
