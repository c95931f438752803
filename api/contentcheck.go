package api

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chasqui/chasqui/events"
)

const (
	// maxOption bounds an option of a poll, in characters, as WhatsApp's apps do.
	maxOption = 100
	// inviteKept is how long an invitation into a group holds that does not say: what WhatsApp's apps write there.
	inviteKept = 3 * 24 * time.Hour
)

// check finds what no schema says of a content that fits its own, and settles what was left open.
func (c *sendContent) check(path *huma.PathBuffer) (found []error) {
	wrong := func(place, message string) {
		found = append(found, &huma.ErrorDetail{Message: message, Location: path.With(place)})
	}
	if c.Media != nil && c.source.count() != 1 {
		wrong("media", "expected one of mediaId, url and base64")
	}
	switch c.Type {
	case events.ContentText:
		c.checkPreview(wrong)
	case events.ContentVideo:
		if c.GIF && c.VideoNote {
			wrong("videoNote", "a video is not a gif and a video note at once")
		}
	case events.ContentContacts:
		for i := range c.Contacts {
			checkCard(&c.Contacts[i], func(place, message string) { wrong(fmt.Sprintf("contacts[%d]%s", i, place), message) })
		}
	case events.ContentPoll:
		c.checkPoll(wrong)
	case events.ContentEvent:
		if e := c.Event; e.EndAt != nil && !e.EndAt.After(e.StartAt) {
			wrong("event.endAt", "expected a time after startAt")
		}
		if blank(c.Event.Name) {
			wrong("event.name", "expected a name")
		}
		if link := c.Event.JoinLink; link != "" && firstLink(link) != link {
			wrong("event.joinLink", "expected a link, such as https://call.whatsapp.com/video/abc")
		}
	case events.ContentGroupInvite:
		c.checkInvite(wrong)
	case events.ContentAlbum:
		if c.Album.Images+c.Album.Videos < 2 {
			wrong("album", "expected two images and videos at least")
		}
	}
	return found
}

func (c *sendContent) checkPreview(wrong func(place, message string)) {
	p := c.LinkPreview
	if p == nil {
		return
	}
	if c.preview == "fetch" {
		wrong("preview", "expected none where linkPreview is given")
	}
	if !strings.Contains(c.Text, p.URL) {
		wrong("linkPreview.url", "expected a link that stands in the text")
	}
	if blank(p.Title) {
		wrong("linkPreview.title", "expected a title")
	}
	if c.image != (mediaSource{}) && c.image.count() != 1 {
		wrong("linkPreview.image", "expected one of mediaId, url and base64")
	}
}

func (c *sendContent) checkPoll(wrong func(place, message string)) {
	if blank(c.Poll.Question) {
		wrong("poll.question", "expected a question")
	}
	for i, option := range c.Poll.Options {
		place := fmt.Sprintf("poll.options[%d]", i)
		switch {
		case blank(option):
			wrong(place, "expected a text")
		case utf8.RuneCountInString(option) > maxOption:
			wrong(place, fmt.Sprintf("expected %d characters at most", maxOption))
		case slices.Contains(c.Poll.Options[:i], option):
			wrong(place, "expected each option once")
		}
	}
	if c.Poll.SelectableCount > len(c.Poll.Options) {
		wrong("poll.selectableCount", fmt.Sprintf("expected %d at most, as many as there are options", len(c.Poll.Options)))
	}
}

func (c *sendContent) checkInvite(wrong func(place, message string)) {
	i := c.GroupInvite
	jid, err := events.ParseAddress(i.GroupID)
	if err != nil || events.KindOf(jid) != events.KindGroup {
		wrong("groupInvite.groupId", "expected the JID of a group, such as 120363025246125486@g.us")
	}
	i.GroupID = jid
	switch {
	case i.ExpiresAt == nil:
		at := time.Now().Add(inviteKept).UTC().Truncate(time.Second)
		i.ExpiresAt = &at
	case !i.ExpiresAt.After(time.Now()):
		wrong("groupInvite.expiresAt", "expected a time in the future")
	}
}

// formattedName finds the line of a vCard that every one has (RFC 2426, 3.1.1; RFC 6350, 6.2.1).
var formattedName = regexp.MustCompile(`(?im)^(?:[A-Za-z0-9-]+\.)?FN(?:;[^:\r\n]*)?:[ \t]*(\S[^\r\n]*?)[ \t]*\r?$`)

// checkCard makes the phones of a card digits, and gives it the name that its vCard has.
func checkCard(card *events.ContactCard, wrong func(place, message string)) {
	if strings.ContainsFunc(card.Name, unicode.IsControl) {
		wrong(".name", "expected a name of one line")
	}
	switch {
	case card.VCard != "" && len(card.Phones) > 0:
		wrong("", "expected either phones or vcard")
	case card.VCard != "":
		upper := strings.ToUpper(card.VCard)
		name := formattedName.FindStringSubmatch(card.VCard)
		if !strings.HasPrefix(strings.TrimSpace(upper), "BEGIN:VCARD") || !strings.HasSuffix(strings.TrimSpace(upper), "END:VCARD") || name == nil {
			wrong(".vcard", "expected a vCard, from BEGIN:VCARD to END:VCARD, with an FN")
			return
		}
		if card.Name == "" {
			card.Name = firstRunes(name[1], 256)
		}
	case blank(card.Name) || len(card.Phones) == 0:
		wrong("", "expected a name and phones, or a vcard")
	}
	for i, phone := range card.Phones {
		jid, err := events.ParseAddress(phone)
		digits, found := strings.CutSuffix(jid, "@"+events.PhoneServer)
		if err != nil || !found {
			wrong(fmt.Sprintf(".phones[%d]", i), "expected a phone number with its country code: 7 to 15 digits, with + or without")
			continue
		}
		card.Phones[i] = digits
	}
}

func blank(text string) bool { return strings.TrimSpace(text) == "" }

// firstRunes is the beginning of a text, of n characters at most.
func firstRunes(text string, n int) string {
	for i := range text {
		if n--; n < 0 {
			return text[:i]
		}
	}
	return text
}
