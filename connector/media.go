package connector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"mime"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
)

const (
	// uploadTimeout bounds the upload of one file: 2 GiB at 1.2 MB/s.
	uploadTimeout = 30 * time.Minute
	// uploadKept is how long an upload serves further messages with the same file. WhatsApp keeps files for about 30 days, as is said; that
	// cannot be seen offline, so it is a small part of it.
	uploadKept = 24 * time.Hour
	// maxMimetype and maxFileName bound what a sender chooses, in bytes.
	maxMimetype, maxFileName = 128, 255
	// maxDirectPath bounds a path, in bytes, by what servers take; WhatsApp's own have about 200.
	maxDirectPath = 4096
)

// errMediaGone says that the bytes of a message's media are kept no more.
var errMediaGone = errors.New("the media is gone")

// file is what ImageMessage, VideoMessage, AudioMessage, DocumentMessage and StickerMessage have in common.
type file interface {
	whatsmeow.DownloadableMessage
	GetMimetype() string
	GetFileLength() uint64
}

// fileOf reads a message with a file, as far as it can be shown without having it; nil where it has none.
func fileOf(m *waE2E.Message) (content events.Content, f file) {
	if inner := m.GetDocumentWithCaptionMessage().GetMessage(); inner != nil {
		m = inner
	}
	switch {
	case m.GetImageMessage() != nil:
		image := m.GetImageMessage()
		return events.Content{Type: events.ContentImage, Caption: image.GetCaption(), ViewOnce: image.GetViewOnce()}, image
	case m.GetVideoMessage() != nil:
		video := m.GetVideoMessage()
		return events.Content{Type: events.ContentVideo, Caption: video.GetCaption(), ViewOnce: video.GetViewOnce(), GIF: video.GetGifPlayback()}, video
	case m.GetPtvMessage() != nil:
		video := m.GetPtvMessage()
		return events.Content{Type: events.ContentVideo, VideoNote: true, ViewOnce: video.GetViewOnce()}, video
	case m.GetAudioMessage() != nil:
		audio := m.GetAudioMessage()
		content = events.Content{Type: events.ContentAudio, ViewOnce: audio.GetViewOnce()}
		if audio.GetPTT() {
			content.Type = events.ContentVoice
		}
		return content, audio
	case m.GetDocumentMessage() != nil:
		document := m.GetDocumentMessage()
		return events.Content{Type: events.ContentDocument, Caption: document.GetCaption()}, document
	case m.GetStickerMessage() != nil:
		sticker := m.GetStickerMessage()
		return events.Content{Type: events.ContentSticker, Animated: sticker.GetIsAnimated() || sticker.GetIsLottie()}, sticker
	}
	return content, nil
}

// mediaOf reads a message with a file, which is returned as the row that it gets; nil where it has none that can be fetched.
func mediaOf(m *waE2E.Message) (content events.Content, media *db.Media) {
	content, f := fileOf(m)
	if f == nil {
		return content, nil
	}
	if len(f.GetFileSHA256()) != 32 || len(f.GetFileEncSHA256()) != 32 || len(f.GetMediaKey()) != 32 ||
		f.GetDirectPath() == "" || len(f.GetDirectPath()) > maxDirectPath || f.GetFileLength() > math.MaxInt64 {
		return events.Content{Type: events.ContentUnsupported}, nil // view-once media that is only for the phone comes like this
	}
	return fetchable(m, content, f)
}

// fetchable is a message's file as the row that it gets.
func fetchable(m *waE2E.Message, content events.Content, f file) (events.Content, *db.Media) {
	if inner := m.GetDocumentWithCaptionMessage().GetMessage(); inner != nil {
		m = inner
	}
	content.Caption = printable(content.Caption)
	kind, path := kinds[content.Type].name, printable(f.GetDirectPath())
	media := &db.Media{
		ID: events.NewID(), Mimetype: mimetype(f.GetMimetype(), kind), FileName: fileName(m.GetDocumentMessage()), Size: int64(f.GetFileLength()),
		Sha256: f.GetFileSHA256(), Kind: &kind, DirectPath: &path, MediaKey: f.GetMediaKey(), EncSha256: f.GetFileEncSHA256(),
	}
	shown := postgres.Media(*media, "")
	shown.URL = "" // it is made where it is shown
	content.Media = &shown
	return content, media
}

// mimetype is what a sender calls a file, where that is a media type at all.
func mimetype(said, kind string) string {
	if said = strings.TrimSpace(said); len(said) <= maxMimetype {
		// Quoted parameters may hold NUL and broken UTF-8, with which PostgreSQL would refuse the message, again and again.
		if _, _, err := mime.ParseMediaType(said); err == nil && utf8.ValidString(said) && !strings.ContainsFunc(said, unicode.IsControl) {
			return said
		}
	}
	return map[string]string{"image": "image/jpeg", "video": "video/mp4", "audio": "audio/ogg; codecs=opus", "document": "application/octet-stream"}[kind]
}

// fileName is what a document is called, without the folders that a name could smuggle in.
func fileName(document *waE2E.DocumentMessage) string {
	name := document.GetFileName()
	if name == "" {
		name = document.GetTitle()
	}
	name = printable(strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r < ' ' {
			return '_'
		}
		return r
	}, name))
	if len(name) > maxFileName {
		name = strings.ToValidUTF8(name[:maxFileName], "")
	}
	return name
}

// kinds are WhatsApp's kinds of the contents with media, and whatsmeow's names for their keys.
var kinds = map[string]struct {
	name string
	keys whatsmeow.MediaType
}{
	events.ContentImage: {"image", whatsmeow.MediaImage}, events.ContentSticker: {"image", whatsmeow.MediaImage},
	events.ContentVideo: {"video", whatsmeow.MediaVideo}, events.ContentAudio: {"audio", whatsmeow.MediaAudio},
	events.ContentVoice: {"audio", whatsmeow.MediaAudio}, events.ContentDocument: {"document", whatsmeow.MediaDocument},
}

// upload gives a message's file to WhatsApp, unless it has it already from another message, and says where it is.
func (c *connection) upload(ctx context.Context, id uuid.UUID, contentType string) (m db.Media, up whatsmeow.UploadResponse, err error) {
	m, err = c.s.c.queries.MediaGet(ctx, c.s.c.pool, id)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && m.Status != "ready" {
		return m, up, errMediaGone
	}
	if err != nil {
		return m, up, fmt.Errorf("read media: %w", err)
	}
	if m.MediaKey, err = c.s.c.cfg.Keys.Open(m.MediaKey, seal.MediaKey.At(id.String())); err != nil {
		return m, up, fmt.Errorf("open media key: %w", err)
	}
	kind := kinds[contentType]
	if len(m.MediaKey) == 32 && m.DirectPath != nil && m.Kind != nil && *m.Kind == kind.name && time.Since(*m.RemoteAt) < uploadKept {
		return m, whatsmeow.UploadResponse{
			DirectPath: *m.DirectPath, MediaKey: m.MediaKey, FileEncSHA256: m.EncSha256, FileSHA256: m.Sha256, FileLength: uint64(m.Size),
		}, nil
	}
	body, err := c.s.c.media.Open(ctx, m.Object, 0, -1)
	if errors.Is(err, mediastore.ErrNotFound) {
		return m, up, errMediaGone
	}
	if err != nil {
		return m, up, err
	}
	defer body.Close()
	// whatsmeow encrypts into a file, since the name under which it uploads is the hash of what comes out.
	scratch, err := os.CreateTemp("", "chasqui-upload-")
	if err != nil {
		return m, up, fmt.Errorf("make temporary file: %w", err)
	}
	defer func() { _ = scratch.Close() }() // the HTTP client may have done it
	_ = os.Remove(scratch.Name())          // now, so that a crash leaves nothing: it lives on as long as it is open
	if up, err = c.client.UploadReader(ctx, body, scratch, kind.keys); err != nil {
		return m, up, fmt.Errorf("upload media: %w", err)
	}
	if !bytes.Equal(up.FileSHA256, m.Sha256) {
		return m, up, fmt.Errorf("upload media: %d bytes were read that are not the file of %d", up.FileLength, m.Size)
	}
	if err := c.s.c.queries.MediaRemember(ctx, c.s.c.pool, db.MediaRememberParams{
		ID: id, Kind: &kind.name, DirectPath: &up.DirectPath, MediaKey: c.s.c.cfg.Keys.Seal(up.MediaKey, seal.MediaKey.At(id.String())), EncSha256: up.FileEncSHA256,
	}); err != nil {
		c.s.log.WarnContext(ctx, "an upload is not remembered for further messages", "error", err)
	}
	return m, up, nil
}

// fileMessage makes the message of a file that WhatsApp has, as its own apps make them.
func fileMessage(content events.Content, m db.Media, up whatsmeow.UploadResponse, now time.Time) (*waE2E.Message, error) {
	d, err := postgres.ReadDetails(m.Details)
	if err != nil {
		return nil, err
	}
	positive := func(n int) *uint32 {
		if n <= 0 {
			return nil
		}
		return proto.Uint32(uint32(n))
	}
	stamp, mimetype, link := proto.Int64(now.Unix()), proto.String(content.Media.Mimetype), optional(up.URL)
	var made *waE2E.Message
	switch content.Type {
	case events.ContentImage:
		made = &waE2E.Message{ImageMessage: &waE2E.ImageMessage{
			URL: link, DirectPath: &up.DirectPath, MediaKey: up.MediaKey, MediaKeyTimestamp: stamp, FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256,
			FileLength: &up.FileLength, Mimetype: mimetype, Caption: optional(content.Caption), Width: positive(d.Width), Height: positive(d.Height),
			JPEGThumbnail: d.Thumbnail, ViewOnce: onlyTrue(content.ViewOnce),
		}}
	case events.ContentVideo:
		video := &waE2E.VideoMessage{
			URL: link, DirectPath: &up.DirectPath, MediaKey: up.MediaKey, MediaKeyTimestamp: stamp, FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256,
			FileLength: &up.FileLength, Mimetype: mimetype, Caption: optional(content.Caption), Width: positive(d.Width), Height: positive(d.Height),
			JPEGThumbnail: d.Thumbnail, Seconds: positive(d.Seconds), ViewOnce: onlyTrue(content.ViewOnce), GifPlayback: onlyTrue(content.GIF),
		}
		made = &waE2E.Message{VideoMessage: video}
		if content.VideoNote {
			made = &waE2E.Message{PtvMessage: video}
		}
	case events.ContentAudio, events.ContentVoice:
		voice := content.Type == events.ContentVoice
		made = &waE2E.Message{AudioMessage: &waE2E.AudioMessage{
			URL: link, DirectPath: &up.DirectPath, MediaKey: up.MediaKey, MediaKeyTimestamp: stamp, FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256,
			FileLength: &up.FileLength, Mimetype: mimetype, PTT: onlyTrue(voice), Seconds: positive(d.Seconds), Waveform: d.Waveform, ViewOnce: onlyTrue(content.ViewOnce),
		}}
	case events.ContentSticker:
		return &waE2E.Message{StickerMessage: &waE2E.StickerMessage{
			URL: link, DirectPath: &up.DirectPath, MediaKey: up.MediaKey, MediaKeyTimestamp: stamp, FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256,
			FileLength: &up.FileLength, Mimetype: mimetype, Width: positive(d.Width), Height: positive(d.Height), StickerSentTS: proto.Int64(now.UnixMilli()),
			IsAnimated: onlyTrue(content.Animated),
		}}, nil
	default:
		name := content.Media.FileName
		made = &waE2E.Message{DocumentMessage: &waE2E.DocumentMessage{
			URL: link, DirectPath: &up.DirectPath, MediaKey: up.MediaKey, MediaKeyTimestamp: stamp, FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256,
			FileLength: &up.FileLength, Mimetype: mimetype, FileName: optional(name), Title: optional(name), Caption: optional(content.Caption),
		}}
		if content.Caption != "" { // a caption is shown only inside this wrapper
			made = &waE2E.Message{DocumentWithCaptionMessage: &waE2E.FutureProofMessage{Message: made}}
		}
		return made, nil
	}
	if content.ViewOnce {
		wrapper := &waE2E.FutureProofMessage{Message: made}
		if made.AudioMessage != nil {
			return &waE2E.Message{ViewOnceMessageV2Extension: wrapper}, nil
		}
		return &waE2E.Message{ViewOnceMessage: wrapper}, nil
	}
	return made, nil
}
