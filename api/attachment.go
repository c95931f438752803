package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediainfo"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxBase64 bounds base64 in JSON, in characters. Larger files are uploaded as multipart, which is not held in memory.
	maxBase64 = 16 << 20
	// maxMediaBody is a body that holds that much.
	maxMediaBody = maxBase64 + maxBody
	// fetchTimeout bounds the fetching of a file by its URL, from the look-up of the name to the last byte.
	fetchTimeout = 2 * time.Minute
	// fetchRedirects bounds how often a URL may lead on. Every hop is checked by the guard.
	fetchRedirects = 5
	// describeTimeout bounds what is found out about a file before it is sent. What takes longer goes out without.
	describeTimeout = 30 * time.Second
	// savings bounds the files on their way to S3 at once: each holds a part of 5 MiB in memory, as long as its client takes.
	savings     = 32
	genericType = "application/octet-stream"
)

// mediaSource says where a file comes from; one of the first three is given.
type mediaSource struct {
	MediaID  string `json:"mediaId,omitempty" maxLength:"64" doc:"A file that is here already: uploaded with POST /v1/media, or received." example:"med_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	URL      string `json:"url,omitempty" maxLength:"2048" doc:"Where to fetch it: http or https. Private, loopback and metadata addresses are refused, unless WEBHOOK_ALLOW_CIDRS allows the network." example:"https://example.com/invoice.pdf"`
	Base64   string `json:"base64,omitempty" doc:"The file itself in standard base64, or as a data URL: at most 16 MiB of it. Upload larger files with POST /v1/media."`
	Mimetype string `json:"mimetype,omitempty" maxLength:"128" doc:"What it is. Default: what its source says, else what fits the type of the message. The content is not looked at." example:"image/jpeg"`
	FileName string `json:"fileName,omitempty" maxLength:"255" doc:"What it is called; shown with documents. Default: what its source says." example:"invoice.pdf"`
}

// count is how many sources are given.
func (m mediaSource) count() (n int) {
	for _, given := range []string{m.MediaID, m.URL, m.Base64} {
		if given != "" {
			n++
		}
	}
	return n
}

// An attachment is the file of a request, stored but for the row that its transaction writes.
type attachment struct {
	id       uuid.UUID
	blob     *mediastore.Blob // nil: the media is there already
	mimetype string
	fileName string
	size     int64
	sha256   []byte
	details  postgres.Details
}

// fitting are the media types that a type of content can have; the first is what it has when nobody says. A document can be anything.
var fitting = map[string][]string{
	events.ContentImage: {"image/jpeg", "image/"}, events.ContentSticker: {"image/webp", "image/"}, events.ContentVideo: {"video/mp4", "video/"},
	events.ContentAudio: {"audio/mpeg", "audio/", "application/ogg", "video/ogg", "video/mp4"}, events.ContentVoice: {"audio/ogg; codecs=opus", "audio/", "application/ogg", "video/ogg"},
	events.ContentDocument: {genericType, ""},
}

// attach stores the file of a message. Nothing is written but what is swept again: the message's transaction keeps it.
func (s *Server) attach(ctx context.Context, location, contentType string, from mediaSource) (*attachment, error) {
	if from.Mimetype != "" && !validMimetype(from.Mimetype) {
		return nil, invalid(location+".mimetype", "expected a media type such as image/jpeg")
	}
	a, err := s.take(ctx, location, from)
	if err != nil {
		return nil, err
	}
	if err := s.complete(ctx, contentType, a, from.Mimetype, from.FileName); err != nil {
		s.drop(ctx, a)
		return nil, err
	}
	return a, nil
}

// complete settles what a file is and what it is called, and finds out what its message has to say of it.
func (s *Server) complete(ctx context.Context, contentType string, a *attachment, mimetype, fileName string) error {
	a.mimetype, a.fileName = cmp.Or(mimetype, a.mimetype), cleanName(cmp.Or(fileName, a.fileName))
	if base, _, _ := strings.Cut(a.mimetype, ";"); base == "" || contentType != events.ContentDocument && strings.HasSuffix(base, "/octet-stream") {
		a.mimetype = fitting[contentType][0]
	}
	if contentType == events.ContentVoice && mimetype == "" && strings.Contains(a.mimetype, "ogg") {
		a.mimetype = fitting[contentType][0] // as phones call it, which want the codec named
	}
	if !fits(a.mimetype, contentType) {
		return problem(UnsupportedMediaType, "a message of type "+contentType+" cannot have a file of type "+shorten(a.mimetype)+"; name its mimetype if that is wrong, or send it as a document")
	}
	return s.describe(ctx, contentType, a)
}

// take gets the file from where the request says.
func (s *Server) take(ctx context.Context, location string, from mediaSource) (*attachment, error) {
	switch {
	case from.MediaID != "":
		m, err := s.readyMedia(ctx, from.MediaID)
		if err != nil {
			return nil, err
		}
		details, err := postgres.ReadDetails(m.Details)
		return &attachment{id: m.ID, mimetype: m.Mimetype, fileName: m.FileName, size: m.Size, sha256: m.Object, details: details}, err
	case from.URL != "":
		return s.fetch(ctx, location+".url", from.URL)
	default:
		return s.decode(ctx, location+".base64", from.Base64)
	}
}

// save stores a body of size bytes, -1 where that is not known, as something that may be kept. Its errors are Problems, but for the body's own.
func (s *Server) save(ctx context.Context, body io.Reader, size int64, mimetype, fileName string) (*attachment, error) {
	select {
	case s.saving <- struct{}{}:
		defer func() { <-s.saving }()
	case <-time.After(s.limits.stall):
		return nil, problem(Unavailable, "too many files are being stored at once")
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for room to store a file: %w", ctx.Err())
	}
	blob, err := s.store.Save(ctx, body, size, s.config.MediaMaxBytes, cmp.Or(mimetype, genericType))
	var trouble *mediastore.StoreError
	switch {
	case errors.Is(err, mediastore.ErrTooLarge):
		return nil, problem(MediaTooLarge, fmt.Sprintf("the file has more than %d bytes, which is the most that is taken here", s.config.MediaMaxBytes))
	case errors.As(err, &trouble) && ctx.Err() == nil:
		s.log.WarnContext(ctx, "media not stored", "error", err)
		return nil, problem(Unavailable, "the file cannot be stored right now")
	case err != nil:
		return nil, err
	}
	if blob.Size == 0 {
		s.store.Abandon(ctx, blob)
		return nil, problem(ValidationFailed, "the file is empty")
	}
	return &attachment{id: events.NewID(), blob: &blob, mimetype: mimetype, fileName: fileName, size: blob.Size, sha256: blob.SHA256[:]}, nil
}

// drop leaves what was stored to the sweep.
func (s *Server) drop(ctx context.Context, a *attachment) {
	if a.blob != nil {
		s.store.Abandon(ctx, *a.blob)
	}
}

// uploadedBy is whose a new file is; NULL is API_KEY's, whose files only keys for all sessions see.
func uploadedBy(ctx context.Context) []byte {
	if c := callerOf(ctx); c.sessions != nil {
		return c.principal[:]
	}
	return nil
}

// keep writes the media row of an attachment in the caller's transaction, which must be the one that uses it.
func (s *Server) keep(ctx context.Context, tx *queue.Tx, a *attachment) (db.Media, error) {
	if a.blob == nil {
		row, err := s.q.MediaGet(ctx, tx, a.id)
		switch {
		case errors.Is(err, pgx.ErrNoRows): // deleted a moment ago
			return row, problem(MediaNotFound, "there is no such media")
		case err != nil:
			return row, fmt.Errorf("read media: %w", err)
		}
		return row, cmpErr(nil, notReady(row))
	}
	if err := s.store.Keep(ctx, tx, *a.blob); err != nil {
		return db.Media{}, err
	}
	details, err := json.Marshal(a.details)
	if err != nil {
		return db.Media{}, fmt.Errorf("encode details of media: %w", err)
	}
	row, err := s.q.MediaInsert(ctx, tx, db.MediaInsertParams{
		ID: a.id, Mimetype: a.mimetype, FileName: a.fileName, Size: a.size, Sha256: a.sha256, Details: details, UploadedBy: uploadedBy(ctx),
	})
	if err != nil {
		return row, fmt.Errorf("insert media: %w", err)
	}
	return row, nil
}

// decode stores base64, with or without the head of a data URL.
func (s *Server) decode(ctx context.Context, location, text string) (*attachment, error) {
	if len(text) > maxBase64 {
		return nil, tooMuchBase64()
	}
	mimetype := ""
	if rest, ok := strings.CutPrefix(text, "data:"); ok {
		head, data, found := strings.Cut(rest, ",")
		said, plain := strings.CutSuffix(head, ";base64")
		if !found || !plain {
			return nil, invalid(location, "expected standard base64, or a data URL of it")
		}
		text = data
		if validMimetype(said) {
			mimetype = said
		}
	}
	a, err := s.save(ctx, base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)), -1, mimetype, "")
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, invalid(location, "expected standard base64 with its padding")
	}
	return a, err
}

func tooMuchBase64() *Problem {
	return problem(MediaTooLarge, "base64 takes at most 16 MiB; send larger files as multipart/form-data, with POST /v1/media and then their mediaId")
}

// fetch stores what a URL leads to.
func (s *Server) fetch(ctx context.Context, location, address string) (*attachment, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	answer, err := s.get(ctx, address, "")
	if err != nil {
		return nil, fetchFailed(ctx, fetchTimeout, location, "the URL", err)
	}
	defer answer.Body.Close()
	name := nameOf(answer)
	a, err := s.save(ctx, answer.Body, answer.ContentLength, mimetypeOf(answer.Header.Get("Content-Type"), name), name)
	var p *Problem
	if err != nil && !errors.As(err, &p) { // the body's
		err = fetchFailed(ctx, fetchTimeout, location, "the URL", err)
	}
	return a, err
}

// get fetches a URL. The guard checks every socket, those of redirects too; only an answer of 200 whose media type begins as is wanted is one.
func (s *Server) get(ctx context.Context, address, wanted string) (*http.Response, error) {
	if err := s.guard.CheckURL(ctx, address); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	request.Header.Set("User-Agent", "chasqui/"+s.config.Version)
	if wanted == "text/html" { // some servers answer with something else to those who do not say
		request.Header.Set("Accept", wanted)
	}
	answer, err := s.fetcher.Do(request)
	if err != nil {
		return nil, err
	}
	said, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch {
	case answer.StatusCode != http.StatusOK:
		err = fmt.Errorf("it answers %d", answer.StatusCode)
	case !strings.HasPrefix(said, wanted):
		err = fmt.Errorf("it is %s", shorten(said))
	default:
		return answer, nil
	}
	answer.Body.Close()
	return nil, err
}

// fetchFailed says why a URL in a request could not be fetched within limit, without the URL, which may hold a password.
func fetchFailed(ctx context.Context, limit time.Duration, location, what string, err error) *Problem {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	detail := shorten(strings.ToValidUTF8(err.Error(), "?"))
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		detail = fmt.Sprintf("it took longer than %d seconds", int(limit.Seconds()))
	}
	p := problem(MediaFetchFailed, what+" could not be fetched: "+detail)
	p.Errors = []FieldError{{Code: "invalid", Message: detail, Location: location}}
	return p
}

// newFetcher returns the client of fetches: through the guard, and following a few redirects.
func (s *Server) newFetcher() *http.Client {
	client := s.guard.Client(nil, 0)
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > fetchRedirects {
			return errors.New("it redirects too often")
		}
		if r.URL.Scheme != "http" && r.URL.Scheme != "https" {
			return errors.New("it redirects to something else than http")
		}
		return nil
	}
	return client
}

// nameOf is what an answer calls its file: Content-Disposition, else the end of the URL's path.
func nameOf(answer *http.Response) string {
	if _, parameters, err := mime.ParseMediaType(answer.Header.Get("Content-Disposition")); err == nil && parameters["filename"] != "" {
		return parameters["filename"]
	}
	if name := path.Base(answer.Request.URL.Path); name != "." && name != "/" {
		return name
	}
	return ""
}

// describe finds out what the message of a file says of it beside the file: dimensions and a thumbnail, a duration and a waveform. A voice
// note that is no Ogg Opus is made one, and a sticker that is no WebP. What is not understood goes out without; only the making can fail.
func (s *Server) describe(request context.Context, contentType string, a *attachment) error {
	ctx, cancel := context.WithTimeout(request, describeTimeout)
	defer cancel()
	switch d := &a.details; contentType {
	case events.ContentSticker:
		if err := s.makeSticker(ctx, a); err != nil {
			return err
		}
	case events.ContentImage:
		if d.Width > 0 {
			return nil
		}
		_ = s.look(ctx, a, func(r io.Reader) error {
			picture, err := mediainfo.ReadPicture(r)
			d.Width, d.Height, d.Thumbnail = picture.Width, picture.Height, picture.Thumbnail
			return err
		})
	case events.ContentVideo:
		if d.Seconds > 0 {
			return nil
		}
		_ = s.look(ctx, a, func(r io.Reader) (err error) {
			if s.transcoder.Available() {
				d.Thumbnail, d.Width, d.Height, d.Seconds, err = s.transcoder.VideoThumbnail(ctx, r)
				return err
			}
			return play(d, r)
		})
	case events.ContentAudio:
		if d.Seconds > 0 {
			return nil
		}
		_ = s.look(ctx, a, func(r io.Reader) error { return play(d, r) })
	case events.ContentVoice:
		if len(d.Waveform) > 0 {
			return nil
		}
		err := s.look(ctx, a, func(r io.Reader) error { return record(d, r) })
		if errors.Is(err, mediainfo.ErrUnknown) && !strings.Contains(a.mimetype, "ogg") {
			if err := s.makeVoice(ctx, a); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	return s.remember(request, a) // also where the looking took all of its time
}

// remember writes what was found out about a media that is there already, for the next message with it.
func (s *Server) remember(ctx context.Context, a *attachment) error {
	if a.blob != nil {
		return nil
	}
	details, err := json.Marshal(a.details)
	if err != nil {
		return fmt.Errorf("encode details of media: %w", err)
	}
	if err := s.q.MediaDetail(ctx, s.pool, details, a.id); err != nil {
		return fmt.Errorf("write details of media: %w", err)
	}
	return nil
}

// look opens a file for a look at it, one at a time: pictures are decoded in memory. It logs what it returns.
func (s *Server) look(ctx context.Context, a *attachment, at func(io.Reader) error) error {
	select {
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	body, err := s.openAttachment(ctx, a)
	if err == nil {
		defer body.Close()
		err = at(body)
	}
	if err != nil {
		s.log.DebugContext(ctx, "nothing found out about a file", "media", events.MediaPrefix.Format(a.id), "error", err)
	}
	return err
}

func (s *Server) openAttachment(ctx context.Context, a *attachment) (io.ReadCloser, error) {
	if a.blob != nil {
		return s.store.Read(ctx, *a.blob)
	}
	return s.store.Open(ctx, a.sha256, 0, -1)
}

// makeVoice turns any audio into a voice note: mono Ogg Opus, without which iPhones play nothing.
func (s *Server) makeVoice(ctx context.Context, a *attachment) error {
	if !s.transcoder.Available() {
		return problem(UnsupportedMediaType, "a voice note must be Ogg Opus; it can be made of other audio where ffmpeg is installed with the API")
	}
	body, err := s.openAttachment(ctx, a)
	if err != nil {
		return fmt.Errorf("read audio: %w", err)
	}
	defer body.Close()
	out, in := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := s.transcoder.Voice(ctx, body, in)
		in.CloseWithError(err) // nil is io.EOF
		made <- err
	}()
	voice, err := s.save(ctx, out, -1, fitting[events.ContentVoice][0], "")
	_ = out.CloseWithError(errors.New("not wanted")) // so that the transcoder ends where saving failed
	failed := <-made
	var p *Problem
	if errors.As(err, &p) { // the store's trouble, of which the transcoder's is a consequence
		return p
	}
	if failed != nil && ctx.Err() == nil {
		s.log.InfoContext(ctx, "audio not made a voice note", "error", failed)
		return problem(UnsupportedMediaType, "this file could not be made a voice note: it is no audio that ffmpeg reads")
	}
	if err != nil {
		return err
	}
	s.drop(ctx, a)
	voice.fileName = ""
	*a = *voice
	_ = s.look(ctx, a, func(r io.Reader) error { return record(&a.details, r) }) // look has logged it
	return nil
}

// play finds out how long a file plays.
func play(d *postgres.Details, r io.Reader) error {
	length, err := mediainfo.Duration(r)
	d.Seconds = int(length.Round(time.Second) / time.Second)
	return err
}

// record finds out how a voice note is shown.
func record(d *postgres.Details, r io.Reader) error {
	voice, err := mediainfo.ReadVoice(r)
	d.Seconds, d.Waveform = voice.Seconds, voice.Waveform
	return err
}

// fits says whether a media type is one of a type of content.
func fits(mimetype, contentType string) bool {
	for _, prefix := range fitting[contentType] {
		if strings.HasPrefix(strings.ToLower(mimetype), prefix) {
			return true
		}
	}
	return false
}

// extensions are the media types of the files that phones and people send, for clients that do not say them. The system's own table is not
// asked: it is there on some machines and not on others.
var extensions = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif", ".mp4": "video/mp4", ".3gp": "video/3gpp",
	".mov": "video/quicktime", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".amr": "audio/amr", ".wav": "audio/wav",
	".pdf": "application/pdf", ".txt": "text/plain", ".csv": "text/csv", ".zip": "application/zip", ".doc": "application/msword", ".xls": "application/vnd.ms-excel",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

// mimetypeOf is what a file is: what its sender says, else what its name says; "" where neither does.
func mimetypeOf(said, name string) string {
	if base, _, _ := strings.Cut(said, ";"); validMimetype(said) && !strings.HasSuffix(base, "/octet-stream") {
		return said
	}
	return extensions[strings.ToLower(path.Ext(name))]
}

func validMimetype(s string) bool {
	_, _, err := mime.ParseMediaType(s)
	// Quoted parameters may hold what PostgreSQL cannot store, and headers should not.
	return err == nil && strings.Contains(s, "/") && len(s) <= 128 && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// cleanName makes a file name of what somebody called a file: without folders, control characters and what PostgreSQL cannot store.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r < ' ' || r == utf8.RuneError {
			return '_'
		}
		return r
	}, name)
	for len(name) > 255 {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// mediaRow finds a media by its public id.
func (s *Server) mediaRow(ctx context.Context, publicID string) (db.Media, error) {
	id, err := events.MediaPrefix.Parse(publicID)
	if err != nil {
		return db.Media{}, problem(MediaNotFound, "there is no such media")
	}
	m, err := s.q.MediaGet(ctx, s.pool, id)
	if err == nil {
		var seen bool
		if seen, err = s.seesMedia(ctx, m); err == nil && !seen {
			err = pgx.ErrNoRows
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return m, problem(MediaNotFound, "there is no such media")
	}
	if err != nil {
		return m, fmt.Errorf("read media: %w", err)
	}
	return m, nil
}

// seesMedia says whether a file is one for the caller: its upload, or what a message of its sessions brought or sends.
func (s *Server) seesMedia(ctx context.Context, m db.Media) (bool, error) {
	c := callerOf(ctx)
	if c.sessions == nil || m.SessionID != nil && c.sees(*m.SessionID) || bytes.Equal(m.UploadedBy, c.principal[:]) {
		return true, nil
	}
	sent, err := s.q.MediaOfSessions(ctx, s.pool, m.ID, c.sessions)
	if err != nil {
		return false, fmt.Errorf("look for the file's messages: %w", err)
	}
	return sent, nil
}

// readyMedia is mediaRow for a media whose bytes are there.
func (s *Server) readyMedia(ctx context.Context, publicID string) (db.Media, error) {
	m, err := s.mediaRow(ctx, publicID)
	return m, cmpErr(err, notReady(m))
}

// notReady is the problem of a media whose bytes are not there, or nil.
func notReady(m db.Media) *Problem {
	switch m.Status {
	case "ready":
		return nil
	case "pending":
		return problem(MediaPending, "the file is still on its way from WhatsApp")
	case "failed":
		return problem(MediaFetchFailed, postgres.Text(m.ErrorMessage))
	default:
		return problem(MediaExpired, "the bytes of this media are kept no more")
	}
}
