package features

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"

	"golang.org/x/image/webp"

	"github.com/chasqui/chasqui/infra/mediainfo"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// file is a media source that holds a file itself.
func file(mimetype string, data []byte) map[string]any {
	return map[string]any{"base64": base64.StdEncoding.EncodeToString(data), "mimetype": mimetype}
}

// drawing is a picture of twice its height.
func drawing() image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, 120, 60))
	for y := range 60 {
		for x := range 120 {
			m.Set(x, y, color.NRGBA{uint8(2 * x), uint8(4 * y), 128, 255})
		}
	}
	return m
}

// picture is a PNG.
func picture(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, drawing()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sample is a file of the tests of mediainfo.
func sample(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../mediainfo/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// everyContent is one of each type that can be sent.
func everyContent(t *testing.T) map[string]map[string]any {
	t.Helper()
	media := func(kind, mimetype string, data []byte) map[string]any {
		return map[string]any{"type": kind, "media": file(mimetype, data)}
	}
	return map[string]map[string]any{
		"text": text("Yes."), "image": media("image", "image/png", picture(t)), "video": media("video", "video/mp4", sample(t, "turned.mp4")),
		"audio": media("audio", "audio/mpeg", sample(t, "constant.mp3")), "voice": media("voice", "audio/ogg; codecs=opus", sample(t, "hybrid-mono.ogg")),
		"document": {"type": "document", "media": file("text/plain", []byte("text")), "caption": "c"}, "sticker": media("sticker", "image/webp", sample(t, "lossy.webp")),
		"location":     {"type": "location", "location": map[string]any{"latitude": 1, "longitude": 2}},
		"liveLocation": {"type": "liveLocation", "liveLocation": map[string]any{"latitude": 1, "longitude": 2}},
		"contacts":     {"type": "contacts", "contacts": []map[string]any{{"name": "Juan", "phones": []string{"5491123456789"}}}},
		"poll":         {"type": "poll", "poll": map[string]any{"question": "?", "options": []string{"a", "b"}}},
		"event":        {"type": "event", "event": map[string]any{"name": "Party", "startAt": "2030-05-01T20:00:00Z"}},
		"groupInvite":  {"type": "groupInvite", "groupInvite": map[string]any{"groupId": "120363025246125486@g.us", "code": "AbCd", "name": "Others"}},
		"album":        {"type": "album", "album": map[string]any{"images": 2}},
	}
}

// bytesOf is the file of a message, as the phone decrypted it.
func (p phone) bytesOf(m sandbox.Message) []byte {
	p.t.Helper()
	response, err := client.Get(running.SandboxURL + "/phones/" + p.number + "/messages/" + strconv.FormatInt(m.Seq, 10) + "/media")
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		p.t.Fatalf("%d: %v", response.StatusCode, err)
	}
	return data
}

// Feature: Image, video, GIF, round video note, audio, voice, document
func TestFiles(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	film, song, note := sample(t, "turned.mp4"), sample(t, "constant.mp3"), sample(t, "hybrid-mono.ogg")
	for name, c := range map[string]struct {
		content map[string]any
		data    []byte
		looks   func(m sandbox.Message) bool
	}{
		"image": {map[string]any{"type": "image", "media": file("image/png", picture(t)), "caption": "¡Hola!"}, picture(t), func(m sandbox.Message) bool {
			return m.Type == "image" && m.Caption == "¡Hola!" && m.Width == 120 && m.Height == 60 && m.Thumbnail > 0 && m.Mimetype == "image/png"
		}},
		"video": {map[string]any{"type": "video", "media": file("video/mp4", film), "caption": "How"}, film, func(m sandbox.Message) bool {
			return m.Type == "video" && m.Caption == "How" && m.Seconds > 0 && !m.GIF && !m.PTV
		}},
		"GIF":        {map[string]any{"type": "video", "media": file("video/mp4", film), "gif": true}, film, func(m sandbox.Message) bool { return m.Type == "video" && m.GIF && !m.PTV }},
		"video note": {map[string]any{"type": "video", "media": file("video/mp4", film), "videoNote": true}, film, func(m sandbox.Message) bool { return m.Type == "video" && m.PTV && !m.GIF }},
		"audio":      {map[string]any{"type": "audio", "media": file("audio/mpeg", song)}, song, func(m sandbox.Message) bool { return m.Type == "audio" && !m.PTT && m.Seconds > 0 }},
		"voice": {map[string]any{"type": "voice", "media": file("audio/ogg; codecs=opus", note)}, note, func(m sandbox.Message) bool {
			return m.Type == "voice" && m.PTT && m.Seconds > 0 && len(m.Waveform) == 64
		}},
		"document": {map[string]any{"type": "document", "media": map[string]any{"base64": "dGV4dA==", "mimetype": "application/pdf", "fileName": "invoice.pdf"}, "caption": "Yours"},
			[]byte("text"), func(m sandbox.Message) bool {
				return m.Type == "document" && m.FileName == "invoice.pdf" && m.Caption == "Yours" && m.Mimetype == "application/pdf"
			}},
	} {
		m := s.send(bert.number, c.content)
		got := bert.shows(m)
		if got.Media == nil || got.SHA256 != hashOf(c.data) || got.MediaError != "" || !c.looks(got) || got.ViewOnce {
			t.Errorf("%s: the phone shows %+v %+v", name, got.Content, got.Media)
		}
		if s.shownAlike(m, "content", "media", "sha256") != hashOf(c.data) {
			t.Errorf("%s: the answer is %v", name, m.raw)
		}
	}
	for name, content := range map[string]map[string]any{
		"two kinds of video": {"type": "video", "media": file("video/mp4", film), "gif": true, "videoNote": true},
		"no file":            {"type": "image", "media": map[string]any{}},
	} {
		t.Log(name)
		s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": content})
	}
}

// Feature: Sticker: WebP as it is, PNG and JPEG converted, animated
func TestStickers(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	sticker := func(media map[string]any) (message, sandbox.Message) {
		t.Helper()
		m := s.send(bert.number, map[string]any{"type": "sticker", "media": media})
		got := bert.shows(m)
		if got.Type != "sticker" || got.Media == nil || got.Mimetype != "image/webp" || got.MediaError != "" || dig(m.raw, "content", "media", "sha256") != got.SHA256 ||
			(dig(m.raw, "content", "animated") == true) != got.Animated {
			t.Errorf("the phone shows %+v %+v, the answer is %v", got.Content, got.Media, m.raw)
		}
		return m, got
	}
	for name, animated := range map[string]bool{"lossy.webp": false, "alpha.webp": false, "animated.webp": true} {
		data := sample(t, name)
		if m, got := sticker(file("image/webp", data)); got.SHA256 != hashOf(data) || got.Animated != animated {
			t.Errorf("%s: the phone shows %+v, the answer is %v", name, got.Media, m.raw)
		}
	}
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, drawing(), nil); err != nil {
		t.Fatal(err)
	}
	var uploaded struct{ ID string }
	s.must(201, "POST", "/v1/media/fetch", map[string]any{"url": serve(t, "image/png", picture(t))}, &uploaded)
	for name, media := range map[string]map[string]any{"PNG": {"mediaId": uploaded.ID}, "JPEG": file("image/jpeg", photo.Bytes())} {
		_, got := sticker(media)
		made, err := webp.Decode(bytes.NewReader(bert.bytesOf(got)))
		if err != nil || got.Animated || got.Width != 512 || got.Height != 512 {
			t.Fatalf("%s: the phone shows %+v: %v", name, got.Media, err)
		}
		if _, _, _, above := made.At(256, 40).RGBA(); made.Bounds().Dx() != 512 || made.Bounds().Dy() != 512 || above != 0 {
			t.Errorf("%s: it has %v, and an alpha of %d above the picture", name, made.Bounds(), above)
		}
		if _, _, _, inside := made.At(256, 256).RGBA(); inside != 0xffff {
			t.Errorf("%s: it has an alpha of %d inside the picture", name, inside)
		}
	}
	if mediainfo.NewTranscoder("").Available() {
		film := &gif.GIF{}
		for i := range 4 {
			frame := image.NewPaletted(image.Rect(0, 0, 32, 32), color.Palette{color.Black, color.White})
			frame.SetColorIndex(i, i, 1)
			film.Image, film.Delay = append(film.Image, frame), append(film.Delay, 20)
		}
		var out bytes.Buffer
		if err := gif.EncodeAll(&out, film); err != nil {
			t.Fatal(err)
		}
		if _, got := sticker(file("image/gif", out.Bytes())); !got.Animated || !bytes.HasPrefix(bert.bytesOf(got), []byte("RIFF")) {
			t.Errorf("of a GIF: the phone shows %+v", got.Media)
		}
	}
	s.refused("unsupported_media_type", "POST", "/messages", map[string]any{"to": bert.number, "content": map[string]any{"type": "sticker", "media": file("image/png", []byte("no picture"))}})
}

// serve offers a file on this machine, and returns its URL.
func serve(t *testing.T, mimetype string, data []byte) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mimetype)
		_, _ = w.Write(data)
	}))
	t.Cleanup(site.Close)
	return site.URL
}

// Feature: Album
func TestAlbum(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	album := s.send(bert.number, map[string]any{"type": "album", "album": map[string]any{"images": 1, "videos": 1}})
	if got := bert.shows(album); got.Type != "album" || *got.Album != (sandbox.Album{Images: 1, Videos: 1}) {
		t.Errorf("the phone shows %+v", got.Album)
	}
	for id, content := range map[string]map[string]any{
		album.ID:         {"type": "image", "media": file("image/png", picture(t)), "caption": "one"},
		album.WhatsAppID: {"type": "video", "media": file("video/mp4", sample(t, "turned.mp4"))},
	} {
		content["albumId"] = id
		m := s.send(bert.number, content)
		if got := bert.shows(m); got.AlbumID != album.WhatsAppID || got.Media == nil {
			t.Errorf("the phone shows %+v", got)
		}
		if s.shownAlike(m, "content", "albumId") != album.WhatsAppID {
			t.Errorf("the answer is %v", m.raw)
		}
	}
	other := s.send(bert.number, text("no album"))
	carla := newPhone(t, "Carla")
	for name, c := range map[string]struct{ code, to, id string }{
		"no album": {"validation_failed", bert.number, other.ID}, "another chat": {"validation_failed", carla.number, album.ID}, "nothing": {"message_not_found", bert.number, "3EB0NONE"},
	} {
		t.Log(name)
		s.refused(c.code, "POST", "/messages", map[string]any{"to": c.to, "content": map[string]any{"type": "image", "media": file("image/png", picture(t)), "albumId": c.id}})
	}
	s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": map[string]any{"type": "album", "album": map[string]any{"images": 1}}})
}

// Feature: View-once
func TestViewOnce(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	for _, kind := range []string{"image", "video", "voice"} {
		content := everyContent(t)[kind]
		content["viewOnce"] = true
		m := s.send(bert.number, content)
		if got := bert.shows(m); got.Type != kind || !got.ViewOnce || got.MediaError != "" {
			t.Errorf("the phone shows %+v %+v", got.Content, got.Media)
		}
		if s.shownAlike(m, "content", "viewOnce") != true {
			t.Errorf("the answer is %v", m.raw)
		}
	}
	for _, kind := range []string{"document", "sticker", "text", "audio"} {
		content := everyContent(t)[kind]
		content["viewOnce"] = true
		s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": content})
	}
}
