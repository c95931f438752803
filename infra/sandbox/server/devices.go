package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

func registerDevices(r *registry) {
	r.queries[query{"md", "set", "remove-companion-device"}] = handleRemoveDevice
	r.loaders["watch"] = loadWatcher
}

// newID makes the id of a stanza that the server sends of its own: random, so that it is unique over restarts.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// listHash is the hash of a set of devices in a message's acknowledgement and a change of the device list (participantListHashV2 in
// send.go): clients compare it with that of the devices they encrypted for.
func listHash(jids []types.JID) string {
	names := make([]string, len(jids))
	for i, jid := range jids {
		names[i] = jid.ADString()
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte(strings.Join(names, "")))
	return "2:" + base64.RawStdEncoding.EncodeToString(sum[:6])
}

// watch records that a device has an account's device list in its cache, or will have in a moment. It excludes changes of the list: either
// the change is in the list that the caller reads next, or its notice goes to the device. The list of a stub never changes.
func (s *Server) watch(ctx context.Context, d *device, a *account) error {
	s.mu.RLock()
	_, known := a.watchers[d]
	s.mu.RUnlock()
	if known || a == d.account || a.level == Stub {
		return nil
	}
	a.change.Lock()
	defer a.change.Unlock()
	if err := s.commit(ctx, []journal.Record{{Kind: "watch", Key: watchKey(a, d), Value: []byte{}}}, nil); err != nil {
		return fmt.Errorf("record device list query: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.watchers == nil {
		a.watchers = map[*device]struct{}{}
	}
	a.watchers[d] = struct{}{}
	return nil
}

func watchKey(a *account, d *device) string { return fmt.Sprintf("%s/%08x", a.keys.Phone, d.id) }

func loadWatcher(s *Server, r journal.Record) error {
	phone, text, _ := strings.Cut(r.Key, "/")
	id, err := strconv.ParseInt(text, 16, 64)
	if err != nil {
		return err
	}
	a, d := s.byPhone[phone], s.devices[id]
	if a == nil || d == nil {
		s.forget(r)
		return nil
	}
	if a.watchers == nil {
		a.watchers = map[*device]struct{}{}
	}
	a.watchers[d] = struct{}{}
	return nil
}

// deviceListNotices tells everyone who has the account's device list, its own devices included, to drop it: whatsmeow keeps the list once
// under the phone number and once under the LID, and forgets each on an `update` from it (notification.go). own are the account's
// devices that stay, list is what it will have.
func (s *Server) deviceListNotices(a *account, own, list []*device) []queued {
	jids := make([]types.JID, len(list))
	for i, d := range list {
		jids[i] = d.jid(types.HiddenUserServer)
	}
	audience := slices.Clone(own)
	s.mu.RLock()
	audience = slices.AppendSeq(audience, maps.Keys(a.watchers))
	s.mu.RUnlock()
	var notices []queued
	for _, d := range audience {
		for _, from := range []types.JID{a.pn(), a.lid()} {
			notices = append(notices, queued{d, waBinary.Node{
				Tag:     "notification",
				Attrs:   waBinary.Attrs{"from": from, "type": "devices", "id": newID(), "t": time.Now().Unix()},
				Content: []waBinary.Node{{Tag: "update", Attrs: waBinary.Attrs{"hash": listHash(jids)}}},
			}})
		}
	}
	return notices
}

// Unlink removes all companions of an account, as its owner does on the phone. When it returns, that is persisted and those who are
// connected have been told (stream error 401, device_removed); the others get failure 401 when they log in. It returns ErrNoAccount for
// an unknown number and nil when there is no companion.
func (s *Server) Unlink(ctx context.Context, phone string) error {
	a, err := s.accountOf(phone)
	if err != nil {
		return err
	}
	return s.removeDevices(ctx, a, func(d *device) bool { return d.number != 0 }, nil)
}

// removeDevices unlinks the chosen devices of an account. by is the connection that asked for it, which is not told: a client that logs
// itself out deletes its keys, and would do so twice at the same time.
func (s *Server) removeDevices(ctx context.Context, a *account, chosen func(*device) bool, by *conn) error {
	a.change.Lock()
	defer a.change.Unlock()
	present := s.devicesOf(a, nil)
	leaving := slices.DeleteFunc(slices.Clone(present), func(d *device) bool { return !chosen(d) })
	staying := slices.DeleteFunc(present, chosen)
	if len(leaving) == 0 {
		return nil
	}
	var records []journal.Record
	s.mu.RLock()
	for _, d := range leaving {
		records = append(records, journal.Record{Kind: "device", Key: d.key()})
		for i := range d.prekeys.len() {
			id, _ := d.prekeys.at(i)
			records = append(records, journal.Record{Kind: "prekey", Key: preKeyKey(d, id)})
		}
	}
	s.mu.RUnlock()
	if err := s.commit(ctx, records, s.deviceListNotices(a, staying, staying)); err != nil {
		return fmt.Errorf("unlink devices: %w", err)
	}
	var connections []*conn
	defer s.tellLinked(a)
	s.mu.Lock()
	a.devices = slices.DeleteFunc(a.devices, func(d *device) bool { return slices.Contains(leaving, d) })
	for _, other := range s.byPhone {
		for _, d := range leaving {
			delete(other.watchers, d)
		}
	}
	for _, d := range leaving {
		delete(s.devices, d.id)
		if d.conn != nil && d.conn != by {
			connections = append(connections, d.conn)
		}
	}
	s.mu.Unlock()
	for _, c := range connections {
		c.part(waBinary.Node{Tag: "stream:error", Attrs: waBinary.Attrs{"code": "401"},
			Content: []waBinary.Node{{Tag: "conflict", Attrs: waBinary.Attrs{"type": "device_removed"}}}}, farewell)
	}
	return nil
}

// handleRemoveDevice unlinks a device at its own wish (Client.Logout) or at its phone's.
func handleRemoveDevice(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("remove-companion-device")
	jid, ok := request.Attrs["jid"].(types.JID)
	if !ok || jid.Device == 0 {
		return nil, errBadRequest
	}
	if a := c.s.user(jid); a != c.device.account || c.device.number != 0 && c.device.number != jid.Device {
		return nil, errNotAllowed
	}
	err := c.s.removeDevices(ctx, c.device.account, func(d *device) bool { return d.number == jid.Device }, c)
	if err == nil && jid.Device == c.device.number {
		c.then = func() { c.leave(restartPatience) }
	}
	return nil, err
}
