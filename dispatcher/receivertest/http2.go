package receivertest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// goAway is how an HTTP/2 connection ends with a request under way.
type goAway int

const (
	stays goAway = iota
	refuses
	dies
)

// GoAway says of an HTTP/2 connection that it will take no more requests, and that this one and what came after it were not looked at: the
// sender may repeat them. Those before it are still answered.
var GoAway = Fault{Name: "GOAWAY before this request", goAway: refuses}

// GoAwayAndDie says the same of later requests, but that this one was taken, and closes the connection without answering it.
var GoAwayAndDie = Fault{Name: "GOAWAY after this request, and no answer", goAway: dies}

// A session is an HTTP/2 connection.
type session struct {
	r    *Receiver
	conn *tlsConn

	mu       sync.Mutex // for what follows, and writing
	framer   *http2.Framer
	encoded  bytes.Buffer
	encoder  *hpack.Encoder
	last     uint32 // the last stream that is answered, once leaving
	leaving  bool
	requests sync.WaitGroup
}

// A stream is a request that is coming.
type stream struct {
	path   string
	header http.Header
	body   []byte
}

// serveHTTP2 speaks as much HTTP/2 (RFC 9113) as a sender of webhooks needs. net/http's server cannot be made to refuse what it has taken.
func (r *Receiver) serveHTTP2(c *tlsConn) {
	r.adopt(c)
	defer r.drop(c)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	s := &session{r: r, conn: c, framer: http2.NewFramer(c, c)}
	s.encoder = hpack.NewEncoder(&s.encoded)
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	defer s.requests.Wait()
	defer func() { _ = c.Close() }()
	_ = s.framer.WriteSettings()
	streams := map[uint32]*stream{}
	for {
		f, err := s.framer.ReadFrame()
		if err != nil {
			return
		}
		id := f.Header().StreamID
		ended := false
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				s.write(func(w *http2.Framer) error { return w.WriteSettingsAck() })
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				s.write(func(w *http2.Framer) error { return w.WritePing(true, f.Data) })
			}
		case *http2.MetaHeadersFrame:
			streams[id] = newStream(f)
			ended = f.StreamEnded()
		case *http2.DataFrame:
			if n := uint32(len(f.Data())); n > 0 {
				s.write(func(w *http2.Framer) error { return w.WriteWindowUpdate(0, n) })
			}
			if q := streams[id]; q != nil {
				q.body = append(q.body, f.Data()...)
				ended = f.StreamEnded()
			}
		case *http2.RSTStreamFrame:
			delete(streams, id)
		}
		if ended {
			q := streams[id]
			delete(streams, id)
			s.requests.Go(func() { s.answer(id, q) })
		}
	}
}

func newStream(f *http2.MetaHeadersFrame) *stream {
	q := &stream{path: f.PseudoValue("path"), header: http.Header{}}
	for _, field := range f.RegularFields() {
		q.header.Add(field.Name, field.Value)
	}
	return q
}

func (s *session) write(f func(*http2.Framer) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = f(s.framer) // where the connection is gone, reading tells
}

// answer answers a request, unless the connection said that it does not look at it.
func (s *session) answer(id uint32, q *stream) {
	s.mu.Lock()
	refused := s.leaving && id > s.last
	s.mu.Unlock()
	if refused {
		return
	}
	h, f := s.r.meet(q.path, q.header, q.body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving && id > s.last {
		f = GoAway // another request had the connection go away meanwhile
	}
	s.r.record(h, f)
	switch f.goAway {
	case stays:
		s.encoded.Reset()
		_ = s.encoder.WriteField(hpack.HeaderField{Name: ":status", Value: strconv.Itoa(f.Status)})
		_ = s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.encoded.Bytes(), EndHeaders: true, EndStream: true})
	case refuses:
		s.leave(id - 2) // streams of a client have odd numbers
	case dies:
		s.leave(id)
		_ = s.conn.Close()
	}
}

// leave has the connection go away after a stream.
func (s *session) leave(last uint32) {
	if !s.leaving || last < s.last {
		s.leaving, s.last = true, last
		_ = s.framer.WriteGoAway(last, http2.ErrCodeNo, nil)
	}
}
