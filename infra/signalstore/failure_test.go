package signalstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
)

// load returns the device anew, and stores it the first time.
func (b bundle) load(t testing.TB, user string, o Options) *store.Device {
	t.Helper()
	d, err := b.container.Device(b.ctx, types.NewJID(user, types.DefaultUserServer), o)
	if errors.Is(err, ErrNoDevice) {
		return b.adopt(t, user, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEveryErrorOfTheDatabaseIsACancellationAndIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "111", Options{})
	hide, show := "ALTER SCHEMA whatsmeow RENAME TO hidden", "ALTER SCHEMA hidden RENAME TO whatsmeow"
	for _, c := range all() {
		var told failures
		s := storeOf(b.load(t, "111", Options{OnFailure: told.add}))
		b.exec(t, hide)
		err := c.run(b.ctx, s)
		b.exec(t, show)
		var pg *pgconn.PgError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &pg) || pg.Code != "42P01" {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if errs := told.all(); len(errs) != 1 || !errors.As(errs[0], &pg) {
			t.Errorf("%s: OnFailure was told %v", c.name, errs)
		}
		for _, later := range all() {
			if err := later.run(b.ctx, s); !errors.Is(err, context.Canceled) {
				t.Fatalf("%s works after %s has failed: %v", later.name, c.name, err)
			}
		}
		if errs := told.all(); len(errs) != 1 {
			t.Errorf("%s: OnFailure was told again: %v", c.name, errs)
		}
	}
	s := storeOf(b.load(t, "111", Options{}))
	for _, c := range all() {
		if err := c.run(b.ctx, s); err != nil && c.name != "GetOutgoingEvent" {
			t.Errorf("%s of a newly loaded device: %v", c.name, err)
		}
	}
}

func TestALostConnectionIsAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	s := storeOf(b.load(t, "111", Options{OnFailure: told.add}))
	err := s.DoDecryptionTxn(b.ctx, func(ctx context.Context) error {
		if err := s.PutSession(ctx, "a:0", []byte("A")); err != nil {
			return err
		}
		b.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chasqui whatsmeow' AND datname = current_database()")
		return nil
	})
	if !errors.Is(err, context.Canceled) || len(told.all()) != 1 {
		t.Errorf("DoDecryptionTxn = %v, told %v", err, told.all())
	}
	s = storeOf(b.load(t, "111", Options{}))
	if has, err := s.HasSession(b.ctx, "a:0"); has || err != nil {
		t.Errorf("HasSession = %v, %v", has, err)
	}
}

// A contact chooses his name and his message ids: they must not be able to break a session.
func TestUnacceptableDataIsNotAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	s := storeOf(b.load(t, "111", Options{OnFailure: told.add, Fence: b.fence(t, "s")}))
	_, _, nul := s.PutPushName(b.ctx, chat, "a\x00b")
	id := make([]byte, 20000) // random: compressed, it still exceeds the 2,704 bytes of an index row
	_, _ = rand.Read(id)
	long := s.PutMessageSecret(b.ctx, chat, chat, hex.EncodeToString(id), []byte("s"))
	short := s.PutAppStateMutationMACs(b.ctx, "regular", 1, []store.AppStateMutationMAC{{IndexMAC: []byte("short"), ValueMAC: key[:]}})
	for name, err := range map[string]error{"NUL": nul, "long id": long, "short MAC": short} {
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(told.all()) != 0 {
		t.Errorf("OnFailure was told %v", told.all())
	}
	if err := (call{name: "PutMany"}).run(b.ctx, s); err != nil {
		t.Errorf("the device is broken: %v", err)
	}
}

func TestWhatFnReturnsIsNotTranslated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	s := storeOf(b.load(t, "111", Options{OnFailure: told.add}))
	oldCounter := errors.New("received message with old counter")
	err := s.DoDecryptionTxn(b.ctx, func(ctx context.Context) error {
		if err := s.PutSession(ctx, "a:0", []byte("A")); err != nil {
			t.Error(err)
		}
		return oldCounter
	})
	if err != oldCounter || len(told.all()) != 0 {
		t.Errorf("DoDecryptionTxn = %v, told %v", err, told.all())
	}
	if has, err := s.HasSession(b.ctx, "a:0"); has || err != nil {
		t.Errorf("the refused message's session is stored: %v, %v", has, err)
	}
}

func TestTheCallersCancellationBreaksNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	s := storeOf(b.load(t, "111", Options{OnFailure: told.add}))
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		var ended context.Context
		var cancel context.CancelFunc
		if cause == context.Canceled {
			ended, cancel = context.WithCancel(b.ctx)
			cancel()
		} else {
			ended, cancel = context.WithDeadline(b.ctx, time.Unix(0, 0))
		}
		for _, c := range all() {
			if err := c.run(ended, s); !errors.Is(err, context.Canceled) && c.name != "MigratePNToLID" {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		cancel()
	}
	if len(told.all()) != 0 {
		t.Errorf("OnFailure was told %v", told.all())
	}
	if err := (call{name: "PutMany"}).run(b.ctx, s); err != nil {
		t.Errorf("the device is broken: %v", err)
	}
}

func TestMigrationToLIDIsNotLeftHalfDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	put(b.ctx, t, b.load(t, "111", Options{}), map[string][]byte{"5550:0": []byte("A")})
	s := storeOf(b.load(t, "111", Options{}))
	ended, cancel := context.WithCancel(b.ctx)
	cancel()
	if err := s.MigratePNToLID(ended, chat, hidden); err != nil {
		t.Errorf("it ended with its caller: %v", err)
	}
	if got, err := s.GetSession(b.ctx, "9550_1:0"); err != nil || string(got) != "A" {
		t.Errorf("the LID's session = %q, %v", got, err)
	}
}

func TestAMappingThatWasNotStoredIsNotCached(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '57014'; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON whatsmeow.whatsmeow_lid_map DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
	if err := storeOf(b.load(t, "111", Options{})).PutLIDMapping(b.ctx, hidden, chat); err == nil {
		t.Fatal("the trigger did not refuse")
	}
	b.exec(t, "DROP TRIGGER late ON whatsmeow.whatsmeow_lid_map")
	if err := storeOf(b.load(t, "111", Options{})).PutLIDMapping(b.ctx, hidden, chat); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_lid_map"); n != 1 {
		t.Error("the second attempt stored nothing")
	}
}

func TestTheWrongKindOfJIDIsNotAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	s := storeOf(b.load(t, "111", Options{OnFailure: told.add}))
	_, first := s.GetLIDForPN(b.ctx, hidden)
	_, second := s.GetPNForLID(b.ctx, chat)
	for _, err := range []error{first, second, s.PutLIDMapping(b.ctx, chat, hidden)} {
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	if len(told.all()) != 0 {
		t.Errorf("OnFailure was told %v", told.all())
	}
}
