// Package examples_test shows how other programs are tested against a sandbox.
package examples_test

import (
	"context"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/keystore"
)

// bot is the program under test: it answers each "ping" with "pong".
func bot(client *whatsmeow.Client) whatsmeow.EventHandler {
	return func(evt any) {
		if m, ok := evt.(*events.Message); ok && m.Message.GetConversation() == "ping" {
			_, _ = client.SendMessage(context.Background(), m.Info.Chat, &waE2E.Message{Conversation: proto.String("pong")})
		}
	}
}

func TestBotAnswers(t *testing.T) {
	const me, friend = "5491151110001", "5491151110002"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	s := sandbox.Start(t, sandbox.Config{}) // in memory, on a free port; it ends with the test
	for number, name := range map[string]string{me: "Me", friend: "Friend"} {
		if _, _, err := s.CreatePhone(ctx, sandbox.NewPhone{Number: number, Name: name}); err != nil {
			t.Fatal(err)
		}
	}

	// Any device store of whatsmeow's will do, sqlstore as well.
	client := whatsmeow.NewClient(keystore.New(journal.NewMemory()).NewDevice(keystore.Options{}), nil)
	client.SetPreLoginHTTPClient(s.HTTPClient())
	client.SetWebsocketHTTPClient(s.HTTPClient())
	client.SetMediaHTTPClient(s.HTTPClient())
	client.AddEventHandler(bot(client))
	codes, err := client.GetQRChannel(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Connect(); err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect()
	if _, err := s.Scan(ctx, me, (<-codes).Code); err != nil {
		t.Fatal(err)
	}

	if _, err := s.SendText(ctx, friend, me, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WaitMessage(ctx, friend, func(m sandbox.Message) bool { return m.From == me && m.Text == "pong" }); err != nil {
		t.Fatal(err)
	}
}
