package connector

import (
	"fmt"
	"slices"
	"testing"

	waBinary "go.mau.fi/whatsmeow/binary"
	waLog "go.mau.fi/whatsmeow/util/log"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// stream is an intake and what whatsmeow does with it.
type stream struct {
	testing.TB
	*intake
	recv, send waLog.Logger
}

func newStream(t testing.TB) stream {
	in := newIntake(waLog.Noop)
	return stream{t, in, in.Sub("Recv"), in.Sub("Send")}
}

// take gives it a stanza and says whether whatsmeow would queue it.
func (s stream) take(tag, id string) bool {
	node := &waBinary.Node{Tag: tag, Attrs: waBinary.Attrs{"id": id}}
	s.recv.Debugf("%s", node)
	return node.Tag == tag
}

func (s stream) done(tag, id string) {
	node := &waBinary.Node{Tag: "ack", Attrs: waBinary.Attrs{"id": id, "class": tag}}
	if tag == "message" {
		node = &waBinary.Node{Tag: "receipt", Attrs: waBinary.Attrs{"id": id, "type": "inactive"}}
	}
	s.send.Debugf("%s", node)
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestIntakeTakesWhatFitsAndThenNothing(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	for i := range 3 * intakeMost { // handled as it comes
		tag := []string{"message", "receipt", "notification", "call", "status", "appdata"}[i%6]
		if !s.take(tag, fmt.Sprint(i)) || !s.take("presence", "") || closed(s.full) {
			t.Fatalf("%s %d is withheld", tag, i)
		}
		if tag == "status" || tag == "appdata" {
			s.send.Debugf("%s", &waBinary.Node{Tag: "ack", Attrs: waBinary.Attrs{"id": fmt.Sprint(i), "class": tag}})
		} else {
			s.done(tag, fmt.Sprint(i))
		}
	}
	for i := range intakeMost - 2 {
		if !s.take("message", fmt.Sprint("m", i%1000)) { // some ids come twice
			t.Fatalf("message %d of %d is withheld", i, intakeMost)
		}
	}
	if !s.take("chatstate", "") || !s.take("receipt", "last") || closed(s.full) {
		t.Fatal("less was taken than fits")
	}
	for _, tag := range []string{"message", "receipt", "notification", "call", "presence"} {
		if s.take(tag, "late") || !closed(s.full) {
			t.Errorf("a %s is taken that does not fit", tag)
		}
	}
	for _, tag := range []string{"iq", "ib", "success", "ack", "stream:error"} {
		if !s.take(tag, "late") {
			t.Errorf("a %s is withheld", tag)
		}
	}
	s.done("message", "m1")
	s.done("receipt", "unknown")
	if s.take("message", "later") {
		t.Error("what follows a stanza withheld is taken")
	}
	if closed(s.drained) {
		t.Error("drained before the newest was handled")
	}
	s.done("receipt", "last")
	if !closed(s.drained) {
		t.Error("not drained when the newest was handled")
	}
	s.done("message", "m2")
}

// A message that is asked for again has not been handled yet.
func TestIntakeWaitsForTheAckOfAMessageThatIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	for i := range intakeMost + 1 {
		s.take("message", fmt.Sprint(i))
	}
	last := fmt.Sprint(intakeMost - 1)
	s.send.Debugf("%s", &waBinary.Node{Tag: "receipt", Attrs: waBinary.Attrs{"id": last, "type": "retry"}})
	if closed(s.drained) {
		t.Error("drained by a retry receipt")
	}
	s.send.Debugf("%s", &waBinary.Node{Tag: "ack", Attrs: waBinary.Attrs{"id": last, "class": "message"}})
	if !closed(s.drained) {
		t.Error("not drained by the ack")
	}
}

// whatsmeow's queue holds 2,048 stanzas, and those that come when it is full enter it in any order.
func TestMoreThanWhatsmeowCanQueueArrivesInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.connector()
	b.linked("sales", owner)
	phones := b.crowd(6)
	b.stop(first)
	each := 400
	if long {
		each = 1000
	}
	b.flood(phones, each)
	b.sandbox.SetFaults(server.Faults{PushAll: true})
	b.connector()
	b.arrived(len(phones) * each)
	b.inOrder(phones, each)
	shown := b.events(events.SessionStatus)
	if !slices.ContainsFunc(shown, func(e event) bool { return e.Data.Session.Reason == moreThanTaken }) {
		t.Error("no connection took less than was sent")
	}
}
