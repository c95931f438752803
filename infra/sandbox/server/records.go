package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// commit makes a change durable: the records of what changed and the stanzas that tell the devices of it, all or none. The caller applies
// the change to memory when it returns nil, before it lets go of the lock that it holds over the change; the stanzas are sent by then or soon.
func (s *Server) commit(ctx context.Context, records []journal.Record, stanzas []queued) error {
	if err := s.journal.Commit(ctx, records...); err != nil {
		return err
	}
	return s.enqueue(ctx, stanzas)
}

// record makes a record whose value is JSON.
func record(kind, key string, value any) journal.Record {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("record %s is not JSON: %v", kind, err)) // a type that cannot be marshalled is a mistake in this package
	}
	return journal.Record{Kind: kind, Key: key, Value: text}
}

// Journal is what the server keeps its records in; kinds that begin with "phone." are not its own.
func (s *Server) Journal() journal.Journal { return s.journal }

// loadRecords gives what the journal has to its loaders.
func (s *Server) loadRecords(ctx context.Context) error {
	return s.journal.Load(ctx, func(r journal.Record) error {
		if strings.HasPrefix(r.Kind, "phone.") {
			return nil // the phones'
		}
		load, ok := s.handlers.loaders[r.Kind]
		if !ok {
			return fmt.Errorf("no loader for records of kind %q", r.Kind)
		}
		if err := load(s, r); err != nil {
			return fmt.Errorf("record %s %q: %w", r.Kind, r.Key, err)
		}
		return nil
	})
}
