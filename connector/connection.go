package connector

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/trace"
)

const (
	// unlinkTimeout bounds the unlinking of a device, reaching WhatsApp included.
	unlinkTimeout = 10 * time.Second
	// handlerTimeout bounds one event's transaction; whatsmeow gives up the order of events after 5 minutes (client.go, handlerQueueLoop).
	handlerTimeout = 10 * time.Second
)

// errClosed is why a connection refuses what comes after its end.
var errClosed = errors.New("the connection was closed")

// connection is one login with a client and a device of its own, made anew each time: a device whose store has failed once refuses
// everything from then on, and a client keeps what it knew before. Its context ends with the first thing that could not be handled, its
// device is broken and its line is cut. From then on nothing is noted as handled or acknowledged any more, so that WhatsApp keeps what comes
// and delivers it to the next connection in order.
type connection struct {
	s        *session
	proxy    events.ProxyURL // that it goes through; "" is none
	client   *whatsmeow.Client
	device   *store.Device
	ctx      context.Context
	fail     context.CancelCauseFunc // ends ctx, breaks the device and cuts the line
	line     *line
	intake   *intake
	socket   context.Context // of whatsmeow's goroutines for the socket; it outlives ctx, see close
	hangUp   context.CancelFunc
	byLID    bool // the phone keeps its chats by LID
	echoes   echoes
	signals  chan any       // what whatsmeow says about the connection itself, for the supervisor
	work     sync.WaitGroup // handlers
	dialled  chan struct{}  // closed when dialling has ended; nil before it begins
	groups   groupMemory
	channels channelMemory
	states   stateKeeping
	asking   chan struct{} // holds one while somebody asks for a pairing code
	stale    atomic.Bool   // the first of the QR codes has ended, and with it the time in which a pairing code lives long
	passkey  passkey

	presenting sync.Mutex // held while the account's presence is told
	typists    typists
	toRead     chan struct{} // holds one: messages have come that are to be read by themselves

	mu         sync.Mutex
	closed     bool
	name       string      // the account's, once it is known
	attends    time.Time   // until when the account is there because it types
	leave      *time.Timer // when that ends; nil before it first was so
	renewing   bool        // subscriptions to presence are being renewed
	renewAgain bool        // and are to be once more
}

// open loads the linked device, or makes a new one to be linked, and a client for it.
func (s *session) open() (*connection, error) {
	conn := &connection{s: s, line: newLine(s.holds), intake: newIntake(signalstore.SlogLogger(s.log)), signals: make(chan any, 16), toRead: make(chan struct{}, 1), asking: make(chan struct{}, 1)}
	conn.intake.peers.line = conn.line
	settings := s.settings()
	conn.proxy = settings.Proxy
	var end context.CancelCauseFunc
	conn.ctx, end = context.WithCancelCause(context.WithoutCancel(s.ctx))
	linked := false
	conn.fail = func(cause error) {
		end(cause)
		if linked { // else there is no message that it could take for done
			signalstore.Break(conn.device, cause)
		}
		conn.line.cut()
	}
	conn.socket, conn.hangUp = context.WithCancel(context.WithoutCancel(s.ctx))
	options := signalstore.Options{
		Fence: signalstore.Fence{
			Query: `SELECT 1 FROM public.claims WHERE session = $1 AND owner = $2 AND epoch = $3 AND expires_at > clock_timestamp() FOR KEY SHARE`,
			Args:  []any{s.id, s.c.cfg.Owner, s.epoch},
		},
		OnFailure: conn.fail,
		OnSave: func(ctx context.Context, tx signalstore.Tx, jid types.JID) error {
			return s.link(ctx, tx, jid, conn.device.LID)
		},
		OnState: conn.stateStored,
	}
	ctx, cancel := context.WithTimeout(s.ctx, handlerTimeout)
	defer cancel()
	var err error
	if conn.device, err = s.load(ctx, options); err == nil {
		linked = conn.device.ID != nil
		err = conn.oweStates(ctx)
	}
	if err == nil {
		conn.client, err = newClient(conn.device, s.c.cfg, conn.line, conn.proxy, conn.intake)
	}
	if err != nil {
		conn.fail(err)
		conn.hangUp()
		return nil, err
	}
	if settings.DeviceName != "" {
		nameDevice(conn.client, settings.DeviceName)
	}
	conn.byLID, conn.name = conn.device.LIDMigrationTimestamp > 0, pushName(conn.device.PushName) // before whatsmeow works on the device
	conn.client.BackgroundEventCtx = conn.ctx
	conn.client.AddEventHandlerWithSuccessStatus(conn.handle)
	return conn, nil
}

// load returns the session's device, or a new one. A connection may have ended between the transaction that linked a device and the news of
// it, so the row is asked; a device noted there without keys is one whose linking WhatsApp never heard of.
func (s *session) load(ctx context.Context, options signalstore.Options) (*store.Device, error) {
	if s.jid != nil {
		return s.c.store.Device(ctx, *s.jid, options)
	}
	noted, err := s.c.queries.SessionDevice(ctx, s.c.pool, s.id)
	if err != nil {
		return nil, fmt.Errorf("read linked device: %w", err)
	}
	if noted == nil {
		return s.c.store.NewDevice(options), nil
	}
	jid, err := types.ParseJID(*noted)
	if err != nil {
		return nil, fmt.Errorf("parse linked device: %w", err)
	}
	device, err := s.c.store.Device(ctx, jid, options)
	if errors.Is(err, signalstore.ErrNoDevice) {
		return s.c.store.NewDevice(options), nil
	}
	if err == nil {
		s.jid = &jid
	}
	return device, err
}

// close ends the login: the command in hand has a moment to end unless the claim is lost, then nothing can be sent or acknowledged any
// more, and all handlers have returned.
func (c *connection) close() {
	s := c.s
	s.setConn(nil)
	s.setUnlinked(nil)
	// A send whose connection is lost would wait 5 s for another, which this client never has (request.go, retryFrame).
	//nolint:staticcheck // SA1019: whatsmeow's only other way to say so is Disconnect, see line
	c.client.DangerousInternals().ExpectDisconnect()
	if !errors.Is(context.Cause(s.ctx), errClaimLost) && c.ctx.Err() == nil {
		timer := time.NewTimer(drainWait)
		select {
		case s.inHand <- struct{}{}:
			<-s.inHand
		case <-timer.C:
		case <-c.ctx.Done():
		}
		timer.Stop()
	}
	c.mu.Lock()
	c.closed = true
	if c.leave != nil {
		c.leave.Stop()
	}
	c.mu.Unlock()
	c.fail(errClosed)
	// A query of whatsmeow's that the end cut off waits 5 s for the client to connect again (request.go, retryFrame), whatever its context says,
	// unless the end was expected: queries and sends in hand would hold up the next login.
	c.client.DangerousInternals().ExpectDisconnect() //nolint:staticcheck // SA1019: whatsmeow has no other way but Disconnect, see line
	c.work.Wait()
	// whatsmeow's consumer of frames ends with the context of the socket, and a reader that has a frame left for it would wait for ever: so
	// the reader ends first. A handshake does not notice the cut and waits 20 s for its answer (handshake.go, doHandshake). Failure policy: what
	// does not end within a second is left, on a connection that is closed.
	late, stop := context.WithTimeout(context.Background(), drainWait)
	for _, ended := range []<-chan struct{}{c.line.idle, c.dialled} {
		if ended == nil {
			continue
		}
		select {
		case <-ended:
		case <-late.Done():
			s.log.WarnContext(s.ctx, "the socket was cut and did not come to rest")
		}
	}
	stop()
	c.hangUp()
	s.inHand <- struct{}{} // the command has seen the end of the connection
	<-s.inHand
}

// appear tells WhatsApp the account's name and whether it is there; by default it is not, so that the owner's phone goes on notifying. Without a name, which
// comes with the account's settings, there is nothing to tell; it is called again when the name comes. whatsmeow's SendPresence reads the
// name from the store while its own goroutines write it there (appstate.go, dispatchAppState). Failure policy: best effort.
func (c *connection) appear(name string) {
	if name == "" {
		return
	}
	c.mu.Lock()
	c.name = name
	c.mu.Unlock()
	c.present()
}

// handle takes whatsmeow's events; false leaves a stanza unacknowledged. A panic is caught here, because whatsmeow takes one for success
// (client.go, dispatchEvent) and the message would be gone.
func (c *connection) handle(evt any) (ok bool) {
	if !c.s.holds() || !c.enter() {
		c.fail(errClosed) // before whatsmeow goes on: close may not have come to it
		return false
	}
	defer c.work.Done()
	defer func() {
		if p := recover(); p != nil {
			c.s.log.ErrorContext(c.ctx, "handler panicked", "event", fmt.Sprintf("%T", evt), "panic", p, "stack", string(debug.Stack()))
			c.fail(fmt.Errorf("handle %T: panic", evt))
			ok = false
		}
	}()
	ctx, cancel := context.WithTimeout(c.ctx, handlerTimeout)
	defer cancel()
	if c.s.c.handling != nil {
		c.s.c.handling(evt)
	}
	if entry, ok := asState(evt); c.ignored(evt) || ok && !c.states.begins(entry) {
		c.stateHandled(ctx, c.states.ends(evt))
		return true
	}
	started := time.Now()
	var err error
	switch e := evt.(type) {
	case *waevents.Message:
		defer func() { c.s.c.metrics.seconds.WithLabelValues("message").Observe(time.Since(started).Seconds()) }()
		within, span := c.s.c.cfg.Tracer.Start(ctx, "whatsapp receive", trace.Consumer)
		defer span.End()
		span.Set("session", c.s.id)
		handled := func() {}
		if e.Info.Category == "peer" {
			handled = c.intake.peers.begins(e.Info.ID)
		}
		if err = c.received(within, e); err == nil {
			handled()
		} else {
			span.Fail("error")
		}
	case *waevents.UndecryptableMessage:
		err = c.undecryptable(ctx, e)
	case *waevents.Receipt:
		err = c.receipt(ctx, e)
	case *waevents.MediaRetry:
		err = c.mediaRetried(ctx, e)
	case *waevents.JoinedGroup:
		err = c.joinedGroup(ctx, e)
	case *waevents.Presence:
		err = c.cameOrWent(ctx, e)
	case *waevents.ChatPresence:
		err = c.heardTyping(ctx, e)
	case *waevents.CallOffer:
		_, video := e.Data.GetOptionalChildByTag("video")
		err = c.callOffered(ctx, e.BasicCallMeta, video)
	case *waevents.CallOfferNotice:
		err = c.callOffered(ctx, e.BasicCallMeta, e.Media == "video")
	case *waevents.CallAccept:
		err = c.callAccepted(ctx, e)
	case *waevents.CallReject:
		err = c.callRejected(ctx, e)
	case *waevents.CallTerminate:
		err = c.callTerminated(ctx, e)
	case *waevents.GroupInfo:
		err = c.groupChanged(ctx, e)
	case *waevents.NewsletterJoin:
		err = c.joinedChannel(ctx, e)
	case *waevents.NewsletterLeave:
		err = c.leftChannel(ctx, e)
	case *waevents.NewsletterMuteChange:
		err = c.mutedChannel(ctx, e)
	case *waevents.NewsletterLiveUpdate:
		err = c.countedPosts(ctx, e)
	case *waevents.Star:
		err = c.starred(ctx, e)
	case *waevents.DeleteForMe:
		err = c.deletedForMe(ctx, e)
	case *waevents.NotifyAccountReachoutTimelock:
		err = c.restricted(ctx, e)
	case *waevents.Contact:
		err = c.contactSaved(ctx, e)
	case *waevents.PushName:
		err = c.pushNamed(ctx, e)
	case *waevents.BusinessName:
		err = c.businessNamed(ctx, e)
	case *waevents.Picture:
		err = c.pictured(ctx, e)
	case *waevents.UserAbout:
		err = c.wroteAbout(ctx, e)
	case *waevents.PushNameSetting:
		err = c.renamed(ctx, e)
	case *waevents.Blocklist:
		err = c.blocklisted(ctx, e)
	case *waevents.AppStateSyncComplete:
		c.stateSynced(e)
	case *waevents.Archive:
		err = c.chatArchived(ctx, e)
	case *waevents.Pin:
		err = c.chatPinned(ctx, e)
	case *waevents.Mute:
		err = c.chatMuted(ctx, e)
	case *waevents.MarkChatAsRead:
		err = c.chatMarked(ctx, e)
	case *waevents.ClearChat:
		err = c.emptied(ctx, e.JID, e.Action.GetMessageRange(), e.Timestamp, false)
	case *waevents.DeleteChat:
		err = c.emptied(ctx, e.JID, e.Action.GetMessageRange(), e.Timestamp, true)
	case *waevents.LabelEdit:
		err = c.labelEdited(ctx, e)
	case *waevents.LabelAssociationChat:
		err = c.chatLabeled(ctx, e)
	case *waevents.QR, *waevents.PairSuccess, *waevents.PairError, *waevents.PairPasskeyRequest, *waevents.PairPasskeyConfirmation,
		*waevents.PairPasskeyError, *waevents.Connected, *waevents.Disconnected,
		*waevents.ManualLoginReconnect, *waevents.StreamError, *waevents.KeepAliveTimeout, waevents.PermanentDisconnect:
		select {
		case c.signals <- evt:
		case <-c.ctx.Done():
			return false
		}
	}
	if err != nil {
		c.fail(fmt.Errorf("handle %T: %w", evt, err))
		return false
	}
	c.stateHandled(ctx, c.states.ends(evt))
	return true
}
