package server

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waServerSync"
	"go.mau.fi/whatsmeow/util/cbcutil"
	"go.mau.fi/whatsmeow/util/hkdfutil"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxExternal bounds an external blob of mutations and a snapshot, in bytes: about 50,000 records.
	maxExternal = 16 << 20
	// fileMAC is how much of its HMAC follows an encrypted file (mediaHMACLength in download.go).
	fileMAC = 10
)

// errExternal is an external blob that is not there, or does not open, or says nothing.
var errExternal = errors.New("external blob cannot be read")

// snapshot returns the reference to a collection's snapshot, which is made or made anew when more patches follow it than a device should be
// given. The caller holds the account's lock.
func (s *Server) snapshot(ctx context.Context, a *account, col *collection, name string, settings AppStateSettings) ([]byte, error) {
	if col.base == nil || col.version-col.covers > uint64(settings.SnapshotAfter) {
		next := *col
		records, err := s.cover(ctx, a, &next, name)
		if err != nil {
			return nil, err
		}
		if err := s.commit(ctx, records, nil); err != nil {
			return nil, fmt.Errorf("store snapshot: %w", err)
		}
		*col = next
	}
	if col.file != nil {
		_, err := s.openFile(ctx, col.file)
		if errors.Is(err, journal.ErrNoBlob) { // expired
			col.file = nil
		} else if err != nil {
			return nil, err
		}
	}
	if col.file == nil {
		file, err := s.seal(ctx, col.base)
		if err != nil {
			return nil, err
		}
		col.file = file
	}
	return proto.Marshal(col.file)
}

// cover makes a collection's snapshot cover all its patches and drops those that no device can be expected to ask for. It returns the
// records of that. col is a copy, which the caller puts into place once they are committed.
func (s *Server) cover(ctx context.Context, a *account, col *collection, name string) ([]journal.Record, error) {
	base, err := s.fold(ctx, col)
	if err != nil {
		return nil, err
	}
	if col.base, err = proto.Marshal(base); err != nil {
		return nil, fmt.Errorf("marshal snapshot: %w", err)
	}
	if len(col.base) > maxExternal {
		return nil, errBadRequest
	}
	col.covers, col.file = col.version, nil
	records := []journal.Record{{Kind: "snapshot", Key: a.keys.Phone + "/" + name, Value: col.base}}
	if len(col.patches) > lag {
		gone := col.patches[:len(col.patches)-lag]
		for _, p := range gone {
			records = append(records, journal.Record{Kind: "patch", Key: patchKey(a.keys.Phone, name, p.version)})
		}
		col.patches = slices.Clone(col.patches[len(gone):])
	}
	return records, nil
}

// fold applies the patches that a collection's snapshot does not cover to it. Of a record that was set twice the later stays, at the end: a
// client that meets two records for one thing, as after a change of keys, goes by the order.
func (s *Server) fold(ctx context.Context, col *collection) (*waServerSync.SyncdSnapshot, error) {
	var snapshot waServerSync.SyncdSnapshot
	if err := proto.Unmarshal(col.base, &snapshot); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	records := snapshot.Records
	at := make(map[string]int, len(records))
	for i, r := range records {
		at[string(r.GetIndex().GetBlob())] = i
	}
	for _, p := range col.patches {
		if p.version <= col.covers {
			continue
		}
		var patch waServerSync.SyncdPatch
		if err := proto.Unmarshal(p.raw, &patch); err != nil {
			return nil, fmt.Errorf("read patch %d: %w", p.version, err)
		}
		mutations, err := s.mutations(ctx, &patch)
		if err != nil {
			return nil, fmt.Errorf("read patch %d: %w", p.version, err)
		}
		for _, m := range mutations {
			index := string(m.GetRecord().GetIndex().GetBlob())
			if i, ok := at[index]; ok {
				records[i] = nil
				delete(at, index)
			}
			if m.GetOperation() == waServerSync.SyncdMutation_SET {
				at[index] = len(records)
				records = append(records, m.GetRecord())
			}
		}
		snapshot.Mac, snapshot.KeyID = patch.GetSnapshotMAC(), patch.GetKeyID()
		snapshot.Version = &waServerSync.SyncdVersion{Version: proto.Uint64(p.version)}
	}
	snapshot.Records = slices.DeleteFunc(records, func(r *waServerSync.SyncdRecord) bool { return r == nil })
	return &snapshot, nil
}

// mutations returns a patch's mutations, from an external blob if that is where they are. They are encrypted themselves: the blob's key, which
// the patch has, shows no more than an ordinary patch does.
func (s *Server) mutations(ctx context.Context, p *waServerSync.SyncdPatch) ([]*waServerSync.SyncdMutation, error) {
	file := p.GetExternalMutations()
	if file == nil {
		return p.GetMutations(), nil
	}
	blob, err := s.openFile(ctx, file)
	if errors.Is(err, journal.ErrNoBlob) {
		return nil, errExternal
	}
	if err != nil {
		return nil, err
	}
	if blob.Size() > maxExternal || len(file.GetMediaKey()) != 32 {
		return nil, errExternal
	}
	sealed, err := io.ReadAll(blob)
	if err != nil {
		return nil, err
	}
	iv, key, macKey := appStateKeys(file.GetMediaKey())
	if len(sealed) < fileMAC || !hmac.Equal(appStateMAC(macKey, iv, sealed[:len(sealed)-fileMAC]), sealed[len(sealed)-fileMAC:]) {
		return nil, errExternal
	}
	plain, err := cbcutil.Decrypt(key, iv, sealed[:len(sealed)-fileMAC])
	if err != nil {
		return nil, errExternal
	}
	if sum := sha256.Sum256(plain); !bytes.Equal(sum[:], file.GetFileSHA256()) {
		return nil, errExternal
	}
	var mutations waServerSync.SyncdMutations
	if err := proto.Unmarshal(plain, &mutations); err != nil {
		return nil, errExternal
	}
	return mutations.GetMutations(), nil
}

// openFile opens an external blob where clients find it, or returns journal.ErrNoBlob.
func (s *Server) openFile(ctx context.Context, file *waServerSync.ExternalBlobReference) (*journal.BlobReader, error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(file.GetDirectPath(), "/v/"), "?")
	blob, hash, err := s.openPath(ctx, name)
	if err == nil && !bytes.Equal(hash, file.GetFileEncSHA256()) {
		return nil, journal.ErrNoBlob
	}
	return blob, err
}

// seal stores a snapshot as the encrypted file that clients download it as (downloadExternalAppStateBlob in appstate.go).
func (s *Server) seal(ctx context.Context, plain []byte) (*waServerSync.ExternalBlobReference, error) {
	mediaKey := make([]byte, 32)
	_, _ = rand.Read(mediaKey) // it never fails
	iv, key, macKey := appStateKeys(mediaKey)
	sealed, err := cbcutil.Encrypt(key, iv, plain)
	if err != nil {
		return nil, fmt.Errorf("encrypt snapshot: %w", err)
	}
	sealed = append(sealed, appStateMAC(macKey, iv, sealed)...)
	hash, sealedHash := sha256.Sum256(plain), sha256.Sum256(sealed)
	path, err := s.store(ctx, bytes.NewReader(sealed), sealedHash[:])
	if err != nil {
		return nil, fmt.Errorf("store snapshot: %w", err)
	}
	return &waServerSync.ExternalBlobReference{
		MediaKey: mediaKey, DirectPath: &path, Handle: proto.String(base64.RawURLEncoding.EncodeToString(sealedHash[:])),
		FileSizeBytes: proto.Uint64(uint64(len(plain))), FileSHA256: hash[:], FileEncSHA256: sealedHash[:],
	}, nil
}

// appStateKeys are the keys of a file of app state (getMediaKeys in download.go).
func appStateKeys(mediaKey []byte) (iv, key, macKey []byte) {
	expanded := hkdfutil.SHA256(mediaKey, nil, []byte(whatsmeow.MediaAppState), 112)
	return expanded[:16], expanded[16:48], expanded[48:80]
}

func appStateMAC(key, iv, ciphertext []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(iv)
	mac.Write(ciphertext)
	return mac.Sum(nil)[:fileMAC]
}
