package dispatcher

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// claimLock is the key of the advisory lock under which deliveries are claimed: ASCII "deliver".
	claimLock int64 = 0x64656c69766572
	// claimMany bounds the deliveries of one claim.
	claimMany = 500
	// leaseSlack is how much longer than its attempt a delivery's lease lasts: for what happens before the request and after it.
	leaseSlack = 30 * time.Second
	// startWithin is how old a claim may be when its request begins; an older one, of a process that was stopped, is given back. The request
	// itself ends by the endpoint's timeout, so nothing is under way any more when the lease runs out.
	startWithin = leaseSlack / 2
	// headsScan bounds the order keys that one statement looks at, and headsScans the statements for an endpoint in one claim: at about 15 µs
	// a key, 60 ms. The next claim goes on from there.
	headsScan, headsScans = 500, 8
)

// A target is where an endpoint's deliveries go.
type target struct {
	id      uuid.UUID
	url     string
	secret  string
	format  string
	headers map[string]string
	timeout time.Duration
	waits   []time.Duration // between attempts; nil: the standard ones
	slots   int             // how many at once it was thought to bear when they were claimed
	most    int             // how many at once it may have
}

func newTarget(e db.EndpointListClaimableRow) (*target, error) {
	t := &target{
		id: e.ID, url: e.Url, secret: e.Secret, format: e.Format, timeout: time.Duration(e.TimeoutSeconds) * time.Second,
		slots: int(e.Slots), most: int(e.MaxInFlight),
	}
	if err := json.Unmarshal(e.Headers, &t.headers); err != nil {
		return nil, fmt.Errorf("decode headers of endpoint: %w", err)
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
	body        []byte    // nil: the event is gone
	occurredAt  time.Time // of the event, as WhatsApp says
	target      *target
}

// claim takes due deliveries, as many as there are places for, and starts their attempts. It says whether there may be more.
func (d *Dispatcher) claim(ctx context.Context) (bool, error) {
	room := min(claimMany, d.cfg.MaxInFlight-int(d.inFlight.Load()))
	if room <= 0 {
		d.claimed.Store(time.Now().UnixNano()) // an attempt that ends wakes the loop
		return false, nil
	}
	claimedAt := time.Now()
	var list []delivery
	err := pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) (err error) {
		list, err = d.claimIn(ctx, tx, room)
		return err
	})
	if err != nil {
		return false, err
	}
	d.claimed.Store(time.Now().UnixNano())
	for _, c := range list {
		c.claimedAt = claimedAt
		d.inFlight.Add(1)
		d.attempts.Go(func() { d.results <- result{delivery: c, outcome: d.attemptDelivery(d.sending, c)} })
	}
	return len(list) > 0, nil
}

func (d *Dispatcher) claimIn(ctx context.Context, tx pgx.Tx, room int) ([]delivery, error) {
	if err := d.queries.ClaimLock(ctx, tx, claimLock); err != nil {
		return nil, fmt.Errorf("lock claims: %w", err)
	}
	endpoints, err := d.queries.EndpointListClaimable(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("list claimable endpoints: %w", err)
	}
	if len(endpoints) == 0 {
		return nil, nil
	}
	rates := limit(endpoints)
	allowed := share(endpoints, room)
	claim, err := d.pick(ctx, tx, endpoints, allowed)
	if err != nil {
		return nil, err
	}
	if err := d.spend(ctx, tx, rates, claim.EndpointIds); err != nil {
		return nil, err
	}
	if wait := rates.wait(); wait > 0 {
		d.tokenDue.Reset(wait)
	}
	if len(claim.EventIds) == 0 {
		return nil, nil
	}
	targets := make(map[uuid.UUID]*target, len(endpoints))
	for _, e := range endpoints {
		if targets[e.ID], err = newTarget(e); err != nil {
			return nil, err
		}
	}
	for _, id := range claim.EndpointIds {
		claim.LeaseSeconds = append(claim.LeaseSeconds, int32((targets[id].timeout + leaseSlack).Seconds()))
	}
	claimID := uuid.New()
	claim.ClaimID, claim.Owner = &claimID, d.cfg.Owner
	rows, err := d.queries.DeliveryClaimMany(ctx, tx, claim)
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	list := make([]delivery, len(rows))
	for i, r := range rows {
		list[i] = delivery{id: r.ID, eventID: r.EventID, claimID: claimID, attempt: int(r.Attempt), early: r.Early, body: r.Body, target: targets[r.EndpointID]}
		if r.OccurredAt != nil {
			list[i].occurredAt = *r.OccurredAt
		}
	}
	return list, nil
}

// pick chooses due deliveries, for each endpoint as many as it is allowed.
func (d *Dispatcher) pick(ctx context.Context, tx pgx.Tx, endpoints []db.EndpointListClaimableRow, allowed map[uuid.UUID]int) (db.DeliveryClaimManyParams, error) {
	var claim db.DeliveryClaimManyParams
	take := func(event, endpoint uuid.UUID) {
		claim.EventIds, claim.EndpointIds = append(claim.EventIds, event), append(claim.EndpointIds, endpoint)
		allowed[endpoint]--
	}
	var ids []uuid.UUID
	var limits []int32
	for _, e := range endpoints {
		if e.Due && allowed[e.ID] > 0 {
			ids, limits = append(ids, e.ID), append(limits, int32(allowed[e.ID]))
		}
	}
	if len(ids) > 0 {
		due, err := d.queries.DeliveryListDue(ctx, tx, ids, limits)
		if err != nil {
			return claim, fmt.Errorf("list due deliveries: %w", err)
		}
		for _, p := range due {
			take(p.EventID, p.EndpointID)
		}
	}
	for _, e := range endpoints {
		if !e.DueOrdered || allowed[e.ID] <= 0 {
			continue
		}
		heads, err := d.heads(ctx, tx, e.ID, allowed[e.ID])
		if err != nil {
			return claim, err
		}
		for _, event := range heads {
			take(event, e.ID)
		}
	}
	return claim, nil
}

// heads returns the events of up to limit order keys of an endpoint whose heads are due. It goes round the keys, claim by claim, so that none
// waits because others are busier.
func (d *Dispatcher) heads(ctx context.Context, tx pgx.Tx, endpoint uuid.UUID, limit int) (due []uuid.UUID, err error) {
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
				due = append(due, h.EventID)
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
func share(endpoints []db.EndpointListClaimableRow, room int) map[uuid.UUID]int {
	byFree := slices.Clone(endpoints)
	slices.SortFunc(byFree, func(a, b db.EndpointListClaimableRow) int { return int(a.Free) - int(b.Free) })
	allowed := make(map[uuid.UUID]int, len(endpoints))
	for i, e := range byFree {
		left := len(byFree) - i
		part := min(int(e.Free), (room+left-1)/left)
		allowed[e.ID] = part
		room -= part
	}
	return allowed
}
