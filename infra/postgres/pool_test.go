package postgres_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/testwire"
)

// A pool whose server is silent fills up with diallings; they must not outlive the silence for long.
func TestAPoolIsFreeAgainWhenItsServerAnswersAgain(t *testing.T) {
	t.Parallel()
	wire, dsn := testwire.Database(t, testdb.DSN(t))
	pool, err := postgres.Open(t.Context(), dsn, postgres.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	query := func(d time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		_, err := pool.Exec(ctx, "SELECT 1")
		return err
	}
	pool.Reset()
	wire.Blackhole()
	if query(time.Second) == nil {
		t.Fatal("the server answered")
	}
	// TCP asks again after 1, 2, 3, 4, 5, 7, 11 and 19 s: a dialling that goes on finds the server 7 s later.
	silence := time.NewTimer(11 * time.Second)
	<-silence.C
	wire.Mend()
	began := time.Now()
	if err := query(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
}

// A statement that waits when its server vanishes ends soon by itself: the system would repeat what was sent for a quarter of an hour.
func TestAStatementEndsWhenItsServerVanishes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells that nobody acknowledges")
	}
	wire, dsn := testwire.Database(t, testdb.DSN(t))
	pool, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	wire.Strand()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = conn.Exec(ctx, "SELECT 1")
	if took := time.Since(began); err == nil || ctx.Err() != nil || took > 40*time.Second {
		t.Errorf("after %s it says %v", took, err)
	}
}
