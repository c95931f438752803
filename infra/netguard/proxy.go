package netguard

import (
	"context"
	"errors"
	"net/url"
)

// ProxySchemes are what a proxy's URL may begin with. Names are looked up by the proxy, with SOCKS5 too.
var ProxySchemes = []string{"socks5", "http", "https"}

// userMost is the longest user or password that SOCKS5 has room for (RFC 1929), in bytes.
const userMost = 255

// ParseProxy reads the URL of a proxy. Its errors hold nothing of it.
func ParseProxy(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("this is not a URL")
	}
	for _, scheme := range ProxySchemes {
		if u.Scheme != scheme {
			continue
		}
		password, _ := u.User.Password()
		switch {
		case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
			return nil, errors.New("the URL of a proxy ends with its port")
		case len(u.User.Username()) > userMost || len(password) > userMost:
			return nil, errors.New("user and password have at most 255 bytes each")
		case u.User != nil && u.User.Username() == "":
			return nil, errors.New("a password goes with a user")
		}
		return u, nil
	}
	return nil, errors.New("the URL must begin with socks5://, http:// or https://")
}

// CheckProxy says whether raw may be kept as the URL of a proxy; see CheckURL.
func (g *Guard) CheckProxy(ctx context.Context, raw string) error {
	if _, err := ParseProxy(raw); err != nil {
		return err
	}
	return g.CheckURLOf(ctx, raw, ProxySchemes...)
}
