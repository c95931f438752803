package server_test

import (
	"errors"
	"strings"
	"testing"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// asks has a waiting client ask a pairing code for a number.
func (c *client) asks(number string) string {
	c.n.t.Helper()
	code, err := c.PairPhone(c.n.t.Context(), number, true, whatsmeow.PairClientChrome, "Chrome (Linux)")
	if err != nil {
		c.n.t.Fatal(err)
	}
	return code
}

func TestPairsByCode(t *testing.T) {
	t.Parallel()
	told := make(chan string, 10)
	n := setupWith(t, func(c *server.Config) {
		c.Notify = func(phone, kind string, data map[string]any) {
			told <- phone + " " + kind + " " + data["client"].(string)
		}
	})
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	c, _ := n.waiting()
	code := c.asks("5491100000001")
	if got := <-told; got != "5491100000001 pairing_code_requested Chrome (Linux)" {
		t.Errorf("the owner was told %q", got)
	}
	if w := n.Server().Waiting(); len(w) != 1 || w[0].Phone != "5491100000001" || w[0].Client.Browser != "Chrome (Linux)" {
		t.Errorf("waiting are %+v", w)
	}
	// As the owner types it.
	jid, err := n.Server().EnterCode(t.Context(), "5491100000001", " "+strings.ToLower(strings.Replace(code, "-", " - ", 1)))
	if err != nil {
		t.Fatal(err)
	}
	await(c, func(e *events.PairSuccess) bool { return e.ID == jid && e.LID.User == ana.Store.LID.User })
	await(c, func(*events.Connected) bool { return true })
	if devices := n.Server().Devices("5491100000001"); len(devices) != 1 || devices[0] != jid || *c.Store.ID != jid {
		t.Errorf("devices are %v, linked %s", devices, jid)
	}
	_, err = n.Server().EnterCode(t.Context(), "5491100000001", code)
	fails(t, err, server.ErrCodeExpired)
	n.restart(ana, ben, c)
	c.text(*ben.Store.ID, "linked by code")
	ben.receives("linked by code")
	if w := n.Server().Waiting(); len(w) != 0 {
		t.Errorf("waiting are %+v", w)
	}
}

func TestEnteringACodeTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	n := setup(t)
	n.phone("5491100000001", "Ana")
	n.phone("5491100000002", "Ben")
	for _, code := range []string{"", "ABCD-EFG", "ABCD-EFGHJ", "ABCD_EFGH", "ÁBCD-EFGH"} {
		_, err := n.Server().EnterCode(t.Context(), "5491100000001", code)
		fails(t, err, server.ErrCodeInvalid)
	}
	_, err := n.Server().EnterCode(t.Context(), "5491100000009", "ABCD-EFGH")
	fails(t, err, server.ErrNoAccount)
	_, err = n.Server().EnterCode(t.Context(), "5491100000001", "ABCD-EFGH")
	fails(t, err, server.ErrCodeNotRequested)

	c, _ := n.waiting()
	code := c.asks("5491100000001")
	_, err = n.Server().EnterCode(t.Context(), "5491100000002", code)
	fails(t, err, server.ErrCodeNotRequested)
	wrong := "1111-1111"
	for range 2 {
		_, err = n.Server().EnterCode(t.Context(), "5491100000001", wrong)
		fails(t, err, server.ErrCodeWrong)
	}
	// Another code for another number takes the first one's place.
	other := c.asks("5491100000002")
	_, err = n.Server().EnterCode(t.Context(), "5491100000001", code)
	fails(t, err, server.ErrCodeExpired)
	c.PrePairCallback = func(types.JID, string, string) bool { return false }
	_, err = n.Server().EnterCode(t.Context(), "5491100000002", other)
	fails(t, err, server.ErrRefused)
	_, err = n.Server().EnterCode(t.Context(), "5491100000002", other)
	fails(t, err, server.ErrCodeExpired)
	await(c, func(*events.PairError) bool { return true })

	// What the wrong code did to the companion did no harm to the right one.
	d, _ := n.waiting()
	code = d.asks("5491100000001")
	_, err = n.Server().EnterCode(t.Context(), "5491100000001", wrong)
	fails(t, err, server.ErrCodeWrong)
	if _, err = n.Server().EnterCode(t.Context(), "5491100000001", code); err != nil {
		t.Fatal(err)
	}
	await(d, func(*events.Connected) bool { return true })
}

func TestACompanionThatAsksWronglyGetsNoCode(t *testing.T) {
	t.Parallel()
	n := setup(t)
	n.phone("5491100000001", "Ana")
	c, _ := n.waiting()
	for _, w := range []struct {
		phone, display string
		code           int
	}{{"5491100000009", "Chrome (Linux)", 404}, {"5491100000001", "Chrome", 400}, {"5491100000001", "", 400}} {
		_, err := c.PairPhone(t.Context(), w.phone, true, whatsmeow.PairClientChrome, w.display)
		if refused := (*whatsmeow.IQError)(nil); !errors.As(err, &refused) || refused.Code != w.code {
			t.Errorf("%q for %s: %v, want %d", w.display, w.phone, err, w.code)
		}
	}
	// What is not due is refused, and known.
	for _, q := range [][3]string{{"md", "get", "ref"}, {"md", "get", "passkey_request_options"}, {"md", "set", "companion_nonce"}, {"md", "set", "link_code_companion_reg"}} {
		if _, err := c.query(q[0], q[1], waBinary.Node{Tag: q[2]}); err == nil {
			t.Errorf("%v was answered", q)
		}
	}
}

// A restart in the middle of a pairing loses what was asked, and nothing else: the companion connects anew and asks again.
func TestARestartForgetsWhoWaits(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	c, codes := n.waiting()
	code := c.asks("5491100000001")
	n.stop()
	n.start()
	until(c, func() bool { return len(all[*events.QR](c)) == 2 })
	_, err := n.Server().Scan(t.Context(), "5491100000001", codes[0])
	fails(t, err, server.ErrQRExpired)
	_, err = n.Server().EnterCode(t.Context(), "5491100000001", code)
	fails(t, err, server.ErrCodeNotRequested)
	until(ana, func() bool { return len(all[*events.Connected](ana)) == 2 })
	code = c.asks("5491100000001")
	if _, err := n.Server().EnterCode(t.Context(), "5491100000001", code); err != nil {
		t.Fatal(err)
	}
	await(c, func(*events.Connected) bool { return true })
}

// A restart after the companion was told of its success, before it has signed: it cannot say so, drops its side, and no device is left.
func TestARestartBeforeTheSignatureLinksNothing(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	container := n.container()
	c := n.open(container, container.NewDevice(keystore.Options{}), "companion")
	c.stays = true
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	codes := await[*events.QR](c, func(*events.QR) bool { return true }).Codes
	asked, restarted := make(chan struct{}), make(chan struct{})
	c.PrePairCallback = func(types.JID, string, string) bool {
		close(asked)
		<-restarted
		return true
	}
	result := make(chan error)
	go func() {
		_, err := n.Server().Scan(t.Context(), "5491100000001", codes[0])
		result <- err
	}()
	<-asked
	n.stop() // and it stays down until the companion has given up
	fails(t, <-result, server.ErrQRExpired)
	await(c, func(*events.Disconnected) bool { return true })
	close(restarted)
	await(c, func(*events.PairError) bool { return true })
	n.start()
	until(ana, func() bool { return len(all[*events.Connected](ana)) == 2 })
	if devices := n.Server().Devices("5491100000001"); len(devices) != 0 {
		t.Errorf("devices are %v", devices)
	}
	if c.Store.ID != nil {
		t.Errorf("the companion is still %s", c.Store.ID)
	}
}
