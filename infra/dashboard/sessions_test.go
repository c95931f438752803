package dashboard

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/chasqui/chasqui/infra/testbrowser"
	"github.com/chasqui/chasqui/infra/testdev"
)

// qrShown is the expression for a QR code that is shown.
const qrShown = `document.querySelector('[data-qr]:not([data-qr=""]) img')`

// newUnlinked makes a session that no phone has linked.
func newUnlinked(t *testing.T, id string, start bool) {
	t.Helper()
	must(t, "POST", "/v1/sessions", map[string]any{"id": id, "start": start}, nil)
	t.Cleanup(func() {
		if !t.Failed() {
			testdev.Call(t, "DELETE", running.URL+"/v1/sessions/"+id, nil, nil)
		}
	})
}

// sessionNow returns a session as the API has it.
func sessionNow(t *testing.T, id string) (session struct {
	State, Desired, Name, Phone string
	Settings                    map[string]any
}) {
	t.Helper()
	must(t, "GET", "/v1/sessions/"+id, nil, &session)
	return session
}

// sessionBecomes waits until a session is in a state.
func sessionBecomes(t *testing.T, id, state string) {
	t.Helper()
	eventually(t, id+" to be "+state, func() error {
		if is := sessionNow(t, id).State; is != state {
			return fmt.Errorf("it is %s", is)
		}
		return nil
	})
}

// wantStatus wants a request to be answered with a status.
func wantStatus(t *testing.T, status int, method, path string, header ...string) {
	t.Helper()
	if got, raw := testdev.Call(t, method, running.URL+path, nil, nil, header...); got != status {
		t.Errorf("%s %s: %d, not %d: %s", method, path, got, status, raw)
	}
}

// inSpanish turns the page's language.
func inSpanish(tab *testbrowser.Tab) {
	tab.Evaluate(`localStorage.setItem('chasqui.language', 'es')`)
}

// TestSessionIsCreatedAndScanned makes a session, after an id that none can have and one that is taken; its QR code counts down and is another by itself once an event says so, and a
// simulated phone scans it.
//
// Feature: Dashboard
func TestSessionIsCreatedAndScanned(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "taken-before", false)
	tab := open(t, "/sessions")
	tab.Click("#new-session")
	tab.Fill("input[name=id]", "not good")
	tab.Click("text=Create session")
	tab.Sees("without spaces")
	tab.Fill("input[name=id]", "taken-before")
	tab.Click("text=Create session")
	tab.Sees("There is a session with this id.")
	for _, id := range []string{"not%20good", "created-here"} {
		if status, _ := testdev.Call(t, "GET", running.URL+"/v1/sessions/"+id, nil, nil); status < 400 {
			t.Errorf("%s is there", id)
		}
	}
	tab.Fill("input[name=id]", "created-here")
	tab.Fill("input[name=name]", "Created here")
	tab.Fill("input[name=device]", "Front desk")
	tab.Click("text=Create session")
	tab.Await(`location.pathname + location.search === '/sessions/created-here?tab=link'`)
	t.Cleanup(func() { testdev.Call(t, "DELETE", running.URL+"/v1/sessions/created-here", nil, nil) })
	if made := sessionNow(t, "created-here"); made.Name != "Created here" || made.Settings["deviceName"] != "Front desk" || made.Desired != "started" {
		t.Errorf("it is %+v", made)
	}
	tab.Await(`!!` + qrShown)
	if alt := tab.Evaluate(qrShown + `.alt`); alt == "" {
		t.Error("the code has no text alternative")
	}
	if colors := tab.Evaluate(`(({color, backgroundColor}) => color + backgroundColor)(getComputedStyle(` + qrShown + `.parentElement))`); colors != "rgb(0, 0, 0)rgb(255, 255, 255)" {
		t.Errorf("the code is %s", colors)
	}
	left := func() int {
		n, err := strconv.Atoi(strings.Fields(tab.Evaluate(`document.querySelector('[role=timer]').innerText`))[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := left()
	tab.Await(fmt.Sprintf(`parseInt(document.querySelector('[role=timer]').innerText) < %d`, before))
	shown := tab.Evaluate(qrShown + `.src`)
	must(t, "POST", "/v1/sessions/created-here/restart", nil, nil) // another set of codes, and so another event
	tab.Await(fmt.Sprintf(`!!%s && %s.src !== %q`, qrShown, qrShown, shown))
	tab.Click("text=Scan with a simulated phone")
	tab.Sees("A phone is linked")
	sessionBecomes(t, "created-here", "connected")
	tab.Sees("+" + sessionNow(t, "created-here").Phone)
	tab.Sees("Open its chats")
	tab.Sees("$CHASQUI_KEY")
	must(t, "DELETE", "/v1/sessions/created-here", nil, nil) // by somebody else
	tab.Sees("There is no such session")
}

// TestSessionIsLinkedByCode starts a stopped session on a phone's screen and links it by a pairing code, after a number that is none and one that has no WhatsApp.
func TestSessionIsLinkedByCode(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "by-code", false)
	number := newPhone(t, "Owner of by-code")
	tab := testbrowser.Open(t)
	tab.Size(390, 844)
	tab.Go(running.URL + "/sessions/by-code")
	signIn(tab, running.APIKey)
	tab.Sees("The session is stopped")
	tab.Click("text=Start it")
	tab.Await(`!!` + qrShown)
	tab.Click("text=Pairing code")
	tab.Await(`location.search.includes('way=code')`)
	tab.Fill("input[name=phone]", "12")
	tab.Click("text=Get a code")
	tab.Sees("7 to 15 digits")
	tab.Fill("input[name=phone]", "+54 9 11 5999-9998")
	tab.Click("text=Get a code")
	tab.Sees("This number has no WhatsApp account.")
	tab.Fill("input[name=phone]", "+"+number)
	tab.Click("text=Get a code")
	tab.Await(`!!document.querySelector('[data-code]')`)
	first := tab.Evaluate(`document.querySelector('[data-code]').innerText`)
	if wide := tab.Evaluate(`document.documentElement.scrollWidth`); wide != "390" {
		t.Errorf("the page is %s wide", wide)
	}
	// Another that is asked for elsewhere is told by an event.
	var second struct{ Code string }
	must(t, "POST", "/v1/sessions/by-code/pairing-code", map[string]string{"phone": number}, &second, "Prefer", "wait=30")
	tab.Await(fmt.Sprintf(`document.querySelector('[data-code]')?.innerText === %q`, second.Code))
	if first == second.Code {
		t.Error("the codes are equal")
	}
	sandbox(t, "POST", "/phones/"+number+"/code", map[string]string{"code": second.Code}, nil)
	tab.Sees("A phone is linked")
}

// TestSessionAsksForAPasskey links an account that is guarded by a passkey, in Spanish: what is no answer and another account's answer are refused.
func TestSessionAsksForAPasskey(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "con-clave", true)
	number, other := newPhone(t, "Guarded"), newPhone(t, "Other")
	sandbox(t, "PUT", "/phones/"+number+"/passkey", nil, nil)
	sandbox(t, "PUT", "/phones/"+other+"/passkey", nil, nil)
	tab := testbrowser.Open(t)
	tab.Go(running.URL + "/sessions")
	inSpanish(tab)
	tab.Go(running.URL + "/sessions/con-clave")
	signIn(tab, running.APIKey)
	tab.Await(`!!` + qrShown)
	linked := scanLater(t, "con-clave", number)
	tab.Await(`document.querySelector('[data-step]')?.dataset.step === 'request'`)
	tab.Sees("WhatsApp pide la clave de acceso de la cuenta")
	var asked struct{ Request json.RawMessage }
	must(t, "GET", "/v1/sessions/con-clave/passkey", nil, &asked)
	var options struct{ Challenge string }
	if err := json.Unmarshal(asked.Request, &options); err != nil || options.Challenge == "" {
		t.Fatalf("asked %s: %v", asked.Request, err)
	}
	if script := tab.Evaluate(`document.querySelector('[data-step] pre').innerText`); !contains(script, options.Challenge) {
		t.Errorf("the script is %s", script)
	}
	tab.Fill("textarea[name=answer]", "no JSON")
	tab.Click("text=Enviar la respuesta")
	tab.Sees("Esto no es el JSON")
	tab.Fill("textarea[name=answer]", passkeyAnswer(t, other, asked.Request))
	tab.Click("text=Enviar la respuesta")
	tab.Sees("passkey_refused")
	tab.Fill("textarea[name=answer]", passkeyAnswer(t, number, asked.Request))
	tab.Click("text=Enviar la respuesta")
	tab.Sees("Hay un teléfono vinculado")
	if err := <-linked; err != nil {
		t.Error(err)
	}
}

// scanLater lets a phone scan a session's QR code, which lasts until its passkey was given.
func scanLater(t *testing.T, id, number string) <-chan error {
	t.Helper()
	var code struct{ QR string }
	must(t, "GET", "/v1/sessions/"+id+"/qr?wait=30", nil, &code)
	done := make(chan error, 1)
	go func() {
		status, raw := testdev.Call(t, "POST", running.SandboxURL+"/phones/"+number+"/scan", map[string]string{"qr": code.QR}, nil)
		if status != 200 {
			done <- fmt.Errorf("the phone was answered %d: %s", status, raw)
			return
		}
		done <- nil
	}()
	return done
}

// passkeyAnswer is what a phone's passkey answers to a request, as a browser prints it.
func passkeyAnswer(t *testing.T, number string, request json.RawMessage) string {
	t.Helper()
	var signed struct{ Response map[string]any }
	sandbox(t, "POST", "/phones/"+number+"/passkey", map[string]any{"request": request}, &signed)
	signed.Response["authenticatorAttachment"], signed.Response["clientExtensionResults"] = "platform", map[string]any{}
	raw, err := json.Marshal(signed.Response)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestSessionActions stops, starts and restarts a session, logs it out and deletes it; for the last two its id is asked for, and no other word does.
func TestSessionActions(t *testing.T) {
	t.Parallel()
	newSession(t, "acted-on")
	tab := open(t, "/sessions/acted-on")
	tab.Sees("Connected")
	tab.Click("text=Stop")
	tab.Sees("It rests and receives nothing.")
	if state := sessionNow(t, "acted-on").State; state != "stopped" {
		t.Errorf("it is %s", state)
	}
	tab.Click("text=Start")
	tab.Await(`!!document.querySelector('main .state.ok')`)
	sessionBecomes(t, "acted-on", "connected")
	tab.Click("text=Restart")
	tab.Await(`!document.querySelector('main button[aria-busy=true]')`)
	tab.Await(`!!document.querySelector('main .state.ok')`)
	sessionBecomes(t, "acted-on", "connected")
	tab.Click("text=Log")
	tab.Sees("restarted")

	tab.Click("text=Actions for acted-on")
	tab.Click("[popover] button.danger")
	tab.Sees("Log out acted-on?")
	tab.Fill("input[name=confirm]", "acted")
	tab.Await(`document.querySelector('dialog[open] button[type=submit]').disabled`)
	tab.Press(kb.Enter)
	if state := sessionNow(t, "acted-on").State; state != "connected" {
		t.Errorf("after a wrong word it is %s", state)
	}
	tab.Fill("input[name=confirm]", "acted-on")
	tab.Click("dialog[open] button[type=submit]")
	tab.Sees("Logged out")
	tab.Await(`!document.querySelector('dialog[open]')`)
	sessionBecomes(t, "acted-on", "logged_out")

	tab.Click("text=Actions for acted-on")
	tab.Click("[popover] button:last-child")
	tab.Sees("Delete acted-on?")
	tab.Fill("input[name=confirm]", "acted-on")
	tab.Click("dialog[open] button[type=submit]")
	tab.Await(`location.pathname === '/sessions'`)
	tab.Await(`!document.querySelector('[data-session=acted-on]')`)
	wantStatus(t, 404, "GET", "/v1/sessions/acted-on")
}

// TestSessionMoves exports a session, which has to rest first, deletes it without unlinking it, and imports it again: a wrong passphrase opens nothing, and with the right one it
// connects without a QR code. Its keys leave with a key of the scope admin alone.
//
// Feature: Encrypted export and import
func TestSessionMoves(t *testing.T) {
	t.Parallel()
	number := newSession(t, "moves-on")
	var manager struct{ Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "moves-on", "scopes": []string{"read", "manage"}}, &manager)
	tab := openAs(t, manager.Key, "/sessions/moves-on?tab=settings")
	tab.Sees("Behaviour")
	tab.SeesNot("Move it to another installation")

	tab = open(t, "/sessions/moves-on?tab=settings")
	tab.Sees("It must be stopped first.")
	tab.Click("text=Stop")
	tab.Fill("input[name=export-passphrase]", "too short")
	tab.Await(`document.querySelector('input[name=export-passphrase]').form.querySelector('button').disabled`)
	tab.Run(`const saved = URL.createObjectURL; URL.createObjectURL = (file) => { window.file = file; return saved(file); }`)
	tab.Fill("input[name=export-passphrase]", "five words at random, say")
	tab.Click("text=Export")
	tab.Sees("The file is saved.")
	raw, err := base64.StdEncoding.DecodeString(tab.EvaluatePromise(`file.bytes().then((b) => b.toBase64())`))
	if err != nil || !strings.HasPrefix(string(raw), "age-encryption.org/v1") {
		t.Fatalf("the file begins with %.40q, %v", raw, err)
	}
	file := filepath.Join(t.TempDir(), "moves-on.age")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}

	tab.Click("text=Actions for moves-on")
	tab.Click("[popover] button:last-child")
	tab.Click("input[name=unlink]")
	tab.Fill("input[name=confirm]", "moves-on")
	tab.Click("dialog[open] button[type=submit]")
	tab.Await(`location.pathname === '/sessions'`)
	wantStatus(t, 404, "GET", "/v1/sessions/moves-on")
	var phone struct{ Devices []any }
	if sandbox(t, "GET", "/phones/"+number, nil, &phone); len(phone.Devices) != 1 {
		t.Errorf("the phone has %d linked devices", len(phone.Devices))
	}

	tab.Click("#import-session")
	tab.Upload("input[name=import-file]", file)
	tab.Fill("input[name=import-passphrase]", "five other words, altogether")
	tab.Click("dialog[open] button[type=submit]")
	tab.Sees("it does not open this file")
	tab.Fill("input[name=import-passphrase]", "five words at random, say")
	tab.Click("dialog[open] button[type=submit]")
	tab.Await(`location.pathname === '/sessions/moves-on'`)
	tab.Sees("It rests and receives nothing.")
	tab.Click("text=Start")
	sessionBecomes(t, "moves-on", "connected")
}

// TestSessionsAreFound looks for sessions by text and state, which are in the address, and goes through them by keys. What needs somebody comes first.
func TestSessionsAreFound(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "found-waiting", true)
	newUnlinked(t, "found-resting", false)
	gone := newSession(t, "found-gone")
	sandbox(t, "DELETE", "/phones/"+gone+"/devices", nil, nil)
	sessionBecomes(t, "found-gone", "logged_out")
	sessionBecomes(t, "found-waiting", "qr")
	tab := open(t, "/sessions?q=found-")
	list := `[...document.querySelectorAll('[data-session]')].map((e) => e.dataset.session).join()`
	tab.Await(list + ` === 'found-gone,found-waiting,found-resting'`)
	tab.Sees("The phone unlinked it. Link it again to go on")
	tab.Press("/")
	tab.Fill("input[name=q]", "found-R")
	tab.Await(list + ` === 'found-resting' && location.search.includes('q=found-R')`)
	tab.Fill("input[name=q]", "found-nothing")
	tab.Sees("Nothing matches these filters.")
	tab.Click("text=Clear filters")
	tab.Await(`location.search === ''`)
	tab.Fill("input[name=q]", gone)
	tab.Await(list + ` === 'found-gone'`)
	tab.Fill("input[name=q]", "found-")
	tab.Choose("select[name=state]", "waiting")
	tab.Await(list + ` === 'found-waiting'`)
	tab.Choose("select[name=state]", "")
	tab.Await(list + ` === 'found-gone,found-waiting,found-resting'`)
	tab.Evaluate(`document.activeElement.blur()`)
	tab.Press("j")
	tab.Press("j")
	tab.Press("j")
	tab.Press("k")
	tab.Await(`document.activeElement.closest('[data-session]')?.dataset.session === 'found-waiting'`)
	tab.Press(kb.Enter)
	tab.Await(`location.pathname === '/sessions/found-waiting'`)
	tab.Await(`document.querySelector('nav.tabs [aria-current]').innerText === 'Link'`)
}

// TestNoSessionsYet shows a key for one session, which is not there yet, what it can do: it makes that session, and is refused another.
func TestNoSessionsYet(t *testing.T) {
	t.Parallel()
	var key struct{ ID, Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "maker of one session", "scopes": []string{"read", "manage"}, "sessions": []string{"to-be-made"}}, &key)
	tab := openAs(t, key.Key, "/sessions")
	tab.Sees("Each session is one WhatsApp account.")
	tab.Sees("$CHASQUI_KEY")
	tab.Click("#new-session")
	tab.Fill("input[name=id]", "somebody-elses")
	tab.Click("input[name=start]")
	tab.Click("text=Create session")
	tab.Sees("insufficient_scope")
	tab.Fill("input[name=id]", "to-be-made")
	tab.Click("text=Create session")
	tab.Await(`location.pathname === '/sessions/to-be-made'`)
	t.Cleanup(func() { testdev.Call(t, "DELETE", running.URL+"/v1/sessions/to-be-made", nil, nil) })
	if made := sessionNow(t, "to-be-made"); made.Desired != "stopped" {
		t.Errorf("it is %+v", made)
	}
	tab.Click("nav.rail a[href='/sessions']")
	tab.Sees("It rests and receives nothing. Start it to go on.")
	tab.Click("[data-session=to-be-made] footer button")
	tab.Sees("It shows a QR code. Scan it with the phone.")
	sessionBecomes(t, "to-be-made", "qr")
}

// TestSessionSettings changes settings: what did not change is not sent, what is refused says so at its field, and a proxy's password is kept without being shown.
func TestSessionSettings(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "chosen-for", false)
	must(t, "PATCH", "/v1/sessions/chosen-for", map[string]any{"settings": map[string]any{"proxy": "socks5://someuser:s3cr3t@127.0.0.1:1", "metadata": map[string]string{"team": "north"}}}, nil)
	tab := open(t, "/sessions/chosen-for?tab=settings")
	tab.Await(`document.querySelector('input[name=proxy]')?.value === 'socks5://***@127.0.0.1:1'`)
	tab.Await(`document.querySelector('form button[type=submit]').disabled`)
	tab.Fill("input[name=name]", "Chosen for")
	tab.Click("input[name=markRead]")
	tab.Choose("select[name=presence]", "available")
	tab.Click("input[name=rejectCalls]")
	tab.Fill("textarea[name=callText]", "Please write.")
	tab.Click("input[name=ignore-groups]")
	tab.Click("input[name=pace]")
	tab.Fill("input[name=pace-min]", "9")
	tab.Fill("input[name=pace-max]", "4")
	tab.Click("input[name=window]")
	tab.Fill("input[name=timeZone]", "America/Lima")
	tab.Click("input[name=day-mon]")
	tab.Sees("6 changes")
	tab.Click("text=Save changes")
	tab.Sees("expected no less than minSeconds")
	tab.Await(`document.querySelector('input[name=pace-max]').getAttribute('aria-invalid') === 'true'`)
	if had := sessionNow(t, "chosen-for"); had.Name != "" || had.Settings["markRead"] != nil {
		t.Errorf("what was refused changed it to %+v", had)
	}
	tab.Fill("input[name=pace-max]", "12")
	tab.Click("text=Save changes")
	tab.Sees("Saved")
	now := sessionNow(t, "chosen-for")
	got, err := json.Marshal(now.Settings)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"calls":{"reject":true,"text":"Please write."},"ignore":{"groups":true},"markRead":true,"metadata":{"team":"north"},"presence":"available","proxy":"socks5://***@127.0.0.1:1",` +
		`"sending":{"pace":{"maxSeconds":12,"minSeconds":9},"window":{"days":["mon"],"from":"09:00","timeZone":"America/Lima","to":"19:00"}}}`
	if string(got) != want || now.Name != "Chosen for" {
		t.Errorf("it is %s with %s", now.Name, got)
	}
	var log struct{ Data []struct{ Settings []string } }
	must(t, "GET", "/v1/sessions/chosen-for/log", nil, &log)
	if sent := strings.Join(log.Data[0].Settings, " "); sent != "calls ignore markRead name presence sending" {
		t.Errorf("what was sent is %s", sent)
	}
	// A part of the hidden proxy is refused; none takes it away.
	tab.Fill("input[name=proxy]", "socks5://***@127.0.0.1:2")
	tab.Click("text=Save changes")
	tab.Sees("expected the whole URL")
	tab.Fill("input[name=proxy]", "")
	tab.Click("input[name=pace]")
	tab.Click("input[name=window]")
	tab.Click("text=Save changes")
	tab.Sees("Saved")
	eventually(t, "the proxy to go", func() error {
		if now := sessionNow(t, "chosen-for").Settings; now["proxy"] != nil || now["sending"] == nil {
			return fmt.Errorf("the settings are %v", now)
		}
		return nil
	})
	// The log has it, and what happens next comes by itself.
	tab.Click("nav.tabs a:nth-child(3)")
	tab.Sees("Settings changed")
	must(t, "POST", "/v1/sessions/chosen-for/start", nil, nil)
	tab.Sees("Waiting for a scan")
	tab.Click("nav.tabs a:nth-child(4)")
	tab.Sees("Nothing stands out in how the account writes.")
	tab.Sees("Nothing waits.")
}

// TestReaderSeesNoActions looks at sessions with a key that may read one: there is nothing to do, and no other session.
func TestReaderSeesNoActions(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "read-only", true)
	newUnlinked(t, "not-mine", false)
	var key struct{ ID, Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "reader of sessions", "scopes": []string{"read"}, "sessions": []string{"read-only"}}, &key)
	sessionBecomes(t, "read-only", "qr")
	tab := openAs(t, key.Key, "/sessions")
	tab.Sees("read-only")
	tab.SeesNot("not-mine")
	none := `!document.querySelector('#new-session, main [popovertarget], main form')`
	tab.Await(none)
	tab.Click("text=Open")
	tab.Sees("A key with the scope “manage” can link a phone here.")
	tab.Await(none + ` && !document.querySelector('[data-qr]')`)
	tab.Click("nav.tabs a:nth-child(2)")
	tab.Sees("This key may look at settings, not change them.")
	tab.Await(`document.querySelector('input[name=name]').matches(':disabled') && !document.querySelector('main button[type=submit]')`)
	tab.Go(running.URL + "/sessions/not-mine")
	signIn(tab, key.Key)
	tab.Sees("There is no such session")
}
