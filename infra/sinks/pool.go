package sinks

import (
	"container/list"
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

const (
	// openTimeout bounds the opening of a connection: name, socket, TLS and log-in, each of which takes a few round trips.
	openTimeout = 10 * time.Second
	// idleTime is how long an unused publisher is kept; idleMost how many of them, each a connection with some 64 KiB of buffers. Those in
	// use are as many as there are URLs with attempts under way.
	idleTime = 5 * time.Minute
	idleMost = 256
)

// A Pool sends events through publishers that it opens when they are first needed, one for each URL. It is safe for concurrent use. Make one
// with NewPool.
//
// Failure policy: a publisher that failed, other than by the broker's refusal, is used no more, and the next event opens another. The Pool
// itself tries nothing later: that is for the attempts of its caller.
type Pool struct {
	dial     Dial
	idleTime time.Duration
	idleMost int
	life     context.Context
	endLife  context.CancelFunc
	work     sync.WaitGroup // everything that has a line in use, or closes one

	mu     sync.Mutex
	closed bool
	lines  map[string]*line
	idle   *list.List  // of lines that nobody uses, those unused longest first
	sweep  *time.Timer // runs while there are idle lines
}

// A line is the way to one URL.
type line struct {
	url       string
	ready     chan struct{} // closed when publisher and err are set
	publisher message.Publisher
	err       error

	// With the Pool's mu:
	users int           // whoever opens it is one of them
	gone  bool          // not among the Pool's lines; its last user closes it
	place *list.Element // among those that are idle
	since time.Time     // when it became idle
}

var errPoolClosed = errors.New("the pool is closed")

// NewPool returns a pool whose sockets are opened by dial.
func NewPool(dial Dial) *Pool {
	p := &Pool{dial: dial, idleTime: idleTime, idleMost: idleMost, lines: map[string]*line{}, idle: list.New()}
	p.life, p.endLife = context.WithCancel(context.Background())
	return p
}

// Send sends an event and returns when the broker has confirmed it, with what the broker told beside that. It returns when ctx ends, whatever
// the publisher does; the event may have arrived all the same then. A connection that turns out to have died while nobody used it is
// replaced, and the event repeated at once. Errors are a *RefusedError, ErrTLS, those of dial, context.DeadlineExceeded, or else mean
// a connection that broke; none of them tells the URL.
func (p *Pool) Send(ctx context.Context, rawURL string, e Event) (answer map[string]string, err error) {
	u, scheme, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	topic := fill(scheme.topicTemplate(u), e.Type, e.Session)
	for again := false; ; again = true {
		l, used, err := p.take(ctx, rawURL)
		if err != nil {
			return nil, err
		}
		answer, err = p.publish(ctx, l, topic, e)
		if err == nil || again || !used || ctx.Err() != nil || refused(err) {
			return answer, err
		}
	}
}

func refused(err error) bool {
	var r *RefusedError
	return errors.As(err, &r)
}

// publish publishes an event on a line that was taken, and gives it back.
func (p *Pool) publish(ctx context.Context, l *line, topic string, e Event) (map[string]string, error) {
	type end struct {
		answer map[string]string
		err    error
	}
	done := make(chan end, 1)
	go func() { // which p.work waits for, until the line is given back
		m := message.NewMessageWithContext(ctx, e.ID, e.Body)
		maps.Copy(m.Metadata, e.Headers)
		err := l.publisher.Publish(topic, m)
		maps.DeleteFunc(m.Metadata, func(k, v string) bool { return e.Headers[k] == v })
		over := p.release(l, err != nil && !refused(err))
		done <- end{m.Metadata, err}
		p.finish(over)
	}()
	select {
	case r := <-done:
		return r.answer, r.err
	case <-ctx.Done():
		p.drop(l)
		return nil, ctx.Err()
	}
}

// take returns the line to a URL, which it opens where there is none, for a use that giveBack ends. used says that it was open already.
func (p *Pool) take(ctx context.Context, rawURL string) (l *line, used bool, err error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, false, errPoolClosed
	}
	l = p.lines[rawURL]
	if l == nil {
		l = &line{url: rawURL, ready: make(chan struct{})}
		p.lines[rawURL] = l
		p.use(l)
		go p.open(ctx, l)
	}
	p.use(l)
	p.mu.Unlock()
	select {
	case <-l.ready:
		used = true
	default:
		select {
		case <-l.ready:
		case <-ctx.Done():
			p.giveBack(l, false)
			return nil, false, ctx.Err()
		}
	}
	if l.err != nil {
		p.giveBack(l, true)
		return nil, false, l.err
	}
	return l, used, nil
}

// use counts a user of a line; p.mu is held.
func (p *Pool) use(l *line) {
	l.users++
	p.work.Add(1)
	if l.place != nil {
		p.idle.Remove(l.place)
		l.place = nil
	}
}

// open opens a line for all who wait for it, and so ends neither with the one who came first nor with his time.
func (p *Pool) open(ctx context.Context, l *line) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	u, scheme, err := parse(l.url)
	if err == nil {
		l.publisher, err = scheme.open(ctx, u, p.dial)
	}
	l.err = err
	if err != nil {
		p.drop(l) // before anybody learns of it, so that whoever comes next opens anew
	}
	close(l.ready)
	p.giveBack(l, false)
}

// drop has nobody take a line any more.
func (p *Pool) drop(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(l)
}

// forget is drop with p.mu held.
func (p *Pool) forget(l *line) {
	if l.gone {
		return
	}
	l.gone = true
	delete(p.lines, l.url)
	if l.place != nil {
		p.idle.Remove(l.place)
		l.place = nil
	}
}

// giveBack ends a use of a line.
func (p *Pool) giveBack(l *line, failed bool) { p.finish(p.release(l, failed)) }

// release has a line lose a user, and returns the lines that finish is to close.
func (p *Pool) release(l *line, failed bool) (over []*line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if failed {
		p.forget(l)
	}
	l.users--
	switch {
	case l.users > 0:
	case l.gone:
		over = append(over, l)
	default:
		l.place, l.since = p.idle.PushBack(l), time.Now()
		over = p.expired(l.since)
	}
	return over
}

// finish closes lines, and ends what use began.
func (p *Pool) finish(over []*line) {
	closeAll(over)
	p.work.Done()
}

// expired forgets the lines that have been idle for too long, or are too many, and has the sweep come for the next of them. p.mu is held;
// the caller closes them.
func (p *Pool) expired(now time.Time) (over []*line) {
	for front := p.idle.Front(); front != nil; front = p.idle.Front() {
		l := front.Value.(*line)
		left := p.idleTime - now.Sub(l.since)
		if left > 0 && p.idle.Len() <= p.idleMost {
			if p.sweep == nil {
				p.sweep = time.AfterFunc(left, p.sweepIdle)
			}
			break
		}
		p.forget(l)
		over = append(over, l)
	}
	return over
}

func (p *Pool) sweepIdle() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.work.Add(1)
	p.sweep = nil
	over := p.expired(time.Now())
	p.mu.Unlock()
	p.finish(over)
}

func closeAll(lines []*line) {
	for _, l := range lines {
		if l.publisher != nil {
			_ = l.publisher.Close() // whatever it answers, it is used no more
		}
	}
}

// Close ends openings under way, waits for what is being sent, and closes every publisher. A second call waits likewise.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.endLife()
	if p.sweep != nil {
		p.sweep.Stop()
	}
	var over []*line
	for _, l := range p.lines {
		p.forget(l)
		if l.users == 0 {
			over = append(over, l)
		}
	}
	p.mu.Unlock()
	closeAll(over)
	p.work.Wait()
}
