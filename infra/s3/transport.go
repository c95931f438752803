package s3

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout   = 5 * time.Second
	headerTimeout = 30 * time.Second // from the request's last byte to the answer's first

	// A connection on which nothing moves for this long, in either direction, is
	// dead: a server that hangs, or a body that stalls. It is above headerTimeout,
	// so that the more telling error comes first.
	stallTimeout = time.Minute

	// Servers drop idle connections too, and a request that meets such a one fails
	// when its body is a stream: so ours are dropped first.
	idleTimeout = 10 * time.Second
)

// newTransport is one connection pool with the time limits above. Redirects are
// never followed: the client library returns their answers as errors.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &watchedConn{Conn: conn}, nil
		},
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:       idleTimeout,
		MaxIdleConnsPerHost:   16,
		DisableCompression:    true, // objects come as they were put
		// The default of 4 KB costs 25 system calls for 100 KB.
		WriteBufferSize: 32 << 10,
		ReadBufferSize:  32 << 10,
	}
}

// watchedConn ends itself when nothing moves. A read for the answer is under way
// while the body is written, so progress in writing counts for both.
type watchedConn struct{ net.Conn }

func (c *watchedConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *watchedConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
