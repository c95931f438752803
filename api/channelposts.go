package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// PostPath names a post of a channel.
type PostPath struct {
	ChannelPath
	MessageID string `path:"messageId" maxLength:"128" doc:"The post: its serverId, which is the channel's number of it, or its id, ours (msg_...) or WhatsApp's." example:"117"`
}

type postToChannel struct {
	Content         sendContent `json:"content" doc:"A text, image, video, audio, voice note, document or sticker; not one to be viewed once."`
	ClientReference string      `json:"clientReference,omitempty" maxLength:"256" doc:"Any text of yours; it comes back in every form of the post." example:"issue-12"`
	SendAt          *time.Time  `json:"sendAt,omitempty" doc:"Post it then, within a year; its status is scheduled until then."`
	WhatsAppID      string      `json:"whatsappId,omitempty" pattern:"^[0-9A-F]{16,32}$" patternDescription:"16 to 32 hex digits in upper case" doc:"WhatsApp's id for it, where you choose it yourself: one that the channel never had." example:"3EB0C767D097B7A0F1D2E3"`
	ExpiresAt       *time.Time  `json:"expiresAt,omitempty" doc:"Give it up if it could not be posted by then; as for messages."`
}

// postable are the contents that channels take.
var postable = []string{
	events.ContentText, events.ContentImage, events.ContentVideo, events.ContentAudio, events.ContentVoice, events.ContentDocument, events.ContentSticker,
}

func (s *Server) addPosts() {
	sent := examplePost
	sent.Direction, sent.Status, sent.From, sent.To, sent.ServerID, sent.ClientReference = events.Outgoing, events.StatusQueued, exampleMessage.From, examplePost.From, 0, "issue-12"
	posted := sent
	posted.Status, posted.ServerID = events.StatusSent, examplePost.ServerID
	register(s, operation{
		method: "GET", path: channelPath + "/messages", id: "list-channel-messages", tag: "Channels", status: 200, wait: groupWait,
		summary: "List a channel's posts",
		description: "Asks WhatsApp for a channel's posts, the newest first, up to 100 a page, with how often each was seen and what it was met with; also for a channel that the account does not " +
			"follow. What is shown is kept from then on: every post has an id, and its file is fetched when somebody reads it. What is kept is listed without a connection by " +
			"GET /v1/sessions/{sessionId}/messages?chatId={channelId}. WhatsApp keeps posts for 30 days. A page may hold less than its limit.",
		response: List[events.ChannelPost]{Data: []events.ChannelPost{{Message: examplePost, PostCounts: exampleCounts}}}, codes: channelQueryCodes,
	}, s.listPosts)
	register(s, operation{
		method: "POST", path: channelPath + "/messages", id: "post-to-channel", tag: "Channels", status: 202, also: map[int]any{200: posted},
		wait: fetchTimeout + describeTimeout + maxPreferredWait*time.Second, maxBody: maxMediaBody,
		summary: "Post to a channel",
		description: "Accepts a post for a channel that the account runs, and posts it in the background, in order with the session's messages: it survives every crash from here on, and followers see " +
			"it once. It is a message like any other, with the channel as its chat: read it, wait for it and cancel it, edit or delete it (for up to 30 days) by " +
			"/v1/sessions/{sessionId}/messages/{messageId}; message.sent and message.status tell of it. not_channel_admin: the account may not post there.",
		request:  map[string]any{"content": map[string]string{"type": "text", "text": examplePost.Content.Text}, "clientReference": "issue-12"},
		response: sent,
		codes: []Code{
			SessionNotFound, SessionLoggedOut, SessionNotConnected, ChannelNotFound, NotChannelAdmin, RateLimited, AccountBanned, WhatsAppRejected, WhatsAppTimeout,
			MediaNotFound, MediaExpired, MediaPending, MediaTooLarge, MediaFetchFailed, UnsupportedMediaType, MessageIDTaken,
		},
	}, s.postToChannel)
	reacted := events.PostReacted{ChannelID: exampleChannel.ID, ServerID: examplePost.ServerID, Emoji: "👍"}
	codes := append(slices.Clone(channelChangeCodes), MessageNotFound, MessageNotSent)
	register(s, operation{
		method: "PUT", path: channelPath + "/messages/{messageId}/reaction", id: "react-to-channel-message", tag: "Channels", status: 200, also: queuedToo, wait: groupWait,
		summary: "React to a post", description: "Sets the account's reaction to a post of a channel that it follows, in place of the one before.",
		request: setReaction{Emoji: "👍"}, response: reacted, codes: codes,
	}, func(ctx context.Context, in *struct {
		PostPath
		Changing
		Body setReaction
	}) (*changed[events.PostReacted], error) {
		return s.reactToPost(ctx, in.PostPath, in.Changing, in.Body.Emoji)
	})
	reacted.Emoji = ""
	register(s, operation{
		method: "DELETE", path: channelPath + "/messages/{messageId}/reaction", id: "delete-channel-message-reaction", tag: "Channels", status: 200, also: queuedToo,
		wait: groupWait, summary: "Take a reaction to a post back", description: "Takes the account's reaction to a post back.", response: reacted, codes: codes,
	}, func(ctx context.Context, in *struct {
		PostPath
		Changing
	}) (*changed[events.PostReacted], error) {
		return s.reactToPost(ctx, in.PostPath, in.Changing, "")
	})
	register(s, operation{
		method: "PUT", path: channelPath + "/live-updates", id: "watch-channel", tag: "Channels", status: 200, wait: groupWait,
		summary: "Be told what a channel's posts are met with",
		description: "Asks WhatsApp to tell for a while, of which it says how long, how often posts are seen and what they are met with: as the event channel.counts. " +
			"Asked again, it goes on for longer.",
		response: events.ChannelWatched{ChannelID: exampleChannel.ID, Until: exampleTime.Add(5 * time.Minute)}, codes: channelQueryCodes,
	}, func(ctx context.Context, in *struct {
		ChannelPath
		Asking
	}) (*asked[events.ChannelWatched], error) {
		return askChannel(ctx, s, in.ChannelPath, in.Asking, events.WatchChannel)
	})
}

func (s *Server) listPosts(ctx context.Context, in *struct {
	ChannelPath
	Page
	Asking
}) (*askedPage[events.ChannelPost], error) {
	id, err := channelID(in.ChannelPath)
	if err != nil {
		return nil, err
	}
	question := events.PostsQuestion{ChannelID: id, Limit: min(in.Limit, events.MaxPosts)}
	if in.Cursor != "" {
		if question.Before = postNumber(in.Cursor); question.Before == 0 {
			return nil, invalid("query.cursor", "expected a nextCursor")
		}
	}
	answer, err := ask(ctx, s, in.SessionID, in.Asking, events.ListPosts, question)
	if err != nil {
		return nil, err
	}
	next := ""
	if answer.Body.Next > 0 {
		next = strconv.Itoa(answer.Body.Next)
	}
	return pageOf(answer.Body.Data, next, answer.PreferenceApplied, "/v1/sessions/"+in.SessionID+"/channels/"+id+"/messages", in.Limit), nil
}

// postNumber reads a channel's number of a post; 0 for what is none. WhatsApp's ids have letters in them, or more digits.
func postNumber(text string) int {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || len(text) > 10 {
		return 0
	}
	return int(n)
}

func (s *Server) postToChannel(ctx context.Context, in *struct {
	ChannelPath
	Idempotent
	Prefer string `header:"Prefer" maxLength:"256" doc:"wait=N: answer only when it is posted, or after N seconds (up to 30)." example:"wait=10"`
	Body   postToChannel
}) (*messageOutput, error) {
	to, err := channelID(in.ChannelPath)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	switch {
	case !slices.Contains(postable, b.Content.Type):
		return nil, invalid("body.content.type", "expected what channels take: text, image, video, audio, voice, document or sticker")
	case b.Content.ViewOnce:
		return nil, invalid("body.content.viewOnce", "a post is not viewed once")
	case b.Content.AlbumID != "":
		return nil, invalid("body.content.albumId", "channels have no albums")
	case b.Content.VideoNote:
		return nil, invalid("body.content.videoNote", "channels take no video notes")
	}
	if err := checkTimes("body", b.SendAt, b.ExpiresAt); err != nil {
		return nil, err
	}
	body := sendMessage{
		To: to, Content: b.Content, ClientReference: b.ClientReference, SendOptions: SendOptions{SendAt: b.SendAt, WhatsAppID: b.WhatsAppID}, ExpiresAt: b.ExpiresAt,
	}
	b.Content = sendContent{} // one of them holds the file
	message, replayed, err := s.accept(ctx, in.IdempotencyKey, in.SessionID, to, &body, s.fetching(ctx, "body.content", &body.Content))
	if err != nil {
		return nil, err
	}
	out := &messageOutput{
		Status: http.StatusAccepted, Location: "/v1/sessions/" + in.SessionID + "/messages/" + message.ID, Replayed: replayedHeader(replayed), Body: message,
	}
	if seconds, ok := preferredWait(in.Prefer); ok {
		out.PreferenceApplied = "wait=" + strconv.Itoa(seconds)
		return s.awaitSent(ctx, out, time.Duration(seconds)*time.Second)
	}
	return out, nil
}

func (s *Server) reactToPost(ctx context.Context, path PostPath, in Changing, emoji string) (*changed[events.PostReacted], error) {
	channel, err := channelID(path.ChannelPath)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, path.SessionID, "", in, events.ReactToPost, func(ctx context.Context, tx *queue.Tx) (w wish[events.PostReacting], err error) {
		p := events.PostReacting{WhatsAppID: newWhatsAppID(), Emoji: emoji, Number: postNumber(path.MessageID)}
		if p.Number > 0 {
			return wish[events.PostReacting]{channel, channel, p}, nil
		}
		row, err := s.messageRow(ctx, tx, MessagePath{path.SessionPath, path.MessageID})
		if err != nil {
			return w, err
		}
		if row.ChatID != channel {
			return w, problem(MessageNotFound, "the channel has no post "+shorten(path.MessageID))
		}
		return wish[events.PostReacting]{row.ID.String(), channel, p}, nil
	})
}

// notPost is the problem of a post of a channel, for what is done to messages of people and groups alone.
func notPost(row db.MessageView) error {
	if events.KindOf(row.ChatID) != events.KindChannel {
		return nil
	}
	return invalid("path.messageId", "the message is a post of a channel, for which there is no such thing; what there is stands at /v1/sessions/{sessionId}/channels")
}
