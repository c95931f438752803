package dispatcher

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/postgres/db"
)

// rateTick is the least pause before a claim for the sake of a rate: tokens that fall due within it are taken together, so that 1,000 a
// second cost 50 claims and no more.
const rateTick = 20 * time.Millisecond

// A rates is what one claim knows of the endpoints that have a rate. All dispatchers claim one after the other, so that a bucket of tokens in
// the endpoint's row counts exactly: it fills with the rate, up to a second's worth, and each request takes one. A claim whose requests are
// not sent after all has spent its tokens.
type rates struct {
	tokens map[uuid.UUID]float64 // that are left
	rate   map[uuid.UUID]float64 // a second
}

// ratesOf returns the rates of those endpoints that have one.
func ratesOf(endpoints []db.EndpointListLimitedRow) rates {
	r := rates{tokens: map[uuid.UUID]float64{}, rate: map[uuid.UUID]float64{}}
	for _, e := range endpoints {
		if e.RatePerSecond != nil {
			r.tokens[e.ID], r.rate[e.ID] = e.Tokens, float64(*e.RatePerSecond)
		}
	}
	return r
}

// spend takes a token for each delivery that was claimed. The endpoint's row may have to be waited for here while deliveries are locked; those
// who lock it first, to finish others, wait for no delivery that is due (DeliveryBringForward skips what is locked).
func (d *Dispatcher) spend(ctx context.Context, tx pgx.Tx, r rates, claimed []db.DeliveryClaimDueRow) error {
	if len(r.rate) == 0 {
		return nil
	}
	taken := map[uuid.UUID]int32{}
	for _, c := range claimed {
		if _, limited := r.rate[c.EndpointID]; limited {
			taken[c.EndpointID]++
			r.tokens[c.EndpointID]--
		}
	}
	if len(taken) == 0 {
		return nil
	}
	var ids []uuid.UUID
	var amounts []int32
	for id, n := range taken {
		ids, amounts = append(ids, id), append(amounts, n)
	}
	if err := d.queries.EndpointSpendTokens(ctx, tx, ids, amounts); err != nil {
		return fmt.Errorf("spend tokens: %w", err)
	}
	return nil
}

// wait is how long it takes until one of the endpoints that have no token left has one; 0 when there is no such endpoint.
func (r rates) wait() (wait time.Duration) {
	for id, tokens := range r.tokens {
		if tokens >= 1 {
			continue
		}
		next := max(rateTick, time.Duration((1-tokens)/r.rate[id]*float64(time.Second))+time.Millisecond) // the server measures in its own time
		if wait == 0 || next < wait {
			wait = next
		}
	}
	return wait
}
