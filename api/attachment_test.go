package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/tests3"
)

// local lets fetches reach this machine.
func local(c *Config) {
	c.Guard = netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}

// A website is where files are fetched from.
func website(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/pictures/cat.png", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(picture())
	})
	mux.HandleFunc("/named", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pdf")
		w.Header().Set("Content-Disposition", `attachment; filename="../invoice.pdf"`)
		_, _ = io.WriteString(w, "pdf")
	})
	mux.HandleFunc("/redirect/{n}", func(w http.ResponseWriter, r *http.Request) {
		n := len(r.PathValue("n"))
		if n == 0 {
			n = 1
		}
		to := "/named"
		if n > 1 {
			to = "/redirect/" + strings.Repeat("i", n-1)
		}
		http.Redirect(w, r, to, http.StatusFound)
	})
	for path, to := range map[string]string{"/elsewhere": "http://169.254.169.254/latest/meta-data/", "/file": "file:///etc/passwd"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", to); w.WriteHeader(302) })
	}
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100001)) }) // with Content-Length, which Write adds below 2 KiB only
	mux.HandleFunc("/large-said", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100001")
		_, _ = w.Write(make([]byte, 100001))
	})
	mux.HandleFunc("/html", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<!doctype html><p>log in</p>") })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(make([]byte, 100))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 100))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/strange", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png; a=\"\xff\"")
		w.Header().Set("Content-Disposition", "attachment; filename=\"a\xff\"")
		_, _ = w.Write(picture())
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// picture is a PNG of 40 by 30 pixels.
func picture() []byte {
	var out bytes.Buffer
	_ = png.Encode(&out, image.NewGray(image.Rect(0, 0, 40, 30))) // a buffer takes everything
	return out.Bytes()
}

func TestFetchMedia(t *testing.T) {
	t.Parallel()
	f := setup(t, local, func(c *Config) { c.MediaMaxBytes = 100000 })
	site := website(t)
	var info MediaInfo
	for url, want := range map[string][2]string{
		"/pictures/cat.png": {"image/png", "cat.png"}, "/named": {"application/pdf", ".._invoice.pdf"}, "/redirect/iiiii": {"application/pdf", ".._invoice.pdf"},
		"/strange": {"application/octet-stream", "a_"},
	} {
		if f.must(201, &info, "POST", "/v1/media/fetch", map[string]string{"url": site.URL + url}); info.Mimetype != want[0] || info.FileName != want[1] {
			t.Errorf("%s: %+v", url, info)
		}
	}
	f.must(201, &info, "POST", "/v1/media/fetch", map[string]string{"url": site.URL + "/named", "mimetype": "text/plain", "fileName": "x.txt"})
	if info.Mimetype != "text/plain" || info.FileName != "x.txt" || info.SHA256 != hashOf("pdf") {
		t.Errorf("%+v", info)
	}
	kept := f.kept()
	for url, code := range map[string]Code{
		site.URL + "/redirect/iiiiii": MediaFetchFailed, site.URL + "/elsewhere": MediaFetchFailed, site.URL + "/file": MediaFetchFailed, site.URL + "/missing": MediaFetchFailed,
		site.URL + "/large": MediaTooLarge, site.URL + "/large-said": MediaTooLarge, site.URL + "/cut": MediaFetchFailed,
		"http://127.0.0.1:1/": MediaFetchFailed, "http://10.0.0.1/": MediaFetchFailed, "http://[::ffff:169.254.169.254]/": MediaFetchFailed, "http://user:geheim@10.0.0.1/": MediaFetchFailed,
		"ftp://127.0.0.1/": MediaFetchFailed, "/x": MediaFetchFailed, "http://2130706433/": MediaFetchFailed, "x": MediaFetchFailed,
		"http://user:geheim@127.0.0.1:1/": MediaFetchFailed,
	} {
		if p := f.problem(f.do("POST", "/v1/media/fetch", map[string]string{"url": url}), code); strings.Contains(fmt.Sprint(p), "geheim") {
			t.Errorf("%s: the answer tells the password", url)
		}
	}
	f.problem(f.do("POST", "/v1/media/fetch", map[string]string{"url": site.URL + "/named", "mimetype": "pdf"}), ValidationFailed)
	if strings.Contains(f.log.String(), "geheim") {
		t.Error("the log tells the password")
	}
	// A server that stands still.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := f.fetch(ctx, "body.url", site.URL+"/slow"); err == nil || !strings.Contains(err.Error(), "120 seconds") {
		t.Errorf("slow: %v", err)
	}
	if got := f.kept(); got != kept {
		t.Errorf("kept are %s, were %s", got, kept)
	}
	// Once is enough.
	first := f.must(201, nil, "POST", "/v1/media/fetch", map[string]string{"url": site.URL + "/named"}, "Idempotency-Key", "k")
	body := map[string]string{"url": site.URL + "/named"}
	site.Close()
	if again := f.must(201, nil, "POST", "/v1/media/fetch", body, "Idempotency-Key", "k"); string(again.body) != string(first.body) {
		t.Errorf("again %s", again.body)
	}
}

// sample reads a file that mediainfo is tested with.
func sample(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile("../infra/mediainfo/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func document(media map[string]any) map[string]any {
	return map[string]any{"to": "5491123456789", "content": map[string]any{"type": "document", "media": media}}
}

func TestSendEachTypeFromEachSource(t *testing.T) {
	t.Parallel()
	f := setup(t, local)
	sales := f.session("sales")
	site := website(t)
	mux := http.NewServeMux()
	site.Config.Handler = mux
	details := map[string]func(postgres.Details) bool{
		"image": func(d postgres.Details) bool { return d.Width == 40 && d.Height == 30 && len(d.Thumbnail) > 0 }, "sticker": func(d postgres.Details) bool { return d.Width > 0 },
		"audio": func(d postgres.Details) bool { return d.Seconds > 0 }, "voice": func(d postgres.Details) bool { return d.Seconds > 0 && len(d.Waveform) == 64 },
		"video": func(d postgres.Details) bool { return d.Seconds > 0 }, "document": func(d postgres.Details) bool { return d.Width == 0 },
	}
	sent := 0
	for kind, c := range map[string]struct {
		content  []byte
		mimetype string
		extra    map[string]any
	}{
		"image": {picture(), "image/png", map[string]any{"caption": "¡Hola!", "viewOnce": true}}, "sticker": {sample(t, "lossy.webp"), "image/webp", nil},
		"video": {sample(t, "turned.mp4"), "video/mp4", map[string]any{"caption": "c", "gif": true}}, "audio": {sample(t, "constant.mp3"), "audio/mpeg", nil},
		"voice": {sample(t, "hybrid-mono.ogg"), "audio/ogg; codecs=opus", map[string]any{"viewOnce": true}}, "document": {[]byte("text"), "application/pdf", map[string]any{"caption": "c"}},
	} {
		mux.HandleFunc("/"+kind+".bin", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.mimetype)
			_, _ = w.Write(c.content)
		})
		text := base64.StdEncoding.EncodeToString(c.content)
		for source, media := range map[string]map[string]any{
			"mediaId": {"mediaId": f.upload(c.mimetype, string(c.content)).ID}, "url": {"url": site.URL + "/" + kind + ".bin"},
			"base64": {"base64": text}, "data URL": {"base64": "data:" + c.mimetype + ";base64," + text}, "named": {"base64": text, "mimetype": c.mimetype, "fileName": "a/b"},
		} {
			content := map[string]any{"type": kind, "media": media}
			for name, value := range c.extra {
				content[name] = value
			}
			var m events.Message
			a := f.must(202, &m, "POST", sales+"/messages", map[string]any{"to": "5491123456789", "content": content})
			sent++
			if m.Content.Type != kind || m.Content.Media == nil || m.Content.Media.SHA256 != hashOf(string(c.content)) || m.Content.Media.Size != int64(len(c.content)) ||
				m.Content.Media.URL != f.base+"/v1/media/"+m.Content.Media.ID+"/content" || m.Content.Caption != fmt.Sprint(c.extra["caption"]) && m.Content.Caption != "" ||
				m.Content.ViewOnce != (c.extra["viewOnce"] == true) || m.Content.GIF != (c.extra["gif"] == true) {
				t.Errorf("%s by %s: %s", kind, source, a.body)
			}
			want := c.mimetype
			if source == "base64" {
				want = fitting[kind][0]
			}
			if m.Content.Media.Mimetype != want || source == "named" && m.Content.Media.FileName != "a_b" || source == "url" && m.Content.Media.FileName != kind+".bin" {
				t.Errorf("%s by %s: %+v", kind, source, m.Content.Media)
			}
			if b := f.must(200, nil, "GET", a.Header.Get("Location"), nil); string(b.body) != string(a.body) {
				t.Errorf("%s by %s: read %s, sent %s", kind, source, b.body, a.body)
			}
			id, _ := events.MessagePrefix.Parse(m.ID)
			var raw []byte
			var mediaID uuid.UUID
			err := f.db.QueryRow(t.Context(), `SELECT f.id, f.details FROM messages m JOIN media f ON f.id = m.media_id AND f.object = f.sha256 AND f.session_id IS NULL WHERE m.id = $1`, id).Scan(&mediaID, &raw)
			if err != nil || events.MediaPrefix.Format(mediaID) != m.Content.Media.ID {
				t.Fatalf("%s by %s: media %s, %v", kind, source, mediaID, err)
			}
			if d, err := postgres.ReadDetails(raw); err != nil || !details[kind](d) {
				t.Errorf("%s by %s: %s, %v", kind, source, raw, err)
			}
		}
	}
	if n := len(f.commands()); n != sent || f.kept() != fmt.Sprintf("media %d, objects 6, uploads 0", sent+6-6) {
		t.Errorf("%d commands of %d messages; kept are %s", n, sent, f.kept())
	}
}

func TestFilesAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t, local, func(c *Config) { c.MediaMaxBytes = 20 << 20 })
	sales := f.session("sales")
	f.session("out")
	f.exec("UPDATE sessions SET state = 'logged_out' WHERE id = 'out'")
	site := website(t)
	asked := 0
	counted := http.NewServeMux()
	counted.HandleFunc("/", func(http.ResponseWriter, *http.Request) { asked++ })
	counter := httptest.NewServer(counted)
	defer counter.Close()
	_, pending := f.pending("sales", "x")
	gone := f.upload("text/plain", "gone")
	f.exec(`UPDATE media SET status = 'expired', object = NULL WHERE status = 'ready'`)
	pdf := f.upload("application/pdf", "pdf").ID
	before, kept := f.written(), f.kept()
	const unknown = "med_00000000000070008000000000000000"
	send := func(kind string, media any) map[string]any {
		return map[string]any{"to": "5491123456789", "content": map[string]any{"type": kind, "media": media}}
	}
	type media = map[string]any
	for name, c := range map[string]struct {
		body any
		code Code
	}{
		"no source":               {send("image", media{}), ValidationFailed},
		"no media":                {map[string]any{"to": "5491123456789", "content": media{"type": "image"}}, ValidationFailed},
		"media is null":           {send("image", nil), ValidationFailed},
		"media is a text":         {send("image", "x"), ValidationFailed},
		"two sources":             {send("image", media{"mediaId": pdf, "base64": "eHg="}), ValidationFailed},
		"an unknown field":        {send("image", media{"mediaId": pdf, "size": 1}), ValidationFailed},
		"a text with media":       {map[string]any{"to": "5491123456789", "content": media{"type": "text", "text": "x", "media": media{"mediaId": pdf}}}, ValidationFailed},
		"a sticker's caption":     {map[string]any{"to": "5491123456789", "content": media{"type": "sticker", "caption": "x", "media": media{"mediaId": pdf}}}, ValidationFailed},
		"a mimetype that is none": {send("image", media{"base64": "eHg=", "mimetype": "image"}), ValidationFailed},
		"no base64":               {send("document", media{"base64": "$$$$"}), ValidationFailed},
		"base64 without padding":  {send("document", media{"base64": "eHg"}), ValidationFailed},
		"base64 and more":         {send("document", media{"base64": "eHg=eHg="}), ValidationFailed},
		"base64 of URLs":          {send("document", media{"base64": "_-__"}), ValidationFailed},
		"a data URL of text":      {send("document", media{"base64": "data:text/plain,hello"}), ValidationFailed},
		"no data URL":             {send("document", media{"base64": "data:;base64"}), ValidationFailed},
		"unknown media":           {send("document", media{"mediaId": unknown}), MediaNotFound},
		"no media's id":           {send("document", media{"mediaId": "x"}), MediaNotFound},
		"media on its way":        {send("image", media{"mediaId": pending}), MediaPending},
		"media that is gone":      {send("document", media{"mediaId": gone.ID}), MediaExpired},
		"a PDF as an image":       {send("image", media{"mediaId": pdf}), UnsupportedMediaType},
		"HTML as an image":        {send("image", media{"url": site.URL + "/html"}), UnsupportedMediaType},
		"an image as a voice":     {send("voice", media{"url": site.URL + "/pictures/cat.png"}), UnsupportedMediaType},
		"no audio as a voice":     {send("voice", media{"base64": "eHg=", "mimetype": "audio/mpeg"}), UnsupportedMediaType},
		"a missing file":          {send("image", media{"url": site.URL + "/missing"}), MediaFetchFailed},
		"a blocked address":       {send("image", media{"url": "http://169.254.169.254/"}), MediaFetchFailed},
	} {
		t.Log(name)
		f.problem(f.do("POST", sales+"/messages", c.body, "Idempotency-Key", "refused"), c.code)
	}
	f.problem(f.do("POST", "/v1/sessions/nobody/messages", send("image", media{"url": counter.URL})), SessionNotFound)
	f.problem(f.do("POST", "/v1/sessions/out/messages", send("image", media{"url": counter.URL})), SessionLoggedOut)
	if asked != 0 {
		t.Error("a file was fetched for a session that takes none")
	}
	long := strings.Repeat("A", maxBase64+4)
	for name, body := range map[string]string{
		"base64 too long": `{"to":"5491123456789","content":{"type":"document","media":{"base64":"` + long + `"}}}`,
		"a body too long": `{"to":"5491123456789","content":{"type":"document","media":{"base64":"` + long + strings.Repeat("A", 2<<20) + `"}}}`,
	} {
		a := f.do("POST", sales+"/messages", body)
		if a.StatusCode != 413 || !strings.Contains(string(a.body), "multipart/form-data") {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if f.written() != before || f.kept() != kept {
		t.Errorf("written: %s; %s, was %s; %s", f.written(), f.kept(), before, kept)
	}
	// What is just small enough is taken.
	var m events.Message
	f.must(202, &m, "POST", sales+"/messages", send("document", media{"base64": long[:maxBase64]}))
	if m.Content.Media.Size != maxBase64/4*3 {
		t.Errorf("%d bytes", m.Content.Media.Size)
	}
}

func TestAnIdempotentMessageWithAFile(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	body := document(map[string]any{"base64": base64.StdEncoding.EncodeToString([]byte("file"))})
	first := f.must(202, nil, "POST", sales+"/messages", body, "Idempotency-Key", "k")
	again := f.must(202, nil, "POST", sales+"/messages", body, "Idempotency-Key", "k")
	if string(first.body) != string(again.body) || again.Header.Get("Idempotency-Replayed") != "true" || f.kept() != "media 1, objects 1, uploads 0" {
		t.Errorf("again %s; kept are %s", again.body, f.kept())
	}
	// A key whose time is over and that is not swept yet makes a new message, with its file.
	f.exec("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
	var m events.Message
	if a := f.must(202, &m, "POST", sales+"/messages", body, "Idempotency-Key", "k"); m.Content.Media == nil || m.Content.Media.SHA256 != hashOf("file") || a.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("after a day: %s", a.body)
	}
	if n := f.count("messages m JOIN media f ON f.id = m.media_id"); n != 2 {
		t.Errorf("%d messages with a file", n)
	}
}

func TestAFileThatIsDeletedWhileItsMessageIsQueued(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	for change, want := range map[string]Code{"DELETE FROM media": MediaNotFound, "UPDATE media SET status = 'expired', object = NULL": MediaExpired} {
		from := mediaSource{MediaID: f.upload("text/plain", "x").ID}
		file, err := f.attach(t.Context(), "body", events.ContentDocument, from)
		if err != nil {
			t.Fatal(err)
		}
		f.exec(change)
		var message sendMessage
		message.Content.Type, message.Content.Media = events.ContentDocument, &events.Media{}
		err = f.queue.InTx(t.Context(), func(tx *queue.Tx) error {
			_, err := f.queueMessage(t.Context(), tx, "sales", "5491123456789@s.whatsapp.net", message, file)
			return err
		})
		if p, ok := err.(*Problem); !ok || p.Code != want {
			t.Errorf("%s: %v", change, err)
		}
	}
}

// A large body is let go of before the answer waits, or the bound on those in memory would bound nothing.
func TestALargeBodyIsLetGoOf(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	body := document(map[string]any{"base64": base64.StdEncoding.EncodeToString(make([]byte, 2<<20))})
	waiting := make(chan answer, largeBodies+1)
	for i := range largeBodies + 1 {
		go func() { waiting <- f.do("POST", sales+"/messages", body, "Prefer", fmt.Sprint("wait=", 2+i%2)) }()
	}
	f.eventually("all of them are queued, though each waits to be sent", func() bool { return f.count("messages") == largeBodies+1 })
	if len(f.large) != 0 {
		t.Errorf("%d places of large bodies are taken", len(f.large))
	}
	for range largeBodies + 1 {
		if a := <-waiting; a.StatusCode != 202 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}

func TestFilesWhileS3IsDown(t *testing.T) {
	t.Parallel()
	server := tests3.Start(t)
	objects, err := s3.Open(t.Context(), server.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	f := setup(t, func(c *Config) { c.S3 = objects })
	sales := f.session("sales")
	info := f.upload("audio/mpeg", string(sample(t, "constant.mp3")))
	server.Stop()
	f.problem(f.do("POST", "/v1/media", form(part{"file", `; filename="f"`, "x"}), multipartType...), Unavailable)
	f.problem(f.do("POST", sales+"/messages", document(map[string]any{"base64": "eHg="})), Unavailable)
	f.problem(f.do("GET", "/v1/media/"+info.ID+"/content", nil), Unavailable)
	// What is there already can be sent: the connector reads it.
	a := f.must(202, nil, "POST", sales+"/messages", document(map[string]any{"mediaId": info.ID}))
	if !json.Valid(a.body) || f.kept() != "media 1, objects 1, uploads 0" {
		t.Errorf("kept are %s", f.kept())
	}
}
