package connector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/signalstore"
)

const (
	// loginTimeout bounds the time from dialling to being logged in or shown QR codes; without trouble it takes 0.2 s.
	loginTimeout = 45 * time.Second
	// pairedTimeout is what WhatsApp is given after pairing to ask for the login that follows it, before it is made unasked.
	pairedTimeout = 10 * time.Second
	// unlinkTimeout bounds the unlinking of a device, reaching WhatsApp included.
	unlinkTimeout = 10 * time.Second
	// pingsMost is how many unanswered pings end a connection. whatsmeow pings every 20-30 s (keepalive.go).
	pingsMost = 2
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
	s       *session
	client  *whatsmeow.Client
	device  *store.Device
	ctx     context.Context
	fail    context.CancelCauseFunc // ends ctx, breaks the device and cuts the line
	line    *line
	intake  *intake
	socket  context.Context // of whatsmeow's goroutines for the socket; it outlives ctx, see close
	hangUp  context.CancelFunc
	byLID   bool // the phone keeps its chats by LID
	echoes  echoes
	signals chan any       // what whatsmeow says about the connection itself, for the supervisor
	work    sync.WaitGroup // handlers
	dialled chan struct{}  // closed when dialling has ended; nil before it begins
	groups  groupMemory

	mu     sync.Mutex
	closed bool
	name   string      // the account's, once it is known
	leave  *time.Timer // when the account is to be unavailable again; nil before it first was available
}

// connect makes a connection and keeps it until it ends or something else is asked of the session.
func (s *session) connect() ending {
	conn, err := s.open()
	switch {
	case errors.Is(err, signalstore.ErrNoDevice):
		return ending{state: events.StateLoggedOut, reason: "the device's keys are gone; link it again", logout: true}
	case err != nil:
		s.log.WarnContext(s.ctx, "device cannot be loaded", "error", err)
		s.untried()
		e := s.retry("the database does not answer", 0)
		e.after = databaseWait + rand.N(databaseWait) // it says nothing of WhatsApp, whose waits grow
		return e
	}
	defer conn.close()
	return conn.run()
}

// open loads the linked device, or makes a new one to be linked, and a client for it.
func (s *session) open() (*connection, error) {
	conn := &connection{s: s, line: newLine(s.holds), intake: newIntake(signalstore.SlogLogger(s.log)), signals: make(chan any, 16)}
	conn.intake.peers.line = conn.line
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
	}
	ctx, cancel := context.WithTimeout(s.ctx, handlerTimeout)
	defer cancel()
	var err error
	if conn.device, err = s.load(ctx, options); err == nil {
		linked = conn.device.ID != nil
		conn.client, err = newClient(conn.device, s.c.cfg, conn.line, conn.intake)
	}
	if err != nil {
		conn.fail(err)
		conn.hangUp()
		return nil, err
	}
	if settings := s.settings(); settings.DeviceName != "" {
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

// retry is the ending of a connection that is to be made again.
func (s *session) retry(reason string, lasted time.Duration) ending {
	e := ending{state: events.StateReconnecting, reason: reason, again: true, lasted: lasted}
	if s.jid == nil {
		e.state = events.StateStarting
	}
	return e
}

// unanswered is retry after a silence of WhatsApp's, or of the network in between.
func (s *session) unanswered(reason string, lasted time.Duration) ending {
	e := s.retry(reason, lasted)
	e.unanswered = true
	return e
}

// run dials and then waits for what happens.
func (c *connection) run() ending {
	s := c.s
	name := c.device.PushName // before whatsmeow works on the device
	settled := sync.OnceFunc(func() { c.work.Go(c.settle) })
	appear := func() {
		name := name
		c.work.Go(func() { c.appear(name) })
	}
	dialled := make(chan error, 1)
	c.dialled = make(chan struct{})
	s.dials()
	go func() {
		defer close(c.dialled)
		dialled <- c.client.ConnectContext(c.socket)
	}()
	limit := time.NewTimer(loginTimeout)
	defer limit.Stop()
	full, drain := c.intake.full, (<-chan time.Time)(nil)
	late := "WhatsApp did not answer the login"
	var codes pairing
	defer codes.stop()
	var in time.Time // when it was logged in
	lasted := func() time.Duration {
		if in.IsZero() {
			return 0
		}
		return time.Since(in)
	}
	hurried := false
	linked := false                  // the server has told the device that it is linked, and to log in
	check := func() (ending, bool) { // what is asked now
		switch {
		case s.unlinking() && s.jid == nil:
			return ending{}, true
		case s.unlinking() && !in.IsZero():
			return c.unlink(), true
		case s.unlinking():
			if !hurried {
				limit.Reset(unlinkTimeout)
			}
			hurried = true
			return ending{}, false
		}
		return ending{}, s.interrupted()
	}
	if e, end := check(); end {
		return e
	}
	for {
		select {
		case <-s.ctx.Done():
			return ending{}
		case <-c.ctx.Done():
			cause := context.Cause(c.ctx)
			s.log.WarnContext(s.ctx, "connection refuses everything from here on", "error", cause)
			e := s.retry("a message or a key could not be stored", lasted())
			if postgres.Away(cause) {
				e.after = databaseWait + rand.N(databaseWait)
			}
			return e
		case err := <-dialled:
			if answered(err) {
				s.reached()
			}
			if err != nil {
				s.log.WarnContext(s.ctx, "WhatsApp cannot be reached", "error", err)
				e := s.retry("WhatsApp cannot be reached", 0)
				e.unanswered = !answered(err)
				return e
			}
		case <-limit.C:
			return s.unanswered(late, 0)
		case <-full:
			full, drain = nil, time.After(intakeDrain)
			s.log.InfoContext(s.ctx, "WhatsApp sent more at once than is taken in its order; the rest follows over another connection")
		case <-c.intake.drained:
			return ending{state: events.StateReconnecting, reason: moreThanTaken, again: true, after: time.Millisecond}
		case <-drain:
			return ending{state: events.StateReconnecting, reason: moreThanTaken, again: true, after: time.Millisecond}
		case <-codes.next():
			if e, end := c.showCode(&codes); end {
				return e
			}
		case <-s.changed:
			if e, end := check(); end {
				return e
			}
		case said := <-c.signals:
			switch said.(type) {
			case *waevents.Disconnected, *waevents.KeepAliveTimeout:
			default:
				s.reached()
			}
			switch evt := said.(type) {
			case *waevents.QR:
				limit.Stop()
				codes.start(evt.Codes)
				if e, end := c.showCode(&codes); end {
					return e
				}
			case *waevents.PairSuccess:
				jid := evt.ID
				s.jid, s.pairingSince = &jid, time.Time{}
				codes.stop()
				late = "WhatsApp did not ask for the first login"
				limit.Reset(pairedTimeout)
				s.log.InfoContext(s.ctx, "device linked", "jid", jid, "platform", evt.Platform)
				if linked {
					return relogin
				}
			case *waevents.ManualLoginReconnect:
				// whatsmeow tells of the pairing from a goroutine of its own (handlePairSuccess in pair.go), which what the server says next can
				// overtake. Ended before PairSuccess, the session would show a new QR code for a device that is linked.
				if s.jid != nil {
					return relogin
				}
				linked = true
				limit.Reset(pairedTimeout)
			case *waevents.Connected:
				limit.Stop()
				in = time.Now()
				if e, end := check(); end {
					return e
				}
				s.setConn(c) // before the state, which readies the commands
				if err := s.write(events.StateConnected, ""); err != nil {
					return ending{}
				}
				appear()
				settled()
			case *waevents.PushNameSetting:
				name = evt.Action.GetName()
				appear()
			default:
				if _, cut := said.(*waevents.Disconnected); cut && linked && s.jid == nil {
					continue // PairSuccess is on its way
				}
				if e, end := c.verdict(said, lasted()); end {
					return e
				}
			}
		}
	}
}

// moreThanTaken is the reason of a connection that its intake ends.
const moreThanTaken = "more came at once than is taken over one connection; fetching the rest"

// relogin ends the connection over which a device was linked.
var relogin = ending{again: true, after: time.Millisecond}

// verdict says what a signal of whatsmeow means for the connection.
func (c *connection) verdict(said any, lasted time.Duration) (e ending, end bool) {
	s := c.s
	switch evt := said.(type) {
	case *waevents.Disconnected:
		if s.jid == nil {
			return c.codesEnded(), true
		}
		return s.unanswered("the connection to WhatsApp was lost", lasted), true
	case *waevents.StreamError:
		return s.retry(fmt.Sprintf("WhatsApp closed the connection (error %q)", evt.Code), lasted), true
	case *waevents.KeepAliveTimeout:
		if evt.ErrorCount >= pingsMost {
			return s.unanswered("WhatsApp does not answer", lasted), true
		}
	case *waevents.PairError:
		s.log.WarnContext(s.ctx, "pairing failed", "error", evt.Error)
		var database *whatsmeow.PairDatabaseError
		if errors.As(evt.Error, &database) {
			return s.retry("the device could not be stored; scan the new QR code", 0), true
		}
		return ending{state: events.StateFailed, reason: "pairing failed; restart the session"}, true
	case *waevents.PairPasskeyRequest:
		if s.write(events.StatePasskeyRequired, "WhatsApp asks for a passkey, which this version cannot give") != nil {
			return ending{}, true
		}
	case *waevents.LoggedOut:
		return ending{state: events.StateLoggedOut, reason: "WhatsApp says: " + evt.Reason.String(), logout: true}, true
	case *waevents.StreamReplaced:
		if !s.abandoned.IsZero() && time.Since(s.abandoned) < replacedGrace {
			return s.retry("the connector that had the session before logged in once more", lasted), true
		}
		return ending{state: events.StateReplaced, reason: "another connection uses this device; restart the session to take it back"}, true
	case *waevents.TemporaryBan:
		return ending{state: events.StateBanned, reason: evt.String()}, true
	case *waevents.ClientOutdated:
		return ending{state: events.StateFailed, reason: "WhatsApp refuses this version as too old; install a newer one"}, true
	case waevents.PermanentDisconnect:
		return ending{state: events.StateFailed, reason: "WhatsApp refused the connection: " + evt.PermanentDisconnectDescription()}, true
	}
	return ending{}, false
}

// appear tells WhatsApp the account's name and that nobody is looking, so that the owner's phone goes on notifying. Without a name, which
// comes with the account's settings, there is nothing to tell; it is called again when the name comes. whatsmeow's SendPresence reads the
// name from the store while its own goroutines write it there (appstate.go, dispatchAppState). Failure policy: best effort.
func (c *connection) appear(name string) {
	if name == "" {
		return
	}
	c.mu.Lock()
	c.name = name
	c.mu.Unlock()
	c.present(types.PresenceUnavailable)
}

// present says whether somebody is looking. Failure policy: best effort.
func (c *connection) present(state types.Presence) {
	ctx, cancel := context.WithTimeout(c.ctx, handlerTimeout)
	defer cancel()
	presence := waBinary.Node{Tag: "presence", Attrs: waBinary.Attrs{"type": string(state)}}
	c.mu.Lock()
	if c.name != "" {
		presence.Attrs["name"] = c.name
	}
	c.mu.Unlock()
	err := c.client.DangerousInternals().SendNode(ctx, presence) //nolint:staticcheck // SA1019: there is no other way to send a stanza
	if err != nil && c.ctx.Err() == nil {
		c.s.log.WarnContext(ctx, "presence not sent", "error", err)
	}
}

// handle takes whatsmeow's events; false leaves a stanza unacknowledged. A panic is caught here, because whatsmeow takes one for success
// (client.go, dispatchEvent) and the message would be gone.
func (c *connection) handle(evt any) (ok bool) {
	c.mu.Lock()
	if c.closed || c.ctx.Err() != nil || !c.s.holds() {
		c.mu.Unlock()
		c.fail(errClosed) // before whatsmeow goes on: close may not have come to it
		return false
	}
	c.work.Add(1)
	c.mu.Unlock()
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
	started := time.Now()
	var err error
	switch e := evt.(type) {
	case *waevents.Message:
		defer func() { c.s.c.metrics.seconds.WithLabelValues("message").Observe(time.Since(started).Seconds()) }()
		handled := func() {}
		if e.Info.Category == "peer" {
			handled = c.intake.peers.begins(e.Info.ID)
		}
		if err = c.received(ctx, e); err == nil {
			handled()
		}
	case *waevents.UndecryptableMessage:
		err = c.undecryptable(ctx, e)
	case *waevents.Receipt:
		err = c.receipt(ctx, e)
	case *waevents.MediaRetry:
		err = c.mediaRetried(ctx, e)
	case *waevents.JoinedGroup:
		err = c.joinedGroup(ctx, e)
	case *waevents.GroupInfo:
		err = c.groupChanged(ctx, e)
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
	case *waevents.QR, *waevents.PairSuccess, *waevents.PairError, *waevents.PairPasskeyRequest, *waevents.Connected, *waevents.Disconnected,
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
	return true
}
