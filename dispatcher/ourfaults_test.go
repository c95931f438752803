package dispatcher

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/dispatcher/receivertest"
	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/tests3"
	"github.com/chasqui/chasqui/infra/testwire"
)

func TestAnAttemptIsSignedWithTheSecretOfItsTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const renewed = "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3"
	r := receivertest.New(t, testSecret, renewed)
	e := b.addEndpoint(r.URL)
	r.Answer(func(h receivertest.Hook) receivertest.Fault {
		if h.N > 1 {
			return receivertest.OK
		}
		b.exec(`UPDATE webhook_endpoints SET secret = $2 WHERE id = $1`, e.id, renewed) // while the first attempt is under way
		return receivertest.Status(500)
	})
	b.start(quick)
	ids := b.publish("s", "1@s.whatsapp.net", 0, 1)
	eventually(t, "it is delivered", b.settled(1))
	hooks := r.Hooks()
	if len(hooks) != 2 || hooks[0].ID != ids[0] || hooks[1].ID != ids[0] || !slices.Equal(hooks[0].SignedWith, []string{testSecret}) ||
		!slices.Contains(hooks[1].SignedWith, renewed) {
		t.Errorf("got %+v, want one webhook-id, signed with the old secret and then with the new one", hooks)
	}
}

// The one that is under way ends by itself, well or badly, and nothing comes after it.
func TestAnEndpointDeletedInFlightGetsNothingMore(t *testing.T) {
	t.Parallel()
	for _, last := range []receivertest.Fault{receivertest.OK, receivertest.Status(500), receivertest.HangUp} {
		t.Run(last.Name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			answer := make(chan struct{})
			r, other := receivertest.New(t, testSecret), receivertest.New(t, testSecret)
			r.Answer(func(receivertest.Hook) receivertest.Fault { <-answer; return last })
			e := b.addEndpoint(r.URL, "max_in_flight = 1")
			b.addEndpoint(other.URL)
			b.start(quick)
			ids := b.publish("s", "1@s.whatsapp.net", 0, 3)
			eventually(t, "one is under way", func() bool { return r.Begun() == 1 && len(other.Hooks()) == len(ids) })
			q := db.New()
			if _, err := q.EndpointDelete(t.Context(), b.pool, e.id); err != nil {
				t.Fatal(err)
			}
			removed := func() bool { // by the API's sweep
				if _, err := q.EndpointRemoveDeleted(t.Context(), b.pool); err != nil {
					t.Fatal(err)
				}
				return b.count(`SELECT count(*) FROM webhook_endpoints WHERE id = $1`, e.id) == 0
			}
			if removed() {
				t.Error("the endpoint is removed while something of it is under way")
			}
			close(answer)
			left := 2
			if last.Status != 200 {
				left = 3
			}
			eventually(t, "the others are due", func() bool {
				return b.count(`SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND state = 'pending' AND run_at <= now()`, e.id) == left
			})
			ids = append(ids, b.publish("s", "1@s.whatsapp.net", 3, 2)...)
			eventually(t, "the other endpoint has all", func() bool { return len(other.Hooks()) == len(ids) })
			wantOnce(t, other.Hooks(), ids)
			if n := r.Begun(); n != 1 {
				t.Errorf("%d requests came, want 1", n)
			}
			if n, err := q.DeliveryCancelDeleted(t.Context(), b.pool, 100); err != nil || n != int64(left) {
				t.Errorf("%d were cancelled, want %d: %v", n, left, err)
			}
			if !removed() {
				t.Error("the endpoint is not removed")
			}
			want := "cancelled"
			if last.Status == 200 {
				want = "succeeded"
			}
			if n := b.count(`SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND state = $2 AND last_class IS NOT NULL`, e.id, want); n != 1 {
				t.Errorf("the one that was under way is not %s", want)
			}
		})
	}
}

// setupWire is setup with an object store that can be cut off.
func setupWire(t *testing.T) (*bench, *testwire.Wire) {
	t.Helper()
	b := setup(t)
	config := tests3.New(t)
	var wire *testwire.Wire
	wire, config.Endpoint = testwire.Server(t, config.Endpoint)
	var err error
	if b.s3, err = s3.Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.s3.Close)
	return b, wire
}

// A message whose file cannot be read waits for the store, which costs it no attempt and its endpoint no blame; texts pass it by.
func TestAFileWaitsForAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	b, wire := setupWire(t)
	r := receiveLegacy(t)
	b.addEndpoint(r.URL, "format = 'legacy'", "events = '{message.received}'")
	content := noise(300_000)
	file := b.media("mi-sesion-01", "a", encrypted(t, "image", content))
	b.ready(file, content)
	b.start(quick)
	wire.Cut()
	public := events.MediaPrefix.Format(file)
	b.announce(events.MessageReceived, events.MessageData{Message: incoming("FILE", &events.Media{ID: public, URL: events.MediaURL("http://api.test", public), Mimetype: "image/jpeg"})})
	eventually(t, "it was tried", func() bool { return b.count(`SELECT count(*) FROM attempts WHERE class = 'storage'`) > 1 })
	b.announce(events.MessageReceived, events.MessageData{Message: incoming("TEXT", nil)})
	r.message(t, "TEXT")
	if r.has("FILE") {
		t.Error("it went out without its file")
	}
	if n := b.count(`SELECT count(*) FROM webhook_endpoints WHERE consecutive_failures = 0 AND breaker_until IS NULL`); n != 1 {
		t.Error("the endpoint is blamed for the store")
	}
	wire.Mend()
	m, _ := r.message(t, "FILE")
	if data, _ := base64.StdEncoding.DecodeString(m.Media.Data); !bytes.Equal(data, content) {
		t.Errorf("the file is not what it was: %d bytes", len(data))
	}
	eventually(t, "all delivered", b.settled(2))
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded' AND attempt = 1`); n != 2 {
		t.Error("the store's failures were counted")
	}
}

// A webhook that waits for its media waits no longer because the store is down, and the file is there when the store is.
func TestAWebhookDoesNotWaitForAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	b, wire := setupWire(t)
	r, f := receive(t, nil), serveFiles(t)
	b.addEndpoint(r.URL)
	const wait = time.Second
	b.start(f.whatsApp, func(d *Dispatcher) { d.mediaWait = wait })
	wire.Cut()
	sealed := encrypted(t, "image", noise(1000))
	file := b.media("s", "a", sealed)
	f.serve(file, give(sealed.data))
	published := time.Now()
	event := b.publishFile("s", "a", 0, file, true)
	eventually(t, "the webhook", func() bool { return r.has(event) })
	if took := r.hooks()[0].at.Sub(published); took < wait {
		t.Errorf("it came after %s: it did not wait", took)
	}
	if got := b.status(file); got != "pending" {
		t.Errorf("the media is %s, with no store", got)
	}
	wire.Mend()
	eventually(t, "the media is there", func() bool { return b.status(file) == "ready" })
	if !r.has(event) {
		t.Errorf("%d webhooks came", len(r.hooks()))
	}
}

// TestASecretThatDoesNotOpenHoldsUpItsEndpointAlone has one endpoint whose secret this process has no key for, beside one that it can read.
func TestASecretThatDoesNotOpenHoldsUpItsEndpointAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keysOf := func(setting string) *seal.Keys {
		keys, err := seal.Parse(setting)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	mine, theirs := keysOf(strings.Repeat("1a", 32)), keysOf(strings.Repeat("2b", 32))
	r, other := receivertest.New(t, testSecret), receivertest.New(t, testSecret)
	unreadable, readable := b.addEndpoint(other.URL), b.addEndpoint(r.URL)
	sealed := func(keys *seal.Keys, e endpoint) {
		headers, err := keys.SealJSON(seal.EndpointHeaders, []byte(`{"X-Token": "tok"}`), e.id.String())
		if err != nil {
			t.Fatal(err)
		}
		b.exec(`UPDATE webhook_endpoints SET secret = $2, headers = $3 WHERE id = $1`, e.id, keys.SealText(testSecret, seal.EndpointSecret.At(e.id.String())), headers)
	}
	sealed(theirs, unreadable)
	sealed(mine, readable)
	b.start(quick, func(d *Dispatcher) { d.cfg.Keys = mine })
	ids := b.publish("s", "1@s.whatsapp.net", 0, 3)
	eventually(t, "the readable one has all", func() bool { return len(r.Hooks()) == len(ids) })
	wantOnce(t, r.Hooks(), ids)
	eventually(t, "why the other waits is told", func() bool {
		return b.count(`SELECT count(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE d.endpoint_id = $1 AND a.class = 'storage' AND a.error LIKE '%' || $2 || '%'`,
			unreadable.id, theirs.ID()) > 0
	})
	if n := b.count(`SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND (state <> 'pending' OR attempt > 0)`, unreadable.id); n > 0 || len(other.Hooks()) > 0 {
		t.Errorf("%d deliveries of the unreadable endpoint are dealt with", n)
	}
	sealed(mine, unreadable)
	eventually(t, "it has all once it can be read", func() bool { return len(other.Hooks()) == len(ids) })
}
