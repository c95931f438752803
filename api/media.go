package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// transferTimeout bounds an upload or a download as a whole: 2 GiB at 1.2 MB/s.
	transferTimeout = 30 * time.Minute
	// transferStall is how long a client may neither send nor take anything.
	transferStall = 30 * time.Second
	// contentWait is how long a GET of a file waits while it is on its way.
	contentWait = 30 * time.Second
	// heardOut is how many bytes of an upload that is too large are read for nothing, so that its client gets to the answer.
	heardOut = 16 << 20
	// maxField and maxParts bound the other fields of a multipart body.
	maxField, maxParts = 64 << 10, 20
)

// MediaInfo is the public form of a media.
type MediaInfo struct {
	events.Media
	Status         string               `json:"status" enum:"pending,ready,failed,expired" doc:"pending: on its way from WhatsApp. failed: it cannot be had, error says why. expired: its bytes are kept no more." example:"ready"`
	Error          *events.MessageError `json:"error,omitempty"`
	SessionID      string               `json:"sessionId,omitempty" doc:"The session that received it." example:"sales"`
	MessageID      string               `json:"messageId,omitempty" doc:"The message that it came with." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Width          int                  `json:"width,omitempty" doc:"Pixels, where they are known." example:"1280"`
	Height         int                  `json:"height,omitempty" doc:"Pixels." example:"960"`
	Seconds        int                  `json:"seconds,omitempty" doc:"How long it plays, where that is known." example:"7"`
	CreatedAt      time.Time            `json:"createdAt"`
	PresignedURL   string               `json:"presignedUrl,omitempty" doc:"A URL of the object store that needs no key, when presign asked for it." example:"https://s3.example.com/chasqui/media/01932f0c?X-Amz-Signature=..."`
	PresignedUntil *time.Time           `json:"presignedUntil,omitempty"`
}

// MediaPath is the path parameter of everything below a media.
type MediaPath struct {
	MediaID string `path:"mediaId" maxLength:"64" doc:"A file: of an upload, or of the content of a message." example:"med_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

type mediaOutput struct {
	Location string `header:"Location" doc:"The media."`
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     MediaInfo
}

type mediaShown struct{ Body MediaInfo }

// fetchRequest says which file to take over.
type fetchRequest struct {
	URL      string `json:"url" minLength:"1" maxLength:"2048" doc:"http or https. Private, loopback and metadata addresses are refused, unless WEBHOOK_ALLOW_CIDRS allows the network." example:"https://example.com/invoice.pdf"`
	Mimetype string `json:"mimetype,omitempty" maxLength:"128" doc:"What it is; default: what the server says." example:"application/pdf"`
	FileName string `json:"fileName,omitempty" maxLength:"255" doc:"Default: what the server or the URL says." example:"invoice.pdf"`
}

// raw gives an operation its request and answer as net/http has them, for bodies that are streamed.
type raw struct {
	request *http.Request
	writer  http.ResponseWriter
}

// Resolve implements huma.Resolver.
func (r *raw) Resolve(ctx huma.Context) []error {
	r.request, r.writer = humachi.Unwrap(ctx)
	return nil
}

func (s *Server) addMedia() {
	ready := MediaInfo{Media: exampleFile, Status: "ready", CreatedAt: exampleTime}
	register(s, operation{
		method: "POST", path: "/v1/media", id: "upload-media", tag: "Media", status: 201, wait: transferTimeout,
		summary: "Upload a file",
		description: "Stores a file to be sent later, any number of times and from any session, by its id. The part file is streamed, so it can be as large as the operator allows " +
			"(MEDIA_MAX_MB). The same content is stored once, whoever uploads it.",
		multipart: &huma.Schema{Type: huma.TypeObject, Required: []string{"file"}, Properties: map[string]*huma.Schema{
			"file":     {Type: huma.TypeString, Format: "binary", Description: "The file. Its own Content-Type and filename are taken over."},
			"mimetype": {Type: huma.TypeString, Description: "What it is, where the part does not say so."},
			"fileName": {Type: huma.TypeString, Description: "What it is called, where the part does not say so."},
		}},
		request: map[string]any{"file": "%PDF-1.7 ...", "fileName": "invoice.pdf"}, response: ready, codes: []Code{MediaTooLarge, UnsupportedMediaType, RequestTimeout, BadRequest, ValidationFailed},
	}, s.uploadMedia)
	register(s, operation{
		method: "POST", path: "/v1/media/fetch", id: "fetch-media", tag: "Media", status: 201, wait: fetchTimeout,
		summary: "Take over a file by its URL", description: "Fetches a file and stores it, as if it had been uploaded. It may take two minutes.",
		request: map[string]any{"url": "https://example.com/invoice.pdf"}, response: ready, codes: []Code{MediaTooLarge, MediaFetchFailed},
	}, s.fetchMedia)
	register(s, operation{
		method: "GET", path: "/v1/media/{mediaId}", id: "get-media", tag: "Media", status: 200,
		summary: "Read about a file", description: "What is known of it, whether its bytes are there, and on request a URL of the object store itself.",
		response: ready, codes: []Code{MediaNotFound, MediaPending, MediaFetchFailed, MediaExpired},
	}, s.getMedia)
	register(s, operation{
		method: "DELETE", path: "/v1/media/{mediaId}", id: "delete-media", tag: "Media", status: 204,
		summary: "Delete a file", description: "Its bytes go; a message that names it still does.", codes: []Code{MediaNotFound},
	}, s.deleteMedia)
	register(s, operation{
		method: "GET", path: "/v1/media/{mediaId}/content", id: "get-media-content", tag: "Media", status: 200, wait: transferTimeout, ticket: ticketMedia,
		summary: "Read a file's bytes",
		description: "The bytes themselves, or with Range a part of them. While a received file is on its way from WhatsApp the answer waits for it, up to 30 s, and is then media_pending. " +
			"The URL never changes, and neither do its bytes: ETag is their SHA-256.",
		responses: map[string]*huma.Response{
			"200": {Description: "The file", Content: map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}},
			"206": {Description: "The part of it that Range asked for", Content: map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}},
			"304": {Description: "It is what If-None-Match named"},
			"416": {Description: "Range names no part of it"},
		},
		codes: []Code{MediaNotFound, MediaPending, MediaFetchFailed, MediaExpired},
	}, s.getMediaContent)
}

func (s *Server) mediaInfo(m db.Media) (MediaInfo, error) {
	details, err := postgres.ReadDetails(m.Details)
	if err != nil {
		return MediaInfo{}, err
	}
	info := MediaInfo{
		Media: postgres.Media(m, s.address), Status: m.Status, SessionID: postgres.Text(m.SessionID), Width: details.Width, Height: details.Height, Seconds: details.Seconds,
		CreatedAt: m.CreatedAt,
	}
	if m.MessageID != nil {
		info.MessageID = events.MessagePrefix.Format(*m.MessageID)
	}
	if m.ErrorCode != nil {
		info.Error = &events.MessageError{Code: *m.ErrorCode, Message: postgres.Text(m.ErrorMessage)}
	}
	return info, nil
}

func (s *Server) uploadMedia(ctx context.Context, in *struct {
	raw
	Idempotent
}) (*mediaOutput, error) {
	a, err := s.readUpload(ctx, in.writer, in.request)
	if err != nil {
		return nil, err
	}
	// The bytes of the body would tell two uploads of one file apart by their boundary.
	same := sha256.Sum256(fmt.Appendf(nil, "%x\n%s\n%s", a.sha256, a.mimetype, a.fileName))
	callOf(ctx).body = same
	return s.keepUpload(ctx, in.IdempotencyKey, a)
}

// keepUpload makes a stored file a media of its own.
func (s *Server) keepUpload(ctx context.Context, key string, a *attachment) (*mediaOutput, error) {
	info, replayed, err := once(ctx, s, key, func(ctx context.Context, tx *queue.Tx) (MediaInfo, error) {
		if a.blob == nil {
			return MediaInfo{}, errKeyExpired
		}
		row, err := s.keep(ctx, tx, a)
		if err != nil {
			return MediaInfo{}, err
		}
		return s.mediaInfo(row)
	})
	if err != nil || replayed {
		s.drop(ctx, a)
	}
	if err != nil {
		return nil, err
	}
	return &mediaOutput{Location: "/v1/media/" + info.ID, Replayed: replayedHeader(replayed), Body: info}, nil
}

// readUpload stores the part "file" of a multipart body as it comes.
func (s *Server) readUpload(ctx context.Context, w http.ResponseWriter, r *http.Request) (*attachment, error) {
	var a *attachment
	fields, err := s.readMultipart(w, r, "file", "", func(name string, part *multipart.Part) (err error) {
		if name != "file" {
			return invalid("body."+shorten(name), "unexpected file: the part is called file")
		}
		if a != nil {
			return invalid("body.file", "there is more than one")
		}
		a, err = s.savePart(ctx, part)
		return err
	})
	if err == nil && a == nil {
		err = invalid("body.file", "expected the part file")
	}
	for name := range fields {
		if name != "mimetype" && name != "fileName" && err == nil {
			err = invalid("body."+shorten(name), "unexpected field")
		}
	}
	if said := fields["mimetype"]; said != "" && !validMimetype(said) && err == nil {
		err = invalid("body.mimetype", "expected a media type such as image/jpeg")
	}
	if err != nil {
		if a != nil {
			s.drop(ctx, a)
		}
		return nil, err
	}
	a.mimetype = cmp.Or(fields["mimetype"], a.mimetype, genericType)
	a.fileName = cleanName(cmp.Or(fields["fileName"], a.fileName))
	return a, nil
}

// savePart stores a part of a multipart body, and what it says of itself.
func (s *Server) savePart(ctx context.Context, part *multipart.Part) (*attachment, error) {
	return s.save(ctx, part, -1, mimetypeOf(part.Header.Get("Content-Type"), part.FileName()), part.FileName())
}

// readMultipart reads a multipart body part by part: files (the part called file, whether it has a file name or not, and those that have one)
// are given to save as they come, other fields are returned, of which large alone may have more than 64 KiB: a file in base64. Its errors are
// Problems, but for save's own.
func (s *Server) readMultipart(w http.ResponseWriter, r *http.Request, file, large string, save func(name string, part *multipart.Part) error) (map[string]string, error) {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil, kind != "multipart/form-data":
		return nil, problem(UnsupportedMediaType, "the body must be multipart/form-data")
	case parameters["boundary"] == "":
		return nil, problem(BadRequest, "the Content-Type has no boundary; leave it to the client to set it")
	}
	body := &steadyBody{stall: s.limits.stall, control: http.NewResponseController(w), r: http.MaxBytesReader(w, r.Body, s.config.MediaMaxBytes+maxParts*maxField)}
	reader := multipart.NewReader(body, parameters["boundary"])
	fields := map[string]string{}
	for range maxParts {
		part, err := reader.NextRawPart()
		if err == io.EOF { //nolint:errorlint // the end of the form; an EOF that is wrapped is one in its middle
			callOf(r.Context()).taken = true
			_ = body.control.SetReadDeadline(time.Time{}) // else it would end the request
			return fields, nil
		}
		var malformed textproto.ProtocolError // of a part's header
		if errors.As(err, &malformed) || err == nil && part.FormName() == "" {
			return nil, problem(BadRequest, "the body is not valid multipart/form-data, with a name for each part")
		}
		if err == nil && (part.FormName() == file || part.FileName() != "") {
			err = save(part.FormName(), part)
		} else if err == nil {
			limit := maxField
			if part.FormName() == large {
				limit = maxBase64
			}
			var value []byte
			if value, err = io.ReadAll(io.LimitReader(part, int64(limit)+1)); len(value) > limit {
				return nil, problem(PayloadTooLarge, fmt.Sprintf("the field %s has more than %d bytes; a file is sent as a file", shorten(part.FormName()), limit))
			}
			text := string(value)
			if strings.ContainsRune(text, 0) || strings.ToValidUTF8(text, "") != text {
				return nil, invalid("body."+shorten(part.FormName()), "expected UTF-8 without U+0000")
			}
			fields[part.FormName()] = text
		}
		if err != nil {
			err = s.uploadProblem(body, err)
			var p *Problem
			if errors.As(err, &p) && p.Code == MediaTooLarge { // who is cut off while it sends does not hear the answer
				_ = body.control.SetReadDeadline(time.Now().Add(s.limits.stall))
				_, _ = io.CopyN(io.Discard, r.Body, heardOut)
			}
			return nil, err
		}
	}
	return nil, problem(PayloadTooLarge, "the body has more than 20 parts")
}

// uploadProblem says why a multipart body could not be taken.
func (s *Server) uploadProblem(body *steadyBody, err error) error {
	var p *Problem
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(body.err, &tooLarge):
		return problem(MediaTooLarge, fmt.Sprintf("the body has more than %d bytes, which is the most that is taken here", s.config.MediaMaxBytes))
	case errors.Is(body.err, os.ErrDeadlineExceeded):
		return problem(RequestTimeout, "nothing came for 30 s")
	case body.err != nil:
		return problem(BadRequest, "the body could not be read to its end")
	case errors.Is(err, context.DeadlineExceeded):
		return problem(RequestTimeout, "the upload took longer than 30 minutes")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), strings.HasPrefix(err.Error(), "multipart: "):
		return problem(BadRequest, "the body is not valid multipart/form-data")
	}
	return err
}

// steadyBody is a body that may take long but must not stand still.
type steadyBody struct {
	stall   time.Duration
	control *http.ResponseController
	r       io.Reader
	err     error // what ended it, but for its end
}

// Read implements io.Reader.
func (b *steadyBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.stall)) // only a recorder in a test has none
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

func (s *Server) fetchMedia(ctx context.Context, in *struct {
	Idempotent
	Body fetchRequest
}) (*mediaOutput, error) {
	if in.Body.Mimetype != "" && !validMimetype(in.Body.Mimetype) {
		return nil, invalid("body.mimetype", "expected a media type such as application/pdf")
	}
	a := &attachment{}
	if answered, err := s.answered(ctx, in.IdempotencyKey); err != nil {
		return nil, err
	} else if !answered {
		if a, err = s.fetch(ctx, "body.url", in.Body.URL); err != nil {
			return nil, err
		}
		a.mimetype = cmp.Or(in.Body.Mimetype, a.mimetype, genericType)
		a.fileName = cleanName(cmp.Or(in.Body.FileName, a.fileName))
	}
	return s.keepUpload(ctx, in.IdempotencyKey, a)
}

func (s *Server) getMedia(ctx context.Context, in *struct {
	MediaPath
	Presign int `query:"presign" minimum:"1" maximum:"604800" doc:"Seconds for which a presigned URL of the object store is wanted." example:"600"`
}) (*mediaShown, error) {
	m, err := s.mediaRow(ctx, in.MediaID)
	if err != nil {
		return nil, err
	}
	info, err := s.mediaInfo(m)
	if err != nil || in.Presign == 0 {
		return &mediaShown{info}, err
	}
	if p := notReady(m); p != nil {
		return nil, p
	}
	until := time.Now().Add(time.Duration(in.Presign) * time.Second).UTC().Truncate(time.Second)
	if info.PresignedURL, err = s.store.Presign(ctx, m.Object, time.Duration(in.Presign)*time.Second, m.FileName, m.Mimetype); err != nil {
		return nil, fmt.Errorf("presign media: %w", err)
	}
	info.PresignedUntil = &until
	return &mediaShown{info}, nil
}

func (s *Server) deleteMedia(ctx context.Context, in *struct{ MediaPath }) (*struct{ Status int }, error) {
	m, err := s.mediaRow(ctx, in.MediaID)
	if err != nil {
		return nil, err
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		n, err := s.q.MediaDelete(ctx, tx, m.ID)
		if err != nil {
			return fmt.Errorf("delete media: %w", err)
		}
		if n == 0 {
			return problem(MediaNotFound, "there is no such media")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &struct{ Status int }{http.StatusNoContent}, nil
}

// awaitMedia returns a media whose bytes are there, and waits for them where they are on their way.
func (s *Server) awaitMedia(ctx context.Context, publicID string) (m db.Media, err error) {
	if m, err = s.mediaRow(ctx, publicID); err != nil || m.Status != "pending" {
		return m, cmpErr(err, notReady(m))
	}
	if m.OnDemand {
		if err := s.wantMedia(ctx, m.ID); err != nil {
			return m, err
		}
	}
	listener := s.waker.ListenKey(events.WakeMedia, m.ID.String())
	defer listener.Close()
	err = s.await(ctx, listener, s.limits.content, func(ctx context.Context) (done bool, err error) {
		m, err = s.mediaRow(ctx, publicID)
		return m.Status != "pending", err
	})
	return m, cmpErr(err, notReady(m))
}

// wantMedia lets the file of a message of the history be fetched, which nobody has wanted so far.
func (s *Server) wantMedia(ctx context.Context, id uuid.UUID) error {
	job, err := json.Marshal(events.MediaJob{MediaID: id})
	if err != nil {
		return fmt.Errorf("encode media job: %w", err)
	}
	return s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		n, err := s.q.MediaWant(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("note that media is wanted: %w", err)
		}
		if n > 0 {
			tx.Publish(events.TopicMedia, queue.Message{Payload: job})
		}
		return nil
	})
}

// cmpErr returns err, or else the problem if there is one.
func cmpErr(err error, p *Problem) error {
	if err == nil && p != nil {
		return p
	}
	return err
}

func (s *Server) getMediaContent(ctx context.Context, in *struct {
	raw
	MediaPath
}) (*huma.StreamResponse, error) {
	m, err := s.awaitMedia(ctx, in.MediaID)
	if err != nil {
		return nil, err
	}
	// The operation's own context ends before its stream begins.
	transfer, cancel := context.WithTimeout(in.request.Context(), transferTimeout)
	content := &content{ctx: transfer, cancel: cancel, store: s.store, hash: m.Object, size: m.Size}
	if in.request.Method != http.MethodHead { // so that S3's errors are answers, and no broken streams
		if err := content.open(0); err != nil {
			cancel()
			return nil, s.unreadable(ctx, err)
		}
	}
	return &huma.StreamResponse{Body: func(huma.Context) {
		defer content.close()
		// Many ranges at once would be as many requests to S3, made by a goroutine that may outlive this answer. RFC 9110 (14.2) lets a server
		// ignore them.
		if strings.Contains(in.request.Header.Get("Range"), ",") {
			in.request.Header.Del("Range")
		}
		header := in.writer.Header()
		header.Set("Content-Type", m.Mimetype)
		header.Set("Content-Disposition", disposition(m.Mimetype, m.FileName))
		// What a stranger sent is shown under the API's own address: it may run nothing and reach nothing there.
		header.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self'")
		header.Set("Cache-Control", "private, max-age=31536000, immutable")
		header.Set("ETag", `"`+hex.EncodeToString(m.Object)+`"`)
		http.ServeContent(&steadyWriter{ResponseWriter: in.writer, stall: s.limits.stall, control: http.NewResponseController(in.writer)}, in.request, "", m.CreatedAt, content)
	}}, nil
}

// unreadable turns an error of the store into an answer.
func (s *Server) unreadable(ctx context.Context, err error) error {
	if errors.Is(err, mediastore.ErrNotFound) {
		return problem(MediaExpired, "the bytes of this media are kept no more")
	}
	s.log.WarnContext(ctx, "media not readable", "error", err)
	return problem(Unavailable, "the file cannot be read right now")
}

// shownInline are the media types that a browser may show; everything else it saves.
var shownInline = []string{"image/jpeg", "image/png", "image/gif", "image/webp", "audio/", "video/", "application/pdf", "text/plain"}

// disposition is the header Content-Disposition of a file.
func disposition(mimetype, fileName string) string {
	kind := "attachment"
	for _, prefix := range shownInline {
		if strings.HasPrefix(mimetype, prefix) {
			kind = "inline"
		}
	}
	parameters := map[string]string{}
	if fileName != "" {
		parameters["filename"] = fileName
	}
	return cmp.Or(mime.FormatMediaType(kind, parameters), kind)
}

// steadyWriter is an answer that may take long but must not stand still.
type steadyWriter struct {
	http.ResponseWriter
	stall   time.Duration
	control *http.ResponseController
}

// Write implements io.Writer.
func (w *steadyWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stall)) // only a recorder in a test has none
	return w.ResponseWriter.Write(p)
}

// content reads an object wherever http.ServeContent wants: each jump is a request to S3, made with the first read after it.
type content struct {
	ctx    context.Context
	cancel context.CancelFunc
	store  *mediastore.Store
	hash   []byte
	size   int64
	at     int64 // where the next read is to begin
	body   io.ReadCloser
	begun  int64 // where the next read of body begins
}

func (c *content) open(at int64) (err error) {
	c.shut()
	c.at, c.begun = at, at
	c.body, err = c.store.Open(c.ctx, c.hash, at, -1)
	return err
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if c.at >= c.size {
		return 0, io.EOF
	}
	if c.body == nil || c.begun != c.at {
		if err := c.open(c.at); err != nil {
			return 0, err
		}
	}
	n, err := c.body.Read(p)
	c.at, c.begun = c.at+int64(n), c.begun+int64(n)
	return n, err
}

// Seek implements io.Seeker.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning: " + strconv.FormatInt(offset, 10))
	}
	c.at = offset
	return offset, nil
}

// close gives everything back.
func (c *content) close() {
	c.shut()
	c.cancel()
}

// shut lets go of what is open, which was only read.
func (c *content) shut() {
	if c.body != nil {
		_ = c.body.Close()
		c.body = nil
	}
}
