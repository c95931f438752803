package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/libsignal/ecc"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
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
	return []waBinary.Node{{Tag: "count", Attrs: waBinary.Attrs{"value": c.device.prekeys}}}, nil
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
	ids, publics := make([]int64, 0, len(uploaded)), make([][]byte, 0, len(uploaded))
	for _, key := range uploaded {
		id, public := content(key.GetChildByTag("id")), content(key.GetChildByTag("value"))
		if len(id) != 3 || len(public) != 32 || slices.Contains(ids, int64(keyID(id))) {
			return nil, errBadRequest
		}
		ids, publics = append(ids, int64(keyID(id))), append(publics, public)
	}
	var left int
	number := binary.BigEndian.Uint32(registration)
	var batch pgx.Batch
	batch.Queue(`INSERT INTO sandbox.prekeys (device_id, key_id, public) SELECT $1, unnest($2::bigint[]), unnest($3::bytea[])
		ON CONFLICT (device_id, key_id) DO UPDATE SET public = excluded.public`, d.id, ids, publics)
	queueSignedPreKey(&batch, d, signed)
	batch.Queue(`UPDATE sandbox.devices SET registration_id = $2 WHERE id = $1`, d.id, int64(number))
	batch.Queue(`SELECT count(*) FROM sandbox.prekeys WHERE device_id = $1`, d.id).QueryRow(func(row pgx.Row) error { return row.Scan(&left) })
	if err := c.s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("store prekeys: %w", err)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	d.prekeys, d.warned, d.signed, d.registration = left, false, signed, number
	return nil, nil
}

func queueSignedPreKey(batch *pgx.Batch, d *device, k signedPreKey) {
	batch.Queue(`UPDATE sandbox.devices SET signed_id = $2, signed_public = $3, signed_signature = $4 WHERE id = $1`,
		d.id, int64(k.id), k.public[:], k.signature[:])
}

func handlePreKeyRotate(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	signed, ok := readSignedPreKey(iq.GetChildByTag("rotate", "skey"))
	if !ok || !signed.validFor(c.device.identity) {
		return nil, errBadRequest
	}
	var batch pgx.Batch
	queueSignedPreKey(&batch, c.device, signed)
	if err := c.s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("rotate signed prekey: %w", err)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.device.signed = signed
	return nil, nil
}

// handlePreKeyDigest tells a client what the server holds of its keys.
func handlePreKeyDigest(ctx context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	rows, err := c.s.pool.Query(ctx, `SELECT key_id FROM sandbox.prekeys WHERE device_id = $1 ORDER BY key_id`, c.device.id)
	if err != nil {
		return nil, fmt.Errorf("list prekeys: %w", err)
	}
	var list []waBinary.Node
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		list = append(list, waBinary.Node{Tag: "id", Content: idBytes(uint32(id))})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list prekeys: %w", err)
	}
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
	ids := make([]int64, 0, len(wanted))
	for i := range wanted {
		jid, _ := wanted[i].Attrs["jid"].(types.JID)
		if devices[i] = c.s.device(jid); devices[i] != nil && !slices.Contains(ids, devices[i].id) {
			ids = append(ids, devices[i].id)
		}
	}
	taken, err := c.s.takePreKeys(ctx, ids)
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
		if key, ok := taken[d.id]; ok {
			bundle = append(bundle, waBinary.Node{Tag: "key", Content: []waBinary.Node{{Tag: "id", Content: idBytes(key.id)}, {Tag: "value", Content: key.public}}})
		}
		users[i].Content = bundle
	}
	if err := c.s.warnOfFewPreKeys(ctx, devices, taken); err != nil {
		return nil, err
	}
	return []waBinary.Node{{Tag: "list", Content: users}}, nil
}

type preKey struct {
	id     uint32
	public []byte
}

// takePreKeys removes the oldest one-time prekey of each device. Two that fetch at the same time get different ones.
func (s *Server) takePreKeys(ctx context.Context, ids []int64) (map[int64]preKey, error) {
	rows, err := s.pool.Query(ctx, `WITH pick AS (
			SELECT k.device_id, k.key_id FROM unnest($1::bigint[]) AS wanted (id)
			CROSS JOIN LATERAL (SELECT device_id, key_id FROM sandbox.prekeys WHERE device_id = wanted.id ORDER BY key_id LIMIT 1 FOR UPDATE SKIP LOCKED) k)
		DELETE FROM sandbox.prekeys p USING pick WHERE p.device_id = pick.device_id AND p.key_id = pick.key_id
		RETURNING p.device_id, p.key_id, p.public`, ids)
	if err != nil {
		return nil, fmt.Errorf("take prekeys: %w", err)
	}
	taken := map[int64]preKey{}
	var device, id int64
	var public []byte
	_, err = pgx.ForEachRow(rows, []any{&device, &id, &public}, func() error {
		taken[device] = preKey{uint32(id), slices.Clone(public)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take prekeys: %w", err)
	}
	return taken, nil
}

// warnOfFewPreKeys counts the prekeys that were taken from the devices, and asks those that run out for more, once until they upload.
func (s *Server) warnOfFewPreKeys(ctx context.Context, devices []*device, taken map[int64]preKey) error {
	var warnings []queued
	s.mu.Lock()
	for _, d := range devices {
		if d == nil {
			continue
		}
		if _, ok := taken[d.id]; ok {
			d.prekeys--
		}
		if d.prekeys < fewPreKeys && !d.warned {
			d.warned = true
			warnings = append(warnings, queued{d, waBinary.Node{
				Tag:     "notification",
				Attrs:   waBinary.Attrs{"from": types.ServerJID, "type": "encrypt", "id": newID(), "t": time.Now().Unix()},
				Content: []waBinary.Node{{Tag: "count", Attrs: waBinary.Attrs{"value": d.prekeys}}},
			}})
		}
	}
	s.mu.Unlock()
	return s.enqueue(ctx, warnings)
}
