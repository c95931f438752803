package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxAbout bounds what somebody says about himself; WhatsApp's own limit is 139 characters.
	maxAbout = 4096
	// addressBookPage is how many names are written at once.
	addressBookPage = 1000
)

// news is what was learnt about somebody; nil leaves what is there.
type news struct {
	name, savedName, businessName, about, pictureID *string
	aboutAt                                         *time.Time
	blocked                                         *bool
	// known: of strangers it says nothing that is worth a row.
	known bool
}

// learn writes what was learnt about somebody, behind the fence of tx; false where it was known. changed says what an event tells of it, "" for none.
func (c *connection) learn(ctx context.Context, tx *queue.Tx, who address, n news, changed string, at time.Time) (row db.Contact, fresh bool, err error) {
	row, err = c.s.c.queries.ContactLearn(ctx, tx, db.ContactLearnParams{
		SessionID: c.s.id, ID: who.id, Phone: given(who.phone), Lid: given(who.lid), Name: n.name, SavedName: n.savedName, BusinessName: n.businessName,
		Blocked: n.blocked, About: n.about, AboutAt: n.aboutAt, PictureID: n.pictureID, Known: n.known,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return row, false, nil
	}
	if err != nil {
		return row, false, fmt.Errorf("write contact: %w", err)
	}
	if changed == "" {
		return row, true, nil
	}
	return row, true, c.tellContact(tx, row, changed, at)
}

// given is a text as a parameter, NULL for an empty one.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (c *connection) tellContact(tx *queue.Tx, row db.Contact, changed string, at time.Time) error {
	_, err := events.Publish(tx, events.ContactUpdated, c.s.id, row.ID, at, events.ContactData{Contact: postgres.Contact(row), Changed: changed})
	return err
}

// hear writes what WhatsApp told of somebody by itself, and tells of it where it is new.
func (c *connection) hear(ctx context.Context, jid, alt types.JID, n news, changed string, at time.Time) error {
	if server := user(jid).Server; server != types.DefaultUserServer && server != types.HiddenUserServer {
		return nil // groups are told of otherwise
	}
	who, err := c.address(ctx, jid, alt)
	if err != nil {
		return err
	}
	return c.s.fenced(ctx, func(tx *queue.Tx) error {
		_, _, err := c.learn(ctx, tx, who, n, changed, at)
		return err
	})
}

// contactSaved is a name in the account's address book, from the phone or another device.
func (c *connection) contactSaved(ctx context.Context, e *waevents.Contact) error {
	if c.echoes.own(e.Timestamp, e.JID.String()) { // what a change has done, the change writes
		return nil
	}
	name, changed := pushName(e.Action.GetFullName()), events.ContactName
	if e.FromFullSync {
		changed = ""
	}
	alt, err := types.ParseJID(e.Action.GetLidJID())
	if err != nil || alt.Server != types.HiddenUserServer || e.JID.Server != types.DefaultUserServer {
		alt = types.EmptyJID
	}
	return c.hear(ctx, e.JID, alt, news{savedName: &name, known: name == ""}, changed, e.Timestamp)
}

// pushNamed is what somebody calls himself now. whatsmeow tells of it on a goroutine of its own, before or after the message that shows it, which
// writes it as well; so the event goes by what whatsmeow knew before, and a name that is seen for the first time is no change.
func (c *connection) pushNamed(ctx context.Context, e *waevents.PushName) error {
	name := pushName(e.NewPushName)
	if name == "" || e.OldPushName == "" || e.OldPushName == e.NewPushName || c.isOwn(e.JID) { // the account's own is told by its app state
		return nil
	}
	who, err := c.address(ctx, e.JID, e.JIDAlt)
	if err != nil {
		return err
	}
	at := time.Now()
	if e.Message != nil {
		at = e.Message.Timestamp
	}
	return c.s.fenced(ctx, func(tx *queue.Tx) error {
		row, fresh, err := c.learn(ctx, tx, who, news{name: &name, known: true}, "", at)
		if err != nil {
			return err
		}
		if !fresh {
			row, err = c.s.c.queries.ContactGet(ctx, tx, c.s.id, who.id)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read contact: %w", err)
			}
		}
		return c.tellContact(tx, row, events.ContactName, at)
	})
}

// businessNamed is the name that WhatsApp verified for a business.
func (c *connection) businessNamed(ctx context.Context, e *waevents.BusinessName) error {
	name, at := pushName(e.NewBusinessName), time.Now()
	if e.Message != nil {
		at = e.Message.Timestamp
	}
	return c.hear(ctx, e.JID, types.EmptyJID, news{businessName: &name, known: true}, events.ContactName, at)
}

// pictured is a new picture of somebody, or none.
func (c *connection) pictured(ctx context.Context, e *waevents.Picture) error {
	if e.JID.Server == types.GroupServer {
		return c.groupPictured(ctx, e)
	}
	if c.isOwn(e.JID) {
		c.ownPictured(e.JID, e.Timestamp)
		return nil
	}
	id := e.PictureID
	if e.Remove {
		id = ""
	}
	if len(id) > maxID {
		return nil
	}
	id = printable(id)
	return c.hear(ctx, e.JID, types.EmptyJID, news{pictureID: &id, known: true}, events.ContactPicture, e.Timestamp)
}

// wroteAbout is what somebody says about himself now.
func (c *connection) wroteAbout(ctx context.Context, e *waevents.UserAbout) error {
	text, at := aboutText(e.Status), e.Timestamp
	return c.hear(ctx, e.JID, types.EmptyJID, news{about: &text, aboutAt: &at, known: !c.isOwn(e.JID)}, events.ContactAbout, at)
}

func aboutText(text string) string {
	text = printable(text)
	if len(text) > maxAbout {
		text = printable(text[:maxAbout])
	}
	return text
}

// blocklisted is a change of the block list on the phone or another device. WhatsApp may say no more than that there is one: then the list is asked
// for, apart from the order of events, which waits for no answer.
func (c *connection) blocklisted(ctx context.Context, e *waevents.Blocklist) error {
	if e.Action == waevents.BlocklistActionModify || len(e.Changes) == 0 {
		c.work.Go(func() {
			ctx, cancel := context.WithTimeout(c.ctx, sendTimeout)
			defer cancel()
			if _, err := c.blocklist(ctx, events.ContactBlocked); err != nil && ctx.Err() == nil {
				c.s.log.WarnContext(ctx, "block list not read", "error", err)
			}
		})
		return nil
	}
	for _, change := range e.Changes {
		blocked := change.Action == waevents.BlocklistChangeActionBlock
		if err := c.hear(ctx, change.JID, types.EmptyJID, news{blocked: &blocked, known: !blocked}, events.ContactBlocked, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// stateSynced is the end of the first reading of a part of the account's state. What a newly linked device has to read beside it may take longer than
// an event may.
func (c *connection) stateSynced(e *waevents.AppStateSyncComplete) {
	if e.Name != appstate.WAPatchCriticalUnblockLow {
		return
	}
	c.work.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, sendTimeout)
		defer cancel()
		err := c.addressBook(ctx)
		if err == nil {
			_, err = c.blocklist(ctx, "")
		}
		if err != nil && ctx.Err() == nil {
			c.s.log.WarnContext(ctx, "address book and block list not read", "error", err)
		}
	})
}

// addressBookOnce reads the address book unless a name of it has been written: a process may have died between whatsmeow's reading it, which it does
// once, and ours.
func (c *connection) addressBookOnce(ctx context.Context) error {
	written, err := c.s.c.queries.ContactAnySaved(ctx, c.s.c.pool, c.s.id)
	if err != nil {
		return fmt.Errorf("look for saved contacts: %w", err)
	}
	if written {
		return nil
	}
	return c.addressBook(ctx)
}

// addressBook writes the names of the account's address book as whatsmeow has them, in one transaction and without an event for each: of a device that
// was just linked these are thousands, and nothing has changed.
func (c *connection) addressBook(ctx context.Context) error {
	all, err := c.device.Contacts.GetAllContacts(ctx)
	if err != nil {
		return fmt.Errorf("read address book: %w", err)
	}
	lids, err := c.device.LIDs.GetManyLIDsForPNs(ctx, slices.Collect(maps.Keys(all)))
	if err != nil {
		return fmt.Errorf("look up LIDs: %w", err)
	}
	var pages []db.ContactSaveManyParams
	seen := map[string]bool{} // one statement cannot write a row twice
	for jid, contact := range all {
		name := pushName(contact.FullName)
		if server := user(jid).Server; name == "" || server != types.DefaultUserServer && server != types.HiddenUserServer {
			continue
		}
		who, err := c.named(ctx, jid, lids[jid])
		if err != nil {
			return err
		}
		if seen[who.id] {
			continue
		}
		if len(seen)%addressBookPage == 0 {
			pages = append(pages, db.ContactSaveManyParams{SessionID: c.s.id})
		}
		seen[who.id] = true
		p := &pages[len(pages)-1]
		p.Ids, p.Phones, p.Lids, p.Names = append(p.Ids, who.id), append(p.Phones, who.phone), append(p.Lids, who.lid), append(p.Names, name)
	}
	if len(pages) == 0 {
		return nil
	}
	return c.s.fenced(ctx, func(tx *queue.Tx) error {
		for _, page := range pages {
			if err := c.s.c.queries.ContactSaveMany(ctx, tx, page); err != nil {
				return fmt.Errorf("write address book: %w", err)
			}
		}
		return nil
	})
}
