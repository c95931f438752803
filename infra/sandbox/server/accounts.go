package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

var (
	// ErrAccountExists is returned by CreateAccount for a phone number that has an account.
	ErrAccountExists = errors.New("account exists")
	// ErrNoAccount is returned for a phone number without an account.
	ErrNoAccount = errors.New("no such account")
	// ErrPhoneInvalid is returned by CreateAccount for what is not 7 to 15 digits (ITU-T E.164 allows 15), the first not 0: the login
	// carries the number as an integer.
	ErrPhoneInvalid = errors.New("phone number is not 7 to 15 digits")
)

var phonePattern = regexp.MustCompile(`^[1-9][0-9]{6,14}$`)

// Level says how much of a phone an account has.
type Level string

const (
	// Live accounts have a client as device 0, which decrypts.
	Live Level = "live"
	// Sink accounts have only the keys of a device 0: the server makes delivery and read receipts for what is sent to it, which nobody
	// decrypts. Companions can be linked to them like to any other.
	Sink Level = "sink"
	// Stub accounts have only the keys of a device 0, what is sent to which is taken and dropped, and no companions.
	Stub Level = "stub"
)

// account is an account as the server keeps it in memory. The unmarked fields never change.
type account struct {
	keys  Account // the name in it is not kept up to date
	rawID uint32  // WhatsApp's number for the account in a device identity
	level Level

	appState appState

	faults   atomic.Pointer[faults] // its own; nil for those of all
	byNumber atomic.Bool            // companions are addressed by number, see addressing.go; written under change
	hidden   atomic.Bool            // its number is kept from others, see hiding.go; written under change

	change sync.Mutex // held while the account's record is written and devices are paired and removed, over the commit
	profile

	// Guarded by Server.mu.
	name       string
	privacy    map[string]string // what differs from the defaults
	nextDevice int
	devices    []*device            // ordered by number; the first is the phone
	watchers   map[*device]struct{} // who has the device list in its cache and must hear of a change; nil for none
	retries    []*mediaRetry        // what companions asked the phone to upload again, oldest first
	met        acquaintance
	code       *codeRequest // the last companion that asked for a pairing code, however it ended; see pairingcode.go
	passkey    *Passkey     // what every pairing asks for; nil for nothing; see pairingpasskey.go
}

// device is one of an account's devices: 0 is the phone, the others are companions. The unmarked fields never change.
type device struct {
	id       int64 // unique for ever, where a number may be given again
	account  *account
	number   uint16
	identity [32]byte
	noise    [32]byte
	proof    []byte // a companion's ADVSignedDeviceIdentity as both sides signed it
	props    []byte // a companion's waCompanionReg.DeviceProps, as it gave them when it was paired

	queue queue
	sent  sentIDs

	keysChange sync.Mutex // held while the device's keys are written, over the commit

	// Guarded by Server.mu.
	registration uint32
	signed       signedPreKey
	prekeys      packedKeys // one-time prekeys left
	warned       bool       // that few are left; a fresh upload clears it
	conn         *conn
}

type signedPreKey struct {
	id        uint32
	public    [32]byte
	signature [64]byte
}

// keysOnly says that the device is a phone that nobody logs in as.
func (d *device) keysOnly() bool { return d.number == 0 && d.account.level != Live }

// pn and lid are the account's two addresses, without a device.
func (a *account) pn() types.JID  { return types.NewJID(a.keys.Phone, types.DefaultUserServer) }
func (a *account) lid() types.JID { return types.NewJID(a.keys.LID, types.HiddenUserServer) }

// jid is the account's address on the given server: its LID for types.HiddenUserServer, else its phone number.
func (a *account) jid(server string) types.JID {
	if server == types.HiddenUserServer {
		return a.lid()
	}
	return a.pn()
}

// jid is the device's address on the given server.
func (d *device) jid(server string) types.JID {
	jid := d.account.jid(server)
	jid.Device = d.number
	return jid
}

// NewAccount is what CreateAccounts is given.
type NewAccount struct {
	Phone string // 7 to 15 digits, the first not 0
	Name  string
	Level Level // "" is Live
}

func registerAccounts(r *registry) {
	r.loaders["account"] = loadAccount
	r.loaders["device"] = loadDevice
}

// CreateAccount makes a live account with fresh keys for a phone number of 7 to 15 digits; it is durable when the call returns. It returns
// ErrPhoneInvalid or ErrAccountExists.
func (s *Server) CreateAccount(ctx context.Context, phone, name string) (Account, error) {
	made, err := s.CreateAccounts(ctx, NewAccount{Phone: phone, Name: name})
	if err != nil {
		return Account{}, err
	}
	return made[0], nil
}

// CreateAccounts makes accounts like CreateAccount: all or none.
func (s *Server) CreateAccounts(ctx context.Context, wanted ...NewAccount) ([]Account, error) {
	s.creating.Lock()
	defer s.creating.Unlock()
	records, made, accounts := make([]journal.Record, 0, 2*len(wanted)), make([]Account, len(wanted)), make([]*account, len(wanted))
	taken := map[string]bool{}
	for i, w := range wanted {
		if !phonePattern.MatchString(w.Phone) {
			return nil, ErrPhoneInvalid
		}
		s.mu.RLock()
		_, exists := s.byPhone[w.Phone]
		s.mu.RUnlock()
		if exists || taken[w.Phone] {
			return nil, ErrAccountExists
		}
		taken[w.Phone] = true
		k := Account{Phone: w.Phone, Name: w.Name, Level: cmp.Or(w.Level, Live), Identity: keys.NewKeyPair(), Noise: keys.NewKeyPair(),
			RegistrationID: randomUint32(), CreatedAt: time.Now().UTC()}
		k.SignedPreKey = k.Identity.CreateSignedPreKey(1)
		var err error
		if k.LID, err = s.newLID(taken); err != nil {
			return nil, fmt.Errorf("choose LID: %w", err)
		}
		a := &account{keys: k, rawID: randomUint32(), name: w.Name, nextDevice: 1, level: k.Level}
		d := &device{id: s.lastDevice.Add(1), account: a, identity: *k.Identity.Pub, noise: *k.Noise.Pub, registration: k.RegistrationID,
			signed: signedPreKey{id: k.SignedPreKey.KeyID, public: *k.SignedPreKey.Pub, signature: *k.SignedPreKey.Signature}}
		a.devices = []*device{d}
		records = append(records, a.record(), d.record(d.registration, d.signed))
		made[i], accounts[i] = k, a
	}
	if err := s.commit(ctx, records, nil); err != nil {
		return nil, fmt.Errorf("create account: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range accounts {
		s.byPhone[a.keys.Phone], s.byLID[a.keys.LID] = a, a
		s.lids.Store(a.keys.LID, a)
		s.devices[a.devices[0].id] = a.devices[0]
	}
	return made, nil
}

// newLID chooses the user part of a LID that is not taken: 15 digits, as LIDs seen in the wild.
func (s *Server) newLID(taken map[string]bool) (string, error) {
	for {
		n, err := rand.Int(rand.Reader, big.NewInt(9e14))
		if err != nil {
			return "", err
		}
		lid := strconv.FormatInt(n.Int64()+1e14, 10)
		s.mu.RLock()
		_, exists := s.byLID[lid]
		s.mu.RUnlock()
		if !exists && !taken[lid] {
			taken[lid] = true
			return lid, nil
		}
	}
}

// Account returns the account of a phone number.
func (s *Server) Account(phone string) (Account, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, ok := s.byPhone[phone]
	if !ok {
		return Account{}, false
	}
	return a.public(), true
}

// Accounts returns all accounts, ordered by phone number.
func (s *Server) Accounts() []Account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]Account, 0, len(s.byPhone))
	for _, a := range s.byPhone {
		all = append(all, a.public())
	}
	slices.SortFunc(all, func(x, y Account) int { return strings.Compare(x.Phone, y.Phone) })
	return all
}

// public is the account as callers see it; the caller holds Server.mu.
func (a *account) public() Account {
	k := a.keys
	k.Name = a.name
	return k
}

// Devices returns the companions that are linked to an account, without the phone itself, ordered by device number.
func (s *Server) Devices(phone string) []types.JID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, ok := s.byPhone[phone]
	if !ok {
		return nil
	}
	var jids []types.JID
	for _, d := range a.devices[1:] {
		jids = append(jids, d.jid(types.DefaultUserServer))
	}
	return jids
}

// user finds the account that a JID belongs to, by phone number or LID.
func (s *Server) user(jid types.JID) *account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch jid.Server {
	case types.DefaultUserServer, types.LegacyUserServer:
		return s.byPhone[jid.User]
	case types.HiddenUserServer:
		return s.byLID[jid.User]
	}
	return nil
}

// device finds the linked device that a JID names.
func (s *Server) device(jid types.JID) *device {
	a := s.user(jid)
	if a == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return a.device(jid.Device)
}

// device finds a device by its number; the caller holds Server.mu.
func (a *account) device(number uint16) *device {
	for _, d := range a.devices {
		if d.number == number {
			return d
		}
	}
	return nil
}

// devicesOf returns the account's devices but the given one, which may be nil.
func (s *Server) devicesOf(a *account, except *device) []*device {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(a.devices), func(d *device) bool { return d == except })
}

// accountRecord and deviceRecord are the journal's form of an account and a device; private keys are the phones'.
type accountRecord struct {
	LID          string            `json:"lid"`
	Name         string            `json:"name"`
	Level        Level             `json:"level"`
	Privacy      map[string]string `json:"privacy,omitempty"`
	RawID        uint32            `json:"rawId"`
	NextDevice   int               `json:"nextDevice"`
	Identity     []byte            `json:"identity"`
	Noise        []byte            `json:"noise"`
	SignedPreKey []byte            `json:"signedPreKey"`
	SignedID     uint32            `json:"signedId"`
	Signature    []byte            `json:"signature"`
	CreatedAt    time.Time         `json:"createdAt"`
}

type deviceRecord struct {
	ID           int64  `json:"id"`
	Identity     []byte `json:"identity"`
	Noise        []byte `json:"noise"`
	Registration uint32 `json:"registration"`
	SignedID     uint32 `json:"signedId"`
	SignedPublic []byte `json:"signedPublic"`
	Signature    []byte `json:"signature"`
	Proof        []byte `json:"proof,omitempty"`
	Props        []byte `json:"props,omitempty"`
}

// record is the account as it is to be kept; the caller holds account.change, or is the only one who knows the account.
func (a *account) record() journal.Record {
	return record("account", a.keys.Phone, accountRecord{
		LID: a.keys.LID, Name: a.name, Level: a.level, Privacy: a.privacy, RawID: a.rawID, NextDevice: a.nextDevice,
		Identity: a.keys.Identity.Priv[:], Noise: a.keys.Noise.Priv[:], SignedPreKey: a.keys.SignedPreKey.Priv[:],
		SignedID: a.keys.SignedPreKey.KeyID, Signature: a.keys.SignedPreKey.Signature[:], CreatedAt: a.keys.CreatedAt,
	})
}

// record is the device as it is to be kept, with these keys; the caller holds device.keysChange, or is the only one who knows the device.
func (d *device) record(registration uint32, signed signedPreKey) journal.Record {
	return record("device", d.key(), deviceRecord{
		ID: d.id, Identity: d.identity[:], Noise: d.noise[:], Registration: registration,
		SignedID: signed.id, SignedPublic: signed.public[:], Signature: signed.signature[:], Proof: d.proof, Props: d.props,
	})
}

// snapshot copies what the account's record holds; the caller holds account.change, and Server.mu for reading.
func (a *account) snapshot() *account {
	return &account{keys: a.keys, rawID: a.rawID, level: a.level, name: a.name, privacy: maps.Clone(a.privacy), nextDevice: a.nextDevice}
}

// key names the device's record.
func (d *device) key() string { return fmt.Sprintf("%s/%03d", d.account.keys.Phone, d.number) }

// changeAccount commits a change of what an account's record holds, with the stanzas that tell of it. change may be called more than once,
// holding Server.mu; it must not block.
func (s *Server) changeAccount(ctx context.Context, a *account, change func(*account), stanzas []queued) error {
	a.change.Lock()
	defer a.change.Unlock()
	s.mu.RLock()
	next := a.snapshot()
	s.mu.RUnlock()
	change(next)
	if err := s.commit(ctx, []journal.Record{next.record()}, stanzas); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	change(a)
	return nil
}

func loadAccount(s *Server, r journal.Record) error {
	var kept accountRecord
	if err := json.Unmarshal(r.Value, &kept); err != nil {
		return err
	}
	if len(kept.Identity) != 32 || len(kept.Noise) != 32 || len(kept.SignedPreKey) != 32 || len(kept.Signature) != 64 {
		return errors.New("keys have a wrong length")
	}
	a := &account{rawID: kept.RawID, level: kept.Level, name: kept.Name, privacy: kept.Privacy, nextDevice: kept.NextDevice}
	a.keys = Account{
		Phone: r.Key, LID: kept.LID, Name: kept.Name, Level: kept.Level, CreatedAt: kept.CreatedAt,
		Identity: keys.NewKeyPairFromPrivateKey([32]byte(kept.Identity)),
		Noise:    keys.NewKeyPairFromPrivateKey([32]byte(kept.Noise)),
		SignedPreKey: &keys.PreKey{
			KeyPair: *keys.NewKeyPairFromPrivateKey([32]byte(kept.SignedPreKey)), KeyID: kept.SignedID, Signature: (*[64]byte)(kept.Signature),
		},
	}
	s.byPhone[a.keys.Phone], s.byLID[a.keys.LID] = a, a
	s.lids.Store(a.keys.LID, a)
	return nil
}

func loadDevice(s *Server, r journal.Record) error {
	var kept deviceRecord
	if err := json.Unmarshal(r.Value, &kept); err != nil {
		return err
	}
	phone, text, _ := strings.Cut(r.Key, "/")
	number, err := strconv.ParseUint(text, 10, 8)
	a := s.byPhone[phone]
	if err != nil || a == nil || len(kept.Identity) != 32 || len(kept.Noise) != 32 || len(kept.SignedPublic) != 32 || len(kept.Signature) != 64 {
		return errors.New("device without an account, or with keys of a wrong length")
	}
	d := &device{id: kept.ID, account: a, number: uint16(number), identity: [32]byte(kept.Identity), noise: [32]byte(kept.Noise),
		registration: kept.Registration, proof: kept.Proof, props: kept.Props,
		signed: signedPreKey{id: kept.SignedID, public: [32]byte(kept.SignedPublic), signature: [64]byte(kept.Signature)}}
	if number == 0 {
		a.keys.RegistrationID = d.registration
	}
	a.devices = append(a.devices, d) // the records are ordered by number
	s.devices[d.id] = d
	s.lastDevice.Store(max(s.lastDevice.Load(), d.id))
	return nil
}

// randomUint32 is uniform; it never fails, since crypto/rand does not.
func randomUint32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])
}
