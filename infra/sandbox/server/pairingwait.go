package server

import (
	"slices"
	"strings"
	"time"

	"go.mau.fi/whatsmeow/proto/waCompanionReg"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"google.golang.org/protobuf/proto"
)

// QRLife is how long the QR codes of a companion can be scanned, one after the other: every code from the start of the connection to its
// own end. Zero fields are whatsmeow's times (qrchan.go): 60 s for the first, 20 s for each of the other five.
type QRLife struct{ First, Next time.Duration }

// qrGrace is how long a companion whose codes are used up may stay: whatsmeow's QR channel disconnects by itself then, and to be closed in
// the same moment is a data race in it. It is less when codes live for less.
const qrGrace = 5 * time.Second

func (l QRLife) orDefault() QRLife {
	if l.First <= 0 {
		l.First = 60 * time.Second
	}
	if l.Next <= 0 {
		l.Next = 20 * time.Second
	}
	return l
}

// until is how long after the start the code with this index can be scanned.
func (l QRLife) until(index int) time.Duration { return l.First + time.Duration(index)*l.Next }

// ClientInfo is what a companion says of itself before it is linked. The texts are its own, cut to 100 bytes.
type ClientInfo struct {
	OS       string // as "Linux"; the name shown in the phone's list of linked devices
	Platform string // a name of waCompanionReg.DeviceProps_PlatformType, as "CHROME"
	Browser  string // what a request for a pairing code called it, as "Chrome (Linux)"
}

// Waiting is a companion that waits to be linked.
type Waiting struct {
	ID     string // of the connection; it changes when the companion connects again
	Since  time.Time
	Until  time.Time // when its last QR code expires and the connection ends
	Client ClientInfo
	// Phone is the number that the companion asked a pairing code for: EnterCode links it. "" means that it can be linked by Scan alone: a
	// QR code's text holds a secret of the companion's that the server never sees.
	Phone string
	// QRUntil is when the QR code expires that a client which shows one after the other shows now.
	QRUntil time.Time
	// Linking says that a phone is at it, and Passkey that the companion's part of that is to answer a passkey request.
	Linking, Passkey bool
}

// Waiting returns the companions that wait to be linked, the longest waiting first.
func (s *Server) Waiting() []Waiting {
	now := time.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []Waiting
	for c := range s.conns {
		p := c.pairing
		if p == nil || p.over || p.linked {
			continue
		}
		w := Waiting{ID: p.id, Since: p.since, Until: p.since.Add(s.qrLife.until(qrRefs - 1)), Client: p.client, Linking: p.claimed, Passkey: p.passkey != nil}
		if p.request != nil {
			w.Phone, w.Client.Browser = p.request.account.keys.Phone, p.request.display
		}
		for i := range p.refs {
			if w.QRUntil = p.since.Add(s.qrLife.until(i)); now.Before(w.QRUntil) {
				break
			}
		}
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b Waiting) int {
		if order := a.Since.Compare(b.Since); order != 0 {
			return order
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// describe reads what a companion registers as.
func describe(data *waWa6.ClientPayload_DevicePairingRegistrationData) ClientInfo {
	var props waCompanionReg.DeviceProps
	if err := proto.Unmarshal(data.GetDeviceProps(), &props); err != nil {
		return ClientInfo{Platform: waCompanionReg.DeviceProps_UNKNOWN.String()}
	}
	return ClientInfo{OS: shorten(props.GetOs()), Platform: props.GetPlatformType().String()}
}

// shorten makes a client's text safe to be kept and shown: valid UTF-8 of 100 bytes at most.
func shorten(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), 100)], "")
}

// expired says whether the QR reference's time has passed; the caller holds Server.mu.
func (s *Server) expired(p *pairing, ref string) bool {
	return p.over || !time.Now().Before(p.since.Add(s.qrLife.until(slices.Index(p.refs, ref))))
}

// expire ends a companion's wait when its last QR code has expired, as the real server does (PairPhone in pair-code.go, QR in
// types/events): it closes the connection without a word, and the client connects again for more codes. One that a phone is linking just
// then is left to that.
func (c *conn) expire() {
	c.s.mu.Lock()
	c.pairing.over = true
	claimed := c.pairing.claimed
	c.s.mu.Unlock()
	if !claimed {
		c.cut()
	}
}

// release lets a companion wait again that a phone could not link, and did no harm to.
func (s *Server) release(c *conn) {
	s.mu.Lock()
	c.pairing.claimed, c.pairing.script, c.pairing.passkey = false, nil, nil
	over := c.pairing.over
	s.mu.Unlock()
	if over {
		c.cut()
	}
}

// forgetPairing removes what leads to a companion whose connection has ended; the caller holds Server.mu.
func (s *Server) forgetPairing(p *pairing) {
	for _, ref := range p.refs {
		delete(s.refs, ref)
	}
	if p.request != nil {
		p.request.conn = nil
	}
}
