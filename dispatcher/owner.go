package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// ownerPing is how often the connection of the owner's lock is asked whether it is there; one that the server closes is noticed at once.
	ownerPing = time.Second
	// ownerRetry is the pause before the lock is tried for again, so that after a restart of PostgreSQL it is had within about a second.
	ownerRetry = 250 * time.Millisecond
	// ownerPatience bounds one try to connect, or one answer.
	ownerPatience = 2 * time.Second
	// ownerGrace is for how long nobody must have held an owner's lock before its deliveries are taken back: several times what the living
	// need to have it again after PostgreSQL was restarted.
	ownerGrace = 5 * time.Second
	// ownerGap is the longest pause between two looks that are put together. There is one each second; after a longer pause PostgreSQL may
	// have been away, and the living need their moment to lock again.
	ownerGap = 3 * time.Second
)

// errOwned says that another process has this one's name. It is a predecessor whose connection PostgreSQL still believes in.
var errOwned = errors.New("another connection holds the lock of this name")

// An ownerLock is a session-level advisory lock, named by the owner of claims, on a connection of its own. PostgreSQL releases it when the
// process dies, whose kernel closes the connection. A process that is stopped (SIGSTOP) or cut off keeps it, and its leases decide.
//
// Failure policy: the connection is made anew until the process stops. Without it others take this process's deliveries back after 5 s, so
// that some may be sent twice, under one id; claims go on, since a name without a lock loses nothing.
type ownerLock struct {
	d      *Dispatcher
	config *pgx.ConnConfig
	conn   *pgx.Conn // nil: not held
}

// holdOwner takes the owner's lock and goes on holding it until life ends. ctx bounds the first try, which comes before the first claim.
func (d *Dispatcher) holdOwner(ctx context.Context) {
	o := &ownerLock{d: d, config: d.pool.Config().ConnConfig.Copy()}
	if err := o.lock(ctx); err != nil {
		d.log.WarnContext(ctx, "the owner's lock is not held yet", "error", err)
	}
	d.owning.Go(func() { o.hold(d.life) })
}

// lock connects and takes the lock.
func (o *ownerLock) lock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, o.config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	locked, err := o.d.queries.OwnerTryLock(ctx, conn, o.d.cfg.Owner)
	if err == nil && !locked {
		err = errOwned
	}
	if err != nil {
		closeConn(conn)
		return err
	}
	o.conn = conn
	return nil
}

// hold keeps the lock until ctx ends, and releases it then.
func (o *ownerLock) hold(ctx context.Context) {
	for ctx.Err() == nil {
		if o.conn == nil {
			if err := o.lock(ctx); err != nil {
				o.d.log.DebugContext(ctx, "the owner's lock is not held", "error", err)
				select {
				case <-ctx.Done():
				case <-time.After(ownerRetry):
				}
				continue
			}
		}
		if err := o.watch(ctx); ctx.Err() == nil {
			o.d.log.WarnContext(ctx, "the connection of the owner's lock is lost; again at once", "error", err)
		}
		closeConn(o.conn)
		o.conn = nil
	}
}

// watch returns when the connection is lost, or ctx ends.
func (o *ownerLock) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		idle, cancel := context.WithTimeout(ctx, ownerPing)
		_, err := o.conn.WaitForNotification(idle) // none ever comes: it returns when the server closes the connection
		timedOut := idle.Err() != nil
		cancel()
		if err != nil && !timedOut {
			return err
		}
		answer, cancel := context.WithTimeout(ctx, ownerPatience)
		err = o.conn.Ping(answer)
		cancel()
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// An ownerWatch is what the sweep remembers of other owners: since when it has seen the lock of each free, look by look. The zero value
// remembers nothing.
type ownerWatch struct {
	looked time.Time
	free   map[string]time.Time
}

// look returns the owners that are dead: nobody has held their lock for 5 s, over looks that followed each other closely.
func (w *ownerWatch) look(now time.Time, owners []db.DeliveryListOwnersRow) (dead []string) {
	if now.Sub(w.looked) > ownerGap {
		w.free = nil
	}
	free := map[string]time.Time{}
	for _, o := range owners {
		if !o.Free {
			continue
		}
		since, seen := w.free[o.Owner]
		if !seen {
			since = now
		}
		free[o.Owner] = since
		if now.Sub(since) >= ownerGrace {
			dead = append(dead, o.Owner)
		}
	}
	w.looked, w.free = now, free
	return dead
}

// reclaim takes back the deliveries of dispatchers that died, and returns how many.
func (d *Dispatcher) reclaim(ctx context.Context) (int64, error) {
	owners, err := d.queries.DeliveryListOwners(ctx, d.pool, d.cfg.Owner)
	if err != nil {
		return 0, fmt.Errorf("list owners: %w", err)
	}
	var total int64
	for _, owner := range d.owners.look(time.Now(), owners) {
		n, err := d.queries.DeliveryReleaseOwned(ctx, d.pool, owner)
		if err != nil {
			return total, fmt.Errorf("release deliveries of a dead dispatcher: %w", err)
		}
		if n > 0 {
			d.log.WarnContext(ctx, "deliveries of a dispatcher that died are due again", "deliveries", n, "owner", owner)
		}
		total += n
	}
	d.metrics.reclaimed.WithLabelValues("died").Add(float64(total))
	return total, nil
}
