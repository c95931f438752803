package sandbox

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxFileName bounds a file's name, in bytes, as file systems do; maxMimetype is RFC 6838's 127 for each half.
	maxFileName, maxMimetype = 255, 255
	// maxWaveform bounds a voice's waveform; WhatsApp's apps send 64 values.
	maxWaveform = 1024
)

// mediaKind is what a type of attachment means.
type mediaKind struct {
	class    whatsmeow.MediaType
	mimetype string
}

var mediaKinds = map[string]mediaKind{
	"image":    {whatsmeow.MediaImage, "image/jpeg"},
	"video":    {whatsmeow.MediaVideo, "video/mp4"},
	"audio":    {whatsmeow.MediaAudio, "audio/mpeg"},
	"voice":    {whatsmeow.MediaAudio, "audio/ogg; codecs=opus"},
	"document": {whatsmeow.MediaDocument, "application/octet-stream"},
	"sticker":  {whatsmeow.MediaImage, "image/webp"},
}

// complete checks what is said of a file and fills in what is left out.
func (o *Outgoing) complete() error {
	kind := mediaKinds[o.Type]
	if len(o.FileName) > maxFileName {
		return refuse("fileName must have at most %d bytes", maxFileName)
	}
	if len(o.Waveform) > maxWaveform {
		return refuse("waveform must have at most %d values", maxWaveform)
	}
	if o.GIF && o.PTV {
		return refuse("a video is not a gif and a round video note at once")
	}
	if o.Mimetype == "" {
		o.Mimetype = kind.mimetype
	}
	if contentType(o.Mimetype) != o.Mimetype || len(o.Mimetype) > maxMimetype {
		return refuse("mimetype must be a media type, as %s", kind.mimetype)
	}
	if o.Type == "document" && o.FileName == "" {
		o.FileName = "document"
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
func (s *Sandbox) SendMedia(ctx context.Context, number string, o Outgoing, file io.Reader) (string, error) {
	plain, err := s.journal.CreateBlob(ctx)
	if err != nil {
		return "", err
	}
	defer plain.Discard()
	if _, err := io.Copy(plain, file); err != nil {
		return "", fmt.Errorf("read file to send: %w", err)
	}
	return s.sendMedia(ctx, number, o, plain)
}

// sendMedia sends a file that was stored as it is, which the caller discards: the type of a message, which its key depends on, may follow
// the file in a request.
func (s *Sandbox) sendMedia(ctx context.Context, number string, o Outgoing, plain *journal.BlobWriter) (string, error) {
	c, _, err := s.composer(ctx, number, o)
	if err != nil {
		return "", err
	}
	if mediaKinds[o.Type].class == "" {
		return "", refuse("a message of type %s has neither data nor what belongs to it", o.Type)
	}
	if err := c.complete(); err != nil {
		return "", err
	}
	if c.to.Server == types.NewsletterServer {
		return "", refuse("files for a channel are not encrypted, which the phones cannot send")
	}
	if plain.Size() == 0 {
		return "", refuse("data must be a file of 1 byte at least")
	}
	message, err := c.media(plain)
	if err != nil {
		return "", err
	}
	if c.AlbumID != "" {
		album := c.phone.known(c.To, c.AlbumID)
		if album == nil || !album.fromMe || album.message.GetAlbumMessage() == nil {
			return "", refuse("albumId must be of an album that the phone sent to the same recipient")
		}
		message.MessageContextInfo = &waE2E.MessageContextInfo{MessageAssociation: &waE2E.MessageAssociation{
			AssociationType: waE2E.MessageAssociation_MEDIA_ALBUM.Enum(), ParentMessageKey: album.key(),
		}}
	}
	return c.post(message)
}

// media encrypts a file under a fresh key, as a blob that nobody can fetch before it is uploaded, and makes the message of it as WhatsApp's
// apps do.
func (c *composer) media(plain *journal.BlobWriter) (*waE2E.Message, error) {
	s, ctx := c.phone.sandbox, c.ctx
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	keys, err := keysOf(key, mediaKinds[c.Type].class)
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
	size, now := proto.Uint64(uint64(plain.Size())), proto.Int64(time.Now().Unix())
	width, height, seconds := number(c.Width), number(c.Height), number(c.Seconds)
	once := proto.Bool(c.ViewOnce)
	if !c.ViewOnce {
		once = nil
	}
	switch c.Type {
	case "image":
		if width == nil && height == nil {
			if source, err = plain.Reader(ctx); err != nil {
				return nil, err
			}
			width, height = dimensions(source)
		}
		return viewOnce(&waE2E.Message{ImageMessage: &waE2E.ImageMessage{
			Mimetype: &c.Mimetype, Caption: optional(c.Caption), Width: width, Height: height, JPEGThumbnail: c.Thumbnail, ViewOnce: once,
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}}), nil
	case "video":
		video := &waE2E.VideoMessage{
			Mimetype: &c.Mimetype, Caption: optional(c.Caption), Width: width, Height: height, Seconds: seconds, JPEGThumbnail: c.Thumbnail, ViewOnce: once,
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}
		if c.PTV {
			return viewOnce(&waE2E.Message{PtvMessage: video}), nil
		}
		if c.GIF {
			video.GifPlayback = &c.GIF
		}
		return viewOnce(&waE2E.Message{VideoMessage: video}), nil
	case "sticker":
		return &waE2E.Message{StickerMessage: &waE2E.StickerMessage{
			Mimetype: &c.Mimetype, Width: width, Height: height, PngThumbnail: c.Thumbnail, IsAnimated: &c.Animated,
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}}, nil
	case "document":
		return withCaption(&waE2E.Message{DocumentMessage: &waE2E.DocumentMessage{
			Mimetype: &c.Mimetype, Caption: optional(c.Caption), Title: &c.FileName, FileName: &c.FileName, JPEGThumbnail: c.Thumbnail,
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}}), nil
	default:
		return viewOnce(&waE2E.Message{AudioMessage: &waE2E.AudioMessage{
			Mimetype: &c.Mimetype, PTT: proto.Bool(c.Type == "voice"), Seconds: seconds, Waveform: c.Waveform, ViewOnce: once,
			MediaKey: key, MediaKeyTimestamp: now, FileLength: size, FileSHA256: hash, FileEncSHA256: encHash,
		}}), nil
	}
}

// number is one that is left out of a message when it is 0.
func number(n uint32) *uint32 {
	if n == 0 {
		return nil
	}
	return &n
}

// withCaption puts a document that has a caption into the wrapper that it needs.
func withCaption(m *waE2E.Message) *waE2E.Message {
	if m.GetDocumentMessage().GetCaption() == "" {
		return m
	}
	return &waE2E.Message{DocumentWithCaptionMessage: &waE2E.FutureProofMessage{Message: m}}
}

// viewOnce puts what is to be viewed once into the wrapper that it needs.
func viewOnce(m *waE2E.Message) *waE2E.Message {
	file, _ := fileOf(m).(interface{ GetViewOnce() bool })
	switch {
	case !file.GetViewOnce():
		return m
	case m.GetAudioMessage() != nil:
		return &waE2E.Message{ViewOnceMessageV2Extension: &waE2E.FutureProofMessage{Message: m}}
	}
	return &waE2E.Message{ViewOnceMessageV2: &waE2E.FutureProofMessage{Message: m}}
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
