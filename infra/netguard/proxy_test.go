package netguard

import (
	"net/netip"
	"strings"
	"testing"
)

func TestProxyURLs(t *testing.T) {
	t.Parallel()
	g := New(Config{Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	for raw, good := range map[string]bool{
		"socks5://user:password@203.0.113.9:1080": true, "http://203.0.113.9": true, "https://203.0.113.9:3128/": true,
		"ftp://user:s3cr3t@203.0.113.9": false, "socks5://user:s3cr3t@": false, "http://user:s3cr3t@203.0.113.9/path": false, "http://user:s3cr3t@203.0.113.9?q": false,
		"http://:s3cr3t@203.0.113.9": false, "http://user:s3cr3t@127.0.0.1": false, "socks5://user:s3cr3t@169.254.169.254": false, "http://user:s3cr3t@a b": false,
		"socks5://" + strings.Repeat("u", 256) + "@203.0.113.9": false,
	} {
		err := g.CheckProxy(t.Context(), raw)
		if (err == nil) != good || err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
