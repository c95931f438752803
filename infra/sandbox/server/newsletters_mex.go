package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// directorySize bounds what is recommended and listed in the directory, subscribersPage the list of a channel's followers.
	directorySize, subscribersPage = 50, 1000
)

// channelUpdates are a channel's new settings; nil leaves one as it is.
type channelUpdates struct {
	Name        *string `json:"name"`
	Description *string `json:"description"`
	Picture     *string `json:"picture"` // base64; "" removes it
	Settings    *struct {
		ReactionCodes *struct {
			Value string `json:"value"`
		} `json:"reaction_codes"`
	} `json:"settings"`
}

// apply checks the new settings and writes them into the old. The picture is stored before the caller commits: one that is not committed is
// swept.
func (u *channelUpdates) apply(ctx context.Context, s *Server, settings *channelSettings) error {
	now := time.Now().UnixMicro()
	text := func(value *string, into *channelText, least, most int) bool {
		if value == nil {
			return true
		}
		*into = channelText{strings.TrimSpace(*value), now}
		return len(into.Text) >= least && len(into.Text) <= most && utf8.ValidString(into.Text) && !strings.Contains(into.Text, "\x00")
	}
	if !text(u.Name, &settings.Name, 1, maxChannelName) || !text(u.Description, &settings.Description, 0, maxChannelText) {
		return errBadRequest
	}
	if u.Settings != nil && u.Settings.ReactionCodes != nil {
		settings.Reactions = strings.ToUpper(u.Settings.ReactionCodes.Value)
		if !slices.Contains([]string{"ALL", "BASIC", "NONE", "BLOCKLIST"}, settings.Reactions) {
			return errBadRequest
		}
	}
	if u.Picture == nil {
		return nil
	}
	settings.PictureSet, settings.Picture = now, ""
	picture, err := base64.StdEncoding.DecodeString(*u.Picture)
	if err != nil || len(picture) > maxPicture {
		return errBadRequest
	}
	if len(picture) == 0 {
		return nil
	}
	sum := sha256.Sum256(picture)
	settings.Picture, err = s.store(ctx, bytes.NewReader(picture), sum[:])
	return err
}

// metadata is the channel as clients read it (NewsletterMetadata in types/newsletter.go); viewer is nil where the answer has none.
func (ch *channel) metadata(viewer *member) map[string]any {
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	answer := map[string]any{"id": ch.jid, "state": ch.state(), "thread_metadata": ch.threadMetadata()}
	if viewer != nil {
		answer["viewer_metadata"] = map[string]any{"mute": viewer.mute(), "role": viewer.role()}
	}
	return answer
}

// state is the channel's state; the caller holds mu.
func (ch *channel) state() map[string]any {
	if ch.gone {
		return map[string]any{"type": "DELETED"}
	}
	return map[string]any{"type": "ACTIVE"}
}

// threadMetadata is what the channel says of itself; the caller holds mu. Numbers are texts, as clients want them.
func (ch *channel) threadMetadata() map[string]any {
	set := &ch.settings
	text := func(t channelText) map[string]any {
		return map[string]any{"id": fmt.Sprint(t.Set), "text": t.Text, "update_time": fmt.Sprint(t.Set)}
	}
	picture := func(kind string) any {
		if set.Picture == "" {
			return nil
		}
		return map[string]any{"id": fmt.Sprint(set.PictureSet), "type": kind, "direct_path": set.Picture, "url": "https://" + mediaHost + set.Picture}
	}
	return map[string]any{
		"creation_time": fmt.Sprint(set.Created), "invite": set.Invite, "handle": nil, "name": text(set.Name), "description": text(set.Description),
		"subscribers_count": fmt.Sprint(ch.followers()), "verification": "UNVERIFIED",
		"picture": picture("IMAGE"), "preview": picture("PREVIEW"), "settings": map[string]any{"reaction_codes": map[string]any{"value": set.Reactions}},
	}
}

// done is the answer of what changes a channel.
func (ch *channel) done() map[string]any {
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	return map[string]any{"id": ch.jid, "newsletter_state": ch.state()}
}

func joinNotification(ch *channel, m member) waBinary.Node {
	return mexNotification("NotificationNewsletterJoin", "xwa2_notify_newsletter_on_join", ch.metadata(&m))
}

// invited finds a channel by its invite, which is the end of its link; the JID is empty when there is none.
func (all *channels) invited(invite string) types.JID {
	all.mu.RLock()
	defer all.mu.RUnlock()
	if ch := all.byInvite[invite]; ch != nil {
		return ch.jid
	}
	return types.EmptyJID
}

func mexCreate(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	var in channelUpdates
	if err := v.input(&in); err != nil {
		return nil, err
	}
	in.Settings = nil
	now := time.Now()
	settings := channelSettings{Created: now.Unix(), Reactions: "ALL", Description: channelText{Set: now.UnixMicro()}}
	if in.Name == nil {
		return nil, errBadRequest
	}
	if err := in.apply(ctx, c.s, &settings); err != nil {
		return nil, err
	}
	ch, err := c.s.createChannel(ctx, c.device, settings)
	if err != nil {
		return nil, err
	}
	viewer := ch.member(c.device.account)
	answer := ch.metadata(&viewer)
	if settings.Picture == "" { // Baileys reads its members without looking (parseNewsletterCreateResponse)
		answer["thread_metadata"].(map[string]any)["picture"] = map[string]any{"id": "", "type": "IMAGE", "direct_path": "", "url": ""}
	}
	return answer, nil
}

// mexMetadata finds a channel by its JID or invite. What the viewer is to it is there when it is asked for.
func mexMetadata(_ context.Context, c *conn, v *mexVariables) (any, error) {
	var in struct {
		Key  string                  `json:"key"`
		Type types.NewsletterKeyType `json:"type"`
	}
	if err := v.input(&in); err != nil {
		return nil, err
	}
	var jid types.JID
	var err error
	switch in.Type {
	case types.NewsletterKeyTypeJID:
		jid, err = types.ParseJID(in.Key)
	case types.NewsletterKeyTypeInvite:
		jid = c.s.channels.invited(in.Key)
	default:
		return nil, errBadRequest
	}
	if err != nil {
		return nil, errBadRequest
	}
	ch, err := c.s.channels.get(jid)
	if err != nil {
		return nil, err
	}
	if viewer := ch.member(c.device.account); v.FetchViewer {
		return ch.metadata(&viewer), nil
	}
	return ch.metadata(nil), nil
}

func mexSubscribed(_ context.Context, c *conn, _ *mexVariables) (any, error) {
	answer := []any{}
	for _, ch := range c.s.channels.list(func(ch *channel) bool { return ch.member(c.device.account).Role != "" }) {
		viewer := ch.member(c.device.account)
		answer = append(answer, ch.metadata(&viewer))
	}
	return answer, nil
}

// mexDirectory lists the channels with the most followers; what is recommended is the same, but for the channels that the viewer follows.
func mexDirectory(_ context.Context, c *conn, v *mexVariables) (any, error) {
	var in struct {
		View  string `json:"view"` // absent in a query for recommendations
		Limit int    `json:"limit"`
	}
	if err := v.input(&in); err != nil {
		return nil, err
	}
	if in.Limit <= 0 || in.Limit > directorySize {
		in.Limit = directorySize
	}
	all := c.s.channels.list(func(ch *channel) bool { return in.View != "" || ch.member(c.device.account).Role == "" })
	count := func(ch *channel) int {
		ch.mu.RLock()
		defer ch.mu.RUnlock()
		return ch.followers()
	}
	sizes := map[*channel]int{}
	for _, ch := range all {
		sizes[ch] = count(ch)
	}
	slices.SortStableFunc(all, func(a, b *channel) int { return sizes[b] - sizes[a] })
	result := []any{}
	for _, ch := range all[:min(len(all), in.Limit)] {
		viewer := ch.member(c.device.account)
		result = append(result, ch.metadata(&viewer))
	}
	return map[string]any{"result": result, "page_info": map[string]any{"startCursor": nil, "endCursor": nil}}, nil
}

// mexSubscribers lists those who follow a channel, for its admins, the newest first.
func mexSubscribers(_ context.Context, c *conn, v *mexVariables) (any, error) {
	in := struct {
		NewsletterID types.JID `json:"newsletter_id"`
		Count        int       `json:"count"`
	}{NewsletterID: v.NewsletterID}
	if err := v.input(&in); err != nil {
		return nil, err
	}
	ch, err := c.s.channels.get(in.NewsletterID)
	if err != nil {
		return nil, err
	}
	if !ch.member(c.device.account).manages() {
		return nil, errForbidden
	}
	if in.Count <= 0 || in.Count > subscribersPage {
		in.Count = subscribersPage
	}
	type edge struct {
		a *account
		m member
	}
	ch.mu.RLock()
	var found []edge
	for a, m := range ch.members {
		if m.Role != "" {
			found = append(found, edge{a, m})
		}
	}
	state := ch.state()
	ch.mu.RUnlock()
	slices.SortFunc(found, func(x, y edge) int {
		return cmp.Or(cmp.Compare(y.m.Since, x.m.Since), strings.Compare(x.a.keys.Phone, y.a.keys.Phone))
	})
	edges := []any{}
	for _, e := range found[:min(len(found), in.Count)] {
		edges = append(edges, map[string]any{"subscribe_time": fmt.Sprint(e.m.Since), "role": e.m.role(), "node": c.s.person(e.a)})
	}
	info := map[string]any{"startCursor": nil, "endCursor": nil, "hasPreviousPage": false, "hasNextPage": len(found) > in.Count}
	return map[string]any{"state": state, "subscribers": map[string]any{"edges": edges, "pageInfo": info}}, nil
}

// person is an account as others see it in a channel's lists.
func (s *Server) person(a *account) map[string]any {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return map[string]any{"id": a.lid(), "pn": a.pn(), "display_name": a.name}
}

// mexUpdate changes a channel's settings; every follower's devices are told, but for the one that did it.
func mexUpdate(ctx context.Context, c *conn, v *mexVariables) (any, error) {
	ch, me, err := c.s.changing(v.NewsletterID, c.device)
	if err != nil {
		return nil, err
	}
	defer ch.change.Unlock()
	if !me.manages() {
		return nil, errForbidden
	}
	settings := ch.settings
	if err := v.Updates.apply(ctx, c.s, &settings); err != nil {
		return nil, err
	}
	after := newChannel(ch.jid.User, settings)
	changed := map[string]any{}
	for name, value := range after.threadMetadata() {
		switch name {
		case "name", "description", "picture", "preview", "settings":
			changed[name] = value
		}
	}
	node := mexNotification("NotificationNewsletterUpdate", "xwa2_notify_newsletter_on_metadata_update",
		map[string]any{"id": ch.jid, "thread_metadata": changed},
		map[string]any{"jid": ch.jid, "settings": map[string]any{"name": settings.Name.Text, "description": settings.Description.Text}})
	err = c.s.commit(ctx, []journal.Record{record(channelKind, ch.jid.User, settings)}, c.s.toDevices(c.s.followerDevices(ch, c.device), node))
	if err != nil {
		return nil, err
	}
	ch.mu.Lock()
	ch.settings = settings
	ch.mu.Unlock()
	return ch.metadata(nil), nil
}

// changing finds a channel and holds it for a change by a device; the caller lets go of it.
func (s *Server) changing(jid types.JID, by *device) (*channel, member, error) {
	ch, err := s.channels.get(jid)
	if err != nil {
		return nil, member{}, err
	}
	if err := ch.lockForChange(); err != nil {
		return nil, member{}, err
	}
	return ch, ch.members[by.account], nil
}
