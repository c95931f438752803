package keystore

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chasqui/chasqui/infra/ratchet"
	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// A table is one kind of record. In memory its values are what they are in the journal, and are read when they are asked for.
type table uint8

const (
	self table = iota // the device's own keys and names
	identities
	sessions
	prekeys
	uploaded // up to which id the prekeys are with the server
	senderKeys
	appStateKeys
	appStateVersions
	appStateMACs
	contacts
	chats
	secrets
	tokens
	salt
	buffered
	outgoing
	lids // of the container, not of a device
	tableCount
)

var kinds = [tableCount]string{
	"device", "identity", "session", "prekey", "prekeys-uploaded", "sender-key", "app-state-key", "app-state-version", "app-state-mac",
	"contact", "chat", "message-secret", "privacy-token", "nct-salt", "event", "outgoing-event", "lid",
}

func tableOf(kind string) (table, bool) {
	name, ok := strings.CutPrefix(kind, Prefix)
	i := slices.Index(kinds[:], name)
	return table(max(i, 0)), ok && i >= 0
}

// single is the key in a table that has one row.
const single = "it"

// maxKey is the longest key of a row, escaped, in bytes. A contact chooses the ids of his messages, and PostgreSQL indexes no more than
// 2,704 bytes (a third of a page).
const maxKey = 1024

var errKeyTooLong = fmt.Errorf("the key is longer than %d bytes", maxKey)

// commitTimeout bounds one commit. Failure policy: one that takes longer is a Failure.
const commitTimeout = 30 * time.Second

// join makes a key of its parts. PostgreSQL accepts neither a NUL byte nor broken UTF-8 in a text, so anything unusual is escaped.
func join(parts ...string) string {
	if len(parts) == 1 {
		return url.PathEscape(parts[0])
	}
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

type ref struct {
	table table
	key   string
}

// state is what is stored for a JID, whatever Devices are loaded for it; or, without prefix and lock, the map of LIDs.
type state struct {
	journal journal.Journal
	prefix  string // of its records' keys
	lock    *ratchet.Lock

	// writing is held from reading what a change depends on until memory has the change, so that memory and the journal change in one order.
	writing sync.Mutex
	// doubtful are rows whose last commit failed, so that the journal has either value. The next commit settles them. Guarded by writing.
	doubtful map[ref]struct{}

	mu     sync.RWMutex // guards the rest; never held during I/O
	tables [tableCount]map[string][]byte
	packed packed            // the rows of prekeys
	byPN   map[string]string // the rows of lids the other way round
}

func (s *state) get(r ref) (value []byte, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r.table == prekeys {
		return s.packed.get(r.key)
	}
	value, ok = s.tables[r.table][r.key]
	return value, ok
}

func (s *state) exists() bool {
	_, ok := s.get(ref{self, single})
	return ok
}

// set changes memory. The caller holds mu, and value belongs to the state from now on.
func (s *state) set(r ref, value []byte) error {
	if r.table == prekeys {
		return s.packed.set(r.key, value)
	}
	if r.table == lids {
		s.index(r.key, value)
	}
	if value == nil {
		delete(s.tables[r.table], r.key)
		if len(s.tables[r.table]) == 0 {
			s.tables[r.table] = nil
		}
		return nil
	}
	if s.tables[r.table] == nil {
		s.tables[r.table] = make(map[string][]byte, 1)
	}
	s.tables[r.table][r.key] = value
	return nil
}

func (s *state) load(r ref, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set(r, value)
}

// tx is a set of changes that are committed together, and a view of the state with them. The zero changes are a view alone.
type tx struct {
	*state
	changes map[ref][]byte // nil deletes
	err     error          // the first of put's; it undoes everything
}

type txKey struct{}

// view is how a call reads: within a decryption it sees the decryption's changes.
func (s *state) view(ctx context.Context) (*tx, error) {
	if t, ok := ctx.Value(txKey{}).(*tx); ok && t.state == s {
		return t, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, ratchet.Fail(err)
	}
	return &tx{state: s}, nil
}

// change makes a change and commits it; within a decryption, it becomes part of that.
func (s *state) change(ctx context.Context, f func(*tx) error) error {
	t, err := s.view(ctx)
	if err != nil {
		return err
	}
	if ctx.Value(txKey{}) == t {
		if err := f(t); err != nil {
			return err
		}
		return t.err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := f(t); err != nil {
		return err
	}
	return t.commit(ctx)
}

// transaction gives f a context in which every change is one commit, and views see it before.
func (s *state) transaction(ctx context.Context, f func(context.Context) error) error {
	t := &tx{state: s}
	if err := f(context.WithValue(ctx, txKey{}, t)); err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	return t.commit(ctx)
}

// commit makes the changes durable and then seen. Once it has begun it does not end with its caller: else nobody knew what the journal has.
func (t *tx) commit(ctx context.Context) error {
	if t.err != nil {
		return t.err
	}
	if err := ctx.Err(); err != nil {
		return ratchet.Fail(err)
	}
	if len(t.changes) == 0 && len(t.doubtful) == 0 {
		return nil
	}
	if _, whole := t.changes[ref{self, single}]; t.lock != nil && !whole && !t.exists() {
		return ratchet.Fail(ErrNoDevice)
	}
	records := make([]journal.Record, 0, len(t.changes)+len(t.doubtful))
	for r, value := range t.changes {
		records = append(records, journal.Record{Kind: Prefix + kinds[r.table], Key: t.prefix + r.key, Value: value})
	}
	for r := range t.doubtful {
		if _, changed := t.changes[r]; !changed {
			value, _ := t.state.get(r)
			records = append(records, journal.Record{Kind: Prefix + kinds[r.table], Key: t.prefix + r.key, Value: value})
		}
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if err := t.journal.Commit(bounded, records...); err != nil {
		if t.doubtful == nil {
			t.doubtful = make(map[ref]struct{}, len(t.changes))
		}
		for r := range t.changes {
			t.doubtful[r] = struct{}{}
		}
		return ratchet.Fail(err)
	}
	t.doubtful = nil
	t.mu.Lock()
	defer t.mu.Unlock()
	t.packed.grow(t.changes)
	for r, value := range t.changes {
		if err := t.set(r, value); err != nil {
			return fmt.Errorf("apply %s: %w", kinds[r.table], err)
		}
	}
	return nil
}

// get reads a row. The value is not to be changed.
func (t *tx) get(r ref) ([]byte, bool) {
	if value, changed := t.changes[r]; changed {
		return value, value != nil
	}
	return t.state.get(r)
}

// read is get with a copy for the caller, or nil.
func (t *tx) read(r ref) []byte {
	value, _ := t.get(r)
	return bytes.Clone(value)
}

// put stores a copy of value. What is stored already is no change: whatsmeow stores each recipient's identity again with every message.
func (t *tx) put(r ref, value []byte) {
	if len(r.key) > maxKey {
		t.err = errKeyTooLong
		return
	}
	if old, ok := t.get(r); ok && bytes.Equal(old, value) {
		return
	}
	t.note(r, append([]byte{}, value...))
}

func (t *tx) remove(r ref) {
	if _, ok := t.get(r); ok {
		t.note(r, nil)
	}
}

func (t *tx) note(r ref, value []byte) {
	if t.changes == nil {
		t.changes = make(map[ref][]byte, 1)
	}
	t.changes[r] = value
}

type row struct {
	key   string
	value []byte
}

// rows returns the rows of a table whose key begins with a prefix, in any order.
func (t *tx) rows(of table, prefix string) []row {
	var found []row
	add := func(key string, value []byte) {
		if _, changed := t.changes[ref{of, key}]; !changed && strings.HasPrefix(key, prefix) {
			found = append(found, row{key, value})
		}
	}
	t.mu.RLock()
	for key, value := range t.tables[of] {
		add(key, value)
	}
	if of == prekeys {
		t.packed.each(add)
	}
	t.mu.RUnlock()
	for r, value := range t.changes {
		if r.table == of && value != nil && strings.HasPrefix(r.key, prefix) {
			found = append(found, row{r.key, value})
		}
	}
	return found
}

// clear removes everything.
func (t *tx) clear() error {
	for of := range tableCount {
		for _, row := range t.rows(of, "") {
			t.remove(ref{of, row.key})
		}
	}
	return nil
}

// bound keeps a table from growing for ever: once it has limit rows, the older half of those that may go is removed. Its values begin with
// the time of their insertion, see stamp.
func (t *tx) bound(of table, limit int, mayGo func(value []byte) bool) {
	t.mu.RLock()
	size := len(t.tables[of])
	t.mu.RUnlock()
	if size < limit {
		return
	}
	rows := slices.DeleteFunc(t.rows(of, ""), func(r row) bool { return !mayGo(r.value) })
	slices.SortFunc(rows, func(a, b row) int { return bytes.Compare(a.value[:stampSize], b.value[:stampSize]) })
	for _, row := range rows[:len(rows)/2] {
		t.remove(ref{of, row.key})
	}
}
