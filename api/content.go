package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chasqui/chasqui/events"
)

// TextContent is a text to send. 65,536 characters are what WhatsApp's own apps accept.
type TextContent struct {
	Type        string      `json:"type" enum:"text"`
	Text        string      `json:"text" minLength:"1" maxLength:"65536" doc:"What it says; *bold*, _italic_, ~struck~ and lists as in WhatsApp." example:"Your order is ready."`
	Preview     string      `json:"preview,omitempty" enum:"none,fetch" default:"none" doc:"fetch: the page of the first link in the text is read now, for up to 5 seconds, and what it says of itself is shown below the text. A page that says nothing, or cannot be reached, is no error: the text goes out without."`
	LinkPreview *NewPreview `json:"linkPreview,omitempty" doc:"A preview of your own, in place of a fetched one."`
}

// NewPreview is a link's preview to send.
type NewPreview struct {
	URL         string       `json:"url" minLength:"1" maxLength:"2048" doc:"The link, as it stands in the text." example:"https://example.com/menu"`
	Title       string       `json:"title" minLength:"1" maxLength:"300" example:"Our menu"`
	Description string       `json:"description,omitempty" maxLength:"1000" example:"What there is today."`
	Image       *mediaSource `json:"image,omitempty" doc:"A picture to show small beside it, of up to 5 MiB: JPEG, PNG, GIF or WebP."`
}

// ImageContent is a picture to send.
type ImageContent struct {
	Type     string      `json:"type" enum:"image"`
	Media    mediaSource `json:"media"`
	Caption  string      `json:"caption,omitempty" maxLength:"65536" doc:"What is written under it." example:"The invoice"`
	ViewOnce bool        `json:"viewOnce,omitempty" doc:"The recipient can open it once."`
	AlbumID  string      `json:"albumId,omitempty" maxLength:"128" doc:"The album that it belongs to: the id, ours or WhatsApp's, of a message of type album that was sent to the same chat before." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

// VideoContent is a video to send.
type VideoContent struct {
	Type      string      `json:"type" enum:"video"`
	Media     mediaSource `json:"media"`
	Caption   string      `json:"caption,omitempty" maxLength:"65536" doc:"What is written under it." example:"How it works"`
	ViewOnce  bool        `json:"viewOnce,omitempty" doc:"The recipient can open it once."`
	GIF       bool        `json:"gif,omitempty" doc:"It plays by itself, without sound, again and again."`
	VideoNote bool        `json:"videoNote,omitempty" doc:"It is shown round, as if recorded in the chat."`
	AlbumID   string      `json:"albumId,omitempty" maxLength:"128" doc:"The album that it belongs to: the id, ours or WhatsApp's, of a message of type album that was sent to the same chat before." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

// AudioContent is an audio file to send.
type AudioContent struct {
	Type  string      `json:"type" enum:"audio"`
	Media mediaSource `json:"media"`
}

// VoiceContent is a voice note to send.
type VoiceContent struct {
	Type     string      `json:"type" enum:"voice"`
	Media    mediaSource `json:"media" doc:"Ogg Opus goes out as it is; other audio is made that, where ffmpeg is installed with the API."`
	ViewOnce bool        `json:"viewOnce,omitempty" doc:"The recipient can play it once."`
}

// DocumentContent is a file to send.
type DocumentContent struct {
	Type    string      `json:"type" enum:"document"`
	Media   mediaSource `json:"media"`
	Caption string      `json:"caption,omitempty" maxLength:"65536" doc:"What is written under it." example:"The invoice"`
}

// StickerContent is a sticker to send.
type StickerContent struct {
	Type  string      `json:"type" enum:"sticker"`
	Media mediaSource `json:"media" doc:"WebP goes out as it is, still or animated; WhatsApp's own stickers have 512 by 512 pixels. PNG and JPEG are made that, with transparent margins; an animated GIF too, where ffmpeg is installed with the API."`
}

// LocationContent is a place to send.
type LocationContent struct {
	Type     string      `json:"type" enum:"location"`
	Location NewLocation `json:"location"`
}

// NewLocation is a place to send.
type NewLocation struct {
	Latitude  float64 `json:"latitude" minimum:"-90" maximum:"90" doc:"Degrees." example:"-34.6037"`
	Longitude float64 `json:"longitude" minimum:"-180" maximum:"180" doc:"Degrees." example:"-58.3816"`
	Name      string  `json:"name,omitempty" maxLength:"1000" example:"Obelisco"`
	Address   string  `json:"address,omitempty" maxLength:"1000" example:"Av. 9 de Julio, Buenos Aires"`
}

// LiveLocationContent is a live location to send.
type LiveLocationContent struct {
	Type         string          `json:"type" enum:"liveLocation"`
	LiveLocation NewLiveLocation `json:"liveLocation"`
	Caption      string          `json:"caption,omitempty" maxLength:"65536" doc:"What is written under it." example:"On my way"`
}

// NewLiveLocation is a live location to send.
type NewLiveLocation struct {
	Latitude       float64 `json:"latitude" minimum:"-90" maximum:"90" doc:"Degrees." example:"-34.6037"`
	Longitude      float64 `json:"longitude" minimum:"-180" maximum:"180" doc:"Degrees." example:"-58.3816"`
	AccuracyMeters uint32  `json:"accuracyMeters,omitempty" doc:"Metres." example:"12"`
	Speed          float32 `json:"speed,omitempty" minimum:"0" doc:"Metres a second." example:"4.2"`
	Heading        uint32  `json:"heading,omitempty" maximum:"359" doc:"Degrees clockwise from magnetic north." example:"90"`
	Sequence       int64   `json:"sequence,omitempty" minimum:"0" doc:"It grows with each position of one share." example:"1"`
}

// ContactsContent are cards to send.
type ContactsContent struct {
	Type     string    `json:"type" enum:"contacts"`
	Contacts []NewCard `json:"contacts" minItems:"1" maxItems:"100" doc:"One card, or several in one message."`
}

// NewCard is a card to send.
type NewCard struct {
	Name   string   `json:"name,omitempty" maxLength:"256" doc:"Needed with phones; else that of the vCard." example:"Juan Pérez"`
	Phones []string `json:"phones,omitempty" maxItems:"20" doc:"Phone numbers with their country codes, digits or with a +. A vCard is made of them." example:"[\"5491123456789\"]"`
	VCard  string   `json:"vcard,omitempty" maxLength:"65536" doc:"The card itself (RFC 2426 or 6350), in place of phones."`
}

// PollContent is a poll to send.
type PollContent struct {
	Type string  `json:"type" enum:"poll"`
	Poll NewPoll `json:"poll"`
}

// NewPoll is a poll to send.
type NewPoll struct {
	Question        string   `json:"question" minLength:"1" maxLength:"255" example:"When shall we meet?"`
	Options         []string `json:"options" minItems:"2" maxItems:"12" doc:"The answers to choose from, each once, up to 100 characters." example:"[\"Monday\",\"Tuesday\"]"`
	SelectableCount int      `json:"selectableCount,omitempty" minimum:"0" maximum:"12" doc:"How many one may choose; 0 is any number." example:"1"`
}

// EventContent is an event to invite to.
type EventContent struct {
	Type  string   `json:"type" enum:"event"`
	Event NewEvent `json:"event"`
}

// NewEvent is an event to invite to.
type NewEvent struct {
	Name        string       `json:"name" minLength:"1" maxLength:"100" example:"Opening night"`
	Description string       `json:"description,omitempty" maxLength:"2048" example:"With music."`
	StartAt     time.Time    `json:"startAt" doc:"When it begins; WhatsApp keeps whole seconds."`
	EndAt       *time.Time   `json:"endAt,omitempty" doc:"When it ends."`
	Location    *NewLocation `json:"location,omitempty" doc:"Where it is."`
	JoinLink    string       `json:"joinLink,omitempty" maxLength:"2048" doc:"A link to a call, http or https." example:"https://call.whatsapp.com/video/abc"`
	ExtraGuests bool         `json:"extraGuests,omitempty" doc:"Guests may bring others."`
}

// GroupInviteContent is an invitation into a group to send.
type GroupInviteContent struct {
	Type        string    `json:"type" enum:"groupInvite"`
	GroupInvite NewInvite `json:"groupInvite"`
}

// NewInvite is an invitation into a group to send.
type NewInvite struct {
	GroupID   string     `json:"groupId" minLength:"1" maxLength:"64" doc:"JID of the group." example:"120363025246125486@g.us"`
	Code      string     `json:"code,omitempty" maxLength:"128" pattern:"^[A-Za-z0-9_-]*$" doc:"The code that lets the recipient in. Default: that of the group's link, for which the account must be an admin of it." example:"AbCdEfGhIjKl"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty" doc:"Until when it can be used. Default: in three days, as WhatsApp's apps have it."`
	Name      string     `json:"name,omitempty" maxLength:"256" doc:"The group's name. Default: what it is called, where the account is in it." example:"Neighbours"`
	Caption   string     `json:"caption,omitempty" maxLength:"65536" example:"Join us."`
}

// AlbumContent announces an album.
type AlbumContent struct {
	Type  string   `json:"type" enum:"album"`
	Album NewAlbum `json:"album" doc:"How many images and videos follow, two at least. Send them next, each with the albumId of this message."`
}

// NewAlbum says how many images and videos follow.
type NewAlbum struct {
	Images int `json:"images,omitempty" minimum:"0" maximum:"100" example:"3"`
	Videos int `json:"videos,omitempty" minimum:"0" maximum:"100" example:"1"`
}

// sendable lists the types of content that can be sent, with the shape of each. It is the only place that knows them.
var sendable = map[string]reflect.Type{
	events.ContentText: reflect.TypeFor[TextContent](), events.ContentImage: reflect.TypeFor[ImageContent](), events.ContentVideo: reflect.TypeFor[VideoContent](),
	events.ContentAudio: reflect.TypeFor[AudioContent](), events.ContentVoice: reflect.TypeFor[VoiceContent](),
	events.ContentDocument: reflect.TypeFor[DocumentContent](), events.ContentSticker: reflect.TypeFor[StickerContent](),
	events.ContentLocation: reflect.TypeFor[LocationContent](), events.ContentLiveLocation: reflect.TypeFor[LiveLocationContent](),
	events.ContentContacts: reflect.TypeFor[ContactsContent](), events.ContentPoll: reflect.TypeFor[PollContent](), events.ContentEvent: reflect.TypeFor[EventContent](),
	events.ContentGroupInvite: reflect.TypeFor[GroupInviteContent](), events.ContentAlbum: reflect.TypeFor[AlbumContent](),
}

// sendableSchemas holds those shapes for checking. It is made when it is first used, since Huma's defaults are set by then.
var sendableSchemas = sync.OnceValue(func() huma.Registry {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	for _, shapes := range []map[string]reflect.Type{sendable, sendableAsStatus} {
		for _, shape := range shapes {
			schemas.Schema(shape, true, "")
		}
	}
	return schemas
})

// sendContent is content in a request: a union that type decides. Its schema on the server holds only the tag, so that a missing or unknown
// tag is one clear error; Resolve then checks the rest against the shape that the tag names.
type sendContent struct {
	raw json.RawMessage
	bad error // why raw is no content, whatever its schema says
	events.Content
	source mediaSource // of the file, where it has one

	preview   string      // "fetch": of the first link in the text
	image     mediaSource // of a preview that was given
	thumbnail []byte      // of the preview, JPEG, once it is known
}

// UnmarshalJSON keeps the bytes for Resolve. A body that has been found invalid is decoded too, so errors of its shape are Resolve's.
func (c *sendContent) UnmarshalJSON(b []byte) error {
	c.raw = append([]byte(nil), b...)
	c.bad = json.Unmarshal(b, &c.Content)
	var more struct {
		Type        string
		Media       *mediaSource
		Preview     string
		LinkPreview *struct{ Image *mediaSource }
	}
	_ = json.Unmarshal(b, &more)
	c.Type, c.preview = more.Type, more.Preview
	if c.Media != nil {
		c.Media = &events.Media{}
		if more.Media != nil {
			c.source = *more.Media
		}
	}
	if more.LinkPreview != nil && more.LinkPreview.Image != nil {
		c.image = *more.LinkPreview.Image
	}
	return nil
}

// Schema is the union of what can be sent.
func (sendContent) Schema(r huma.Registry) *huma.Schema {
	return unionSchema(r, "SendContent", sendable)
}

// unionSchema is a union, as oneOf with a discriminator for clients (extensions are not checked) beside the tag's own schema for the server.
func unionSchema(r huma.Registry, name string, of map[string]reflect.Type) *huma.Schema {
	ref := &huma.Schema{Ref: "#/components/schemas/" + name}
	if r.Map()[name] != nil {
		return ref
	}
	var shapes []*huma.Schema
	var tags []any
	mapping := map[string]string{}
	for _, tag := range slices.Sorted(maps.Keys(of)) {
		shape := of[tag]
		s := r.Schema(shape, true, "")
		shapes, tags, mapping[tag] = append(shapes, s), append(tags, tag), s.Ref
	}
	union := &huma.Schema{
		Type: huma.TypeObject, Required: []string{"type"}, Properties: map[string]*huma.Schema{"type": {Type: huma.TypeString, Enum: tags}},
		Description: "What to send; type decides what else there is.",
		Extensions:  map[string]any{"oneOf": shapes, "discriminator": &huma.Discriminator{PropertyName: "type", Mapping: mapping}},
	}
	union.PrecomputeMessages()
	r.Map()[name] = union
	return ref
}

// Resolve checks the content against the shape that its type names, and then what no schema says.
func (c *sendContent) Resolve(_ huma.Context, path *huma.PathBuffer) []error {
	return c.resolve(path, sendable)
}

func (c *sendContent) resolve(path *huma.PathBuffer, of map[string]reflect.Type) []error {
	shape, ok := of[c.Type]
	if !ok {
		return nil // reported already
	}
	var value any
	if err := json.Unmarshal(c.raw, &value); err != nil {
		return nil // reported already
	}
	var found huma.ValidateResult
	schemas := sendableSchemas()
	huma.Validate(schemas, schemas.Schema(shape, true, ""), path, huma.ModeWriteToServer, value, &found)
	if len(found.Errors) > 0 {
		return found.Errors
	}
	if c.bad != nil {
		return []error{&huma.ErrorDetail{Message: "expected values as the schema of its type has them", Location: path.String()}}
	}
	return c.check(path)
}
