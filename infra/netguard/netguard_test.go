package netguard

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testdns"
	"github.com/chasqui/chasqui/infra/testfuzz"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	public := []string{"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1", "198.17.255.255",
		"198.20.0.0", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "2001:200::1", "::ffff:8.8.8.8"}
	blocked := []string{"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.1.1",
		"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
		"203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "3fff::1", "3fff:fff::1",
		"100::1", "2002:808:808::1", "64:ff9b::808:808", "64:ff9b:1::1", "5f00::1", "2001::1", "2001:20::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "::127.0.0.1", "4000::1", "e000::1"}
	g := New(Config{})
	for _, s := range public {
		if err := g.Check(netip.MustParseAddr(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range blocked {
		err := g.Check(netip.MustParseAddr(s))
		var b *BlockedError
		if !errors.As(err, &b) || !strings.Contains(err.Error(), Variable) {
			t.Errorf("%s: got %v, want a BlockedError that names %s", s, err, Variable)
		}
	}
	if g.Check(netip.Addr{}) == nil {
		t.Error("the zero address passes")
	}
}

func TestAllowedNetworksPassAndMetadataNever(t *testing.T) {
	t.Parallel()
	allow, err := ParseAllow(" 172.16.0.0/12,127.0.0.1, ::ffff:10.0.0.0/104,fd00::/8,169.254.0.0/16,,64:ff9b::/96 ,100.64.0.0/10")
	if err != nil {
		t.Fatal(err)
	}
	g := New(Config{Allow: allow})
	for _, s := range []string{"172.20.1.1", "::ffff:172.20.1.1", "127.0.0.1", "10.9.8.7", "fd00::1", "169.254.1.1", "64:ff9b::808:808", "64:ff9b::ac10:1"} {
		if err := g.Check(netip.MustParseAddr(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"127.0.0.2", "192.168.0.1", "::1", "64:ff9b::c0a8:1"} {
		if g.Check(netip.MustParseAddr(s)) == nil {
			t.Errorf("%s passes", s)
		}
	}
	for _, s := range []string{"169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fd00:ec2::254%1", "64:ff9b::a9fe:a9fe", "100.100.100.200", "168.63.129.16"} {
		if err := g.Check(netip.MustParseAddr(s)); err == nil || strings.Contains(err.Error(), Variable) {
			t.Errorf("%s: got %v, want a refusal that promises nothing", s, err)
		}
	}
	for _, s := range []string{"172.16.0.0/33", "x", "10.0.0.0/", "10.0.0.1-10.0.0.9", "fe80::1%eth0/64"} {
		if _, err := ParseAllow(s); err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("ParseAllow(%q): got %v", s, err)
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	zone := map[string][]string{"public.test.": {"93.184.215.14"}, "mixed.test.": {"10.0.0.1", "93.184.215.14"}, "inside.test.": {"10.0.0.1", "fd00::1"}}
	g := New(Config{Resolver: testdns.Resolver(t, func(name string) []string { return zone[name] })})
	good := []string{"https://public.test/hook?x=1", "http://public.test:8080", "https://user:secret@public.test/", "http://8.8.8.8/", "https://[2606:4700::1111]:443/",
		"http://mixed.test", "http://public.test./", "https://not-there-yet.test/"}
	for _, s := range good {
		if err := g.CheckURL(t.Context(), s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	bad := map[string]string{
		"ftp://public.test/": "http://", "public.test": "http://", "": "http://", "//public.test/x": "http://", "http:public.test": "host", "http:///x": "host", "http://:80/": "host",
		"http://public.test:0/": "port", "http://public.test:65536/": "port", "http://pub lic.test/": "URL", "http://%zz/": "URL",
		"http://169.254.169.254/latest/meta-data": "metadata", "http://127.0.0.1:3000/": Variable, "http://[::1]/": Variable, "http://[::ffff:127.0.0.1]/": Variable,
		"http://[fe80::1%25eth0]/": Variable, "http://inside.test/": Variable, "http://inside.test./": Variable, "http://127.1/": "no valid", "http://2130706433/": "no valid",
		"http://0x7f000001/": "no valid", "http://0177.0.0.01/": "no valid", "http://10.0.0.256/": "no valid", "http://127.0.0.1./": Variable,
		"http://public.test/" + strings.Repeat("x", maxURL): "longer",
	}
	for s, want := range bad {
		if err := g.CheckURL(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %v, want an error that says %q", s, err, want)
		}
	}
	if err := g.CheckURL(t.Context(), "http://u:hunter2@inside.test\x7f/"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

func TestEverySocketIsChecked(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
	}))
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())

	t.Run("a literal address", func(t *testing.T) {
		wantBlocked(t, New(Config{}).Client(nil, 5*time.Second), srv.URL)
		if hits.Load() != 0 {
			t.Fatal("the server was reached")
		}
	})
	t.Run("a name that was public when it was checked", func(t *testing.T) {
		var asked atomic.Int32
		g := New(Config{Resolver: testdns.Resolver(t, func(string) []string {
			if asked.Add(1) <= 2 { // A and AAAA of the first look-up
				return []string{"93.184.215.14"}
			}
			return []string{"127.0.0.1"}
		})})
		url := "http://rebinding.test:" + port
		if err := g.CheckURL(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		wantBlocked(t, g.Client(nil, 5*time.Second), url)
		if hits.Load() != 0 {
			t.Fatal("the server was reached")
		}
	})
	t.Run("a redirect is the answer", func(t *testing.T) {
		allow, _ := ParseAllow("127.0.0.0/8")
		res, err := New(Config{Allow: allow}).Client(nil, 5*time.Second).Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		if res.StatusCode != http.StatusFound || hits.Load() != 1 {
			t.Fatalf("got status %d after %d requests", res.StatusCode, hits.Load())
		}
	})
}

func wantBlocked(t *testing.T, c *http.Client, url string) {
	t.Helper()
	defer c.CloseIdleConnections()
	res, err := c.Get(url)
	var b *BlockedError
	if !errors.As(err, &b) {
		if err == nil {
			res.Body.Close()
		}
		t.Fatalf("got %v, want a BlockedError", err)
	}
}

// FuzzCheck holds the table against the standard library's own notion of addresses that are not public, in every disguise of an address.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "::ffff:10.0.0.1", "fe80::1%1", "2606:4700::1111", "64:ff9b::7f00:1", "ff02::1"} {
		f.Add(s)
	}
	g := New(Config{})
	testfuzz.Run(f, func(t *testing.T, s string) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return
		}
		u := a.Unmap().WithZone("")
		if (u.IsPrivate() || u.IsLoopback() || u.IsUnspecified() || !u.IsGlobalUnicast()) && g.Check(a) == nil {
			t.Fatalf("%s passes", s)
		}
		if (g.Check(a) == nil) != (g.Check(u) == nil) {
			t.Fatalf("%s and %s differ", a, u)
		}
	})
}

// FuzzCheckURL holds CheckURL to its promise for literal addresses: what a client would dial at once is never passed when it is blocked.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1", "http://[::ffff:7f00:1]:80", "http://user@10.0.0.1/", "http://169.254.169.254#@8.8.8.8", "http://8.8.8.8\\@10.0.0.1/"} {
		f.Add(s)
	}
	g := New(Config{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no network in fuzzing")
	}}})
	testfuzz.Run(f, func(t *testing.T, s string) {
		if g.CheckURL(context.Background(), s) != nil {
			return
		}
		req, err := http.NewRequest(http.MethodPost, s, nil)
		if err != nil {
			t.Fatalf("%q passes but makes no request: %v", s, err)
		}
		if a, err := netip.ParseAddr(req.URL.Hostname()); err == nil && g.Check(a) != nil {
			t.Fatalf("%q passes", s)
		}
	})
}

func TestOtherProtocolsAreGuardedToo(t *testing.T) {
	t.Parallel()
	g := New(Config{})
	if err := g.CheckURLOf(t.Context(), "nats://token@8.8.8.8:4222/a.{type}", "http", "nats"); err != nil {
		t.Error(err)
	}
	for raw, want := range map[string]string{"nats://127.0.0.1": Variable, "nats://169.254.169.254": "metadata", "nats:///a": "host", "kafka://8.8.8.8": "http://, https:// or nats://"} {
		if err := g.CheckURLOf(t.Context(), raw, "http", "https", "nats"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that says %q", raw, err, want)
		}
	}
	if err := g.CheckURL(t.Context(), "nats://8.8.8.8"); err == nil || !strings.Contains(err.Error(), "http:// or https://") {
		t.Errorf("got %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost"} {
		c, err := g.Dialer().DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
		var b *BlockedError
		if !errors.As(err, &b) {
			t.Errorf("%s: got %v, want a BlockedError", host, err)
		}
		if err == nil {
			c.Close()
		}
	}
}
