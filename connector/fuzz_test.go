package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/appstate"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/proto/waServerSync"
	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/proto/waWeb"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/testfuzz"
	"github.com/chasqui/chasqui/infra/testpoll"
)

// The kinds of what FuzzEvents gives a connection.
const (
	fuzzMessage = iota // a message's protobuf
	fuzzStanza         // a stanza of the server's
	fuzzState          // a mutation of the app state
	fuzzHistory        // a part of the history
	fuzzKinds
)

// sources are where messages come from: by chance of the person, the account itself, groups, status updates, channels, and odd ones.
func sources() []types.MessageSource {
	person, lid, own := types.NewJID(juan, types.DefaultUserServer), types.NewJID("77", types.HiddenUserServer), types.NewJID(owner, types.DefaultUserServer)
	group, stranger := types.NewJID("120363000000000001", types.GroupServer), types.NewJID("5491100000003", types.DefaultUserServer)
	return []types.MessageSource{
		{Chat: person, Sender: person}, {Chat: lid, Sender: lid, SenderAlt: person}, {Chat: person, Sender: own, IsFromMe: true, RecipientAlt: lid}, {Chat: group, Sender: person, IsGroup: true},
		{Chat: group, Sender: lid, IsGroup: true}, {Chat: types.StatusBroadcastJID, Sender: person, IsGroup: true}, {Chat: types.NewJID("1", types.NewsletterServer), Sender: types.NewJID("1", types.NewsletterServer)},
		{Chat: types.NewJID("", types.DefaultUserServer)}, {Chat: types.NewJID("a\x00\xff", types.DefaultUserServer), Sender: types.NewJID("\xff", "x\x00")}, {Chat: types.NewJID("1", types.BotServer), Sender: lid}, {Chat: stranger, Sender: stranger},
	}
}

// FuzzEvents gives a connection what WhatsApp, and people through it, may send. Nothing panics, and nothing fails: what is not understood is left out.
// A failure would end the connection, and the stanza come again with the next one, for ever.
func FuzzEvents(f *testing.F) {
	b := setup(f)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.fromPhone(juan, owner, "hello")
	whatsAppID := ""
	b.await("the first message", func() bool {
		whatsAppID = one[string](b, `SELECT coalesce(min(whatsapp_id), '') FROM messages`)
		return whatsAppID != ""
	})
	conn := c.running()[0].sender()
	if conn == nil {
		f.Fatal("not connected")
	}
	seedMessages(f, whatsAppID)
	seedStanzas(f, whatsAppID)
	seedStates(f, whatsAppID)
	seedHistories(f)
	f.Add(byte(fuzzMessage+(len(sources())-1)*fuzzKinds), []byte("\x0a\x05after")) // the chat has as many unread messages as a phone can say
	testfuzz.Run(f, func(t *testing.T, kind byte, data []byte) {
		variant := int(kind) / fuzzKinds
		switch kind % fuzzKinds {
		case fuzzMessage:
			m := &waE2E.Message{}
			if proto.Unmarshal(data, m) != nil {
				return
			}
			info := types.MessageInfo{MessageSource: sources()[variant%len(sources())], ID: fmt.Sprintf("%x", data[:min(len(data), 20)]), Timestamp: time.Now(), PushName: string(data[:min(len(data), 30)])}
			if variant%7 == 6 {
				info.ID, info.Timestamp, info.Category = string(data), time.Unix(1<<40, 0), "peer"
			}
			conn.handle((&waevents.Message{Info: info, RawMessage: m}).UnwrapRaw())
			conn.handle(&waevents.UndecryptableMessage{Info: info})
		case fuzzStanza:
			if n := stanzaOf(data); n != nil {
				conn.stanza(t.Context(), n)
			}
		case fuzzState:
			var action waSyncAction.SyncActionData
			var index []string
			if proto.Unmarshal(data, &action) != nil || json.Unmarshal(action.GetIndex(), &index) != nil || len(index) == 0 {
				return
			}
			//nolint:staticcheck // SA1019: as in raw
			evt := conn.client.DangerousInternals().DispatchAppState(t.Context(), appstate.WAPatchRegular, appstate.Mutation{
				Operation: waServerSync.SyncdMutation_SET, Action: action.GetValue(), Index: index, Version: action.GetVersion(),
			}, variant%2 == 0)
			if evt != nil {
				conn.handle(evt)
			}
		case fuzzHistory:
			var past waHistorySync.HistorySync
			if proto.Unmarshal(data, &past) != nil {
				return
			}
			if _, err := conn.storeHistory(t.Context(), events.NewID(), &past); err != nil {
				t.Error(err)
			}
		}
		if conn.ctx.Err() == nil {
			return
		}
		t.Errorf("the connection ended: %v", context.Cause(conn.ctx))
		if !testpoll.True(patience, func() bool { conn = c.running()[0].sender(); return conn != nil }) { // so that the next input fails for itself alone
			t.Fatal("there is no other")
		}
	})
}

// stanzaOf reads a stanza; nil for what is none, and for what WhatsApp's server would have to make itself: what its decoder panics for, addresses that
// nobody has, and times that are none.
func stanzaOf(data []byte) (n *waBinary.Node) {
	defer func() {
		if recover() != nil {
			n = nil
		}
	}()
	n, err := waBinary.Unmarshal(data)
	if err != nil || !likely(*n) {
		return nil
	}
	return n
}

func likely(n waBinary.Node) bool {
	for name, value := range n.Attrs {
		switch value := value.(type) {
		case types.JID:
			if text := value.String(); printable(text) != text || len(text) > maxID {
				return false
			}
		case string:
			seconds, err := strconv.ParseInt(value, 10, 64)
			if timed := name == "t" || name == "s_t" || name == "creation"; timed && (err != nil || seconds < 0 || seconds > 1<<34) {
				return false
			}
			if n.Tag == "group" && name == "id" && printable(value) != value {
				return false
			}
		}
	}
	return !slices.ContainsFunc(n.GetChildren(), func(child waBinary.Node) bool { return !likely(child) })
}

// stanza does with one of the server's what whatsmeow does, in this goroutine.
func (c *connection) stanza(ctx context.Context, n *waBinary.Node) {
	//nolint:staticcheck // SA1019: as in raw
	internals := c.client.DangerousInternals()
	kind, _ := n.Attrs["type"].(string)
	switch n.Tag {
	case "receipt":
		receipt, participants, err := internals.ParseReceipt(n)
		if err != nil {
			return
		}
		for _, p := range participants {
			internals.HandleGroupedReceipt(*receipt, &p)
		}
		if participants == nil {
			c.handle(receipt)
		}
	case "call":
		internals.HandleCallEvent(ctx, n)
	case "presence":
		internals.HandlePresence(ctx, n)
	case "chatstate":
		internals.HandleChatState(ctx, n)
	case "message":
		info, err := internals.ParseMessageInfo(n)
		if err != nil {
			return
		}
		c.handle(&waevents.UndecryptableMessage{Info: *info})
		c.handle((&waevents.Message{Info: *info, RawMessage: &waE2E.Message{Conversation: proto.String("x")}}).UnwrapRaw())
	case "notification":
		switch kind {
		case "w:gp2":
			if evt, _, _, err := internals.ParseGroupNotification(n); err == nil && evt != nil {
				c.handle(evt)
			}
		case "picture":
			internals.HandlePictureNotification(ctx, n)
		case "newsletter":
			internals.HandleNewsletterNotification(ctx, n)
		case "mex":
			internals.HandleMexNotification(ctx, n)
		case "status":
			internals.HandleStatusNotification(ctx, n)
		case "mediaretry":
			internals.HandleMediaRetryNotification(ctx, n)
		case "account_sync":
			if list := n.GetChildByTag("blocklist"); list.Tag != "" {
				internals.HandleBlocklist(ctx, &list)
			}
		}
	}
}

func seedMessages(f *testing.F, known string) {
	key := &waCommon.MessageKey{RemoteJID: proto.String(juan + "@s.whatsapp.net"), ID: &known}
	sealed := make([]byte, 32)
	for i, m := range []*waE2E.Message{
		{Conversation: proto.String("hello \x00\xff")},
		{ReactionMessage: &waE2E.ReactionMessage{Key: key, Text: proto.String("👍"), SenderTimestampMS: proto.Int64(-1)}},
		{EncReactionMessage: &waE2E.EncReactionMessage{TargetMessageKey: key, EncPayload: sealed, EncIV: sealed[:12]}},
		{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_REVOKE.Enum(), Key: key}},
		{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_MESSAGE_EDIT.Enum(), Key: key, EditedMessage: &waE2E.Message{Conversation: proto.String("new")}, TimestampMS: proto.Int64(1 << 62)}},
		{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_EPHEMERAL_SETTING.Enum(), EphemeralExpiration: proto.Uint32(1<<32 - 1)}},
		{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_HISTORY_SYNC_NOTIFICATION.Enum(), HistorySyncNotification: &waE2E.HistorySyncNotification{FileLength: proto.Uint64(1 << 63)}}},
		{PollUpdateMessage: &waE2E.PollUpdateMessage{PollCreationMessageKey: key, Vote: &waE2E.PollEncValue{EncPayload: sealed, EncIV: sealed[:12]}}},
		{PollCreationMessageV3: &waE2E.PollCreationMessage{Name: proto.String("?"), Options: []*waE2E.PollCreationMessage_Option{{OptionName: proto.String("a")}, nil}}},
		{EncEventResponseMessage: &waE2E.EncEventResponseMessage{EventCreationMessageKey: key, EncPayload: sealed, EncIV: sealed[:12]}},
		{PinInChatMessage: &waE2E.PinInChatMessage{Key: key, Type: waE2E.PinInChatMessage_PIN_FOR_ALL.Enum()}},
		{KeepInChatMessage: &waE2E.KeepInChatMessage{Key: key, KeepType: waE2E.KeepType_KEEP_FOR_ALL.Enum()}},
		{StickerMessage: &waE2E.StickerMessage{DirectPath: proto.String("/v/x"), MediaKey: sealed, FileSHA256: sealed, FileEncSHA256: sealed, FileLength: proto.Uint64(1 << 63), Mimetype: proto.String("image/\x00")}},
		{DocumentWithCaptionMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{DocumentMessage: &waE2E.DocumentMessage{FileName: proto.String("../\x00"), URL: proto.String("https://mmg.whatsapp.net/x")}}}},
		{EphemeralMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: proto.String("x"), ContextInfo: &waE2E.ContextInfo{Expiration: proto.Uint32(86400), StanzaID: &known}}}}},
		{CommentMessage: &waE2E.CommentMessage{TargetMessageKey: key, Message: &waE2E.Message{Conversation: proto.String("x")}}},
		{ListResponseMessage: &waE2E.ListResponseMessage{Title: proto.String("x"), SingleSelectReply: &waE2E.ListResponseMessage_SingleSelectReply{SelectedRowID: proto.String("\x00")}}},
		{DeviceSentMessage: &waE2E.DeviceSentMessage{DestinationJID: proto.String("x"), Message: &waE2E.Message{Conversation: proto.String("x")}}},
		{BotInvokeMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{Conversation: proto.String("x")}}}, {},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		for _, variant := range []int{i, i + 3} {
			f.Add(byte(fuzzMessage+variant*fuzzKinds), raw)
		}
	}
}

func seedStanzas(f *testing.F, known string) {
	person, group, channel, now := types.NewJID(juan, types.DefaultUserServer), types.NewJID("120363000000000001", types.GroupServer), types.NewJID("1", types.NewsletterServer), "1764000000"
	user := waBinary.Node{Tag: "participant", Attrs: waBinary.Attrs{"jid": person, "type": "admin", "phone_number": person, "lid": types.NewJID("77", types.HiddenUserServer), "error": "403"}}
	nodes := []waBinary.Node{
		{Tag: "receipt", Attrs: waBinary.Attrs{"id": known, "from": person, "t": now, "type": "read"}, Content: []waBinary.Node{{Tag: "list", Content: []waBinary.Node{{Tag: "item", Attrs: waBinary.Attrs{"id": "B\x00"}}}}}},
		{Tag: "receipt", Attrs: waBinary.Attrs{"id": known, "from": group, "participant": person, "t": now, "type": "played"}},
		{Tag: "receipt", Attrs: waBinary.Attrs{"id": known, "from": group}, Content: []waBinary.Node{{Tag: "participants", Attrs: waBinary.Attrs{"key": known}, Content: []waBinary.Node{{Tag: "user", Attrs: waBinary.Attrs{"jid": person, "t": now}}}}}},
		{Tag: "receipt", Attrs: waBinary.Attrs{"id": known, "from": types.NewJID(owner, types.DefaultUserServer), "recipient": person, "t": now, "type": "read-self"}},
		{Tag: "presence", Attrs: waBinary.Attrs{"from": person, "type": "unavailable", "last": "99999999999999"}},
		{Tag: "chatstate", Attrs: waBinary.Attrs{"from": group, "participant": person}, Content: []waBinary.Node{{Tag: "composing", Attrs: waBinary.Attrs{"media": "audio"}}}},
		{Tag: "message", Attrs: waBinary.Attrs{"from": group, "participant": person, "id": "A\x00", "t": now, "notify": "\xff\x00", "type": "text", "edit": "7"}},
		{Tag: "notification", Attrs: waBinary.Attrs{"type": "picture", "from": group, "t": now}, Content: []waBinary.Node{{Tag: "set", Attrs: waBinary.Attrs{"jid": group, "author": person, "id": "\x00"}}}},
		{Tag: "notification", Attrs: waBinary.Attrs{"type": "status", "from": person, "t": now}, Content: []waBinary.Node{{Tag: "set", Content: []byte("about\x00\xff")}}},
		{Tag: "notification", Attrs: waBinary.Attrs{"type": "account_sync", "from": person, "t": now}, Content: []waBinary.Node{{Tag: "blocklist", Attrs: waBinary.Attrs{"action": "modify", "dhash": "1", "prev_dhash": "0"}, Content: []waBinary.Node{{Tag: "item", Attrs: waBinary.Attrs{"jid": person, "action": "block"}}}}}},
		{Tag: "notification", Attrs: waBinary.Attrs{"type": "mediaretry", "from": person, "id": known, "t": now}, Content: []waBinary.Node{{Tag: "error", Attrs: waBinary.Attrs{"code": "2"}}, {Tag: "rmr", Attrs: waBinary.Attrs{"jid": person, "from_me": "false"}}}},
		{Tag: "notification", Attrs: waBinary.Attrs{"type": "newsletter", "from": channel, "t": now}, Content: []waBinary.Node{{Tag: "live_updates", Content: []waBinary.Node{{Tag: "messages", Attrs: waBinary.Attrs{"jid": channel, "t": now}, Content: []waBinary.Node{
			{Tag: "message", Attrs: waBinary.Attrs{"server_id": "7", "id": known}, Content: []waBinary.Node{{Tag: "views_count", Attrs: waBinary.Attrs{"count": "99999999999"}}, {Tag: "reactions", Content: []waBinary.Node{{Tag: "reaction", Attrs: waBinary.Attrs{"code": "\x00", "count": "-1"}}}}}},
		}}}}}},
	}
	for _, text := range []string{
		`{"data":{"xwa2_notify_newsletter_on_join":{"id":"1@newsletter","thread_metadata":{"name":{"text":"\u0000"},"description":{"text":"x"},"subscribers_count":"-1","invite":"a","picture":null},"viewer_metadata":{"role":"owner","mute":"ON"}}}}`,
		`{"data":{"xwa2_notify_newsletter_on_leave":{"id":"1@newsletter","role":"\u0000"}}}`, `{"data":{"xwa2_notify_newsletter_on_mute_change":{"id":"1@newsletter","mute":"OFF"}}}`,
		`{"data":{"xwa2_notify_account_reachout_timelock":{"is_active":true,"time_enforcement_ends":"99999999999","enforcement_type":"\u0000"}}}`, `{"data":{}}`, `[]`,
	} {
		nodes = append(nodes, waBinary.Node{Tag: "notification", Attrs: waBinary.Attrs{"type": "mex", "from": types.ServerJID, "t": now}, Content: []waBinary.Node{{Tag: "update", Attrs: waBinary.Attrs{"op_name": "x"}, Content: []byte(text)}}})
	}
	meta := waBinary.Attrs{"call-id": "C\x00", "call-creator": person, "group-jid": group, "media": "video", "type": "group", "reason": "timeout"}
	for _, tag := range []string{"offer", "offer_notice", "accept", "reject", "terminate", "preaccept", "transport"} {
		nodes = append(nodes, waBinary.Node{Tag: "call", Attrs: waBinary.Attrs{"from": person, "id": "1", "t": now, "platform": "x"}, Content: []waBinary.Node{{Tag: tag, Attrs: meta, Content: []waBinary.Node{{Tag: "video"}}}}})
	}
	for _, change := range []waBinary.Node{
		{Tag: "add", Content: []waBinary.Node{user}}, {Tag: "remove", Content: []waBinary.Node{user}}, {Tag: "promote", Content: []waBinary.Node{user}}, {Tag: "demote", Content: []waBinary.Node{user}}, {Tag: "locked"}, {Tag: "unlocked"},
		{Tag: "subject", Attrs: waBinary.Attrs{"subject": "name\x00\xff", "s_o": person, "s_t": now}}, {Tag: "description", Attrs: waBinary.Attrs{"id": "1"}, Content: []waBinary.Node{{Tag: "body", Content: []byte("\x00\xff")}}}, {Tag: "announcement"},
		{Tag: "not_announcement"}, {Tag: "invite", Attrs: waBinary.Attrs{"code": "\x00"}}, {Tag: "ephemeral", Attrs: waBinary.Attrs{"expiration": "4294967295"}}, {Tag: "delete", Attrs: waBinary.Attrs{"reason": "x"}}, {Tag: "membership_approval_mode"},
		{Tag: "link", Attrs: waBinary.Attrs{"link_type": "sub_group"}, Content: []waBinary.Node{{Tag: "group", Attrs: waBinary.Attrs{"jid": group, "subject": "x", "s_t": now}}}}, {Tag: "unlink", Attrs: waBinary.Attrs{"unlink_type": "sub_group", "unlink_reason": "x"}, Content: []waBinary.Node{{Tag: "group", Attrs: waBinary.Attrs{"jid": group}}}},
		{Tag: "created_membership_requests", Content: []waBinary.Node{{Tag: "requested_user", Attrs: waBinary.Attrs{"jid": person}}}}, {Tag: "revoked_membership_requests", Content: []waBinary.Node{user}}, {Tag: "suspended"}, {Tag: "unsuspended"},
		{Tag: "create", Attrs: waBinary.Attrs{"type": "new", "key": "K"}, Content: []waBinary.Node{{Tag: "group", Attrs: waBinary.Attrs{"id": "120363000000000002", "subject": "x\x00", "creation": now, "creator": person, "s_t": now, "s_o": person, "addressing_mode": "lid", "size": "3"}, Content: []waBinary.Node{
			user, {Tag: "description", Attrs: waBinary.Attrs{"id": "1", "t": now}, Content: []waBinary.Node{{Tag: "body", Content: []byte("x")}}}, {Tag: "ephemeral", Attrs: waBinary.Attrs{"expiration": "1"}}, {Tag: "linked_parent", Attrs: waBinary.Attrs{"jid": group}}, {Tag: "parent"}}}}},
	} {
		nodes = append(nodes, waBinary.Node{Tag: "notification", Attrs: waBinary.Attrs{"type": "w:gp2", "from": group, "participant": person, "id": "1", "t": now, "notify": "x"}, Content: []waBinary.Node{change}})
	}
	for _, n := range nodes {
		raw, err := waBinary.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(fuzzStanza), raw[1:])
	}
}

func seedStates(f *testing.F, known string) {
	chat, odd := juan+"@s.whatsapp.net", "x\x00"
	messages := &waSyncAction.SyncActionMessageRange{LastMessageTimestamp: proto.Int64(1 << 62), Messages: []*waSyncAction.SyncActionMessage{{Key: &waCommon.MessageKey{ID: &known, RemoteJID: &chat}, Timestamp: proto.Int64(-1)}, {}}}
	for _, one := range []struct {
		index []string
		value *waSyncAction.SyncActionValue
	}{
		{[]string{appstate.IndexMute, chat}, &waSyncAction.SyncActionValue{MuteAction: &waSyncAction.MuteAction{Muted: proto.Bool(true), MuteEndTimestamp: proto.Int64(1 << 62)}}},
		{[]string{appstate.IndexPin, chat}, &waSyncAction.SyncActionValue{PinAction: &waSyncAction.PinAction{Pinned: proto.Bool(true)}, Timestamp: proto.Int64(1 << 62)}},
		{[]string{appstate.IndexArchive, chat}, &waSyncAction.SyncActionValue{ArchiveChatAction: &waSyncAction.ArchiveChatAction{Archived: proto.Bool(true), MessageRange: messages}}},
		{[]string{appstate.IndexContact, chat}, &waSyncAction.SyncActionValue{ContactAction: &waSyncAction.ContactAction{FullName: &odd, FirstName: &odd, LidJID: &odd, PnJID: &chat}}},
		{[]string{appstate.IndexClearChat, chat, "1", "0"}, &waSyncAction.SyncActionValue{ClearChatAction: &waSyncAction.ClearChatAction{MessageRange: messages}}},
		{[]string{appstate.IndexDeleteChat, chat, "1"}, &waSyncAction.SyncActionValue{DeleteChatAction: &waSyncAction.DeleteChatAction{MessageRange: messages}}},
		{[]string{appstate.IndexStar, chat, known, "0", "0"}, &waSyncAction.SyncActionValue{StarAction: &waSyncAction.StarAction{Starred: proto.Bool(true)}}},
		{[]string{appstate.IndexDeleteMessageForMe, chat, known, "0", "0"}, &waSyncAction.SyncActionValue{DeleteMessageForMeAction: &waSyncAction.DeleteMessageForMeAction{DeleteMedia: proto.Bool(true), MessageTimestamp: proto.Int64(-1)}}},
		{[]string{appstate.IndexMarkChatAsRead, chat}, &waSyncAction.SyncActionValue{MarkChatAsReadAction: &waSyncAction.MarkChatAsReadAction{Read: proto.Bool(false), MessageRange: messages}}},
		{[]string{appstate.IndexSettingPushName}, &waSyncAction.SyncActionValue{PushNameSetting: &waSyncAction.PushNameSetting{Name: &odd}}},
		{[]string{appstate.IndexLabelEdit, "1"}, &waSyncAction.SyncActionValue{LabelEditAction: &waSyncAction.LabelEditAction{Name: &odd, Color: proto.Int32(-1), Deleted: proto.Bool(false)}}},
		{[]string{appstate.IndexLabelAssociationChat, "1", chat}, &waSyncAction.SyncActionValue{LabelAssociationAction: &waSyncAction.LabelAssociationAction{Labeled: proto.Bool(true)}}},
		{[]string{appstate.IndexStar, "x\x00@s.whatsapp.net", "\x00", "1", "\xff"}, nil}, {[]string{"x"}, nil},
	} {
		index, err := json.Marshal(one.index)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := proto.Marshal(&waSyncAction.SyncActionData{Index: index, Value: one.value, Version: proto.Int32(2)})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(fuzzState), raw)
	}
}

func seedHistories(f *testing.F) {
	message := func(text string, at uint64) *waHistorySync.HistorySyncMsg {
		return &waHistorySync.HistorySyncMsg{MsgOrderID: proto.Uint64(at), Message: &waWeb.WebMessageInfo{
			Key: &waCommon.MessageKey{ID: proto.String("H" + text), RemoteJID: proto.String(juan + "@s.whatsapp.net"), Participant: proto.String("77@lid")}, MessageTimestamp: &at, PushName: &text, Participant: proto.String("77@lid"),
			Message: &waE2E.Message{Conversation: &text}, Reactions: []*waWeb.Reaction{{Text: proto.String("👍"), Key: &waCommon.MessageKey{Participant: proto.String("\x00@lid")}, SenderTimestampMS: proto.Int64(1 << 62)}},
		}}
	}
	for _, past := range []*waHistorySync.HistorySync{
		{SyncType: waHistorySync.HistorySync_INITIAL_BOOTSTRAP.Enum(), Progress: proto.Uint32(1<<32 - 1), Conversations: []*waHistorySync.Conversation{
			{ID: proto.String(juan + "@s.whatsapp.net"), LidJID: proto.String("77@lid"), Messages: []*waHistorySync.HistorySyncMsg{message("x", 1700000000), message("y\x00", 1<<63), {}}, Name: proto.String("\x00"), MuteEndTime: proto.Uint64(1<<64 - 1), Pinned: proto.Uint32(1), UnreadCount: proto.Uint32(1<<32 - 1), EphemeralExpiration: proto.Uint32(1<<32 - 1)},
			{ID: proto.String("120363000000000001@g.us"), Messages: []*waHistorySync.HistorySyncMsg{message("z", 1)}, LastMsgTimestamp: proto.Uint64(1 << 63)}, {ID: proto.String("\x00@g.us")}, {},
			{ID: proto.String("5491100000003@s.whatsapp.net"), UnreadCount: proto.Uint32(1<<31 - 1)},
		}},
		{SyncType: waHistorySync.HistorySync_PUSH_NAME.Enum(), Pushnames: []*waHistorySync.Pushname{{ID: proto.String(juan + "@s.whatsapp.net"), Pushname: proto.String("\x00\xff")}, {ID: proto.String("@lid")}, {}}},
		{SyncType: waHistorySync.HistorySync_ON_DEMAND.Enum(), Conversations: []*waHistorySync.Conversation{{ID: proto.String("77@lid"), PnJID: proto.String("a.b:c@d")}}}, {},
	} {
		raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(past)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(fuzzHistory), raw)
	}
}
