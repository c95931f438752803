package queue_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	. "github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/postgres"
)

// workerEnv makes the test binary a worker of the crash test: it holds the database's URL. workerName is the worker's name.
const (
	workerEnv  = "QUEUE_TEST_WORKER"
	workerName = "QUEUE_TEST_WORKER_NAME"
)

// workerLease leaves a handler 200 ms (a fifteenth) between its cancellation and the end of the lease. A process that a loaded machine does
// not let run for that long overlaps with the next owner, as with any lease; 1 s, with 67 ms, is too little beside other tests.
const workerLease = 3 * time.Second

// journal is what workers and the test itself write down. A message's start is committed before its work, and its end or
// failure after it, so the journal has the true order of everything that was in hand.
const journal = `
	CREATE TABLE journal (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), what text NOT NULL, worker text NOT NULL,
		lane text NOT NULL DEFAULT '', n int NOT NULL DEFAULT 0);
	CREATE TABLE sent (lane text, n int, PRIMARY KEY (lane, n))`

// worker consumes until it is killed, or its parent dies.
func worker() int {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends when the parent has died
		os.Exit(3)
	}()
	time.AfterFunc(5*time.Minute, func() { os.Exit(4) })
	ctx, name := context.Background(), os.Getenv(workerName)
	fail := func(err error) int { fmt.Fprintln(os.Stderr, name, err); return 1 }
	open := func(o postgres.Options) *pgxpool.Pool { // it may start while the server is away
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if pool, err := postgres.Open(ctx, os.Getenv(workerEnv), o); err == nil {
				return pool
			}
			<-tick.C
		}
	}
	pool, async := open(postgres.Options{MaxConns: 8}), open(postgres.Options{MaxConns: 2, AsyncCommit: true})
	waker := NewWaker(pool.Config().ConnConfig)
	waker.Start()
	s, err := NewSubscriber(SubscriberConfig{Pool: pool, CompletePool: async, Waker: waker, Owner: name, Lease: workerLease,
		Poll: 100 * time.Millisecond, Backoff: soon, MaxAttempts: 10_000, Logger: quiet})
	if err != nil {
		return fail(err)
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return fail(err)
	}
	router.AddMiddleware(Outcome)
	note := func(ctx context.Context, what string, m *message.Message) error {
		_, err := pool.Exec(ctx, `INSERT INTO journal (what, worker, lane, n) VALUES ($1, $2, $3, $4::text::int)`,
			what, name, m.Metadata[MetaLane], string(m.Payload))
		return err
	}
	router.AddConsumerHandler("work", topic, s, func(m *message.Message) (err error) {
		defer func() {
			if err != nil {
				_ = note(context.WithoutCancel(m.Context()), "fail", m) // while the server is away it cannot be written
			}
		}()
		if err := note(m.Context(), "start", m); err != nil {
			return err
		}
		if _, err := pool.Exec(m.Context(), `SELECT pg_sleep($1)`, rand.Float64()*0.004); err != nil { // the work
			return err
		}
		return note(m.Context(), "end", m)
	})
	go func() {
		<-router.Running()
		fmt.Println("ready")
	}()
	if err := router.Run(ctx); err != nil {
		return fail(err)
	}
	return 0
}

// process is a running worker.
type process struct {
	name string
	cmd  *exec.Cmd
	in   io.Closer
}

func startWorker(t *testing.T, dsn, name string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerEnv+"="+dsn, workerName+"="+name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, cmd: cmd, in: in}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		p.kill()
		t.Fatalf("worker %s: %q %v", name, line, err)
	}
	return p
}

// kill ends the worker with SIGKILL and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.in.Close()
}

// Real processes are killed with SIGKILL while they work, and PostgreSQL once with them. Nothing may be lost, overtake within its lane or
// run twice at once; only what was in hand may come again.
func TestKilledProcessesLoseNothing(t *testing.T) {
	t.Parallel()
	messages, lanes, kills := 3000, 60, 5
	if long() {
		messages, lanes, kills = 18_000, 300, 9
	}
	ctx := t.Context()
	dir, err := os.MkdirTemp("", "chasqui-queue-") // which, unlike t.TempDir, the user who runs PostgreSQL for root may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	server, err := devstack.StartPostgres(ctx, devstack.PostgresConfig{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	if err := postgres.Migrate(ctx, server.DSN()); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(ctx, server.DSN(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	notifier := NewNotifier(pool)
	t.Cleanup(notifier.Close)
	b := &bundle{t: t, pool: pool, db: &DB{Pool: pool, Notifier: notifier}}
	b.exec(journal)

	workers := make([]*process, 3)
	for i := range workers {
		workers[i] = startWorker(t, server.DSN(), fmt.Sprint("w", i))
	}
	t.Cleanup(func() {
		for _, w := range workers {
			w.kill()
		}
	})
	// note writes the test's own events down, also while the server is away.
	note := func(what, worker string) {
		eventually(t, "the journal is written", func() bool {
			_, err := pool.Exec(ctx, `INSERT INTO journal (what, worker) VALUES ($1, $2)`, what, worker)
			return err == nil
		})
	}

	// Publishers keep their lanes to themselves and repeat what failed; the row beside each message tells whether it had been committed.
	var publishers sync.WaitGroup
	const publishing = 4
	for p := range publishing {
		publishers.Go(func() {
			for n := range messages / lanes {
				for l := p; l < lanes; l += publishing {
					eventually(t, "a message is published", func() bool {
						err := b.db.InTx(ctx, func(tx *Tx) error {
							if _, err := tx.Exec(ctx, `INSERT INTO sent VALUES ($1, $2)`, fmt.Sprint(l), n); err != nil {
								return err
							}
							tx.Publish(topic, Message{Lane: fmt.Sprint(l), Payload: fmt.Append(nil, n)})
							return nil
						})
						var pg *pgconn.PgError
						return err == nil || errors.As(err, &pg) && pg.Code == "23505" // unique_violation: it was committed
					})
				}
			}
		})
	}
	ended := func() int {
		var n int
		if pool.QueryRow(ctx, `SELECT count(DISTINCT (lane, n)) FROM journal WHERE what = 'end'`).Scan(&n) != nil {
			return -1 // the server is coming back
		}
		return n
	}
	for k := range kills {
		eventually(t, "work goes on between the kills", func() bool { return ended() > (k+1)*messages/(kills+2) })
		i := k % len(workers)
		if k == kills/2 {
			note("crash", "")
			if err := syscall.Kill(server.PID(), syscall.SIGQUIT); err != nil { // immediate shutdown; devstack starts it again
				t.Fatal(err)
			}
		}
		workers[i].kill()
		note("killed", workers[i].name)
		if k == kills/2 {
			note("crash", "")
		}
		workers[i] = startWorker(t, server.DSN(), fmt.Sprintf("w%d.%d", i, k))
	}
	publishers.Wait()
	eventually(t, "everything is done", func() bool { return ended() == messages })
	b.empty()
	for _, w := range workers {
		w.kill()
	}
	if n := b.count(`SELECT count(*) FROM queue_dead`); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	b.checkJournal(lanes, messages)
}

// checkJournal reads the journal in its order.
func (b *bundle) checkJournal(lanes, messages int) {
	type entry struct {
		at           time.Time
		what, worker string
		lane         string
		n            int
	}
	var (
		killed         = map[string]time.Time{}
		crashes        []time.Time
		list           []entry
		next           = map[string]int{}   // by lane: the lowest that has not been done
		last           = map[string]int{}   // by lane: the one started last
		in             = map[string]entry{} // by lane: started, not ended
		failed         = map[string]bool{}  // by message and worker: a handler that the server's crash must have ended
		done           = map[string]entry{} // by message: its first end
		repeated, lost int
	)
	rows, err := b.pool.Query(b.t.Context(), `SELECT at, what, worker, lane, n FROM journal ORDER BY id`)
	b.must(err)
	for rows.Next() {
		var e entry
		b.must(rows.Scan(&e.at, &e.what, &e.worker, &e.lane, &e.n))
		switch e.what {
		case "killed":
			killed[e.worker] = e.at
		case "crash":
			crashes = append(crashes, e.at)
		}
		list = append(list, e)
	}
	b.must(rows.Err())
	// While the server goes down and comes up, ends cannot be written down and completions that were not yet on disk are undone.
	duringCrash := func(at time.Time) bool {
		return at.After(crashes[0].Add(-2*time.Second)) && at.Before(crashes[len(crashes)-1].Add(5*time.Second))
	}
	for _, e := range list {
		message := fmt.Sprint(e.lane, " ", e.n)
		switch e.what {
		case "start":
			if before, ok := last[e.lane]; (ok && e.n > before+1) || e.n > next[e.lane] {
				b.t.Errorf("out of order: %s after %d, while %d is not done", message, before, next[e.lane])
			}
			if r, ok := in[e.lane]; ok && r.worker != e.worker {
				at, dead := killed[r.worker]
				switch {
				case dead && at.Before(e.at):
				case duringCrash(r.at): // its handler could not write its end down; if it does later, it was running after all
					failed[fmt.Sprint(r.lane, " ", r.n, r.worker)] = true
				default:
					b.t.Errorf("overlap: %s started by %s while %s has %d in hand", message, e.worker, r.worker, r.n)
				}
			}
			if first, ok := done[message]; ok {
				repeated++
				// Only a message that was acknowledged just before its worker died may come again: 1 s covers Linger and a slow flush.
				if at, dead := killed[first.worker]; !duringCrash(first.at) && (!dead || at.Sub(first.at) > time.Second) {
					b.t.Errorf("repeated: %s, which %s had ended %s before it was killed", message, first.worker, at.Sub(first.at))
				}
			}
			last[e.lane], in[e.lane] = e.n, e
			delete(failed, message+e.worker)
		case "fail":
			if r, ok := in[e.lane]; !ok || r.worker == e.worker {
				delete(in, e.lane)
			} else if !duringCrash(e.at) {
				b.t.Errorf("overlap: %s failed by %s only after %s had started it", message, e.worker, r.worker)
			}
		case "end":
			if failed[message+e.worker] {
				b.t.Errorf("overlap: %s ended by %s after another had started it", message, e.worker)
			}
			if _, ok := done[message]; !ok {
				done[message] = e
			}
			next[e.lane] = max(next[e.lane], e.n+1)
			delete(in, e.lane)
		}
	}
	for l := range lanes {
		for n := range messages / lanes {
			if _, ok := done[fmt.Sprint(l, " ", n)]; !ok {
				lost++
			}
		}
	}
	b.t.Logf("%d messages, %d workers killed: %d lost, %d repeated", messages, len(killed), lost, repeated)
	if lost > 0 {
		b.t.Errorf("%d messages lost", lost)
	}
	if repeated > messages/10 {
		b.t.Errorf("%d messages repeated", repeated)
	}
}
