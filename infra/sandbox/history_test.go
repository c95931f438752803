package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waCompanionReg"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

// histories returns the chunks of a type that the companion got; call it in await or when all is quiet.
func (c *companion) histories(kind waHistorySync.HistorySync_HistorySyncType) (found []*events.HistorySync) {
	for _, event := range c.other {
		if e, ok := event.(*events.HistorySync); ok && e.Data.GetSyncType() == kind {
			found = append(found, e)
		}
	}
	return found
}

// messagesIn counts the messages of chunks by chat.
func messagesIn(chunks []*events.HistorySync) map[string]int {
	counts := map[string]int{}
	for _, chunk := range chunks {
		for _, chat := range chunk.Data.GetConversations() {
			counts[chat.GetID()] += len(chat.GetMessages())
		}
	}
	return counts
}

// paid waits until a phone owes its companions nothing.
func paid(t *testing.T, s *sandbox.Sandbox, number string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		_, owed, err := s.History(number)
		if err != nil {
			t.Fatal(err)
		}
		if owed == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("phone %s still owes %d peer messages", number, owed)
		}
	}
}

const (
	seedChat  = "19990000000@s.whatsapp.net"
	lastChunk = 100 // per cent
)

func TestACompanionGetsHistory(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"inline", "media"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dsn := testdb.DSN(t)
			journal := map[string]string{"media": dsn}[mode] // and in memory
			s := start(t, journal, "127.0.0.1:0")
			createPhone(t, s.URL(), anna, "")
			createPhone(t, s.URL(), echo, "echo")
			if _, err := s.SendText(t.Context(), anna, echo, "before it was linked"); err != nil {
				t.Fatal(err)
			}
			shown(t, s.URL(), anna, 1, incoming)
			call(t, "PUT", s.URL()+"/phones/"+anna+"/history", map[string]any{
				"mode": mode, "messages": 50, "seed": map[string]int{"chats": 30, "messages": 200},
			}, 204, nil)
			c := newCompanion(t, dsn, host(s.URL()))
			c.link(s.URL(), anna)
			c.await("the last of the history", func() bool {
				recent := c.histories(waHistorySync.HistorySync_RECENT)
				return len(recent) > 0 && recent[len(recent)-1].Data.GetProgress() == lastChunk
			})
			paid(t, s, anna)
			c.mu.Lock()
			defer c.mu.Unlock()
			bootstrap, recent := c.histories(waHistorySync.HistorySync_INITIAL_BOOTSTRAP), c.histories(waHistorySync.HistorySync_RECENT)
			for _, chunk := range append(bootstrap, recent...) {
				if inline := chunk.Notification.InitialHistBootstrapInlinePayload != nil; inline != (mode == "inline") {
					t.Errorf("%s chunk inline: %t", chunk.Data.GetSyncType(), inline)
				}
			}
			echoChat := echo + "@s.whatsapp.net"
			first, then := messagesIn(bootstrap), messagesIn(recent)
			if len(first) != 31 || first[seedChat] != 10 || first[echoChat] != 2 || then[seedChat] != 40 || then[echoChat] != 0 {
				t.Errorf("bootstrap has %v, recent has %v", first, then)
			}
			if len(recent) != 2 || recent[0].Data.GetProgress() != 50 {
				t.Errorf("1200 recent messages in %d chunks", len(recent))
			}
			own := bootstrap[0].Data.GetConversations()[0]
			if own.GetID() != echoChat || own.GetName() == "" || own.GetLidJID() == "" || len(own.GetMessages()) != 2 {
				t.Fatalf("the first chat is %v", own)
			}
			for i, fromMe := range []bool{false, true} { // the echo is newer
				m, err := c.client.ParseWebMessage(types.EmptyJID, own.GetMessages()[i].GetMessage())
				if err != nil || m.Info.IsFromMe != fromMe || m.Message.GetConversation() != "before it was linked" {
					t.Errorf("message %d is %+v, %v", i, m, err)
				}
			}
			for _, kind := range []waHistorySync.HistorySync_HistorySyncType{
				waHistorySync.HistorySync_INITIAL_STATUS_V3, waHistorySync.HistorySync_PUSH_NAME, waHistorySync.HistorySync_NON_BLOCKING_DATA,
			} {
				if got := c.histories(kind); len(got) != 1 {
					t.Errorf("%d chunks of %s", len(got), kind)
				}
			}
			if names := c.histories(waHistorySync.HistorySync_PUSH_NAME)[0].Data.GetPushnames(); len(names) != 32 {
				t.Errorf("%d push names", len(names))
			}
			if n := len(bootstrap[0].Data.GetPhoneNumberToLidMappings()); n != 32 {
				t.Errorf("%d pairs of number and LID", n)
			}
			if full := c.histories(waHistorySync.HistorySync_FULL); len(full) != 0 {
				t.Errorf("%d chunks of full history, which was not asked for", len(full))
			}
		})
	}
}

func TestHistoryOnDemand(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	history := sandbox.HistorySettings{Mode: "inline", Messages: 10, Seed: sandbox.HistorySeed{Chats: 2, Messages: 5000}}
	if err := s.SetHistory(t.Context(), anna, history); err != nil {
		t.Fatal(err)
	}
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	c.await("the first history", func() bool { return len(c.histories(waHistorySync.HistorySync_RECENT)) == 1 })
	paid(t, s, anna)
	chat, _ := types.ParseJID(seedChat)
	at := 4990 // the oldest message that it has, counted from 0
	for page, want := range []int{50, 50} {
		info := &types.MessageInfo{
			MessageSource: types.MessageSource{Chat: chat}, ID: fmt.Sprintf("5EED%s%010d", chat.User, at),
			Timestamp: time.Date(2025, 1, 1, 0, at, 0, 0, time.UTC),
		}
		if page == 1 {
			info.ID = "UNKNOWN" // then the time counts
		}
		answer, err := c.client.SendPeerMessage(t.Context(), c.client.BuildHistorySyncRequest(info, want))
		if err != nil {
			t.Fatal(err)
		}
		c.await("history on demand", func() bool { return len(c.histories(waHistorySync.HistorySync_ON_DEMAND)) > page })
		c.mu.Lock()
		got := c.histories(waHistorySync.HistorySync_ON_DEMAND)[page]
		c.mu.Unlock()
		messages := got.Data.GetConversations()[0].GetMessages()
		if got.Notification.GetPeerDataRequestSessionID() != answer.ID || len(messages) != want {
			t.Fatalf("answer to %s is for %s, with %d messages", answer.ID, got.Notification.GetPeerDataRequestSessionID(), len(messages))
		}
		for i, m := range messages {
			if text := m.GetMessage().GetMessage().GetConversation(); text != fmt.Sprintf("message %d of Contact 1", at-i) {
				t.Fatalf("message %d is %q", i, text)
			}
		}
		at -= want
	}

	// A message that could not be decrypted comes again from the phone.
	id := fmt.Sprintf("5EED%s%010d", chat.User, 7)
	if _, err := c.client.SendPeerMessage(t.Context(), c.client.BuildUnavailableMessageRequest(chat, chat, id)); err != nil {
		t.Fatal(err)
	}
	c.await("the message asked for", func() bool {
		for _, m := range c.messages {
			if m.Info.ID == id && m.UnavailableRequestID != "" && m.Message.GetConversation() == "message 8 of Contact 1" {
				return true
			}
		}
		return false
	})
	// Of stickers the phone has none, but it says so.
	kind := waE2E.PeerDataOperationRequestType_SEND_RECENT_STICKER_BOOTSTRAP
	if _, err := c.client.SendPeerMessage(t.Context(), &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type:                            waE2E.ProtocolMessage_PEER_DATA_OPERATION_REQUEST_MESSAGE.Enum(),
		PeerDataOperationRequestMessage: &waE2E.PeerDataOperationRequestMessage{PeerDataOperationRequestType: &kind},
	}}); err != nil {
		t.Fatal(err)
	}
	c.await("an answer about stickers", func() bool {
		for _, event := range c.other {
			m, ok := event.(*events.Message)
			if ok && m.Message.GetProtocolMessage().GetPeerDataOperationRequestResponseMessage().GetPeerDataOperationRequestType() == kind {
				return true
			}
		}
		return false
	})
	paid(t, s, anna)
	seen, err := s.Events(t.Context(), anna, 0, "peerRequest", 0)
	if err != nil || len(seen) != 4 {
		t.Errorf("the phone noticed %d requests, %v", len(seen), err)
	}
}

// wantsAll makes the companion ask for all of the history when it is linked.
func (c *companion) wantsAll() {
	c.client.GetClientPayload = func() *waWa6.ClientPayload {
		payload := c.client.Store.GetClientPayload()
		if pairing := payload.GetDevicePairingData(); pairing != nil {
			props := proto.Clone(store.DeviceProps).(*waCompanionReg.DeviceProps)
			props.RequireFullSync = proto.Bool(true)
			props.HistorySyncConfig.InitialSyncMaxMessagesPerChat = proto.Uint32(7)
			pairing.DeviceProps, _ = proto.Marshal(props)
		}
		return payload
	}
}

func TestHistoryIsCompleteAfterTheSandboxIsKilled(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	trustSandbox(t)
	url, kill := startChild(t, dsn, "127.0.0.1:0")
	createPhone(t, url, anna, "")
	call(t, "PUT", url+"/phones/"+anna+"/history", map[string]any{
		"mode": "media", "messages": 100, "seed": map[string]int{"chats": 40, "messages": 300},
	}, 204, nil)
	call(t, "POST", url+"/phones/"+anna+"/contacts", map[string]string{"number": bert, "name": "Bert"}, 204, nil)
	c := newCompanion(t, dsn, host(url))
	c.client.EmitAppStateEventsOnFullSync = true
	// whatsmeow says that it has taken a chunk before it has its file, and loses it when the download is cut: this client gets it by itself.
	c.client.ManualHistorySyncDownload = true
	t.Cleanup(c.downloads())
	c.wantsAll()
	c.link(url, anna)
	// Once while the history is being made, and each time some of it has come.
	for _, chunks := range []int{0, 1, 4} {
		c.await("some history", func() bool { return chunksOf(c) >= chunks })
		kill()
		_, kill = startChild(t, dsn, host(url))
	}
	c.await("all of the history", func() bool {
		full := c.histories(waHistorySync.HistorySync_FULL)
		return len(full) > 0 && full[len(full)-1].Data.GetProgress() == lastChunk
	})
	// The key has come for certain. What it opens is fetched once, when it comes, and not again when the connection ended meanwhile
	// (handleAppStateSyncKeyShare in whatsmeow's message.go): that is the client's to do.
	fetch := time.NewTicker(50 * time.Millisecond)
	for deadline := time.Now().Add(patience); ; <-fetch.C {
		err := c.client.FetchAppState(t.Context(), appstate.WAPatchCriticalUnblockLow, false, true)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	c.await("the contact", func() bool { return happened(c, func(e *events.Contact) bool { return e.JID.User == bert }) })
	settings := struct {
		Mode string
		Owed int
	}{Owed: -1}
	// A receipt that a kill swallowed leaves a debt, which the phone's next connection pays.
	for range 3 {
		tick := time.NewTicker(20 * time.Millisecond)
		for deadline := time.Now().Add(patience / 20); time.Now().Before(deadline); <-tick.C {
			if status, _ := try(t, "GET", url+"/phones/"+anna+"/history", nil, &settings); status == 200 && settings.Owed == 0 {
				break
			}
		}
		if settings.Owed == 0 {
			break
		}
		kill()
		_, kill = startChild(t, dsn, host(url))
	}
	if settings.Owed != 0 {
		t.Errorf("the phone still owes %d messages", settings.Owed)
	}
	if settings.Mode != "media" {
		t.Errorf("the mode is %q", settings.Mode)
	}
	// A crash may repeat a chunk, and never leave one out.
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := map[string]bool{}
	for _, event := range c.other {
		if e, ok := event.(*events.HistorySync); ok {
			for _, chat := range e.Data.GetConversations() {
				for _, m := range chat.GetMessages() {
					ids[m.GetMessage().GetKey().GetID()] = true
				}
			}
		}
	}
	if len(ids) != 40*300 {
		t.Errorf("%d different messages, want %d", len(ids), 40*300)
	}
	if first := messagesIn(c.histories(waHistorySync.HistorySync_INITIAL_BOOTSTRAP))[seedChat]; first%7 != 0 {
		t.Errorf("the first chunk has %d messages of a chat, not the 7 wanted", first)
	}
	var stats struct{ UnknownStanzas int }
	call(t, "GET", url+"/stats", nil, 200, &stats)
	if stats.UnknownStanzas != 0 {
		t.Errorf("%d stanzas were unknown to the server", stats.UnknownStanzas)
	}
}

// downloads gets the file of each chunk of history that the phone tells of, again until it has it, and shows it as whatsmeow does. The
// function that it returns ends it.
func (c *companion) downloads() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for next := 0; ; {
			c.mu.Lock()
			var wanted *waE2E.HistorySyncNotification
			for ; next < len(c.other) && wanted == nil; next++ {
				if m, ok := c.other[next].(*events.Message); ok {
					wanted = m.Message.GetProtocolMessage().GetHistorySyncNotification()
				}
			}
			c.mu.Unlock()
			for wanted != nil && ctx.Err() == nil {
				if data, err := c.client.DownloadHistorySync(ctx, wanted, true); err == nil {
					c.note(&events.HistorySync{Data: data})
					break
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
			if wanted == nil {
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
			if ctx.Err() != nil {
				return
			}
		}
	})
	return func() {
		cancel()
		work.Wait()
	}
}

// chunksOf counts the chunks of history that came; call it in await.
func chunksOf(c *companion) (n int) {
	for _, event := range c.other {
		if _, ok := event.(*events.HistorySync); ok {
			n++
		}
	}
	return n
}

func TestAChunkOfHistoryThatIsGoneIsAskedForAgain(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	history := sandbox.HistorySettings{Mode: "media", Messages: 5, Seed: sandbox.HistorySeed{Chats: 1, Messages: 10}}
	if err := s.SetHistory(t.Context(), anna, history); err != nil {
		t.Fatal(err)
	}
	c := newCompanion(t, dsn, host(s.URL()))
	c.client.ManualHistorySyncDownload = true // or it would delete the file
	c.link(s.URL(), anna)
	var lost *events.Message
	c.await("the first notification", func() bool {
		return happened(c, func(m *events.Message) bool {
			lost = m
			notice := m.Message.GetProtocolMessage().GetHistorySyncNotification()
			return notice != nil && notice.GetSyncType() == waE2E.HistorySyncType_INITIAL_BOOTSTRAP
		})
	})
	paid(t, s, anna)
	notice := lost.Message.GetProtocolMessage().GetHistorySyncNotification()
	if err := c.client.DeleteMedia(t.Context(), whatsmeow.MediaHistory, notice.GetDirectPath(), notice.GetFileEncSHA256(), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.DownloadHistorySync(t.Context(), notice, true); !errors.Is(err, whatsmeow.ErrMediaDownloadFailedWith404) {
		t.Fatalf("download of what is gone: %v", err)
	}

	// By the receipt that asks for a file,
	if err := c.client.SendHistorySyncServerErrorReceipt(t.Context(), lost.Info.ID, notice.GetMediaKey()); err != nil {
		t.Fatal(err)
	}
	var sent *waE2E.HistorySyncNotification
	c.await("the chunk again", func() bool {
		return happened(c, func(m *events.Message) bool {
			sent = m.Message.GetProtocolMessage().GetHistorySyncNotification()
			return sent.GetOriginalMessageID() == lost.Info.ID
		})
	})
	if data, err := c.client.DownloadHistorySync(t.Context(), sent, true); err != nil || len(data.GetConversations()) != 1 {
		t.Fatalf("uploaded again: %v, %v", data, err)
	}

	// and by the request for a chunk.
	kind := waE2E.PeerDataOperationRequestType_HISTORY_SYNC_CHUNK_RETRY
	for _, id := range []string{lost.Info.ID, "NEVER SENT"} {
		if _, err := c.client.SendPeerMessage(t.Context(), &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
			Type: waE2E.ProtocolMessage_PEER_DATA_OPERATION_REQUEST_MESSAGE.Enum(),
			PeerDataOperationRequestMessage: &waE2E.PeerDataOperationRequestMessage{
				PeerDataOperationRequestType: &kind,
				HistorySyncChunkRetryRequest: &waE2E.PeerDataOperationRequestMessage_HistorySyncChunkRetryRequest{ChunkNotificationID: &id},
			},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	c.await("the chunk again", func() bool {
		return happened(c, func(m *events.Message) bool {
			again := m.Message.GetProtocolMessage().GetHistorySyncNotification()
			return again.GetOriginalMessageID() == lost.Info.ID && again.GetDirectPath() != sent.GetDirectPath()
		})
	})
	c.await("the refusal", func() bool {
		return happened(c, func(m *events.Message) bool {
			parts := m.Message.GetProtocolMessage().GetPeerDataOperationRequestResponseMessage().GetPeerDataOperationResult()
			return len(parts) == 1 && parts[0].GetHistorySyncChunkRetryResponse() != nil
		})
	})
	paid(t, s, anna)
}

func TestHistoryHasGroups(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	c := newChat(t, s.URL())
	createPhone(t, s.URL(), echo, "echo")
	group, err := s.CreateGroup(t.Context(), anna, sandbox.NewGroup{Subject: "Friends", Participants: []string{bert, echo}})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`"type":"text","text":"hello"`, `"type":"reaction","target":{"id":"$first$"},"emoji":"👍"`} {
		status, text := tryText(t, s.URL()+"/phones/"+bert+"/messages", c.fill(`{"to":"`+group.JID+`",`+body+`}`))
		var sent struct{ ID string }
		if err := json.Unmarshal([]byte(text), &sent); err != nil || status != 201 {
			t.Fatalf("%d %s", status, text)
		}
		if c.ids["first"] == "" {
			c.ids["first"] = sent.ID
		}
		c.sees(anna, sent.ID)
	}
	if err := s.LeaveGroup(t.Context(), bert, group.JID); err != nil {
		t.Fatal(err)
	}
	web := newCompanion(t, dsn, host(s.URL()))
	web.link(s.URL(), anna)
	web.await("the last of the history", func() bool { return len(web.histories(waHistorySync.HistorySync_RECENT)) == 1 })
	paid(t, s, anna)
	web.mu.Lock()
	defer web.mu.Unlock()
	bootstrap := web.histories(waHistorySync.HistorySync_INITIAL_BOOTSTRAP)[0].Data
	if len(bootstrap.GetConversations()) != 1 {
		t.Fatalf("chats are %v", bootstrap.GetConversations())
	}
	chat := bootstrap.GetConversations()[0]
	if chat.GetID() != group.JID || chat.GetName() != "Friends" || len(chat.GetParticipant()) != 2 || len(chat.GetMessages()) != 1 {
		t.Fatalf("the group is %v", chat)
	}
	jid, _ := types.ParseJID(group.JID)
	m, err := web.client.ParseWebMessage(jid, chat.GetMessages()[0].GetMessage())
	if err != nil || m.Info.ID != c.ids["first"] || !m.Info.IsGroup || m.Info.IsFromMe {
		t.Errorf("its message is %+v, %v", m, err)
	}
	past := web.histories(waHistorySync.HistorySync_NON_BLOCKING_DATA)[0].Data.GetPastParticipants()
	if len(past) != 1 || len(past[0].GetPastParticipants()) != 1 || past[0].GetPastParticipants()[0].GetUserJID() != m.Info.Sender.ToNonAD().String() {
		t.Errorf("past participants are %v", past)
	}
	if n := len(bootstrap.GetPhoneNumberToLidMappings()); n != 2 { // the phone's own and the echo's
		t.Errorf("%d pairs of number and LID", n)
	}
}
