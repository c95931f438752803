package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

const (
	// maxBody bounds a request's body, in bytes; a message's is bounded by maxMessageBody.
	maxBody = 1 << 20
	// longestWait bounds a long poll.
	longestWait = 60 * time.Second
)

// handler is the control API, the WebSocket and the media host on one listener.
func (s *Sandbox) handler() http.Handler {
	control := http.NewServeMux()
	operations := map[string]operation{
		"GET /healthz":                    s.getHealth,
		"POST /phones":                    s.postPhone,
		"GET /phones":                     s.getPhones,
		"GET /phones/{number}":            s.getPhone,
		"POST /phones/{number}/scan":      s.postScan,
		"POST /phones/{number}/messages":  s.postMessage,
		"GET /phones/{number}/messages":   s.getMessages,
		"GET /phones/{number}/events":     s.getEvents,
		"POST /phones/{number}/read":      s.postRead,
		"DELETE /phones/{number}/devices": s.deleteDevices,

		"GET /phones/{number}/messages/{seq}/media":   s.getMedia,
		"DELETE /phones/{number}/messages/{id}/media": s.deleteMedia,
	}
	// Each feature lists its operations in its own file.
	for _, feature := range []map[string]operation{
		s.faultOperations(),
		s.watchOperations(),
		s.sentOperations(),
		s.pageOperations(),
		s.pairingOperations(),
		s.loginFaultOperations(),
		s.channelOperations(),
		s.callOperations(),
		s.appStateOperations(),
		s.historyOperations(),
		s.groupOperations(),
		s.presenceOperations(),
		s.profileOperations(),
		s.statusOperations(),
		s.joinOperations(),
	} {
		maps.Copy(operations, feature)
	}
	for pattern, operation := range operations {
		control.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			limit := int64(maxBody)
			switch pattern {
			case "POST /phones/{number}/messages":
				limit = maxMessageBody
			case "PUT /phones/{number}/picture":
				limit = maxPicture
			}
			r.Body = http.MaxBytesReader(w, r.Body, limit)
			status, body, err := operation(r)
			if err != nil {
				s.refuse(w, r, err)
				return
			}
			if file, ok := body.(http.Handler); ok {
				file.ServeHTTP(w, r)
				return
			}
			answer(w, status, "application/json", body)
		})
	}
	root := http.NewServeMux()
	// A client's Host header may name WhatsApp, so the checks below are not for the WebSocket, which authenticates by its Noise keys, nor for
	// media, which are uploaded with a proof that the WebSocket gave and found by those who were told a secret path.
	for _, path := range server.Paths {
		root.Handle(path, s.server)
	}
	root.Handle("/", s.localOnly(s.problems(control)))
	return root
}

func (s *Sandbox) getHealth(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]string{"status": "ok"}, nil
}

func (s *Sandbox) postPhone(r *http.Request) (int, any, error) {
	var in NewPhone
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	phone, created, err := s.CreatePhone(r.Context(), in)
	if created {
		return http.StatusCreated, phone, err
	}
	return http.StatusOK, phone, err
}

func (s *Sandbox) getPhones(r *http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{"phones": s.Phones(r.URL.Query().Get("after"))}, nil
}

func (s *Sandbox) getPhone(r *http.Request) (int, any, error) {
	phone, err := s.Phone(r.PathValue("number"))
	return http.StatusOK, phone, err
}

func (s *Sandbox) postScan(r *http.Request) (int, any, error) {
	var in struct {
		QR string `json:"qr"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	jid, err := s.Scan(r.Context(), r.PathValue("number"), in.QR)
	return http.StatusOK, map[string]string{"device": jid.String()}, err
}

func (s *Sandbox) postMessage(r *http.Request) (int, any, error) {
	var in struct {
		Outgoing
		Data string `json:"data"` // what it holds went into file
	}
	var file *journal.BlobWriter
	body := newMessageBody(r.Body, func() (_ io.Writer, err error) {
		file, err = s.journal.CreateBlob(r.Context())
		return file, err
	})
	defer func() {
		if file != nil {
			file.Discard()
		}
	}()
	r.Body = io.NopCloser(body)
	err := decode(r, &in)
	number := r.PathValue("number")
	switch {
	case body.err != nil:
		return 0, nil, body.err
	case err != nil:
		return 0, nil, err
	case in.Data != "":
		return 0, nil, failure(http.StatusBadRequest, `data must be written "data"`)
	}
	var id string
	if file != nil {
		id, err = s.sendMedia(r.Context(), number, in.Outgoing, file)
	} else {
		id, err = s.Send(r.Context(), number, in.Outgoing)
	}
	return http.StatusCreated, map[string]string{"id": id}, err
}

func (s *Sandbox) getMedia(r *http.Request) (int, any, error) {
	seq, err := strconv.ParseInt(r.PathValue("seq"), 10, 64)
	if err != nil {
		return 0, nil, failure(http.StatusUnprocessableEntity, "a message shown is named by its seq, a number")
	}
	file, err := s.serveMedia(r.Context(), r.PathValue("number"), seq)
	return http.StatusOK, file, err
}

func (s *Sandbox) deleteMedia(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.ForgetMedia(r.Context(), r.PathValue("number"), r.PathValue("id"))
}

func (s *Sandbox) getMessages(r *http.Request) (int, any, error) {
	after, wait, err := polled(r)
	if err != nil {
		return 0, nil, err
	}
	messages, err := s.Messages(r.Context(), r.PathValue("number"), after, wait)
	next := after
	if len(messages) > 0 {
		next = messages[len(messages)-1].Seq
	}
	return http.StatusOK, map[string]any{"messages": messages, "next": next}, err
}

func (s *Sandbox) postRead(r *http.Request) (int, any, error) {
	var in struct {
		From string `json:"from"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if err := checkNumber("from", in.From); err != nil {
		return 0, nil, err
	}
	n, err := s.Read(r.Context(), r.PathValue("number"), in.From)
	return http.StatusOK, map[string]int{"read": n}, err
}

func (s *Sandbox) deleteDevices(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.Unlink(r.Context(), r.PathValue("number"))
}

// decode reads a JSON body into in; members that in does not have are refused.
func decode(r *http.Request, in any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return failure(http.StatusUnsupportedMediaType, "the body must be JSON, with Content-Type: application/json")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(in)
	refusal := (*Error)(nil)
	if errors.As(err, &refusal) {
		return refusal
	}
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("something follows the JSON value")
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return failure(http.StatusRequestEntityTooLarge, "the body may have at most %d bytes", tooLarge.Limit)
	}
	return failure(http.StatusBadRequest, "the body is not the JSON object expected: %v", err)
}

// polled reads what every long poll is asked with: after what, and how long to wait for it.
func polled(r *http.Request) (after int64, wait time.Duration, err error) {
	if after, err = queryNumber(r, "after", 1<<62); err != nil {
		return 0, 0, err
	}
	seconds, err := queryNumber(r, "wait", int64(longestWait/time.Second))
	return after, time.Duration(seconds) * time.Second, err
}

// queryNumber reads a whole number from 0 to most from the query; an absent one is 0.
func queryNumber(r *http.Request, name string, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, failure(http.StatusUnprocessableEntity, "%s must be a whole number from 0 to %d", name, most)
	}
	return n, nil
}

// localOnly keeps web pages out, which could otherwise drive the sandbox from a browser on the same machine: by a name that they make
// point to loopback (so the Host header must be this machine's, when the sandbox listens on loopback only), or by a cross-site request.
func (s *Sandbox) localOnly(next http.Handler) http.Handler {
	loopback := s.listener.Addr().(*net.TCPAddr).IP.IsLoopback()
	checked := http.NewCrossOriginProtection()
	checked.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, failure(http.StatusForbidden, "requests from other sites' pages are refused"))
	}))
	checkedNext := checked.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopback && !localHost(r.Host) {
			s.refuse(w, r, failure(http.StatusMisdirectedRequest, "the Host header must name this machine, as localhost or 127.0.0.1"))
			return
		}
		checkedNext.ServeHTTP(w, r)
	})
}

func localHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// problems answers for a path or method that mux does not have.
func (s *Sandbox) problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		// The mux knows whether the method or the path is wrong, and which methods are right.
		probe := &probe{header: http.Header{}}
		mux.ServeHTTP(probe, r)
		if probe.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", probe.header.Get("Allow"))
			s.refuse(w, r, failure(probe.status, "%s is not allowed here; allowed: %s", r.Method, probe.header.Get("Allow")))
			return
		}
		s.refuse(w, r, failure(http.StatusNotFound, "there is nothing at %s", r.URL.Path))
	})
}

// probe keeps a response's status and headers and drops its body.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) WriteHeader(status int)      { p.status = status }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }

// refuse answers with a problem (RFC 9457). What is not the caller's to know goes to the log.
func (s *Sandbox) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal := failure(http.StatusInternalServerError, "the sandbox could not do this; its log says why")
	if !errors.As(err, &refusal) && r.Context().Err() == nil {
		s.log.ErrorContext(r.Context(), "sandbox: request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	answer(w, refusal.Status, "application/problem+json", map[string]any{
		"type": "about:blank", "title": http.StatusText(refusal.Status), "status": refusal.Status, "detail": refusal.Detail,
	})
}

func answer(w http.ResponseWriter, status int, contentType string, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error here is the connection's: nobody is left to be told
}
