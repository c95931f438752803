package connector

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// heldLock is the advisory lock at which statements stop that a gate holds up.
const heldLock = 5

// gate stops statements on their way, until it is opened or the one that waits is broken off.
type gate struct {
	*bench
	conn *pgx.Conn
}

// gate makes a trigger at which a statement waits while the gate is shut, for each `table "BEFORE UPDATE" ... WHEN (...)` given.
func (b *bench) gate(triggers ...string) *gate {
	b.Helper()
	b.exec(fmt.Sprintf(`CREATE FUNCTION public.held() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM pg_advisory_xact_lock_shared(%d); IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$`, heldLock))
	for i, t := range triggers {
		b.exec(fmt.Sprintf("CREATE TRIGGER held%d %s EXECUTE FUNCTION public.held()", i, t))
	}
	conn, err := pgx.Connect(b.ctx(), b.dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &gate{b, conn}
}

func (g *gate) do(call string) {
	g.Helper()
	if _, err := g.conn.Exec(g.ctx(), fmt.Sprintf("SELECT %s(%d)", call, heldLock)); err != nil {
		g.Fatal(err)
	}
}

func (g *gate) shut() { g.do("pg_advisory_lock") }
func (g *gate) open() { g.do("pg_advisory_unlock") }

const atGate = ` FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 5
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

// await waits until a statement stands at the gate.
func (g *gate) await() {
	g.Helper()
	g.bench.await("a statement at the gate", func() bool { return one[int](g.bench, `SELECT count(*)::int`+atGate) > 0 })
}

// breakOff ends the connections whose statement stands at the gate; their transactions are gone.
func (g *gate) breakOff() {
	g.Helper()
	one[int](g.bench, `SELECT count(pg_terminate_backend(pid))::int`+atGate)
}

// seen are the texts and captions on a phone.
func (b *bench) seen(number string) (texts []string) {
	b.Helper()
	list, err := b.sandbox.Messages(b.ctx(), number, 0, 0)
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range list {
		if m.Media != nil {
			m.Text = m.Caption
		}
		texts = append(texts, m.Text)
	}
	return texts
}

// told are the texts and captions of the messages that were told to be sent.
func (b *bench) told() (texts []string) {
	b.Helper()
	for _, e := range b.events(events.MessageSent) {
		texts = append(texts, e.Data.Message.Content.Text+e.Data.Message.Content.Caption)
	}
	return texts
}

// kill ends a connector whose statement stands at the gate, as kill -9 does.
func (g *gate) kill(c *Connector) {
	g.Helper()
	for _, s := range c.running() {
		s.cancel(errClaimLost)
	}
	g.breakOff()
	g.abandon(c)
}

// points are the places of a send at which a process may die.
var points = []struct {
	name    string
	trigger []string
	faults  server.Faults
}{
	{name: "before the message is marked", trigger: []string{
		`BEFORE UPDATE ON messages FOR EACH ROW WHEN (OLD.status = 'queued' AND NEW.status = 'sending')`,
	}},
	{name: "marked, and nothing has left", trigger: []string{ // whatsmeow stores the ratchet before it sends (send.go, encryptMessageForDevices)
		`BEFORE INSERT OR UPDATE ON whatsmeow.whatsmeow_sessions FOR EACH ROW`,
	}},
	{name: "it has left, and no answer came", faults: server.Faults{DropAcks: true}, trigger: []string{
		`BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.status = 'delivered')`, // nor did the receipt's proof
	}},
	{name: "answered, and not written", trigger: []string{
		`BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.status IN ('sent', 'delivered'))`,
	}},
	{name: "written, and the command not completed", trigger: []string{
		`BEFORE DELETE ON queue_messages FOR EACH ROW WHEN (OLD.lane LIKE 'commands/%')`,
	}},
}

func TestAMessageIsShownOnceWhereverASenderDies(t *testing.T) {
	t.Parallel()
	for _, point := range points {
		for _, kind := range []string{events.ContentText, events.ContentDocument} {
			t.Run(point.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
				c := b.connector(same)
				b.phone(juan, "Juan")
				b.linked("sales", owner)
				send := func(text string) uuid.UUID {
					if kind == events.ContentText {
						return b.send("sales", juan, text)
					}
					content := events.Content{Type: kind, Caption: text, Media: &events.Media{Mimetype: "text/plain", FileName: "a.txt"}}
					return b.sendFile("sales", juan, content, b.keep("text/plain", []byte(text)))
				}
				want := []string{"at first"}
				b.awaitStatus(send("at first"), events.StatusDelivered)
				b.await("the command to be done", func() bool {
					return one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE session = 'sales'`) == 0
				})
				g := b.gate(point.trigger...)

				for _, how := range []string{"the database breaks off", "the process starts again", "another process takes over"} {
					want = append(want, how, "after "+how)
					g.shut()
					b.sandbox.SetFaults(point.faults)
					hurt := send(how)
					after := send("after " + how)
					g.await()
					b.sandbox.SetFaults(server.Faults{})
					switch how {
					case "the database breaks off":
						g.breakOff()
						if point.faults.DropAcks { // only a new connection ends the wait for an answer
							b.sandbox.Disconnect(owner)
						}
						g.open()
					case "the process starts again":
						g.kill(c)
						g.open()
						c = b.connector(same)
					case "another process takes over":
						g.kill(c)
						g.open()
						b.exec(`UPDATE claims SET expires_at = now()`) // 15 s later
						c = b.connector(func(c *Config) { c.Owner = "second" })
					}
					b.awaitStatus(after, events.StatusDelivered)
					b.awaitStatus(hurt, events.StatusDelivered)
				}
				if got := b.seen(juan); !slices.Equal(got, want) {
					t.Errorf("the phone shows %q, want %q", got, want)
				}
				if got := b.told(); !slices.Equal(got, want) {
					t.Errorf("told %q, want %q", got, want)
				}
			})
		}
	}
}

func TestAnUploadThatIsCutIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
	c := b.connector(same)
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	files := one[int](b, `SELECT count(*)::int FROM objects`)
	var want []string
	for _, how := range []string{"cut", "crash"} {
		want = append(want, how, "after "+how)
		faults := server.Faults{Media: server.MediaFaults{Uploads: true, Truncate: true, Count: 1}}
		if how == "crash" {
			faults.Media = server.MediaFaults{Uploads: true, Stall: true}
		}
		b.sandbox.SetFaults(faults)
		data := []byte(how)
		media := b.keep("text/plain", data)
		hurt := b.sendFile("sales", juan, events.Content{Type: events.ContentDocument, Caption: how, Media: &events.Media{Mimetype: "text/plain"}}, media)
		after := b.send("sales", juan, "after "+how)
		if how == "crash" {
			b.awaitStatus(hurt, events.StatusSending)
			b.abandon(c)
			b.sandbox.SetFaults(server.Faults{})
			b.connector(same)
		}
		b.awaitStatus(after, events.StatusDelivered)
		b.awaitStatus(hurt, events.StatusDelivered)
		if n := one[int](b, `SELECT count(*)::int FROM media WHERE direct_path IS NOT NULL AND id = $1`, media); n != 1 {
			t.Error("the upload is not noted for further messages")
		}
	}
	if got := b.seen(juan); !slices.Equal(got, want) {
		t.Errorf("the phone shows %q, want %q", got, want)
	}
	if n := one[int](b, `SELECT count(*)::int FROM objects`); n != files+2 {
		t.Errorf("%d objects, want %d", n, files+2)
	}
}
