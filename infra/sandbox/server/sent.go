package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// sentPage is how many ids of a device are remembered at least, and half of those at most.
	sentPage = 20_000
	// sentLife is beyond any client's memory of an unanswered send: whatsmeow repeats one within seconds, a durable queue within hours.
	sentLife = 7 * 24 * time.Hour
)

// sentIDs are the messages that a device sent, by recipient and id, to count those that come again. The zero value is empty.
type sentIDs struct {
	mu             sync.Mutex
	recent, before map[string]struct{}
}

func (s *sentIDs) has(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, recent := s.recent[key]
	_, before := s.before[key]
	return recent || before
}

func (s *sentIDs) add(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recent == nil || len(s.recent) >= sentPage {
		s.recent, s.before = map[string]struct{}{}, s.recent
	}
	s.recent[key] = struct{}{}
}

func sentRecord(d *device, key string, at time.Time) journal.Record {
	return journal.Record{Kind: "sent", Key: fmt.Sprintf("%08x/%s", d.id, key), Value: binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))} //nolint:gosec // G115: after 1970
}

func loadSent(s *Server, r journal.Record) error {
	var device int64
	var key string
	if _, err := fmt.Sscanf(r.Key[:min(len(r.Key), 8)], "%x", &device); err != nil || len(r.Key) < 9 || len(r.Value) != 8 {
		return errors.New("not a message's id")
	}
	key = r.Key[9:]
	at := time.Unix(int64(binary.BigEndian.Uint64(r.Value)), 0) //nolint:gosec // G115: as written
	if d := s.devices[device]; d != nil && time.Since(at) < sentLife {
		d.sent.add(key)
	} else {
		s.forget(r)
	}
	return nil
}
