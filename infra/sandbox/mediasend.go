package sandbox

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxFileName bounds a file's name, in bytes, as file systems do; maxMimetype is RFC 6838's 127 for each half.
	maxFileName, maxMimetype = 255, 255
)

// Attachment is a file that a phone sends to somebody.
type Attachment struct {
	// To is the recipient's phone number in digits.
	To string
	// Type is "image", "video", "audio", "voice", "document" or "sticker".
	Type string
	// Mimetype is the file's; "" is the type's usual one.
	Mimetype string
	// Caption is for images, videos and documents, at most 65,536 bytes.
	Caption string
	// FileName is for documents; "" is "document".
	FileName string
}

// mediaKind is what a type of attachment means.
type mediaKind struct {
	class    whatsmeow.MediaType
	mimetype string
	caption  bool
}

var mediaKinds = map[string]mediaKind{
	"image":    {whatsmeow.MediaImage, "image/jpeg", true},
	"video":    {whatsmeow.MediaVideo, "video/mp4", true},
	"audio":    {whatsmeow.MediaAudio, "audio/mpeg", false},
	"voice":    {whatsmeow.MediaAudio, "audio/ogg; codecs=opus", false},
	"document": {whatsmeow.MediaDocument, "application/octet-stream", true},
	"sticker":  {whatsmeow.MediaImage, "image/webp", false},
}

// complete checks an attachment and fills in what it leaves out.
func (a *Attachment) complete() error {
	kind, ok := mediaKinds[a.Type]
	if !ok {
		return failure(http.StatusUnprocessableEntity, "type must be text, image, video, audio, voice, document or sticker")
	}
	if a.Caption != "" && !kind.caption {
		return failure(http.StatusUnprocessableEntity, "a message of type %s has no caption", a.Type)
	}
	if len(a.Caption) > maxText {
		return failure(http.StatusUnprocessableEntity, "caption must have at most %d bytes", maxText)
	}
	if a.FileName != "" && a.Type != "document" {
		return failure(http.StatusUnprocessableEntity, "only documents have a fileName")
	}
	if len(a.FileName) > maxFileName {
		return failure(http.StatusUnprocessableEntity, "fileName must have at most %d bytes", maxFileName)
	}
	if strings.Contains(a.Caption+a.FileName, "\x00") {
		return failure(http.StatusUnprocessableEntity, "caption and fileName must not have NUL bytes")
	}
	if a.Mimetype == "" {
		a.Mimetype = kind.mimetype
	}
	if contentType(a.Mimetype) != a.Mimetype || len(a.Mimetype) > maxMimetype {
		return failure(http.StatusUnprocessableEntity, "mimetype must be a media type, as %s", kind.mimetype)
	}
	if a.Type == "document" && a.FileName == "" {
		a.FileName = "document"
	}
	return nil
}

// contentType is a mimetype as it may stand in a header; what is none is application/octet-stream.
func contentType(mimetype string) string {
	if kind, _, err := mime.ParseMediaType(mimetype); err != nil || !strings.Contains(kind, "/") || strings.ContainsAny(mimetype, "\r\n") {
		return "application/octet-stream"
	}
	return mimetype
}

// SendMedia makes the phone send a file and returns the message's id once the server has acknowledged it. The file is read to its end,
// encrypted and stored with the message before either is tried: an error with status 504 means that it is not sent yet, and will be, also
// after a crash.
func (s *Sandbox) SendMedia(ctx context.Context, number string, a Attachment, file io.Reader) (string, error) {
	plain, err := s.journal.CreateBlob(ctx)
	if err != nil {
		return "", err
	}
	defer plain.Discard()
	if _, err := io.Copy(plain, file); err != nil {
		return "", fmt.Errorf("read file to send: %w", err)
	}
	return s.sendMedia(ctx, number, a, plain)
}

// sendMedia sends a file that was stored as it is, which the caller discards: the type of a message, which its key depends on, may follow
// the file in a request.
func (s *Sandbox) sendMedia(ctx context.Context, number string, a Attachment, plain *journal.BlobWriter) (string, error) {
	p, err := s.phone(number)
	if err != nil {
		return "", err
	}
	if err := s.checkRecipient(a.To); err != nil {
		return "", err
	}
	if err := a.complete(); err != nil {
		return "", err
	}
	if plain.Size() == 0 {
		return "", failure(http.StatusUnprocessableEntity, "data must be a file of 1 byte at least")
	}
	message, err := s.compose(ctx, a, plain)
	if err != nil {
		return "", err
	}
	payload, err := proto.Marshal(message)
	if err != nil {
		return "", fmt.Errorf("marshal message to send: %w", err)
	}
	return s.post(ctx, p, outgoing{ID: newMessageID(), Recipient: a.To, Message: payload})
}

// compose encrypts a file under a fresh key, as a blob that nobody can fetch before it is uploaded, and makes the message of it as WhatsApp's
// apps do.
func (s *Sandbox) compose(ctx context.Context, a Attachment, plain *journal.BlobWriter) (*waE2E.Message, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	keys, err := keysOf(key, mediaKinds[a.Type].class)
	if err != nil {
		return nil, err
	}
	source, err := plain.Reader(ctx)
	if err != nil {
		return nil, err
	}
	sealed, err := s.journal.CreateBlob(ctx)
	if err != nil {
		return nil, err
	}
	defer sealed.Discard()
	if err := keys.seal(sealed, source); err != nil {
		return nil, err
	}
	if err := sealed.Commit(); err != nil {
		return nil, err
	}
	hash, encHash := plain.SHA256(), sealed.SHA256()
	size, now, mimetype := proto.Uint64(uint64(plain.Size())), proto.Int64(time.Now().Unix()), &a.Mimetype
	var caption *string
	if a.Caption != "" {
		caption = &a.Caption
	}
	switch a.Type {
	case "image":
		if source, err = plain.Reader(ctx); err != nil {
			return nil, err
		}
		width, height := dimensions(source)
		return &waE2E.Message{ImageMessage: &waE2E.ImageMessage{
			Mimetype: mimetype, Caption: caption, Width: width, Height: height,
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}}, nil
	case "video":
		return &waE2E.Message{VideoMessage: &waE2E.VideoMessage{
			Mimetype: mimetype, Caption: caption,
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}}, nil
	case "sticker":
		return &waE2E.Message{StickerMessage: &waE2E.StickerMessage{
			Mimetype: mimetype,
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}}, nil
	case "document":
		message := &waE2E.Message{DocumentMessage: &waE2E.DocumentMessage{
			Mimetype: mimetype, Caption: caption, Title: &a.FileName, FileName: &a.FileName,
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}}
		if caption != nil {
			message = &waE2E.Message{DocumentWithCaptionMessage: &waE2E.FutureProofMessage{Message: message}}
		}
		return message, nil
	default:
		return &waE2E.Message{AudioMessage: &waE2E.AudioMessage{
			Mimetype: mimetype, PTT: proto.Bool(a.Type == "voice"),
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}}, nil
	}
}

// prepare makes an outgoing message ready to be sent: its file is uploaded, once, and where it is then is stored with the message.
func (c *connection) prepare(ctx context.Context, m *outgoing) (*waE2E.Message, error) {
	message, err := m.content()
	if err != nil {
		return nil, err
	}
	file := fileOf(message)
	if file == nil || file.GetDirectPath() != "" {
		return message, nil
	}
	url, path, err := c.upload(ctx, mediaCopy{Key: file.GetMediaKey(), EncSHA256: file.GetFileEncSHA256(), Class: whatsmeow.GetMediaType(file)})
	if err != nil {
		return nil, err
	}
	locate(file, url, path)
	payload, err := proto.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("marshal message to send: %w", err)
	}
	return message, c.phone.storeMessage(ctx, m, payload)
}
