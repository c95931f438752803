// Command bot answers every text with the same text.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"

	chasqui "github.com/chasqui/chasqui/openapi/sdk/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := chasqui.New(chasqui.Config{URL: os.Getenv("CHASQUI_URL"), APIKey: os.Getenv("CHASQUI_API_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range client.Events(ctx, chasqui.EventsOptions{Types: []string{chasqui.EventMessageReceived}, After: os.Getenv("AFTER")}) {
		if err != nil {
			log.Fatal(err)
		}
		received, err := event.AsMessageReceivedEvent()
		if err != nil {
			log.Fatal(err)
		}
		m := received.Data.Message
		if m.Content.Type != chasqui.ContentTypeText {
			continue
		}
		answer := chasqui.SendMessage{To: m.ChatID, ReplyTo: &m.ID, Content: chasqui.Text(m.Content.Text)}
		if _, err := client.SendMessage(ctx, m.SessionID, answer, chasqui.IdempotencyKey("echo-"+event.ID)); err != nil {
			log.Print(err)
		}
	}
}
