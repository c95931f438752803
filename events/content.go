package events

import "time"

// The content types of a message.
const (
	// ContentText is a text.
	ContentText = "text"
	// ContentImage and those after it, to ContentSticker, carry media. A voice note is an audio that WhatsApp shows as recorded.
	ContentImage        = "image"
	ContentVideo        = "video"
	ContentAudio        = "audio"
	ContentVoice        = "voice"
	ContentDocument     = "document"
	ContentSticker      = "sticker"
	ContentLocation     = "location"
	ContentLiveLocation = "liveLocation"
	ContentContacts     = "contacts"
	ContentPoll         = "poll"
	// ContentEvent is an event that people are invited to, in the sense of a calendar.
	ContentEvent       = "event"
	ContentGroupInvite = "groupInvite"
	// ContentAlbum announces images and videos that follow and name it.
	ContentAlbum = "album"
	// ContentUnsupported is a message of a kind that this version does not read yet: it is shown as having come, without its content.
	ContentUnsupported = "unsupported"
	// ContentUndecryptable is a message that could not be decrypted; WhatsApp is asked to send it again, and that copy replaces it.
	ContentUndecryptable = "undecryptable"
)

// Content is what a message says.
type Content struct {
	Type string `json:"type" enum:"text,image,video,audio,voice,document,sticker,location,liveLocation,contacts,poll,event,groupInvite,album,unsupported,undecryptable" doc:"unsupported: a kind that this version does not read yet. undecryptable: WhatsApp is asked to send it again, and that copy replaces it." example:"text"`
	Text string `json:"text,omitempty" doc:"What it says, when type is text." example:"Your order is ready."`

	LinkPreview *LinkPreview `json:"linkPreview,omitempty" doc:"The preview of a link in a text."`

	BackgroundColor string `json:"backgroundColor,omitempty" doc:"What a status update that is a text or a voice note stands on, as red, green and blue." example:"#128C7E"`
	Font            string `json:"font,omitempty" doc:"The font of a status update that is a text: system, systemText, script, systemBold, morningBreeze, calistoga, exo2 or courierPrime." example:"calistoga"`

	Media     *Media `json:"media,omitempty" doc:"The file, when type is image, video, audio, voice, document or sticker."`
	Caption   string `json:"caption,omitempty" doc:"What is written under an image, video, document or live location." example:"The invoice"`
	ViewOnce  bool   `json:"viewOnce,omitempty" doc:"The recipient can open it once."`
	GIF       bool   `json:"gif,omitempty" doc:"A video that plays by itself, without sound, again and again."`
	VideoNote bool   `json:"videoNote,omitempty" doc:"A video that was recorded in the chat and is shown round."`
	Animated  bool   `json:"animated,omitempty" doc:"A sticker that moves."`
	AlbumID   string `json:"albumId,omitempty" doc:"WhatsApp's id of the album that an image or a video belongs to." example:"3EB0C767D097B7A0F1D2E3"`

	Location     *Location      `json:"location,omitempty" doc:"When type is location."`
	LiveLocation *LiveLocation  `json:"liveLocation,omitempty" doc:"When type is liveLocation."`
	Contacts     []ContactCard  `json:"contacts,omitempty" doc:"When type is contacts."`
	Poll         *Poll          `json:"poll,omitempty" doc:"When type is poll."`
	Event        *CalendarEvent `json:"event,omitempty" doc:"When type is event."`
	GroupInvite  *GroupInvite   `json:"groupInvite,omitempty" doc:"When type is groupInvite."`
	Album        *Album         `json:"album,omitempty" doc:"When type is album."`
}

// A LinkPreview is what is shown of a link in a text.
type LinkPreview struct {
	URL         string `json:"url" example:"https://example.com/menu"`
	Title       string `json:"title,omitempty" example:"Our menu"`
	Description string `json:"description,omitempty" example:"What there is today."`
}

// A Location is a place. Degrees are those of WGS 84.
type Location struct {
	Latitude  float64 `json:"latitude" doc:"Degrees." example:"-34.6037"`
	Longitude float64 `json:"longitude" doc:"Degrees." example:"-58.3816"`
	Name      string  `json:"name,omitempty" example:"Obelisco"`
	Address   string  `json:"address,omitempty" example:"Av. 9 de Julio, Buenos Aires"`
}

// A LiveLocation is where somebody is just now. Who sends it again as he moves raises sequence.
type LiveLocation struct {
	Latitude       float64 `json:"latitude" doc:"Degrees." example:"-34.6037"`
	Longitude      float64 `json:"longitude" doc:"Degrees." example:"-58.3816"`
	AccuracyMeters uint32  `json:"accuracyMeters,omitempty" doc:"Metres." example:"12"`
	Speed          float32 `json:"speed,omitempty" doc:"Metres a second." example:"4.2"`
	Heading        uint32  `json:"heading,omitempty" doc:"Degrees clockwise from magnetic north." example:"90"`
	Sequence       int64   `json:"sequence,omitempty" doc:"It grows with each position of one share." example:"1"`
}

// A ContactCard is somebody's card: a name with phone numbers, or a whole vCard.
type ContactCard struct {
	Name   string   `json:"name,omitempty" example:"Juan Pérez"`
	Phones []string `json:"phones,omitempty" doc:"Phone numbers, digits only." example:"[\"5491123456789\"]"`
	VCard  string   `json:"vcard,omitempty" doc:"The card itself (RFC 2426 or 6350)."`
}

// A Poll asks something.
type Poll struct {
	Question        string   `json:"question" example:"When shall we meet?"`
	Options         []string `json:"options" doc:"The answers to choose from." example:"[\"Monday\",\"Tuesday\"]"`
	SelectableCount int      `json:"selectableCount,omitempty" doc:"How many one may choose; 0 is any number." example:"1"`
}

// A CalendarEvent is something that people are invited to.
type CalendarEvent struct {
	Name        string     `json:"name" example:"Opening night"`
	Description string     `json:"description,omitempty" example:"With music."`
	StartAt     time.Time  `json:"startAt" doc:"When it begins; WhatsApp keeps whole seconds."`
	EndAt       *time.Time `json:"endAt,omitempty" doc:"When it ends."`
	Location    *Location  `json:"location,omitempty" doc:"Where it is."`
	JoinLink    string     `json:"joinLink,omitempty" doc:"A link to a call." example:"https://call.whatsapp.com/video/abc"`
	ExtraGuests bool       `json:"extraGuests,omitempty" doc:"Guests may bring others."`
	Cancelled   bool       `json:"cancelled,omitempty" doc:"It was called off."`
}

// A GroupInvite lets its recipient join a group.
type GroupInvite struct {
	GroupID   string     `json:"groupId" doc:"JID of the group." example:"120363025246125486@g.us"`
	Code      string     `json:"code,omitempty" doc:"What lets the recipient in, with the sender's name, until it expires." example:"AbCdEfGhIjKl"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	Name      string     `json:"name,omitempty" doc:"The group's name." example:"Neighbours"`
	Caption   string     `json:"caption,omitempty" example:"Join us."`
}

// An Album says how many images and videos follow that belong together.
type Album struct {
	Images int `json:"images" example:"3"`
	Videos int `json:"videos" example:"1"`
}
