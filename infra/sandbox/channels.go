package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// Ids of the queries for channels that whatsmeow keeps to itself or does not send (server's mexOperations).
const (
	queryUpdateChannel = "7150902998257522"
	queryDeleteChannel = "30062808666639665"
	queryFollowers     = "9800646650009898"
	queryInviteAdmin   = "24943748628557365"
	queryAcceptAdmin   = "6179636105471882"
	queryDemoteAdmin   = "6551828931592903"
	queryChangeOwner   = "7341777602580933"
)

// Channel is a channel as one phone sees it.
type Channel struct {
	// ID is the channel's JID, as 120363…@newsletter.
	ID string `json:"id"`
	// Invite is the end of its link, https://whatsapp.com/channel/….
	Invite      string `json:"invite"`
	Name        string `json:"name"`
	Description string `json:"description"`
	PictureURL  string `json:"pictureUrl,omitempty"`
	Followers   int    `json:"followers"`
	// Role is the phone's: owner, admin, subscriber or guest; "" where it was not asked for.
	Role      string    `json:"role,omitempty"`
	Muted     bool      `json:"muted"`
	CreatedAt time.Time `json:"createdAt"`
}

// Follower is somebody who follows a channel, as its admins see him.
type Follower struct {
	Number string    `json:"number"`
	Name   string    `json:"name"`
	Role   string    `json:"role"`
	Since  time.Time `json:"since"`
}

// ChannelChange is what is to be changed of a channel; nil leaves it. An empty picture removes the one there is.
type ChannelChange struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
	Picture     *[]byte `json:"picture,omitempty"`
}

func (s *Sandbox) channelOperations() map[string]operation {
	const one = "/phones/{number}/channels/{channel}"
	return map[string]operation{
		"POST /channels/{channel}/followers": s.postFollowers,
		"POST /phones/{number}/channels":     s.postChannel,
		"GET /phones/{number}/channels":      s.getChannels,
		"GET " + one:                         s.getChannel,
		"PATCH " + one:                       s.patchChannel,
		"DELETE " + one:                      s.channelDo(s.DeleteChannel),
		"POST " + one + "/follow":            s.channelDo(s.FollowChannel),
		"POST " + one + "/unfollow":          s.channelDo(s.UnfollowChannel),
		"POST " + one + "/mute":              s.channelDo(func(ctx context.Context, n, ch string) error { return s.MuteChannel(ctx, n, ch, true) }),
		"POST " + one + "/unmute":            s.channelDo(func(ctx context.Context, n, ch string) error { return s.MuteChannel(ctx, n, ch, false) }),
		"GET " + one + "/followers":          s.getFollowers,
		"PUT " + one + "/admins/{user}":      s.channelDoWith(s.InviteChannelAdmin),
		"DELETE " + one + "/admins/{user}":   s.channelDoWith(s.DemoteChannelAdmin),
		"PUT " + one + "/owner/{user}":       s.channelDoWith(s.ChangeChannelOwner),
		"POST " + one + "/accept-admin":      s.channelDo(s.AcceptChannelAdmin),

		"POST " + one + "/messages":                    s.postChannelMessage,
		"GET " + one + "/messages":                     s.getChannelMessages,
		"PATCH " + one + "/messages/{id}":              s.patchChannelMessage,
		"DELETE " + one + "/messages/{id}":             s.deleteChannelMessage,
		"PUT " + one + "/messages/{serverId}/reaction": s.putChannelReaction,
		"POST " + one + "/views":                       s.postChannelViews,
		"POST " + one + "/live":                        s.postChannelLive,
	}
}

// channelDo makes an operation without a body of what a phone does to a channel.
func (s *Sandbox) channelDo(do func(ctx context.Context, number, channel string) error) operation {
	return func(r *http.Request) (int, any, error) {
		return http.StatusNoContent, nil, do(r.Context(), r.PathValue("number"), r.PathValue("channel"))
	}
}

// channelDoWith does the same for what concerns another user.
func (s *Sandbox) channelDoWith(do func(ctx context.Context, number, channel, user string) error) operation {
	return func(r *http.Request) (int, any, error) {
		return http.StatusNoContent, nil, do(r.Context(), r.PathValue("number"), r.PathValue("channel"), r.PathValue("user"))
	}
}

func (s *Sandbox) postChannel(r *http.Request) (int, any, error) {
	var in whatsmeow.CreateNewsletterParams
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	ch, err := s.CreateChannel(r.Context(), r.PathValue("number"), in)
	return http.StatusCreated, ch, err
}

func (s *Sandbox) getChannels(r *http.Request) (int, any, error) {
	list, err := s.Channels(r.Context(), r.PathValue("number"))
	return http.StatusOK, map[string]any{"channels": list}, err
}

func (s *Sandbox) getChannel(r *http.Request) (int, any, error) {
	ch, err := s.Channel(r.Context(), r.PathValue("number"), r.PathValue("channel"))
	return http.StatusOK, ch, err
}

func (s *Sandbox) patchChannel(r *http.Request) (int, any, error) {
	var in ChannelChange
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.UpdateChannel(r.Context(), r.PathValue("number"), r.PathValue("channel"), in)
}

func (s *Sandbox) getFollowers(r *http.Request) (int, any, error) {
	list, err := s.ChannelFollowers(r.Context(), r.PathValue("number"), r.PathValue("channel"))
	return http.StatusOK, map[string]any{"followers": list}, err
}

func (s *Sandbox) postFollowers(r *http.Request) (int, any, error) {
	var in struct {
		Numbers []string `json:"numbers"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.AddFollowers(r.Context(), r.PathValue("channel"), in.Numbers...)
}

// AddFollowers makes phones follow a channel, all or none, without their doing; those of level "stub" and "sink" cannot do it by themselves.
func (s *Sandbox) AddFollowers(ctx context.Context, channel string, numbers ...string) error {
	jid, err := channelJID(channel)
	if err != nil {
		return err
	}
	err = s.server.AddFollowers(ctx, jid, numbers...)
	switch {
	case errors.Is(err, server.ErrNoChannel):
		return failure(http.StatusNotFound, "there is no channel %s", channel)
	case errors.Is(err, server.ErrNoAccount):
		return failure(http.StatusUnprocessableEntity, "one of the numbers is not on this WhatsApp: create it first with POST /phones")
	}
	return err
}

// CreateChannel makes a channel of the phone's. As the apps do, it accepts the terms for channels first.
func (s *Sandbox) CreateChannel(ctx context.Context, number string, p whatsmeow.CreateNewsletterParams) (made Channel, err error) {
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		if err := client.AcceptTOSNotice(ctx, "20601218", "5"); err != nil {
			return err
		}
		info, err := client.CreateNewsletter(ctx, p)
		if err == nil {
			made = channelView(info)
		}
		return channelError(err)
	})
	return made, err
}

// Channels lists what the phone follows, by JID.
func (s *Sandbox) Channels(ctx context.Context, number string) (list []Channel, err error) {
	list = []Channel{}
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		found, err := client.GetSubscribedNewsletters(ctx)
		for _, info := range found {
			list = append(list, channelView(info))
		}
		return channelError(err)
	})
	return list, err
}

// Channel looks a channel up, by its JID or by the end of its link.
func (s *Sandbox) Channel(ctx context.Context, number, channel string) (found Channel, err error) {
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		var info *types.NewsletterMetadata
		var err error
		if strings.Contains(channel, "@") {
			var jid types.JID
			if jid, err = channelJID(channel); err != nil {
				return err
			}
			info, err = client.GetNewsletterInfo(ctx, jid)
		} else {
			info, err = client.GetNewsletterInfoWithInvite(ctx, channel)
		}
		if err == nil {
			found = channelView(info)
		}
		return channelError(err)
	})
	return found, err
}

// UpdateChannel changes a channel's settings; the phone must be its owner or an admin.
func (s *Sandbox) UpdateChannel(ctx context.Context, number, channel string, change ChannelChange) error {
	return s.mexAct(ctx, number, channel, queryUpdateChannel, map[string]any{"updates": change})
}

// DeleteChannel deletes the phone's own channel.
func (s *Sandbox) DeleteChannel(ctx context.Context, number, channel string) error {
	return s.mexAct(ctx, number, channel, queryDeleteChannel, map[string]any{})
}

// FollowChannel makes the phone a follower.
func (s *Sandbox) FollowChannel(ctx context.Context, number, channel string) error {
	return s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		return client.FollowNewsletter(ctx, jid)
	})
}

// UnfollowChannel ends that; an owner cannot.
func (s *Sandbox) UnfollowChannel(ctx context.Context, number, channel string) error {
	return s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		return client.UnfollowNewsletter(ctx, jid)
	})
}

// MuteChannel switches the notifications of a channel off or on.
func (s *Sandbox) MuteChannel(ctx context.Context, number, channel string, muted bool) error {
	return s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		return client.NewsletterToggleMute(ctx, jid, muted)
	})
}

// InviteChannelAdmin lets a user become an admin of the phone's own channel; he does by AcceptChannelAdmin, within a week.
func (s *Sandbox) InviteChannelAdmin(ctx context.Context, number, channel, user string) error {
	return s.mexAct(ctx, number, channel, queryInviteAdmin, map[string]any{"user_id": userJID(user)})
}

// AcceptChannelAdmin makes the phone an admin of a channel that it was invited to.
func (s *Sandbox) AcceptChannelAdmin(ctx context.Context, number, channel string) error {
	return s.mexAct(ctx, number, channel, queryAcceptAdmin, map[string]any{})
}

// DemoteChannelAdmin makes an admin a follower again: by the owner, or himself.
func (s *Sandbox) DemoteChannelAdmin(ctx context.Context, number, channel, user string) error {
	return s.mexAct(ctx, number, channel, queryDemoteAdmin, map[string]any{"user_id": userJID(user)})
}

// ChangeChannelOwner gives the phone's own channel to one of its admins.
func (s *Sandbox) ChangeChannelOwner(ctx context.Context, number, channel, user string) error {
	return s.mexAct(ctx, number, channel, queryChangeOwner, map[string]any{"user_id": userJID(user)})
}

// ChannelFollowers lists the followers of a channel that the phone is an admin of, the newest first, 1,000 at most.
func (s *Sandbox) ChannelFollowers(ctx context.Context, number, channel string) (list []Follower, err error) {
	list = []Follower{}
	err = s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		text, err := sendMex(ctx, client, queryFollowers, map[string]any{"input": map[string]any{"newsletter_id": jid.String(), "count": 1000}})
		if err != nil {
			return err
		}
		var data struct {
			Answer struct {
				Subscribers struct {
					Edges []struct {
						Since string               `json:"subscribe_time"`
						Role  types.NewsletterRole `json:"role"`
						Node  struct {
							PN   types.JID `json:"pn"`
							Name string    `json:"display_name"`
						} `json:"node"`
					} `json:"edges"`
				} `json:"subscribers"`
			} `json:"xwa2_newsletter_subscribers"`
		}
		if err := json.Unmarshal(text, &data); err != nil {
			return fmt.Errorf("read followers: %w", err)
		}
		for _, e := range data.Answer.Subscribers.Edges {
			since, err := strconv.ParseInt(e.Since, 10, 64)
			if err != nil {
				return fmt.Errorf("read followers: %w", err)
			}
			list = append(list, Follower{Number: e.Node.PN.User, Name: e.Node.Name, Role: string(e.Role), Since: time.Unix(since, 0).UTC()})
		}
		return nil
	})
	return list, err
}

// channelAct lets the phone's client do something to a channel.
func (s *Sandbox) channelAct(ctx context.Context, number, channel string, do func(context.Context, *whatsmeow.Client, types.JID) error) error {
	jid, err := channelJID(channel)
	if err != nil {
		return err
	}
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error { return channelError(do(ctx, client, jid)) })
}

// mexAct sends a query that whatsmeow has no method for.
func (s *Sandbox) mexAct(ctx context.Context, number, channel, query string, variables map[string]any) error {
	return s.channelAct(ctx, number, channel, func(ctx context.Context, client *whatsmeow.Client, jid types.JID) error {
		variables["newsletter_id"] = jid.String()
		_, err := sendMex(ctx, client, query, variables)
		return err
	})
}

func sendMex(ctx context.Context, client *whatsmeow.Client, query string, variables map[string]any) (json.RawMessage, error) {
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API has no method for these queries
	return client.DangerousInternals().SendMexIQ(ctx, query, variables)
}

// channelError turns what the server refuses into an *Error.
func channelError(err error) error {
	var refused types.GraphQLErrors
	switch {
	case errors.As(err, &refused):
		return failure(http.StatusConflict, "WhatsApp refuses: %v", refused)
	case errors.Is(err, whatsmeow.ErrServerReturnedError):
		return failure(http.StatusConflict, "WhatsApp refuses: %v", err)
	}
	return err
}

func channelJID(text string) (types.JID, error) {
	jid, err := types.ParseJID(text)
	if err != nil || jid.Server != types.NewsletterServer {
		return types.EmptyJID, failure(http.StatusUnprocessableEntity, "a channel is named by its JID, as 120363012345678901@%s", types.NewsletterServer)
	}
	return jid, nil
}

func userJID(number string) string { return types.NewJID(number, types.DefaultUserServer).String() }

func channelView(info *types.NewsletterMetadata) Channel {
	ch := Channel{
		ID: info.ID.String(), Invite: info.ThreadMeta.InviteCode, Name: info.ThreadMeta.Name.Text, Description: info.ThreadMeta.Description.Text,
		Followers: info.ThreadMeta.SubscriberCount, CreatedAt: info.ThreadMeta.CreationTime.UTC(),
	}
	if info.ThreadMeta.Picture != nil {
		ch.PictureURL = info.ThreadMeta.Picture.URL
	}
	if info.ViewerMeta != nil {
		ch.Role, ch.Muted = string(info.ViewerMeta.Role), info.ViewerMeta.Mute == types.NewsletterMuteOn
	}
	return ch
}

// noteChannel notes what the phone is told of channels.
func (c *connection) noteChannel(evt any) {
	switch e := evt.(type) {
	case *events.NewsletterJoin:
		c.phone.events.note("channel", map[string]any{"channel": e.ID, "change": "join", "name": e.ThreadMeta.Name.Text})
	case *events.NewsletterLeave:
		c.phone.events.note("channel", map[string]any{"channel": e.ID, "change": "leave"})
	case *events.NewsletterMuteChange:
		c.phone.events.note("channel", map[string]any{"channel": e.ID, "change": "mute", "muted": e.Mute == types.NewsletterMuteOn})
	case *events.NewsletterLiveUpdate:
		for _, m := range e.Messages {
			c.phone.events.note("channel-update", map[string]any{
				"channel": e.JID, "serverId": m.MessageServerID, "views": m.ViewsCount, "reactions": reactionsOf(m.ReactionCounts),
			})
		}
	}
}
