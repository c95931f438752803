package sandbox_test

import (
	"fmt"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

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
			s := start(t, dsn, "127.0.0.1:0")
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
