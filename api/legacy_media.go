package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chasqui/chasqui/events"
)

// sniffed is how much of a file http.DetectContentType looks at.
const sniffed = 512

// legacyMedia is what POST /api/send-media takes, as JSON or as the fields of a form.
type legacyMedia struct {
	SessionID   string       `json:"sessionId"`
	Number      legacyNumber `json:"number"`
	Caption     string       `json:"caption"`
	MediaURL    string       `json:"mediaUrl"`
	MediaBase64 string       `json:"mediaBase64"`
	Mimetype    string       `json:"mimetype"`
	Filename    string       `json:"filename"`

	file *attachment // of a form, stored while that is read
}

func (s *Server) addLegacyMedia() {
	text := func(doc, example string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: doc, Examples: []any{example}}
	}
	register(s, operation{
		method: "POST", path: "/api/send-media", id: "legacy-send-media", tag: legacyTag, status: 200, wait: transferTimeout + legacySendWait, successor: "/v1/sessions",
		maxBody: maxMediaBody,
		summary: "Send a file",
		description: "Sends a file as what its media type says: image, video or audio, else as a document. The file is one of media (its bytes), mediaUrl (fetched from there) and mediaBase64 (up to 16 MiB " +
			"of text, a data URL too); the fields may come in any order, and all but media also as JSON. mimetype and filename say what the file is where it does not itself. Answers as send-message does.",
		multipart: &huma.Schema{Type: huma.TypeObject, Required: []string{"sessionId", "number"}, Properties: map[string]*huma.Schema{
			"sessionId":   text("The session that sends it.", "mi-sesion-01"),
			"number":      text("Whom to send it to, as in send-message.", "5491123456789"),
			"caption":     text("What is written under an image, video or document.", "Descripción del archivo"),
			"media":       {Type: huma.TypeString, Format: "binary", Description: "The file."},
			"mediaUrl":    text("Where the file is, http or https.", "https://example.com/imagen.jpg"),
			"mediaBase64": text("The file in base64.", "/9j/4AAQSkZJRg=="),
			"mimetype":    text("What the file is.", "image/jpeg"),
			"filename":    text("What the file is called.", "imagen.jpg"),
		}},
		request:  map[string]any{"sessionId": "mi-sesion-01", "number": "5491123456789", "caption": "Descripción del archivo", "mediaUrl": "https://example.com/imagen.jpg"},
		response: exampleLegacySent,
		codes: append([]Code{BadRequest, ValidationFailed, MalformedJSON, PayloadTooLarge, RequestTimeout, UnsupportedMediaType, MediaTooLarge, MediaFetchFailed},
			sendCodes...),
	}, s.legacySendMedia)
}

func (s *Server) legacySendMedia(ctx context.Context, in *struct {
	raw
	Idempotent
}) (sent *legacySent, err error) {
	var m legacyMedia
	kept := false
	defer func() {
		if m.file != nil && !kept {
			s.drop(ctx, m.file)
		}
	}()
	if err := s.readLegacyMedia(ctx, in.writer, in.request, &m); err != nil {
		return nil, err
	}
	to, err := m.check()
	if err != nil {
		return nil, err
	}
	if m.file != nil { // what an Idempotency-Key is bound to, however the form was put together
		said, err := json.Marshal([]any{m.SessionID, to, m.Caption, m.Mimetype, m.Filename, m.file.sha256})
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		callOf(ctx).body = sha256.Sum256(said)
	}
	body := &sendMessage{Content: sendContent{Content: events.Content{Media: &events.Media{}}}}
	return s.legacySend(ctx, in.IdempotencyKey, m.SessionID, to, body, func() (*attachment, error) {
		a, err := s.legacyFile(ctx, &m)
		if err != nil {
			return nil, err
		}
		content := &body.Content
		if content.Type = legacyContentType(a.mimetype); content.Type != events.ContentAudio { // WhatsApp has no place for it there
			content.Caption = m.Caption
		}
		if err := s.complete(ctx, content.Type, a, "", ""); err != nil {
			s.drop(ctx, a)
			return nil, err
		}
		kept = true // from here on the message has it, or it is dropped with that
		return a, nil
	})
}

// legacyFile returns the stored file of a request that has been checked, with what it is.
func (s *Server) legacyFile(ctx context.Context, m *legacyMedia) (a *attachment, err error) {
	switch {
	case m.file != nil:
		a = m.file
	case m.MediaURL != "":
		a, err = s.fetch(ctx, "body.mediaUrl", m.MediaURL)
	default:
		a, err = s.decode(ctx, "body.mediaBase64", m.MediaBase64)
	}
	if err != nil {
		return nil, err
	}
	a.fileName = cmp.Or(m.Filename, a.fileName)
	if a.mimetype = mimetypeOf(cmp.Or(m.Mimetype, a.mimetype), a.fileName); a.mimetype == "" {
		a.mimetype = s.looksLike(ctx, a)
	}
	return a, nil
}

// looksLike is what a file seems to be, where nobody says it: the original's clients do not have to.
func (s *Server) looksLike(ctx context.Context, a *attachment) string {
	head := make([]byte, sniffed)
	n := 0
	_ = s.look(ctx, a, func(r io.Reader) (err error) { // look has logged it
		n, err = io.ReadFull(r, head)
		return err
	})
	kind := http.DetectContentType(head[:n])
	if kind == "application/ogg" { // an Opus or Vorbis recording, nearly always
		return "audio/ogg"
	}
	return kind
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
	for _, given := range []bool{m.file != nil, m.MediaURL != "", m.MediaBase64 != ""} {
		if given {
			sources++
		}
	}
	switch {
	case len(m.MediaBase64) > maxBase64:
		return "", tooMuchBase64()
	case !goodSessionID.MatchString(m.SessionID):
		return "", invalid("body.sessionId", "expected the id of a session: up to 64 letters, digits, hyphens and underscores")
	case sources != 1:
		return "", invalid("body.media", "expected a file, as one of media (in multipart/form-data), mediaUrl and mediaBase64")
	case utf8.RuneCountInString(m.Caption) > 65536:
		return "", invalid("body.caption", "expected at most 65536 characters")
	case len(m.Filename) > 255:
		return "", invalid("body.filename", "expected at most 255 bytes")
	case m.Mimetype != "" && !validMimetype(m.Mimetype):
		return "", invalid("body.mimetype", "expected a media type such as image/jpeg")
	}
	return m.Number.address()
}

// readLegacyMedia reads the body into m, in whichever of its forms it comes, and stores the file of a form on the way.
func (s *Server) readLegacyMedia(ctx context.Context, w http.ResponseWriter, r *http.Request, m *legacyMedia) error {
	switch kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.ToLower(strings.TrimSpace(kind)) {
	default:
		return problem(UnsupportedMediaType, "the body must be multipart/form-data or application/json")
	case "multipart/form-data":
	case "application/json", "": // a simple form has become it
		raw, err := io.ReadAll(r.Body) // takeBody has read it, and bounded it
		if err != nil {
			return err
		}
		if len(raw) == 0 {
			return problem(BadRequest, "request body is required")
		}
		return decodeLegacy(raw, m)
	}
	fields, err := s.readMultipart(w, r, "media", "mediaBase64", func(name string, part *multipart.Part) (err error) {
		switch {
		case name != "media":
			_, err = io.Copy(io.Discard, part) // nobody's field
		case m.file != nil:
			err = invalid("body.media", "expected one file")
		default:
			m.file, err = s.savePart(ctx, part)
		}
		return err
	})
	if err != nil {
		return err
	}
	for name, into := range map[string]*string{
		"sessionId": &m.SessionID, "number": (*string)(&m.Number), "caption": &m.Caption, "mediaUrl": &m.MediaURL, "mediaBase64": &m.MediaBase64,
		"mimetype": &m.Mimetype, "filename": &m.Filename,
	} {
		*into = fields[name]
	}
	return nil
}
