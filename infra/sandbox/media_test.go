package sandbox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waMmsRetry"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

func random(seed byte, n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// seqMedia is what GET of a shown message's file answers.
func seqMedia(t *testing.T, url, number string, m sandbox.Message) []byte {
	t.Helper()
	res, err := http.Get(fmt.Sprintf("%s/phones/%s/messages/%d/media", url, number, m.Seq))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != m.Mimetype || res.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("media of %s: %d %v %v", m.ID, res.StatusCode, err, res.Header)
	}
	return data
}

// upload uploads a file as the companion.
func (c *companion) upload(data []byte, class whatsmeow.MediaType) whatsmeow.UploadResponse {
	c.t.Helper()
	up, err := c.client.Upload(context.Background(), data, class)
	if err != nil {
		c.t.Fatal(err)
	}
	return up
}

func (c *companion) sendMessage(to, id string, m *waE2E.Message) {
	c.t.Helper()
	_, err := c.client.SendMessage(context.Background(), types.NewJID(to, types.DefaultUserServer), m, whatsmeow.SendRequestExtra{ID: id, Timeout: 20 * time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
}

func imageMessage(up whatsmeow.UploadResponse) *waE2E.ImageMessage {
	return &waE2E.ImageMessage{
		Mimetype: proto.String("image/jpeg"), URL: &up.URL, DirectPath: &up.DirectPath, MediaKey: up.MediaKey, FileEncSHA256: up.FileEncSHA256,
		FileSHA256: up.FileSHA256, FileLength: &up.FileLength,
	}
}

func TestPhonesShowTheMediaOfCompanions(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	data := random(1, 300_000)
	video, audio, document := c.upload(data, whatsmeow.MediaVideo), c.upload(data, whatsmeow.MediaAudio), c.upload(data, whatsmeow.MediaDocument)
	picture := imageMessage(c.upload(data, whatsmeow.MediaImage))
	full := proto.CloneOf(picture)
	full.Caption, full.Width, full.Height, full.JPEGThumbnail = proto.String("look"), proto.Uint32(640), proto.Uint32(480), random(2, 900)
	doc := &waE2E.DocumentMessage{
		Mimetype: proto.String("application/pdf"), FileName: proto.String("a.pdf"), Title: proto.String("a.pdf"), Caption: proto.String("read"),
		URL: &document.URL, DirectPath: &document.DirectPath, MediaKey: document.MediaKey, FileEncSHA256: document.FileEncSHA256,
		FileSHA256: document.FileSHA256, FileLength: &document.FileLength,
	}
	sound := &waE2E.AudioMessage{
		Mimetype: proto.String("audio/mpeg"), URL: &audio.URL, DirectPath: &audio.DirectPath, MediaKey: audio.MediaKey,
		FileEncSHA256: audio.FileEncSHA256, FileSHA256: audio.FileSHA256, FileLength: &audio.FileLength, Seconds: proto.Uint32(7),
	}
	voice := proto.CloneOf(sound)
	voice.PTT, voice.Mimetype, voice.Waveform = proto.Bool(true), proto.String("audio/ogg; codecs=opus"), random(3, 64)
	once := proto.CloneOf(picture)
	once.ViewOnce = proto.Bool(true)
	messages := []*waE2E.Message{
		{ImageMessage: full},
		{VideoMessage: &waE2E.VideoMessage{
			Mimetype: proto.String("video/mp4"), Caption: proto.String("watch"), Seconds: proto.Uint32(9), URL: &video.URL, DirectPath: &video.DirectPath,
			MediaKey: video.MediaKey, FileEncSHA256: video.FileEncSHA256, FileSHA256: video.FileSHA256, FileLength: &video.FileLength,
		}},
		{AudioMessage: sound},
		{AudioMessage: voice},
		{DocumentWithCaptionMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{DocumentMessage: doc}}},
		{StickerMessage: &waE2E.StickerMessage{
			Mimetype: proto.String("image/webp"), URL: picture.URL, DirectPath: picture.DirectPath, MediaKey: picture.MediaKey, Width: proto.Uint32(512),
			Height: proto.Uint32(512), FileEncSHA256: picture.FileEncSHA256, FileSHA256: picture.FileSHA256, FileLength: picture.FileLength,
		}},
		{ViewOnceMessageV2: &waE2E.FutureProofMessage{Message: &waE2E.Message{ImageMessage: once}}},
	}
	want := []struct {
		kind string
		sandbox.Media
	}{
		{"image", sandbox.Media{Caption: "look", Mimetype: "image/jpeg", Width: 640, Height: 480, Thumbnail: 900}},
		{"video", sandbox.Media{Caption: "watch", Mimetype: "video/mp4", Seconds: 9}},
		{"audio", sandbox.Media{Mimetype: "audio/mpeg", Seconds: 7}},
		{"voice", sandbox.Media{Mimetype: "audio/ogg; codecs=opus", Seconds: 7, PTT: true, Waveform: random(3, 64)}},
		{"document", sandbox.Media{Caption: "read", FileName: "a.pdf", Mimetype: "application/pdf"}},
		{"sticker", sandbox.Media{Mimetype: "image/webp", Width: 512, Height: 512}},
		{"image", sandbox.Media{Mimetype: "image/jpeg"}},
	}
	for i, m := range messages {
		c.sendMessage(bert, fmt.Sprint("MEDIA", i), m)
	}
	for number, who := range map[string]func(sandbox.Message) bool{bert: everything, anna: func(m sandbox.Message) bool { return m.FromMe }} {
		for i, m := range shown(t, s.URL(), number, len(want), who) {
			w := want[i]
			w.Size, w.SHA256 = int64(len(data)), hashOf(data)
			if m.ID != fmt.Sprint("MEDIA", i) || m.Type != w.kind || m.Media == nil || m.ViewOnce != (i == len(want)-1) || fmt.Sprint(*m.Media) != fmt.Sprint(w.Media) {
				t.Errorf("phone %s shows %s %+v, want %s %+v", number, m.Type, m.Media, w.kind, w.Media)
			}
			if !bytes.Equal(seqMedia(t, s.URL(), number, m), data) {
				t.Errorf("phone %s has another file of %s", number, m.ID)
			}
		}
	}
	var stats struct{ MediaUploads, MediaDownloads int }
	call(t, "GET", s.URL()+"/stats", nil, 200, &stats)
	if stats.MediaUploads != 4 || stats.MediaDownloads != 0 {
		t.Errorf("stats are %+v; the phones' own downloads are not counted", stats)
	}
	call(t, "POST", s.URL()+"/phones/"+bert+"/messages", map[string]string{"to": anna, "type": "text", "text": "plain"}, 201, nil)
	if m := shown(t, s.URL(), anna, 1, incoming)[0]; m.Media != nil {
		t.Errorf("a text has media: %+v", m.Media)
	} else if status, text := try(t, "GET", fmt.Sprintf("%s/phones/%s/messages/%d/media", s.URL(), anna, m.Seq), nil, nil); status != 404 {
		t.Errorf("a text's media is answered with %d %s", status, text)
	}
}

func TestPhonesSayWhatIsWrongWithAFile(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	good := imageMessage(c.upload(random(4, 100_000), whatsmeow.MediaImage))
	for i, bad := range []struct {
		spoil func(*waE2E.ImageMessage)
		says  string
	}{
		{func(m *waE2E.ImageMessage) { m.MediaKey = random(5, 32) }, "key"},
		{func(m *waE2E.ImageMessage) { m.MediaKey = nil }, "no key"},
		{func(m *waE2E.ImageMessage) { m.FileSHA256 = random(6, 32) }, "hash"},
		{func(m *waE2E.ImageMessage) { m.FileEncSHA256 = random(6, 32) }, "hash"},
		{func(m *waE2E.ImageMessage) { m.FileLength = proto.Uint64(3) }, "length"},
		{func(m *waE2E.ImageMessage) { m.DirectPath = proto.String("/v/gone?x=y") }, "404"},
		{func(m *waE2E.ImageMessage) { m.DirectPath = proto.String("/\x7f?x=y") }, "path"},
	} {
		m := proto.CloneOf(good)
		bad.spoil(m)
		c.sendMessage(bert, fmt.Sprint("BAD", i), &waE2E.Message{ImageMessage: m})
		got := shown(t, s.URL(), bert, i+1, everything)[i]
		if got.Media == nil || !strings.Contains(got.MediaError, bad.says) {
			t.Errorf("%d is shown as %+v, want an error with %q", i, got.Media, bad.says)
		}
		if status, _ := try(t, "GET", fmt.Sprintf("%s/phones/%s/messages/%d/media", s.URL(), bert, got.Seq), nil, nil); status != 404 {
			t.Errorf("the file of %d is answered with %d", i, status)
		}
	}
}

// received waits for a message from somebody else and returns its file.
func (c *companion) received(id string) (*events.Message, whatsmeow.DownloadableMessage) {
	c.t.Helper()
	var found *events.Message
	c.await("message "+id, func() bool {
		for _, m := range c.messages {
			if m.Info.ID == id {
				found = m
			}
		}
		return found != nil
	})
	m := found.Message
	for _, file := range []whatsmeow.DownloadableMessage{m.ImageMessage, m.VideoMessage, m.AudioMessage, m.DocumentMessage, m.StickerMessage} {
		if file.GetDirectPath() != "" {
			return found, file
		}
	}
	c.t.Fatalf("message %s has no file: %v", id, m)
	return nil, nil
}

func TestPhonesSendMediaOfEveryKind(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 31, 17))); err != nil {
		t.Fatal(err)
	}
	data := random(7, 200_003)
	for i, want := range []struct {
		body     map[string]string
		data     []byte
		mimetype string
		check    func(*events.Message) bool
	}{
		{map[string]string{"type": "image", "caption": "look"}, picture.Bytes(), "image/jpeg", func(m *events.Message) bool {
			f := m.Message.GetImageMessage()
			return f.GetCaption() == "look" && f.GetWidth() == 31 && f.GetHeight() == 17 && strings.HasPrefix(f.GetURL(), "https://mmg.whatsapp.net/v/")
		}},
		{map[string]string{"type": "image", "mimetype": "image/png"}, data, "image/png", func(m *events.Message) bool {
			return m.Message.GetImageMessage().Caption == nil && m.Message.GetImageMessage().Width == nil
		}},
		{map[string]string{"type": "video", "caption": "watch"}, data, "video/mp4", func(m *events.Message) bool { return m.Message.GetVideoMessage().GetCaption() == "watch" }},
		{map[string]string{"type": "audio"}, data, "audio/mpeg", func(m *events.Message) bool { return !m.Message.GetAudioMessage().GetPTT() }},
		{map[string]string{"type": "voice"}, data, "audio/ogg; codecs=opus", func(m *events.Message) bool { return m.Message.GetAudioMessage().GetPTT() }},
		{map[string]string{"type": "document", "fileName": "b.bin"}, data, "application/octet-stream", func(m *events.Message) bool {
			f := m.Message.GetDocumentMessage()
			return f.GetFileName() == "b.bin" && f.GetTitle() == "b.bin" && !m.IsDocumentWithCaption
		}},
		{map[string]string{"type": "document", "caption": "read", "mimetype": "application/pdf"}, data[:1], "application/pdf", func(m *events.Message) bool {
			return m.IsDocumentWithCaption && m.Message.GetDocumentMessage().GetCaption() == "read"
		}},
		{map[string]string{"type": "sticker"}, data[:16], "image/webp", func(m *events.Message) bool { return m.Message.GetStickerMessage() != nil }},
	} {
		want.body["to"], want.body["data"] = anna, base64.StdEncoding.EncodeToString(want.data)
		var sent struct{ ID string }
		call(t, "POST", s.URL()+"/phones/"+bert+"/messages", want.body, 201, &sent)
		m, file := c.received(sent.ID)
		got, err := c.client.Download(t.Context(), file)
		if err != nil || !bytes.Equal(got, want.data) {
			t.Errorf("%d: %d bytes, %v", i, len(got), err)
		}
		if said := file.(interface{ GetFileLength() uint64 }).GetFileLength(); int(said) != len(want.data) {
			t.Errorf("%d: the message says %d bytes", i, said)
		}
		if said := file.(interface{ GetMimetype() string }).GetMimetype(); said != want.mimetype || !want.check(m) {
			t.Errorf("%d: %s %v", i, said, m.Message)
		}
		own := shown(t, s.URL(), anna, i+1, incoming)[i]
		if own.Type != want.body["type"] || own.SHA256 != hashOf(want.data) || own.MediaError != "" {
			t.Errorf("%d: Anna's phone shows %s %+v", i, own.Type, own.Media)
		}
	}
	// A download is counted once its last byte has left, which the client may have before.
	var stats struct{ MediaUploads, MediaDownloads int }
	for deadline := time.Now().Add(patience); stats.MediaDownloads < 8 && time.Now().Before(deadline); {
		call(t, "GET", s.URL()+"/stats", nil, 200, &stats)
	}
	if stats.MediaUploads != 0 || stats.MediaDownloads != 8 {
		t.Errorf("stats are %+v", stats)
	}
}

func TestMediaMessagesAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	url := s.URL() + "/phones/" + anna + "/messages"
	for name, c := range map[string]struct {
		body   string
		status int
		detail string
	}{
		"no data":            {`{"to":"` + anna + `","type":"image"}`, 422, "data"},
		"empty data":         {`{"to":"` + anna + `","type":"image","data":""}`, 422, "1 byte"},
		"no base64":          {`{"to":"` + anna + `","type":"image","data":"%%%%"}`, 422, "base64"},
		"no padding":         {`{"to":"` + anna + `","type":"image","data":"YQ"}`, 422, "base64"},
		"padding within":     {`{"to":"` + anna + `","type":"image","data":"` + strings.Repeat("YQ==", 9000) + `"}`, 422, "base64"},
		"an escape":          {`{"to":"` + anna + `","type":"image","data":"YW\u004aj"}`, 422, "escape"},
		"data twice":         {`{"data":"YWJj","data":"YWJj","to":"` + anna + `","type":"image"}`, 400, "twice"},
		"data in disguise":   {`{"d\u0061ta":"YWJj","to":"` + anna + `","type":"image"}`, 400, "data"},
		"data is an object":  {`{"data":{"data":"YWJj"},"to":"` + anna + `","type":"image"}`, 400, "JSON"},
		"cut off":            {`{"to":"` + anna + `","type":"image","data":"YWJj`, 400, "EOF"},
		"large beside data":  {`{"data":"YWJj","caption":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "1048576"},
		"large data":         {`{"data":"` + strings.Repeat("YWJj", 26<<20) + `"}`, 413, "100663296"},
		"a text":             {`{"to":"` + anna + `","type":"image","data":"YWJj","text":"x"}`, 422, "caption"},
		"data of a text":     {`{"to":"` + anna + `","type":"text","data":"YWJj","text":"x"}`, 422, "neither"},
		"caption of a voice": {`{"to":"` + anna + `","type":"voice","data":"YWJj","caption":"x"}`, 422, "caption"},
		"name of an image":   {`{"to":"` + anna + `","type":"image","data":"YWJj","fileName":"x"}`, 422, "fileName"},
		"mimetype is none":   {`{"to":"` + anna + `","type":"image","data":"YWJj","mimetype":"jpeg"}`, 422, "mimetype"},
		"recipient unknown":  {`{"to":"5491100000009","type":"image","data":"YWJj"}`, 422, "not on this WhatsApp"},
		"type unknown":       {`{"to":"` + anna + `","type":"smell","data":"YWJj"}`, 422, "type"},
	} {
		res, err := http.Post(url, "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != c.status || !strings.Contains(string(text), c.detail) {
			t.Errorf("%s: %d %s, want %d with %q", name, res.StatusCode, text, c.status, c.detail)
		}
	}
	// Encoders that escape slashes, and an order in which the file comes first.
	if status, text := tryText(t, url, `{"data":"\/\/\/\/", "nested" : 1}`); status != 400 || !strings.Contains(text, "nested") {
		t.Errorf("an unknown member is answered with %d %s", status, text)
	}
	if status, text := tryText(t, url, `{ "data" : "\/\/\/\/", "type":"document" , "to":"`+anna+`" }`); status != 201 {
		t.Errorf("a good one is answered with %d %s", status, text)
	}
}

func tryText(t *testing.T, url, body string) (int, string) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

// sendImage makes a phone send a picture and returns its id.
func sendImage(t *testing.T, url, from, to string, data []byte) string {
	t.Helper()
	var sent struct{ ID string }
	body := map[string]string{"to": to, "type": "image", "data": base64.StdEncoding.EncodeToString(data)}
	call(t, "POST", url+"/phones/"+from+"/messages", body, 201, &sent)
	return sent.ID
}

func TestMediaFaultsAreForCompanions(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	data := random(8, 100_000)
	put := func(media map[string]any) {
		t.Helper()
		var got struct{ Media map[string]any }
		call(t, "PUT", s.URL()+"/faults", map[string]any{"media": media}, 200, &got)
		for name, value := range media {
			if fmt.Sprint(got.Media[name]) != fmt.Sprint(value) {
				t.Errorf("the faults in force are %v, want %v", got.Media, media)
			}
		}
	}
	for status, want := range map[int]error{
		403: whatsmeow.ErrMediaDownloadFailedWith403, 404: whatsmeow.ErrMediaDownloadFailedWith404, 410: whatsmeow.ErrMediaDownloadFailedWith410,
	} {
		put(map[string]any{"status": status, "count": 1})
		id := sendImage(t, s.URL(), bert, anna, data) // both phones are spared
		_, file := c.received(id)
		if _, err := c.client.Download(t.Context(), file); !errors.Is(err, want) {
			t.Errorf("%d: %v", status, err)
		}
		if got, err := c.client.Download(t.Context(), file); err != nil || !bytes.Equal(got, data) {
			t.Errorf("after %d: %d bytes, %v", status, len(got), err)
		}
	}
	_, file := c.received(sendImage(t, s.URL(), bert, anna, data))
	put(map[string]any{"truncate": true})
	if _, err := c.client.Download(t.Context(), file); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated: %v", err)
	}
	put(map[string]any{"status": 500, "count": 1})
	if _, err := c.client.Download(t.Context(), file); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("500: %v", err)
	}
	put(map[string]any{"status": 503, "count": 1}) // whatsmeow tries again
	if got, err := c.client.Download(t.Context(), file); err != nil || !bytes.Equal(got, data) {
		t.Errorf("after 503: %d bytes, %v", len(got), err)
	}
	put(map[string]any{"slowBytesPerSecond": 500_000, "direction": "download"})
	begin := time.Now()
	if got, err := c.client.Download(t.Context(), file); err != nil || !bytes.Equal(got, data) || time.Since(begin) < 150*time.Millisecond {
		t.Errorf("slow: %d bytes in %v, %v", len(got), time.Since(begin), err)
	}
	put(map[string]any{"stall": true})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.client.Download(ctx, file); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stalled: %v", err)
	}
	put(map[string]any{"status": 403, "direction": "upload"})
	if _, err := c.client.Upload(t.Context(), data, whatsmeow.MediaImage); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("upload: %v", err)
	}
	sendImage(t, s.URL(), bert, anna, data)
	call(t, "PUT", s.URL()+"/faults", map[string]any{"media": map[string]any{"status": 200}}, 422, nil)
	call(t, "PUT", s.URL()+"/faults", map[string]any{"media": map[string]any{"direction": "up"}}, 422, nil)
	call(t, "PUT", s.URL()+"/faults", map[string]any{"media": map[string]any{"count": -1}}, 422, nil)
}

// mediaRetry asks the companion's phone for a message's file and waits for the answer to the nth such request.
func (c *companion) mediaRetry(info *types.MessageInfo, key []byte, n int) *events.MediaRetry {
	c.t.Helper()
	if err := c.client.SendMediaRetryReceipt(c.t.Context(), info, key); err != nil {
		c.t.Fatal(err)
	}
	var answers []*events.MediaRetry
	c.await("the answer to a media retry", func() bool {
		answers = nil
		for _, evt := range c.other {
			if e, ok := evt.(*events.MediaRetry); ok && e.MessageID == info.ID {
				answers = append(answers, e)
			}
		}
		return len(answers) >= n
	})
	return answers[n-1]
}

func TestAPhoneUploadsAgainWhatWhatsAppForgot(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	data := random(9, 400_000)

	incomingID := sendImage(t, s.URL(), bert, anna, data)
	outgoingID := sendImage(t, s.URL(), anna, bert, data) // Anna's phone sent it, so only her outbox has it
	mine := imageMessage(c.upload(data, whatsmeow.MediaImage))
	c.sendMessage(bert, "MINE", &waE2E.Message{ImageMessage: mine})
	shown(t, s.URL(), anna, 2, everything)

	for i, id := range []string{incomingID, outgoingID, "MINE"} {
		info, file := &types.MessageInfo{ID: id, MessageSource: types.MessageSource{Chat: types.NewJID(bert, types.DefaultUserServer), IsFromMe: true}}, whatsmeow.DownloadableMessage(mine)
		if id != "MINE" {
			var m *events.Message
			m, file = c.received(id)
			info = &m.Info
		}
		call(t, "DELETE", s.URL()+"/phones/"+anna+"/messages/"+id+"/media", nil, 204, nil)
		if _, err := c.client.Download(t.Context(), file); !errors.Is(err, whatsmeow.ErrMediaDownloadFailedWith404) {
			t.Errorf("%s: what WhatsApp forgot is answered with %v", id, err)
		}
		answer := c.mediaRetry(info, file.GetMediaKey(), 1)
		if answer.ChatID != info.Chat || answer.FromMe != info.IsFromMe || answer.Timestamp.IsZero() {
			t.Errorf("%s: the answer is %+v", id, answer)
		}
		notice, err := whatsmeow.DecryptMediaRetryNotification(answer, file.GetMediaKey())
		if err != nil || notice.GetResult() != waMmsRetry.MediaRetryNotification_SUCCESS || notice.GetStanzaID() != id || notice.GetDirectPath() == file.GetDirectPath() {
			t.Fatalf("%s: %v %v", id, notice, err)
		}
		again := &waE2E.ImageMessage{DirectPath: notice.DirectPath, MediaKey: file.GetMediaKey(), FileSHA256: file.GetFileSHA256(), FileEncSHA256: file.GetFileEncSHA256()}
		if got, err := c.client.Download(t.Context(), again); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", id, len(got), err)
		}
		if _, err := c.client.Download(t.Context(), file); !errors.Is(err, whatsmeow.ErrMediaDownloadFailedWith404) {
			t.Errorf("%s: the old path is answered with %v", id, err)
		}

		call(t, "PUT", s.URL()+"/faults", map[string]any{"media": map[string]any{"phoneHasNone": true}}, 200, nil)
		answer = c.mediaRetry(info, file.GetMediaKey(), 2)
		notice, err = whatsmeow.DecryptMediaRetryNotification(answer, file.GetMediaKey())
		if err != nil || notice.GetResult() != waMmsRetry.MediaRetryNotification_NOT_FOUND || notice.DirectPath != nil {
			t.Errorf("%s: a phone that has none answers %v %v", id, notice, err)
		}
		call(t, "PUT", s.URL()+"/faults", map[string]any{}, 200, nil)

		answer = c.mediaRetry(info, random(byte(40+i), 32), 3)
		if answer.Error == nil || answer.Error.Code != int(waMmsRetry.MediaRetryNotification_DECRYPTION_ERROR) {
			t.Errorf("%s: a request under another key is answered with %+v", id, answer)
		}
	}
	nothing := &types.MessageInfo{ID: "NOTHING", MessageSource: types.MessageSource{Chat: types.NewJID(bert, types.DefaultUserServer)}}
	if _, err := whatsmeow.DecryptMediaRetryNotification(c.mediaRetry(nothing, random(50, 32), 1), random(50, 32)); !errors.Is(err, whatsmeow.ErrMediaNotAvailableOnPhone) {
		t.Errorf("a message that the phone does not know: %v", err)
	}
	call(t, "DELETE", s.URL()+"/phones/"+anna+"/messages/NOTHING/media", nil, 404, nil)
	var stats struct{ MediaUploads int }
	if call(t, "GET", s.URL()+"/stats", nil, 200, &stats); stats.MediaUploads != 1 {
		t.Errorf("%d uploads are counted; the phones' are not to be", stats.MediaUploads)
	}
}
