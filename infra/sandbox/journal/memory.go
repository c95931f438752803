package journal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Memory keeps nothing: what the sandbox has in memory is all there is, and Load finds no record. Only blobs are somewhere else, in
// files of a temporary folder, which is made with the first and deleted by Close.
type Memory struct {
	mu     sync.Mutex
	folder string
	closed bool
	next   int64
	begun  map[int64]time.Time
	done   map[string]completed // by SHA-256
}

type completed struct {
	id   int64
	size int64
	at   time.Time
}

// NewMemory returns an empty journal.
func NewMemory() *Memory { return &Memory{begun: map[int64]time.Time{}, done: map[string]completed{}} }

// Load implements Journal.
func (*Memory) Load(context.Context, func(Record) error) error { return nil }

// Commit implements Journal.
func (*Memory) Commit(context.Context, ...Record) error { return nil }

// Forget implements Journal.
func (*Memory) Forget(context.Context, string, ...string) error { return nil }

// Ping implements Journal.
func (*Memory) Ping(context.Context) error { return nil }

// CreateBlob implements Journal.
func (m *Memory) CreateBlob(ctx context.Context) (*BlobWriter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errors.New("the journal is closed")
	}
	if m.folder == "" {
		folder, err := os.MkdirTemp("", "sandbox-blobs-")
		if err != nil {
			return nil, fmt.Errorf("create blob: %w", err)
		}
		m.folder = folder
	}
	m.next++
	m.begun[m.next] = time.Now()
	return newBlobWriter(ctx, m, m.next), nil
}

// OpenBlob implements Journal.
func (m *Memory) OpenBlob(ctx context.Context, sha256 []byte) (*BlobReader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	blob, ok := m.done[hex.EncodeToString(sha256)]
	if !ok {
		return nil, ErrNoBlob
	}
	return newBlobReader(ctx, m, blob.id, blob.size), nil
}

// RenewBlob implements Journal.
func (m *Memory) RenewBlob(_ context.Context, sha256 []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := hex.EncodeToString(sha256)
	blob, ok := m.done[sum]
	if !ok {
		return ErrNoBlob
	}
	blob.at = time.Now()
	m.done[sum] = blob
	return nil
}

// SweepBlobs implements Journal.
func (m *Memory) SweepBlobs(_ context.Context, before, begun time.Time) (swept int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for sum, blob := range m.done {
		if blob.at.Before(before) {
			delete(m.done, sum)
			err = errors.Join(err, os.Remove(m.path(blob.id)))
			swept++
		}
	}
	for id, at := range m.begun {
		if at.Before(begun) {
			delete(m.begun, id)
			_ = os.Remove(m.path(id)) // nothing was written yet, perhaps
			swept++
		}
	}
	return swept, err
}

// Close implements Journal.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	clear(m.done)
	clear(m.begun)
	folder := m.folder
	if m.folder = ""; folder == "" {
		return nil
	}
	return os.RemoveAll(folder)
}

func (m *Memory) path(id int64) string { return filepath.Join(m.folder, strconv.FormatInt(id, 10)) }

func (m *Memory) putChunk(_ context.Context, id int64, n int, data []byte) error {
	m.mu.Lock()
	path := m.path(id)
	_, live := m.begun[id]
	m.mu.Unlock()
	if !live {
		return ErrNoBlob
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600) //nolint:gosec // G304: a number in a folder of our own
	if err != nil {
		return err
	}
	_, err = file.WriteAt(data, int64(n)*chunkSize)
	return errors.Join(err, file.Close())
}

func (m *Memory) getChunk(_ context.Context, id int64, n int64) ([]byte, error) {
	m.mu.Lock()
	path := m.path(id)
	m.mu.Unlock()
	file, err := os.Open(path) //nolint:gosec // G304: as above
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNoBlob
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, chunkSize)
	read, err := file.ReadAt(data, n*chunkSize)
	if read > 0 {
		err = nil // the last chunk ends with the file
	}
	return data[:read], err
}

func (m *Memory) complete(_ context.Context, id int64, sha256 []byte, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, live := m.begun[id]; !live {
		return ErrNoBlob
	}
	delete(m.begun, id)
	sum := hex.EncodeToString(sha256)
	if old, ok := m.done[sum]; ok {
		// Readers of the one that goes have it open a chunk at a time: the bytes are the same, so it stays and the new one goes.
		_ = os.Remove(m.path(id))
		m.done[sum] = completed{id: old.id, size: old.size, at: time.Now()}
		return nil
	}
	m.done[sum] = completed{id: id, size: size, at: time.Now()}
	return nil
}

func (m *Memory) discard(_ context.Context, id int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, live := m.begun[id]; live {
		delete(m.begun, id)
		_ = os.Remove(m.path(id))
	}
	return nil
}
