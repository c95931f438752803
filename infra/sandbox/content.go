package sandbox

import "time"

// Content is what a message says: a phone shows it in this form, and is told in the same form what to send. Type says which of the members
// are there; quote, mentions and what follows them up to broadcast may come with any type that says something by itself.
//
// Users are named by their phone numbers in digits. One whose number the phone does not know is named by a JID, as are groups and channels.
type Content struct {
	// Type is "text", a kind of media ("image", "video", "audio", "voice", "document", "sticker"), "location", "liveLocation", "contacts",
	// "poll", "event", "album", "groupInvite", "channelInvite", or what is done to another message: "edit", "revoke", "reaction", "comment",
	// "pollVote", "eventResponse", "pin", "unpin", "keep", "unkeep"; "ephemeral" sets the chat's timer. Other content is named by its field
	// in WhatsApp's protobuf, as "buttons", "list", "product" or "callLog".
	Type string `json:"type"`
	// Text is a text, an edited text or caption, a comment, or the wording of an interactive message; else it is empty.
	Text string `json:"text"`

	Quote *Quote `json:"quote,omitempty"`
	// Mentions are users, and groups that are mentioned in a community.
	Mentions         []string `json:"mentions,omitempty"`
	MentionsEveryone bool     `json:"mentionsEveryone,omitempty"`
	Preview          *Preview `json:"preview,omitempty"`
	// Background is what a text or voice that is a status stands on, as "#128C7E", and Font a text's, by WhatsApp's name, as "CALISTOGA_REGULAR".
	Background string `json:"background,omitempty"`
	Font       string `json:"font,omitempty"`
	Forwarded  bool   `json:"forwarded,omitempty"`
	// ForwardingScore is how often it was forwarded; apps show "forwarded many times" from 5.
	ForwardingScore uint32 `json:"forwardingScore,omitempty"`
	ViewOnce        bool   `json:"viewOnce,omitempty"`
	// EphemeralSeconds is when the message disappears, after it was sent. Of type "ephemeral" it is what holds for the chat from now on; 0,
	// which is left out, turns it off.
	EphemeralSeconds uint32 `json:"ephemeralSeconds,omitempty"`
	// AlbumID is the id of the album that an image or a video belongs to.
	AlbumID string `json:"albumId,omitempty"`

	// Target is the message that something is done to.
	Target *Target `json:"target,omitempty"`
	// Emoji is a reaction; "" removes it.
	Emoji string `json:"emoji,omitempty"`
	// Encrypted says that a reaction was encrypted with its target's secret, as in the announcement groups of communities.
	Encrypted bool `json:"encrypted,omitempty"`
	// PinSeconds is how long a message stays pinned.
	PinSeconds uint32 `json:"pinSeconds,omitempty"`
	// Selected are the options that a vote is for, all of them: a vote replaces the voter's one before, and may be for none. An option of a
	// poll that the phone does not know is its SHA-256 in hexadecimal.
	Selected []string `json:"selected,omitempty"`
	// Response is "going", "notGoing" or "maybe", the answer to an event, with ExtraGuests more.
	Response    string `json:"response,omitempty"`
	ExtraGuests int32  `json:"extraGuests,omitempty"`

	Location      *Location      `json:"location,omitempty"`
	LiveLocation  *LiveLocation  `json:"liveLocation,omitempty"`
	Contacts      []Contact      `json:"contacts,omitempty"`
	Poll          *Poll          `json:"poll,omitempty"`
	Event         *CalendarEvent `json:"event,omitempty"`
	Album         *Album         `json:"album,omitempty"`
	GroupInvite   *GroupInvite   `json:"groupInvite,omitempty"`
	ChannelInvite *ChannelInvite `json:"channelInvite,omitempty"`
	Call          *CallNote      `json:"call,omitempty"`

	// Title heads interactive messages, products and orders.
	Title string `json:"title,omitempty"`
	// Buttons are those of an interactive message, or the rows of a list.
	Buttons []Button `json:"buttons,omitempty"`
	// SelectedID is the button or row that was chosen.
	SelectedID string `json:"selectedId,omitempty"`

	// ContentError says why the phone cannot read what was encrypted with another message's secret.
	ContentError string `json:"contentError,omitempty"`
}

// Quote is the message that another answers. To send one, its ID is all that is needed, and all that counts.
type Quote struct {
	ID   string `json:"id"`
	From string `json:"from,omitempty"`
	Type string `json:"type,omitempty"`
	// Text is the quoted text or caption.
	Text string `json:"text,omitempty"`
}

// Target is a message that something is done to. To do so, its ID is all that is needed, and all that counts.
type Target struct {
	ID   string `json:"id"`
	From string `json:"from,omitempty"`
	// FromMe says that this phone's account wrote the target.
	FromMe bool `json:"fromMe,omitempty"`
}

// Preview is the preview of a link in a text, which its sender made.
type Preview struct {
	URL         string `json:"url"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// HasThumbnail is shown, Thumbnail (JPEG, in base64) is sent.
	HasThumbnail bool   `json:"hasThumbnail,omitempty"`
	Thumbnail    []byte `json:"thumbnail,omitempty"`
}

// Location is a place. Latitude and Longitude are in degrees.
type Location struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
	Name      string  `json:"name,omitempty"`
	Address   string  `json:"address,omitempty"`
	URL       string  `json:"url,omitempty"`
}

// LiveLocation is where somebody is just now, who sends it again as he moves, with a higher Sequence.
type LiveLocation struct {
	Latitude       float64 `json:"latitude"`
	Longitude      float64 `json:"longitude"`
	AccuracyMeters uint32  `json:"accuracyMeters,omitempty"`
	// Speed is in metres a second, Heading in degrees clockwise from magnetic north.
	Speed    float32 `json:"speed,omitempty"`
	Heading  uint32  `json:"heading,omitempty"`
	Caption  string  `json:"caption,omitempty"`
	Sequence int64   `json:"sequence,omitempty"`
}

// Contact is somebody's card. To send one, VCard may be left out where Phones (numbers in digits) are given; of a card that is shown, they
// are those of its numbers that are on WhatsApp.
type Contact struct {
	Name   string   `json:"name"`
	Phones []string `json:"phones,omitempty"`
	VCard  string   `json:"vcard,omitempty"`
}

// Poll asks something. SelectableCount is how many options one may choose; 0 means any number.
type Poll struct {
	Question        string   `json:"question"`
	Options         []string `json:"options"`
	SelectableCount uint32   `json:"selectableCount"`
}

// CalendarEvent is an event that others are invited to.
type CalendarEvent struct {
	Name               string     `json:"name"`
	Description        string     `json:"description,omitempty"`
	Location           *Location  `json:"location,omitempty"`
	JoinLink           string     `json:"joinLink,omitempty"`
	StartAt            *time.Time `json:"startAt,omitempty"`
	EndAt              *time.Time `json:"endAt,omitempty"`
	Canceled           bool       `json:"canceled,omitempty"`
	ExtraGuestsAllowed bool       `json:"extraGuestsAllowed,omitempty"`
}

// Album announces how many images and videos follow, which name it by their AlbumID.
type Album struct {
	Images uint32 `json:"images"`
	Videos uint32 `json:"videos"`
}

// GroupInvite lets its recipient join a group until it expires.
type GroupInvite struct {
	GroupJID  string     `json:"groupJid"`
	Code      string     `json:"code"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	GroupName string     `json:"groupName,omitempty"`
	Caption   string     `json:"caption,omitempty"`
}

// ChannelInvite asks its recipient to follow a channel, or to become one of its administrators.
type ChannelInvite struct {
	ChannelJID string     `json:"channelJid"`
	Name       string     `json:"name,omitempty"`
	Caption    string     `json:"caption,omitempty"`
	Admin      bool       `json:"admin,omitempty"`
	ExpiresAt  *time.Time `json:"expiresAt,omitempty"`
}

// CallNote is a note about a call in a chat: of type "callLog" with an outcome, of type "scheduledCall" with a time.
type CallNote struct {
	Video bool `json:"video,omitempty"`
	// Outcome is "connected", "missed", "failed", "rejected", "accepted_elsewhere", "ongoing", "silenced_by_dnd" or
	// "silenced_unknown_caller".
	Outcome string     `json:"outcome,omitempty"`
	Seconds int64      `json:"seconds,omitempty"`
	At      *time.Time `json:"at,omitempty"`
	// Canceled is of type "scheduledCallEdit".
	Canceled bool `json:"canceled,omitempty"`
}

// Button is something to be chosen.
type Button struct {
	ID          string `json:"id,omitempty"`
	Text        string `json:"text"`
	Description string `json:"description,omitempty"`
}
