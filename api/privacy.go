package api

import (
	"context"
	"time"

	"github.com/chasqui/chasqui/events"
)

// changePrivacy has the settings that WhatsApp knows, with the values that it takes for each (whatsmeow types/user.go, PrivacySettingType).
type changePrivacy struct {
	LastSeen            *string `json:"lastSeen,omitempty" enum:"all,contacts,contact_blacklist,none" doc:"Who sees when the account was last online. contact_blacklist: contacts without those whom the owner chose on the phone." example:"contacts"`
	Online              *string `json:"online,omitempty" enum:"all,match_last_seen" doc:"Who sees that it is online." example:"match_last_seen"`
	Picture             *string `json:"picture,omitempty" enum:"all,contacts,contact_blacklist,none" doc:"Who sees its picture." example:"all"`
	About               *string `json:"about,omitempty" enum:"all,contacts,contact_blacklist,none" doc:"Who sees what it says about itself." example:"all"`
	GroupAdd            *string `json:"groupAdd,omitempty" enum:"all,contacts,contact_blacklist,none" doc:"Who may add it to groups." example:"contacts"`
	CallAdd             *string `json:"callAdd,omitempty" enum:"all,known" doc:"Whose calls ring." example:"known"`
	ReadReceipts        *string `json:"readReceipts,omitempty" enum:"all,none" doc:"Whether senders learn what was read, and the account of them." example:"all"`
	Messages            *string `json:"messages,omitempty" enum:"all,contacts" doc:"Who may write to it." example:"all"`
	Defense             *string `json:"defense,omitempty" enum:"on_standard,off" doc:"WhatsApp's strict account settings." example:"off"`
	Stickers            *string `json:"stickers,omitempty" enum:"contacts,contact_allowlist,none" doc:"Who may use its stickers. contact_allowlist: those whom the owner chose on the phone." example:"contacts"`
	DisappearingSeconds *int    `json:"disappearingSeconds,omitempty" enum:"0,86400,604800,7776000" doc:"After how many seconds messages disappear in chats that begin from now on: a day, a week or 90 days; 0 is never." example:"604800"`
}

func (s *Server) addPrivacy() {
	const path = "/v1/sessions/{sessionId}/privacy"
	example := events.Privacy{
		LastSeen: "contacts", Online: "match_last_seen", Picture: "all", About: "all", GroupAdd: "contacts", CallAdd: "all", ReadReceipts: "all", Messages: "all",
		Defense: "off", Stickers: "contacts", DisappearingSeconds: 604800,
	}
	register(s, operation{
		method: "GET", path: path, id: "get-privacy", tag: "Profile", status: 200, wait: maxPreferredWait * time.Second,
		summary:     "Read the account's privacy settings",
		description: "Asks WhatsApp to whom the account shows what. No event tells of a setting that the owner changes on the phone.",
		response:    example, codes: queryCodes,
	}, func(ctx context.Context, in *struct {
		SessionPath
		Asking
	}) (*asked[events.Privacy], error) {
		return ask(ctx, s, in.SessionID, in.Asking, events.ReadPrivacy, events.ProfileQuestion{})
	})
	register(s, operation{
		method: "PATCH", path: path, id: "change-privacy", tag: "Profile", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Change the account's privacy settings",
		description: "Changes to whom the account shows what: what is left out stays. The settings are set one after the other, each by itself: where WhatsApp refuses one, others may be " +
			"set already. The answer is what WhatsApp has then.",
		request: map[string]any{"lastSeen": "contacts", "online": "match_last_seen", "groupAdd": "contacts", "disappearingSeconds": 604800}, response: example, codes: changeCodes,
	}, s.changePrivacy)
}

func (s *Server) changePrivacy(ctx context.Context, in *struct {
	SessionPath
	Changing
	Body changePrivacy
}) (*changed[events.Privacy], error) {
	b := in.Body
	p := events.PrivacyChange{Settings: map[string]string{}, DisappearingSeconds: b.DisappearingSeconds}
	for name, value := range map[string]*string{
		"lastSeen": b.LastSeen, "online": b.Online, "picture": b.Picture, "about": b.About, "groupAdd": b.GroupAdd, "callAdd": b.CallAdd,
		"readReceipts": b.ReadReceipts, "messages": b.Messages, "defense": b.Defense, "stickers": b.Stickers,
	} {
		if value != nil {
			p.Settings[name] = *value
		}
	}
	if len(p.Settings) == 0 && p.DisappearingSeconds == nil {
		return nil, invalid("body", "expected something to change")
	}
	return onProfile(ctx, s, in.SessionID, in.Changing, events.UpdatePrivacy, p)
}
