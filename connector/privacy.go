package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// privacySettings are WhatsApp's names of the settings of events.Privacy.
var privacySettings = map[string]types.PrivacySettingType{
	"lastSeen": types.PrivacySettingTypeLastSeen, "online": types.PrivacySettingTypeOnline, "picture": types.PrivacySettingTypeProfile,
	"about": types.PrivacySettingTypeStatus, "groupAdd": types.PrivacySettingTypeGroupAdd, "callAdd": types.PrivacySettingTypeCallAdd,
	"readReceipts": types.PrivacySettingTypeReadReceipts, "messages": types.PrivacySettingTypeMessages, "defense": types.PrivacySettingTypeDefense,
	"stickers": types.PrivacySettingTypeStickers,
}

// askPrivacy asks WhatsApp about the account's privacy. whatsmeow's own calls hand out what it remembers, and write into it when the phone changes a
// setting (privacysettings.go, handlePrivacySettingsNotification), while others read it.
func (c *connection) askPrivacy(ctx context.Context, kind string, content ...waBinary.Node) (*waBinary.Node, error) {
	//nolint:staticcheck // SA1019: whatsmeow has no other way to send a query of one's own
	return c.client.DangerousInternals().SendIQ(ctx, whatsmeow.DangerousInfoQuery{
		Namespace: "privacy", Type: whatsmeow.DangerousInfoQueryType(kind), To: types.ServerJID, Content: []waBinary.Node{{Tag: "privacy", Content: content}},
	})
}

// readPrivacy answers events.ReadPrivacy.
func (c *connection) readPrivacy(ctx context.Context, _ events.ProfileQuestion) (events.Privacy, error) {
	answer, err := c.askPrivacy(ctx, "get")
	if err != nil {
		return events.Privacy{}, fmt.Errorf("ask for privacy settings: %w", err)
	}
	node, ok := answer.GetOptionalChildByTag("privacy")
	if !ok {
		return events.Privacy{}, errors.New("the answer holds no privacy settings")
	}
	internals := c.client.DangerousInternals() //nolint:staticcheck // SA1019: as in askPrivacy
	var is types.PrivacySettings
	internals.ParsePrivacySettings(&node, &is)
	// The default timer is in none of whatsmeow's calls; WhatsApp tells it of any account.
	list, err := internals.Usync(ctx, []types.JID{user(*c.device.ID)}, "query", "interactive", []waBinary.Node{{Tag: "disappearing_mode"}})
	if err != nil {
		return events.Privacy{}, fmt.Errorf("ask for default timer: %w", err)
	}
	timer := list.GetChildByTag("user", "disappearing_mode")
	text := func(value types.PrivacySetting) string { return clipped(string(value), maxName) }
	return events.Privacy{
		LastSeen: text(is.LastSeen), Online: text(is.Online), Picture: text(is.Profile), About: text(is.Status), GroupAdd: text(is.GroupAdd), CallAdd: text(is.CallAdd),
		ReadReceipts: text(is.ReadReceipts), Messages: text(is.Messages), Defense: text(is.Defense), Stickers: text(is.Stickers),
		DisappearingSeconds: max(0, timer.AttrGetter().OptionalInt("duration")),
	}, nil
}

// updatePrivacy makes events.UpdatePrivacy, one setting after the other, as WhatsApp's own apps do: where WhatsApp refuses one, those before it are set.
// Repeated, it sets the same once more.
func (c *connection) updatePrivacy(ctx context.Context, _ change, p events.PrivacyChange) (func(context.Context, *queue.Tx) (events.Privacy, error), error) {
	for _, name := range slices.Sorted(maps.Keys(p.Settings)) {
		setting, known := privacySettings[name]
		if !known {
			return nil, &refusal{"unavailable", "The connector of this session is older than the API and cannot do this yet."}
		}
		_, err := c.askPrivacy(ctx, "set", waBinary.Node{Tag: "category", Attrs: waBinary.Attrs{"name": string(setting), "value": p.Settings[name]}})
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	if _, changed := p.Settings["readReceipts"]; changed {
		// whatsmeow goes by what it remembers of it when it sends receipts (receipt.go, MarkRead), and WhatsApp tells only the other devices.
		if _, err := c.client.TryFetchPrivacySettings(ctx, true); err != nil {
			return nil, fmt.Errorf("ask for privacy settings: %w", err)
		}
	}
	if p.DisappearingSeconds != nil {
		if err := c.client.SetDefaultDisappearingTimer(ctx, time.Duration(*p.DisappearingSeconds)*time.Second); err != nil {
			return nil, fmt.Errorf("set default timer: %w", err)
		}
	}
	is, err := c.readPrivacy(ctx, events.ProfileQuestion{})
	if err != nil {
		return nil, err
	}
	return done(is), nil
}
