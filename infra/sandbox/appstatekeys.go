package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/store"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// syncKey is a key for app state, which a phone makes and gives to its companions. All keys that ever were are kept, since what was
// encrypted with one stays so; the newest, by Timestamp (ms), is the one that clients write with (SendAppState in whatsmeow's appstate.go).
type syncKey struct {
	Epoch       uint32 `json:"epoch"`
	Data        []byte `json:"data"`
	Fingerprint []byte `json:"fingerprint"` // a waE2E.AppStateSyncKeyFingerprint
	Timestamp   int64  `json:"timestamp"`
}

// id has the form of WhatsApp's: the number of the device that made the key, and the key's own.
func (k syncKey) id() []byte { return binary.BigEndian.AppendUint32([]byte{0, 0}, k.Epoch) }

// nextKey makes a key for the devices that are linked, in a change of the phone's keys. The caller holds the lock.
func (k *peers) nextKey(devices []uint16) (syncKey, journal.Record) {
	next := syncKey{Epoch: 1, Data: make([]byte, 32), Timestamp: time.Now().UnixMilli()}
	if n := len(k.keys); n > 0 {
		next.Epoch, next.Timestamp = k.keys[n-1].Epoch+1, max(next.Timestamp, k.keys[n-1].Timestamp+1)
	}
	_, _ = rand.Read(next.Data) // it never fails
	fingerprint := &waE2E.AppStateSyncKeyFingerprint{RawID: proto.Uint32(next.Epoch), CurrentIndex: proto.Uint32(next.Epoch), DeviceIndexes: []uint32{0}}
	for _, device := range devices {
		fingerprint.DeviceIndexes = append(fingerprint.DeviceIndexes, uint32(device))
	}
	var err error
	if next.Fingerprint, err = proto.Marshal(fingerprint); err != nil {
		panic(fmt.Sprintf("a fingerprint does not marshal: %v", err)) // it has no required field
	}
	return next, jsonRecord("phone.key", fmt.Sprintf("%s/%010d", k.number, next.Epoch), next)
}

// share makes the peer message that gives keys to a companion.
func share(keys []syncKey) []byte {
	given := &waE2E.AppStateSyncKeyShare{}
	for _, k := range keys {
		var fingerprint waE2E.AppStateSyncKeyFingerprint
		_ = proto.Unmarshal(k.Fingerprint, &fingerprint) // made here
		given.Keys = append(given.Keys, &waE2E.AppStateSyncKey{
			KeyID:   &waE2E.AppStateSyncKeyId{KeyID: k.id()},
			KeyData: &waE2E.AppStateSyncKeyData{KeyData: k.Data, Fingerprint: &fingerprint, Timestamp: proto.Int64(k.Timestamp)},
		})
	}
	return peerMessage(&waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_APP_STATE_SYNC_KEY_SHARE.Enum(), AppStateSyncKeyShare: given})
}

// peerMessage marshals a message between the devices of one account.
func peerMessage(m *waE2E.ProtocolMessage) []byte {
	text, err := proto.Marshal(&waE2E.Message{ProtocolMessage: m})
	if err != nil {
		panic(fmt.Sprintf("a peer message does not marshal: %v", err)) // what is required was set by this package
	}
	return text
}

// ensureKeys makes the phone's first key, once, and gives the phone's client all that there are.
func (c *connection) ensureKeys(ctx context.Context) error {
	err := c.phone.change(ctx, func(k *peers) ([]journal.Record, func()) {
		if len(k.keys) > 0 {
			return nil, nil
		}
		key, made := k.nextKey(k.companionNumbers())
		return []journal.Record{made}, func() { k.keys = append(k.keys, key) }
	})
	if err != nil {
		return err
	}
	c.phone.peers.mu.Lock()
	keys := slices.Clone(c.phone.peers.keys)
	c.phone.peers.mu.Unlock()
	if newest := keys[len(keys)-1]; c.epoch.Load() == newest.Epoch {
		return nil
	}
	for _, k := range keys {
		key := store.AppStateSyncKey{Data: k.Data, Fingerprint: k.Fingerprint, Timestamp: k.Timestamp}
		if err := c.client.Store.AppStateKeys.PutAppStateSyncKey(ctx, k.id(), key); err != nil {
			return fmt.Errorf("store app state key: %w", err)
		}
	}
	c.epoch.Store(keys[len(keys)-1].Epoch)
	return nil
}

// reconcile compares the companions that the server has with those that the phone took note of. Who is new is owed the keys and history;
// when one has gone, what is written from then on is not for it to read, so there is a new key, which the others are owed.
func (c *connection) reconcile(ctx context.Context) error {
	p := c.phone
	linked := p.sandbox.server.Companions(p.number)
	added, gone := p.peers.compare(linked)
	// Before the first companion, too: a patch that is written after one was linked can reach it before the key does.
	if err := c.ensureKeys(ctx); err != nil {
		return err
	}
	if err := c.introduce(ctx); err != nil {
		return err
	}
	if len(added)+len(gone) == 0 {
		return nil
	}
	histories := make(map[uint16][]debt, len(added))
	for _, device := range added {
		history, err := c.initialHistory(ctx, device)
		if err != nil {
			return err
		}
		histories[device.JID.Device] = history
	}
	err := p.change(ctx, func(k *peers) (records []journal.Record, apply func()) {
		keys := slices.Clone(k.keys)
		companions := make(map[uint16]companion, len(linked))
		for _, device := range linked {
			companions[device.JID.Device] = companion{device.Identity[:]}
		}
		if len(gone) > 0 && len(keys) > 0 {
			key, made := k.nextKey(numbersOf(linked))
			keys, records = append(keys, key), append(records, made)
		}
		debts := make([]debt, 0, len(k.debts))
		for _, d := range k.debts {
			if slices.Contains(gone, d.Device) {
				records = append(records, journal.Record{Kind: "phone.debt", Key: d.key(k.number)})
				continue
			}
			debts = append(debts, d)
		}
		for _, device := range gone {
			records = append(records, journal.Record{Kind: "phone.companion", Key: companionKey(k.number, device)})
		}
		var owed []debt
		for _, device := range linked {
			number := device.JID.Device
			if _, isNew := histories[number]; isNew {
				records = append(records, jsonRecord("phone.companion", companionKey(k.number, number), companions[number]))
			} else if len(gone) == 0 {
				continue
			}
			owed = append(owed, debt{Device: number, ID: newMessageID(), Message: share(keys)})
			owed = append(owed, histories[number]...)
		}
		next := peers{number: k.number, due: k.due, debts: debts, last: k.last}
		more, add := next.owe(owed...)
		return append(records, more...), func() {
			add()
			k.keys, k.companions, k.debts, k.last = keys, companions, next.debts, next.last
		}
	})
	if err != nil {
		return err
	}
	return c.ensureKeys(ctx)
}

// compare says which companions are new and which have gone. One that took over the number of another is both.
func (k *peers) compare(linked []server.Companion) (added []server.Companion, gone []uint16) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, device := range linked {
		known, ok := k.companions[device.JID.Device]
		if !ok || !bytes.Equal(known.Identity, device.Identity[:]) {
			added = append(added, device)
		}
	}
	for _, number := range k.companionNumbers() {
		i := slices.IndexFunc(linked, func(d server.Companion) bool { return d.JID.Device == number })
		if i < 0 || !bytes.Equal(k.companions[number].Identity, linked[i].Identity[:]) {
			gone = append(gone, number)
		}
	}
	return added, gone
}

func numbersOf(linked []server.Companion) (numbers []uint16) {
	for _, device := range linked {
		numbers = append(numbers, device.JID.Device)
	}
	return numbers
}

// introduce writes what a phone's app state begins with, once: a companion takes its own name from there, and whatsmeow sends no presence
// without it.
func (c *connection) introduce(ctx context.Context) error {
	version, _, err := c.client.Store.AppState.GetAppStateVersion(ctx, string(appstate.WAPatchCriticalBlock))
	if err != nil || version > 0 {
		return err
	}
	patch := appstate.BuildSettingPushName(c.phone.row.Name)
	patch.Mutations = append(patch.Mutations, localeMutation("en"))
	return c.sendAppState(ctx, patch)
}

func localeMutation(locale string) appstate.MutationInfo {
	return appstate.MutationInfo{
		Index: []string{appstate.IndexSettingLocale}, Version: 3,
		Value: &waSyncAction.SyncActionValue{LocaleSetting: &waSyncAction.LocaleSetting{Locale: &locale}},
	}
}

// keysAsked finds the keys that a companion asks for; those that the phone never made are left out.
func (k *peers) keysAsked(request *waE2E.AppStateSyncKeyRequest) (found []syncKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		if slices.ContainsFunc(request.GetKeyIDs(), func(id *waE2E.AppStateSyncKeyId) bool { return bytes.Equal(id.GetKeyID(), key.id()) }) {
			found = append(found, key)
		}
	}
	return found
}
