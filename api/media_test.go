package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediastore"
)

const boundary = "b0undary"

// A part is one of a multipart body; header is what stands beside its name.
type part struct{ name, header, content string }

// form writes a multipart body.
func form(parts ...part) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q%s\r\n\r\n%s\r\n", boundary, p.name, p.header, p.content)
	}
	return b.String() + "--" + boundary + "--\r\n"
}

var multipartType = []string{"Content-Type", "multipart/form-data; boundary=" + boundary}

func hashOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// upload stores a file and returns what the API says of it.
func (f *fixture) upload(mimetype, content string) (info MediaInfo) {
	f.t.Helper()
	body := form(part{"file", "; filename=\"f\"\r\nContent-Type: " + mimetype, content})
	f.must(201, &info, "POST", "/v1/media", body, multipartType...)
	return info
}

// pending writes a received message with a file that is on its way.
func (f *fixture) pending(session, content string) (id uuid.UUID, publicID string) {
	f.t.Helper()
	id, message := events.NewID(), events.NewID()
	f.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
		VALUES ($1, $2, 'a', $3, 'incoming', 'delivered', 'image', '{}', now())`, message, session, message.String())
	sum := sha256.Sum256([]byte(content))
	f.exec(`INSERT INTO media (id, session_id, message_id, status, mimetype, size, sha256) VALUES ($1, $2, $3, 'pending', 'image/jpeg', $4, $5)`,
		id, session, message, len(content), sum[:])
	return id, events.MediaPrefix.Format(id)
}

// ready makes its bytes be there, as the dispatcher does.
func (f *fixture) ready(id uuid.UUID, content string) {
	f.t.Helper()
	blob, err := f.store.Save(f.t.Context(), strings.NewReader(content), -1, 1<<20, "image/jpeg")
	if err != nil {
		f.t.Fatal(err)
	}
	err = f.queue.InTx(f.t.Context(), func(tx *queue.Tx) error {
		_, err := f.store.Ready(f.t.Context(), tx, id, blob)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// kept is how much there is of media, but for what the next sweep removes.
func (f *fixture) kept() string {
	f.t.Helper()
	return fmt.Sprintf("media %d, objects %d, uploads %d", f.count("media"), f.count("objects"), f.count("uploads WHERE expires_at > now()"))
}

func TestUpload(t *testing.T) {
	t.Parallel()
	f := setup(t)
	named := func(name, mimetype string) string {
		header := fmt.Sprintf("; filename=%q", name)
		if mimetype != "" {
			header += "\r\nContent-Type: " + mimetype
		}
		return header
	}
	for name, c := range map[string]struct {
		parts              []part
		mimetype, fileName string
	}{
		"what the part says":     {[]part{{"file", named("a.pdf", "application/pdf"), "one"}}, "application/pdf", "a.pdf"},
		"by its extension":       {[]part{{"file", named("a.PNG", ""), "one"}}, "image/png", "a.PNG"},
		"octets with a name":     {[]part{{"file", named("a.pdf", "application/octet-stream"), "one"}}, "application/pdf", "a.pdf"},
		"nothing is known":       {[]part{{"file", named("a", ""), "one"}}, "application/octet-stream", "a"},
		"fields before":          {[]part{{"mimetype", "", "image/webp"}, {"fileName", "", "x.webp"}, {"file", named("a.pdf", ""), "one"}}, "image/webp", "x.webp"},
		"fields after":           {[]part{{"file", named("a.pdf", ""), "one"}, {"fileName", "", "x.webp"}, {"mimetype", "", "image/webp"}}, "image/webp", "x.webp"},
		"folders in its name":    {[]part{{"fileName", "", "../../etc\\pass\x01wd"}, {"file", named("a", ""), "one"}}, "application/octet-stream", ".._.._etc_pass_wd"},
		"folders in the part":    {[]part{{"file", named("/etc/passwd", ""), "one"}}, "application/octet-stream", "passwd"},
		"a type not in UTF-8":    {[]part{{"file", named("a.pdf", "image/png; a=\"\xff\""), "one"}}, "application/pdf", "a.pdf"},
		"a type that is no type": {[]part{{"file", named("a.pdf", "<script>"), "one"}}, "application/pdf", "a.pdf"},
	} {
		var info MediaInfo
		a := f.must(201, &info, "POST", "/v1/media", form(c.parts...), multipartType...)
		if info.Mimetype != c.mimetype || info.FileName != c.fileName || info.Status != "ready" || info.Size != 3 || info.SHA256 != hashOf("one") ||
			info.URL != f.base+"/v1/media/"+info.ID+"/content" || a.Header.Get("Location") != "/v1/media/"+info.ID {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	if got := f.kept(); got != "media 10, objects 1, uploads 0" { // one content
		t.Errorf("kept are %s", got)
	}
	large := strings.Repeat("0123456789abcdef", 11<<16) // 11 MiB: three parts
	info := f.upload("text/plain", large)
	if info.Size != int64(len(large)) || info.SHA256 != hashOf(large) {
		t.Errorf("a large file: %+v", info)
	}
}

func TestUploadsAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.MediaMaxBytes = 1000 })
	file := part{"file", `; filename="f"`, "content"}
	var many []part
	for i := range 21 {
		many = append(many, part{fmt.Sprint("field", i), "", "x"})
	}
	before := f.written()
	for name, c := range map[string]struct {
		body        string
		contentType string
		code        Code
	}{
		"no file":                  {form(part{"fileName", "", "x"}), "", ValidationFailed},
		"nothing":                  {form(), "", ValidationFailed},
		"an empty file":            {form(part{"file", `; filename="f"`, ""}), "", ValidationFailed},
		"two files":                {form(file, file), "", ValidationFailed},
		"a file of another name":   {form(part{"media", `; filename="f"`, "content"}), "", ValidationFailed},
		"a field of another name":  {form(file, part{"size", "", "7"}), "", ValidationFailed},
		"a mimetype that is none":  {form(file, part{"mimetype", "", "image"}), "", ValidationFailed},
		"a mimetype with NUL":      {form(file, part{"mimetype", "", "image/png; a=\"\x00\""}), "", ValidationFailed},
		"a name that is not UTF-8": {form(file, part{"fileName", "", "\xff"}), "", ValidationFailed},
		"a field too large":        {form(file, part{"fileName", "", strings.Repeat("x", 65<<10)}), "", PayloadTooLarge},
		"too many parts":           {form(append([]part{file}, many...)...), "", PayloadTooLarge},
		"too large":                {form(part{"file", `; filename="f"`, strings.Repeat("x", 1001)}), "", MediaTooLarge},
		"far too large":            {form(part{"file", `; filename="f"`, strings.Repeat("x", 3<<20)}), "", MediaTooLarge},
		"JSON":                     {`{"url":"https://example.com"}`, "application/json", UnsupportedMediaType},
		"another multipart":        {form(file), "multipart/mixed; boundary=" + boundary, UnsupportedMediaType},
		"no boundary":              {form(file), "multipart/form-data", BadRequest},
		"another boundary":         {form(file), "multipart/form-data; boundary=other", BadRequest},
		"cut off":                  {strings.TrimSuffix(form(file), "--"+boundary+"--\r\n"), "", BadRequest},
		"cut off in the file":      {form(file)[:90], "", BadRequest},
		"a header with NUL":        {form(part{"file", "; filename=\"f\"\r\nContent-Type: image/png; a=\"\x00\"", "x"}), "", BadRequest},
		"a header that is none":    {"--" + boundary + "\r\nnonsense\r\n\r\nx\r\n--" + boundary + "--\r\n", "", BadRequest},
		"a part without a name":    {"--" + boundary + "\r\nContent-Type: text/plain\r\n\r\nx\r\n--" + boundary + "--\r\n", "", BadRequest},
		"no body":                  {"", "", BadRequest},
	} {
		contentType := multipartType[1]
		if c.contentType != "" {
			contentType = c.contentType
		}
		t.Log(name)
		f.problem(f.do("POST", "/v1/media", c.body, "Content-Type", contentType, "Idempotency-Key", "refused"), c.code)
	}
	if got := f.kept(); got != "media 0, objects 0, uploads 0" || f.written() != before {
		t.Errorf("kept are %s; %s", got, f.written())
	}
}

// slowly opens a connection and sends the beginning of an upload of 1,000 bytes.
func (f *fixture) slowly() net.Conn {
	f.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(f.t.Context(), "tcp", f.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	body := form(part{"file", `; filename="f"`, strings.Repeat("x", 900)})
	fmt.Fprintf(conn, "POST /v1/media HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", testKey, multipartType[1], len(body), body[:300])
	return conn
}

func TestAnUploadThatStandsStill(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.limits = defaultLimits; c.limits.stall = 300 * time.Millisecond })
	conn := f.slowly()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) || !bytes.Contains(answer, []byte(`"request_timeout"`)) {
		t.Errorf("answered %q, %v", answer, err)
	}
	if got := f.kept(); got != "media 0, objects 0, uploads 0" {
		t.Errorf("kept are %s", got)
	}
}

func TestFilesAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.limits = defaultLimits; c.limits.stall = 500 * time.Millisecond })
	for range savings {
		f.saving <- struct{}{}
	}
	f.problem(f.do("POST", "/v1/media", form(part{"file", `; filename="f"`, "x"}), multipartType...), Unavailable)
	<-f.saving
	f.upload("text/plain", "x")
	if len(f.saving) != savings-1 {
		t.Errorf("%d places are taken", len(f.saving))
	}
}

func TestAnUploadWhoseClientLeaves(t *testing.T) {
	t.Parallel()
	f := setup(t)
	conn := f.slowly()
	f.eventually("the upload's begin", func() bool { return f.count("uploads") == 1 })
	conn.Close()
	f.eventually("its end", func() bool { return f.kept() == "media 0, objects 0, uploads 0" })
}

func TestAnIdempotentUpload(t *testing.T) {
	t.Parallel()
	f := setup(t)
	send := func(content, boundaryOf string, key string) answer {
		body := strings.ReplaceAll(form(part{"file", `; filename="f.txt"`, content}), boundary, boundaryOf)
		return f.do("POST", "/v1/media", body, "Content-Type", "multipart/form-data; boundary="+boundaryOf, "Idempotency-Key", key)
	}
	first := send("one", "aaa", "k")
	again := send("one", "bbb", "k") // HTTP clients choose another boundary each time
	if first.StatusCode != 201 || again.StatusCode != 201 || string(again.body) != string(first.body) || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("first %d %s, again %d %s", first.StatusCode, first.body, again.StatusCode, again.body)
	}
	f.problem(send("two", "aaa", "k"), IdempotencyKeyReused)
	if got := f.kept(); got != "media 1, objects 1, uploads 0" {
		t.Errorf("kept are %s", got)
	}
	// What its replays abandon is their own.
	f.exec("UPDATE objects SET created_at = now() - interval '1 hour'")
	if _, err := f.store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	var info MediaInfo
	f.must(200, &info, "GET", first.Header.Get("Location"), nil)
	if a := f.must(200, nil, "GET", first.Header.Get("Location")+"/content", nil); string(a.body) != "one" {
		t.Errorf("content %q", a.body)
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	info := f.upload("text/plain", "0123456789")
	path := "/v1/media/" + info.ID + "/content"
	tag := `"` + hashOf("0123456789") + `"`
	for name, c := range map[string]struct {
		method  string
		headers []string
		status  int
		want    string
	}{
		"all":                    {"GET", nil, 200, "0123456789"},
		"a range":                {"GET", []string{"Range", "bytes=2-4"}, 206, "234"},
		"the end":                {"GET", []string{"Range", "bytes=-3"}, 206, "789"},
		"from a place":           {"GET", []string{"Range", "bytes=7-"}, 206, "789"},
		"the range as it was":    {"GET", []string{"Range", "bytes=2-4", "If-Range", tag}, 206, "234"},
		"the range of another":   {"GET", []string{"Range", "bytes=2-4", "If-Range", `"x"`}, 200, "0123456789"},
		"several ranges are all": {"GET", []string{"Range", "bytes=1-2,4-5"}, 200, "0123456789"},
		"no part":                {"GET", []string{"Range", "bytes=10-"}, 416, ""},
		"nonsense":               {"GET", []string{"Range", "bytes=x"}, 416, ""},
		"known":                  {"GET", []string{"If-None-Match", tag}, 304, ""},
		"another known":          {"GET", []string{"If-None-Match", `"x"`}, 200, "0123456789"},
		"head":                   {"HEAD", nil, 200, ""},
	} {
		a := f.do(c.method, path, nil, c.headers...)
		if a.StatusCode != c.status || c.status < 400 && string(a.body) != c.want {
			t.Errorf("%s: %d %q", name, a.StatusCode, a.body)
		}
		if c.status == 200 && (a.Header.Get("Content-Length") != "10" || a.Header.Get("ETag") != tag || a.Header.Get("Accept-Ranges") != "bytes" ||
			!strings.Contains(a.Header.Get("Cache-Control"), "immutable") || a.Header.Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%s: %v", name, a.Header)
		}
		if c.status == 206 && !strings.HasSuffix(a.Header.Get("Content-Range"), "/10") {
			t.Errorf("%s: %v", name, a.Header)
		}
	}
	ticket := "?ticket=" + f.ticket(ticketMedia).Ticket
	for range 2 { // any number of times
		if a := f.must(200, nil, "GET", path+ticket, nil, "X-API-Key", ""); string(a.body) != "0123456789" {
			t.Errorf("by ticket: %q", a.body)
		}
	}
	f.problem(f.do("GET", path+"?ticket="+f.ticket(ticketStream).Ticket, nil, "X-API-Key", ""), Unauthorized)
	f.problem(f.do("GET", "/v1/media/"+info.ID+ticket, nil, "X-API-Key", ""), Unauthorized)
	f.problem(f.do("GET", path, nil, "X-API-Key", ""), Unauthorized)
	f.problem(f.do("GET", "/v1/media/"+events.MediaPrefix.Format(events.NewID())+"/content", nil), MediaNotFound)
	f.problem(f.do("GET", "/v1/media/nonsense/content", nil), MediaNotFound)
}

// What a stranger sent is shown under the API's address.
func TestContentOfStrangersIsHarmless(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for mimetype, want := range map[string]string{
		"text/html": "attachment", "image/svg+xml": "attachment", "application/xhtml+xml": "attachment", "text/xml": "attachment", "application/javascript": "attachment",
		"IMAGE/SVG+XML": "attachment", "image/png": "inline", "video/mp4": "inline", "audio/ogg; codecs=opus": "inline", "application/pdf": "inline", "text/plain": "inline",
	} {
		var info MediaInfo
		f.must(201, &info, "POST", "/v1/media", form(part{"file", "; filename=\"x\"\r\nContent-Type: " + mimetype, "<script>alert(1)</script>"},
			part{"fileName", "", "a\"; filename=evil.html\r\nX-Evil: 1 ¡ñ!.txt"}), multipartType...)
		a := f.must(200, nil, "GET", "/v1/media/"+info.ID+"/content", nil)
		if got, _, _ := strings.Cut(a.Header.Get("Content-Disposition"), ";"); got != want || a.Header.Get("Content-Type") != mimetype {
			t.Errorf("%s: %v", mimetype, a.Header)
		}
		if a.Header.Get("X-Evil") != "" || !strings.HasPrefix(a.Header.Get("Content-Security-Policy"), "sandbox; default-src 'none'") || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", mimetype, a.Header)
		}
	}
}

func TestContentThatIsOnItsWay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	id, publicID := f.pending("sales", "the file")
	waiting := make(chan answer, 1)
	go func() { waiting <- f.do("GET", "/v1/media/"+publicID+"/content", nil) }()
	f.eventually("the wait", func() bool {
		return bytes.Contains(f.do("GET", "/metrics", nil).body, []byte("chasqui_http_requests_in_flight 2"))
	})
	f.ready(id, "the file")
	if a := <-waiting; a.StatusCode != 200 || string(a.body) != "the file" {
		t.Errorf("it got %d %s", a.StatusCode, a.body)
	}
}

func TestContentThatIsNotThere(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.limits = defaultLimits; c.limits.content = 100 * time.Millisecond })
	f.session("sales")
	_, id := f.pending("sales", "the file")
	path := "/v1/media/" + id
	a := f.do("GET", path+"/content", nil)
	f.problem(a, MediaPending)
	if a.Header.Get("Retry-After") == "" {
		t.Error("without Retry-After")
	}
	f.problem(f.do("GET", path+"?presign=60", nil), MediaPending)
	var info MediaInfo
	if f.must(200, &info, "GET", path, nil); info.Status != "pending" || info.SessionID != "sales" || info.MessageID == "" || info.SHA256 != hashOf("the file") {
		t.Errorf("pending: %+v", info)
	}
	f.exec("UPDATE media SET status = 'failed', error_code = 'media_fetch_failed', error_message = 'The phone has it no more.'")
	if p := f.problem(f.do("GET", path+"/content", nil), MediaFetchFailed); p.Detail != "The phone has it no more." {
		t.Errorf("failed: %+v", p)
	}
	if f.must(200, &info, "GET", path, nil); info.Status != "failed" || info.Error == nil || info.Error.Code != "media_fetch_failed" {
		t.Errorf("failed: %+v", info)
	}
	f.exec("UPDATE media SET status = 'expired'")
	f.problem(f.do("GET", path+"/content", nil), MediaExpired)
	f.problem(f.do("HEAD", path+"/content", nil).withBody(f, path), MediaExpired)
	// Its object is there and its bytes are not.
	gone := f.upload("text/plain", "gone")
	for o, err := range f.config.S3.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if err := f.config.S3.Delete(t.Context(), o.Key); err != nil {
			t.Fatal(err)
		}
	}
	f.problem(f.do("GET", "/v1/media/"+gone.ID+"/content", nil), MediaExpired)
}

// withBody is the answer to a HEAD with the body that a GET has.
func (a answer) withBody(f *fixture, path string) answer {
	f.t.Helper()
	get := f.do("GET", path+"/content", nil)
	if get.StatusCode != a.StatusCode || len(a.body) != 0 {
		f.t.Errorf("HEAD %d with %d bytes, GET %d", a.StatusCode, len(a.body), get.StatusCode)
	}
	return get
}

// Feature: Presigned on request
func TestPresign(t *testing.T) {
	t.Parallel()
	f := setup(t)
	info := f.upload("text/html", "<p>")
	f.must(200, &info, "GET", "/v1/media/"+info.ID+"?presign=60", nil)
	if info.PresignedUntil == nil || time.Until(*info.PresignedUntil) > time.Minute || time.Until(*info.PresignedUntil) < 30*time.Second {
		t.Errorf("until %v", info.PresignedUntil)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", info.PresignedURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != 200 || string(body) != "<p>" ||
		!strings.HasPrefix(response.Header.Get("Content-Disposition"), "attachment") || response.Header.Get("Content-Type") != "text/html" {
		t.Errorf("%d %q %v, %v", response.StatusCode, body, response.Header, err)
	}
	for _, seconds := range []string{"-1", "604801", "x"} {
		f.problem(f.do("GET", "/v1/media/"+info.ID+"?presign="+seconds, nil), ValidationFailed)
	}
}

func TestDeleteMedia(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	mine := f.upload("text/plain", "mine")
	f.must(204, nil, "DELETE", "/v1/media/"+mine.ID, nil)
	f.problem(f.do("GET", "/v1/media/"+mine.ID, nil), MediaNotFound)
	f.problem(f.do("DELETE", "/v1/media/"+mine.ID, nil), MediaNotFound)
	f.problem(f.do("DELETE", "/v1/media/x", nil), MediaNotFound)
	// What messages name stays, without its bytes.
	sent := f.upload("text/plain", "sent")
	f.must(202, nil, "POST", sales+"/messages", map[string]any{"to": "5491123456789", "content": map[string]any{"type": "document", "media": map[string]string{"mediaId": sent.ID}}})
	_, received := f.pending("sales", "received")
	for _, id := range []string{sent.ID, received} {
		f.must(204, nil, "DELETE", "/v1/media/"+id, nil)
		f.problem(f.do("GET", "/v1/media/"+id+"/content", nil), MediaExpired)
	}
	if n := f.count("media WHERE object IS NULL AND status = 'expired'"); n != 2 {
		t.Errorf("%d media have expired", n)
	}
	f.exec("UPDATE objects SET created_at = now() - interval '1 hour'")
	for more := true; more; {
		var err error
		if more, err = f.store.Sweep(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.count("objects") + f.count("uploads"); n != 0 {
		t.Errorf("%d are left", n)
	}
	if _, err := f.store.Open(t.Context(), make([]byte, 32), 0, -1); err == nil || err.Error() != mediastore.ErrNotFound.Error() {
		t.Errorf("open: %v", err)
	}
}
