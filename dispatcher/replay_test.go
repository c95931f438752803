package dispatcher

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// askReplay asks for a replay of everything from since on, as the API does.
func (b *bench) askReplay(endpoint uuid.UUID, since time.Time, states ...string) uuid.UUID {
	b.t.Helper()
	return b.askReplayOf(endpoint, since, time.Now().Add(time.Millisecond), nil, states...)
}

// askReplayOf asks for events of some types alone; nil: of all.
func (b *bench) askReplayOf(endpoint uuid.UUID, since, until time.Time, types []string, states ...string) uuid.UUID {
	b.t.Helper()
	id := events.NewID()
	b.exec(`INSERT INTO webhook_replays (id, endpoint_id, since, until, types, states, reached) VALUES ($1, $2, $3, $4, coalesce($5, '{}'::text[]), $6, $7)`,
		id, endpoint, since, until, types, states, events.FirstID(since))
	b.db.Notifier.Notify(events.WakeReplays)
	return id
}

// replayed is how a replay stands.
func (b *bench) replayed(id uuid.UUID) (state string, scanned, resent int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), `SELECT state, scanned, resent FROM webhook_replays WHERE id = $1`, id).Scan(&state, &scanned, &resent); err != nil {
		b.t.Fatal(err)
	}
	return state, scanned, resent
}

// replayOver says that a replay is done.
func (b *bench) replayOver(id uuid.UUID) func() bool {
	return func() bool {
		state, _, _ := b.replayed(id)
		return state == "done"
	}
}

// history puts n events of as many chats as are named into the log, a millisecond apart from at on, with a delivery in state to the endpoint
// unless state is missing.
func (b *bench) history(endpoint uuid.UUID, at time.Time, n int, state string, chats ...string) {
	b.t.Helper()
	b.exec(`WITH made AS (
			INSERT INTO events (seq, id, session_id, type, order_key, occurred_at, body)
			SELECT nextval('events_seq'), m.id, 's', 'message.received', m.chat, now(),
			       convert_to(format('{"id":"evt_%s","type":"message.received","data":{"chat":"%s","n":%s}}', replace(m.id::text, '-', ''), m.chat, (m.i - 1) / $4), 'UTF8')
			  FROM (SELECT i, ($3::text[])[1 + (i - 1) % $4] AS chat,
			               (lpad(to_hex($1::bigint + i), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid AS id
			          FROM generate_series(1, $2::int) i ORDER BY i) m
			RETURNING id, seq)
		INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, state, attempt, finished_at)
		SELECT gen_random_uuid(), id, seq, $5, $6, 12, now() FROM made WHERE $6 <> 'missing'`, at.UnixMilli(), n, chats, len(chats), endpoint, state)
}

// countResent makes the database count how often each delivery became pending after it was over, or came to be.
func (b *bench) countResent() {
	b.t.Helper()
	b.exec(`CREATE TABLE made_due (event_id uuid, endpoint_id uuid)`)
	b.exec(`CREATE FUNCTION note_due() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO made_due VALUES (NEW.event_id, NEW.endpoint_id); RETURN NEW; END $$`)
	b.exec(`CREATE TRIGGER again AFTER UPDATE ON deliveries FOR EACH ROW WHEN (OLD.state IN ('exhausted', 'cancelled', 'succeeded') AND NEW.state = 'pending')
		EXECUTE FUNCTION note_due()`)
	b.exec(`CREATE TRIGGER anew AFTER INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION note_due()`)
}

// The receiver refuses everything until no attempts are left. Later it is mended, and gets all of it, each event once and under its own id, and
// in order where it wants that.
//
// Feature: List, resend and replay deliveries
func TestReplaySendsWhatIsExhaustedAgain(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"none", "chat", "session"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var mended atomic.Bool
			r := receive(t, func(int, webhook) int {
				if mended.Load() {
					return 200
				}
				return 500
			})
			e := b.addEndpoint(r.URL, "order_mode = '"+order+"'")
			b.start(quick, func(d *Dispatcher) { d.timing.waits = d.timing.waits[:1] })
			began := time.Now()
			var ids []string
			for i := range 5 {
				for chat := range 3 {
					n := i
					if order == "session" {
						n, chat = 3*i+chat, 0
					}
					ids = append(ids, b.publish("s", fmt.Sprint(chat), n, 1)...)
				}
			}
			eventually(t, "all exhausted", func() bool {
				b.exec(`UPDATE webhook_endpoints SET breaker_until = NULL, consecutive_failures = 0`) // a breaker would take its time
				return b.count(`SELECT count(*) FROM deliveries WHERE state = 'exhausted'`) == len(ids)
			})
			mended.Store(true)
			id := b.askReplay(e.id, began, "exhausted")
			eventually(t, "the replay", b.replayOver(id))
			eventually(t, "all delivered", b.settled(len(ids)))
			wantAll(t, r.accepted(), ids)
			if order != "none" {
				wantOrder(t, r.hooks())
			}
			if _, scanned, resent := b.replayed(id); scanned < len(ids) || resent != len(ids) { // what tells of the endpoint is in the log too
				t.Errorf("scanned %d and resent %d, want %d or more and %d", scanned, resent, len(ids), len(ids))
			}
			if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded' AND attempt = 1 AND finished_at IS NOT NULL`); n != len(ids) {
				t.Errorf("%d took one attempt of a fresh series, want %d", n, len(ids))
			}
		})
	}
}

func TestReplayTakesWhatWasAskedForAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	e, other := b.addEndpoint(r.URL), b.addEndpoint(r.URL)
	at := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	const n = 10
	b.history(e.id, at, n, "exhausted", "a")
	b.history(e.id, at.Add(time.Second), n, "succeeded", "b")
	b.history(e.id, at.Add(2*time.Second), n, "cancelled", "c")
	b.history(e.id, at.Add(3*time.Second), n, "missing", "d")
	b.history(e.id, at.Add(4*time.Second), n, "exhausted", "e")
	b.history(other.id, at, n, "exhausted", "f")
	b.exec(`UPDATE events SET type = 'message.sent' WHERE order_key = 'b' AND id < $1`, events.FirstID(at.Add(time.Second+6*time.Millisecond)))
	b.start(quick)
	chats := func() string {
		counts := map[string]int{}
		for _, h := range r.hooks() {
			counts[h.note.Chat]++
		}
		return fmt.Sprint(counts)
	}
	for _, c := range []struct {
		what         string
		since, until time.Duration
		types        []string
		states       []string
		want         string
		resent       int
	}{
		{"another time", 10 * time.Second, 20 * time.Second, nil, []string{"exhausted", "cancelled", "succeeded", "missing"}, "map[]", 0},
		{"a part", 3 * time.Millisecond, time.Second, nil, []string{"exhausted"}, "map[a:8]", 8},
		{"the same part", 3 * time.Millisecond, time.Second, nil, []string{"exhausted"}, "map[a:8]", 0},
		{"the rest", 0, 4 * time.Second, nil, []string{"exhausted"}, "map[a:10]", 2},
		{"of a type", time.Second, 2 * time.Second, []string{"message.sent"}, []string{"succeeded"}, "map[a:10 b:5]", 5},
		{"cancelled", time.Second, 4 * time.Second, nil, []string{"cancelled"}, "map[a:10 b:5 c:10]", n},
		{"missing", 0, 5 * time.Second, []string{"message.received"}, []string{"missing"}, "map[a:10 b:5 c:10 d:10 f:10]", 2 * n}, // those of the other endpoint too
	} {
		id := b.askReplayOf(e.id, at.Add(c.since), at.Add(c.until), c.types, c.states...)
		eventually(t, c.what+": the replay", b.replayOver(id))
		eventually(t, c.what+": all delivered", b.settled(6*n))
		if _, _, resent := b.replayed(id); chats() != c.want || resent != c.resent {
			t.Errorf("%s: resent %d and got %s, want %d and %s", c.what, resent, chats(), c.resent, c.want)
		}
	}
	if n := b.count(`SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND state <> 'exhausted'`, other.id); n != 0 {
		t.Errorf("%d deliveries of another endpoint were touched", n)
	}
}

// An endpoint that is new, or wants more than before, gets what its filters let pass today, in order; what tells of endpoints is left out.
func TestReplayMakesWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	at := time.Now().Add(-time.Hour)
	b.history(uuid.New(), at, 300, "missing", "a", "b", "c")
	b.history(uuid.New(), at, 5, "missing", "x")
	b.exec(`UPDATE events SET session_id = 'other' WHERE order_key = 'x'`)
	b.history(uuid.New(), at, 2, "missing", "y")
	b.exec(`UPDATE events SET type = 'session.status' WHERE order_key = 'y'`)
	b.history(uuid.New(), at, 3, "missing", "z")
	b.exec(`UPDATE events SET type = 'webhook.disabled' WHERE order_key = 'z'`)
	e := b.addEndpoint(r.URL, `order_mode = 'chat'`, `sessions = '{s}'`, `events = '{message.*,webhook.*}'`)
	b.start(quick)
	id := b.askReplay(e.id, at.Add(-time.Second), "missing")
	eventually(t, "the replay", b.replayOver(id))
	eventually(t, "all delivered", b.settled(307))
	if _, scanned, resent := b.replayed(id); scanned != 310 || resent != 300 || len(r.hooks()) != 300 {
		t.Errorf("scanned %d, resent %d, got %d; want 310, 300 and 300", scanned, resent, len(r.hooks()))
	}
	wantOrder(t, r.hooks())
	again := b.askReplay(e.id, at.Add(-time.Second), "missing")
	eventually(t, "the second replay", b.replayOver(again))
	if _, _, resent := b.replayed(again); resent != 0 {
		t.Errorf("%d were missing still", resent)
	}
}

// Two dispatchers, of which the older is killed again and again in the middle of it: each of 5,000 deliveries is made due exactly once, though what
// has gone out already is in a state that the replay takes.
func TestReplayIsExactWhateverDies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	e := b.addEndpoint(r.URL, "max_in_flight = 64", "order_mode = 'chat'")
	const existing, missing = 4000, 1000
	var chats []string
	for i := range 200 {
		chats = append(chats, fmt.Sprint(i))
	}
	at := time.Now().Add(-time.Hour)
	b.history(e.id, at, existing, "exhausted", chats...)
	b.history(e.id, at.Add(existing*time.Millisecond), missing, "missing", "m")
	b.countResent()
	id := b.askReplay(e.id, at, "exhausted", "succeeded", "missing")
	alive, progress, kills := b.start(quick), 0, 0
	eventually(t, "the replay", func() bool {
		next := b.start(quick)
		eventually(t, "some progress", func() bool {
			state, scanned, _ := b.replayed(id)
			moved := scanned > progress || state == "done"
			progress = scanned
			return moved
		})
		<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond) // so that it dies anywhere
		kill(alive)
		alive, kills = next, kills+1
		b.exec(`UPDATE deliveries SET lease_until = now() WHERE state = 'sending'`) // the dead one's, else for half a minute
		return b.replayOver(id)()
	})
	eventually(t, "all delivered", b.settled(existing+missing))
	if _, scanned, resent := b.replayed(id); scanned != existing+missing || resent != existing+missing {
		t.Errorf("scanned %d, resent %d, want %d", scanned, resent, existing+missing)
	}
	if n := b.count(`SELECT count(*) FROM made_due`); n != existing+missing {
		t.Errorf("%d times a delivery was made due, want %d", n, existing+missing)
	}
	if n := b.count(`SELECT count(*) FROM (SELECT FROM made_due GROUP BY event_id HAVING count(*) > 1) twice`); n != 0 {
		t.Errorf("%d were made due twice", n)
	}
	if n := len(r.accepted()); n != existing+missing {
		t.Errorf("%d webhook-ids came, want %d", n, existing+missing)
	}
	if kills < 3 {
		t.Errorf("it was over after %d kills", kills)
	}
}

// While 10,000 deliveries are sent again to a receiver that takes its time, what is live does not wait behind them.
func TestAReplayLeavesRoomForWhatIsLive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	began := time.Now()
	r := receive(t, func(int, webhook) int {
		<-time.After(5 * time.Millisecond)
		return 200
	})
	e := b.addEndpoint(r.URL) // 16 at once
	const old, most = 10000, 400
	b.history(e.id, began.Add(-time.Hour), old, "exhausted", "past")
	id := b.askReplayOf(e.id, began.Add(-2*time.Hour), began, nil, "exhausted")
	b.start()
	published, largest := map[string]time.Time{}, 0
	eventually(t, "the replay", func() bool {
		published[b.publish("s", "live", len(published), 1)[0]] = time.Now()
		largest = max(largest, b.count(`SELECT count(*) FROM deliveries WHERE state = 'pending' AND run_at <= now()`))
		return b.replayOver(id)()
	})
	took := time.Since(began)
	eventually(t, "all delivered", b.settled(old+len(published)))
	var worst time.Duration
	for _, h := range r.hooks() {
		if at, live := published[h.id]; live {
			worst = max(worst, h.at.Sub(at))
		}
	}
	t.Logf("%d deliveries in %s, %d live ones meanwhile, the slowest after %s, %d due at most", old, took, len(published), worst, largest)
	if worst > took/2 || worst > 10*time.Second {
		t.Errorf("a live event came after %s, while the replay took %s", worst, took)
	}
	if largest > most+most/2 { // what is live comes on top
		t.Errorf("%d were due at once, want about %d", largest, most)
	}
	if len(r.hooks()) != old+len(published) {
		t.Errorf("%d came, want %d", len(r.hooks()), old+len(published))
	}
}

// What may be due because of a replay follows from what the endpoint takes.
func TestReplayBacklogFollowsTheEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().Add(-time.Hour)
	for _, c := range []struct {
		set  string
		most int
	}{
		{"max_in_flight = 16", 400}, {"max_in_flight = 256", 1000}, {"max_in_flight = 1", 25}, {"concurrency = 2", 50}, {"concurrency = 64", 400},
		{"rate_per_second = 3", 30}, {"rate_per_second = 1000", 400},
	} {
		e := b.addEndpoint("http://127.0.0.1:1", c.set)
		b.history(e.id, at, 5, "exhausted", "a")
		b.exec(`UPDATE deliveries SET state = 'pending', order_key = CASE WHEN event_seq % 2 = 0 THEN 'k' END WHERE endpoint_id = $1`, e.id)
		b.exec(`UPDATE deliveries SET run_at = now() + interval '1 hour' WHERE event_seq = (SELECT max(event_seq) FROM deliveries WHERE endpoint_id = $1)`, e.id)
		id := b.askReplay(e.id, at, "exhausted")
		if n := b.count(`SELECT room FROM webhook_replay_views WHERE id = $1 AND flowing`, id); n != c.most-4 {
			t.Errorf("%s: room for %d, want %d", c.set, n, c.most-4)
		}
		b.exec(`UPDATE webhook_endpoints SET breaker_until = now() WHERE id = $1`, e.id)
		if n := b.count(`SELECT room FROM webhook_replay_views WHERE id = $1 AND NOT flowing`, id); n != c.most-4 {
			t.Errorf("%s: room for %d with an open breaker, want %d", c.set, n, c.most-4)
		}
		b.exec(`UPDATE webhook_endpoints SET state = 'paused' WHERE id = $1`, e.id)
		if n := b.count(`SELECT room FROM webhook_replay_views WHERE id = $1 AND NOT flowing`, id); n != 0 {
			t.Errorf("%s: room for %d while it is paused", c.set, n)
		}
	}
}

// A replay of a paused endpoint waits, that of a deleted one is cancelled, and one that was cancelled makes nothing due any more.
func TestReplaysEndWithTheirEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	at := time.Now().Add(-time.Hour)
	paused, deleted, gone, cancelled := b.addEndpoint(r.URL, "state = 'paused'"), b.addEndpoint(r.URL, "state = 'deleted'"), b.addEndpoint(r.URL), b.addEndpoint(r.URL)
	var ids []uuid.UUID
	for _, e := range []endpoint{paused, deleted, gone, cancelled} {
		b.history(e.id, at, 10, "exhausted", "a")
		ids = append(ids, b.askReplay(e.id, at, "exhausted"))
	}
	b.exec(`DELETE FROM webhook_endpoints WHERE id = $1`, gone.id)
	b.exec(`UPDATE webhook_replays SET state = 'cancelled', finished_at = now() WHERE id = $1`, ids[3])
	ready := b.addEndpoint(r.URL)
	b.history(ready.id, at, 10, "exhausted", "a")
	b.start(quick)
	eventually(t, "the end of the others", func() bool { return b.count(`SELECT count(*) FROM webhook_replays WHERE state = 'cancelled'`) == 3 })
	id := b.askReplay(ready.id, at, "exhausted")
	eventually(t, "a replay that may go on", b.replayOver(id))
	if state, scanned, _ := b.replayed(ids[0]); state != "running" || scanned != 0 {
		t.Errorf("that of the paused endpoint is %s and has scanned %d", state, scanned)
	}
	eventually(t, "its deliveries", func() bool { return len(r.hooks()) == 10 })
	b.exec(`UPDATE webhook_endpoints SET state = 'active' WHERE id = $1`, paused.id)
	eventually(t, "that of the endpoint which was paused", b.replayOver(ids[0]))
	eventually(t, "its deliveries", func() bool { return len(r.hooks()) == 20 })
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'exhausted'`); n != 30 {
		t.Errorf("%d were left alone, want 30", n)
	}
	if n := b.count(`SELECT count(*) FROM webhook_replays WHERE (state = 'running') <> (finished_at IS NULL)`); n != 0 {
		t.Errorf("%d replays without the time of their end", n)
	}
}

// An endpoint that is changed while a batch is under way is changed after it, and one that was paused just before gets nothing.
func TestReplayHoldsItsEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.start()
	e, paused := b.addEndpoint("http://127.0.0.1:1"), b.addEndpoint("http://127.0.0.1:1", "state = 'paused'")
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	for id, want := range map[uuid.UUID]bool{e.id: true, paused.id: false, uuid.New(): false} {
		if found, ok, err := d.replayEndpoint(t.Context(), tx, id); err != nil || ok != want || ok && found.ID != id {
			t.Fatalf("%s: %t, want %t: %v", found.ID, ok, want, err)
		}
	}
	_, err = b.pool.Exec(t.Context(), `SET lock_timeout = '50ms'; UPDATE webhook_endpoints SET state = 'deleted'`)
	if postgres.ErrorCode(err) != "55P03" {
		t.Errorf("the endpoint was deleted meanwhile: %v", err)
	}
}

// What has become of a delivery since a batch looked at it stays.
func TestReplayLeavesWhatHasChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.start()
	e := b.addEndpoint("http://127.0.0.1:1", "state = 'paused'")
	at := time.Now().Add(-time.Hour)
	b.history(e.id, at, 2, "exhausted", "a")
	b.exec(`UPDATE deliveries SET state = 'sending', lease_until = now() + interval '1 hour' WHERE event_id = (SELECT min(id::text)::uuid FROM events)`)
	found, err := d.queries.ReplayScan(t.Context(), b.pool, events.FirstID(at), uuid.Max, replayScan, e.id)
	if err != nil || len(found) != 2 || found[0].State != "sending" {
		t.Fatalf("%+v, %v", found, err)
	}
	seen := db.WebhookReplay{EndpointID: e.id, States: []string{"exhausted", replayMissing}}
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	resent, err := d.writeReplay(t.Context(), tx, seen, replayStep{again: found[:1], missing: found})
	if err != nil || resent != 0 {
		t.Errorf("%d were made due: %v", resent, err)
	}
}

// A batch that fails anywhere has done nothing: neither its deliveries nor its place are written without the other.
func TestABatchOfAReplayIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for table, when := range map[string]string{"deliveries": "NEW.state = 'pending'", "webhook_replays": "NEW.reached <> OLD.reached"} {
		b := setup(t)
		e := b.addEndpoint("http://127.0.0.1:1")
		at := time.Now().Add(-time.Hour)
		b.history(e.id, at, 5, "exhausted", "a")
		b.history(e.id, at, 5, "missing", "a")
		b.exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'as if it was killed here'; END $$`)
		b.exec(`CREATE TRIGGER fails BEFORE UPDATE ON ` + table + ` FOR EACH ROW WHEN (` + when + `) EXECUTE FUNCTION fail()`)
		d := New(Config{DSN: b.dsn, Guard: localGuard(), S3: b.s3, Logger: silent()}) // whose loops do not run
		if err := d.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.close)
		id := b.askReplay(e.id, at, "exhausted", "missing")
		if _, err := d.replayBatch(t.Context(), id, 10); err == nil {
			t.Errorf("%s: no error", table)
		}
		if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'exhausted'`); n != 5 || b.count(`SELECT count(*) FROM deliveries`) != 5 {
			t.Errorf("%s: %d deliveries are as they were, want 5", table, n)
		}
		if state, scanned, resent := b.replayed(id); state != "running" || scanned != 0 || resent != 0 {
			t.Errorf("%s: the replay is %s, scanned %d and resent %d", table, state, scanned, resent)
		}
		b.exec(`DROP TRIGGER fails ON ` + table)
		for going := true; going; {
			var err error
			if going, err = d.replayBatch(t.Context(), id, 3); err != nil {
				t.Fatal(err)
			}
		}
		if _, scanned, resent := b.replayed(id); scanned != 10 || resent != 10 {
			t.Errorf("%s: scanned %d, resent %d, want 10", table, scanned, resent)
		}
	}
}

// Nobody waits for the poll of the claims.
func TestReplayWakesTheClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	e := b.addEndpoint(r.URL)
	at := time.Now().Add(-time.Hour)
	b.history(e.id, at, 1, "exhausted", "a")
	b.start()
	conn, err := b.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `LISTEN chasqui_deliveries`); err != nil {
		t.Fatal(err)
	}
	b.askReplay(e.id, at, "exhausted")
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if _, err := conn.Conn().WaitForNotification(ctx); err != nil {
		t.Errorf("the claims were not woken: %v", err)
	}
}

func TestOldReplaysAreRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct {
		state string
		age   time.Duration
	}{{"done", 31 * day}, {"cancelled", 31 * day}, {"done", 29 * day}, {"running", 60 * day}} {
		b.exec(`INSERT INTO webhook_replays (id, endpoint_id, since, until, states, reached, state, finished_at)
			VALUES ($1, $2, now() - interval '90 days', now(), '{exhausted}', $1, $3, CASE WHEN $3 <> 'running' THEN now() - $4::interval END)`,
			events.NewID(), b.addEndpoint("http://127.0.0.1:1", "state = 'paused'").id, c.state, c.age)
	}
	b.start()
	eventually(t, "the removal", func() bool { return b.count(`SELECT count(*) FROM webhook_replays`) == 2 })
	if n := b.count(`SELECT count(*) FROM webhook_replays WHERE state = 'running' OR finished_at > now() - interval '30 days'`); n != 2 {
		t.Errorf("%d of the two that stay are there", n)
	}
}

// What lists and replays ask is found by an index, not by reading a partition: also of one of many endpoints, in a state that is rare, and by a
// plan that was made for any values.
func TestListsAndReplaysReadNoWholePartition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Now()
	for i := range 3 { // partitions of their own, with the index that new ones get
		if err := MaintainPartitions(t.Context(), b.pool, now.Add(time.Duration(-7*i)*day), 60*day); err != nil {
			t.Fatal(err)
		}
	}
	busy, rare := b.addEndpoint("http://127.0.0.1:1"), b.addEndpoint("http://127.0.0.1:1")
	b.history(busy.id, now.Add(-time.Hour), 30000, "succeeded", "a")
	b.history(busy.id, now.Add(-8*day), 10000, "succeeded", "a")
	b.history(rare.id, now.Add(-time.Minute), 5, "succeeded", "a")
	b.exec(`UPDATE deliveries SET state = 'exhausted' WHERE endpoint_id = $1 AND event_seq <= 3`, busy.id)
	b.exec(`VACUUM ANALYZE`)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `SET LOCAL plan_cache_mode = force_generic_plan`); err != nil {
		t.Fatal(err)
	}
	fetched := func() (blocks int) {
		t.Helper()
		if err := tx.QueryRow(t.Context(), `SELECT sum(pg_stat_get_xact_blocks_fetched(oid)) FROM pg_class WHERE relname ~ '^(deliveries|events)'`).Scan(&blocks); err != nil {
			t.Fatal(err)
		}
		return blocks
	}
	q, all := db.New(), []string{"cancelled", "exhausted", "held", "pending", "sending", "succeeded"}
	page := func(rows int, endpoint *uuid.UUID, states ...string) func() error {
		return func() error {
			list, err := q.DeliveryPage(t.Context(), tx, db.DeliveryPageParams{
				EndpointID: endpoint, States: states, ToID: uuid.Max, BeforeEndpoint: uuid.Max, Types: []string{}, Prefixes: []string{}, Scan: 6, MaxRows: 6,
			})
			if err == nil && len(list) != rows {
				err = fmt.Errorf("%d deliveries, want %d", len(list), rows)
			}
			return err
		}
	}
	var some []uuid.UUID
	for name, read := range map[string]func() error{
		"the rare endpoint":              page(5, &rare.id, all...),
		"the rare state":                 page(3, &busy.id, "exhausted"),
		"all of the busy endpoint":       page(6, &busy.id, all...),
		"the rare state of all":          page(3, nil, "exhausted"),
		"the common state of all":        page(6, nil, "succeeded"),
		"a state that no delivery is in": page(0, &busy.id, "held"),
		"a batch": func() error {
			found, err := q.ReplayScan(t.Context(), tx, events.FirstID(now.Add(-9*day)), events.FirstID(now), 10, busy.id)
			if err == nil && len(found) != 10 {
				err = fmt.Errorf("%d events, want 10", len(found))
			}
			for _, f := range found {
				some = append(some, f.ID)
			}
			if err != nil {
				return err
			}
			n, err := q.ReplayResend(t.Context(), tx, busy.id, []string{"succeeded"}, some, make([]string, len(some)))
			if err == nil && n != 10 {
				err = fmt.Errorf("%d made due, want 10", n)
			}
			return err
		},
	} {
		before := fetched()
		if err := read(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// The key's index of the busy week has 200 blocks, the rows have 500 more. A batch also writes ten rows, each in several indexes.
		if n := fetched() - before; n > 180 && (name != "a batch" || n > 400) {
			t.Errorf("%s: %d blocks were read", name, n)
		}
	}
}
