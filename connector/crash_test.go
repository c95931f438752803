package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// crash is where things go wrong with an incoming message, and how.
type crash struct {
	name  string
	point string // of the triggers below; "" for none
	// raise says that the statements fail there, instead of the process dying in the middle of them.
	raise bool
	// silent says that the process dies when WhatsApp has not got the receipt that it sent.
	silent bool
	// panics says that the handler does.
	panics bool
	// corrupt says that the message comes damaged first, and again when the phone is asked for it.
	corrupt bool
}

var crashes = []crash{
	{name: "while it is decrypted", point: "decrypted"},
	{name: "when the decryption is committed", point: "written"},
	{name: "before the commit", point: "committing"},
	{name: "after the commit", point: "cleared"},
	{name: "after the receipt has left", point: "cleared", silent: true},
	{name: "with an error of the store while it is decrypted", point: "decrypted", raise: true},
	{name: "with an error of the database in the handler", point: "committing", raise: true},
	{name: "with an error of the store after the commit", point: "cleared", raise: true},
	{name: "with a panic of the handler", panics: true},
	{name: "undecryptable", corrupt: true},
	{name: "undecryptable, and before the notice is committed", corrupt: true, point: "committing"},
	{name: "undecryptable, and after the notice is committed", corrupt: true, point: "resent"},
}

// crashLock is what the triggers wait for.
const crashLock = 4711

// armed makes triggers at the points of crashes. Each does nothing until its point is in crash_at; then it fails, or waits for crashLock.
func (b *bench) armed() {
	b.Helper()
	b.exec(`CREATE TABLE crash_at (point text PRIMARY KEY, raise boolean NOT NULL)`)
	b.exec(`CREATE SEQUENCE crash_raised`)
	b.exec(fmt.Sprintf(`CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE fails boolean; BEGIN
		SELECT raise INTO fails FROM public.crash_at WHERE point = TG_ARGV[0];
		IF fails THEN PERFORM nextval('public.crash_raised'); RAISE 'the test wants it so';
		ELSIF FOUND THEN PERFORM pg_advisory_xact_lock(%d); END IF;
		RETURN NEW; END $$`, crashLock))
	for _, sql := range []string{
		`CREATE TRIGGER crash BEFORE INSERT ON whatsmeow.whatsmeow_event_buffer FOR EACH ROW EXECUTE FUNCTION crash('decrypted')`,
		`CREATE TRIGGER crash BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION crash('written')`,
		`CREATE CONSTRAINT TRIGGER crash_commit AFTER INSERT OR UPDATE ON messages DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crash('committing')`,
		`CREATE TRIGGER crash_resent BEFORE INSERT ON whatsmeow.whatsmeow_event_buffer FOR EACH ROW EXECUTE FUNCTION crash('resent')`,
		`CREATE TRIGGER crash_clear BEFORE UPDATE ON whatsmeow.whatsmeow_event_buffer FOR EACH ROW WHEN (NEW.plaintext IS NULL) EXECUTE FUNCTION crash('cleared')`,
	} {
		b.exec(sql)
	}
}

// letter is a kind of incoming message, by the way it is encrypted.
type letter struct {
	name string
	enc  []string // types of its ciphertexts
	// stranger says that each message comes from somebody new; group that it goes to a group; media that it has a file.
	stranger, group, media bool
}

var letters = []letter{
	{name: "text in a chat", enc: []string{"msg"}},
	{name: "text in a group", enc: []string{"msg", "skmsg"}, group: true},
	{name: "media", enc: []string{"msg"}, media: true},
	{name: "first message of a session", enc: []string{"pkmsg"}, stranger: true},
}

// matrix is a session with those who write to it.
type matrix struct {
	*bench
	letter
	c     *Connector
	panic atomic.Bool
	to    string // whom Juan writes to
	chat  string // where that is shown
	from  string
	count int
}

func TestACrashAtAnyPointEndsInOneEvent(t *testing.T) {
	t.Parallel()
	for _, l := range letters {
		for _, another := range []bool{false, true} {
			name := l.name + ", the same connector recovers"
			if another {
				name = l.name + ", another connector takes over"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m := &matrix{bench: setup(t), letter: l, from: juan, to: owner, chat: juan + "@" + events.PhoneServer}
				m.armed()
				m.c = m.start()
				m.phone(juan, "Juan")
				m.linked("sales", owner)
				if l.group {
					group, err := m.sandbox.CreateGroup(m.ctx(), juan, sandbox.NewGroup{Subject: "Crew", Participants: []string{owner}})
					if err != nil {
						t.Fatal(err)
					}
					m.to, m.chat = group.JID, group.JID
				}
				if !l.stranger { // once he has an answer, his messages do not begin the session any more
					m.fromPhone(juan, owner, "hello")
					m.awaitStatus(m.send("sales", juan, "hello"), events.StatusDelivered)
				}
				for _, c := range crashes {
					m.run(c, another)
				}
			})
		}
	}
}

// start starts a connector whose handler panics when it is told to.
func (m *matrix) start() *Connector {
	m.Helper()
	c := m.prepared()
	c.handling = func(evt any) {
		if _, ok := evt.(*waevents.Message); ok && m.panic.Swap(false) {
			panic("the test wants it so")
		}
	}
	if err := c.Start(m.ctx()); err != nil {
		m.Fatal(err)
	}
	return c
}

// write sends one message of the kind and returns what its event has to say.
func (m *matrix) write(what string) (id, said string) {
	m.Helper()
	m.count++
	said = fmt.Sprintf("%s %d", what, m.count)
	if !m.media {
		return m.fromPhone(m.from, m.to, said), said
	}
	id, err := m.sandbox.SendMedia(m.ctx(), m.from, sandbox.Outgoing{
		To: m.to, Content: sandbox.Content{Type: "document"}, File: sandbox.File{Mimetype: "application/pdf", Caption: said, FileName: "a.pdf"},
	}, bytes.NewReader([]byte(said)))
	if err != nil {
		m.Fatal(err)
	}
	return id, said
}

// run lets one message meet one crash.
func (m *matrix) run(c crash, another bool) {
	m.Helper()
	var want []string
	if m.stranger {
		m.from = fmt.Sprint(5491144000000 + m.count)
		m.chat = m.from + "@" + events.PhoneServer
		m.phone(m.from, "Stranger")
	} else {
		_, said := m.write("before")
		want = append(want, said)
	}
	m.await("the message before", func() bool { return len(m.told(want)) == len(want) && m.sandbox.Queued(owner) == 0 })

	hold, err := pgx.Connect(m.ctx(), m.dsn)
	if err != nil {
		m.Fatal(err)
	}
	defer hold.Close(m.ctx())
	if _, err := hold.Exec(m.ctx(), fmt.Sprintf(`SELECT pg_advisory_lock(%d)`, crashLock)); err != nil {
		m.Fatal(err)
	}
	raised := one[int64](m.bench, `SELECT last_value FROM crash_raised`)
	if c.corrupt {
		m.sandbox.SetFaults(server.Faults{Corrupt: server.Sometimes{Rate: 1, Count: 1}})
	}
	if c.point != "" {
		m.exec(`INSERT INTO crash_at VALUES ($1, $2)`, c.point, c.raise)
	}
	m.panic.Store(c.panics)
	id, said := m.write("cut")
	want = append(want, said)
	switch {
	case c.raise:
		m.await("an error", func() bool { return one[int64](m.bench, `SELECT last_value FROM crash_raised`) > raised })
	case c.point != "":
		m.await("the point "+c.point, m.stopped)
	case c.panics:
		m.await("the panic", func() bool { return !m.panic.Load() })
	case c.corrupt:
		m.await("the notice or the resend", func() bool {
			return one[int](m.bench, `SELECT count(*)::int FROM messages WHERE whatsapp_id = $1`, id) == 1
		})
	}
	_, after := m.write("after")
	want = append(want, after)
	if c.silent {
		m.sandbox.SetFaults(server.Faults{Silence: true})
		m.exec(`DELETE FROM crash_at`)
		if _, err := hold.Exec(m.ctx(), `SELECT pg_advisory_unlock_all()`); err != nil {
			m.Fatal(err)
		}
		m.await("the end of the message", func() bool {
			return one[int](m.bench, `SELECT count(*)::int FROM whatsmeow.whatsmeow_event_buffer WHERE plaintext IS NOT NULL`) == 0
		})
	}
	switch {
	case another:
		m.abandon(m.c)
		m.exec(`UPDATE claims SET expires_at = now()`)
		m.exec(`DELETE FROM crash_at`)
	case c.silent:
		m.sandbox.Disconnect(owner)
	default: // the database breaks off
		m.exec(`DELETE FROM crash_at`)
		m.exec(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	}
	m.sandbox.SetFaults(server.Faults{})
	if _, err := hold.Exec(m.ctx(), `SELECT pg_advisory_unlock_all()`); err != nil {
		m.Fatal(err)
	}
	if another {
		m.c = m.start()
	} else {
		m.exec(`UPDATE sessions SET restarts = restarts + 1`) // it does not wait
	}
	m.await(fmt.Sprintf("the messages after a crash %s: %q of %q, %d queued", c.name, m.told(want), want, m.sandbox.Queued(owner)), func() bool {
		return len(m.told(want)) >= len(want) && m.sandbox.Queued(owner) == 0
	})
	got := m.told(nil)
	got = got[max(0, len(got)-len(want)):]
	if c.corrupt { // it comes when it is sent again, which may be later than what follows it
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		m.Errorf("%s: told %q, want %q", c.name, got, want)
	}
	if n := len(slices.DeleteFunc(m.told(nil), func(s string) bool { return s != said })); n != 1 {
		m.Errorf("%s: %d events", c.name, n)
	}
	if n := one[int](m.bench, `SELECT count(*)::int FROM messages WHERE whatsapp_id = $1 AND type <> 'undecryptable'`, id); n != 1 {
		m.Errorf("%s: %d rows", c.name, n)
	}
	if n := one[int](m.bench, `SELECT count(*)::int FROM messages WHERE type = 'undecryptable'`); n != 0 {
		m.Errorf("%s: %d messages are undecryptable", c.name, n)
	}
	if got := m.encryption(id); !slices.Equal(got, m.enc) {
		m.Errorf("%s: the message was encrypted as %q, want %q", c.name, got, m.enc)
	}
}

// stopped says whether a statement waits at its point.
func (b *bench) stopped() bool {
	return one[bool](b, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = $1
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`, crashLock)
}

// told are the contents of the events of the chat, in order; with some given, those among them.
func (m *matrix) told(among []string) (said []string) {
	m.Helper()
	for _, e := range m.events(events.MessageReceived) {
		content := e.Data.Message.Content
		text := content.Text
		if m.media && content.Type == "document" {
			text = content.Caption
		}
		if e.Data.Message.ChatID == m.chat && (among == nil || slices.Contains(among, text)) {
			said = append(said, text)
		}
	}
	return said
}

// encryption is how the ciphertexts of a message were encrypted when it was first sent to the session's device.
func (m *matrix) encryption(id string) (types []string) {
	m.Helper()
	answer, err := http.Get(m.sandbox.URL() + "/transcript")
	if err != nil {
		m.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := json.NewDecoder(answer.Body); ; {
		var e server.Entry
		if err := lines.Decode(&e); err == io.EOF {
			return nil
		} else if err != nil {
			m.Fatal(err)
		}
		if e.Direction != "out" || e.Stanza.Tag != "message" || e.Stanza.Attrs["id"] != id || !strings.HasPrefix(e.Device, owner+":") {
			continue
		}
		for _, child := range e.Stanza.Children {
			if child.Tag == "enc" {
				types = append(types, child.Attrs["type"].(string))
			}
		}
		return types
	}
}
