package events

import (
	"errors"
	"strings"
)

// An AddressKind says what an address leads to.
type AddressKind string

// The kinds of address.
const (
	KindUser      AddressKind = "user"
	KindGroup     AddressKind = "group"
	KindBroadcast AddressKind = "broadcast"
	KindStatus    AddressKind = "status"
	KindChannel   AddressKind = "channel"
)

// The servers of JIDs, as in whatsmeow's types/jid.go.
const (
	PhoneServer     = "s.whatsapp.net"
	LIDServer       = "lid"
	GroupServer     = "g.us"
	BroadcastServer = "broadcast"
	ChannelServer   = "newsletter"
)

// StatusChat is the JID of status updates.
const StatusChat = "status@broadcast"

// An Address is the one shape in which a person, group or channel stands in every payload. ID is the canonical JID without device: the
// phone's where it is known, else the LID's. Phone and LID are digits, empty when unknown or when Kind is not user.
type Address struct {
	ID    string      `json:"id" doc:"Canonical JID: the phone's where it is known, else the LID's." example:"5491123456789@s.whatsapp.net"`
	Phone string      `json:"phone,omitempty" doc:"Phone number, digits only." example:"5491123456789"`
	LID   string      `json:"lid,omitempty" doc:"WhatsApp's phone-independent number, digits only." example:"120363001122334"`
	Kind  AddressKind `json:"kind" enum:"user,group,broadcast,status,channel"`
	Name  string      `json:"name,omitempty" doc:"The name this address is known by to the session." example:"Juan Pérez"`
}

// ErrBadAddress says that a text is no address; its message is fit for a caller.
var ErrBadAddress = errors.New("give a phone number with its country code (digits, an optional leading +), or a JID such as " +
	"5491123456789@s.whatsapp.net, 120363025246125486@g.us or 120363001122334@lid")

// ParseAddress turns what a client wrote into the canonical JID: digits or "+digits" (7 to 15 of them, the lengths of E.164 with room for
// short national plans) become a phone's JID; a JID is checked and returned without device. Group ids may hold a hyphen, as those made
// before 2021 do.
func ParseAddress(s string) (string, error) {
	user, server, isJID := strings.Cut(s, "@")
	if !isJID {
		user = strings.TrimPrefix(user, "+")
		server = PhoneServer
	}
	switch server {
	case PhoneServer:
		if len(user) < 7 || len(user) > 15 || !digits(user) {
			return "", ErrBadAddress
		}
	case LIDServer, ChannelServer:
		if len(user) < 1 || len(user) > 20 || !digits(user) {
			return "", ErrBadAddress
		}
	case GroupServer:
		if len(user) < 1 || len(user) > 40 || !digits(strings.ReplaceAll(user, "-", "")) {
			return "", ErrBadAddress
		}
	case BroadcastServer:
		if user != "status" && !digits(user) {
			return "", ErrBadAddress
		}
	default:
		return "", ErrBadAddress
	}
	return user + "@" + server, nil
}

// KindOf returns the kind of a canonical JID.
func KindOf(jid string) AddressKind {
	_, server, _ := strings.Cut(jid, "@")
	switch {
	case jid == StatusChat:
		return KindStatus
	case server == GroupServer:
		return KindGroup
	case server == BroadcastServer:
		return KindBroadcast
	case server == ChannelServer:
		return KindChannel
	default:
		return KindUser
	}
}

// NewAddress builds an address from a canonical JID and what is known beside it.
func NewAddress(jid, phone, lid, name string) Address {
	a := Address{ID: jid, Kind: KindOf(jid), Name: name}
	if a.Kind != KindUser {
		return a
	}
	a.Phone, a.LID = phone, lid
	switch user, server, _ := strings.Cut(jid, "@"); server {
	case PhoneServer:
		a.Phone = user
	case LIDServer:
		a.LID = user
	}
	return a
}

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}
