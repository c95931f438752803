// Package testproxy is a proxy for tests: SOCKS5 (RFC 1928, with RFC 1929's passwords) and HTTP on one port, which tells what went through it.
package testproxy

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Proxy is a running proxy. Its methods may be called at the same time by anyone.
type Proxy struct {
	listener       net.Listener
	user, password string
	work           sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	leads   map[string]string
	seen    []string
	refused int
	conns   map[net.Conn]struct{}
}

// Open starts a proxy that lets those with a user and password through; it stops with the test.
func Open(t testing.TB, user, password string) *Proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, user: user, password: password, leads: map[string]string{}, conns: map[net.Conn]struct{}{}}
	p.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(p.Close)
	return p
}

// URL is the proxy's address with its user and password; scheme is socks5 or http.
func (p *Proxy) URL(scheme string) string {
	return (&url.URL{Scheme: scheme, User: url.UserPassword(p.user, p.password), Host: p.Addr()}).String()
}

// Addr is its host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Lead makes what is asked for as one host:port go to another.
func (p *Proxy) Lead(from, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leads[from] = to
}

// Seen are the connections that went through, each as the method and path of the first HTTP request on it.
func (p *Proxy) Seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// Refused counts those who had not the right user and password.
func (p *Proxy) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// Close ends the proxy with all that goes through it, and waits. A second call does nothing.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

// keep notes a connection to be closed with the proxy.
func (p *Proxy) keep(conn net.Conn) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
	}
	p.conns[conn] = struct{}{}
	return func() {
		_ = conn.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, conn)
	}
}

func (p *Proxy) serve(conn net.Conn) {
	defer p.keep(conn)()
	in := bufio.NewReader(conn)
	first, err := in.Peek(1)
	switch {
	case err != nil:
	case first[0] == 5:
		p.socks(conn, in)
	default:
		p.http(conn, in)
	}
}

func (p *Proxy) deny() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused++
}

// socks takes one SOCKS5 connection.
func (p *Proxy) socks(conn net.Conn, in *bufio.Reader) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	methods := read(int(read(2)[1]))
	if !slices.Contains(methods, 2) {
		p.deny()
		_, _ = conn.Write([]byte{5, 0xFF})
		return
	}
	_, _ = conn.Write([]byte{5, 2})
	user := string(read(int(read(2)[1])))
	password := string(read(int(read(1)[0])))
	if user != p.user || password != p.password {
		p.deny()
		_, _ = conn.Write([]byte{1, 1})
		return
	}
	_, _ = conn.Write([]byte{1, 0})
	host := ""
	switch read(4)[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = net.IP(read(16)).String()
	}
	out, err := p.dial(net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(read(2))))))
	if err != nil {
		_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	p.pass(conn, in, out, nil)
}

// http takes one HTTP connection: CONNECT, or the request itself, after which the connection is the server's.
func (p *Proxy) http(conn net.Conn, in *bufio.Reader) {
	request, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password))
	if request.Header.Get("Proxy-Authorization") != want {
		p.deny()
		_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	address := request.Host
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "80")
	}
	out, err := p.dial(address)
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	if request.Method == http.MethodConnect {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		p.pass(conn, in, out, nil)
		return
	}
	request.Header.Del("Proxy-Authorization")
	if request.Header.Get("Upgrade") == "" {
		request.Close = true // one request a connection: the next may be for another server
	}
	p.pass(conn, in, out, request)
}

func (p *Proxy) dial(address string) (net.Conn, error) {
	p.mu.Lock()
	if to, ok := p.leads[address]; ok {
		address = to
	}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return nil, errors.New("closed")
	}
	return (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
}

// pass copies both ways; request is what has been read already.
func (p *Proxy) pass(conn net.Conn, in *bufio.Reader, out net.Conn, request *http.Request) {
	defer p.keep(out)()
	var both sync.WaitGroup
	both.Go(func() {
		defer func() { _ = out.Close() }()
		if request != nil {
			p.note(request.Method + " " + request.URL.Path)
			if request.Write(out) != nil || request.Header.Get("Upgrade") == "" {
				_, _ = io.Copy(io.Discard, in) // until the client is done
				return
			}
		} else if line, err := in.ReadString('\n'); err == nil {
			fields := strings.Fields(line)
			if len(fields) > 1 {
				path, _, _ := strings.Cut(fields[1], "?")
				p.note(fields[0] + " " + path)
			}
			if _, err := io.WriteString(out, line); err != nil {
				return
			}
		}
		_, _ = io.Copy(out, in)
	})
	_, _ = io.Copy(conn, out)
	_ = conn.Close()
	both.Wait()
}

func (p *Proxy) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, what)
}
