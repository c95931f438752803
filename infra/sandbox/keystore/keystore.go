// Package keystore keeps the Signal state of whatsmeow devices (identities, sessions, prekeys, sender keys, app state and the rest of
// whatsmeow's stores) in memory and commits every change to a journal before the call returns: with journal.Memory it is a memory store,
// with journal.Postgres it survives kill -9.
//
// It answers as whatsmeow's sqlstore does, which a suite of tests holds it to. A ratchet.Guard stands before the sessions. A device with
// 200 prekeys and two sessions of 3 KB takes 18 KB.
package keystore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"
	waLog "go.mau.fi/whatsmeow/util/log"

	"github.com/chasqui/chasqui/infra/ratchet"
	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// Prefix begins the kind of every record that is the keystore's.
const Prefix = "signal/"

var (
	// ErrNoDevice says that no device with this JID is stored: it was never paired, or it was unlinked.
	ErrNoDevice = errors.New("no such device is stored")
	// ErrNoJID says that a device was to be stored before it had a JID.
	ErrNoJID = errors.New("the device has no JID yet")
)

// Container is a set of devices and the map of phone numbers to LIDs that they share. It is safe for concurrent use.
type Container struct {
	journal journal.Journal
	people  *state // the map of LIDs

	mu      sync.Mutex
	devices map[types.JID]*state // one, and small, for each JID that was ever loaded, so that its lock is the only one
}

// Options belong to one Device.
type Options struct {
	// OnFailure is told the first ratchet.Failure, at most once per Device; from then on the Device refuses everything. See ratchet.Guard.
	OnFailure func(error)
}

// New returns a container whose changes are committed to j. What j holds already is to be given to Load before anything else.
func New(j journal.Journal) *Container {
	return &Container{journal: j, people: &state{journal: j}, devices: make(map[types.JID]*state)}
}

// Load takes a record whose kind begins with Prefix, as the journal gives it at the start.
func (c *Container) Load(r journal.Record) error {
	t, ok := tableOf(r.Kind)
	if !ok {
		return fmt.Errorf("load record: unknown kind %s", r.Kind)
	}
	s, key := c.people, r.Key
	if t != lids {
		device, sub, found := strings.Cut(r.Key, "/")
		jid, err := types.ParseJID(device)
		if err != nil || !found {
			return fmt.Errorf("load %s record: key %q names no device", r.Kind, r.Key)
		}
		s, key = c.state(jid), sub
	}
	if err := s.load(ref{t, key}, r.Value); err != nil {
		return fmt.Errorf("load %s record: %w", r.Kind, err)
	}
	return nil
}

func (c *Container) state(jid types.JID) *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.devices[jid]
	if s == nil {
		s = &state{journal: c.journal, prefix: jid.String() + "/", lock: ratchet.NewLock()}
		c.devices[jid] = s
	}
	return s
}

// stored finds a device's state, without making one.
func (c *Container) stored(jid types.JID) (*state, bool) {
	c.mu.Lock()
	s := c.devices[jid]
	c.mu.Unlock()
	return s, s != nil && s.exists()
}

// NewDevice returns a device with fresh keys, for pairing. Nothing is stored until pairing succeeds.
func (c *Container) NewDevice(o Options) *store.Device {
	var random [36]byte
	_, _ = rand.Read(random[:])
	device := &store.Device{
		Log:            waLog.Noop,
		Container:      &deviceStore{container: c, options: o},
		NoiseKey:       keys.NewKeyPair(),
		IdentityKey:    keys.NewKeyPair(),
		RegistrationID: binary.BigEndian.Uint32(random[32:]),
		AdvSecretKey:   random[:32],
	}
	device.SignedPreKey = device.IdentityKey.CreateSignedPreKey(1)
	return device
}

// GetDevice loads a stored device, or returns ErrNoDevice. It makes every Device loaded earlier for this JID unable to write.
func (c *Container) GetDevice(jid types.JID, o Options) (*store.Device, error) {
	s, ok := c.stored(jid)
	if !ok {
		return nil, ErrNoDevice
	}
	device, err := s.device(jid)
	if err != nil {
		return nil, fmt.Errorf("load device %s: %w", jid, err)
	}
	(&deviceStore{container: c, options: o}).attach(device)
	return device, nil
}

// Devices returns the JIDs of all stored devices.
func (c *Container) Devices() []types.JID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var jids []types.JID
	for jid, s := range c.devices {
		if s.exists() {
			jids = append(jids, jid)
		}
	}
	return jids
}

// Adopt stores a device whose keys and JID were made elsewhere and returns it ready for use. If the JID is stored already, the stored
// device is returned as GetDevice does; it must have the same identity key. Unlike a paired device it may have no Account: it is then a
// phone, device 0, which needs no certificate of its own.
func (c *Container) Adopt(ctx context.Context, device *store.Device, o Options) (*store.Device, error) {
	if device.ID == nil {
		return nil, ErrNoJID
	}
	stored, err := c.GetDevice(*device.ID, o)
	if err == nil && *stored.IdentityKey.Priv != *device.IdentityKey.Priv {
		return nil, fmt.Errorf("adopt device %s: another identity key is stored for it", device.ID)
	}
	if !errors.Is(err, ErrNoDevice) {
		return stored, err
	}
	device.Container = &deviceStore{container: c, options: o}
	device.Initialized = false
	if err := device.Save(ctx); err != nil {
		return nil, fmt.Errorf("adopt device %s: %w", device.ID, err)
	}
	return device, nil
}

// Delete removes a device and all its state. Devices loaded for this JID can no longer write. One that is not stored is no error.
func (c *Container) Delete(ctx context.Context, jid types.JID) error {
	s, ok := c.stored(jid)
	if !ok {
		return nil
	}
	if err := s.lock.Retire(ctx, func() error { return s.change(ctx, (*tx).clear) }); err != nil {
		return fmt.Errorf("delete device %s: %w", jid, err)
	}
	return nil
}
