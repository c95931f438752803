package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/infra/testwire"
)

// fleet is a stack with two connectors that share sessions, under load both ways.
type fleet struct {
	*stack
	db            *pgxpool.Pool
	sessions      int
	first, second string // the connectors' names in their claims

	stopped chan struct{}
	stop    sync.Once
	load    sync.WaitGroup
	mu      sync.Mutex
	out, in []int // texts accepted each way, by session
}

func (f *fleet) id(i int) string     { return fmt.Sprintf("s%d", i) }
func (f *fleet) number(i int) string { return fmt.Sprintf("54911700000%02d", i) }
func (f *fleet) peer(i int) string   { return fmt.Sprintf("54911800000%02d", i) }

// newFleet starts an api, a dispatcher and two connectors, the first of them with extra environment, and links sessions.
func newFleet(t *testing.T, sessions int, extra func(*stack) []string) *fleet {
	t.Helper()
	f := &fleet{stack: newStack(t), sessions: sessions, stopped: make(chan struct{}), out: make([]int, sessions), in: make([]int, sessions)}
	var err error
	if f.db, err = pgxpool.New(t.Context(), f.pg.DSN()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.db.Close)
	f.start("api", "api")
	f.start("dispatcher", "dispatcher")
	var env []string
	if extra != nil {
		env = extra(f.stack)
	}
	f.first = f.connector(t, "connector-1", env...)
	f.second = f.connector(t, "connector-2")
	f.awaitAPI(t)
	for i := range sessions {
		link(t, f.api, f.sandbox, f.id(i), f.number(i))
		f.sandbox.must(t, "POST", "/phones", map[string]string{"number": f.peer(i), "name": fmt.Sprintf("Peer %d", i)}, nil)
	}
	f.awaitShares(t, sessions/2, sessions/2)
	return f
}

// connector starts one and returns its name.
func (f *fleet) connector(t *testing.T, name string, env ...string) (owner string) {
	t.Helper()
	before := f.column(t, `SELECT id FROM connectors`)
	f.procs[name] = spawn(f.t, name, f.dir, slices.Concat(f.env, env), binary, "connector")
	eventually(t, 30*time.Second, name+" to be alive", func() error {
		for _, id := range f.column(t, `SELECT id FROM connectors`) {
			if !slices.Contains(before, id) {
				owner = id
				return nil
			}
		}
		return fmt.Errorf("it is not in the list")
	})
	return owner
}

func (f *fleet) column(t *testing.T, sql string, args ...any) []string {
	t.Helper()
	rows, err := f.db.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// owned are the sessions that are connected, by their connector.
func (f *fleet) owned(t *testing.T) map[string][]string {
	t.Helper()
	owned := map[string][]string{}
	for _, line := range f.column(t, `SELECT connector || ' ' || id FROM session_views WHERE shown_state = 'connected' AND connector <> '' ORDER BY id`) {
		owner, id, _ := strings.Cut(line, " ")
		owned[owner] = append(owned[owner], id)
	}
	return owned
}

func (f *fleet) awaitShares(t *testing.T, first, second int) {
	t.Helper()
	f.awaitSharesFor(t, time.Minute, first, second)
}

func (f *fleet) awaitSharesFor(t *testing.T, d time.Duration, first, second int) {
	t.Helper()
	eventually(t, d, fmt.Sprintf("%d and %d connected sessions", first, second), func() error {
		owned := f.owned(t)
		if len(owned[f.first]) != first || len(owned[f.second]) != second {
			return fmt.Errorf("they are %v", owned)
		}
		return nil
	})
}

// standing is what tells that a session was not disturbed: its owner, its epoch, and when it was connected.
func (f *fleet) standing(t *testing.T, owner string) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, line := range f.column(t, `SELECT s.id || ' ' || c.epoch || ' ' || s.connected_at FROM claims c JOIN sessions s ON s.id = c.session
		WHERE c.owner = $1`, owner) {
		id, rest, _ := strings.Cut(line, " ")
		m[id] = rest
	}
	return m
}

// undisturbed checks that the sessions of a connector that are still its own are what they were.
func (f *fleet) undisturbed(t *testing.T, owner string, before map[string]string) {
	t.Helper()
	for id, now := range f.standing(t, owner) {
		if then, ok := before[id]; ok && then != now {
			t.Errorf("session %s was disturbed: epoch and time of connecting were %s, now %s", id, then, now)
		}
	}
}

// begin starts the load: each session sends to its peer and the other way round, one after the other, until end.
func (f *fleet) begin(t *testing.T) {
	t.Helper()
	t.Cleanup(f.stopLoad)
	for i := range f.sessions {
		f.load.Go(func() {
			f.repeat(t, func(n int) error {
				return f.api.persist("POST", "/v1/sessions/"+f.id(i)+"/messages",
					map[string]any{"to": f.peer(i), "content": map[string]string{"type": "text", "text": fmt.Sprintf("out %d", n)}}, nil,
					"Idempotency-Key", fmt.Sprintf("%d-%d", i, n))
			}, &f.out[i])
		})
		f.load.Go(func() {
			f.repeat(t, func(n int) error {
				return f.sandbox.persist("POST", "/phones/"+f.peer(i)+"/messages",
					map[string]string{"to": f.number(i), "type": "text", "text": fmt.Sprintf("in %d", n)}, nil)
			}, &f.in[i])
		})
	}
}

// stopLoad ends the load, also of a test that failed before it settled: what it finds belongs to a test that runs.
func (f *fleet) stopLoad() {
	f.stop.Do(func() { close(f.stopped) })
	f.load.Wait()
}

func (f *fleet) repeat(t *testing.T, send func(n int) error, count *int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := send(n); err != nil {
			t.Errorf("send: %v", err)
			return
		}
		f.mu.Lock()
		*count = n + 1
		f.mu.Unlock()
		select {
		case <-f.stopped:
			return
		case <-tick.C:
		}
	}
}

// goOn waits until every session has accepted some more texts each way.
func (f *fleet) goOn(t *testing.T, more int) {
	t.Helper()
	counts := func() []int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.Concat(f.out, f.in)
	}
	before := counts()
	eventually(t, time.Minute, "the load to go on", func() error {
		for i, n := range counts() {
			if n < before[i]+more {
				return fmt.Errorf("sender %d has done %d", i, n-before[i])
			}
		}
		return nil
	})
}

// end stops the load and counts from outside: each text is shown, or told, once and in order, and no session was ever replaced.
func (f *fleet) end(t *testing.T) {
	t.Helper()
	f.stopLoad()
	if t.Failed() {
		return
	}
	numbered := func(word string, n int) (texts []string) {
		for k := range n {
			texts = append(texts, fmt.Sprintf("%s %d", word, k))
		}
		return texts
	}
	for i := range f.sessions {
		var got []string
		caughtUp(t, "the texts at phone "+f.peer(i), f.out[i], func() (int, error) {
			all, err := shown(f.sandbox, f.peer(i))
			if err != nil {
				return 0, err
			}
			got = got[:0]
			for _, m := range all {
				if !m.FromMe {
					got = append(got, m.Text)
				}
			}
			return len(got), nil
		})
		if !slices.Equal(got, numbered("out", f.out[i])) {
			t.Errorf("phone %s shows %q", f.peer(i), got)
		}
	}
	told := make(map[string][]string)
	caughtUp(t, "the events", sum(f.in), func() (came int, _ error) {
		all, err := eventLog(f.api)
		if err != nil {
			return 0, err
		}
		clear(told)
		for _, e := range all {
			if e.Type == "message.received" {
				told[e.SessionID] = append(told[e.SessionID], e.Data.Message.Content.Text)
			}
		}
		for _, texts := range told {
			came += len(texts)
		}
		return came, nil
	})
	for i := range f.sessions {
		if !slices.Equal(told[f.id(i)], numbered("in", f.in[i])) {
			t.Errorf("session %s told %q", f.id(i), told[f.id(i)])
		}
	}
	for _, fight := range f.column(t, `SELECT session_id FROM events WHERE type = 'session.status'
		AND convert_from(body, 'UTF8')::jsonb #>> '{data,session,state}' IN ('replaced', 'logged_out', 'qr', 'failed')
		AND seq > (SELECT max(seq) FROM events WHERE type = 'session.status' AND convert_from(body, 'UTF8')::jsonb #>> '{data,session,state}' = 'qr')`) {
		t.Errorf("session %s was replaced, logged out or asked for a new QR code", fight)
	}
	var stats struct{ RepeatedIDs, UnknownStanzas int64 }
	f.sandbox.must(t, "GET", "/stats", nil, &stats)
	t.Logf("%d texts out, %d in; sent twice under one id: %d", sum(f.out), sum(f.in), stats.RepeatedIDs)
	if stats.UnknownStanzas != 0 {
		t.Errorf("the sandbox met %d unknown stanzas", stats.UnknownStanzas)
	}
}

func sum(list []int) (n int) {
	for _, v := range list {
		n += v
	}
	return n
}

// TestAPausedConnectorDisturbsNobody stops one connector with SIGSTOP until the other has all its sessions, and lets it go on: it believes then,
// for a moment, to own sessions that are connected elsewhere.
func TestAPausedConnectorDisturbsNobody(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 6, nil)
	f.begin(t)
	f.goOn(t, 5)
	paused := f.procs["connector-1"].cmd.Process
	if err := paused.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = paused.Signal(syscall.SIGCONT) })
	began := time.Now()
	f.awaitSharesFor(t, 20*time.Second, 0, 6)
	t.Logf("the other had all sessions after %s", time.Since(began).Round(100*time.Millisecond))
	f.goOn(t, 10)
	before := f.standing(t, f.second)
	if err := paused.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// It takes its fair share again, which the other gives away; nothing else moves, and nothing is connected again.
	f.awaitShares(t, 3, 3)
	f.goOn(t, 20)
	f.undisturbed(t, f.second, before)
	for id, now := range f.standing(t, f.first) {
		epoch := func(standing string) (n int) { _, _ = fmt.Sscan(standing, &n); return n }
		if epoch(now) != epoch(before[id])+1 {
			t.Errorf("session %s went from epoch %s to %s", id, before[id], now)
		}
	}
	f.end(t)
}

// TestDrainedSessionsMoveAtOnce stops a connector with SIGTERM while a command of one of its sessions waits for WhatsApp's answer in vain: it was
// routed, but neither the acknowledgement nor a receipt comes.
//
// Feature: Drain on deploy
func TestDrainedSessionsMoveAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 6, nil)
	const busy, number, peer = "busy", "5491190000001", "5491190000002"
	link(t, f.api, f.sandbox, busy, number)
	f.sandbox.must(t, "POST", "/phones", map[string]string{"number": peer, "name": "Peer"}, nil)
	f.begin(t)
	f.goOn(t, 5)
	victim, process := f.first, f.procs["connector-1"]
	if !slices.Contains(f.owned(t)[victim], busy) {
		victim, process = f.second, f.procs["connector-2"]
		f.second = f.first
	}
	moving := f.owned(t)[victim]

	repeated := func() int64 {
		var stats struct{ RepeatedIDs int64 }
		f.sandbox.must(t, "GET", "/stats", nil, &stats)
		return stats.RepeatedIDs
	}
	f.sandbox.must(t, "PUT", "/phones/"+number+"/faults", map[string]any{"dropAcks": true, "drop": map[string]int{"rate": 1}}, nil)
	var m message
	f.api.must(t, "POST", "/v1/sessions/"+busy+"/messages", map[string]any{"to": peer, "content": map[string]string{"type": "text", "text": "cut"}}, &m)
	awaitShown := func() (ids []string) {
		eventually(t, 20*time.Second, "the message at the phone", func() error {
			all, err := shown(f.sandbox, peer)
			if err != nil {
				return err
			}
			ids = nil
			for _, m := range all {
				ids = append(ids, m.ID)
			}
			if len(ids) == 0 {
				return fmt.Errorf("none")
			}
			return nil
		})
		return ids
	}
	awaitShown()
	if n := repeated(); n != 0 {
		t.Fatalf("%d were repeated before", n)
	}
	before := f.standing(t, f.second)
	began := time.Now()
	if err := process.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	took := map[string]time.Duration{}
	eventually(t, 10*time.Second, "the sessions to be connected elsewhere", func() error {
		for _, id := range f.owned(t)[f.second] {
			if _, ok := took[id]; !ok && slices.Contains(moving, id) {
				took[id] = time.Since(began)
			}
		}
		if len(took) < len(moving) {
			return fmt.Errorf("only %v", took)
		}
		return nil
	})
	for _, id := range slices.Sorted(maps.Keys(took)) {
		t.Logf("session %s was connected elsewhere %s after SIGTERM", id, took[id].Round(time.Millisecond))
		if took[id] > 5*time.Second {
			t.Errorf("session %s took %s", id, took[id])
		}
	}
	if first := slices.Min(slices.Collect(maps.Values(took))); first < time.Second {
		t.Errorf("the command in hand was given %s, want 1 s", first)
	}
	process.wait(t, 10*time.Second)
	eventually(t, 20*time.Second, "the new owner to repeat the command", func() error {
		if repeated() == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	f.sandbox.must(t, "DELETE", "/phones/"+number+"/faults", nil, nil)
	f.sandbox.must(t, "POST", "/phones/"+number+"/disconnect", nil, nil)
	eventually(t, 30*time.Second, "the message to be sent", func() error {
		var now message
		if _, err := f.api.do("GET", "/v1/sessions/"+busy+"/messages/"+m.ID, nil, &now); err != nil {
			return err
		}
		if now.Status != "sent" && now.Status != "delivered" {
			return fmt.Errorf("it is %s", now.Status)
		}
		return nil
	})
	if ids := awaitShown(); !slices.Equal(ids, []string{m.WhatsAppID}) {
		t.Errorf("the phone shows %q, want %s once", ids, m.WhatsAppID)
	}
	f.undisturbed(t, f.second, before)
	f.goOn(t, 10)
	f.end(t)
}

// TestAConnectorWithoutPostgreSQLGivesWay loses every packet between one connector and PostgreSQL.
func TestAConnectorWithoutPostgreSQLGivesWay(t *testing.T) {
	t.Parallel()
	var wire *testwire.Wire
	f := newFleet(t, 6, func(s *stack) []string {
		var dsn string
		wire, dsn = testwire.Database(t, s.pg.DSN())
		return []string{"DATABASE_URL=" + dsn}
	})
	f.begin(t)
	f.goOn(t, 5)
	before := f.standing(t, f.second)
	wire.Blackhole()
	began := time.Now()
	f.awaitSharesFor(t, 20*time.Second, 0, 6)
	t.Logf("the other had all sessions after %s", time.Since(began).Round(100*time.Millisecond))
	f.goOn(t, 20)
	f.undisturbed(t, f.second, before)
	wire.Mend()
	began = time.Now()
	f.awaitShares(t, 3, 3)
	t.Logf("it had its share again after %s", time.Since(began).Round(100*time.Millisecond))
	f.goOn(t, 10)
	f.end(t)
}

// TestAConnectorWithoutWhatsAppGivesWay cuts one connector off from WhatsApp alone, once with resets and once by losing every packet.
func TestAConnectorWithoutWhatsAppGivesWay(t *testing.T) {
	t.Parallel()
	var wire *testwire.Wire
	f := newFleet(t, 6, func(s *stack) []string {
		for _, setting := range s.env {
			if address, ok := strings.CutPrefix(setting, "WHATSAPP_URL="); ok {
				var through string
				wire, through = testwire.Server(t, address)
				return []string{"WHATSAPP_URL=" + through}
			}
		}
		t.Fatal("the stack has no WHATSAPP_URL")
		return nil
	})
	f.begin(t)
	f.goOn(t, 5)
	for _, way := range []struct {
		name   string
		breaks func()
		within time.Duration
	}{
		{"resets", wire.Cut, 35 * time.Second},
		{"lost packets", wire.Blackhole, 70 * time.Second},
	} {
		t.Run(way.name, func(t *testing.T) {
			before := f.standing(t, f.second)
			way.breaks()
			began := time.Now()
			eventually(t, way.within, "the connections to be given up", func() error {
				if n := len(f.owned(t)[f.first]); n > 0 {
					return fmt.Errorf("%d read connected", n)
				}
				return nil
			})
			t.Logf("noticed after %s", time.Since(began).Round(100*time.Millisecond))
			f.awaitSharesFor(t, way.within, 0, 6)
			took := time.Since(began)
			t.Logf("the other had all sessions after %s", took.Round(100*time.Millisecond))
			if took > way.within {
				t.Errorf("it took %s, want at most %s", took, way.within)
			}
			f.undisturbed(t, f.second, before)
			f.goOn(t, 5)
			before = f.standing(t, f.second)
			wire.Mend()
			began = time.Now()
			f.awaitShares(t, 3, 3)
			t.Logf("it had its share again after %s", time.Since(began).Round(100*time.Millisecond))
			f.undisturbed(t, f.second, before)
			f.goOn(t, 5)
		})
	}
	f.end(t)
}
