package connector

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/tests3"
)

var update = flag.Bool("update", false, "write the golden files")

// key is one of 32 bytes.
func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func image() *waE2E.ImageMessage {
	return &waE2E.ImageMessage{
		Mimetype: proto.String("image/png"), FileLength: proto.Uint64(5), FileSHA256: key(1), FileEncSHA256: key(2), MediaKey: key(3), DirectPath: proto.String("/v/a?ccb=1"),
	}
}

func document() *waE2E.DocumentMessage {
	return &waE2E.DocumentMessage{
		Mimetype: proto.String("application/pdf"), FileLength: proto.Uint64(5), FileSHA256: key(1), FileEncSHA256: key(2), MediaKey: key(3), DirectPath: proto.String("/v/a"),
		FileName: proto.String("a.pdf"), Title: proto.String("title"), Caption: proto.String("caption"),
	}
}

func video() *waE2E.VideoMessage {
	return &waE2E.VideoMessage{FileLength: proto.Uint64(5), FileSHA256: key(1), FileEncSHA256: key(2), MediaKey: key(3), DirectPath: proto.String("/v/a")}
}

func audio() *waE2E.AudioMessage {
	return &waE2E.AudioMessage{FileLength: proto.Uint64(5), FileSHA256: key(1), FileEncSHA256: key(2), MediaKey: key(3), DirectPath: proto.String("/v/a")}
}

func TestMediaOfEachKind(t *testing.T) {
	t.Parallel()
	captioned, once, gif, ptt, onceVideo, onceAudio := image(), image(), video(), audio(), video(), audio()
	captioned.Caption, once.ViewOnce, gif.GifPlayback, ptt.PTT = proto.String("¡Hola!\x00"), proto.Bool(true), proto.Bool(true), proto.Bool(true)
	onceVideo.ViewOnce, onceAudio.ViewOnce = proto.Bool(true), proto.Bool(true)
	titled := document()
	titled.FileName = nil
	sticker := &waE2E.StickerMessage{FileLength: proto.Uint64(5), FileSHA256: key(1), FileEncSHA256: key(2), MediaKey: key(3), DirectPath: proto.String("/v/a"), Mimetype: proto.String("image/webp")}
	for name, c := range map[string]struct {
		message                  *waE2E.Message
		want                     events.Content
		kind, mimetype, fileName string
	}{
		"image":           {&waE2E.Message{ImageMessage: image()}, events.Content{Type: "image"}, "image", "image/png", ""},
		"caption":         {&waE2E.Message{ImageMessage: captioned}, events.Content{Type: "image", Caption: "¡Hola!\uFFFD"}, "image", "image/png", ""},
		"view once":       {&waE2E.Message{ImageMessage: once}, events.Content{Type: "image", ViewOnce: true}, "image", "image/png", ""},
		"video":           {&waE2E.Message{VideoMessage: video()}, events.Content{Type: "video"}, "video", "video/mp4", ""},
		"view-once video": {&waE2E.Message{VideoMessage: onceVideo}, events.Content{Type: "video", ViewOnce: true}, "video", "video/mp4", ""},
		"GIF":             {&waE2E.Message{VideoMessage: gif}, events.Content{Type: "video", GIF: true}, "video", "video/mp4", ""},
		"video note":      {&waE2E.Message{PtvMessage: video()}, events.Content{Type: "video", VideoNote: true}, "video", "video/mp4", ""},
		"audio":           {&waE2E.Message{AudioMessage: audio()}, events.Content{Type: "audio"}, "audio", "audio/ogg; codecs=opus", ""},
		"voice":           {&waE2E.Message{AudioMessage: ptt}, events.Content{Type: "voice"}, "audio", "audio/ogg; codecs=opus", ""},
		"view-once audio": {&waE2E.Message{AudioMessage: onceAudio}, events.Content{Type: "audio", ViewOnce: true}, "audio", "audio/ogg; codecs=opus", ""},
		"document":        {&waE2E.Message{DocumentMessage: document()}, events.Content{Type: "document", Caption: "caption"}, "document", "application/pdf", "a.pdf"},
		"titled document": {&waE2E.Message{DocumentMessage: titled}, events.Content{Type: "document", Caption: "caption"}, "document", "application/pdf", "title"},
		"captioned document": {&waE2E.Message{DocumentWithCaptionMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{DocumentMessage: document()}}},
			events.Content{Type: "document", Caption: "caption"}, "document", "application/pdf", "a.pdf"},
		"sticker": {&waE2E.Message{StickerMessage: sticker}, events.Content{Type: "sticker"}, "image", "image/webp", ""},
	} {
		content, from := mediaOf(c.message)
		if from == nil || content.Media == nil {
			t.Fatalf("%s: %+v, %v", name, content, from)
		}
		media := content.Media
		content.Media = nil
		if fmt.Sprintf("%+v", content) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s: %+v, want %+v", name, content, c.want)
		}
		if *from.Kind != c.kind || !strings.HasPrefix(*from.DirectPath, "/v/a") || !bytes.Equal(from.MediaKey, key(3)) || !bytes.Equal(from.EncSha256, key(2)) {
			t.Errorf("%s: %+v", name, from)
		}
		if media.Mimetype != c.mimetype || media.FileName != c.fileName || media.Size != 5 || media.SHA256 != hex.EncodeToString(key(1)) || media.URL != "" {
			t.Errorf("%s: %+v", name, media)
		}
	}
	if content, from := mediaOf(&waE2E.Message{Conversation: proto.String("text")}); content.Type != "" || from != nil {
		t.Errorf("a text: %+v, %+v", content, from)
	}
}

// What cannot be fetched is shown as unsupported; nothing that a sender chooses is trusted.
func TestMediaOfHostileSenders(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*waE2E.ImageMessage){
		"no hash": func(m *waE2E.ImageMessage) { m.FileSHA256 = nil }, "a long hash": func(m *waE2E.ImageMessage) { m.FileSHA256 = append(key(1), 0) },
		"no encrypted hash": func(m *waE2E.ImageMessage) { m.FileEncSHA256 = nil }, "no key": func(m *waE2E.ImageMessage) { m.MediaKey = nil },
		"no path": func(m *waE2E.ImageMessage) { m.DirectPath = nil }, "a size that is none": func(m *waE2E.ImageMessage) { m.FileLength = proto.Uint64(math.MaxInt64 + 1) },
		"a path too long": func(m *waE2E.ImageMessage) { m.DirectPath = proto.String("/" + strings.Repeat("a", maxDirectPath)) },
	} {
		m := image()
		change(m)
		if content, from := mediaOf(&waE2E.Message{ImageMessage: m}); content.Type != events.ContentUnsupported || content.Media != nil || from != nil {
			t.Errorf("%s: %+v, %+v", name, content, from)
		}
	}
	for said, want := range map[string]string{
		"": "image/jpeg", "image": "image", " image/gif ": "image/gif", "image/png\r\nX: 1": "image/jpeg", "image/png; a=\"\x00\"": "image/jpeg", "image/png; a=\"\xff\"": "image/jpeg",
		"image/" + strings.Repeat("x", 200): "image/jpeg", "text/html": "text/html", "image/png; a=\"\x1b\"": "image/jpeg",
	} {
		if got := mimetype(said, "image"); got != want {
			t.Errorf("mimetype %q is %q, want %q", said, got, want)
		}
	}
	for said, want := range map[string]string{
		"../../etc/passwd": ".._.._etc_passwd", `C:\a.exe`: "C:_a.exe", "a\x00\r\n\tb": "a____b", "a\xffb": "a\uFFFDb", strings.Repeat("é", 200): strings.Repeat("é", 127), "¡ñ!.pdf": "¡ñ!.pdf",
	} {
		if got := fileName(&waE2E.DocumentMessage{FileName: &said}); got != want || !utf8.ValidString(got) || len(got) > maxFileName {
			t.Errorf("file name %q is %q, want %q", said, got, want)
		}
	}
}

// Feature: Voice notes transcoded, with a waveform
func TestFileMessages(t *testing.T) {
	t.Parallel()
	up := whatsmeow.UploadResponse{URL: "https://mmg.whatsapp.net/v/a", DirectPath: "/v/a", MediaKey: key(3), FileEncSHA256: key(2), FileSHA256: key(1), FileLength: 5}
	details := []byte(`{"width":40,"height":30,"seconds":7,"thumbnail":"AQI=","waveform":"AwQ="}`)
	golden := map[string]json.RawMessage{}
	for name, content := range map[string]events.Content{
		"image": {Type: "image", Caption: "caption"}, "image once": {Type: "image", ViewOnce: true}, "video": {Type: "video", Caption: "caption"}, "video once": {Type: "video", ViewOnce: true},
		"gif": {Type: "video", GIF: true}, "video note": {Type: "video", VideoNote: true}, "audio": {Type: "audio"}, "voice": {Type: "voice"}, "voice once": {Type: "voice", ViewOnce: true},
		"document": {Type: "document"}, "document with caption": {Type: "document", Caption: "caption"}, "sticker": {Type: "sticker"},
	} {
		content.Media = &events.Media{Mimetype: "type/" + content.Type, FileName: "a.bin"}
		m, err := fileMessage(content, db.Media{Details: details}, up, time.Unix(1700000000, 0))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		golden[name] = raw
		// What comes out is what goes in, as the receiver's own gateway would read it.
		inner := m
		for _, wrapped := range []*waE2E.FutureProofMessage{m.GetViewOnceMessage(), m.GetViewOnceMessageV2Extension()} {
			if wrapped != nil {
				inner = wrapped.GetMessage()
			}
		}
		if got, from := mediaOf(inner); from == nil || got.Type != content.Type || got.Caption != content.Caption || got.ViewOnce != content.ViewOnce || got.GIF != content.GIF ||
			got.VideoNote != content.VideoNote || got.Media.Mimetype != content.Media.Mimetype {
			t.Errorf("%s is read as %+v", name, got)
		}
	}
	got, err := json.MarshalIndent(golden, "", "  ") // also evens out protojson's random spaces
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/filemessages.json"
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != string(got)+"\n" {
		t.Errorf("%s differs from (%v):\n%s", path, err, got)
	}
	if _, err := fileMessage(events.Content{Type: "image", Media: &events.Media{}}, db.Media{Details: []byte(`{`)}, up, time.Now()); err == nil {
		t.Error("details that are none are sent")
	}
}

func (b *bench) store() *mediastore.Store {
	return mediastore.New(mediastore.Config{S3: b.s3, Pool: b.pool, Logger: quiet()})
}

// keep stores a file as an upload does.
func (b *bench) keep(mimetype string, data []byte) uuid.UUID {
	b.Helper()
	blob, err := b.store().Save(b.ctx(), bytes.NewReader(data), -1, 1<<30, mimetype)
	if err != nil {
		b.Fatal(err)
	}
	id := events.NewID()
	err = b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		if err := b.store().Keep(b.ctx(), tx, blob); err != nil {
			return err
		}
		_, err := db.New().MediaInsert(b.ctx(), tx, db.MediaInsertParams{ID: id, Mimetype: mimetype, Size: blob.Size, Sha256: blob.SHA256[:], Details: []byte(`{}`)})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// file waits until a phone shows n messages and returns the last.
func (b *bench) file(number string, n int) (last sandbox.Message) {
	b.Helper()
	b.await(fmt.Sprintf("%d messages on phone %s", n, number), func() bool {
		list, err := b.sandbox.Messages(b.ctx(), number, 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		if len(list) == n {
			last = list[n-1]
		}
		return len(list) >= n && list[n-1].Media != nil
	})
	return last
}

func TestAFileThatASessionSendsIsWhatThePhoneShows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.phone(juan, "Juan")
	b.connector()
	b.linked("sales", owner)
	for i, content := range []events.Content{
		{Type: "document", Caption: "caption", Media: &events.Media{Mimetype: "application/pdf", FileName: "a.pdf"}},
		{Type: "image", ViewOnce: true, Media: &events.Media{Mimetype: "image/png"}},
		{Type: "voice", Media: &events.Media{Mimetype: "audio/ogg; codecs=opus"}},
	} {
		data := bytes.Repeat([]byte{byte('a' + i)}, 100000+i)
		media := b.keep(content.Media.Mimetype, data)
		id := b.sendFile("sales", juan, content, media)
		b.awaitSent(id)
		got := b.file(juan, i+1)
		if got.SHA256 != hashOf(data) || got.MediaError != "" || got.Mimetype != content.Media.Mimetype || got.Caption != content.Caption ||
			got.FileName != content.Media.FileName || got.ViewOnce != content.ViewOnce || got.PTT != (content.Type == "voice") {
			t.Errorf("%s is shown as %+v", content.Type, got.Media)
		}
	}
	// The same file again is not uploaded again.
	media := one[uuid.UUID](b, `SELECT media_id FROM messages WHERE type = 'document'`)
	path := one[string](b, `SELECT direct_path FROM media WHERE id = $1`, media)
	id := b.sendFile("sales", juan, events.Content{Type: "document", Media: &events.Media{Mimetype: "application/pdf"}}, media)
	b.awaitSent(id)
	if got := b.file(juan, 4); got.SHA256 != hashOf(bytes.Repeat([]byte("a"), 100000)) || one[string](b, `SELECT direct_path FROM media WHERE id = $1`, media) != path {
		t.Errorf("again: %+v", got.Media)
	}
	// Bytes that are kept no more fail the message, and the next goes out.
	b.exec(`UPDATE media SET status = 'expired', object = NULL WHERE id = $1`, media)
	gone := b.sendFile("sales", juan, events.Content{Type: "document", Media: &events.Media{Mimetype: "application/pdf"}}, media)
	b.awaitStatus(gone, events.StatusFailed)
	if code := one[string](b, `SELECT error_code FROM messages WHERE id = $1`, gone); code != "media_expired" {
		t.Errorf("it failed with %s", code)
	}
}

func TestAFileWhoseBytesAreOthersIsNotSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.phone(juan, "Juan")
	var log lines
	b.connector(func(cfg *Config) { cfg.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	b.linked("sales", owner)
	media := b.keep("text/plain", []byte("file"))
	b.exec(`UPDATE media SET sha256 = $1`, mustHash("another"))
	id := b.sendFile("sales", juan, events.Content{Type: "document", Media: &events.Media{Mimetype: "text/plain"}}, media)
	b.await("the upload to be refused", func() bool { return strings.Contains(log.String(), "that are not the file of 4") })
	if status := b.status(id); status != string(events.StatusSending) {
		t.Errorf("the message is %s", status)
	}
	b.exec(`UPDATE media SET sha256 = $1`, mustHash("file"))
	b.awaitSent(id)
	if got := b.file(juan, 1); got.SHA256 != hashOf([]byte("file")) {
		t.Errorf("shown as %+v", got.Media)
	}
}

// sendFile accepts a message with a file as the API does.
func (b *bench) sendFile(session, number string, content events.Content, media uuid.UUID) uuid.UUID {
	b.Helper()
	id := events.NewID()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		raw, err := json.Marshal(content)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(b.ctx(), `INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp, media_id)
			VALUES ($1, $2, $3, $4, 'outgoing', 'queued', $5, $6, now(), $7)`,
			id, session, number+"@"+events.PhoneServer, "3EB0"+id.String()[:8]+id.String()[30:], content.Type, raw, media); err != nil {
			return err
		}
		payload, err := json.Marshal(events.SendCommand{MessageID: id, SessionID: session})
		tx.Publish(events.TopicCommands, queue.Message{
			ID: id, Lane: events.SendLane(session), Session: session, Payload: payload, Metadata: map[string]string{events.MetaCommand: events.CommandSend},
		})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// awaitSent waits until WhatsApp has a message; the phone's receipt may follow at once.
func (b *bench) awaitSent(id uuid.UUID) {
	b.Helper()
	b.await("message to be sent", func() bool {
		s := b.status(id)
		return s == string(events.StatusSent) || s == string(events.StatusDelivered)
	})
}

func TestAFileWaitsWhileS3IsDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := tests3.Start(t)
	objects, err := s3.Open(b.ctx(), server.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	b.s3 = objects
	b.phone(juan, "Juan")
	c := b.connector()
	b.linked("sales", owner)
	media := b.keep("text/plain", []byte("file"))
	server.Stop()
	id := b.sendFile("sales", juan, events.Content{Type: "document", Media: &events.Media{Mimetype: "text/plain"}}, media)
	b.awaitStatus(id, events.StatusSending)
	var s *session
	for _, running := range c.running() {
		s = running
	}
	_, err = b.store().Open(b.ctx(), mustHash("file"), 0, -1)
	conn := s.sender()
	if conn == nil || !s3.Unavailable(err) {
		t.Fatalf("connection %v, S3 %v", conn, err)
	}
	// However long it has been tried for, it waits.
	refused := &session{id: s.id, c: s.c, log: s.log, ctx: s.ctx, cancel: s.cancel, sending: attempt{id: id, since: time.Now().Add(-2 * sendPatience)}}
	outcome, err := refused.refused(b.ctx(), conn, id, fmt.Errorf("upload media: %w", err))
	var wait queue.WaitFor
	if outcome != "waiting" || !errors.As(err, &wait) || b.status(id) == string(events.StatusFailed) {
		t.Errorf("%s, %v", outcome, err)
	}
}

func mustHash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func TestAFileFromAPhoneIsFetchedLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	data := bytes.Repeat([]byte("x"), 50000)
	_, err := b.sandbox.SendMedia(b.ctx(), juan, sandbox.Outgoing{
		To: owner, Content: sandbox.Content{Type: "document"}, File: sandbox.File{Mimetype: "application/pdf", Caption: "caption", FileName: "../a.pdf"},
	}, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	b.await("the event", func() bool { return len(b.events(events.MessageReceived)) == 1 })
	message := b.events(events.MessageReceived)[0].Data.Message
	media := message.Content.Media
	if message.Content.Type != "document" || message.Content.Caption != "caption" || media == nil || media.SHA256 != hashOf(data) || media.Size != int64(len(data)) ||
		media.Mimetype != "application/pdf" || media.FileName != ".._a.pdf" || media.URL != "http://api.test/v1/media/"+media.ID+"/content" {
		t.Errorf("told %+v of %+v", media, message.Content)
	}
	id, err := events.MediaPrefix.Parse(media.ID)
	if err != nil {
		t.Fatal(err)
	}
	m, err := db.New().MediaGet(b.ctx(), b.pool, id)
	if err == nil {
		m.MediaKey, err = testKeys.Open(m.MediaKey, seal.MediaKey.At(id.String()))
	}
	if err != nil || m.Status != "pending" || *m.SessionID != "sales" || *m.MessageID != mustParse(t, message.ID) || *m.Kind != "document" || !strings.HasPrefix(*m.DirectPath, "/") ||
		len(m.MediaKey) != 32 || len(m.EncSha256) != 32 || m.RemoteAt == nil || m.Object != nil || hex.EncodeToString(m.Sha256) != hashOf(data) {
		t.Errorf("written: %+v, %v", m, err)
	}
	if n := one[int](b, `SELECT count(*)::int FROM queue_messages WHERE metadata ->> $1 = $2`, events.MetaMedia, id.String()); n != 1 {
		t.Errorf("%d events name the media for the sequencer", n)
	}
	jobs := many[[]byte](b, `SELECT payload FROM queue_messages WHERE lane LIKE $1`, events.TopicMedia+"/%")
	var job events.MediaJob
	if len(jobs) != 1 || json.Unmarshal(jobs[0], &job) != nil || job.MediaID != id {
		t.Errorf("jobs %q", jobs)
	}
}

// One message that PostgreSQL does not take would come again for ever, and keep what follows it from being received.
func TestHostileNamesStopNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.fromPhone(juan, owner, "first")
	b.await("a message", func() bool { return len(b.events(events.MessageReceived)) == 1 })
	var s *session
	for _, running := range c.running() {
		s = running
	}
	conn := s.sender()
	first := one[string](b, `SELECT sender_id FROM messages`)
	for i, bad := range []string{"\x00", "\xff", "\u202e", strings.Repeat("é", 3000)} {
		m := document()
		m.Mimetype, m.FileName, m.Title, m.Caption, m.DirectPath = proto.String(`a/b; c="`+bad+`"`), &bad, &bad, &bad, proto.String("/"+bad)
		e := &waevents.Message{Message: &waE2E.Message{DocumentMessage: m}}
		e.Info.ID = fmt.Sprint("HOSTILE", i)
		jid, err := types.ParseJID(first)
		if err != nil {
			t.Fatal(err)
		}
		e.Info.Chat, e.Info.Sender, e.Info.Timestamp = jid, jid, time.Now()
		if err := conn.received(b.ctx(), e); err != nil {
			t.Errorf("%q: %v", bad[:min(len(bad), 9)], err)
		}
	}
	if n := one[int](b, `SELECT count(*)::int FROM media`); n != 3 { // the last has a path that is too long
		t.Errorf("%d media", n)
	}
}
