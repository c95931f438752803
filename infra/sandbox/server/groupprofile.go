package server

import (
	"context"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// registerGroupProfile answers what only communities have beside what accounts have too.
func registerGroupProfile(r *registry) {
	r.queries[query{"w:g2", "get", "pictures"}] = handleCommunityPicture
}

// membersOf lists the accounts in a group; nil when there is no such group or the account is not in it.
func (s *Server) membersOf(chat types.JID, by *account) []*account {
	g := s.group(chat)
	if g == nil || !g.now().has(by.keys.Phone) {
		return nil
	}
	return s.accountsOf(g.now().phones())
}

// mayEditPicture lets those change a group's picture who may change its subject; an error goes to the client as it is.
func (s *Server) mayEditPicture(by *account, jid types.JID) error {
	g := s.group(jid)
	switch {
	case g == nil:
		return errItemNotFound
	case !g.now().has(by.keys.Phone):
		return errForbidden
	case !g.now().mayEdit(by.keys.Phone):
		return errNotAuthorized
	}
	return nil
}

// maySeePicture lets members see the picture, those in the community that the group belongs to, and those with an invite link.
func (s *Server) maySeePicture(by *account, jid types.JID, invite string) error {
	g := s.group(jid)
	if g == nil {
		return errItemNotFound
	}
	st := g.now()
	if invite != "" && invite == st.Code {
		return nil
	}
	if parent := s.group(types.NewJID(st.Community, types.GroupServer)); st.has(by.keys.Phone) || parent != nil && parent.now().has(by.keys.Phone) {
		return nil
	}
	return errNotAuthorized
}

// groupPictureNotices tells all members' devices, also those of who made the change but for the one that did (handlePictureNotification in
// notification.go).
func (s *Server) groupPictureNotices(by *device, jid types.JID, change waBinary.Node) (stanzas []queued) {
	notice := notification(jid, "picture", change)
	for _, d := range reached(s.devicesOfAll(s.group(jid).now().phones())) {
		if d != by {
			stanzas = append(stanzas, queued{d, notice})
		}
	}
	return stanzas
}

// handleCommunityPicture tells where a community's picture is (GetProfilePictureInfo in user.go, with IsCommunity).
func handleCommunityPicture(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("pictures")
	inner := waBinary.Node{Tag: "iq", Attrs: waBinary.Attrs{"target": iq.Attrs["to"]}, Content: asked.GetChildren()}
	pictures, err := handlePictureGet(ctx, c, &inner)
	if err != nil {
		return nil, err
	}
	return []waBinary.Node{{Tag: "pictures", Content: pictures}}, nil
}
