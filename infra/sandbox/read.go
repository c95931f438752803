package sandbox

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxWrappers bounds how deep a message is looked for in messages that do nothing but hold another. WhatsApp's apps nest three.
const maxWrappers = 8

// envelope is what is written on a message's wrappers.
type envelope struct {
	viewOnce bool
	info     *waE2E.MessageContextInfo
}

// unwrap finds the message that says something in those that only hold another, as ephemeralMessage, viewOnceMessage, associatedChildMessage
// or documentWithCaptionMessage: all fields of type FutureProofMessage. whatsmeow does so for some of them, each once (events.UnwrapRaw).
func unwrap(m *waE2E.Message) (*waE2E.Message, envelope) {
	var e envelope
	for range maxWrappers {
		if m.GetMessageContextInfo() != nil {
			e.info = m.GetMessageContextInfo() // the innermost holds
		}
		var next *waE2E.Message
		m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			if field.Message() == nil || field.IsList() {
				return true
			}
			switch held := value.Message().Interface().(type) {
			case *waE2E.FutureProofMessage:
				next = held.GetMessage()
			case *waE2E.DeviceSentMessage:
				next = held.GetMessage()
			}
			e.viewOnce = e.viewOnce || next != nil && strings.HasPrefix(string(field.Name()), "viewOnceMessage")
			return next == nil
		})
		if next == nil {
			break
		}
		m = next
	}
	return m, e
}

// reader reads what a phone got in one chat.
type reader struct {
	// name names a user as Content does.
	name func(types.JID) string
	// self is the phone's number, from the sender's name, chat the chat's: in a direct one the other's.
	self, from, chat string
	fromMe, group    bool
}

// read says what a message holds. A Type of "" stands for what a phone handles without showing it, as keys and history. What is encrypted
// with another message's secret is read as far as it is not.
func (r *reader) read(m *waE2E.Message) Content {
	m, e := unwrap(m)
	c := Content{ViewOnce: e.viewOnce}
	r.body(m, &c)
	if c.Type == "" {
		return Content{}
	}
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Message() == nil || field.IsList() {
			return true
		}
		held := value.Message().Interface()
		if once, ok := held.(interface{ GetViewOnce() bool }); ok {
			c.ViewOnce = c.ViewOnce || once.GetViewOnce()
		}
		if context, ok := held.(interface{ GetContextInfo() *waE2E.ContextInfo }); ok && context.GetContextInfo() != nil {
			r.context(context.GetContextInfo(), &c)
		}
		return true
	})
	if c.Type == "pin" {
		c.PinSeconds = e.info.GetMessageAddOnDurationInSecs()
	}
	if a := e.info.GetMessageAssociation(); a.GetAssociationType() == waE2E.MessageAssociation_MEDIA_ALBUM {
		c.AlbumID = a.GetParentMessageKey().GetID()
	}
	return c
}

// context reads what a message says beside what it says itself.
func (r *reader) context(info *waE2E.ContextInfo, c *Content) {
	if info.GetStanzaID() != "" {
		quoted := Content{}
		inner, _ := unwrap(info.GetQuotedMessage())
		r.body(inner, &quoted)
		if quoted.Text == "" {
			quoted.Text = captionOf(inner)
		}
		c.Quote = &Quote{ID: info.GetStanzaID(), From: r.user(info.GetParticipant()), Type: quoted.Type, Text: quoted.Text}
	}
	for _, jid := range info.GetMentionedJID() {
		c.Mentions = append(c.Mentions, r.user(jid))
	}
	for _, group := range info.GetGroupMentions() {
		c.Mentions = append(c.Mentions, group.GetGroupJID())
	}
	c.MentionsEveryone = info.GetNonJIDMentions() > 0
	c.Forwarded, c.ForwardingScore = info.GetIsForwarded(), info.GetForwardingScore()
	c.EphemeralSeconds = info.GetExpiration()
}

// user names a user by the text of a JID; what is none is left as it is.
func (r *reader) user(text string) string {
	jid, err := types.ParseJID(text)
	if err != nil || jid.User == "" {
		return text
	}
	return r.name(jid.ToNonAD())
}

// target names a message by its key, which is written from the view of the one who sent it.
func (r *reader) target(key *waCommon.MessageKey) *Target {
	t := &Target{ID: key.GetID()}
	switch {
	case key.GetFromMe():
		t.From, t.FromMe = r.from, r.fromMe
	case r.group:
		t.From = r.user(key.GetParticipant())
		t.FromMe = t.From == r.self
	case r.fromMe:
		t.From = r.chat
	default:
		t.From, t.FromMe = r.self, true
	}
	return t
}

// body reads the message's one field that says something.
func (r *reader) body(m *waE2E.Message, c *Content) {
	text := m.GetConversation() + m.GetExtendedTextMessage().GetText()
	switch {
	case text != "":
		c.Type, c.Text, c.Preview = "text", text, preview(m.GetExtendedTextMessage())
		look(m.GetExtendedTextMessage(), c)
	case m.GetProtocolMessage() != nil:
		r.protocol(m.GetProtocolMessage(), c)
	case m.GetAudioMessage() != nil:
		if c.Type = "audio"; m.GetAudioMessage().GetPTT() {
			c.Type = "voice"
		}
		c.Background = colour(m.GetAudioMessage().BackgroundArgb)
	case m.GetPtvMessage() != nil:
		c.Type = "video"
	case m.GetLocationMessage() != nil:
		c.Type, c.Location = "location", place(m.GetLocationMessage())
	case m.GetLiveLocationMessage() != nil:
		l := m.GetLiveLocationMessage()
		c.Type, c.LiveLocation = "liveLocation", &LiveLocation{
			Latitude: finite(l.GetDegreesLatitude()), Longitude: finite(l.GetDegreesLongitude()), AccuracyMeters: l.GetAccuracyInMeters(),
			Speed: float32(finite(float64(l.GetSpeedInMps()))), Heading: l.GetDegreesClockwiseFromMagneticNorth(), Caption: l.GetCaption(),
			Sequence: l.GetSequenceNumber(),
		}
	case m.GetContactMessage() != nil:
		c.Type, c.Contacts = "contacts", []Contact{card(m.GetContactMessage())}
	case m.GetContactsArrayMessage() != nil:
		c.Type = "contacts"
		for _, contact := range m.GetContactsArrayMessage().GetContacts() {
			c.Contacts = append(c.Contacts, card(contact))
		}
	case pollOf(m) != nil:
		poll := pollOf(m)
		c.Type, c.Poll = "poll", &Poll{Question: poll.GetName(), Options: []string{}, SelectableCount: poll.GetSelectableOptionsCount()}
		for _, option := range poll.GetOptions() {
			c.Poll.Options = append(c.Poll.Options, option.GetOptionName())
		}
	case m.GetEventMessage() != nil:
		e := m.GetEventMessage()
		c.Type, c.Event = "event", &CalendarEvent{
			Name: e.GetName(), Description: e.GetDescription(), JoinLink: e.GetJoinLink(), StartAt: unix(e.GetStartTime()), EndAt: unix(e.GetEndTime()),
			Canceled: e.GetIsCanceled(), ExtraGuestsAllowed: e.GetExtraGuestsAllowed(),
		}
		if e.GetLocation() != nil {
			c.Event.Location = place(e.GetLocation())
		}
	case m.GetAlbumMessage() != nil:
		c.Type, c.Album = "album", &Album{Images: m.GetAlbumMessage().GetExpectedImageCount(), Videos: m.GetAlbumMessage().GetExpectedVideoCount()}
	case m.GetGroupInviteMessage() != nil:
		i := m.GetGroupInviteMessage()
		c.Type, c.GroupInvite = "groupInvite", &GroupInvite{
			GroupJID: i.GetGroupJID(), Code: i.GetInviteCode(), ExpiresAt: unix(i.GetInviteExpiration()), GroupName: i.GetGroupName(), Caption: i.GetCaption(),
		}
	case m.GetNewsletterAdminInviteMessage() != nil:
		i := m.GetNewsletterAdminInviteMessage()
		c.Type, c.ChannelInvite = "channelInvite", &ChannelInvite{
			ChannelJID: i.GetNewsletterJID(), Name: i.GetNewsletterName(), Caption: i.GetCaption(), Admin: true, ExpiresAt: unix(i.GetInviteExpiration()),
		}
	case m.GetNewsletterFollowerInviteMessageV2() != nil:
		i := m.GetNewsletterFollowerInviteMessageV2()
		c.Type, c.ChannelInvite = "channelInvite", &ChannelInvite{ChannelJID: i.GetNewsletterJID(), Name: i.GetNewsletterName(), Caption: i.GetCaption()}
	case r.addOn(m, c), r.interactive(m, c), r.call(m, c):
	default:
		c.Type = fieldName(m)
	}
}

// addOn reads what is done to another message.
func (r *reader) addOn(m *waE2E.Message, c *Content) bool {
	switch {
	case m.GetReactionMessage() != nil:
		c.Type, c.Target, c.Emoji = "reaction", r.target(m.GetReactionMessage().GetKey()), m.GetReactionMessage().GetText()
	case m.GetEncReactionMessage() != nil:
		c.Type, c.Target, c.Encrypted = "reaction", r.target(m.GetEncReactionMessage().GetTargetMessageKey()), true
	case m.GetCommentMessage() != nil:
		c.Type, c.Target = "comment", r.target(m.GetCommentMessage().GetTargetMessageKey())
		c.Text = textOf(m.GetCommentMessage().GetMessage())
	case m.GetEncCommentMessage() != nil:
		c.Type, c.Target = "comment", r.target(m.GetEncCommentMessage().GetTargetMessageKey())
	case m.GetPollUpdateMessage() != nil:
		c.Type, c.Target = "pollVote", r.target(m.GetPollUpdateMessage().GetPollCreationMessageKey())
	case m.GetEncEventResponseMessage() != nil:
		c.Type, c.Target = "eventResponse", r.target(m.GetEncEventResponseMessage().GetEventCreationMessageKey())
	case m.GetSecretEncryptedMessage() != nil:
		c.Type, c.Target = "edit", r.target(m.GetSecretEncryptedMessage().GetTargetMessageKey())
	case m.GetPinInChatMessage() != nil:
		c.Target = r.target(m.GetPinInChatMessage().GetKey())
		if c.Type = "unpin"; m.GetPinInChatMessage().GetType() == waE2E.PinInChatMessage_PIN_FOR_ALL {
			c.Type = "pin"
		}
	case m.GetKeepInChatMessage() != nil:
		c.Target = r.target(m.GetKeepInChatMessage().GetKey())
		if c.Type = "unkeep"; m.GetKeepInChatMessage().GetKeepType() == waE2E.KeepType_KEEP_FOR_ALL {
			c.Type = "keep"
		}
	default:
		return false
	}
	return true
}

// protocol reads the few protocol messages that a person sees; the others are between devices.
func (r *reader) protocol(p *waE2E.ProtocolMessage, c *Content) {
	if p.Type == nil {
		return
	}
	switch p.GetType() {
	case waE2E.ProtocolMessage_REVOKE:
		c.Type, c.Target = "revoke", r.target(p.GetKey())
	case waE2E.ProtocolMessage_MESSAGE_EDIT:
		r.edited(p.GetEditedMessage(), c)
		c.Target = r.target(p.GetKey())
	case waE2E.ProtocolMessage_EPHEMERAL_SETTING:
		c.Type, c.EphemeralSeconds = "ephemeral", p.GetEphemeralExpiration()
	case waE2E.ProtocolMessage_SHARE_PHONE_NUMBER:
		c.Type = "sharePhoneNumber"
	case waE2E.ProtocolMessage_STATUS_MENTION_MESSAGE:
		c.Type = "statusMention"
	}
}

// edited reads the new form of a message: its text or caption, or what else it is.
func (r *reader) edited(m *waE2E.Message, c *Content) {
	inner, _ := unwrap(m)
	if inner.GetProtocolMessage() == nil && inner.GetSecretEncryptedMessage() == nil { // an edit of an edit is none
		target := c.Target
		*c = r.read(inner)
		c.Target = target
		if c.Text == "" {
			c.Text = captionOf(inner)
		}
	}
	c.Type = "edit"
}

// call reads notes about calls.
func (r *reader) call(m *waE2E.Message, c *Content) bool {
	switch {
	case m.GetCallLogMesssage() != nil:
		l := m.GetCallLogMesssage()
		c.Type, c.Call = "callLog", &CallNote{Video: l.GetIsVideo(), Outcome: strings.ToLower(l.GetCallOutcome().String()), Seconds: l.GetDurationSecs()}
	case m.GetScheduledCallCreationMessage() != nil:
		s := m.GetScheduledCallCreationMessage()
		c.Type, c.Title = "scheduledCall", s.GetTitle()
		c.Call = &CallNote{Video: s.GetCallType() == waE2E.ScheduledCallCreationMessage_VIDEO, At: unix(s.GetScheduledTimestampMS() / 1000)}
	case m.GetScheduledCallEditMessage() != nil:
		e := m.GetScheduledCallEditMessage()
		c.Type, c.Target = "scheduledCallEdit", r.target(e.GetKey())
		c.Call = &CallNote{Canceled: e.GetEditType() == waE2E.ScheduledCallEditMessage_CANCEL}
	default:
		return false
	}
	return true
}

// pollOf finds a poll in whichever version of its field it is.
func pollOf(m *waE2E.Message) *waE2E.PollCreationMessage {
	for _, poll := range []*waE2E.PollCreationMessage{
		m.GetPollCreationMessage(), m.GetPollCreationMessageV2(), m.GetPollCreationMessageV3(), m.GetPollCreationMessageV5(), m.GetPollCreationMessageV6(),
	} {
		if poll != nil {
			return poll
		}
	}
	return nil
}

// preview reads what a text shows of its link; nil when it shows nothing.
func preview(m *waE2E.ExtendedTextMessage) *Preview {
	if m.GetMatchedText() == "" && m.GetTitle() == "" {
		return nil
	}
	return &Preview{
		URL: m.GetMatchedText(), Title: m.GetTitle(), Description: m.GetDescription(),
		HasThumbnail: len(m.GetJPEGThumbnail()) > 0 || m.GetThumbnailDirectPath() != "",
	}
}

func place(l *waE2E.LocationMessage) *Location {
	return &Location{
		Latitude: finite(l.GetDegreesLatitude()), Longitude: finite(l.GetDegreesLongitude()), Name: l.GetName(), Address: l.GetAddress(), URL: l.GetURL(),
	}
}

// whatsAppNumber finds the numbers of a card that are on WhatsApp, as its apps mark them.
var whatsAppNumber = regexp.MustCompile(`waid=([1-9][0-9]{6,14})\b`)

func card(m *waE2E.ContactMessage) Contact {
	c := Contact{Name: m.GetDisplayName(), VCard: m.GetVcard()}
	for _, found := range whatsAppNumber.FindAllStringSubmatch(c.VCard, 100) {
		if !slices.Contains(c.Phones, found[1]) {
			c.Phones = append(c.Phones, found[1])
		}
	}
	return c
}

// textOf is a message's text or caption.
func textOf(m *waE2E.Message) string {
	m, _ = unwrap(m)
	if text := m.GetConversation() + m.GetExtendedTextMessage().GetText(); text != "" {
		return text
	}
	return captionOf(m)
}

func captionOf(m *waE2E.Message) string {
	if file, ok := fileOf(m).(interface{ GetCaption() string }); ok {
		return file.GetCaption()
	}
	return ""
}

// fieldName names a message by the first of its fields that says something.
func fieldName(m *waE2E.Message) (name string) {
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		switch field.Name() {
		case "messageContextInfo", "senderKeyDistributionMessage", "fastRatchetKeySenderKeyDistributionMessage":
			return true
		}
		// Range has no order: of several fields the one of the lowest name is taken, so that a message always has the same type.
		if found := strings.TrimSuffix(string(field.Name()), "Message"); name == "" || found < name {
			name = found
		}
		return true
	})
	return name
}

// finite is a number that JSON can hold; a sender may send others.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

// unix is a time in seconds; nil for 0 and for what RFC 3339 cannot hold, the year 10000 and later.
func unix(seconds int64) *time.Time {
	if seconds <= 0 || seconds >= 253402300800 {
		return nil
	}
	t := time.Unix(seconds, 0).UTC()
	return &t
}
