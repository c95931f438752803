// Package proxy leads programs whose addresses are fixed to the sandbox: an HTTP proxy that takes CONNECT for WhatsApp's hosts alone, and
// answers as them with certificates of its own authority. A program is pointed at it by HTTPS_PROXY and trusts it by SSL_CERT_FILE or
// NODE_EXTRA_CA_CERTS; nothing of it is changed.
package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

const (
	// headerTime bounds the reading of a request's header, CONNECT's as well as the TLS handshake and the request in it.
	headerTime = 10 * time.Second
	// idleTime is how long a connection may wait for its next request; a WebSocket has time-outs of its own.
	idleTime = 2 * time.Minute
	// maxHeader bounds a request's header, in bytes.
	maxHeader = 1 << 16
	// maxConnections bounds the connections that are open at once, tunnels included: 1,000 sessions have a WebSocket and perhaps a transfer
	// or two each. More of them wait to be accepted.
	maxConnections = 4096
)

// zones are the domains whose hosts are the sandbox's: web.whatsapp.com and the hosts of media (whatsmeow socket/constants.go, mediaconn.go).
var zones = []string{"whatsapp.com", "whatsapp.net"}

// Config says where a proxy listens and what is behind it.
type Config struct {
	// Addr is host:port to listen on; port 0 picks a free one.
	Addr string
	// Handler answers what comes to any of WhatsApp's hosts.
	Handler http.Handler
	// Logger takes what goes wrong on single connections, at debug level; nil means slog.Default.
	Logger *slog.Logger
}

// Proxy is a running proxy. Its methods may be called at the same time by anyone.
type Proxy struct {
	authority *authority
	log       *slog.Logger
	listener  net.Listener
	outer     *http.Server // takes CONNECT
	inner     *http.Server // speaks TLS in the tunnels
	tunnels   *tunnels
	work      sync.WaitGroup // both servers
}

// Start makes an authority of its own and listens. ctx bounds the start alone; the proxy runs until Close.
func Start(ctx context.Context, c Config) (*Proxy, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	authority, err := newAuthority(time.Now())
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	p := &Proxy{authority: authority, log: c.Logger, listener: listener}
	p.tunnels = &tunnels{addr: listener.Addr(), accepted: make(chan net.Conn), closed: make(chan struct{})}
	errorLog := slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug)
	newServer := func(h http.Handler) *http.Server {
		return &http.Server{Handler: h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader, ErrorLog: errorLog}
	}
	p.outer, p.inner = newServer(http.HandlerFunc(p.serve)), newServer(c.Handler)
	p.work.Go(func() { p.run(p.outer, netutil.LimitListener(listener, maxConnections)) })
	p.work.Go(func() { p.run(p.inner, tls.NewListener(p.tunnels, authority.config())) })
	return p, nil
}

func (p *Proxy) run(server *http.Server, listener net.Listener) {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		p.log.Error("proxy ended", "error", err)
	}
}

// Close ends every connection but WebSockets, which are the handler's to end, and waits for the servers. It may be called twice.
func (p *Proxy) Close() {
	_ = p.outer.Close() // first, so that no tunnel follows
	_ = p.inner.Close()
	p.work.Wait()
}

// Addr is the address that the proxy listens on.
func (p *Proxy) Addr() *net.TCPAddr { return p.listener.Addr().(*net.TCPAddr) }

// CA is the certificate of the proxy's authority, in PEM: what a program has to trust beside its other roots.
func (p *Proxy) CA() []byte { return p.authority.pem }

// serve takes a CONNECT to one of WhatsApp's hosts and refuses everything else, so that no byte leaves this machine.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "this proxy takes CONNECT alone, for WhatsApp's hosts", http.StatusForbidden)
		return
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil || port != "443" || !ours(host) {
		http.Error(w, fmt.Sprintf("this proxy leads to a local WhatsApp alone: web.whatsapp.com, *.whatsapp.com and *.whatsapp.net, port 443; not to %.200q", r.Host),
			http.StatusForbidden)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be taken over", http.StatusInternalServerError)
		return
	}
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		_ = conn.Close()
		return
	}
	p.tunnels.add(&tunnel{Conn: conn, buffered: buffered.Reader})
}

// ours says whether a host is one of WhatsApp's.
func ours(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, zone := range zones {
		if strings.HasSuffix(host, "."+zone) {
			return true
		}
	}
	return false
}

// tunnel is a connection after its CONNECT; the client may have sent the first bytes for the other side together with it.
type tunnel struct {
	net.Conn
	buffered *bufio.Reader
}

func (t *tunnel) Read(p []byte) (int, error) { return t.buffered.Read(p) }

// tunnels is a listener whose connections are those of the proxy.
type tunnels struct {
	addr     net.Addr
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

// add hands a connection to Accept, or closes it when the listener is closed.
func (t *tunnels) add(c net.Conn) {
	select {
	case t.accepted <- c:
	case <-t.closed:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (t *tunnels) Accept() (net.Conn, error) {
	select {
	case c := <-t.accepted:
		return c, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (t *tunnels) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

// Addr implements net.Listener.
func (t *tunnels) Addr() net.Addr { return t.addr }
