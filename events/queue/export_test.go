package queue

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The tests are an outside package, because testdb's migrations import events and so this package; this file lets them in.

// Leased is one message of a lane that a test leased by hand, as a process would that then stalls or dies.
type Leased struct {
	Fetched
	FullLane string
	Epoch    int64
	Parked   bool
	Crashes  int
}

// Lease leases lanes for an owner, with default limits.
func Lease(ctx context.Context, pool *pgxpool.Pool, topic, owner string, claims bool) ([]Leased, error) {
	rows, err := fetch(ctx, pool, fetchArgs{topic: topic, owner: owner, lanes: 10, perLane: 16, lease: time.Minute, claims: claims, maxCrashes: 5})
	list := make([]Leased, len(rows))
	for i, r := range rows {
		list[i] = Leased{Fetched: r.Fetched, FullLane: r.lane, Epoch: r.epoch, Parked: r.parked, Crashes: r.crashes}
	}
	return list, err
}

// Complete completes a message and releases its lane under l's lease; the answer says whether the lease still held.
func (l Leased) Complete(ctx context.Context, pool *pgxpool.Pool, id int64) (bool, error) {
	c := completion{lanes: map[string]lease{l.FullLane: {epoch: l.Epoch, release: true}}, mlane: []string{l.FullLane}, mid: []int64{id}}
	r, err := c.run(ctx, pool)
	return len(r.lost) == 0, err
}

// Retry puts a message off for an hour.
func (l Leased) Retry(ctx context.Context, pool *pgxpool.Pool, id int64, strict bool) (bool, error) {
	return retry(ctx, pool, l.FullLane, l.Epoch, id, time.Hour, 1, context.Canceled, strict)
}

// Kill moves a message to the dead letters.
func (l Leased) Kill(ctx context.Context, pool *pgxpool.Pool, id int64) (bool, error) {
	return kill(ctx, pool, l.FullLane, l.Epoch, id, context.Canceled)
}

// Park sets the lane aside.
func (l Leased) Park(ctx context.Context, pool *pgxpool.Pool, id int64) (bool, error) {
	return park(ctx, pool, l.FullLane, l.Epoch, id, false)
}

// Stopping is closed when the first Subscribe of s has begun to stop.
func (s *Subscriber) Stopping() <-chan struct{} { return s.consumers[0].stopping }

// TopicChannel is the channel of a topic's wake-ups.
func TopicChannel(topic string) string { return channelPrefix + topic }
