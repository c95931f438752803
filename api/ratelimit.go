package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	// limitTimeout bounds the taking of a block, which is one row in one statement.
	limitTimeout = time.Second
	// limitKeys bounds how many keys are kept in mind; those of past minutes go first.
	limitKeys = 10_000
	// maxFailures is how many requests without a valid key one address may make in a minute: more than any mistake makes, and at 86,400 a day
	// even a short key is not found.
	maxFailures = 60
	// failureAddresses bounds how many addresses are kept in mind, some 1 MiB.
	failureAddresses = 10_000
)

// allowances counts the requests of keys. All api processes share one count a key and minute, in a row of PostgreSQL, of which each takes blocks
// and gives them out by itself, so that most requests write nothing. What a process has taken and not given out by the end of the minute is
// lost to the others: at most a block.
//
// Failure policy: where the row cannot be had, this process alone counts, and lets pass the whole limit by itself.
type allowances struct {
	mu   sync.Mutex
	keys map[[sha256.Size]byte]*bucket
}

// A bucket is a key's requests in this minute.
type bucket struct {
	mu    sync.Mutex
	have  int       // left of the blocks that this process took
	rest  int       // left of the limit when it last asked, beyond those
	until time.Time // the end of the minute
	alone int       // given out without the row
}

// An admission is the answer to one request.
type admission struct {
	ok        bool
	remaining int
	left      time.Duration // of the minute
}

// headers sets those of draft-ietf-httpapi-ratelimit-headers.
func (a admission) headers(h http.Header, policy string, limit int) {
	add := func(name, value string) { // one field with a list, as far as there is more than one limit
		if before := h.Get(name); before != "" {
			value = before + ", " + value
		}
		h.Set(name, value)
	}
	add("RateLimit-Policy", fmt.Sprintf(`"%s";q=%d;w=60`, policy, limit))
	add("RateLimit", fmt.Sprintf(`"%s";r=%d;t=%d`, policy, a.remaining, seconds(a.left)))
}

// seconds rounds up, so that whoever waits for so long has waited long enough.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

func rateLimited(detail string, wait time.Duration) *Problem {
	p := problem(RateLimited, detail)
	p.headers.Set("Retry-After", strconv.Itoa(seconds(wait)))
	return p
}

// block is how many requests a process takes at once: enough that asking for them costs nothing, and not so many that what a few processes
// hold back matters.
func block(limit int) int { return max(1, min(max(10, limit/50), limit/4)) }

// takeRequest counts a request of a key, or for a session.
func (s *Server) takeRequest(ctx context.Context, key [sha256.Size]byte, limit int) admission {
	now := time.Now()
	b := s.allowances.bucket(key, now)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !now.Before(b.until) {
		b.have, b.rest, b.until, b.alone = 0, 1, now, 0
	}
	if b.have == 0 && b.rest > 0 {
		s.takeBlock(ctx, key, b, limit)
	}
	if b.have == 0 {
		return admission{left: b.until.Sub(now)}
	}
	b.have--
	return admission{ok: true, remaining: b.have + b.rest, left: b.until.Sub(now)}
}

// takeBlock takes another block for b, or finds that there is none.
func (s *Server) takeBlock(ctx context.Context, key [sha256.Size]byte, b *bucket, limit int) {
	want := block(limit)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limitTimeout) // whose request it is does not matter
	defer cancel()
	row, err := s.q.RateLimitTake(ctx, s.pool, key[:], int64(want))
	now := time.Now()
	if err != nil {
		s.log.WarnContext(ctx, "the count of requests cannot be shared; this process counts alone", "error", err)
		b.have = min(want, limit-b.alone)
		b.alone += b.have
		b.rest = limit - b.alone
		if !now.Before(b.until) {
			b.until = now.Truncate(time.Minute).Add(time.Minute)
		}
		return
	}
	before := int(min(row.Taken-int64(want), int64(limit)))
	b.have = min(want, limit-before)
	b.rest = limit - before - b.have
	b.until = now.Add(time.Duration(row.SecondsLeft * float64(time.Second)))
}

func (l *allowances) bucket(key [sha256.Size]byte, now time.Time) *bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.keys[key]; b != nil {
		return b
	}
	if l.keys == nil || len(l.keys) >= limitKeys {
		l.keys = map[[sha256.Size]byte]*bucket{} // the row remembers; only what was taken and not given out is lost
	}
	b := &bucket{until: now}
	l.keys[key] = b
	return b
}

// failures counts the requests without a valid key, by address, so that keys cannot be guessed. An address that has made too many is refused
// for the rest of its minute, whatever key it brings then: else the right one would show. Only a private address, which is most likely a
// reverse proxy that stands for everybody, may still bring a valid key: else anybody could lock out everybody. There, the proxy must see to it.
//
// Failure policy: it is in memory, of this process alone, and forgets all when there are too many addresses.
type failures struct {
	mu        sync.Mutex
	addresses map[netip.Prefix]failed
}

type failed struct {
	count int
	until time.Time
}

// client64 is what counts as one client: an IPv4 address, or the /64 that an IPv6 customer has.
func client64(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	address = address.Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	prefix, _ := address.WithZone("").Prefix(bits) // bits are right
	return prefix
}

// blocked says for how long nothing is taken from an address, 0 that it may try.
func (f *failures) blocked(remote string, now time.Time) time.Duration {
	from := client64(remote)
	if a := from.Addr(); !from.IsValid() || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if entry := f.addresses[from]; entry.count >= maxFailures && now.Before(entry.until) {
		return entry.until.Sub(now)
	}
	return 0
}

// add counts a failure, and says for how long the address must wait if it has made too many.
func (f *failures) add(remote string, now time.Time) time.Duration {
	from := client64(remote)
	f.mu.Lock()
	defer f.mu.Unlock()
	entry := f.addresses[from]
	if !now.Before(entry.until) {
		if f.addresses == nil || entry.count == 0 && len(f.addresses) >= failureAddresses {
			f.addresses = map[netip.Prefix]failed{}
		}
		entry = failed{until: now.Add(time.Minute)}
	}
	entry.count++
	f.addresses[from] = entry
	if entry.count > maxFailures {
		return entry.until.Sub(now)
	}
	return 0
}
