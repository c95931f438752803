package connector

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/chasqui/chasqui/events"
)

const (
	// maxWrappers bounds how deep a message is looked for in messages that do nothing but hold another. WhatsApp's apps nest three.
	maxWrappers = 8
	// maxCard and maxPhones bound a contact card and its numbers, as the API shows them.
	maxCard, maxPhones = 64 << 10, 20
)

// wrapping is what the wrappers of a message say of it.
type wrapping struct {
	viewOnce bool
	info     *waE2E.MessageContextInfo // the innermost
}

// unwrap finds the message that says something in those that only hold another, as ephemeralMessage, viewOnceMessage or
// associatedChildMessage: all fields of type FutureProofMessage. whatsmeow does so for some of them, each once (events.UnwrapRaw).
func unwrap(m *waE2E.Message) (*waE2E.Message, wrapping) {
	var w wrapping
	for range maxWrappers {
		if info := m.GetMessageContextInfo(); info != nil {
			w.info = info
		}
		if m == nil || m.Conversation != nil || m.ExtendedTextMessage != nil { // the most frequent, without a look at every field
			break
		}
		var next *waE2E.Message
		m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			if field.Message() == nil || field.IsList() || field.IsMap() {
				return true
			}
			switch held := value.Message().Interface().(type) {
			case *waE2E.FutureProofMessage:
				next = held.GetMessage()
			case *waE2E.DeviceSentMessage:
				next = held.GetMessage()
			}
			w.viewOnce = w.viewOnce || next != nil && strings.HasPrefix(string(field.Name()), "viewOnceMessage")
			return next == nil
		})
		if next == nil {
			break
		}
		m = next
	}
	return m, w
}

// contentOf reads what a message without a file says, all wrappers taken off; false when it says nothing to a person: keys, receipts of the
// protocol, and what changes another message (reactions, edits, votes), which is no message of its own. Every text is made fit to be stored.
func contentOf(m *waE2E.Message) (events.Content, bool) {
	text := m.GetConversation()
	if m.GetExtendedTextMessage() != nil {
		text = m.GetExtendedTextMessage().GetText()
	}
	if text != "" {
		return events.Content{Type: events.ContentText, Text: printable(text), LinkPreview: previewOf(m.GetExtendedTextMessage())}, true
	}
	switch {
	case m.GetLocationMessage() != nil:
		return events.Content{Type: events.ContentLocation, Location: placeOf(m.GetLocationMessage())}, true
	case m.GetLiveLocationMessage() != nil:
		l := m.GetLiveLocationMessage()
		return events.Content{Type: events.ContentLiveLocation, Caption: printable(l.GetCaption()), LiveLocation: &events.LiveLocation{
			Latitude: degrees(l.GetDegreesLatitude(), 90), Longitude: degrees(l.GetDegreesLongitude(), 180), AccuracyMeters: l.GetAccuracyInMeters(),
			Speed: max(0, float32(finite(float64(l.GetSpeedInMps())))), Heading: l.GetDegreesClockwiseFromMagneticNorth() % 360,
			Sequence: max(0, l.GetSequenceNumber()),
		}}, true
	case m.GetContactMessage() != nil:
		return events.Content{Type: events.ContentContacts, Contacts: []events.ContactCard{cardOf(m.GetContactMessage())}}, true
	case m.GetContactsArrayMessage() != nil:
		cards := []events.ContactCard{}
		for _, card := range m.GetContactsArrayMessage().GetContacts() {
			cards = append(cards, cardOf(card))
		}
		return events.Content{Type: events.ContentContacts, Contacts: cards}, true
	case pollOf(m) != nil:
		poll := &events.Poll{Question: printable(pollOf(m).GetName()), Options: []string{}, SelectableCount: int(pollOf(m).GetSelectableOptionsCount())}
		for _, option := range pollOf(m).GetOptions() {
			poll.Options = append(poll.Options, printable(option.GetOptionName()))
		}
		return events.Content{Type: events.ContentPoll, Poll: poll}, true
	case m.GetEventMessage() != nil:
		return events.Content{Type: events.ContentEvent, Event: eventOf(m.GetEventMessage())}, true
	case m.GetGroupInviteMessage() != nil:
		i := m.GetGroupInviteMessage()
		return events.Content{Type: events.ContentGroupInvite, GroupInvite: &events.GroupInvite{
			GroupID: printable(i.GetGroupJID()), Code: printable(i.GetInviteCode()), ExpiresAt: instant(i.GetInviteExpiration()),
			Name: printable(i.GetGroupName()), Caption: printable(i.GetCaption()),
		}}, true
	case m.GetAlbumMessage() != nil:
		a := m.GetAlbumMessage()
		return events.Content{Type: events.ContentAlbum, Album: &events.Album{Images: int(a.GetExpectedImageCount()), Videos: int(a.GetExpectedVideoCount())}}, true
	}
	if text := wording(m); text != "" {
		return events.Content{Type: events.ContentText, Text: printable(text)}, true
	}
	shown := false
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		shown = !silent[field.Name()]
		return !shown
	})
	return events.Content{Type: events.ContentUnsupported}, shown
}

// silent are the fields of waE2E.Message that no chat shows as a message.
var silent = map[protoreflect.Name]bool{
	"conversation": true, "messageContextInfo": true, "senderKeyDistributionMessage": true,
	"fastRatchetKeySenderKeyDistributionMessage": true, "protocolMessage": true, "deviceSentMessage": true, "reactionMessage": true,
	"encReactionMessage": true, "pollUpdateMessage": true, "editedMessage": true, "secretEncryptedMessage": true, "keepInChatMessage": true,
	"pinInChatMessage": true, "encEventResponseMessage": true, "stickerSyncRmrMessage": true, "messageHistoryBundle": true,
	"messageHistoryNotice": true, "scheduledCallEditMessage": true, "call": true, "placeholderMessage": true, "groupRootKeyShare": true,
	"rootSecretDistributeMessage": true, "pollAddOptionMessage": true,
}

// wording is the text of the messages of businesses, with something to choose, and of the choices; "" for others. What there is to choose is
// not in it: it is in the raw form.
func wording(m *waE2E.Message) string {
	lines := func(parts ...string) string {
		return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "\n")
	}
	switch {
	case m.GetButtonsMessage() != nil:
		b := m.GetButtonsMessage()
		return lines(b.GetText(), b.GetContentText(), b.GetFooterText())
	case m.GetButtonsResponseMessage() != nil:
		return m.GetButtonsResponseMessage().GetSelectedDisplayText()
	case m.GetListMessage() != nil:
		l := m.GetListMessage()
		return lines(l.GetTitle(), l.GetDescription(), l.GetFooterText())
	case m.GetListResponseMessage() != nil:
		return cmp.Or(m.GetListResponseMessage().GetTitle(), m.GetListResponseMessage().GetDescription())
	case m.GetTemplateMessage() != nil:
		return templateWording(m.GetTemplateMessage(), lines)
	case m.GetHighlyStructuredMessage().GetHydratedHsm() != nil:
		return templateWording(m.GetHighlyStructuredMessage().GetHydratedHsm(), lines)
	case m.GetTemplateButtonReplyMessage() != nil:
		return m.GetTemplateButtonReplyMessage().GetSelectedDisplayText()
	case m.GetInteractiveMessage() != nil:
		i := m.GetInteractiveMessage()
		return lines(i.GetHeader().GetTitle(), i.GetBody().GetText(), i.GetFooter().GetText())
	case m.GetInteractiveResponseMessage() != nil:
		return m.GetInteractiveResponseMessage().GetBody().GetText()
	}
	return ""
}

func templateWording(m *waE2E.TemplateMessage, lines func(...string) string) string {
	t := m.GetHydratedTemplate()
	if t == nil {
		t = m.GetHydratedFourRowTemplate()
	}
	if t == nil {
		i := m.GetInteractiveMessageTemplate()
		return lines(i.GetHeader().GetTitle(), i.GetBody().GetText(), i.GetFooter().GetText())
	}
	return lines(t.GetHydratedTitleText(), t.GetHydratedContentText(), t.GetHydratedFooterText())
}

// previewOf reads what a text shows of its link; nil when it shows nothing.
func previewOf(m *waE2E.ExtendedTextMessage) *events.LinkPreview {
	if m.GetMatchedText() == "" {
		return nil
	}
	return &events.LinkPreview{URL: printable(m.GetMatchedText()), Title: printable(m.GetTitle()), Description: printable(m.GetDescription())}
}

func placeOf(l *waE2E.LocationMessage) *events.Location {
	return &events.Location{
		Latitude: degrees(l.GetDegreesLatitude(), 90), Longitude: degrees(l.GetDegreesLongitude(), 180), Name: printable(l.GetName()), Address: printable(l.GetAddress()),
	}
}

func eventOf(m *waE2E.EventMessage) *events.CalendarEvent {
	e := &events.CalendarEvent{
		Name: printable(m.GetName()), Description: printable(m.GetDescription()), EndAt: instant(m.GetEndTime()), JoinLink: printable(m.GetJoinLink()),
		ExtraGuests: m.GetExtraGuestsAllowed(), Cancelled: m.GetIsCanceled(),
	}
	if at := instant(m.GetStartTime()); at != nil {
		e.StartAt = *at
	}
	if m.GetLocation() != nil {
		e.Location = placeOf(m.GetLocation())
	}
	return e
}

// pollOf finds a poll in whichever version of its field it is.
func pollOf(m *waE2E.Message) *waE2E.PollCreationMessage {
	return cmp.Or(m.GetPollCreationMessage(), m.GetPollCreationMessageV2(), m.GetPollCreationMessageV3(), m.GetPollCreationMessageV5(), m.GetPollCreationMessageV6())
}

var (
	cardPhone = regexp.MustCompile(`(?im)^(?:[\w-]+\.)?TEL\b([^:\r\n]*):([^\r\n]*)`)
	cardWAID  = regexp.MustCompile(`(?i)\bwaid=([0-9]{5,15})\b`)
	cardName  = regexp.MustCompile(`(?im)^FN\b[^:\r\n]*:([^\r\n]+)`)
)

// cardOf reads a card: its name, and the number of each line TEL, which is that of its WhatsApp account (waid) where the line has one.
func cardOf(m *waE2E.ContactMessage) events.ContactCard {
	card := events.ContactCard{Name: printable(m.GetDisplayName()), VCard: printable(m.GetVcard())}
	if len(card.VCard) > maxCard {
		card.VCard = ""
	}
	if found := cardName.FindStringSubmatch(card.VCard); card.Name == "" && found != nil {
		card.Name = strings.TrimSpace(found[1])
	}
	for _, line := range cardPhone.FindAllStringSubmatch(card.VCard, 5*maxPhones) {
		number := strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, line[2])
		if waid := cardWAID.FindStringSubmatch(line[1]); waid != nil {
			number = waid[1]
		}
		if len(number) >= 5 && len(number) <= 15 && !slices.Contains(card.Phones, number) && len(card.Phones) < maxPhones {
			card.Phones = append(card.Phones, number)
		}
	}
	return card
}

// finite is a number that JSON can hold; a sender may send others.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

// degrees are degrees of at most most to either side.
func degrees(f, most float64) float64 { return min(max(finite(f), -most), most) }

// instant is a time in seconds; nil for 0 and for what RFC 3339 cannot hold, the year 10000 and later.
func instant(seconds int64) *time.Time {
	if seconds <= 0 || seconds >= 253402300800 {
		return nil
	}
	t := time.Unix(seconds, 0).UTC()
	return &t
}
