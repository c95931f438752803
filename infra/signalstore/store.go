package signalstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.mau.fi/whatsmeow/proto/waAdv"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/store/sqlstore"
	"go.mau.fi/whatsmeow/types"
)

// callTimeout bounds one call of the store, a whole decryption transaction included. Failure policy: a call that takes longer is a
// Failure. Statements take milliseconds, and a lock on the claim's row is held for 5 s at most.
const callTimeout = 30 * time.Second

// deviceStore is the stores and the container of one Device. The calls that need the device's lock are in sessions.go, those that
// only pass on in stores.go.
type deviceStore struct {
	container *Container
	options   Options

	// Set by attach, when the JID is known.
	// Sealing at rest would wrap inner: it is the only way to the device's tables.
	inner      *sqlstore.SQLStore
	jid        types.JID
	lock       *deviceLock
	generation uint64

	migrated sync.Map // phone numbers (types.JID.SignalAddressUser) whose sessions have moved to their LID
	failure  atomic.Pointer[Failure]
}

var (
	_ store.AllStores       = (*deviceStore)(nil)
	_ store.DeviceContainer = (*deviceStore)(nil)
)

func (s *deviceStore) attach(jid types.JID) {
	s.jid = jid
	s.inner = sqlstore.NewSQLStore(s.container.sql, jid)
	s.lock = s.container.lock(jid)
	s.generation = s.lock.supersede()
}

// equip makes the device use s for everything. sqlstore puts its own stores into a device whenever it loads or first saves it.
func (s *deviceStore) equip(device *store.Device) {
	device.SetAllStores(s)
	device.LIDs = s
	device.Container = s
	device.Initialized = true
}

// do runs one call of sqlstore: fenced, bounded, its error translated.
func (s *deviceStore) do(ctx context.Context, call func(context.Context) error) error {
	return s.run(ctx, binding{fence: s.options.Fence}, call)
}

func (s *deviceStore) run(ctx context.Context, b binding, call func(context.Context) error) error {
	if f := s.failure.Load(); f != nil {
		return f
	}
	if s.lock != nil && !s.lock.isCurrent(s.generation) {
		return &Failure{cause: ErrSuperseded}
	}
	bounded, cancel := context.WithTimeout(bind(ctx, b), callTimeout)
	defer cancel()
	return s.check(ctx, call(bounded))
}

// get is do for a call with a result.
func get[T any](ctx context.Context, s *deviceStore, call func(context.Context) (T, error)) (result T, err error) {
	err = s.do(ctx, func(ctx context.Context) (err error) {
		result, err = call(ctx)
		return err
	})
	return result, err
}

// check translates a call's error. A Failure breaks the Device, unless the caller gave the call up.
func (s *deviceStore) check(ctx context.Context, err error) error {
	err = translate(err)
	var failure *Failure
	if errors.As(err, &failure) && ctx.Err() == nil {
		s.fail(failure)
	}
	return err
}

// fail breaks the Device. One that was loaded again has an owner who knows that already.
func (s *deviceStore) fail(failure *Failure) {
	if errors.Is(failure, ErrSuperseded) {
		return
	}
	if s.failure.CompareAndSwap(nil, failure) && s.options.OnFailure != nil {
		s.options.OnFailure(failure)
	}
}

// PutDevice stores the device's own row. The first time, after pairing, it replaces what an earlier link under the same JID left (sqlstore
// would keep that one's keys) and runs OnSave.
func (s *deviceStore) PutDevice(ctx context.Context, device *store.Device) error {
	if device.ID == nil {
		return sqlstore.ErrDeviceIDMustBeSet
	}
	if device.Initialized {
		return s.do(ctx, func(ctx context.Context) error { return s.put(ctx, device) })
	}
	s.attach(*device.ID)
	err := s.do(ctx, func(ctx context.Context) error {
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

// put writes the device's row, by way of a copy: sqlstore would put its own stores into the device.
func (s *deviceStore) put(ctx context.Context, device *store.Device) error {
	row := *device
	if row.Account == nil {
		row.Account = &waAdv.ADVSignedDeviceIdentity{ // a phone's; the columns want these lengths
			Details: []byte{}, AccountSignature: make([]byte, 64), AccountSignatureKey: make([]byte, 32), DeviceSignature: make([]byte, 64),
		}
	}
	return s.container.sql.PutDevice(ctx, &row)
}

// DeleteDevice removes the device and all its state.
func (s *deviceStore) DeleteDevice(ctx context.Context, device *store.Device) error {
	if device.ID == nil {
		return sqlstore.ErrDeviceIDMustBeSet
	}
	return s.exclusive(ctx, func(ctx context.Context) error {
		return s.container.db.DoTxn(ctx, nil, func(ctx context.Context) error { return s.container.deleteRows(ctx, s.jid) })
	})
}
