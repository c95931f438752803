package baileys_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestNoStanzaOfBaileysIsUnknown calls what Baileys can do beside messages; setup checks that the server knew every stanza of it.
//
// Feature: A local WhatsApp for any whatsmeow or Baileys program
func TestNoStanzaOfBaileysIsUnknown(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := newClient(t, s, t.TempDir())
	c.link(s, anna)
	friend := jid(bert)
	key := map[string]any{"remoteJid": friend, "id": "3EB0000000000000000000", "fromMe": false}
	for _, step := range []struct {
		method    string
		arguments []any
		refusal   string // what the error says that is the right answer
	}{
		{"onWhatsApp", []any{bert, "4915112345678"}, ""},
		{"fetchStatus", []any{friend}, ""},
		{"updateProfileStatus", []any{"at work"}, ""},
		{"profilePictureUrl", []any{friend, "image"}, "item-not-found"},
		{"fetchDisappearingDuration", []any{friend}, ""},
		{"updateDefaultDisappearingMode", []any{86400}, ""},
		{"presenceSubscribe", []any{friend}, ""},
		{"sendPresenceUpdate", []any{"available"}, ""},
		{"sendPresenceUpdate", []any{"composing", friend}, ""},
		{"sendPresenceUpdate", []any{"recording", friend}, ""},
		{"sendPresenceUpdate", []any{"paused", friend}, ""},
		{"sendPresenceUpdate", []any{"unavailable"}, ""},
		{"updateBlockStatus", []any{friend, "block"}, ""},
		{"fetchBlocklist", nil, ""},
		{"updateBlockStatus", []any{friend, "unblock"}, ""},
		{"removeProfilePicture", []any{jid(anna)}, ""},
		{"fetchPrivacySettings", []any{true}, ""},
		{"updateLastSeenPrivacy", []any{"contacts"}, ""},
		{"updateOnlinePrivacy", []any{"match_last_seen"}, ""},
		{"updateProfilePicturePrivacy", []any{"none"}, ""},
		{"updateStatusPrivacy", []any{"contacts"}, ""},
		{"updateReadReceiptsPrivacy", []any{"all"}, ""},
		{"updateGroupsAddPrivacy", []any{"contacts"}, ""},
		{"updateCallPrivacy", []any{"known"}, ""},
		{"updateMessagesPrivacy", []any{"contacts"}, ""},
		{"issuePrivacyTokens", []any{[]string{friend}}, ""},
		{"getBusinessProfile", []any{friend}, ""},
		{"getCatalog", []any{map[string]any{"jid": friend}}, ""},
		{"getCollections", []any{friend}, ""},
		{"getBotListV2", nil, ""},
		{"getOrderDetails", []any{"1234567890", "dG9rZW4="}, "item-not-found"},
		{"resyncAppState", []any{[]string{"critical_block", "critical_unblock_low", "regular_high", "regular_low", "regular"}, true}, ""},
		{"updateProfileName", []any{"Anna B"}, ""},
		{"chatModify", []any{map[string]any{"pin": true}, friend}, ""},
		{"addOrEditContact", []any{friend, map[string]any{"fullName": "Bert B", "firstName": "Bert"}}, ""},
		{"updateDisableLinkPreviewsPrivacy", []any{true}, ""},
		{"cleanDirtyBits", []any{"account_sync"}, ""},
		{"groupFetchAllParticipating", nil, ""},
		{"communityFetchAllParticipating", nil, ""},
		{"groupCreate", []any{"Plans", []string{friend}}, ""},
		{"groupGetInviteInfo", []any{"AbCdEfGhIjKlMnOpQrStUv"}, "not-acceptable"},
		{"communityCreate", []any{"Neighbours", "all of us"}, ""},
		{"newsletterCreate", []any{"News", "about us"}, ""},
		{"newsletterMetadata", []any{"invite", "0029VaAbCdEfGhIjKlMnOp"}, "item-not-found"},
		{"createCallLink", []any{"video"}, ""},
		{"rejectCall", []any{"00000000000000000000000000000000", friend}, ""},
		{"fetchAccountReachoutTimelock", nil, ""},
		{"fetchNewChatMessageCap", nil, ""},
		{"digestKeyBundle", nil, ""},
		{"rotateSignedPreKey", nil, ""},
		{"uploadPreKeys", []any{30}, ""},
		{"assertSessions", []any{[]string{friend}, true}, ""},
		{"getUSyncDevices", []any{[]string{friend}, false, false}, ""},
		{"fetchMessageHistory", []any{10, key, 1700000000}, ""},
		{"requestPlaceholderResend", []any{key}, ""},
		{"sendWAMBuffer", []any{"WAM"}, ""},
		{"sendMessage", []any{friend, map[string]any{"poll": map[string]any{"name": "when?", "values": []string{"now", "later"}}}}, ""},
		{"sendMessage", []any{friend, map[string]any{"location": map[string]any{"degreesLatitude": -34.6, "degreesLongitude": -58.4}}}, ""},
		{"sendMessage", []any{friend, map[string]any{"disappearingMessagesInChat": 86400}}, ""},
	} {
		var answer struct{ Error string }
		c.try("call", map[string]any{"method": step.method, "arguments": step.arguments}, &answer)
		if refused := answer.Error != ""; refused != (step.refusal != "") || !strings.Contains(answer.Error, step.refusal) {
			arguments, _ := json.Marshal(step.arguments)
			t.Errorf("%s%s: %q, want %q", step.method, arguments, answer.Error, step.refusal)
		}
		if t.Failed() {
			return // what follows would only repeat it
		}
	}
}
