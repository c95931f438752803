package server

import "go.mau.fi/whatsmeow/types"

// MayAddToGroup is mayAddToGroup by phone numbers.
func (s *Server) MayAddToGroup(phone, by string) bool {
	return s.mayAddToGroup(s.byPhone[phone], s.byPhone[by])
}

// MayCall is mayCall by phone numbers.
func (s *Server) MayCall(phone, by string) bool { return s.mayCall(s.byPhone[phone], s.byPhone[by]) }

// SetMembers makes a chat of several out of accounts, for what is told to members alone. It is to be called before anybody connects.
func (s *Server) SetMembers(chat types.JID, phones ...string) {
	s.handlers.members[chat.Server] = func(s *Server, asked types.JID, _ *account) (members []*account) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		for _, phone := range phones {
			if asked == chat {
				members = append(members, s.byPhone[phone])
			}
		}
		return members
	}
}
