package connector

import (
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
)

// ignores says whether the session takes no notice of what happens in a chat. What is ignored makes no row and no event; it is acknowledged all
// the same, so that WhatsApp keeps nothing of it.
func (s *session) ignores(chat types.JID) bool {
	rules := s.settings().Ignore
	switch chat.Server {
	case types.GroupServer:
		return rules.Groups
	case types.NewsletterServer:
		return rules.Channels
	case types.BroadcastServer:
		if chat.User == types.StatusBroadcastJID.User {
			return rules.Status
		}
		return rules.Broadcasts
	}
	return false
}

// ignoresMessage is ignores for a message: the status updates of the account itself are never ignored.
func (s *session) ignoresMessage(from types.MessageSource) bool {
	return s.ignores(from.Chat) && (!from.IsFromMe || from.Chat != types.StatusBroadcastJID)
}

// ignored says whether an event of whatsmeow's is about a chat that the session ignores. Groups that the account joins or leaves, and what changes
// in them, count as what happens in them.
func (c *connection) ignored(evt any) bool {
	switch e := evt.(type) {
	case *waevents.Message:
		return c.s.ignoresMessage(e.Info.MessageSource)
	case *waevents.UndecryptableMessage:
		return c.s.ignoresMessage(e.Info.MessageSource)
	case *waevents.Receipt:
		return e.Chat != types.StatusBroadcastJID && c.s.ignores(e.Chat)
	case *waevents.NewsletterLiveUpdate:
		return c.s.ignores(e.JID)
	case *waevents.CallOffer:
		return c.s.ignores(e.GroupJID)
	case *waevents.CallOfferNotice:
		return c.s.ignores(e.GroupJID)
	case *waevents.ChatPresence:
		return c.s.ignores(e.Chat)
	case *waevents.JoinedGroup:
		return c.ignoredGroup(e.JID)
	case *waevents.GroupInfo:
		return c.ignoredGroup(e.JID)
	case *waevents.Picture:
		return c.s.ignores(e.JID)
	case *waevents.Star:
		return c.s.ignores(e.ChatJID)
	case *waevents.DeleteForMe:
		return c.s.ignores(e.ChatJID)
	case *waevents.Archive:
		return c.s.ignores(e.JID)
	case *waevents.Pin:
		return c.s.ignores(e.JID)
	case *waevents.Mute:
		return c.s.ignores(e.JID)
	case *waevents.MarkChatAsRead:
		return c.s.ignores(e.JID)
	case *waevents.ClearChat:
		return c.s.ignores(e.JID)
	case *waevents.DeleteChat:
		return c.s.ignores(e.JID)
	case *waevents.LabelAssociationChat:
		return c.s.ignores(e.JID)
	}
	return false
}

// ignoredGroup is ignores for what changes a group, which sends to it have to know all the same.
func (c *connection) ignoredGroup(group types.JID) bool {
	if !c.s.ignores(group) {
		return false
	}
	c.groups.cool(group)
	return true
}
