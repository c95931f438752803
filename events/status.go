package events

import "time"

// A status update is a message in the chat StatusChat: of the account to everybody in its status audience, or of a contact.

const (
	// StatusLife is for how long WhatsApp's apps show a status update.
	StatusLife = 24 * time.Hour
	// StatusKept is for how long a status update stays readable by its id, with its viewers: for as long as WhatsApp's apps keep one's own in
	// their archive.
	StatusKept = 30 * 24 * time.Hour
)

// StatusFonts are the fonts of a text that is a status update, by the names of the API; WhatsApp's are in ExtendedTextMessage.FontType.
var StatusFonts = []string{"system", "systemText", "script", "systemBold", "morningBreeze", "calistoga", "exo2", "courierPrime"}

// A StatusViewer is somebody who has viewed a status update.
type StatusViewer struct {
	Viewer   Address   `json:"viewer"`
	ViewedAt time.Time `json:"viewedAt"`
}
