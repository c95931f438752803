package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// lease names one lease of a lane in a completion.
type lease struct {
	epoch   int64
	release bool
}

// completion collects what is done for one call of the function queue_complete.
type completion struct {
	lanes map[string]lease // by full name: every lane of the messages, and those to release
	mlane []string         // of each finished message: its lane
	mid   []int64          // and its queue id
}

func (c *completion) add(lane string, id int64) {
	c.mlane, c.mid = append(c.mlane, lane), append(c.mid, id)
}

// completed is what a completion found.
type completed struct {
	now   int      // released lanes that have more messages
	later int      // released lanes that may have some in 10 ms: a publish is in flight
	lost  []string // lanes of another epoch: nothing was done to them
}

// run deletes the finished messages and releases the lanes. The lanes are locked in their order, as every function does.
func (c *completion) run(ctx context.Context, q querier) (completed, error) {
	lanes := slices.Sorted(maps.Keys(c.lanes))
	epochs, release := make([]int64, len(lanes)), make([]bool, len(lanes))
	for i, l := range lanes {
		epochs[i], release[i] = c.lanes[l].epoch, c.lanes[l].release
	}
	var r completed
	err := q.QueryRow(ctx, `SELECT o_now, o_later, o_lost FROM queue_complete($1, $2, $3, $4, $5)`, lanes, epochs, release, c.mlane, c.mid).
		Scan(&r.now, &r.later, &r.lost)
	if err != nil {
		return r, fmt.Errorf("complete: %w", err)
	}
	return r, nil
}

// retry ends a lease so that the message comes again after d; attempts is 1 for a failure and 0 for a wait. False: the lease was lost.
func retry(ctx context.Context, q querier, lane string, epoch, id int64, d time.Duration, attempts int, cause error, strict bool) (ok bool, err error) {
	err = q.QueryRow(ctx, `SELECT queue_retry($1, $2, $3, $4, $5, $6, $7)`, lane, epoch, id, d, attempts, errorText(cause), strict).Scan(&ok)
	if err != nil {
		return false, fmt.Errorf("retry: %w", err)
	}
	return ok, nil
}

// kill moves a message to the dead letters. False: the lease was lost.
func kill(ctx context.Context, q querier, lane string, epoch, id int64, cause error) (ok bool, err error) {
	if err = q.QueryRow(ctx, `SELECT queue_kill($1, $2, $3, $4)`, lane, epoch, id, errorText(cause)).Scan(&ok); err != nil {
		return false, fmt.Errorf("kill: %w", err)
	}
	return ok, nil
}

// park sets a lane aside, or makes it ready at once. False: the lease was lost.
func park(ctx context.Context, q querier, lane string, epoch, id int64, ready bool) (ok bool, err error) {
	if err = q.QueryRow(ctx, `SELECT queue_park($1, $2, $3, $4)`, lane, epoch, id, ready).Scan(&ok); err != nil {
		return false, fmt.Errorf("park: %w", err)
	}
	return ok, nil
}

// maxErrorText bounds the text of an error that is kept with a message, in bytes.
const maxErrorText = 2000

// errorText is the text to keep of an error, nil for none: valid UTF-8 without NUL, which PostgreSQL's text cannot hold.
func errorText(err error) *string {
	if err == nil {
		return nil
	}
	s := err.Error()
	clean := make([]rune, 0, min(len(s), maxErrorText))
	for n, r := range s {
		if n >= maxErrorText {
			break
		}
		if r == 0 {
			r = utf8.RuneError
		}
		clean = append(clean, r)
	}
	s = string(clean)
	return &s
}
