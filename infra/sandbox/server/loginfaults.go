package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waWa6"
)

var (
	// ErrFailureInvalid is returned by FailLogins for a failure that is none of WhatsApp's.
	ErrFailureInvalid = errors.New("not a login failure of WhatsApp's")
	// ErrStreamErrorInvalid is returned by StreamError for a kind that it does not know.
	ErrStreamErrorInvalid = errors.New("not a stream error of WhatsApp's")
)

// LoginFailure is how logins are refused (types/events ConnectFailureReason; connectionevents.go).
type LoginFailure struct {
	// Reason is what the client acts by: 401, 403 and 406 make it delete its session, 402 is a temporary ban, 405 means that the client is
	// outdated, 500 and 503 that it should try again; 400 to 599, without 413 and 414, which are Messenger's: whatsmeow answers these by
	// calling a function that WhatsApp's clients leave nil.
	Reason int
	// Code says why a ban was imposed (events.TempBanReason, 101 to 106), and Expire after which time it ends, in whole seconds.
	Code   int
	Expire time.Duration
	// Message is a text that goes with it, Location the data centre; "" is "sandbox".
	Message, Location string
	// Count is how many logins fail; 0 means all until FailLogins ends it.
	Count int
}

// FailLogins makes the logins of an account's companions fail, or with phone "" those of all companions, pairings included; a failure of
// the account's own goes first. It replaces what was set for the phone before; one with Reason 0 ends it. Connections that stand and phones
// are left alone, and so are the devices: a client that is told 401 deletes its session, while its device
// stays in the account's list until Unlink. Failures do not outlive the process. Errors: ErrNoAccount, ErrFailureInvalid.
func (s *Server) FailLogins(phone string, f LoginFailure) error {
	if f.Reason != 0 && (f.Reason < 400 || f.Reason > 599 || f.Reason == 413 || f.Reason == 414) || f.Code < 0 || f.Expire < 0 || f.Count < 0 {
		return ErrFailureInvalid
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if phone != "" && s.byPhone[phone] == nil {
		return ErrNoAccount
	}
	if f.Reason == 0 {
		delete(s.failing, phone)
	} else {
		s.failing[phone] = &f
	}
	return nil
}

// LoginFailures returns the failures in force by phone number, "" for all, with what is left of their counts.
func (s *Server) LoginFailures() map[string]LoginFailure {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := map[string]LoginFailure{}
	for phone, f := range maps.All(s.failing) {
		all[phone] = *f
	}
	return all
}

// takeLoginFailure says whether a client that logs in, or wants to be linked, is to be refused, and counts it.
func (s *Server) takeLoginFailure(c *conn, payload *waWa6.ClientPayload) (LoginFailure, bool) {
	user := payload.GetUsername()
	if c.phone || user != 0 && payload.GetDevice() == 0 {
		return LoginFailure{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	phone := ""
	if user != 0 {
		phone = strconv.FormatUint(user, 10)
	}
	f := s.failing[phone]
	if f == nil {
		phone = ""
		if f = s.failing[phone]; f == nil {
			return LoginFailure{}, false
		}
	}
	if f.Count == 1 {
		delete(s.failing, phone)
	} else if f.Count > 1 {
		f.Count--
	}
	return *f, true
}

// fail answers a login with a failure and waits for the client to go.
func (c *conn) fail(f LoginFailure) error {
	attrs := waBinary.Attrs{"reason": f.Reason, "location": "sandbox"}
	if f.Location != "" {
		attrs["location"] = f.Location
	}
	if f.Code != 0 {
		attrs["code"] = f.Code
	}
	if f.Expire != 0 {
		attrs["expire"] = int64(f.Expire / time.Second)
	}
	if f.Message != "" {
		attrs["message"] = f.Message
	}
	c.part(waBinary.Node{Tag: "failure", Attrs: attrs}, farewell)
	return c.serve()
}

var streamCode = regexp.MustCompile(`^[1-9][0-9]{2}$`)

// StreamError ends the connections of an account's companions, or with phone "" of all companions, as the real server does: with a stream
// error of the kind "replaced" (another client logged in with the same keys), "device_removed" (the owner unlinked it, which this really
// does, to those that are connected), or a code of three digits, as "515" (the client connects again at once) and "503" (it does after it
// was closed). Phones are left alone. It returns how many were ended. Errors: ErrNoAccount,
// ErrStreamErrorInvalid, the database's.
func (s *Server) StreamError(ctx context.Context, phone, kind string) (int, error) {
	node, patience := waBinary.Node{Tag: "stream:error"}, farewell
	switch {
	case kind == "replaced":
		node.Content = []waBinary.Node{{Tag: "conflict", Attrs: waBinary.Attrs{"type": "replaced"}}}
	case streamCode.MatchString(kind):
		node.Attrs = waBinary.Attrs{"code": kind}
	case kind != "device_removed":
		return 0, ErrStreamErrorInvalid
	}
	if kind == "515" {
		patience = restartPatience // the client closes by itself
	}
	chosen := map[*account][]*device{}
	connections := []*conn{}
	s.mu.RLock()
	_, known := s.byPhone[phone]
	for c := range s.conns {
		if d := c.device; d != nil && d.number != 0 && d.conn == c && (phone == "" || d.account.keys.Phone == phone) {
			chosen[d.account] = append(chosen[d.account], d)
			connections = append(connections, c)
		}
	}
	s.mu.RUnlock()
	if phone != "" && !known {
		return 0, ErrNoAccount
	}
	if kind != "device_removed" {
		for _, c := range connections {
			c.part(node, patience)
		}
		return len(connections), nil
	}
	for a, devices := range chosen {
		if err := s.removeDevices(ctx, a, func(d *device) bool { return slices.Contains(devices, d) }, nil); err != nil {
			return 0, fmt.Errorf("remove connected devices: %w", err)
		}
	}
	return len(connections), nil
}
