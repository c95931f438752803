package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
)

// Feature: Create, list, read, change and delete sessions
func TestSessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made, read events.Session
	a := f.must(201, &made, "POST", "/v1/sessions", map[string]any{"id": "sales", "name": "Sales", "settings": map[string]any{"deviceName": "Desk", "metadata": map[string]string{"a": "1"}}})
	if made.ID != "sales" || made.Name != "Sales" || made.Desired != events.DesiredStarted || made.State != events.StateStopped || made.Settings.DeviceName != "Desk" || made.Settings.Metadata["a"] != "1" {
		t.Errorf("made %+v", made)
	}
	f.must(200, &read, "GET", a.Header.Get("Location"), nil)
	if fmt.Sprint(read) != fmt.Sprint(made) {
		t.Errorf("read %+v, made %+v", read, made)
	}
	f.must(201, &made, "POST", "/v1/sessions", map[string]any{"id": "later", "start": false})
	if made.Desired != events.DesiredStopped {
		t.Errorf("start: false is %s", made.Desired)
	}

	f.must(200, &read, "PATCH", "/v1/sessions/sales", `{"settings":{"metadata":{"b":"2"}}}`)
	if read.Name != "Sales" || read.Settings.DeviceName != "Desk" || fmt.Sprint(read.Settings.Metadata) != "map[b:2]" {
		t.Errorf("a change of the metadata made %+v", read)
	}
	f.must(200, &read, "PATCH", "/v1/sessions/sales", `{"name":""}`)
	if read.Name != "" || read.Settings.DeviceName != "Desk" {
		t.Errorf("a change of the name made %+v", read)
	}

	// The claim's end shows before anybody writes it down.
	f.linked("sales", "connected")
	f.must(200, &read, "GET", "/v1/sessions/sales", nil)
	if read.State != events.StateConnected || read.Connector != "test" || read.Phone != "5491100000000" {
		t.Errorf("linked: %+v", read)
	}
	f.exec("UPDATE claims SET expires_at = now() - interval '1 second'")
	f.must(200, &read, "GET", "/v1/sessions/sales", nil)
	if read.State != events.StateReconnecting || read.Connector != "" {
		t.Errorf("with its claim expired: %+v", read)
	}
}

func TestSessionsAreListedInPages(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var empty List[events.Session]
	if a := f.must(200, &empty, "GET", "/v1/sessions", nil); !strings.Contains(string(a.body), `"data":[]`) || empty.HasMore || empty.NextCursor != "" {
		t.Errorf("an empty list: %s", a.body)
	}
	const n = 7
	for i := range n {
		f.session(fmt.Sprintf("s%d", i))
	}
	f.exec("UPDATE sessions SET created_at = '2026-01-01' WHERE id IN ('s2', 's3', 's4')") // a tie across a page's end
	f.exec("UPDATE sessions SET delete_requested_at = now() WHERE id = 's6'")
	var ids []string
	for path := "/v1/sessions?limit=2"; path != ""; {
		var page List[events.Session]
		a := f.must(200, &page, "GET", path, nil)
		for _, s := range page.Data {
			ids = append(ids, s.ID)
		}
		link := a.Header.Get("Link")
		if page.HasMore != (page.NextCursor != "") || page.HasMore != (link != "") || len(page.Data) > 2 || page.HasMore && len(page.Data) != 2 {
			t.Fatalf("page %s, link %q", a.body, link)
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	}
	if got := strings.Join(ids, " "); got != "s5 s1 s0 s4 s3 s2" {
		t.Errorf("listed %s", got)
	}
}

// Feature: Free metadata
func TestWhatIsWantedOfASession(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	listener := f.waker.ListenKey(events.WakeControl, "sales")
	defer listener.Close()
	restarts := func() (n int) {
		_ = f.db.QueryRow(t.Context(), "SELECT restarts FROM sessions WHERE id = 'sales'").Scan(&n)
		return n
	}
	var s events.Session
	f.must(202, &s, "POST", sales+"/stop", nil)
	if s.Desired != events.DesiredStopped {
		t.Errorf("stop: %+v", s)
	}
	f.must(202, &s, "POST", sales+"/start", nil)
	if s.Desired != events.DesiredStarted || restarts() != 0 {
		t.Errorf("start: %+v, %d restarts", s, restarts())
	}
	f.must(202, nil, "POST", sales+"/start", nil)
	if restarts() != 0 {
		t.Error("starting what is wanted already restarts it")
	}
	f.must(202, nil, "POST", sales+"/restart", nil, "Idempotency-Key", "r")
	if a := f.must(202, nil, "POST", sales+"/restart", nil, "Idempotency-Key", "r"); a.Header.Get("Idempotency-Replayed") != "true" || restarts() != 1 {
		t.Errorf("a repeated restart restarted %d times", restarts())
	}
	f.exec("UPDATE sessions SET state = 'failed'")
	f.must(202, nil, "POST", sales+"/start", nil)
	if restarts() != 2 {
		t.Error("start leaves a failed session as it is")
	}
	f.exec("UPDATE sessions SET state = 'logged_out', desired = 'stopped'")
	f.must(202, nil, "POST", sales+"/start", nil)
	if restarts() != 3 {
		t.Error("start leaves a session as it is that was stopped and then logged out")
	}
	loggingOut := func() (asked bool) {
		_ = f.db.QueryRow(t.Context(), "SELECT logout_requested_at IS NOT NULL FROM sessions WHERE id = 'sales'").Scan(&asked)
		return asked
	}
	f.must(202, nil, "POST", sales+"/logout", nil)
	if loggingOut() {
		t.Error("a session that is not linked logs out")
	}
	f.linked("sales", "connected")
	f.must(202, nil, "POST", sales+"/logout", nil)
	if !loggingOut() {
		t.Error("logout was not asked for")
	}
	select {
	case <-listener.C():
	case <-time.After(patience):
		t.Error("no connector was woken")
	}
}

// Feature: Create, list, read, change and delete sessions
func TestDeletingASession(t *testing.T) {
	t.Parallel()
	f := setup(t)
	// Never linked, with nobody running it: gone at once, with its messages.
	fresh := f.session("fresh")
	f.must(202, nil, "POST", fresh+"/messages", text("5491123456789", "x"))
	began := time.Now()
	f.must(204, nil, "DELETE", fresh, nil)
	if took := time.Since(began); took > deleteWait/2 || f.count("messages") != 0 || f.count("sessions") != 0 || len(f.commands()) != 0 {
		t.Errorf("it took %s; %s", took, f.written())
	}
	if told := f.published(); len(told) != 1 || !strings.Contains(string(told[0].Payload), `"reason":"deleted"`) || told[0].Metadata[events.MetaSession] != "fresh" {
		t.Errorf("%d events tell of it", len(told))
	}
	// Linked: the connector does it, and the request waits for that.
	linked := f.session("linked")
	f.linked("linked", "connected")
	control := f.waker.ListenKey(events.WakeControl, "linked")
	defer control.Close()
	gone := make(chan answer, 1)
	go func() { gone <- f.do("DELETE", linked, nil) }()
	f.eventually("the request to delete", func() bool {
		var asked bool
		_ = f.db.QueryRow(context.Background(), "SELECT delete_requested_at IS NOT NULL AND delete_unlinks FROM sessions").Scan(&asked)
		return asked
	})
	f.problem(f.do("GET", linked, nil), SessionNotFound) // hidden while it lasts
	f.problem(f.do("POST", "/v1/sessions", `{"id":"linked"}`), SessionAlreadyExists)
	f.exec("DELETE FROM sessions")
	f.wake.Notify(events.WakeSessions, "linked")
	if a := <-gone; a.StatusCode != 204 {
		t.Errorf("deleted: %d %s", a.StatusCode, a.body)
	}
}

func TestDeletingASessionThatNobodyUnlinks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	linked := f.session("linked")
	f.linked("linked", "connected")
	f.must(202, nil, "DELETE", linked+"?unlink=false", nil)
	if f.count("sessions WHERE delete_requested_at IS NOT NULL AND NOT delete_unlinks") != 1 {
		t.Error("the wish to delete it is lost")
	}
}

// Feature: QR as PNG, text and JSON, with expiry and wait
func TestQR(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	// A request waits for the code, and is woken when there is one.
	waiting := make(chan answer, 1)
	go func() { waiting <- f.do("GET", sales+"/qr?wait=30", nil, "Accept", "text/plain") }()
	f.claim("sales")
	f.exec("UPDATE sessions SET state = 'qr', qr = $1, qr_expires_at = now() + interval '1 minute'", exampleQRText)
	f.wake.Notify(events.WakeSessions, "sales")
	if a := <-waiting; a.StatusCode != 200 || string(a.body) != exampleQRText || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("waited for %d %q", a.StatusCode, a.body)
	}
	image := func(b []byte) {
		t.Helper()
		if drawn, err := png.Decode(bytes.NewReader(b)); err != nil || drawn.Bounds().Dx() < 200 {
			t.Errorf("no picture: %v", err)
		}
	}
	a := f.must(200, nil, "GET", sales+"/qr", nil, "Accept", "image/png")
	if a.Header.Get("Content-Type") != "image/png" {
		t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
	}
	image(a.body)
	for _, accept := range []string{"application/json", "*/*", "", "image/png;q=0.5, application/json", "text/html, */*;q=0.1"} {
		var code events.QR
		f.must(200, &code, "GET", sales+"/qr", nil, "Accept", accept)
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(code.PNG, "data:image/png;base64,"))
		if err != nil || code.Text != exampleQRText || time.Until(code.ExpiresAt) <= 0 {
			t.Errorf("Accept %q: %+v %v", accept, code, err)
		}
		image(raw)
	}
	if a := f.must(200, nil, "GET", sales+"/qr", nil, "Accept", "image/*"); a.Header.Get("Content-Type") != "image/png" {
		t.Errorf("image/* is %s", a.Header.Get("Content-Type"))
	}

	f.exec("UPDATE sessions SET qr_expires_at = now() - interval '1 second'")
	f.problem(f.do("GET", sales+"/qr?wait=1", nil), Unavailable) // the next is on its way
	f.exec("UPDATE sessions SET state = 'failed', qr = NULL")
	f.problem(f.do("GET", sales+"/qr?wait=30", nil), PairingExpired)
	f.exec("UPDATE sessions SET restarts = restarts + 1")
	f.problem(f.do("GET", sales+"/qr", nil), Unavailable) // a restart that nobody took up yet will bring one
	f.exec("UPDATE sessions SET restarts_done = restarts, desired = 'stopped', state = 'stopped'")
	f.problem(f.do("GET", sales+"/qr?wait=30", nil), SessionNotConnected)
	f.exec("UPDATE sessions SET desired = 'started'")
	f.linked("sales", "connected")
	f.problem(f.do("GET", sales+"/qr?wait=30", nil), SessionAlreadyLinked)
}

func TestPreferredForm(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"":                                  "application/json",
		"*/*":                               "application/json",
		"image/png":                         "image/png",
		"IMAGE/PNG":                         "image/png",
		"image/*, text/plain;q=0.9":         "image/png",
		"text/plain, image/png":             "image/png", // equal weights: ours first
		"application/json;q=0, */*":         "image/png", // the specific range counts
		"text/html, text/plain;q=0.2":       "text/plain",
		"text/plain; charset=utf-8; q=0.3":  "text/plain",
		"video/mp4":                         "",
		"image/png;q=0":                     "",
		"image/png;q=x":                     "",
		"image/png;q=NaN":                   "",
		";;,,/":                             "",
		"image/avif,image/webp,*/*;q=0.001": "application/json",
	} {
		if got := preferredForm(accept, qrForms); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}
