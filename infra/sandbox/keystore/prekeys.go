package keystore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"go.mau.fi/whatsmeow/util/keys"
)

// prekeySize is a private key and one byte that is 1 when the key itself is known to be with the server, whatever the uploaded row says.
const prekeySize = 33

// packed are a device's prekeys in 40 bytes each, ordered by id; a login makes MostPreKeys of them. Their public halves are
// computed when they are asked for.
type packed []prekey

type prekey struct {
	id    uint32
	value [prekeySize]byte
}

func prekeyName(id uint32) string { return fmt.Sprintf("%08d", id) }

func prekeyID(name string) uint32 {
	id, _ := strconv.ParseUint(name, 10, 32)
	return uint32(id)
}

func (p packed) find(id uint32) (int, bool) {
	return slices.BinarySearchFunc(p, id, func(k prekey, id uint32) int { return cmp.Compare(k.id, id) })
}

func (p packed) get(name string) ([]byte, bool) {
	i, ok := p.find(prekeyID(name))
	if !ok {
		return nil, false
	}
	return slices.Clone(p[i].value[:]), true
}

func (p packed) each(f func(name string, value []byte)) {
	for _, k := range p {
		f(prekeyName(k.id), slices.Clone(k.value[:]))
	}
}

// grow makes room for what changes add, and no more.
func (p *packed) grow(changes map[ref][]byte) {
	var more int
	for r, value := range changes {
		if r.table == prekeys && value != nil {
			more++
		}
	}
	*p = slices.Grow(*p, more)
}

func (p *packed) set(name string, value []byte) error {
	i, found := p.find(prekeyID(name))
	switch {
	case value == nil && found:
		*p = slices.Delete(*p, i, i+1)
	case value == nil:
	case len(value) != prekeySize:
		return fmt.Errorf("prekey has %d bytes", len(value))
	case found:
		(*p)[i].value = [prekeySize]byte(value)
	default:
		*p = slices.Insert(*p, i, prekey{prekeyID(name), [prekeySize]byte(value)})
	}
	return nil
}

// mark is the id up to which all keys are with the server.
func (t *tx) mark() uint32 {
	value, _ := t.get(ref{uploaded, single})
	return prekeyID(string(value))
}

// prekeyRows are all prekeys by id.
func (t *tx) prekeyRows() []row {
	rows := t.rows(prekeys, "")
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(prekeyID(a.key), prekeyID(b.key)) })
	return rows
}

func (r row) uploaded(mark uint32) bool { return r.value[32] == 1 || prekeyID(r.key) <= mark }

func (r row) prekey() *keys.PreKey {
	return &keys.PreKey{KeyPair: *keys.NewKeyPairFromPrivateKey([32]byte(r.value)), KeyID: prekeyID(r.key)}
}

// addPreKey makes a key with the id after the highest there is, as sqlstore does: an id may come again when the highest has been used.
func (t *tx) addPreKey(id uint32, known bool) *keys.PreKey {
	key := keys.NewPreKey(id)
	value := append(slices.Clone(key.Priv[:]), 0)
	if known {
		value[32] = 1
	} else if t.mark() >= id { // and there is no other key from id on
		t.put(ref{uploaded, single}, []byte(prekeyName(id-1)))
	}
	t.put(ref{prekeys, prekeyName(id)}, value)
	return key
}

func nextPreKeyID(rows []row) uint32 {
	if len(rows) == 0 {
		return 1
	}
	return prekeyID(rows[len(rows)-1].key) + 1
}

// MostPreKeys bounds the keys of one upload. A client's first has 812 (whatsmeow prekeys.go), which takes a sixth of what simulating a phone costs; a
// phone that runs short is told so by the server, as a real one is, and uploads more.
const MostPreKeys = 200

// GetOrGenPreKeys implements store.PreKeyStore. The keys it makes are one commit, at most MostPreKeys.
func (s *deviceStore) GetOrGenPreKeys(ctx context.Context, count uint32) (made []*keys.PreKey, err error) {
	count = min(count, MostPreKeys)
	err = s.change(ctx, func(t *tx) error {
		rows, mark := t.prekeyRows(), t.mark()
		for _, r := range rows {
			if uint32(len(made)) < count && !r.uploaded(mark) {
				made = append(made, r.prekey())
			}
		}
		for id := nextPreKeyID(rows); uint32(len(made)) < count; id++ {
			made = append(made, t.addPreKey(id, false))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// GenOnePreKey implements store.PreKeyStore: the key goes out in a retry receipt, and so counts as uploaded.
func (s *deviceStore) GenOnePreKey(ctx context.Context) (key *keys.PreKey, err error) {
	err = s.change(ctx, func(t *tx) error {
		key = t.addPreKey(nextPreKeyID(t.prekeyRows()), true)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}

// GetPreKey implements store.PreKeyStore.
func (s *deviceStore) GetPreKey(ctx context.Context, id uint32) (key *keys.PreKey, err error) {
	err = s.view(ctx, func(t *tx) error {
		if value, ok := t.get(ref{prekeys, prekeyName(id)}); ok {
			key = row{prekeyName(id), value}.prekey()
		}
		return nil
	})
	return key, err
}

// RemovePreKey implements store.PreKeyStore.
func (s *deviceStore) RemovePreKey(ctx context.Context, id uint32) error {
	return s.remove(ctx, ref{prekeys, prekeyName(id)})
}

// MarkPreKeysAsUploaded implements store.PreKeyStore.
func (s *deviceStore) MarkPreKeysAsUploaded(ctx context.Context, upToID uint32) error {
	return s.change(ctx, func(t *tx) error {
		if upToID > t.mark() {
			t.put(ref{uploaded, single}, []byte(prekeyName(upToID)))
		}
		return nil
	})
}

// UploadedPreKeyCount implements store.PreKeyStore.
func (s *deviceStore) UploadedPreKeyCount(ctx context.Context) (count int, err error) {
	err = s.view(ctx, func(t *tx) error {
		mark := t.mark()
		for _, r := range t.rows(prekeys, "") {
			if r.uploaded(mark) {
				count++
			}
		}
		return nil
	})
	return count, err
}
