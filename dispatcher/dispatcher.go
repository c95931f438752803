// Package dispatcher turns published events into the log that clients read and into webhooks. Any number of dispatchers share one database.
//
// The sequencer numbers the events and makes a delivery row for each endpoint that wants one, in a single transaction. Deliveries are then
// claimed by lease, sent outside any transaction, and finished in batches:
//
//   - An event is delivered at least once: a crash between sending and finishing sends it again, under the same webhook-id.
//   - A claim's id guards every finish, so that a process which lost its lease writes nothing.
//   - Where an endpoint wants order, only the earliest unfinished delivery of a chat or session goes out.
//   - A breaker keeps an endpoint that fails from using up the attempts of what waits for it, and from costing others anything. One that fails
//     for 5 days is disabled, and what waits for it is held.
//   - A dispatcher holds a lock while it lives. Others take back what it was sending 5 s after its death, or when the lease runs out.
package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

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
	"github.com/chasqui/chasqui/infra/sinks"
	"github.com/chasqui/chasqui/infra/trace"
)

const (
	// poll is how often the loops look without being woken, which bounds what a lost wake-up costs.
	poll = time.Second
	// drain is how long Stop lets attempts under way finish when its context sets no earlier end. Most receivers answer within a second;
	// those that do not are asked again, with the same webhook-id.
	drain = 10 * time.Second
	// lastWords bounds what Stop writes after that.
	lastWords = 5 * time.Second
	// roundTimeout bounds a round, so that a connection that died in silence does not stop a loop for good.
	roundTimeout = 20 * time.Second
	// silence is how long a loop may go without an answer of PostgreSQL before Healthy says so.
	silence = 30 * time.Second
)

// Config says what a dispatcher works with. DSN, Guard and S3 are required.
type Config struct {
	// DSN is the PostgreSQL connection string. It must lead to the server itself, not to a transaction pooler: wake-ups use LISTEN.
	DSN string
	// Guard decides which addresses webhooks may reach.
	Guard *netguard.Guard
	// Owner names this process in its claims; "" makes a random name. Two dispatchers must never have one name at the same time.
	Owner string
	// TakeOver frees at once what a dead predecessor of the same Owner was sending, instead of when its leases have run out: others take back
	// what a dead owner had after 5 s, but never what seems to be their own. It is for a caller that knows the predecessor to be dead, as the
	// holder of the data directory's lock does.
	TakeOver bool
	// Version stands in the User-Agent, chasqui/<version>.
	Version string
	// Retention is how long events, deliveries and attempts are kept; 0 means 30 days. Whole partitions go, so that up to a week more stays.
	Retention time.Duration
	// S3 is where the bytes of media go. Its owner closes it, after Stop.
	S3 *s3.Store
	// Keys open what is sealed in the database; nil: nothing is.
	Keys *seal.Keys
	// WhatsAppURL (ws://host:port/ws/chat) leads to another server than WhatsApp's own, for its media.
	WhatsAppURL string
	// PublicURL is the API's address as clients reach it, without a slash at its end, for the links to media in events.
	PublicURL string
	// MediaMaxBytes bounds a file; 0 means 256 MiB.
	MediaMaxBytes int64
	// MediaRetention is how long the bytes of media are kept; 0 means 90 days.
	MediaRetention time.Duration
	// MaxInFlight bounds the attempts of this process at once; 0 means 1024. Each holds its event's body, usually about 1 KiB.
	MaxInFlight int
	// MaxConns bounds the pool of connections to PostgreSQL; 0 means 8, which is more than the loops use at once.
	MaxConns int32
	// Logger takes what happens; nil means slog.Default. Bodies, secrets and URLs are never logged.
	Logger *slog.Logger
	// Metrics takes the dispatcher's metrics; nil leaves them uncollected.
	Metrics prometheus.Registerer
	// Tracer makes spans; nil makes none.
	Tracer *trace.Tracer
}

// Dispatcher runs the sequencer and the deliveries. Make one with New.
type Dispatcher struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	stats   stats
	queries *db.Queries
	client  *http.Client
	sinks   *sinks.Pool
	timing  timing
	// readObject reads an object of S3; length -1 means to its end.
	readObject func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	// mediaWait is how long webhooks wait for the media of their event.
	mediaWait time.Duration

	startStop sync.Mutex // held by Start and Stop
	started   bool
	stopped   bool

	pool     *pgxpool.Pool
	notifier *queue.Notifier
	waker    *queue.Waker
	db       *queue.DB

	store       *mediastore.Store
	mediaClient *http.Client
	media       *mediaWorker

	// life ends when Stop has written everything; loops end first, then sending, both within it.
	life, loops, sending context.Context
	endLife, endLoops    context.CancelFunc
	endSending           context.CancelFunc
	looping, attempts    sync.WaitGroup
	finishing, owning    sync.WaitGroup

	inFlight   atomic.Int64         // attempts that hold a place of MaxInFlight
	freed      chan struct{}        // holds one: places, heads of keys or tokens of a rate came free
	tokenDue   *time.Timer          // wakes the claims when the next token of a rate is there
	owners     ownerWatch           // the sweep's alone
	results    chan result          // of attempts, to the finisher
	cursors    map[uuid.UUID]string // the order key at which the claims of an endpoint go on; theirs alone
	resolvedAt atomic.Int64         // Unix nanoseconds of the last look-up of a name that succeeded
	sequenced  atomic.Int64         // Unix nanoseconds of the sequencer's last round that PostgreSQL answered
	claimed    atomic.Int64         // likewise of the claims
}

// New returns a dispatcher that does nothing until Start.
func New(cfg Config) *Dispatcher {
	if cfg.Owner == "" {
		cfg.Owner = uuid.NewString()
	}
	if cfg.Retention <= 0 {
		cfg.Retention = 30 * 24 * time.Hour
	}
	if cfg.MediaMaxBytes <= 0 {
		cfg.MediaMaxBytes = 256 << 20
	}
	if cfg.MediaRetention <= 0 {
		cfg.MediaRetention = 90 * day
	}
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = 1024
	}
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 8
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Dispatcher{
		cfg: cfg, log: cfg.Logger.With("component", "dispatcher"), metrics: newMetrics(cfg.Metrics), queries: db.New(),
		client: newClient(cfg.Guard), timing: standardTiming, mediaWait: standardMediaWait, readObject: cfg.S3.Get,
		sinks: sinks.NewPool(cfg.Guard.Dialer().DialContext),
		freed: make(chan struct{}, 1), results: make(chan result, finishBatch), cursors: map[uuid.UUID]string{},
	}
}

// Start opens the database, makes the partitions that are due and returns; the work goes on in the background. ctx bounds the start alone.
// It fails with postgres.ErrSchemaOld where migrations are missing. A second call does nothing; a dispatcher that was stopped, or failed
// to start, cannot be started again.
func (d *Dispatcher) Start(ctx context.Context) error {
	d.startStop.Lock()
	defer d.startStop.Unlock()
	if d.stopped {
		return errors.New("the dispatcher has been stopped")
	}
	if d.started {
		return nil
	}
	if err := d.open(ctx); err != nil {
		d.stopped = true
		return err
	}
	d.started = true
	d.life, d.endLife = context.WithCancel(context.Background())
	d.loops, d.endLoops = context.WithCancel(d.life)
	d.sending, d.endSending = context.WithCancel(d.life)
	d.sequenced.Store(time.Now().UnixNano())
	d.claimed.Store(time.Now().UnixNano())
	d.waker.Start()
	if err := d.startMedia(); err != nil {
		d.stopped = true
		d.endLife()
		d.close()
		return err
	}
	d.tokenDue = time.AfterFunc(poll, d.free)
	d.holdOwner(ctx)
	d.finishing.Go(d.finish)
	d.looping.Go(d.runSequencer)
	d.looping.Go(d.runClaims)
	d.looping.Go(d.runSweeps)
	d.looping.Go(d.runPartitions)
	d.looping.Go(d.runMediaSweeps)
	d.looping.Go(d.runReplays)
	d.looping.Go(d.runStats)
	return nil
}

func (d *Dispatcher) open(ctx context.Context) (err error) {
	if d.mediaClient, err = newMediaClient(d.cfg.WhatsAppURL, d.cfg.Guard); err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, d.cfg.DSN, postgres.Options{MaxConns: d.cfg.MaxConns, Indexed: true, Name: "dispatcher"})
	if err != nil {
		return err
	}
	if err := d.prepare(ctx, pool); err != nil {
		pool.Close()
		return err
	}
	d.pool, d.notifier = pool, queue.NewNotifier(pool)
	if d.waker == nil { // a test gives one that it can silence
		d.waker = queue.NewWaker(pool.Config().ConnConfig)
	}
	d.db = &queue.DB{Pool: pool, Notifier: d.notifier}
	d.store = mediastore.New(mediastore.Config{S3: d.cfg.S3, Pool: pool, Logger: d.log})
	return nil
}

func (d *Dispatcher) prepare(ctx context.Context, pool *pgxpool.Pool) error {
	if err := postgres.CheckSchema(ctx, pool); err != nil {
		return err
	}
	if err := keyring.Check(ctx, pool, d.cfg.Keys); err != nil {
		return err
	}
	if d.cfg.TakeOver {
		n, err := d.queries.DeliveryReleaseOwned(ctx, pool, d.cfg.Owner)
		if err != nil {
			return fmt.Errorf("free the predecessor's deliveries: %w", err)
		}
		if n > 0 {
			d.log.InfoContext(ctx, "deliveries of a dead predecessor are due again", "deliveries", n)
		}
	}
	// Before the first event, which would otherwise lie in a default partition until retention deletes it row by row. Nothing worse happens
	// when it does not work, such as while a backup holds its locks.
	if err := d.maintainPartitions(ctx, pool); err != nil {
		d.log.ErrorContext(ctx, "looking after partitions did not work; again in an hour", "error", err)
	}
	return nil
}

// Stop claims nothing more, lets attempts under way finish for up to 10 s or until ctx ends, gives back what is left and waits for all
// of it. A second call waits for the first and does nothing.
func (d *Dispatcher) Stop(ctx context.Context) {
	d.startStop.Lock()
	defer d.startStop.Unlock()
	if d.stopped || !d.started {
		d.stopped = true
		return
	}
	d.stopped = true
	d.endLoops()
	d.media.stop()
	d.looping.Wait()

	patience, cancel := context.WithTimeout(ctx, drain)
	context.AfterFunc(patience, func() {
		d.endSending()
		time.AfterFunc(lastWords, d.endLife)
	})
	d.attempts.Wait()
	cancel()
	close(d.results)
	d.finishing.Wait()
	d.tokenDue.Stop()
	last, cancel := context.WithTimeout(d.life, lastWords)
	if err := d.writeStats(last); err != nil {
		d.log.WarnContext(last, "the last stats are lost", "error", err)
	}
	cancel()
	d.endLife()
	d.owning.Wait()

	d.close()
}

// close gives back what open opened.
func (d *Dispatcher) close() {
	d.client.CloseIdleConnections()
	d.sinks.Close()
	d.mediaClient.CloseIdleConnections()
	d.waker.Stop()
	d.notifier.Close()
	d.pool.Close()
}

// Healthy returns nil while the sequencer and the deliveries do their rounds, else what is wrong, without secrets.
func (d *Dispatcher) Healthy() error {
	if d.claimed.Load() == 0 {
		return errors.New("the dispatcher has not been started")
	}
	now := time.Now()
	if since := now.Sub(time.Unix(0, d.sequenced.Load())); since > silence {
		return fmt.Errorf("the sequencer has had no answer from PostgreSQL for %s", since.Round(time.Second))
	}
	if since := now.Sub(time.Unix(0, d.claimed.Load())); since > silence {
		return fmt.Errorf("deliveries have had no answer from PostgreSQL for %s", since.Round(time.Second))
	}
	return nil
}

// Checks are what /readyz looks at: the database, S3, and whether events are numbered and deliveries claimed.
func (d *Dispatcher) Checks() []readiness.Check {
	return []readiness.Check{
		readiness.Database(d.pool), readiness.Part("s3", d.cfg.S3.Ping), readiness.Part("rounds", func(context.Context) error { return d.Healthy() }),
	}
}

// quieter makes what Watermill tells of its own starting and stopping debug.
var quieter = map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug}

// repeat runs round until ctx ends: again at once while it says that there is more, else when one of the wakes has a token or the poll is
// due.
//
// Failure policy: an error is logged and the round comes again at the next poll, whoever wakes it; nothing is lost, since every round is one
// transaction.
func (d *Dispatcher) repeat(ctx context.Context, name string, wake, other <-chan struct{}, round func(context.Context) (bool, error)) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, roundTimeout)
		more, err := round(bounded)
		cancel()
		switch {
		case err != nil:
			if ctx.Err() == nil {
				d.log.ErrorContext(ctx, name+" did not work; again within a second", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		case !more:
			select {
			case <-ctx.Done():
			case <-wake:
			case <-other:
			case <-ticker.C:
			}
		}
	}
}

func (d *Dispatcher) runSequencer() {
	published := d.waker.Listen(events.TopicEvents)
	defer published.Close()
	d.repeat(d.loops, "sequencing", published.C(), nil, d.sequence)
}

func (d *Dispatcher) runClaims() {
	due := d.waker.Listen(events.WakeDeliveries)
	defer due.Close()
	d.repeat(d.loops, "claiming deliveries", due.C(), d.freed, d.claim)
}
