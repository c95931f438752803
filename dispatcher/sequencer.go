package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// What one transaction of the sequencer takes from the queue. Up to 3,200 events: enough for thousands a second, few enough that the lock
// is held for some tens of milliseconds.
const (
	sequencerLanes   = 200
	sequencerPerLane = 16
)

// errBadEvent says that a queue message is no event that could be stored.
var errBadEvent = errors.New("malformed event")

// sequence moves one batch from the queue to the log: numbers its events in the order in which they were published and makes their
// deliveries. All of it is one transaction under a lock that all dispatchers share, so that a reader of the log by seq never misses one,
// and a crash undoes the fetch too. It says whether there may be more.
func (d *Dispatcher) sequence(ctx context.Context) (bool, error) {
	var logged []queue.Fetched
	var deliveries int
	var oldest time.Time
	err := pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if err := d.queries.SequencerLock(ctx, tx, events.SequencerLock); err != nil {
			return fmt.Errorf("lock sequencer: %w", err)
		}
		batch, err := queue.FetchBatch(ctx, tx, events.TopicEvents, sequencerLanes, sequencerPerLane)
		if err != nil {
			return err
		}
		done := batch.Messages
		if deliveries, err = d.writeEvents(ctx, tx, done); err != nil {
			if !poison(err) {
				return err
			}
			if done, deliveries, err = d.writeOneByOne(ctx, tx, batch); err != nil {
				return err
			}
		}
		logged, oldest = done, time.Time{}
		for _, m := range done {
			if oldest.IsZero() || m.CreatedAt.Before(oldest) {
				oldest = m.CreatedAt
			}
		}
		return batch.Complete(ctx, tx, done...)
	})
	if err != nil {
		return false, err
	}
	d.sequenced.Store(time.Now().UnixNano())
	if len(logged) == 0 {
		return false, nil
	}
	d.metrics.batch.Observe(float64(len(logged)))
	d.metrics.sequencerLag.Set(time.Since(oldest).Seconds())
	for _, m := range logged {
		d.metrics.events.WithLabelValues(m.Metadata[events.MetaType]).Inc()
		d.stats.event(m.Metadata)
	}
	d.notifier.Notify(events.WakeLog)
	if deliveries > 0 {
		d.notifier.Notify(events.WakeDeliveries)
	}
	return true, nil
}

// writeOneByOne writes each event of a batch that failed as a whole; one that fails alone becomes a dead letter, so that it cannot hold up
// the rest. It returns the messages that were written and the number of their deliveries.
func (d *Dispatcher) writeOneByOne(ctx context.Context, tx pgx.Tx, batch queue.Batch) (done []queue.Fetched, deliveries int, err error) {
	for _, m := range batch.Messages {
		n, err := d.writeEvents(ctx, tx, []queue.Fetched{m})
		if err != nil {
			if !poison(err) {
				return nil, 0, err
			}
			if err := batch.Kill(ctx, tx, m, err); err != nil {
				return nil, 0, err
			}
			d.metrics.deadEvents.Inc()
			d.log.ErrorContext(ctx, "an event cannot be stored and is now a dead letter of the queue", "event", events.EventPrefix.Format(m.ID),
				"type", m.Metadata[events.MetaType], "session", m.Metadata[events.MetaSession], "error", err)
			continue
		}
		done, deliveries = append(done, m), deliveries+n
	}
	return done, deliveries, nil
}

// poison says whether err comes from what was to be written, so that writing it again cannot help: SQLSTATE classes 22 (data exception),
// 23 (integrity) and 54 (a limit exceeded). Anything else, such as a full disk, passes without costing an event.
func poison(err error) bool {
	if errors.Is(err, errBadEvent) {
		return true
	}
	code := postgres.ErrorCode(err)
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") || strings.HasPrefix(code, "54")
}

// writeEvents writes events and their deliveries in a savepoint, and returns the number of deliveries. Events that are in the log already
// are passed over.
func (d *Dispatcher) writeEvents(ctx context.Context, tx pgx.Tx, messages []queue.Fetched) (int, error) {
	if len(messages) == 0 {
		return 0, nil
	}
	rows, err := eventRows(messages)
	if err != nil {
		return 0, err
	}
	files := eventMedia(messages)
	about, err := aboutEndpoints(messages)
	if err != nil {
		return 0, err
	}
	var made int64
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		logged, err := d.queries.EventInsertMany(ctx, tx, rows)
		if err != nil {
			return fmt.Errorf("insert events: %w", err)
		}
		endpoints, err := d.queries.EndpointListForEvents(ctx, tx)
		if err != nil {
			return fmt.Errorf("list endpoints: %w", err)
		}
		if len(files) > 0 {
			if files, err = d.pendingMedia(ctx, tx, files); err != nil {
				return err
			}
		}
		deliveries := fanOut(rows, logged, endpoints, files, about)
		if len(deliveries) == 0 {
			return nil
		}
		if made, err = d.queries.DeliveryInsertMany(ctx, tx, deliveries); err != nil {
			return fmt.Errorf("insert deliveries: %w", err)
		}
		if len(files) > 0 {
			if err := d.queries.DeliveryWaitForMedia(ctx, tx, d.mediaWait.Seconds(), slices.Collect(maps.Keys(files))); err != nil {
				return fmt.Errorf("let deliveries wait for media: %w", err)
			}
		}
		return nil
	})
	return int(made), err
}

func eventRows(messages []queue.Fetched) (db.EventInsertManyParams, error) {
	var r db.EventInsertManyParams
	for _, m := range messages {
		at, err := time.Parse(time.RFC3339Nano, m.Metadata[events.MetaTimestamp])
		if err != nil || m.Metadata[events.MetaType] == "" {
			return r, fmt.Errorf("%w: its metadata lacks a type or a time", errBadEvent)
		}
		r.Ids = append(r.Ids, m.ID)
		r.SessionIds = append(r.SessionIds, m.Metadata[events.MetaSession])
		r.Types = append(r.Types, m.Metadata[events.MetaType])
		r.OrderKeys = append(r.OrderKeys, m.Metadata[events.MetaOrderKey])
		r.FromMes = append(r.FromMes, fromMe(m.Metadata))
		r.OccurredAts = append(r.OccurredAts, at)
		r.Bodies = append(r.Bodies, m.Payload)
		r.Traceparents = append(r.Traceparents, m.Metadata[queue.MetaTrace])
	}
	return r, nil
}

// fromMe is what the log keeps of events.MetaFromMe: true, false, or nothing.
func fromMe(metadata map[string]string) string {
	if own, err := strconv.ParseBool(metadata[events.MetaFromMe]); err == nil {
		return strconv.FormatBool(own)
	}
	return ""
}

// eventMedia returns the media of the events that have some, by the events' ids.
func eventMedia(messages []queue.Fetched) map[uuid.UUID]uuid.UUID {
	files := map[uuid.UUID]uuid.UUID{}
	for _, m := range messages {
		if id, err := uuid.Parse(m.Metadata[events.MetaMedia]); err == nil {
			files[m.ID] = id
		}
	}
	return files
}

// pendingMedia returns those of files whose bytes are still on their way.
func (d *Dispatcher) pendingMedia(ctx context.Context, tx pgx.Tx, files map[uuid.UUID]uuid.UUID) (map[uuid.UUID]uuid.UUID, error) {
	pending, err := d.queries.MediaListPending(ctx, tx, slices.Collect(maps.Values(files)))
	if err != nil {
		return nil, fmt.Errorf("list media under way: %w", err)
	}
	waiting := map[uuid.UUID]uuid.UUID{}
	for event, id := range files {
		if slices.Contains(pending, id) {
			waiting[event] = id
		}
	}
	return waiting, nil
}

// fanOut returns the deliveries of the events that were logged, in their order. files are the media that deliveries wait for, and about the
// endpoints that events are about, by event.
func fanOut(rows db.EventInsertManyParams, logged []db.EventInsertManyRow, endpoints []db.EndpointListForEventsRow, files, about map[uuid.UUID]uuid.UUID) []db.DeliveryInsertManyParams {
	seqs := make(map[uuid.UUID]int64, len(logged))
	for _, l := range logged {
		seqs[l.ID] = l.Seq
	}
	var list []db.DeliveryInsertManyParams
	for i, id := range rows.Ids {
		seq, ok := seqs[id]
		if !ok {
			continue
		}
		delete(seqs, id) // the same event twice in one batch is one event
		facts := events.Facts{Type: rows.Types[i], SessionID: rows.SessionIds[i], ChatID: rows.OrderKeys[i]}
		if own, err := strconv.ParseBool(rows.FromMes[i]); err == nil {
			facts.FromMe = &own
		}
		for _, e := range endpoints {
			may, whatever := mayGo(rows.Types[i], about[id], e.ID)
			if !may || !whatever && !matches(e, facts) {
				continue
			}
			state := "pending"
			if e.State != "active" {
				state = "held"
			}
			row := db.DeliveryInsertManyParams{
				ID: events.NewID(), EventID: id, EventSeq: seq, EndpointID: e.ID, State: state,
				OrderKey: orderKey(e.OrderMode, rows.SessionIds[i], rows.OrderKeys[i]),
			}
			if file, waits := files[id]; waits && e.WaitForMedia {
				row.MediaID = &file
			}
			list = append(list, row)
		}
	}
	return list
}

// matches says whether an endpoint wants an event.
func matches(e db.EndpointListForEventsRow, f events.Facts) bool {
	if e.Format == formatLegacy && f.Type != string(events.MessageReceived) {
		return false // the original knew no other event
	}
	filter := events.Filter{Types: e.Events, Sessions: e.Sessions, FromMe: e.FromMe}
	for _, kind := range e.ChatKinds {
		filter.ChatKinds = append(filter.ChatKinds, events.AddressKind(kind))
	}
	return filter.Wants(f)
}

// orderKey is what orders a delivery among those of its endpoint; nil means nothing does. A chat's key has its session in it, since two
// sessions may be in one chat.
func orderKey(mode, session, chat string) *string {
	var key string
	switch mode {
	case "session":
		key = session
	case "chat":
		key = events.EventLane(session, chat)
	}
	if key == "" {
		return nil
	}
	return &key
}
