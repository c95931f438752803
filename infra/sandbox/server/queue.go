package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// window is how many stanzas a device may leave unacknowledged before no more are sent to it. More than 2,048 at once overflow
	// whatsmeow's handler queue, which then loses their order (handlerQueueSize in client.go; measured: 4,000 at once came with 933
	// inversions, 1,500 with none).
	window = 100
	// refill is the number of unacknowledged stanzas at which more are sent, so that they go several at a time.
	refill = window / 2
	// closeTimeout bounds what the server does for its journal when it closes.
	closeTimeout = 5 * time.Second
)

// queued is a stanza for a device that stays in the device's queue until the device acknowledges it.
type queued struct {
	to     *device
	stanza waBinary.Node
}

// queue is what a device has not acknowledged. The zero value is empty.
type queue struct {
	mu      sync.Mutex
	rows    []*row // oldest first; the first ones, flight of them, were sent to the reader
	flight  int
	reader  *conn    // the connection whose client asked for its stanzas; nil for none
	retried []string // keys of messages that a retry receipt removed and whose ack is yet to come
	backlog int      // how much of what waited when the reader logged in is still to be sent
	waiting int      // how much waited then; -1 once the end of it was marked
}

// row is a stanza in a queue.
type row struct {
	id     int64
	key    string
	stanza []byte
	// byNumber says that key is that of the stanza as it was sent to a client which is addressed by number; guarded by queue.mu, as key is.
	byNumber bool
}

func registerQueue(r *registry) {
	r.stanzas["ack"] = handleAck
	r.queries[query{"passive", "set", "active"}] = handleActive
	r.queries[query{"passive", "set", "passive"}] = handlePassive
	r.loaders["queue"] = loadRow
}

// stanzaKey identifies a stanza in its receiver's acknowledgement, which repeats class, id, sender, participant and, but for messages, the
// type (sendAck in receipt.go).
func stanzaKey(class, id, from, participant, kind string) string {
	if class == "message" {
		kind = ""
	}
	return class + " " + id + " " + from + " " + participant + " " + kind
}

// newRow makes the row of a stanza.
func (s *Server) newRow(stanza *waBinary.Node) (*row, error) {
	body, err := waBinary.Marshal(*stanza)
	if err != nil {
		return nil, fmt.Errorf("marshal %s: %w", stanza.Tag, err)
	}
	return &row{id: s.lastRow.Add(1), key: keyOf(stanza), stanza: body}, nil
}

func keyOf(stanza *waBinary.Node) string {
	return stanzaKey(stanza.Tag, attr(stanza, "id"), attr(stanza, "from"), attr(stanza, "participant"), attr(stanza, "type"))
}

// record keeps the row in a device's queue; its key sorts by device, then by age.
func (r *row) record(to *device) journal.Record {
	return journal.Record{Kind: "queue", Key: queueKey(to, r.id), Value: r.stanza}
}

func queueKey(to *device, id int64) string { return fmt.Sprintf("%08x/%012x", to.id, id) }

// class is "message", "receipt" or "notification".
func (r *row) class() string {
	class, _, _ := strings.Cut(r.key, " ")
	return class
}

func loadRow(s *Server, r journal.Record) error {
	var device, id int64
	if _, err := fmt.Sscanf(r.Key, "%x/%x", &device, &id); err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	s.lastRow.Store(max(s.lastRow.Load(), id))
	to := s.devices[device]
	if to == nil { // it was removed while the stanza came
		s.forget(r)
		return nil
	}
	stanza, err := decode(r.Value)
	if err != nil {
		return err
	}
	to.queue.rows = append(to.queue.rows, &row{id: id, key: keyOf(stanza), stanza: r.Value})
	return nil
}

// append adds a row and sends what may be sent.
func (q *queue) append(r *row) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rows = append(q.rows, r)
	q.fill()
}

// fill sends what is queued as far as the window allows, or all of it if the faults want that; the caller holds the lock. Those that waited at login carry their number in
// `offline`, and a marker follows the last of them.
func (q *queue) fill() {
	c := q.reader
	if c == nil {
		return
	}
	most, all := window, c.faults().PushAll
	if all {
		most = len(q.rows)
	}
	if q.flight > refill && !all {
		return
	}
	for q.flight < len(q.rows) && q.flight < most {
		r := q.rows[q.flight]
		q.flight++
		if q.backlog == 0 {
			c.deliver(r, -1)
			continue
		}
		c.deliver(r, q.waiting-q.backlog)
		q.backlog--
		q.endOffline()
	}
}

// endOffline marks the end of what waited at login, once all of it was sent; the caller holds the lock.
func (q *queue) endOffline() {
	if q.backlog > 0 || q.waiting < 0 {
		return
	}
	q.reader.sendNode(waBinary.Node{Tag: "ib", Attrs: waBinary.Attrs{"from": types.ServerJID},
		Content: []waBinary.Node{{Tag: "offline", Attrs: waBinary.Attrs{"count": q.waiting}}}})
	q.waiting = -1
}

// open gives the queue to a connection: a preview of what waits, the stanzas, the marker.
func (q *queue) open(c *conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.reader == c {
		return
	}
	counts := map[string]int{}
	for _, r := range q.rows {
		counts[r.class()]++
	}
	q.reader, q.flight, q.retried = c, 0, nil
	q.backlog, q.waiting = len(q.rows), len(q.rows)
	c.sendNode(waBinary.Node{Tag: "ib", Attrs: waBinary.Attrs{"from": types.ServerJID}, Content: []waBinary.Node{{Tag: "offline_preview", Attrs: waBinary.Attrs{
		"count": len(q.rows), "message": counts["message"], "receipt": counts["receipt"], "notification": counts["notification"], "appdata": 0,
	}}}})
	q.endOffline()
	q.fill()
}

// leave ends what open began, if the queue is the connection's.
func (q *queue) leave(c *conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.reader == c {
		q.reader, q.flight = nil, 0
	}
}

// find returns the oldest row with a key, or nil: a repeated id waits twice and is acknowledged twice.
func (q *queue) find(key string) *row {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.rows {
		if r.key == key {
			return r
		}
	}
	return nil
}

// remove takes a row out and sends what may follow. A retry receipt removes its message, which the client then acknowledges as well; that
// ack must not remove the answer to the retry, which has the same key. It reports false when the row is not there any more.
func (q *queue) remove(r *row, retry bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.rows, r)
	if i < 0 {
		return false
	}
	q.rows = slices.Delete(q.rows, i, i+1)
	switch {
	case i < q.flight:
		q.flight--
	case i < q.flight+q.backlog:
		q.backlog--
		q.endOffline()
	}
	if retry {
		q.retried = append(q.retried, r.key)
		if len(q.retried) > window {
			q.retried = q.retried[1:]
		}
	}
	q.fill()
	return true
}

// wasRetried says whether a key is that of a message that a retry receipt removed, once.
func (q *queue) wasRetried(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.retried, key)
	if i >= 0 {
		q.retried = slices.Delete(q.retried, i, i+1)
	}
	return i >= 0
}

// Queued is how many stanzas wait for the devices of a phone number to acknowledge them, those of companions included, if companions is
// true.
func (s *Server) Queued(phone string, companions bool) (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a := s.byPhone[phone]; a != nil {
		for _, d := range a.devices {
			if companions || d.number == 0 {
				d.queue.mu.Lock()
				n += len(d.queue.rows)
				d.queue.mu.Unlock()
			}
		}
	}
	return n
}

// handleActive opens the queue to a client that has logged in.
func handleActive(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	c.then = func() { c.device.queue.open(c) }
	return nil, nil
}

func handlePassive(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	c.device.queue.leave(c)
	return nil, nil
}

// handleAck removes a stanza that the client is done with.
func handleAck(_ context.Context, c *conn, ack *waBinary.Node) error {
	class, q := attr(ack, "class"), &c.device.queue
	key := stanzaKey(class, attr(ack, "id"), attr(ack, "to"), attr(ack, "participant"), attr(ack, "type"))
	if q.wasRetried(key) {
		return nil
	}
	r := q.find(key)
	if r == nil || !q.remove(r, false) {
		return nil
	}
	if class == "message" {
		c.s.counts.delivered.Add(1)
	}
	c.s.ackedMu.Lock()
	c.s.acked = append(c.s.acked, queueKey(c.device, r.id))
	c.s.ackedMu.Unlock()
	select {
	case c.s.acknowledged <- struct{}{}:
	default: // there is a token already
	}
	return nil
}

// forgetAcknowledged deletes the records of what was acknowledged, until the server closes. Failure policy: what cannot be deleted is tried
// again after 0.1 to 5 s; what the process leaves is sent once more by the next, to clients that know it.
func (s *Server) forgetAcknowledged() {
	pause := 100 * time.Millisecond
	var again <-chan time.Time
	for open := true; open; {
		select {
		case <-s.acknowledged:
		case <-again:
		case <-s.ctx.Done():
			open = false
		}
		s.ackedMu.Lock()
		keys := s.acked
		s.acked = nil
		s.ackedMu.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), stanzaTimeout)
		if !open {
			cancel()
			ctx, cancel = context.WithTimeout(context.WithoutCancel(s.ctx), closeTimeout)
		}
		err := s.journal.Forget(ctx, "queue", keys...)
		cancel()
		again = nil
		if err == nil {
			pause = 100 * time.Millisecond
			continue
		}
		s.log.WarnContext(s.ctx, "acknowledged stanzas not deleted", "error", err)
		s.ackedMu.Lock()
		s.acked = append(keys, s.acked...)
		s.ackedMu.Unlock()
		again = time.After(pause)
		pause = min(2*pause, 5*time.Second)
	}
}
