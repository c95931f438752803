// Package server is a local WhatsApp: the server's side of the protocol as an unmodified go.mau.fi/whatsmeow speaks it. It pairs
// companions by QR or code, authenticates them, keeps their prekeys and device lists, and carries their end-to-end encrypted stanzas, which it
// cannot read. What it answers is what whatsmeow's own parsers want; what the real server does beyond that cannot be seen from here.
//
// The server works in memory; every change is in its journal before an acknowledgement or an answer leaves. With a journal that is durable, a
// process killed at any line loses nothing, and its successor finds every device linked and every unacknowledged stanza queued.
package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.mau.fi/whatsmeow/util/keys"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// DefaultSeed makes the certificate root when Config.Seed is empty.
const DefaultSeed = "chasqui"

// Config says what a server works with.
type Config struct {
	// Journal keeps what the server must not lose; it stays the caller's, and is to be closed after the server.
	Journal journal.Journal
	// Loader takes the records of the journal that are not the server's own, as New finds them. nil: there must be none.
	Loader func(journal.Record) error
	// Seed makes the certificate root and the server's keys: the same seed gives the same RootKey. "" is DefaultSeed.
	Seed string
	// Logger takes what happens, without keys and payloads; nil is slog.Default.
	Logger *slog.Logger
	// Transcript is how many of the last stanzas are kept for Server.Transcript; TranscriptTo takes all of them as JSON lines, one at a time.
	Transcript   int
	TranscriptTo io.Writer
	// RingTime is how long a call rings before it counts as missed; 0 is 60 s.
	RingTime time.Duration
	// MediaRetry is told when a companion asked its phone, of this number, to upload a file again: MediaRetries has the request. It must
	// not block. nil: nobody is told.
	MediaRetry func(phone string)
	// Linked is told when the companions of a phone, of this number, have changed: Companions has them. It must not block. nil: nobody is
	// told.
	Linked func(phone string)
	// Notify is told what the phone of this number would show its owner: "pairing_code_requested" and "passkey_code" (pairingcode.go,
	// pairingpasskey.go); data is JSON. It must not block. nil: nobody is told.
	Notify func(phone, kind string, data map[string]any)
	// QRLife is how long the QR codes of a companion can be scanned.
	QRLife QRLife
}

// Server is a running WhatsApp server. Its methods may be called at the same time by anyone.
type Server struct {
	journal  journal.Journal
	log      *slog.Logger
	seed     string
	noise    *noiseIdentity
	handlers *registry
	http     http.Handler
	phones   string // the value of phoneHeader that makes a connection a simulated phone's
	asked    func(phone string)
	relinked func(phone string)
	notify   func(phone, kind string, data map[string]any)
	qrLife   QRLife
	ring     time.Duration

	groups    groupIndex
	transfers chan struct{} // holds a token for each of the companions' uploads and downloads

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // connections, and what they started; uploads and downloads; the sweep

	creating   sync.Mutex // held while accounts are made, over the commit
	lastDevice atomic.Int64
	lastRow    atomic.Int64        // of all queues
	stale      map[string][]string // records by kind that New found to be of no use

	ackedMu      sync.Mutex
	acked        []string      // the keys of queue records that are done with and not deleted yet
	acknowledged chan struct{} // holds a token when there are some

	lids sync.Map // of *account by LID, as byLID, for those who must not take mu

	hiding atomic.Int32 // accounts that hide their number

	// mu guards everything below, and the fields of accounts and devices that say so. It is never held during I/O.
	mu      sync.RWMutex
	closed  bool
	byPhone map[string]*account
	byLID   map[string]*account
	devices map[int64]*device // by id
	paths   map[string]mediaPath
	refs    map[string]*conn         // the QR references of the connections that wait for a scan
	failing map[string]*LoginFailure // by phone number; "" is for all
	conns   map[*conn]struct{}
	links   map[string]link     // contactlinks.go, by their code
	picture map[string]*picture // pictures.go, by phone number or the JID of a group

	picturing sync.Mutex // held while a picture is changed, over the commit

	appState     atomic.Pointer[AppStateSettings]
	channels     channels
	calls        calls
	restrictions restrictions

	faults     atomic.Pointer[faults]
	stanzas    tally // by direction and kind
	transcript transcript
	counts     struct{ sent, delivered, repeated, unknown, uploads, downloads atomic.Int64 }
}

// Stats are counts since the server was made; Connections is the number that stand now.
type Stats struct {
	Connections int64
	// MessagesSent counts message stanzas taken from clients and routed.
	MessagesSent int64
	// MessagesDelivered counts message stanzas that a receiving device acknowledged; a message to three devices counts three times.
	MessagesDelivered int64
	// RepeatedIDs counts messages whose (sending device, recipient, id) had been routed before. Peer messages and answers to retry
	// receipts, which repeat their id by design, are not counted.
	RepeatedIDs int64
	// UnknownStanzas counts what no handler is registered for.
	UnknownStanzas int64
	// MediaUploads and MediaDownloads count the companions' that were answered in full; ranges count too.
	MediaUploads, MediaDownloads int64
	// Stanzas counts what went over the wire by direction and kind, as "in message" and "out iq result"; "unknown iq set x" are those of
	// UnknownStanzas. Acknowledgements and iqs are further divided by class, namespace and type.
	Stanzas map[string]int64
}

// New loads the state and returns a server that is ready for ServeHTTP. The context is for New alone; the server lives until Close.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Seed == "" {
		c.Seed = DefaultSeed
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Notify == nil {
		c.Notify = func(string, string, map[string]any) {}
	}
	identity, err := newNoiseIdentity(c.Seed, time.Now())
	if err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	s := &Server{
		journal: c.Journal, log: c.Logger, seed: c.Seed, noise: identity, handlers: newRegistry(), phones: rand.Text(),
		asked: c.MediaRetry, relinked: c.Linked, notify: c.Notify, qrLife: c.QRLife.orDefault(), failing: map[string]*LoginFailure{},
		ring: cmp.Or(c.RingTime, ringTime), transfers: make(chan struct{}, transfersAtOnce),
		byPhone: map[string]*account{}, byLID: map[string]*account{}, devices: map[int64]*device{}, refs: map[string]*conn{}, conns: map[*conn]struct{}{},
		paths: map[string]mediaPath{}, acknowledged: make(chan struct{}, 1),
		links: map[string]link{}, picture: map[string]*picture{},
	}
	s.http = s.routes()
	s.transcript.keep, s.transcript.to = c.Transcript, c.TranscriptTo
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.faults.Store(newFaults(Faults{}))
	if err := s.load(ctx, c.Loader); err != nil {
		s.Close()
		return nil, fmt.Errorf("load state: %w", err)
	}
	s.work.Go(s.forgetAcknowledged)
	s.work.Go(s.sweepBlobs)
	return s, nil
}

// enter lets a request be served, which Close waits for until s.work.Done is called. False says that the server is closed, as it has answered.
func (s *Server) enter(w http.ResponseWriter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		http.Error(w, "the server is closed", http.StatusServiceUnavailable)
		return false
	}
	s.work.Add(1)
	return true
}

// RootKey is the function RootKey for the server's seed.
func (s *Server) RootKey() [32]byte { return *s.noise.root.Pub }

// Close cuts every connection, and waits for what they do. It is idempotent.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.disconnect(func(*conn) bool { return true })
	s.work.Wait()
}

// phoneHeader is the request header that tells the simulated phones' connections from the companions', before any handshake.
const phoneHeader = "Sandbox-Phone"

// MarkPhone adds to the headers of a WebSocket or media request what makes it a simulated phone's, which Faults and Disconnect spare.
// The mark is secret to this server, so a companion cannot pass for a phone, and it ends with the server.
func (s *Server) MarkPhone(h http.Header) { h.Set(phoneHeader, s.phones) }

// Disconnect cuts the connections of an account's companions, or with "" every connection but the simulated phones', as a broken network
// would: no stanza says goodbye.
func (s *Server) Disconnect(phone string) {
	s.disconnect(func(c *conn) bool {
		return !c.phone && (phone == "" || c.device != nil && c.device.account.keys.Phone == phone)
	})
}

func (s *Server) disconnect(chosen func(*conn) bool) {
	var connections []*conn
	s.mu.RLock()
	for c := range s.conns {
		if chosen(c) {
			connections = append(connections, c)
		}
	}
	s.mu.RUnlock()
	for _, c := range connections {
		c.cut()
	}
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	s.mu.RLock()
	connections := len(s.conns)
	s.mu.RUnlock()
	return Stats{
		Connections: int64(connections), MessagesSent: s.counts.sent.Load(), MessagesDelivered: s.counts.delivered.Load(),
		RepeatedIDs: s.counts.repeated.Load(), UnknownStanzas: s.counts.unknown.Load(),
		MediaUploads: s.counts.uploads.Load(), MediaDownloads: s.counts.downloads.Load(),
		Stanzas: s.stanzas.all(),
	}
}

// Account is a phone number with WhatsApp: all that its phone, which is device 0, needs to log in as an ordinary client.
type Account struct {
	Phone string // digits only
	LID   string // the user part of the hidden identity, digits only
	Name  string // what others see as the sender's name
	Level Level
	// Identity, Noise, SignedPreKey and RegistrationID are the phone's.
	Identity       *keys.KeyPair
	Noise          *keys.KeyPair
	SignedPreKey   *keys.PreKey
	RegistrationID uint32
	CreatedAt      time.Time
}
