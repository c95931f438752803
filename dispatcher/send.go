package dispatcher

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/sinks"
	"github.com/chasqui/chasqui/infra/trace"
)

const (
	// bodyKept is how much of an answer's body an attempt records.
	bodyKept = 16 << 10
	// bodyDrained is how much more is read so that the connection can be used again; beyond it a new connection is cheaper.
	bodyDrained = 256 << 10
	// bodyTime bounds the reading of the body. The status has decided already; a receiver that dribbles costs its slot no longer than this.
	bodyTime = 2 * time.Second
	// headersKept bounds the header fields that an attempt records, in bytes.
	headersKept = 8 << 10
	// errorKept bounds the error text that an attempt records, in bytes.
	errorKept = 500
)

// An outcome is what came of one attempt.
type outcome struct {
	class      string
	status     int // 0: no answer
	headers    json.RawMessage
	answer     []byte
	err        string // for a person; without the URL, which may hold a password
	started    time.Time
	took       time.Duration
	retryAfter time.Duration
}

// gone says whether the receiver wants no more (RFC 9110, section 15.5.11, and Standard Webhooks).
func (o outcome) gone() bool { return o.status == http.StatusGone }

// newClient returns the client of all attempts.
func newClient(guard *netguard.Guard) *http.Client {
	t := guard.Transport()
	t.MaxIdleConns = 2048
	t.MaxIdleConnsPerHost = 256 // the most that an endpoint may have in flight; and many endpoints are often one host
	return guard.Client(t, 0)
}

// attemptDelivery sends a delivery once. What its class is depends on how far it came, never on the text of an error.
func (d *Dispatcher) attemptDelivery(ctx context.Context, c delivery) outcome {
	if c.body == nil {
		return outcome{class: classExpired}
	}
	if ctx.Err() != nil || time.Since(c.claimedAt) > startWithin {
		return outcome{class: classAborted}
	}
	within, span := d.attemptSpan(ctx, c)
	o := d.ask(within, c)
	endAttempt(span, o)
	return o
}

// ask is one attempt, within its span.
func (d *Dispatcher) ask(ctx context.Context, c delivery) outcome {
	if sinks.Takes(c.target.url) {
		return d.attemptSink(ctx, c)
	}
	o := outcome{started: time.Now()}
	err := d.request(ctx, c, &o)
	o.took = time.Since(o.started)
	switch {
	case err == nil && o.status >= 200 && o.status < 300:
		o.class = classOK
	case err == nil:
		o.class = classStatus
	case ctx.Err() != nil: // Stop's patience ended, not the endpoint's timeout
		o.class = classAborted
	default:
		o.class = d.classify(err)
		o.err = describe(err)
	}
	return o
}

// request sends the delivery and reads the answer into o. A failure after the status was had is none.
func (d *Dispatcher) request(ctx context.Context, c delivery, o *outcome) error {
	ctx, cancel := context.WithTimeout(ctx, c.target.timeout)
	defer cancel()
	var tlsFailed atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) {
			if i.Err == nil {
				d.resolvedAt.Store(time.Now().UnixNano())
			}
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { tlsFailed.Store(err != nil) },
	})
	res, err := d.exchange(ctx, c, o.started, true)
	if store := (*storeError)(nil); errors.As(err, &store) && !c.patient() {
		res, err = d.exchange(ctx, c, o.started, false)
	}
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the URL
		}
		if tlsFailed.Load() {
			return &tlsError{err}
		}
		return err
	}
	defer res.Body.Close()
	if res.StatusCode < 100 { // net/http takes 000 and -00 for numbers of three digits
		return errors.New("the answer has no status")
	}
	o.status = res.StatusCode
	o.headers = keepHeaders(res.Header)
	o.retryAfter = retryAfter(res.Header, time.Now())
	slow := time.AfterFunc(bodyTime, cancel)
	defer slow.Stop()
	o.answer, _ = io.ReadAll(io.LimitReader(res.Body, bodyKept))
	_, _ = io.CopyN(io.Discard, res.Body, bodyDrained)
	return nil
}

// exchange sends the request and returns the answer, whose body is still to be read.
func (d *Dispatcher) exchange(ctx context.Context, c delivery, at time.Time, files bool) (*http.Response, error) {
	body, err := d.contentOf(ctx, c, files)
	if err != nil {
		return nil, err
	}
	req, err := d.newRequest(ctx, c, body, at)
	if err != nil {
		return nil, err
	}
	res, err := d.client.Do(req)
	if err != nil && body.broken.Load() { // what the transport makes of it is of no one type
		return nil, &storeError{errors.New("the message's file could not be read to its end")}
	}
	return res, err
}

// newRequest makes the request of a delivery. A body with a file in it is read twice: to sign it, and to send it.
func (d *Dispatcher) newRequest(ctx context.Context, c delivery, body *content, at time.Time) (*http.Request, error) {
	if c.target.unreadable != nil {
		return nil, &storeError{c.target.unreadable}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.target.url, http.NoBody)
	if err != nil {
		return nil, errors.New("make request: the endpoint's URL is not valid")
	}
	req.ContentLength = body.length()
	req.GetBody = func() (io.ReadCloser, error) { return body.reader(ctx) }
	for k, v := range c.target.headers {
		req.Header.Set(k, v)
	}
	id, timestamp := events.EventPrefix.Format(c.eventID), strconv.FormatInt(at.Unix(), 10)
	first, cancel := context.WithTimeout(ctx, min(storeTimeout, c.target.timeout/2))
	defer cancel()
	signing, err := body.reader(first)
	if err != nil {
		return nil, err
	}
	defer signing.Close()
	signature, err := sign(c.target.secrets(at), id, timestamp, signing)
	if err != nil {
		return nil, err
	}
	if req.Body, err = body.reader(ctx); err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "chasqui/"+d.cfg.Version)
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", timestamp)
	req.Header.Set("Webhook-Signature", signature)
	if parent := trace.Parent(ctx); parent != "" {
		req.Header.Set(trace.Header, parent)
	}
	// A key that is present without a value is not sent, but tells the transport that it may repeat the request at once when a pooled
	// connection turns out to be dead (net/http, Transport). The receiver knows a repeat by its webhook-id.
	req.Header["Idempotency-Key"] = nil
	return req, nil
}

// keepHeaders returns the header fields of an answer as JSON, without cookies, up to a bound.
func keepHeaders(h http.Header) json.RawMessage {
	kept, size := map[string]string{}, 0
	for k, v := range h {
		value := clean(strings.Join(v, ", "))
		if size += len(k) + len(value); k == "Set-Cookie" || size > headersKept {
			continue
		}
		kept[k] = value
	}
	raw, _ := json.Marshal(kept) // a map of strings always encodes
	return raw
}

// clean makes a text that PostgreSQL takes.
func clean(s string) string { return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD") }
