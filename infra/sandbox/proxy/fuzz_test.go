package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/proxy"
	"github.com/chasqui/chasqui/infra/testfuzz"
)

// FuzzConnect gives the proxy any bytes as a client's first: no byte goes to another machine, what is answered is HTTP, and only one of WhatsApp's hosts
// is taken and given a certificate, which a client that trusts the authority takes.
func FuzzConnect(f *testing.F) {
	for _, seed := range []string{
		"CONNECT web.whatsapp.com:443 HTTP/1.1\r\nHost: web.whatsapp.com:443\r\n\r\n", "CONNECT example.com:443 HTTP/1.1\r\n\r\n", "CONNECT WEB.WHATSAPP.COM.:443 HTTP/1.0\r\n\r\n",
		"CONNECT [::1]:443 HTTP/1.1\r\nHost: x.whatsapp.net\r\n\r\n", "GET http://web.whatsapp.com/ HTTP/1.1\r\nHost: web.whatsapp.com\r\n\r\n", "CONNECT a.whatsapp.net:443 HTTP/1.1\r\n\r\n\x16\x03\x01\x00\x05hello",
		"CONNECT \xff.whatsapp.net:443 HTTP/1.1\r\n\r\n", "CONNECT a b.whatsapp.net:443 HTTP/1.1\r\n\r\n", "\x05\x01\x00", "\x16\x03\x01\x02\x00\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "CONNECT .whatsapp.net:443 HTTP/1.1\r\n\r\n",
		"CONNECT " + strings.Repeat("x", 300) + ".whatsapp.net:443 HTTP/1.1\r\n\r\n", "CONNECT whatsapp.net@evil.example:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	p, err := proxy.Start(f.Context(), proxy.Config{Addr: "127.0.0.1:0", Handler: http.NotFoundHandler()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(p.Close)
	testfuzz.Run(f, func(t *testing.T, first []byte) {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write(first); err != nil {
			return
		}
		_ = c.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(c)
		if err != nil || len(answer) == 0 {
			return // it is cut off, as where the request has no end
		}
		status, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		if err != nil {
			t.Fatalf("%q is answered with %q", first, answer)
		}
		defer status.Body.Close()
		line, _, _ := bytes.Cut(first, []byte("\n"))
		if name := strings.ToLower(string(line)); status.StatusCode < 300 && !strings.Contains(name, ".whatsapp.com") && !strings.Contains(name, ".whatsapp.net") {
			t.Errorf("%q leads somewhere", first)
		}
	})
}

// FuzzServerName asks for a certificate by any name.
func FuzzServerName(f *testing.F) {
	for _, seed := range []string{"web.whatsapp.com", "MMG.WhatsApp.NET.", "a.b.c.whatsapp.net", "whatsapp.com", "", ".whatsapp.net", "*.whatsapp.net", "\xff.whatsapp.net", "a\x00.whatsapp.net", "example.com", strings.Repeat("a.", 200) + "whatsapp.net"} {
		f.Add(seed)
	}
	p, err := proxy.Start(f.Context(), proxy.Config{Addr: "127.0.0.1:0", Handler: http.NotFoundHandler()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(p.Close)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.CA())
	testfuzz.Run(f, func(t *testing.T, name string) {
		c, err := p.ForName(&tls.ClientHelloInfo{ServerName: name})
		if err != nil {
			if len(err.Error()) > 1200 {
				t.Errorf("%d characters say that it is refused", len(err.Error()))
			}
			return
		}
		lower := strings.TrimSuffix(strings.ToLower(name), ".")
		if !strings.HasSuffix(lower, ".whatsapp.com") && !strings.HasSuffix(lower, ".whatsapp.net") {
			t.Errorf("%q has a certificate", name)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			return // a name that no client can ask for either
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "example.com"}); err == nil {
			t.Errorf("the certificate of %q is good for another host", name)
		}
	})
}
