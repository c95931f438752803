package dispatcher

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
)

const (
	// claimLock is the key of the advisory lock under which deliveries are claimed: ASCII "deliver".
	claimLock int64 = 0x64656c69766572
	// claimLinger is how long a claim waits for more places to come free while claimBusy attempts or more are under way: larger claims and
	// finishes cost PostgreSQL less a delivery (measured: 130 instead of 90 rows a statement at 7,000/s), and what is due waits longer for a
	// place than for this.
	claimLinger = 5 * time.Millisecond
	claimBusy   = 64
	// claimMany bounds the deliveries of one claim.
	claimMany = 500
	// leaseSlack is how much longer than its attempt a delivery's lease lasts: for what happens before the request and after it.
	leaseSlack = 30 * time.Second
	// startWithin is how old a claim may be when its request begins; an older one, of a process that was stopped, is given back. The request
	// itself ends by the endpoint's timeout, so nothing is under way any more when the lease runs out.
	startWithin = leaseSlack / 2
	// runMost bounds a run. Its attempts must all begin within startWithin, so that a receiver needs to answer within a second for all of it.
	runMost = 16
	// headsScan bounds the order keys that one statement looks at, and headsScans the statements for an endpoint in one claim: at about 15 µs
	// a key, 60 ms. The next claim goes on from there.
	headsScan, headsScans = 500, 8
)

// claimBegin saves the lock a round trip. The statements behind it see everything that was committed before it was had.
var claimBegin = fmt.Sprintf("begin isolation level read committed; select pg_advisory_xact_lock(%d)", claimLock)

// A run is deliveries that go one after the other: those of an order key that are due together, or one without order.
type run []delivery

// A target is where an endpoint's deliveries go.
type target struct {
	id      uuid.UUID
	url     string
	secret  string
	format  string
	headers map[string]string
	timeout time.Duration
	// previous are earlier secrets that sign too, until their time.
	previous []postgres.PreviousSecret
	// unreadable is why the secret or the headers do not open; such an endpoint gets nothing, and costs no other one anything.
	unreadable error
	waits      []time.Duration // between attempts; nil: the standard ones
	slots      int             // how many at once it was thought to bear when they were claimed
	most       int             // how many at once it may have
}

func newTarget(keys *seal.Keys, e db.EndpointListTargetsRow) (*target, error) {
	unreadable := postgres.OpenEndpoint(keys, e.ID, &e.Secret, &e.Headers, &e.PreviousSecrets)
	if unreadable != nil {
		e.Headers, e.PreviousSecrets = json.RawMessage(`{}`), json.RawMessage(`[]`)
	}
	t := &target{
		unreadable: unreadable, id: e.ID, url: e.Url, secret: e.Secret, format: e.Format, timeout: time.Duration(e.TimeoutSeconds) * time.Second,
		slots: int(e.Slots), most: int(e.MaxInFlight),
	}
	if err := json.Unmarshal(e.Headers, &t.headers); err != nil {
		return nil, fmt.Errorf("decode headers of endpoint: %w", err)
	}
	var err error
	if t.previous, err = postgres.PreviousSecrets(e.PreviousSecrets, time.Now()); err != nil {
		return nil, err
	}
	if e.RetrySeconds != nil {
		t.waits = make([]time.Duration, len(e.RetrySeconds))
		for i, s := range e.RetrySeconds {
			t.waits[i] = time.Duration(s) * time.Second
		}
	}
	return t, nil
}

// A delivery is one that was claimed.
type delivery struct {
	id, eventID uuid.UUID
	claimID     uuid.UUID
	claimedAt   time.Time
	attempt     int // attempts that count so far
	early       bool
	blocked     bool      // one before it in its run was not claimed: it is given back
	body        []byte    // nil: the event is gone
	occurredAt  time.Time // of the event, as WhatsApp says
	trace       string    // that the event belongs to, a traceparent; "": none
	target      *target
}

// claim takes due deliveries, as many as there are places for, and starts their attempts. It says whether there may be more.
func (d *Dispatcher) claim(ctx context.Context) (bool, error) {
	room := min(claimMany, d.cfg.MaxInFlight-int(d.inFlight.Load()))
	if room <= 0 {
		d.claimed.Store(time.Now().UnixNano()) // an attempt that ends wakes the loop
		return false, nil
	}
	if int(d.inFlight.Load()) >= claimBusy {
		select {
		case <-ctx.Done():
		case <-time.After(claimLinger):
		}
		room = min(claimMany, d.cfg.MaxInFlight-int(d.inFlight.Load()))
	}
	claimedAt := time.Now()
	var runs []run
	err := pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{BeginQuery: claimBegin}, func(tx pgx.Tx) (err error) {
		runs, err = d.claimIn(ctx, tx, room)
		return err
	})
	if err != nil {
		return false, err
	}
	d.claimed.Store(time.Now().UnixNano())
	for _, r := range runs {
		d.inFlight.Add(int64(len(r)))
		d.attempts.Go(func() { d.send(r, claimedAt) })
	}
	return len(runs) > 0, nil
}

// send makes the attempts of a run, one after the other. After one that is not dealt with, those behind it are given back.
func (d *Dispatcher) send(r run, claimedAt time.Time) {
	stopped := false
	for _, c := range r {
		c.claimedAt = claimedAt
		o := outcome{class: classAborted}
		if !stopped && !c.blocked {
			o = d.attemptDelivery(d.sending, c)
		}
		stopped = o.class != classOK && o.class != classExpired && o.class != classUnfit
		d.results <- result{delivery: c, outcome: o}
	}
}

// claimIn claims up to room deliveries. Those without order may take half of it while there are others.
func (d *Dispatcher) claimIn(ctx context.Context, tx pgx.Tx, room int) ([]run, error) {
	limited, err := d.queries.EndpointListLimited(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("list endpoints with an order or a rate: %w", err)
	}
	rates := ratesOf(limited)
	ordered := slices.DeleteFunc(limited, func(e db.EndpointListLimitedRow) bool { return !e.DueOrdered })
	loose := room
	if len(ordered) > 0 {
		loose = (room + 1) / 2
	}
	claimID := uuid.New()
	rows, err := d.queries.DeliveryClaimDue(ctx, tx, int32(loose), &claimID, d.cfg.Owner, int32(leaseSlack.Seconds()))
	if err != nil {
		return nil, fmt.Errorf("claim due deliveries: %w", err)
	}
	var lanes []lane
	if len(ordered) > 0 {
		if lanes, err = d.pickLanes(ctx, tx, ordered, rows, room-len(rows)); err != nil {
			return nil, err
		}
		claimed, err := d.claimLanes(ctx, tx, claimID, lanes)
		if err != nil {
			return nil, err
		}
		rows = append(rows, claimed...)
	}
	if err := d.spend(ctx, tx, rates, rows); err != nil {
		return nil, err
	}
	if wait := rates.wait(); wait > 0 {
		d.tokenDue.Reset(wait)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	targets, err := d.targets(ctx, tx, rows)
	if err != nil {
		return nil, err
	}
	type key struct{ event, endpoint uuid.UUID }
	place := map[key]int{} // of what is ordered: its lane, from 1
	for i, l := range lanes {
		for _, e := range l.events {
			place[key{e, l.endpoint}] = i + 1
		}
	}
	runs := make([]run, 0, len(rows))
	byLane := make([]run, len(lanes))
	for _, r := range rows {
		c := delivery{id: r.ID, eventID: r.EventID, claimID: claimID, attempt: int(r.Attempt), early: r.Early, body: r.Body, trace: r.Traceparent, target: targets[r.EndpointID]}
		if r.OccurredAt != nil {
			c.occurredAt = *r.OccurredAt
		}
		if at := place[key{r.EventID, r.EndpointID}]; at > 0 {
			byLane[at-1] = append(byLane[at-1], c)
		} else {
			runs = append(runs, run{c})
		}
	}
	for i, r := range byLane {
		runs = append(runs, lanes[i].sort(r))
	}
	return runs, nil
}

// A lane is what of an order key goes out in one run.
type lane struct {
	endpoint uuid.UUID
	lease    int32 // seconds
	events   []uuid.UUID
}

// sort puts what was claimed of a lane into its order. What comes behind one that was not claimed after all is marked, so as not to overtake it.
func (l lane) sort(claimed run) run {
	at := make(map[uuid.UUID]delivery, len(claimed))
	for _, c := range claimed {
		at[c.eventID] = c
	}
	sorted, blocked := make(run, 0, len(claimed)), false
	for _, e := range l.events {
		c, ok := at[e]
		if blocked = blocked || !ok; ok {
			c.blocked = blocked
			sorted = append(sorted, c)
		}
	}
	return sorted
}

// pickLanes chooses what of the endpoints' ordered deliveries goes out: the heads of as many keys as there are slots for, and behind them, in the
// slots that are left, what is due too. taken was claimed already, and has slots of its endpoints.
func (d *Dispatcher) pickLanes(ctx context.Context, tx pgx.Tx, endpoints []db.EndpointListLimitedRow, taken []db.DeliveryClaimDueRow, room int) (lanes []lane, err error) {
	busy := map[uuid.UUID]int32{}
	for _, t := range taken {
		busy[t.EndpointID]++
	}
	for i := range endpoints {
		endpoints[i].Free = max(0, endpoints[i].Free-busy[endpoints[i].ID])
	}
	allowed := share(endpoints, room)
	for _, e := range endpoints {
		heads, err := d.heads(ctx, tx, e.ID, allowed[e.ID])
		if err != nil {
			return nil, err
		}
		if len(heads) == 0 {
			continue
		}
		behind := map[string][]uuid.UUID{}
		if each := min(runMost-1, (allowed[e.ID]-len(heads))/len(heads)); each > 0 {
			if behind, err = d.behind(ctx, tx, e.ID, heads, each); err != nil {
				return nil, err
			}
		}
		for _, h := range heads {
			lanes = append(lanes, lane{e.ID, e.TimeoutSeconds + int32(leaseSlack.Seconds()), append([]uuid.UUID{h.event}, behind[h.key]...)})
		}
	}
	return lanes, nil
}

// behind returns up to each events behind the heads, by their keys, as far as they are due one after the other.
func (d *Dispatcher) behind(ctx context.Context, tx pgx.Tx, endpoint uuid.UUID, heads []head, each int) (map[string][]uuid.UUID, error) {
	keys := make([]string, len(heads))
	for i, h := range heads {
		keys[i] = h.key
	}
	rows, err := d.queries.DeliveryListBehind(ctx, tx, keys, endpoint, int32(each))
	if err != nil {
		return nil, fmt.Errorf("list what is behind the heads: %w", err)
	}
	events, ended := map[string][]uuid.UUID{}, map[string]bool{}
	for _, r := range rows {
		if ended[r.OrderKey] = ended[r.OrderKey] || !r.Due; !ended[r.OrderKey] {
			events[r.OrderKey] = append(events[r.OrderKey], r.EventID)
		}
	}
	return events, nil
}

func (d *Dispatcher) claimLanes(ctx context.Context, tx pgx.Tx, claimID uuid.UUID, lanes []lane) ([]db.DeliveryClaimDueRow, error) {
	claim := db.DeliveryClaimManyParams{ClaimID: &claimID, Owner: d.cfg.Owner}
	for _, l := range lanes {
		for _, e := range l.events {
			claim.EventIds, claim.EndpointIds, claim.LeaseSeconds = append(claim.EventIds, e), append(claim.EndpointIds, l.endpoint), append(claim.LeaseSeconds, l.lease)
		}
	}
	if len(claim.EventIds) == 0 {
		return nil, nil
	}
	rows, err := d.queries.DeliveryClaimMany(ctx, tx, claim)
	if err != nil {
		return nil, fmt.Errorf("claim ordered deliveries: %w", err)
	}
	claimed := make([]db.DeliveryClaimDueRow, len(rows))
	for i, r := range rows {
		claimed[i] = db.DeliveryClaimDueRow(r)
	}
	return claimed, nil
}

// targets returns the endpoints of claimed deliveries.
func (d *Dispatcher) targets(ctx context.Context, tx pgx.Tx, rows []db.DeliveryClaimDueRow) (map[uuid.UUID]*target, error) {
	targets := map[uuid.UUID]*target{}
	for _, r := range rows {
		targets[r.EndpointID] = nil
	}
	endpoints, err := d.queries.EndpointListTargets(ctx, tx, slices.Collect(maps.Keys(targets)))
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	for _, e := range endpoints {
		if targets[e.ID], err = newTarget(d.cfg.Keys, e); err != nil {
			return nil, err
		}
	}
	return targets, nil
}

// A head is the earliest unfinished delivery of an order key.
type head struct {
	key   string
	event uuid.UUID
}

// heads returns up to limit heads of an endpoint that are due. It goes round the keys, claim by claim, so that none waits because others are
// busier.
func (d *Dispatcher) heads(ctx context.Context, tx pgx.Tx, endpoint uuid.UUID, limit int) (due []head, err error) {
	start := d.cursors[endpoint]
	after, wrapped := start, start == ""
	for range headsScans {
		list, err := d.queries.DeliveryListHeads(ctx, tx, endpoint, after, headsScan)
		if err != nil {
			return nil, fmt.Errorf("list heads: %w", err)
		}
		for _, h := range list {
			allRound := wrapped && start != "" && h.OrderKey > start
			if allRound || len(due) == limit {
				return due, nil
			}
			if h.Due {
				due = append(due, head{h.OrderKey, h.EventID})
			}
			after = h.OrderKey
			d.cursors[endpoint] = after
		}
		if len(list) < headsScan { // the last key
			delete(d.cursors, endpoint)
			if wrapped {
				return due, nil
			}
			after, wrapped = "", true
		}
	}
	return due, nil
}

// share divides room among endpoints: each gets its free slots, or an equal part where they do not suffice for all.
func share(endpoints []db.EndpointListLimitedRow, room int) map[uuid.UUID]int {
	byFree := slices.Clone(endpoints)
	slices.SortFunc(byFree, func(a, b db.EndpointListLimitedRow) int { return int(a.Free) - int(b.Free) })
	allowed := make(map[uuid.UUID]int, len(endpoints))
	for i, e := range byFree {
		left := len(byFree) - i
		part := min(int(e.Free), (room+left-1)/left)
		allowed[e.ID] = part
		room -= part
	}
	return allowed
}
