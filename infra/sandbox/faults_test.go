package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestFaultsAreReplacedAndReported(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	type faults struct {
		AckDelayMs                  int
		DropAcks, RefuseConnections bool
	}
	var got faults
	call(t, "PUT", s.URL()+"/faults", map[string]any{"ackDelayMs": 250, "refuseConnections": true}, 200, &got)
	if got != (faults{AckDelayMs: 250, RefuseConnections: true}) {
		t.Errorf("faults are %+v", got)
	}
	call(t, "PUT", s.URL()+"/faults", map[string]any{"dropAcks": true}, 200, nil)
	call(t, "GET", s.URL()+"/faults", nil, 200, &got)
	if got != (faults{DropAcks: true}) {
		t.Errorf("faults are %+v, want those of the last PUT alone", got)
	}
	call(t, "GET", s.URL()+"/healthz", nil, 200, nil)
}

func TestAContactWritesWhileTheCompanionIsCutOff(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	call(t, "PUT", s.URL()+"/faults", map[string]any{"refuseConnections": true}, 200, nil)
	call(t, "POST", s.URL()+"/faults/disconnect", nil, 204, nil)
	c.await("the cut", func() bool { return !c.client.IsConnected() })
	want := []string{"one", "two", "three"}
	for _, text := range want {
		call(t, "POST", s.URL()+"/phones/"+bert+"/messages", map[string]string{"to": anna, "type": "text", "text": text}, 201, nil)
	}
	shown(t, s.URL(), anna, len(want), incoming)
	if status, _ := try(t, "GET", s.URL()+"/ws/chat", nil, nil); status != http.StatusServiceUnavailable || c.client.IsConnected() {
		t.Errorf("a companion's connection is answered with %d, want 503", status)
	}
	call(t, "PUT", s.URL()+"/faults", map[string]any{}, 200, nil)
	c.await("what was written meanwhile", func() bool { return len(c.texts()) >= len(want) })
	if !slices.Equal(c.texts(), want) {
		t.Errorf("the companion got %q, want %q", c.texts(), want)
	}
}

func TestAcksOfCompanionsAloneAreDisturbed(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	c.send(bert, "BEFORE", "before")
	for i, fault := range []map[string]any{{"dropAcks": true}, {"ackDelayMs": 60000}} {
		call(t, "PUT", s.URL()+"/faults", fault, 200, nil)
		if err := c.trySend(bert, fmt.Sprint("LOST", i), "lost", 300*time.Millisecond); err == nil {
			t.Errorf("%v: the companion got an acknowledgement", fault)
		}
		call(t, "POST", s.URL()+"/phones/"+bert+"/messages", map[string]string{"to": anna, "type": "text", "text": "acknowledged"}, 201, nil)
	}
}

func TestADisconnectCutsCompanionsAndNoPhone(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s, j := startWithLogbook(t, dsn)
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), echo, "echo")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	for i := range 3 {
		call(t, "POST", s.URL()+"/faults/disconnect", nil, 204, nil)
		c.await("the cut", func() bool { return c.cuts == i+1 })
		c.send(echo, fmt.Sprintf("CUT%d", i), fmt.Sprint("cut ", i))
		c.await("the echo", func() bool { return len(c.texts()) == i+1 })
	}
	if n := j.count(reconnects); n != 0 {
		t.Errorf("phones had to reconnect %d times", n)
	}
}

// A phone whose connection breaks comes back by itself and sends what it accepted, and nothing alarms whoever reads the log.
func TestAPhoneThatIsCutComesBackAndSendsWhatItAccepted(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s, j := startWithLogbook(t, dsn)
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	admin, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.Background()) })
	alter := func(how string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), `ALTER TABLE sandbox.records `+how); err != nil {
			t.Fatal(err)
		}
	}
	alter(`ADD CONSTRAINT refused CHECK (kind <> 'sent') NOT VALID`) // the server cuts each connection whose message it cannot store
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var refusal *sandbox.Error
	if _, err := s.SendText(ctx, anna, bert, "late"); !errors.As(err, &refusal) || refusal.Status != http.StatusGatewayTimeout {
		t.Fatalf("the text was answered with %v", err)
	}
	j.await(t, "the phone's reconnecting", func() bool { return j.count(reconnects) >= 2 })
	alter(`DROP CONSTRAINT refused`)
	if m := shown(t, s.URL(), bert, 1, everything)[0]; m.Text != "late" || m.From != anna || !strings.Contains(refusal.Detail, m.ID) {
		t.Errorf("the phone shows %+v; the refusal said %q", m, refusal.Detail)
	}
	if n := j.count(func(e entry) bool {
		return e.phone && e.Level == slog.LevelDebug && strings.HasPrefix(e.Message, "Error reading from websocket")
	}); n < 2 {
		t.Errorf("whatsmeow logged %d broken connections", n)
	}
	if lines := j.find(func(e entry) bool { return e.phone && e.Level == slog.LevelInfo }); len(lines) > 0 {
		t.Errorf("phones logged their progress: %q", lines)
	}
}

// startWithLogbook runs a sandbox whose log is kept.
func startWithLogbook(t *testing.T, dsn string) (*sandbox.Sandbox, *logbook) {
	t.Helper()
	j := &logbook{changed: make(chan struct{})}
	return startWith(t, sandbox.Config{DSN: dsn, Addr: "127.0.0.1:0", Logger: slog.New(handler{j, false})}), j
}

// logbook keeps what was logged, at every level.
type logbook struct {
	mu      sync.Mutex
	entries []entry
	changed chan struct{}
}

// entry is a record and whether a phone logged it.
type entry struct {
	slog.Record
	phone bool
}

// reconnects finds the line that a phone logs each time it lost its connection.
func reconnects(e entry) bool { return e.phone && e.Message == "sandbox: phone reconnects" }

func (j *logbook) find(wanted func(entry) bool) (lines []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.entries {
		if wanted(e) {
			lines = append(lines, e.Level.String()+" "+e.Message)
		}
	}
	return lines
}

func (j *logbook) count(wanted func(entry) bool) int { return len(j.find(wanted)) }

func (j *logbook) await(t *testing.T, what string, ready func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		j.mu.Lock()
		changed := j.changed
		j.mu.Unlock()
		if ready() {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// handler writes to a journal.
type handler struct {
	journal *logbook
	phone   bool
}

func (h handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	j := h.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry{r, h.phone})
	close(j.changed)
	j.changed = make(chan struct{})
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.phone = h.phone || slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == "phone" })
	return h
}

func (h handler) WithGroup(string) slog.Handler { return h }
