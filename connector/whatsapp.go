package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/store"
	waLog "go.mau.fi/whatsmeow/util/log"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/redirect"
	"github.com/chasqui/chasqui/infra/steady"
)

const (
	// defaultDeviceName is what the phone's list of linked devices shows for a session that names nothing else.
	defaultDeviceName = "chasqui"
	// retriesAtOnce bounds the answers to retry receipts that a client works on. whatsmeow starts a goroutine for each receipt and, unbounded,
	// a query as well; the device's lock lets them encrypt only one at a time.
	retriesAtOnce = 4
)

// errProxy says that a session's proxy is none. The API takes no such one.
var errProxy = errors.New("the session's proxy is not understood")

// publicOnly is the guard of a connector that was given none.
var publicOnly = netguard.New(netguard.Config{})

// newClient returns a client of the device that loses nothing that an event handler with a success status refuses. It is to be connected
// once: it does not connect again by itself, neither when its connection ends nor after pairing, because only the supervisor knows whether
// the session's claim still holds, and spreads the reconnects of many sessions. Its socket is on the line: cut that to end it, and never
// call Client.Disconnect.
//
// Everything goes through the proxy, if there is one: both its sockets and its media, also where they are redirected. Which addresses a proxy may
// have the guard says.
func newClient(device *store.Device, cfg Config, l *line, proxy events.ProxyURL, log waLog.Logger) (*whatsmeow.Client, error) {
	client := whatsmeow.NewClient(device, log)
	client.EnableAutoReconnect = false
	client.DisableLoginAutoReconnect = true
	// What an event handler has not finished with stays with the server. Without this, receipts and notifications are acknowledged first.
	client.SynchronousAck = true
	// A message's plaintext is kept until its handler has succeeded: a copy delivered again cannot be decrypted a second time. Without
	// this it is dropped as an old counter, and receipted. The device's lock depends on it too.
	client.EnableDecryptedEventBuffer = true
	// Recipients that cannot decrypt a message ask for it again, also after a restart; else they see "Waiting for this message" for good.
	client.UseRetryMessageStore = true
	client.SetMaxParallelRetryReceiptHandling(retriesAtOnce)
	// What this device cannot decrypt, the phone is asked for.
	client.AutomaticMessageRerequestFromPhone = true
	client.SendReportingTokens = true
	// History is loaded by a command that survives crashes; whatsmeow would do it in the background, once.
	client.ManualHistorySyncDownload = true
	// What the phone has set before the device was linked.
	client.EmitAppStateEventsOnFullSync = true
	nameDevice(client, defaultDeviceName)
	if err := trust(cfg.WhatsAppRootKey); err != nil {
		return nil, err
	}
	direct, onLine := http.DefaultTransport.(*http.Transport).Clone(), http.DefaultTransport.(*http.Transport).Clone()
	onLine.DialContext = l.dial
	if proxy != "" {
		address, err := netguard.ParseProxy(string(proxy))
		if err != nil {
			return nil, errProxy
		}
		dialer := newDialer(cmp.Or(cfg.Guard, publicOnly))
		onLine.Proxy, direct.Proxy = http.ProxyURL(address), http.ProxyURL(address)
		direct.DialContext = dialer.DialContext
		onLine.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return l.dialBy(ctx, dialer, network, address)
		}
	}
	socket, err := redirect.To(cfg.WhatsAppURL, onLine)
	if err != nil {
		return nil, err
	}
	media, err := redirect.To(cfg.WhatsAppURL, direct)
	if err != nil {
		return nil, err
	}
	client.SetPreLoginHTTPClient(&http.Client{Transport: socket})
	client.SetWebsocketHTTPClient(&http.Client{Transport: socket})
	// whatsmeow bounds an upload by its context alone, and a session sends nothing else meanwhile.
	client.SetMediaHTTPClient(&http.Client{Transport: steady.Transport{Base: media}})
	return client, nil
}

// nameDevice sets what the phone's list of linked devices will show for a client that is not linked yet. whatsmeow's own setting,
// store.DeviceProps, is one for the process.
func nameDevice(client *whatsmeow.Client, name string) {
	client.GetClientPayload = func() *waWa6.ClientPayload {
		payload := client.Store.GetClientPayload()
		if pairing := payload.GetDevicePairingData(); pairing != nil {
			props := proto.CloneOf(store.DeviceProps)
			props.Os = proto.String(name)
			// A message of scalar fields always marshals; whatsmeow ignores this error too.
			pairing.DeviceProps, _ = proto.Marshal(props)
		}
		return payload
	}
}

// whatsAppRoot is the certificate root of WhatsApp's own servers.
var whatsAppRoot = whatsmeow.WACertPubKey

var trusting sync.Mutex

// trust makes the clients of this process accept servers with another certificate root; an empty one leaves WhatsApp's own. whatsmeow keeps
// the root in one variable and reads it unlocked at every handshake: it is written once, and not at all when it is set already.
func trust(root []byte) error {
	if len(root) == 0 {
		return nil
	}
	if len(root) != len(whatsAppRoot) {
		return fmt.Errorf("use WHATSAPP_ROOT_KEY: it has %d bytes, not %d", len(root), len(whatsAppRoot))
	}
	trusting.Lock()
	defer trusting.Unlock()
	switch whatsmeow.WACertPubKey {
	case [32]byte(root):
	case whatsAppRoot:
		whatsmeow.WACertPubKey = [32]byte(root)
	default:
		return fmt.Errorf("use WHATSAPP_ROOT_KEY: this process already trusts another root")
	}
	return nil
}
