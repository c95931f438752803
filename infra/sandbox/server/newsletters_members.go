package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// mexFollow makes the account a follower; to follow again changes nothing. As in the apps, a channel is muted until its follower unmutes it.
func mexFollow(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	return c.s.changeSelf(ctx, c.device, v.NewsletterID, func(ch *channel, m *member) ([]queued, error) {
		if m.Role == "" {
			m.Role, m.Muted, m.Since = roleSubscriber, true, time.Now().Unix()
		}
		return c.s.toDevices(c.s.devicesOf(c.device.account, c.device), joinNotification(ch, *m)), nil
	})
}

// ErrNoChannel is returned for a JID that is no channel's.
var ErrNoChannel = errors.New("no such channel")

// AddFollowers makes accounts follow a channel, all or none, so that a channel is large without anybody logged in. Nobody is told; those who
// follow it already stay what they are. It returns ErrNoChannel, or ErrNoAccount for a phone number without one.
func (s *Server) AddFollowers(ctx context.Context, jid types.JID, phones ...string) error {
	ch, err := s.channels.get(jid)
	if err == nil {
		err = ch.lockForChange()
	}
	if err != nil {
		return ErrNoChannel
	}
	defer ch.change.Unlock()
	members := map[*account]member{}
	for _, phone := range phones {
		a := s.user(types.NewJID(phone, types.DefaultUserServer))
		if a == nil {
			return ErrNoAccount
		}
		if m := ch.members[a]; m.Role == "" {
			m.Role, m.Muted, m.Since = roleSubscriber, true, time.Now().Unix()
			members[a] = m
		}
	}
	if err := s.setMembers(ctx, ch, members, nil); err != nil {
		return fmt.Errorf("add followers: %w", err)
	}
	return nil
}

// mexLeave makes the account a guest again. An owner cannot leave; he makes somebody else the owner, or deletes the channel.
func mexLeave(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	return c.s.changeSelf(ctx, c.device, v.NewsletterID, func(ch *channel, m *member) ([]queued, error) {
		if m.Role == roleOwner {
			return nil, errForbidden
		}
		*m = member{}
		node := mexNotification("NotificationNewsletterLeave", "xwa2_notify_newsletter_on_leave", map[string]any{"id": ch.jid, "role": m.role()})
		return c.s.toDevices(c.s.devicesOf(c.device.account, c.device), node), nil
	})
}

func mexMute(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	return setMuted(ctx, c, v, true)
}

func mexUnmute(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	return setMuted(ctx, c, v, false)
}

func setMuted(ctx context.Context, c *conn, v *mexVariables, muted bool) (any, error) {
	return c.s.changeSelf(ctx, c.device, v.NewsletterID, func(ch *channel, m *member) ([]queued, error) {
		if m.Role == "" {
			return nil, errForbidden
		}
		m.Muted = muted
		node := mexNotification("NotificationNewsletterMuteChange", "xwa2_notify_newsletter_on_mute_change", map[string]any{"id": ch.jid, "mute": m.mute()})
		return c.s.toDevices(c.s.devicesOf(c.device.account, c.device), node), nil
	})
}

// changeSelf changes what the acting account is to a channel. Nothing is committed, and nobody told, when nothing changes.
func (s *Server) changeSelf(ctx context.Context, by *device, jid types.JID, change func(*channel, *member) ([]queued, error)) (any, error) {
	ch, before, err := s.changing(jid, by)
	if err != nil {
		return nil, err
	}
	defer ch.change.Unlock()
	after := before
	stanzas, err := change(ch, &after)
	if err != nil {
		return nil, err
	}
	if after != before {
		if err := s.setMembers(ctx, ch, map[*account]member{by.account: after}, stanzas); err != nil {
			return nil, err
		}
	}
	return ch.done(), nil
}

// mexAdmin is what admins see of their channel.
func mexAdmin(_ context.Context, c *conn, v *mexVariables) (any, error) {
	ch, err := c.s.channels.get(v.NewsletterID)
	if err != nil {
		return nil, err
	}
	if !ch.member(c.device.account).manages() {
		return nil, errForbidden
	}
	ch.mu.RLock()
	state, admins, invited := ch.state(), 0, []*account{}
	for a, m := range ch.members {
		if m.manages() {
			admins++
		}
		if m.Invited > time.Now().Unix() {
			invited = append(invited, a)
		}
	}
	ch.mu.RUnlock()
	pending := []any{}
	for _, a := range invited {
		pending = append(pending, map[string]any{"user": c.s.person(a)})
	}
	return map[string]any{"id": ch.jid, "state": state, "admin_count": admins, "pending_admin_invites": pending, "capabilities": []any{}}, nil
}

// mexInviteAdmin lets an account become an admin within a week. The client then writes to it (waE2E.NewsletterAdminInviteMessage), which is
// how it learns of it.
func mexInviteAdmin(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	until := time.Now().Add(adminInviteLife).Unix()
	answer, err := c.s.changeOther(ctx, c.device, v, func(_ *channel, me, other *member) ([]queued, error) {
		if me.Role != roleOwner || other.manages() {
			return nil, errForbidden
		}
		other.Invited = until
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": answer["id"], "state": answer["newsletter_state"], "invite_expiration_time": fmt.Sprint(until)}, nil
}

// mexRevokeInvite takes an invitation back; the invited account's devices are told.
func mexRevokeInvite(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	return c.s.changeOther(ctx, c.device, v, func(ch *channel, me, other *member) ([]queued, error) {
		if me.Role != roleOwner {
			return nil, errForbidden
		}
		if other.Invited == 0 {
			return nil, errItemNotFound
		}
		other.Invited = 0
		a := c.s.user(v.UserID)
		node := mexNotification("NotificationNewsletterAdminInviteRevoke", "xwa2_notify_newsletter_admin_invite_revoke",
			map[string]any{"id": ch.jid, "user": c.s.person(a), "actor": c.s.person(c.device.account)})
		return c.s.toDevices(c.s.devicesOf(a, nil), node), nil
	})
}

// mexAcceptInvite makes the invited account an admin, and a follower if it was none; the followers' devices are told.
func mexAcceptInvite(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	return c.s.changeSelf(ctx, c.device, v.NewsletterID, func(ch *channel, m *member) ([]queued, error) {
		switch {
		case m.manages():
			return nil, nil
		case m.Invited < time.Now().Unix():
			return nil, errForbidden
		case m.Role == "":
			m.Since = time.Now().Unix()
		}
		m.Role, m.Muted, m.Invited = roleAdmin, false, 0
		return c.s.roleStanzas(ch, "NotificationNewsletterAdminPromote", "xwa2_notify_newsletter_admin_promote", c.device, c.device.account, roleAdmin), nil
	})
}

// mexDemote makes an admin a follower; the owner does, or the admin himself.
func mexDemote(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	return c.s.changeOther(ctx, c.device, v, func(ch *channel, me, other *member) ([]queued, error) {
		a := c.s.user(v.UserID)
		if me.Role != roleOwner && a != c.device.account || other.Role == roleOwner {
			return nil, errForbidden
		}
		if other.Role != roleAdmin {
			return nil, errItemNotFound
		}
		other.Role = roleSubscriber
		return c.s.roleStanzas(ch, "NotificationNewsletterAdminDemote", "xwa2_notify_newsletter_admin_demote", c.device, a, roleSubscriber), nil
	})
}

// mexChangeOwner makes an admin the owner, and the owner an admin.
func mexChangeOwner(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	return c.s.changeOther(ctx, c.device, v, func(ch *channel, me, other *member) ([]queued, error) {
		if me.Role != roleOwner || other.Role != roleAdmin {
			return nil, errForbidden
		}
		me.Role, other.Role = roleAdmin, roleOwner
		return c.s.roleStanzas(ch, "NotificationNewsletterAdminPromote", "xwa2_notify_newsletter_admin_promote", c.device, c.s.user(v.UserID), roleOwner), nil
	})
}

// changeOther changes what another account is to a channel, and perhaps the acting one too.
func (s *Server) changeOther(ctx context.Context, by *device, v *mexVariables, change func(ch *channel, me, other *member) ([]queued, error)) (map[string]any, error) {
	other := s.user(v.UserID.ToNonAD())
	if other == nil {
		return nil, errItemNotFound
	}
	ch, me, err := s.changing(v.NewsletterID, by)
	if err != nil {
		return nil, err
	}
	defer ch.change.Unlock()
	after := ch.members[other]
	stanzas, err := change(ch, &me, &after)
	if err != nil {
		return nil, err
	}
	members := map[*account]member{by.account: me}
	members[other] = after // the acting account itself, perhaps
	if err := s.setMembers(ctx, ch, members, stanzas); err != nil {
		return nil, err
	}
	return ch.done(), nil
}

// roleStanzas tell every follower's devices but the acting one of an account's new role.
func (s *Server) roleStanzas(ch *channel, operation, field string, by *device, a *account, role string) []queued {
	node := mexNotification(operation, field,
		map[string]any{"id": ch.jid, "user": s.person(a), "actor": s.person(by.account), "user_new_role": role},
		map[string]any{"jid": ch.jid, "user": a.lid()})
	return s.toDevices(s.followerDevices(ch, by), node)
}

// mexDelete deletes a channel with all that was in it; the followers' devices are told, and it is in no list any more.
func mexDelete(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	ch, me, err := c.s.changing(v.NewsletterID, c.device)
	if err != nil {
		return nil, err
	}
	defer ch.change.Unlock()
	if me.Role != roleOwner {
		return nil, errForbidden
	}
	records := []journal.Record{{Kind: channelKind, Key: ch.jid.User}}
	for a := range ch.members {
		records = append(records, ch.memberRecord(a, member{}))
	}
	for _, p := range ch.posts {
		records = append(records, ch.forgetPost(p)...)
	}
	node := mexNotification("NotificationNewsletterStateChange", "xwa2_notify_newsletter_on_state_change",
		map[string]any{"id": ch.jid, "is_requestor": false, "state": map[string]any{"type": "DELETED"}})
	if err := c.s.commit(ctx, records, c.s.toDevices(c.s.followerDevices(ch, c.device), node)); err != nil {
		return nil, err
	}
	c.s.channels.remove(ch)
	ch.mu.Lock()
	ch.gone = true
	ch.mu.Unlock()
	return ch.done(), nil
}
