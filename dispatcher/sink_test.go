package dispatcher

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testnats"
	"github.com/chasqui/chasqui/infra/testwire"
)

var stream = jetstream.StreamConfig{Name: "CHASQUI", Subjects: []string{"chasqui.>"}}

// stored returns what the stream holds as webhooks, in its order. It checks every signature, and that each message has its event's id.
func stored(t *testing.T, s *testnats.Server) []webhook {
	t.Helper()
	verifier, err := webhooks.NewWebhook(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 24))))
	if err != nil {
		t.Fatal(err)
	}
	var list []webhook
	for _, m := range s.Messages(stream.Name) {
		var e struct {
			ID   string `json:"id"`
			Data note   `json:"data"`
		}
		if err := json.Unmarshal(m.Data, &e); err != nil || e.ID != m.Header.Get("Nats-Msg-Id") || e.ID != m.Header.Get("Webhook-Id") {
			t.Errorf("body %q has not the ids of %v: %v", m.Data, m.Header, err)
		}
		if err := verifier.Verify(m.Data, http.Header(m.Header)); err != nil {
			t.Errorf("signature: %v", err)
		}
		list = append(list, webhook{id: e.ID, note: e.Data, header: http.Header(m.Header), answer: 200})
	}
	return list
}

// times counts webhooks by id.
func times(list []webhook) map[string]int {
	n := map[string]int{}
	for _, w := range list {
		n[w.id]++
	}
	return n
}

// wantStored fails unless each id is there exactly once.
func wantStored(t *testing.T, list []webhook, ids []string) {
	t.Helper()
	wantAll(t, times(list), ids)
	if len(list) != len(ids) {
		t.Errorf("%d messages, of %d events", len(list), len(ids))
	}
}

// Feature: NATS as a sink
func TestABrokerGetsWhatAWebhookWould(t *testing.T) {
	t.Parallel()
	b, s := setup(t), testnats.Start(t)
	s.Stream(stream)
	b.addEndpoint(s.URL("/chasqui.x.{session}.{type}"), `sessions = '{sales}'`, `events = '{message.received}'`,
		`headers = '{"X-Tenant": "acme", "webhook-id": "forged", "nats-msg-id": "forged", "webhook-event-type": "forged"}'`)
	d := b.start()
	ids := b.publish("sales", "1@s.whatsapp.net", 0, 2)
	b.publish("other", "1@s.whatsapp.net", 0, 1)
	b.announce(events.SessionStatus, events.SessionData{})
	eventually(t, "all delivered", b.settled(4))
	list := stored(t, s)
	wantStored(t, list, ids)
	for name, want := range map[string]string{"Content-Type": "application/json", "X-Tenant": "acme", "Webhook-Event-Type": "message.received", "Webhook-Session-Id": "sales"} {
		if got := list[0].header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, m := range s.Messages(stream.Name) {
		if m.Subject != "chasqui.x.sales.message.received" {
			t.Errorf("subject %s", m.Subject)
		}
		if n := b.count(`SELECT count(*) FROM events WHERE body = $1`, m.Data); n != 1 {
			t.Errorf("the bytes are not the event's: %s", m.Data)
		}
	}
	if n := b.count(`SELECT count(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE a.class = 'ok' AND a.status IS NULL AND a.attempt = 1
		AND a.headers ->> 'Nats-Stream' = 'CHASQUI' AND a.headers ? 'Nats-Sequence' AND NOT a.headers ? 'Nats-Duplicate' AND d.state = 'succeeded'`); n != 2 {
		t.Errorf("%d attempts recorded in full, want 2", n)
	}
	if n := s.Clients(); n != 1 {
		t.Errorf("%d connections, want one that is kept", n)
	}
	stopNow(d)
	eventually(t, "Stop ends the connection", func() bool { return s.Clients() == 0 })
}

// A message of the original's form is sent with its file's URL: brokers take about 1 MiB.
func TestALegacyMessageForABrokerNamesItsFile(t *testing.T) {
	t.Parallel()
	s := &store{objects: map[string][]byte{}}
	b, broker := setup(t), testnats.Start(t)
	broker.Stream(stream)
	b.addEndpoint(broker.URL(""), "format = 'legacy'", "events = '{message.received}'")
	b.start(quick, func(d *Dispatcher) { d.readObject = s.read })
	media, _ := b.addMedia(s, "ready", 3000)
	b.announce(events.MessageReceived, events.MessageData{Message: incoming("FILE", media)})
	eventually(t, "all delivered", b.settled(1))
	list := broker.Messages(stream.Name)
	var m events.LegacyMessage
	if len(list) != 1 || json.Unmarshal(list[0].Data, &m) != nil || m.ID != "FILE" || m.Media.URL != media.URL || m.Media.Data != "" {
		t.Errorf("got %+v", list)
	}
}

// Killed after the broker has confirmed and before that is written down: the event goes again, and the stream knows it.
func TestWhatWasSentTwiceIsOneMessage(t *testing.T) {
	t.Parallel()
	b, s := setup(t), testnats.Start(t)
	s.Stream(stream)
	b.addEndpoint(s.URL(""))
	takeOver := func(d *Dispatcher) { d.cfg.Owner, d.cfg.TakeOver = "one", true }
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	first := b.start(takeOver)
	if _, err := tx.Exec(t.Context(), `LOCK TABLE attempts IN SHARE MODE`); err != nil { // the finish, which logs the attempt, waits for it
		t.Fatal(err)
	}
	ids := b.publish("s", "1@s.whatsapp.net", 0, 1)
	eventually(t, "the stream has it", func() bool { return len(s.Messages(stream.Name)) == 1 })
	kill(first)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending'`); n != 1 {
		t.Fatal("it was finished: the test shows nothing")
	}
	b.start(takeOver)
	eventually(t, "all delivered", b.settled(1))
	wantStored(t, stored(t, s), ids)
	if n := b.count(`SELECT count(*) FROM attempts WHERE class = 'ok' AND headers ->> 'Nats-Duplicate' = 'true'`); n != 1 {
		t.Error("the second attempt does not say that the stream had it")
	}
}

func TestKilledDispatchersLoseNothingOnTheWayToABroker(t *testing.T) {
	t.Parallel()
	b, s := setup(t), testnats.Start(t)
	s.Stream(stream)
	b.addEndpoint(s.URL(""), "order_mode = 'chat'")
	const chats, each = 20, 50
	var ids []string
	for i := range each {
		for c := range chats {
			ids = append(ids, b.publish("s", fmt.Sprintf("%d@s.whatsapp.net", c), i, 1)...)
		}
	}
	one := func(d *Dispatcher) { d.cfg.Owner, d.cfg.TakeOver = "one", true }
	count := func() int { return len(s.Messages(stream.Name)) }
	for range 6 { // each is killed after it has sent something
		d := b.start(one)
		before := count()
		eventually(t, "something is sent", func() bool { return count() > before+50 || b.settled(len(ids))() })
		kill(d)
	}
	b.start(one)
	eventually(t, "all delivered", b.settled(len(ids)))
	list := stored(t, s)
	wantStored(t, list, ids)
	wantOrder(t, list)
}

// The broker is away while events pile up: the breaker keeps attempts back, and when it is back it gets everything, in order.
func TestABrokerThatWasDownGetsEverything(t *testing.T) {
	t.Parallel()
	b, s := setup(t), testnats.Start(t)
	s.Stream(stream)
	b.addEndpoint(s.URL(""), "order_mode = 'chat'")
	b.start(quick, func(d *Dispatcher) { // and some patience: the order is kept for five attempts
		for i := range d.timing.waits {
			d.timing.waits[i] = time.Minute
		}
	})
	ids := b.publish("s", "0@s.whatsapp.net", 0, 1)
	eventually(t, "one is delivered", b.settled(1))
	s.Stop()
	const chats, each = 30, 5
	for i := range each {
		for c := range chats {
			if c > 0 || i > 0 {
				ids = append(ids, b.publish("s", fmt.Sprintf("%d@s.whatsapp.net", c), i, 1)...)
			}
		}
	}
	eventually(t, "the breaker has opened, and its probes fail", func() bool {
		return b.count(`SELECT count(*) FROM webhook_endpoints WHERE breaker_trips >= 2 AND failing_since IS NOT NULL`) == 1
	})
	if failed, classed := b.count(`SELECT count(*) FROM attempts WHERE class <> 'ok'`), b.count(`SELECT count(*) FROM attempts WHERE class = 'connect'`); failed != classed || failed > 60 {
		t.Errorf("%d attempts failed, %d of them to connect: the breaker did not keep them back", failed, classed)
	}
	s.Restart()
	eventually(t, "all delivered", b.settled(len(ids)))
	list := stored(t, s)
	wantStored(t, list, ids)
	wantOrder(t, list)
	if n := b.count(`SELECT count(*) FROM webhook_endpoints WHERE breaker_until IS NULL AND consecutive_failures = 0`); n != 1 {
		t.Error("the endpoint has not recovered")
	}
}

func TestWithoutAStreamADeliveryFailsAndComesAgain(t *testing.T) {
	t.Parallel()
	b, s := setup(t), testnats.Start(t)
	b.addEndpoint(s.URL(""))
	b.start(func(d *Dispatcher) { d.timing.waits = []time.Duration{time.Minute}; d.timing.firm = 1 })
	ids := b.publish("s", "1@s.whatsapp.net", 0, 1)
	eventually(t, "it failed", func() bool {
		return b.count(`SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempt = 1 AND last_class = 'refused'`) == 1
	})
	if n := b.count(`SELECT count(*) FROM attempts WHERE class = 'refused' AND error LIKE 'no stream takes the subject chasqui.s.message.received%'`); n != 1 {
		t.Error("the attempt does not say why")
	}
	s.Stream(stream)
	b.exec(`UPDATE deliveries SET run_at = now()`)
	eventually(t, "delivered", b.settled(1))
	wantStored(t, stored(t, s), ids)
}

func TestClassesOfBrokers(t *testing.T) {
	t.Parallel()
	s := testnats.Start(t, func(o *natsserver.Options) {
		o.MaxPayload = 600
		o.Users = []*natsserver.User{{Username: "user", Password: "right"}}
	})
	s.Stream(stream)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	hole := strings.TrimPrefix(newHole(t), "http://")
	wire := testwire.Forward(t, "tcp", s.Addr())
	wire.Blackhole()
	blocked := netguard.New(netguard.Config{})
	lost := netguard.New(netguard.Config{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the DNS server is down")
	}}})
	for _, c := range []struct {
		url, body string
		guard     *netguard.Guard
		class     string
	}{
		{s.URL(""), `{"type":"a.b"}`, localGuard(), classOK},
		{"nats://user:hunter2@" + s.Addr(), `{"type":"a.b"}`, localGuard(), classRefused},
		{s.URL("/elsewhere"), `{"type":"a.b"}`, localGuard(), classRefused},
		{s.URL(""), `{"type":"` + strings.Repeat("a", 600) + `"}`, localGuard(), classOversize},
		{"nats+tls://user:hunter2@" + s.Addr(), `{"type":"a.b"}`, localGuard(), classTLS},
		{"nats://user:hunter2@" + closed.Addr().String(), `{"type":"a.b"}`, localGuard(), classConnect},
		{"nats://user:hunter2@" + hole, `{"type":"a.b"}`, localGuard(), classTimeout},
		{"nats://user:hunter2@" + wire.Addr(), `{"type":"a.b"}`, localGuard(), classTimeout},
		{"nats://user:hunter2@" + s.Addr(), `{"type":"a.b"}`, blocked, classBlocked},
		{"nats://user:hunter2@nowhere.test", `{"type":"a.b"}`, lost, classLocal},
		{"nats://user:hunter2@" + s.Addr() + "/a b", `{"type":"a.b"}`, localGuard(), classBroken},
	} {
		t.Run(c.class, func(t *testing.T) {
			t.Parallel()
			d := New(Config{Guard: c.guard, Logger: silent()})
			defer d.sinks.Close()
			began := time.Now()
			o := d.attemptDelivery(t.Context(), delivery{eventID: events.NewID(), claimedAt: began, body: []byte(c.body),
				target: &target{url: c.url, secret: "whsec_c2VjcmV0c2VjcmV0", timeout: 2 * time.Second}})
			if o.class != c.class || o.status != 0 || o.retryAfter != 0 {
				t.Errorf("got %s (%s), want %s", o.class, o.err, c.class)
			}
			if strings.Contains(o.err, "hunter2") || strings.Contains(o.err, "right") {
				t.Errorf("the error tells the password: %s", o.err)
			}
			if took := time.Since(began); took > 6*time.Second || o.took > 6*time.Second { // with a margin for a busy machine
				t.Errorf("took %s", took)
			}
		})
	}
}

// The names that brokers have count among those by which a failing look-up is known to be the name's own fault.
func TestALookUpForABrokerIsRemembered(t *testing.T) {
	t.Parallel()
	s := testnats.Start(t)
	d := New(Config{Guard: netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}), Logger: silent()})
	defer d.sinks.Close()
	o := d.attemptDelivery(t.Context(), delivery{eventID: events.NewID(), claimedAt: time.Now(), body: []byte(`{"type":"a.b"}`),
		target: &target{url: "nats://" + strings.Replace(s.Addr(), "127.0.0.1", "localhost", 1), secret: "whsec_c2VjcmV0c2VjcmV0", timeout: deadline}})
	if o.class != classRefused || d.resolvedAt.Load() == 0 {
		t.Errorf("got %s (%s), resolved at %d", o.class, o.err, d.resolvedAt.Load())
	}
}

func TestABrokerInABlackHoleStopsNobodyElse(t *testing.T) {
	t.Parallel()
	b, s := setup(t), testnats.Start(t)
	s.Stream(stream)
	wire := testwire.Forward(t, "tcp", s.Addr())
	b.addEndpoint("nats://"+wire.Addr(), "timeout_seconds = 5", "max_in_flight = 64")
	r := receive(t, nil)
	for range 5 {
		b.addEndpoint(r.URL)
	}
	d := b.start(quick, func(d *Dispatcher) { d.cfg.MaxInFlight = 200 })
	ids := b.publish("s", "1@s.whatsapp.net", 0, 1)
	eventually(t, "all have one", b.settled(1))
	wire.Blackhole()
	hanging := func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending'`) >= 64 }
	ids = append(ids, b.publish("s", "1@s.whatsapp.net", 1, 64)...)
	eventually(t, "the black hole has all it may have", hanging)
	ids = append(ids, b.publish("s", "1@s.whatsapp.net", 65, 100)...)
	eventually(t, "the others are served", func() bool { return len(r.accepted()) == len(ids) && len(r.hooks()) == 5*len(ids) })
	eventually(t, "the attempts end by their time-out", func() bool { return b.count(`SELECT count(*) FROM attempts WHERE class = 'timeout'`) >= 64 })
	if n := b.count(`SELECT count(*) FROM attempts WHERE class NOT IN ('ok', 'timeout') OR duration_ms > 8000`); n != 0 {
		t.Errorf("%d attempts ended otherwise, or late", n)
	}
	if err := d.Healthy(); err != nil {
		t.Error(err)
	}
	wire.Mend()
	eventually(t, "all delivered", b.settled(len(ids)))
	wantStored(t, stored(t, s), ids)
}
