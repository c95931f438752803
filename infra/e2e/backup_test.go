package e2e

import (
	"errors"
	"fmt"
	"mime/multipart"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// moveTo creates a database on the stack's server for the roles that start from now on; what the sandbox has stays where it is.
func (s *stack) moveTo(t *testing.T, name string) (dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.pg.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(s.pg.DSN())
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	s.env = append(s.env, "DATABASE_URL="+address.String())
	return address.String()
}

// done runs a command that has to succeed.
func done(t *testing.T, variables map[string]string, arguments ...string) (out string) {
	t.Helper()
	status, out, errOut := chasqui(t, variables, arguments...)
	if status != 0 {
		t.Fatalf("chasqui %s: status %d: %s", strings.Join(arguments, " "), status, errOut)
	}
	return out
}

// send sends a text from a session and waits until a phone shows it.
func send(t *testing.T, api, sandbox client, session, to, text string) {
	t.Helper()
	began := time.Now()
	api.must(t, "POST", "/v1/sessions/"+session+"/messages", map[string]any{"to": to, "content": map[string]string{"type": "text", "text": text}}, nil)
	eventually(t, 30*time.Second, "phone "+to+" to show "+text, func() error {
		all, err := shown(sandbox, to)
		for _, m := range all {
			if !m.FromMe && m.Text == text {
				return nil
			}
		}
		return fmt.Errorf("not among %d messages, %v", len(all), err)
	})
	t.Logf("%s: shown after %s", text, time.Since(began).Round(time.Millisecond))
}

// receive sends a text from a phone to a session's number, waits until it is an event, and returns its id.
func receive(t *testing.T, api, sandbox client, from, number, session, text string) string {
	t.Helper()
	began := time.Now()
	var m struct{ ID string }
	sandbox.must(t, "POST", "/phones/"+from+"/messages", map[string]string{"to": number, "type": "text", "text": text}, &m)
	eventually(t, 30*time.Second, "session "+session+" to receive "+text, func() error {
		all, err := eventLog(api)
		for _, e := range all {
			if e.Type == "message.received" && e.SessionID == session && e.Data.Message.Content.Text == text {
				return nil
			}
		}
		return fmt.Errorf("not among %d events, %v", len(all), err)
	})
	t.Logf("%s: received after %s", text, time.Since(began).Round(time.Millisecond))
	return m.ID
}

// converse does both.
func converse(t *testing.T, api, sandbox client, session, number, other, about string) {
	t.Helper()
	send(t, api, sandbox, session, other, about+" out")
	receive(t, api, sandbox, other, number, session, about+" in")
}

// TestARestoredBackupReconnectsWithoutAQRCode loses everything but the sandbox and one file. The original goes on for a while after the
// backup, so that the keys in it are not the latest: that is how a backup is when it is needed.
//
// Feature: Encrypted export and import
func TestARestoredBackupReconnectsWithoutAQRCode(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	phones := map[string]string{"shop": business, "sales": "5491150000002"}
	file := filepath.Join(s.dir, "backup.age")
	key := strings.Repeat("e2", 32)
	s.env = append(s.env, "ENCRYPTION_KEY="+key)
	with := func(dsn string) map[string]string {
		return map[string]string{"DATABASE_URL": dsn, "ENCRYPTION_KEY": key, "BACKUP_PASSPHRASE": "five words at random here", "BACKUP_FILE": file}
	}
	first := s.moveTo(t, "first")
	done(t, with(first), "migrate")
	s.startAll(t)
	s.subscribe(t, "chat")
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(1), "name": "Customer"}, nil)
	for session, number := range phones {
		link(t, s.api, s.sandbox, session, number)
		converse(t, s.api, s.sandbox, session, number, customer(1), session+" before")
	}
	began := time.Now()
	done(t, with(first), "backup")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	} else {
		t.Logf("two sessions: %d bytes in %s", info.Size(), time.Since(began).Round(time.Millisecond))
	}
	if status, _, errOut := chasqui(t, with(first), "backup"); status != 1 || !strings.Contains(errOut, "never overwritten") {
		t.Errorf("over a backup: status %d: %s", status, errOut)
	}
	for session, number := range phones {
		for i := range 3 {
			converse(t, s.api, s.sandbox, session, number, customer(1), fmt.Sprintf("%s after %d", session, i))
		}
	}
	stop := func() {
		for _, role := range []string{"connector", "dispatcher", "api"} {
			s.procs[role].kill9(t)
		}
	}
	stop()

	// Where it is restored there is another key: the file does not need the one that is lost.
	key = strings.Repeat("0d", 32)
	s.env = append(s.env, "ENCRYPTION_KEY="+key)
	second := s.moveTo(t, "second")
	wrong := with(second)
	wrong["BACKUP_PASSPHRASE"] = "five other words altogether"
	if status, _, errOut := chasqui(t, wrong, "restore"); status != 1 || !strings.Contains(errOut, "BACKUP_PASSPHRASE does not open") {
		t.Errorf("a wrong passphrase: status %d: %s", status, errOut)
	}
	done(t, with(second), "restore", "--only", "sales")
	s.startAll(t)
	began = time.Now()
	awaitState(t, s.api, "sales", "connected", 30*time.Second)
	t.Logf("sales, restored before the roles started, is connected %s after the API answers", time.Since(began).Round(time.Millisecond))
	done(t, with(second), "restore", "--only", "shop")
	began = time.Now()
	awaitState(t, s.api, "shop", "connected", 5*time.Second)
	t.Logf("shop, restored beside a running connector, is connected after %s", time.Since(began).Round(time.Millisecond))
	if status, _, errOut := chasqui(t, with(second), "restore"); status != 1 || !strings.Contains(errOut, "session sales, session shop") {
		t.Errorf("a second time: status %d: %s", status, errOut)
	}
	// What a phone sends for the old Signal session is asked for again.
	id := receive(t, s.api, s.sandbox, customer(1), phones["sales"], "sales", "sales restored, first in")
	for session, number := range phones {
		converse(t, s.api, s.sandbox, session, number, customer(1), session+" restored")
	}
	eventually(t, 30*time.Second, "the webhook that was restored", func() error {
		if ids, _ := s.receiver.received(); len(ids[id]) != 1 {
			return fmt.Errorf("message %s came under %d webhook ids", id, len(ids[id]))
		}
		return nil
	})
	s.receiver.check(t)

	// One of them moves on by the API, to a third place.
	var export []byte
	s.api.must(t, "POST", "/v1/sessions/sales/stop", nil, nil)
	awaitState(t, s.api, "sales", "stopped", 30*time.Second)
	s.api.must(t, "POST", "/v1/sessions/sales/export", map[string]string{"passphrase": "five words for one session"}, &export)
	stop()
	key = strings.Repeat("7c", 32)
	s.env = append(s.env, "ENCRYPTION_KEY="+key)
	done(t, with(s.moveTo(t, "third")), "migrate")
	s.startAll(t)
	var moved struct{ State, Phone string }
	err := s.api.form("/v1/session-imports", &moved, func(form *multipart.Writer) error {
		part, err := form.CreateFormFile("file", "sales.age")
		if err == nil {
			_, err = part.Write(export)
		}
		return errors.Join(err, form.WriteField("passphrase", "five words for one session"))
	})
	if err != nil || moved.State != "stopped" || moved.Phone != phones["sales"] {
		t.Fatalf("imported as %+v: %v", moved, err)
	}
	s.api.must(t, "POST", "/v1/sessions/sales/start", nil, nil)
	awaitState(t, s.api, "sales", "connected", 30*time.Second)
	converse(t, s.api, s.sandbox, "sales", phones["sales"], customer(1), "sales moved")
	stop()

	// The same file into an embedded PostgreSQL, and a backup of it through a pipe while `up` runs there.
	data := filepath.Join(s.dir, "data")
	with2 := with("")
	done(t, with2, "restore", "--data", data)
	readyFile := filepath.Join(s.dir, "up.json")
	up := spawn(t, "up", s.dir, append(s.env, "DATABASE_URL=", "SANDBOX_PORT=0"), binary, "up", "--data", data, "--ready-file", readyFile)
	up.awaitReady(t, readyFile, time.Minute)
	for session, number := range phones {
		awaitState(t, s.api, session, "connected", 30*time.Second)
		converse(t, s.api, s.sandbox, session, number, customer(1), session+" in one process")
	}
	if out := done(t, with2, "backup", "--data", data, "--file", "-"); !strings.HasPrefix(out, "age-encryption.org/v1\n") {
		t.Errorf("standard output begins with %.40q", out)
	}
	if status, _, errOut := chasqui(t, with2, "backup", "--data", filepath.Join(s.dir, "none"), "--file", "-"); status != 1 || !strings.Contains(errOut, "--data") {
		t.Errorf("no data directory: status %d: %s", status, errOut)
	}
}
