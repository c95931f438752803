package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"
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

// account is an account as the server keeps it in memory. The unmarked fields never change.
type account struct {
	id      int64
	keys    Account  // the name in it is not kept up to date
	rawID   uint32   // WhatsApp's number for the account in a device identity
	watched sync.Map // ids of the devices that are in sandbox.watchers for this account: struct{}

	appState appState

	change sync.Mutex // held while devices are paired and removed, over the database's transaction

	// Guarded by Server.mu.
	name       string
	status     string
	privacy    map[string]string // what differs from the defaults
	nextDevice int
	devices    []*device // ordered by number; the first is the phone
}

// device is one of an account's devices: 0 is the phone, the others are companions. The unmarked fields never change.
type device struct {
	id       int64
	account  *account
	number   uint16
	identity [32]byte
	noise    [32]byte
	props    []byte // a companion's waCompanionReg.DeviceProps, as it gave them when it was paired (linked.go)

	// Guarded by Server.mu.
	registration uint32
	signed       signedPreKey
	prekeys      int  // one-time prekeys left
	warned       bool // that few are left; a fresh upload clears it
	conn         *conn
}

type signedPreKey struct {
	id        uint32
	public    [32]byte
	signature [64]byte
}

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

// CreateAccount makes an account with fresh keys for a phone number of 7 to 15 digits; it is persisted when the call returns. It returns
// ErrPhoneInvalid or ErrAccountExists.
func (s *Server) CreateAccount(ctx context.Context, phone, name string) (Account, error) {
	if !phonePattern.MatchString(phone) {
		return Account{}, ErrPhoneInvalid
	}
	// PostgreSQL keeps microseconds: the time returned now and the one loaded later are to be equal.
	k := Account{Phone: phone, Name: name, Identity: keys.NewKeyPair(), Noise: keys.NewKeyPair(), RegistrationID: randomUint32(), CreatedAt: time.Now().UTC().Truncate(time.Microsecond)}
	k.SignedPreKey = k.Identity.CreateSignedPreKey(1)
	lid, err := rand.Int(rand.Reader, big.NewInt(9e14))
	if err != nil {
		return Account{}, fmt.Errorf("choose LID: %w", err)
	}
	k.LID = fmt.Sprint(lid.Int64() + 1e14) // 15 digits, as LIDs seen in the wild
	a := &account{keys: k, rawID: randomUint32(), name: name, nextDevice: 1}
	d := &device{account: a, identity: *k.Identity.Pub, noise: *k.Noise.Pub, registration: k.RegistrationID,
		signed: signedPreKey{id: k.SignedPreKey.KeyID, public: *k.SignedPreKey.Pub, signature: *k.SignedPreKey.Signature}}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `INSERT INTO sandbox.accounts
				(phone, lid, name, raw_id, identity_private, noise_private, prekey_private, prekey_id, prekey_signature, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`,
			k.Phone, k.LID, name, int64(a.rawID), k.Identity.Priv[:], k.Noise.Priv[:], k.SignedPreKey.Priv[:], int64(k.SignedPreKey.KeyID),
			k.SignedPreKey.Signature[:], k.CreatedAt).Scan(&a.id)
		if err != nil {
			return err
		}
		return insertDevice(ctx, tx, d, nil)
	})
	if violation := (*pgconn.PgError)(nil); errors.As(err, &violation) && violation.ConstraintName == "accounts_phone_key" {
		return Account{}, ErrAccountExists
	}
	if err != nil {
		return Account{}, fmt.Errorf("create account: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.devices = []*device{d}
	s.byPhone[k.Phone], s.byLID[k.LID] = a, a
	return k, nil
}

// insertDevice writes a device and sets its id.
func insertDevice(ctx context.Context, tx pgx.Tx, d *device, proof []byte) error {
	return tx.QueryRow(ctx, `INSERT INTO sandbox.devices
			(account_id, number, identity, noise, registration_id, signed_id, signed_public, signed_signature, proof)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id`,
		d.account.id, int(d.number), d.identity[:], d.noise[:], int64(d.registration), int64(d.signed.id), d.signed.public[:],
		d.signed.signature[:], proof).Scan(&d.id)
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

// load reads the accounts and devices into memory and sweeps what nobody needs any more.
func (s *Server) load(ctx context.Context) error {
	byID := map[int64]*account{}
	rows, err := s.pool.Query(ctx, `SELECT id, phone, lid, name, status, privacy, raw_id, next_device, identity_private, noise_private,
			prekey_private, prekey_id, prekey_signature, created_at FROM sandbox.accounts`)
	if err != nil {
		return err
	}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		a := &account{}
		var prekeyID uint32
		var identity, noise, prekey, signature []byte
		err := row.Scan(&a.id, &a.keys.Phone, &a.keys.LID, &a.name, &a.status, &a.privacy, &a.rawID, &a.nextDevice, &identity, &noise,
			&prekey, &prekeyID, &signature, &a.keys.CreatedAt)
		if err != nil {
			return struct{}{}, err
		}
		a.keys.CreatedAt = a.keys.CreatedAt.UTC()
		a.keys.Identity = keys.NewKeyPairFromPrivateKey([32]byte(identity))
		a.keys.Noise = keys.NewKeyPairFromPrivateKey([32]byte(noise))
		a.keys.SignedPreKey = &keys.PreKey{KeyPair: *keys.NewKeyPairFromPrivateKey([32]byte(prekey)), KeyID: prekeyID, Signature: (*[64]byte)(signature)}
		byID[a.id], s.byPhone[a.keys.Phone], s.byLID[a.keys.LID] = a, a, a
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	rows, err = s.pool.Query(ctx, `SELECT d.id, d.account_id, d.number, d.identity, d.noise, d.registration_id, d.signed_id,
			d.signed_public, d.signed_signature, (SELECT count(*) FROM sandbox.prekeys k WHERE k.device_id = d.id)
		FROM sandbox.devices d ORDER BY d.account_id, d.number`)
	if err != nil {
		return err
	}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		d := &device{}
		var accountID int64
		var identity, noise, public, signature []byte
		if err := row.Scan(&d.id, &accountID, &d.number, &identity, &noise, &d.registration, &d.signed.id, &public, &signature, &d.prekeys); err != nil {
			return struct{}{}, err
		}
		d.account = byID[accountID]
		d.identity, d.noise = [32]byte(identity), [32]byte(noise)
		d.signed.public, d.signed.signature = [32]byte(public), [64]byte(signature)
		if d.number == 0 {
			d.account.keys.RegistrationID = d.registration
		}
		d.account.devices = append(d.account.devices, d)
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	rows, err = s.pool.Query(ctx, `SELECT account_id, device_id FROM sandbox.watchers`)
	if err != nil {
		return err
	}
	var accountID, deviceID int64
	_, err = pgx.ForEachRow(rows, []any{&accountID, &deviceID}, func() error {
		byID[accountID].watched.Store(deviceID, struct{}{})
		return nil
	})
	if err != nil {
		return err
	}
	// A week is beyond any client's memory of an unanswered send: whatsmeow repeats one within seconds, a durable queue within hours.
	_, err = s.pool.Exec(ctx, `WITH old AS (DELETE FROM sandbox.sent WHERE sent_at < now() - interval '7 days')
		DELETE FROM sandbox.queue q WHERE NOT EXISTS (SELECT FROM sandbox.devices d WHERE d.id = q.device_id)`)
	return err
}

// randomUint32 is uniform; it never fails, since crypto/rand does not.
func randomUint32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])
}
