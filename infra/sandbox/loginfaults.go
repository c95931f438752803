package sandbox

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// longestBan bounds expireSeconds: a year.
const longestBan = 366 * 24 * time.Hour

// loginFaultOperations are those that refuse logins and end connections as the real server does.
func (s *Sandbox) loginFaultOperations() map[string]operation {
	return map[string]operation{
		"GET /faults/login":                   s.getLoginFaults,
		"PUT /faults/login":                   s.putLoginFault,
		"PUT /phones/{number}/faults/login":   s.putLoginFault,
		"POST /faults/stream":                 s.postStreamError,
		"POST /phones/{number}/faults/stream": s.postStreamError,
	}
}

// FailLogins makes the logins of the phone's companions fail as f says, or with number "" those of all companions, and of clients that
// want to be linked; a Reason of 0 ends that. See server.FailLogins for the rest.
func (s *Sandbox) FailLogins(number string, f server.LoginFailure) error {
	err := s.server.FailLogins(number, f)
	switch {
	case errors.Is(err, server.ErrNoAccount):
		return failure(http.StatusNotFound, "there is no phone %s", number)
	case errors.Is(err, server.ErrFailureInvalid):
		return failure(http.StatusUnprocessableEntity, "reason must be 400 to 599 without 413 and 414, or 0 to end the failures; code, expireSeconds and count must not be negative")
	}
	return err
}

// StreamError ends the connections of the phone's companions with a stream error, or with number "" those of all companions, and returns
// how many there were: "replaced", "device_removed", or three digits, as "503" and "515".
func (s *Sandbox) StreamError(ctx context.Context, number, kind string) (int, error) {
	n, err := s.server.StreamError(ctx, number, kind)
	switch {
	case errors.Is(err, server.ErrNoAccount):
		return 0, failure(http.StatusNotFound, "there is no phone %s", number)
	case errors.Is(err, server.ErrStreamErrorInvalid):
		return 0, failure(http.StatusUnprocessableEntity, `kind must be "replaced", "device_removed" or a code of three digits, as "503" and "515"`)
	}
	return n, err
}

// loginFault is the control API's form of server.LoginFailure.
type loginFault struct {
	Phone         string `json:"phone,omitempty"`
	Reason        int    `json:"reason"`
	Code          int    `json:"code,omitempty"`
	ExpireSeconds int64  `json:"expireSeconds,omitempty"`
	Message       string `json:"message,omitempty"`
	Location      string `json:"location,omitempty"`
	Count         int    `json:"count,omitempty"`
}

func (s *Sandbox) getLoginFaults(*http.Request) (int, any, error) {
	list := []loginFault{}
	for phone, f := range s.server.LoginFailures() {
		list = append(list, loginFault{
			Phone: phone, Reason: f.Reason, Code: f.Code, ExpireSeconds: int64(f.Expire / time.Second), Message: f.Message, Location: f.Location, Count: f.Count,
		})
	}
	slices.SortFunc(list, func(a, b loginFault) int { return strings.Compare(a.Phone, b.Phone) })
	return http.StatusOK, map[string]any{"faults": list}, nil
}

func (s *Sandbox) putLoginFault(r *http.Request) (int, any, error) {
	var in loginFault
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if in.Phone != "" {
		return 0, nil, failure(http.StatusUnprocessableEntity, "the path names the phone")
	}
	if in.ExpireSeconds > int64(longestBan/time.Second) || len(in.Message) > 1000 || len(in.Location) > 100 {
		return 0, nil, failure(http.StatusUnprocessableEntity, "expireSeconds may be a year, message have 1000 bytes, location 100")
	}
	return http.StatusNoContent, nil, s.FailLogins(r.PathValue("number"), server.LoginFailure{
		Reason: in.Reason, Code: in.Code, Expire: time.Duration(in.ExpireSeconds) * time.Second, Message: in.Message, Location: in.Location, Count: in.Count,
	})
}

func (s *Sandbox) postStreamError(r *http.Request) (int, any, error) {
	var in struct {
		Kind string `json:"kind"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	n, err := s.StreamError(r.Context(), r.PathValue("number"), in.Kind)
	return http.StatusOK, map[string]int{"connections": n}, err
}
