package api

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/netguard"
)

var (
	jpegBytes = []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00 and so on")
	pngBytes  = []byte("\x89PNG\r\n\x1a\n and so on")
)

// A field is a part of a form; one with a file's name is a file.
type field struct{ name, value, filename, contentType string }

func formOf(t testing.TB, fields ...field) (contentType string, body []byte) {
	t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for _, f := range fields {
		header := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q`, f.name)}}
		if f.filename != "" {
			header.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, f.name, f.filename))
		}
		if f.contentType != "" {
			header.Set("Content-Type", f.contentType)
		}
		part, err := w.CreatePart(header)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, f.value) // to memory
	}
	_ = w.Close()
	return w.FormDataContentType(), out.Bytes()
}

func mediaSetup(t *testing.T) *fixture {
	t.Helper()
	f := setup(t, func(c *Config) {
		c.Guard = netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	})
	f.session(legacySessionID)
	return f
}

// sentMedia is what the last message sends.
func (f *fixture) sentMedia() (content, mimetype, fileName, caption string, size int) {
	f.t.Helper()
	err := f.db.QueryRow(f.t.Context(), `SELECT m.type, f.mimetype, f.file_name, coalesce(m.content->>'caption', ''), f.size
		FROM messages m JOIN media f ON 'med_' || replace(f.id::text, '-', '') = m.content->'media'->>'id' ORDER BY m.id DESC LIMIT 1`).Scan(&content, &mimetype, &fileName, &caption, &size)
	if err != nil {
		f.t.Fatal(err)
	}
	return content, mimetype, fileName, caption, size
}

func TestLegacySendMedia(t *testing.T) {
	t.Parallel()
	f := mediaSetup(t)
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "video/mp4")
		_, _ = w.Write([]byte("a film"))
	}))
	t.Cleanup(host.Close)
	session, number := field{name: "sessionId", value: legacySessionID}, field{name: "number", value: "+54 9 11 2345-6789"}
	caption := field{name: "caption", value: "Descripción del archivo"}
	jpeg := field{name: "media", value: string(jpegBytes), filename: "imagen.jpg", contentType: "image/jpeg"}
	encoded := base64.StdEncoding.EncodeToString(pngBytes)
	for name, c := range map[string]struct {
		form []field
		json any
		want string // type, media type, name, caption, size
	}{
		"the original's order":   {form: []field{session, number, caption, jpeg}, want: fmt.Sprint("image image/jpeg imagen.jpg Descripción del archivo ", len(jpegBytes))},
		"the file first":         {form: []field{jpeg, caption, number, session, {name: "unknown", value: "ignored"}}, want: fmt.Sprint("image image/jpeg imagen.jpg Descripción del archivo ", len(jpegBytes))},
		"a type after the file":  {form: []field{session, number, jpeg, {name: "mimetype", value: "application/pdf"}, {name: "filename", value: "a.pdf"}}, want: fmt.Sprint("document application/pdf a.pdf  ", len(jpegBytes))},
		"a type before the file": {form: []field{session, number, {name: "mimetype", value: "video/mp4"}, {name: "filename", value: "a.mp4"}, jpeg}, want: fmt.Sprint("video video/mp4 a.mp4  ", len(jpegBytes))},
		"a type by the name":     {form: []field{session, number, caption, {name: "media", value: "x", filename: "Nota.OGG", contentType: "application/octet-stream"}}, want: "audio audio/ogg Nota.OGG  1"},
		"a type by the content":  {form: []field{session, number, {name: "media", value: string(pngBytes), filename: "noext"}}, want: fmt.Sprint("image image/png noext  ", len(pngBytes))},
		"nobody knows what":      {form: []field{session, number, {name: "media", value: "\x00\x01\x02", filename: "data.xyz"}}, want: "document application/octet-stream data.xyz  3"},
		"a URL in a form":        {form: []field{session, number, {name: "mediaUrl", value: host.URL}}, want: "video video/mp4   6"},
		"base64 in a form":       {form: []field{session, number, {name: "mediaBase64", value: encoded}}, want: fmt.Sprint("image image/png   ", len(pngBytes))},
		"base64":                 {json: map[string]any{"sessionId": legacySessionID, "number": 5491123456789, "mediaBase64": encoded, "filename": "x.png", "other": []int{1}}, want: fmt.Sprint("image image/png x.png  ", len(pngBytes))},
		"a data URL":             {json: map[string]any{"sessionId": legacySessionID, "number": "5491123456789", "caption": "c", "mediaBase64": "data:image/webp;base64," + encoded}, want: fmt.Sprint("image image/webp  c ", len(pngBytes))},
		"a URL":                  {json: map[string]any{"sessionId": legacySessionID, "number": "5491123456789@c.us", "mediaUrl": host.URL, "mimetype": "audio/mpeg", "caption": "lost"}, want: "audio audio/mpeg   6"},
	} {
		a := f.sending(func() answer {
			if c.json != nil {
				return f.plainJSON("/api/send-media", c.json)
			}
			contentType, body := formOf(t, c.form...)
			return f.plain("POST", "/api/send-media", contentType, bytes.NewReader(body))
		})
		f.golden(a, 200, `{"success":true,"messageId":"WID","id":"MSG","status":"sent","timestamp":0}`)
		kind, mimetype, fileName, caption, size := f.sentMedia()
		if got := fmt.Sprint(kind, " ", mimetype, " ", fileName, " ", caption, " ", size); got != c.want {
			t.Errorf("%s: sent %q, want %q", name, got, c.want)
		}
	}
}

func TestLegacySendMediaOnce(t *testing.T) {
	t.Parallel()
	f := mediaSetup(t)
	fields := []field{{name: "sessionId", value: legacySessionID}, {name: "number", value: "5491123456789"}, {name: "media", value: string(jpegBytes), filename: "imagen.jpg", contentType: "image/jpeg"}}
	post := func(fields ...field) answer {
		contentType, body := formOf(t, fields...)
		return f.plain("POST", "/api/send-media", contentType, bytes.NewReader(body), "Idempotency-Key", "one")
	}
	first := f.sending(func() answer { return post(fields...) })
	fields[0], fields[2] = fields[2], fields[0]
	if again := post(fields...); again.StatusCode != 200 || string(again.body) != string(first.body) {
		t.Errorf("%s, repeated %d %s", first.body, again.StatusCode, again.body)
	}
	fields[0].value = "another file"
	f.legacyProblem(post(fields...), IdempotencyKeyReused)
	if f.count("messages") != 1 || f.count("media") != 1 {
		t.Errorf("%d messages, %d media", f.count("messages"), f.count("media"))
	}
}

func TestLegacyFormsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := mediaSetup(t)
	session, number := field{name: "sessionId", value: legacySessionID}, field{name: "number", value: "5491123456789"}
	jpeg := field{name: "media", value: string(jpegBytes), filename: "imagen.jpg", contentType: "image/jpeg"}
	for name, c := range map[string]struct {
		form []field
		cut  int // bytes from the end that never come
		code Code
		says string
	}{
		"two files":                  {form: []field{session, number, jpeg, jpeg}, code: ValidationFailed, says: "one file"},
		"a file and a URL":           {form: []field{session, number, jpeg, {name: "mediaUrl", value: "https://203.0.113.9/"}}, code: ValidationFailed, says: "media"},
		"no file":                    {form: []field{session, number}, code: ValidationFailed, says: "media"},
		"no session":                 {form: []field{number, jpeg}, code: ValidationFailed, says: "sessionId"},
		"an unknown session":         {form: []field{{name: "sessionId", value: "nobody"}, number, jpeg}, code: SessionNotFound, says: "nobody"},
		"an unknown session, late":   {form: []field{jpeg, number, {name: "sessionId", value: "nobody"}}, code: SessionNotFound, says: "nobody"},
		"a bad number":               {form: []field{jpeg, session, {name: "number", value: "CALLME"}}, code: ValidationFailed, says: "number"},
		"U+0000":                     {form: []field{jpeg, session, number, {name: "caption", value: "a\x00"}}, code: ValidationFailed, says: "caption"},
		"a long field":               {form: []field{session, number, {name: "caption", value: strings.Repeat("x", maxField+1)}, jpeg}, code: PayloadTooLarge, says: "caption"},
		"a long field nobody knows":  {form: []field{session, number, {name: "file", value: strings.Repeat("x", maxField+1), filename: "x"}}, code: ValidationFailed, says: "media"},
		"too many parts":             {form: append(bytesOfFields(maxParts), session), code: PayloadTooLarge, says: "parts"},
		"a metadata address":         {form: []field{session, number, {name: "mediaUrl", value: "http://169.254.169.254/"}}, code: MediaFetchFailed},
		"no base64":                  {form: []field{session, number, {name: "mediaBase64", value: "?!"}}, code: ValidationFailed},
		"cut off in the file":        {form: []field{session, number, jpeg}, cut: 80, code: BadRequest},
		"cut off behind the file":    {form: []field{session, jpeg, number}, cut: 90, code: ValidationFailed, says: "number"},
		"cut off in the last border": {form: []field{session, number, jpeg}, cut: 10, code: BadRequest},
	} {
		contentType, body := formOf(t, c.form...)
		p := f.legacyProblem(f.plain("POST", "/api/send-media", contentType, bytes.NewReader(body[:len(body)-c.cut])), c.code)
		if !strings.Contains(p.Sentence, c.says) {
			t.Errorf("%s: error %q, want %q in it", name, p.Sentence, c.says)
		}
	}
	// A connection that ends in the middle of the file.
	contentType, body := formOf(t, session, number, field{name: "media", value: strings.Repeat("x", 1<<20), filename: "x.bin"})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	ended := strings.Count(f.log.String(), "status=400")
	fmt.Fprintf(conn, "POST /api/send-media HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", testKey, contentType, len(body), body[:len(body)/2])
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil { // it may see the connection as gone
		raw, _ := io.ReadAll(response.Body)
		f.legacyProblem(answer{response, raw}, BadRequest)
	}
	f.eventually("the request's end", func() bool { return strings.Count(f.log.String(), "status=400") > ended })
	if f.count("messages") != 0 || f.count("media") != 0 {
		t.Errorf("%d messages and %d media stay of what was refused", f.count("messages"), f.count("media"))
	}
}

func bytesOfFields(n int) (fields []field) {
	for i := range n {
		fields = append(fields, field{name: fmt.Sprint("f", i), value: "x"})
	}
	return fields
}
