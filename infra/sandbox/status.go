package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

// StatusBroadcast is the recipient of a message that is a status: everybody in its audience gets it. Statuses are sent, shown, revoked and
// marked as read (which is viewed) as messages are.
const StatusBroadcast = "status@broadcast"

// statusOperations are what is peculiar to statuses.
func (s *Sandbox) statusOperations() map[string]operation {
	return map[string]operation{
		"GET /phones/{number}/status/audience": s.getAudience,
		"PUT /phones/{number}/status/audience": s.putAudience,
	}
}

// Audience is who gets a phone's statuses.
type Audience struct {
	// Type is "contacts" (those with a name in the phone's address book), "whitelist" (the numbers) or "blacklist" (contacts but the numbers).
	Type    string   `json:"type"`
	Numbers []string `json:"numbers,omitempty"`
}

// SetAudience says who gets the statuses that the phone sends from now on.
func (s *Sandbox) SetAudience(ctx context.Context, number string, a Audience) error {
	if !slices.Contains([]string{"contacts", "whitelist", "blacklist"}, a.Type) {
		return failure(http.StatusUnprocessableEntity, `type must be "contacts", "whitelist" or "blacklist"`)
	}
	list := waBinary.Node{Tag: "list", Attrs: waBinary.Attrs{"type": a.Type}}
	var users []waBinary.Node
	for _, other := range a.Numbers {
		if err := s.checkRecipient(other); err != nil {
			return err
		}
		users = append(users, waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": types.NewJID(other, types.DefaultUserServer)}})
	}
	list.Content = users
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		_, err := ask(ctx, client, "status", "set", waBinary.Node{Tag: "privacy", Content: []waBinary.Node{list}})
		return err
	})
}

// Audience returns who gets the phone's statuses.
func (s *Sandbox) Audience(ctx context.Context, number string) (a Audience, err error) {
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		lists, err := client.GetStatusPrivacy(ctx)
		if err != nil {
			return err
		}
		a = Audience{Type: string(lists[0].Type)}
		for _, jid := range lists[0].List {
			if jid.Server == types.DefaultUserServer { // a blacklist has the other address too
				a.Numbers = append(a.Numbers, jid.User)
			}
		}
		return nil
	})
	return a, err
}

func (s *Sandbox) getAudience(r *http.Request) (int, any, error) {
	a, err := s.Audience(r.Context(), r.PathValue("number"))
	return http.StatusOK, a, err
}

func (s *Sandbox) putAudience(r *http.Request) (int, any, error) {
	var in Audience
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, in, s.SetAudience(r.Context(), r.PathValue("number"), in)
}

// statusText is a text with a look, as a status has one. The apps write white on it.
func (c *composer) statusText() (*waE2E.Message, error) {
	digits, marked := strings.CutPrefix(c.Background, "#")
	rgb, err := strconv.ParseUint(digits, 16, 24)
	font, known := waE2E.ExtendedTextMessage_FontType_value[c.Font]
	if !marked || err != nil || len(digits) != 6 || !known || c.Preview != nil {
		return nil, refuse("background must be a colour as #128C7E, font one of WhatsApp's, and there is no preview beside them")
	}
	return &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{
		Text: &c.Text, BackgroundArgb: proto.Uint32(0xFF000000 | uint32(rgb)), TextArgb: proto.Uint32(0xFFFFFFFF), Font: waE2E.ExtendedTextMessage_FontType(font).Enum(),
	}}, nil
}

// look reads what statusText writes.
func look(m *waE2E.ExtendedTextMessage, c *Content) {
	if m == nil {
		return
	}
	if c.Background = colour(m.BackgroundArgb); m.Font != nil {
		c.Font = m.Font.String()
	}
}

func colour(argb *uint32) string {
	if argb == nil {
		return ""
	}
	return fmt.Sprintf("#%06X", *argb&0xFFFFFF)
}
