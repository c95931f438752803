package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/appstate"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waVnameCert"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// What becomes of the account itself is told as contact.updated of its own JID, whoever changed it: here, on the phone or on another device.

// readProfile answers events.ReadProfile. whatsmeow's own call leaves out the name of a business (user.go, GetUserInfo).
func (c *connection) readProfile(ctx context.Context, _ events.ProfileQuestion) (p events.Profile, err error) {
	own := user(*c.device.ID)
	//nolint:staticcheck // SA1019: whatsmeow has no other way to send a query of one's own
	list, err := c.client.DangerousInternals().Usync(ctx, []types.JID{own}, "full", "background", []waBinary.Node{
		{Tag: "business", Content: []waBinary.Node{{Tag: "verified_name"}}}, {Tag: "status"},
	})
	if err != nil {
		return p, fmt.Errorf("ask for profile: %w", err)
	}
	is, ok := list.GetOptionalChildByTag("user")
	if !ok {
		return p, errors.New("the answer says nothing of the account")
	}
	if p.Address, err = c.person(ctx, own, c.device.LID); err != nil {
		return p, err
	}
	c.mu.Lock()
	p.Name = c.name
	c.mu.Unlock()
	about, _ := is.GetChildByTag("status").Content.([]byte)
	certificate, _ := is.GetChildByTag("business", "verified_name").Content.([]byte)
	p.About, p.BusinessName = aboutText(string(about)), businessName(certificate)
	picture, err := c.readPicture(ctx, events.PictureQuestion{ID: own.String()})
	var none *refusal
	switch {
	case err == nil:
		p.Picture = &picture
	case !errors.As(err, &none):
		return p, err
	}
	return p, nil
}

// businessName is the name in the certificate that WhatsApp gives a business; "" where there is none.
func businessName(certificate []byte) string {
	var cert waVnameCert.VerifiedNameCertificate
	var details waVnameCert.VerifiedNameCertificate_Details
	if proto.Unmarshal(certificate, &cert) != nil || proto.Unmarshal(cert.GetDetails(), &details) != nil {
		return ""
	}
	return pushName(details.GetVerifiedName())
}

// updateProfile makes events.UpdateProfile. Repeated, it sets the same once more. WhatsApp puts the name that it is told with the presence beside
// what the account sends; the account's other devices learn of it by app state.
func (c *connection) updateProfile(ctx context.Context, ch change, p events.ProfileChange) (func(context.Context, *queue.Tx) (events.Profile, error), error) {
	if p.Name != nil {
		if err := c.sendAppState(ctx, appstate.BuildSettingPushName(*p.Name)); err != nil {
			return nil, err
		}
		c.appear(pushName(*p.Name))
	}
	if p.About != nil {
		if err := c.client.SetStatusMessage(ctx, types.SetStatusInput{Text: p.About}); err != nil {
			return nil, fmt.Errorf("set about: %w", err)
		}
	}
	profile, err := c.readProfile(ctx, events.ProfileQuestion{})
	if err != nil {
		return nil, err
	}
	who, err := c.ownAddress(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Profile, error) {
		if p.Name != nil {
			if err := c.becomes(ctx, tx, who, news{name: &profile.Name}, events.ContactName, ch.created); err != nil {
				return profile, err
			}
		}
		if p.About != nil {
			return profile, c.becomes(ctx, tx, who, news{about: &profile.About, aboutAt: &ch.created}, events.ContactAbout, ch.created)
		}
		return profile, nil
	}, nil
}

// setProfilePicture makes events.SetProfilePicture. Repeated, the others may see the same picture come twice.
func (c *connection) setProfilePicture(ctx context.Context, ch change, p events.GroupPicture) (func(context.Context, *queue.Tx) (events.ProfilePictured, error), error) {
	jpeg, err := c.jpeg(ctx, p.MediaID)
	if err != nil {
		return nil, err
	}
	// Without a target it is the account's own (Baileys, updateProfilePicture), which whatsmeow has no call of its own for.
	id, err := c.client.SetGroupPhoto(ctx, types.EmptyJID, jpeg)
	switch {
	case errors.Is(err, whatsmeow.ErrInvalidImageFormat):
		return nil, pictureRefused
	case jpeg == nil && serverCode(err) == 404: // there was none
	case err != nil:
		return nil, fmt.Errorf("set picture: %w", err)
	}
	if jpeg == nil {
		id = ""
	}
	id = printable(id)
	who, err := c.ownAddress(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.ProfilePictured, error) {
		return events.ProfilePictured{PictureID: id}, c.becomes(ctx, tx, who, news{pictureID: &id}, events.ContactPicture, ch.created)
	}, nil
}

func (c *connection) ownAddress(ctx context.Context) (address, error) {
	return c.address(ctx, *c.device.ID, c.device.LID)
}

// becomes writes what the account itself shows now, behind the fence of tx, and tells of it where it is new. What is taken away is told in any case:
// what was there may not have been known here.
func (c *connection) becomes(ctx context.Context, tx *queue.Tx, own address, n news, changed string, at time.Time) error {
	_, fresh, err := c.learn(ctx, tx, own, n, changed, at)
	if err != nil || fresh || (n.about == nil || *n.about != "") && (n.pictureID == nil || *n.pictureID != "") {
		return err
	}
	row, err := c.s.c.queries.ContactGet(ctx, tx, c.s.id, own.id)
	if err != nil {
		return fmt.Errorf("read contact: %w", err)
	}
	return c.tellContact(tx, row, changed, at)
}

// renamed is a name that the account has been given, here, on the phone or on another device. The name that a newly linked device learns is no news.
func (c *connection) renamed(ctx context.Context, e *waevents.PushNameSetting) error {
	name := pushName(e.Action.GetName())
	if name != "" {
		c.mu.Lock()
		c.name = name
		c.mu.Unlock()
	}
	if name != "" && !e.FromFullSync {
		own, err := c.ownAddress(ctx)
		if err != nil {
			return err
		}
		err = c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
			return c.becomes(ctx, tx, own, news{name: &name}, events.ContactName, e.Timestamp)
		})
		if err != nil {
			return err
		}
	}
	select {
	case c.signals <- e: // the supervisor tells WhatsApp
		return nil
	case <-c.ctx.Done():
		return errClosed
	}
}

// ownPictured asks for the account's own picture, of which WhatsApp only says that it has changed, apart from the order of events, which waits for no
// answer. Failure policy: best effort; whoever asks for the profile is told what is so.
func (c *connection) ownPictured(jid types.JID, at time.Time) {
	c.work.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, sendTimeout)
		defer cancel()
		picture, err := c.readPicture(ctx, events.PictureQuestion{ID: user(jid).String()})
		var none *refusal
		if errors.As(err, &none) {
			err = nil
		}
		var own address
		if err == nil {
			own, err = c.address(ctx, jid, types.EmptyJID)
		}
		if err == nil {
			err = c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
				return c.becomes(ctx, tx, own, news{pictureID: &picture.ID}, events.ContactPicture, at)
			})
		}
		if err != nil && ctx.Err() == nil {
			c.s.log.WarnContext(ctx, "own picture not read", "error", err)
		}
	})
}
