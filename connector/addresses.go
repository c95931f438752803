package connector

import (
	"context"
	"fmt"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
)

// address is a JID as everything outside whatsmeow knows it: id is the phone's JID where the phone is known, else the LID's.
type address struct {
	id, phone, lid string
}

// address makes a JID canonical. alt is its other form where the stanza gave it; else the map of LIDs is asked, which whatsmeow fills from
// stanzas and queries, and then the contacts. Somebody of whom only the LID is known has that as his id; the first who learns his phone here moves
// all that is kept of him to it, see joining.go. So it must not be called inside a transaction.
func (c *connection) address(ctx context.Context, jid, alt types.JID) (address, error) {
	a, err := c.named(ctx, jid, alt)
	if err != nil || a.lid == "" {
		return a, err
	}
	return c.joined(ctx, a)
}

// named is address by what whatsmeow knows.
func (c *connection) named(ctx context.Context, jid, alt types.JID) (address, error) {
	jid, alt = user(jid), user(alt)
	switch jid.Server {
	case types.DefaultUserServer:
		if alt.Server != types.HiddenUserServer {
			var err error
			if alt, err = c.device.LIDs.GetLIDForPN(ctx, jid); err != nil {
				return address{}, fmt.Errorf("look up LID: %w", err)
			}
		}
		return address{id: jid.String(), phone: jid.User, lid: alt.User}, nil
	case types.HiddenUserServer:
		if alt.Server != types.DefaultUserServer {
			var err error
			if alt, err = c.device.LIDs.GetPNForLID(ctx, jid); err != nil {
				return address{}, fmt.Errorf("look up phone: %w", err)
			}
		}
		if alt.IsEmpty() {
			return address{id: jid.String(), lid: jid.User}, nil
		}
		return address{id: user(alt).String(), phone: alt.User, lid: jid.User}, nil
	}
	return address{id: jid.String()}, nil
}

// knownLIDs looks many people up at once, as alt for named: for a phone whose LID is not known it is a LID of nobody, so that it is not looked up again.
func (c *connection) knownLIDs(ctx context.Context, who []types.JID) (map[types.JID]types.JID, error) {
	var phones []types.JID
	for _, jid := range who {
		if jid = user(jid); jid.Server == types.DefaultUserServer {
			phones = append(phones, jid)
		}
	}
	if len(phones) == 0 {
		return nil, nil
	}
	lids, err := c.device.LIDs.GetManyLIDsForPNs(ctx, phones)
	if err != nil {
		return nil, fmt.Errorf("look up LIDs: %w", err)
	}
	for _, phone := range phones {
		if lids[phone].IsEmpty() {
			lids[phone] = types.NewJID("", types.HiddenUserServer)
		}
	}
	return lids, nil
}

// user is the JID of the person behind a device, in a form that PostgreSQL takes. Devices that WhatsApp hosts for a business are on servers of their own.
func user(jid types.JID) types.JID {
	jid = jid.ToNonAD()
	jid.User, jid.Server = printable(jid.User), printable(jid.Server)
	switch jid.Server {
	case types.HostedServer, types.LegacyUserServer:
		jid.Server = types.DefaultUserServer
	case types.HostedLIDServer:
		jid.Server = types.HiddenUserServer
	}
	return jid
}

// ids are all under which a chat's messages may be kept.
func (a address) ids() []string {
	ids := []string{a.id}
	if a.lid != "" {
		ids = append(ids, a.lid+"@"+events.LIDServer)
	}
	return ids
}
