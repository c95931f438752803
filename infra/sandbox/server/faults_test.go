package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// try sends a text under an id and returns what came of it.
func (c *client) try(to types.JID, id, text string, patience time.Duration) error {
	_, err := c.SendMessage(c.n.t.Context(), to.ToNonAD(), &waE2E.Message{Conversation: proto.String(text)},
		whatsmeow.SendRequestExtra{ID: id, Timeout: patience})
	return err
}

func TestRefusesMessagesWithACode(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "before")
	for _, code := range []int{463, 479, 420, 429} {
		err := n.Server().SetAccountFaults("5491100000001", &server.Faults{AckError: server.AckError{Sometimes: server.Sometimes{Rate: 1, Count: 1}, Code: code}})
		if err != nil {
			t.Fatal(err)
		}
		if err := ana.try(*ben.Store.ID, ana.GenerateMessageID(), "refused", 5*time.Second); err == nil || !strings.Contains(err.Error(), fmt.Sprint(code)) {
			t.Errorf("%d: the client got %v", code, err)
		}
		ben.text(*ana.Store.ID, "Ben is not disturbed")
	}
	ana.text(*ben.Store.ID, "after")
	ben.receives("after")
	if slices.Contains(ben.texts(), "refused") {
		t.Error("a refused message arrived")
	}
	fails(t, n.Server().SetAccountFaults("5491100000009", nil), server.ErrNoAccount)
}

func TestCutsBeforeAndAfterRouting(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "before")
	for name, f := range map[string]server.Faults{
		"cut before": {CutBefore: server.Sometimes{Rate: 1, Count: 1}},
		"cut after":  {CutAfter: server.Sometimes{Rate: 1, Count: 1}},
	} {
		if err := n.Server().SetAccountFaults("5491100000001", &f); err != nil {
			t.Fatal(err)
		}
		logins := len(all[*events.Connected](ana))
		id := ana.GenerateMessageID()
		err := ana.try(*ben.Store.ID, id, name, 2*time.Second)
		until(ana, func() bool { return len(all[*events.Connected](ana)) > logins })
		if err != nil {
			err = ana.try(*ben.Store.ID, id, name, 10*time.Second)
		}
		if err != nil {
			t.Errorf("%s: not sent at last: %v", name, err)
		}
		ben.receives(name)
	}
}

func TestDisturbsWhatACompanionReceives(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "before")
	ben.receives("before")
	n.settled()
	disturb := func(f server.Faults) {
		t.Helper()
		if err := n.Server().SetAccountFaults("5491100000002", &f); err != nil {
			t.Fatal(err)
		}
	}
	once := server.Sometimes{Rate: 1, Count: 1}

	disturb(server.Faults{Duplicate: once})
	ana.text(*ben.Store.ID, "twice")
	ben.receives("twice")

	disturb(server.Faults{Corrupt: once})
	ana.text(*ben.Store.ID, "corrupt")
	ben.receives("corrupt") // the retry receipt brought it
	await(ben, func(*events.UndecryptableMessage) bool { return true })

	disturb(server.Faults{Reorder: once})
	ana.text(*ben.Store.ID, "first")
	ana.text(*ben.Store.ID, "second")
	ben.receives("first")
	ben.receives("second")
	if got := ben.texts(); slices.Index(got, "second") > slices.Index(got, "first") {
		t.Errorf("in order: %v", got)
	}

	disturb(server.Faults{Drop: once})
	ana.text(*ben.Store.ID, "lost")
	ana.text(*ben.Store.ID, "not lost")
	ben.receives("not lost")
	if slices.Contains(ben.texts(), "lost") {
		t.Error("nothing was dropped")
	}
	n.Server().Disconnect("5491100000002")
	ben.receives("lost")
	counts := map[string]int{}
	for _, text := range ben.texts() {
		counts[text]++
	}
	for _, text := range []string{"twice", "corrupt", "first", "second", "lost", "not lost"} {
		if counts[text] != 1 {
			t.Errorf("%q was shown %d times", text, counts[text])
		}
	}
	n.settled()
}

// The same seed disturbs the same messages.
func TestChanceIsRepeatable(t *testing.T) {
	t.Parallel()
	const count = 40
	run := func(seed uint64) (refused []int) {
		n := setup(t)
		ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
		ana.text(*ben.Store.ID, "before")
		n.Server().SetFaults(server.Faults{Seed: seed, AckError: server.AckError{Sometimes: server.Sometimes{Rate: 0.3}, Code: 479}})
		for i := range count {
			if ana.try(*ben.Store.ID, ana.GenerateMessageID(), fmt.Sprint(i), 5*time.Second) != nil {
				refused = append(refused, i)
			}
		}
		return refused
	}
	first, again, other := run(7), run(7), run(8)
	if !slices.Equal(first, again) || len(first) == 0 || len(first) == count {
		t.Errorf("seed 7 refused %v, then %v", first, again)
	}
	if slices.Equal(first, other) {
		t.Errorf("seed 8 refused the same: %v", other)
	}
}

func TestSilenceIsNoticed(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "before")
	ben.receives("before")
	if err := n.Server().SetAccountFaults("5491100000002", &server.Faults{Silence: true}); err != nil {
		t.Fatal(err)
	}
	ana.text(*ben.Store.ID, "unheard")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	//nolint:staticcheck // SA1019: the public API cannot ping
	if answered, _ := ben.DangerousInternals().SendKeepAlive(ctx); answered {
		t.Error("a silent server answered a ping")
	}
	if slices.Contains(ben.texts(), "unheard") {
		t.Error("a silent server delivered")
	}
	if err := n.Server().SetAccountFaults("5491100000002", nil); err != nil {
		t.Fatal(err)
	}
	n.Server().Disconnect("5491100000002")
	ben.receives("unheard")
}

func TestAnswersTakeTheirTime(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	const delay, jitter = 100 * time.Millisecond, 50 * time.Millisecond
	n.Server().SetFaults(server.Faults{QueryDelay: delay, QueryJitter: jitter, ClockOffset: -48 * time.Hour})
	begun := time.Now()
	//nolint:staticcheck // SA1019: the public API cannot ping
	if answered, _ := ana.DangerousInternals().SendKeepAlive(t.Context()); !answered {
		t.Fatal("no answer")
	}
	if took := time.Since(begun); took < delay {
		t.Errorf("answered after %s", took)
	}
	ben := n.phone("5491100000002", "Ben")
	sent, err := ben.SendMessage(t.Context(), ana.Store.ID.ToNonAD(), &waE2E.Message{Conversation: proto.String("yesterday")})
	if err != nil {
		t.Fatal(err)
	}
	m := ana.receives("yesterday")
	for _, at := range []time.Time{sent.Timestamp, m.Info.Timestamp} {
		if ago := time.Since(at); ago < 47*time.Hour || ago > 49*time.Hour {
			t.Errorf("the time is %s ago", ago)
		}
	}
}

func TestBansWhoWritesToTooManyStrangers(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	var others []types.JID
	for i := range 5 {
		number := fmt.Sprintf("549110000001%d", i)
		if _, err := n.Server().CreateAccounts(t.Context(), server.NewAccount{Phone: number, Name: "x", Level: server.Sink}); err != nil {
			t.Fatal(err)
		}
		others = append(others, types.NewJID(number, types.DefaultUserServer))
	}
	web := n.companion(ana)
	n.Server().SetFaults(server.Faults{Ban: server.BanRule{NewContacts: 3, Window: time.Hour, Duration: 2 * time.Second, Code: 103}})
	for _, to := range others[:3] {
		web.text(to, "hello")
		web.text(to, "hello again")
	}
	_ = web.try(others[3], web.GenerateMessageID(), "one too many", time.Second)
	ban := await(web, func(*events.TemporaryBan) bool { return true })
	if ban.Code != 103 || ban.Expire <= 0 || ban.Expire > 2*time.Second {
		t.Errorf("banned with %v for %s", ban.Code, ban.Expire)
	}
	before := len(all[*events.Connected](web))
	n.eventually("the end of the ban", func() bool {
		_ = web.Connect() // refused as long as it lasts
		return len(all[*events.Connected](web)) > before
	})
}

func TestASinkAnswersAndAStubDoesNot(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	_, err := n.Server().CreateAccounts(t.Context(),
		server.NewAccount{Phone: "5491100000002", Name: "Sink", Level: server.Sink}, server.NewAccount{Phone: "5491100000003", Name: "Stub", Level: server.Stub})
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Server().CreateAccounts(t.Context(), server.NewAccount{Phone: "5491100000004", Name: "new"}, server.NewAccount{Phone: "5491100000003", Name: "taken"})
	fails(t, err, server.ErrAccountExists)
	if _, ok := n.Server().Account("5491100000004"); ok {
		t.Error("half of the accounts were made")
	}
	ana.text(types.NewJID("5491100000003", types.DefaultUserServer), "into the void")
	id := ana.text(types.NewJID("5491100000002", types.DefaultUserServer), "hello")
	ana.gets(types.ReceiptTypeDelivered, id)
	ana.gets(types.ReceiptTypeRead, id)
	n.settled()
	n.restart(ana)
	id = ana.text(types.NewJID("5491100000002", types.DefaultUserServer), "hello again")
	ana.gets(types.ReceiptTypeRead, id)
}

func TestGivesNoPreKeysWhenTheyAreExhausted(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	n.Server().SetFaults(server.Faults{NoPreKeys: true})
	ana.text(*ben.Store.ID, "without")
	ben.receives("without")
	if left := n.Server().PreKeys("5491100000002"); left != keystore.MostPreKeys {
		t.Errorf("%d prekeys are left", left)
	}
}

// lines takes a transcript.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func TestTheTranscriptHoldsNoSecret(t *testing.T) {
	t.Parallel()
	n := setup(t)
	n.stop()
	kept, err := journal.OpenPostgres(t.Context(), n.pool)
	if err != nil {
		t.Fatal(err)
	}
	var to lines
	s, err := server.New(t.Context(), server.Config{Journal: kept, Logger: logger(t, "server"), Transcript: 20, TranscriptTo: &to})
	if err != nil {
		t.Fatal(err)
	}
	n.use(s, kept)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "the secret text")
	ben.receives("the secret text")
	auth := ana.auth()
	n.settled()
	kinds := s.Stats().Stanzas
	for _, kind := range []string{"in message", "out message", "in iq encrypt set", "out ack message", "in receipt"} {
		if kinds[kind] == 0 {
			t.Errorf("no %q among %v", kind, kinds)
		}
	}
	entries, _ := s.Transcript(0)
	if len(entries) != 20 || entries[19].Seq != entries[0].Seq+19 {
		t.Errorf("%d entries are kept", len(entries))
	}
	if later, _ := s.Transcript(entries[14].Seq); len(later) < 5 || later[0].Seq != entries[15].Seq {
		t.Errorf("after number %d come %v", entries[14].Seq, later)
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	text := to.text.String()
	if strings.Contains(text, "secret text") || strings.Contains(text, auth) {
		t.Error("the transcript tells a secret")
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	messages := 0
	for decoder.More() {
		var e server.Entry
		if err := decoder.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Stanza.Tag == "message" && e.Direction == "out" && e.Device == "5491100000002@s.whatsapp.net" {
			messages++
			if i := slices.IndexFunc(e.Stanza.Children, func(c server.Stanza) bool { return c.Tag == "enc" }); i < 0 || e.Stanza.Children[i].Bytes == 0 {
				t.Errorf("the message is %+v", e.Stanza)
			}
		}
	}
	if messages != 1 {
		t.Errorf("the transcript has %d messages to Ben", messages)
	}
}
