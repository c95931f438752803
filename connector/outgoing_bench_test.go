package connector

import (
	"testing"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
)

// BenchmarkOutgoing measures texts of one session to one person, who is known: whatsmeow alone, and commands from the first to the row that says
// sent. WhatsApp acknowledges at once.
func BenchmarkOutgoing(b *testing.B) {
	start := func(tb *testing.B) (*bench, *connection) {
		w := setup(tb)
		c := w.connector()
		w.phone(juan, "Juan")
		w.linked("sales", owner)
		w.awaitStatus(w.send("sales", juan, "they know each other"), events.StatusDelivered)
		return w, c.session("sales").sender()
	}
	b.Run("whatsmeow", func(b *testing.B) {
		w, conn := start(b)
		for b.Loop() {
			if _, err := conn.client.SendMessage(w.ctx(), types.NewJID(juan, types.DefaultUserServer), &waE2E.Message{Conversation: proto.String("hello")}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	b.Run("commands", func(b *testing.B) {
		w, _ := start(b)
		last := w.send("sales", juan, "first")
		b.ResetTimer()
		for range b.N {
			last = w.send("sales", juan, "hello")
		}
		accepted := b.Elapsed()
		w.await("the last to be sent", func() bool { s := w.status(last); return s == "sent" || s == "delivered" })
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		b.ReportMetric(float64(b.N)/accepted.Seconds(), "accepted/s")
	})
}
