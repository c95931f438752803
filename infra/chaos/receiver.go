//go:build linux && !release

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// mood is how the receiver behaves.
type mood int

const (
	fine    mood = iota
	failing      // answers 503
	silent       // answers nothing, until it is fine again
	absent       // refuses connections
	rude         // takes what comes and closes the connection instead of answering
)

// receiver is a customer's webhook server. It believes nothing whose signature is wrong.
type receiver struct {
	address string

	mu       sync.Mutex
	hook     *standardwebhooks.Webhook
	server   *http.Server
	mood     mood
	changed  chan struct{}                   // closed when the mood changes
	received map[string]map[string]time.Time // by WhatsApp's id: the events that told of it as message.received, and when each first came
	order    []string                        // WhatsApp's ids in the order of their first coming
	sent     map[string]map[string]time.Time // the same of message.sent
	refused  int                             // deliveries with a wrong signature, or none
	repeated int                             // deliveries of an event that was there already
}

func newReceiver() (*receiver, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	r := &receiver{
		address: fmt.Sprintf("127.0.0.1:%d", ports[0]), changed: make(chan struct{}),
		received: make(map[string]map[string]time.Time), sent: make(map[string]map[string]time.Time),
	}
	return r, r.listen()
}

// listen opens the port, which may be held for a moment by a connection that is ending.
func (r *receiver) listen() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var listener net.Listener
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		var err error
		listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", r.address)
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	r.mu.Lock()
	r.server = server
	r.mu.Unlock()
	go func() { _ = server.Serve(listener) }() // it ends with close
	return nil
}

func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.server.Close()
}

// subscribe makes the receiver an endpoint for everything.
func (r *receiver) subscribe(ctx context.Context, api *client) error {
	var made struct{ Secret string }
	in := map[string]any{"url": "http://" + r.address + "/hook", "order": "chat", "maxInFlight": 64}
	if err := api.insist(ctx, http.MethodPost, "/v1/webhook-endpoints", in, &made, ""); err != nil {
		return err
	}
	hook, err := standardwebhooks.NewWebhook(made.Secret)
	if err != nil {
		return fmt.Errorf("read secret: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = hook
	return nil
}

// feel changes how the receiver behaves.
func (r *receiver) feel(m mood) error {
	r.mu.Lock()
	before := r.mood
	r.mood = m
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	switch {
	case m == absent:
		r.close()
	case before == absent:
		return r.listen()
	}
	return nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 2<<20))
	if err != nil {
		return
	}
	r.mu.Lock()
	m, changed, hook := r.mood, r.changed, r.hook
	r.mu.Unlock()
	switch {
	case hook == nil, m == failing:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case m == silent:
		select {
		case <-changed:
		case <-req.Context().Done():
		}
		panic(http.ErrAbortHandler) // what was kept waiting is not answered either
	}
	status := http.StatusNoContent
	if err := r.take(hook, req.Header, body); err != nil {
		status = http.StatusBadRequest
	}
	if m == rude {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
}

// take notes an event.
func (r *receiver) take(hook *standardwebhooks.Webhook, header http.Header, body []byte) error {
	var e struct {
		ID, Type string
		Data     struct{ Message struct{ WhatsAppID string } }
	}
	err := hook.Verify(body, header)
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	if err == nil && header.Get("webhook-id") != e.ID {
		err = errors.New("the webhook-id is not the event's")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.refused++
		return err
	}
	var list map[string]map[string]time.Time
	switch e.Type {
	case "message.received":
		list = r.received
	case "message.sent":
		list = r.sent
	default:
		return nil
	}
	id := e.Data.Message.WhatsAppID
	if list[id] == nil {
		list[id] = make(map[string]time.Time)
		if e.Type == "message.received" {
			r.order = append(r.order, id)
		}
	}
	if _, there := list[id][e.ID]; there {
		r.repeated++
	} else {
		list[id][e.ID] = time.Now()
	}
	return nil
}

// missing counts what has not come.
func (r *receiver) missing(chats []*chat) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range chats {
		for _, e := range c.in {
			if len(r.received[e.id]) == 0 {
				n++
			}
		}
		for _, e := range c.out {
			if len(r.sent[e.id]) == 0 {
				n++
			}
		}
	}
	return n
}
