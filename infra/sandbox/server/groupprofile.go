package server

import (
	"context"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// registerGroupProfile lets groups take part in what accounts have too: pictures, and chat states for their members.
func registerGroupProfile(r *registry) {
	r.members[types.GroupServer] = func(s *Server, chat types.JID, by *account) []*account {
		g := s.group(chat)
		if g == nil || !g.now().has(by.keys.Phone) {
			return nil
		}
		return s.accountsOf(g.now().phones())
	}
	r.groupPictures = groupPictures{edit: mayEditPicture, see: maySeePicture, notices: pictureNotices}
	r.queries[query{"w:g2", "get", "pictures"}] = handleCommunityPicture
}

func mayEditPicture(s *Server, by *account, jid types.JID) error {
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
func maySeePicture(s *Server, by *account, jid types.JID, invite string) error {
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

// pictureNotices tells all members' devices, also those of who made the change but for the one that did (handlePictureNotification in
// notification.go).
func pictureNotices(s *Server, by *device, jid types.JID, change waBinary.Node) (stanzas []queued) {
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
