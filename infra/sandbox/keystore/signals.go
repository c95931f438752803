package keystore

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/ratchet"
)

var errLength = errors.New("a key, hash or MAC has another length")

// signals are the identities and sessions of a device, for a Guard to stand before. Addresses are a user and a device, 5550:1.
type signals struct{ *state }

var _ ratchet.Stores = signals{}

// DoDecryptionTxn implements ratchet.Stores.
func (s signals) DoDecryptionTxn(ctx context.Context, fn func(context.Context) error) error {
	return s.transaction(ctx, fn)
}

func (s signals) PutIdentity(ctx context.Context, address string, key [32]byte) error {
	return s.PutSessions(ctx, map[string][32]byte{address: key}, nil)
}

func (s signals) PutSession(ctx context.Context, address string, session []byte) error {
	return s.PutManySessions(ctx, map[string][]byte{address: session})
}

func (s signals) PutManySessions(ctx context.Context, sessions map[string][]byte) error {
	return s.PutSessions(ctx, nil, sessions)
}

// PutSessions implements ratchet.Stores.
func (s signals) PutSessions(ctx context.Context, keys map[string][32]byte, records map[string][]byte) error {
	return s.change(ctx, func(t *tx) error {
		for address, key := range keys {
			t.put(ref{identities, join(address)}, key[:])
		}
		for address, session := range records {
			t.put(ref{sessions, join(address)}, session)
		}
		return nil
	})
}

func (s signals) IsTrustedIdentity(ctx context.Context, address string, key [32]byte) (bool, error) {
	t, err := s.view(ctx)
	if err != nil {
		return false, err
	}
	known, ok := t.get(ref{identities, join(address)})
	return !ok || string(known) == string(key[:]), nil
}

// GetIdentities implements ratchet.Stores.
func (s signals) GetIdentities(ctx context.Context, addresses []string) (map[string][32]byte, error) {
	t, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string][32]byte, len(addresses))
	for _, address := range addresses {
		if known, ok := t.get(ref{identities, join(address)}); ok && len(known) == 32 {
			found[address] = [32]byte(known)
		}
	}
	return found, nil
}

func (s signals) GetSession(ctx context.Context, address string) ([]byte, error) {
	t, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	return t.read(ref{sessions, join(address)}), nil
}

func (s signals) HasSession(ctx context.Context, address string) (bool, error) {
	t, err := s.view(ctx)
	if err != nil {
		return false, err
	}
	_, has := t.get(ref{sessions, join(address)})
	return has, nil
}

func (s signals) GetManySessions(ctx context.Context, addresses []string) (map[string][]byte, error) {
	t, err := s.view(ctx)
	if err != nil || len(addresses) == 0 {
		return nil, err
	}
	found := make(map[string][]byte, len(addresses))
	for _, address := range addresses {
		found[address] = t.read(ref{sessions, join(address)})
	}
	return found, nil
}

func (s signals) DeleteIdentity(ctx context.Context, address string) error {
	return s.removeAll(ctx, identities, address, false)
}

func (s signals) DeleteAllIdentities(ctx context.Context, user string) error {
	return s.removeAll(ctx, identities, user, true)
}

func (s signals) DeleteSession(ctx context.Context, address string) error {
	return s.removeAll(ctx, sessions, address, false)
}

func (s signals) DeleteAllSessions(ctx context.Context, user string) error {
	return s.removeAll(ctx, sessions, user, true)
}

// removeAll removes one row, or those of all devices of a user.
func (s signals) removeAll(ctx context.Context, from table, name string, devices bool) error {
	return s.change(ctx, func(t *tx) error {
		if !devices {
			t.remove(ref{from, join(name)})
			return nil
		}
		for _, row := range t.rows(from, join(name)+":") {
			t.remove(ref{from, row.key})
		}
		return nil
	})
}

// MigratePNToLID moves what is known of a phone number's devices to the same devices of its LID, over what is there.
func (s signals) MigratePNToLID(ctx context.Context, pn, lid types.JID) error {
	from, to := join(pn.SignalAddressUser())+":", join(lid.SignalAddressUser())+":"
	return s.change(ctx, func(t *tx) error {
		for _, of := range []table{identities, sessions, senderKeys} {
			for _, row := range t.rows(of, "") {
				group, address := "", row.key
				if i := strings.LastIndex(row.key, "/"); i >= 0 {
					group, address = row.key[:i+1], row.key[i+1:]
				}
				if device, ok := strings.CutPrefix(address, from); ok {
					t.remove(ref{of, row.key})
					t.put(ref{of, group + to + device}, row.value)
				}
			}
		}
		return nil
	})
}

// PutSenderKey implements store.SenderKeyStore.
func (s *deviceStore) PutSenderKey(ctx context.Context, group, user string, session []byte) error {
	return s.put(ctx, ref{senderKeys, join(group, user)}, session)
}

// GetSenderKey implements store.SenderKeyStore.
func (s *deviceStore) GetSenderKey(ctx context.Context, group, user string) ([]byte, error) {
	return s.read(ctx, ref{senderKeys, join(group, user)})
}

// parts undoes join.
func parts(key string) []string {
	list := strings.Split(key, "/")
	for i, p := range list {
		list[i], _ = url.PathUnescape(p) // as join escaped it
	}
	return list
}
