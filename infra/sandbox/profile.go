package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// maxPicture bounds a picture that a phone fetches, in bytes: twice what the server takes.
const maxPicture = 4 << 20

// profileOperations are what a phone shows of its user, and to whom.
func (s *Sandbox) profileOperations() map[string]operation {
	return map[string]operation{
		"PUT /phones/{number}/picture":            s.putPicture,
		"DELETE /phones/{number}/picture":         s.deletePicture,
		"GET /phones/{number}/picture":            s.getPicture,
		"PUT /phones/{number}/about":              s.putAbout,
		"GET /phones/{number}/about":              s.getAbout,
		"GET /phones/{number}/blocked":            s.getBlocked,
		"PUT /phones/{number}/blocked/{other}":    s.putBlocked,
		"DELETE /phones/{number}/blocked/{other}": s.deleteBlocked,
		"GET /phones/{number}/privacy":            s.getPrivacy,
		"PUT /phones/{number}/privacy/{setting}":  s.putPrivacy,
		"PUT /phones/{number}/disappearing":       s.putDisappearing,
		"GET /phones/{number}/link":               s.getLink,
		"DELETE /phones/{number}/link":            s.deleteLink,
		"POST /phones/{number}/links":             s.postLink,
		"GET /phones/{number}/business":           s.getBusiness,
		"PUT /phones/{number}/business":           s.putBusiness,
		"DELETE /phones/{number}/business":        s.deleteBusiness,
	}
}

// SetPicture sets the profile picture of the phone itself, or of a group that it is in (of is the group's JID): a JPEG of at most 2 MiB and
// 4,096 pixels a side, whose id it returns; nil removes it.
func (s *Sandbox) SetPicture(ctx context.Context, number, of string, jpeg []byte) (id string, err error) {
	group := types.EmptyJID // it is one's own then
	if of != number {
		if group, err = groupJID(of); err != nil {
			return "", err
		}
	}
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		id, err = client.SetGroupPhoto(ctx, group, jpeg)
		if errors.Is(err, whatsmeow.ErrInvalidImageFormat) {
			return failure(http.StatusUnprocessableEntity, "the picture must be a JPEG of at most 2 MiB and 4,096 pixels a side")
		}
		return err
	})
	return id, err
}

// Picture fetches the profile picture of somebody or of a group, as the phone sees it. Status 404: there is none; 403: it is hidden from this phone.
func (s *Sandbox) Picture(ctx context.Context, number, of string, preview bool) (id string, jpeg []byte, err error) {
	jid, err := groupJID(of)
	if err != nil {
		if err := s.checkRecipient(of); err != nil {
			return "", nil, err
		}
		jid = types.NewJID(of, types.DefaultUserServer)
	}
	var info *types.ProfilePictureInfo
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		info, err = client.GetProfilePictureInfo(ctx, jid, &whatsmeow.GetProfilePictureParams{Preview: preview})
		switch {
		case errors.Is(err, whatsmeow.ErrProfilePictureNotSet):
			return failure(http.StatusNotFound, "%s has no picture", of)
		case errors.Is(err, whatsmeow.ErrProfilePictureUnauthorized):
			return failure(http.StatusForbidden, "%s does not show %s its picture", of, number)
		}
		return err
	})
	if err != nil {
		return "", nil, err
	}
	p, err := s.phone(number)
	if err != nil {
		return "", nil, err
	}
	c, err := p.awaitConnection(ctx)
	if err != nil {
		return "", nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, info.URL, nil)
	if err != nil {
		return "", nil, fmt.Errorf("fetch picture: %w", err)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return "", nil, fmt.Errorf("fetch picture: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("fetch picture: %s", answer.Status)
	}
	jpeg, err = io.ReadAll(io.LimitReader(answer.Body, maxPicture))
	if err != nil {
		return "", nil, fmt.Errorf("fetch picture: %w", err)
	}
	return info.ID, jpeg, nil
}

// SetAbout sets the phone's about text.
func (s *Sandbox) SetAbout(ctx context.Context, number, text string) error {
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		return client.SetStatusMessage(ctx, types.SetStatusInput{Text: &text})
	})
}

// About is somebody's about text as the phone sees it: "" where it is hidden.
func (s *Sandbox) About(ctx context.Context, number, of string) (text string, err error) {
	if err := s.checkRecipient(of); err != nil {
		return "", err
	}
	jid := types.NewJID(of, types.DefaultUserServer)
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		info, err := client.GetUserInfo(ctx, []types.JID{jid})
		text = info[jid].Status
		return err
	})
	return text, err
}

// Block blocks or unblocks somebody.
func (s *Sandbox) Block(ctx context.Context, number, other string, blocked bool) error {
	if err := s.checkRecipient(other); err != nil {
		return err
	}
	action := events.BlocklistChangeActionUnblock
	if blocked {
		action = events.BlocklistChangeActionBlock
	}
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		_, err := client.UpdateBlocklist(ctx, types.NewJID(other, types.DefaultUserServer), action)
		return err
	})
}

// Blocked lists whom the phone has blocked, by number.
func (s *Sandbox) Blocked(ctx context.Context, number string) (numbers []string, err error) {
	numbers = []string{}
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		list, err := client.GetBlocklist(ctx)
		if err != nil {
			return err
		}
		for _, jid := range list.JIDs {
			pn, err := client.Store.LIDs.GetPNForLID(ctx, jid)
			if err != nil {
				return err
			}
			numbers = append(numbers, pn.User)
		}
		slices.Sort(numbers)
		return nil
	})
	return numbers, err
}

// Privacy returns the phone's privacy settings under WhatsApp's own names.
func (s *Sandbox) Privacy(ctx context.Context, number string) (settings map[string]string, err error) {
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		set, err := client.TryFetchPrivacySettings(ctx, true)
		if err != nil {
			return err
		}
		settings = map[string]string{
			"groupadd": string(set.GroupAdd), "last": string(set.LastSeen), "status": string(set.Status), "profile": string(set.Profile),
			"readreceipts": string(set.ReadReceipts), "online": string(set.Online), "calladd": string(set.CallAdd),
			"messages": string(set.Messages), "defense": string(set.Defense), "stickers": string(set.Stickers),
		}
		return nil
	})
	return settings, err
}

// SetPrivacy changes one privacy setting. people are added to those that a value contact_blacklist or contact_allowlist speaks of.
func (s *Sandbox) SetPrivacy(ctx context.Context, number, setting, value string, people ...string) error {
	var users []waBinary.Node
	for _, other := range people {
		if err := s.checkRecipient(other); err != nil {
			return err
		}
		users = append(users, waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": types.NewJID(other, types.DefaultUserServer), "action": "add"}})
	}
	category := waBinary.Node{Tag: "category", Attrs: waBinary.Attrs{"name": setting, "value": value}, Content: users}
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		if _, err := ask(ctx, client, "privacy", "set", waBinary.Node{Tag: "privacy", Content: []waBinary.Node{category}}); err != nil {
			return err
		}
		_, err := client.TryFetchPrivacySettings(ctx, true) // the client goes by what it remembers
		return err
	})
}

// ask makes a phone's client send an iq that whatsmeow has no call for.
func ask(ctx context.Context, client *whatsmeow.Client, xmlns, kind string, child waBinary.Node) (*waBinary.Node, error) {
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; it has no other way to send an iq of one's own
	return client.DangerousInternals().SendIQ(ctx, whatsmeow.DangerousInfoQuery{
		Namespace: xmlns, Type: whatsmeow.DangerousInfoQueryType(kind), To: types.ServerJID, Content: []waBinary.Node{child},
	})
}

// SetBusiness makes the phone's account a business with this profile; nil makes it an ordinary account again.
func (s *Sandbox) SetBusiness(ctx context.Context, number string, profile *server.Business) error {
	if _, err := s.phone(number); err != nil {
		return err
	}
	if profile != nil {
		if err := checkBusiness(profile); err != nil {
			return err
		}
	}
	return s.server.SetBusiness(ctx, number, profile)
}

func checkBusiness(b *server.Business) error {
	if b.Name == "" || len(b.Name) > 256 || len(b.Description)+len(b.Address)+len(b.Email)+len(b.Timezone) > 4096 {
		return failure(http.StatusUnprocessableEntity, "name must have 1 to 256 bytes, description, address, email and timezone at most 4,096 in all")
	}
	if len(b.Websites) > 10 || len(b.Categories) > 10 || len(b.Hours) > 21 {
		return failure(http.StatusUnprocessableEntity, "a business has at most 10 websites, 10 categories and 21 opening hours")
	}
	for _, text := range slices.Concat(b.Websites, b.Categories) {
		if text == "" || len(text) > 1024 {
			return failure(http.StatusUnprocessableEntity, "websites and categories must have 1 to 1,024 bytes")
		}
	}
	for _, h := range b.Hours {
		if !slices.Contains([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, h.Day) ||
			!slices.Contains([]string{"open_24h", "specific_hours", "appointment_only"}, h.Mode) || min(h.Open, h.Close) < 0 || max(h.Open, h.Close) > 24*60 {
			return failure(http.StatusUnprocessableEntity,
				"hours have a day (sun to sat), a mode (open_24h, specific_hours, appointment_only), and open and close in minutes after midnight")
		}
	}
	return nil
}

// ContactLink returns the link by which others find the phone's account; revoke replaces it with a new one.
func (s *Sandbox) ContactLink(ctx context.Context, number string, revoke bool) (link string, err error) {
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		code, err := client.GetContactQRLink(ctx, revoke)
		link = whatsmeow.ContactQRLinkPrefix + code
		return err
	})
	return link, err
}

// MessageLink makes a link to the phone's account that fills in a text of at most 4,096 bytes.
func (s *Sandbox) MessageLink(ctx context.Context, number, text string) (string, error) {
	if _, err := s.phone(number); err != nil {
		return "", err
	}
	if len(text) > 4096 {
		return "", failure(http.StatusUnprocessableEntity, "text must have at most 4,096 bytes")
	}
	code, err := s.server.CreateMessageLink(ctx, number, text)
	if errors.Is(err, server.ErrTooManyLinks) {
		return "", failure(http.StatusConflict, "%v", err)
	}
	return whatsmeow.BusinessMessageLinkPrefix + code, err
}
