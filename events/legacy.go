package events

import "strings"

// The servers of addresses in the original's messages, which are those of WhatsApp Web: a person is digits@c.us there.
const legacyPersonServer = "c.us"

// LegacyMediaInline is the size up to which a file stands in a legacy webhook as base64, 5 MiB; a larger one is named by its URL.
const LegacyMediaInline = 5 << 20

// A LegacyMessage is a message in the shape that the original program sent to its webhook: the whatsapp-web.js way of speaking of it.
//
// From is the chat: a person as digits@c.us, or digits@lid while WhatsApp has told nothing but the phone-independent number of that person;
// a group with its @g.us. Either can be given back as the number to send to. For a message of the account itself it is the account.
type LegacyMessage struct {
	ID        string        `json:"id" doc:"WhatsApp's id of the message." example:"3EB0C767D097B7A0F1D2E3"`
	SessionID string        `json:"sessionId" example:"mi-sesion-01"`
	From      string        `json:"from" doc:"The chat it came from: digits@c.us, a group's id with @g.us, or digits@lid where no phone number is known. A message of the account's own has the account here." example:"5491123456789@c.us"`
	Author    string        `json:"author,omitempty" doc:"Who wrote it, where from is no single person." example:"5491123456789@c.us"`
	Body      string        `json:"body" doc:"The text, or the caption of a file." example:"Texto del mensaje"`
	Type      string        `json:"type" doc:"chat is a text, ptt a voice note, unknown a kind that this version does not read, ciphertext one that could not be decrypted; the list only grows." example:"chat"`
	Timestamp int64         `json:"timestamp" doc:"Seconds since 1970." example:"1640995200"`
	Contact   LegacyContact `json:"contact"`
	Media     *LegacyMedia  `json:"media,omitempty"`
}

// LegacyContact is who wrote a message.
type LegacyContact struct {
	Name   string `json:"name" example:"Juan Pérez"`
	Number string `json:"number" doc:"Digits; empty where WhatsApp has told no phone number." example:"5491123456789"`
}

// LegacyMedia is the file of a message: its bytes, or where they are.
type LegacyMedia struct {
	Mimetype string `json:"mimetype" example:"image/jpeg"`
	Data     string `json:"data,omitempty" doc:"The bytes in base64: in webhooks, up to 5 MiB."`
	URL      string `json:"url,omitempty" doc:"Where the bytes are, with the API key, when data is not there."`
	Filename string `json:"filename" example:"imagen.jpg"`
}

// legacyTypes are whatsapp-web.js's names of the types of content.
var legacyTypes = map[string]string{
	ContentText: "chat", ContentImage: "image", ContentVideo: "video", ContentVoice: "ptt", ContentAudio: "audio", ContentDocument: "document",
	ContentSticker: "sticker", "location": "location", "contacts": "vcard", "poll": "poll_creation", ContentUndecryptable: "ciphertext",
}

// Legacy returns the original's shape of m. A file is named by its URL; whoever has room for its bytes puts them into Data instead.
func Legacy(m Message) LegacyMessage {
	l := LegacyMessage{
		ID: m.WhatsAppID, SessionID: m.SessionID, Body: m.Content.Text + m.Content.Caption, Type: legacyTypes[m.Content.Type], Timestamp: m.Timestamp.Unix(),
		Contact: LegacyContact{Name: m.From.Name, Number: m.From.Phone},
	}
	if l.Type == "" {
		l.Type = "unknown"
	}
	switch {
	case m.Direction == Outgoing, KindOf(m.ChatID) == KindUser:
		l.From = LegacyAddress(m.From)
	default:
		l.From, l.Author = m.ChatID, LegacyAddress(m.From)
	}
	if media := m.Content.Media; media != nil {
		l.Media = &LegacyMedia{Mimetype: media.Mimetype, URL: media.URL, Filename: media.FileName}
	}
	return l
}

// LegacyAddress is an address in the original's form; empty for an account that does not know its own number yet.
func LegacyAddress(a Address) string {
	if a.Kind == KindUser && a.Phone != "" {
		return a.Phone + "@" + legacyPersonServer
	}
	return a.ID
}

// ParseLegacyAddress is ParseAddress for what clients of the original write: beside the forms of today, a number with spaces, hyphens,
// brackets and a plus, and digits@c.us.
func ParseLegacyAddress(s string) (string, error) {
	user, server, isJID := strings.Cut(strings.TrimSpace(s), "@")
	if isJID && server != legacyPersonServer && server != PhoneServer {
		return ParseAddress(strings.TrimSpace(s)) // the id of a group may hold a hyphen
	}
	user = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -()[]\u00a0\u2010\u2011", r) { // the last three are what a copied number has instead of the first two
			return -1
		}
		return r
	}, user)
	return ParseAddress(user)
}
