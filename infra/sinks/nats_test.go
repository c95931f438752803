package sinks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testnats"
)

// deadline bounds what takes milliseconds.
const deadline = 30 * time.Second

var events = jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"wa.>"}}

// newPool makes a pool that reaches this machine.
func newPool(t *testing.T) *Pool {
	t.Helper()
	p := NewPool(localDial())
	t.Cleanup(p.Close)
	return p
}

func localDial() Dial {
	return netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}).Dialer().DialContext
}

func event(n int) Event {
	return Event{ID: fmt.Sprintf("evt_%d", n), Type: "message.received", Session: "sales", Body: fmt.Appendf(nil, `{"n":%d}`, n), Headers: map[string]string{"X-Tenant": "acme"}}
}

// send sends with a generous time-out.
func send(t *testing.T, p *Pool, url string, e Event) (map[string]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	return p.Send(ctx, url, e)
}

// wantRefused fails unless err is a refusal that says what is wrong, without the secret.
func wantRefused(t *testing.T, err error, tooLarge bool, says string) {
	t.Helper()
	var r *RefusedError
	if !errors.As(err, &r) || r.TooLarge != tooLarge || !strings.Contains(r.Reason, says) || strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("got %v, want a refusal (too large: %v) that says %q", err, tooLarge, says)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout, tick := time.After(deadline), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-timeout:
			t.Fatalf("not within %s: %s", deadline, what)
		case <-tick.C:
		}
	}
}

func TestAnEventIsOneMessageOfTheStream(t *testing.T) {
	t.Parallel()
	s, p := testnats.Start(t), newPool(t)
	s.Stream(events)
	url := s.URL("/wa.{session}.{type}")
	answer, err := send(t, p, url, event(1))
	if err != nil || len(answer) != 2 || answer["Nats-Stream"] != "EVENTS" || answer["Nats-Sequence"] != "1" {
		t.Fatalf("got %v, %v", answer, err)
	}
	answer, err = send(t, p, url, event(1))
	if err != nil || answer["Nats-Duplicate"] != "true" || answer["Nats-Sequence"] != "1" {
		t.Errorf("the same again: got %v, %v", answer, err)
	}
	none := event(2)
	none.Session = ""
	if _, err := send(t, p, url, none); err != nil {
		t.Error(err)
	}
	list := s.Messages("EVENTS")
	if len(list) != 2 || list[0].Subject != "wa.sales.message.received" || list[1].Subject != "wa.-.message.received" {
		t.Fatalf("got %+v", list)
	}
	m := list[0]
	if string(m.Data) != `{"n":1}` || m.Header.Get("Nats-Msg-Id") != "evt_1" || m.Header.Get("X-Tenant") != "acme" {
		t.Errorf("got %+v", m)
	}
}

func TestWatermillsSubscriberReadsWhatIsSent(t *testing.T) {
	t.Parallel()
	s, p := testnats.Start(t), newPool(t)
	s.Stream(jetstream.StreamConfig{Name: "CHASQUI", Subjects: []string{"chasqui.>"}})
	sub, err := wmnats.NewSubscriber(wmnats.SubscriberConfig{
		URL: s.URL(""), Unmarshaler: &wmnats.NATSMarshaler{}, SubscribersCount: 1, CloseTimeout: deadline, AckWaitTimeout: deadline,
		JetStream: wmnats.JetStreamConfig{SubscribeOptions: []nats.SubOpt{nats.DeliverAll(), nats.AckExplicit()}},
	}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	messages, err := sub.Subscribe(ctx, "chasqui.sales.message.received")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := send(t, p, s.URL(""), event(1)); err != nil { // the default subject
		t.Fatal(err)
	}
	select {
	case m := <-messages:
		if m.UUID != "evt_1" || string(m.Payload) != `{"n":1}` || m.Metadata.Get("X-Tenant") != "acme" {
			t.Errorf("got %+v", m)
		}
		m.Ack()
	case <-ctx.Done():
		t.Fatal("nothing came")
	}
}

func TestWithoutAStreamNothingCounts(t *testing.T) {
	t.Parallel()
	s, p := testnats.Start(t), newPool(t)
	s.Stream(events)
	_, err := send(t, p, s.URL("/elsewhere"), event(1))
	wantRefused(t, err, false, "no stream takes the subject elsewhere")

	// A subscriber is no stream: it keeps nothing.
	got := make(chan struct{}, 1)
	if _, err := s.Conn().Subscribe("heard", func(*nats.Msg) { got <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := p.Send(ctx, s.URL("/heard"), event(2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a time-out", err)
	}
	<-got

	// A server without JetStream.
	plain := testnats.Start(t, func(o *server.Options) { o.JetStream = false })
	_, err = send(t, p, plain.URL("/wa.x"), event(3))
	wantRefused(t, err, false, "no JetStream")
}

func TestWhatAStreamRefuses(t *testing.T) {
	t.Parallel()
	s, p := testnats.Start(t, func(o *server.Options) { o.MaxPayload = 10000 }), newPool(t)
	s.Stream(jetstream.StreamConfig{Name: "FULL", Subjects: []string{"full"}, MaxMsgs: 1, Discard: jetstream.DiscardNew})
	s.Stream(jetstream.StreamConfig{Name: "SMALL", Subjects: []string{"small"}, MaxMsgSize: 1000})
	large := event(1)
	large.Body = make([]byte, 20000)
	_, err := send(t, p, s.URL("/full"), large)
	wantRefused(t, err, true, "the server takes 10000")
	large.Body = make([]byte, 2000)
	_, err = send(t, p, s.URL("/small"), large)
	wantRefused(t, err, true, "exceeds maximum")
	if _, err := send(t, p, s.URL("/full"), event(2)); err != nil {
		t.Fatal(err)
	}
	_, err = send(t, p, s.URL("/full"), event(3))
	wantRefused(t, err, false, "maximum messages exceeded")
	if n := s.Clients(); n != 2 {
		t.Errorf("%d connections, want one for each URL: a refusal ends none", n)
	}
}

func TestWhoMayNot(t *testing.T) {
	t.Parallel()
	withToken := testnats.Start(t, func(o *server.Options) { o.Authorization = "hunter2" })
	withToken.Stream(events)
	p := newPool(t)
	if _, err := send(t, p, withToken.URL("/wa.x"), event(1)); err != nil {
		t.Errorf("the token: %v", err)
	}
	_, err := send(t, p, "nats://hunter22@"+withToken.Addr()+"/wa.x", event(1))
	wantRefused(t, err, false, "authorization violation")
	_, err = send(t, p, "nats://"+withToken.Addr()+"/wa.x", event(1))
	wantRefused(t, err, false, "authorization violation")

	only := func(subscribe string) *server.Permissions {
		return &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"wa.allowed"}},
			Subscribe: &server.SubjectPermission{Allow: []string{subscribe}},
		}
	}
	s := testnats.Start(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "admin", Password: "a,b:c@d/e"}, {Username: "some", Password: "hunter2", Permissions: only("_INBOX.>")},
			{Username: "deaf", Password: "hunter2", Permissions: only("nothing")}}
	})
	s.Stream(events)
	if _, err := send(t, p, s.URL("/wa.x"), event(2)); err != nil {
		t.Errorf("the password: %v", err)
	}
	_, err = send(t, p, "nats://admin:hunter2@"+s.Addr()+"/wa.x", event(3))
	wantRefused(t, err, false, "authorization violation")
	if _, err := send(t, p, "nats://some:hunter2@"+s.Addr()+"/wa.allowed", event(4)); err != nil {
		t.Error(err)
	}
	began := time.Now()
	_, err = send(t, p, "nats://some:hunter2@"+s.Addr()+"/wa.x", event(5))
	wantRefused(t, err, false, "may not publish to wa.x")
	for range 2 {
		_, err = send(t, p, "nats://deaf:hunter2@"+s.Addr()+"/wa.allowed", event(6))
		wantRefused(t, err, false, "may not subscribe to _INBOX.")
	}
	if took := time.Since(began); took > deadline/2 {
		t.Errorf("it took %s: what is not permitted waits for no time-out", took)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	begin := func(name string, change ...func(*server.Options)) string {
		s := testnats.Start(t, append([]func(*server.Options){func(o *server.Options) { o.TLSConfig, o.TLS, o.TLSTimeout = certificate(t, name), true, 10 }}, change...)...)
		return strings.Replace(s.Addr(), "127.0.0.1", "localhost", 1) + "/wa.x"
	}
	p := newPool(t)
	right := begin("localhost")
	for _, scheme := range []string{"nats+tls://", "nats://"} { // which goes along when the server asks for it
		_, err := send(t, p, scheme+right, event(1))
		wantRefused(t, err, false, "no stream") // said through TLS
	}
	offered := begin("localhost", func(o *server.Options) { o.AllowNonTLS = true })
	_, err := send(t, p, "nats+tls://"+offered, event(1))
	wantRefused(t, err, false, "no stream")

	for what, url := range map[string]string{
		"another name":       "nats+tls://" + begin("other.test"),
		"nats, another name": "nats://" + begin("other.test"),
		"no TLS":             "nats+tls://user:hunter2@" + testnats.Start(t).Addr() + "/wa.x",
	} {
		if _, err := send(t, p, url, event(1)); !errors.Is(err, ErrTLS) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestBlockedAddresses(t *testing.T) {
	t.Parallel()
	s := testnats.Start(t)
	p := NewPool(netguard.New(netguard.Config{}).Dialer().DialContext)
	t.Cleanup(p.Close)
	for _, host := range []string{s.Addr(), strings.Replace(s.Addr(), "127.0.0.1", "localhost", 1), "169.254.169.254:4222"} {
		_, err := send(t, p, "nats://user:hunter2@"+host+"/wa.x", event(1))
		var blocked *netguard.BlockedError
		if !errors.As(err, &blocked) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", host, err)
		}
	}
	if s.Clients() != 0 {
		t.Error("the server was reached")
	}
}
