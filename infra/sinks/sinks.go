// Package sinks sends events to message brokers. An endpoint whose URL has one of the Schemes gets its events this way instead of by HTTP;
// everything else about it is the same.
//
// The URL is scheme://user:password@host:port/topic. The topic may hold {type} and {session}, which become those of each event; an event
// without a session has "-" there.
//
// # Another kind of broker
//
// It takes one file with a scheme, a line in schemes, and its module in go.mod. The scheme's open returns a Watermill publisher that
//
//   - opens its sockets with the given Dial, which refuses addresses that may not be reached;
//   - returns from Publish only when the broker has confirmed the message, with a *RefusedError when the broker will not have it;
//   - has the broker or the receiver know a repeat by the message's UUID;
//   - may set metadata on a published message to tell what the broker said: the attempt's log keeps it.
//
// Publish may ignore the message's context, as most publishers of Watermill do, as long as it ends at some time: the Pool waits no longer
// than the attempt may take. Watermill has publishers for the likely ones:
//
//   - RabbitMQ: watermill-amqp with PublishConfig.ConfirmDelivery and ConnectionConfig.AmqpConfig.Dial;
//   - Kafka: watermill-kafka with a sarama.Config of Producer.RequiredAcks = WaitForAll, Producer.Idempotent and Net.Proxy.Dialer;
//   - Redis: watermill-redisstream with redis.Options.Dialer.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Dial opens a socket, as (*net.Dialer).DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// A scheme is how one kind of broker is reached.
type scheme struct {
	// topic is that of a URL that names none.
	topic string
	// check says what is wrong with a URL that has a host, and with the topic before it is filled in. The error's text is fit for a caller.
	check func(u *url.URL, topic string) error
	// open opens a publisher. ctx bounds the opening alone.
	open func(ctx context.Context, u *url.URL, dial Dial) (message.Publisher, error)
}

// schemes are those that there are.
var schemes = map[string]scheme{
	"nats":     natsScheme,
	"nats+tls": natsScheme,
}

// Schemes lists the schemes of URLs that lead to a broker, sorted.
func Schemes() []string { return slices.Sorted(maps.Keys(schemes)) }

// Takes says whether a URL leads to a broker, by its scheme alone.
func Takes(rawURL string) bool {
	name, _, _ := strings.Cut(rawURL, ":")
	_, ok := schemes[strings.ToLower(name)]
	return ok
}

// Check says whether an endpoint can have a URL: its scheme, that there is a host, and what its kind of broker asks of it. The error's text
// is fit for a caller. Whether the host may be reached is for netguard to say.
func Check(rawURL string) error {
	_, _, err := parse(rawURL)
	return err
}

func parse(rawURL string) (*url.URL, scheme, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, scheme{}, errors.New("this is not a URL") // url.Error would echo what may hold a password
	}
	s, ok := schemes[u.Scheme]
	if !ok {
		return nil, s, fmt.Errorf("the URL must begin with %s://", strings.Join(Schemes(), ":// or "))
	}
	if u.Hostname() == "" || u.Opaque != "" {
		return nil, s, errors.New("the URL has no host")
	}
	return u, s, s.check(u, s.topicTemplate(u))
}

// topicTemplate is the topic of a URL before {type} and {session} are filled in.
func (s scheme) topicTemplate(u *url.URL) string {
	if topic := strings.TrimPrefix(u.Path, "/"); topic != "" {
		return topic
	}
	return s.topic
}

// fill fills in a topic.
func fill(template, eventType, session string) string {
	if session == "" {
		session = "-"
	}
	return strings.NewReplacer("{type}", eventType, "{session}", session).Replace(template)
}

// An Event is what is sent.
type Event struct {
	ID      string // by which a repeat is known
	Type    string
	Session string // "" for an event of no session
	Body    []byte
	Headers map[string]string
}

// A RefusedError says that the broker was reached and does not take the message, or takes none from us. Its text is fit for an attempt's log.
type RefusedError struct {
	Reason   string
	TooLarge bool // the message, for this broker
}

func (e *RefusedError) Error() string { return e.Reason }

// ErrTLS marks what failed in making a connection secure.
var ErrTLS = errors.New("no secure connection")
