package baileys_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testnode"
)

// patience bounds every wait; nothing of what is waited for takes a tenth of it on an idle machine.
const patience = 90 * time.Second

// event is something that happened to a client, as client.mjs says it.
type event struct {
	Event     string   `json:"event"`
	QR        string   `json:"qr"`
	Code      int      `json:"code"`
	MessageID string   `json:"messageId"`
	Chat      string   `json:"chat"`
	Sender    string   `json:"sender"`
	FromMe    bool     `json:"fromMe"`
	Kind      string   `json:"kind"`
	Text      string   `json:"text"`
	Caption   string   `json:"caption"`
	Name      string   `json:"name"`
	Status    int      `json:"status"`
	Type      string   `json:"type"` // a receipt's
	Subject   string   `json:"subject"`
	Action    string   `json:"action"`
	Users     []string `json:"users"`
	Me        struct {
		ID string `json:"id"`
	} `json:"me"`
}

// read is the status of a message that was read, in Baileys' numbers.
const read = 4

// client is a Baileys client in a process of its own.
type client struct {
	t     *testing.T
	input io.Writer
	end   func() // lets it end by itself, within 10 s
	kill  func() // ends it as kill -9 does

	mu      sync.Mutex
	changed chan struct{}
	ended   bool
	events  []event
	answers map[int]json.RawMessage // what it said to an operation, by its number
	number  int
}

// newClient starts a client of the sandbox that keeps its keys in a folder. It ends with the test.
func newClient(t *testing.T, s *sandbox.Sandbox, folder string) *client {
	t.Helper()
	testnode.Install(t, ".")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	root := s.RootKey()
	settings, err := json.Marshal(map[string]string{"url": s.WhatsAppURL(), "root": hex.EncodeToString(root[:]), "proxy": s.ProxyURL(), "auth": folder})
	if err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(context.Background())
	node := exec.CommandContext(ctx, "node", "client.mjs", string(settings))
	node.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
	node.WaitDelay = 10 * time.Second
	var log bytes.Buffer
	node.Stderr = &log
	input, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, input: input, changed: make(chan struct{}), answers: map[int]json.RawMessage{}}
	var work sync.WaitGroup
	work.Go(func() { c.listen(output) })
	c.end = sync.OnceFunc(func() {
		input.Close() // by which it ends
		timer := time.AfterFunc(10*time.Second, kill)
		defer timer.Stop()
		work.Wait()
		err := node.Wait()
		if err != nil && ctx.Err() == nil {
			t.Errorf("the client ended with %v", err)
		}
		if t.Failed() {
			t.Logf("the client's log:\n%s", log.String())
		}
	})
	c.kill = func() { kill(); c.end() }
	t.Cleanup(c.kill)
	t.Cleanup(c.end)
	return c
}

// listen takes what the client says until it has ended.
func (c *client) listen(output io.Reader) {
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadBytes('\n')
		c.mu.Lock()
		var answer struct {
			ID int `json:"id"`
			event
		}
		if err != nil {
			c.ended = true
		} else if err := json.Unmarshal(line, &answer); err != nil {
			c.t.Errorf("the client said %q: %v", line, err)
		} else if answer.ID != 0 {
			c.answers[answer.ID] = line
		} else {
			c.events = append(c.events, answer.event)
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// until waits until ready returns true, which is called with the client locked.
func (c *client) until(what string, ready func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		ok, ended, changed := ready(), c.ended, c.changed
		events := c.events
		c.mu.Unlock()
		if ok {
			return
		}
		if ended {
			c.t.Fatalf("the client ended while it was waited for %s", what)
		}
		select {
		case <-changed:
		case <-deadline.C:
			c.t.Fatalf("waited for %s; there was %+v", what, events)
		}
	}
}

// do lets the client do something, which must succeed, and decodes what it returned.
func (c *client) do(operation string, arguments map[string]any, out any) {
	c.t.Helper()
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  string          `json:"error"`
	}
	if c.try(operation, arguments, &answer); answer.Error != "" {
		c.t.Fatalf("%s: %s", operation, answer.Error)
	}
	if out != nil {
		if err := json.Unmarshal(answer.Result, out); err != nil {
			c.t.Fatalf("%s returned %s: %v", operation, answer.Result, err)
		}
	}
}

// try lets the client do something and decodes its answer, which has a result or an error.
func (c *client) try(operation string, arguments map[string]any, answer any) {
	c.t.Helper()
	c.mu.Lock()
	c.number++
	number := c.number
	c.mu.Unlock()
	line := map[string]any{"id": number, "do": operation}
	for name, value := range arguments {
		line[name] = value
	}
	if err := json.NewEncoder(c.input).Encode(line); err != nil {
		c.t.Fatal(err)
	}
	c.until(operation, func() bool {
		said, ok := c.answers[number]
		return ok && json.Unmarshal(said, answer) == nil
	})
}

// call lets the client call one of Baileys' methods.
func (c *client) call(out any, method string, arguments ...any) {
	c.t.Helper()
	c.do("call", map[string]any{"method": method, "arguments": arguments}, out)
}

// await waits for an event that is wanted, among those that came since the mark.
func (c *client) await(what string, mark int, wanted func(event) bool) event {
	c.t.Helper()
	var found event
	c.until(what, func() bool {
		for _, e := range c.events[mark:] {
			if wanted(e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// mark is the number of events until now.
func (c *client) mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.events)
}

// receipt waits for a receipt of a type for a message that the client sent.
func (c *client) receipt(kind, messageID string) event {
	c.t.Helper()
	return c.await("a receipt, "+kind, 0, func(e event) bool { return e.Event == "receipt" && e.Type == kind && e.MessageID == messageID })
}

func is(kind string) func(event) bool { return func(e event) bool { return e.Event == kind } }
