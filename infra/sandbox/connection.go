package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/sandbox/server"
	"github.com/chasqui/chasqui/infra/signalstore"
)

// loginTimeout is what a phone gives a connection to log in; it takes 0.1 s when nothing is in the way.
const loginTimeout = 20 * time.Second

// connection is one login of a phone, with a client of its own. It ends with its context: when the server closes it, or at the first
// event that could not be handled. From then on every event is refused, so the server keeps it and gives it to the next connection; were
// later ones still handled, they would overtake the one that failed.
type connection struct {
	phone  *phone
	client *whatsmeow.Client
	http   *http.Client // leads to the sandbox
	ctx    context.Context
	end    context.CancelCauseFunc
	up     chan struct{} // closed by the Connected event
	epoch  atomic.Uint32 // the newest key for app state that the client was given
}

// connect logs the phone in and sends what is due until the connection ends. It reports whether the login succeeded, and why it ended.
func (p *phone) connect(ctx context.Context) (loggedIn bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	device, err := p.device(ctx, end)
	if err != nil {
		return false, err
	}
	client := whatsmeow.NewClient(device, signalstore.SlogLogger(p.log))
	transport := loopback{addr: p.sandbox.dialAddr(), mark: p.sandbox.server.MarkPhone, base: &http.Transport{}}
	defer transport.base.CloseIdleConnections()
	c := &connection{phone: p, client: client, http: &http.Client{Transport: transport}, ctx: ctx, end: end, up: make(chan struct{})}
	client.EnableAutoReconnect = false
	// The server is told of a message only when handle has committed it, and a copy that comes after a crash can be decrypted again.
	client.SynchronousAck = true
	client.EnableDecryptedEventBuffer = true
	client.SetForceActiveDeliveryReceipts(true)
	client.EmitAppStateEventsOnFullSync = true // a phone is to show the first change of each collection too
	client.GetMessageForRetry = func(_, _ types.JID, id types.MessageID) *waE2E.Message { return p.sentAgain(ctx, id) }
	client.AddEventHandlerWithSuccessStatus(c.handle)
	client.SetWebsocketHTTPClient(c.http)
	client.SetMediaHTTPClient(c.http)

	// The client ends with ctx, not by Client.Disconnect: that would be a data race, with a call of a nil function in it, when the server
	// closes the connection at the same moment (socket/noisesocket.go, Stop, against socket/framesocket.go, Close).
	client.BackgroundEventCtx = ctx
	if err := client.ConnectContext(ctx); err != nil {
		return false, fmt.Errorf("connect phone: %w", err)
	}
	login := time.NewTimer(loginTimeout)
	defer login.Stop()
	select {
	case <-c.up:
	case <-login.C:
		return false, errors.New("the server did not log the phone in")
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	p.setCurrent(c)
	defer p.setCurrent(nil)
	var work sync.WaitGroup
	work.Go(func() { c.answerMediaRetries(ctx) })
	work.Go(func() { c.servePeers(ctx) })
	c.drain(ctx)
	work.Wait()
	return true, context.Cause(ctx)
}

// device loads the phone's Signal store, or makes it from the account's keys the first time. A store that fails ends the connection, since
// it refuses everything from then on.
func (p *phone) device(ctx context.Context, failed func(error)) (*store.Device, error) {
	account, ok := p.sandbox.server.Account(p.number)
	if !ok {
		return nil, fmt.Errorf("load account %s: %w", p.number, server.ErrNoAccount)
	}
	jid := types.NewJID(p.number, types.DefaultUserServer)
	return p.sandbox.store.Adopt(ctx, &store.Device{
		NoiseKey:       account.Noise,
		IdentityKey:    account.Identity,
		SignedPreKey:   account.SignedPreKey,
		RegistrationID: account.RegistrationID,
		AdvSecretKey:   make([]byte, 32), // used in linking alone, which a phone's own store never goes through
		ID:             &jid,
		LID:            types.NewJID(account.LID, types.HiddenUserServer),
		PushName:       account.Name,
	}, keystore.Options{OnFailure: failed})
}

// handle takes whatsmeow's events. false leaves the stanza unacknowledged. A panic is caught here, because whatsmeow takes one for success.
func (c *connection) handle(evt any) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			c.phone.log.Error("sandbox: phone's event handler panicked", "panic", r)
			c.end(fmt.Errorf("handler panicked: %v", r))
			ok = false
		}
	}()
	if c.ctx.Err() != nil {
		return false
	}
	switch e := evt.(type) {
	case *events.Message:
		if e.Info.Chat.Server == types.NewsletterServer {
			c.notePost(e)
			return true
		}
		take := c.show
		if e.Info.Category == "peer" {
			take = c.takePeer
		}
		if err := take(e); err != nil {
			if c.ctx.Err() == nil {
				c.phone.log.Warn("sandbox: phone cannot show a message yet", "id", e.Info.ID, "error", err)
			}
			c.end(err)
			return false
		}
	case *events.Receipt:
		if peer, err := c.phone.settle(c.ctx, e); err != nil {
			c.end(err)
			return false
		} else if peer {
			break
		}
		c.phone.tick(e)
		c.phone.events.note("receipt", map[string]any{
			"ids": e.MessageIDs, "type": cmp.Or(string(e.Type), "delivered"), "chat": e.Chat, "from": e.Sender, "fromMe": e.IsFromMe, "timestamp": e.Timestamp.UTC(),
		})
	case *events.AppState:
		c.phone.noteAppState(e)
	case *events.JoinedGroup:
		c.noteEntered(e)
	case *events.GroupInfo:
		c.noteGroup(e)
	case *events.Presence, *events.ChatPresence, *events.Picture, *events.UserAbout, *events.Blocklist, *events.PrivacySettings, *events.PushName,
		*events.BusinessName:
		c.noteProfile(e)
	case *events.NewsletterJoin, *events.NewsletterLeave, *events.NewsletterMuteChange, *events.NewsletterLiveUpdate:
		c.noteChannel(e)
	case *events.CallOffer, *events.CallOfferNotice, *events.CallAccept, *events.CallReject, *events.CallTerminate:
		c.noteCall(e)
	case *events.UndecryptableMessage:
		c.phone.log.Warn("sandbox: phone could not decrypt a message and asked for it again", "id", e.Info.ID, "from", e.Info.Sender)
	case *events.Connected:
		close(c.up)
	case *events.Disconnected:
		c.end(errors.New("the server closed the connection"))
	case *events.KeepAliveTimeout:
		c.end(errors.New("the server did not answer a ping"))
	case *events.StreamError:
		c.end(fmt.Errorf("stream error %s", e.Code))
	case events.PermanentDisconnect:
		c.end(errors.New(e.PermanentDisconnectDescription()))
	}
	return true
}

// show commits a message that the phone decrypted, once it has its file too, and queues the reply it owes.
func (c *connection) show(e *events.Message) error {
	if e.Info.Category == "peer" {
		return nil
	}
	m, err := c.read(e)
	if err != nil || m.Type == "" {
		return err
	}
	seen := &seenMessage{Message: m, Chat: e.Info.Chat.String(), Sender: e.Info.Sender.ToNonAD().String()}
	if seen.Raw, err = proto.Marshal(e.Message); err != nil {
		return fmt.Errorf("marshal message seen: %w", err)
	}
	if file := fileOf(e.Message); file != nil {
		if seen.Media, seen.File, err = c.receive(c.ctx, file); err != nil {
			return err
		}
		inner, _ := unwrap(e.Message)
		seen.PTV = inner.GetPtvMessage() != nil
	}
	replies, err := c.phone.show(c.ctx, seen)
	if err != nil {
		return err
	}
	c.phone.shown.fire()
	if replies {
		c.phone.wake()
	}
	return nil
}

// numberOf turns a user's address into the phone number; alt is the same user's other address, where the stanza gave it.
func (c *connection) numberOf(jid, alt types.JID) (string, error) {
	switch {
	case jid.Server == types.DefaultUserServer:
		return jid.User, nil
	case alt.Server == types.DefaultUserServer:
		return alt.User, nil
	}
	pn, err := c.client.Store.LIDs.GetPNForLID(c.ctx, jid.ToNonAD())
	if err != nil {
		return "", fmt.Errorf("find number of %s: %w", jid, err)
	}
	if pn.IsEmpty() {
		return "", fmt.Errorf("find number of %s: not known", jid)
	}
	return pn.User, nil
}

// markRead sends one read receipt and then a ping: stanzas of one connection are taken in order, so the answer to the ping says that the
// receipt was taken too, which whatsmeow does not wait for.
func (c *connection) markRead(ctx context.Context, batch []*seenMessage) error {
	chat, err := types.ParseJID(batch[0].Chat)
	if err != nil {
		return fmt.Errorf("read chat of message seen: %w", err)
	}
	sender := types.EmptyJID // named where there may be several
	if chat.Server != types.DefaultUserServer && chat.Server != types.HiddenUserServer {
		if sender, err = types.ParseJID(batch[0].Sender); err != nil {
			return fmt.Errorf("read sender of message seen: %w", err)
		}
	}
	ids := make([]types.MessageID, len(batch))
	for i, m := range batch {
		ids[i] = m.ID
	}
	if err := c.client.MarkRead(ctx, ids, time.Now(), chat, sender); err != nil {
		return failure(http.StatusServiceUnavailable, "the read receipt could not be sent: %v", err)
	}
	// A connection that ends meanwhile counts as an answer, but then it is no longer connected.
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API can neither ping nor send an iq of one's own
	if answered, _ := c.client.DangerousInternals().SendKeepAlive(ctx); !answered || !c.client.IsConnected() {
		return failure(http.StatusGatewayTimeout, "the server has not taken the read receipt yet")
	}
	return nil
}

// loopback leads whatsmeow's fixed addresses to the sandbox's own listener, with the mark of a phone.
type loopback struct {
	addr string
	mark func(http.Header)
	base *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (t loopback) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", t.addr
	t.mark(r.Header)
	return t.base.RoundTrip(r)
}
