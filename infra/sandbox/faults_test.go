package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
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

func TestFaultsAreSetForAllAndForOnePhone(t *testing.T) {
	t.Parallel()
	s := sandbox.Start(t, sandbox.Config{Logger: quiet()})
	url := s.URL()
	createPhone(t, url, anna, "")
	call(t, "POST", url+"/phones", map[string]any{"number": bert, "name": "Sink", "level": "sink"}, 201, nil)
	all := map[string]any{
		"seed": 7, "ackDelayMs": 10, "ackJitterMs": 20, "queryDelayMs": 30, "queryJitterMs": 40, "dropAcks": true, "refuseConnections": true,
		"cutBefore": map[string]any{"rate": 0.5}, "cutAfter": map[string]any{"rate": 1, "count": 2}, "ackError": map[string]any{"code": 463, "rate": 0.1, "count": 3},
		"drop": map[string]any{"rate": 0.2}, "duplicate": map[string]any{"rate": 0.3}, "reorder": map[string]any{"rate": 0.4}, "corrupt": map[string]any{"count": 1},
		"pushAll": true, "noPreKeys": true, "silence": true, "clockOffsetSeconds": -60,
		"ban":   map[string]any{"newContacts": 20, "windowSeconds": 3600, "durationSeconds": 60},
		"media": map[string]any{"status": 404, "direction": "upload", "count": 2},
	}
	var set, got map[string]any
	call(t, "PUT", url+"/faults", all, 200, &set)
	call(t, "GET", url+"/faults", nil, 200, &got)
	all["corrupt"] = map[string]any{"rate": 1, "count": 1} // what is there without a rate is always
	want, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var plain map[string]any
	if err := json.Unmarshal(want, &plain); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, plain) || !reflect.DeepEqual(set, got) {
		t.Errorf("in force is\n%v, want\n%v", got, plain)
	}
	call(t, "PUT", url+"/faults", map[string]any{}, 200, nil)
	for _, number := range []string{anna, bert} {
		own := url + "/phones/" + number + "/faults"
		call(t, "GET", own, nil, 404, nil)
		call(t, "PUT", own, map[string]any{"silence": true}, 200, nil)
		got = nil
		call(t, "GET", own, nil, 200, &got)
		if got["silence"] != true || got["dropAcks"] != false {
			t.Errorf("phone %s has %v", number, got)
		}
		call(t, "DELETE", own, nil, 204, nil)
		call(t, "GET", own, nil, 404, nil)
		call(t, "POST", url+"/phones/"+number+"/disconnect", nil, 204, nil)
	}
	var none map[string]any
	call(t, "GET", url+"/faults", nil, 200, &none)
	for name, wrong := range map[string]map[string]any{
		"a delay":       {"ackJitterMs": 60_001},
		"a rate":        {"drop": map[string]any{"rate": 1.5}},
		"a count":       {"cutAfter": map[string]any{"count": -1}},
		"a code":        {"ackError": map[string]any{"code": 200}},
		"no code":       {"ackError": map[string]any{}},
		"an offset":     {"clockOffsetSeconds": 1 << 40},
		"half a ban":    {"ban": map[string]any{"newContacts": 1}},
		"a status":      {"media": map[string]any{"status": 200}},
		"a direction":   {"media": map[string]any{"direction": "sideways"}},
		"a ban's code":  {"ban": map[string]any{"newContacts": 1, "windowSeconds": 1, "durationSeconds": 1, "code": 1000}},
		"negative rate": {"corrupt": map[string]any{"rate": -0.1}},
	} {
		if status, detail := try(t, "PUT", url+"/faults", wrong, nil); status != 422 || detail == "" {
			t.Errorf("%s: %d %q", name, status, detail)
		}
	}
	call(t, "PUT", url+"/phones/"+anna+"/faults", map[string]any{"refuseConnections": true}, 422, nil)
	call(t, "PUT", url+"/phones/5491199999999/faults", map[string]any{}, 404, nil)
	call(t, "POST", url+"/phones/5491199999999/disconnect", nil, 404, nil)
	var after map[string]any
	call(t, "GET", url+"/faults", nil, 200, &after)
	if !reflect.DeepEqual(after, none) {
		t.Errorf("what was refused changed the faults to %v", after)
	}
}

func TestPhonesOfKeysAreMadeByTheThousand(t *testing.T) {
	t.Parallel()
	s := sandbox.Start(t, sandbox.Config{Logger: quiet()})
	url := s.URL()
	crowd := map[string]any{"number": "5491200000000", "name": "Crowd", "level": "stub", "count": 1500}
	call(t, "POST", url+"/phones", crowd, 201, nil)
	call(t, "POST", url+"/phones", crowd, 200, nil)
	var p struct{ Phones []sandbox.Phone }
	call(t, "GET", url+"/phones", nil, 200, &p)
	if len(p.Phones) != 1000 {
		t.Errorf("%d phones on the first page", len(p.Phones))
	}
	call(t, "GET", url+"/phones?after="+p.Phones[999].Number, nil, 200, &p)
	if len(p.Phones) != 500 || p.Phones[499].Number != "5491200001499" || p.Phones[0].Level != "stub" {
		t.Errorf("%d phones on the second page, the last %+v", len(p.Phones), p.Phones[len(p.Phones)-1])
	}
	createPhone(t, url, anna, "")
	call(t, "POST", url+"/phones/"+anna+"/messages", map[string]string{"to": "5491200000700", "type": "text", "text": "anybody?"}, 201, nil)
	call(t, "GET", url+"/phones/5491200000700/messages", nil, 409, nil)
	call(t, "POST", url+"/phones/5491200000700/scan", map[string]string{"qr": "x"}, 409, nil)
	for name, wrong := range map[string]map[string]any{
		"many live ones": {"number": "5491300000000", "name": "x", "count": 2},
		"too many":       {"number": "5491300000000", "name": "x", "level": "stub", "count": 10_001},
		"another level":  {"number": "5491300000000", "name": "x", "level": "ghost"},
		"an echo":        {"number": "5491300000000", "name": "x", "level": "sink", "autoReply": "echo"},
	} {
		if status, detail := try(t, "POST", url+"/phones", wrong, nil); status != 422 || detail == "" {
			t.Errorf("%s: %d %q", name, status, detail)
		}
	}
	call(t, "POST", url+"/phones", map[string]any{"number": anna, "name": "Anna", "level": "stub"}, 409, nil)
	call(t, "POST", url+"/phones", map[string]any{"number": "5491200000001", "name": "Crowd"}, 409, nil)
}
