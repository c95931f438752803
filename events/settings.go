package events

import (
	"encoding/json"
	"log/slog"
	"net/url"
)

// A ProxyURL is the address of a session's proxy, with its user and password. It is shown without them, whoever writes it wherever; string(p) is
// the whole.
type ProxyURL string

// String returns the address with *** for a user and password.
func (p ProxyURL) String() string {
	u, err := url.Parse(string(p))
	switch {
	case p == "":
		return ""
	case err != nil || u.Host == "":
		return HiddenUser
	case u.User != nil:
		return u.Scheme + "://" + HiddenUser + "@" + u.Host
	}
	return u.Scheme + "://" + u.Host
}

// HiddenUser stands for the user and password of a proxy.
const HiddenUser = "***"

// MarshalJSON implements json.Marshaler.
func (p ProxyURL) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// GoString implements fmt.GoStringer.
func (p ProxyURL) GoString() string { return p.String() }

// LogValue implements slog.LogValuer.
func (p ProxyURL) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Ignore says what a session takes no notice of.
type Ignore struct {
	Groups     bool `json:"groups,omitempty" doc:"Whatever happens in groups."`
	Status     bool `json:"status,omitempty" doc:"Status updates of others."`
	Broadcasts bool `json:"broadcasts,omitempty" doc:"Messages that somebody sent to a broadcast list."`
	Channels   bool `json:"channels,omitempty" doc:"Posts of channels."`
}
