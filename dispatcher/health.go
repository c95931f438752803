package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Why an endpoint is disabled, for a person.
const (
	goneReason   = "the receiver answered 410 Gone: it wants no more events"
	outageReason = "nothing was delivered for 5 days"
)

// judge writes what a batch says about an endpoint, whose row is locked, and tells of it: that it is failing once for each outage, that it is
// disabled, each in the transaction that writes it. A batch that changes nothing writes nothing, which is all but every one of an endpoint
// that does well.
func (d *Dispatcher) judge(ctx context.Context, tx *queue.Tx, e db.EndpointLockHealthRow, t tally) error {
	old := healthOf(e)
	now := old.after(t, e.Now, d.timing, int(e.MaxInFlight))
	active := e.State == "active"
	disable := ""
	switch {
	case active && t.gone:
		disable = goneReason
	case active && t.failures > 0 && now.spent(e.Now):
		disable = outageReason + "; the last attempt: " + why(t.last.class, t.last.status)
	}
	tell := active && disable == "" && now.broken() && !now.told
	now.told = now.told || tell
	if now != old {
		if err := d.setHealth(ctx, tx, e.ID, now); err != nil {
			return err
		}
	}
	if old.recovered(t) {
		if _, err := d.queries.DeliveryBringForward(ctx, tx, e.ID); err != nil {
			return fmt.Errorf("bring deliveries forward: %w", err)
		}
	}
	switch {
	case disable != "":
		return d.disable(ctx, tx, e.ID, e.Now, disable)
	case tell:
		reason := fmt.Sprintf("%d attempts in a row failed; the last one: %s", now.failures, why(t.last.class, t.last.status))
		return d.tell(ctx, tx, events.WebhookFailing, e.ID, e.Now, reason)
	}
	return nil
}

// healthOf is an endpoint's health as its row has it. A clean record, as the API gives it, has failed nothing that could have been told.
func healthOf(e db.EndpointLockHealthRow) health {
	h := health{
		failures: int(e.ConsecutiveFailures), since: e.FailingSince, until: e.BreakerUntil, trips: int(e.BreakerTrips),
		told: e.FailingTold && e.ConsecutiveFailures > 0,
	}
	if e.Concurrency != nil {
		h.slots = int(*e.Concurrency)
	}
	return h
}

func (d *Dispatcher) setHealth(ctx context.Context, tx pgx.Tx, id uuid.UUID, h health) error {
	p := db.EndpointSetHealthParams{
		ID: id, ConsecutiveFailures: int32(h.failures), FailingSince: h.since, BreakerUntil: h.until, BreakerTrips: int32(h.trips),
		FailingTold: h.told,
	}
	if h.slots > 0 {
		slots := int32(h.slots)
		p.Concurrency = &slots
	}
	if err := d.queries.EndpointSetHealth(ctx, tx, p); err != nil {
		return fmt.Errorf("set endpoint's health: %w", err)
	}
	return nil
}

// disable disables an active endpoint, whose row is locked, and tells of it. The sweep then holds what waits for it.
func (d *Dispatcher) disable(ctx context.Context, tx *queue.Tx, id uuid.UUID, at time.Time, reason string) error {
	if err := d.queries.EndpointDisable(ctx, tx, reason, id); err != nil {
		return fmt.Errorf("disable endpoint: %w", err)
	}
	return d.tell(ctx, tx, events.WebhookDisabled, id, at, reason)
}

// tell publishes an event about an endpoint as its row is now.
func (d *Dispatcher) tell(ctx context.Context, tx *queue.Tx, what events.Type, id uuid.UUID, at time.Time, reason string) error {
	e, err := d.queries.EndpointGet(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("read endpoint: %w", err)
	}
	_, err = events.PublishAbout(tx, what, id, at, events.WebhookData{Endpoint: events.WebhookEndpoint{
		ID: events.EndpointPrefix.Format(id), URL: events.BareURL(e.Url), State: e.State, Reason: reason, FailingSince: e.FailingSince,
		ConsecutiveFailures: int(e.ConsecutiveFailures),
	}})
	if err != nil {
		return fmt.Errorf("tell of endpoint: %w", err)
	}
	d.log.WarnContext(ctx, string(what), "endpoint", events.EndpointPrefix.Format(id), "reason", reason)
	return nil
}

// disableSpent disables the endpoints that have failed for 5 days and are not asked again soon, because what waits for them waits for hours.
func (d *Dispatcher) disableSpent(ctx context.Context) error {
	ids, err := d.queries.EndpointListSpent(ctx, d.pool, outage.Seconds(), outageTrips, outageGap.Seconds())
	if err != nil {
		return fmt.Errorf("list endpoints that failed for long: %w", err)
	}
	for _, id := range ids {
		err := d.db.InTx(ctx, func(tx *queue.Tx) error {
			rows, err := d.queries.EndpointLockHealth(ctx, tx, []uuid.UUID{id})
			if err != nil {
				return fmt.Errorf("lock endpoint: %w", err)
			}
			if len(rows) == 0 || rows[0].State != "active" || !healthOf(rows[0]).spent(rows[0].Now) {
				return nil // another dispatcher's sweep, or a success
			}
			reason := outageReason
			last, err := d.queries.AttemptLastFailure(ctx, tx, id)
			switch {
			case err == nil:
				reason += "; the last attempt: " + why(last.Class, int(last.Status))
			case !errors.Is(err, pgx.ErrNoRows):
				return fmt.Errorf("read the last attempt: %w", err)
			}
			return d.disable(ctx, tx, id, rows[0].Now, reason)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// why says for a person what came of an attempt that failed.
func why(class string, status int) string {
	switch class {
	case classStatus:
		if text := http.StatusText(status); text != "" {
			return fmt.Sprintf("the receiver answered %d %s", status, text)
		}
		return fmt.Sprintf("the receiver answered %d", status)
	case classDNS:
		return "its name has no address"
	case classConnect:
		return "nobody accepts connections there"
	case classTLS:
		return "no TLS connection could be made, or its certificate is not valid"
	case classTimeout:
		return "it timed out"
	case classBlocked:
		return "its address may not be reached from here"
	case classRefused:
		return "the broker does not take its messages"
	case classOversize:
		return "the message is larger than the broker takes"
	default:
		return "the connection ended without an answer"
	}
}
