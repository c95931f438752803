package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// claimLength is how long a claim lasts without renewal: what a failover after kill -9 waits for.
	claimLength = 15 * time.Second
	// renewEvery leaves room for two failed renewals before a claim ends.
	renewEvery = 5 * time.Second
	// renewTimeout bounds a renewal and a look. One that hangs, on a connection that died in silence, leaves time for another on a new one.
	renewTimeout = 3 * time.Second
	// claimMargin is how long before its claim ends a session is closed, by this process's own clocks.
	claimMargin = 2 * time.Second
	// replacedGrace is how long a session that was taken from an owner who did not give it back connects again when another login replaces
	// its connection: that owner may have been stopped in the middle of one, and have sent its last bytes as he woke.
	replacedGrace = time.Minute
	// lookEvery is how soon claims that ended are noticed; with claimLength it keeps a failover well below 20 s.
	lookEvery = time.Second
	// handOverMost bounds the sessions given away in one look, so that a new connector is not met by all logins at once.
	handOverMost = 20
)

// errClaimLost says that a session is no longer this process's: the claim ended, or another has it.
var errClaimLost = errors.New("the session's claim is lost")

// errHandOver is why a session is closed that another connector shall have.
var errHandOver = errors.New("the session is handed over")

// term is how long a claim is this process's, by its own clocks: the one place that sends, the line and the supervisor ask. The zero term has
// ended.
type term struct{ end atomic.Pointer[deadline] }

// deadline is a moment by both clocks: the monotonic one stands still while a machine is suspended, and the other can be set back.
type deadline struct{ steady, wall time.Time }

// extend notes a claim that was taken or renewed; at is the time just before it was asked for.
func (t *term) extend(at time.Time) {
	end := at.Add(claimLength - claimMargin)
	t.end.Store(&deadline{steady: end, wall: end.Round(0)})
}

// holds says whether neither clock has come to the end. Failure policy: a clock that is set ahead ends claims early, and the sessions are taken
// again when the claims have run out in the database.
func (t *term) holds() bool {
	end, now := t.end.Load(), time.Now()
	return end != nil && now.Before(end.steady) && now.Round(0).Before(end.wall)
}

// holds says whether the claim is still ours, and ends the session if it is not. It is asked before every call to WhatsApp, and by the line
// before every byte.
func (s *session) holds() bool {
	if s.term.holds() {
		return true
	}
	s.cancel(errClaimLost)
	return false
}

// hold is the fence of a transaction: it fails with errClaimLost unless the session is still ours, and then nobody takes it before the
// transaction ends.
func (s *session) hold(ctx context.Context, tx db.DBTX) error {
	_, err := s.c.queries.ClaimHold(ctx, tx, s.id, s.c.cfg.Owner, s.epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return errClaimLost
	}
	if err != nil {
		return fmt.Errorf("check claim: %w", err)
	}
	return nil
}

// fenced runs a transaction of the session's, behind its fence.
func (s *session) fenced(ctx context.Context, fn func(*queue.Tx) error) error {
	return s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		if err := s.hold(ctx, tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// inTx is fenced for whoever has no bound of time: it takes handlerTimeout.
func (s *session) inTx(ctx context.Context, fn func(context.Context, *queue.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	return s.fenced(ctx, func(tx *queue.Tx) error { return fn(ctx, tx) })
}

// keepClaims renews, takes and gives away, until Stop. Failure policy: an error is logged and tried again at the next look, on a new
// connection; claims that cannot be renewed in time are given up by watchClaims.
func (c *Connector) keepClaims(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	renewed, told := time.Now(), c.reach.cutOff.Load() // Start has just done it
	for {
		full := false
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			full = true
		case <-tick.C:
		}
		if cutOff := c.reach.cutOff.Load(); cutOff != told || time.Since(renewed) >= renewEvery {
			full = true
			if err := c.renew(ctx); err != nil {
				c.logError(ctx, "renew claims", err)
				c.control.Reset()
				continue
			}
			renewed, told = time.Now(), cutOff
		}
		if err := c.look(ctx, full, false); err != nil {
			c.logError(ctx, "look after claims", err)
			c.control.Reset()
		}
	}
}

// watchClaims closes sessions whose claim is about to end, whatever state the database is in.
func (c *Connector) watchClaims(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range c.running() {
			s.holds()
		}
	}
}

// renew writes the heartbeat and renews the claims of the sessions that run. The time is taken before, so that the own idea of a claim's
// end is never later than the database's.
func (c *Connector) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	at := time.Now()
	err := c.queries.ConnectorBeat(ctx, c.control, db.ConnectorBeatParams{
		ID: c.cfg.Owner, Capacity: int32(c.cfg.Capacity), Draining: c.draining.Load(), CutOff: c.reach.cutOff.Load(), LeaseSeconds: claimLength.Seconds(),
	})
	if err != nil {
		return fmt.Errorf("write heartbeat: %w", err)
	}
	running := c.running()
	ids, epochs := make([]string, len(running)), make([]int64, len(running))
	for i, s := range running {
		ids[i], epochs[i] = s.id, s.epoch
	}
	kept, err := c.queries.ClaimRenew(ctx, c.control, claimLength.Seconds(), c.cfg.Owner, ids, epochs)
	if err != nil {
		return fmt.Errorf("renew claims: %w", err)
	}
	c.beatAt.Store(at.UnixNano())
	slices.Sort(kept)
	for _, s := range running {
		if _, ok := slices.BinarySearch(kept, s.id); ok {
			s.term.extend(at)
		} else {
			s.cancel(errClaimLost)
		}
	}
	return nil
}

// look brings the number of sessions to this connector's share. A full look also reads what is asked of the sessions, which is otherwise
// done when somebody says so, and at every renewal in case nobody was heard.
func (c *Connector) look(ctx context.Context, full, takeOver bool) error {
	if c.draining.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	target, err := c.target(ctx)
	if err != nil {
		return err
	}
	running := c.running()
	taken := make(map[string]claim)
	switch {
	case len(running) < target:
		if taken, err = c.take(ctx, target-len(running), takeOver); err != nil {
			return fmt.Errorf("take claims: %w", err)
		}
	case len(running) > target:
		for _, s := range running[:min(len(running)-target, handOverMost)] {
			s.cancel(errHandOver)
		}
	}
	if !full && len(taken) == 0 {
		return nil
	}
	rows, err := c.queries.SessionListControl(ctx, c.control, c.cfg.Owner)
	if err != nil {
		return fmt.Errorf("read what is asked of sessions: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, row := range rows {
		if cl, ok := taken[row.ID]; ok {
			c.launch(row, cl)
		} else if s := c.sessions[row.ID]; s != nil {
			s.setControl(row)
		}
	}
	return nil
}

// claim is a session just taken.
type claim struct {
	epoch int64
	at    time.Time // when it was asked for
	// abandoned says that the owner before did not give it back.
	abandoned bool
}

// take claims up to n sessions and frees what their queue lanes were leased by, else failover would wait for those leases too.
func (c *Connector) take(ctx context.Context, n int, takeOver bool) (map[string]claim, error) {
	taken := make(map[string]claim)
	at := time.Now()
	err := pgx.BeginFunc(ctx, c.control, func(tx pgx.Tx) error {
		clear(taken)
		if err := c.queries.ClaimEnsure(ctx, tx); err != nil {
			return err
		}
		rows, err := c.queries.ClaimTake(ctx, tx, c.cfg.Owner, claimLength.Seconds(), takeOver, int32(n))
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := queue.Free(ctx, tx, row.Session); err != nil {
				return err
			}
			taken[row.Session] = claim{row.Epoch, at, row.Abandoned}
		}
		return nil
	})
	return taken, err
}

// target is this connector's fair share.
func (c *Connector) target(ctx context.Context) (int, error) {
	wanted, err := c.queries.SessionCountWanted(ctx, c.control)
	if err != nil {
		return 0, fmt.Errorf("count sessions: %w", err)
	}
	live, err := c.queries.ConnectorListLive(ctx, c.control)
	if err != nil {
		return 0, fmt.Errorf("list connectors: %w", err)
	}
	return min(c.cfg.Capacity, shareOf(c.cfg.Owner, int(wanted), live)), nil
}

// shareOf is the share of one of the live connectors. Those that do not reach WhatsApp have none, unless all of them do not: then nobody
// could do better, and they share as ever.
func shareOf(owner string, sessions int, live []db.ConnectorListLiveRow) int {
	var reaching, all []int
	cutOff := false
	for _, l := range live {
		all = append(all, int(l.Capacity))
		if !l.CutOff {
			reaching = append(reaching, int(l.Capacity))
		}
		cutOff = cutOff || l.CutOff && l.ID == owner
	}
	switch {
	case len(reaching) == 0:
		return fairShare(sessions, all)
	case cutOff:
		return 0
	}
	return fairShare(sessions, reaching)
}

// fairShare is the smallest number of sessions for each connector, or all it can take where that is less, that leaves no session over:
// every connector computes the same, so that none gives away what no other takes.
func fairShare(sessions int, capacities []int) int {
	slices.Sort(capacities)
	for i, least := range capacities {
		share := (sessions + len(capacities) - i - 1) / (len(capacities) - i)
		if share <= least {
			return share
		}
		sessions -= least
	}
	if len(capacities) == 0 {
		return sessions
	}
	return capacities[len(capacities)-1]
}

// launch starts a session that was taken. c.mu is held.
func (c *Connector) launch(row db.SessionListControlRow, cl claim) {
	s := newSession(c, row, cl)
	before := c.sessions[row.ID] // one whose claim we lost and took again may still be closing
	c.sessions[row.ID] = s
	c.work.Go(func() {
		if before != nil {
			<-before.done
		}
		s.run()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.sessions[s.id] == s {
			delete(c.sessions, s.id)
		}
	})
}

// release gives a session back, so that whoever wants it has it at once. Failure policy: if the database does not answer, the claim runs
// out by itself.
func (s *session) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimMargin)
	defer cancel()
	err := s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		_, err := s.c.queries.ClaimRelease(ctx, tx, s.id, s.c.cfg.Owner, s.epoch)
		tx.Notify(events.WakeControl, s.id)
		return err
	})
	if err != nil {
		s.log.WarnContext(ctx, "claim not released; it runs out by itself", "error", err)
	}
}

// running are the sessions that this connector holds and has not begun to close, in the order of their ids.
func (c *Connector) running() []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*session
	for _, s := range c.sessions {
		if s.ctx.Err() == nil {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	return list
}

// session returns the running session of this id, or nil.
func (c *Connector) session(id string) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[id]; s != nil && s.ctx.Err() == nil {
		return s
	}
	return nil
}

func (c *Connector) logError(ctx context.Context, doing string, err error) {
	if ctx.Err() == nil {
		c.log.ErrorContext(ctx, doing+" failed; trying again", "error", err)
	}
}
