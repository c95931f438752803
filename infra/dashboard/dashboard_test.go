// Package dashboard shows what the dashboard does: each test uses it in a real Chromium as a person would, against `chasqui dev` and its simulated WhatsApp, and looks at what
// came of it at the API and at the phone.
package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testbrowser"
	"github.com/chasqui/chasqui/infra/testdev"
	"github.com/chasqui/chasqui/infra/testpoll"
)

// running is the program under test.
var running = &testdev.Running

func TestMain(m *testing.M) { os.Exit(testdev.Main(m)) }

// must sends a request to the API and wants it to be accepted.
func must(t *testing.T, method, path string, in, out any, header ...string) {
	t.Helper()
	if status, raw := testdev.Call(t, method, running.URL+path, in, out, header...); status >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %d: %s", method, path, status, raw)
	}
}

// sandbox sends a request to the sandbox and wants it to be accepted.
func sandbox(t *testing.T, method, path string, in, out any) {
	t.Helper()
	if status, raw := testdev.Call(t, method, running.SandboxURL+path, in, out); status >= http.StatusMultipleChoices {
		t.Fatalf("sandbox: %s %s: %d: %s", method, path, status, raw)
	}
}

// patience is how long a test waits for one thing.
const patience = 60 * time.Second

// errNotYet is for what has no better reason.
var errNotYet = errors.New("not yet")

// eventually polls until cond answers nil.
func eventually(t *testing.T, what string, cond func() error) {
	t.Helper()
	if err := testpoll.Until(patience, cond); err != nil {
		t.Fatalf("waited %s for %s: %v", patience, what, err)
	}
}

// numbers are of phones that no other test has.
var numbers atomic.Int64

// newNumber returns a number that nobody has.
func newNumber() string { return strconv.FormatInt(5491170000000+numbers.Add(1), 10) }

// newPhone makes a simulated phone, and returns its number.
func newPhone(t *testing.T, name string, options ...any) string {
	t.Helper()
	number := newNumber()
	phone := map[string]any{"number": number, "name": name}
	for i := 0; i+1 < len(options); i += 2 {
		phone[options[i].(string)] = options[i+1]
	}
	sandbox(t, "POST", "/phones", phone, nil)
	return number
}

// newSession makes a session that is linked to a phone of its own, and returns its phone's number.
func newSession(t *testing.T, id string) (number string) {
	t.Helper()
	number = newPhone(t, "Owner of "+id)
	link(t, id, number)
	return number
}

// link makes a session, and links it to a phone.
func link(t *testing.T, id, number string) {
	t.Helper()
	must(t, "POST", "/v1/sessions", map[string]any{"id": id}, nil)
	var code struct{ QR string }
	must(t, "GET", "/v1/sessions/"+id+"/qr?wait=30", nil, &code)
	sandbox(t, "POST", "/phones/"+number+"/scan", map[string]string{"qr": code.QR}, nil)
	eventually(t, id+" to be connected", func() error {
		var session struct{ State string }
		must(t, "GET", "/v1/sessions/"+id, nil, &session)
		if session.State != "connected" {
			return fmt.Errorf("it is %s", session.State)
		}
		return nil
	})
	t.Cleanup(func() {
		if !t.Failed() {
			testdev.Call(t, "DELETE", running.URL+"/v1/sessions/"+id, nil, nil)
		}
	})
}

// open opens a page of the dashboard in a browser of its own, signed in with the owner's key.
func open(t *testing.T, path string) *testbrowser.Tab {
	t.Helper()
	return openAs(t, running.APIKey, path)
}

// openAs does the same with another key.
func openAs(t *testing.T, key, path string) *testbrowser.Tab {
	t.Helper()
	tab := testbrowser.Open(t)
	enter(tab, key, path)
	return tab
}

// enter opens a page in a tab, and signs in.
func enter(tab *testbrowser.Tab, key, path string) {
	tab.Go(running.URL + path)
	signIn(tab, key)
}

// signIn fills the form of a tab that was loaded anew.
func signIn(tab *testbrowser.Tab, key string) {
	tab.Fill("#key", key)
	tab.Click("form button[type=submit]")
	tab.Await(`!document.querySelector('#key') && !!document.querySelector('h1')`)
}

// contains says whether a text holds one of some others.
func contains(text string, others ...string) bool {
	for _, other := range others {
		if strings.Contains(text, other) {
			return true
		}
	}
	return false
}
