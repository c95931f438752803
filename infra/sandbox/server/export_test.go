package server

import (
	"context"
	"strings"
	"time"
)

// DropQueued loses what is queued of a class, or everything when it is "", as the real service may.
func (s *Server) DropQueued(class string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, d := range s.devices {
		for _, r := range d.queue.all() {
			if class == "" || strings.HasPrefix(r.key, class+" ") {
				d.queue.remove(r, false)
			}
		}
	}
}

// PreKeys is how many one-time prekeys a phone has left.
func (s *Server) PreKeys(phone string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byPhone[phone].devices[0].prekeys.len()
}

func (q *queue) all() []*row {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]*row(nil), q.rows...)
}

// MayAddToGroup is mayAddToGroup by phone numbers.
func (s *Server) MayAddToGroup(phone, by string) bool {
	return s.mayAddToGroup(s.byPhone[phone], s.byPhone[by])
}

// MayCall is mayCall by phone numbers.
func (s *Server) MayCall(phone, by string) bool { return s.mayCall(s.byPhone[phone], s.byPhone[by]) }

// RenewPictures makes all pictures old, renews them, and sweeps what was completed before.
func (s *Server) RenewPictures(ctx context.Context) error {
	s.mu.Lock()
	for _, p := range s.picture {
		p.KeptAt = 1
	}
	s.mu.Unlock()
	before := time.Now()
	if err := s.renewPictures(ctx); err != nil {
		return err
	}
	_, err := s.journal.SweepBlobs(ctx, before, before)
	return err
}
