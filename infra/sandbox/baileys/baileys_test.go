// Package baileys_test runs Baileys, as npm has it, against the sandbox.
package baileys_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

const (
	anna = "5491151110001"
	bert = "5491151110002"
	carl = "5491151110003"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("go.mau.fi/whatsmeow/socket.(*FrameSocket).frameComplete"))
}

// setup runs a sandbox with two phones. No stanza may be unknown to it.
func setup(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	level := slog.LevelWarn
	if os.Getenv("SANDBOX_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	s := sandbox.Start(t, sandbox.Config{
		ProxyAddr: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	})
	t.Cleanup(func() {
		if n := s.Stats().UnknownStanzas; n != 0 {
			t.Errorf("%d stanzas were unknown to the server", n)
		}
	})
	for number, name := range map[string]string{anna: "Anna", bert: "Bert"} {
		if _, _, err := s.CreatePhone(t.Context(), sandbox.NewPhone{Number: number, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// link pairs the client with a phone by QR code and waits until it is ready.
func (c *client) link(s *sandbox.Sandbox, number string) {
	c.t.Helper()
	c.do("connect", nil, nil)
	qr := c.await("a QR code", 0, is("qr")).QR
	if _, err := s.Scan(c.t.Context(), number, qr); err != nil {
		c.t.Fatal(err)
	}
	c.ready(s, number)
}

// ready waits until the client is logged in and has the keys and the history that its phone sends to a new device. Were it to write to its
// phone before, a message might be lost: Baileys locks a session by the address that is written to or received from, which is a number here
// and a LID there, and so encrypts with the state from before what it just decrypted.
func (c *client) ready(s *sandbox.Sandbox, number string) {
	c.t.Helper()
	c.await("the login", 0, is("open"))
	c.await("pending notifications", 0, is("settled"))
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); ; <-poll.C {
		_, owed, err := s.History(number)
		if err != nil {
			c.t.Fatal(err)
		}
		if st := s.Stats(); owed == 0 && st.MessagesSent > 0 && st.MessagesDelivered == st.MessagesSent {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the client does not have what its phone owes it: %d, %+v", owed, s.Stats())
		}
	}
}

func jid(number string) string { return number + "@s.whatsapp.net" }

// random is what no other file is.
func random(seed byte, n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

// shown waits until a phone shows a message that is wanted.
func shown(t *testing.T, s *sandbox.Sandbox, number string, wanted func(sandbox.Message) bool) sandbox.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := s.WaitMessage(ctx, number, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// file is the file of a message that a phone shows.
func file(t *testing.T, s *sandbox.Sandbox, number string, seq int64) []byte {
	t.Helper()
	res, err := http.Get(fmt.Sprintf("%s/phones/%s/messages/%d/media", s.URL(), number, seq))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the file is answered by %d, %v", res.StatusCode, err)
	}
	return data
}

func TestTextsAndMediaGoBothWays(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := newClient(t, s, t.TempDir())
	c.link(s, anna)

	var sent event
	c.do("text", map[string]any{"to": jid(bert), "text": "hello"}, &sent)
	for _, phone := range []string{bert, anna} { // its own phone has it too
		if m := shown(t, s, phone, func(m sandbox.Message) bool { return m.ID == sent.MessageID }); m.Text != "hello" || m.FromMe != (phone == anna) || m.To != bert {
			t.Errorf("phone %s shows %+v", phone, m)
		}
	}
	c.receipt("delivered", sent.MessageID)
	c.receipt("sender", sent.MessageID) // its own phone has it
	if _, err := s.Read(t.Context(), bert, anna); err != nil {
		t.Fatal(err)
	}
	c.await("the reading", 0, func(e event) bool { return e.MessageID == sent.MessageID && e.Status == read })

	id, err := s.SendText(t.Context(), bert, anna, "hello back")
	if err != nil {
		t.Fatal(err)
	}
	got := c.await("the answer", 0, func(e event) bool { return e.Event == "message" && e.MessageID == id })
	if got.Text != "hello back" || got.FromMe || got.Name != "Bert" {
		t.Errorf("the client got %+v", got)
	}
	c.do("read", map[string]any{"messageId": id}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.WaitReceipt(ctx, bert, id, "read"); err != nil {
		t.Fatal(err)
	}

	picture := random(1, 300_000)
	c.do("image", map[string]any{"to": jid(bert), "data": base64.StdEncoding.EncodeToString(picture), "caption": "look"}, &sent)
	m := shown(t, s, bert, func(m sandbox.Message) bool { return m.ID == sent.MessageID })
	if m.Type != "image" || m.Media == nil || m.Caption != "look" || !bytes.Equal(file(t, s, bert, m.Seq), picture) {
		t.Errorf("the phone shows %+v", m)
	}

	photo := random(2, 200_000)
	id, err = s.SendMedia(t.Context(), bert, sandbox.Outgoing{
		To: anna, Content: sandbox.Content{Type: "image"}, File: sandbox.File{Mimetype: "image/jpeg", Caption: "see"},
	}, bytes.NewReader(photo))
	if err != nil {
		t.Fatal(err)
	}
	got = c.await("the picture", 0, func(e event) bool { return e.Event == "message" && e.MessageID == id })
	if got.Kind != "imageMessage" || got.Caption != "see" {
		t.Errorf("the client got %+v", got)
	}
	var data []byte
	if c.do("download", map[string]any{"messageId": id}, &data); !bytes.Equal(data, photo) {
		t.Errorf("the client downloaded %d bytes, not the %d sent", len(data), len(photo))
	}
}

func TestPairsByCode(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := newClient(t, s, t.TempDir())
	c.do("connect", nil, nil)
	c.await("the server", 0, is("qr")) // Baileys can ask for a code from here on
	var code string
	c.do("code", map[string]any{"number": anna}, &code)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := s.WaitEvent(ctx, anna, "pairing_code_requested", nil); err != nil { // Baileys does not wait for it
		t.Fatal(err)
	}
	device, err := s.EnterCode(ctx, anna, code)
	if err != nil {
		t.Fatal(err)
	}
	if me := c.await("the login", 0, is("open")).Me; me.ID != device.String() {
		t.Errorf("Baileys is %s, the phone linked %s", me.ID, device)
	}
	c.ready(s, anna)
	var sent event
	c.do("text", map[string]any{"to": jid(bert), "text": "paired by code"}, &sent)
	shown(t, s, bert, func(m sandbox.Message) bool { return m.ID == sent.MessageID && m.Text == "paired by code" })
}

func TestGroups(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if _, _, err := s.CreatePhone(t.Context(), sandbox.NewPhone{Number: carl, Name: "Carl"}); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s, t.TempDir())
	c.link(s, anna)

	// One that Baileys makes.
	var made struct {
		ID           string
		Participants []any
	}
	c.call(&made, "groupCreate", "Plans", []string{jid(bert)})
	if len(made.Participants) != 2 {
		t.Errorf("Baileys made %+v", made)
	}
	var sent event
	c.do("text", map[string]any{"to": made.ID, "text": "welcome"}, &sent)
	for _, phone := range []string{anna, bert} {
		if m := shown(t, s, phone, func(m sandbox.Message) bool { return m.ID == sent.MessageID }); m.Chat != made.ID || m.From != anna || m.Text != "welcome" {
			t.Errorf("phone %s shows %+v", phone, m)
		}
	}
	c.receipt("delivered", sent.MessageID)
	c.call(nil, "groupParticipantsUpdate", made.ID, []string{jid(carl)}, "add")
	c.do("text", map[string]any{"to": made.ID, "text": "and Carl"}, &sent)
	for _, phone := range []string{bert, carl} {
		shown(t, s, phone, func(m sandbox.Message) bool { return m.ID == sent.MessageID && m.Text == "and Carl" })
	}
	if _, err := s.Read(t.Context(), carl, anna); err != nil {
		t.Fatal(err)
	}
	c.receipt("read", sent.MessageID)
	id, err := s.SendText(t.Context(), carl, made.ID, "thanks")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.await("the answer", 0, func(e event) bool { return e.Event == "message" && e.MessageID == id }); got.Chat != made.ID || got.Text != "thanks" {
		t.Errorf("the client got %+v", got)
	}
	c.call(nil, "groupUpdateSubject", made.ID, "Better plans")
	group, err := s.Group(t.Context(), bert, made.ID)
	if err != nil || group.Subject != "Better plans" || len(group.Participants) != 3 || group.Creator != anna {
		t.Errorf("the phone sees %+v, %v", group, err)
	}

	// One that a phone makes.
	group, err = s.CreateGroup(t.Context(), bert, sandbox.NewGroup{Subject: "Lunch", Participants: []string{anna, carl}})
	if err != nil {
		t.Fatal(err)
	}
	c.await("the group", 0, func(e event) bool { return e.Event == "group" && e.Chat == group.JID && e.Subject == "Lunch" })
	if id, err = s.SendText(t.Context(), bert, group.JID, "at one?"); err != nil {
		t.Fatal(err)
	}
	c.await("the question", 0, func(e event) bool { return e.MessageID == id && e.Chat == group.JID && e.Text == "at one?" })
	c.do("text", map[string]any{"to": group.JID, "text": "fine"}, &sent)
	for _, phone := range []string{bert, carl} {
		shown(t, s, phone, func(m sandbox.Message) bool { return m.ID == sent.MessageID && m.Text == "fine" })
	}
	c.call(nil, "groupLeave", group.JID)
}

func TestPhonesReadWhatBaileysDoesWithMessages(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := newClient(t, s, t.TempDir())
	c.link(s, anna)
	id, err := s.SendText(t.Context(), bert, anna, "lunch?")
	if err != nil {
		t.Fatal(err)
	}
	c.await("the question", 0, func(e event) bool { return e.MessageID == id })
	var first struct{ Key map[string]any }
	c.call(&first, "sendMessage", jid(bert), map[string]any{"text": "yes"})
	for _, step := range []struct {
		content map[string]any
		shown   func(sandbox.Message) bool
	}{
		{map[string]any{"react": map[string]any{"text": "👍", "key": map[string]any{"remoteJid": jid(bert), "id": id, "fromMe": false}}},
			func(m sandbox.Message) bool { return m.Type == "reaction" && m.Emoji == "👍" && m.Target.ID == id }},
		{map[string]any{"text": "yes!", "edit": first.Key},
			func(m sandbox.Message) bool {
				return m.Type == "edit" && m.Text == "yes!" && m.Target.ID == first.Key["id"]
			}},
		{map[string]any{"delete": first.Key},
			func(m sandbox.Message) bool { return m.Type == "revoke" && m.Target.ID == first.Key["id"] }},
		{map[string]any{"poll": map[string]any{"name": "where?", "values": []string{"here", "there"}, "selectableCount": 1}},
			func(m sandbox.Message) bool { return m.Type == "poll" && m.Poll != nil }},
		{map[string]any{"location": map[string]any{"degreesLatitude": -34.6, "degreesLongitude": -58.4, "name": "Obelisco"}},
			func(m sandbox.Message) bool { return m.Type == "location" && m.Location != nil }},
		{map[string]any{"contacts": map[string]any{"displayName": "Eva", "contacts": []any{map[string]any{"vcard": "BEGIN:VCARD\nVERSION:3.0\nFN:Eva\nEND:VCARD"}}}},
			func(m sandbox.Message) bool { return m.Type == "contacts" && len(m.Contacts) == 1 }},
	} {
		c.call(nil, "sendMessage", jid(bert), step.content)
		shown(t, s, bert, step.shown)
		shown(t, s, anna, step.shown) // its own phone
	}
}

func TestWhatCameWhileAwayIsThereOnceAfterIt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	folder := t.TempDir()
	c := newClient(t, s, folder)
	c.link(s, anna)
	write := func(text string) {
		t.Helper()
		if _, err := s.SendText(t.Context(), bert, anna, text); err != nil {
			t.Fatal(err)
		}
	}
	once := func(c *client, text string) {
		t.Helper()
		c.await(text, 0, func(e event) bool { return e.Event == "message" && e.Text == text })
		c.mu.Lock()
		defer c.mu.Unlock()
		n := 0
		for _, e := range c.events {
			if e.Event == "message" && e.Text == text {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%q came %d times", text, n)
		}
	}
	write("before")
	once(c, "before")

	// The network breaks, and stays away for a while.
	mark := c.mark()
	s.SetFaults(server.Faults{RefuseConnections: true})
	s.Disconnect(anna)
	c.await("the loss of the connection", mark, is("close"))
	write("cut off")
	s.SetFaults(server.Faults{})
	c.await("the next login", mark, is("open"))
	once(c, "cut off")
	c.do("text", map[string]any{"to": jid(bert), "text": "still here"}, nil)
	shown(t, s, bert, func(m sandbox.Message) bool { return m.Text == "still here" })

	// The program dies, and starts again with the keys that it stored.
	c.kill()
	write("dead")
	c = newClient(t, s, folder)
	c.do("connect", nil, nil)
	c.await("the login with stored keys", 0, is("open"))
	once(c, "dead")
	c.do("text", map[string]any{"to": jid(bert), "text": "alive"}, nil)
	shown(t, s, bert, func(m sandbox.Message) bool { return m.Text == "alive" })
}

func TestLogout(t *testing.T) {
	t.Parallel()
	s := setup(t)
	devices := func() int {
		phone, err := s.Phone(anna)
		if err != nil {
			t.Fatal(err)
		}
		return len(phone.Devices)
	}
	loggedOut := func(e event) bool { return e.Event == "close" && e.Code == http.StatusUnauthorized }

	byItself := newClient(t, s, t.TempDir())
	byItself.link(s, anna)
	byItself.call(nil, "logout")
	byItself.await("its logout", 0, loggedOut)
	poll := time.NewTicker(10 * time.Millisecond) // Baileys does not wait for the answer
	defer poll.Stop()
	for deadline := time.Now().Add(patience); devices() > 0; <-poll.C {
		if time.Now().After(deadline) {
			t.Fatal("the device is still linked")
		}
	}

	byPhone := newClient(t, s, t.TempDir())
	byPhone.link(s, anna)
	if err := s.Unlink(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	byPhone.await("being logged out", 0, loggedOut)
	if n := devices(); n != 0 {
		t.Errorf("%d devices are linked", n)
	}
}
