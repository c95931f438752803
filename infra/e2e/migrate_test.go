package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/postgres"
)

// TestSchemaChangesUnderLoad migrates beyond what the running roles know while messages go both ways: the schema is expanded beside the old
// roles, the roles are replaced one by one, and the schema is contracted again. A report that reads stands in the first migration's way.
//
// Feature: Upgrade under load
func TestSchemaChangesUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start("api", "api")
	s.awaitAPI(t)
	apis, startSecond := s.secondAPI(t)
	for _, n := range []string{"connector-1", "connector-2"} {
		s.start(n, "connector")
	}
	s.start("dispatcher", "dispatcher")
	s.subscribe(t, "chat")
	for i, number := range shops {
		link(t, s.api, s.sandbox, shop(i), number)
	}
	for i := range customers {
		s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(i), "name": fmt.Sprintf("Customer %d", i)}, nil)
	}
	l := startTraffic(t, s, apis)
	l.more(t, 20)
	expand, contract := s.nextRelease(t)

	endReport := s.report(t)
	migrated := make(chan error, 1)
	go func() { migrated <- postgres.MigrateFrom(t.Context(), s.pg.DSN(), expand) }()
	l.phase("expand, behind a report")
	s.awaitMigratorBlocked(t)
	l.more(t, 20) // when the migrator has given way, for the report is still there
	endReport()
	if err := <-migrated; err != nil {
		t.Fatalf("expand: %v", err)
	}
	l.more(t, 20)

	l.phase("replace the roles")
	s.procs["api"].stop(t)
	s.start("api", "api")
	s.awaitAPI(t)
	s.procs["api-2"].stop(t)
	startSecond()
	eventually(t, 30*time.Second, "the second API", func() error { return answers(apis[1].base + "/readyz") })
	for _, n := range []string{"connector-1", "connector-2", "dispatcher"} {
		s.procs[n].stop(t)
		s.start(n, strings.TrimRight(n, "-12"))
		l.more(t, 20)
	}

	l.phase("contract")
	if err := postgres.MigrateFrom(t.Context(), s.pg.DSN(), contract); err != nil {
		t.Fatalf("contract: %v", err)
	}
	l.more(t, 20)
	l.finish(t, s)
}

// shops are the phones whose accounts chasqui runs, one for each connector.
var shops = []string{business, "5491150000002"}

func shop(i int) string { return fmt.Sprintf("shop-%d", i%len(shops)) }

// nextRelease is the migrations of a release to come: those of testdata, and a view that gains and loses a column.
func (s *stack) nextRelease(t *testing.T) (expand, contract fs.FS) {
	t.Helper()
	conn := s.connect(t, "test")
	defer conn.Close(context.WithoutCancel(t.Context()))
	var view string
	if err := conn.QueryRow(t.Context(), "SELECT rtrim(pg_get_viewdef('message_views'), ';')").Scan(&view); err != nil {
		t.Fatal(err)
	}
	read := func(dir string) fstest.MapFS {
		files := fstest.MapFS{}
		names, err := fs.Glob(os.DirFS(dir), "*.sql")
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, name := range names {
			raw, err := fs.ReadFile(os.DirFS(dir), name)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = &fstest.MapFile{Data: raw}
		}
		return files
	}
	more, fewer := read("testdata/expand"), read("testdata/contract")
	more["90002_view.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE OR REPLACE VIEW message_views AS SELECT v.*, 'next'::text AS next_note FROM (" + view + ") v;\n")}
	fewer["90110_view.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nDROP VIEW message_views;\nCREATE VIEW message_views AS " + view + ";\n")}
	return more, fewer
}

func (s *stack) connect(t *testing.T, name string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(s.pg.DSN())
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["application_name"] = name
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// report opens a transaction that reads messages, and returns what ends it.
func (s *stack) report(t *testing.T) (end func()) {
	t.Helper()
	conn := s.connect(t, "monthly report")
	end = func() { _ = conn.Close(context.WithoutCancel(t.Context())) }
	t.Cleanup(end)
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT count(*) FROM messages"); err != nil {
		t.Fatal(err)
	}
	return end
}

func (s *stack) awaitMigratorBlocked(t *testing.T) {
	t.Helper()
	conn := s.connect(t, "test")
	defer conn.Close(context.WithoutCancel(t.Context()))
	eventually(t, 30*time.Second, "the migrator to wait for the report", func() (err error) {
		var blocked bool
		err = conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'chasqui migrate' AND wait_event_type = 'Lock')`).Scan(&blocked)
		if err == nil && !blocked {
			err = errors.New("it does not")
		}
		return err
	})
}

// traffic is a steady load: every customer writes, and is written to, ten times a second.
type traffic struct {
	stop chan struct{}
	work sync.WaitGroup

	mu       sync.Mutex
	accepted int // by the API
	last     time.Time
	gap      time.Duration // the longest between two sends that the API accepted
	where    string
	gapIn    string
	refused  map[string]int // answers of 5xx, by phase and status
	cut      map[string]int // connections refused or broken, by phase
	out, in  [][]string     // ids of each customer's messages, in order
}

func startTraffic(t *testing.T, s *stack, apis []client) *traffic {
	t.Helper()
	l := &traffic{stop: make(chan struct{}), where: "before", refused: map[string]int{}, cut: map[string]int{},
		out: make([][]string, customers), in: make([][]string, customers)}
	t.Cleanup(func() { l.end() })
	for i := range customers {
		l.work.Go(func() {
			l.every(func(n int) bool {
				id, err := l.send(apis, n, i)
				if err != nil {
					t.Errorf("send: %v", err)
					return false
				}
				l.out[i] = append(l.out[i], id)
				return true
			})
		})
		l.work.Go(func() {
			l.every(func(n int) bool {
				var m struct{ ID string }
				err := s.sandbox.persist("POST", "/phones/"+customer(i)+"/messages",
					map[string]string{"to": shops[i%len(shops)], "type": "text", "text": fmt.Sprintf("in %d", n)}, &m)
				if err != nil {
					t.Errorf("phone sends: %v", err)
					return false
				}
				l.in[i] = append(l.in[i], m.ID)
				return true
			})
		})
	}
	return l
}

func (l *traffic) every(do func(n int) bool) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; do(n); n++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
	}
}

// send sends a customer's nth text through one API or the other until one accepts it, and returns its WhatsApp id.
func (l *traffic) send(apis []client, n, i int) (string, error) {
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for try := n; ; try++ {
		var m message
		status, err := apis[try%len(apis)].do("POST", "/v1/sessions/"+shop(i)+"/messages",
			map[string]any{"to": customer(i), "content": map[string]string{"type": "text", "text": fmt.Sprintf("out %d", n)}}, &m,
			"Idempotency-Key", fmt.Sprintf("%d-%d", i, n))
		l.mu.Lock()
		switch {
		case err == nil:
			now := time.Now()
			if gap := now.Sub(l.last); !l.last.IsZero() && gap > l.gap {
				l.gap, l.gapIn = gap, l.where
			}
			l.last = now
			l.accepted++
		case status >= 500:
			l.refused[fmt.Sprintf("%s: %d", l.where, status)]++
		case status == 0:
			l.cut[l.where]++
		}
		l.mu.Unlock()
		if err == nil {
			return m.WhatsAppID, nil
		}
		if status >= 400 && status < 500 && status != 409 || time.Now().After(deadline) {
			return "", err
		}
		<-tick.C
	}
}

func (l *traffic) phase(name string) {
	l.mu.Lock()
	l.where = name
	l.mu.Unlock()
}

// more waits until the API has accepted n more messages.
func (l *traffic) more(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.accepted
	}
	from := count()
	eventually(t, time.Minute, fmt.Sprintf("%d more messages", n), func() error {
		if t.Failed() {
			t.FailNow()
		}
		if now := count(); now < from+n {
			return fmt.Errorf("%d of them", now-from)
		}
		return nil
	})
}

func (l *traffic) end() {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.mu.Unlock()
	l.work.Wait()
}

// finish stops the load and counts: every message once and in order, at the phones and at the webhook.
func (l *traffic) finish(t *testing.T, s *stack) {
	t.Helper()
	l.end()
	outgoing, incoming := 0, 0
	for i := range customers {
		s.awaitShown(t, customer(i), l.out[i])
		outgoing, incoming = outgoing+len(l.out[i]), incoming+len(l.in[i])
	}
	s.awaitIncoming(t, l.in)
	t.Logf("%d out, %d in; longest gap between accepted sends %s (%s); 5xx %v; connections cut %v",
		outgoing, incoming, l.gap.Round(time.Millisecond), l.gapIn, l.refused, l.cut)
	if len(l.refused) > 0 {
		t.Errorf("the API answered %v", l.refused)
	}
	if l.gap > 5*time.Second {
		t.Errorf("no send was accepted for %s (%s)", l.gap, l.gapIn)
	}
}
