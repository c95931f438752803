package mediastore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/tests3"
)

func TestMain(m *testing.M) { testdb.Run(tests3.With(m)) }

// A bench is a store on a database and a bucket of its own.
type bench struct {
	*Store
	t    *testing.T
	pool *pgxpool.Pool
	s3   *s3.Store
}

func setup(t *testing.T, objects *s3.Store) *bench {
	t.Helper()
	pool, err := postgres.Open(t.Context(), testdb.DSN(t), postgres.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &bench{New(Config{S3: objects, Pool: pool, Logger: slog.New(slog.DiscardHandler)}), t, pool, objects}
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bench) count(from string) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), `SELECT count(*) FROM `+from).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// stored is how many objects S3 holds.
func (b *bench) stored() (n int) {
	b.t.Helper()
	for _, err := range b.s3.List(b.t.Context(), "") {
		if err != nil {
			b.t.Fatal(err)
		}
		n++
	}
	return n
}

func (b *bench) save(content string) Blob {
	b.t.Helper()
	blob, err := b.Save(b.t.Context(), strings.NewReader(content), -1, 1<<20, "text/plain")
	if err != nil {
		b.t.Fatal(err)
	}
	return blob
}

// adopt keeps a blob with a media row that refers to it.
func (b *bench) adopt(ctx context.Context, blob Blob) (id uuid.UUID, err error) {
	id = events.NewID()
	return id, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if err := b.Keep(ctx, tx, blob); err != nil {
			return err
		}
		_, err := b.queries.MediaInsert(ctx, tx, db.MediaInsertParams{ID: id, Mimetype: "text/plain", Size: blob.Size, Sha256: blob.SHA256[:], Details: []byte(`{}`)})
		return err
	})
}

func (b *bench) read(hash []byte, offset, length int64) (string, error) {
	body, err := b.Open(b.t.Context(), hash, offset, length)
	if err != nil {
		return "", err
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	return string(content), err
}

// sweep sweeps until there is nothing more; what is there counts as old.
func (b *bench) sweep() {
	b.t.Helper()
	b.exec(`UPDATE objects SET created_at = now() - interval '1 hour'`)
	for more := true; more; {
		var err error
		if more, err = b.Sweep(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestWhatIsKeptCanBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t, tests3.Open(t))
	blob := b.save("the content")
	want := sha256.Sum256([]byte("the content"))
	if blob.SHA256 != want || blob.Size != 11 || !blob.Equal(want[:]) || blob.Equal(nil) {
		t.Errorf("saved %+v", blob)
	}
	if _, err := b.read(want[:], 0, -1); !errors.Is(err, ErrNotFound) {
		t.Errorf("before it is kept: %v", err)
	}
	if _, err := b.adopt(t.Context(), blob); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "the content"}, {4, -1, "content"}, {4, 3, "con"}, {11, -1, ""}} {
		if got, err := b.read(want[:], c.offset, c.length); got != c.want || err != nil {
			t.Errorf("%d from %d: %q, %v", c.length, c.offset, got, err)
		}
	}
	if n := b.count("uploads"); n != 0 {
		t.Errorf("%d uploads are left", n)
	}
}

// Feature: One content stored once
func TestOneContentIsStoredOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, tests3.Open(t))
	for range 3 {
		if _, err := b.adopt(t.Context(), b.save("twice")); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.stored(); n != 3 {
		t.Errorf("%d in S3 before the sweep", n)
	}
	b.sweep()
	if objects, stored := b.count("objects"), b.stored(); objects != 1 || stored != 1 || b.count("media") != 3 {
		t.Errorf("%d objects, %d in S3", objects, stored)
	}
	b.exec(`DELETE FROM media WHERE id = (SELECT id FROM media LIMIT 1)`)
	b.sweep()
	hash := sha256.Sum256([]byte("twice"))
	if got, err := b.read(hash[:], 0, -1); got != "twice" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	b.exec(`UPDATE media SET status = 'expired', object = NULL`)
	b.sweep()
	if n := b.count("objects") + b.count("uploads") + b.stored(); n != 0 {
		t.Errorf("%d are left of what nobody refers to", n)
	}
	if _, err := b.read(hash[:], 0, -1); !errors.Is(err, ErrNotFound) {
		t.Errorf("read what is gone: %v", err)
	}
}

func TestABodysErrorIsItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, tests3.Open(t))
	broken := errors.New("broken")
	for _, size := range []int{0, 100, 6 << 20} { // the last is in the middle of a multipart upload
		body := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken))
		if _, err := b.Save(t.Context(), body, -1, 1<<30, ""); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", size, err)
		}
	}
	for name, c := range map[string]struct {
		size, limit int64
		ok          bool
	}{"just enough": {-1, 10, true}, "too much": {-1, 9, false}, "said to be too much": {10, 9, false}, "known and enough": {10, 10, true}} {
		_, err := b.Save(t.Context(), strings.NewReader("0123456789"), c.size, c.limit, "")
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var trouble *StoreError
	if _, err := b.Save(t.Context(), strings.NewReader("0123456789"), 11, 20, ""); err == nil || errors.Is(err, ErrTooLarge) {
		t.Errorf("a body shorter than its size: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Save(ended, strings.NewReader("x"), -1, 9, ""); !errors.As(err, &trouble) || !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	b.exec(`UPDATE uploads SET expires_at = now() - interval '1 second'`)
	b.sweep()
	if n := b.stored() + b.count("uploads"); n != 0 {
		t.Errorf("%d are left of what was not kept", n)
	}
}

func TestS3IsDown(t *testing.T) {
	t.Parallel()
	server := tests3.Start(t)
	objects, err := s3.Open(t.Context(), server.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	b := setup(t, objects)
	blob := b.save("kept")
	if _, err := b.adopt(t.Context(), blob); err != nil {
		t.Fatal(err)
	}
	b.Abandon(t.Context(), b.save("not kept"))
	server.Stop()
	var trouble *StoreError
	if _, err := b.Save(t.Context(), strings.NewReader("x"), -1, 9, ""); !errors.As(err, &trouble) {
		t.Errorf("save: %v", err)
	}
	if _, err := b.read(blob.SHA256[:], 0, -1); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("read: %v; it is not gone", err)
	}
	if more, err := b.Sweep(t.Context()); err == nil || more {
		t.Errorf("sweep: %t, %v", more, err)
	}
	if n := b.count("uploads WHERE doomed"); n != 2 {
		t.Errorf("%d uploads wait for their deletion, want 2", n)
	}
}

// What a process leaves that is killed at each point between the two stores.
func TestWhatACrashLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t, tests3.Open(t))
	lost := b.save("never kept")
	b.exec(`UPDATE uploads SET expires_at = now() - interval '1 second'`)
	// Doomed, but neither deleted in S3 nor forgotten here.
	keys, err := b.queries.UploadListExpired(t.Context(), b.pool, 10)
	if err != nil || len(keys) != 1 || keys[0] != lost.key {
		t.Fatalf("expired are %v, %v", keys, err)
	}
	if _, err := b.adopt(t.Context(), lost); !errors.Is(err, ErrLost) {
		t.Errorf("kept while it was swept: %v", err)
	}
	// Deleted in S3, and not forgotten.
	if err := b.s3.Delete(t.Context(), lost.key); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	if _, err := b.adopt(t.Context(), lost); !errors.Is(err, ErrLost) {
		t.Errorf("kept after the sweep: %v", err)
	}
	if n := b.count("objects") + b.count("uploads") + b.count("media") + b.stored(); n != 0 {
		t.Errorf("%d are left", n)
	}
	// The same content again is none the worse for it.
	if _, err := b.adopt(t.Context(), b.save("never kept")); err != nil {
		t.Error(err)
	}
}

// A commit whose answer was lost looks like a failure to its caller, who then abandons what is kept.
func TestWhatIsKeptCannotBeAbandoned(t *testing.T) {
	t.Parallel()
	b := setup(t, tests3.Open(t))
	blob := b.save("kept")
	if _, err := b.adopt(t.Context(), blob); err != nil {
		t.Fatal(err)
	}
	b.Abandon(t.Context(), blob)
	b.sweep()
	if got, err := b.read(blob.SHA256[:], 0, -1); got != "kept" || err != nil {
		t.Fatalf("read %q, %v", got, err)
	}
	// The commit is still under way when it is abandoned: that waits for it.
	blob = b.save("kept late")
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Keep(t.Context(), tx, blob); err != nil {
		t.Fatal(err)
	}
	_, err = b.queries.MediaInsert(t.Context(), tx, db.MediaInsertParams{ID: events.NewID(), Sha256: blob.SHA256[:], Details: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	abandoned := make(chan struct{})
	go func() { defer close(abandoned); b.Abandon(t.Context(), blob) }()
	for b.count("pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == 0 {
		select {
		case <-abandoned:
			t.Error("it was abandoned before it was decided whether it is kept")
		case <-time.After(10 * time.Millisecond):
			continue
		}
		break
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-abandoned
	b.sweep()
	if got, err := b.read(blob.SHA256[:], 0, -1); got != "kept late" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

// Contents come and go while they are swept: whoever refers to one can read it.
func TestKeepingAgainstSweeping(t *testing.T) {
	t.Parallel()
	b := setup(t, tests3.Open(t))
	b.exec(`ALTER TABLE objects ALTER created_at SET DEFAULT now() - interval '1 hour'`) // it may be swept at once
	ctx, cancel := context.WithCancel(t.Context())
	var sweeping, keeping sync.WaitGroup
	for range 2 {
		sweeping.Go(func() {
			for ctx.Err() == nil {
				if _, err := b.Sweep(ctx); err != nil && ctx.Err() == nil {
					t.Errorf("sweep: %v", err)
				}
			}
		})
	}
	for worker := range 3 {
		keeping.Go(func() {
			for i := range 40 {
				content := fmt.Sprint("content ", i%2)
				blob, err := b.Save(t.Context(), strings.NewReader(content), -1, 100, "")
				if err != nil {
					t.Errorf("save: %v", err)
					return
				}
				id, err := b.adopt(t.Context(), blob)
				if err != nil {
					t.Errorf("worker %d keeps %q: %v", worker, content, err)
					return
				}
				if got, err := b.read(blob.SHA256[:], 0, -1); got != content || err != nil {
					t.Errorf("worker %d reads %q, %v; want %q", worker, got, err, content)
				}
				if _, err := b.pool.Exec(t.Context(), `DELETE FROM media WHERE id = $1`, id); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
		})
	}
	keeping.Wait()
	cancel()
	sweeping.Wait()
	b.sweep()
	if n := b.count("objects") + b.count("uploads") + b.stored(); n != 0 {
		t.Errorf("%d are left", n)
	}
}
