package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// disturb makes the sandbox's media host fail on purpose; nil ends that.
func (s *stack) disturb(t *testing.T, media map[string]any) {
	t.Helper()
	s.sandbox.must(t, "PUT", "/faults", map[string]any{"media": media}, nil)
}

// awaitDisturbed waits until as many transfers were disturbed as the fault's count says.
func (s *stack) awaitDisturbed(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "the fault to be used up", func() error {
		var now struct {
			Media *struct{ Count, Status int }
		}
		if _, err := s.sandbox.do("GET", "/faults", nil, &now); err != nil {
			return err
		}
		if now.Media != nil && (now.Media.Count > 0 || now.Media.Status != 0) {
			return fmt.Errorf("left: %+v", *now.Media)
		}
		return nil
	})
}

// sendFile lets a phone send a file to the business and returns WhatsApp's id of the message.
func (s *stack) sendFile(t *testing.T, from string, f sample) string {
	t.Helper()
	var m struct{ ID string }
	s.sandbox.must(t, "POST", "/phones/"+from+"/messages", map[string]any{
		"to": business, "type": f.kind, "data": base64.StdEncoding.EncodeToString(f.data), "mimetype": f.mimetype, "caption": f.caption, "fileName": f.name,
	}, &m)
	return m.ID
}

// sendText lets a phone send a text to the business and returns WhatsApp's id of the message.
func (s *stack) sendText(t *testing.T, from, text string) string {
	t.Helper()
	var m struct{ ID string }
	s.sandbox.must(t, "POST", "/phones/"+from+"/messages", map[string]string{"to": business, "type": "text", "text": text}, &m)
	return m.ID
}

// delivered returns the message of a webhook when it has come.
func (r *receiver) delivered(t *testing.T, d time.Duration, whatsappID string) (m message) {
	t.Helper()
	eventually(t, d, whatsappID+" in a webhook", func() error {
		for _, got := range r.deliveries() {
			if m = got.Event.Data.Message; got.Event.Type == "message.received" && m.WhatsAppID == whatsappID {
				return nil
			}
		}
		return errors.New("not delivered")
	})
	return m
}

// logged returns the message of an event when it is in the log, which is when it has come from WhatsApp, before its webhooks.
func (s *stack) logged(t *testing.T, whatsappID string) (m message) {
	t.Helper()
	eventually(t, 15*time.Second, whatsappID+" in the event log", func() error {
		all, err := eventLog(s.api)
		for _, e := range all {
			if m = e.Data.Message; e.Type == "message.received" && m.WhatsAppID == whatsappID {
				return nil
			}
		}
		return errors.Join(err, errors.New("not there"))
	})
	return m
}

// mediaState is what GET /v1/media/{id} says of a file.
type mediaState struct {
	Status    string
	MessageID string
	Error     *messageError
}

func (s *stack) media(t *testing.T, id string) (m mediaState) {
	t.Helper()
	s.api.must(t, "GET", "/v1/media/"+id, nil, &m)
	return m
}

// whole fails the test unless the URL of a webhook's media gives the file.
func (s *stack) whole(t *testing.T, m message, f sample) {
	t.Helper()
	if m.Content.Media == nil {
		t.Fatalf("the webhook has no media: %+v", m.Content)
	}
	size, hash, err := s.api.content(m.Content.Media.URL)
	if err != nil || size != int64(len(f.data)) || hash != f.hash() || m.Content.Media.SHA256 != f.hash() {
		t.Errorf("%d bytes of %d came, with %s and not %s: %v", size, len(f.data), hash, f.hash(), err)
	}
	if now := s.media(t, m.Content.Media.ID); now.Status != "ready" || now.Error != nil || now.MessageID != m.ID {
		t.Errorf("it is %+v of message %s", now, m.ID)
	}
}

// document is a small file of its own.
func document(seed uint64) sample {
	return sample{"document", "application/x-noise", fmt.Sprintf("%d.bin", seed), "", noise(seed, 200_000+int(seed))}
}

// TestStalledMedia lets one download stand still and another crawl: their webhooks go out without them after 30 s, and nobody else waits.
func TestStalledMedia(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.startAll(t)
	s.subscribe(t, "chat")
	eager := newReceiver(t) // keeps no order
	var e struct{ ID, Secret string }
	s.api.must(t, "POST", "/v1/webhook-endpoints", map[string]any{"url": eager.url(), "order": "none"}, &e)
	eager.trust(t, e.Secret)
	link(t, s.api, s.sandbox, "shop", business)
	for i := range 3 {
		s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(i), "name": fmt.Sprintf("Customer %d", i)}, nil)
	}
	// Of both files half would come, slowly; half of the small one is 5 s, half of the large one 3 minutes.
	small := sample{"document", "application/x-noise", "small.bin", "", noise(40, 20_000)}
	large := sample{"document", "application/x-noise", "large.bin", "", noise(41, 720_000)}
	s.disturb(t, map[string]any{"slowBytesPerSecond": 2000, "stall": true, "count": 2})
	stalled := s.sendFile(t, customer(0), small)
	s.logged(t, stalled)
	known := time.Now()
	crawling := s.sendFile(t, customer(1), large)
	s.awaitDisturbed(t)
	next := s.sendText(t, customer(0), "after the stalled file")
	s.sendText(t, customer(1), "after the crawling file")

	// Others are served meanwhile, files too.
	quick := document(42)
	sent := time.Now()
	id := s.sendFile(t, customer(2), quick)
	text := s.sendText(t, customer(2), "meanwhile")
	s.receiver.delivered(t, 10*time.Second, text)
	t.Logf("another chat's file and text after %s", time.Since(sent).Round(time.Millisecond))
	s.whole(t, s.receiver.delivered(t, time.Second, id), quick)
	eager.delivered(t, 10*time.Second, next)
	if ids, _ := s.receiver.received(); len(ids[stalled])+len(ids[next])+len(ids[crawling]) > 0 {
		t.Errorf("webhooks of files under way, or out of order, after %s", time.Since(known))
	}

	m := s.receiver.delivered(t, 45*time.Second, stalled)
	waited := time.Since(known)
	if waited < 25*time.Second || waited > 35*time.Second { // 30 s; the rest is for a busy machine
		t.Errorf("the webhook of the stalled file came after %s", waited)
	}
	t.Logf("webhook of the stalled file after %s", waited.Round(time.Millisecond))
	crawled := s.receiver.delivered(t, 10*time.Second, crawling)
	eager.delivered(t, 10*time.Second, stalled)
	s.receiver.delivered(t, 10*time.Second, next)
	if now := s.media(t, crawled.Content.Media.ID); now.Status != "pending" {
		t.Errorf("the crawling file is %+v", now)
	}
	s.disturb(t, nil) // it comes anew, and whole
	s.whole(t, m, small)
	s.whole(t, crawled, large)
	_, order := s.receiver.received()
	if got := order[m.ChatID]; !slices.Equal(got, []string{stalled, next}) {
		t.Errorf("the ordered endpoint got %q, not %q", got, []string{stalled, next})
	}

	// A dispatcher that is told to stop does not wait for a download, and the next one makes it anew.
	s.disturb(t, map[string]any{"stall": true, "count": 1})
	cut := document(43)
	id = s.sendFile(t, customer(2), cut)
	s.awaitDisturbed(t)
	told := time.Now()
	s.procs["dispatcher"].stop(t)
	if took := time.Since(told); took > 10*time.Second {
		t.Errorf("the dispatcher stopped after %s", took)
	}
	s.start("dispatcher", "dispatcher")
	s.whole(t, s.receiver.delivered(t, 20*time.Second, id), cut)
	t.Logf("stopped amid a download, started, and there after %s", time.Since(told).Round(time.Millisecond))
	s.receiver.check(t)
	eager.check(t)
}

// TestMediaFaults lets WhatsApp's media host refuse, break off and forget files.
func TestMediaFaults(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.startAll(t)
	s.subscribe(t, "chat")
	link(t, s.api, s.sandbox, "shop", business)
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(0), "name": "Customer"}, nil)

	t.Run("NoFault", func(t *testing.T) { s.timePhoto(t) })
	for i, fault := range []struct {
		name  string
		media map[string]any
		limit time.Duration // the queue's waits, and what a busy machine adds
	}{
		{"ServerErrors", map[string]any{"status": 500, "count": 2}, 15 * time.Second},
		{"BrokenOff", map[string]any{"truncate": true, "count": 1}, 15 * time.Second},
		{"BrokenOffTwice", map[string]any{"truncate": true, "count": 2}, 15 * time.Second},
		// Of these the phone is asked, and the file is at another place then.
		{"Forbidden", map[string]any{"status": 403, "count": 1}, 15 * time.Second},
		{"NotFound", map[string]any{"status": 404, "count": 1}, 15 * time.Second},
		{"Gone", map[string]any{"status": 410, "count": 1}, 15 * time.Second},
	} {
		t.Run(fault.name, func(t *testing.T) {
			f := document(uint64(10 + i))
			s.disturb(t, fault.media)
			began := time.Now()
			m := s.receiver.delivered(t, fault.limit, s.sendFile(t, customer(0), f))
			s.awaitDisturbed(t)
			s.whole(t, m, f)
			t.Logf("there after %s", time.Since(began).Round(time.Millisecond))
		})
	}
	t.Run("PhoneHasNone", s.phoneHasNone)
	t.Run("AskedWhenTheSessionIsBack", s.askedWhenBack)
	t.Run("RefusedUpload", s.refusedUpload)
	s.receiver.check(t)
}

// timePhoto measures how long a picture takes from the phone to where it can be read.
func (s *stack) timePhoto(t *testing.T) {
	f := sample{"image", "image/jpeg", "", "timed", photo(t)}
	began := time.Now()
	id := s.sendFile(t, customer(0), f)
	sent := time.Since(began)
	m := s.logged(t, id)
	s.whole(t, m, f)
	readable := time.Since(began)
	s.receiver.delivered(t, 15*time.Second, id)
	t.Logf("a picture of %.1f MB: sent by the phone after %s, readable after %s, its webhook seen after %s", float64(len(f.data))/1e6,
		sent.Round(time.Millisecond), readable.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// phoneHasNone: WhatsApp has the file no more, and the phone says that neither does it.
func (s *stack) phoneHasNone(t *testing.T) {
	s.disturb(t, map[string]any{"status": 404, "count": 1, "phoneHasNone": true})
	id := s.sendFile(t, customer(0), document(30))
	m := s.receiver.delivered(t, 15*time.Second, id)
	s.disturb(t, nil)
	var failed event
	eventually(t, 15*time.Second, "media.failed in a webhook", func() error {
		for _, d := range s.receiver.deliveries() {
			if d.Event.Type == "media.failed" {
				failed = d.Event
				return nil
			}
		}
		return errors.New("not delivered")
	})
	if d := failed.Data; d.MessageID != m.ID || d.Media.ID != m.Content.Media.ID || d.Error == nil || d.Error.Code != "media_fetch_failed" {
		t.Errorf("media.failed says %+v of message %s", d, m.ID)
	}
	if now := s.media(t, m.Content.Media.ID); now.Status != "failed" || now.Error == nil || now.Error.Code != "media_fetch_failed" || now.Error.Message == "" {
		t.Errorf("it is %+v", now)
	}
	status, err := s.api.do("GET", "/v1/media/"+m.Content.Media.ID+"/content", nil, nil)
	if status != http.StatusUnprocessableEntity || problemCode(err) != "media_fetch_failed" {
		t.Errorf("its bytes are answered with %d, %v", status, err)
	}
}

// problemCode is the code of the problem that client.do wrapped into its error.
func problemCode(err error) string {
	var p struct{ Code string }
	if err == nil {
		return ""
	}
	text := err.Error()
	for i := range text {
		if text[i] == '{' && json.Unmarshal([]byte(text[i:]), &p) == nil {
			break
		}
	}
	return p.Code
}

// askedWhenBack: the file turns out to be gone while the session is stopped, so that nobody can ask the phone; it is asked when it is back.
func (s *stack) askedWhenBack(t *testing.T) {
	f := document(31)
	s.disturb(t, map[string]any{"stall": true, "count": 1})
	id := s.sendFile(t, customer(0), f)
	m := s.logged(t, id)
	s.awaitDisturbed(t) // half of it is there
	s.api.must(t, "POST", "/v1/sessions/shop/stop", nil, nil)
	awaitState(t, s.api, "shop", "stopped", 15*time.Second)
	s.sandbox.must(t, "DELETE", "/phones/"+customer(0)+"/messages/"+id+"/media", nil, nil)
	s.disturb(t, nil) // which breaks it off
	conn, err := pgx.Connect(t.Context(), s.pg.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	eventually(t, 15*time.Second, "the phone to have to be asked", func() error {
		var asking bool
		if err := conn.QueryRow(t.Context(), `SELECT bool_or(asked_at IS NOT NULL) FROM media WHERE status = 'pending'`).Scan(&asking); err != nil {
			return err
		}
		if !asking {
			return errors.New("not yet")
		}
		return nil
	})
	if now := s.media(t, m.Content.Media.ID); now.Status != "pending" {
		t.Errorf("with the session stopped it is %+v", now)
	}
	began := time.Now()
	s.api.must(t, "POST", "/v1/sessions/shop/start", nil, nil)
	awaitState(t, s.api, "shop", "connected", 15*time.Second)
	s.whole(t, m, f)
	t.Logf("there %s after the session was started", time.Since(began).Round(time.Millisecond))
	s.whole(t, s.receiver.delivered(t, 35*time.Second, id), f)
}

// refusedUpload: WhatsApp does not take a file at first; the message goes out later, once.
func (s *stack) refusedUpload(t *testing.T) {
	f := document(32)
	id, err := s.api.upload(f)
	if err != nil {
		t.Fatal(err)
	}
	s.disturb(t, map[string]any{"status": 500, "count": 2, "direction": "upload"})
	began := time.Now()
	var m message
	s.api.must(t, "POST", "/v1/sessions/shop/messages", map[string]any{
		"to": customer(0), "content": map[string]any{"type": "document", "media": map[string]string{"mediaId": id}},
	}, &m, "Prefer", "wait=30")
	s.awaitDisturbed(t)
	if m.Status != "sent" && m.Status != "delivered" {
		t.Errorf("the message is %s", m.Status)
	}
	t.Logf("sent after %s", time.Since(began).Round(time.Millisecond))
	after := s.sendOut(t, "after")
	var got []string
	eventually(t, 15*time.Second, "the text after it at the phone", func() error {
		got = nil
		all, err := shown(s.sandbox, customer(0))
		for _, p := range all {
			if p.ID == m.WhatsAppID && p.SHA256 != f.hash() {
				t.Fatalf("the phone shows %+v", p)
			}
			got = append(got, p.ID)
		}
		if !slices.Contains(got, after) {
			return errors.Join(err, errors.New("not shown"))
		}
		return nil
	})
	if !slices.Equal(got, []string{m.WhatsAppID, after}) {
		t.Errorf("the phone shows %q, and should %s once, and then %s", got, m.WhatsAppID, after)
	}
}

// sendOut sends a text from the business and returns WhatsApp's id of the message.
func (s *stack) sendOut(t *testing.T, text string) string {
	t.Helper()
	var m message
	s.api.must(t, "POST", "/v1/sessions/shop/messages", map[string]any{
		"to": customer(0), "content": map[string]string{"type": "text", "text": text},
	}, &m, "Prefer", "wait=30")
	return m.WhatsAppID
}
