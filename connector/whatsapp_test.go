package connector

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waCompanionReg"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"go.mau.fi/whatsmeow/util/keys"
	waLog "go.mau.fi/whatsmeow/util/log"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/redirect"
	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/server"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testdb"
)

// wire is a WhatsApp server on a listener, with no phones behind its accounts, and a container for the devices that connect to it.
type wire struct {
	testing.TB
	ctx    context.Context
	cfg    Config
	server *server.Server
	store  *signalstore.Container
	over   atomic.Bool // the test has ended
}

func newWire(t testing.TB) *wire {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	w := &wire{TB: t, ctx: ctx}
	dsn := testdb.DSN(t)
	var err error
	if w.server, err = server.New(ctx, server.Config{Journal: journal.NewMemory(), Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /elsewhere/chat", w.server)
	listener := httptest.NewServer(mux)
	t.Cleanup(listener.Close)
	t.Cleanup(func() {
		if n := w.server.Stats().UnknownStanzas; n != 0 {
			t.Errorf("%d stanzas were unknown to the server", n)
		}
		w.server.Close()
	})
	root := w.server.RootKey()
	w.cfg = Config{WhatsAppURL: "ws" + strings.TrimPrefix(listener.URL, "http") + "/elsewhere/chat", WhatsAppRootKey: root[:]}
	if w.store, err = signalstore.Open(ctx, signalstore.Config{DSN: dsn, Schema: SignalSchema, MaxConns: 8}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	if err := w.store.Upgrade(ctx); err != nil {
		t.Fatal(err)
	}
	return w
}

// caller is a client with what it received.
type caller struct {
	*whatsmeow.Client
	line    *line
	w       *wire
	options signalstore.Options
	mu      sync.Mutex
	got     map[string]int // texts
	said    chan any       // events about the connection
}

// link pairs a new device with a new account and logs it in.
func (w *wire) link(number string) *caller {
	w.Helper()
	if _, err := w.server.CreateAccount(w.ctx, number, number); err != nil {
		w.Fatal(err)
	}
	return w.pair(number, func(code string) error {
		_, err := w.server.Scan(w.ctx, number, code)
		return err
	})
}

// pair makes a device, has its code scanned and logs it in.
func (w *wire) pair(number string, scan func(code string) error) *caller {
	w.Helper()
	c := &caller{w: w, got: make(map[string]int), said: make(chan any, 64)}
	c.options.OnFailure = func(err error) {
		if !w.over.Load() { // whatsmeow's own goroutines may outlive Disconnect by a call
			w.Errorf("the store of %s failed: %v", number, err)
		}
	}
	c.open(w.store.NewDevice(c.options))
	c.connect()
	if err := scan(hear[*waevents.QR](c).Codes[0]); err != nil {
		w.Fatal(err)
	}
	hearBoth[*waevents.PairSuccess, *waevents.ManualLoginReconnect](c)
	c.line.cut()
	device, err := w.store.Device(w.ctx, *c.Store.ID, c.options)
	if err != nil {
		w.Fatal(err)
	}
	c.open(device)
	c.connect()
	hear[*waevents.Connected](c)
	return c
}

func (c *caller) open(device *store.Device) {
	c.w.Helper()
	l := newLine(func() bool { return true })
	client, err := newClient(device, c.w.cfg, l, "", waLog.Noop)
	if err != nil {
		c.w.Fatal(err)
	}
	client.AddEventHandlerWithSuccessStatus(func(event any) bool {
		switch e := event.(type) {
		case *waevents.Message:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.got[e.Message.GetConversation()]++
		case *waevents.UndecryptableMessage:
			if !c.w.over.Load() {
				c.w.Errorf("%s cannot decrypt %s", c.Store.ID, e.Info.ID)
			}
		case *waevents.QR, *waevents.PairSuccess, *waevents.ManualLoginReconnect, *waevents.Connected, *waevents.Disconnected:
			c.said <- e
		}
		return true
	})
	c.Client, c.line = client, l
	c.w.Cleanup(func() {
		c.w.over.Store(true)
		l.cut()
		<-l.idle
	})
}

func (c *caller) connect() {
	c.w.Helper()
	if err := c.Connect(); err != nil {
		c.w.Fatal(err)
	}
}

// hear waits for an event about the connection and passes over others.
func hear[T any](c *caller) (event T) {
	c.w.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case e := <-c.said:
			if event, ok := e.(T); ok {
				return event
			}
		case <-limit.C:
			c.w.Fatalf("waited in vain for a %T", event)
		}
	}
}

// hearBoth waits for an event of each of two types, in any order.
func hearBoth[A, B any](c *caller) {
	c.w.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for a, b := false, false; !a || !b; {
		select {
		case e := <-c.said:
			_, isA := e.(A)
			_, isB := e.(B)
			a, b = a || isA, b || isB
		case <-limit.C:
			c.w.Fatal("waited in vain for two events")
		}
	}
}

// count says how many different texts have come.
func (c *caller) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// Without the device's lock 57 of 800 never arrived in the one run that tried it, receipted by receivers that had dropped them.
func TestNothingIsLostBetweenTwoCompanionsAtFullSpeed(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	texts := 400
	if testing.Short() {
		texts = 100
	}
	pair := []*caller{w.link("5511911110001"), w.link("5511911110002")}
	start := time.Now()
	var senders sync.WaitGroup
	for i, from := range pair {
		to := pair[1-i].Store.ID.ToNonAD()
		senders.Go(func() {
			for n := range texts {
				if _, err := from.SendMessage(w.ctx, to, &waE2E.Message{Conversation: proto.String(fmt.Sprint("text ", n))}); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
	}
	senders.Wait()
	t.Logf("%.0f sends/s in all", float64(2*texts)/time.Since(start).Seconds())
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); pair[0].count() < texts || pair[1].count() < texts; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d and %d of %d texts arrived", pair[0].count(), pair[1].count(), texts)
		}
	}
	for _, c := range pair {
		c.mu.Lock()
		for text, times := range c.got {
			if times != 1 {
				t.Errorf("%q came %d times", text, times)
			}
		}
		c.mu.Unlock()
	}
}

func TestClientStaysDownWhenItsConnectionEnds(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	c := w.link("5511911110003")
	w.server.Disconnect("")
	hear[*waevents.Disconnected](c)
	if c.EnableAutoReconnect || c.IsConnected() {
		t.Error("the client connects again by itself")
	}
}

func TestAMessageIsAskedForAgainAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	from, to := w.link("5511911110004"), w.link("5511911110005")
	sent, err := from.SendMessage(w.ctx, to.Store.ID.ToNonAD(), &waE2E.Message{Conversation: proto.String("kept")})
	if err != nil {
		t.Fatal(err)
	}
	device, err := w.store.Device(w.ctx, *from.Store.ID, from.options) // as another process finds it
	if err != nil {
		t.Fatal(err)
	}
	format, content, err := device.EventBuffer.GetOutgoingEvent(w.ctx, to.Store.LID.ToNonAD(), to.Store.ID.ToNonAD(), sent.ID)
	var message waE2E.Message
	if err != nil || format != "wa" || proto.Unmarshal(content, &message) != nil || message.GetConversation() != "kept" {
		t.Errorf("kept for retry receipts: %q, %v, %v", format, &message, err)
	}
}

func TestDeviceNameIsTheSessionsOwn(t *testing.T) {
	t.Parallel()
	shared := proto.CloneOf(store.DeviceProps)
	identity := keys.NewKeyPair()
	client, err := newClient(&store.Device{IdentityKey: identity, SignedPreKey: identity.CreateSignedPreKey(1)}, Config{}, newLine(func() bool { return true }), "", waLog.Noop)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"chasqui", "Support desk"} {
		if want != defaultDeviceName {
			nameDevice(client, want)
		}
		var props waCompanionReg.DeviceProps
		if err := proto.Unmarshal(client.GetClientPayload().GetDevicePairingData().GetDeviceProps(), &props); err != nil || props.GetOs() != want {
			t.Errorf("the phone would show %q, %v; want %q", props.GetOs(), err, want)
		}
	}
	if !proto.Equal(shared, store.DeviceProps) {
		t.Error("the setting of all clients was changed")
	}
	client.Store.ID = &types.JID{User: "5511911110006", Device: 1, Server: types.DefaultUserServer}
	if payload := client.GetClientPayload(); payload.GetUsername() != 5511911110006 || payload.GetDevicePairingData() != nil {
		t.Errorf("a linked device logs in with %v", payload)
	}
}

func TestRedirectTakesEverythingToTheServer(t *testing.T) {
	t.Parallel()
	seen := make(chan *http.Request, 1)
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		_, _ = io.WriteString(w, "ok")
	}))
	defer listener.Close()
	host := strings.TrimPrefix(listener.URL, "http://")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	to, err := redirect.To("ws://"+host+"/other/chat", transport)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: to}
	for _, test := range []struct{ url, upgrade, want string }{
		{"https://web.whatsapp.com/ws/chat", "websocket", "/other/chat"},
		{"https://mmg.whatsapp.net/mms/image/a%2Fb?auth=x&hash=y", "", "/mms/image/a%2Fb?auth=x&hash=y"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.upgrade != "" {
			request.Header.Set("Upgrade", test.upgrade)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if r := <-seen; r.RequestURI != test.want || r.Host != host {
			t.Errorf("%s led to %s%s", test.url, r.Host, r.RequestURI)
		}
		if request.URL.String() != test.url {
			t.Errorf("the caller's request was changed to %s", request.URL)
		}
	}
}

func TestRefusesSettingsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://host/ws/chat", "ws:///ws/chat", "host:3001", "ws://a b"} {
		if _, err := redirect.To(address, nil); err == nil || !strings.Contains(err.Error(), "WHATSAPP_URL") {
			t.Errorf("%q: %v", address, err)
		}
	}
	ours := server.RootKey("")
	if err := trust(ours[:]); err != nil {
		t.Fatal(err)
	}
	other := server.RootKey("another seed")
	for name, root := range map[string][]byte{"short": ours[:31], "another": other[:]} {
		if err := trust(root); err == nil || !strings.Contains(err.Error(), "WHATSAPP_ROOT_KEY") {
			t.Errorf("%s root: %v", name, err)
		}
	}
	if err := trust(nil); err != nil || whatsmeow.WACertPubKey != ours {
		t.Errorf("trusting nothing else: %v", err)
	}
}
