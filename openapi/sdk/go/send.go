package chasqui

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	// longestWait is how long a client waits by itself before it repeats a request. Where the server says that it takes longer, the caller decides.
	longestWait = 30 * time.Second
	// largestAnswer bounds a JSON answer; the largest page of messages is far below.
	largestAnswer = 64 << 20
)

// An Error is a problem that chasqui answered. Decide by its Code.
type Error struct {
	Problem
	// RetryAfter is how long to wait before it is worth another try, where the server said so.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	s := fmt.Sprintf("chasqui: %s: %s (%d", e.Code, e.Detail, e.Status)
	if e.RequestID != "" {
		s += ", " + e.RequestID
	}
	for _, f := range e.Errors {
		s += fmt.Sprintf("; %s: %s", f.Location, f.Message)
	}
	return s + ")"
}

// Is says whether err is a problem with one of these codes.
func Is(err error, codes ...string) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

// A sender sends requests, repeats them, and makes errors of problems.
type sender struct {
	key      string
	client   *http.Client
	timeout  time.Duration
	attempts int
}

// Do sends a request.
//
// Failure policy: what fails on the way, and what the server says will pass, is repeated after 0.5, 1 and 2 s, or after Retry-After. A POST carries
// one Idempotency-Key in all attempts, so that it is done once.
func (s *sender) Do(req *http.Request) (*http.Response, error) {
	h := req.Header
	h.Set("X-API-Key", s.key)
	h.Set("User-Agent", "chasqui-go")
	if h.Get("Accept") == "" {
		h.Set("Accept", "application/json, */*;q=0.5")
	}
	if req.Method == http.MethodPost && h.Get("Idempotency-Key") == "" {
		h.Set("Idempotency-Key", rand.Text())
	}
	for attempt := 1; ; attempt++ {
		res, err := s.once(req)
		if err == nil {
			return res, nil
		}
		wait, again := pause(err, attempt)
		if !again || attempt >= s.attempts || req.Context().Err() != nil || req.Body != nil && req.GetBody == nil {
			return nil, err
		}
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// pause says how long to wait after an error, and whether that is worth it.
func pause(err error, attempt int) (time.Duration, bool) {
	wait := min(250*time.Millisecond<<min(attempt, 7), longestWait)
	wait = wait/2 + mathrand.N(wait/2)
	var e *Error
	if !errors.As(err, &e) {
		return wait, true // nobody answered
	}
	if !passes(e) || e.RetryAfter > longestWait {
		return 0, false
	}
	return max(wait, e.RetryAfter), true
}

// passes says whether a problem may be gone in a moment.
func passes(e *Error) bool {
	switch e.Status {
	case http.StatusTooManyRequests:
		return e.Code != CodeAccountRestricted
	case http.StatusBadGateway:
		return e.Code != CodeWhatsappRejected
	case http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return e.Code == CodeIdempotencyInProgress
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once sends a request once. JSON is read here, within the timeout; whoever gets anything else reads it as long as that takes, and closes it.
func (s *sender) once(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(s.timeout, func() { cancel(fmt.Errorf("chasqui: no answer within %s", s.timeout)) })
	defer timer.Stop()
	res, err := s.client.Do(req.WithContext(ctx))
	if err != nil {
		err = because(ctx, err)
		cancel(nil)
		return nil, err
	}
	ok := res.StatusCode < 300
	if ok && res.StatusCode != http.StatusNoContent && !isJSON(res.Header.Get("Content-Type")) {
		res.Body = &ended{res.Body, func() { cancel(nil) }}
		return res, nil
	}
	defer cancel(nil)
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, largestAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("chasqui: read the answer: %w", because(ctx, err))
	}
	if len(body) > largestAnswer {
		return nil, &Error{Problem: Problem{Status: int64(res.StatusCode), Detail: "the answer is larger than 64 MiB"}}
	}
	if !ok {
		return nil, problemOf(res, body)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// because is err, or why the context ended that made it.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func problemOf(res *http.Response, body []byte) *Error {
	e := &Error{}
	if json.Unmarshal(body, &e.Problem) != nil || e.Code == "" { // a proxy's
		e.Problem = Problem{Title: http.StatusText(res.StatusCode), Detail: "the answer is no problem of chasqui's: " + res.Status, RequestID: res.Header.Get("X-Request-Id")}
	}
	e.Status = int64(res.StatusCode)
	if after := res.Header.Get("Retry-After"); after != "" {
		if seconds, err := strconv.Atoi(after); err == nil && seconds >= 0 {
			e.RetryAfter = time.Duration(seconds) * time.Second
		} else if at, err := http.ParseTime(after); err == nil {
			e.RetryAfter = max(0, time.Until(at))
		}
	}
	return e
}

// ended is a body that says when it is closed.
type ended struct {
	io.ReadCloser
	then func()
}

func (e *ended) Close() error {
	defer e.then()
	return e.ReadCloser.Close()
}
