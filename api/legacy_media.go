package api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxFormParts and maxFormField bound a form; only its file, and a file in base64, may be larger.
	maxFormParts = 20
	maxFormField = 64 << 10
	// maxBase64 bounds a file that comes in base64, and so in memory: 16 MiB of text, 12 of file.
	maxBase64 = 16 << 20
	// uploadTime bounds an upload, and the fetching of a URL: 256 MiB at 3.5 Mbit/s.
	uploadTime = 10 * time.Minute
	// sniffed is how much of a file http.DetectContentType looks at.
	sniffed = 512
)

// legacyMedia is what POST /api/send-media takes, as JSON or as the fields of a form.
type legacyMedia struct {
	SessionID   string       `json:"sessionId"`
	Number      legacyNumber `json:"number"`
	Caption     string       `json:"caption"`
	MediaURL    string       `json:"mediaUrl"`
	MediaBase64 string       `json:"mediaBase64"`
	Mimetype    string       `json:"mimetype"`
	Filename    string       `json:"filename"`

	stored *db.Medium // the file of a form, which is stored while the form is read
}

func (s *Server) addLegacyMedia() {
	const where = "/api/send-media"
	register(s, operation{
		method: "POST", path: where, id: "legacy-send-media", tag: legacyTag, status: 200, wait: uploadTime + legacySendWait, successor: "/v1/sessions", readsBody: "multipart/form-data",
		summary: "Send a file",
		description: "Sends a file as what its media type says: image, video or audio, else as a document. The file is one of media (its bytes), mediaUrl (fetched from there) and mediaBase64 (up to 16 MiB " +
			"of text, a data URL too); the fields may come in any order, and all but media also as JSON. mimetype and filename say what the file is where it does not itself. Answers as send-message does.",
		response: exampleLegacySent,
		codes: append([]Code{BadRequest, ValidationFailed, MalformedJSON, PayloadTooLarge, RequestTimeout, UnsupportedMediaType, MediaTooLarge, MediaFetchFailed},
			sendCodes...),
	}, s.legacySendMedia)
	text := func(doc, example string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: doc, Examples: []any{example}}
	}
	operationAt(s.huma.OpenAPI().Paths[where], "POST").RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {
		Example: map[string]any{"sessionId": "mi-sesion-01", "number": "5491123456789", "caption": "Descripción del archivo", "mediaUrl": "https://example.com/imagen.jpg"},
		Schema: &huma.Schema{Type: huma.TypeObject, Required: []string{"sessionId", "number"}, Properties: map[string]*huma.Schema{
			"sessionId":   text("The session that sends it.", "mi-sesion-01"),
			"number":      text("Whom to send it to, as in send-message.", "5491123456789"),
			"caption":     text("What is written under an image, video or document.", "Descripción del archivo"),
			"media":       {Type: huma.TypeString, Format: "binary", Description: "The file."},
			"mediaUrl":    text("Where the file is, http or https.", "https://example.com/imagen.jpg"),
			"mediaBase64": text("The file in base64.", "/9j/4AAQSkZJRg=="),
			"mimetype":    text("What the file is.", "image/jpeg"),
			"filename":    text("What the file is called.", "imagen.jpg"),
		}},
	}}}
}

func (s *Server) legacySendMedia(ctx context.Context, in *struct{ Idempotent }) (*legacySent, error) {
	var m legacyMedia
	media, err := s.readLegacyMedia(ctx, &m)
	defer func() { // a file that nothing was sent with
		if m.stored != nil {
			s.discardMedia(ctx, m.stored)
		}
	}()
	if err != nil {
		return nil, err
	}
	to, err := m.check()
	if err != nil {
		return nil, err
	}
	if media, err = s.legacyFile(ctx, &m, media); err != nil {
		return nil, err
	}
	m.stored = &media
	// What an Idempotency-Key is bound to, however the form was put together.
	said, err := json.Marshal([]any{m.SessionID, to, m.Caption, m.MediaURL, media.Mimetype, media.FileName, media.Sha256})
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	callOf(ctx).body = sha256.Sum256(said)
	content := sendContent{Content: events.Content{Type: legacyContentType(media.Mimetype), Caption: m.Caption, Media: &events.Media{ID: events.MediaPrefix.Format(media.ID)}}}
	if content.Type == events.ContentAudio {
		content.Caption = "" // WhatsApp has no place for it
	}
	if err := s.prepareMedia(ctx, &content); err != nil {
		return nil, err
	}
	sent, replayed, err := s.legacySend(ctx, in.IdempotencyKey, m.SessionID, to, content)
	var p *Problem
	if refused := errors.As(err, &p) && p.MessageID == ""; !refused && !replayed {
		m.stored = nil // the message has it, or may have it: nobody knows how a transaction ended whose connection broke
	}
	return sent, err
}

// discardMedia removes a file that was taken for a request that was then refused. Failure policy: the retention of media removes it, too.
func (s *Server) discardMedia(ctx context.Context, m *db.Medium) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), databaseBudget)
	defer cancel()
	if _, err := s.q.MediaDelete(ctx, s.pool, m.ID); err != nil {
		s.log.WarnContext(ctx, "a file that nobody wants stays until it is old", "error", err)
	}
}

// legacyContentType is how a file of a media type is sent.
func legacyContentType(mimetype string) string {
	switch kind, _, _ := strings.Cut(mimetype, "/"); kind {
	case "image":
		return events.ContentImage
	case "video":
		return events.ContentVideo
	case "audio":
		return events.ContentAudio
	}
	return events.ContentDocument
}

// check returns the JID to send to.
func (m *legacyMedia) check() (to string, err error) {
	sources := 0
	for _, given := range []bool{m.stored != nil, m.MediaURL != "", m.MediaBase64 != ""} {
		if given {
			sources++
		}
	}
	switch {
	case !goodSessionID.MatchString(m.SessionID):
		return "", invalid("body.sessionId", "expected the id of a session: up to 64 letters, digits, hyphens and underscores")
	case sources != 1:
		return "", invalid("body.media", "expected a file, as one of media (in multipart/form-data), mediaUrl and mediaBase64")
	case utf8.RuneCountInString(m.Caption) > 65536:
		return "", invalid("body.caption", "expected at most 65536 characters")
	case len(m.Filename) > 255:
		return "", invalid("body.filename", "expected at most 255 bytes")
	case len(m.MediaURL) > 2048:
		return "", invalid("body.mediaUrl", "expected at most 2048 bytes")
	}
	for name, value := range map[string]string{"caption": m.Caption, "filename": m.Filename, "mimetype": m.Mimetype} {
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			return "", invalid("body."+name, "expected UTF-8 without U+0000")
		}
	}
	if m.Mimetype != "" {
		kind, _, err := mime.ParseMediaType(m.Mimetype)
		if err != nil || !strings.Contains(kind, "/") || len(m.Mimetype) > 128 {
			return "", invalid("body.mimetype", "expected a media type such as image/jpeg")
		}
	}
	return m.Number.address()
}

// legacyFile returns the stored file of a request that has been checked.
func (s *Server) legacyFile(ctx context.Context, m *legacyMedia, form db.Medium) (db.Medium, error) {
	switch {
	case m.MediaURL != "":
		return s.fetchMedia(ctx, m.MediaURL, m.Mimetype, m.Filename)
	case m.MediaBase64 != "":
		text, mimetype := m.MediaBase64, m.Mimetype
		if header, rest, ok := strings.Cut(text, ","); ok && strings.HasPrefix(header, "data:") {
			text = rest
			if kind, _, _ := strings.Cut(strings.TrimPrefix(header, "data:"), ";"); mimetype == "" {
				mimetype = kind
			}
		}
		return s.decodeMedia(ctx, text, mimetypeOf(mimetype, m.Filename, beginning(text)), m.Filename)
	}
	mimetype, name := form.Mimetype, form.FileName
	if m.Mimetype != "" {
		mimetype = m.Mimetype
	}
	if m.Filename != "" {
		name = m.Filename
	}
	if mimetype == form.Mimetype && name == form.FileName {
		return form, nil
	}
	described, err := s.q.MediaDescribe(ctx, s.pool, mimetype, name, form.ID) // these fields came after the file
	if err != nil {
		return form, fmt.Errorf("describe file: %w", err)
	}
	return described, nil
}

// readLegacyMedia reads the body into m, in whichever of its forms it comes, and stores the file of a form on the way.
func (s *Server) readLegacyMedia(ctx context.Context, m *legacyMedia) (media db.Medium, err error) {
	c := callOf(ctx)
	if c.request == nil {
		return media, problem(BadRequest, "request body is required")
	}
	r := c.request
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return media, problem(UnsupportedMediaType, "the body must not be compressed")
	}
	body := newUpload(c.writer, r.Body)
	defer body.release()
	kind, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "multipart/form-data":
		if parameters["boundary"] == "" {
			return media, problem(BadRequest, "the Content-Type has no boundary; leave it to the client to set it")
		}
		media, err = s.readLegacyForm(ctx, multipart.NewReader(body, parameters["boundary"]), m)
	case "application/json", "application/x-www-form-urlencoded", "":
		err = m.readFields(kind, body, r.ContentLength)
	default:
		return media, problem(UnsupportedMediaType, "the body must be multipart/form-data or application/json")
	}
	switch {
	case errors.Is(body.err, os.ErrDeadlineExceeded):
		return media, problem(RequestTimeout, "the body did not arrive in time")
	case body.err != nil:
		return media, problem(BadRequest, "the body could not be read to its end")
	case err != nil:
		return media, err
	}
	c.taken = true
	return media, nil
}

// readFields reads JSON, or the simple form that says the same.
func (m *legacyMedia) readFields(kind string, body io.Reader, announced int64) error {
	const limit = maxBase64 + maxBody
	tooLarge := problem(PayloadTooLarge, "mediaBase64 may have up to 16 MiB; send a larger file as media in multipart/form-data")
	if announced > limit {
		return tooLarge
	}
	raw, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return err
	}
	if len(raw) > limit {
		return tooLarge
	}
	if kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			return badForm()
		}
		for name := range form {
			m.set(name, form.Get(name))
		}
	}
	if kind != "application/x-www-form-urlencoded" {
		if err := decodeLegacy(raw, m); err != nil {
			return err
		}
	}
	if len(m.MediaBase64) > maxBase64 {
		return tooLarge
	}
	return nil
}

// readLegacyForm reads the parts of a form in whatever order they come. The file goes to the store as it arrives.
func (s *Server) readLegacyForm(ctx context.Context, form *multipart.Reader, m *legacyMedia) (media db.Medium, err error) {
	for n := 0; ; n++ {
		part, err := form.NextRawPart()
		if err == io.EOF { //nolint:errorlint // the end of the form; an EOF that is wrapped is one in its middle
			return media, nil
		}
		if err != nil {
			return media, badForm()
		}
		if n == maxFormParts {
			return media, problem(PayloadTooLarge, fmt.Sprintf("the form has more than %d parts", maxFormParts))
		}
		if part.FormName() != "media" {
			if err := m.readField(part); err != nil {
				return media, err
			}
			continue
		}
		if m.stored != nil {
			return media, invalid("body.media", "expected one file")
		}
		if goodSessionID.MatchString(m.SessionID) { // refuse before the file, where that is possible
			if _, err := s.sessionRow(ctx, s.pool, m.SessionID); err != nil {
				return media, err
			}
		}
		name := m.Filename
		if name == "" {
			name = cleanFilename(part.FileName())
		}
		source := &noting{Reader: part}
		file := bufio.NewReaderSize(source, sniffed)
		head, _ := file.Peek(sniffed) // what goes wrong here goes wrong again when it is stored
		given := m.Mimetype
		if given == "" {
			given = part.Header.Get("Content-Type")
		}
		media, err = s.storeMedia(ctx, file, -1, mimetypeOf(given, name, head), name)
		if source.err != nil { // whatever the store makes of it
			if err == nil {
				m.stored = &media
			}
			return media, badForm()
		}
		if err != nil {
			return media, err
		}
		m.stored = &media
	}
}

// cleanFilename is a file's name as a client gives it, without what nothing can store.
func cleanFilename(name string) string {
	name = strings.ReplaceAll(strings.ToValidUTF8(name, "\uFFFD"), "\x00", "")
	for len(name) > 255 {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// readField reads a part that is not the file. One that nobody knows is passed over.
func (m *legacyMedia) readField(part *multipart.Part) error {
	limit := maxFormField
	if part.FormName() == "mediaBase64" {
		limit = maxBase64
	}
	raw, err := io.ReadAll(io.LimitReader(part, int64(limit)+1))
	if err != nil {
		return badForm()
	}
	if len(raw) > limit {
		return problem(PayloadTooLarge, fmt.Sprintf("the field %s has more than %d bytes; a file is sent as media", shorten(part.FormName()), limit))
	}
	m.set(part.FormName(), string(raw))
	return nil
}

// set sets a field by its name.
func (m *legacyMedia) set(name, value string) {
	switch name {
	case "sessionId":
		m.SessionID = value
	case "number":
		m.Number = legacyNumber(value)
	case "caption":
		m.Caption = value
	case "mediaUrl":
		m.MediaURL = value
	case "mediaBase64":
		m.MediaBase64 = value
	case "mimetype":
		m.Mimetype = value
	case "filename":
		m.Filename = value
	}
}

// extensions are the media types of the files that phones and people send, for clients that do not say them. The system's own table is not
// asked: it is there on some machines and not on others.
var extensions = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif", ".mp4": "video/mp4", ".3gp": "video/3gpp",
	".mov": "video/quicktime", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".amr": "audio/amr", ".wav": "audio/wav",
	".pdf": "application/pdf", ".txt": "text/plain", ".csv": "text/csv", ".zip": "application/zip", ".doc": "application/msword", ".xls": "application/vnd.ms-excel",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

// mimetypeOf is what a file is: what its sender says, else what its name says, else what it looks like.
func mimetypeOf(given, name string, head []byte) string {
	if given != "" && given != "application/octet-stream" {
		return given
	}
	if known := extensions[strings.ToLower(path.Ext(name))]; known != "" {
		return known
	}
	looks := http.DetectContentType(head)
	if looks == "application/ogg" { // an Opus or Vorbis recording, nearly always
		return "audio/ogg"
	}
	return looks
}

// beginning is that of a file in base64.
func beginning(text string) []byte {
	head, _ := base64.StdEncoding.DecodeString(text[:min(len(text), sniffed/3*4)/4*4]) // what is no base64 is found when it is stored
	return head
}

// badForm is the problem of a form that breaks off, or is none.
func badForm() error { return problem(BadRequest, "the form is not understood, or ends too early") }

// noting remembers what went wrong with a reader, before somebody in between makes something else of it.
type noting struct {
	io.Reader
	err error
}

// Read is io.Reader's.
func (n *noting) Read(p []byte) (int, error) {
	read, err := n.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return read, err
}

// An upload is a body that may take as long as it goes on arriving: each part of it has the time that a whole body has elsewhere, and all of it
// uploadTime.
type upload struct {
	noting
	control  *http.ResponseController
	deadline time.Time
}

func newUpload(w http.ResponseWriter, body io.Reader) *upload {
	u := &upload{noting{Reader: body}, http.NewResponseController(w), time.Now().Add(uploadTime)}
	_ = u.control.SetWriteDeadline(u.deadline.Add(writeTimeout)) // that of the server began with the header; only a recorder in a test has none
	return u
}

// Read is io.Reader's.
func (u *upload) Read(p []byte) (int, error) {
	next := time.Now().Add(bodyTimeout)
	if next.After(u.deadline) {
		next = u.deadline
	}
	_ = u.control.SetReadDeadline(next)
	return u.noting.Read(p)
}

// release takes the deadline back, which would end a request that goes on without its body.
func (u *upload) release() { _ = u.control.SetReadDeadline(time.Time{}) }
