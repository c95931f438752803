package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
)

// textMessage is a text, with the preview of its link.
func textMessage(content *events.Content, thumbnail []byte) *waE2E.Message {
	p := content.LinkPreview
	if p == nil {
		return &waE2E.Message{Conversation: proto.String(content.Text)}
	}
	return &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{
		Text: proto.String(content.Text), MatchedText: proto.String(p.URL), Title: proto.String(p.Title), Description: optional(p.Description),
		JPEGThumbnail: thumbnail, PreviewType: waE2E.ExtendedTextMessage_NONE.Enum(),
	}}
}

func place(l *events.Location) *waE2E.LocationMessage {
	return &waE2E.LocationMessage{DegreesLatitude: &l.Latitude, DegreesLongitude: &l.Longitude, Name: optional(l.Name), Address: optional(l.Address)}
}

func liveLocation(content *events.Content) *waE2E.Message {
	l := content.LiveLocation
	m := &waE2E.LiveLocationMessage{DegreesLatitude: &l.Latitude, DegreesLongitude: &l.Longitude, Caption: optional(content.Caption)}
	if l.AccuracyMeters > 0 {
		m.AccuracyInMeters = &l.AccuracyMeters
	}
	if l.Speed > 0 {
		m.SpeedInMps = &l.Speed
	}
	if l.Heading > 0 {
		m.DegreesClockwiseFromMagneticNorth = &l.Heading
	}
	if l.Sequence > 0 {
		m.SequenceNumber = &l.Sequence
	}
	return &waE2E.Message{LiveLocationMessage: m}
}

// cards is one card, or several in one message.
func cards(contacts []events.ContactCard) *waE2E.Message {
	list := make([]*waE2E.ContactMessage, len(contacts))
	for i, card := range contacts {
		if card.VCard == "" {
			card.VCard = vCard(card)
		}
		list[i] = &waE2E.ContactMessage{DisplayName: proto.String(card.Name), Vcard: proto.String(card.VCard)}
	}
	if len(list) == 1 {
		return &waE2E.Message{ContactMessage: list[0]}
	}
	return &waE2E.Message{ContactsArrayMessage: &waE2E.ContactsArrayMessage{DisplayName: proto.String(fmt.Sprintf("%d contacts", len(list))), Contacts: list}}
}

// vCardText escapes a value of a vCard (RFC 2426, section 5).
var vCardText = strings.NewReplacer(`\`, `\\`, ",", `\,`, ";", `\;`, "\r\n", `\n`, "\n", `\n`, "\r", `\n`)

// vCard makes a vCard 3.0 of a name and phones. waid, which WhatsApp's apps look for, says that a number is on WhatsApp, so that the card has
// its button; whether it is is found out when that is pressed.
func vCard(card events.ContactCard) string {
	name := vCardText.Replace(card.Name)
	var b strings.Builder
	b.WriteString("BEGIN:VCARD\nVERSION:3.0\nN:;" + name + ";;;\nFN:" + name + "\n")
	for _, phone := range card.Phones {
		b.WriteString("TEL;type=CELL;type=VOICE;waid=" + phone + ":+" + phone + "\n")
	}
	b.WriteString("END:VCARD")
	return b.String()
}

func calendarEvent(e *events.CalendarEvent) *waE2E.EventMessage {
	m := &waE2E.EventMessage{
		Name: proto.String(e.Name), Description: optional(e.Description), JoinLink: optional(e.JoinLink), StartTime: proto.Int64(e.StartAt.Unix()),
		IsCanceled: proto.Bool(e.Cancelled), ExtraGuestsAllowed: proto.Bool(e.ExtraGuests),
	}
	if e.EndAt != nil {
		m.EndTime = proto.Int64(e.EndAt.Unix())
	}
	if e.Location != nil {
		m.Location = place(e.Location)
	}
	return m
}

// groupInvite makes an invitation. What is not given is asked of WhatsApp: the code, which only an admin of the group is told, and the name.
func (c *connection) groupInvite(ctx context.Context, d *draft) (*waE2E.Message, error) {
	i := d.content.GroupInvite
	group, err := types.ParseJID(i.GroupID)
	if err != nil {
		return nil, fmt.Errorf("parse group id: %w", err)
	}
	before := *i
	if i.Code == "" {
		link, err := c.client.GetGroupInviteLink(ctx, group, false)
		switch {
		case errors.Is(err, whatsmeow.ErrGroupInviteLinkUnauthorized):
			return nil, &refusal{"not_group_admin", "Only an admin of the group is told its code, and the account is none."}
		case errors.Is(err, whatsmeow.ErrNotInGroup):
			return nil, &refusal{"not_in_group", "The account is not in the group that it invites to."}
		case errors.Is(err, whatsmeow.ErrGroupNotFound):
			return nil, &refusal{"group_not_found", "WhatsApp knows no group " + i.GroupID + "."}
		case err != nil:
			return nil, fmt.Errorf("ask for code of group: %w", err)
		}
		i.Code = strings.TrimPrefix(link, whatsmeow.InviteLinkPrefix)
	}
	if i.Name == "" {
		info, err := c.client.GetGroupInfo(ctx, group)
		switch {
		case err == nil:
			i.Name = printable(info.Name)
		case errors.Is(err, whatsmeow.ErrNotInGroup), errors.Is(err, whatsmeow.ErrGroupNotFound): // a code of somebody else's is sent on
		default:
			return nil, fmt.Errorf("ask for name of group: %w", err)
		}
	}
	if *i != before {
		if d.learned, err = json.Marshal(d.content); err != nil {
			return nil, fmt.Errorf("encode content: %w", err)
		}
	}
	m := &waE2E.GroupInviteMessage{GroupJID: proto.String(group.String()), InviteCode: proto.String(i.Code), GroupName: proto.String(i.Name), Caption: optional(i.Caption)}
	if i.ExpiresAt != nil {
		m.InviteExpiration = proto.Int64(i.ExpiresAt.Unix())
	}
	return &waE2E.Message{GroupInviteMessage: m}, nil
}
