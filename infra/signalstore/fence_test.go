package signalstore

import (
	"context"
	"errors"
	"testing"
	"time"
)

// fingerprint sums up everything stored in the schema.
const fingerprint = `
SELECT coalesce(sum(hashtext(row)), 0) FROM (
  SELECT query_to_xml('SELECT * FROM whatsmeow.' || tablename || ' ORDER BY 1, 2', true, false, '')::text AS row
  FROM pg_tables WHERE schemaname = 'whatsmeow') AS rows`

func TestEveryWriteAsksTheFence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fence := b.fence(t, "s")
	owner := storeOf(b.adopt(t, "111", Options{Fence: fence}))
	for _, c := range writes {
		b.takeOver(t, "s")
		before := b.count(t, fingerprint)
		var told failures
		d, err := b.container.Device(b.ctx, owner.jid, Options{Fence: fence, OnFailure: told.add})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.run(b.ctx, storeOf(d)); !errors.Is(err, ErrFenced) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s by a former owner: %v", c.name, err)
		}
		if errs := told.all(); len(errs) != 1 || !errors.Is(errs[0], ErrFenced) {
			t.Errorf("%s: OnFailure was told %v", c.name, errs)
		}
		if after := b.count(t, fingerprint); after != before {
			t.Errorf("%s by a former owner wrote something", c.name)
		}
		b.fence(t, "s")
		if d, err = b.container.Device(b.ctx, owner.jid, Options{Fence: fence}); err != nil {
			t.Fatal(err)
		}
		if err := c.run(b.ctx, storeOf(d)); err != nil {
			t.Errorf("%s by the owner: %v", c.name, err)
		}
	}
	b.takeOver(t, "s")
	d, err := b.container.Device(b.ctx, owner.jid, Options{Fence: fence})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(reads, shared...) {
		if err := c.run(b.ctx, storeOf(d)); err != nil && c.name != "GetOutgoingEvent" {
			t.Errorf("%s asks the fence: %v", c.name, err)
		}
	}
	for name, err := range map[string]error{"Save": d.Save(b.ctx)} {
		if !errors.Is(err, ErrFenced) {
			t.Errorf("%s by a former owner: %v", name, err)
		}
	}
	if d, err = b.container.Device(b.ctx, owner.jid, Options{Fence: fence}); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(b.ctx); !errors.Is(err, ErrFenced) {
		t.Errorf("Delete by a former owner: %v", err)
	}
}

func TestTakeoverBetweenReadAndWriteUndoesADecryption(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := storeOf(b.adopt(t, "111", Options{Fence: b.fence(t, "s")}))
	if err := (call{name: "Put"}).run(b.ctx, s); err != nil {
		t.Fatal(err)
	}
	err := s.DoDecryptionTxn(b.ctx, func(ctx context.Context) error {
		if _, err := s.GetSession(ctx, "a:0"); err != nil {
			return err
		}
		b.takeOver(t, "s")
		return errors.Join(s.PutSession(ctx, "a:0", []byte("stale")), s.PutBufferedEvent(ctx, key, []byte("plain"), time.Now()))
	})
	if !errors.Is(err, ErrFenced) {
		t.Errorf("DoDecryptionTxn = %v", err)
	}
	if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_sessions WHERE session = 'one'"); n != 1 {
		t.Error("the session was overwritten")
	}
	if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_event_buffer"); n != 0 {
		t.Error("half of the transaction is stored")
	}
}

func TestTakeoverWaitsForAnOpenTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := storeOf(b.adopt(t, "111", Options{Fence: b.fence(t, "s")}))
	taken := make(chan error, 1)
	err := s.DoDecryptionTxn(b.ctx, func(ctx context.Context) error {
		if err := s.PutSession(ctx, "a:0", []byte("A")); err != nil {
			return err
		}
		// Reading after a write makes it an open transaction, which holds the owner's row.
		if got, err := s.GetSession(ctx, "a:0"); err != nil || string(got) != "A" {
			t.Errorf("a transaction does not see its own write: %q, %v", got, err)
		}
		go func() {
			_, err := b.admin.Exec(b.ctx, "SELECT 1 FROM owners WHERE device = 's' FOR UPDATE")
			taken <- err
		}()
		b.waitFor(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'SELECT 1 FROM owners%'", 1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_sessions WHERE session = 'A'"); n != 1 {
		t.Error("the session is not stored")
	}
}

// waitFor polls until the query counts n.
func (b bundle) waitFor(t testing.TB, query string, n int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for b.count(t, query) != n {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s never counts %d", query, n)
		}
	}
}

func TestAnErrorOfTheCommitIsReported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '57014'; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON whatsmeow.whatsmeow_sessions DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION public.refuse();
CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON whatsmeow.whatsmeow_sender_keys DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
	for _, fence := range []Fence{{}, b.fence(t, "s")} {
		for _, c := range []call{{name: "PutMany"}, {name: "Put"}, {name: "Decrypt"}, {"PutSenderKey", []any{"group", "user", []byte("k")}}} {
			if err := c.run(b.ctx, storeOf(b.load(t, "111", Options{Fence: fence}))); err == nil || !errors.Is(err, context.Canceled) {
				t.Errorf("%s, fence %q: %v", c.name, fence.Query, err)
			}
		}
	}
}

// What a crash of PostgreSQL may undo is what comes again: see DoDecryptionTxn of tables. Everything else is waited for.
func TestOnlyCommitsThatMayBeUndoneAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := storeOf(b.load(t, "111", Options{Fence: b.fence(t, "s")}))
	b.exec(t, `CREATE TABLE public.waited (of text, setting text)`)
	b.exec(t, `CREATE FUNCTION public.waited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO public.waited VALUES (replace(TG_TABLE_NAME, 'whatsmeow_', '') || ' ' || TG_OP, current_setting('synchronous_commit')); RETURN NEW; END $$`)
	for _, table := range []string{"event_buffer", "sessions"} {
		b.exec(t, `CREATE TRIGGER waited AFTER INSERT OR UPDATE ON whatsmeow.whatsmeow_`+table+` FOR EACH ROW EXECUTE FUNCTION public.waited()`)
	}
	for _, step := range []struct {
		name, want string
		do         func()
	}{
		{"a decryption", "event_buffer INSERT off, event_buffer UPDATE off, sessions INSERT off", func() { decryptOnce(b.ctx, t, s) }},
		{"a send", "sessions INSERT on, sessions UPDATE on", func() { sendOnce(b.ctx, t, s) }},
		{"an answer", "sessions UPDATE on", func() { answerOnce(b.ctx, t, s) }},
	} {
		b.exec(t, `TRUNCATE public.waited`)
		step.do()
		var got string
		err := b.container.pool.QueryRowContext(b.ctx, `SELECT string_agg(w, ', ' ORDER BY w) FROM (SELECT DISTINCT of || ' ' || setting AS w FROM public.waited) d`).Scan(&got)
		if err != nil || got != step.want {
			t.Errorf("%s: %s, %v; want %s", step.name, got, err, step.want)
		}
	}
}
