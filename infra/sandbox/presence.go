package sandbox

import (
	"context"
	"net/http"
	"strings"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
)

// presenceOperations are what a phone shows of its user's doings, and asks of others'.
func (s *Sandbox) presenceOperations() map[string]operation {
	return map[string]operation{
		"PUT /phones/{number}/presence":       s.putPresence,
		"POST /phones/{number}/subscriptions": s.postSubscription,
		"POST /phones/{number}/chatstate":     s.postChatState,
		"PUT /phones/{number}/name":           s.putName,
	}
}

// SetPresence makes the phone available, as an app that is in the foreground, or not. It ends with the phone's connection.
func (s *Sandbox) SetPresence(ctx context.Context, number string, available bool) error {
	state := types.PresenceUnavailable
	if available {
		state = types.PresenceAvailable
	}
	return s.tell(ctx, number, waBinary.Node{Tag: "presence", Attrs: waBinary.Attrs{"type": string(state)}})
}

// SetName changes the push name, which others see with the phone's next message.
func (s *Sandbox) SetName(ctx context.Context, number, name string) error {
	if name == "" || len(name) > 100 || strings.Contains(name, "\x00") {
		return failure(http.StatusUnprocessableEntity, "name must have 1 to 100 bytes, none of them NUL")
	}
	return s.tell(ctx, number, waBinary.Node{Tag: "presence", Attrs: waBinary.Attrs{"name": name}})
}

// Subscribe asks for another's presence: the present one and each change come as events of kind presence, while the phone is available.
func (s *Sandbox) Subscribe(ctx context.Context, number, other string) error {
	if err := s.checkRecipient(other); err != nil {
		return err
	}
	to := types.NewJID(other, types.DefaultUserServer)
	return s.tell(ctx, number, waBinary.Node{Tag: "presence", Attrs: waBinary.Attrs{"type": "subscribe", "to": to}})
}

// ChatState shows in a chat that the phone's user is "typing" or "recording", or has "paused". to is a phone number or a group's JID.
func (s *Sandbox) ChatState(ctx context.Context, number, to, state string) error {
	chat, err := s.chatJID(to)
	if err != nil {
		return err
	}
	child := waBinary.Node{Tag: string(types.ChatPresenceComposing)}
	switch state {
	case "typing":
	case "recording":
		child.Attrs = waBinary.Attrs{"media": string(types.ChatPresenceMediaAudio)}
	case "paused":
		child.Tag = string(types.ChatPresencePaused)
	default:
		return failure(http.StatusUnprocessableEntity, `state must be "typing", "recording" or "paused"`)
	}
	return s.tell(ctx, number, waBinary.Node{Tag: "chatstate", Attrs: waBinary.Attrs{"to": chat}, Content: []waBinary.Node{child}})
}

// chatJID is the address of a chat: a phone number's, or the JID of a group.
func (s *Sandbox) chatJID(to string) (types.JID, error) {
	if strings.HasSuffix(to, "@"+types.GroupServer) {
		jid, err := types.ParseJID(to)
		if err != nil {
			return jid, failure(http.StatusUnprocessableEntity, "to must be a phone number or the JID of a group")
		}
		return jid, nil
	}
	return types.NewJID(to, types.DefaultUserServer), s.checkRecipient(to)
}

// tell makes the phone send a stanza that has no answer, and waits until the server has taken it: the stanzas of one connection are taken in
// order, so the answer to a ping says so.
func (s *Sandbox) tell(ctx context.Context, number string, stanza waBinary.Node) error {
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; it has no other way to send a stanza of one's own
		internals := client.DangerousInternals()
		if err := internals.SendNode(ctx, stanza); err != nil {
			return err
		}
		// A connection that ends meanwhile counts as an answer, but then it is no longer connected.
		if answered, _ := internals.SendKeepAlive(ctx); !answered || !client.IsConnected() {
			return failure(http.StatusGatewayTimeout, "the server has not taken it yet")
		}
		return nil
	})
}

func (s *Sandbox) putPresence(r *http.Request) (int, any, error) {
	var in struct {
		Available bool `json:"available"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.SetPresence(r.Context(), r.PathValue("number"), in.Available)
}

func (s *Sandbox) putName(r *http.Request) (int, any, error) {
	var in struct {
		Name string `json:"name"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.SetName(r.Context(), r.PathValue("number"), in.Name)
}

func (s *Sandbox) postSubscription(r *http.Request) (int, any, error) {
	var in struct {
		Number string `json:"number"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.Subscribe(r.Context(), r.PathValue("number"), in.Number)
}

func (s *Sandbox) postChatState(r *http.Request) (int, any, error) {
	var in struct {
		To    string `json:"to"`
		State string `json:"state"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.ChatState(r.Context(), r.PathValue("number"), in.To, in.State)
}

// name is how events call a user: by the phone number, or by the JID where that is not known.
func (c *connection) name(jid, alt types.JID) string {
	if number, err := c.numberOf(jid, alt); err == nil {
		return number
	}
	return jid.ToNonAD().String()
}

// noteProfile notes what others, or the phone's own companions, changed of what is shown of them.
func (c *connection) noteProfile(event any) {
	note := c.phone.events.note
	switch e := event.(type) {
	case *events.Presence:
		data := map[string]any{"from": c.name(e.From, types.EmptyJID), "available": !e.Unavailable}
		if !e.LastSeen.IsZero() {
			data["lastSeen"] = e.LastSeen.UTC()
		}
		note("presence", data)
	case *events.ChatPresence:
		state := "paused"
		if e.State == types.ChatPresenceComposing {
			state = "typing"
			if e.Media == types.ChatPresenceMediaAudio {
				state = "recording"
			}
		}
		data := map[string]any{"from": c.name(e.Sender, e.SenderAlt), "state": state}
		if e.IsGroup {
			data["chat"] = e.Chat
		}
		note("chatState", data)
	case *events.Picture:
		data := map[string]any{"removed": e.Remove}
		if e.JID.Server == types.GroupServer {
			data["chat"], data["from"] = e.JID, c.name(e.Author, types.EmptyJID)
		} else {
			data["from"] = c.name(e.JID, types.EmptyJID)
		}
		if e.PictureID != "" {
			data["id"] = e.PictureID
		}
		note("picture", data)
	case *events.UserAbout:
		note("about", map[string]any{"from": c.name(e.JID, types.EmptyJID), "text": e.Status})
	case *events.Blocklist:
		for _, change := range e.Changes {
			note("blocklist", map[string]any{"number": c.name(change.JID, types.EmptyJID), "blocked": change.Action == events.BlocklistChangeActionBlock})
		}
	case *events.PrivacySettings:
		note("privacy", map[string]any{})
	case *events.PushName:
		note("nameChanged", map[string]any{"from": c.name(e.JID, e.JIDAlt), "old": e.OldPushName, "name": e.NewPushName})
	case *events.BusinessName:
		note("businessName", map[string]any{"from": c.name(e.JID, types.EmptyJID), "old": e.OldBusinessName, "name": e.NewBusinessName})
	}
}
