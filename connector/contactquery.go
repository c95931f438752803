package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// maxProfile bounds each text of a business's profile, and maxProfileItems each of its lists.
const maxProfile, maxProfileItems = 4096, 64

// person reads a JID in a question; a refusal where it is no person's.
func person(id string) (types.JID, error) {
	jid, err := types.ParseJID(id)
	if err != nil || events.KindOf(id) != events.KindUser {
		return jid, &refusal{"contact_not_found", "This is no person."}
	}
	return jid, nil
}

// readContact answers events.ReadContact, and keeps what it learns.
func (c *connection) readContact(ctx context.Context, q events.ContactQuestion) (events.ContactFound, error) {
	jid, err := person(q.ID)
	if err != nil {
		return events.ContactFound{}, err
	}
	jid, err = c.reachable(ctx, jid)
	if errors.Is(err, errNotOnWhatsApp) {
		return events.ContactFound{}, nil
	}
	if err != nil {
		return events.ContactFound{}, err
	}
	// whatsmeow writes a business's name and tells of it, as an event, while this runs.
	all, err := c.client.GetUserInfo(ctx, []types.JID{jid})
	if err != nil {
		return events.ContactFound{}, fmt.Errorf("ask for contact: %w", err)
	}
	info, ok := all[jid]
	// A LID is not answered with a LID: that there is somebody is seen by his devices.
	if !ok || info.LID.IsEmpty() && len(info.Devices) == 0 {
		return events.ContactFound{}, nil
	}
	who, err := c.address(ctx, jid, info.LID)
	if err != nil {
		return events.ContactFound{}, err
	}
	about, picture := aboutText(info.Status), printable(info.PictureID)
	learnt := news{about: &about, pictureID: &picture}
	if info.VerifiedName != nil {
		name := pushName(info.VerifiedName.Details.GetVerifiedName())
		learnt.businessName = &name
	}
	var row db.Contact
	err = c.s.fenced(ctx, func(tx *queue.Tx) error {
		var fresh bool
		var err error
		if row, fresh, err = c.learn(ctx, tx, who, learnt, "", time.Now()); err != nil || fresh {
			return err
		}
		row, err = c.s.c.queries.ContactGet(ctx, tx, c.s.id, who.id)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) { // erased at this moment
		return events.ContactFound{}, nil
	}
	if err != nil {
		return events.ContactFound{}, err
	}
	contact := postgres.Contact(row)
	return events.ContactFound{Contact: &contact}, nil
}

// readPicture answers events.ReadPicture.
func (c *connection) readPicture(ctx context.Context, q events.PictureQuestion) (events.Picture, error) {
	jid, err := person(q.ID)
	if err != nil {
		return events.Picture{}, err
	}
	info, err := c.client.GetProfilePictureInfo(ctx, jid, &whatsmeow.GetProfilePictureParams{Preview: q.Preview})
	switch {
	case errors.Is(err, whatsmeow.ErrProfilePictureNotSet), errors.Is(err, whatsmeow.ErrProfilePictureUnauthorized), err == nil && info == nil:
		return events.Picture{}, &refusal{"not_found", "There is no picture, or it is not shown to this account."}
	case err != nil:
		return events.Picture{}, fmt.Errorf("ask for picture: %w", err)
	}
	kind := "image"
	if q.Preview {
		kind = "preview"
	}
	return events.Picture{ID: printable(info.ID), URL: printable(info.URL), Type: kind}, nil
}

// readBusiness answers events.ReadBusiness. whatsmeow's own call leaves out what a business writes about itself and where it is on the web.
func (c *connection) readBusiness(ctx context.Context, q events.ContactQuestion) (events.BusinessProfile, error) {
	jid, err := person(q.ID)
	if err != nil {
		return events.BusinessProfile{}, err
	}
	//nolint:staticcheck // SA1019: whatsmeow has no other way to send a query of one's own
	answer, err := c.client.DangerousInternals().SendIQ(ctx, whatsmeow.DangerousInfoQuery{
		Namespace: "w:biz", Type: "get", To: types.ServerJID, Content: []waBinary.Node{{
			Tag: "business_profile", Attrs: waBinary.Attrs{"v": "244"}, // as whatsmeow (user.go, GetBusinessProfile)
			Content: []waBinary.Node{{Tag: "profile", Attrs: waBinary.Attrs{"jid": jid}}},
		}},
	})
	if err != nil {
		return events.BusinessProfile{}, fmt.Errorf("ask for business profile: %w", err)
	}
	node, ok := answer.GetOptionalChildByTag("business_profile", "profile")
	if !ok {
		return events.BusinessProfile{}, &refusal{"not_found", "This is no business, or it tells nothing about itself."}
	}
	return businessProfile(&node), nil
}

// businessProfile reads what a business tells about itself, in WhatsApp's form (whatsmeow user.go, parseBusinessProfile; description and website as
// Baileys reads them, business.ts).
func businessProfile(node *waBinary.Node) events.BusinessProfile {
	text := func(n waBinary.Node) string {
		raw, _ := n.Content.([]byte)
		return printable(string(raw[:min(len(raw), maxProfile)]))
	}
	p := events.BusinessProfile{
		Description: text(node.GetChildByTag("description")), Address: text(node.GetChildByTag("address")), Email: text(node.GetChildByTag("email")),
		Websites: []string{}, Categories: []string{}, Hours: []events.BusinessDay{},
	}
	for _, n := range first(node.GetChildrenByTag("website")) {
		p.Websites = append(p.Websites, text(n))
	}
	categories, hours := node.GetChildByTag("categories"), node.GetChildByTag("business_hours")
	for _, n := range first(categories.GetChildrenByTag("category")) {
		p.Categories = append(p.Categories, text(n))
	}
	zone, _ := hours.Attrs["timezone"].(string)
	p.Timezone = printable(zone)
	for _, n := range first(hours.GetChildrenByTag("business_hours_config")) {
		attr := func(name string) string { text, _ := n.Attrs[name].(string); return text }
		day := events.BusinessDay{Day: attr("day_of_week"), Mode: attr("mode")}
		if !slices.Contains([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, day.Day) {
			continue
		}
		day.Open, _ = strconv.Atoi(attr("open_time"))
		day.Close, _ = strconv.Atoi(attr("close_time"))
		p.Hours = append(p.Hours, day)
	}
	return p
}

func first(nodes []waBinary.Node) []waBinary.Node { return nodes[:min(len(nodes), maxProfileItems)] }

// readBlocklist answers events.ReadBlocklist. What was changed while the session was offline is told by it.
func (c *connection) readBlocklist(ctx context.Context, _ events.BlocklistQuestion) (events.Blocklist, error) {
	return c.blocklist(ctx, events.ContactBlocked)
}

// blocklist asks whom the account has blocked, and brings the contacts in line with it. changed is as for learn. whatsmeow's own call leaves out the
// phones, which WhatsApp gives beside the LIDs.
func (c *connection) blocklist(ctx context.Context, changed string) (events.Blocklist, error) {
	//nolint:staticcheck // SA1019: whatsmeow has no other way to send a query of one's own
	answer, err := c.client.DangerousInternals().SendIQ(ctx, whatsmeow.DangerousInfoQuery{Namespace: "blocklist", Type: "get", To: types.ServerJID})
	if err != nil {
		return events.Blocklist{}, fmt.Errorf("ask for block list: %w", err)
	}
	list := answer.GetChildByTag("list")
	people := map[string]address{}
	for _, item := range list.GetChildren() {
		jid, _ := item.Attrs["jid"].(types.JID)
		phone, _ := item.Attrs["pn_jid"].(types.JID)
		if server := user(jid).Server; server != types.DefaultUserServer && server != types.HiddenUserServer {
			continue
		}
		who, err := c.address(ctx, jid, phone)
		if err != nil {
			return events.Blocklist{}, err
		}
		people[who.id] = who
	}
	shown := events.Blocklist{Data: []events.Address{}}
	err = c.s.fenced(ctx, func(tx *queue.Tx) error {
		noted, err := c.s.c.queries.ContactListBlocked(ctx, tx, c.s.id)
		if err != nil {
			return fmt.Errorf("list blocked contacts: %w", err)
		}
		yes, no, at := true, false, time.Now()
		for _, id := range noted {
			if _, still := people[id]; !still {
				if _, _, err := c.learn(ctx, tx, address{id: id}, news{blocked: &no, known: true}, changed, at); err != nil {
					return err
				}
			}
		}
		shown.Data = shown.Data[:0]
		for _, id := range slices.Sorted(maps.Keys(people)) {
			row, fresh, err := c.learn(ctx, tx, people[id], news{blocked: &yes}, changed, at)
			if err != nil {
				return err
			}
			if !fresh {
				if row, err = c.s.c.queries.ContactGet(ctx, tx, c.s.id, id); err != nil {
					return fmt.Errorf("read contact: %w", err)
				}
			}
			shown.Data = append(shown.Data, postgres.Contact(row).Address)
		}
		return nil
	})
	return shown, err
}
