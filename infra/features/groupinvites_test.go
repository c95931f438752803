package features

import (
	"testing"
	"time"
)

// Feature: Group invitation as a message
// Feature: Invitations: read, rotate, look up, join
func TestPersonalInvitationsAreAccepted(t *testing.T) {
	t.Parallel()
	s, admin, bert := newSession(t), newSession(t), newPhone(t, "Bert")
	s.phone.act("PUT", "/privacy/groupadd", map[string]any{"value": "none"}, nil)
	var g struct {
		group
		NotAdded []struct {
			InviteCode      string    `json:"inviteCode"`
			InviteExpiresAt time.Time `json:"inviteExpiresAt"`
		} `json:"notAdded"`
	}
	admin.must(200, "POST", "/groups", map[string]any{"name": "Neighbours", "participants": []string{s.phone.number, bert.number}}, &g)
	if len(g.NotAdded) != 1 || g.NotAdded[0].InviteCode == "" {
		t.Fatalf("not added: %+v", g.NotAdded)
	}
	invite := func(code string, expiresAt time.Time) map[string]any {
		return map[string]any{"type": "groupInvite", "groupInvite": map[string]any{"groupId": g.ID, "code": code, "name": "Neighbours", "expiresAt": expiresAt}}
	}
	path := func(m message) string { return "/messages/" + s.received(m.WhatsAppID).ID + "/accept-invite" }
	valid := admin.send(s.phone.number, invite(g.NotAdded[0].InviteCode, g.NotAdded[0].InviteExpiresAt))

	old := bert.send(map[string]any{"to": s.phone.number, "type": "groupInvite", "groupInvite": map[string]any{
		"groupJid": g.ID, "code": g.NotAdded[0].InviteCode, "groupName": "Neighbours", "expiresAt": time.Now().Add(-time.Hour),
	}})
	s.refused("invite_not_valid", "POST", "/messages/"+s.received(old).ID+"/accept-invite", nil)
	s.refused("invite_not_valid", "POST", path(admin.send(s.phone.number, invite("AbCdEfGhIjKl", time.Now().Add(time.Hour)))), nil)
	s.refused("validation_failed", "POST", path(admin.send(s.phone.number, map[string]any{"type": "text", "text": "come in"})), nil)
	admin.refused("validation_failed", "POST", "/messages/"+valid.ID+"/accept-invite", nil) // an own one
	s.refused("message_not_found", "POST", "/messages/3EB0NONE/accept-invite", nil)

	var in struct {
		GroupID string `json:"groupId"`
		Pending bool   `json:"pending"`
		Group   group  `json:"group"`
	}
	for range 2 { // whoever is in has accepted
		if s.must(200, "POST", path(valid), nil, &in); in.GroupID != g.ID || in.Pending || in.Group.ParticipantCount != 3 {
			t.Errorf("joined %+v", in)
		}
	}
	s.gets("group.joined", ofGroup(g.ID))
	admin.gets("group.participants", func(data map[string]any) bool { return data["groupId"] == g.ID && data["action"] == "joined" })
	bert.notices("group", func(data map[string]any) bool { return data["group"] == g.ID && data["joined"] != nil })
	// Offline it waits.
	s.stop()
	s.must(202, "POST", path(valid), nil, nil)
}
