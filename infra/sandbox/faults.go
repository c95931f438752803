package sandbox

import (
	"net/http"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// longestAckDelay bounds the ackDelayMs fault; whatsmeow gives up on an ack after 75 s (send.go).
const longestAckDelay = 60 * time.Second

// faults is the control API's form of server.Faults.
type faults struct {
	AckDelayMs        int64        `json:"ackDelayMs"`
	DropAcks          bool         `json:"dropAcks"`
	RefuseConnections bool         `json:"refuseConnections"`
	Media             *mediaFaults `json:"media,omitempty"`
}

// mediaFaults is the control API's form of server.MediaFaults.
type mediaFaults struct {
	Status             int    `json:"status,omitempty"`
	SlowBytesPerSecond int64  `json:"slowBytesPerSecond,omitempty"`
	Truncate           bool   `json:"truncate,omitempty"`
	Stall              bool   `json:"stall,omitempty"`
	Count              int    `json:"count,omitempty"`
	Direction          string `json:"direction,omitempty"`
	PhoneHasNone       bool   `json:"phoneHasNone,omitempty"`
}

func (s *Sandbox) getFaults(*http.Request) (int, any, error) {
	f := s.server.Faults()
	out := faults{AckDelayMs: f.AckDelay.Milliseconds(), DropAcks: f.DropAcks, RefuseConnections: f.RefuseConnections}
	if m := f.Media; m != (server.MediaFaults{}) {
		out.Media = &mediaFaults{
			Status: m.Status, SlowBytesPerSecond: m.BytesPerSecond, Truncate: m.Truncate, Stall: m.Stall, Count: m.Count,
			Direction: "download", PhoneHasNone: m.PhoneHasNone,
		}
		if m.Uploads {
			out.Media.Direction = "upload"
		}
	}
	return http.StatusOK, out, nil
}

func (s *Sandbox) putFaults(r *http.Request) (int, any, error) {
	var in faults
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if in.AckDelayMs < 0 || in.AckDelayMs > longestAckDelay.Milliseconds() {
		return 0, nil, failure(http.StatusUnprocessableEntity, "ackDelayMs must be 0 to %d", longestAckDelay.Milliseconds())
	}
	f := server.Faults{
		AckDelay: time.Duration(in.AckDelayMs) * time.Millisecond, DropAcks: in.DropAcks, RefuseConnections: in.RefuseConnections,
	}
	if m := in.Media; m != nil {
		switch {
		case m.Status != 0 && (m.Status < 400 || m.Status > 599):
			return 0, nil, failure(http.StatusUnprocessableEntity, "media.status must be 400 to 599, as 403, 404, 410 or 500")
		case m.SlowBytesPerSecond < 0 || m.Count < 0:
			return 0, nil, failure(http.StatusUnprocessableEntity, "media.slowBytesPerSecond and media.count must not be negative")
		case m.Direction != "" && m.Direction != "download" && m.Direction != "upload":
			return 0, nil, failure(http.StatusUnprocessableEntity, `media.direction must be "download" or "upload"`)
		}
		f.Media = server.MediaFaults{
			Status: m.Status, BytesPerSecond: m.SlowBytesPerSecond, Truncate: m.Truncate, Stall: m.Stall, Count: m.Count,
			Uploads: m.Direction == "upload", PhoneHasNone: m.PhoneHasNone,
		}
	}
	s.SetFaults(f)
	return s.getFaults(r)
}

// SetFaults replaces the faults that the server makes on purpose; the zero value ends them all. They are for companions, spare the phones,
// and do not outlive the process.
func (s *Sandbox) SetFaults(f server.Faults) { s.server.SetFaults(f) }
