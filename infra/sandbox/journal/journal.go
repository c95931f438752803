// Package journal keeps what a sandbox must not lose. The sandbox works in memory; each change is a few records, which are committed together
// before anybody is told of it and loaded again at the next start. There are two journals: Memory, which ends with the process and needs
// nothing, and Postgres, which survives kill -9 at any line.
//
// Files that clients upload are too large for records: they are blobs, written and read a chunk at a time.
package journal

import (
	"context"
	"time"
)

// Record is one thing that is kept: Key is unique within Kind. As an argument of Commit, a record whose Value is nil is deleted.
type Record struct {
	Kind, Key string
	Value     []byte
}

// Journal keeps records and blobs. Its methods may be called at the same time by anyone; their errors are the database's and the context's.
type Journal interface {
	// Load gives every record, ordered by kind and within it by key, bytewise. It ends with the first error that each returns.
	Load(ctx context.Context, each func(Record) error) error
	// Commit stores and deletes records, all or none, and is durable when it returns. Of two for the same key the later counts.
	Commit(ctx context.Context, records ...Record) error
	// Forget deletes records of a kind without waiting for the disk: after a crash they may be there again.
	Forget(ctx context.Context, kind string, keys ...string) error

	// CreateBlob begins a blob. The context is for all that is written to it.
	CreateBlob(ctx context.Context) (*BlobWriter, error)
	// OpenBlob finds a complete blob by its SHA-256, or returns ErrNoBlob. The context is for all that is read.
	OpenBlob(ctx context.Context, sha256 []byte) (*BlobReader, error)
	// RenewBlob makes a complete blob as young as one that is completed now, or returns ErrNoBlob.
	RenewBlob(ctx context.Context, sha256 []byte) error
	// SweepBlobs deletes the blobs that were completed before a time, or begun and not completed before another, and says how many.
	SweepBlobs(ctx context.Context, completed, begun time.Time) (int64, error)

	// Ping fails when a Commit would fail now, as far as can be told.
	Ping(ctx context.Context) error
	// Close gives up what the journal holds; a Memory forgets everything. It is idempotent.
	Close() error
}
