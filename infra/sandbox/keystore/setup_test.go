package keystore

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestMain(m *testing.M) { testdb.Run(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// keyed returns a device as a virtual phone has it: with keys and a JID, and no account.
func keyed(user string) *store.Device {
	d := &store.Device{
		ID:             &types.JID{User: user, Server: types.DefaultUserServer},
		LID:            types.NewJID("9"+user, types.HiddenUserServer),
		NoiseKey:       keys.NewKeyPair(),
		IdentityKey:    keys.NewKeyPair(),
		RegistrationID: 42,
		AdvSecretKey:   make([]byte, 32),
	}
	d.SignedPreKey = d.IdentityKey.CreateSignedPreKey(1)
	return d
}

func adopt(t testing.TB, c *Container, user string, o Options) *store.Device {
	t.Helper()
	d, err := c.Adopt(t.Context(), keyed(user), o)
	must(t, err)
	return d
}

func storeOf(d *store.Device) *deviceStore { return d.Sessions.(*deviceStore) }

// durable is a container on PostgreSQL that can be opened again.
type durable struct {
	*Container
	faulty
	t    testing.TB
	pool *pgxpool.Pool
}

func openDurable(t testing.TB) *durable {
	t.Helper()
	d := &durable{t: t, pool: testdb.New(t)}
	d.reopen()
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

// reopen does what a new process does.
func (d *durable) reopen() {
	d.t.Helper()
	if d.Journal != nil {
		must(d.t, d.Close())
	}
	j, err := journal.OpenPostgres(d.t.Context(), d.pool)
	must(d.t, err)
	d.Journal = j
	d.Container = New(&d.faulty)
	must(d.t, j.Load(d.t.Context(), d.Load))
}

// Load is the container's; the journal has one too.
func (d *durable) Load(r journal.Record) error { return d.Container.Load(r) }

// checkJournal checks that the journal has what memory has.
func (d *durable) checkJournal() {
	d.t.Helper()
	loaded := New(journal.NewMemory())
	must(d.t, d.Journal.Load(d.t.Context(), loaded.Load))
	same := func(name string, a, b *state) {
		for i := range a.tables {
			if !maps.EqualFunc(a.tables[i], b.tables[i], bytes.Equal) {
				d.t.Errorf("%s: the journal's %s differ from memory's", name, kinds[i])
			}
		}
		if !slices.Equal(a.packed, b.packed) || !maps.Equal(a.byPN, b.byPN) {
			d.t.Errorf("%s: the journal's prekeys or numbers differ from memory's", name)
		}
	}
	same("people", d.people, loaded.people)
	for jid, s := range d.devices {
		if other := loaded.devices[jid]; other != nil {
			same(jid.String(), s, other)
		} else if s.exists() {
			d.t.Errorf("%s is not in the journal", jid)
		}
	}
	for jid, s := range loaded.devices {
		if d.devices[jid] == nil && s.exists() {
			d.t.Errorf("%s is in the journal alone", jid)
		}
	}
}

// faulty is a journal whose commits can fail, before or after they are done.
type faulty struct {
	journal.Journal
	before, after atomic.Bool
	commits       atomic.Int64
}

var errDown = errors.New("the database is down")

func (f *faulty) Commit(ctx context.Context, records ...journal.Record) error {
	f.commits.Add(1)
	if f.before.Load() {
		return errDown
	}
	if err := f.Journal.Commit(ctx, records...); err != nil {
		return err
	}
	if f.after.Load() {
		return errDown
	}
	return nil
}
