package connector

import (
	"testing"
	"testing/synctest"

	waBinary "go.mau.fi/whatsmeow/binary"
)

func TestReceiptsOfPeerMessagesWaitForTheirHandler(t *testing.T) {
	t.Parallel()
	message := func(id, category string) *waBinary.Node {
		return &waBinary.Node{Tag: "message", Attrs: waBinary.Attrs{"id": id, "category": category}}
	}
	receipt := func(id, kind string) *waBinary.Node {
		return &waBinary.Node{Tag: "receipt", Attrs: waBinary.Attrs{"id": id, "type": kind}}
	}
	synctest.Test(t, func(t *testing.T) {
		p := &peerReceipts{line: newLine(func() bool { return true })}
		leaves := func(node *waBinary.Node) chan struct{} {
			left := make(chan struct{})
			go func() {
				p.hold(node)
				close(left)
			}()
			synctest.Wait()
			return left
		}
		p.came(message("A", "peer"))
		p.came(message("B", ""))
		first, second := leaves(receipt("A", "hist_sync")), leaves(receipt("A", "peer_msg"))
		if closed(first) || closed(second) {
			t.Fatal("a receipt left before its message was handled")
		}
		for _, other := range []*waBinary.Node{receipt("B", "peer_msg"), receipt("A", "sender"), receipt("none", "peer_msg")} {
			if !closed(leaves(other)) {
				t.Errorf("%v is held back", other.Attrs)
			}
		}
		done := p.begins("A")
		if synctest.Wait(); closed(first) {
			t.Fatal("a receipt left while its message is handled")
		}
		done()
		<-first
		<-second
		if !closed(leaves(receipt("A", "peer_msg"))) {
			t.Error("the receipt of a message that was handled is held back")
		}
		p.begins("B")()
		p.came(message("C", "peer")) // handled by an earlier connection: it never comes to the handler
		<-leaves(receipt("C", "peer_msg"))
		p.came(message("D", "peer"))
		p.begins("D") // and the handler fails
		last := leaves(receipt("D", "peer_msg"))
		p.line.cut()
		<-last
		if len(p.waiting) != 1 {
			t.Errorf("%d wait", len(p.waiting))
		}
	})
}
