package connector

import (
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testproxy"
)

// nowhere is a WHATSAPP_URL that nobody reaches but through a proxy that knows better.
const nowhere = "ws://whatsapp.invalid:80/ws/chat"

var loopback = netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})

// Feature: Proxy of a session, media included
func TestEverythingGoesThroughTheProxy(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"socks5", "http"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			proxy := testproxy.Open(t, "someuser", "s3cr3tpassword")
			at, err := url.Parse(b.sandbox.WhatsAppURL())
			if err != nil {
				t.Fatal(err)
			}
			proxy.Lead("whatsapp.invalid:80", at.Host)
			var log lines
			c := b.connector(func(cfg *Config) {
				cfg.WhatsAppURL, cfg.Guard = nowhere, loopback
				cfg.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			})
			b.phone(owner, "Owner")
			b.phone(juan, "Juan")
			b.exec(`INSERT INTO sessions (id, settings) VALUES ('sales', jsonb_build_object('proxy', $1::text))`, proxy.URL(scheme))
			b.scan("sales", owner)
			b.awaitSent(b.sendFile("sales", juan, events.Content{Type: "document", Media: &events.Media{Mimetype: "application/pdf"}}, b.keep("application/pdf", []byte("a file"))))
			seen := proxy.Seen()
			if !slices.Contains(seen, "GET /ws/chat") || !slices.ContainsFunc(seen, func(s string) bool { return strings.HasPrefix(s, "POST /mms/") }) {
				t.Errorf("through the proxy went %q", seen)
			}
			if c.reach.answered.Load() != nil || !c.session("sales").tries().IsZero() {
				t.Error("a session with a proxy says something of the connector's own way")
			}

			// Without it there is no way, and with another password neither; both are said without a word of the password.
			b.exec(`UPDATE sessions SET settings = settings || '{"proxy":""}'`)
			b.await("the session to be offline", func() bool {
				return one[string](b, `SELECT reason FROM sessions`) == "WhatsApp cannot be reached"
			})
			b.exec(`UPDATE sessions SET settings = jsonb_build_object('proxy', $1::text)`, scheme+"://someuser:0therpassword@"+proxy.Addr())
			b.await("the proxy to refuse", func() bool {
				return proxy.Refused() > 0 && one[string](b, `SELECT reason FROM sessions`) == "WhatsApp cannot be reached through the session's proxy"
			})
			b.exec(`UPDATE sessions SET settings = jsonb_build_object('proxy', $1::text)`, proxy.URL(scheme))
			b.awaitState("sales", events.StateConnected)

			written := log.String()
			for _, body := range many[[]byte](b, `SELECT payload FROM queue_messages`) {
				written += string(body)
			}
			for _, secret := range []string{"someuser", "s3cr3tpassword", "0therpassword"} {
				if strings.Contains(written, secret) {
					t.Errorf("the log or an event holds %q", secret)
				}
			}
		})
	}
}

func TestProxyOfAForbiddenAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	proxy := testproxy.Open(t, "u", "p")
	b.connector() // whose guard allows no private network
	b.exec(`INSERT INTO sessions (id, settings) VALUES ('sales', jsonb_build_object('proxy', $1::text))`, proxy.URL("socks5"))
	b.await("the session to be kept from it", func() bool {
		return one[string](b, `SELECT reason FROM sessions`) == "WhatsApp cannot be reached through the session's proxy"
	})
	if len(proxy.Seen())+proxy.Refused() != 0 {
		t.Error("the proxy was reached")
	}
	b.exec(`UPDATE sessions SET settings = '{"proxy":"gopher://127.0.0.1"}'`)
	b.awaitState("sales", events.StateFailed)
}
