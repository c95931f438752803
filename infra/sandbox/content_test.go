package sandbox

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

// readJSON is what Bert's phone, 222, shows of a message that Anna, 111, wrote to it.
func readJSON(t *testing.T, m *waE2E.Message) string {
	t.Helper()
	r := &reader{name: nameForTest, self: "222", from: "111", chat: "111"}
	text, err := json.Marshal(r.read(m))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// nameForTest knows the numbers of two LIDs.
func nameForTest(jid types.JID) string {
	switch {
	case jid.User == "1000":
		return "111"
	case jid.User == "2000":
		return "222"
	case jid.Server == types.DefaultUserServer:
		return jid.User
	}
	return jid.String()
}

func wrapped(m *waE2E.Message) *waE2E.FutureProofMessage {
	return &waE2E.FutureProofMessage{Message: m}
}

func TestEveryKindOfMessageIsRead(t *testing.T) {
	t.Parallel()
	str, num, yes := proto.String, proto.Uint32, proto.Bool(true)
	key := &waCommon.MessageKey{ID: str("T"), RemoteJID: str("2000@lid"), FromMe: proto.Bool(false)}
	own := &waCommon.MessageKey{ID: str("T"), RemoteJID: str("2000@lid"), FromMe: yes}
	poll := &waE2E.PollCreationMessage{Name: str("Q"), Options: []*waE2E.PollCreationMessage_Option{{OptionName: str("a")}, {OptionName: str("b")}}, SelectableOptionsCount: num(1)}
	image := &waE2E.ImageMessage{Caption: str("look")}
	for name, c := range map[string]struct {
		m    *waE2E.Message
		want string
	}{
		"text":       {&waE2E.Message{Conversation: str("hi")}, `{"type":"text","text":"hi"}`},
		"ephemeral":  {&waE2E.Message{EphemeralMessage: wrapped(&waE2E.Message{Conversation: str("hi")})}, `{"type":"text","text":"hi"}`},
		"deviceSent": {&waE2E.Message{DeviceSentMessage: &waE2E.DeviceSentMessage{Message: &waE2E.Message{Conversation: str("hi")}}}, `{"type":"text","text":"hi"}`},
		"context": {&waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: str("@1000 hi"), ContextInfo: &waE2E.ContextInfo{
			StanzaID: str("Q"), Participant: str("2000@lid"), QuotedMessage: &waE2E.Message{ImageMessage: image}, MentionedJID: []string{"1000@lid", "7@lid", "333@s.whatsapp.net"},
			GroupMentions: []*waE2E.GroupMention{{GroupJID: str("9@g.us")}}, NonJIDMentions: num(1), IsForwarded: yes, ForwardingScore: num(5), Expiration: num(86400),
		}}}, `{"type":"text","text":"@1000 hi","quote":{"id":"Q","from":"222","type":"image","text":"look"},"mentions":["111","7@lid","333","9@g.us"],` +
			`"mentionsEveryone":true,"forwarded":true,"forwardingScore":5,"ephemeralSeconds":86400}`},
		"preview": {&waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{
			Text: str("see https://a.example"), MatchedText: str("https://a.example"), Title: str("A"), Description: str("of A"), JPEGThumbnail: []byte{1},
		}}, `{"type":"text","text":"see https://a.example","preview":{"url":"https://a.example","title":"A","description":"of A","hasThumbnail":true}}`},
		"image":      {&waE2E.Message{ImageMessage: image}, `{"type":"image","text":""}`},
		"view once":  {&waE2E.Message{ViewOnceMessage: wrapped(&waE2E.Message{ImageMessage: image})}, `{"type":"image","text":"","viewOnce":true}`},
		"voice once": {&waE2E.Message{ViewOnceMessageV2Extension: wrapped(&waE2E.Message{AudioMessage: &waE2E.AudioMessage{PTT: yes}})}, `{"type":"voice","text":"","viewOnce":true}`},
		"once bare":  {&waE2E.Message{VideoMessage: &waE2E.VideoMessage{ViewOnce: yes}}, `{"type":"video","text":"","viewOnce":true}`},
		"audio":      {&waE2E.Message{AudioMessage: &waE2E.AudioMessage{}}, `{"type":"audio","text":""}`},
		"round":      {&waE2E.Message{PtvMessage: &waE2E.VideoMessage{}}, `{"type":"video","text":""}`},
		"document":   {&waE2E.Message{DocumentWithCaptionMessage: wrapped(&waE2E.Message{DocumentMessage: &waE2E.DocumentMessage{}})}, `{"type":"document","text":""}`},
		"lottie":     {&waE2E.Message{LottieStickerMessage: wrapped(&waE2E.Message{StickerMessage: &waE2E.StickerMessage{}})}, `{"type":"sticker","text":""}`},
		"location": {&waE2E.Message{LocationMessage: &waE2E.LocationMessage{DegreesLatitude: proto.Float64(-34.5), DegreesLongitude: proto.Float64(-58.25), Name: str("N"), Address: str("A"), URL: str("U")}},
			`{"type":"location","text":"","location":{"latitude":-34.5,"longitude":-58.25,"name":"N","address":"A","url":"U"}}`},
		"no place": {&waE2E.Message{LocationMessage: &waE2E.LocationMessage{DegreesLatitude: proto.Float64(math.NaN()), DegreesLongitude: proto.Float64(math.Inf(1))}},
			`{"type":"location","text":"","location":{"latitude":0,"longitude":0}}`},
		"live": {&waE2E.Message{LiveLocationMessage: &waE2E.LiveLocationMessage{DegreesLatitude: proto.Float64(1), DegreesLongitude: proto.Float64(2), AccuracyInMeters: num(3), SpeedInMps: proto.Float32(4), DegreesClockwiseFromMagneticNorth: num(5), Caption: str("c"), SequenceNumber: proto.Int64(6)}},
			`{"type":"liveLocation","text":"","liveLocation":{"latitude":1,"longitude":2,"accuracyMeters":3,"speed":4,"heading":5,"caption":"c","sequence":6}}`},
		"contact": {&waE2E.Message{ContactMessage: &waE2E.ContactMessage{DisplayName: str("X"), Vcard: str("TEL;waid=5491100000001:+5491100000001")}},
			`{"type":"contacts","text":"","contacts":[{"name":"X","phones":["5491100000001"],"vcard":"TEL;waid=5491100000001:+5491100000001"}]}`},
		"contacts": {&waE2E.Message{ContactsArrayMessage: &waE2E.ContactsArrayMessage{Contacts: []*waE2E.ContactMessage{{DisplayName: str("X")}, {DisplayName: str("Y")}}}},
			`{"type":"contacts","text":"","contacts":[{"name":"X"},{"name":"Y"}]}`},
		"poll":   {&waE2E.Message{PollCreationMessage: poll}, `{"type":"poll","text":"","poll":{"question":"Q","options":["a","b"],"selectableCount":1}}`},
		"pollV3": {&waE2E.Message{PollCreationMessageV3: poll}, `{"type":"poll","text":"","poll":{"question":"Q","options":["a","b"],"selectableCount":1}}`},
		"pollV4": {&waE2E.Message{PollCreationMessageV4: wrapped(&waE2E.Message{PollCreationMessageV5: poll})}, `{"type":"poll","text":"","poll":{"question":"Q","options":["a","b"],"selectableCount":1}}`},
		"vote":   {&waE2E.Message{PollUpdateMessage: &waE2E.PollUpdateMessage{PollCreationMessageKey: key}}, `{"type":"pollVote","text":"","target":{"id":"T","from":"222","fromMe":true}}`},
		"event": {&waE2E.Message{EventMessage: &waE2E.EventMessage{Name: str("E"), Description: str("D"), StartTime: proto.Int64(1800000000), EndTime: proto.Int64(1 << 60), IsCanceled: yes, Location: &waE2E.LocationMessage{Name: str("L")}}},
			`{"type":"event","text":"","event":{"name":"E","description":"D","location":{"latitude":0,"longitude":0,"name":"L"},"startAt":"2027-01-15T08:00:00Z","canceled":true}}`},
		"rsvp":     {&waE2E.Message{EncEventResponseMessage: &waE2E.EncEventResponseMessage{EventCreationMessageKey: own}}, `{"type":"eventResponse","text":"","target":{"id":"T","from":"111"}}`},
		"reaction": {&waE2E.Message{ReactionMessage: &waE2E.ReactionMessage{Key: key, Text: str("👍")}}, `{"type":"reaction","text":"","target":{"id":"T","from":"222","fromMe":true},"emoji":"👍"}`},
		"removed":  {&waE2E.Message{ReactionMessage: &waE2E.ReactionMessage{Key: own, Text: str("")}}, `{"type":"reaction","text":"","target":{"id":"T","from":"111"}}`},
		"enc":      {&waE2E.Message{EncReactionMessage: &waE2E.EncReactionMessage{TargetMessageKey: own}}, `{"type":"reaction","text":"","target":{"id":"T","from":"111"},"encrypted":true}`},
		"comment":  {&waE2E.Message{CommentMessage: &waE2E.CommentMessage{TargetMessageKey: own, Message: &waE2E.Message{Conversation: str("so")}}}, `{"type":"comment","text":"so","target":{"id":"T","from":"111"}}`},
		"edit": {&waE2E.Message{EditedMessage: wrapped(&waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
			Type: waE2E.ProtocolMessage_MESSAGE_EDIT.Enum(), Key: own, EditedMessage: &waE2E.Message{ImageMessage: image},
		}})}, `{"type":"edit","text":"look","target":{"id":"T","from":"111"}}`},
		"revoke": {&waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_REVOKE.Enum(), Key: own}}, `{"type":"revoke","text":"","target":{"id":"T","from":"111"}}`},
		"pin": {&waE2E.Message{PinInChatMessage: &waE2E.PinInChatMessage{Key: own, Type: waE2E.PinInChatMessage_PIN_FOR_ALL.Enum()}, MessageContextInfo: &waE2E.MessageContextInfo{MessageAddOnDurationInSecs: num(86400)}},
			`{"type":"pin","text":"","target":{"id":"T","from":"111"},"pinSeconds":86400}`},
		"unpin":  {&waE2E.Message{PinInChatMessage: &waE2E.PinInChatMessage{Key: own, Type: waE2E.PinInChatMessage_UNPIN_FOR_ALL.Enum()}}, `{"type":"unpin","text":"","target":{"id":"T","from":"111"}}`},
		"keep":   {&waE2E.Message{KeepInChatMessage: &waE2E.KeepInChatMessage{Key: own, KeepType: waE2E.KeepType_KEEP_FOR_ALL.Enum()}}, `{"type":"keep","text":"","target":{"id":"T","from":"111"}}`},
		"timer":  {&waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_EPHEMERAL_SETTING.Enum(), EphemeralExpiration: num(604800)}}, `{"type":"ephemeral","text":"","ephemeralSeconds":604800}`},
		"silent": {&waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_APP_STATE_SYNC_KEY_SHARE.Enum()}}, `{"type":"","text":""}`},
		"keys":   {&waE2E.Message{SenderKeyDistributionMessage: &waE2E.SenderKeyDistributionMessage{}}, `{"type":"","text":""}`},
		"album":  {&waE2E.Message{AlbumMessage: &waE2E.AlbumMessage{ExpectedImageCount: num(2), ExpectedVideoCount: num(1)}}, `{"type":"album","text":"","album":{"images":2,"videos":1}}`},
		"child": {&waE2E.Message{AssociatedChildMessage: wrapped(&waE2E.Message{ImageMessage: image, MessageContextInfo: &waE2E.MessageContextInfo{
			MessageAssociation: &waE2E.MessageAssociation{AssociationType: waE2E.MessageAssociation_MEDIA_ALBUM.Enum(), ParentMessageKey: own},
		}})}, `{"type":"image","text":"","albumId":"T"}`},
		"invite": {&waE2E.Message{GroupInviteMessage: &waE2E.GroupInviteMessage{GroupJID: str("9@g.us"), InviteCode: str("C"), InviteExpiration: proto.Int64(1800000000), GroupName: str("G"), Caption: str("join")}},
			`{"type":"groupInvite","text":"","groupInvite":{"groupJid":"9@g.us","code":"C","expiresAt":"2027-01-15T08:00:00Z","groupName":"G","caption":"join"}}`},
		"channel": {&waE2E.Message{NewsletterAdminInviteMessage: &waE2E.NewsletterAdminInviteMessage{NewsletterJID: str("9@newsletter"), NewsletterName: str("N")}},
			`{"type":"channelInvite","text":"","channelInvite":{"channelJid":"9@newsletter","name":"N","admin":true}}`},
		"buttons": {&waE2E.Message{ButtonsMessage: &waE2E.ButtonsMessage{ContentText: str("pick"), Header: &waE2E.ButtonsMessage_Text{Text: "H"}, Buttons: []*waE2E.ButtonsMessage_Button{{ButtonID: str("1"), ButtonText: &waE2E.ButtonsMessage_Button_ButtonText{DisplayText: str("one")}}}}},
			`{"type":"buttons","text":"pick","title":"H","buttons":[{"id":"1","text":"one"}]}`},
		"list": {&waE2E.Message{ListMessage: &waE2E.ListMessage{Title: str("T"), Description: str("pick"), Sections: []*waE2E.ListMessage_Section{{Rows: []*waE2E.ListMessage_Row{{RowID: str("1"), Title: str("one"), Description: str("d")}}}}}},
			`{"type":"list","text":"pick","title":"T","buttons":[{"id":"1","text":"one","description":"d"}]}`},
		"list answer": {&waE2E.Message{ListResponseMessage: &waE2E.ListResponseMessage{Title: str("one"), SingleSelectReply: &waE2E.ListResponseMessage_SingleSelectReply{SelectedRowID: str("1")}}},
			`{"type":"listResponse","text":"one","selectedId":"1"}`},
		"template": {&waE2E.Message{TemplateMessage: &waE2E.TemplateMessage{HydratedTemplate: &waE2E.TemplateMessage_HydratedFourRowTemplate{HydratedContentText: str("buy"), Title: &waE2E.TemplateMessage_HydratedFourRowTemplate_HydratedTitleText{HydratedTitleText: "T"}}}},
			`{"type":"template","text":"buy","title":"T"}`},
		"interactive": {&waE2E.Message{InteractiveMessage: &waE2E.InteractiveMessage{Body: &waE2E.InteractiveMessage_Body{Text: str("buy")}}}, `{"type":"interactive","text":"buy"}`},
		"product":     {&waE2E.Message{ProductMessage: &waE2E.ProductMessage{Product: &waE2E.ProductMessage_ProductSnapshot{Title: str("P")}}}, `{"type":"product","text":"","title":"P"}`},
		"order":       {&waE2E.Message{OrderMessage: &waE2E.OrderMessage{OrderTitle: str("O"), Message: str("two")}}, `{"type":"order","text":"two","title":"O"}`},
		"call log": {&waE2E.Message{CallLogMesssage: &waE2E.CallLogMessage{IsVideo: yes, CallOutcome: waE2E.CallLogMessage_MISSED.Enum(), DurationSecs: proto.Int64(3)}},
			`{"type":"callLog","text":"","call":{"video":true,"outcome":"missed","seconds":3}}`},
		"scheduled": {&waE2E.Message{ScheduledCallCreationMessage: &waE2E.ScheduledCallCreationMessage{Title: str("C"), ScheduledTimestampMS: proto.Int64(1800000000000)}},
			`{"type":"scheduledCall","text":"","call":{"at":"2027-01-15T08:00:00Z"},"title":"C"}`},
		"number":  {&waE2E.Message{RequestPhoneNumberMessage: &waE2E.RequestPhoneNumberMessage{}}, `{"type":"requestPhoneNumber","text":""}`},
		"unknown": {&waE2E.Message{StickerPackMessage: &waE2E.StickerPackMessage{}}, `{"type":"stickerPack","text":""}`},
		"nothing": {&waE2E.Message{}, `{"type":"","text":""}`},
	} {
		if got := readJSON(t, c.m); got != c.want {
			t.Errorf("%s is read as\n %s, want\n %s", name, got, c.want)
		}
	}
}

func TestTheAuthorOfATargetIsToldFromTheReadersSide(t *testing.T) {
	t.Parallel()
	mine, yours := &waCommon.MessageKey{FromMe: proto.Bool(true)}, &waCommon.MessageKey{Participant: proto.String("2000@lid")}
	for _, c := range []struct {
		r    reader
		key  *waCommon.MessageKey
		want Target
	}{
		{reader{from: "111", chat: "111"}, mine, Target{From: "111"}},
		{reader{from: "111", chat: "111"}, yours, Target{From: "222", FromMe: true}},
		{reader{from: "222", chat: "111", fromMe: true}, mine, Target{From: "222", FromMe: true}},
		{reader{from: "222", chat: "111", fromMe: true}, yours, Target{From: "111"}},
		{reader{from: "111", chat: "9@g.us", group: true}, mine, Target{From: "111"}},
		{reader{from: "111", chat: "9@g.us", group: true}, yours, Target{From: "222", FromMe: true}},
		{reader{from: "111", chat: "9@g.us", group: true}, &waCommon.MessageKey{Participant: proto.String("5@lid")}, Target{From: "5@lid"}},
	} {
		c.r.name, c.r.self = nameForTest, "222"
		if got := c.r.target(c.key); *got != c.want {
			t.Errorf("%+v in %+v is %+v, want %+v", c.key, c.r, *got, c.want)
		}
	}
}

// fill sets some fields of a message, and of those in it, to arbitrary values.
func fill(r *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for range 1 + r.IntN(4) {
		if fields.Len() == 0 {
			return
		}
		field := fields.Get(r.IntN(fields.Len()))
		switch {
		case field.IsMap():
		case field.IsList():
			list := m.Mutable(field).List()
			for range r.IntN(3) {
				if field.Message() == nil {
					list.Append(scalar(r, field))
				} else if depth > 0 {
					fill(r, list.AppendMutable().Message(), depth-1)
				}
			}
		case field.Message() == nil:
			m.Set(field, scalar(r, field))
		case depth > 0:
			fill(r, m.Mutable(field).Message(), depth-1)
		}
	}
}

func scalar(r *rand.Rand, field protoreflect.FieldDescriptor) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(r.IntN(40) - 1))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "x", "1000@lid", "a\x00b", "@", "1@2@3", ":.@lid", strings.Repeat("long", 99)}[r.IntN(8)])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(make([]byte, r.IntN(34)))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(math.Float64frombits(r.Uint64()))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(math.Float32frombits(r.Uint32()))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(r.Uint32()))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(r.Uint32())
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(r.Uint64())
	}
	return protoreflect.ValueOfInt64(int64(r.Uint64()))
}

// FuzzReading shows that no message can make a phone stumble: one that did would be given to it again and again.
func FuzzReading(f *testing.F) {
	for seed := range uint64(400) {
		m := &waE2E.Message{}
		fill(rand.New(rand.NewPCG(seed, 1)), m.ProtoReflect(), 6)
		if data, err := proto.Marshal(m); err == nil { // strings are checked in proto3 alone
			f.Add(data)
		}
	}
	testfuzz.Run(f, func(t *testing.T, data []byte) {
		m := &waE2E.Message{}
		if proto.Unmarshal(data, m) != nil {
			t.Skip()
		}
		for _, group := range []bool{false, true} {
			r := &reader{name: nameForTest, self: "222", from: "111", chat: "111", group: group}
			c := r.read(m)
			text, err := json.Marshal(Message{Content: c})
			if err != nil {
				t.Fatalf("%v is not JSON: %v", m, err)
			}
			var again Message
			if err := json.Unmarshal(text, &again); err != nil {
				t.Fatalf("%s cannot be read again: %v", text, err)
			}
			if fileOf(m) != nil {
				described(fileOf(m))
			}
		}
	})
}
