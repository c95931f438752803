package journal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestMain(m *testing.M) { testdb.Run(m) }

func open(t *testing.T, pool *pgxpool.Pool) *journal.Postgres {
	t.Helper()
	j, err := journal.OpenPostgres(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func newPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), testdb.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// records loads all records as "kind key=value".
func records(t *testing.T, j journal.Journal) (all []string) {
	t.Helper()
	err := j.Load(t.Context(), func(r journal.Record) error {
		all = append(all, fmt.Sprintf("%s %s=%s", r.Kind, r.Key, r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestKeepsRecords(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	j := open(t, pool)
	commit := func(records ...journal.Record) {
		t.Helper()
		if err := j.Commit(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
	}
	put := func(kind, key, value string) journal.Record { return journal.Record{Kind: kind, Key: key, Value: []byte(value)} }
	commit()
	commit(put("b", "1", "one"), put("a", "2", "two"), put("a", "10", "ten"), put("a", "Z", ""))
	commit(put("b", "1", "uno"), journal.Record{Kind: "a", Key: "2"}, journal.Record{Kind: "a", Key: "never"})
	commit(put("c", "1", "first"), put("c", "1", "second"), put("d", "1", "gone"), journal.Record{Kind: "d", Key: "1"})
	want := []string{"a 10=ten", "a Z=", "b 1=uno", "c 1=second"}
	if got := records(t, j); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := j.Forget(t.Context(), "a", "10", "never"); err != nil {
		t.Fatal(err)
	}
	// One that PostgreSQL refuses takes the others with it.
	if err := j.Commit(t.Context(), put("e", "1", "x"), put("e", "\x00", "y")); err == nil {
		t.Error("a NUL byte in a key was taken")
	}
	if _, err := journal.OpenPostgres(t.Context(), pool); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a second journal: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, pool)
	if got := records(t, again); fmt.Sprint(got) != fmt.Sprint(want[1:]) {
		t.Errorf("after it was opened again: %q, want %q", got, want[1:])
	}
	stop := errors.New("stop")
	if err := again.Load(t.Context(), func(journal.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Load returned %v", err)
	}
}

// A schema of an older program is emptied, one of a newer is refused.
func TestKnowsItsSchema(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	for _, sql := range []string{`CREATE SCHEMA sandbox`, `CREATE TABLE sandbox.server_version (version int NOT NULL)`, `CREATE TABLE sandbox.queue (id int)`} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, pool)
	if got := records(t, j); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE sandbox.journal_version SET version = 99`); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.OpenPostgres(t.Context(), pool); err == nil {
		t.Error("a newer schema was taken")
	}
}

func TestKeepsBlobs(t *testing.T) {
	t.Parallel()
	for name, j := range map[string]journal.Journal{"memory": journal.NewMemory(), "postgres": open(t, newPool(t))} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() {
				if err := j.Close(); err != nil {
					t.Error(err)
				}
			})
			if err := j.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			data := make([]byte, 700_000) // three chunks
			for i := range data {
				data[i] = byte(rand.Uint32()) //nolint:gosec // G404: any bytes do
			}
			sum := sha256.Sum256(data)
			missing := func(what string) {
				t.Helper()
				if _, err := j.OpenBlob(t.Context(), sum[:]); !errors.Is(err, journal.ErrNoBlob) {
					t.Errorf("%s: %v", what, err)
				}
			}
			missing("before it was written")
			write := func() *journal.BlobWriter {
				t.Helper()
				w, err := j.CreateBlob(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for part := range 7 {
					if _, err := w.Write(data[part*100_000 : (part+1)*100_000]); err != nil {
						t.Fatal(err)
					}
				}
				return w
			}
			w := write()
			if w.Size() != int64(len(data)) || !bytes.Equal(w.SHA256(), sum[:]) {
				t.Errorf("%d bytes with hash %x", w.Size(), w.SHA256())
			}
			early, err := w.Reader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			same(t, "before Commit", early, data)
			missing("before Commit")
			w.Discard()
			if err := j.RenewBlob(t.Context(), sum[:]); !errors.Is(err, journal.ErrNoBlob) {
				t.Errorf("renew what is not there: %v", err)
			}

			w = write()
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			w.Discard() // does nothing any more
			again := write()
			if err := again.Commit(); err != nil {
				t.Fatal(err)
			}
			r, err := j.OpenBlob(t.Context(), sum[:])
			if err != nil || r.Size() != int64(len(data)) {
				t.Fatalf("%d bytes, %v", r.Size(), err)
			}
			same(t, "from the start", r, data)
			if at, err := r.Seek(-300_000, io.SeekEnd); err != nil || at != 400_000 {
				t.Errorf("at %d, %v", at, err)
			}
			same(t, "from the middle", r, data[400_000:])
			if _, err := r.Seek(-1, io.SeekStart); err == nil {
				t.Error("before the start")
			}

			hour := time.Now().Add(-time.Hour)
			begun := write() // and never committed
			if n, err := j.SweepBlobs(t.Context(), hour, hour); n != 0 || err != nil {
				t.Errorf("%d young ones swept, %v", n, err)
			}
			if err := j.RenewBlob(t.Context(), sum[:]); err != nil {
				t.Error(err)
			}
			soon := time.Now().Add(time.Minute)
			if n, err := j.SweepBlobs(t.Context(), soon, soon); n < 2 || err != nil {
				t.Errorf("%d swept, %v", n, err)
			}
			missing("after the sweep")
			if err := begun.Commit(); err == nil && name == "memory" {
				t.Error("a blob that was swept was completed")
			}
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); !errors.Is(err, journal.ErrNoBlob) {
				t.Errorf("a swept blob was read: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := j.CreateBlob(ctx); err == nil && name == "postgres" {
				t.Error("a blob was begun without a context")
			}
		})
	}
}

func same(t *testing.T, what string, r io.Reader, want []byte) {
	t.Helper()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes of %d, %v", what, len(got), len(want), err)
	}
}
