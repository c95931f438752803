package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

const (
	// maxName bounds what a phone writes into app state as one text, in bytes.
	maxName = 1024
	// writeAttempts is how often a phone writes app state anew when a companion was faster.
	writeAttempts = 10
)

// StateChange is what the owner of a phone does to a chat, a message or a setting, which all devices of the account then show.
type StateChange struct {
	// Action is one of actionNames. What it needs of the following is said in the README; On is what it switches.
	Action string `json:"action"`
	On     bool   `json:"on"`
	// Chat is a phone number in digits, or a JID.
	Chat string `json:"chat"`
	// ID, FromMe and Sender (a phone number, in groups) name a message of the chat.
	ID     string `json:"id"`
	FromMe bool   `json:"fromMe"`
	Sender string `json:"sender"`
	// Seconds is how long a chat is muted; 0 means for ever.
	Seconds int64 `json:"seconds"`
	// Media says that deleted messages' files are deleted too.
	Media bool `json:"media"`
	// Label is a label's id; Name, Color and Deleted are what it is made to be. Name is a contact's, and the push name, too.
	Label     string `json:"label"`
	Name      string `json:"name"`
	FirstName string `json:"firstName"`
	Color     int32  `json:"color"`
	Deleted   bool   `json:"deleted"`
	// Locale is as "pt_BR". Shortcut and Text are a quick reply's, whose id is ID.
	Locale   string `json:"locale"`
	Shortcut string `json:"shortcut"`
	Text     string `json:"text"`
}

// actionNames are the actions, and what the index of their mutations begins with.
var actionNames = map[string]string{
	"archive": appstate.IndexArchive, "pin": appstate.IndexPin, "mute": appstate.IndexMute, "markRead": appstate.IndexMarkChatAsRead,
	"clearChat": appstate.IndexClearChat, "deleteChat": appstate.IndexDeleteChat, "star": appstate.IndexStar,
	"deleteMessage": appstate.IndexDeleteMessageForMe, "label": appstate.IndexLabelEdit, "labelChat": appstate.IndexLabelAssociationChat,
	"labelMessage": appstate.IndexLabelAssociationMessage, "contact": appstate.IndexContact, "pushName": appstate.IndexSettingPushName,
	"locale": appstate.IndexSettingLocale, "unarchiveChats": appstate.IndexSettingUnarchiveChats, "quickReply": appstate.IndexQuickReply,
	"muteStatus": appstate.IndexUserStatusMute,
}

func (s *Sandbox) appStateOperations() map[string]operation {
	return map[string]operation{
		"POST /phones/{number}/appstate": s.postAppState,
		"POST /phones/{number}/contacts": s.postContact,
		"PUT /appstate":                  s.putAppStateSettings,
	}
}

func (s *Sandbox) postAppState(r *http.Request) (int, any, error) {
	var in StateChange
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.ChangeState(r.Context(), r.PathValue("number"), in)
}

func (s *Sandbox) postContact(r *http.Request) (int, any, error) {
	var in struct {
		Number    string `json:"number"`
		Name      string `json:"name"`
		FirstName string `json:"firstName"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if err := checkNumber("number", in.Number); err != nil {
		return 0, nil, err
	}
	change := StateChange{Action: "contact", Chat: in.Number, Name: in.Name, FirstName: in.FirstName}
	return http.StatusNoContent, nil, s.ChangeState(r.Context(), r.PathValue("number"), change)
}

func (s *Sandbox) putAppStateSettings(r *http.Request) (int, any, error) {
	var in struct {
		SnapshotAfter int `json:"snapshotAfter"`
		Page          int `json:"page"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if in.SnapshotAfter < 0 || in.Page < 0 || in.SnapshotAfter > 1000 || in.Page > 1000 {
		return 0, nil, failure(http.StatusUnprocessableEntity, "snapshotAfter and page must be 1 to 1000, or 0 for 100")
	}
	s.server.SetAppState(server.AppStateSettings{SnapshotAfter: in.SnapshotAfter, Page: in.Page})
	return http.StatusNoContent, nil, nil
}

// ChangeState makes the phone change its account's app state. When it returns nil, the server has the change and tells the other devices.
func (s *Sandbox) ChangeState(ctx context.Context, number string, change StateChange) error {
	patch, err := change.patch()
	if err != nil {
		return err
	}
	p, err := s.phone(number)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	c, err := p.awaitConnection(ctx)
	if err != nil {
		return err
	}
	if err := c.ensureKeys(ctx); err != nil {
		return err
	}
	return s.act(ctx, number, func(ctx context.Context, _ *whatsmeow.Client) error { return c.sendAppState(ctx, patch) })
}

// sendAppState writes a patch, again when a companion was faster. It leaves the conflict to FetchAppState: what whatsmeow does by itself
// (sendAppState in appstate.go) is a race with the fetch that a notification starts.
func (c *connection) sendAppState(ctx context.Context, patch appstate.PatchInfo) error {
	var err error
	for range writeAttempts {
		//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API always handles the conflict by itself
		if err = c.client.DangerousInternals().SendAppState(ctx, patch, false); !errors.Is(err, whatsmeow.ErrAppStateUpdate) {
			break
		}
		if err := c.client.FetchAppState(ctx, patch.Type, false, false); err != nil {
			return fmt.Errorf("fetch app state: %w", err)
		}
	}
	if err != nil {
		return fmt.Errorf("write app state: %w", err)
	}
	return nil
}

// chatJID reads a phone number or a JID.
func chatJID(field, chat string) (types.JID, error) {
	if !strings.Contains(chat, "@") {
		return types.NewJID(chat, types.DefaultUserServer), checkNumber(field, chat)
	}
	jid, err := types.ParseJID(chat)
	known := []string{types.DefaultUserServer, types.HiddenUserServer, types.GroupServer, types.NewsletterServer, types.BroadcastServer}
	if err != nil || jid.User == "" || jid.Device != 0 || !slices.Contains(known, jid.Server) {
		return jid, failure(http.StatusUnprocessableEntity, "%s must be a phone number or the JID of a chat", field)
	}
	return jid, nil
}

// patch makes the mutations of a change, in whatsmeow's own form where it has one (appstate/encode.go).
func (c StateChange) patch() (patch appstate.PatchInfo, err error) {
	var chat types.JID
	sender := types.EmptyJID
	for _, text := range []string{c.ID, c.Label, c.Name, c.FirstName, c.Locale, c.Shortcut, c.Text} {
		if len(text) > maxName {
			return patch, failure(http.StatusUnprocessableEntity, "a text may have at most %d bytes", maxName)
		}
	}
	switch c.Action {
	case "label", "pushName", "locale", "unarchiveChats", "quickReply":
	default:
		if _, ok := actionNames[c.Action]; !ok {
			return patch, failure(http.StatusUnprocessableEntity, "there is no action %q", c.Action)
		}
		if chat, err = chatJID("chat", c.Chat); err != nil {
			return patch, err
		}
	}
	need := func(field, value string) {
		if value == "" && err == nil {
			err = failure(http.StatusUnprocessableEntity, "%s must have a %s", c.Action, field)
		}
	}
	switch c.Action {
	case "star", "deleteMessage", "labelMessage", "quickReply":
		need("id", c.ID)
	}
	switch c.Action {
	case "label", "labelChat", "labelMessage":
		need("label", c.Label)
	case "contact", "pushName":
		need("name", c.Name)
	case "locale":
		need("locale", c.Locale)
	}
	if err != nil {
		return patch, err
	}
	if c.Sender != "" {
		if sender, err = chatJID("sender", c.Sender); err != nil {
			return patch, err
		}
	}
	now := time.Now()
	span := &waSyncAction.SyncActionMessageRange{LastMessageTimestamp: proto.Int64(now.Unix())}
	switch c.Action {
	case "archive":
		return appstate.BuildArchive(chat, c.On, now, nil), nil
	case "pin":
		return appstate.BuildPin(chat, c.On), nil
	case "mute":
		return appstate.BuildMute(chat, c.On, time.Duration(c.Seconds)*time.Second), nil
	case "markRead":
		return appstate.BuildMarkChatAsRead(chat, c.On, now, nil), nil
	case "deleteChat":
		return appstate.BuildDeleteChat(chat, now, nil, c.Media), nil
	case "clearChat":
		return single(appstate.WAPatchRegularHigh, 6, &waSyncAction.SyncActionValue{ClearChatAction: &waSyncAction.ClearChatAction{MessageRange: span}},
			appstate.IndexClearChat, chat.String(), "1", flag(c.Media)), nil
	case "star":
		if sender.IsEmpty() {
			sender = chat // which stands for "0", nobody in particular
		}
		return appstate.BuildStar(chat, sender, c.ID, c.FromMe, c.On), nil
	case "deleteMessage":
		author := "0"
		if !sender.IsEmpty() && chat.Server == types.GroupServer {
			author = sender.String()
		}
		return single(appstate.WAPatchRegularHigh, 3, &waSyncAction.SyncActionValue{DeleteMessageForMeAction: &waSyncAction.DeleteMessageForMeAction{
			DeleteMedia: &c.Media, MessageTimestamp: proto.Int64(now.Unix()),
		}}, appstate.IndexDeleteMessageForMe, chat.String(), c.ID, flag(c.FromMe), author), nil
	case "label":
		return appstate.BuildLabelEdit(c.Label, c.Name, c.Color, c.Deleted), nil
	case "labelChat":
		return appstate.BuildLabelChat(chat, c.Label, c.On), nil
	case "labelMessage":
		return appstate.BuildLabelMessage(chat, c.Label, c.ID, c.On), nil
	case "contact":
		action := &waSyncAction.ContactAction{FullName: &c.Name, SaveOnPrimaryAddressbook: proto.Bool(true)}
		if c.FirstName != "" {
			action.FirstName = &c.FirstName
		}
		return single(appstate.WAPatchCriticalUnblockLow, 2, &waSyncAction.SyncActionValue{ContactAction: action}, appstate.IndexContact, chat.String()), nil
	case "pushName":
		return appstate.BuildSettingPushName(c.Name), nil
	case "locale":
		return appstate.PatchInfo{Type: appstate.WAPatchCriticalBlock, Mutations: []appstate.MutationInfo{localeMutation(c.Locale)}}, nil
	case "unarchiveChats":
		return single(appstate.WAPatchRegularLow, 4, &waSyncAction.SyncActionValue{
			UnarchiveChatsSetting: &waSyncAction.UnarchiveChatsSetting{UnarchiveChats: &c.On},
		}, appstate.IndexSettingUnarchiveChats), nil
	case "quickReply":
		return single(appstate.WAPatchRegular, 2, &waSyncAction.SyncActionValue{QuickReplyAction: &waSyncAction.QuickReplyAction{
			Shortcut: &c.Shortcut, Message: &c.Text, Count: proto.Int32(0), Deleted: &c.Deleted,
		}}, appstate.IndexQuickReply, c.ID), nil
	default: // muteStatus
		return single(appstate.WAPatchRegularHigh, 7, &waSyncAction.SyncActionValue{
			UserStatusMuteAction: &waSyncAction.UserStatusMuteAction{Muted: &c.On},
		}, appstate.IndexUserStatusMute, chat.String()), nil
	}
}

// single makes a patch of one mutation that whatsmeow has no builder for. The versions are those that Baileys writes (chat-utils.ts), where
// it does.
func single(name appstate.WAPatchName, version int32, value *waSyncAction.SyncActionValue, index ...string) appstate.PatchInfo {
	return appstate.PatchInfo{Type: name, Mutations: []appstate.MutationInfo{{Index: index, Version: version, Value: value}}}
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// valueOf shows what a mutation says as JSON.
func valueOf(v *waSyncAction.SyncActionValue) json.RawMessage {
	text, err := protojson.Marshal(v)
	if err != nil {
		return json.RawMessage("{}")
	}
	return text
}
