package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

const (
	// window is how many stanzas a device may leave unacknowledged before no more are sent to it. More than 2,048 at once overflow
	// whatsmeow's handler queue, which then loses their order (handlerQueueSize in client.go; measured: 4,000 at once came with 933
	// inversions, 1,500 with none).
	window = 100
	// refill is the number of unacknowledged stanzas at which the queue is read again, so that it is not read for each one.
	refill = window / 2
)

// queued is a stanza for a device that stays in the database until the device acknowledges it.
type queued struct {
	to     *device
	stanza waBinary.Node
}

// outbox is a connection's view of its device's queue. The queue itself is in the database: what was sent and not acknowledged is known by
// id here, everything else that is there is yet to be sent. So nothing has to be remembered that a lost connection could lose.
type outbox struct {
	mu      sync.Mutex
	active  bool     // the client asked for its stanzas
	dirty   bool     // there may be stanzas that were not sent
	running bool     // a pump works
	flight  []flight // sent and not acknowledged, in the order of sending
	acked   []int64  // acknowledged and yet to be deleted
	retried []string // keys of messages that a retry receipt removed and whose ack is yet to come
	backlog int64    // the last id of what waited when the client logged in; 0 once all of it was sent
	waiting int      // how much waited then
	offline int      // how much of it was sent
}

type flight struct {
	id  int64
	key string
}

func registerQueue(r *registry) {
	r.stanzas["ack"] = handleAck
	r.queries[query{"passive", "set", "active"}] = handleActive
	r.queries[query{"passive", "set", "passive"}] = handlePassive
}

// stanzaKey identifies a stanza in its receiver's acknowledgement, which repeats class, id, sender, participant and, but for messages, the
// type (sendAck in receipt.go).
func stanzaKey(class, id, from, participant, kind string) string {
	if class == "message" {
		kind = ""
	}
	return class + " " + id + " " + from + " " + participant + " " + kind
}

// queueStanzas adds the insertion of the stanzas to a batch. It is to be the batch's last statement that locks anything.
func queueStanzas(batch *pgx.Batch, stanzas []queued) error {
	if len(stanzas) == 0 {
		return nil
	}
	n := len(stanzas)
	devices, classes, keys, bodies := make([]int64, n), make([]string, n), make([]string, n), make([][]byte, n)
	for i := range stanzas {
		node := &stanzas[i].stanza
		body, err := waBinary.Marshal(*node)
		if err != nil {
			return fmt.Errorf("marshal %s: %w", node.Tag, err)
		}
		devices[i], classes[i], bodies[i] = stanzas[i].to.id, node.Tag, body
		keys[i] = stanzaKey(node.Tag, attr(node, "id"), attr(node, "from"), attr(node, "participant"), attr(node, "type"))
	}
	batch.Queue(`INSERT INTO sandbox.queue (device_id, class, key, stanza)
		SELECT d, c, k, s FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS u (d, c, k, s, n) ORDER BY n`,
		devices, classes, keys, bodies)
	return nil
}

// enqueue persists stanzas in one statement and sends them to the devices that are connected.
func (s *Server) enqueue(ctx context.Context, stanzas []queued) error {
	var batch pgx.Batch
	if err := queueStanzas(&batch, stanzas); err != nil {
		return err
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("queue stanzas: %w", err)
	}
	s.wake(stanzas)
	return nil
}

// wake makes the connections of the stanzas' devices look into their queues.
func (s *Server) wake(stanzas []queued) {
	var connections []*conn
	s.mu.RLock()
	for _, q := range stanzas {
		if c := q.to.conn; c != nil && !slices.Contains(connections, c) {
			connections = append(connections, c)
		}
	}
	s.mu.RUnlock()
	for _, c := range connections {
		c.box.mu.Lock()
		c.box.dirty = true
		c.box.mu.Unlock()
		c.startPump()
	}
}

// startPump lets the pump run if there is something for it to do.
func (c *conn) startPump() {
	c.box.mu.Lock()
	start := !c.box.running && (len(c.box.acked) > 0 || c.box.wants())
	if start {
		c.box.running = true
	}
	c.box.mu.Unlock()
	if start {
		c.spawn(c.pump)
	}
}

// wants says whether the queue is to be read; the caller holds the lock.
func (b *outbox) wants() bool { return b.active && b.dirty && len(b.flight) <= refill }

// pump sends what is queued as far as the window allows and deletes what was acknowledged, until there is neither. One runs at a time.
// Failure policy: it tries again with 0.1 to 5 s between, as long as the connection lives; what was not deleted is sent once more to the
// device's next connection.
func (c *conn) pump() {
	b := &c.box
	pause := 100 * time.Millisecond
	for {
		b.mu.Lock()
		acked, read := b.acked, b.wants()
		if len(acked) == 0 && !read {
			b.running = false
			b.mu.Unlock()
			return
		}
		known := append([]int64{}, acked...) // never nil, which would be NULL
		for _, f := range b.flight {
			known = append(known, f.id)
		}
		if read {
			b.dirty = false
		}
		b.mu.Unlock()
		err := c.pumpOnce(known, acked, read)
		if err == nil {
			pause = 100 * time.Millisecond
			continue
		}
		if c.s.ctx.Err() != nil {
			return // the server is closing; running stays set, as below
		}
		c.s.log.WarnContext(c.ctx, "queue not pumped", "device", c.device.id, "error", err)
		b.mu.Lock()
		b.dirty = b.dirty || read
		b.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			pause = min(2*pause, 5*time.Second)
		case <-c.ctx.Done():
			timer.Stop()
			return // with running still set, so that no other starts: the connection is over
		}
	}
}

// pumpOnce does one round. known are the ids that must not be sent, acked are to be deleted.
func (c *conn) pumpOnce(known, acked []int64, read bool) error {
	ctx, cancel := context.WithTimeout(c.s.ctx, stanzaTimeout)
	defer cancel()
	if read {
		rows, err := c.s.pool.Query(ctx, `SELECT id, key, stanza FROM sandbox.queue WHERE device_id = $1 AND id <> ALL($2) ORDER BY id LIMIT $3`,
			c.device.id, known, window-refill)
		if err != nil {
			return fmt.Errorf("read queue: %w", err)
		}
		batch, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r queueRow, err error) {
			err = row.Scan(&r.id, &r.key, &r.stanza)
			return r, err
		})
		if err != nil {
			return fmt.Errorf("read queue: %w", err)
		}
		c.push(batch)
	}
	if len(acked) > 0 {
		// Losing such a deletion with the database only repeats a stanza, so it does not wait for the disk.
		var batch pgx.Batch
		batch.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
		batch.Queue(`DELETE FROM sandbox.queue WHERE id = ANY($1)`, acked)
		if err := c.s.pool.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("delete acknowledged: %w", err)
		}
		c.box.mu.Lock()
		c.box.acked = c.box.acked[len(acked):]
		if len(c.box.acked) == 0 {
			c.box.acked = nil
		}
		c.box.mu.Unlock()
	}
	return nil
}

type queueRow struct {
	id     int64
	key    string
	stanza []byte
}

// push sends rows of the queue. Those that waited at login carry their number in `offline`, and a marker follows the last of them.
func (c *conn) push(rows []queueRow) {
	b := &c.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(rows) == window-refill {
		b.dirty = true // there may be more
	}
	for _, row := range rows {
		if b.backlog != 0 && row.id > b.backlog {
			c.sendOfflineEnd()
		}
		b.flight = append(b.flight, flight{row.id, row.key})
		if b.backlog == 0 {
			c.send(row.stanza)
			continue
		}
		node, err := waBinary.Unmarshal(row.stanza[1:])
		if err != nil {
			c.s.log.ErrorContext(c.ctx, "queued stanza does not parse", "id", row.id, "error", err)
			continue
		}
		node.Attrs["offline"] = fmt.Sprint(b.offline)
		b.offline++
		c.sendNode(*node)
	}
	if b.backlog != 0 && len(rows) < window-refill {
		c.sendOfflineEnd()
	}
}

// sendOfflineEnd marks the end of what waited at login; the caller holds the outbox's lock.
func (c *conn) sendOfflineEnd() {
	c.sendNode(waBinary.Node{Tag: "ib", Attrs: waBinary.Attrs{"from": types.ServerJID},
		Content: []waBinary.Node{{Tag: "offline", Attrs: waBinary.Attrs{"count": c.box.waiting}}}})
	c.box.backlog = 0
}

// handleActive opens the queue to a client that has logged in: a preview of what waits, the stanzas, the marker.
func handleActive(ctx context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	rows, err := c.s.pool.Query(ctx, `SELECT class, count(*), max(id) FROM sandbox.queue WHERE device_id = $1 GROUP BY class`, c.device.id)
	if err != nil {
		c.cut()
		return nil, fmt.Errorf("preview queue: %w", err)
	}
	counts := map[string]int{}
	var class string
	var count, total int
	var last, newest int64
	_, err = pgx.ForEachRow(rows, []any{&class, &count, &newest}, func() error {
		counts[class] = count
		total += count
		last = max(last, newest)
		return nil
	})
	if err != nil {
		c.cut() // the client would take itself for connected and never ask again
		return nil, fmt.Errorf("preview queue: %w", err)
	}
	c.then = func() {
		b := &c.box
		b.mu.Lock()
		if !b.active {
			b.active, b.dirty, b.backlog, b.waiting, b.offline = true, true, last, total, 0
			c.sendNode(waBinary.Node{Tag: "ib", Attrs: waBinary.Attrs{"from": types.ServerJID}, Content: []waBinary.Node{{Tag: "offline_preview", Attrs: waBinary.Attrs{
				"count": total, "message": counts["message"], "receipt": counts["receipt"], "notification": counts["notification"], "appdata": 0,
			}}}})
			if total == 0 {
				c.sendOfflineEnd()
			}
		}
		b.mu.Unlock()
		c.startPump()
	}
	return nil, nil
}

func handlePassive(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	c.box.mu.Lock()
	c.box.active = false
	c.box.mu.Unlock()
	return nil, nil
}

// handleAck removes a stanza that the client is done with.
func handleAck(ctx context.Context, c *conn, ack *waBinary.Node) error {
	class := attr(ack, "class")
	key := stanzaKey(class, attr(ack, "id"), attr(ack, "to"), attr(ack, "participant"), attr(ack, "type"))
	b := &c.box
	b.mu.Lock()
	if i := slices.Index(b.retried, key); i >= 0 {
		b.retried = slices.Delete(b.retried, i, i+1)
		b.mu.Unlock()
		return nil
	}
	i := slices.IndexFunc(b.flight, func(f flight) bool { return f.key == key })
	if i >= 0 {
		b.acked = append(b.acked, b.flight[i].id)
		b.flight = slices.Delete(b.flight, i, i+1)
	}
	b.mu.Unlock()
	deleted := i >= 0
	if !deleted {
		// The stanza went over an earlier connection.
		tag, err := c.s.pool.Exec(ctx, deleteByKey, c.device.id, key)
		if err != nil {
			return fmt.Errorf("delete acknowledged: %w", err)
		}
		deleted = tag.RowsAffected() > 0
	}
	if deleted && class == "message" {
		c.s.counts.delivered.Add(1)
	}
	c.startPump()
	return nil
}

// deleteByKey removes the oldest stanza with a key: a repeated id waits twice and is acknowledged twice.
const deleteByKey = `DELETE FROM sandbox.queue WHERE id = (SELECT id FROM sandbox.queue WHERE device_id = $1 AND key = $2 ORDER BY id LIMIT 1)`

// inFlight returns the id of the oldest stanza with a key that was sent on this connection and not acknowledged, or 0.
func (b *outbox) inFlight(key string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.flight {
		if f.key == key {
			return f.id
		}
	}
	return 0
}

// landed forgets a message that was deleted from the queue; its id is 0 when it was not in flight. A retry receipt removes its message, which the client then acknowledges as
// well; that ack must not remove the answer to the retry, which has the same key.
func (c *conn) landed(id int64, key string, retry bool) {
	b := &c.box
	b.mu.Lock()
	b.flight = slices.DeleteFunc(b.flight, func(f flight) bool { return f.id == id })
	if retry {
		b.retried = append(b.retried, key)
		if len(b.retried) > window {
			b.retried = b.retried[1:]
		}
	}
	b.mu.Unlock()
	c.startPump()
}
