package keystore

import (
	"context"
	"fmt"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/ratchet"
)

// The map of phone numbers to LIDs is shared by all devices of the container. A change of it is a commit of its own, within a decryption too:
// it is true whether the message can be read or not.

// index keeps byPN the reverse of the rows. The caller holds mu.
func (s *state) index(key string, value []byte) {
	lid, pn := parts(key)[0], string(value)
	if old, ok := s.tables[lids][key]; ok && s.byPN[string(old)] == lid {
		delete(s.byPN, string(old))
	}
	if value != nil {
		if s.byPN == nil {
			s.byPN = make(map[string]string)
		}
		s.byPN[pn] = lid
	}
}

func (s *state) pnOf(lid string) (pn string, ok bool) {
	value, ok := s.get(ref{lids, join(lid)})
	return string(value), ok
}

func (s *state) lidOf(pn string) (lid string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	lid, ok = s.byPN[pn]
	return lid, ok
}

func kindOf(jid types.JID, server string) error {
	if jid.Server != server {
		return fmt.Errorf("look up %s: its server is not %s", jid, server)
	}
	return nil
}

// PutLIDMapping implements store.LIDStore.
func (s *deviceStore) PutLIDMapping(ctx context.Context, lid, pn types.JID) error {
	if err := kindOf(lid, types.HiddenUserServer); err != nil {
		return err
	}
	if err := kindOf(pn, types.DefaultUserServer); err != nil {
		return err
	}
	return s.PutManyLIDMappings(ctx, []store.LIDMapping{{LID: lid, PN: pn}})
}

// PutManyLIDMappings implements store.LIDStore. A number has one LID and a LID one number; entries that are something else are left out.
func (s *deviceStore) PutManyLIDMappings(ctx context.Context, mappings []store.LIDMapping) error {
	people := s.container.people
	return s.Do(ctx, func(ctx context.Context) error {
		return people.change(ctx, func(t *tx) error {
			changed := make(map[string]string) // by number, as far as these changes have one
			for _, m := range mappings {
				if m.LID.Server != types.HiddenUserServer || m.PN.Server != types.DefaultUserServer {
					continue
				}
				old, ok := changed[m.PN.User]
				if !ok {
					old, ok = people.lidOf(m.PN.User)
				}
				if ok && old != m.LID.User {
					if pn, _ := t.get(ref{lids, join(old)}); string(pn) == m.PN.User {
						t.remove(ref{lids, join(old)})
					}
				}
				t.put(ref{lids, join(m.LID.User)}, []byte(m.PN.User))
				changed[m.PN.User] = m.LID.User
			}
			return nil
		})
	})
}

// GetPNForLID implements store.LIDStore.
func (s *deviceStore) GetPNForLID(ctx context.Context, lid types.JID) (types.JID, error) {
	return s.other(ctx, lid, types.HiddenUserServer, types.DefaultUserServer, s.container.people.pnOf)
}

// GetLIDForPN implements store.LIDStore.
func (s *deviceStore) GetLIDForPN(ctx context.Context, pn types.JID) (types.JID, error) {
	return s.other(ctx, pn, types.DefaultUserServer, types.HiddenUserServer, s.container.people.lidOf)
}

func (s *deviceStore) other(ctx context.Context, jid types.JID, from, to string, find func(string) (string, bool)) (found types.JID, err error) {
	if err := kindOf(jid, from); err != nil {
		return types.EmptyJID, err
	}
	err = s.Do(ctx, func(ctx context.Context) error {
		if err := ctx.Err(); err != nil {
			return ratchet.Fail(err)
		}
		if user, ok := find(jid.User); ok {
			found = types.JID{User: user, Device: jid.Device, Server: to}
		}
		return nil
	})
	return found, err
}

// GetManyLIDsForPNs implements store.LIDStore.
func (s *deviceStore) GetManyLIDsForPNs(ctx context.Context, pns []types.JID) (map[types.JID]types.JID, error) {
	if len(pns) == 0 {
		return nil, nil
	}
	found := make(map[types.JID]types.JID, len(pns))
	for _, pn := range pns {
		if pn.Server != types.DefaultUserServer {
			continue
		}
		lid, err := s.GetLIDForPN(ctx, pn)
		if err != nil {
			return nil, err
		}
		if !lid.IsEmpty() {
			found[pn] = lid
		}
	}
	return found, nil
}
