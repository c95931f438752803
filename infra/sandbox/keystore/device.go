package keystore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/proto/waAdv"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"
	waLog "go.mau.fi/whatsmeow/util/log"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/ratchet"
)

// deviceStore is the stores and the container of one Device. Identities, sessions and decryptions are its Guard's.
type deviceStore struct {
	*ratchet.Guard // set by attach, when the JID is known
	container      *Container
	options        Options
	state          *state
	states         ratchet.AppStates
}

var (
	_ store.AllStores       = (*deviceStore)(nil)
	_ store.DeviceContainer = (*deviceStore)(nil)
)

// attach makes the device use s for everything. Devices that were loaded for the same JID before can no longer write.
func (s *deviceStore) attach(device *store.Device) {
	s.state = s.container.state(*device.ID)
	s.Guard = ratchet.New(s.state.lock, signals{s.state}, ratchet.Options{OnFailure: s.options.OnFailure})
	device.SetAllStores(s)
	device.LIDs = s
	device.Container = s
	device.Initialized = true
}

func (s *deviceStore) view(ctx context.Context, f func(*tx) error) error {
	return s.Do(ctx, func(ctx context.Context) error {
		t, err := s.state.view(ctx)
		if err != nil {
			return err
		}
		return f(t)
	})
}

func (s *deviceStore) change(ctx context.Context, f func(*tx) error) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.state.change(ctx, f) })
}

func (s *deviceStore) read(ctx context.Context, r ref) (value []byte, err error) {
	err = s.view(ctx, func(t *tx) error {
		value = t.read(r)
		return nil
	})
	return value, err
}

func (s *deviceStore) put(ctx context.Context, r ref, value []byte) error {
	return s.change(ctx, func(t *tx) error {
		t.put(r, value)
		return nil
	})
}

func (s *deviceStore) remove(ctx context.Context, r ref) error {
	return s.change(ctx, func(t *tx) error {
		t.remove(r)
		return nil
	})
}

// deviceRow is a device as it is stored.
type deviceRow struct {
	LID             string    `json:"lid,omitempty"`
	Noise           []byte    `json:"noise"`
	Identity        []byte    `json:"identity"`
	SignedPreKey    []byte    `json:"signedPreKey"`
	SignedPreKeyID  uint32    `json:"signedPreKeyId"`
	SignedPreKeySig []byte    `json:"signedPreKeySignature"`
	RegistrationID  uint32    `json:"registrationId"`
	AdvSecret       []byte    `json:"advSecret"`
	Account         []byte    `json:"account,omitempty"` // a phone has none
	Platform        string    `json:"platform,omitempty"`
	BusinessName    string    `json:"businessName,omitempty"`
	PushName        string    `json:"pushName,omitempty"`
	FacebookUUID    uuid.UUID `json:"facebookUuid"`
	LIDMigration    int64     `json:"lidMigration,omitempty"`
	CompanionNonce  string    `json:"companionNonce,omitempty"`
}

// PutDevice stores the device's own row. The first time, after pairing, it replaces what an earlier link under the same JID left.
func (s *deviceStore) PutDevice(ctx context.Context, device *store.Device) error {
	if device.ID == nil {
		return ErrNoJID
	}
	r := deviceRow{
		LID: device.LID.String(), Noise: device.NoiseKey.Priv[:], Identity: device.IdentityKey.Priv[:],
		SignedPreKey: device.SignedPreKey.Priv[:], SignedPreKeyID: device.SignedPreKey.KeyID, SignedPreKeySig: device.SignedPreKey.Signature[:],
		RegistrationID: device.RegistrationID, AdvSecret: device.AdvSecretKey,
		Platform: device.Platform, BusinessName: device.BusinessName, PushName: device.PushName, FacebookUUID: device.FacebookUUID,
		LIDMigration: device.LIDMigrationTimestamp, CompanionNonce: device.CompanionMetaNonce,
	}
	var err error
	if device.Account != nil {
		if r.Account, err = proto.Marshal(device.Account); err != nil {
			return fmt.Errorf("encode account: %w", err)
		}
	}
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode device: %w", err)
	}
	first := !device.Initialized
	if first {
		s.attach(device)
	}
	return s.change(ctx, func(t *tx) error {
		if first {
			_ = t.clear() // there is no error to it
		}
		t.put(ref{self, single}, value)
		return nil
	})
}

// DeleteDevice removes the device and all its state.
func (s *deviceStore) DeleteDevice(ctx context.Context, device *store.Device) error {
	if device.ID == nil {
		return ErrNoJID
	}
	return s.Exclusive(ctx, func(ctx context.Context) error { return s.state.change(ctx, (*tx).clear) })
}

// device reads the device's row.
func (s *state) device(jid types.JID) (*store.Device, error) {
	value, _ := s.get(ref{self, single})
	var r deviceRow
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, err
	}
	if len(r.Noise) != 32 || len(r.Identity) != 32 || len(r.SignedPreKey) != 32 || len(r.SignedPreKeySig) != 64 {
		return nil, errLength
	}
	lid, err := types.ParseJID(r.LID)
	if err != nil {
		return nil, err
	}
	device := &store.Device{
		Log: waLog.Noop, ID: &jid, LID: lid,
		NoiseKey: keys.NewKeyPairFromPrivateKey([32]byte(r.Noise)), IdentityKey: keys.NewKeyPairFromPrivateKey([32]byte(r.Identity)),
		SignedPreKey: &keys.PreKey{
			KeyPair: *keys.NewKeyPairFromPrivateKey([32]byte(r.SignedPreKey)), KeyID: r.SignedPreKeyID, Signature: (*[64]byte)(r.SignedPreKeySig),
		},
		RegistrationID: r.RegistrationID, AdvSecretKey: r.AdvSecret,
		Platform: r.Platform, BusinessName: r.BusinessName, PushName: r.PushName, FacebookUUID: r.FacebookUUID,
		LIDMigrationTimestamp: r.LIDMigration, CompanionMetaNonce: r.CompanionNonce,
	}
	if len(r.Account) > 0 {
		device.Account = new(waAdv.ADVSignedDeviceIdentity)
		if err := proto.Unmarshal(r.Account, device.Account); err != nil {
			return nil, err
		}
	}
	return device, nil
}
