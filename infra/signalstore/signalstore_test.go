package signalstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/proto/waAdv"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
)

func TestUpgradesSchemasOfOneDatabaseSideBySide(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := open(b.ctx, t, Config{DSN: b.dsn, Schema: "odd \"name"})
	if err := other.CheckVersion(b.ctx); !errors.Is(err, ErrSchemaOld) {
		t.Fatalf("CheckVersion before Upgrade: %v", err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := other.Upgrade(b.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range []*Container{b.container, other} {
		if err := c.CheckVersion(b.ctx); err != nil {
			t.Error(err)
		}
	}
	device := keyed("111", 0)
	if _, err := other.Adopt(b.ctx, device, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.container.Device(b.ctx, *device.ID, Options{}); !errors.Is(err, ErrNoDevice) {
		t.Errorf("the other schema's device is visible: %v", err)
	}
	b.exec(t, `UPDATE whatsmeow.whatsmeow_version SET version = version - 1`)
	if err := b.container.CheckVersion(b.ctx); !errors.Is(err, ErrSchemaOld) {
		t.Errorf("CheckVersion of an older schema: %v", err)
	}
	b.exec(t, `UPDATE whatsmeow.whatsmeow_version SET version = version + 9`)
	if err := b.container.CheckVersion(b.ctx); err != nil {
		t.Errorf("CheckVersion of a newer schema: %v", err)
	}
}

// TestAnUpgradeGivesWay: an upgrade that cannot have a table, because somebody uses it for long, lets others go first and comes again.
func TestAnUpgradeGivesWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	holder, err := b.admin.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(b.ctx) }()
	_, err = holder.Exec(b.ctx, "SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE whatsmeow.whatsmeow_version IN ACCESS EXCLUSIVE MODE")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.container.Upgrade(b.ctx) }()
	blocked := func(want int) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
		for end := time.Now().Add(patience); b.count(t, waiting) != want; <-tick.C {
			if time.Now().After(end) {
				t.Fatalf("waited %s for %d that wait for the lock", patience, want)
			}
		}
	}
	blocked(1)
	blocked(0)
	blocked(1)
	if err := holder.Rollback(b.ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the upgrade still waits")
	}
}

func TestConnectionsCommitSynchronouslyAndNeverIdleInATransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`)
	fresh := open(b.ctx, t, Config{DSN: b.dsn, Schema: "whatsmeow"})
	for name, want := range map[string]string{"synchronous_commit": "on", "idle_in_transaction_session_timeout": "5s"} {
		var got string
		if err := fresh.pool.QueryRowContext(b.ctx, "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestAsksForListsWithOneArray(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := open(b.ctx, t, Config{DSN: b.dsn, Schema: "whatsmeow", MaxConns: 1})
	d, err := c.Adopt(b.ctx, keyed("111", 0), Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(b.ctx, t, d, map[string][]byte{"a:0": []byte("A"), "b:0": []byte("B")})
	got, err := d.Sessions.GetManySessions(b.ctx, []string{"a:0", "b:0", "c:0"})
	if err != nil || string(got["a:0"]) != "A" || string(got["b:0"]) != "B" || got["c:0"] != nil || len(got) != 3 {
		t.Errorf("GetManySessions = %q, %v", got, err)
	}
	lid, pn := types.NewJID("77", types.HiddenUserServer), types.NewJID("66", types.DefaultUserServer)
	if err := d.LIDs.PutLIDMapping(b.ctx, lid, pn); err != nil {
		t.Fatal(err)
	}
	c.dropLIDs()
	if lids, err := d.LIDs.GetManyLIDsForPNs(b.ctx, []types.JID{pn}); err != nil || lids[pn] != lid {
		t.Errorf("GetManyLIDsForPNs = %v, %v", lids, err)
	}
	mac := make([]byte, 32)
	if err := d.AppState.PutAppStateVersion(b.ctx, "regular", 1, [128]byte{}); err != nil {
		t.Fatal(err)
	}
	if err := d.AppState.PutAppStateMutationMACs(b.ctx, "regular", 1, []store.AppStateMutationMAC{{IndexMAC: mac, ValueMAC: mac}}); err != nil {
		t.Fatal(err)
	}
	if err := d.AppState.DeleteAppStateMutationMACs(b.ctx, "regular", [][]byte{mac}); err != nil {
		t.Fatal(err)
	}
	if left, err := d.AppState.GetAppStateMutationMAC(b.ctx, "regular", mac); left != nil || err != nil {
		t.Errorf("the mutation MAC is still there: %x, %v", left, err)
	}
	var arrays int
	err = c.pool.QueryRowContext(b.ctx, "SELECT count(*) FROM pg_prepared_statements WHERE statement ILIKE '%ANY($%' AND statement LIKE '%whatsmeow_%' AND statement NOT LIKE '%pg_prepared%'").Scan(&arrays)
	if err != nil || arrays != 4 {
		t.Errorf("%d statements with an array, %v; want 4", arrays, err)
	}
}

// put stores sessions the way a send does.
func put(ctx context.Context, t testing.TB, d *store.Device, sessions map[string][]byte) {
	t.Helper()
	addresses := make([]string, 0, len(sessions))
	for a := range sessions {
		addresses = append(addresses, a)
	}
	if _, err := d.Sessions.GetManySessions(ctx, addresses); err != nil {
		t.Fatal(err)
	}
	if err := d.Sessions.PutManySessions(ctx, sessions); err != nil {
		t.Fatal(err)
	}
}

// pair does with a device what whatsmeow does when pairing succeeds.
func pair(ctx context.Context, d *store.Device, user string) error {
	d.Account = &waAdv.ADVSignedDeviceIdentity{
		Details: []byte("details"), AccountSignature: make([]byte, 64), AccountSignatureKey: make([]byte, 32), DeviceSignature: make([]byte, 64),
	}
	d.ID = &types.JID{User: user, Device: 1, Server: types.DefaultUserServer}
	return d.Save(ctx)
}

func TestPairingStoresDeviceAndOwnersRowTogetherAndWrapsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "CREATE TABLE public.linked (jid text PRIMARY KEY)")
	refusal := errors.New("no")
	var refuse bool
	options := Options{Fence: b.fence(t, "s"), OnSave: func(ctx context.Context, tx Tx, jid types.JID) error {
		res, err := tx.ExecContext(ctx, "INSERT INTO linked VALUES ($1)", jid.String())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); n != 1 || err != nil {
			t.Errorf("RowsAffected = %d, %v", n, err)
		}
		if refuse {
			return refusal
		}
		return nil
	}}

	refuse = true
	if err := pair(b.ctx, b.container.NewDevice(options), "111"); !errors.Is(err, refusal) || !errors.Is(err, context.Canceled) {
		t.Fatalf("Save = %v", err)
	}
	if n := b.count(t, "SELECT (SELECT count(*) FROM linked) + (SELECT count(*) FROM whatsmeow.whatsmeow_device)"); n != 0 {
		t.Fatalf("%d rows are left of a refused pairing", n)
	}

	refuse = false
	first := b.container.NewDevice(options)
	if err := pair(b.ctx, first, "111"); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, "SELECT (SELECT count(*) FROM linked) + (SELECT count(*) FROM whatsmeow.whatsmeow_device)"); n != 2 {
		t.Fatalf("%d rows after pairing, want 2", n)
	}
	put(b.ctx, t, first, map[string][]byte{"a:0": []byte("old")})
	first.PushName = "Ana"
	if err := first.Save(b.ctx); err != nil { // not another pairing
		t.Fatal(err)
	}
	for _, s := range []any{first.Sessions, first.EventBuffer, first.Contacts, first.LIDs, first.Container} {
		if _, ok := s.(*deviceStore); !ok {
			t.Errorf("%T is not wrapped", s)
		}
	}
	loaded, err := b.container.Device(b.ctx, *first.ID, options)
	if err != nil || loaded.PushName != "Ana" || *loaded.IdentityKey.Priv != *first.IdentityKey.Priv || len(loaded.Account.Details) == 0 {
		t.Fatalf("loaded %+v, %v", loaded, err)
	}

	// The phone links the same JID anew: nothing of the former link may survive, least of all its keys.
	b.exec(t, "DELETE FROM linked")
	again := b.container.NewDevice(options)
	if err := pair(b.ctx, again, "111"); err != nil {
		t.Fatal(err)
	}
	loaded, err = b.container.Device(b.ctx, *again.ID, options)
	if err != nil || *loaded.IdentityKey.Priv != *again.IdentityKey.Priv {
		t.Fatalf("the keys of the former link survived: %v", err)
	}
	if s, err := loaded.Sessions.GetManySessions(b.ctx, []string{"a:0"}); err != nil || s["a:0"] != nil {
		t.Errorf("a session of the former link survived: %q, %v", s, err)
	}

	b.takeOver(t, "s")
	lost := b.container.NewDevice(options)
	if err := pair(b.ctx, lost, "222"); !errors.Is(err, ErrFenced) || !errors.Is(err, context.Canceled) {
		t.Errorf("pairing in spite of the fence: %v", err)
	}
}

func TestAdoptedPhoneNeedsNoAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	given := keyed("111", 0)
	d, err := b.container.Adopt(b.ctx, given, Options{})
	if err != nil || d.Account != nil {
		t.Fatalf("Adopt: %v, account %v", err, d.Account)
	}
	put(b.ctx, t, d, map[string][]byte{"a:0": []byte("A")})
	again := *given
	d, err = b.container.Adopt(b.ctx, &again, Options{})
	if err != nil || d.Account != nil || *d.IdentityKey.Priv != *given.IdentityKey.Priv {
		t.Fatalf("second Adopt: %v", err)
	}
	if s, err := d.Sessions.GetManySessions(b.ctx, []string{"a:0"}); err != nil || string(s["a:0"]) != "A" {
		t.Errorf("the second Adopt lost the session: %q, %v", s, err)
	}
	d.PushName = "Phone"
	if err := d.Save(b.ctx); err != nil || d.Account != nil {
		t.Errorf("Save: %v, account %v", err, d.Account)
	}
	if _, err := b.container.Adopt(b.ctx, keyed("111", 0), Options{}); err == nil || !strings.Contains(err.Error(), "identity key") {
		t.Errorf("Adopt with other keys: %v", err)
	}
}

func TestDeleteLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.adopt(t, "111", Options{})
	kept := b.adopt(t, "222", Options{})
	for _, d := range []*store.Device{d, kept} {
		put(b.ctx, t, d, map[string][]byte{"a:0": []byte("A")})
		if err := d.PrivacyTokens.PutPrivacyTokens(b.ctx, store.PrivacyToken{User: *kept.ID, Token: []byte("t")}); err != nil {
			t.Fatal(err)
		}
	}
	jid := *d.ID
	if err := b.container.Delete(b.ctx, jid); err != nil {
		t.Fatal(err)
	}
	if err := b.container.Delete(b.ctx, jid); err != nil {
		t.Fatalf("second Delete: %v", err)
	}
	for _, table := range []string{"whatsmeow_device", "whatsmeow_sessions", "whatsmeow_privacy_tokens"} {
		if n := b.count(t, "SELECT count(*) FROM whatsmeow."+table); n != 1 {
			t.Errorf("%d rows in %s, want the other device's", n, table)
		}
	}
	if err := d.Save(b.ctx); !errors.Is(err, ErrSuperseded) {
		t.Errorf("a deleted device stores itself again: %v", err)
	}
	if err := kept.Delete(b.ctx); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, "SELECT (SELECT count(*) FROM whatsmeow.whatsmeow_device) + (SELECT count(*) FROM whatsmeow.whatsmeow_privacy_tokens)"); n != 0 {
		t.Errorf("whatsmeow's own Delete leaves %d rows", n)
	}
}

func TestLoadingADeviceAgainDisarmsTheFormer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	former := b.adopt(t, "111", Options{OnFailure: told.add})
	put(b.ctx, t, former, map[string][]byte{"a:0": []byte("1")})
	if _, err := former.Sessions.GetManySessions(b.ctx, []string{"a:0"}); err != nil {
		t.Fatal(err)
	}
	current, err := b.container.Device(b.ctx, *former.ID, Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-elsewhere(func() {
		// The former's lock is free at once; it is stolen only after 5 s.
		ctx, cancel := context.WithTimeout(b.ctx, 3*time.Second)
		defer cancel()
		if err := (call{name: "Put"}).run(ctx, storeOf(current)); err != nil {
			t.Error(err)
		}
	})
	for name, err := range map[string]error{
		"PutManySessions":  former.Sessions.PutManySessions(b.ctx, map[string][]byte{"a:0": []byte("stale")}),
		"PutMessageSecret": former.MsgSecrets.PutMessageSecret(b.ctx, types.JID{}, types.JID{}, "id", []byte("k")),
	} {
		if !errors.Is(err, ErrSuperseded) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s of the former Device: %v", name, err)
		}
	}
	got, err := current.Sessions.GetManySessions(b.ctx, []string{"a:0"})
	if err != nil || string(got["a:0"]) != "one" {
		t.Errorf("session = %q, %v", got, err)
	}
	if len(told.all()) != 0 {
		t.Errorf("OnFailure was told of it: %v", told.all())
	}
}

func TestReportsAMissingRowAsItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	d := b.adopt(t, "111", Options{OnFailure: told.add})
	if _, _, err := d.EventBuffer.GetOutgoingEvent(b.ctx, *d.ID, *d.ID, "unknown"); !errors.Is(err, sql.ErrNoRows) || errors.Is(err, context.Canceled) {
		t.Errorf("GetOutgoingEvent = %v", err)
	}
	if key, err := d.PreKeys.GetPreKey(b.ctx, 7); key != nil || err != nil {
		t.Errorf("GetPreKey = %v, %v", key, err)
	}
	if len(told.all()) != 0 {
		t.Errorf("OnFailure was told: %v", told.all())
	}
}
