package api

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// ChannelPath names a channel.
type ChannelPath struct {
	SessionPath
	ChannelID string `path:"channelId" maxLength:"64" doc:"The channel's JID, with or without @newsletter." example:"120363025246125486@newsletter"`
}

// ChannelInvitePath names a channel by the code of its link.
type ChannelInvitePath struct {
	SessionPath
	Code string `path:"code" maxLength:"128" doc:"The code: what follows https://whatsapp.com/channel/ in the link." example:"0029VaAbCdEfGhIjKlMnOp"`
}

type createChannel struct {
	Name        string `json:"name" minLength:"1" maxLength:"100" example:"Neighbourhood news"`
	Description string `json:"description,omitempty" maxLength:"2048" example:"What happens around the corner."`
}

type changeChannel struct {
	Name        *string `json:"name,omitempty" minLength:"1" maxLength:"100" example:"Neighbourhood news"`
	Description *string `json:"description,omitempty" maxLength:"2048" doc:"An empty one takes it away." example:"What happens around the corner."`
}

const channelPath = "/v1/sessions/{sessionId}/channels/{channelId}"

var (
	channelQueryCodes  = append(slices.Clone(queryCodes), ChannelNotFound)
	channelChangeCodes = append(slices.Clone(changeCodes), ChannelNotFound, NotChannelAdmin)
	exampleUnfollowed  = events.ChannelDone{ChannelID: exampleChannel.ID}
)

func (s *Server) addChannels() {
	found, muted := exampleChannel, exampleChannel
	found.Role, found.Muted, muted.Muted = "", nil, new(true)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/channels", id: "list-channels", tag: "Channels", status: 200, wait: groupWait,
		summary: "List channels", description: "The channels that the account follows or runs, by their ids. WhatsApp is asked for each page. Channels are not found by a name: " +
			"whoever wants to follow one has its link.",
		response: List[events.Channel]{Data: []events.Channel{exampleChannel}}, codes: queryCodes,
	}, s.listChannels)
	register(s, operation{
		method: "GET", path: channelPath, id: "get-channel", tag: "Channels", status: 200, wait: groupWait,
		summary: "Read a channel", description: "A channel, also one that the account does not follow, and what the account is to it.",
		response: exampleChannel, codes: channelQueryCodes,
	}, func(ctx context.Context, in *struct {
		ChannelPath
		Asking
	}) (*asked[events.Channel], error) {
		return askChannel(ctx, s, in.ChannelPath, in.Asking, events.GetChannel)
	})
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/channel-invites/{code}", id: "look-up-channel-invite", tag: "Channels", status: 200, wait: groupWait,
		summary: "Look up a channel's link", description: "The channel that a link leads to.",
		response: found, codes: append(slices.Clone(queryCodes), InviteNotValid),
	}, func(ctx context.Context, in *struct {
		ChannelInvitePath
		Asking
	}) (*asked[events.Channel], error) {
		if !inviteCode.MatchString(in.Code) {
			return nil, invalid("path.code", "expected the code of a link, such as 0029VaAbCdEfGhIjKlMnOp")
		}
		return ask(ctx, s, in.SessionID, in.Asking, events.LookUpChannel, events.InviteQuestion{Code: in.Code})
	})
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/channels", id: "create-channel", tag: "Channels", status: 200, also: queuedToo, wait: groupWait,
		summary: "Create a channel",
		description: "Makes a channel of the account's, and accepts WhatsApp's terms for channels, as its apps do before the first. Repeat a POST without an answer with the same " +
			"Idempotency-Key: WhatsApp itself would make another channel.",
		request: createChannel{Name: exampleChannel.Name, Description: exampleChannel.Description}, response: exampleChannel, codes: changeCodes,
	}, func(ctx context.Context, in *struct {
		SessionPath
		Changing
		Idempotent
		Body createChannel
	}) (*changed[events.Channel], error) {
		if blank(in.Body.Name) {
			return nil, invalid("body.name", "expected a name")
		}
		return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.CreateChannel, func(context.Context, *queue.Tx) (wish[events.ChannelUpdate], error) {
			return wish[events.ChannelUpdate]{parameters: events.ChannelUpdate{Name: &in.Body.Name, Description: &in.Body.Description}}, nil
		})
	})
	register(s, operation{
		method: "PATCH", path: channelPath, id: "change-channel", tag: "Channels", status: 200, also: queuedToo, wait: groupWait,
		summary: "Change a channel", description: "Changes what is given. Only its owner and its admins may.",
		request: map[string]any{"name": exampleChannel.Name}, response: exampleChannel, codes: channelChangeCodes,
	}, func(ctx context.Context, in *struct {
		ChannelPath
		Changing
		Body changeChannel
	}) (*changed[events.Channel], error) {
		switch {
		case in.Body == changeChannel{}:
			return nil, invalid("body", "expected something to change")
		case in.Body.Name != nil && blank(*in.Body.Name):
			return nil, invalid("body.name", "expected a name")
		}
		return onChannel(ctx, s, in.ChannelPath, in.Changing, events.UpdateChannel, events.ChannelUpdate{Name: in.Body.Name, Description: in.Body.Description})
	})
	register(s, operation{
		method: "DELETE", path: channelPath, id: "delete-channel", tag: "Channels", status: 200, also: queuedToo, wait: groupWait,
		summary: "Delete a channel", description: "Deletes a channel of the account's, for everybody and for good. Only its owner may.",
		response: exampleUnfollowed, codes: channelChangeCodes,
	}, func(ctx context.Context, in *struct {
		ChannelPath
		Changing
	}) (*changed[events.ChannelDone], error) {
		return onChannel(ctx, s, in.ChannelPath, in.Changing, events.DeleteChannel, events.ChannelTarget{})
	})
	register(s, operation{
		method: "PUT", path: channelPath + "/subscription", id: "follow-channel", tag: "Channels", status: 200, also: queuedToo, wait: groupWait,
		summary: "Follow a channel", description: "The account follows the channel, and gets its posts as the event channel.message.",
		response: exampleChannel, codes: channelChangeCodes,
	}, func(ctx context.Context, in *struct {
		ChannelPath
		Changing
	}) (*changed[events.Channel], error) {
		return onChannel(ctx, s, in.ChannelPath, in.Changing, events.FollowChannel, events.ChannelTarget{})
	})
	register(s, operation{
		method: "DELETE", path: channelPath + "/subscription", id: "unfollow-channel", tag: "Channels", status: 200, also: queuedToo, wait: groupWait,
		summary: "Unfollow a channel", description: "The account follows the channel no more. Its owner cannot leave it.",
		response: exampleUnfollowed, codes: channelChangeCodes,
	}, func(ctx context.Context, in *struct {
		ChannelPath
		Changing
	}) (*changed[events.ChannelDone], error) {
		return onChannel(ctx, s, in.ChannelPath, in.Changing, events.LeaveChannel, events.ChannelTarget{})
	})
	for _, o := range []struct {
		method, id, summary, description string
		muted                            bool
	}{
		{"PUT", "mute-channel", "Mute a channel", "The owner's phone does not notify of the channel's posts. Events go on.", true},
		{"DELETE", "unmute-channel", "Unmute a channel", "The owner's phone notifies of the channel's posts.", false},
	} {
		register(s, operation{
			method: o.method, path: channelPath + "/mute", id: o.id, tag: "Channels", status: 200, also: queuedToo, wait: groupWait,
			summary: o.summary, description: o.description, response: muted, codes: channelChangeCodes,
		}, func(ctx context.Context, in *struct {
			ChannelPath
			Changing
		}) (*changed[events.Channel], error) {
			return onChannel(ctx, s, in.ChannelPath, in.Changing, events.MuteChannel, events.ChannelMute{Muted: o.muted})
		})
	}
	register(s, operation{
		method: "PUT", path: channelPath + "/picture", id: "set-channel-picture", tag: "Channels", status: 200, also: queuedToo,
		wait: fetchTimeout + describeTimeout + groupWait, maxBody: maxMediaBody,
		summary: "Set a channel's picture", description: "Gives the channel a picture, in place of the one before.",
		request: map[string]any{"media": map[string]string{"url": "https://example.com/house.jpg"}}, response: exampleChannel,
		codes: append(slices.Clone(channelChangeCodes), MediaNotFound, MediaExpired, MediaPending, MediaTooLarge, MediaFetchFailed, UnsupportedMediaType),
	}, s.setChannelPicture)
	register(s, operation{
		method: "DELETE", path: channelPath + "/picture", id: "delete-channel-picture", tag: "Channels", status: 200, also: queuedToo, wait: groupWait,
		summary: "Take a channel's picture away", description: "The channel has no picture from then on.",
		response: exampleChannel, codes: channelChangeCodes,
	}, func(ctx context.Context, in *struct {
		ChannelPath
		Changing
	}) (*changed[events.Channel], error) {
		return onChannel(ctx, s, in.ChannelPath, in.Changing, events.UpdateChannel, events.ChannelUpdate{NoPicture: true})
	})
	s.addPosts()
}

// channelID reads the JID of a channel.
func channelID(path ChannelPath) (string, error) {
	text := path.ChannelID
	if !strings.Contains(text, "@") {
		text += "@" + events.ChannelServer
	}
	jid, err := events.ParseAddress(text)
	if err != nil || events.KindOf(jid) != events.KindChannel {
		return "", invalid("path.channelId", "expected the JID of a channel, such as 120363025246125486@newsletter")
	}
	return jid, nil
}

// askChannel asks something about a channel.
func askChannel[A any](ctx context.Context, s *Server, path ChannelPath, in Asking, query events.Query[events.ChannelQuestion, A]) (*asked[A], error) {
	id, err := channelID(path)
	if err != nil {
		return nil, err
	}
	return ask(ctx, s, path.SessionID, in, query, events.ChannelQuestion{ChannelID: id})
}

// onChannel changes something about a channel.
func onChannel[P, R any](ctx context.Context, s *Server, path ChannelPath, in Changing, kind events.ChangeKind[P, R], parameters P) (*changed[R], error) {
	id, err := channelID(path)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, path.SessionID, "", in, kind, func(context.Context, *queue.Tx) (wish[P], error) {
		return wish[P]{id, id, parameters}, nil
	})
}

// askedPage is a page of what WhatsApp was asked for.
type askedPage[T any] struct {
	Link              string `header:"Link" doc:"The next page, as RFC 8288 has it: <...>; rel=\"next\"."`
	PreferenceApplied string `header:"Preference-Applied" doc:"wait=N, when Prefer asked for it."`
	Body              List[T]
}

// pageOf makes the answer of a list, whose next page begins after next, "" for none.
func pageOf[T any](data []T, next, preference, path string, limit int) *askedPage[T] {
	out := &askedPage[T]{PreferenceApplied: preference, Body: List[T]{Data: data, NextCursor: next, HasMore: next != ""}}
	if out.Body.HasMore {
		out.Link = nextLink(path, url.Values{}, "cursor", next, limit)
	}
	return out
}

func (s *Server) listChannels(ctx context.Context, in *struct {
	SessionPath
	Page
	Asking
}) (*askedPage[events.Channel], error) {
	question := events.ChannelsQuestion{Limit: in.Limit}
	if in.Cursor != "" {
		jid, err := events.ParseAddress(in.Cursor)
		if err != nil || events.KindOf(jid) != events.KindChannel {
			return nil, invalid("query.cursor", "expected a nextCursor")
		}
		question.After = jid
	}
	answer, err := ask(ctx, s, in.SessionID, in.Asking, events.ListChannels, question)
	if err != nil {
		return nil, err
	}
	return pageOf(answer.Body.Data, answer.Body.Next, answer.PreferenceApplied, "/v1/sessions/"+in.SessionID+"/channels", in.Limit), nil
}

func (s *Server) setChannelPicture(ctx context.Context, in *struct {
	ChannelPath
	Changing
	Body setPicture
}) (*changed[events.Channel], error) {
	id, err := channelID(in.ChannelPath)
	if err != nil {
		return nil, err
	}
	if in.Body.Media.count() != 1 {
		return nil, invalid("body.media", "expected one of mediaId, url and base64")
	}
	if err := s.sendingAllowed(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	picture, err := s.square(ctx, "body.media", in.Body.Media)
	if err != nil {
		return nil, err
	}
	in.Body.Media.Base64 = ""
	callOf(ctx).releaseBody()
	kept := false
	out, err := change(ctx, s, in.SessionID, "", in.Changing, events.UpdateChannel, func(ctx context.Context, tx *queue.Tx) (w wish[events.ChannelUpdate], err error) {
		row, err := s.keep(ctx, tx, picture)
		kept = err == nil
		return wish[events.ChannelUpdate]{id, id, events.ChannelUpdate{PictureID: row.ID.String()}}, err
	})
	if !kept {
		s.drop(ctx, picture)
	}
	return out, err
}
