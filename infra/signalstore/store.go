package signalstore

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"
	"go.mau.fi/whatsmeow/proto/waAdv"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/store/sqlstore"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/ratchet"
)

// callTimeout bounds one call of the store, a whole decryption transaction included. Failure policy: a call that takes longer is a
// Failure. Statements take milliseconds, and a lock on the claim's row is held for 5 s at most.
const callTimeout = 30 * time.Second

// deviceStore is the stores and the container of one Device. Identities, sessions and decryptions are its Guard's, which uses tables for
// them; the calls that only pass on are in stores.go.
type deviceStore struct {
	*ratchet.Guard // set by attach, when the JID is known
	container      *Container
	options        Options
	inner          *sealed
	jid            types.JID
	states         ratchet.AppStates
}

var (
	_ store.AllStores       = (*deviceStore)(nil)
	_ store.DeviceContainer = (*deviceStore)(nil)
)

func (s *deviceStore) attach(jid types.JID) {
	s.jid = jid
	s.inner = &sealed{SQLStore: sqlstore.NewSQLStore(s.container.sql, jid), keys: s.container.keys, db: s.container.db}
	s.Guard = ratchet.New(s.container.lock(jid), tables{s.inner, s.container.db, s.options.Fence}, ratchet.Options{
		Bound: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(bind(ctx, binding{fence: s.options.Fence}), callTimeout)
		},
		Translate: translate,
		OnFailure: s.options.OnFailure,
	})
}

// equip makes the device use s for everything. sqlstore puts its own stores into a device whenever it loads or first saves it.
func (s *deviceStore) equip(device *store.Device) {
	device.SetAllStores(s)
	device.LIDs = s
	device.Container = s
	device.Initialized = true
}

// run is Do with another binding.
func (s *deviceStore) run(ctx context.Context, b binding, call func(context.Context) error) error {
	return s.Do(ctx, func(ctx context.Context) error { return call(bind(ctx, b)) })
}

// get is Do for a call with a result.
func get[T any](ctx context.Context, s *deviceStore, call func(context.Context) (T, error)) (T, error) {
	return ratchet.Get(ctx, s.Guard, call)
}

// tables is what the Guard stands before.
type tables struct {
	*sealed
	db    *dbutil.Database
	fence Fence
}

// GetIdentities implements ratchet.Stores; sqlstore reads one at a time.
func (t tables) GetIdentities(ctx context.Context, addresses []string) (map[string][32]byte, error) {
	found := make(map[string][32]byte, len(addresses))
	if len(addresses) == 0 {
		return found, nil
	}
	rows, err := t.db.Query(ctx, `SELECT their_id, identity FROM whatsmeow_identity_keys WHERE our_jid = $1 AND their_id = ANY($2)`, t.JID, addresses)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var (
			address string
			key     []byte
		)
		if err := rows.Scan(&address, &key); err != nil {
			return nil, err
		}
		if len(key) != 32 {
			return nil, sqlstore.ErrInvalidLength
		}
		found[address] = [32]byte(key)
	}
	return found, rows.Err()
}

// PutSessions implements ratchet.Stores.
func (t tables) PutSessions(ctx context.Context, identities map[string][32]byte, sessions map[string][]byte) error {
	return t.db.DoTxn(bind(ctx, binding{fence: t.fence, deferred: true}), nil, func(ctx context.Context) error {
		for address, key := range identities {
			if err := t.PutIdentity(ctx, address, key); err != nil {
				return err
			}
		}
		return t.PutManySessions(ctx, sessions)
	})
}

// DoDecryptionTxn implements ratchet.Stores. Its commit is not waited for: whoever keeps the message waits for a later one, and WhatsApp is
// told of the message after that; so does every send that builds on the ratchet. Undone before, the message comes again and is decrypted
// again, by the session as it was.
func (t tables) DoDecryptionTxn(ctx context.Context, fn func(context.Context) error) error {
	return t.SQLStore.DoDecryptionTxn(bind(ctx, binding{fence: t.fence, deferred: true, lazy: true}), fn)
}

// PutDevice stores the device's own row. The first time, after pairing, it replaces what an earlier link under the same JID left (sqlstore
// would keep that one's keys) and runs OnSave.
func (s *deviceStore) PutDevice(ctx context.Context, device *store.Device) error {
	if device.ID == nil {
		return sqlstore.ErrDeviceIDMustBeSet
	}
	if device.Initialized {
		return s.Do(ctx, func(ctx context.Context) error { return s.put(ctx, device) })
	}
	s.attach(*device.ID)
	err := s.Do(ctx, func(ctx context.Context) error {
		return s.container.db.DoTxn(ctx, nil, func(ctx context.Context) error {
			if err := s.container.deleteRows(ctx, s.jid); err != nil {
				return err
			}
			if err := s.put(ctx, device); err != nil || s.options.OnSave == nil {
				return err
			}
			return s.options.OnSave(ctx, s.container.db.Execable(ctx), s.jid)
		})
	})
	s.equip(device)
	return err
}

// put writes the device's row.
func (s *deviceStore) put(ctx context.Context, device *store.Device) error {
	account := device.Account
	if account == nil {
		account = &waAdv.ADVSignedDeviceIdentity{ // a phone's; the columns want these lengths
			Details: []byte{}, AccountSignature: make([]byte, 64), AccountSignatureKey: make([]byte, 32), DeviceSignature: make([]byte, 64),
		}
	}
	return s.container.putDevice(ctx, device, account)
}

// DeleteDevice removes the device and all its state.
func (s *deviceStore) DeleteDevice(ctx context.Context, device *store.Device) error {
	if device.ID == nil {
		return sqlstore.ErrDeviceIDMustBeSet
	}
	return s.Exclusive(ctx, func(ctx context.Context) error {
		return s.container.db.DoTxn(ctx, nil, func(ctx context.Context) error { return s.container.deleteRows(ctx, s.jid) })
	})
}
