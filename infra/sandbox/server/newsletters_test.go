package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// channel makes a channel of the client.
func (c *client) channel(name string) *types.NewsletterMetadata {
	c.n.t.Helper()
	made, err := c.CreateNewsletter(c.n.t.Context(), whatsmeow.CreateNewsletterParams{Name: name, Description: "about " + name})
	if err != nil {
		c.n.t.Fatal(err)
	}
	return made
}

// post sends a text to a channel and returns its ids.
func (c *client) post(channel types.JID, text string) whatsmeow.SendResponse {
	c.n.t.Helper()
	sent, err := c.SendMessage(c.n.t.Context(), channel, &waE2E.Message{Conversation: proto.String(text)})
	if err != nil {
		c.n.t.Fatalf("post %q: %v", text, err)
	}
	return sent
}

// ask sends a query that whatsmeow has no method for.
func (c *client) ask(id string, variables map[string]any) (string, error) {
	answer, err := c.DangerousInternals().SendMexIQ(c.n.t.Context(), id, variables) //nolint:staticcheck // SA1019: there is no other way
	return string(answer), err
}

// mex sends one whose answer does not matter.
func (c *client) mex(id string, variables map[string]any) error {
	_, err := c.ask(id, variables)
	return err
}

// refusedWith checks that a GraphQL error has the code.
func refusedWith(t testing.TB, err error, code int) {
	t.Helper()
	var refused types.GraphQLErrors
	if !errors.As(err, &refused) || refused[0].Extensions.ErrorCode != code {
		t.Errorf("error %v, want code %d", err, code)
	}
}

// Ids of queries that whatsmeow does not send, or keeps to itself.
const (
	updateChannel = "7150902998257522"
	subscribers   = "9800646650009898"
	inviteAdmin   = "24943748628557365"
	acceptInvite  = "6179636105471882"
	revokeInvite  = "6550386328343169"
	demoteAdmin   = "6551828931592903"
	changeOwner   = "7341777602580933"
	deleteChannel = "30062808666639665"
	adminCount    = "7130823597031706"
)

func TestChannelIsFoundFollowedMutedAndLeft(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ctx := t.Context()
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	benWeb := n.companion(ben)
	if err := ana.AcceptTOSNotice(ctx, "20601218", "5"); err != nil {
		t.Fatal(err)
	}
	made := ana.channel("News")
	if made.ID.Server != types.NewsletterServer || made.ViewerMeta.Role != types.NewsletterRoleOwner || made.State.Type != types.NewsletterStateActive {
		t.Errorf("created as %+v, viewed as %+v", made, made.ViewerMeta)
	}
	found, err := ben.GetNewsletterInfoWithInvite(ctx, whatsmeow.NewsletterLinkPrefix+made.ThreadMeta.InviteCode)
	if err != nil || found.ID != made.ID || found.ViewerMeta != nil || found.ThreadMeta.Name.Text != "News" || found.ThreadMeta.SubscriberCount != 1 {
		t.Fatalf("by invite: %+v, %v", found, err)
	}
	if age := time.Since(found.ThreadMeta.CreationTime.Time); age < -time.Minute || age > time.Minute {
		t.Errorf("created %v ago", age)
	}
	if info, err := ben.GetNewsletterInfo(ctx, made.ID); err != nil || info.ViewerMeta.Role != types.NewsletterRoleGuest {
		t.Errorf("as a guest: %+v, %v", info, err)
	}
	if err := ben.FollowNewsletter(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	join := await(benWeb, func(*events.NewsletterJoin) bool { return true })
	if join.ID != made.ID || join.ThreadMeta.Name.Text != "News" || join.ViewerMeta.Role != types.NewsletterRoleSubscriber || join.Mex.OpName != "NotificationNewsletterJoin" {
		t.Errorf("joined as %+v, %+v", join, join.ViewerMeta)
	}
	if err := ben.NewsletterToggleMute(ctx, made.ID, false); err != nil {
		t.Fatal(err)
	}
	await(benWeb, func(e *events.NewsletterMuteChange) bool { return e.ID == made.ID && e.Mute == types.NewsletterMuteOff })
	if err := benWeb.NewsletterToggleMute(ctx, made.ID, true); err != nil {
		t.Fatal(err)
	}
	await(ben, func(e *events.NewsletterMuteChange) bool { return e.ID == made.ID && e.Mute == types.NewsletterMuteOn })

	n.restart(ana, ben, benWeb)
	list, err := ben.GetSubscribedNewsletters(ctx)
	if err != nil || len(list) != 1 || list[0].ViewerMeta.Mute != types.NewsletterMuteOn || list[0].ThreadMeta.SubscriberCount != 2 || list[0].ThreadMeta.Description.Text != "about News" {
		t.Fatalf("follows %+v, %v", list, err)
	}
	if err := ben.UnfollowNewsletter(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	await(benWeb, func(e *events.NewsletterLeave) bool { return e.ID == made.ID && e.Role == types.NewsletterRoleGuest })
	if list, err := ben.GetSubscribedNewsletters(ctx); err != nil || len(list) != 0 {
		t.Errorf("follows %+v after leaving, %v", list, err)
	}
	refusedWith(t, ana.UnfollowNewsletter(ctx, made.ID), 403)
	refusedWith(t, ben.NewsletterToggleMute(ctx, made.ID, true), 403)
	refusedWith(t, ben.FollowNewsletter(ctx, types.NewJID("120363000000000000", types.NewsletterServer)), 404)
	_, err = ben.CreateNewsletter(ctx, whatsmeow.CreateNewsletterParams{})
	refusedWith(t, err, 400)
	n.settled()
}

func TestChannelMessagesReachAllFollowersDevices(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ctx := t.Context()
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	anaWeb, benWeb := n.companion(ana), n.companion(ben)
	jid := ana.channel("News").ID
	if err := ben.FollowNewsletter(ctx, jid); err != nil {
		t.Fatal(err)
	}
	first := anaWeb.post(jid, "one")
	if first.ServerID == 0 {
		t.Error("the ack has no server id")
	}
	for _, c := range []*client{ana, ben, benWeb} {
		if m := c.receives("one"); m.Info.Chat != jid || m.Info.Sender != jid || m.Info.ID != first.ID || m.Info.ServerID != first.ServerID {
			t.Errorf("came as %+v", m.Info)
		}
	}
	if _, err := ben.SendMessage(ctx, jid, &waE2E.Message{Conversation: proto.String("no")}); !errors.Is(err, whatsmeow.ErrServerReturnedError) {
		t.Errorf("a follower's message: %v", err)
	}

	n.restart(ana, anaWeb, ben, benWeb)
	edit := ana.BuildEdit(jid, first.ID, &waE2E.Message{Conversation: proto.String("one, edited")})
	if edited, err := ana.SendMessage(ctx, jid, edit); err != nil || edited.ServerID != first.ServerID {
		t.Fatalf("edit: %+v, %v", edited, err)
	}
	m := benWeb.receives("one, edited")
	if m.Info.ID != first.ID || m.Info.Edit != types.EditAttributeAdminEdit || m.NewsletterMeta == nil || m.NewsletterMeta.EditTS.IsZero() || m.NewsletterMeta.OriginalTS.Unix() != first.Timestamp.Unix() {
		t.Errorf("edit came as %+v, %+v", m.Info, m.NewsletterMeta)
	}
	second := ana.post(jid, "two")
	if _, err := ana.SendMessage(ctx, jid, &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type: waE2E.ProtocolMessage_REVOKE.Enum(), Key: &waCommon.MessageKey{RemoteJID: proto.String(jid.String()), FromMe: proto.Bool(true), ID: proto.String(second.ID)},
	}}); err != nil {
		t.Fatal(err)
	}
	await(benWeb, func(m *events.Message) bool {
		return m.Info.ID == second.ID && m.Info.Edit == types.EditAttributeAdminRevoke
	})

	for _, c := range []*client{ana, benWeb} {
		c.SetMediaHTTPClient(&http.Client{Transport: n})
	}
	picture := bytes.Repeat([]byte("not encrypted "), 10000)
	uploaded, err := ana.UploadNewsletter(ctx, picture, whatsmeow.MediaImage)
	if err != nil || uploaded.Handle == "" {
		t.Fatalf("upload: %+v, %v", uploaded, err)
	}
	image := &waE2E.ImageMessage{
		Caption: proto.String("look"), Mimetype: proto.String("image/png"), URL: &uploaded.URL, DirectPath: &uploaded.DirectPath,
		FileSHA256: uploaded.FileSHA256, FileLength: &uploaded.FileLength,
	}
	if _, err := ana.SendMessage(ctx, jid, &waE2E.Message{ImageMessage: image}, whatsmeow.SendRequestExtra{MediaHandle: uploaded.Handle}); err != nil {
		t.Fatal(err)
	}
	got := await(benWeb, func(m *events.Message) bool { return m.Message.GetImageMessage().GetCaption() == "look" })
	if got.Info.MediaType != "image" || got.Info.Type != "media" {
		t.Errorf("image came as %+v", got.Info)
	}
	if data, err := benWeb.Download(ctx, got.Message.GetImageMessage()); err != nil || !bytes.Equal(data, picture) {
		t.Errorf("downloaded %d bytes, %v", len(data), err)
	}
	if err := benWeb.MarkRead(ctx, []types.MessageID{got.Info.ID}, time.Now(), jid, jid); err != nil {
		t.Fatal(err)
	}
	await(ben, func(r *events.Receipt) bool {
		return r.Type == types.ReceiptTypeReadSelf && r.Chat == jid && r.MessageIDs[0] == got.Info.ID
	})
	n.settled()
}

func TestChannelMessagesAreListedWithViewsAndReactions(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ctx := t.Context()
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	benWeb := n.companion(ben)
	jid := ana.channel("News").ID
	if err := ben.FollowNewsletter(ctx, jid); err != nil {
		t.Fatal(err)
	}
	var ids []types.MessageServerID
	for i := range 5 {
		ids = append(ids, ana.post(jid, fmt.Sprint("text ", i)).ServerID)
	}
	if d, err := ana.NewsletterSubscribeLiveUpdates(ctx, jid); err != nil || d < time.Minute {
		t.Errorf("live updates for %v, %v", d, err)
	}
	for _, c := range []*client{ben, benWeb, ben} {
		if err := c.NewsletterMarkViewed(ctx, jid, ids[3:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := benWeb.NewsletterSendReaction(ctx, jid, ids[4], "👍", ""); err != nil {
		t.Fatal(err)
	}
	if err := ana.NewsletterSendReaction(ctx, jid, ids[4], "🎉", ""); err != nil {
		t.Fatal(err)
	}
	live := await(ana, func(e *events.NewsletterLiveUpdate) bool {
		return len(e.Messages) == 1 && len(e.Messages[0].ReactionCounts) == 2
	})
	if m := live.Messages[0]; live.JID != jid || m.MessageServerID != ids[4] || m.ViewsCount != 1 || m.ReactionCounts["👍"] != 1 || m.Message != nil {
		t.Errorf("live update %+v of %s", m, live.JID)
	}
	if len(all[*events.NewsletterLiveUpdate](ben)) != 0 {
		t.Error("an update came to a device that did not ask")
	}

	n.restart(ana, ben, benWeb)
	page, err := ben.GetNewsletterMessages(ctx, jid, &whatsmeow.GetNewsletterMessagesParams{Count: 2})
	if err != nil || len(page) != 2 || page[0].MessageServerID != ids[3] || page[1].Message.GetConversation() != "text 4" {
		t.Fatalf("newest page %+v, %v", page, err)
	}
	if m := page[1]; m.ViewsCount != 1 || m.ReactionCounts["🎉"] != 1 || m.Type != "text" || m.MessageID == "" || m.Timestamp.IsZero() {
		t.Errorf("listed as %+v", m)
	}
	page, err = ben.GetNewsletterMessages(ctx, jid, &whatsmeow.GetNewsletterMessagesParams{Count: 2, Before: ids[3]})
	if err != nil || len(page) != 2 || page[0].MessageServerID != ids[1] {
		t.Errorf("older page %+v, %v", page, err)
	}
	if page, err = ben.GetNewsletterMessages(ctx, jid, nil); err != nil || len(page) != 5 {
		t.Errorf("whole list %+v, %v", page, err)
	}
	updates, err := ben.GetNewsletterMessageUpdates(ctx, jid, &whatsmeow.GetNewsletterUpdatesParams{Count: 2, After: ids[1], Since: time.Now().Add(-time.Minute)})
	if err != nil || len(updates) != 2 || updates[1].MessageServerID != ids[3] || updates[1].ViewsCount != 1 || updates[1].Message != nil {
		t.Errorf("updates %+v, %v", updates, err)
	}
	if updates, err = ben.GetNewsletterMessageUpdates(ctx, jid, &whatsmeow.GetNewsletterUpdatesParams{Since: time.Now().Add(time.Hour)}); err != nil || len(updates) != 0 {
		t.Errorf("updates of the future %+v, %v", updates, err)
	}
	if _, err := ben.NewsletterSubscribeLiveUpdates(ctx, jid); err != nil {
		t.Fatal(err)
	}
	if err := ana.NewsletterSendReaction(ctx, jid, ids[4], "", ""); err != nil {
		t.Fatal(err)
	}
	await(ben, func(e *events.NewsletterLiveUpdate) bool {
		return len(e.Messages[0].ReactionCounts) == 1 && e.Messages[0].ReactionCounts["👍"] == 1
	})
	_, err = ben.GetNewsletterMessages(ctx, types.NewJID("120363000000000000", types.NewsletterServer), nil)
	if refused := (*whatsmeow.IQError)(nil); !errors.As(err, &refused) || refused.Code != 404 {
		t.Errorf("list of no channel: %v", err)
	}
}

func TestChannelIsRunByItsOwnerAndAdmins(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ctx := t.Context()
	ana, ben, eva := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eva")
	jid := ana.channel("News").ID
	about := func(user *client) map[string]any {
		return map[string]any{"newsletter_id": jid.String(), "user_id": user.Store.LID.ToNonAD().String()}
	}
	do := func(c *client, id string, variables map[string]any) {
		t.Helper()
		if err := c.mex(id, variables); err != nil {
			t.Fatal(err)
		}
	}
	picture := []byte("a picture")
	update := map[string]any{"newsletter_id": jid.String(), "updates": map[string]any{"name": "Better news", "picture": picture, "settings": nil}}
	refusedWith(t, ben.mex(updateChannel, update), 403)
	do(ana, updateChannel, update)
	info, err := ben.GetNewsletterInfo(ctx, jid)
	if err != nil || info.ThreadMeta.Name.Text != "Better news" || info.ThreadMeta.Picture == nil {
		t.Fatalf("updated to %+v, %v", info, err)
	}
	response, err := (&http.Client{Transport: n}).Get(info.ThreadMeta.Picture.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if data, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(data, picture) {
		t.Errorf("the picture is %q, %v", data, err)
	}

	refusedWith(t, ben.mex(acceptInvite, about(ben)), 403)
	do(ana, inviteAdmin, about(ben))
	do(ana, inviteAdmin, about(eva))
	do(ana, revokeInvite, about(eva))
	refusedWith(t, eva.mex(acceptInvite, about(eva)), 403)
	n.restart(ana, ben, eva)
	do(ben, acceptInvite, about(ben))
	ben.post(jid, "from the admin")
	ana.receives("from the admin")
	refusedWith(t, ben.mex(deleteChannel, about(ben)), 403)
	refusedWith(t, eva.mex(subscribers, map[string]any{"input": map[string]any{"newsletter_id": jid.String(), "count": 10}}), 403)
	text, err := ben.ask(subscribers, map[string]any{"input": map[string]any{"newsletter_id": jid.String(), "count": 10}})
	if err != nil || strings.Count(text, `"subscribe_time"`) != 2 || !strings.Contains(text, `"ADMIN"`) {
		t.Errorf("subscribers are %s, %v", text, err)
	}
	text, err = ana.ask(adminCount, about(ana))
	if err != nil || !strings.Contains(text, `"admin_count":2`) {
		t.Errorf("admins are %s, %v", text, err)
	}
	do(ana, changeOwner, about(ben))
	if info, err := ana.GetNewsletterInfo(ctx, jid); err != nil || info.ViewerMeta.Role != types.NewsletterRoleAdmin {
		t.Errorf("the old owner is %+v, %v", info, err)
	}
	do(ben, demoteAdmin, about(ana))
	if _, err := ana.SendMessage(ctx, jid, &waE2E.Message{Conversation: proto.String("no")}); !errors.Is(err, whatsmeow.ErrServerReturnedError) {
		t.Errorf("a demoted admin's message: %v", err)
	}
	do(ben, deleteChannel, about(ben))
	_, err = ana.GetNewsletterInfo(ctx, jid)
	refusedWith(t, err, 404)
	n.restart(ana, ben, eva)
	if list, err := ana.GetSubscribedNewsletters(ctx); err != nil || len(list) != 0 {
		t.Errorf("follows %+v after the deletion, %v", list, err)
	}
	n.settled()
}

func TestMexAnswersWhatClientsAskBesideChannels(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	web := n.companion(ana)
	ask := func(id string) string {
		t.Helper()
		answer, err := web.ask(id, map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if got := ask("24503548349331633"); !strings.Contains(got, `"capping_status":"NONE"`) {
		t.Errorf("message cap is %s", got)
	}
	const timelock = "23983697327930364"
	if got := ask(timelock); !strings.Contains(got, `"is_active":false`) {
		t.Errorf("timelock is %s", got)
	}
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	if err := n.Server().Restrict(t.Context(), "5491100000001", server.Restriction{Until: until, Type: "BIZ_QUALITY"}); err != nil {
		t.Fatal(err)
	}
	await(web, func(e *events.NotifyAccountReachoutTimelock) bool {
		return e.IsActive && e.EnforcementType == "BIZ_QUALITY" && e.TimeEnforcementEnds.Equal(until)
	})
	n.restart(ana, web)
	if got := ask(timelock); !strings.Contains(got, fmt.Sprint(until.Unix())) {
		t.Errorf("timelock is %s after a restart", got)
	}
	if err := n.Server().Restrict(t.Context(), "5491100000001", server.Restriction{}); err != nil {
		t.Fatal(err)
	}
	await(web, func(e *events.NotifyAccountReachoutTimelock) bool { return !e.IsActive })
	fails(t, n.Server().Restrict(t.Context(), "5491100000009", server.Restriction{}), server.ErrNoAccount)
	n.settled()
}

func TestMexRefusesQueriesThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	refusedWith(t, ana.mex("1234567890123456", nil), 400)
	if unknown := n.Server().Stats().UnknownStanzas; unknown != 1 {
		t.Errorf("%d unknown stanzas, want 1", unknown)
	}
	n.unknown-- // the one above
}

func TestChannelForgetsItsOldestMessages(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	jid := ana.channel("Long").ID
	first := ana.post(jid, strings.Repeat("x", 1<<20-100))
	if err := ana.NewsletterMarkViewed(t.Context(), jid, []types.MessageServerID{first.ServerID}); err != nil {
		t.Fatal(err)
	}
	for range 16 { // 16 MiB are kept
		ana.post(jid, strings.Repeat("y", 1<<20-100))
	}
	n.restart(ana)
	page, err := ana.GetNewsletterMessages(t.Context(), jid, &whatsmeow.GetNewsletterMessagesParams{Count: 10, Before: first.ServerID + 2})
	if err != nil || len(page) != 1 || page[0].MessageServerID != first.ServerID+1 {
		t.Errorf("the oldest are %d messages, %v", len(page), err)
	}
	if page, err = ana.GetNewsletterMessages(t.Context(), jid, nil); err != nil || len(page) != 4 { // 4 MiB an answer
		t.Errorf("the newest are %d messages, %v", len(page), err)
	}
}

func TestChannelHasManyFollowersThatAreStubs(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	jid := ana.channel("Big").ID
	var stubs []server.NewAccount
	var phones []string
	for i := range 1000 {
		phones = append(phones, fmt.Sprint(5491200000000+i))
		stubs = append(stubs, server.NewAccount{Phone: phones[i], Name: "Stub", Level: server.Stub})
	}
	if _, err := n.Server().CreateAccounts(t.Context(), stubs...); err != nil {
		t.Fatal(err)
	}
	if err := n.Server().AddFollowers(t.Context(), jid, phones...); err != nil {
		t.Fatal(err)
	}
	ana.post(jid, "to nobody")
	n.restart(ana)
	if info, err := ana.GetNewsletterInfo(t.Context(), jid); err != nil || info.ThreadMeta.SubscriberCount != 1001 {
		t.Errorf("followed by %+v, %v", info, err)
	}
	fails(t, n.Server().AddFollowers(t.Context(), jid, "5491100000009"), server.ErrNoAccount)
	fails(t, n.Server().AddFollowers(t.Context(), types.NewJID("1", types.NewsletterServer), phones[0]), server.ErrNoChannel)
	n.settled()
}
