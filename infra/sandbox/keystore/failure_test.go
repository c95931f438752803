package keystore

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.mau.fi/whatsmeow/proto/waAdv"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"

	"github.com/chasqui/chasqui/infra/ratchet"
	"github.com/chasqui/chasqui/infra/ratchet/ratchettest"
	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

type failures struct {
	mu   sync.Mutex
	errs []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
}

func (f *failures) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.errs)
}

// put stores a session the way a send does.
func put(ctx context.Context, d *store.Device, address, session string) error {
	if _, err := d.Sessions.GetManySessions(ctx, []string{address}); err != nil {
		return err
	}
	return d.Sessions.PutManySessions(ctx, map[string][]byte{address: []byte(session)})
}

func session(t testing.TB, d *store.Device, address string) string {
	t.Helper()
	got, err := d.Sessions.GetManySessions(t.Context(), []string{address})
	must(t, err)
	return string(got[address])
}

// reset returns a memory container on a journal that can fail, with a device that has a session.
func reset(t testing.TB) (*Container, *faulty) {
	t.Helper()
	down := &faulty{Journal: journal.NewMemory()}
	c := New(down)
	must(t, put(t.Context(), adopt(t, c, "111", Options{}), "a:0", "before"))
	return c, down
}

func TestAFailedCommitChangesNothingAndBreaksTheDevice(t *testing.T) {
	t.Parallel()
	c, down := reset(t)
	jid := c.Devices()[0]
	failed := make(map[string]bool)
	for _, s := range steps {
		if s.name == "reload" || s.name == "device" || s.name == "DoDecryptionTxn" {
			continue
		}
		var told failures
		d, err := c.GetDevice(jid, Options{OnFailure: told.add})
		must(t, err)
		r := &runner{t: t, device: d, reload: func() *store.Device { return d }, prekeys: make(map[uint32]keys.PreKey)}
		before := down.commits.Load()
		down.before.Store(true)
		answer := r.run(t.Context(), s)
		down.before.Store(false)
		if down.commits.Load() == before { // it only reads, or has nothing to change
			continue
		}
		failed[s.name] = true
		if !strings.Contains(answer, "refused") && !strings.Contains(answer, errDown.Error()) {
			t.Errorf("%s: %s", s.name, answer)
		}
		if told.count() != 1 || !errors.Is(told.errs[0], errDown) || !errors.Is(told.errs[0], context.Canceled) {
			t.Errorf("%s: OnFailure was told %v", s.name, told.errs)
		}
		for name, err := range map[string]error{"a write": d.NCTSalt.PutNCTSalt(t.Context(), key[:]), "a send": put(t.Context(), d, "a:0", "x"), "Save": d.Save(t.Context())} {
			if !errors.Is(err, errDown) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s after %s has failed: %v", name, s.name, err)
			}
		}
		if _, err := d.PreKeys.GetPreKey(t.Context(), 1); !errors.Is(err, context.Canceled) {
			t.Errorf("a read after %s has failed: %v", s.name, err)
		}
		if told.count() != 1 {
			t.Errorf("%s: OnFailure was told again", s.name)
		}
		for of, rows := range c.devices[jid].tables {
			if want := map[table]int{self: 1, sessions: 1}[table(of)]; len(rows) != want {
				t.Errorf("%s: %d rows of %s, want %d", s.name, len(rows), kinds[of], want)
			}
		}
		if len(c.devices[jid].packed) != 0 || len(c.people.tables[lids]) != 0 {
			t.Errorf("%s: prekeys or numbers are there", s.name)
		}
	}
	if len(failed) < 20 {
		t.Errorf("only %d calls wrote anything: %v", len(failed), failed)
	}
	d, err := c.GetDevice(jid, Options{})
	must(t, err)
	if got := session(t, d, "a:0"); got != "before" {
		t.Errorf("session %q", got)
	}
	must(t, put(t.Context(), d, "a:0", "after"))
}

func TestADecryptionIsOneCommitOrNone(t *testing.T) {
	t.Parallel()
	c, down := reset(t)
	jid := c.Devices()[0]
	var told failures
	d, err := c.GetDevice(jid, Options{OnFailure: told.add})
	must(t, err)
	receive := func(after error) error {
		return d.EventBuffer.DoDecryptionTxn(t.Context(), func(ctx context.Context) error {
			must(t, d.Sessions.PutSession(ctx, "a:0", []byte("received")))
			must(t, d.Identities.PutIdentity(ctx, "a:0", key))
			must(t, d.EventBuffer.PutBufferedEvent(ctx, key, []byte("text"), time.Now()))
			return after
		})
	}
	commits := down.commits.Load()
	if err := receive(errRefused); err != errRefused || told.count() != 0 || down.commits.Load() != commits {
		t.Fatalf("DoDecryptionTxn = %v, told %v", err, told.errs)
	}
	down.before.Store(true)
	if err := receive(nil); !errors.Is(err, context.Canceled) || !errors.Is(err, errDown) || told.count() != 1 {
		t.Fatalf("DoDecryptionTxn = %v, told %v", err, told.errs)
	}
	down.before.Store(false)
	d, err = c.GetDevice(jid, Options{})
	must(t, err)
	if event, err := d.EventBuffer.GetBufferedEvent(t.Context(), key); event != nil || err != nil || session(t, d, "a:0") != "before" {
		t.Errorf("the failed decryption is seen: %v, %v", event, err)
	}
	if trusted, err := d.Identities.IsTrustedIdentity(t.Context(), "a:0", key2); !trusted || err != nil {
		t.Errorf("the failed decryption's identity is known: %v", err)
	}
	commits = down.commits.Load()
	must(t, receive(nil))
	if n := down.commits.Load() - commits; n != 1 {
		t.Errorf("%d commits", n)
	}
	if got := session(t, d, "a:0"); got != "received" {
		t.Errorf("session %q", got)
	}
}

// The answer to a commit can be lost with the connection. Nobody knows then what the journal has, until the next commit writes it again.
func TestACommitWhoseAnswerIsLostIsSettledByTheNext(t *testing.T) {
	t.Parallel()
	onDisk := openDurable(t)
	ctx := t.Context()
	d := adopt(t, onDisk.Container, "111", Options{})
	must(t, put(ctx, d, "a:0", "before"))
	_, err := d.PreKeys.GetOrGenPreKeys(ctx, 2)
	must(t, err)
	onDisk.after.Store(true)
	err = d.EventBuffer.DoDecryptionTxn(ctx, func(ctx context.Context) error {
		must(t, d.PreKeys.RemovePreKey(ctx, 1))
		must(t, d.Sessions.PutSession(ctx, "a:0", []byte("lost")))
		return d.Sessions.PutSession(ctx, "b:0", []byte("lost"))
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	onDisk.after.Store(false)
	d, err = onDisk.GetDevice(*d.ID, Options{})
	must(t, err)
	must(t, d.NCTSalt.PutNCTSalt(ctx, key[:]))
	onDisk.checkJournal()
	if got := session(t, d, "a:0"); got != "before" {
		t.Errorf("session %q", got)
	}
}

func TestTheCallersCancellationBreaksNothing(t *testing.T) {
	t.Parallel()
	c, down := reset(t)
	var told failures
	d, err := c.GetDevice(c.Devices()[0], Options{OnFailure: told.add})
	must(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	commits := down.commits.Load()
	_, _, renamed := d.Contacts.PutPushName(ended, pn, "name")
	_, read := d.PreKeys.GetPreKey(ended, 1)
	for name, err := range map[string]error{
		"send": put(ended, d, "a:0", "x"), "name": renamed, "read": read, "map": d.LIDs.PutLIDMapping(ended, lid, pn),
		"decryption": d.EventBuffer.DoDecryptionTxn(ended, func(ctx context.Context) error { return d.Sessions.PutSession(ctx, "a:0", nil) }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if told.count() != 0 || down.commits.Load() != commits {
		t.Errorf("told %v, %d commits", told.errs, down.commits.Load()-commits)
	}
	must(t, put(t.Context(), d, "a:0", "x"))
}

// A contact chooses his names and the ids of his messages.
func TestUnusualKeysAreKeptAndLongOnesAreRefused(t *testing.T) {
	t.Parallel()
	onDisk := openDurable(t)
	ctx := t.Context()
	var told failures
	d := adopt(t, onDisk.Container, "111", Options{OnFailure: told.add})
	ids := []string{"a\x00b", "\xff\xfe", "a/b", "a%2Fb", "", strings.Repeat("é", 100)}
	for _, id := range ids {
		must(t, d.MsgSecrets.PutMessageSecret(ctx, pn, pn, id, []byte("secret "+id)))
	}
	if err := d.MsgSecrets.PutMessageSecret(ctx, pn, pn, strings.Repeat("x", 3000), key[:]); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a long id: %v", err)
	}
	_, _, err := d.Contacts.PutPushName(ctx, pn, "a\x00b")
	must(t, err)
	onDisk.reopen()
	d, err = onDisk.GetDevice(*d.ID, Options{})
	must(t, err)
	for _, id := range ids {
		if got, _, err := d.MsgSecrets.GetMessageSecret(ctx, pn, pn, id); string(got) != "secret "+id || err != nil {
			t.Errorf("%q: %q, %v", id, got, err)
		}
	}
	if told.count() != 0 {
		t.Errorf("told %v", told.errs)
	}
}

// pair does with a device what whatsmeow does when pairing succeeds.
func pair(ctx context.Context, d *store.Device, user string) error {
	d.Account = &waAdv.ADVSignedDeviceIdentity{Details: []byte("details"), AccountSignatureKey: key[:]}
	d.ID = &types.JID{User: user, Device: 1, Server: types.DefaultUserServer}
	return d.Save(ctx)
}

func TestPairingReplacesTheFormerLink(t *testing.T) {
	t.Parallel()
	onDisk := openDurable(t)
	ctx := t.Context()
	first := onDisk.NewDevice(Options{})
	must(t, pair(ctx, first, "111"))
	must(t, put(ctx, first, "a:0", "old"))
	_, err := first.PreKeys.GetOrGenPreKeys(ctx, 3)
	must(t, err)
	again := onDisk.NewDevice(Options{})
	must(t, pair(ctx, again, "111"))
	if err := put(ctx, first, "a:0", "stale"); !errors.Is(err, ratchet.ErrSuperseded) || !errors.Is(err, context.Canceled) {
		t.Errorf("the former device still writes: %v", err)
	}
	onDisk.checkJournal()
	onDisk.reopen()
	loaded, err := onDisk.GetDevice(*again.ID, Options{})
	must(t, err)
	if *loaded.IdentityKey.Priv != *again.IdentityKey.Priv || string(loaded.Account.Details) != "details" || session(t, loaded, "a:0") != "" {
		t.Error("something of the former link is left")
	}
	if key, err := loaded.PreKeys.GetPreKey(ctx, 1); key != nil || err != nil {
		t.Errorf("a prekey of the former link is left: %v", err)
	}
}

func TestDeleteLeavesNothing(t *testing.T) {
	t.Parallel()
	onDisk := openDurable(t)
	ctx := t.Context()
	mine, others := adopt(t, onDisk.Container, "111", Options{}), adopt(t, onDisk.Container, "222", Options{})
	for _, d := range []*store.Device{mine, others} {
		must(t, put(ctx, d, "a:0", "A"))
		_, err := d.PreKeys.GetOrGenPreKeys(ctx, 3)
		must(t, err)
	}
	stores := storeOf(mine)
	must(t, onDisk.Delete(ctx, *mine.ID))
	must(t, onDisk.Delete(ctx, *mine.ID))
	if err := stores.PutNCTSalt(ctx, key[:]); !errors.Is(err, ratchet.ErrSuperseded) {
		t.Errorf("a deleted device writes: %v", err)
	}
	if _, err := onDisk.GetDevice(*mine.ID, Options{}); !errors.Is(err, ErrNoDevice) {
		t.Errorf("GetDevice = %v", err)
	}
	onDisk.checkJournal()
	stores, jid := storeOf(others), *others.ID
	must(t, others.Delete(ctx)) // whatsmeow's own, after a logout
	if err := stores.PutNCTSalt(ctx, key[:]); !errors.Is(err, ErrNoDevice) {
		t.Errorf("a deleted device writes: %v", err)
	}
	onDisk.reopen()
	if len(onDisk.Devices()) != 0 || len(onDisk.devices) != 0 {
		t.Errorf("%v and %d more are left", jid, len(onDisk.devices))
	}
}

func TestAdoptRefusesOtherKeys(t *testing.T) {
	t.Parallel()
	c := New(journal.NewMemory())
	adopt(t, c, "111", Options{})
	if _, err := c.Adopt(t.Context(), keyed("111"), Options{}); err == nil || !strings.Contains(err.Error(), "identity key") {
		t.Errorf("Adopt with other keys: %v", err)
	}
}

// Without the lock some of these are refused as "received message with old counter".
func TestNothingIsLostWhenBothSidesSendAtFullSpeed(t *testing.T) {
	t.Parallel()
	onDisk := openDurable(t)
	for name, c := range map[string]*Container{"memory": New(journal.NewMemory()), "PostgreSQL": onDisk.Container} {
		count := map[string]int{"memory": 1000, "PostgreSQL": 150}[name]
		if arrived, want := ratchettest.Talk(t.Context(), t, adopt(t, c, "111", Options{}), adopt(t, c, "222", Options{}), count), int64(2*(count+count/4)); arrived != want {
			t.Errorf("%s: %d of %d messages arrived", name, arrived, want)
		}
	}
	onDisk.checkJournal()
}

func TestTwoSessionsBegunAtOnceDoNotSpoilEachOther(t *testing.T) {
	t.Parallel()
	c := New(journal.NewMemory())
	ratchettest.BothBegin(t.Context(), t, adopt(t, c, "111", Options{}), adopt(t, c, "222", Options{}), func(d *store.Device, address string) []byte {
		return []byte(session(t, d, address))
	})
}

func TestOldEventsAreDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		d := adopt(t, New(journal.NewMemory()), "111", Options{})
		for i := range byte(3) {
			must(t, d.EventBuffer.PutBufferedEvent(ctx, [32]byte{i}, []byte("text"), time.Now()))
			must(t, d.EventBuffer.AddOutgoingEvent(ctx, pn, string('a'+rune(i)), "wa", []byte("text")))
			time.Sleep(keepHashes / 2)
		}
		must(t, d.EventBuffer.DeleteOldBufferedHashes(ctx))
		must(t, d.EventBuffer.DeleteOldOutgoingEvents(ctx))
		s := storeOf(d).state
		if n, m := len(s.tables[buffered]), len(s.tables[outgoing]); n != 2 || m != 1 {
			t.Errorf("%d hashes and %d outgoing events are left, want those of 14 and of 7 days", n, m)
		}
	})
}

func TestWhatGrowsIsBounded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := adopt(t, New(journal.NewMemory()), "111", Options{})
	s := storeOf(d).state
	pending := [32]byte{255, 255, 255}
	must(t, d.EventBuffer.PutBufferedEvent(ctx, pending, []byte("not handled yet"), time.Now()))
	for i := range maxBuffered + 10 {
		hash := [32]byte{byte(i), byte(i >> 8)}
		must(t, d.EventBuffer.PutBufferedEvent(ctx, hash, []byte("text"), time.Now()))
		must(t, d.EventBuffer.ClearBufferedEventPlaintext(ctx, hash))
	}
	if n := len(s.tables[buffered]); n > maxBuffered || n < maxBuffered/2 {
		t.Errorf("%d events", n)
	}
	if event, err := d.EventBuffer.GetBufferedEvent(ctx, pending); err != nil || event == nil {
		t.Errorf("an event that is not handled is gone: %v", err)
	}
}

func TestMemoryAloneKeepsNoSpareTables(t *testing.T) {
	t.Parallel()
	d := adopt(t, New(journal.NewMemory()), "111", Options{})
	must(t, put(t.Context(), d, "a:0", "A"))
	must(t, d.Sessions.DeleteSession(t.Context(), "a:0"))
	for of, rows := range storeOf(d).state.tables {
		if table(of) != self && !reflect.ValueOf(rows).IsNil() {
			t.Errorf("there is a table of %s", kinds[of])
		}
	}
}
