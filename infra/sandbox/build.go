package sandbox

import (
	"crypto/rand"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// outgoingKinds are all the types of messages that a phone can send; buildaddon.go has those that are done to another message.
var outgoingKinds map[string]outgoingKind

func init() { // a literal would refer to itself, by way of post
	outgoingKinds = map[string]outgoingKind{
		"text":         {"text! preview background font", true, (*composer).text},
		"location":     {"location!", true, (*composer).location},
		"liveLocation": {"liveLocation!", true, (*composer).liveLocation},
		"contacts":     {"contacts!", true, (*composer).contacts},
		"poll":         {"poll!", true, (*composer).poll},
		"event":        {"event!", true, (*composer).event},
		"album":        {"album!", true, (*composer).album},
		"groupInvite":  {"groupInvite!", true, (*composer).groupInvite},
		"buttons":      {"title text! buttons!", true, (*composer).buttons},
		"list":         {"title text! buttons!", true, (*composer).list},

		"buttonsResponse":     {"text! selectedId!", true, (*composer).choice},
		"listResponse":        {"text! selectedId!", true, (*composer).choice},
		"templateButtonReply": {"text! selectedId!", true, (*composer).choice},
		"requestPhoneNumber": {"", true, func(*composer) (*waE2E.Message, error) {
			return &waE2E.Message{RequestPhoneNumberMessage: &waE2E.RequestPhoneNumberMessage{}}, nil
		}},

		"ephemeral":     {"ephemeralSeconds", false, (*composer).ephemeral},
		"forward":       {"target!", true, (*composer).forward},
		"edit":          {"target! text event mentions", false, (*composer).edit},
		"revoke":        {"target!", false, (*composer).revoke},
		"reaction":      {"target! emoji encrypted", false, (*composer).reaction},
		"comment":       {"target! text!", false, (*composer).comment},
		"pollVote":      {"target! selected", false, (*composer).pollVote},
		"eventResponse": {"target! response! extraGuests", false, (*composer).eventResponse},
		"pin":           {"target! pinSeconds", false, (*composer).pin},
		"unpin":         {"target!", false, (*composer).pin},
		"keep":          {"target!", false, (*composer).keep},
		"unkeep":        {"target!", false, (*composer).keep},

		"image":    {"mimetype caption thumbnail width height viewOnce albumId", true, nil},
		"video":    {"mimetype caption thumbnail width height viewOnce albumId gif ptv seconds", true, nil},
		"audio":    {"mimetype seconds viewOnce", true, nil},
		"voice":    {"mimetype seconds waveform viewOnce", true, nil},
		"document": {"mimetype caption fileName thumbnail", true, nil},
		"sticker":  {"mimetype thumbnail width height animated", true, nil},
	}
}

func protoValue(m proto.Message) protoreflect.Value {
	return protoreflect.ValueOfMessage(m.ProtoReflect())
}

// optional is a text that is left out of a message when it is empty.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// secret is what votes, answers and edits are encrypted with later. whatsmeow keeps it when it sends the message (PutMessageSecret in
// SendMessage).
func secret() *waE2E.MessageContextInfo {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return &waE2E.MessageContextInfo{MessageSecret: key}
}

func (c *composer) text() (*waE2E.Message, error) {
	if c.Background != "" || c.Font != "" {
		return c.statusText()
	}
	if c.Preview == nil {
		return textMessage(c.Text), nil
	}
	if !strings.Contains(c.Text, c.Preview.URL) || c.Preview.URL == "" || c.Preview.HasThumbnail && len(c.Preview.Thumbnail) == 0 {
		return nil, refuse("preview must have a url that is in the text, and a thumbnail instead of hasThumbnail")
	}
	return &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{
		Text: &c.Text, MatchedText: &c.Preview.URL, Title: &c.Preview.Title, Description: optional(c.Preview.Description), JPEGThumbnail: c.Preview.Thumbnail,
		PreviewType: waE2E.ExtendedTextMessage_NONE.Enum(),
	}}, nil
}

func checkPlace(latitude, longitude float64) error {
	if math.Abs(latitude) > 90 || math.Abs(longitude) > 180 {
		return refuse("latitude must be from -90 to 90, longitude from -180 to 180")
	}
	return nil
}

func (l *Location) message() *waE2E.LocationMessage {
	return &waE2E.LocationMessage{
		DegreesLatitude: &l.Latitude, DegreesLongitude: &l.Longitude, Name: optional(l.Name), Address: optional(l.Address), URL: optional(l.URL),
	}
}

func (c *composer) location() (*waE2E.Message, error) {
	return &waE2E.Message{LocationMessage: c.Location.message()}, checkPlace(c.Location.Latitude, c.Location.Longitude)
}

func (c *composer) liveLocation() (*waE2E.Message, error) {
	l := c.LiveLocation
	return &waE2E.Message{LiveLocationMessage: &waE2E.LiveLocationMessage{
		DegreesLatitude: &l.Latitude, DegreesLongitude: &l.Longitude, AccuracyInMeters: &l.AccuracyMeters, SpeedInMps: &l.Speed,
		DegreesClockwiseFromMagneticNorth: &l.Heading, Caption: optional(l.Caption), SequenceNumber: &l.Sequence,
	}}, checkPlace(l.Latitude, l.Longitude)
}

func (c *composer) contacts() (*waE2E.Message, error) {
	cards := make([]*waE2E.ContactMessage, len(c.Contacts))
	for i := range c.Contacts {
		contact := &c.Contacts[i]
		if contact.Name == "" || strings.ContainsAny(contact.Name, "\r\n") || contact.VCard == "" && len(contact.Phones) == 0 {
			return nil, refuse("each contact must have a name, of one line, and phones or a vcard")
		}
		vcard := contact.VCard
		if vcard == "" {
			vcard = "BEGIN:VCARD\nVERSION:3.0\nN:;" + contact.Name + ";;;\nFN:" + contact.Name + "\n"
			for _, number := range contact.Phones {
				if err := checkNumber("phones", number); err != nil {
					return nil, err
				}
				vcard += fmt.Sprintf("TEL;type=CELL;waid=%s:+%s\n", number, number)
			}
			vcard += "END:VCARD"
		}
		cards[i] = &waE2E.ContactMessage{DisplayName: &contact.Name, Vcard: &vcard}
	}
	if len(cards) == 1 {
		return &waE2E.Message{ContactMessage: cards[0]}, nil
	}
	return &waE2E.Message{ContactsArrayMessage: &waE2E.ContactsArrayMessage{
		DisplayName: proto.String(fmt.Sprintf("%d contacts", len(cards))), Contacts: cards,
	}}, nil
}

func (c *composer) poll() (*waE2E.Message, error) {
	options := slices.Clone(c.Poll.Options)
	slices.Sort(options)
	switch n := len(options); {
	case c.Poll.Question == "" || n < 2 || n > 12 || options[0] == "" || len(slices.Compact(options)) < n: // 12 is what WhatsApp's apps allow
		return nil, refuse("poll must have a question and 2 to 12 options, none of them empty or twice there")
	case c.Poll.SelectableCount > uint32(n):
		return nil, refuse("selectableCount must be 0, for any number, to %d", n)
	}
	return builder.BuildPollCreation(c.Poll.Question, c.Poll.Options, int(c.Poll.SelectableCount)), nil
}

func (e *CalendarEvent) message() (*waE2E.EventMessage, error) {
	if e.Name == "" || e.StartAt == nil || e.EndAt != nil && e.EndAt.Before(*e.StartAt) {
		return nil, refuse("event must have a name and startAt, and must not end before")
	}
	m := &waE2E.EventMessage{
		Name: &e.Name, Description: optional(e.Description), JoinLink: optional(e.JoinLink), StartTime: proto.Int64(e.StartAt.Unix()),
		IsCanceled: &e.Canceled, ExtraGuestsAllowed: &e.ExtraGuestsAllowed,
	}
	if e.EndAt != nil {
		m.EndTime = proto.Int64(e.EndAt.Unix())
	}
	if e.Location != nil {
		m.Location = e.Location.message()
		return m, checkPlace(e.Location.Latitude, e.Location.Longitude)
	}
	return m, nil
}

func (c *composer) event() (*waE2E.Message, error) {
	m, err := c.Event.message()
	return &waE2E.Message{EventMessage: m, MessageContextInfo: secret()}, err
}

func (c *composer) album() (*waE2E.Message, error) {
	if c.Album.Images+c.Album.Videos < 2 || c.Album.Images > 100 || c.Album.Videos > 100 {
		return nil, refuse("album must expect 2 images and videos at least, and at most 100 of each")
	}
	return &waE2E.Message{AlbumMessage: &waE2E.AlbumMessage{ExpectedImageCount: &c.Album.Images, ExpectedVideoCount: &c.Album.Videos}}, nil
}

func (c *composer) groupInvite() (*waE2E.Message, error) {
	i := c.GroupInvite
	if jid := recipientJID(i.GroupJID); jid.Server != types.GroupServer || jid.User == "" || i.Code == "" {
		return nil, refuse("groupInvite must have the groupJid of a group and a code")
	}
	expires := time.Now().Add(3 * 24 * time.Hour) // as WhatsApp's apps say
	if i.ExpiresAt != nil {
		expires = *i.ExpiresAt
	}
	return &waE2E.Message{GroupInviteMessage: &waE2E.GroupInviteMessage{
		GroupJID: &i.GroupJID, InviteCode: &i.Code, InviteExpiration: proto.Int64(expires.Unix()), GroupName: &i.GroupName, Caption: optional(i.Caption),
	}}, nil
}

func (c *composer) buttons() (*waE2E.Message, error) {
	m := &waE2E.ButtonsMessage{ContentText: &c.Text, HeaderType: waE2E.ButtonsMessage_EMPTY.Enum()}
	if c.Title != "" {
		m.HeaderType, m.Header = waE2E.ButtonsMessage_TEXT.Enum(), &waE2E.ButtonsMessage_Text{Text: c.Title}
	}
	for i := range c.Buttons {
		button := &c.Buttons[i]
		if button.ID == "" || button.Text == "" || button.Description != "" || len(c.Buttons) > 3 {
			return nil, refuse("buttons must be 1 to 3, each with an id and a text alone")
		}
		m.Buttons = append(m.Buttons, &waE2E.ButtonsMessage_Button{
			ButtonID: &button.ID, ButtonText: &waE2E.ButtonsMessage_Button_ButtonText{DisplayText: &button.Text}, Type: waE2E.ButtonsMessage_Button_RESPONSE.Enum(),
		})
	}
	return &waE2E.Message{ButtonsMessage: m}, nil
}

func (c *composer) list() (*waE2E.Message, error) {
	section := &waE2E.ListMessage_Section{Title: proto.String("")}
	for i := range c.Buttons {
		row := &c.Buttons[i]
		if row.ID == "" || row.Text == "" || len(c.Buttons) > 10 {
			return nil, refuse("buttons must be 1 to 10, each with an id and a text")
		}
		section.Rows = append(section.Rows, &waE2E.ListMessage_Row{RowID: &row.ID, Title: &row.Text, Description: optional(row.Description)})
	}
	return &waE2E.Message{ListMessage: &waE2E.ListMessage{
		Title: optional(c.Title), Description: &c.Text, ButtonText: proto.String("Options"), ListType: waE2E.ListMessage_SINGLE_SELECT.Enum(),
		Sections: []*waE2E.ListMessage_Section{section},
	}}, nil
}

// choice is the answer to buttons, a list or a template, which it quotes.
func (c *composer) choice() (*waE2E.Message, error) {
	if c.Quote == nil {
		return nil, refuse("a message of type %s must have a quote, of what it answers", c.Type)
	}
	switch c.Type {
	case "buttonsResponse":
		return &waE2E.Message{ButtonsResponseMessage: &waE2E.ButtonsResponseMessage{
			SelectedButtonID: &c.SelectedID, Type: waE2E.ButtonsResponseMessage_DISPLAY_TEXT.Enum(),
			Response: &waE2E.ButtonsResponseMessage_SelectedDisplayText{SelectedDisplayText: c.Text},
		}}, nil
	case "listResponse":
		return &waE2E.Message{ListResponseMessage: &waE2E.ListResponseMessage{
			Title: &c.Text, ListType: waE2E.ListResponseMessage_SINGLE_SELECT.Enum(),
			SingleSelectReply: &waE2E.ListResponseMessage_SingleSelectReply{SelectedRowID: &c.SelectedID},
		}}, nil
	}
	return &waE2E.Message{TemplateButtonReplyMessage: &waE2E.TemplateButtonReplyMessage{SelectedID: &c.SelectedID, SelectedDisplayText: &c.Text}}, nil
}

// ephemeral sets a direct chat's timer; a group's is set at the server.
func (c *composer) ephemeral() (*waE2E.Message, error) {
	seconds := time.Duration(c.EphemeralSeconds) * time.Second
	switch seconds {
	case whatsmeow.DisappearingTimerOff, whatsmeow.DisappearingTimer24Hours, whatsmeow.DisappearingTimer7Days, whatsmeow.DisappearingTimer90Days:
	default:
		return nil, refuse("ephemeralSeconds must be 86400, 604800, 7776000, or 0 to turn it off")
	}
	if c.to.Server != types.DefaultUserServer {
		return nil, refuse("only the timer of a direct chat is set by a message")
	}
	return &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type: waE2E.ProtocolMessage_EPHEMERAL_SETTING.Enum(), EphemeralExpiration: &c.EphemeralSeconds, EphemeralSettingTimestamp: proto.Int64(time.Now().Unix()),
	}}, nil
}
