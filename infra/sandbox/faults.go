package sandbox

import (
	"net/http"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// longestDelay bounds the delays of acks and answers; whatsmeow gives up on them after 75 s (send.go, request.go).
const longestDelay = 60 * time.Second

// faults is the control API's form of server.Faults. What is left out is off.
type faults struct {
	Seed               uint64       `json:"seed"`
	AckDelayMs         int64        `json:"ackDelayMs"`
	AckJitterMs        int64        `json:"ackJitterMs"`
	QueryDelayMs       int64        `json:"queryDelayMs"`
	QueryJitterMs      int64        `json:"queryJitterMs"`
	DropAcks           bool         `json:"dropAcks"`
	RefuseConnections  bool         `json:"refuseConnections"`
	CutBefore          *sometimes   `json:"cutBefore,omitempty"`
	CutAfter           *sometimes   `json:"cutAfter,omitempty"`
	AckError           *ackError    `json:"ackError,omitempty"`
	Drop               *sometimes   `json:"drop,omitempty"`
	Duplicate          *sometimes   `json:"duplicate,omitempty"`
	Reorder            *sometimes   `json:"reorder,omitempty"`
	Corrupt            *sometimes   `json:"corrupt,omitempty"`
	PushAll            bool         `json:"pushAll"`
	NoPreKeys          bool         `json:"noPreKeys"`
	Silence            bool         `json:"silence"`
	ClockOffsetSeconds int64        `json:"clockOffsetSeconds"`
	Ban                *banRule     `json:"ban,omitempty"`
	Media              *mediaFaults `json:"media,omitempty"`
}

// sometimes is the control API's form of server.Sometimes; without a rate it is always.
type sometimes struct {
	Rate  *float64 `json:"rate,omitempty"`
	Count int      `json:"count,omitempty"`
}

type ackError struct {
	sometimes
	Code int `json:"code"`
}

type banRule struct {
	NewContacts     int   `json:"newContacts"`
	WindowSeconds   int64 `json:"windowSeconds"`
	DurationSeconds int64 `json:"durationSeconds"`
	Code            int   `json:"code,omitempty"`
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

func (s *Sandbox) faultOperations() map[string]operation {
	return map[string]operation{
		"GET /faults":                      s.getFaults,
		"PUT /faults":                      s.putFaults,
		"POST /faults/disconnect":          s.postDisconnect,
		"GET /phones/{number}/faults":      s.getPhoneFaults,
		"PUT /phones/{number}/faults":      s.putPhoneFaults,
		"DELETE /phones/{number}/faults":   s.deletePhoneFaults,
		"POST /phones/{number}/disconnect": s.postPhoneDisconnect,
	}
}

func (s *Sandbox) getFaults(*http.Request) (int, any, error) {
	return http.StatusOK, viewFaults(s.server.Faults()), nil
}

func (s *Sandbox) putFaults(r *http.Request) (int, any, error) {
	f, err := readFaults(r)
	if err != nil {
		return 0, nil, err
	}
	s.SetFaults(f)
	return s.getFaults(r)
}

// SetFaults replaces the faults that the server makes on purpose for all accounts without their own; the zero value ends them. They are for
// companions, spare the phones, and do not outlive the process.
func (s *Sandbox) SetFaults(f server.Faults) { s.server.SetFaults(f) }

// SetPhoneFaults gives a phone's companions faults of their own instead of those of all; nil takes them away. Status 404 for an unknown phone.
func (s *Sandbox) SetPhoneFaults(number string, f *server.Faults) error {
	if s.server.SetAccountFaults(number, f) != nil {
		return failure(http.StatusNotFound, "there is no phone %s", number)
	}
	return nil
}

func (s *Sandbox) getPhoneFaults(r *http.Request) (int, any, error) {
	number := r.PathValue("number")
	if _, err := s.Phone(number); err != nil {
		return 0, nil, err
	}
	f, ok := s.server.AccountFaults(number)
	if !ok {
		return 0, nil, failure(http.StatusNotFound, "phone %s has no faults of its own; GET /faults shows those of all", number)
	}
	return http.StatusOK, viewFaults(f), nil
}

func (s *Sandbox) putPhoneFaults(r *http.Request) (int, any, error) {
	f, err := readFaults(r)
	if err != nil {
		return 0, nil, err
	}
	if f.RefuseConnections {
		return 0, nil, failure(http.StatusUnprocessableEntity, "refuseConnections is for all phones: a connection is nobody's before its handshake")
	}
	if err := s.SetPhoneFaults(r.PathValue("number"), &f); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, viewFaults(f), nil
}

func (s *Sandbox) deletePhoneFaults(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.SetPhoneFaults(r.PathValue("number"), nil)
}

func (s *Sandbox) postDisconnect(*http.Request) (int, any, error) {
	s.Disconnect("")
	return http.StatusNoContent, nil, nil
}

func (s *Sandbox) postPhoneDisconnect(r *http.Request) (int, any, error) {
	number := r.PathValue("number")
	if _, err := s.Phone(number); err != nil {
		return 0, nil, err
	}
	s.Disconnect(number)
	return http.StatusNoContent, nil, nil
}

// Disconnect cuts the connections of a phone's companions, or of all with "", and no phone's; clients that reconnect by themselves come back
// at once.
func (s *Sandbox) Disconnect(number string) { s.server.Disconnect(number) }

func readFaults(r *http.Request) (server.Faults, error) {
	var in faults
	var f server.Faults
	if err := decode(r, &in); err != nil {
		return f, err
	}
	for name, ms := range map[string]int64{
		"ackDelayMs": in.AckDelayMs, "ackJitterMs": in.AckJitterMs, "queryDelayMs": in.QueryDelayMs, "queryJitterMs": in.QueryJitterMs,
	} {
		if ms < 0 || ms > longestDelay.Milliseconds() {
			return f, failure(http.StatusUnprocessableEntity, "%s must be 0 to %d", name, longestDelay.Milliseconds())
		}
	}
	f = server.Faults{
		Seed:     in.Seed,
		AckDelay: time.Duration(in.AckDelayMs) * time.Millisecond, AckJitter: time.Duration(in.AckJitterMs) * time.Millisecond,
		QueryDelay: time.Duration(in.QueryDelayMs) * time.Millisecond, QueryJitter: time.Duration(in.QueryJitterMs) * time.Millisecond,
		DropAcks: in.DropAcks, RefuseConnections: in.RefuseConnections, PushAll: in.PushAll, NoPreKeys: in.NoPreKeys, Silence: in.Silence,
		ClockOffset: time.Duration(in.ClockOffsetSeconds) * time.Second,
	}
	for name, rule := range map[string]struct {
		in *sometimes
		to *server.Sometimes
	}{
		"cutBefore": {in.CutBefore, &f.CutBefore}, "cutAfter": {in.CutAfter, &f.CutAfter}, "drop": {in.Drop, &f.Drop},
		"duplicate": {in.Duplicate, &f.Duplicate}, "reorder": {in.Reorder, &f.Reorder}, "corrupt": {in.Corrupt, &f.Corrupt},
	} {
		if err := rule.in.read(name, rule.to); err != nil {
			return f, err
		}
	}
	if e := in.AckError; e != nil {
		if e.Code < 400 || e.Code > 599 {
			return f, failure(http.StatusUnprocessableEntity, "ackError.code must be 400 to 599, as 463, 479, 420 or 429")
		}
		f.AckError.Code = e.Code
		if err := e.read("ackError", &f.AckError.Sometimes); err != nil {
			return f, err
		}
	}
	const day = 24 * 60 * 60
	if in.ClockOffsetSeconds < -3650*day || in.ClockOffsetSeconds > 3650*day {
		return f, failure(http.StatusUnprocessableEntity, "clockOffsetSeconds must be ten years at most")
	}
	if b := in.Ban; b != nil {
		if b.NewContacts < 1 || b.WindowSeconds < 1 || b.DurationSeconds < 1 || b.WindowSeconds > 30*day || b.DurationSeconds > 30*day || b.Code < 0 || b.Code > 999 {
			return f, failure(http.StatusUnprocessableEntity, "ban wants newContacts, windowSeconds and durationSeconds of 1 at least, and 30 days at most, and a code of three digits if any")
		}
		f.Ban = server.BanRule{NewContacts: b.NewContacts, Window: time.Duration(b.WindowSeconds) * time.Second, Duration: time.Duration(b.DurationSeconds) * time.Second, Code: b.Code}
	}
	if m := in.Media; m != nil {
		switch {
		case m.Status != 0 && (m.Status < 400 || m.Status > 599):
			return f, failure(http.StatusUnprocessableEntity, "media.status must be 400 to 599, as 403, 404, 410 or 500")
		case m.SlowBytesPerSecond < 0 || m.Count < 0:
			return f, failure(http.StatusUnprocessableEntity, "media.slowBytesPerSecond and media.count must not be negative")
		case m.Direction != "" && m.Direction != "download" && m.Direction != "upload":
			return f, failure(http.StatusUnprocessableEntity, `media.direction must be "download" or "upload"`)
		}
		f.Media = server.MediaFaults{
			Status: m.Status, BytesPerSecond: m.SlowBytesPerSecond, Truncate: m.Truncate, Stall: m.Stall, Count: m.Count,
			Uploads: m.Direction == "upload", PhoneHasNone: m.PhoneHasNone,
		}
	}
	return f, nil
}

// read takes how often a disturbance happens.
func (s *sometimes) read(name string, to *server.Sometimes) error {
	if s == nil {
		return nil
	}
	rate := 1.0
	if s.Rate != nil {
		rate = *s.Rate
	}
	if rate < 0 || rate > 1 || s.Count < 0 {
		return failure(http.StatusUnprocessableEntity, "%s.rate must be 0 to 1, and %s.count not negative", name, name)
	}
	*to = server.Sometimes{Rate: rate, Count: s.Count}
	return nil
}

func viewSometimes(s server.Sometimes) *sometimes {
	if s.Rate == 0 {
		return nil
	}
	return &sometimes{Rate: &s.Rate, Count: s.Count}
}

func viewFaults(f server.Faults) faults {
	view := faults{
		Seed: f.Seed, AckDelayMs: f.AckDelay.Milliseconds(), AckJitterMs: f.AckJitter.Milliseconds(),
		QueryDelayMs: f.QueryDelay.Milliseconds(), QueryJitterMs: f.QueryJitter.Milliseconds(),
		DropAcks: f.DropAcks, RefuseConnections: f.RefuseConnections, PushAll: f.PushAll, NoPreKeys: f.NoPreKeys, Silence: f.Silence,
		CutBefore: viewSometimes(f.CutBefore), CutAfter: viewSometimes(f.CutAfter), Drop: viewSometimes(f.Drop),
		Duplicate: viewSometimes(f.Duplicate), Reorder: viewSometimes(f.Reorder), Corrupt: viewSometimes(f.Corrupt),
		ClockOffsetSeconds: int64(f.ClockOffset / time.Second),
	}
	if e := viewSometimes(f.AckError.Sometimes); e != nil {
		view.AckError = &ackError{*e, f.AckError.Code}
	}
	if b := f.Ban; b != (server.BanRule{}) {
		view.Ban = &banRule{b.NewContacts, int64(b.Window / time.Second), int64(b.Duration / time.Second), b.Code}
	}
	if m := f.Media; m != (server.MediaFaults{}) {
		view.Media = &mediaFaults{
			Status: m.Status, SlowBytesPerSecond: m.BytesPerSecond, Truncate: m.Truncate, Stall: m.Stall, Count: m.Count,
			Direction: "download", PhoneHasNone: m.PhoneHasNone,
		}
		if m.Uploads {
			view.Media.Direction = "upload"
		}
	}
	return view
}
