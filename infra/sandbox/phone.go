package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/sandbox/server"
	"go.mau.fi/whatsmeow/types"
)

// Phone is a virtual phone as the control API shows it.
type Phone struct {
	// Number is the phone number in digits, country code first.
	Number string `json:"number"`
	// Name is what the recipients of its messages see (WhatsApp's push name).
	Name string `json:"name"`
	// AutoReply is "echo" when the phone answers each text with the same text, else "".
	AutoReply string `json:"autoReply"`
	// LID is the account's hidden id, in digits.
	LID string `json:"lid"`
	// Devices are the linked devices' JIDs, without the phone itself.
	Devices []string `json:"devices"`
	// Connected says whether the phone is logged in to the server right now.
	Connected bool      `json:"connected"`
	CreatedAt time.Time `json:"createdAt"`
}

// phoneRow is a row of sandbox.phones.
type phoneRow struct {
	Number    string
	Name      string
	AutoReply string
	CreatedAt time.Time
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

// CreatePhone makes a phone and waits up to 10 s for its first login. The same call again finds the phone there (created is false); one
// with another name or autoReply is refused with status 409.
func (s *Sandbox) CreatePhone(ctx context.Context, number, name, autoReply string) (view Phone, created bool, err error) {
	if err := checkNumber("number", number); err != nil {
		return Phone{}, false, err
	}
	if name == "" || len(name) > 100 || strings.Contains(name, "\x00") {
		return Phone{}, false, failure(http.StatusUnprocessableEntity, "name must have 1 to 100 bytes, none of them NUL")
	}
	if autoReply != "" && autoReply != "echo" {
		return Phone{}, false, failure(http.StatusUnprocessableEntity, `autoReply must be "echo" or absent`)
	}
	var row phoneRow
	err = s.pool.QueryRow(ctx, `
		INSERT INTO sandbox.phones (number, name, auto_reply) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
		RETURNING number, name, auto_reply, created_at`, number, name, autoReply).
		Scan(&row.Number, &row.Name, &row.AutoReply, &row.CreatedAt)
	if created = err == nil; errors.Is(err, pgx.ErrNoRows) {
		err = s.pool.QueryRow(ctx, `SELECT number, name, auto_reply, created_at FROM sandbox.phones WHERE number = $1`, number).
			Scan(&row.Number, &row.Name, &row.AutoReply, &row.CreatedAt)
	}
	if err != nil {
		return Phone{}, false, fmt.Errorf("store phone: %w", err)
	}
	if row.Name != name || row.AutoReply != autoReply {
		return Phone{}, false, failure(http.StatusConflict, "phone %s exists with another name or autoReply", number)
	}
	p, err := s.launch(ctx, row)
	if err != nil {
		return Phone{}, false, err
	}
	login := time.NewTimer(loginWait)
	defer login.Stop()
	select {
	case <-p.loggedIn:
	case <-login.C: // the server refuses connections just now; the phone keeps trying
	case <-ctx.Done():
	}
	return s.view(p), created, nil
}

// Phones lists the phones, by number.
func (s *Sandbox) Phones(ctx context.Context) ([]Phone, error) {
	rows, err := s.listPhones(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]Phone, 0, len(rows))
	for _, row := range rows {
		if p, err := s.phone(row.Number); err == nil { // one whose creation is under way is left out
			views = append(views, s.view(p))
		}
	}
	return views, nil
}

// Phone shows one phone; status 404 when there is none of that number.
func (s *Sandbox) Phone(number string) (Phone, error) {
	p, err := s.phone(number)
	if err != nil {
		return Phone{}, err
	}
	return s.view(p), nil
}

// Scan links a device to the phone, as its owner does by pointing the camera at a QR code; qr is the code's text. It returns the JID that
// the device got, before the device has logged in with it. A text that is no QR code is refused with status 422, and one that cannot be
// linked now with 409.
func (s *Sandbox) Scan(ctx context.Context, number, qr string) (types.JID, error) {
	if _, err := s.phone(number); err != nil {
		return types.EmptyJID, err
	}
	jid, err := s.server.Scan(ctx, number, qr)
	switch {
	case errors.Is(err, server.ErrQRInvalid):
		return jid, failure(http.StatusUnprocessableEntity, "qr is not the text of a client's QR code")
	case errors.Is(err, server.ErrQRExpired), errors.Is(err, server.ErrRefused), errors.Is(err, server.ErrTooManyDevices):
		return jid, failure(http.StatusConflict, "%v", err)
	}
	return jid, err
}

// Unlink removes every linked device of the phone; each is told so, and loses its session.
func (s *Sandbox) Unlink(ctx context.Context, number string) error {
	if _, err := s.phone(number); err != nil {
		return err
	}
	return s.server.Unlink(ctx, number)
}

func (s *Sandbox) listPhones(ctx context.Context) ([]phoneRow, error) {
	rows, err := s.pool.Query(ctx, `SELECT number, name, auto_reply, created_at FROM sandbox.phones ORDER BY number`)
	if err != nil {
		return nil, fmt.Errorf("list phones: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[phoneRow])
	if err != nil {
		return nil, fmt.Errorf("list phones: %w", err)
	}
	return list, nil
}

// phone finds a running phone.
func (s *Sandbox) phone(number string) (*phone, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.phones[number]
	if p == nil {
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
	p := &phone{
		sandbox:  s,
		number:   row.Number,
		row:      row,
		log:      s.log.With("phone", row.Number),
		due:      make(chan struct{}, 1),
		asked:    make(chan struct{}, 1),
		loggedIn: make(chan struct{}),
		sent:     make(map[string]chan struct{}),
		peers:    s.peersOf(row.Number),
	}
	s.phones[row.Number] = p
	s.running.Go(func() { p.run(s.ctx) })
	return p, nil
}

func (s *Sandbox) view(p *phone) Phone {
	account, _ := s.server.Account(p.number)
	devices := []string{}
	for _, jid := range s.server.Devices(p.number) {
		devices = append(devices, jid.String())
	}
	return Phone{
		Number: p.number, Name: p.row.Name, AutoReply: p.row.AutoReply, LID: account.LID, Devices: devices,
		Connected: p.connected(), CreatedAt: p.row.CreatedAt.UTC(),
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
	connection signal // fires when current has changed

	seen     signal        // fires when the phone has shown a message
	due      chan struct{} // holds a token when the outbox may have something to send
	asked    chan struct{} // holds a token when a companion may have asked for a file
	loggedIn chan struct{} // closed by the first login
	once     sync.Once     // closes loggedIn

	mu      sync.Mutex
	current *connection              // the logged-in connection, or nil
	sent    map[string]chan struct{} // SendText's callers, by message id
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
func (p *phone) markRead(ctx context.Context, batch []unread) error {
	p.mu.Lock()
	c := p.current
	p.mu.Unlock()
	if c == nil {
		return failure(http.StatusServiceUnavailable, "phone %s is not connected just now", p.number)
	}
	if err := c.markRead(ctx, batch); err != nil {
		return err
	}
	return p.sandbox.storeRead(ctx, p.number, batch)
}

// awaitSent returns a channel that closes once the message is sent and that is so committed. forgetSent frees it.
func (p *phone) awaitSent(id string) <-chan struct{} {
	ch := make(chan struct{})
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

func (p *phone) markSent(id string) {
	p.mu.Lock()
	ch := p.sent[id]
	delete(p.sent, id)
	p.mu.Unlock()
	if ch != nil {
		close(ch)
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
