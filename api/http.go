package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/chasqui/chasqui/infra/trace"
)

// Limits of a request. A client that is slower than these, or sends more, is cut off: a slow loris holds one connection for 10 s of header or
// 30 s of body.
const (
	maxBody       = 1 << 20          // bytes of JSON, but for operations that take more
	largeBodies   = 4                // bodies larger than that at once: base64 is held in memory, some four times over
	maxHeader     = 64 << 10         // bytes of header
	headerTimeout = 10 * time.Second // to send the header
	bodyTimeout   = 30 * time.Second // to send the body
	// largeBodyTimeout is for bodies that may be larger than maxBody: 17 MiB at 145 kB/s.
	largeBodyTimeout = 2 * time.Minute
	// writeTimeout counts from the end of the header: the longest wait (60 s, for a QR code), the database's 30 s, and 30 s for a slow reader.
	writeTimeout = 120 * time.Second
	idleTimeout  = 120 * time.Second
)

// call is what the layers around an operation know of its request.
type call struct {
	id        string            // X-Request-Id
	route     string            // method and path, what an Idempotency-Key is bound to
	principal [sha256.Size]byte // the caller's
	caller    *caller           // nil: the operation is public, or nobody was let in
	change    *auditEntry       // what the audit log is to hold, once something is changed; nil: nothing
	body      [sha256.Size]byte // SHA-256 of the body's bytes
	budget    time.Duration     // what each of its transactions may take; 0: databaseBudget
	taken     bool              // whether the body has been read
	release   func()            // gives back the room of a large body; nil: there is none
}

// releaseBody says that a large body is needed no more, so that another can be read.
func (c *call) releaseBody() {
	if c.release != nil {
		c.release()
		c.release = nil
	}
}

// metaOperation is where the metadata of Huma's operation hold ours.
const metaOperation = "operation"

type callKey struct{}

// callOf returns the call of a request's context; outside of a request it is empty.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

var goodRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// identify gives each request an id, its client's own where that is harmless in a log, and the headers that every answer carries.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !goodRequestID.MatchString(id) {
			var random [8]byte
			_, _ = rand.Read(random[:]) // never fails: the runtime ends the program when the system has no randomness
			id = "req_" + hex.EncodeToString(random[:])
		}
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		c := &call{id: id, route: r.Method + " " + r.URL.Path, taken: r.ContentLength == 0}
		if !c.taken { // also where nobody reads it: net/http reads what is left of a body before it answers
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // only a recorder in a test has none
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	})
}

// unseen are the paths whose requests are no part of any trace: probes and scrapes, which come every few seconds.
var unseen = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// secretInPath finds what opens something in a path: the token of a link's page, and whatever else begins as keys do.
var secretInPath = regexp.MustCompile(`(?i)(/link/).+|c[kl]_[a-z0-9_-]{20,}`)

// withoutSecrets is a path as logs may have it.
func withoutSecrets(path string) string {
	return secretInPath.ReplaceAllString(path, "${1}{token}")
}

// methods are those that have a series of their own: a client may send any word, and each would be one more for ever.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// observe writes the one log line of a request, counts it and makes its span. The query stays out of all of these: it may hold what is nobody's
// business; and so do the tokens of links, whose pages have them in their paths.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, method := time.Now(), "other"
		if slices.Contains(methods, r.Method) {
			method = r.Method
		}
		wrapped := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		var span trace.Span
		if s.config.Tracer != nil && !unseen[r.URL.Path] {
			var ctx context.Context
			ctx, span = s.config.Tracer.Start(s.config.Tracer.Join(r.Context(), r.Header.Get(trace.Header)), method, trace.Server)
			r = r.WithContext(ctx)
		}
		s.inFlight.Inc()
		defer func() {
			s.inFlight.Dec()
			status := wrapped.Status()
			if status == 0 {
				status = http.StatusOK
			}
			took := time.Since(began)
			routed := chi.RouteContext(r.Context())
			route, session := routed.RoutePattern(), withoutSecrets(routed.URLParam("sessionId")) // a pattern, so that the number of series is bounded
			if route == "" {
				route = "none"
			}
			if span.On() {
				endSpan(span, method, route, session, callOf(r.Context()).id, status)
			}
			s.requests.WithLabelValues(method, route, fmt.Sprint(status)).Inc()
			s.durations.WithLabelValues(method, route).Observe(took.Seconds())
			var about slog.Attr // an empty one is left out
			if session != "" {
				about = slog.String("session", session)
			}
			s.log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("method", r.Method), slog.String("path", withoutSecrets(r.URL.Path)), slog.Int("status", status),
				slog.Int("bytes", wrapped.BytesWritten()), slog.Int64("ms", took.Milliseconds()), slog.String("remote", r.RemoteAddr),
				slog.String("requestId", callOf(r.Context()).id), about)
		}()
		next.ServeHTTP(wrapped, r)
	})
}

// endSpan ends the span of a request, which has its route's name.
func endSpan(span trace.Span, method, route, session, requestID string, status int) {
	span.Rename(method + " " + route)
	span.Set("http.request.method", method)
	span.Set("http.route", route)
	span.SetInt("http.response.status_code", status)
	span.Set("requestId", requestID)
	if session != "" {
		span.Set("session", session)
	}
	if status >= http.StatusInternalServerError {
		span.Fail(fmt.Sprint(status))
	}
	span.End()
}

// recoverPanics answers 500 to a request whose handler panicked, and logs where. One bad request must not end the others.
func (s *Server) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(cause) // net/http's own way to drop a connection
			}
			s.log.ErrorContext(r.Context(), "request panicked", "cause", cause, "stack", string(debug.Stack()), "requestId", callOf(r.Context()).id)
			if wrapped, ok := w.(middleware.WrapResponseWriter); ok && wrapped.Status() == 0 {
				s.writeProblem(w, r, problem(InternalError, "something went wrong; the log has the cause under this requestId"))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// refuseOddURLs keeps what PostgreSQL cannot store out of every parameter: bytes that are not UTF-8, and U+0000.
func (s *Server) refuseOddURLs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.QueryUnescape(r.URL.RawQuery)
		if text := r.URL.Path + query; err != nil || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			s.writeProblem(w, r, problem(BadRequest, "the URL must be valid UTF-8 without U+0000, its special characters percent-encoded"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authenticate lets only the API key's holder pass, except to operations that are declared public, and the holder of a ticket where the
// operation takes one and no key is sent. Both keys are hashed before they are compared in constant time, so that neither content nor length
// shows in the time it takes; a ticket is looked up by its hash.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	if security := ctx.Operation().Security; security != nil && len(security) == 0 {
		next(ctx)
		return
	}
	r, w := humachi.Unwrap(ctx)
	if !s.admit(w, r, func() (*caller, error) { return s.callerOf(ctx, keyOf(r)) }) {
		return
	}
	o, _ := ctx.Operation().Metadata[metaOperation].(operation)
	c := callOf(r.Context())
	session := ctx.Param("sessionId")
	if p := c.caller.authorize(o, session); p != nil {
		s.writeProblem(w, r, p)
		return
	}
	if session != "" && s.config.SessionRateLimit > 0 {
		admitted := s.takeRequest(r.Context(), sha256.Sum256([]byte("session "+session)), s.config.SessionRateLimit)
		admitted.headers(w.Header(), "session", s.config.SessionRateLimit)
		if !admitted.ok {
			s.writeProblem(w, r, rateLimited(fmt.Sprintf("this session has had its %d requests of this minute", s.config.SessionRateLimit), admitted.left))
			return
		}
	}
	if o.method != http.MethodGet && !o.asks {
		c.change = &auditEntry{operation: o.id, path: withoutSecrets(r.URL.Path), session: session, remote: r.RemoteAddr}
	}
	next(ctx)
}

// withKey lets only the holder of a key with a scope pass to a handler that is no operation.
func (s *Server) withKey(needed scope, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.admit(w, r, func() (*caller, error) { return s.callerOfKey(r.Context(), keyOf(r)) }) {
			return
		}
		if p := callOf(r.Context()).caller.authorize(operation{scope: needed}, ""); p != nil {
			s.writeProblem(w, r, p)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// keyOf is the API key that a request shows.
func keyOf(r *http.Request) string {
	key := r.Header.Get("X-API-Key")
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); key == "" && ok && strings.EqualFold(scheme, "Bearer") {
		key = strings.TrimSpace(token)
	}
	return key
}

// admit says whether a request may go on; otherwise it is answered.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, who func() (*caller, error)) bool {
	if wait := s.failures.blocked(r.RemoteAddr, time.Now()); wait > 0 {
		s.writeProblem(w, r, rateLimited("too many requests without a valid key came from this address", wait))
		return false
	}
	c, err := who()
	if err != nil {
		p := s.problemOf(r.Context(), err)
		if p.Code == Unauthorized {
			if wait := s.failures.add(r.RemoteAddr, time.Now()); wait > 0 {
				p = rateLimited("too many requests without a valid key came from this address", wait)
			}
		}
		s.writeProblem(w, r, p)
		return false
	}
	if !c.allows(r.RemoteAddr) {
		s.writeProblem(w, r, problem(AddressNotAllowed, "this key may not be used from this address"))
		return false
	}
	callOf(r.Context()).caller, callOf(r.Context()).principal = c, c.principal
	if limit := cmp.Or(c.perMinute, s.config.RateLimit); limit > 0 {
		admitted := s.takeRequest(r.Context(), c.principal, limit)
		admitted.headers(w.Header(), "default", limit)
		if !admitted.ok {
			s.writeProblem(w, r, rateLimited(fmt.Sprintf("this key has made its %d requests of this minute", limit), admitted.left))
			return false
		}
	}
	return true
}

// callerOf is whose key this is, or whose ticket where one stands in for it.
func (s *Server) callerOf(ctx huma.Context, key string) (*caller, error) {
	ticket, purpose := takeTicket(ctx)
	if key == "" && ticket != "" {
		return s.redeem(ctx.Context(), ticket, purpose)
	}
	return s.callerOfKey(ctx.Context(), key)
}

// isOwners compares hashes, in constant time, so that neither content nor length of API_KEY shows in the time it takes.
func (s *Server) isOwners(hash [sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare(hash[:], s.principal[:]) == 1
}

// takeBody reads the body, bounded in size and time, before Huma does: Huma would answer 413 only after reading it all, and the body's hash
// is what an Idempotency-Key is bound to. A Content-Length above the limit is refused without reading anything.
func (s *Server) takeBody(ctx huma.Context, next func(huma.Context)) {
	r, w := humachi.Unwrap(ctx)
	c := callOf(r.Context())
	o, _ := ctx.Operation().Metadata[metaOperation].(operation)
	if o.wait > writeTimeout-2*databaseBudget-idleTimeout/4 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(o.wait + writeTimeout)) // only a recorder in a test has none
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); c.taken || o.multipart != nil && kind == "multipart/form-data" {
		c.body = sha256.Sum256(nil)
		next(ctx)
		return
	}
	limit := cmp.Or(o.maxBody, maxBody)
	tooLarge := fmt.Sprintf("the body has more than %d bytes", limit)
	if limit > maxBody {
		tooLarge += "; upload large files with POST /v1/media as multipart/form-data, and send the mediaId"
	}
	if r.ContentLength > limit {
		heard := limit + maxBody
		if limit > maxBody {
			heard = 4 * limit // who sends a file this way is to learn of the other
		}
		if r.ContentLength <= heard { // its client may be heard out, and surely hears the answer
			_, _ = io.Copy(io.Discard, r.Body)
		}
		s.writeProblem(w, r, problem(PayloadTooLarge, tooLarge))
		return
	}
	if limit > maxBody && (r.ContentLength < 0 || r.ContentLength > maxBody) {
		select {
		case s.large <- struct{}{}:
			c.release = sync.OnceFunc(func() {
				r.Body = http.NoBody // it has been read, and would hold the bytes until the answer
				<-s.large
			})
			defer c.releaseBody()
		case <-time.After(bodyTimeout):
			s.writeProblem(w, r, problem(Unavailable, "too many large bodies at once; upload files with POST /v1/media"))
			return
		case <-r.Context().Done():
			return
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(largeBodyTimeout))
	}
	body, ok := s.readBody(w, r, limit, tooLarge)
	if !ok {
		return
	}
	c.body = sha256.Sum256(body)
	body, err := legacyForm(ctx, r, body)
	if err != nil {
		s.writeProblem(w, r, problem(BadRequest, "the form is not understood"))
		return
	}
	if o.successor == "" { // the original takes a null as it takes nothing
		if p := s.refuseNulls(ctx.Operation(), body); p != nil {
			s.writeProblem(w, r, p)
			return
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	next(ctx)
}

// readBody reads a body of up to limit bytes, and says whether it could; otherwise the request is answered, with tooLarge where there are more.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int64, tooLarge string) ([]byte, bool) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		s.writeProblem(w, r, problem(UnsupportedMediaType, "the body must not be compressed"))
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		s.writeProblem(w, r, problem(PayloadTooLarge, tooLarge))
		return nil, false
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.writeProblem(w, r, problem(RequestTimeout, "the body did not arrive in time"))
		return nil, false
	case err != nil:
		s.writeProblem(w, r, problem(BadRequest, "the body could not be read to its end"))
		return nil, false
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // else it would end the request, which may wait for longer
	callOf(r.Context()).taken = true
	return body, true
}

// writeProblem answers outside of Huma: unknown paths, refused requests, panics.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	if !callOf(r.Context()).taken { // what the client still sends belongs to nobody, and nobody waits for it
		w.Header().Set("Connection", "close")
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(located(r.Context(), p, r.URL.Path)); err != nil {
		s.log.DebugContext(r.Context(), "answer not written", "error", err)
	}
}

// located returns p with the request it answers.
func located(ctx context.Context, p *Problem, path string) any {
	c := *p
	c.Instance, c.RequestID = shorten(path), callOf(ctx).id
	if isLegacy(path) {
		return &LegacyProblem{Sentence: legacySentence(&c), Problem: c}
	}
	return &c
}

// notFound answers for a path that does not exist.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.writeProblem(w, r, problem(NotFound, "there is nothing at this path; /openapi.yaml lists what there is"))
}

// methodNotAllowed answers for a path that exists with other methods, which RFC 9110 wants named in Allow.
func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	for _, method := range []string{"GET", "POST", "PATCH", "PUT", "DELETE"} {
		if s.router.Match(chi.NewRouteContext(), method, r.URL.Path) {
			w.Header().Add("Allow", method)
		}
	}
	s.writeProblem(w, r, problem(MethodNotAllowed, r.Method+" is not possible here"))
}

// writePage writes a small HTML page that runs no script and loads nothing.
func writePage(w http.ResponseWriter, page []byte) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page) // a client that left needs no page
}
