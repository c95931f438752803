package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/sandbox/server"
	"go.mau.fi/whatsmeow/types"
)

// Phone is a virtual phone as the control API shows it.
type Phone struct {
	// Number is the phone number in digits, country code first.
	Number string `json:"number"`
	// Name is what the recipients of its messages see (WhatsApp's push name).
	Name string `json:"name"`
	// Level says how much of a phone it is: "live" phones decrypt, "sink" ones answer with receipts alone, "stub" ones with nothing.
	Level server.Level `json:"level"`
	// AutoReply is "echo" when the phone answers each text with the same text, else "".
	AutoReply string `json:"autoReply"`
	// LID is the account's hidden id, in digits.
	LID string `json:"lid"`
	// Addressing is how the linked devices see users addressed: "auto" or "pn", see SetAddressing; "" for a phone that is not live.
	Addressing string `json:"addressing,omitempty"`
	// Hidden says that the number is kept from other accounts' linked devices, see HideNumber.
	Hidden bool `json:"hidden,omitempty"`
	// Devices are the linked devices' JIDs, without the phone itself.
	Devices []string `json:"devices"`
	// Connected says whether the phone is logged in to the server right now.
	Connected bool      `json:"connected"`
	CreatedAt time.Time `json:"createdAt"`
}

// phoneRow is what is kept of a live phone. A record of it is what makes a phone: its account and its Signal store are made again from it
// when they are missing.
type phoneRow struct {
	Number    string    `json:"-"` // the record's key
	Name      string    `json:"name"`
	AutoReply string    `json:"autoReply,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
}

// Error is a refusal: what the caller has to change, or wait for. Every other error of this package is the sandbox's own trouble.
type Error struct {
	Status int    // the HTTP status the control API answers with
	Detail string // a sentence for the caller
}

func (e *Error) Error() string { return e.Detail }

func failure(status int, format string, args ...any) *Error {
	return &Error{Status: status, Detail: fmt.Sprintf(format, args...)}
}

// loginWait is how long CreatePhone waits for the new phone's first login, which uploads the prekeys that others need to write to it.
const loginWait = 10 * time.Second

// ITU-T E.164 allows 15 digits, and no country code begins with 0.
var numberPattern = regexp.MustCompile(`^[1-9][0-9]{6,14}$`)

func checkNumber(field, number string) error {
	if !numberPattern.MatchString(number) {
		return failure(http.StatusUnprocessableEntity, "%s must be a phone number of 7 to 15 digits, country code first, without +", field)
	}
	return nil
}

// Scan links a device to the phone, as its owner does by pointing the camera at a QR code; qr is the code's text. It returns the JID that
// the device got, before the device has logged in with it. A text that is no QR code is refused with status 422, and one that cannot be
// linked now with 409.
func (s *Sandbox) Scan(ctx context.Context, number, qr string) (types.JID, error) {
	if err := s.linkable(number); err != nil {
		return types.EmptyJID, err
	}
	jid, err := s.server.Scan(ctx, number, qr)
	return jid, pairingRefusal(err)
}

// Unlink removes every linked device of the phone; each is told so, and loses its session.
func (s *Sandbox) Unlink(ctx context.Context, number string) error {
	if err := s.linkable(number); err != nil {
		return err
	}
	return s.server.Unlink(ctx, number)
}

// linkable refuses a phone that cannot have linked devices: there is none, or it is a stub.
func (s *Sandbox) linkable(number string) error {
	if account, ok := s.server.Account(number); ok && account.Level == server.Sink {
		return nil
	}
	_, err := s.phone(number)
	return err
}

// phone finds a live phone.
func (s *Sandbox) phone(number string) (*phone, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.phones[number]
	if p == nil {
		if account, ok := s.server.Account(number); ok && account.Level != server.Live {
			return nil, failure(http.StatusConflict, "phone %s is a %s: only a live phone can do this", number, account.Level)
		}
		return nil, failure(http.StatusNotFound, "there is no phone %s", number)
	}
	return p, nil
}

// launch makes the phone's account when it is missing and starts the phone; one that runs already is returned as it is.
func (s *Sandbox) launch(ctx context.Context, row phoneRow) (*phone, error) {
	if _, err := s.server.CreateAccount(ctx, row.Number, row.Name); err != nil && !errors.Is(err, server.ErrAccountExists) {
		return nil, fmt.Errorf("create account: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.phones[row.Number]; p != nil {
		return p, nil
	}
	if s.ctx.Err() != nil {
		return nil, failure(http.StatusServiceUnavailable, "the sandbox is stopping")
	}
	p := s.newPhone(row)
	s.phones[row.Number] = p
	s.running.Go(func() { p.run(s.ctx) })
	return p, nil
}

func (s *Sandbox) newPhone(row phoneRow) *phone {
	return &phone{
		sandbox:  s,
		number:   row.Number,
		row:      row,
		log:      s.log.With("phone", row.Number),
		due:      make(chan struct{}, 1),
		asked:    make(chan struct{}, 1),
		loggedIn: make(chan struct{}),
		sent:     make(map[string]chan error),
		seenKeys: make(map[string]*seenMessage),
		outbox:   make(map[string]*outgoing),
		peers:    newPeers(row.Number),
	}
}

// loadRecord takes a record of an earlier process: a phone, or what belongs to one, which comes after it.
func (s *Sandbox) loadRecord(r journal.Record) error {
	if strings.HasPrefix(r.Kind, keystore.Prefix) {
		return s.store.Load(r)
	}
	if r.Kind == "phone" {
		row := phoneRow{Number: r.Key}
		if err := json.Unmarshal(r.Value, &row); err != nil {
			return fmt.Errorf("load phone %s: %w", r.Key, err)
		}
		s.phones[row.Number] = s.newPhone(row)
		return nil
	}
	p := s.phones[numberOfKey(r.Key)]
	if p == nil {
		return fmt.Errorf("record %s %s belongs to no phone", r.Kind, r.Key)
	}
	var err error
	switch r.Kind {
	case "phone.seen":
		err = p.loadSeen(r.Value)
	case "phone.outbox":
		err = p.loadOutgoing(r.Value)
	case "phone.key", "phone.companion", "phone.debt", "phone.history":
		err = p.peers.load(r)
	default:
		err = errors.New("of no kind that is known")
	}
	if err != nil {
		return fmt.Errorf("load record %s %s: %w", r.Kind, r.Key, err)
	}
	return nil
}

func (s *Sandbox) view(p *phone) Phone {
	account, _ := s.server.Account(p.number)
	return Phone{
		Number: p.number, Name: account.Name, Level: server.Live, AutoReply: p.row.AutoReply, LID: account.LID, Devices: s.devices(p.number),
		Addressing: s.addressing(p.number), Hidden: s.server.NumberHidden(p.number), Connected: p.connected(), CreatedAt: p.row.CreatedAt.UTC(),
	}
}

// phone runs one virtual phone: an ordinary whatsmeow client as device 0 of its account. Its goroutine (run) belongs to the sandbox.
type phone struct {
	sandbox *Sandbox
	number  string
	row     phoneRow
	log     *slog.Logger

	events     eventLog
	peers      *peers
	calls      callLog
	connection signal // fires when current has changed

	shown       signal        // fires when the phone has shown a message
	sentChanged signal        // fires when something has become of what the phone sends
	due         chan struct{} // holds a token when the outbox may have something to send
	asked       chan struct{} // holds a token when a companion may have asked for a file
	loggedIn    chan struct{} // closed by the first login
	once        sync.Once     // closes loggedIn

	writing sync.Mutex // held while what the phone saw or has to send is changed, over the commit

	mu           sync.Mutex
	current      *connection             // the logged-in connection, or nil
	sent         map[string]chan error   // SendText's callers, by message id
	seen         []*seenMessage          // in the order of seq
	seenKeys     map[string]*seenMessage // by Message.key
	lastSeq      int64
	outbox       map[string]*outgoing // by id
	unsent       []*outgoing          // of outbox, in the order of position
	sentLast     []*outgoing          // of outbox, those that were sent, oldest first
	lastPosition int64
	lastChange   int64
}

// run keeps the phone connected until ctx ends. Each connection has a new client, so nothing of a broken one is carried over.
//
// Failure policy: it tries for ever, after 0.1 s at first and 2 s at most; a login starts that anew.
func (p *phone) run(ctx context.Context) {
	const first, longest = 100 * time.Millisecond, 2 * time.Second
	pause := first
	for {
		loggedIn, err := p.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if loggedIn {
			pause = first
		}
		p.log.DebugContext(ctx, "sandbox: phone reconnects", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, longest)
	}
}

// wake tells the phone that its outbox has something to send.
func (p *phone) wake() { signalTo(p.due) }

// signalTo leaves a token in a channel of one.
func signalTo(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default: // there is one already
	}
}

// setCurrent notes the logged-in connection, or with nil that there is none.
func (p *phone) setCurrent(c *connection) {
	p.mu.Lock()
	p.current = c
	p.mu.Unlock()
	p.connection.fire()
	if c != nil {
		p.once.Do(func() { close(p.loggedIn) })
	}
}

func (p *phone) connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current != nil
}

// markRead sends one read receipt, waits until the server has taken it, and commits it.
func (p *phone) markRead(ctx context.Context, batch []*seenMessage) error {
	p.mu.Lock()
	c := p.current
	p.mu.Unlock()
	if c == nil {
		return failure(http.StatusServiceUnavailable, "phone %s is not connected just now", p.number)
	}
	if err := c.markRead(ctx, batch); err != nil {
		return err
	}
	return p.storeRead(ctx, batch)
}

// awaitSent returns a channel that yields once the message is sent and that is so committed: nil, or why it was given up. forgetSent frees it.
func (p *phone) awaitSent(id string) <-chan error {
	ch := make(chan error, 1)
	p.mu.Lock()
	p.sent[id] = ch
	p.mu.Unlock()
	return ch
}

func (p *phone) forgetSent(id string) {
	p.mu.Lock()
	delete(p.sent, id)
	p.mu.Unlock()
}

func (p *phone) markSent(id string, outcome error) {
	p.mu.Lock()
	ch := p.sent[id]
	delete(p.sent, id)
	p.mu.Unlock()
	if ch != nil {
		ch <- outcome
	}
}

// signal wakes everyone who waits, each time it fires. The zero value is ready.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that closes the next time the signal fires.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
