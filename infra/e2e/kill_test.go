package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	business  = "5491150000001" // the phone whose account chasqui runs
	customers = 5
	texts     = 40 // each way and customer
)

func customer(i int) string { return fmt.Sprintf("549116000000%d", i) }

// TestNothingIsLostWhenAnyPartIsKilled sends 200 texts each way, five times, and kills another part each time in the middle of them: with
// SIGKILL, as a crash or the kernel's memory killer does. Everything is counted from outside.
//
// Feature: Nothing lost when any part is killed
func TestNothingIsLostWhenAnyPartIsKilled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.startAll(t)
	s.subscribe(t, "chat")
	link(t, s.api, s.sandbox, "shop", business)
	for i := range customers {
		s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(i), "name": fmt.Sprintf("Customer %d", i)}, nil)
	}
	restart := func(names ...string) func(*testing.T) {
		return func(t *testing.T) {
			for _, n := range names {
				s.procs[n].kill9(t)
			}
			for _, n := range names {
				s.start(n, n)
			}
		}
	}
	killPostgres := func(t *testing.T) {
		pid := s.pg.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 30*time.Second, "PostgreSQL to be back", func() error {
			if now := s.pg.PID(); now == 0 || now == pid {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	}
	for _, round := range []struct {
		name string
		kill func(*testing.T)
	}{
		{"connector", restart("connector")},
		{"dispatcher", restart("dispatcher")},
		{"api", restart("api")},
		{"PostgreSQL", killPostgres},
		{"everything", func(t *testing.T) {
			all := []string{"api", "connector", "dispatcher", "sandbox"}
			for _, n := range all {
				s.procs[n].kill9(t)
			}
			killPostgres(t)
			for _, n := range all {
				s.start(n, n)
			}
		}},
	} {
		t.Run(round.name, func(t *testing.T) { s.loadAndKill(t, round.name, round.kill) })
		if t.Failed() {
			return
		}
	}
	var stats struct{ MessagesSent, MessagesDelivered, RepeatedIDs, UnknownStanzas int64 }
	s.sandbox.must(t, "GET", "/stats", nil, &stats)
	if stats.UnknownStanzas != 0 {
		t.Errorf("the sandbox met %d unknown stanzas", stats.UnknownStanzas)
	}
	t.Logf("since the last restart of the sandbox: %+v", stats)
}

func (s *stack) loadAndKill(t *testing.T, round string, kill func(*testing.T)) {
	began := time.Now()
	var done atomic.Int64
	half := make(chan struct{})
	count := func() {
		if done.Add(1) == customers*texts*2/3 {
			close(half)
		}
	}
	outIDs := make([]map[string]bool, customers) // whatsapp ids accepted by the API, a customer each
	inIDs := make([][]string, customers)         // ids that the phone got for what it sent, in order
	var load sync.WaitGroup
	for i := range customers {
		outIDs[i] = map[string]bool{}
		load.Go(func() {
			for n := range texts {
				var m message
				err := s.api.persist("POST", "/v1/sessions/shop/messages",
					map[string]any{"to": customer(i), "content": map[string]string{"type": "text", "text": fmt.Sprintf("%s out %d", round, n)}}, &m,
					"Idempotency-Key", fmt.Sprintf("%s-%d-%d", round, i, n))
				if err != nil {
					t.Errorf("send: %v", err)
					return
				}
				outIDs[i][m.WhatsAppID] = true
				count()
			}
		})
		load.Go(func() {
			for n := range texts {
				var m struct{ ID string }
				err := s.sandbox.persist("POST", "/phones/"+customer(i)+"/messages",
					map[string]string{"to": business, "type": "text", "text": fmt.Sprintf("%s in %d", round, n)}, &m)
				if err != nil {
					t.Errorf("phone sends: %v", err)
					return
				}
				inIDs[i] = append(inIDs[i], m.ID)
				count()
			}
		})
	}
	select {
	case <-half:
	case <-time.After(2 * time.Minute):
		t.Fatalf("after 2 minutes only %d of %d were accepted", done.Load(), customers*texts*2)
	}
	kill(t)
	load.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%s: %d accepted each way in %s", round, customers*texts, time.Since(began).Round(time.Millisecond))

	s.awaitOutgoing(t, round, outIDs)
	t.Logf("%s: the phones show all after %s", round, time.Since(began).Round(time.Millisecond))
	s.awaitIncoming(t, inIDs)
	t.Logf("%s: all there after %s", round, time.Since(began).Round(time.Millisecond))
}

// awaitOutgoing waits until each customer's phone shows all of its texts, and checks that it shows each once, in the order of the sends.
func (s *stack) awaitOutgoing(t *testing.T, round string, want []map[string]bool) {
	t.Helper()
	for i := range customers {
		var mine []phoneMessage
		eventually(t, 2*time.Minute, "the texts at phone "+customer(i), func() error {
			all, err := shown(s.sandbox, customer(i))
			if err != nil {
				return err
			}
			mine = mine[:0]
			for _, m := range all {
				if !m.FromMe && strings.HasPrefix(m.Text, round+" out ") {
					mine = append(mine, m)
				}
			}
			if len(mine) < texts {
				return whenAsked(func() string {
					return fmt.Sprintf("%d of %d; the others are %v", len(mine), texts, s.statuses(want[i], mine))
				})
			}
			return nil
		})
		if len(mine) != texts {
			t.Errorf("phone %s shows %d texts, want %d", customer(i), len(mine), texts)
		}
		for n, m := range mine {
			if !want[i][m.ID] {
				t.Errorf("phone %s shows id %s, which the API did not give", customer(i), m.ID)
			}
			if text := fmt.Sprintf("%s out %d", round, n); m.Text != text {
				t.Errorf("phone %s shows %q at place %d, want %q", customer(i), m.Text, n, text)
				break
			}
		}
	}
}

// whenAsked is an error whose text is worth finding out only when it is shown.
type whenAsked func() string

func (w whenAsked) Error() string { return w() }

// statuses counts, by their status, the messages that were accepted and that a phone does not show.
func (s *stack) statuses(accepted map[string]bool, shown []phoneMessage) map[string]int {
	there := map[string]bool{}
	for _, m := range shown {
		there[m.ID] = true
	}
	counts := map[string]int{}
	for id := range accepted {
		if there[id] {
			continue
		}
		var m message
		if _, err := s.api.do("GET", "/v1/sessions/shop/messages/"+id, nil, &m); err != nil {
			m.Status = err.Error()
		}
		counts[m.Status]++
	}
	return counts
}

// awaitIncoming waits until what the phones sent is in the API's event log and at the webhook, and checks: one event a message, one
// webhook-id a message, each chat in order.
func (s *stack) awaitIncoming(t *testing.T, sent [][]string) {
	t.Helper()
	var ids map[string]map[string]bool
	var order map[string][]string
	eventually(t, 2*time.Minute, "the webhooks", func() error {
		ids, order = s.receiver.received()
		missing := 0
		for _, chat := range sent {
			for _, id := range chat {
				if len(ids[id]) == 0 {
					missing++
				}
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d missing", missing)
		}
		return nil
	})
	logged := map[string]int{}
	all, err := eventLog(s.api)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Type == "message.received" {
			logged[e.Data.Message.WhatsAppID]++
		}
	}
	for i, chat := range sent {
		for _, id := range chat {
			if logged[id] != 1 {
				t.Errorf("message %s stands %d times in the event log", id, logged[id])
			}
			if len(ids[id]) != 1 {
				t.Errorf("message %s came under %d webhook ids", id, len(ids[id]))
			}
		}
		var came []string
		mine := map[string]bool{}
		for _, id := range chat {
			mine[id] = true
		}
		for _, id := range order[customer(i)+"@s.whatsapp.net"] {
			if mine[id] {
				came = append(came, id)
			}
		}
		if strings.Join(came, " ") != strings.Join(chat, " ") {
			t.Errorf("webhooks of chat %s are out of order", customer(i))
		}
	}
	s.receiver.check(t)
}

// TestTwoConnectorsShareSessions kills one of two connectors, each with a query of each session in hand; the other has all ten sessions within
// 20 s, and answers the queries for which somebody still waits.
//
// Feature: Failover of sessions between connectors
func TestTwoConnectorsShareSessions(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start("api", "api")
	s.start("connector-1", "connector")
	s.start("connector-2", "connector")
	s.start("dispatcher", "dispatcher")
	s.awaitAPI(t)
	const sessions = 10
	for i := range sessions {
		link(t, s.api, s.sandbox, fmt.Sprintf("s%d", i), fmt.Sprintf("54911700000%02d", i))
	}
	var owners map[string]int
	connected := func() error {
		var page struct {
			Data []struct{ ID, State, Connector string }
		}
		if _, err := s.api.do("GET", "/v1/sessions?limit=50", nil, &page); err != nil {
			return err
		}
		owners = map[string]int{}
		n := 0
		for _, v := range page.Data {
			owners[v.Connector]++
			if v.State == "connected" && v.Connector != "" {
				n++
			}
		}
		if n != sessions {
			return fmt.Errorf("%d of %d connected", n, sessions)
		}
		return nil
	}
	eventually(t, 40*time.Second, "two connectors with five sessions each", func() error {
		if err := connected(); err != nil {
			return err
		}
		if len(owners) != 2 {
			return fmt.Errorf("owners are %v", owners)
		}
		for o, n := range owners {
			if n != sessions/2 {
				return fmt.Errorf("%s has %d", o, n)
			}
		}
		return nil
	})
	asked := s.askAll(t, sessions)
	killed := time.Now()
	s.procs["connector-1"].kill9(t)
	s.sandbox.must(t, "PUT", "/faults", map[string]any{}, nil)
	eventually(t, 20*time.Second, "the other connector to have all sessions", func() error {
		if err := connected(); err != nil {
			return err
		}
		if len(owners) != 1 {
			return fmt.Errorf("owners are %v", owners)
		}
		return nil
	})
	t.Logf("all %d sessions moved within %s", sessions, time.Since(killed).Round(time.Millisecond))
	asked(t)
	t.Logf("all queries were answered within %s", time.Since(killed).Round(time.Millisecond))
	for i := range sessions { // and they work
		var m message
		s.api.must(t, "POST", fmt.Sprintf("/v1/sessions/s%d/messages", i), map[string]any{"to": fmt.Sprintf("54911700000%02d", (i+1)%sessions),
			"content": map[string]string{"type": "text", "text": "after the move"}}, &m, "Prefer", "wait=20")
		if m.Status != "sent" && m.Status != "delivered" {
			t.Errorf("session s%d: message is %s", i, m.Status)
		}
	}
}

// askAll has each session ask WhatsApp, which takes 10 s to answer, and returns when all have; the result waits for the answers.
func (s *stack) askAll(t *testing.T, sessions int) func(*testing.T) {
	t.Helper()
	const nobody = "5491199999999"
	checks := func() int {
		var stats struct{ Stanzas map[string]int }
		s.sandbox.must(t, "GET", "/stats", nil, &stats)
		return stats.Stanzas["in iq usync get"]
	}
	before := checks()
	s.sandbox.must(t, "PUT", "/faults", map[string]any{"queryDelayMs": 10_000}, nil)
	var asking sync.WaitGroup
	failures := make([]error, sessions)
	for i := range sessions {
		asking.Go(func() {
			friend := fmt.Sprintf("54911700000%02d", (i+1)%sessions)
			var answer struct {
				Data []struct {
					Number     string
					OnWhatsApp bool
					Contact    struct{ ID, Phone, LID string }
				}
			}
			_, err := s.api.do("POST", fmt.Sprintf("/v1/sessions/s%d/contacts/check", i), map[string]any{"numbers": []string{"+" + friend, nobody}}, &answer, "Prefer", "wait=30")
			if d := answer.Data; err == nil && (len(d) != 2 || d[0].Number != "+"+friend || !d[0].OnWhatsApp || d[0].Contact.Phone != friend || d[0].Contact.LID == "" || d[1].OnWhatsApp) {
				err = fmt.Errorf("answered %+v", d)
			}
			failures[i] = err
		})
	}
	eventually(t, 8*time.Second, "the queries at WhatsApp", func() error {
		if n := checks() - before; n < sessions {
			return fmt.Errorf("%d of %d", n, sessions)
		}
		return nil
	})
	return func(t *testing.T) {
		t.Helper()
		asking.Wait()
		for i, err := range failures {
			if err != nil {
				t.Errorf("session s%d: %v", i, err)
			}
		}
		if n := checks() - before; n <= sessions {
			t.Errorf("WhatsApp was asked %d times: none of the queries was repeated", n)
		}
	}
}

// TestReceiverThatWasDown gets everything within 60 s of coming back after 30 s, each event under one webhook-id, in order per chat.
func TestReceiverThatWasDown(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.startAll(t)
	s.subscribe(t, "chat")
	link(t, s.api, s.sandbox, "shop", business)
	for i := range customers {
		s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(i), "name": fmt.Sprintf("Customer %d", i)}, nil)
	}
	s.receiver.down()
	outage := time.NewTimer(30 * time.Second)
	sent := make([][]string, customers)
	for n := range 20 {
		for i := range customers {
			var m struct{ ID string }
			s.sandbox.must(t, "POST", "/phones/"+customer(i)+"/messages",
				map[string]string{"to": business, "type": "text", "text": fmt.Sprintf("while down %d", n)}, &m)
			sent[i] = append(sent[i], m.ID)
		}
	}
	<-outage.C
	s.receiver.up(t)
	back := time.Now()
	s.awaitIncoming(t, sent)
	took := time.Since(back)
	t.Logf("all %d there %s after the receiver came back", 20*customers, took.Round(time.Millisecond))
	if took > time.Minute {
		t.Errorf("it took %s, want at most 60 s", took)
	}
}
