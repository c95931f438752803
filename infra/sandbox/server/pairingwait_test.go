package server_test

import (
	"net/http"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/sandbox/server"
	"github.com/chasqui/chasqui/infra/signalstore"
)

func TestQRCodesExpireOneAfterTheOther(t *testing.T) {
	t.Parallel()
	n := setupWith(t, func(c *server.Config) { c.QRLife = server.QRLife{First: time.Nanosecond, Next: time.Hour} })
	n.phone("5491100000001", "Ana")
	c, codes := n.waiting()
	w := n.Server().Waiting()
	if len(w) != 1 || w[0].Phone != "" || w[0].Linking || w[0].Client.OS != "whatsmeow" || w[0].Client.Platform != "UNKNOWN" {
		t.Fatalf("waiting are %+v", w)
	}
	if next, last := w[0].QRUntil.Sub(w[0].Since).Round(time.Minute), w[0].Until.Sub(w[0].Since).Round(time.Minute); next != time.Hour || last != 5*time.Hour {
		t.Errorf("the code shown expires after %v, the last after %v", next, last)
	}
	_, err := n.Server().Scan(t.Context(), "5491100000001", codes[0])
	fails(t, err, server.ErrQRExpired)
	if _, err := n.Server().Scan(t.Context(), "5491100000001", codes[1]); err != nil {
		t.Fatal(err)
	}
	await(c, func(*events.Connected) bool { return true })
	_, err = n.Server().Scan(t.Context(), "5491100000001", codes[2])
	fails(t, err, server.ErrQRExpired)
}

func TestAClientWhoseCodesAreUsedUpIsDisconnected(t *testing.T) {
	t.Parallel()
	n := setupWith(t, func(c *server.Config) {
		c.QRLife = server.QRLife{First: 200 * time.Millisecond, Next: 20 * time.Millisecond}
	})
	c := whatsmeow.NewClient(n.container().NewDevice(keystore.Options{}), signalstore.SlogLogger(logger(t, "companion")))
	c.SetPreLoginHTTPClient(&http.Client{Transport: n})
	items, err := c.GetQRChannel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for item := range items {
		seen = append(seen, item.Event)
		// whatsmeow closes the channel without having waited for what it sent there: this orders the two, by the lock of the handlers.
		c.AddEventHandler(func(any) {})
	}
	if len(seen) != 2 || seen[0] != whatsmeow.QRChannelEventCode || seen[1] != whatsmeow.QRChannelTimeout.Event {
		t.Errorf("the channel said %v", seen)
	}
	n.eventually("disconnection", func() bool { return n.Server().Stats().Connections == 0 && !c.IsConnected() })
	if w := n.Server().Waiting(); len(w) != 0 {
		t.Errorf("waiting are %+v", w)
	}
}

// A phone that was in time may finish, though the last code expires meanwhile.
func TestALinkInProgressOutlivesTheCodes(t *testing.T) {
	t.Parallel()
	n := setupWith(t, func(c *server.Config) { c.QRLife = server.QRLife{First: 3 * time.Second, Next: time.Millisecond} })
	n.phone("5491100000001", "Ana")
	c, codes := n.waiting()
	c.PrePairCallback = func(types.JID, string, string) bool {
		n.eventually("expiry of the last code", func() bool { return len(n.Server().Waiting()) == 0 })
		return true
	}
	if _, err := n.Server().Scan(t.Context(), "5491100000001", codes[0]); err != nil {
		t.Fatal(err)
	}
	await(c, func(*events.Connected) bool { return true })
}
