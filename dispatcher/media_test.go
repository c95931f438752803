package dispatcher

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// store is a media store of the test's own on the bench's database and bucket.
func (b *bench) store() *mediastore.Store {
	return mediastore.New(mediastore.Config{S3: b.s3, Pool: b.pool, Logger: silent()})
}

// media writes a received message of a chat with a file that is on its way, and its session.
func (b *bench) media(session, chat string, f sealed) uuid.UUID {
	b.t.Helper()
	id, message := events.NewID(), events.NewID()
	b.exec(`INSERT INTO sessions (id) VALUES ($1) ON CONFLICT DO NOTHING`, session)
	b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
		VALUES ($1, $2, $3, $4, 'incoming', 'delivered', 'image', '{}', now())`, message, session, chat, "WA"+message.String())
	b.exec(`INSERT INTO media (id, session_id, message_id, status, mimetype, size, sha256, kind, direct_path, media_key, enc_sha256, remote_at)
		VALUES ($1, $2, $3, 'pending', 'image/jpeg', $4, $5, $6, $7, $8, $9, now())`,
		id, session, message, f.size, f.hash, f.kind, "/v/"+id.String()+"?ccb=1", f.key, f.encHash)
	return id
}

// publishFile publishes an event with a media, and the job to fetch it where that is wanted.
func (b *bench) publishFile(session, chat string, n int, media uuid.UUID, job bool) (id string) {
	b.t.Helper()
	err := b.db.InTx(b.t.Context(), func(tx *queue.Tx) error {
		event, err := events.PublishAwaiting(tx, events.MessageReceived, session, chat, time.Now(), note{Chat: chat, N: n}, media)
		id = events.EventPrefix.Format(event)
		if job {
			payload, _ := json.Marshal(events.MediaJob{MediaID: media})
			tx.Publish(events.TopicMedia, queue.Message{Payload: payload})
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// ready makes a media's bytes be there, as the worker does.
func (b *bench) ready(id uuid.UUID, content []byte) {
	b.t.Helper()
	store := b.store()
	blob, err := store.Save(b.t.Context(), bytes.NewReader(content), -1, 1<<20, "image/jpeg")
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.db.InTx(b.t.Context(), func(tx *queue.Tx) error {
		ok, err := store.Ready(b.t.Context(), tx, id, blob)
		if err == nil && !ok {
			err = errors.New("nobody waits for it")
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// status is what a media's row says, with its error.
func (b *bench) status(id uuid.UUID) (status string) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), `SELECT status || coalesce(' ' || error_code, '') FROM media WHERE id = $1`, id).Scan(&status); err != nil {
		b.t.Fatal(err)
	}
	return status
}

// waitLong lets nothing go out without its media.
func waitLong(d *Dispatcher) { d.mediaWait = time.Hour }

// has says whether a receiver has exactly these webhooks, in this order.
func (r *receiver) has(ids ...string) bool {
	hooks := r.hooks()
	if len(hooks) != len(ids) {
		return false
	}
	for i, h := range hooks {
		if h.id != ids[i] {
			return false
		}
	}
	return true
}

func TestAWebhookWaitsForItsMedia(t *testing.T) {
	t.Parallel()
	b := setup(t)
	patient, hasty := receive(t, nil), receive(t, nil)
	b.addEndpoint(patient.URL)
	b.addEndpoint(hasty.URL, "wait_for_media = false")
	b.start(waitLong)
	content := noise(100)
	file := b.media("s", "a", encrypted(t, "image", content))
	withFile := b.publishFile("s", "a", 0, file, false)
	eventually(t, "the endpoint that does not wait has it", func() bool { return hasty.has(withFile) })
	texts := b.publish("s", "a", 1, 1) // without order nothing waits behind it
	eventually(t, "a text overtakes it", func() bool { return patient.has(texts[0]) })
	b.ready(file, content)
	eventually(t, "it comes with its media", func() bool { return patient.has(texts[0], withFile) })
	if !hasty.has(withFile, texts[0]) {
		t.Errorf("the other endpoint got %d", len(hasty.hooks()))
	}
	if n := b.count(`SELECT count(*) FROM deliveries WHERE media_id IS NOT NULL`); n != 0 {
		t.Errorf("%d deliveries still name a media", n)
	}
}

func TestTextsWaitBehindMediaInTheirChatAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	b.addEndpoint(r.URL, "order_mode = 'chat'")
	b.start(waitLong)
	content := noise(100)
	file := b.media("s", "a", encrypted(t, "image", content))
	first := b.publishFile("s", "a", 0, file, false)
	behind, beside := b.publish("s", "a", 1, 2), b.publish("s", "b", 0, 2)
	eventually(t, "the other chat's texts", func() bool { return r.has(beside...) })
	b.ready(file, content)
	eventually(t, "the chat's own", func() bool { return r.has(beside[0], beside[1], first, behind[0], behind[1]) })
}

func TestAWebhookWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	b.addEndpoint(r.URL, "order_mode = 'chat'")
	const wait = 700 * time.Millisecond
	b.start(func(d *Dispatcher) { d.mediaWait = wait })
	file := b.media("s", "a", encrypted(t, "image", noise(100)))
	published := time.Now()
	first := b.publishFile("s", "a", 0, file, false)
	behind := b.publish("s", "a", 1, 1)
	eventually(t, "both, in order", func() bool { return r.has(first, behind[0]) })
	if took := r.hooks()[0].at.Sub(published); took < wait {
		t.Errorf("it came after %s, without its media", took)
	}
	open := func() int { return b.count(`SELECT count(*) FROM deliveries WHERE state <> 'succeeded'`) }
	eventually(t, "both to be finished", func() bool { return open() == 0 })
	b.ready(file, noise(100)) // later, with nobody waiting
	if n := open(); n != 0 {
		t.Errorf("%d deliveries are open again", n)
	}
}

func TestMediaThatCameBeforeItsEventIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	b.addEndpoint(r.URL)
	content := noise(100)
	ready := b.media("s", "a", encrypted(t, "image", content))
	b.ready(ready, content)
	failed := b.media("s", "a", encrypted(t, "image", content))
	b.exec(`UPDATE media SET status = 'failed' WHERE id = $1`, failed)
	ids := []string{b.publishFile("s", "a", 0, ready, false), b.publishFile("s", "b", 0, failed, false), b.publishFile("s", "c", 0, uuid.New(), false)}
	b.start(waitLong)
	eventually(t, "all three", func() bool { return len(r.hooks()) == 3 })
	wantAll(t, r.accepted(), ids)
}

// files is WhatsApp's server of files.
type files struct {
	*httptest.Server
	mu     sync.Mutex
	served map[string]http.HandlerFunc // by path
	asked  int
}

func serveFiles(t *testing.T) *files {
	t.Helper()
	f := &files{served: map[string]http.HandlerFunc{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		handle := f.served[r.URL.Path]
		f.asked++
		f.mu.Unlock()
		if handle == nil {
			handle = http.NotFound
		}
		handle(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *files) serve(id uuid.UUID, handle http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.served["/v/"+id.String()] = handle
}

func (f *files) whatsApp(d *Dispatcher) {
	d.cfg.WhatsAppURL = "ws" + strings.TrimPrefix(f.URL, "http") + "/ws/chat"
}

func give(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }
}

func TestAFileIsFetchedAndItsWebhookFollows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, f := receive(t, nil), serveFiles(t)
	b.addEndpoint(r.URL)
	d := b.start(waitLong, f.whatsApp)
	content := noise(6 << 20) // more than one part
	s := encrypted(t, "image", content)
	id := b.media("s", "a", s)
	f.serve(id, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("ccb") != "1" || q.Get("mms-type") != "image" || q.Get("hash") == "" || r.Header.Get("Origin") != mediaOrigin {
			t.Errorf("asked for %s", r.URL)
		}
		give(s.data)(w, r)
	})
	event := b.publishFile("s", "a", 0, id, true)
	eventually(t, "the webhook", func() bool { return r.has(event) })
	if got := b.status(id); got != "ready" {
		t.Errorf("the media is %s", got)
	}
	body, err := d.store.Open(t.Context(), s.hash, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes are stored, %v", len(got), err)
	}
	eventually(t, "the job is done", func() bool { return b.count(`SELECT count(*) FROM queue_messages`) == 0 })
}

func TestAFileThatIsNotThereIsAskedOfThePhoneOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, f := receive(t, nil), serveFiles(t)
	b.addEndpoint(r.URL)
	d := b.start(waitLong, f.whatsApp)
	id := b.media("s", "a", encrypted(t, "image", noise(100)))
	event := b.publishFile("s", "a", 0, id, true)
	commands := `SELECT count(*) FROM queue_messages WHERE lane = '` + events.TopicCommands + "/" + events.MediaLane("s") + `'`
	eventually(t, "the phone is asked", func() bool { return b.count(commands) == 1 })
	if got := b.status(id); got != "pending" || len(r.hooks()) != 0 {
		t.Errorf("meanwhile the media is %s, and %d webhooks came", got, len(r.hooks()))
	}
	// A day later it has not answered.
	if err := d.sweepMedia(t.Context()); err != nil || b.status(id) != "pending" {
		t.Errorf("at once: %v, %s", err, b.status(id))
	}
	b.exec(`UPDATE media SET asked_at = now() - interval '25 hours' WHERE id = $1`, id)
	lane := events.TopicCommands + "/" + events.MediaLane("s")
	b.exec(`UPDATE queue_lanes SET parked = 'session', ready_at = 'infinity' WHERE lane = $1`, lane) // nobody has asked it: the session is not connected
	if err := d.sweepMedia(t.Context()); err != nil || b.status(id) != "pending" {
		t.Errorf("while its session is not connected: %v, %s", err, b.status(id))
	}
	b.exec(`UPDATE media SET created_at = now() - interval '8 days' WHERE id = $1`, id) // for a week
	if list, err := d.queries.MediaListOverdue(t.Context(), d.pool, phonePatience.Seconds(), 10); err != nil || len(list) != 1 {
		t.Errorf("after a week %v, %v", list, err)
	}
	b.exec(`UPDATE media SET created_at = now() - interval '2 days' WHERE id = $1`, id)
	b.exec(`UPDATE queue_lanes SET parked = NULL, ready_at = now() WHERE lane = $1`, lane)
	if err := d.sweepMedia(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.status(id); got != "failed media_fetch_failed" {
		t.Errorf("the media is %s", got)
	}
	eventually(t, "its event and media.failed", func() bool { return len(r.hooks()) == 2 && r.accepted()[event] == 1 })
	if n := b.count(`SELECT count(*) FROM events WHERE type = 'media.failed' AND session_id = 's' AND NOT from_me`); n != 1 {
		t.Errorf("%d events media.failed", n)
	}
	if err := d.sweepMedia(t.Context()); err != nil || b.count(`SELECT count(*) FROM events`)+b.count(`SELECT count(*) FROM queue_messages WHERE lane LIKE 'events/%'`) != 2 {
		t.Errorf("it was told again: %v", err)
	}
	// What the phone uploaded again is gone as well.
	again := b.media("s", "b", encrypted(t, "image", noise(100)))
	b.exec(`UPDATE media SET asked_at = now() WHERE id = $1`, again)
	b.publishFile("s", "b", 0, again, true)
	eventually(t, "it has failed", func() bool { return b.status(again) == "failed media_fetch_failed" })
	if n := b.count(commands); n != 1 {
		t.Errorf("the phone was asked %d times", n)
	}
}

func TestAFileThatIsTooLargeFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := serveFiles(t)
	b.start(waitLong, f.whatsApp, func(d *Dispatcher) { d.cfg.MediaMaxBytes = 1000 })
	s := encrypted(t, "image", noise(1001))
	said, lied := b.media("s", "a", s), b.media("s", "b", s)
	b.exec(`UPDATE media SET size = 5 WHERE id = $1`, lied)
	f.serve(lied, give(s.data))
	b.publishFile("s", "a", 0, said, true)
	b.publishFile("s", "b", 0, lied, true)
	eventually(t, "both have failed", func() bool {
		return b.status(said) == "failed media_too_large" && b.status(lied) == "failed media_too_large"
	})
	if f.asked != 1 {
		t.Errorf("WhatsApp was asked %d times, once for what lied", f.asked)
	}
}

func TestADamagedFileIsNotKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := serveFiles(t)
	d := b.start(f.whatsApp)
	s := encrypted(t, "image", noise(5000))
	changed := bytes.Clone(s.data)
	changed[3000] ^= 1
	for name, c := range map[string]struct {
		data   []byte
		change string
		want   error
	}{
		"changed":             {changed, "", errCorrupt},
		"cut off":             {s.data[:4000], "", errCorrupt},
		"of another content":  {s.data, "sha256 = decode(repeat('00', 32), 'hex')", errCorrupt},
		"of another kind":     {s.data, "kind = 'video'", errCorrupt},
		"without a path":      {s.data, "direct_path = NULL", errGone},
		"of no kind":          {s.data, "kind = NULL", errGone},
		"with a key too long": {s.data, "media_key = media_key || '1'::bytea", errCorrupt},
	} {
		id := b.media("s", name, s)
		f.serve(id, give(c.data))
		if c.change != "" {
			b.exec(`UPDATE media SET `+c.change+` WHERE id = $1`, id)
		}
		m, err := d.queries.MediaGet(t.Context(), d.pool, id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.fetch(t.Context(), m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	eventually(t, "nothing is left of them", func() bool {
		if err := d.sweepMedia(t.Context()); err != nil {
			t.Fatal(err)
		}
		return b.count(`SELECT count(*) FROM uploads`) == 0
	})
	for o, err := range b.s3.List(t.Context(), "") {
		t.Errorf("S3 has %s, %v", o.Key, err)
	}
}

func TestASessionIsDeletedWhileItsFileIsFetched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := serveFiles(t)
	d := b.start(waitLong, f.whatsApp)
	s := encrypted(t, "document", noise(100000))
	id := b.media("s", "a", s)
	begun, deleted := make(chan struct{}), make(chan struct{})
	f.serve(id, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(s.data[:50000])
		close(begun)
		<-deleted
		_, _ = w.Write(s.data[50000:])
	})
	b.publishFile("s", "a", 0, id, true)
	<-begun
	b.exec(`DELETE FROM sessions`)
	close(deleted)
	eventually(t, "the job is done", func() bool { return b.count(`SELECT count(*) FROM queue_messages`) == 0 })
	if err := d.sweepMedia(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM objects`) + b.count(`SELECT count(*) FROM media`) + b.count(`SELECT count(*) FROM uploads`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// Feature: Retention of media
func TestMediaExpireButNotWhatIsToBeSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.start(func(d *Dispatcher) { d.cfg.MediaRetention = 36 * time.Hour })
	b.exec(`INSERT INTO sessions (id) VALUES ('s')`)
	store := b.store()
	add := func(content string, age time.Duration, message string) uuid.UUID {
		blob, err := store.Save(t.Context(), strings.NewReader(content), -1, 100, "")
		if err != nil {
			t.Fatal(err)
		}
		id := events.NewID()
		err = b.db.InTx(t.Context(), func(tx *queue.Tx) error {
			if err := store.Keep(t.Context(), tx, blob); err != nil {
				return err
			}
			_, err := db.New().MediaInsert(t.Context(), tx, db.MediaInsertParams{ID: id, Mimetype: "text/plain", Size: blob.Size, Sha256: blob.SHA256[:], Details: []byte(`{}`)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		b.exec(`UPDATE media SET created_at = now() - $2::interval WHERE id = $1`, id, age)
		if message != "" {
			b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp, media_id)
				VALUES ($1, 's', 'a', $2, 'outgoing', $3, 'document', '{}', now(), $4)`, events.NewID(), content, message, id)
		}
		return id
	}
	want := map[uuid.UUID]string{
		add("young", 37*time.Hour, ""): "ready", // a day and a half counts as two
		add("old", 72*time.Hour, ""):   "expired", add("sent", 72*time.Hour, "sent"): "expired",
		add("queued", 72*time.Hour, "queued"): "ready", add("sending", 72*time.Hour, "sending"): "ready",
		add("scheduled", 72*time.Hour, "scheduled"): "ready",
	}
	b.exec(`UPDATE objects SET created_at = now() - interval '1 hour'`)
	if err := d.sweepMedia(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, status := range want {
		if got := b.status(id); got != status {
			t.Errorf("a media is %s, want %s", got, status)
		}
	}
	stored := 0
	for _, err := range b.s3.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		stored++
	}
	if objects := b.count(`SELECT count(*) FROM objects`); objects != 4 || stored != 4 {
		t.Errorf("%d objects, %d in S3, want 4", objects, stored)
	}
}

// roundTrip is a transport that is a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestADirectPathLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	d := &Dispatcher{mediaClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme != "https" || r.URL.Host != "mmg.whatsapp.net" || r.URL.User != nil || r.Header.Get("Origin") == "" {
			t.Errorf("asked for %s", r.URL)
		}
		return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody}, nil
	})}}
	kind := "image"
	for _, path := range []string{
		"", "@evil.test/", ".evil.test/", ":80@evil.test/", "//evil.test/", "/@evil.test", "/\\evil.test", "/../..", "/a\r\nHost: evil.test", "/%", "/ x", "/#", "/?", "http://evil.test/", "/\x00", "/\x7f",
		"/" + strings.Repeat("a", 4000),
	} {
		if _, err := d.download(t.Context(), db.Media{Kind: &kind, DirectPath: &path}); !errors.Is(err, errGone) {
			t.Errorf("%q: %v", path, err)
		}
	}
}
