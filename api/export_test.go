package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/backup"
	"github.com/chasqui/chasqui/infra/signalstore"
)

const exportPassphrase = "five words at random, ñ"

// withDevices is a fixture whose database has the devices' schema.
func withDevices(t *testing.T) *fixture {
	t.Helper()
	f := setup(t, func(c *Config) { c.SignalSchema = "whatsmeow" })
	store, err := signalstore.Open(t.Context(), signalstore.Config{DSN: f.config.DSN, Schema: "whatsmeow", Keys: testKeys})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) importing(file, passphrase string, headers ...string) answer {
	return f.do("POST", "/v1/session-imports", form(part{"passphrase", "", passphrase}, part{"file", `; filename="sales.age"`, file}), append(slices.Clone(multipartType), headers...)...)
}

// Feature: Encrypted export and import
func TestExportAndImport(t *testing.T) {
	t.Parallel()
	f := withDevices(t)
	sales := f.session("sales")
	f.session("other")
	wish := map[string]string{"passphrase": exportPassphrase}
	f.problem(f.do("POST", "/v1/sessions/nobody/export", wish), SessionNotFound)
	f.problem(f.do("POST", sales+"/export", wish), SessionNotStopped)
	f.problem(f.do("POST", sales+"/export", map[string]string{"passphrase": "short"}), ValidationFailed)
	f.claim("sales")
	f.must(202, nil, "POST", sales+"/stop", nil)
	if p := f.problem(f.do("POST", sales+"/export", wish), SessionNotStopped); !strings.Contains(p.Detail, "let go") {
		t.Errorf("held: %+v", p)
	}
	f.exec("DELETE FROM claims")
	f.must(200, nil, "PATCH", sales, `{"name":"Ventas ñ","settings":{"metadata":{"team":"sales"},"proxy":"socks5://user:hidden-password@203.0.113.9:1080"}}`)
	f.exec("INSERT INTO contacts (session_id, id, phone, name) VALUES ('sales', '5491123456789@s.whatsapp.net', '5491123456789', 'Ana'), ('other', 'x', NULL, '')")
	a := f.must(200, nil, "POST", sales+"/export", wish)
	file := string(a.body)
	if want := fmt.Sprintf(`attachment; filename="sales-%s.age"`, time.Now().UTC().Format("20060102")); a.Header.Get("Content-Disposition") != want || !strings.HasPrefix(file, "age-encryption.org/v1") || a.Header.Get("Content-Type") != exportType {
		t.Errorf("%v %.40q", a.Header, file)
	}
	if f.count("audit_log WHERE operation = 'export-session' AND session_id = 'sales'") != 1 {
		t.Error("the audit log has not the one export that was made")
	}

	// Elsewhere it is the same session, stopped, and with nobody of another.
	to := withDevices(t)
	cut := file[:len(file)-20]
	for name, c := range map[string]struct{ file, passphrase, place, says string }{
		"another passphrase": {file, "five other words, altogether", "body.passphrase", "does not open"},
		"a short one":        {file, "short", "body.passphrase", "12 to 1024"},
		"something else":     {"%PDF-1.7", exportPassphrase, "body.file", "the file of an export"},
		"one cut short":      {cut, exportPassphrase, "body.file", "damaged or cut short"},
	} {
		if p := to.problem(to.importing(c.file, c.passphrase), ValidationFailed); len(p.Errors) != 1 || p.Errors[0].Location != c.place || !strings.Contains(p.Errors[0].Message, c.says) {
			t.Errorf("%s: %+v", name, p)
		}
	}
	to.problem(to.do("POST", "/v1/session-imports", form(part{"passphrase", "", exportPassphrase}), multipartType...), ValidationFailed)
	to.problem(to.do("POST", "/v1/session-imports", form(part{"passphrase", "", exportPassphrase}, part{"file", "", file}, part{"more", "", "x"}), multipartType...), ValidationFailed)
	to.problem(to.do("POST", "/v1/session-imports", "{}"), UnsupportedMediaType)
	if to.count("sessions")+to.count("queue_messages")+to.count("audit_log") != 0 {
		t.Fatalf("a file that is refused leaves something: %s", to.written())
	}
	var session events.Session
	first := to.importing(file, exportPassphrase, "Idempotency-Key", "k")
	to.must(200, &session, "GET", "/v1/sessions/sales", nil)
	if first.StatusCode != 201 || first.Header.Get("Location") != "/v1/sessions/sales" || session.State != events.StateStopped || session.Desired != events.DesiredStopped || session.Name != "Ventas ñ" ||
		session.Settings.Metadata["team"] != "sales" || to.count("sessions") != 1 || to.count("contacts") != 1 || len(to.published()) != 1 {
		t.Errorf("%d %s, session %+v", first.StatusCode, first.body, session)
	}
	var proxy string
	if err := to.db.QueryRow(t.Context(), "SELECT settings ->> 'proxy' FROM sessions").Scan(&proxy); err != nil || strings.Contains(proxy, "hidden-password") {
		t.Errorf("the proxy is stored as %q, %v", proxy, err)
	}
	if again := to.importing(file, exportPassphrase, "Idempotency-Key", "k"); again.StatusCode != 201 || again.Header.Get("Idempotency-Replayed") != "true" || string(again.body) != string(first.body) {
		t.Errorf("repeated: %d %v %s", again.StatusCode, again.Header, again.body)
	}
	to.problem(to.importing(file, exportPassphrase), SessionAlreadyExists)

	for _, log := range []string{f.log.String(), to.log.String()} {
		if strings.Contains(log, exportPassphrase) || strings.Contains(log, "hidden-password") {
			t.Errorf("a secret is in the log: %s", log)
		}
	}
}

func TestAFileOfSeveralSessionsIsNotImported(t *testing.T) {
	t.Parallel()
	f := withDevices(t)
	f.session("sales")
	f.session("other")
	var file strings.Builder
	if _, err := backup.Write(t.Context(), f.archive(exportPassphrase), &file); err != nil {
		t.Fatal(err)
	}
	if p := f.problem(f.importing(file.String(), exportPassphrase), ValidationFailed); !strings.Contains(p.Errors[0].Message, "chasqui restore") {
		t.Errorf("%+v", p)
	}
}

func TestOneExportAtATime(t *testing.T) {
	t.Parallel()
	f := withDevices(t)
	f.session("sales")
	f.must(202, nil, "POST", "/v1/sessions/sales/stop", nil)
	f.carrying <- struct{}{}
	waits := make(chan answer, 1)
	go func() {
		waits <- f.do("POST", "/v1/sessions/sales/export", map[string]string{"passphrase": exportPassphrase})
	}()
	f.eventually("the entry of the audit log", func() bool { return f.count("audit_log WHERE operation = 'export-session'") == 1 })
	select {
	case a := <-waits:
		t.Errorf("a second one is made beside the first: %d", a.StatusCode)
	default:
	}
	<-f.carrying
	if a := <-waits; a.StatusCode != 200 {
		t.Errorf("after the first: %d %s", a.StatusCode, a.body)
	}
}
