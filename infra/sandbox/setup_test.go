package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	waLog "go.mau.fi/whatsmeow/util/log"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testdb"
)

// patience bounds every wait in these tests; nothing of what they wait for takes a tenth of it on an idle machine.
const patience = 90 * time.Second

// childDSN makes the test binary a sandbox of its own process, to be killed.
const childDSN, childAddr = "SANDBOX_TEST_DSN", "SANDBOX_TEST_ADDR"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(childDSN); dsn != "" {
		runChild(dsn, os.Getenv(childAddr))
		return
	}
	if os.Getenv(joinURL) != "" {
		os.Exit(m.Run()) // the connections that whatsmeow's own transports keep idle end with the process alone
	}
	// whatsmeow hands frames over without looking whether anyone still takes them (socket/framesocket.go): a client that ends just as one
	// comes leaves its reader behind, and with it nobody who tells a query in flight that no answer will come: that waits out its 75 s
	// (request.go, sendIQ). And it waits a minute for more history (message.go), and 5 s to ask again for app state (request.go, retryFrame),
	// whether the client is connected or not.
	testdb.Run(m, goleak.IgnoreAnyFunction("go.mau.fi/whatsmeow/socket.(*FrameSocket).frameComplete"),
		goleak.IgnoreAnyFunction("go.mau.fi/whatsmeow.(*Client).handleHistorySyncNotificationLoop"),
		goleak.IgnoreAnyFunction("go.mau.fi/whatsmeow.(*Client).sendIQ"),
		goleak.IgnoreAnyFunction("go.mau.fi/whatsmeow.(*Client).WaitForConnection"))
}

// runChild serves a sandbox until its standard input ends, as it does when the parent dies.
func runChild(dsn, addr string) {
	s := sandbox.New(sandbox.Config{DSN: dsn, Addr: addr, Logger: quiet()})
	if err := s.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, s.URL())
	io.Copy(io.Discard, os.Stdin)
	s.Stop()
}

// startChild starts a sandbox in a process of its own and returns its URL and what kills it as kill -9 does.
func startChild(t *testing.T, dsn, addr string) (url string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childDSN+"="+dsn, childAddr+"="+addr)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // held open by this process: the child ends with it
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
		in.Close()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the sandbox's process did not start: %v", err)
	}
	return line[:len(line)-1], kill
}

func quiet() *slog.Logger {
	level := slog.LevelError
	if os.Getenv("SANDBOX_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// start runs a sandbox in this process and stops it with the test, once no stanza was unknown to it.
func start(t *testing.T, dsn, addr string) *sandbox.Sandbox {
	t.Helper()
	return startWith(t, sandbox.Config{DSN: dsn, Addr: addr, Logger: quiet()})
}

func startWith(t *testing.T, cfg sandbox.Config) *sandbox.Sandbox {
	t.Helper()
	s := sandbox.New(cfg)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := s.Stats().UnknownStanzas; n != 0 {
			t.Errorf("%d stanzas were unknown to the server", n)
		}
		s.Stop()
	})
	return s
}

// call makes one request of the control API, fails the test unless the answer has the status wanted, and decodes it into out.
func call(t *testing.T, method, url string, body any, want int, out any) {
	t.Helper()
	if status, text := try(t, method, url, body, out); status != want {
		t.Fatalf("%s %s: status %d, want %d: %s", method, url, status, want, text)
	}
}

// try makes one request and returns its status; 0 when the server could not be reached. out is filled from a 2xx answer.
func try(t *testing.T, method, url string, body, out any) (int, string) {
	t.Helper()
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	if out != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("%s %s answered %q: %v", method, url, text, err)
		}
	}
	return resp.StatusCode, string(text)
}

// page is an answer of GET messages.
type page struct {
	Messages []sandbox.Message `json:"messages"`
	Next     int64             `json:"next"`
}

// shown waits until the phone has shown n messages that keep returns true for, and returns those; then it looks once more, so that one
// message too many fails the test too.
func shown(t *testing.T, url, number string, n int, keep func(sandbox.Message) bool) []sandbox.Message {
	t.Helper()
	var all []sandbox.Message
	var after int64
	deadline := time.Now().Add(patience)
	for {
		var p page
		status, text := try(t, "GET", fmt.Sprintf("%s/phones/%s/messages?after=%d&wait=5", url, number, after), nil, &p)
		if status == 200 {
			after = p.Next
			for _, m := range p.Messages {
				if keep(m) {
					all = append(all, m)
				}
			}
		}
		if status == 200 && len(all) >= n {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("phone %s has shown %d messages of %d (last answer %d %s)", number, len(all), n, status, text)
		}
	}
	if len(all) != n {
		t.Fatalf("phone %s has shown %d messages, want %d", number, len(all), n)
	}
	return all
}

// companion is a plain whatsmeow client, linked to a phone as a real one is. What it saw is kept here, by the order it came in.
type companion struct {
	t         *testing.T
	client    *whatsmeow.Client
	container *signalstore.Container
	addr      string
	done      context.Context
	lost      chan struct{} // holds a token when the connection was lost

	mu       sync.Mutex
	changed  chan struct{}
	messages []*events.Message
	receipts []*events.Receipt
	other    []any
	cuts     int // how often the connection was lost
}

// newCompanion makes a client whose Signal store is in the test's database and whose connections go to addr (host:port); with addr "" they
// go where whatsmeow's own lead.
func newCompanion(t *testing.T, dsn, addr string) *companion {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	container, err := signalstore.Open(ctx, signalstore.Config{DSN: dsn, Schema: "companion", MaxConns: 4, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { container.Close() })
	if err := container.Upgrade(ctx); err != nil {
		t.Fatal(err)
	}
	return (&companion{t: t, container: container, addr: addr}).with(container.NewDevice(signalstore.Options{}))
}

// with makes a companion of a device in the same store.
func (c *companion) with(device *store.Device) *companion {
	t := c.t
	c = &companion{t: t, container: c.container, addr: c.addr, changed: make(chan struct{}), lost: make(chan struct{}, 1)}
	c.client = whatsmeow.NewClient(device, waLog.Noop)
	c.client.SynchronousAck = true
	c.client.EnableDecryptedEventBuffer = true
	c.client.SetForceActiveDeliveryReceipts(true)
	// whatsmeow's own reconnecting is a data race with a send that waits for it (exsync.Event.GetChan), and pauses for whole seconds.
	c.client.EnableAutoReconnect = false
	c.client.AddEventHandler(c.note)
	if c.addr != "" {
		redirected := &http.Client{Transport: redirect{c.addr}}
		c.client.SetPreLoginHTTPClient(redirected)
		c.client.SetWebsocketHTTPClient(redirected)
		c.client.SetMediaHTTPClient(redirected)
	}
	// The client ends with the context, not by Client.Disconnect: that is a data race with having been cut (socket/noisesocket.go, Stop).
	done, stop := context.WithCancel(context.Background())
	c.done, c.client.BackgroundEventCtx = done, done
	var work sync.WaitGroup
	work.Go(func() { c.reconnect(done) })
	t.Cleanup(func() {
		stop()
		work.Wait()
	})
	return c
}

// connect opens a connection that ends with the test.
func (c *companion) connect() error { return c.client.ConnectContext(c.done) }

// reconnect connects again each time the connection is lost, trying ten times a second.
func (c *companion) reconnect(ctx context.Context) {
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	for {
		select {
		case <-c.lost:
		case <-ctx.Done():
			return
		}
		for c.connect() != nil {
			select {
			case <-retry.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

type redirect struct{ addr string }

func (d redirect) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", d.addr
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}

func (c *companion) note(evt any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := evt.(type) {
	case *events.Message:
		if e.Info.Category == "peer" {
			c.other = append(c.other, e)
			break
		}
		c.messages = append(c.messages, e)
	case *events.Receipt:
		c.receipts = append(c.receipts, e)
	case *events.Disconnected:
		c.cuts++
		select {
		case c.lost <- struct{}{}:
		default: // it is known already
		}
	default:
		c.other = append(c.other, e)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits until true is returned by ready, which is called with what the companion saw locked.
func (c *companion) await(what string, ready func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		ok, changed := ready(), c.changed
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.t.Fatalf("waited for %s; the companion saw %d messages, %d receipts, other events %T", what, len(c.messages), len(c.receipts), c.other)
		}
	}
}

// saw says whether an event of type E came; call it in await.
func saw[E any](c *companion) bool {
	return slices.ContainsFunc(c.other, func(evt any) bool { _, ok := evt.(E); return ok })
}

// link pairs the companion with a phone by QR code, through the control API, and waits until it is logged in.
func (c *companion) link(url, number string) {
	c.t.Helper()
	codes, err := c.client.GetQRChannel(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.connect(); err != nil {
		c.t.Fatal(err)
	}
	select {
	case code := <-codes:
		if code.Event != whatsmeow.QRChannelEventCode {
			c.t.Fatalf("no QR code: %+v", code)
		}
		call(c.t, "POST", url+"/phones/"+number+"/scan", map[string]string{"qr": code.Code}, 200, nil)
	case <-time.After(patience):
		c.t.Fatal("no QR code in time")
	}
	c.await("the login after pairing", func() bool { return saw[*events.Connected](c) })
}

// send sends a text under an id, again and again until the server acknowledges it, as a durable sender does.
func (c *companion) send(to, id, text string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := c.trySend(to, id, text, 10*time.Second)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("send %s: %v", id, err)
		}
		c.client.WaitForConnection(time.Second)
	}
}

func (c *companion) trySend(to, id, text string, timeout time.Duration) error {
	_, err := c.client.SendMessage(context.Background(), types.NewJID(to, types.DefaultUserServer),
		&waE2E.Message{Conversation: proto.String(text)}, whatsmeow.SendRequestExtra{ID: id, Timeout: timeout})
	return err
}

// texts is what the companion saw from others, by order; call it in await or when all is quiet.
func (c *companion) texts() []string {
	var texts []string
	for _, m := range c.messages {
		if !m.Info.IsFromMe {
			texts = append(texts, m.Message.GetConversation())
		}
	}
	return texts
}

// trustSandbox makes this process's clients accept a sandbox that runs in another process.
func trustSandbox(t *testing.T) {
	t.Helper()
	start(t, testdb.DSN(t), "127.0.0.1:0") // a sandbox here has the same root key, since the seed is the same
}
