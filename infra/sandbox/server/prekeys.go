package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mau.fi/libsignal/ecc"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// fewPreKeys is the number below which a device is told to upload more (MinPreKeyCount in prekeys.go).
	fewPreKeys = 5
	// maxPreKeys bounds one upload; whatsmeow's first has 812.
	maxPreKeys = 4096
	// maxBundles bounds the devices of one fetch.
	maxBundles = 4096
)

func registerPreKeys(r *registry) {
	r.queries[query{"encrypt", "get", "count"}] = handlePreKeyCount
	r.queries[query{"encrypt", "get", "key"}] = handlePreKeyFetch
	r.queries[query{"encrypt", "get", "digest"}] = handlePreKeyDigest
	r.queries[query{"encrypt", "set", "rotate"}] = handlePreKeyRotate
	r.queries[query{"encrypt", "set", ""}] = handlePreKeyUpload // its children come in any order
	r.loaders["prekey"] = loadPreKey
}

// keyID reads the three bytes of a prekey's id; idBytes writes them.
func keyID(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

func idBytes(id uint32) []byte { return []byte{byte(id >> 16), byte(id >> 8), byte(id)} }

// validFor checks the signature of the identity key, which covers the public key with its type byte (keypair.go).
func (k signedPreKey) validFor(identity [32]byte) bool {
	return ecc.VerifySignature(ecc.NewDjbECPublicKey(identity), append([]byte{ecc.DjbType}, k.public[:]...), k.signature)
}

func (k signedPreKey) node() waBinary.Node {
	return waBinary.Node{Tag: "skey", Content: []waBinary.Node{
		{Tag: "id", Content: idBytes(k.id)}, {Tag: "value", Content: k.public[:]}, {Tag: "signature", Content: k.signature[:]},
	}}
}

// readSignedPreKey reads an skey node.
func readSignedPreKey(node waBinary.Node) (k signedPreKey, ok bool) {
	id, public, signature := content(node.GetChildByTag("id")), content(node.GetChildByTag("value")), content(node.GetChildByTag("signature"))
	if len(id) != 3 || len(public) != 32 || len(signature) != 64 {
		return k, false
	}
	return signedPreKey{id: keyID(id), public: [32]byte(public), signature: [64]byte(signature)}, true
}

func handlePreKeyCount(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	return []waBinary.Node{{Tag: "count", Attrs: waBinary.Attrs{"value": c.device.prekeys.len()}}}, nil
}

// handlePreKeyUpload adds one-time prekeys and replaces the signed one and the registration id.
func handlePreKeyUpload(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	d := c.device
	registration, identity := content(iq.GetChildByTag("registration")), content(iq.GetChildByTag("identity"))
	signed, ok := readSignedPreKey(iq.GetChildByTag("skey"))
	list := iq.GetChildByTag("list")
	uploaded := list.GetChildren()
	if !ok || len(registration) != 4 || !slices.Equal(identity, d.identity[:]) || len(uploaded) > maxPreKeys || !signed.validFor(d.identity) {
		return nil, errBadRequest
	}
	var added packedKeys
	records := make([]journal.Record, 0, len(uploaded)+1)
	for _, key := range uploaded {
		id, public := content(key.GetChildByTag("id")), content(key.GetChildByTag("value"))
		if len(id) != 3 || len(public) != 32 || added.index(keyID(id)) >= 0 {
			return nil, errBadRequest
		}
		added = added.put(keyID(id), public)
		records = append(records, journal.Record{Kind: "prekey", Key: preKeyKey(d, keyID(id)), Value: slices.Clone(public)})
	}
	d.keysChange.Lock()
	defer d.keysChange.Unlock()
	number := binary.BigEndian.Uint32(registration)
	if err := c.s.commit(ctx, append(records, d.record(number, signed)), nil); err != nil {
		return nil, fmt.Errorf("store prekeys: %w", err)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for i := range added.len() {
		id, public := added.at(i)
		d.prekeys = d.prekeys.put(id, public)
	}
	d.warned, d.signed, d.registration = false, signed, number
	return nil, nil
}

// preKeyKey names the record of a one-time prekey.
func preKeyKey(d *device, id uint32) string { return fmt.Sprintf("%08x/%06x", d.id, id) }

func loadPreKey(s *Server, r journal.Record) error {
	var device int64
	var id uint32
	if _, err := fmt.Sscanf(r.Key, "%x/%x", &device, &id); err != nil || len(r.Value) != 32 {
		return errors.New("not a prekey")
	}
	d := s.devices[device]
	if d == nil {
		s.forget(r)
		return nil
	}
	d.prekeys = append(append(d.prekeys, idBytes(id)...), r.Value...)
	return nil
}

// packedKeys are one-time prekeys, the oldest first, each 3 bytes of id and 32 of public key: a device has hundreds, most of which nobody
// ever asks for.
type packedKeys []byte

const packedSize = 3 + 32

func (k packedKeys) len() int { return len(k) / packedSize }

func (k packedKeys) at(i int) (id uint32, public []byte) {
	return keyID(k[i*packedSize:]), k[i*packedSize+3 : (i+1)*packedSize]
}

// index finds a key by its id; -1 when it is not there.
func (k packedKeys) index(id uint32) int {
	for i := range k.len() {
		if keyID(k[i*packedSize:]) == id {
			return i
		}
	}
	return -1
}

// put adds a key, or replaces the one of the same id.
func (k packedKeys) put(id uint32, public []byte) packedKeys {
	if i := k.index(id); i >= 0 {
		copy(k[i*packedSize+3:(i+1)*packedSize], public)
		return k
	}
	return append(append(k, idBytes(id)...), public...)
}

func handlePreKeyRotate(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	d := c.device
	signed, ok := readSignedPreKey(iq.GetChildByTag("rotate", "skey"))
	if !ok || !signed.validFor(d.identity) {
		return nil, errBadRequest
	}
	d.keysChange.Lock()
	defer d.keysChange.Unlock()
	c.s.mu.RLock()
	number := d.registration
	c.s.mu.RUnlock()
	if err := c.s.commit(ctx, []journal.Record{d.record(number, signed)}, nil); err != nil {
		return nil, fmt.Errorf("rotate signed prekey: %w", err)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	d.signed = signed
	return nil, nil
}

// handlePreKeyDigest tells a client what the server holds of its keys.
func handlePreKeyDigest(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	var list []waBinary.Node
	c.s.mu.RLock()
	for i := range c.device.prekeys.len() {
		id, _ := c.device.prekeys.at(i)
		list = append(list, waBinary.Node{Tag: "id", Content: idBytes(id)})
	}
	c.s.mu.RUnlock()
	return []waBinary.Node{{Tag: "digest", Content: append(c.s.identityNodes(c.device), waBinary.Node{Tag: "list", Content: list})}}, nil
}

// identityNodes are the parts of a bundle that every session with the device has in common.
func (s *Server) identityNodes(d *device) []waBinary.Node {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return []waBinary.Node{
		{Tag: "registration", Content: binary.BigEndian.AppendUint32(nil, d.registration)},
		{Tag: "type", Content: []byte{ecc.DjbType}},
		{Tag: "identity", Content: d.identity[:]},
		d.signed.node(),
	}
}

// handlePreKeyFetch hands out bundles: each takes one one-time prekey of its device, which is gone when the answer leaves. A device that has
// none left gets a bundle without.
func handlePreKeyFetch(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("key")
	wanted := request.GetChildren()
	if len(wanted) > maxBundles {
		return nil, errBadRequest
	}
	devices := make([]*device, len(wanted))
	for i := range wanted {
		jid, _ := wanted[i].Attrs["jid"].(types.JID)
		devices[i] = c.s.device(jid)
	}
	taken, err := c.s.takePreKeys(ctx, devices)
	if err != nil {
		return nil, err
	}
	users := make([]waBinary.Node, len(wanted))
	for i, d := range devices {
		users[i] = waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": wanted[i].Attrs["jid"]}}
		if d == nil {
			users[i].Content = []waBinary.Node{{Tag: "error", Attrs: waBinary.Attrs{"code": errItemNotFound.code, "text": errItemNotFound.text}}}
			continue
		}
		bundle := c.s.identityNodes(d)
		if key, ok := taken[d]; ok {
			bundle = append(bundle, waBinary.Node{Tag: "key", Content: []waBinary.Node{{Tag: "id", Content: idBytes(key.id)}, {Tag: "value", Content: key.public}}})
		}
		users[i].Content = bundle
	}
	if err := c.s.warnOfFewPreKeys(ctx, devices); err != nil {
		return nil, err
	}
	return []waBinary.Node{{Tag: "list", Content: users}}, nil
}

type preKey struct {
	id     uint32
	public []byte
}

// takePreKeys removes the oldest one-time prekey of each device, durably: two that fetch at the same time get different ones. A device may
// be nil.
func (s *Server) takePreKeys(ctx context.Context, devices []*device) (map[*device]preKey, error) {
	taken := map[*device]preKey{}
	var gone []journal.Record
	s.mu.Lock()
	for _, d := range devices {
		if d == nil || d.prekeys.len() == 0 || s.faultsOf(d.account).NoPreKeys {
			continue
		}
		if _, ok := taken[d]; ok {
			continue
		}
		id, public := d.prekeys.at(0)
		taken[d] = preKey{id, public}
		d.prekeys = d.prekeys[packedSize:]
		gone = append(gone, journal.Record{Kind: "prekey", Key: preKeyKey(d, id)})
	}
	s.mu.Unlock()
	if err := s.commit(ctx, gone, nil); err != nil {
		return nil, fmt.Errorf("take prekeys: %w", err) // they are lost to this process, which costs nothing
	}
	return taken, nil
}

// warnOfFewPreKeys asks those of the devices that run out of prekeys for more, once until they upload.
func (s *Server) warnOfFewPreKeys(ctx context.Context, devices []*device) error {
	var warnings []queued
	s.mu.Lock()
	for _, d := range devices {
		if d == nil || d.keysOnly() {
			continue
		}
		if left := d.prekeys.len(); left < fewPreKeys && !d.warned {
			d.warned = true
			warnings = append(warnings, queued{d, waBinary.Node{
				Tag:     "notification",
				Attrs:   waBinary.Attrs{"from": types.ServerJID, "type": "encrypt", "id": newID(), "t": time.Now().Unix()},
				Content: []waBinary.Node{{Tag: "count", Attrs: waBinary.Attrs{"value": left}}},
			}})
		}
	}
	s.mu.Unlock()
	return s.enqueue(ctx, warnings)
}
