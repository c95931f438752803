package server

import (
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
)

// BanRule bans an account for a while that writes to too many whom it never wrote to and who never wrote to it: the spam that the real
// service is said to look for. Its own rules are not known. The zero value bans nobody.
type BanRule struct {
	// NewContacts is how many an account may write to for the first time within Window; with the next it is banned for Duration.
	NewContacts int
	Window      time.Duration
	Duration    time.Duration
	// Code is why, as clients show it (types/events TempBanReason); 0 is 101, sent to too many people.
	Code int
}

// acquaintance is what a BanRule goes by beside whom an account knows (contacts.go); it ends with the process. Server.mu guards it.
type acquaintance struct {
	fresh       []time.Time // when the last new contacts were made
	bannedUntil time.Time
	banCode     int
}

// meet notes that an account writes to another, and bans it where the rule says so. It reports whether the message is to be taken.
func (s *Server) meet(from, to *account) bool {
	rule, now := s.faultsOf(from).Ban, time.Now()
	s.mu.Lock()
	known, wrote := from.knows(to), to.knows(from)
	var connections []*conn
	if rule.NewContacts > 0 && !known && !wrote && from != to {
		fresh := from.met.fresh[:0]
		for _, at := range from.met.fresh {
			if now.Sub(at) < rule.Window {
				fresh = append(fresh, at)
			}
		}
		from.met.fresh = append(fresh, now)
		if len(from.met.fresh) > rule.NewContacts {
			from.met.fresh = nil
			from.met.bannedUntil, from.met.banCode = now.Add(rule.Duration), rule.Code
			if from.met.banCode == 0 {
				from.met.banCode = 101
			}
			for _, d := range from.devices[1:] {
				if d.conn != nil {
					connections = append(connections, d.conn)
				}
			}
		}
	}
	s.mu.Unlock()
	for _, c := range connections {
		c.cut() // and the next login says why
	}
	return len(connections) == 0
}

// banned says whether an account is banned now.
func (a *account) banned(s *Server) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return time.Now().Before(a.met.bannedUntil)
}

// banNotice is what a banned account is refused with; nil when it is not banned. A simulated phone is never refused.
func (c *conn) banNotice(a *account) *waBinary.Node {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	left := time.Until(a.met.bannedUntil)
	if left <= 0 || c.phone {
		return nil
	}
	return &waBinary.Node{Tag: "failure", Attrs: waBinary.Attrs{
		"reason": 402, "code": a.met.banCode, "expire": int((left + time.Second - 1) / time.Second), "location": "sandbox",
	}}
}

// unixOf reads a time attribute, in seconds.
func unixOf(value any) (int64, bool) {
	switch v := value.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case string:
		t, err := strconv.ParseInt(v, 10, 64)
		return t, err == nil
	}
	return 0, false
}
