package server

import "strings"

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
