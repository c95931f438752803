package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chasqui/chasqui/infra/sandbox/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup runs a proxy in front of a handler that says what it was asked for.
func setup(t *testing.T) *proxy.Proxy {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, " ", r.Host, r.URL.Path) })
	p, err := proxy.Start(t.Context(), proxy.Config{Addr: "127.0.0.1:0", Handler: handler})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// client goes through the proxy and trusts its authority, and nothing else.
func client(t *testing.T, p *proxy.Proxy) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(p.CA()) {
		t.Fatal("the authority is no certificate")
	}
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: p.Addr().String()}),
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true, // as http.DefaultTransport, which whatsmeow clones
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestLeadsWhatsAppsHosts(t *testing.T) {
	t.Parallel()
	p := setup(t)
	c := client(t, p)
	for _, host := range []string{"web.whatsapp.com", "mmg.whatsapp.net", "media.fgru1-1.fna.whatsapp.net", "MMG.WhatsApp.NET"} {
		body, err := get(t, c, "https://"+host+"/path")
		if want := "HTTP/1.1 " + host + "/path"; err != nil || !strings.EqualFold(body, want) {
			t.Errorf("%s answered %q, %v; want %q", host, body, err, want)
		}
	}
}

func TestRefusesOtherHosts(t *testing.T) {
	t.Parallel()
	p := setup(t)
	c := client(t, p)
	for _, url := range []string{
		"https://example.com/", "https://web.whatsapp.com:80/", "https://whatsapp.net.example.com/", "https://evilwhatsapp.com/",
		"https://whatsapp.com@127.0.0.1/", "https://127.0.0.1:443/",
	} {
		if body, err := get(t, c, url); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("%s was not refused: %q, %v", url, body, err)
		}
	}
	body, err := get(t, c, "http://web.whatsapp.com/")
	if err != nil || !strings.Contains(body, "CONNECT alone") {
		t.Errorf("a request that is no CONNECT was answered %q, %v", body, err)
	}
}

// TestRefusesOtherNamesInTLS: the name in the handshake is checked as the name in CONNECT is.
func TestRefusesOtherNamesInTLS(t *testing.T) {
	t.Parallel()
	p := setup(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(conn, "CONNECT mmg.whatsapp.net:443 HTTP/1.1\r\nHost: mmg.whatsapp.net:443\r\n\r\n")
	reader := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = reader.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if err := tls.Client(conn, &tls.Config{ServerName: "example.com", InsecureSkipVerify: true}).HandshakeContext(t.Context()); err == nil {
		t.Error("a handshake for another host succeeded")
	}
}

// TestAuthorityIsConstrained: whoever trusts the authority, by mistake for everything, has trusted it for WhatsApp's hosts alone.
func TestAuthorityIsConstrained(t *testing.T) {
	t.Parallel()
	p := setup(t)
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", p.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		conn.Close()
		t.Error("the proxy speaks TLS before a CONNECT")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.CA())
	for host, want := range map[string]bool{"web.whatsapp.com": true, "example.com": false} {
		leaf, err := p.Certificate(host)
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
		if (err == nil) != want {
			t.Errorf("a certificate for %s: %v", host, err)
		}
		if time.Until(leaf.NotAfter) < 300*24*time.Hour {
			t.Errorf("the certificate ends %v", leaf.NotAfter)
		}
	}
}

func TestCloseEndsOpenTunnels(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	p, err := proxy.Start(t.Context(), proxy.Config{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error)
	go func() {
		_, err := get(t, client(t, p), "https://web.whatsapp.com/")
		answered <- err
	}()
	select {
	case <-begun:
	case <-time.After(20 * time.Second):
		t.Fatal("the request did not arrive")
	}
	p.Close()
	p.Close()
	if err := <-answered; err == nil {
		t.Error("the request was answered")
	}
	if _, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.Addr().String()); err == nil {
		t.Error("the proxy still listens")
	}
}
