// Package netguard makes HTTP requests and connections to addresses that a user chose, without letting that user reach what only this
// machine can reach: the loopback, the private network, a cloud's metadata service. The decision falls on the concrete address of every
// socket as it is opened, so that a name that resolves differently the second time, an address of the other family and a redirect are all
// covered.
package netguard

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Variable is the setting that allows a blocked network; errors name it.
const Variable = "WEBHOOK_ALLOW_CIDRS"

// Limits of every connection. The caller's context bounds the request as a whole.
const (
	dialTimeout  = 10 * time.Second
	tlsTimeout   = 10 * time.Second
	checkTimeout = 3 * time.Second  // for the look-up of CheckURL, which a client waits for
	maxHeader    = 64 << 10         // bytes of an answer's header; Go's own limit is 1 MiB
	maxURL       = 2048             // bytes; longer ones fail in proxies and servers along the way
	idleTimeout  = 90 * time.Second // of a pooled connection, as http.DefaultTransport
	pingAfter    = 15 * time.Second // of silence on an HTTP/2 connection with requests, lest a dead one swallow all of them
	keepAlive    = 30 * time.Second
)

// Config configures a Guard. The zero value blocks everything that is not public.
type Config struct {
	// Allow lists blocked networks that may be reached all the same. Metadata services stay blocked even then.
	Allow []netip.Prefix
	// Resolver looks names up; nil is the system's.
	Resolver *net.Resolver
}

// A Guard decides which addresses may be reached. It is safe for concurrent use and never changes.
type Guard struct {
	allow    []netip.Prefix
	resolver *net.Resolver
}

// New returns a guard.
func New(c Config) *Guard {
	g := &Guard{allow: c.Allow, resolver: c.Resolver}
	if g.resolver == nil {
		g.resolver = net.DefaultResolver
	}
	return g
}

// ParseAllow reads a list of networks such as "172.16.0.0/12, 127.0.0.1", separated by commas; a bare address is a network of one.
func ParseAllow(s string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for field := range strings.SplitSeq(s, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		p, err := parsePrefix(field)
		if err != nil {
			return nil, fmt.Errorf("%q is no network: write an address or a CIDR such as 172.16.0.0/12", field)
		}
		list = append(list, p)
	}
	return list, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	// A prefix written over IPv4-mapped addresses would never match, since addresses are compared in their IPv4 form.
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// A BlockedError says that an address may not be reached. Its text is fit for the caller who named the address.
type BlockedError struct {
	Addr   netip.Addr
	Reason string // what the address is, such as "loopback"
	never  bool
}

func (e *BlockedError) Error() string {
	if e.never {
		return fmt.Sprintf("%s is blocked: %s, which is never reachable from here", e.Addr, e.Reason)
	}
	return fmt.Sprintf("%s is blocked: %s; the operator can allow its network with %s", e.Addr, e.Reason, Variable)
}

// Check returns a *BlockedError when addr may not be reached, else nil.
func (g *Guard) Check(addr netip.Addr) error {
	if !addr.IsValid() {
		return &BlockedError{Addr: addr, Reason: "no address", never: true}
	}
	addr = canonical(addr)
	for a := addr; a.IsValid(); a = carried(a) {
		if slices.Contains(metadata, a) {
			return &BlockedError{Addr: addr, Reason: "a cloud's metadata service", never: true}
		}
		if r := reason(a); r != "" && !g.allowed(a) {
			return &BlockedError{Addr: addr, Reason: r}
		}
	}
	return nil
}

func (g *Guard) allowed(a netip.Addr) bool {
	return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

// CheckURL says whether raw may be kept as a URL to fetch or deliver to: http or https, a host, no literal blocked address, no name whose
// every address is blocked. The error's text is fit for a caller. Failure policy: a name that cannot be looked up within 3 s passes, since
// it may resolve later; what counts is the check of each socket.
func (g *Guard) CheckURL(ctx context.Context, raw string) error {
	return g.CheckURLOf(ctx, raw, "http", "https")
}

// CheckURLOf is CheckURL for URLs of other schemes too.
func (g *Guard) CheckURLOf(ctx context.Context, raw string, schemes ...string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("the URL is longer than %d bytes", maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("this is not a URL") // url.Error would echo what may hold a password
	}
	if !slices.Contains(schemes, u.Scheme) {
		last := len(schemes) - 1
		return fmt.Errorf("the URL must begin with %s:// or %s://", strings.Join(schemes[:last], "://, "), schemes[last])
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	if host == "" || u.Opaque != "" {
		return fmt.Errorf("the URL has no host")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("the URL's port must be between 1 and 65535")
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return g.Check(a)
	}
	if numeric(host) {
		return fmt.Errorf("the URL's host is no valid address or name")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	addrs, err := g.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	var blocked error
	for _, a := range addrs {
		if blocked = g.Check(a); blocked == nil {
			return nil
		}
	}
	if blocked != nil {
		return fmt.Errorf("%s resolves only to blocked addresses: %w", host, blocked)
	}
	return nil
}

// numeric says whether a host that is no address in the usual form would be read as one by browsers and C libraries: 127.1, 2130706433,
// 0x7f000001. No top-level domain is a number (RFC 3696, section 2).
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil {
		return true
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// Transport returns a new transport whose every socket is checked. It uses no proxy, asks for no compression (so that a cap on an answer
// is a real cap) and accepts no TLS below 1.2. The caller may tune it before its first use but must keep DialContext and Proxy.
func (g *Guard) Transport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            g.Dialer().DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tlsTimeout,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns:           512,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  time.Second,
		ForceAttemptHTTP2:      true, // not by default beside a DialContext of one's own
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter},
	}
}

// Dialer returns a new dialer whose every socket is checked, for protocols other than HTTP.
func (g *Guard) Dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, Resolver: g.resolver, Control: g.control}
}

// control sees the address of each socket after name resolution and before it connects.
func (g *Guard) control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return &BlockedError{Reason: "not TCP", never: true}
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("parse address of socket: %w", err)
	}
	return g.Check(ap.Addr())
}

// Client returns a client over a transport of this guard, its own when t is nil. It follows no redirects (a 3xx is the answer) and keeps no
// cookies; timeout bounds each request with its body, 0 leaves that to the request's context.
func (g *Guard) Client(t *http.Transport, timeout time.Duration) *http.Client {
	if t == nil {
		t = g.Transport()
	}
	return &http.Client{
		Transport:     t,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
