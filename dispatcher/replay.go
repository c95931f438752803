package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// replayScan bounds the events that one batch of a replay looks at, and replayBatch the deliveries that it makes due: some 30 ms, during which
	// the endpoint cannot change and its attempts are not finished.
	replayScan, replayBatch = 2000, 500
	// replayPace is how soon a replay looks again whose endpoint has as many due as it may have, and takes them.
	replayPace = 100 * time.Millisecond
	// replayPurgeEvery is how often replays are removed that are older than the deliveries that they were about.
	replayPurgeEvery = time.Hour
)

// replayMissing is what a replay calls the state of a delivery that does not exist.
const replayMissing = "missing"

// runReplays makes deliveries due again that a client wants once more. Several dispatchers may do it at once: a batch is one transaction that
// holds the replay's row, which another dispatcher passes over, and moves its position together with the deliveries. So a process that dies
// repeats nothing and skips nothing.
func (d *Dispatcher) runReplays() {
	asked := d.waker.Listen(events.WakeReplays)
	defer asked.Close()
	paced := make(chan struct{}, 1)
	var purged time.Time
	d.repeat(d.loops, "sending deliveries again", asked.C(), paced, func(ctx context.Context) (bool, error) {
		if time.Since(purged) > replayPurgeEvery {
			if _, err := d.queries.ReplayPurge(ctx, d.pool, time.Now().Add(-d.cfg.Retention), sweepBatch); err != nil {
				return false, fmt.Errorf("purge replays: %w", err)
			}
			purged = time.Now()
		}
		more, soon, err := d.replay(ctx)
		if soon && !more {
			time.AfterFunc(replayPace, func() {
				select {
				case paced <- struct{}{}:
				default:
				}
			})
		}
		return more, err
	})
}

// replay does one batch of every replay that may go on. more: there is more to do at once; soon: there will be when deliveries have gone out.
func (d *Dispatcher) replay(ctx context.Context) (more, soon bool, err error) {
	running, err := d.queries.ReplayListRunning(ctx, d.pool)
	if err != nil {
		return false, false, fmt.Errorf("list replays: %w", err)
	}
	// In any order, so that several dispatchers rarely meet, and a round that takes too long does not always leave out the same.
	rand.Shuffle(len(running), func(i, j int) { running[i], running[j] = running[j], running[i] })
	for _, r := range running {
		switch {
		case r.Orphaned:
			if _, err := d.queries.ReplayCancel(ctx, d.pool, r.ID); err != nil {
				return false, false, fmt.Errorf("cancel replay of a deleted endpoint: %w", err)
			}
			d.log.InfoContext(ctx, "replay cancelled: its webhook endpoint was deleted", "replay", events.ReplayPrefix.Format(r.ID))
		case r.Room <= 0 || 2*r.Room < r.Most: // half of what may be due, so that batches are few
			soon = soon || r.Flowing
		default:
			going, err := d.replayBatch(ctx, r.ID, min(int(r.Room), replayBatch))
			if err != nil {
				return false, false, err
			}
			more = more || going
		}
	}
	return more, soon, nil
}

// replayBatch takes a replay a step further and makes up to room deliveries due. It says whether the replay goes on.
func (d *Dispatcher) replayBatch(ctx context.Context, id uuid.UUID, room int) (going bool, err error) {
	var resent int64
	var step replayStep
	err = pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		r, err := d.queries.ReplayLock(ctx, tx, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock replay: %w", err)
		}
		until := events.FirstID(r.Until)
		found, err := d.queries.ReplayScan(ctx, tx, r.Reached, until, replayScan, r.EndpointID)
		if err != nil {
			return fmt.Errorf("scan events: %w", err)
		}
		endpoint, ok, err := d.replayEndpoint(ctx, tx, r.EndpointID)
		if err != nil || !ok {
			return err
		}
		step = planReplay(r, endpoint, found, room)
		if len(found) < replayScan && step.scanned == len(found) {
			step.reached, step.done = until, true
		}
		if resent, err = d.writeReplay(ctx, tx, r, step); err != nil {
			return err
		}
		going = !step.done
		err = d.queries.ReplayAdvance(ctx, tx, db.ReplayAdvanceParams{ID: id, Reached: step.reached, Scanned: int64(step.scanned), Resent: resent, Done: step.done})
		if err != nil {
			return fmt.Errorf("advance replay: %w", err)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if resent > 0 {
		d.notifier.Notify(events.WakeDeliveries)
	}
	if step.done {
		d.log.InfoContext(ctx, "replay done", "replay", events.ReplayPrefix.Format(id))
	}
	return going, nil
}

// replayEndpoint returns the endpoint of a replay and keeps it as it is until the transaction ends; not ok when it takes no deliveries now.
func (d *Dispatcher) replayEndpoint(ctx context.Context, tx pgx.Tx, id uuid.UUID) (e db.EndpointListForEventsRow, ok bool, err error) {
	state, err := d.queries.EndpointHold(ctx, tx, id)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && state != "active" {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("hold endpoint: %w", err)
	}
	all, err := d.queries.EndpointListForEvents(ctx, tx)
	if err != nil {
		return e, false, fmt.Errorf("list endpoints: %w", err)
	}
	i := slices.IndexFunc(all, func(e db.EndpointListForEventsRow) bool { return e.ID == id })
	if i < 0 {
		return e, false, nil
	}
	return all[i], true, nil
}

// A replayStep is what one batch of a replay does.
type replayStep struct {
	reached uuid.UUID // the last event that it has dealt with
	scanned int
	done    bool
	again   []db.ReplayScanRow // have a delivery that is to go out again
	missing []db.ReplayScanRow // have none and are to get one
	keys    map[uuid.UUID]string
}

// planReplay goes through the events that were found, in their order, until room deliveries are chosen.
//
// Each keeps the order key that the endpoint wants today, so that what is sent again goes in the order of the log among itself: a receiver
// that asked for order gets the history of a chat as it happened. What was sent live meanwhile has gone before it, and what is live later waits
// in its chat for what is due of it, as behind any other event. A delivery that is exhausted has lost its key while it failed (orderPatience), so
// it is made anew.
func planReplay(r db.WebhookReplay, endpoint db.EndpointListForEventsRow, found []db.ReplayScanRow, room int) replayStep {
	step, wanted := replayStep{reached: r.Reached, keys: map[uuid.UUID]string{}}, events.Filter{Types: r.Types}
	for _, e := range found {
		if len(step.again)+len(step.missing) == room {
			break
		}
		step.reached, step.scanned = e.ID, step.scanned+1
		if !slices.Contains(r.States, e.State) || !wanted.Wants(events.Facts{Type: e.Type}) {
			continue
		}
		if e.State != replayMissing {
			step.again = append(step.again, e)
		} else if missed(endpoint, e) {
			step.missing = append(step.missing, e)
		} else {
			continue
		}
		if key := orderKey(endpoint.OrderMode, e.SessionID, e.OrderKey); key != nil {
			step.keys[e.ID] = *key
		}
	}
	return step
}

// missed says whether an endpoint has missed an event of which it has no delivery: whether the sequencer would make one today. Events about
// endpoints are not history to catch up on: they went to whom they concerned.
func missed(endpoint db.EndpointListForEventsRow, e db.ReplayScanRow) bool {
	return !strings.HasPrefix(e.Type, "webhook.") && matches(endpoint, events.Facts{Type: e.Type, SessionID: e.SessionID, ChatID: e.OrderKey, FromMe: e.FromMe})
}

// writeReplay makes the deliveries of a step due and returns how many there were. A new one does not wait for its event's media, as a live one
// does for 30 s at most: the media of the past has come, or will not.
func (d *Dispatcher) writeReplay(ctx context.Context, tx pgx.Tx, r db.WebhookReplay, step replayStep) (resent int64, err error) {
	if len(step.again) > 0 {
		var ids []uuid.UUID
		var keys []string
		for _, e := range step.again {
			ids, keys = append(ids, e.ID), append(keys, step.keys[e.ID])
		}
		if resent, err = d.queries.ReplayResend(ctx, tx, r.EndpointID, r.States, ids, keys); err != nil {
			return 0, fmt.Errorf("make deliveries due again: %w", err)
		}
	}
	if len(step.missing) > 0 {
		p := db.ReplayInsertMissingParams{EndpointID: r.EndpointID}
		for _, e := range step.missing {
			p.Ids, p.EventIds, p.EventSeqs = append(p.Ids, events.NewID()), append(p.EventIds, e.ID), append(p.EventSeqs, e.Seq)
			p.OrderKeys = append(p.OrderKeys, step.keys[e.ID])
		}
		n, err := d.queries.ReplayInsertMissing(ctx, tx, p)
		if err != nil {
			return 0, fmt.Errorf("insert missing deliveries: %w", err)
		}
		resent += n
	}
	return resent, nil
}
