package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.mau.fi/libsignal/session"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"go.mau.fi/whatsmeow/util/hkdfutil"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

const (
	// maxDebts bounds what one phone owes its companions; a companion that asks for more while it takes nothing is not answered.
	maxDebts = 2000
	// keptFiles is how many files of history a phone keeps the keys of, after their receipt, for a companion that could not download one:
	// whatsmeow gives the receipt before it downloads (handleProtocolMessage in message.go).
	keptFiles = 100
)

// peers is what a phone knows of the devices linked to it, and the peer messages that it owes them. All of it is in the journal, under the
// kinds phone.key, phone.companion, phone.debt and phone.history, which begin with the phone's number.
type peers struct {
	number string
	due    chan struct{} // holds a token when there may be something to do

	mu         sync.Mutex // held over each change with its commit
	keys       []syncKey  // oldest first
	companions map[uint16]companion
	debts      []debt // oldest first
	last       int64  // the newest debt's number
	history    HistorySettings
}

// companion is a linked device that the phone has taken note of.
type companion struct {
	Identity []byte `json:"identity"`
}

// debt is a peer message that is owed to a companion until its receipt has come.
type debt struct {
	Number int64 `json:"number"`
	// Device is the companion's number, ID the message's id, which stays the same however often it is sent.
	Device uint16 `json:"device"`
	ID     string `json:"id"`
	// Message is a waE2E.Message; Recover instead names a collection of app state whose content is to be sent as it is then.
	Message []byte `json:"message,omitempty"`
	Recover string `json:"recover,omitempty"`
	History bool   `json:"history,omitempty"` // ends with a receipt of type hist_sync
	// Sent says that the server has it, so that it is not sent again by itself. Done says that the receipt has come, too: it is kept for its
	// file.
	Sent bool `json:"sent,omitempty"`
	Done bool `json:"done,omitempty"`
	// Received says that the companion has decrypted history but not yet said that it has taken it.
	Received bool `json:"received,omitempty"`
}

func (d debt) key(number string) string { return fmt.Sprintf("%s/%020d", number, d.Number) }

func companionKey(number string, device uint16) string { return fmt.Sprintf("%s/%03d", number, device) }

// change lets decide look at the state and return the records of a change, and apply it once they are committed.
func (p *phone) change(ctx context.Context, decide func(*peers) (records []journal.Record, apply func())) error {
	k := p.peers
	k.mu.Lock()
	defer k.mu.Unlock()
	records, apply := decide(k)
	if len(records) == 0 {
		return nil
	}
	if err := p.sandbox.journal.Commit(ctx, records...); err != nil {
		return fmt.Errorf("store what phone %s owes: %w", p.number, err)
	}
	apply()
	return nil
}

// owe adds debts, numbered, in a change; those whose id is owed already are left out. The caller holds the lock.
func (k *peers) owe(debts ...debt) (records []journal.Record, apply func()) {
	var added []debt
	last := k.last
	for _, d := range debts {
		if slices.ContainsFunc(k.debts, func(o debt) bool { return o.ID == d.ID }) || len(k.debts)+len(added) >= maxDebts {
			continue
		}
		last++
		d.Number = last
		added = append(added, d)
		records = append(records, jsonRecord("phone.debt", d.key(k.number), d))
	}
	return records, func() {
		k.debts, k.last = append(k.debts, added...), last
		signalTo(k.due)
	}
}

// update changes one debt, if it is still there.
func (p *phone) update(ctx context.Context, id string, device uint16, change func(*debt)) error {
	return p.change(ctx, func(k *peers) ([]journal.Record, func()) {
		i := slices.IndexFunc(k.debts, func(d debt) bool { return d.ID == id && d.Device == device })
		if i < 0 {
			return nil, nil
		}
		d := k.debts[i]
		change(&d)
		return []journal.Record{jsonRecord("phone.debt", d.key(k.number), d)}, func() {
			k.debts[i] = d
			signalTo(k.due)
		}
	})
}

// settle ends the debts that a companion's receipt is for; it reports whether the receipt is for peer messages, which the phone does not show.
func (p *phone) settle(ctx context.Context, e *events.Receipt) (settled bool, err error) {
	if e.Type == types.ReceiptTypeRetry || e.Type == types.ReceiptTypeServerError || !e.IsFromMe {
		return false, nil
	}
	err = p.change(ctx, func(k *peers) (records []journal.Record, apply func()) {
		rest := make([]debt, 0, len(k.debts))
		kept := 0
		for _, d := range slices.Backward(k.debts) {
			theirs := d.Device == e.Sender.Device && slices.Contains(e.MessageIDs, d.ID)
			settled = settled || theirs
			if theirs && d.History && !d.Received && !d.Done && e.Type != types.ReceiptTypeHistorySync {
				d.Received = true
				records = append(records, jsonRecord("phone.debt", d.key(k.number), d))
			}
			if theirs && !d.Done && (!d.History || e.Type == types.ReceiptTypeHistorySync) {
				if d.file() == nil {
					records = append(records, journal.Record{Kind: "phone.debt", Key: d.key(k.number)})
					continue
				}
				d.Done = true
				records = append(records, jsonRecord("phone.debt", d.key(k.number), d))
			}
			if d.Done {
				if kept++; kept > keptFiles {
					records = append(records, journal.Record{Kind: "phone.debt", Key: d.key(k.number)})
					continue
				}
			}
			rest = append(rest, d)
		}
		slices.Reverse(rest)
		return records, func() { k.debts = rest }
	})
	return settled || e.Type == types.ReceiptTypePeerMsg || e.Type == types.ReceiptTypeHistorySync, err
}

// open returns the debts that are yet to be sent, oldest first.
func (k *peers) open() (waiting []debt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range k.debts {
		if !d.Sent {
			waiting = append(waiting, d)
		}
	}
	return waiting
}

// owed counts the debts whose receipt is yet to come.
func (k *peers) owed() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range k.debts {
		if !d.Done {
			n++
		}
	}
	return n
}

// message finds what was sent under an id; nil when nothing is owed under it.
func (k *peers) message(id string) *waE2E.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range k.debts {
		if d.ID == id {
			return d.message()
		}
	}
	return nil
}

// message is the debt's message; nil when it has none yet.
func (d debt) message() *waE2E.Message {
	var m waE2E.Message
	if len(d.Message) == 0 || proto.Unmarshal(d.Message, &m) != nil {
		return nil
	}
	return &m
}

// file is the file of a message with history; nil when it has none, or has it in the message itself.
func (d debt) file() *waE2E.HistorySyncNotification {
	if file := d.message().GetProtocolMessage().GetHistorySyncNotification(); file.GetMediaKey() != nil {
		return file
	}
	return nil
}

// servePeers does what the phone owes its companions, until ctx ends: it gives new ones their keys and their history, makes a new key when
// one has gone, and answers.
//
// Failure policy: what cannot be done is tried again each second without end; the later messages to the same companion wait behind it,
// those to others do not.
func (c *connection) servePeers(ctx context.Context) {
	// Peer messages go to the phone number and are encrypted for the LID; whatsmeow stores the pair of its own when it is paired alone.
	c.client.StoreLIDPNMapping(ctx, *c.client.Store.ID, c.client.Store.LID)
	resumed := false
	for ctx.Err() == nil {
		err := c.reconcile(ctx)
		if err == nil && !resumed {
			err = c.phone.resume(ctx)
			resumed = err == nil
		}
		if err == nil {
			err = c.pay(ctx)
		}
		if err == nil && len(c.phone.peers.open()) > 0 {
			continue
		}
		var pause <-chan time.Time
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			c.phone.log.WarnContext(ctx, "sandbox: phone cannot serve its companions yet", "error", err)
			pause = time.After(resendPause)
		}
		select {
		case <-c.phone.peers.due:
		case <-pause:
		case <-ctx.Done():
		}
	}
}

// resume makes the phone send again, once in a connection, what a companion decrypted without saying that it has taken it: that receipt may
// have been lost with the server's process, or the companion with its own. So a companion may get a chunk of history twice.
func (p *phone) resume(ctx context.Context) error {
	return p.change(ctx, func(k *peers) (records []journal.Record, apply func()) {
		debts := slices.Clone(k.debts)
		for i := range debts {
			if d := &debts[i]; d.Received && !d.Done {
				d.Sent, d.Received = false, false
				records = append(records, jsonRecord("phone.debt", d.key(k.number), *d))
			}
		}
		return records, func() { k.debts = debts }
	})
}

// historyAgain owes a companion the chunk of history again that it asks for by a receipt, as for the file of a message. It reports whether the
// request is one for history.
func (p *phone) historyAgain(ctx context.Context, request server.MediaRetry) (again bool, err error) {
	err = p.change(ctx, func(k *peers) ([]journal.Record, func()) {
		for _, d := range k.debts {
			file := d.file()
			if d.ID != request.MessageID || file == nil || !asksFor(request, hkdfutil.SHA256(file.GetMediaKey(), nil, []byte(retryInfo), 32)) {
				continue
			}
			again = true
			return k.owe(debt{Device: d.Device, ID: newMessageID(), Message: moved(d.message(), d.ID), History: true})
		}
		return nil, nil
	})
	return again, err
}

// moved makes a chunk's message one whose file is yet to be uploaded, again.
func moved(message *waE2E.Message, id string) []byte {
	file := message.GetProtocolMessage().GetHistorySyncNotification()
	file.DirectPath, file.OriginalMessageID = nil, &id
	return peerMessage(message.GetProtocolMessage())
}

// pay tries each debt once and returns the last error.
func (c *connection) pay(ctx context.Context) (last error) {
	blocked := map[uint16]bool{}
	for _, d := range c.phone.peers.open() {
		if blocked[d.Device] {
			continue
		}
		if err := c.sendPeer(ctx, d); err != nil {
			blocked[d.Device], last = true, err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return last
}

// sendPeer sends one peer message to a companion and commits that the server has it. A crash between the two repeats it under the same id.
func (c *connection) sendPeer(ctx context.Context, d debt) error {
	message, err := c.preparePeer(ctx, d)
	if err != nil || message == nil {
		return err
	}
	to := types.JID{User: c.phone.number, Device: d.Device, Server: types.DefaultUserServer}
	if err := c.meet(ctx, d.Device); err != nil {
		return err
	}
	if _, err := c.client.SendMessage(ctx, to, message, whatsmeow.SendRequestExtra{ID: d.ID, Peer: true, Timeout: ackTimeout}); err != nil {
		return fmt.Errorf("send peer message %s: %w", d.ID, err)
	}
	return c.phone.update(ctx, d.ID, d.Device, func(d *debt) { d.Sent = true })
}

// preparePeer makes a debt's message ready: its file is uploaded, once, and what it then says is stored before it is sent.
func (c *connection) preparePeer(ctx context.Context, d debt) (*waE2E.Message, error) {
	message, complete := d.message(), true
	if d.Recover != "" && message == nil {
		answer, err := c.recovered(ctx, d)
		if err != nil {
			return nil, err
		}
		message, complete = answer, false
	}
	if message == nil {
		return nil, c.phone.update(ctx, d.ID, d.Device, func(d *debt) { d.Sent, d.Done = true, true })
	}
	if file := d.file(); file != nil && file.DirectPath == nil {
		_, path, err := c.upload(ctx, mediaCopy{Key: file.MediaKey, EncSHA256: file.FileEncSHA256, Class: whatsmeow.MediaHistory})
		if err != nil {
			return nil, err
		}
		message.ProtocolMessage.HistorySyncNotification.DirectPath, complete = &path, false
	}
	if complete {
		return message, nil
	}
	text, err := proto.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("marshal peer message: %w", err)
	}
	return message, c.phone.update(ctx, d.ID, d.Device, func(d *debt) { d.Message = text })
}

// meet makes a Signal session with a companion where there is none: whatsmeow fetches prekeys for other messages alone (preparePeerMessageNode
// in send.go). The store takes the device's lock for it as it does for a send.
func (c *connection) meet(ctx context.Context, device uint16) error {
	lid := c.client.Store.LID
	lid.Device = device
	known, err := c.client.Store.ContainsSession(ctx, lid.SignalAddress())
	if err != nil || known {
		return err
	}
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API fetches prekeys only within SendMessage
	bundle := c.client.DangerousInternals().FetchPreKeysNoError(ctx, []types.JID{lid})[lid]
	if bundle == nil {
		return fmt.Errorf("fetch prekeys of companion %d: there are none", device)
	}
	if err := session.NewBuilderFromSignal(c.client.Store, lid.SignalAddress(), store.SignalProtobufSerializer).ProcessBundle(ctx, bundle); err != nil {
		return fmt.Errorf("begin session with companion %d: %w", device, err)
	}
	return nil
}

func newPeers(number string) *peers {
	return &peers{number: number, due: make(chan struct{}, 1), companions: map[uint16]companion{}, history: defaultHistory}
}

// load takes a record of an earlier process.
func (k *peers) load(r journal.Record) error {
	switch r.Kind {
	case "phone.key":
		var key syncKey
		if err := json.Unmarshal(r.Value, &key); err != nil {
			return err
		}
		k.keys = append(k.keys, key)
	case "phone.companion":
		_, digits, _ := strings.Cut(r.Key, "/")
		device, err := strconv.ParseUint(digits, 10, 16)
		if err != nil {
			return err
		}
		var linked companion
		if err := json.Unmarshal(r.Value, &linked); err != nil {
			return err
		}
		k.companions[uint16(device)] = linked
	case "phone.debt":
		var d debt
		if err := json.Unmarshal(r.Value, &d); err != nil {
			return err
		}
		k.debts, k.last = append(k.debts, d), max(k.last, d.Number)
	default:
		return json.Unmarshal(r.Value, &k.history)
	}
	return nil
}

// linked is what the server calls when a phone's companions have changed.
func (s *Sandbox) linked(number string) {
	s.mu.Lock()
	p := s.phones[number]
	s.mu.Unlock()
	if p != nil { // else it will look when it connects
		signalTo(p.peers.due)
	}
}

// companionNumbers are the companions that the phone has taken note of, in order.
func (k *peers) companionNumbers() []uint16 {
	return slices.Sorted(maps.Keys(k.companions))
}
