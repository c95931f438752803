package server_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/sandbox/server"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testdb"
)

// patience bounds every wait of the tests; nothing here takes a tenth of it on an idle machine.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if dsn := os.Getenv(childDSN); dsn != "" {
		runChild(dsn)
		return
	}
	whatsmeow.WACertPubKey = server.RootKey("")
	// whatsmeow hands frames over without looking whether anyone still takes them (socket/framesocket.go): a client that ends just as one
	// comes leaves its reader behind.
	testdb.Run(m, goleak.IgnoreAnyFunction("go.mau.fi/whatsmeow/socket.(*FrameSocket).frameComplete"))
}

// network is a server behind a real listener that stays when the server is replaced by another on the same database.
type network struct {
	t      testing.TB
	dsn    string
	pool   *pgxpool.Pool
	http   *httptest.Server
	config func(*server.Config) // changes what the servers are made with; may be nil

	mu      sync.RWMutex
	server  *server.Server
	journal journal.Journal
	unknown int64         // stanzas that ended servers did not know
	ring    time.Duration // of calls; for servers started from now on

	reconnecting sync.WaitGroup
	ending       sync.Mutex // guards ended
	ended        bool
}

// setup starts a network and checks, when the test ends, that the server knew every stanza.
func setup(t testing.TB) *network { return setupWith(t, nil) }

// setupWith is setup with another configuration.
func setupWith(t testing.TB, config func(*server.Config)) *network {
	t.Helper()
	n := &network{t: t, dsn: testdb.DSN(t), config: config}
	pool, err := pgxpool.New(t.Context(), n.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	n.pool = pool
	n.start()
	n.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.Server().ServeHTTP(w, r) }))
	t.Cleanup(n.http.Close)
	t.Cleanup(func() {
		if n.stop(); n.unknown != 0 {
			t.Errorf("%d stanzas were unknown to the server", n.unknown)
		}
	})
	return n
}

func (n *network) Server() *server.Server {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.server
}

func (n *network) start() {
	kept, err := journal.OpenPostgres(context.WithoutCancel(n.t.Context()), n.pool)
	if err != nil {
		n.t.Fatal(err)
	}
	cfg := server.Config{Journal: kept, Logger: logger(n.t, "server"), RingTime: n.ring}
	if n.config != nil {
		n.config(&cfg)
	}
	s, err := server.New(context.WithoutCancel(n.t.Context()), cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.use(s, kept)
}

// use makes a server the network's.
func (n *network) use(s *server.Server, kept journal.Journal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server, n.journal = s, kept
}

func (n *network) stop() {
	s := n.Server()
	s.Close()
	if err := n.journal.Close(); err != nil {
		n.t.Error(err)
	}
	n.unknown += s.Stats().UnknownStanzas
}

// restart replaces the server with another that knows only what is in the database, and waits until the clients are connected to it.
// A client that is left out must not disconnect before it is connected again: whatsmeow's Disconnect is a data race with being cut.
func (n *network) restart(clients ...*client) {
	n.t.Helper()
	n.restartAfter(func() {}, clients...)
}

// restartAfter is restart with something that is done between the two servers.
func (n *network) restartAfter(between func(), clients ...*client) {
	n.t.Helper()
	before := make([]int, len(clients))
	for i, c := range clients {
		before[i] = len(all[*events.Connected](c))
	}
	n.stop()
	between()
	n.start()
	for i, c := range clients {
		until(c, func() bool { return len(all[*events.Connected](c)) > before[i] })
	}
}

// RoundTrip takes every request for WhatsApp's hosts to the network's listener.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(n.http.URL, "http://")
	return http.DefaultTransport.RoundTrip(r)
}

// client is a whatsmeow client that remembers its events.
type client struct {
	*whatsmeow.Client
	n     *network
	store *keystore.Container

	mu      sync.Mutex
	events  []any
	changed chan struct{}
	refuse  bool // messages
	stays   bool // disconnected once it has lost its connection; set before it connects
}

// container makes the store of one client: what clients know of each other came over the network.
func (*network) container() *keystore.Container { return keystore.New(journal.NewMemory()) }

// open makes a client of a device.
func (n *network) open(container *keystore.Container, device *store.Device, name string) *client {
	c := &client{n: n, store: container, changed: make(chan struct{})}
	c.Client = whatsmeow.NewClient(device, signalstore.SlogLogger(logger(n.t, name)))
	c.SetPreLoginHTTPClient(&http.Client{Transport: n})
	c.SetWebsocketHTTPClient(&http.Client{Transport: n})
	c.EnableDecryptedEventBuffer, c.SynchronousAck = true, true
	c.SetForceActiveDeliveryReceipts(true)
	// whatsmeow's own reconnecting races with a request that waits for it: exsync.Event.GetChan writes under a read lock.
	c.EnableAutoReconnect = false
	c.AddEventHandlerWithSuccessStatus(func(event any) bool {
		if _, lost := event.(*events.Disconnected); lost && !c.stays {
			n.whileRunning(func() { n.reconnecting.Go(c.reconnect) })
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.events = append(c.events, event)
		close(c.changed)
		c.changed = make(chan struct{})
		_, message := event.(*events.Message)
		return !message || !c.refuse
	})
	n.t.Cleanup(func() {
		n.ending.Lock()
		n.ended = true
		n.ending.Unlock()
		n.reconnecting.Wait()
		c.Disconnect()
	})
	return c
}

// whileRunning calls f unless the test is ending: what whatsmeow reports then comes too late to be waited for.
func (n *network) whileRunning(f func()) {
	n.ending.Lock()
	defer n.ending.Unlock()
	if !n.ended {
		f()
	}
}

// reconnect connects a client again that lost its connection, until the test ends.
func (c *client) reconnect() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := c.Connect(); err == nil || errors.Is(err, whatsmeow.ErrAlreadyConnected) {
			return
		}
		select {
		case <-tick.C:
		case <-c.n.t.Context().Done():
			return
		}
	}
}

// phone makes an account and connects its device 0.
func (n *network) phone(number, name string) *client {
	n.t.Helper()
	account, err := n.Server().CreateAccount(n.t.Context(), number, name)
	if err != nil {
		n.t.Fatal(err)
	}
	container := n.container()
	device := container.NewDevice(keystore.Options{})
	pn := types.NewJID(account.Phone, types.DefaultUserServer)
	device.ID, device.LID, device.PushName = &pn, types.NewJID(account.LID, types.HiddenUserServer), name
	device.IdentityKey, device.NoiseKey, device.SignedPreKey, device.RegistrationID = account.Identity, account.Noise, account.SignedPreKey, account.RegistrationID
	device, err = container.Adopt(n.t.Context(), device, keystore.Options{})
	if err != nil {
		n.t.Fatal(err)
	}
	c := n.open(container, device, "phone "+number)
	c.connect()
	return c
}

// companion pairs a new client with a phone and waits until it is connected.
func (n *network) companion(phone *client) *client {
	n.t.Helper()
	c, codes := n.waiting()
	jid, err := n.Server().Scan(n.t.Context(), phone.Store.ID.User, codes[0])
	if err != nil {
		n.t.Fatal(err)
	}
	await[*events.Connected](c, func(*events.Connected) bool { return true })
	if *c.Store.ID != jid {
		n.t.Fatalf("paired as %s, scanned as %s", c.Store.ID, jid)
	}
	return c
}

// waiting connects a client without keys and returns its QR codes.
func (n *network) waiting() (*client, []string) {
	n.t.Helper()
	container := n.container()
	c := n.open(container, container.NewDevice(keystore.Options{}), "companion")
	if err := c.Connect(); err != nil {
		n.t.Fatal(err)
	}
	return c, await[*events.QR](c, func(*events.QR) bool { return true }).Codes
}

// reopen makes a new client of the same stored device, as a restarted process does.
func (c *client) reopen() *client {
	c.n.t.Helper()
	device, err := c.store.GetDevice(*c.Store.ID, keystore.Options{})
	if err != nil {
		c.n.t.Fatal(err)
	}
	return c.n.open(c.store, device, "again "+c.Store.ID.String())
}

// connect connects and waits for the Connected event.
func (c *client) connect() {
	c.n.t.Helper()
	before := len(all[*events.Connected](c))
	if err := c.Connect(); err != nil {
		c.n.t.Fatal(err)
	}
	until(c, func() bool { return len(all[*events.Connected](c)) > before })
}

// text sends a text and returns its id.
func (c *client) text(to types.JID, text string) types.MessageID {
	c.n.t.Helper()
	answer, err := c.SendMessage(c.n.t.Context(), to.ToNonAD(), &waE2E.Message{Conversation: proto.String(text)})
	if err != nil {
		c.n.t.Fatalf("send %q: %v", text, err)
	}
	return answer.ID
}

// texts returns the texts that the client received, in order.
func (c *client) texts() (texts []string) {
	for _, m := range all[*events.Message](c) {
		if text := m.Message.GetConversation(); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// receives waits for a message with the text.
func (c *client) receives(text string) *events.Message {
	c.n.t.Helper()
	return await(c, func(m *events.Message) bool { return m.Message.GetConversation() == text })
}

// gets waits for a receipt of a type for a message.
func (c *client) gets(kind types.ReceiptType, id types.MessageID) *events.Receipt {
	c.n.t.Helper()
	return await(c, func(r *events.Receipt) bool {
		return r.Type == kind && strings.Contains(strings.Join(r.MessageIDs, " "), id)
	})
}

// all returns the events of a type.
func all[T any](c *client) (found []T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, event := range c.events {
		if e, ok := event.(T); ok {
			found = append(found, e)
		}
	}
	return found
}

// await waits for an event.
func await[T any](c *client, wanted func(T) bool) (found T) {
	c.n.t.Helper()
	until(c, func() bool {
		for _, e := range all[T](c) {
			if wanted(e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// until waits for a condition that a client's event brings about.
func until(c *client, done func() bool) {
	c.n.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			c.n.t.Fatalf("waited in vain; events: %d", len(all[any](c)))
		}
	}
}

// settled waits until no undelivered stanza is left for the devices of the phone numbers, or of all.
func (n *network) settled(phones ...string) {
	n.t.Helper()
	if len(phones) == 0 {
		for _, a := range n.Server().Accounts() {
			phones = append(phones, a.Phone)
		}
	}
	n.eventually("empty queue", func() bool {
		left := 0
		for _, phone := range phones {
			left += n.Server().Queued(phone, true)
		}
		return left == 0
	})
}

// eventually polls a condition that no event tells of.
func (n *network) eventually(what string, done func() bool) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// logger writes to the test's log with -v, and nowhere else.
func logger(t testing.TB, who string) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("who", who)
}

var errNone = errors.New("no error")

// fails checks that an error is the wanted one.
func fails(t testing.TB, got, want error) {
	t.Helper()
	if got == nil {
		got = errNone
	}
	if !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
}
