package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"
)

// StatusBroadcast is the recipient of a message that is a status: everybody in its audience gets it.
const StatusBroadcast = "status@broadcast"

// statusOperations are what is done with statuses; they are sent as messages are, to StatusBroadcast.
func (s *Sandbox) statusOperations() map[string]operation {
	return map[string]operation{
		"GET /phones/{number}/status/audience":     s.getAudience,
		"PUT /phones/{number}/status/audience":     s.putAudience,
		"DELETE /phones/{number}/statuses/{id}":    s.deleteStatus,
		"POST /phones/{number}/statuses/{id}/view": s.postView,
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

// RevokeStatus takes back a status of the phone's own from those who got it.
func (s *Sandbox) RevokeStatus(ctx context.Context, number, id string) error {
	p, err := s.phone(number)
	if err != nil {
		return err
	}
	message, err := proto.Marshal(&waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type: waE2E.ProtocolMessage_REVOKE.Enum(),
		Key:  &waCommon.MessageKey{FromMe: proto.Bool(true), ID: proto.String(id), RemoteJID: proto.String(StatusBroadcast)},
	}})
	if err != nil {
		return fmt.Errorf("marshal message to send: %w", err)
	}
	_, err = s.post(ctx, p, outgoing{ID: newMessageID(), Recipient: StatusBroadcast, Message: message})
	return err
}

// ViewStatus tells the author of a status that the phone's user has seen it.
func (s *Sandbox) ViewStatus(ctx context.Context, number, author, id string) error {
	if err := s.checkRecipient(author); err != nil {
		return err
	}
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		err := client.MarkRead(ctx, []types.MessageID{id}, time.Now(), types.StatusBroadcastJID, types.NewJID(author, types.DefaultUserServer))
		if err != nil {
			return err
		}
		//nolint:staticcheck // SA1019: the answer to a ping says that the receipt, which came before it, was taken
		if answered, _ := client.DangerousInternals().SendKeepAlive(ctx); !answered || !client.IsConnected() {
			return failure(http.StatusGatewayTimeout, "the server has not taken the receipt yet")
		}
		return nil
	})
}

// noteStatus notes a status of somebody's, or of the phone's own companions.
func (c *connection) noteStatus(e *events.Message) {
	data := map[string]any{"id": e.Info.ID, "from": c.name(e.Info.Sender, e.Info.SenderAlt), "fromMe": e.Info.IsFromMe, "timestamp": e.Info.Timestamp.UTC()}
	kind, text := content(e.Message)
	if revoked := e.Message.GetProtocolMessage(); revoked.GetType() == waE2E.ProtocolMessage_REVOKE && revoked != nil {
		c.phone.events.note("statusRevoked", map[string]any{"id": revoked.GetKey().GetID(), "from": data["from"], "fromMe": e.Info.IsFromMe})
		return
	}
	if kind == "" {
		return // keys
	}
	for _, caption := range []string{e.Message.GetImageMessage().GetCaption(), e.Message.GetVideoMessage().GetCaption()} {
		if text == "" {
			text = caption
		}
	}
	data["type"], data["text"] = kind, text
	c.phone.events.note("status", data)
}

// recipientJID is the address of an outgoing message's recipient.
func recipientJID(recipient string) (types.JID, error) {
	if !strings.Contains(recipient, "@") {
		return types.NewJID(recipient, types.DefaultUserServer), nil
	}
	return types.ParseJID(recipient)
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

func (s *Sandbox) deleteStatus(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.RevokeStatus(r.Context(), r.PathValue("number"), r.PathValue("id"))
}

func (s *Sandbox) postView(r *http.Request) (int, any, error) {
	var in struct {
		From string `json:"from"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.ViewStatus(r.Context(), r.PathValue("number"), in.From, r.PathValue("id"))
}
