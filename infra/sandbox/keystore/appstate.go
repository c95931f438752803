package keystore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"go.mau.fi/whatsmeow/store"
)

const (
	hashSize = 128
	macSize  = 32
)

func b64(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// PutAppStateSyncKey implements store.AppStateSyncKeyStore. An older key does not replace a newer one.
func (s *deviceStore) PutAppStateSyncKey(ctx context.Context, id []byte, key store.AppStateSyncKey) error {
	value, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("encode app state key: %w", err)
	}
	return s.change(ctx, func(t *tx) error {
		r := ref{appStateKeys, b64(id)}
		if old, ok := t.get(r); ok {
			known, err := appStateKey(old)
			if err != nil || key.Timestamp <= known.Timestamp {
				return err
			}
		}
		t.put(r, value)
		return nil
	})
}

func appStateKey(value []byte) (*store.AppStateSyncKey, error) {
	key := new(store.AppStateSyncKey)
	if err := json.Unmarshal(value, key); err != nil {
		return nil, fmt.Errorf("decode app state key: %w", err)
	}
	return key, nil
}

// GetAppStateSyncKey implements store.AppStateSyncKeyStore.
func (s *deviceStore) GetAppStateSyncKey(ctx context.Context, id []byte) (*store.AppStateSyncKey, error) {
	value, err := s.read(ctx, ref{appStateKeys, b64(id)})
	if err != nil || value == nil {
		return nil, err
	}
	return appStateKey(value)
}

type namedKey struct {
	id string
	*store.AppStateSyncKey
}

// appStateKeyList is all keys, the newest first.
func (s *deviceStore) appStateKeyList(ctx context.Context) (list []namedKey, err error) {
	err = s.view(ctx, func(t *tx) error {
		for _, row := range t.rows(appStateKeys, "") {
			key, err := appStateKey(row.value)
			if err != nil {
				return err
			}
			list = append(list, namedKey{row.key, key})
		}
		return nil
	})
	slices.SortFunc(list, func(a, b namedKey) int { return cmp.Or(cmp.Compare(b.Timestamp, a.Timestamp), cmp.Compare(b.id, a.id)) })
	return list, err
}

// GetLatestAppStateSyncKeyID implements store.AppStateSyncKeyStore.
func (s *deviceStore) GetLatestAppStateSyncKeyID(ctx context.Context) ([]byte, error) {
	list, err := s.appStateKeyList(ctx)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return base64.RawURLEncoding.DecodeString(list[0].id)
}

// GetAllAppStateSyncKeys implements store.AppStateSyncKeyStore.
func (s *deviceStore) GetAllAppStateSyncKeys(ctx context.Context) (all []*store.AppStateSyncKey, err error) {
	list, err := s.appStateKeyList(ctx)
	for _, key := range list {
		all = append(all, key.AppStateSyncKey)
	}
	return all, err
}

// PutAppStateVersion implements store.AppStateStore. It only notes the version: it is stored by PutAppStateMutationMACs, see ratchet.AppStates.
func (s *deviceStore) PutAppStateVersion(ctx context.Context, name string, version uint64, hash [hashSize]byte) error {
	return s.Do(ctx, func(context.Context) error { s.states.Note(name, version, hash); return nil })
}

// GetAppStateVersion implements store.AppStateStore.
func (s *deviceStore) GetAppStateVersion(ctx context.Context, name string) (version uint64, hash [hashSize]byte, err error) {
	value, err := s.read(ctx, ref{appStateVersions, join(name)})
	if err != nil || value == nil {
		return 0, hash, err
	}
	if len(value) != 8+hashSize {
		return 0, hash, errLength
	}
	if version = binary.BigEndian.Uint64(value); version == 0 {
		return 0, hash, fmt.Errorf("the stored app state of %s has version 0", name)
	}
	return version, [hashSize]byte(value[8:]), nil
}

// DeleteAppStateVersion implements store.AppStateStore. The MACs go with the version.
func (s *deviceStore) DeleteAppStateVersion(ctx context.Context, name string) error {
	return s.change(ctx, func(t *tx) error {
		t.remove(ref{appStateVersions, join(name)})
		for _, row := range t.rows(appStateMACs, join(name)+"/") {
			t.remove(ref{appStateMACs, row.key})
		}
		return nil
	})
}

// PutAppStateMutationMACs implements store.AppStateStore. Of each index only the latest version is kept: nothing else is ever read. As in
// sqlstore's tables the version of the name must be there, and the same index and version must not.
func (s *deviceStore) PutAppStateMutationMACs(ctx context.Context, name string, version uint64, mutations []store.AppStateMutationMAC) error {
	noted, fresh := s.states.Take(name)
	if len(mutations) == 0 && !fresh {
		return nil
	}
	prefix := binary.BigEndian.AppendUint64(nil, version)
	return s.change(ctx, func(t *tx) error {
		if fresh {
			t.put(ref{appStateVersions, join(name)}, append(binary.BigEndian.AppendUint64(nil, noted.Version), noted.Hash[:]...))
			for _, index := range noted.Removed {
				t.remove(ref{appStateMACs, join(name, b64(index))})
			}
		}
		if _, ok := t.get(ref{appStateVersions, join(name)}); !ok {
			return fmt.Errorf("put app state MACs: there is no app state %s", name)
		}
		for _, m := range mutations {
			if len(m.IndexMAC) != macSize || len(m.ValueMAC) != macSize {
				return errLength
			}
			r := ref{appStateMACs, join(name, b64(m.IndexMAC))}
			old, ok := t.get(r)
			if ok && bytes.HasPrefix(old, prefix) {
				return fmt.Errorf("put app state MACs: an index is in version %d of %s already", version, name)
			}
			if !ok || bytes.Compare(old[:8], prefix) < 0 {
				t.put(r, append(slices.Clone(prefix), m.ValueMAC...))
			}
		}
		return nil
	})
}

// DeleteAppStateMutationMACs implements store.AppStateStore.
func (s *deviceStore) DeleteAppStateMutationMACs(ctx context.Context, name string, indexMACs [][]byte) error {
	if len(indexMACs) == 0 || s.states.Remove(name, indexMACs) {
		return nil
	}
	return s.change(ctx, func(t *tx) error {
		for _, index := range indexMACs {
			t.remove(ref{appStateMACs, join(name, b64(index))})
		}
		return nil
	})
}

// GetAppStateMutationMAC implements store.AppStateStore.
func (s *deviceStore) GetAppStateMutationMAC(ctx context.Context, name string, indexMAC []byte) ([]byte, error) {
	value, err := s.read(ctx, ref{appStateMACs, join(name, b64(indexMAC))})
	if err != nil || value == nil {
		return nil, err
	}
	return value[8:], nil
}
