package server

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// mediaHost is what clients are told to upload to and download from: one of WhatsApp's hosts, which a redirected client takes to the
	// sandbox like all others.
	mediaHost = "mmg.whatsapp.net"
	// largestMedia bounds an upload, in bytes: WhatsApp takes documents of 2 GB.
	largestMedia = 2 << 30
	// transferTime bounds one upload or download in all.
	transferTime = 30 * time.Minute
	// stallTime is how long a transfer may stand still on the network.
	stallTime = 30 * time.Second
	// transfersAtOnce bounds the companions' uploads and downloads, each of which has a chunk in memory; more of them wait their turn.
	transfersAtOnce = 64
	// authTTL is how long a client may use what media_conn gave it, and authGrace what is added for a slow transfer's start.
	authTTL, authGrace = time.Hour, 5 * time.Minute
)

// Paths are the patterns, for http.ServeMux, of what a Server serves: the WebSocket, and media under the paths of whatsmeow (upload.go) and
// Baileys (MEDIA_PATH_MAP).
var Paths = []string{"/ws/chat", "/mms/", "/newsletter/", "/product/", "/pps/", "/v/"}

// routes serves media by their paths, and the WebSocket at every other.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, prefix := range []string{"/mms", "/newsletter", "/product", "/pps"} {
		mux.HandleFunc("POST "+prefix+"/{type}/{token}", s.media(s.serveUpload))
		mux.HandleFunc("DELETE "+prefix+"/{type}/{token}", s.media(s.serveDelete))
	}
	mux.HandleFunc("GET /v/{name...}", s.media(s.serveDownload))
	mux.HandleFunc("GET /v/t61.24694-24/{name}", s.media(s.servePicture))
	mux.HandleFunc("/", s.serveSocket)
	return mux
}

func registerMedia(r *registry) {
	r.queries[query{"w:m", "set", "media_conn"}] = handleMediaConn
	r.loaders["path"] = loadPath
	r.loaders["mediaretry"] = loadMediaRetry
}

// handleMediaConn names the host for media and gives the auth for it. The attributes are those that queryMediaConn (mediaconn.go) insists on.
func handleMediaConn(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	seconds := int(authTTL / time.Second)
	return []waBinary.Node{{
		Tag: "media_conn",
		Attrs: waBinary.Attrs{
			"auth": c.s.mediaAuth(c.device, time.Now().Add(authTTL+authGrace)), "ttl": seconds, "auth_ttl": seconds, "max_buckets": 12,
		},
		Content: []waBinary.Node{{Tag: "host", Attrs: waBinary.Attrs{"hostname": mediaHost, "type": "primary"}}},
	}}, nil
}

// mediaAuth makes a device's auth: who it is, until when, and a proof of both. Nothing of it is stored, since clients keep theirs over a
// restart of the server.
func (s *Server) mediaAuth(d *device, until time.Time) string {
	claim := d.jid(types.DefaultUserServer).ADString() + " " + strconv.FormatInt(until.Unix(), 10)
	return base64.RawURLEncoding.EncodeToString(append(d.account.mediaProof(claim), claim...))
}

// mediaProof is made with a key of the account that only its phone has beside the server, and that outlives both processes.
func (a *account) mediaProof(claim string) []byte {
	mac := hmac.New(sha256.New, a.keys.Identity.Priv[:])
	mac.Write([]byte("media_conn " + claim))
	return mac.Sum(nil)
}

// authorize returns the status that refuses an auth: 401 when it is none of this server's, or too old, 403 when its device was unlinked.
// 0 stands for one that is good, of the account.
func (s *Server) authorize(auth string) (*account, int) {
	raw, err := base64.RawURLEncoding.DecodeString(auth)
	if err != nil || len(raw) < sha256.Size {
		return nil, http.StatusUnauthorized
	}
	claim := string(raw[sha256.Size:])
	name, until, _ := strings.Cut(claim, " ")
	seconds, err := strconv.ParseInt(until, 10, 64)
	if err != nil || time.Now().Unix() > seconds {
		return nil, http.StatusUnauthorized
	}
	jid, err := types.ParseJID(name)
	if err != nil {
		return nil, http.StatusUnauthorized
	}
	a := s.user(jid)
	if a == nil || !hmac.Equal(raw[:sha256.Size], a.mediaProof(claim)) {
		return nil, http.StatusUnauthorized
	}
	if s.device(jid) == nil {
		return nil, http.StatusForbidden
	}
	return a, 0
}

// transfer is one request to the media host.
type transfer struct {
	phone bool // a simulated phone's, which faults spare
	net   *http.ResponseController
}

// media prepares a request: it ends with the server, in 30 minutes at most, and has its turn.
func (s *Server) media(serve func(http.ResponseWriter, *http.Request, transfer)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.enter(w) {
			return
		}
		defer s.work.Done()
		ctx, cancel := context.WithTimeout(r.Context(), transferTime)
		defer cancel()
		t := transfer{phone: r.Header.Get(phoneHeader) == s.phones, net: http.NewResponseController(w)}
		defer context.AfterFunc(s.ctx, func() {
			cancel()
			_, _ = t.net.SetReadDeadline(time.Now()), t.net.SetWriteDeadline(time.Now())
		})()
		if !t.phone {
			select {
			case s.transfers <- struct{}{}:
				defer func() { <-s.transfers }()
			case <-ctx.Done():
				return
			}
		}
		serve(w, r.WithContext(ctx), t)
		_, _ = t.net.SetReadDeadline(time.Time{}), t.net.SetWriteDeadline(time.Time{}) // the connection may serve another request
	}
}

// readToken decodes the name that a client gives an upload: the SHA-256 of its body in URL-safe base64, which Baileys leaves unpadded.
func readToken(text string) []byte {
	sum, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(sum) != sha256.Size {
		return nil
	}
	return sum
}

// incoming reads an upload's body, giving up when it stands still.
type incoming struct {
	io.Reader
	net *http.ResponseController
}

func (b incoming) Read(p []byte) (int, error) {
	if err := b.net.SetReadDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, fmt.Errorf("bound the wait for a body: %w", err)
	}
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.net.SetReadDeadline(time.Time{}) // net/http reads on, to see the client leave
	}
	return n, err
}

// serveUpload stores an upload and answers when it is durable. One that was stored before, as when a phone uploads again, is only compared.
// What is refused is read all the same, so that the client comes to read the answer.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request, t transfer) {
	var body io.Reader = incoming{http.MaxBytesReader(w, r.Body, largestMedia), t.net}
	refuse := func(status int, why string) {
		_, _ = io.Copy(io.Discard, body)
		http.Error(w, why, status)
	}
	token := readToken(r.PathValue("token"))
	uploader, status := s.authorize(r.URL.Query().Get("auth"))
	switch {
	case r.ContentLength > largestMedia:
		http.Error(w, "media has at most 2 GiB", http.StatusRequestEntityTooLarge)
		return
	case status != 0:
		refuse(status, "auth is not one of media_conn's")
		return
	case token == nil || !bytes.Equal(token, readToken(r.URL.Query().Get("token"))):
		refuse(http.StatusBadRequest, "token is not a SHA-256 in base64url, once in the path and once in the query")
		return
	}
	if fault := s.mediaFault(true, t.phone, uploader); fault != nil {
		if fault.Media.Status != 0 {
			refuse(fault.Media.Status, "a fault that was asked for")
			return
		}
		if fault.Media.Stall {
			_, _ = io.Copy(io.Discard, body) // only then is the client's leaving noticed
			fault.hold(r.Context())
			panic(http.ErrAbortHandler)
		}
		body = fault.disturb(r.Context(), body, r.ContentLength, func() {})
	}
	path, err := s.store(r.Context(), body, token)
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case errors.Is(err, errDisturbed):
		panic(http.ErrAbortHandler)
	case errors.Is(err, errWrongToken):
		http.Error(w, "token is not the body's SHA-256", http.StatusBadRequest)
	case errors.As(err, &tooLarge):
		http.Error(w, "media has at most 2 GiB", http.StatusRequestEntityTooLarge)
	case err != nil:
		if r.Context().Err() == nil {
			s.log.WarnContext(r.Context(), "upload not stored", "error", err)
		}
		http.Error(w, "the upload could not be stored", http.StatusInternalServerError)
	default:
		if !t.phone {
			s.counts.uploads.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{
			"url": "https://" + mediaHost + path, "direct_path": path, "handle": base64.RawURLEncoding.EncodeToString(token),
		})
	}
}

var errWrongToken = errors.New("token is not the body's hash")

// store stores a body under a new path, durably.
func (s *Server) store(ctx context.Context, body io.Reader, token []byte) (path string, err error) {
	name := newMediaName()
	// whatsmeow appends its own parameters with "&", so there must be a "?" before (DownloadMediaWithPath in download.go).
	path = "/v/" + name + "?ccb=11-4"
	err = s.journal.RenewBlob(ctx, token)
	if err == nil {
		hash := sha256.New()
		if _, err := io.Copy(hash, body); err != nil {
			return "", fmt.Errorf("read upload: %w", err)
		}
		if !bytes.Equal(hash.Sum(nil), token) {
			return "", errWrongToken
		}
		return path, s.publish(ctx, name, token)
	}
	if !errors.Is(err, journal.ErrNoBlob) {
		return "", err
	}
	blob, err := s.journal.CreateBlob(ctx)
	if err != nil {
		return "", err
	}
	defer blob.Discard()
	if _, err := io.Copy(blob, body); err != nil {
		return "", fmt.Errorf("read upload: %w", err)
	}
	if !bytes.Equal(blob.SHA256(), token) {
		return "", errWrongToken
	}
	if err := blob.Commit(); err != nil {
		return "", err
	}
	return path, s.publish(ctx, name, token)
}

var mediaName = regexp.MustCompile(`^t62\.7118-24/[0-9a-f]{32}_n\.enc$`)

// newMediaName has the form of WhatsApp's; only those who know it find the file.
func newMediaName() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "t62.7118-24/" + hex.EncodeToString(b[:]) + "_n.enc"
}

// serveDownload answers with a blob, or the range of it that is asked for.
func (s *Server) serveDownload(w http.ResponseWriter, r *http.Request, t transfer) {
	name := r.PathValue("name")
	if !mediaName.MatchString(name) {
		http.Error(w, "there is no such media", http.StatusNotFound)
		return
	}
	fault := s.mediaFault(false, t.phone, nil)
	if fault != nil && fault.Media.Status != 0 {
		http.Error(w, "a fault that was asked for", fault.Media.Status)
		return
	}
	blob, sum, err := s.openPath(r.Context(), name)
	if err != nil {
		s.noBlob(w, r, "media", err)
		return
	}
	out := &outgoing{BlobReader: blob, from: blob, net: t.net}
	if fault != nil {
		out.from = fault.disturb(r.Context(), blob, blob.Size(), func() { _ = t.net.Flush() })
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", etag(sum))
	taken := &answerWriter{ResponseWriter: w}
	http.ServeContent(taken, r, "", time.Time{}, out)
	switch {
	case out.err != nil && !errors.Is(out.err, io.EOF):
		if !errors.Is(out.err, errDisturbed) && r.Context().Err() == nil {
			s.log.WarnContext(r.Context(), "media not read to its end", "error", out.err)
		}
		panic(http.ErrAbortHandler) // the answer has begun: cutting it off is how the client is told
	case r.Method == http.MethodGet && out.n > 0 && !t.phone && taken.err == nil:
		s.counts.downloads.Add(1)
	}
}

// answerWriter remembers whether the connection took all of an answer. The request's context does not tell: it ends, too, when a client that
// has everything closes the connection.
type answerWriter struct {
	http.ResponseWriter
	err error
}

func (a *answerWriter) Write(p []byte) (n int, err error) {
	if n, err = a.ResponseWriter.Write(p); err != nil {
		a.err = err
	}
	return n, err
}

// outgoing is a blob on its way to a client, which is cut when it does not read. It remembers what ended the reading.
type outgoing struct {
	*journal.BlobReader
	from io.Reader // the blob, or what a fault makes of it
	net  *http.ResponseController
	n    int64 // how much was read
	err  error
}

func (o *outgoing) Read(p []byte) (n int, err error) {
	n, o.err = o.from.Read(p)
	if o.n += int64(n); o.err == nil {
		// What was read is written next.
		o.err = o.net.SetWriteDeadline(time.Now().Add(stallTime))
	}
	return n, o.err
}

// serveDelete forgets an upload: the path in d_md, or all paths of the file (DeleteMedia in upload.go). What is not there is forgotten too.
func (s *Server) serveDelete(w http.ResponseWriter, r *http.Request, _ transfer) {
	query := r.URL.Query()
	if _, status := s.authorize(query.Get("auth")); status != 0 {
		http.Error(w, "auth is not one of media_conn's", status)
		return
	}
	token := readToken(r.PathValue("token"))
	path, err := base64.RawURLEncoding.DecodeString(query.Get("d_md"))
	if token == nil || err != nil {
		http.Error(w, "token is not a SHA-256, or d_md not a path, in base64url", http.StatusBadRequest)
		return
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(string(path), "/v/"), "?")
	if name != "" && !mediaName.MatchString(name) {
		return
	}
	_, err = s.unpublish(r.Context(), func(path string, p mediaPath) bool {
		return bytes.Equal(p.SHA256, token) && (name == "" || path == name)
	})
	if err != nil {
		if r.Context().Err() == nil {
			s.log.WarnContext(r.Context(), "media not deleted", "error", err)
		}
		http.Error(w, "the media could not be deleted", http.StatusInternalServerError)
		return
	}
}

// noBlob answers a request for a file that is not there, or cannot be opened.
func (s *Server) noBlob(w http.ResponseWriter, r *http.Request, what string, err error) {
	if errors.Is(err, journal.ErrNoBlob) {
		http.Error(w, "there is no such "+what, http.StatusNotFound)
		return
	}
	if r.Context().Err() == nil {
		s.log.WarnContext(r.Context(), what+" not opened", "error", err)
	}
	http.Error(w, "the "+what+" could not be read", http.StatusInternalServerError)
}
