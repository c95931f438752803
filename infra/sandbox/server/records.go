package server

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// commit makes a change durable: the records of what changed and the stanzas that tell the devices of it, all or none. The caller applies
// the change to memory when it returns nil, before it lets go of the lock that it holds over the change. The stanzas of connected devices are
// on their way then; what goes to a phone that is only keys is not kept.
func (s *Server) commit(ctx context.Context, records []journal.Record, stanzas []queued) error {
	rows := make([]*row, len(stanzas))
	var answers []queued
	for i := range stanzas {
		to := stanzas[i].to
		if to.keysOnly() && to.account.level == Sink {
			answers = append(answers, s.sinkReceipts(to, &stanzas[i].stanza)...)
		}
		if to.keysOnly() {
			continue
		}
		var err error
		if rows[i], err = s.newRow(&stanzas[i].stanza); err != nil {
			return err
		}
		records = append(records, rows[i].record(to))
	}
	if err := s.journal.Commit(ctx, records...); err != nil {
		return err
	}
	for i, row := range rows {
		if row != nil {
			stanzas[i].to.queue.append(row)
		}
	}
	if len(answers) > 0 { // what a crash loses here is a receipt of somebody who does not exist
		return s.commit(ctx, nil, answers)
	}
	return nil
}

// enqueue makes stanzas durable and sends them to the devices that are connected.
func (s *Server) enqueue(ctx context.Context, stanzas []queued) error {
	if len(stanzas) == 0 {
		return nil
	}
	if err := s.commit(ctx, nil, stanzas); err != nil {
		return fmt.Errorf("queue stanzas: %w", err)
	}
	return nil
}

// record makes a record whose value is JSON.
func record(kind, key string, value any) journal.Record {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("record %s is not JSON: %v", kind, err)) // a type that cannot be marshalled is a mistake in this package
	}
	return journal.Record{Kind: kind, Key: key, Value: text}
}

// load gives what the journal has to its loaders, accounts and devices first, and forgets what nobody needs any more.
func (s *Server) load(ctx context.Context, others func(journal.Record) error) error {
	var rest []journal.Record
	one := func(r journal.Record) error {
		load, ok := s.handlers.loaders[r.Kind]
		switch {
		case !ok && others == nil:
			return fmt.Errorf("no loader for records of kind %q", r.Kind)
		case !ok:
			return others(r)
		}
		if err := load(s, r); err != nil {
			return fmt.Errorf("record %s %q: %w", r.Kind, r.Key, err)
		}
		return nil
	}
	err := s.journal.Load(ctx, func(r journal.Record) error {
		if r.Kind != "account" && r.Kind != "device" { // "account" comes before "device"
			rest = append(rest, r)
			return nil
		}
		return one(r)
	})
	if err != nil {
		return err
	}
	for _, r := range rest {
		if err := one(r); err != nil {
			return err
		}
	}
	stale := s.stale
	s.stale = nil
	for kind, keys := range stale {
		if err := s.journal.Forget(ctx, kind, keys...); err != nil {
			return err
		}
	}
	return nil
}

// forget notes a record that is found to be of no use while the journal is loaded.
func (s *Server) forget(r journal.Record) {
	if s.stale == nil {
		s.stale = map[string][]string{}
	}
	s.stale[r.Kind] = append(s.stale[r.Kind], r.Key)
}
