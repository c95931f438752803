package server_test

import (
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// refused lets a client that is not connected try to log in, and waits until it has been sent away.
func refused[E any](c *client) E {
	c.n.t.Helper()
	if err := c.Connect(); err != nil {
		c.n.t.Fatal(err)
	}
	event := await(c, func(E) bool { return true })
	c.gone()
	return event
}

// gone waits until the client has noticed that its connection was closed: to disconnect before is a data race in whatsmeow.
func (c *client) gone() {
	c.n.t.Helper()
	c.n.eventually("the end of the connection", func() bool { return !c.IsConnected() })
}

func TestLoginsFailAsWhatsAppSays(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	web, other := n.companion(ana), n.companion(ben)
	web.Disconnect()
	fail := func(f server.LoginFailure) {
		t.Helper()
		if err := n.Server().FailLogins("5491100000001", f); err != nil {
			t.Fatal(err)
		}
	}
	fail(server.LoginFailure{Reason: 405, Count: 1})
	refused[*events.ClientOutdated](web)
	fail(server.LoginFailure{Reason: 402, Code: 101, Expire: time.Hour, Count: 1})
	if ban := refused[*events.TemporaryBan](web); ban.Code != events.TempBanSentToTooManyPeople || ban.Expire != time.Hour {
		t.Errorf("the ban is %v", ban)
	}
	fail(server.LoginFailure{Reason: 409, Message: "bad-user-agent", Location: "frc", Count: 1})
	if f := refused[*events.ConnectFailure](web); f.Reason != events.ConnectFailureBadUserAgent || f.Message != "bad-user-agent" || f.Raw.Attrs["location"] != "frc" {
		t.Errorf("the failure is %+v", f)
	}
	// 503 and 500 have no event of their own: the client is disconnected and tries again, here twice in vain.
	fail(server.LoginFailure{Reason: 503, Count: 2})
	if err := web.Connect(); err != nil {
		t.Fatal(err)
	}
	connected := len(all[*events.Connected](web))
	until(web, func() bool {
		return len(all[*events.Disconnected](web)) == 2 && len(all[*events.Connected](web)) > connected
	})
	if left := n.Server().LoginFailures(); len(left) != 0 {
		t.Errorf("still in force: %v", left)
	}
	// An account's own failure goes before the one for all.
	if err := n.Server().FailLogins("", server.LoginFailure{Reason: 405}); err != nil {
		t.Fatal(err)
	}
	web.Disconnect()
	fail(server.LoginFailure{Reason: 402, Code: 104, Count: 1})
	if err := web.Connect(); err != nil {
		t.Fatal(err)
	}
	await(web, func(ban *events.TemporaryBan) bool {
		return ban.Code == events.TempBanSentTooManySameMessage && ban.Expire == 0
	})
	web.gone()
	other.Disconnect()
	refused[*events.ClientOutdated](other)
	ben.Disconnect()
	ben.connect() // phones are spared
	if err := n.Server().FailLogins("", server.LoginFailure{}); err != nil {
		t.Fatal(err)
	}
	other.connect()
	ben.text(*ana.Store.ID, "all is well")
	ana.receives("all is well")

	fails(t, n.Server().FailLogins("5491100000009", server.LoginFailure{Reason: 401}), server.ErrNoAccount)
	for _, f := range []server.LoginFailure{{Reason: 399}, {Reason: 600}, {Reason: 413}, {Reason: 414}, {Reason: 402, Code: -1}, {Reason: 402, Expire: -1}, {Reason: 401, Count: -1}} {
		fails(t, n.Server().FailLogins("", f), server.ErrFailureInvalid)
	}
}

func TestLogoutsHaveTheirReason(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	for _, reason := range []events.ConnectFailureReason{events.ConnectFailureLoggedOut, events.ConnectFailureMainDeviceGone, events.ConnectFailureUnknownLogout} {
		web := n.companion(ana)
		web.Disconnect()
		if err := n.Server().FailLogins("5491100000001", server.LoginFailure{Reason: int(reason)}); err != nil {
			t.Fatal(err)
		}
		if out := refused[*events.LoggedOut](web); !out.OnConnect || out.Reason != reason {
			t.Errorf("logged out with %+v, want %s", out, reason)
		}
		if err := n.Server().FailLogins("5491100000001", server.LoginFailure{}); err != nil {
			t.Fatal(err)
		}
	}
	if devices := n.Server().Devices("5491100000001"); len(devices) != 3 {
		t.Errorf("devices are %v", devices)
	}
}

func TestAnOutdatedClientGetsNoQRCode(t *testing.T) {
	t.Parallel()
	n := setup(t)
	if err := n.Server().FailLogins("", server.LoginFailure{Reason: 405, Count: 1}); err != nil {
		t.Fatal(err)
	}
	container := n.container()
	c := n.open(container, container.NewDevice(keystore.Options{}), "companion")
	items, err := c.GetQRChannel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused[*events.ClientOutdated](c)
	if item := <-items; item.Event != whatsmeow.QRChannelClientOutdated.Event {
		t.Errorf("the channel said %v", item)
	}
}

func TestStreamsEndAsWhatsAppSays(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	web, other := n.companion(ana), n.companion(ben)
	end := func(phone, kind string, want int) {
		t.Helper()
		if got, err := n.Server().StreamError(t.Context(), phone, kind); err != nil || got != want {
			t.Fatalf("%s ended %d connections (%v), want %d", kind, got, err, want)
		}
	}
	for i, kind := range []string{"515", "503", "500"} { // after 515 whatsmeow connects by itself, else the test does
		before := len(all[*events.Connected](web))
		end("5491100000001", kind, 1)
		until(web, func() bool { return len(all[*events.Connected](web)) == before+1 })
		if lost := len(all[*events.Disconnected](web)); lost != i {
			t.Errorf("disconnected %d times after %s", lost, kind)
		}
	}
	if e := all[*events.StreamError](web); len(e) != 1 || e[0].Code != "500" {
		t.Errorf("stream errors: %v", e)
	}
	end("5491100000001", "replaced", 1)
	await(web, func(*events.StreamReplaced) bool { return true })
	web.gone()
	web.connect()
	end("5491100000001", "device_removed", 1)
	if out := await(web, func(*events.LoggedOut) bool { return true }); out.OnConnect || out.Reason != events.ConnectFailureLoggedOut {
		t.Errorf("logged out with %+v", out)
	}
	web.gone()
	if devices := n.Server().Devices("5491100000001"); len(devices) != 0 {
		t.Errorf("devices are %v", devices)
	}
	n.eventually("nobody to be there", func() bool { // the client knows sooner than the server that its connection is gone
		got, err := n.Server().StreamError(t.Context(), "5491100000001", "503")
		return err == nil && got == 0
	})
	before := len(all[*events.Connected](other))
	end("", "503", 1)
	until(other, func() bool { return len(all[*events.Connected](other)) > before })
	if len(all[*events.Disconnected](ana))+len(all[*events.Disconnected](ben)) != 0 {
		t.Error("phones were disconnected")
	}
	_, err := n.Server().StreamError(t.Context(), "5491100000009", "503")
	fails(t, err, server.ErrNoAccount)
	_, err = n.Server().StreamError(t.Context(), "", "boom")
	fails(t, err, server.ErrStreamErrorInvalid)
}
