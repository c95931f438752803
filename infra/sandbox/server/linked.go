package server

import (
	"go.mau.fi/whatsmeow/proto/waCompanionReg"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

// maxProps bounds what a companion says of itself when it is paired, in bytes.
const maxProps = 16 << 10

// Companion is a device that is linked to a phone, as the phone knows it from the pairing.
type Companion struct {
	// JID is its address by phone number.
	JID types.JID
	// Identity is its public identity key, which tells two devices apart that had the same number one after the other.
	Identity [32]byte
	// Props is what it said of itself: its kind, and what history it wants.
	Props *waCompanionReg.DeviceProps
}

// tellLinked says that an account's companions have changed.
func (s *Server) tellLinked(a *account) {
	if s.relinked != nil {
		s.relinked(a.keys.Phone)
	}
}

// Companions returns a phone's companions, ordered by device number; none for a number without an account.
func (s *Server) Companions(phone string) []Companion {
	a := s.user(types.NewJID(phone, types.DefaultUserServer))
	if a == nil {
		return nil
	}
	var linked []Companion
	for _, d := range s.devicesOf(a, nil) {
		if d.number == 0 {
			continue
		}
		props := &waCompanionReg.DeviceProps{}
		if proto.Unmarshal(d.props, props) != nil {
			props = &waCompanionReg.DeviceProps{} // as one that says nothing
		}
		linked = append(linked, Companion{JID: d.jid(types.DefaultUserServer), Identity: d.identity, Props: props})
	}
	return linked
}
