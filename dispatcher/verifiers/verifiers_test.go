// Package verifiers_test holds real deliveries against the libraries that receivers verify them with: those of Standard Webhooks and Svix, for
// Go and for JavaScript.
package verifiers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/chasqui/chasqui/dispatcher"
	"github.com/chasqui/chasqui/dispatcher/receivertest"
	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/testnode"
	"github.com/chasqui/chasqui/infra/tests3"
)

func TestMain(m *testing.M) { testdb.Run(tests3.With(m)) }

const (
	secret = "whsec_b3VyIHNlY3JldCBmb3IgdGhlIHZlcmlmaWVycw==" // 31 bytes: with padding
	other  = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldC4uLg=="
)

// texts are what JSON, HTTP and JavaScript disagree about.
var texts = []string{"hello", "", "¡Olé! 👩‍👩‍👧 “quoted”", "line\nbreak\ttab\r\n", "\u2028\u2029\u0000", `{"a":"\"<b>&"}`, strings.Repeat("ñ", 5000)}

// A claim is a webhook that somebody says is ours.
type claim struct {
	Name    string            `json:"name"`
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
	genuine bool
}

// deliver has a dispatcher deliver events with all texts to an endpoint of each format, and returns what came.
func deliver(t *testing.T) receivertest.Hooks {
	t.Helper()
	pool, err := postgres.Open(t.Context(), testdb.DSN(t), postgres.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	notifier := queue.NewNotifier(pool)
	t.Cleanup(func() { notifier.Close(); pool.Close() })
	r := receivertest.New(t)
	for _, format := range []string{"standard", "legacy"} {
		if _, err := pool.Exec(t.Context(), `INSERT INTO webhook_endpoints (id, url, secret, format) VALUES ($1, $2, $3, $4)`,
			events.NewID(), r.URL+"/"+format, secret, format); err != nil {
			t.Fatal(err)
		}
	}
	d := dispatcher.New(dispatcher.Config{
		DSN: pool.Config().ConnString(), Guard: netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		S3: tests3.Open(t), Version: "test", Logger: slog.New(slog.DiscardHandler),
	})
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop(context.Background()) })
	for i, text := range texts {
		m := events.Message{
			ID: events.MessagePrefix.Format(events.NewID()), WhatsAppID: fmt.Sprint("WA", i), SessionID: "s", ChatID: "5491123456789@s.whatsapp.net",
			Direction: events.Incoming, Status: events.StatusDelivered, Content: events.Content{Type: events.ContentText, Text: text}, Timestamp: time.Now(),
		}
		if err := (&queue.DB{Pool: pool, Notifier: notifier}).InTx(t.Context(), func(tx *queue.Tx) error {
			_, err := events.Publish(tx, events.MessageReceived, "s", m.ChatID, time.Now(), events.MessageData{Message: m})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	timeout, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for len(r.Hooks()) < 2*len(texts) {
		select {
		case <-timeout:
			t.Fatalf("%d webhooks came, want %d", len(r.Hooks()), 2*len(texts))
		case <-tick.C:
		}
	}
	return r.Hooks()
}

// claims are the webhooks that came, and of each what a forger would make of it.
func claims(hooks receivertest.Hooks) (list []claim) {
	for i, h := range hooks {
		add := func(name string, change func(*claim)) {
			c := claim{Name: fmt.Sprintf("%s %d, %s", h.Path, i, name), Secret: secret, Headers: map[string]string{}, Body: bytes.Clone(h.Body)}
			for k := range h.Header {
				c.Headers[strings.ToLower(k)] = h.Header.Get(k)
			}
			change(&c)
			list = append(list, c)
		}
		add("as it came", func(c *claim) { c.genuine = true })
		add("under another secret", func(c *claim) { c.Secret = other })
		add("with a byte changed", func(c *claim) { c.Body[len(c.Body)/2] ^= 1 })
		add("with a space more", func(c *claim) { c.Body = append(c.Body, ' ') })
		add("under another id", func(c *claim) { c.Headers["webhook-id"] = "evt_00000000000000000000000000000000" })
		add("at another time", func(c *claim) {
			at, _ := strconv.ParseInt(c.Headers["webhook-timestamp"], 10, 64) // else the webhook as it came is refused
			c.Headers["webhook-timestamp"] = strconv.FormatInt(at-1, 10)
		})
		add("without a signature", func(c *claim) { delete(c.Headers, "webhook-signature") })
		add("with another's signature", func(c *claim) {
			c.Headers["webhook-signature"] = hooks[(i+1)%len(hooks)].Header.Get("Webhook-Signature")
		})
	}
	return list
}

// Feature: Signed deliveries, verified by other people's libraries
func TestOthersLibrariesVerifyRealDeliveriesAndNothingElse(t *testing.T) {
	t.Parallel()
	testnode.Install(t, ".")
	list := claims(deliver(t))
	check := func(library string, c claim, verdict string) {
		if (verdict == "genuine") != c.genuine {
			t.Errorf("%s says of %s: %s", library, c.Name, verdict)
		}
	}
	for library, verify := range map[string]func(claim, http.Header) error{
		"standardwebhooks for Go": func(c claim, h http.Header) error {
			w, err := standardwebhooks.NewWebhook(c.Secret)
			if err != nil {
				return err
			}
			return w.Verify(c.Body, h)
		},
		"svix for Go": func(c claim, h http.Header) error {
			w, err := svix.NewWebhook(c.Secret)
			if err != nil {
				return err
			}
			return w.Verify(c.Body, h)
		},
	} {
		for _, c := range list {
			headers, verdict := http.Header{}, "genuine"
			for k, v := range c.Headers {
				headers.Set(k, v)
			}
			if err := verify(c, headers); err != nil {
				verdict = err.Error()
			}
			check(library, c, verdict)
		}
	}
	input, err := json.Marshal(map[string][]claim{"cases": list})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "verify.mjs")
	var output, complaints bytes.Buffer
	node.Stdin, node.Stdout, node.Stderr = bytes.NewReader(input), &output, &complaints
	if err := node.Run(); err != nil {
		t.Fatalf("node: %v\n%s", err, complaints.String())
	}
	var verdicts map[string][]string
	if err := json.Unmarshal(output.Bytes(), &verdicts); err != nil {
		t.Fatalf("node said %.300s: %v", output.String(), err)
	}
	for _, library := range []string{"standardwebhooks", "svix"} {
		if len(verdicts[library]) != len(list) {
			t.Fatalf("%s for JavaScript has %d verdicts on %d claims", library, len(verdicts[library]), len(list))
		}
		for i, v := range verdicts[library] {
			check(library+" for JavaScript", list[i], v)
		}
	}
	t.Logf("%d deliveries and %d forgeries", 2*len(texts), len(list)-2*len(texts))
}
