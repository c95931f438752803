package signalstore

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestMain(m *testing.M) { testdb.Run(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

type bundle struct {
	ctx       context.Context
	dsn       string
	admin     *pgxpool.Pool // sees the database as somebody else
	container *Container
}

// setup opens a container on a fresh database that has a table of owners to fence by.
func setup(t testing.TB) bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	b := bundle{ctx: ctx, dsn: testdb.DSN(t)}
	var err error
	if b.admin, err = postgres.Open(ctx, b.dsn, postgres.Options{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.admin.Close)
	b.container = open(ctx, t, Config{DSN: b.dsn, Schema: "whatsmeow"})
	if err := b.container.Upgrade(ctx); err != nil {
		t.Fatal(err)
	}
	b.exec(t, "CREATE TABLE public.owners (device text PRIMARY KEY, owner text NOT NULL)")
	return b
}

func open(ctx context.Context, t testing.TB, cfg Config) *Container {
	t.Helper()
	c, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (b bundle) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := b.admin.Exec(b.ctx, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func (b bundle) count(t testing.TB, query string, args ...any) (n int) {
	t.Helper()
	if err := b.admin.QueryRow(b.ctx, query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// fence makes "us" the owner of a device and returns the fence that checks it.
func (b bundle) fence(t testing.TB, device string) Fence {
	t.Helper()
	b.exec(t, "INSERT INTO owners VALUES ($1, 'us') ON CONFLICT (device) DO UPDATE SET owner = 'us'", device)
	return Fence{"SELECT 1 FROM owners WHERE device = $1 AND owner = $2 FOR KEY SHARE", []any{device, "us"}}
}

// takeOver gives a device to somebody else, as another process's claim does.
func (b bundle) takeOver(t testing.TB, device string) {
	t.Helper()
	b.exec(t, "UPDATE owners SET owner = 'them' WHERE device = (SELECT device FROM owners WHERE device = $1 FOR UPDATE)", device)
}

// keyed returns a device as a virtual phone has it: with keys and a JID, and no account.
func keyed(user string, device uint16) *store.Device {
	d := &store.Device{
		ID:             &types.JID{User: user, Device: device, Server: types.DefaultUserServer},
		LID:            types.JID{User: "9" + user, Device: device, Server: types.HiddenUserServer},
		NoiseKey:       keys.NewKeyPair(),
		IdentityKey:    keys.NewKeyPair(),
		RegistrationID: 42,
		AdvSecretKey:   make([]byte, 32),
	}
	_, _ = rand.Read(d.AdvSecretKey)
	d.SignedPreKey = d.IdentityKey.CreateSignedPreKey(1)
	return d
}

func (b bundle) adopt(t testing.TB, user string, o Options) *store.Device {
	t.Helper()
	d, err := b.container.Adopt(b.ctx, keyed(user, 0), o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// failures collects what OnFailure is told.
type failures struct {
	mu   sync.Mutex
	errs []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

func (f *failures) all() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]error(nil), f.errs...)
}

// storeOf returns the wrapper behind a device.
func storeOf(d *store.Device) *deviceStore { return d.Sessions.(*deviceStore) }
