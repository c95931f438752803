package api

import (
	"cmp"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chasqui/chasqui/events"
)

// StatusTextContent is a text to post. 700 characters are what WhatsApp's own apps let their user write there.
type StatusTextContent struct {
	Type            string `json:"type" enum:"text"`
	Text            string `json:"text" minLength:"1" maxLength:"700" doc:"What it says." example:"Fresh bread until noon"`
	BackgroundColor string `json:"backgroundColor,omitempty" pattern:"^#[0-9A-Fa-f]{6}$" patternDescription:"# and 6 hex digits" default:"#128C7E" doc:"What the text, which is white, stands on: red, green and blue." example:"#128C7E"`
	Font            string `json:"font,omitempty" enum:"system,systemText,script,systemBold,morningBreeze,calistoga,exo2,courierPrime" default:"system" example:"calistoga"`
}

// StatusImageContent is a picture to post.
type StatusImageContent struct {
	Type    string      `json:"type" enum:"image"`
	Media   mediaSource `json:"media"`
	Caption string      `json:"caption,omitempty" maxLength:"65536" doc:"What is written under it." example:"Out of the oven"`
}

// StatusVideoContent is a video to post.
type StatusVideoContent struct {
	Type    string      `json:"type" enum:"video"`
	Media   mediaSource `json:"media" doc:"WhatsApp's apps post up to 90 seconds; it is not cut here."`
	Caption string      `json:"caption,omitempty" maxLength:"65536" doc:"What is written under it." example:"How we bake"`
	GIF     bool        `json:"gif,omitempty" doc:"It plays by itself, without sound, again and again."`
}

// StatusVoiceContent is a voice note to post.
type StatusVoiceContent struct {
	Type            string      `json:"type" enum:"voice"`
	Media           mediaSource `json:"media" doc:"Ogg Opus goes out as it is; other audio is made that, where ffmpeg is installed with the API."`
	BackgroundColor string      `json:"backgroundColor,omitempty" pattern:"^#[0-9A-Fa-f]{6}$" patternDescription:"# and 6 hex digits" default:"#128C7E" doc:"What it is shown on: red, green and blue." example:"#128C7E"`
}

const (
	// statusBackground is WhatsApp's own green, and statusFont its plain font: its apps always write both.
	statusBackground, statusFont = "#128C7E", "system"
)

// sendableAsStatus lists the types of content that a status update can have.
var sendableAsStatus = map[string]reflect.Type{
	events.ContentText: reflect.TypeFor[StatusTextContent](), events.ContentImage: reflect.TypeFor[StatusImageContent](),
	events.ContentVideo: reflect.TypeFor[StatusVideoContent](), events.ContentVoice: reflect.TypeFor[StatusVoiceContent](),
}

// statusContent is what a status update says in a request.
type statusContent struct{ sendContent }

// Schema is the union of what can be posted.
func (statusContent) Schema(r huma.Registry) *huma.Schema {
	return unionSchema(r, "StatusContent", sendableAsStatus)
}

// Resolve checks it as a message's content is checked, and settles how it is shown where that is not said.
func (c *statusContent) Resolve(_ huma.Context, path *huma.PathBuffer) []error {
	found := c.resolve(path, sendableAsStatus)
	if c.Type == events.ContentText || c.Type == events.ContentVoice {
		c.BackgroundColor = cmp.Or(c.BackgroundColor, statusBackground)
	}
	if c.Type == events.ContentText {
		c.Font = cmp.Or(c.Font, statusFont)
	}
	return found
}
