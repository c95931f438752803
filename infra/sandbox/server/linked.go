package server

import (
	"context"
	"fmt"

	"go.mau.fi/whatsmeow/proto/waCompanionReg"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
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

func registerLinked(r *registry) { r.loaders["props"] = loadProps }

// loadProps takes what a companion said of itself; the device may be gone since.
func loadProps(s *Server, r journal.Record) error {
	jid, err := types.ParseJID(r.Key)
	if err != nil {
		return fmt.Errorf("read device: %w", err)
	}
	if d := s.device(jid); d != nil {
		d.props = r.Value
	}
	return nil
}

// keepProps stores what a companion said of itself, before the companion itself.
func (s *Server) keepProps(ctx context.Context, d *device) error {
	if len(d.props) == 0 || len(d.props) > maxProps {
		d.props = []byte{}
	}
	err := s.commit(ctx, []journal.Record{{Kind: "props", Key: d.jid(types.DefaultUserServer).String(), Value: d.props}}, nil)
	if err != nil {
		return fmt.Errorf("store properties of device: %w", err)
	}
	return nil
}

// tellLinked says that an account's companions have changed.
func (s *Server) tellLinked(a *account) {
	if s.linked != nil {
		s.linked(a.keys.Phone)
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
