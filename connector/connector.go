// Package connector owns the WhatsApp sessions: it claims them, keeps one whatsmeow client for each, turns commands into calls and what
// WhatsApp says into rows and events. Any number of connectors share one database; a session runs in one of them at a time.
//
// What keeps messages from being lost:
//
//   - WhatsApp is told that something arrived only after the transaction that holds it has committed.
//   - After the first error of a handler or a store the connection acknowledges nothing more, and is made anew from the database.
//   - A send carries an id that was chosen before, so that a repeat after a crash is the same message to its recipients.
//   - Every write checks the claim inside its own transaction, so that a process that lost a session writes nothing of it.
package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	waLog "go.mau.fi/whatsmeow/util/log"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/keyring"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/readiness"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/trace"
)

const (
	// controlConns is for one query at a time. One that was given up keeps its place in the pool for up to 15 s (pgconn, asyncClose), in which
	// time renewals of renewTimeout each are given up at most five times.
	controlConns = 6
	// commandsWait is more than drainWait and what the queue then takes to hand its lanes back.
	commandsWait = 3 * time.Second
	// closeWait bounds the closing of the pools, which waits for a server that does not answer.
	closeWait = 2 * time.Second
)

// SignalSchema is the PostgreSQL schema of the devices' Signal state.
const SignalSchema = "whatsmeow"

// Config says where a connector finds its sessions and WhatsApp. DSN and S3 are required.
type Config struct {
	// DSN is the PostgreSQL connection string. It must lead to the server itself, not to a transaction pooler: wake-ups use LISTEN.
	DSN string
	// Owner names this process in its claims; "" makes a random name. Two connectors must never have one name at the same time.
	Owner string
	// Capacity is how many sessions it runs at most; 0 means 500, which is about 0.5 GB of memory.
	Capacity int
	// TakeOver takes what a dead predecessor of the same Owner left, at once instead of when its claims have run out. It is for a caller
	// that knows the predecessor to be dead, as the holder of the data directory's lock does.
	TakeOver bool
	// WhatsAppURL (ws://host:port/ws/chat) and WhatsAppRootKey (the certificate root, 32 bytes) lead to another server than WhatsApp's own.
	WhatsAppURL     string
	WhatsAppRootKey []byte
	// PublicURL is the API's address as clients reach it, without a slash at its end, for the links to media in events.
	PublicURL string
	// Guard judges the addresses of sessions' proxies; nil: one that allows no private network.
	Guard *netguard.Guard
	// S3 holds the bytes of media that are sent. Its owner closes it, after Stop.
	S3 *s3.Store
	// Keys seal credentials in the database, and open what is sealed there; nil: they are stored as they are.
	Keys *seal.Keys
	// MaxConns bounds the pool of connections for messages and the one for Signal state; 0 means 16 each.
	MaxConns int32
	// Logger takes what happens; nil means slog.Default. Texts, keys and QR codes are never logged.
	Logger *slog.Logger
	// Metrics takes the connector's metrics; nil leaves them uncollected.
	Metrics prometheus.Registerer
	// Tracer makes spans; nil makes none.
	Tracer *trace.Tracer
}

// Connector runs sessions. Make one with New.
type Connector struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	queries *db.Queries
	pace    pace
	reach   reach

	startStop sync.Mutex // held by Start and Stop
	started   bool
	stopped   bool
	left      bool // the commands did not end in time

	pool     *pgxpool.Pool // messages and states
	control  *pgxpool.Pool // claims: apart, so that a busy pool never delays a renewal
	complete *pgxpool.Pool // the queue's completion
	db       *queue.DB
	store    *signalstore.Container
	media    *mediastore.Store
	waker    *queue.Waker
	notifier *queue.Notifier
	commands *commands

	ctx      context.Context // ends when Stop has handed everything over
	cancel   context.CancelFunc
	work     sync.WaitGroup
	draining atomic.Bool
	beatAt   atomic.Int64 // Unix nanoseconds of the last heartbeat that PostgreSQL answered

	handling func(any) // a test's: is given every event of whatsmeow's before it is handled
	// unprepared and timed are tests': sends to groups are left to whatsmeow alone; is given how long the parts of a send took.
	unprepared bool
	timed      func(types.JID, whatsmeow.MessageDebugTimings)

	wake chan struct{} // holds one: claims and controls are to be looked at now
	due  chan struct{} // holds one: the sweeper is to look now

	asking    chan struct{} // holds one for each query in hand
	histories chan struct{} // holds one for each part of a history in hand

	mu       sync.Mutex
	sessions map[string]*session
}

// New returns a connector that does nothing until Start.
func New(cfg Config) *Connector {
	if cfg.Owner == "" {
		cfg.Owner = uuid.NewString()
	}
	if cfg.Capacity <= 0 {
		cfg.Capacity = 500
	}
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 16
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Connector{
		cfg: cfg, log: cfg.Logger.With("component", "connector"), metrics: newMetrics(cfg.Metrics), queries: db.New(), pace: usual,
		wake: make(chan struct{}, 1), due: make(chan struct{}, 1), asking: make(chan struct{}, queriesMostAll), histories: make(chan struct{}, historiesMost), sessions: make(map[string]*session),
	}
}

// Start opens the database, takes its share of the sessions and returns; sessions connect in the background. ctx bounds the start alone.
// It fails with postgres.ErrSchemaOld or signalstore.ErrSchemaOld where migrations are missing. A second call does nothing; a connector
// that was stopped, or failed to start, cannot be started again.
func (c *Connector) Start(ctx context.Context) error {
	c.startStop.Lock()
	defer c.startStop.Unlock()
	if c.stopped {
		return errors.New("the connector has been stopped")
	}
	if c.started {
		return nil
	}
	c.started = true
	if err := c.start(ctx); err != nil {
		c.stopped = true
		c.shutDown()
		return fmt.Errorf("start connector: %w", err)
	}
	return nil
}

// Stop hands every session over and waits for all that runs: the command in hand of each session has a second to end, then it is given up
// and the next owner repeats it. ctx bounds the waiting for the database; after it, what was not released runs out by itself. Calling it
// again, or before Start, does nothing.
func (c *Connector) Stop(ctx context.Context) error {
	c.startStop.Lock()
	defer c.startStop.Unlock()
	if !c.started || c.stopped {
		c.stopped = true
		return nil
	}
	c.stopped = true
	c.drain(ctx)
	c.shutDown()
	return nil
}

// Healthy returns nil while the connector is started and PostgreSQL answered its last heartbeat within the length of a claim.
func (c *Connector) Healthy() error {
	if age := time.Since(time.Unix(0, c.beatAt.Load())); age > claimLength {
		return fmt.Errorf("no heartbeat was written for %s", age.Round(time.Second))
	}
	return nil
}

// Checks are what /readyz looks at: the database, S3, and whether this process's claims are its own.
func (c *Connector) Checks() []readiness.Check {
	return []readiness.Check{
		readiness.Database(c.pool), readiness.Part("s3", c.cfg.S3.Ping), readiness.Part("claims", func(context.Context) error { return c.Healthy() }),
	}
}

func (c *Connector) start(ctx context.Context) (err error) {
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if c.pool, err = postgres.Open(ctx, c.cfg.DSN, postgres.Options{Name: "connector", MaxConns: c.cfg.MaxConns}); err != nil {
		return err
	}
	if err := postgres.CheckSchema(ctx, c.pool); err != nil {
		return err
	}
	if err := keyring.Check(ctx, c.pool, c.cfg.Keys); err != nil {
		return err
	}
	if c.control, err = postgres.Open(ctx, c.cfg.DSN, postgres.Options{Name: "connector claims", MaxConns: controlConns}); err != nil {
		return err
	}
	complete := postgres.Options{Name: "connector queue", MaxConns: 2, AsyncCommit: true}
	if c.complete, err = postgres.Open(ctx, c.cfg.DSN, complete); err != nil {
		return err
	}
	c.store, err = signalstore.Open(ctx, signalstore.Config{
		DSN: c.cfg.DSN, Schema: SignalSchema, MaxConns: int(c.cfg.MaxConns), Keys: c.cfg.Keys, Logger: c.cfg.Logger,
	})
	if err != nil {
		return err
	}
	if err := c.store.CheckVersion(ctx); err != nil {
		return err
	}
	// WHATSAPP_URL and WHATSAPP_ROOT_KEY are wrong here and now, or never.
	if _, err := newClient(c.store.NewDevice(signalstore.Options{}), c.cfg, newLine(nil), "", waLog.Noop); err != nil {
		return err
	}
	if c.reach.probe, err = newProbe(c.cfg); err != nil {
		return err
	}
	c.media = mediastore.New(mediastore.Config{S3: c.cfg.S3, Pool: c.pool, Logger: c.cfg.Logger})
	c.notifier = queue.NewNotifier(c.pool)
	c.db = &queue.DB{Pool: c.pool, Notifier: c.notifier}
	c.waker = queue.NewWaker(c.pool.Config().ConnConfig)
	c.waker.Start()
	if err := c.renew(ctx); err != nil {
		return err
	}
	if err := c.look(ctx, true, c.cfg.TakeOver); err != nil {
		return err
	}
	if c.commands, err = newCommands(c); err != nil {
		return err
	}
	c.work.Go(func() { c.keepClaims(c.ctx) })
	c.work.Go(func() { c.watchClaims(c.ctx) })
	c.work.Go(func() { c.watchReach(c.ctx) })
	c.work.Go(func() { c.sweep(c.ctx) })
	c.work.Go(func() { c.schedule(c.ctx) })
	c.work.Go(func() { c.watchHealth(c.ctx) })
	c.work.Go(func() { c.listen(c.ctx) })
	return nil
}

// listen passes wake-ups on: somebody asked something of a session, or gave one back.
func (c *Connector) listen(ctx context.Context) {
	control := c.waker.Listen(events.WakeControl)
	defer control.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-control.C():
			signal(c.wake)
		}
	}
}

// drain hands everything over: first the commands, so that their lanes are free before the claims are, then the sessions. Failure policy: commands
// that wait for the database longer than commandsWait do not keep the sessions, whose claims end, and those that wait longer than ctx are left.
func (c *Connector) drain(ctx context.Context) {
	c.draining.Store(true)
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		var announced sync.WaitGroup
		announced.Go(func() {
			if err := c.renew(ctx); err != nil { // says that this connector takes no share any more
				c.log.WarnContext(ctx, "end not announced to the other connectors", "error", err)
			}
		})
		c.commands.close()
		announced.Wait()
	}()
	late := time.NewTimer(commandsWait)
	select {
	case <-ready:
	case <-late.C:
	}
	late.Stop()
	for _, s := range c.running() {
		s.cancel(errHandOver)
	}
	c.mu.Lock()
	var closing []*session
	for _, s := range c.sessions {
		closing = append(closing, s)
	}
	c.mu.Unlock()
	for _, s := range closing {
		<-s.done // each wait in it is bounded
	}
	select {
	case <-ready:
	case <-ctx.Done():
		c.left = true
		c.log.WarnContext(ctx, "commands were not ended in time; their leases run out by themselves")
	}
	ctx, cancel := context.WithTimeout(ctx, claimMargin)
	defer cancel()
	if err := c.queries.ConnectorDelete(ctx, c.control, c.cfg.Owner); err != nil {
		c.log.WarnContext(ctx, "not removed from the list of connectors", "error", err)
	}
}

// shutDown ends what start began, in reverse.
func (c *Connector) shutDown() {
	if c.commands != nil && !c.left {
		c.commands.close()
	}
	c.cancel()
	c.work.Wait()
	if c.waker != nil {
		c.waker.Stop()
	}
	if c.notifier != nil {
		c.notifier.Close()
	}
	c.closePools()
	c.metrics.close()
}

// closePools closes all connections to the database. Failure policy: those that take longer than closeWait, because the server does not answer,
// are left to end by themselves.
func (c *Connector) closePools() {
	var closing sync.WaitGroup
	if c.store != nil {
		closing.Go(func() {
			if err := c.store.Close(); err != nil {
				c.log.Warn("Signal store not closed", "error", err)
			}
		})
	}
	for _, pool := range []*pgxpool.Pool{c.complete, c.control, c.pool} {
		if pool != nil {
			closing.Go(pool.Close)
		}
	}
	closed := make(chan struct{})
	go func() {
		closing.Wait()
		close(closed)
	}()
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case <-closed:
	case <-late.C:
		c.log.Warn("connections to PostgreSQL not closed in time")
	}
}
