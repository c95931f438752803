package server

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
)

// direction says where a stanza goes, seen from the server.
type direction string

const (
	in  direction = "in"
	out direction = "out"
)

// Entry is a line of the transcript: a stanza as it went over the wire, without what only its ends may read.
type Entry struct {
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	// Device is the client's JID; "" for one that is not linked yet.
	Device    string    `json:"device"`
	Direction direction `json:"direction"`
	Stanza    Stanza    `json:"stanza"`
}

// Stanza is a node of a stanza. Content that is not children is given by its length alone: keys, ciphertexts, codes and texts are nobody's
// business.
type Stanza struct {
	Tag      string         `json:"tag"`
	Attrs    map[string]any `json:"attrs,omitempty"`
	Bytes    int            `json:"bytes,omitempty"`
	Children []Stanza       `json:"children,omitempty"`
}

// hidden are the attributes that prove something to whoever has them.
var hidden = map[string]bool{"auth": true, "token": true}

// maxChildren bounds the children of one node in the transcript: an upload of prekeys has 812.
const maxChildren = 20

func stanzaOf(node *waBinary.Node) Stanza {
	s := Stanza{Tag: node.Tag, Attrs: make(map[string]any, len(node.Attrs))}
	for name, value := range node.Attrs {
		switch {
		case value == "" || value == nil: // not written
		case hidden[name]:
			s.Attrs[name] = "…"
		default:
			s.Attrs[name] = value
		}
	}
	children := node.GetChildren()
	for i := range children[:min(len(children), maxChildren)] {
		s.Children = append(s.Children, stanzaOf(&children[i]))
	}
	if len(children) > maxChildren {
		s.Children = append(s.Children, Stanza{Tag: "…", Attrs: map[string]any{"more": len(children) - maxChildren}})
	}
	s.Bytes = len(content(*node))
	return s
}

// transcript keeps the last entries and writes all of them somewhere.
type transcript struct {
	keep int
	to   io.Writer

	mu      sync.Mutex
	last    int64
	entries []Entry
	more    chan struct{} // closed when there is another entry
}

// transcribes says whether there is a transcript, for which stanzas are worth decoding.
func (s *Server) transcribes() bool { return s.transcript.keep > 0 || s.transcript.to != nil }

// noted counts a stanza and puts it into the transcript.
func (s *Server) noted(c *conn, d direction, node *waBinary.Node) {
	s.stanzas.add(string(d)+" "+kindOf(node), 1)
	if !s.transcribes() {
		return
	}
	e := Entry{Time: time.Now().UTC(), Direction: d, Stanza: stanzaOf(node)}
	if c.device != nil {
		e.Device = c.device.jid("s.whatsapp.net").String()
	}
	t := &s.transcript
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	e.Seq = t.last
	if t.to != nil {
		// Failure policy: a transcript that cannot be written ends, and the server goes on.
		if err := json.NewEncoder(t.to).Encode(e); err != nil {
			s.log.Warn("transcript not written", "error", err)
			t.to = nil
		}
	}
	if t.keep == 0 {
		return
	}
	t.entries = append(t.entries, e)
	if len(t.entries) > 2*t.keep {
		t.entries = slices.Clone(t.entries[len(t.entries)-t.keep:])
	}
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
}

// Transcript returns the entries that follow a number, oldest first, as far as they are kept, and a channel that closes when there are more.
func (s *Server) Transcript(after int64) ([]Entry, <-chan struct{}) {
	t := &s.transcript
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.more == nil {
		t.more = make(chan struct{})
	}
	kept := t.entries[max(0, len(t.entries)-t.keep):]
	i, _ := slices.BinarySearchFunc(kept, after+1, func(e Entry, seq int64) int { return int(e.Seq - seq) })
	return slices.Clone(kept[i:]), t.more
}

// kindOf names what a stanza is: its tag, and for an iq what it asks.
func kindOf(node *waBinary.Node) string {
	if node.Tag != "iq" && node.Tag != "notification" && node.Tag != "receipt" && node.Tag != "ack" {
		return node.Tag
	}
	kind := node.Tag
	for _, name := range []string{"xmlns", "class", "type"} {
		if value, _ := node.Attrs[name].(string); value != "" {
			kind += " " + value
		}
	}
	return kind
}

// tally counts by kind. A client's words are among the kinds, so it keeps a bounded number of them.
type tally struct {
	kinds sync.Map // string: *atomic.Int64
	n     atomic.Int64
}

const maxKinds = 1000

func (t *tally) add(kind string, n int64) {
	count, ok := t.kinds.Load(kind)
	if !ok {
		if t.n.Add(1) > maxKinds {
			kind = "other"
		}
		count, _ = t.kinds.LoadOrStore(kind, new(atomic.Int64))
	}
	count.(*atomic.Int64).Add(n)
}

func (t *tally) all() map[string]int64 {
	return maps.Collect(func(yield func(string, int64) bool) {
		t.kinds.Range(func(kind, count any) bool { return yield(kind.(string), count.(*atomic.Int64).Load()) })
	})
}
