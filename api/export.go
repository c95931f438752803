package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/backup"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxExport bounds the file of a session in memory, and maxExportContent what is read of it, unpacked. 50,000 contacts with their chats
	// and identity keys were measured to make 3.5 MB, written in 1.1 s and restored in 4 s, of which the key takes a second each.
	maxExport, maxExportContent = 64 << 20, 1 << 30
	// exportTimeout bounds making a file or reading one, of which deriving the key takes a second.
	exportTimeout = 2 * time.Minute
	// letGoWait is how long an export waits for the connector of a session that was stopped to let go of it, which takes milliseconds.
	letGoWait = 2 * time.Second
	// minPassphrase and maxPassphrase bound it, in characters; as the commands have it (infra/config).
	minPassphrase, maxPassphrase = 12, 1024
)

// exportType is the media type of an encrypted file, for which none is registered.
const exportType = "application/octet-stream"

type exportSession struct {
	Passphrase string `json:"passphrase" minLength:"12" maxLength:"1024" doc:"Encrypts the file. Without it nobody can open it, and it is kept nowhere." example:"five words at random, say"`
}

type exportOutput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Disposition string `header:"Content-Disposition" doc:"A name for the file: the session's and the day's."`
	Body        []byte
}

func (s *Server) addExport() {
	imported := exampleSession
	imported.State, imported.Reason, imported.Desired, imported.Connector, imported.ConnectedAt = events.StateStopped, "imported", events.DesiredStopped, "", nil
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/export", id: "export-session", scope: scopeAdmin, tag: "Sessions", status: 200, wait: letGoWait + exportTimeout,
		summary: "Export a session",
		description: "A file with the session's settings, its device with its keys, its contacts and chats, encrypted with a passphrase: with both, POST /v1/session-imports of another installation takes the session over, " +
			"without a QR code. Messages, events and webhook endpoints are not in it. The session must be stopped first, and must never again be started here once it runs there: two with the same keys push each other out at WhatsApp, " +
			"and messages of both get lost. To delete it here, do so with unlink=false, or it is unlinked there too. It takes no Idempotency-Key: asked twice, there are two files.",
		request: exportSession{"five words at random, say"},
		responses: map[string]*huma.Response{"200": {Description: "The file, in the format of age", Content: map[string]*huma.MediaType{
			exportType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}, Example: "age-encryption.org/v1 ..."},
		}}},
		codes: []Code{SessionNotFound, SessionNotStopped, ExportTooLarge},
	}, s.exportSession)
	register(s, operation{
		method: "POST", path: "/v1/session-imports", id: "import-session", scope: scopeAdmin, everywhere: true, tag: "Sessions", status: 201, wait: exportTimeout,
		summary: "Import a session",
		description: "Takes over the session of an export, under its own id and with everything that is in the file, or nothing where some of it cannot be. It is stopped: start it once the one that it was made of will not run " +
			"again. A file of `chasqui backup` is taken too if it holds one session; one of more is for `chasqui restore`.",
		multipart: &huma.Schema{Type: huma.TypeObject, Required: []string{"file", "passphrase"}, Properties: map[string]*huma.Schema{
			"file":       {Type: huma.TypeString, Format: "binary", Description: "The export, up to 64 MiB."},
			"passphrase": {Type: huma.TypeString, Description: "What it was encrypted with."},
		}},
		request: map[string]any{"file": "age-encryption.org/v1 ...", "passphrase": "five words at random, say"}, response: imported, //nolint:gosec // G101: an example
		codes: []Code{SessionAlreadyExists, ExportTooLarge, MediaTooLarge, PayloadTooLarge, UnsupportedMediaType, RequestTimeout},
	}, s.importSession)
}

// archive is what a file of one session is made and read with.
func (s *Server) archive(passphrase string) backup.Config {
	return backup.Config{
		DSN: s.config.DSN, SignalSchema: s.config.SignalSchema, Keys: s.config.Keys, Passphrase: passphrase, Version: s.config.Version, MaxContent: maxExportContent, Rest: true,
	}
}

// carry runs what makes or reads a file, one at a time: each has the file in memory, and derives a key with 256 MB.
func (s *Server) carry(ctx context.Context, work func() error) error {
	select {
	case s.carrying <- struct{}{}:
		defer func() { <-s.carrying }()
		return work()
	case <-time.After(bodyTimeout):
		return problem(Unavailable, "another session is being exported or imported")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) exportSession(ctx context.Context, in *struct {
	SessionPath
	Body exportSession
}) (*exportOutput, error) {
	listener := s.waker.ListenKey(events.WakeSessions, in.SessionID)
	defer listener.Close()
	err := s.await(ctx, listener, letGoWait, func(ctx context.Context) (bool, error) {
		err := s.rests(ctx, s.pool, in.SessionID)
		if errors.Is(err, errHeld) {
			return false, nil
		}
		return true, err
	})
	if err == nil {
		// The entry of the audit log is committed before there is a file to take away.
		err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error { return s.rests(ctx, tx, in.SessionID) })
	}
	if err != nil {
		return nil, err
	}
	file := &exportFile{}
	err = s.carry(ctx, func() error {
		_, err := backup.WriteSession(ctx, s.archive(in.Body.Passphrase), in.SessionID, file)
		return err
	})
	if errors.Is(err, errTooLarge) {
		return nil, problem(ExportTooLarge, fmt.Sprintf("the file has more than %d bytes", maxExport))
	}
	if err != nil {
		return nil, fmt.Errorf("export session: %w", err)
	}
	name := fmt.Sprintf(`attachment; filename="%s-%s.age"`, in.SessionID, time.Now().UTC().Format("20060102"))
	return &exportOutput{exportType, name, file.Bytes()}, nil
}

// errHeld says that a session was stopped, and that its connector has not let go of it yet.
var errHeld = problem(SessionNotStopped, "it is stopping: its connector has not let go of it yet; ask again in a moment")

// rests says what keeps a session from resting: nil, errHeld, or another problem.
func (s *Server) rests(ctx context.Context, from db.DBTX, id string) error {
	session, err := s.readSession(ctx, from, id)
	switch {
	case err != nil:
		return err
	case session.Desired != events.DesiredStopped:
		return problem(SessionNotStopped, "it is to run: POST /v1/sessions/"+id+"/stop first")
	case session.Connector != "":
		return errHeld
	}
	return nil
}

// errTooLarge says that a file of one session has more than maxExport bytes.
var errTooLarge = errors.New("the export is too large")

// exportFile is a file in memory, of at most maxExport bytes.
type exportFile struct{ bytes.Buffer }

// Write implements io.Writer.
func (f *exportFile) Write(p []byte) (int, error) {
	if f.Len()+len(p) > maxExport {
		return 0, errTooLarge
	}
	return f.Buffer.Write(p)
}

func (s *Server) importSession(ctx context.Context, in *struct {
	raw
	Idempotent
}) (out *sessionOutput, err error) {
	return out, s.carry(ctx, func() error {
		content, passphrase, err := s.readImport(in.writer, in.request)
		if err != nil {
			return err
		}
		callOf(ctx).body = sha256.Sum256(content) // without the passphrase, which a hash as fast as this would give away
		file, err := backup.Open(s.archive(passphrase), bytes.NewReader(content))
		if err != nil {
			return importProblem(err)
		}
		if n := len(file.Header.Sessions); n != 1 {
			return invalid("body.file", fmt.Sprintf("expected a file of one session; this one has %d: use `chasqui restore`", n))
		}
		id := file.Header.Sessions[0].ID
		callOf(ctx).budget = exportTimeout // of some 50,000 contacts it is seconds
		session, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (events.Session, error) {
			if _, err := file.RestoreIn(ctx, tx, s.archive(""), nil); err != nil {
				return events.Session{}, importProblem(err)
			}
			session, err := s.readSession(ctx, tx, id)
			if err != nil {
				return events.Session{}, err
			}
			session.Reason = "imported"
			tx.Notify(events.WakeControl, id)
			tx.Notify(events.WakeSessions, id)
			_, err = events.Publish(tx, events.SessionStatus, id, "", time.Now(), events.SessionData{Session: session})
			return session, err
		})
		if err != nil {
			return err
		}
		out = &sessionOutput{Status: http.StatusCreated, Location: "/v1/sessions/" + id, Replayed: replayedHeader(replayed), Body: session}
		return nil
	})
}

// readImport reads the body of an import.
func (s *Server) readImport(w http.ResponseWriter, r *http.Request) (file []byte, passphrase string, err error) {
	fields, err := s.readMultipart(w, r, "file", "", func(name string, part *multipart.Part) (err error) {
		if name != "file" || file != nil {
			return invalid("body."+shorten(name), "expected one file, which is called file")
		}
		if file, err = io.ReadAll(io.LimitReader(part, maxExport+1)); len(file) > maxExport {
			return problem(ExportTooLarge, fmt.Sprintf("the file has more than %d bytes", maxExport))
		}
		return err
	})
	passphrase = fields["passphrase"]
	for name := range fields {
		if name != "passphrase" && err == nil {
			err = invalid("body."+shorten(name), "unexpected field")
		}
	}
	switch n := utf8.RuneCountInString(passphrase); {
	case err != nil:
	case file == nil:
		err = invalid("body.file", "expected the file of an export")
	case n < minPassphrase, n > maxPassphrase:
		err = invalid("body.passphrase", fmt.Sprintf("expected %d to %d characters", minPassphrase, maxPassphrase))
	}
	return file, passphrase, err
}

// importProblem says what is wrong with a file that cannot be imported.
func importProblem(err error) error {
	switch {
	case errors.Is(err, backup.ErrPassphrase):
		return invalid("body.passphrase", "it does not open this file: expected the one that the export was made with")
	case errors.Is(err, backup.ErrNotBackup):
		return invalid("body.file", "expected the file of an export")
	case errors.Is(err, backup.ErrDamaged):
		return invalid("body.file", "it is damaged or cut short: expected another copy of it")
	case errors.Is(err, backup.ErrNewer):
		return invalid("body.file", "a later version made it: expected one of this version or an earlier one")
	case errors.Is(err, backup.ErrMisfit):
		return invalid("body.file", "it does not fit this version: import it with the version that made it, and update that")
	case errors.Is(err, backup.ErrThere):
		return problem(SessionAlreadyExists, "there is a session with the id of the file's, or one with its device, or one that is just being deleted")
	}
	return fmt.Errorf("import session: %w", err)
}
