package sandbox_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

const (
	anna = "5491100000001" // the phone that companions are linked to
	bert = "5491100000002"
	echo = "5491100000003"
)

func createPhone(t *testing.T, url, number, autoReply string) {
	t.Helper()
	body := map[string]string{"number": number, "name": "Phone " + number[len(number)-1:]}
	if autoReply != "" {
		body["autoReply"] = autoReply
	}
	call(t, "POST", url+"/phones", body, 201, nil)
}

// host is the host:port of a control URL.
func host(url string) string { return strings.TrimPrefix(url, "http://") }

func TestCompanionIsLinkedByQRAndTextsGoBothWays(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)

	var phone sandbox.Phone
	call(t, "GET", s.URL()+"/phones/"+anna, nil, 200, &phone)
	if !phone.Connected || len(phone.Devices) != 1 || phone.Devices[0] != c.client.Store.ID.String() {
		t.Errorf("the linked phone is %+v", phone)
	}

	c.send(bert, "OUT1", "hello Bert")
	got := shown(t, s.URL(), bert, 1, everything)[0]
	if got.ID != "OUT1" || got.From != anna || got.To != bert || got.FromMe || got.Type != "text" || got.Text != "hello Bert" {
		t.Errorf("Bert's phone shows %+v", got)
	}
	if age := time.Since(got.Timestamp); age < -2*time.Second || age > patience {
		t.Errorf("timestamp %v is not now", got.Timestamp)
	}
	own := shown(t, s.URL(), anna, 1, everything)[0]
	if own.ID != "OUT1" || own.From != anna || own.To != bert || !own.FromMe || own.Text != "hello Bert" {
		t.Errorf("Anna's own phone shows %+v", own)
	}
	c.await("the delivery receipt", func() bool { return receipt(c, types.ReceiptTypeDelivered, "OUT1") })

	var sent struct{ ID string }
	call(t, "POST", s.URL()+"/phones/"+bert+"/messages", map[string]string{"to": anna, "type": "text", "text": "hello Anna"}, 201, &sent)
	c.await("Bert's text", func() bool { return len(c.texts()) == 1 })
	if m := c.messages[0]; m.Info.ID != sent.ID || m.Message.GetConversation() != "hello Anna" {
		t.Errorf("the companion got %q under id %s, want id %s", m.Message.GetConversation(), m.Info.ID, sent.ID)
	}
	if in := shown(t, s.URL(), anna, 1, incoming)[0]; in.ID != sent.ID || in.From != bert || in.To != anna {
		t.Errorf("Anna's phone shows %+v", in)
	}
}

func TestReadSendsReceiptsForEverythingUnread(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	for i := range 3 {
		c.send(bert, fmt.Sprintf("READ%d", i), "read me")
	}
	shown(t, s.URL(), bert, 3, everything)
	var read struct{ Read int }
	call(t, "POST", s.URL()+"/phones/"+bert+"/read", map[string]string{"from": anna}, 200, &read)
	if read.Read != 3 {
		t.Errorf("%d messages were read, want 3", read.Read)
	}
	c.await("the read receipts", func() bool {
		return receipt(c, types.ReceiptTypeRead, "READ0") && receipt(c, types.ReceiptTypeRead, "READ1") && receipt(c, types.ReceiptTypeRead, "READ2")
	})
	call(t, "POST", s.URL()+"/phones/"+bert+"/read", map[string]string{"from": anna}, 200, &read)
	if read.Read != 0 {
		t.Errorf("%d messages were read a second time", read.Read)
	}
}

// receipt says whether a receipt of a type came for a message; call it in await.
func receipt(c *companion, kind types.ReceiptType, id string) bool {
	return slices.ContainsFunc(c.receipts, func(r *events.Receipt) bool { return r.Type == kind && slices.Contains(r.MessageIDs, id) })
}

func TestEchoPhoneAnswersEachTextOnceAndNeverAnEcho(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "echo")
	createPhone(t, s.URL(), echo, "echo")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	c.send(echo, "PING", "ping")
	c.await("the echo", func() bool { return slices.Equal(c.texts(), []string{"ping"}) })

	// Two echo phones: the answer to the first text must not be answered, or it would be sent ahead of the second text.
	for i, text := range []string{"first", "second"} {
		call(t, "POST", s.URL()+"/phones/"+bert+"/messages", map[string]string{"to": echo, "type": "text", "text": text}, 201, nil)
		shown(t, s.URL(), bert, i+1, everything)
	}
	fromBert := func(m sandbox.Message) bool { return m.From == bert }
	if got := shown(t, s.URL(), echo, 2, fromBert); got[0].Text != "first" || got[1].Text != "second" {
		t.Errorf("the echo phone shows %+v", got)
	}
	// What the echo phone's own companion sends is shown there, and not answered either.
	linked := newCompanion(t, dsn, host(s.URL()))
	linked.link(s.URL(), echo)
	linked.send(anna, "MINE", "from the echo phone's companion")
	shown(t, s.URL(), echo, 1, func(m sandbox.Message) bool { return m.FromMe && m.ID == "MINE" })
	c.await("the companion's text", func() bool { return len(c.texts()) == 2 })
	linked.send(anna, "LAST", "last")
	c.await("the last text", func() bool { return len(c.texts()) == 3 })
	if want := []string{"ping", "from the echo phone's companion", "last"}; !slices.Equal(c.texts(), want) {
		t.Errorf("Anna's companion got %q, want %q", c.texts(), want)
	}
}

func TestRepeatedIDIsShownOnceAndCounted(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	c.send(bert, "BEFORE", "before")
	call(t, "PUT", s.URL()+"/faults", map[string]any{"dropAcks": true}, 200, nil)
	if err := c.trySend(bert, "TWICE", "twice", 300*time.Millisecond); err == nil {
		t.Fatal("a message was acknowledged although acks are dropped")
	}
	shown(t, s.URL(), bert, 2, everything)
	call(t, "PUT", s.URL()+"/faults", map[string]any{}, 200, nil)
	c.send(bert, "TWICE", "twice")
	c.send(bert, "AFTER", "after")
	var ids []string
	for _, m := range shown(t, s.URL(), bert, 3, everything) {
		ids = append(ids, m.ID)
	}
	if want := []string{"BEFORE", "TWICE", "AFTER"}; !slices.Equal(ids, want) {
		t.Errorf("the phone shows %v, want %v", ids, want)
	}
	var stats struct{ RepeatedIDs int }
	call(t, "GET", s.URL()+"/stats", nil, 200, &stats)
	if stats.RepeatedIDs != 1 {
		t.Errorf("repeatedIds is %d, want 1", stats.RepeatedIDs)
	}
}

func TestUnlinkLogsEveryDeviceOut(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	one, two := newCompanion(t, dsn, host(s.URL())), newCompanion(t, dsn, host(s.URL()))
	one.link(s.URL(), anna)
	two.link(s.URL(), anna)
	one.send(bert, "ONE", "from the first")
	two.await("the other companion's text", func() bool { return len(two.messages) == 1 && two.messages[0].Info.IsFromMe })
	call(t, "DELETE", s.URL()+"/phones/"+anna+"/devices", nil, 204, nil)
	one.await("the logout", func() bool { return saw[*events.LoggedOut](one) })
	two.await("the logout", func() bool { return saw[*events.LoggedOut](two) })
	var phone sandbox.Phone
	call(t, "GET", s.URL()+"/phones/"+anna, nil, 200, &phone)
	if len(phone.Devices) != 0 {
		t.Errorf("devices are left: %v", phone.Devices)
	}
	call(t, "POST", s.URL()+"/phones/"+bert+"/messages", map[string]string{"to": anna, "type": "text", "text": "still there?"}, 201, nil)
	shown(t, s.URL(), anna, 1, incoming)
}

func TestLongPollAnswersWithTheMessageItWaitedFor(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	var empty page
	call(t, "GET", s.URL()+"/phones/"+bert+"/messages?after=7", nil, 200, &empty)
	if empty.Messages == nil || len(empty.Messages) != 0 || empty.Next != 7 {
		t.Errorf("with nothing after 7 the answer is %+v", empty)
	}
	answered := make(chan page, 1)
	go func() {
		var p page
		try(t, "GET", s.URL()+"/phones/"+bert+"/messages?wait=60", nil, &p)
		answered <- p
	}()
	call(t, "POST", s.URL()+"/phones/"+anna+"/messages", map[string]string{"to": bert, "type": "text", "text": "now"}, 201, nil)
	select {
	case p := <-answered:
		if len(p.Messages) != 1 || p.Messages[0].Text != "now" || p.Next != p.Messages[0].Seq {
			t.Errorf("the long poll answered %+v", p)
		}
	case <-time.After(patience / 2):
		t.Fatal("the long poll did not answer")
	}
}

func everything(sandbox.Message) bool { return true }

func incoming(m sandbox.Message) bool { return !m.FromMe }
