package events

import "time"

// The roles of an account in a channel.
const (
	RoleOwner      = "owner"
	RoleSubscriber = "subscriber"
	RoleGuest      = "guest" // who does not follow it
)

// A Channel is a channel, as WhatsApp describes it to the account.
type Channel struct {
	ID          string     `json:"id" doc:"JID." example:"120363025246125486@newsletter"`
	Name        string     `json:"name" example:"Neighbourhood news"`
	Description string     `json:"description,omitempty" example:"What happens around the corner."`
	PictureID   string     `json:"pictureId,omitempty" doc:"It changes with the picture." example:"1637427843"`
	PictureURL  string     `json:"pictureUrl,omitempty" doc:"Where WhatsApp has the picture, for some days." example:"https://pps.whatsapp.net/v/t61/1637427843.jpg"`
	InviteCode  string     `json:"inviteCode,omitempty" doc:"The end of its link." example:"0029VaAbCdEfGhIjKlMnOp"`
	InviteURL   string     `json:"inviteUrl,omitempty" example:"https://whatsapp.com/channel/0029VaAbCdEfGhIjKlMnOp"`
	Followers   int        `json:"followers" example:"1200"`
	Verified    bool       `json:"verified,omitempty" doc:"WhatsApp verified who stands behind it."`
	State       string     `json:"state,omitempty" enum:"active,suspended,geosuspended" doc:"Whether WhatsApp shows it, or has suspended it." example:"active"`
	Role        string     `json:"role,omitempty" enum:"owner,admin,subscriber,guest" doc:"What the account is to it; a guest does not follow it. Absent where it was looked up by its link." example:"subscriber"`
	Muted       *bool      `json:"muted,omitempty" doc:"The account is not notified of its posts." example:"true"`
	CreatedAt   *time.Time `json:"createdAt,omitempty"`
}

// What is asked about channels.
var (
	ListChannels  = Query[ChannelsQuestion, ChannelsPage]{"channels.list"}
	GetChannel    = Query[ChannelQuestion, Channel]{"channel.get"}
	LookUpChannel = Query[InviteQuestion, Channel]{"channel-invite.get"}
	ListPosts     = Query[PostsQuestion, PostsPage]{"channel.messages"}
	WatchChannel  = Query[ChannelQuestion, ChannelWatched]{"channel.watch"}
)

// What is changed about channels. WhatsApp tells the account's other devices of it, so that a change tells of itself.
var (
	CreateChannel = ChangeKind[ChannelUpdate, Channel]{"channel.create", false}
	UpdateChannel = ChangeKind[ChannelUpdate, Channel]{"channel.update", false}
	DeleteChannel = ChangeKind[ChannelTarget, ChannelDone]{"channel.delete", false}
	FollowChannel = ChangeKind[ChannelTarget, Channel]{"channel.follow", false}
	LeaveChannel  = ChangeKind[ChannelTarget, ChannelDone]{"channel.unfollow", false}
	MuteChannel   = ChangeKind[ChannelMute, Channel]{"channel.mute", false}
	ReactToPost   = ChangeKind[PostReacting, PostReacted]{"channel.react", true}
)

// MaxPosts is how many posts ListPosts answers at most.
const MaxPosts = 100

// ChannelsQuestion asks for channels whose ids are above After ("" for the first page).
type ChannelsQuestion struct {
	After string `json:"after,omitempty"`
	Limit int    `json:"limit"`
}

// ChannelsPage holds as many channels as fit into an answer; Next is the last one's id where more follow.
type ChannelsPage struct {
	Data []Channel `json:"data"`
	Next string    `json:"next,omitempty"`
}

// ChannelQuestion names a channel by its JID.
type ChannelQuestion struct {
	ChannelID string `json:"channelId"`
}

// PostsQuestion asks for posts before one, by its number in the channel; with 0 for the newest.
type PostsQuestion struct {
	ChannelID string `json:"channelId"`
	Before    int    `json:"before,omitempty"`
	Limit     int    `json:"limit"`
}

// PostsPage holds posts, the newest first; Next is the number of the last one where more may follow.
type PostsPage struct {
	Data []ChannelPost `json:"data"`
	Next int           `json:"next,omitempty"`
}

// A ChannelPost is a message in a channel, with what it was met with.
type ChannelPost struct {
	Message
	PostCounts
}

// PostCounts say what a post was met with.
type PostCounts struct {
	Views          int             `json:"views" doc:"How many have seen it." example:"840"`
	ReactionCounts []ReactionCount `json:"reactionCounts" doc:"How many reacted with what, the most frequent first."`
}

// A ReactionCount says how many reacted with an emoji.
type ReactionCount struct {
	Emoji string `json:"emoji" example:"👍"`
	Count int    `json:"count" example:"12"`
}

// ChannelWatched says until when WhatsApp tells what a channel's posts are met with.
type ChannelWatched struct {
	ChannelID string    `json:"channelId" example:"120363025246125486@newsletter"`
	Until     time.Time `json:"until" doc:"Ask again before then, to go on; a session that connects anew is told nothing until it has asked again."`
}

// ChannelTarget is what a change of a channel is asked that has no more to say than which: the channel stands in the change.
type ChannelTarget struct{}

// ChannelDone is the answer of a change after which there is no channel to show.
type ChannelDone struct {
	ChannelID string `json:"channelId" example:"120363025246125486@newsletter"`
}

// ChannelUpdate is what CreateChannel and UpdateChannel are asked. A picture is the media of that id; NoPicture takes it away.
type ChannelUpdate struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
	PictureID   string  `json:"pictureId,omitempty"`
	NoPicture   bool    `json:"noPicture,omitempty"`
}

// ChannelMute is what MuteChannel is asked.
type ChannelMute struct {
	Muted bool `json:"muted"`
}

// PostReacting is what ReactToPost is asked: the emoji, "" to take the reaction back, and which post: by its number in the channel, or, with 0, by
// the message that the change has as its target.
type PostReacting struct {
	WhatsAppID string `json:"whatsappId"`
	Number     int    `json:"number,omitempty"`
	Emoji      string `json:"emoji"`
}

// PostReacted is the account's reaction to a post.
type PostReacted struct {
	ChannelID string `json:"channelId" example:"120363025246125486@newsletter"`
	ServerID  int    `json:"serverId" doc:"The channel's number of the post." example:"117"`
	Emoji     string `json:"emoji" doc:"Empty: it was taken back." example:"👍"`
}

// ChannelData is the data of channel.updated.
type ChannelData struct {
	Channel Channel  `json:"channel" doc:"As it is now; as it was, where it was left or deleted."`
	Change  string   `json:"change" enum:"joined,left,changed,deleted" doc:"joined: the account follows it, or has made it. deleted: the account has deleted it; one that somebody else deleted is left." example:"changed"`
	Changed []string `json:"changed,omitempty" doc:"With changed: the members of channel that are another now." example:"[\"name\"]"`
}

// ChannelCountsData is the data of channel.counts: what posts have been met with by now.
type ChannelCountsData struct {
	ChannelID string        `json:"channelId" example:"120363025246125486@newsletter"`
	Posts     []CountedPost `json:"posts"`
}

// A CountedPost is a post with what it was met with.
type CountedPost struct {
	ServerID   int    `json:"serverId" doc:"The channel's number of the post." example:"117"`
	WhatsAppID string `json:"whatsappId,omitempty" example:"3EB0C767D097B7A0F1D2E3"`
	PostCounts
}

// MaxPostAge is for how long WhatsApp keeps a channel's posts, and for how long its apps let their admins edit and delete them ("up to 30 days",
// as it announced channels).
const MaxPostAge = 30 * 24 * time.Hour

// EditableFor is for how long an own message of a chat can be edited, and RevocableFor for how long it can be deleted for everybody, each with
// the words for it.
func EditableFor(chatID string) (time.Duration, string) {
	if KindOf(chatID) == KindChannel {
		return MaxPostAge, "30 days"
	}
	return EditWindow, "15 minutes"
}

// RevocableFor is as EditableFor.
func RevocableFor(chatID string) (time.Duration, string) {
	if KindOf(chatID) == KindChannel {
		return MaxPostAge, "30 days"
	}
	return RevokeWindow, "60 hours"
}
