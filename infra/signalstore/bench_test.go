package signalstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/store/sqlstore"
)

// The benchmarks compare sqlstore as it is with the wrapper around it, fence included, one use of a device each. Besides the time, which
// says little on a busy machine, they report the round trips to PostgreSQL, which TestRoundTripsOfEachUse holds to their numbers.

// counter counts what a connection sends: pgx writes once for each round trip.
type counter struct {
	net.Conn
	trips *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	c.trips.Add(1)
	return c.Conn.Write(b)
}

// counted opens the bundle's container on one connection whose round trips are counted.
func (b bundle) counted(t testing.TB) (*Container, *atomic.Int64) {
	t.Helper()
	cfg := *b.container.cfg
	trips := new(atomic.Int64)
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return counter{conn, trips}, err
	}
	c := open(b.ctx, t, Config{DSN: b.dsn, Schema: "whatsmeow"})
	if err := c.pool.Close(); err != nil {
		t.Fatal(err)
	}
	c.pool = sql.OpenDB(connector{stdlib.GetConnector(cfg)})
	c.pool.SetMaxOpenConns(1)
	c.db.RawDB, c.db.LoggingDB.UnderlyingExecable = c.pool, c.pool
	return c, trips
}

// uses are what whatsmeow does with a device most.
var uses = []struct {
	name         string
	raw, wrapped int64 // round trips
	run          func(context.Context, testing.TB, store.AllSessionSpecificStores)
}{
	{"PutSession", 4, 3, answerOnce},
	{"PutManySessions", 12, 3, sendOnce},
	{"DecryptionTxn", 10, 6, decryptOnce},
	{"GetOrGenPreKeys", 103, 4, refillOnce},
}

func (b bundle) variants(t testing.TB) (raw, wrapped store.AllSessionSpecificStores, trips *atomic.Int64) {
	t.Helper()
	c, trips := b.counted(t)
	d, err := c.Adopt(b.ctx, keyed("111", 0), Options{Fence: b.fence(t, "s")})
	if err != nil {
		t.Fatal(err)
	}
	return sqlstore.NewSQLStore(c.sql, *d.ID), storeOf(d), trips
}

func TestRoundTripsOfEachUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	raw, wrapped, trips := b.variants(t)
	for _, use := range uses {
		for _, v := range []struct {
			name   string
			stores store.AllSessionSpecificStores
			want   int64
		}{{"sqlstore", raw, use.raw}, {"wrapped", wrapped, use.wrapped}} {
			use.run(b.ctx, t, v.stores) // prepares the statements
			before := trips.Load()
			use.run(b.ctx, t, v.stores)
			if got := trips.Load() - before; got != v.want {
				t.Errorf("%s, %s: %d round trips, want %d", use.name, v.name, got, v.want)
			}
		}
	}
}

func BenchmarkUses(b *testing.B) {
	s := setup(b)
	raw, wrapped, trips := s.variants(b)
	d, err := open(s.ctx, b, Config{DSN: s.dsn, Schema: "whatsmeow", Keys: keysOf(b, strings.Repeat("1a", 32))}).Adopt(s.ctx, keyed("222", 0), Options{Fence: s.fence(b, "t")})
	if err != nil {
		b.Fatal(err)
	}
	for _, use := range uses {
		for name, stores := range map[string]store.AllSessionSpecificStores{"sqlstore": raw, "wrapped": wrapped, "sealed": storeOf(d)} {
			b.Run(use.name+"/"+name, func(b *testing.B) {
				before := trips.Load()
				for b.Loop() {
					use.run(s.ctx, b, stores)
				}
				b.ReportMetric(float64(trips.Load()-before)/float64(b.N), "trips/op")
			})
		}
	}
}

// record3KB is of random bytes, since keys do not compress, and PostgreSQL would try.
var record3KB = func() []byte {
	record := make([]byte, 3000)
	_, _ = rand.Read(record)
	return record
}()

// answerOnce is a retry receipt's answer.
func answerOnce(ctx context.Context, t testing.TB, s store.AllSessionSpecificStores) {
	_, err := s.GetSession(ctx, "a:0")
	must(t, err)
	_, err = s.IsTrustedIdentity(ctx, "a:0", key)
	must(t, err)
	must(t, s.PutIdentity(ctx, "a:0", key))
	must(t, s.PutSession(ctx, "a:0", record3KB))
}

// sendOnce is a message to three devices.
func sendOnce(ctx context.Context, t testing.TB, s store.AllSessionSpecificStores) {
	addresses := []string{"a:0", "a:1", "b:0"}
	_, err := s.GetManySessions(ctx, addresses)
	must(t, err)
	sessions := make(map[string][]byte)
	for _, a := range addresses {
		_, err := s.IsTrustedIdentity(ctx, a, key)
		must(t, err)
		must(t, s.PutIdentity(ctx, a, key))
		sessions[a] = record3KB
	}
	must(t, s.PutManySessions(ctx, sessions))
}

var received atomic.Uint64

// decryptOnce is a message received.
func decryptOnce(ctx context.Context, t testing.TB, s store.AllSessionSpecificStores) {
	hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, received.Add(1)))
	_, err := s.GetBufferedEvent(ctx, hash)
	must(t, err)
	must(t, s.DoDecryptionTxn(ctx, func(ctx context.Context) error {
		_, err := s.HasSession(ctx, "a:0")
		must(t, err)
		_, err = s.GetSession(ctx, "a:0")
		must(t, err)
		_, err = s.IsTrustedIdentity(ctx, "a:0", key)
		must(t, err)
		must(t, s.PutIdentity(ctx, "a:0", key))
		must(t, s.PutSession(ctx, "a:0", record3KB))
		return s.PutBufferedEvent(ctx, hash, []byte("text"), time.Now())
	}))
	must(t, s.ClearBufferedEventPlaintext(ctx, hash))
}

// refillOnce makes 100 prekeys to upload.
func refillOnce(ctx context.Context, t testing.TB, s store.AllSessionSpecificStores) {
	made, err := s.GetOrGenPreKeys(ctx, 100)
	must(t, err)
	must(t, s.MarkPreKeysAsUploaded(ctx, made[len(made)-1].KeyID))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
