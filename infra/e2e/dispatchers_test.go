package e2e

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/tests3"
)

// hookSecret is that of the endpoints that tests write into the database themselves.
const hookSecret = "whsec_c2VjcmV0IG9mIHRoZSBlbmQtdG8tZW5kIHRlc3Rz"

// dispatchers are processes that deliver what the test itself publishes, on a PostgreSQL of their own: no WhatsApp is needed for that.
type dispatchers struct {
	t    *testing.T
	dir  string
	env  []string
	pool *pgxpool.Pool
	db   *queue.DB
}

func newDispatchers(t *testing.T) *dispatchers {
	t.Helper()
	dir := openDir(t)
	pg, err := devstack.StartPostgres(t.Context(), devstack.PostgresConfig{Dir: filepath.Join(dir, "pg"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	objects := tests3.New(t)
	d := &dispatchers{t: t, dir: dir, env: []string{
		"DATABASE_URL=" + pg.DSN(), "WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", "LOG_LEVEL=warn", "METRICS_ADDR=127.0.0.1:0",
		"S3_ENDPOINT=" + objects.Endpoint, "S3_BUCKET=" + objects.Bucket, "S3_ACCESS_KEY=" + objects.AccessKey, "S3_SECRET_KEY=" + objects.SecretKey,
	}}
	if err := postgres.Migrate(t.Context(), pg.DSN()); err != nil {
		t.Fatal(err)
	}
	if d.pool, err = postgres.Open(t.Context(), pg.DSN(), postgres.Options{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	notifier := queue.NewNotifier(d.pool)
	t.Cleanup(func() { notifier.Close(); d.pool.Close() })
	d.db = &queue.DB{Pool: d.pool, Notifier: notifier}
	return d
}

// start runs a dispatcher under a name.
func (d *dispatchers) start(name string) *process {
	d.t.Helper()
	return spawn(d.t, name, d.dir, d.env, binary, "dispatcher")
}

// endpoint makes one that wants received messages; set is SQL that changes its row.
func (d *dispatchers) endpoint(url, set string) uuid.UUID {
	d.t.Helper()
	id := events.NewID()
	d.exec(`INSERT INTO webhook_endpoints (id, url, secret, events) VALUES ($1, $2, $3, '{message.received}')`, id, url, hookSecret)
	d.exec(`UPDATE webhook_endpoints SET `+set+` WHERE id = $1`, id)
	return id
}

func (d *dispatchers) exec(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.pool.Exec(d.t.Context(), sql, args...); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
}

// text answers a query for one value.
func (d *dispatchers) text(sql string, args ...any) (value string) {
	d.t.Helper()
	if err := d.pool.QueryRow(d.t.Context(), `SELECT (`+sql+`)::text`, args...).Scan(&value); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// publish publishes one event of a chat and returns its webhook-id.
func (d *dispatchers) publish(session, chat string, data any) (string, error) {
	var id uuid.UUID
	err := d.db.InTx(d.t.Context(), func(tx *queue.Tx) (err error) {
		id, err = events.Publish(tx, events.MessageReceived, session, chat, time.Now(), data)
		return err
	})
	return events.EventPrefix.Format(id), err
}

// awaitText waits until a query answers a value.
func (d *dispatchers) awaitText(limit time.Duration, what, want, sql string, args ...any) {
	d.t.Helper()
	eventually(d.t, limit, what, func() error {
		if got := d.text(sql, args...); got != want {
			return fmt.Errorf("it is %s, not %s", got, want)
		}
		return nil
	})
}
