package events

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// wireForms are examples of every type of event, and more of those whose data has many shapes, under the name of their golden file.
func wireForms() map[string]Event {
	at := time.Date(2026, 11, 23, 12, 0, 0, 5e6, time.UTC)
	later := at.Add(24 * time.Hour)
	id := uuid.MustParse("01932f0c-5d6b-7a10-b1f4-d0c4a8e2f001")
	message := Message{
		ID: MessagePrefix.Format(id), WhatsAppID: "3EB0C767D097B7A0F1D2E3", SessionID: "sales", ChatID: "5491123456789@s.whatsapp.net", Direction: Incoming,
		From: NewAddress("5491123456789@s.whatsapp.net", "", "120363001122334", "Juan Pérez"), To: NewAddress("5491100000000@s.whatsapp.net", "", "", "Sales"),
		Status: StatusDelivered, Content: Content{Type: ContentText, Text: "¿hay <stock> & precio?"}, Timestamp: at,
	}
	by, own, yes := message.From, message.To, true
	ref := MessageRef{MessageID: message.ID, WhatsAppID: message.WhatsAppID, ChatID: message.ChatID}
	session := Session{
		ID: "sales", Name: "Sales", State: StateQR, Reason: "", Desired: DesiredStarted, CreatedAt: at, Connector: "connector-1",
		Settings: Settings{DeviceName: "Shop", Metadata: map[string]string{"team": "1"}},
	}
	file := Media{
		ID: MediaPrefix.Format(id), URL: MediaURL("https://chasqui.example.com", MediaPrefix.Format(id)), Mimetype: "image/jpeg", Size: 48213,
		SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", FileName: "invoice.pdf",
	}
	chat := Chat{Address: by, LastMessageAt: &at, Unread: 2, MarkedUnread: true, Archived: true, Pinned: true, MutedUntil: &MutedForGood, DisappearingSeconds: 86400, Labels: []string{"1"}}
	contact := Contact{Address: by, SavedName: "Juan (plumber)", PushName: "Juan", BusinessName: "Pérez Plumbing", Blocked: true}
	group := Group{
		ID: "120363025246125486@g.us", Name: "Neighbours", Description: "For everybody.", Owner: &by, CreatedAt: &at, Announcement: new(true), Locked: new(true), MemberAdd: "admins",
		JoinApproval: new(true), DisappearingSeconds: new(86400), ParentID: "120363025246125487@g.us", AddressingMode: "lid", ParticipantCount: 2,
		Participants: []Participant{{by, RoleSuperAdmin}, {own, RoleMember}},
	}
	channel := Channel{
		ID: "120363025246125486@newsletter", Name: "News", Description: "Of the day.", PictureID: "1637427843", PictureURL: "https://pps.whatsapp.net/1637427843.jpg",
		InviteCode: "0029VaAbC", InviteURL: "https://whatsapp.com/channel/0029VaAbC", Followers: 1200, Verified: true, State: "active", Role: RoleSubscriber, Muted: new(true), CreatedAt: &at,
	}
	post := message
	post.ChatID, post.From, post.To, post.ServerID = channel.ID, NewAddress(channel.ID, "", "", "News"), NewAddress(channel.ID, "", "", "News"), 117
	change := Change{
		ID: ChangePrefix.Format(id), SessionID: "sales", Kind: React.Kind, Target: message.ID, Status: ChangeFailed, ExpiresAt: later, CreatedAt: at,
		Error: &MessageError{Code: "message_not_sent", Message: "The message was not sent, it is failed."},
	}
	endpoint := WebhookEndpoint{
		ID: EndpointPrefix.Format(id), URL: "https://example.com/hook", State: "disabled", Reason: "nothing was delivered for 5 days", FailingSince: &at, ConsecutiveFailures: 412,
	}
	withContent := func(c Content) Message { m := message; m.Content = c; return m }
	edited := withContent(Content{Type: ContentText, Text: "¿hay stock?", LinkPreview: &LinkPreview{URL: "https://example.com", Title: "Menu", Description: "Today"}})
	edited.EditedAt, edited.RevokedAt, edited.PinnedUntil, edited.Starred, edited.History = &later, &later, &later, true, true
	edited.ReplyTo = &Reply{MessageID: message.ID, WhatsAppID: message.WhatsAppID, From: &own, Type: ContentImage, Text: "The menu"}
	edited.Mentions, edited.MentionsEveryone, edited.Forwarded, edited.DisappearsAfter = []Address{own}, true, 5, 86400
	scheduled := message
	scheduled.Direction, scheduled.From, scheduled.To, scheduled.Status, scheduled.SendAt, scheduled.BatchID = Outgoing, own, by, StatusScheduled, &later, BatchPrefix.Format(id)
	scheduled.ClientReference, scheduled.ExpiresAt, scheduled.Error = "order-4711", &later, &MessageError{Code: "rate_limited", Message: "Too much"}

	health := AccountHealth{
		Level: HealthRisk, Reasons: []HealthReason{{Code: "account_restricted", Message: "WhatsApp lets the account write to nobody new."}}, RestrictedUntil: &later, Sent: 120,
		Failed: map[string]int{"account_restricted": 2}, NewContacts: NewContactRate{Today: 12, PerDay: 40, Week: 150, Answered: 61}, Waiting: map[string]int{WaitsForPace: 3}, WindowOpensAt: &later,
	}
	story := withContent(Content{Type: ContentText, Text: "What a day", BackgroundColor: "#128C7E", Font: "calistoga"})
	story.ChatID, story.To = StatusChat, NewAddress(StatusChat, "", "", "")
	answer := message
	answer.ReplyTo = &Reply{MessageID: message.ID, WhatsAppID: message.WhatsAppID, ChatID: StatusChat, From: &own, Type: ContentText, Text: "What a day"}

	forms := map[string]Event{}
	add := func(name string, t Type, data any) {
		forms[name] = Event{ID: EventPrefix.Format(id), Type: t, Timestamp: at, SessionID: "sales", Data: data}
	}
	for _, form := range []struct {
		t    Type
		data any
	}{
		{SessionStatus, SessionData{Session: session}}, {SessionQR, SessionData{Session: session, QR: &QR{Text: "2@abc", ExpiresAt: at}}},
		{SessionPairingCode, SessionData{Session: session, PairingCode: &PairingCode{Code: "ABCD-EFGH", Phone: "5491123456789", ExpiresAt: at}}},
		{SessionRisk, RiskData{Health: health}}, {MessageReceived, MessageData{Message: message}}, {MessageSent, MessageData{Message: scheduled}},
		{MessageUpdated, StatusData{
			MessageID: message.ID, WhatsAppID: message.WhatsAppID, ChatID: message.ChatID, Status: StatusFailed, By: &by, At: at,
			Error: &MessageError{Code: "whatsapp_timeout", Message: "WhatsApp did not answer"},
		}},
		{MessageEdited, EditedData{Message: edited, By: &by}}, {MessageRevoked, RevokedData{MessageRef: ref, By: &by, At: at}},
		{MessageDeleted, RevokedData{MessageRef: ref, At: at}}, {MessageReaction, ReactionData{MessageRef: ref, From: by, Direction: Incoming, Emoji: "👍", At: at}},
		{MessagePinned, PinnedData{MessageRef: ref, By: &by, Pinned: true, PinnedUntil: &later, At: at}}, {MessageStarred, StarredData{MessageRef: ref, Starred: true, At: at}},
		{PollVoted, VoteData{MessageRef: ref, From: by, Direction: Incoming, Options: []string{"Monday", "Tuesday"}, At: at}},
		{EventResponded, ResponseData{MessageRef: ref, From: by, Direction: Incoming, Response: "going", ExtraGuests: 1, At: at}},
		{ChatUpdated, ChatData{Chat: chat, Cleared: true, Deleted: true}}, {LabelUpdated, LabelData{Label: Label{"1", "New customer", 3}, Deleted: true, ChatID: message.ChatID, Labeled: &yes}},
		{HistorySynced, HistoryData{Kind: "on_demand", Progress: 100, ChatID: message.ChatID, Chats: 1, Messages: 50, Missing: HistoryFileGone}},
		{ContactUpdated, ContactData{Contact: contact, PreviousID: "120363001122334@lid", Changed: "address"}},
		{GroupJoined, GroupData{Group: group, By: &by}}, {GroupLeft, GroupData{Group: group, By: &by, Reason: "removed"}},
		{GroupUpdated, GroupData{Group: group, By: &by, Changed: []string{"name", "locked"}}},
		{GroupParticipants, ParticipantsData{GroupID: group.ID, Action: "added", Participants: []Address{by}, By: &own}},
		{PresenceUpdated, PresenceData{Presence: Presence{Contact: by, State: PresenceUnavailable, LastSeen: &at, Typing: TypingText, Subscribed: true, UpdatedAt: &at}}},
		{ChatTyping, TypingData{ChatID: message.ChatID, From: by, State: TypingVoice, At: at}},
		{CallOffered, CallData{Call: Call{ID: CallPrefix.Format(id), WhatsAppID: "3B2CF1D6", SessionID: "sales", From: by, GroupID: group.ID, Video: true, State: CallRinging, OfferedAt: at}}},
		{CallTaken, CallData{Call: Call{ID: CallPrefix.Format(id), WhatsAppID: "3B2CF1D6", SessionID: "sales", From: by, State: CallAccepted, OfferedAt: at, AcceptedAt: &later}}},
		{CallOver, CallData{Call: Call{ID: CallPrefix.Format(id), WhatsAppID: "3B2CF1D6", SessionID: "sales", From: by, State: CallEnded, Reason: CallCompleted, OfferedAt: at, AcceptedAt: &later, EndedAt: &later}}},
		{GroupJoinRequested, JoinRequestData{GroupID: group.ID, Action: "created", From: by}}, {StatusReceived, MessageData{Message: story}},
		{ChannelUpdated, ChannelData{Channel: channel, Change: "changed", Changed: []string{"name", "muted"}}}, {ChannelMessage, MessageData{Message: post}},
		{ChannelCounts, ChannelCountsData{ChannelID: channel.ID, Posts: []CountedPost{
			{117, "3EB0C767D097B7A0F1D2E3", PostCounts{840, []ReactionCount{{"👍", 12}}}}, {ServerID: 118, PostCounts: PostCounts{ReactionCounts: []ReactionCount{}}},
		}}},
		{ChangeUndone, ChangeData{Change: change}},
		{MediaFailed, MediaFailedData{
			MessageID: message.ID, WhatsAppID: message.WhatsAppID, ChatID: message.ChatID, Direction: Incoming, Media: file, Error: MessageError{Code: "media_fetch_failed", Message: "It is gone."},
		}},
		{WebhookTest, WebhookData{Endpoint: endpoint, Message: &message}}, {WebhookFailing, WebhookData{Endpoint: endpoint}}, {WebhookDisabled, WebhookData{Endpoint: endpoint}},
	} {
		add(string(form.t), form.t, form.data)
	}
	add(string(MessageReceived)+".statusReply", MessageReceived, MessageData{Message: answer})
	add("session.status.passkey", SessionStatus, SessionData{Session: session, Passkey: &Passkey{Step: PasskeyRequest, Request: json.RawMessage(`{"challenge":"AAAA"}`), ExpiresAt: at}})
	place := Location{Latitude: -34.6037, Longitude: -58.3816, Name: "Obelisco", Address: "Av. 9 de Julio"}
	for _, c := range []Content{
		{Type: ContentImage, Media: &file, Caption: "The menu", ViewOnce: true, AlbumID: "3EB0A1"}, {Type: ContentVideo, Media: &file, GIF: true, VideoNote: true},
		{Type: ContentAudio, Media: &file}, {Type: ContentVoice, Media: &file}, {Type: ContentDocument, Media: &file}, {Type: ContentSticker, Media: &file, Animated: true},
		{Type: ContentLocation, Location: &place}, {Type: ContentLiveLocation, Caption: "Here", LiveLocation: &LiveLocation{Latitude: 1.5, Longitude: 2.5, AccuracyMeters: 12, Speed: 4.5, Heading: 90, Sequence: 7}},
		{Type: ContentContacts, Contacts: []ContactCard{{Name: "Ana", Phones: []string{"5491123456789"}, VCard: "BEGIN:VCARD\nFN:Ana\nEND:VCARD"}}},
		{Type: ContentPoll, Poll: &Poll{Question: "When?", Options: []string{"Monday", "Tuesday"}, SelectableCount: 1}},
		{Type: ContentEvent, Event: &CalendarEvent{Name: "Opening", Description: "Music", StartAt: at, EndAt: &later, Location: &place, JoinLink: "https://call.whatsapp.com/video/abc", ExtraGuests: true, Cancelled: true}},
		{Type: ContentGroupInvite, GroupInvite: &GroupInvite{GroupID: group.ID, Code: "AbC", ExpiresAt: &later, Name: "Neighbours", Caption: "Join us."}},
		{Type: ContentAlbum, Album: &Album{Images: 3, Videos: 1}}, {Type: ContentUnsupported},
	} {
		add(string(MessageReceived)+"."+c.Type, MessageReceived, MessageData{Message: withContent(c)})
	}
	return forms
}

// TestWireForms holds the bytes that clients get: what stands in the golden files may grow and never change. There is one for each type of event,
// and for each type of content that can come.
func TestWireForms(t *testing.T) {
	t.Parallel()
	forms := wireForms()
	for _, typ := range Types {
		if _, ok := forms[string(typ)]; !ok {
			t.Errorf("%s has no golden file", typ)
		}
	}
	for name, event := range forms {
		raw, err := json.MarshalIndent(event, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(file, append(raw, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(raw)+"\n" {
			t.Errorf("%s is now\n%s", name, raw)
		}
	}
	files, err := filepath.Glob("testdata/*.*.json")
	if err != nil || len(files) != len(forms) {
		names := slices.DeleteFunc(files, func(file string) bool { _, ok := forms[filepath.Base(file[:len(file)-5])]; return ok })
		t.Errorf("golden files of nothing: %q, %v", names, err)
	}
}
