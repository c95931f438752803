package sinks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// natsWriteTimeout bounds a write to a server that takes nothing. nats.go holds its connection's lock meanwhile.
	natsWriteTimeout = 5 * time.Second
	// natsPing is how often a connection is asked for a sign of life; two pings without an answer end it.
	natsPing = 20 * time.Second
	// natsSubjectMost bounds a subject as the URL has it, in bytes: a server takes lines of 4 KiB.
	natsSubjectMost = 512
)

// natsScheme is NATS JetStream: nats:// has TLS where the server asks for it, nats+tls:// always. The stream is its operator's: it is never
// made or changed from here.
var natsScheme = scheme{topic: "chasqui.{session}.{type}", check: checkNATS, open: openNATS}

// checkNATS says what is wrong with a URL. Percent-encoding could bring anything into the subject, and so into the protocol.
func checkNATS(u *url.URL, subject string) error {
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("a NATS URL has no query and no fragment")
	}
	if len(subject) > natsSubjectMost {
		return fmt.Errorf("the subject is longer than %d bytes", natsSubjectMost)
	}
	subject = fill(subject, "message.received", "")
	odd := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("*>/{}\uFFFD", r)
	}
	switch {
	case strings.ContainsFunc(subject, odd):
		return errors.New("the subject, which is the URL's path, has no spaces, slashes or wildcards; in braces it may have {type} and {session}")
	case strings.HasPrefix(subject, "$"), strings.HasPrefix(subject, nats.InboxPrefix):
		return errors.New("the subject belongs to the server itself")
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" {
			return errors.New("the subject has an empty part between its dots")
		}
	}
	return nil
}

// A natsPublisher publishes to JetStream and waits for its acknowledgement. Watermill's publisher for NATS takes no notice of a message's
// context and keeps the acknowledgement to itself; what this one sends has the form of Watermill's, so that Watermill's subscriber reads it.
type natsPublisher struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	form   wmnats.NATSMarshaler
	socket *natsDialer

	mu      sync.Mutex
	waiting map[*natsWait]struct{}
	failed  bool // something that was sent may still be on its way
}

// A natsWait is a message that waits for its acknowledgement.
type natsWait struct {
	subject string
	refuse  context.CancelCauseFunc
}

// openNATS connects. There is no reconnecting: the next attempt opens a new connection, and learns what is wrong with it.
func openNATS(ctx context.Context, u *url.URL, dial Dial) (message.Publisher, error) {
	port := u.Port()
	if port == "" {
		port = strconv.Itoa(nats.DefaultPort)
	}
	d := &natsDialer{ctx: ctx, dial: dial, host: u.Hostname(), secure: u.Scheme == "nats+tls"}
	p := &natsPublisher{socket: d, waiting: map[*natsWait]struct{}{}}
	options := []nats.Option{
		nats.Name("chasqui"), nats.NoReconnect(), nats.IgnoreDiscoveredServers(), nats.SkipHostLookup(), nats.SetCustomDialer(d),
		nats.Timeout(openTimeout), nats.FlusherTimeout(natsWriteTimeout), nats.ReconnectOnFlusherError(), // which ends it, as there is no reconnecting
		nats.PingInterval(natsPing), nats.MaxPingsOutstanding(2), nats.ErrorHandler(p.complaint), nats.NoCallbacksAfterClientClose(),
	}
	// By options, so that no error of nats.go's can tell them.
	if password, ok := u.User.Password(); ok {
		options = append(options, nats.UserInfo(u.User.Username(), password))
	} else if token := u.User.Username(); token != "" {
		options = append(options, nats.Token(token))
	}
	defer context.AfterFunc(ctx, d.abandon)()
	conn, err := nats.Connect("nats://"+net.JoinHostPort(u.Hostname(), port), options...)
	if err != nil {
		d.abandon()
		return nil, openError(ctx, d, err)
	}
	p.conn = conn
	if p.js, err = jetstream.New(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return p, nil
}

// openError returns what an opening failed for.
func openError(ctx context.Context, d *natsDialer, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case d.err != nil: // nats.go makes a text of it
		return d.err
	}
	for _, answer := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrMaxConnectionsExceeded, nats.ErrMaxAccountConnectionsExceeded} {
		if errors.Is(err, answer) {
			return &RefusedError{Reason: "the server refuses the connection: " + answer.Error()}
		}
	}
	return fmt.Errorf("connect: %w", err)
}

// Publish is Watermill's. It ends with a message's context, but for natsWriteTimeout, and sets what the acknowledgement says as metadata
// under the names that NATS has for it.
func (p *natsPublisher) Publish(subject string, messages ...*message.Message) error {
	for _, m := range messages {
		ack, err := p.publish(subject, m)
		if err != nil {
			if !refused(err) {
				p.mu.Lock()
				p.failed = true
				p.mu.Unlock()
			}
			return err
		}
		m.Metadata.Set("Nats-Stream", ack.Stream)
		m.Metadata.Set("Nats-Sequence", strconv.FormatUint(ack.Sequence, 10))
		if ack.Duplicate { // the stream has it from before
			m.Metadata.Set("Nats-Duplicate", "true")
		}
	}
	return nil
}

func (p *natsPublisher) publish(subject string, m *message.Message) (*jetstream.PubAck, error) {
	msg, err := p.form.Marshal(subject, m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	msg.Header.Set(jetstream.MsgIDHeader, m.UUID)
	// nats.go checks it too, but remembers each message that it does not send.
	if size, most := int64(msg.Size()-len(subject)), p.conn.MaxPayload(); size > most {
		return nil, &RefusedError{Reason: fmt.Sprintf("the message has %d bytes with its headers; the server takes %d", size, most), TooLarge: true}
	}
	ctx, refuse := context.WithCancelCause(m.Context())
	defer refuse(nil)
	wait := &natsWait{subject: subject, refuse: refuse}
	p.mu.Lock()
	p.waiting[wait] = struct{}{}
	p.mu.Unlock()
	ack, err := p.js.PublishMsg(ctx, msg)
	p.mu.Lock()
	delete(p.waiting, wait)
	p.mu.Unlock()
	if err == nil {
		return ack, nil
	}
	var api *jetstream.APIError
	switch cause := context.Cause(ctx); {
	case refused(cause):
		return nil, cause
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return nil, &RefusedError{Reason: "no stream takes the subject " + subject + ", or the account has no JetStream"}
	case errors.As(err, &api):
		return nil, &RefusedError{Reason: "the stream refuses the message: " + api.Description,
			TooLarge: api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum}
	}
	return nil, fmt.Errorf("publish: %w", err)
}

// complaint takes what the server says out of turn: that the user may not publish to a subject, or may not read the acknowledgements. The
// protocol has nothing but the subject in the text to tell which message is meant.
func (p *natsPublisher) complaint(conn *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	deaf := strings.Contains(err.Error(), `"`+nats.InboxPrefix)
	p.mu.Lock()
	for w := range p.waiting {
		switch {
		case deaf:
			w.refuse(&RefusedError{Reason: "the user may not subscribe to " + nats.InboxPrefix + ">, where the stream acknowledges"})
		case strings.Contains(err.Error(), `"`+w.subject+`"`):
			w.refuse(&RefusedError{Reason: "the user may not publish to " + w.subject})
		}
	}
	p.mu.Unlock()
	if deaf { // for as long as it lives; the next one may not be
		conn.Close()
	}
}

// Close ends the connection. After a failure nothing that the socket still holds is sent any more: its message goes again, and what comes
// after that message would be overtaken by it.
func (p *natsPublisher) Close() error {
	p.mu.Lock()
	failed := p.failed
	p.mu.Unlock()
	if failed {
		p.socket.abandon()
	}
	p.conn.Close()
	return nil
}
