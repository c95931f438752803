package connector

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/testwire"
)

func TestConnectorsThatDoNotReachWhatsAppHaveNoShareUnlessNoneDoes(t *testing.T) {
	t.Parallel()
	live := func(cutOff ...string) (rows []db.ConnectorListLiveRow) {
		for _, id := range []string{"a", "b", "c"} {
			rows = append(rows, db.ConnectorListLiveRow{ID: id, Capacity: 50, CutOff: strings.Contains(strings.Join(cutOff, ""), id)})
		}
		return rows
	}
	for _, tt := range []struct {
		live    []db.ConnectorListLiveRow
		a, b, c int
	}{
		{live(), 10, 10, 10}, {live("a"), 0, 15, 15}, {live("a", "b"), 0, 0, 30}, {live("a", "b", "c"), 10, 10, 10},
	} {
		for id, want := range map[string]int{"a": tt.a, "b": tt.b, "c": tt.c} {
			if got := shareOf(id, 30, tt.live); got != want {
				t.Errorf("%s of %+v has %d, want %d", id, tt.live, got, want)
			}
		}
	}
	if got := shareOf("a", 30, nil); got != 30 {
		t.Errorf("the only one, whose heartbeat has run out, has %d", got)
	}
}

func TestAConnectorIsCutOffWhenNoSessionWasAnswered(t *testing.T) {
	t.Parallel()
	now := time.Now()
	long, short := now.Add(-cutOffAfter), now.Add(-time.Second)
	var none time.Time
	for _, tt := range []struct {
		name     string
		answered time.Time
		tries    []time.Time
		want     bool
	}{
		{"no session", none, nil, false},
		{"one for long", none, []time.Time{long}, true},
		{"one for a moment", none, []time.Time{short}, false},
		{"all, one for long", long, []time.Time{long, short}, true},
		{"one is connected", long, []time.Time{long, none}, false},
		{"one was answered just now", short, []time.Time{long, short}, false},
	} {
		c := New(Config{Logger: quiet()})
		c.ctx = t.Context()
		for i, since := range tt.tries {
			s := newSession(c, db.SessionListControlRow{ID: string(rune('a' + i))}, claim{at: now})
			s.trying = since
			c.sessions[s.id] = s
		}
		if !tt.answered.IsZero() {
			c.reach.answered.Store(&tt.answered)
		}
		if got := c.unanswered(now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// through is the address of the sandbox behind a wire.
func (b *bench) through() (*testwire.Wire, func(*Config)) {
	b.Helper()
	wire, address := testwire.Server(b, b.sandbox.WhatsAppURL())
	return wire, func(c *Config) { c.WhatsAppURL = address }
}

// gauge reads one metric as Prometheus gets it.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// A connector without WhatsApp leaves its sessions to one that has it, and takes its share when it reaches WhatsApp again.
func TestSessionsLeaveAConnectorThatDoesNotReachWhatsApp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	registry := prometheus.NewRegistry()
	wire, behind := b.through()
	cut := b.connector(behind, func(c *Config) { c.Metrics = registry })
	other := b.connector()
	b.ten()
	b.await("five sessions each", func() bool { return b.owned(cut) == 5 && b.owned(other) == 5 })
	kept := many[string](b, `SELECT session || ' ' || epoch FROM claims WHERE owner = $1`, other.cfg.Owner)
	began := time.Now()
	wire.Cut()
	b.awaitFor(time.Minute, "the other to have all ten", func() bool { return b.owned(other) == 10 })
	t.Logf("all at the other after %s", time.Since(began).Round(100*time.Millisecond))
	if n := gauge(t, registry, "chasqui_connector_cut_off"); n != 1 {
		t.Errorf("the metric is %v", n)
	}
	for _, claim := range kept {
		if n := one[int](b, `SELECT count(*)::int FROM claims WHERE session || ' ' || epoch = $1`, claim); n != 1 {
			t.Errorf("claim %s moved too", claim)
		}
	}
	began = time.Now()
	wire.Mend()
	b.await("five sessions each again", func() bool { return b.owned(cut) == 5 && b.owned(other) == 5 })
	t.Logf("its share again after %s", time.Since(began).Round(100*time.Millisecond))
	if n := gauge(t, registry, "chasqui_connector_cut_off"); n != 0 {
		t.Errorf("the metric is %v", n)
	}
	if n := one[int](b, `SELECT count(*)::int FROM sessions WHERE state = 'replaced'`); n != 0 {
		t.Errorf("%d sessions fought", n)
	}
}

// Where none reaches WhatsApp, or there is none but one, the sessions stay and connect as soon as they can.
func TestSessionsStayWhereNoConnectorReachesWhatsApp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wire, behind := b.through()
	first, second := b.connector(behind), b.connector(behind)
	b.linked("one", owner)
	b.linked("two", juan)
	b.await("one session each", func() bool { return b.owned(first) == 1 && b.owned(second) == 1 })
	wire.Cut()
	b.await("both to be cut off", func() bool { return one[int](b, `SELECT count(*)::int FROM connectors WHERE cut_off`) == 2 })
	// One of them was the first to say so and may have given its session away meanwhile; from here on nothing moves.
	b.await("one session each", func() bool {
		return one[int](b, `SELECT count(DISTINCT owner)::int FROM claims WHERE expires_at > now() AND owner <> ''`) == 2
	})
	epochs := one[int64](b, `SELECT sum(epoch)::bigint FROM claims`)
	looked := time.NewTimer(2 * renewEvery)
	<-looked.C
	if now := one[int64](b, `SELECT sum(epoch)::bigint FROM claims`); now != epochs {
		t.Errorf("sessions moved: epochs %d, then %d", epochs, now)
	}
	wire.Mend()
	b.awaitFor(90*time.Second, "both sessions to be connected", func() bool { return b.owned(first)+b.owned(second) == 2 })
	b.await("nobody to be cut off", func() bool { return one[int](b, `SELECT count(*)::int FROM connectors WHERE cut_off`) == 0 })
}

// Refusals come from WhatsApp: it can be reached, and another connector would hear the same.
func TestARefusalIsAnAnswer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(server.Close)
	c := New(Config{WhatsAppURL: "ws" + strings.TrimPrefix(server.URL, "http") + "/ws/chat", Logger: quiet()})
	var err error
	if c.reach.probe, err = newProbe(c.cfg); err != nil {
		t.Fatal(err)
	}
	if err := c.askWhatsApp(t.Context()); err == nil || !answered(err) {
		t.Errorf("503 is no answer: %v", err)
	}
	server.Close()
	if err := c.askWhatsApp(t.Context()); err == nil || answered(err) {
		t.Errorf("nobody there is an answer: %v", err)
	}
	if answered(errors.New("timed out waiting for handshake response")) {
		t.Error("no handshake is an answer")
	}
}

// whatsmeow's handshake does not notice that its line is cut, and waits 20 s for the server.
func TestStopDoesNotWaitForAHandshake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shaken := make(chan struct{}, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer ws.CloseNow()
		for { // it hears, and says nothing
			if _, _, err := ws.Read(r.Context()); err != nil {
				return
			}
			shaken <- struct{}{}
		}
	}))
	t.Cleanup(server.Close)
	c := b.connector(func(c *Config) { c.WhatsAppURL = "ws" + strings.TrimPrefix(server.URL, "http") + "/ws/chat" })
	b.createSession("sales")
	<-shaken
	began := time.Now()
	b.stop(c)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if owner := one[string](b, `SELECT owner FROM claims`); owner != "" {
		t.Errorf("the claim is still with %s", owner)
	}
	b.connector()
	b.awaitState("sales", events.StateQR)
}

// The waits between dials grow to a minute, which would come on top of every outage.
func TestSessionsConnectAsSoonAsOneReachesWhatsApp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wire, behind := b.through()
	c := b.prepared(behind)
	c.pace.reconnect = reconnectMost
	if err := c.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.linked("a", "5491100000001")
	b.linked("b", "5491100000002")
	wire.Cut()
	b.awaitState("a", events.StateReconnecting)
	b.awaitState("b", events.StateReconnecting)
	wire.Mend()
	b.createSession("c")
	b.awaitState("c", events.StateQR)
	b.awaitFor(20*time.Second, "the others to be connected", func() bool { return b.owned(c) == 2 })
}

// What the database keeps from connecting says nothing of WhatsApp, and is tried again soon.
func TestAnAbsentDatabaseDoesNotLengthenTheWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wire, behind := b.wired()
	c := b.connector(behind)
	b.linked("a", "5491100000001")
	s := c.session("a")
	wire.Cut()
	for range 3 {
		if e := s.connect(); !e.again || e.after < databaseWait || e.after > 2*databaseWait {
			t.Errorf("without the database: %+v", e)
		}
	}
}
