package sandbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // the formats of which a phone knows the dimensions
	_ "image/png"
	"io"
	"net/http"
	"strings"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"
)

// Media is what a message with a file shows beside what every message has.
type Media struct {
	Caption string `json:"caption,omitempty"`
	// FileName is a document's.
	FileName string `json:"fileName,omitempty"`
	Mimetype string `json:"mimetype,omitempty"`
	// Size and SHA256 (lower-case hexadecimal) are those of the file that the phone downloaded and decrypted, not what the message says.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	// MediaError says why the phone does not have the file; the sender's fault, since a phone tries until it has or cannot have it.
	MediaError string `json:"mediaError,omitempty"`
	// PTT, Seconds and Waveform (base64) are a voice note's; Seconds is a video's and an audio file's, too.
	PTT      bool   `json:"ptt,omitempty"`
	Seconds  uint32 `json:"seconds,omitempty"`
	Waveform []byte `json:"waveform,omitempty"`
	// Width and Height are in pixels, as the message says.
	Width  uint32 `json:"width,omitempty"`
	Height uint32 `json:"height,omitempty"`
	// Thumbnail is the size of the preview that is in the message itself, in bytes; absent when there is none.
	Thumbnail int `json:"thumbnail,omitempty"`
	// GIF says that a video plays silently and again and again, PTV that it was recorded as a round video note.
	GIF bool `json:"gif,omitempty"`
	PTV bool `json:"ptv,omitempty"`
	// Animated is a sticker's.
	Animated bool `json:"animated,omitempty"`
}

// mediaCopy is a file that a phone has: a blob, by the hash of its encrypted form, and what opens it.
type mediaCopy struct {
	Key, EncSHA256 []byte
	Class          whatsmeow.MediaType
}

// fileOf finds a message's file; nil when it has none.
func fileOf(m *waE2E.Message) whatsmeow.DownloadableMessage {
	m, _ = unwrap(m)
	switch {
	case m.GetImageMessage() != nil:
		return m.GetImageMessage()
	case m.GetVideoMessage() != nil:
		return m.GetVideoMessage()
	case m.GetPtvMessage() != nil: // a round video
		return m.GetPtvMessage()
	case m.GetAudioMessage() != nil:
		return m.GetAudioMessage()
	case m.GetDocumentMessage() != nil:
		return m.GetDocumentMessage()
	case m.GetStickerMessage() != nil:
		return m.GetStickerMessage()
	}
	return nil
}

// locate writes into a file's message where it was uploaded to.
func locate(file whatsmeow.DownloadableMessage, url, path string) {
	switch f := file.(type) {
	case *waE2E.ImageMessage:
		f.URL, f.DirectPath = &url, &path
	case *waE2E.VideoMessage:
		f.URL, f.DirectPath = &url, &path
	case *waE2E.AudioMessage:
		f.URL, f.DirectPath = &url, &path
	case *waE2E.DocumentMessage:
		f.URL, f.DirectPath = &url, &path
	case *waE2E.StickerMessage:
		f.URL, f.DirectPath = &url, &path
	}
}

// described reads what a file's message says of it.
func described(file whatsmeow.DownloadableMessage) Media {
	m := Media{}
	if f, ok := file.(interface{ GetMimetype() string }); ok {
		m.Mimetype = f.GetMimetype()
	}
	if f, ok := file.(interface{ GetCaption() string }); ok {
		m.Caption = f.GetCaption()
	}
	if f, ok := file.(interface{ GetSeconds() uint32 }); ok {
		m.Seconds = f.GetSeconds()
	}
	if f, ok := file.(interface {
		GetWidth() uint32
		GetHeight() uint32
	}); ok {
		m.Width, m.Height = f.GetWidth(), f.GetHeight()
	}
	if f, ok := file.(interface{ GetJPEGThumbnail() []byte }); ok {
		m.Thumbnail = len(f.GetJPEGThumbnail())
	}
	switch f := file.(type) {
	case *waE2E.AudioMessage:
		m.PTT, m.Waveform = f.GetPTT(), f.GetWaveform()
	case *waE2E.DocumentMessage:
		if m.FileName = f.GetFileName(); m.FileName == "" {
			m.FileName = f.GetTitle()
		}
	case *waE2E.StickerMessage:
		m.Thumbnail, m.Animated = len(f.GetPngThumbnail()), f.GetIsAnimated() || f.GetIsLottie()
	case *waE2E.VideoMessage:
		m.GIF = f.GetGifPlayback()
	}
	return m
}

// receive downloads a message's file, decrypts it and verifies it, without keeping it: the phone's copy is the server's blob. The copy is
// nil, and Media says why, when that is the sender's fault. An error is passing.
func (c *connection) receive(ctx context.Context, file whatsmeow.DownloadableMessage) (*Media, *mediaCopy, error) {
	m := described(file)
	got := &mediaCopy{Key: file.GetMediaKey(), EncSHA256: file.GetFileEncSHA256(), Class: whatsmeow.GetMediaType(file)}
	if len(got.Key) != 32 || !strings.HasPrefix(file.GetDirectPath(), "/") {
		m.MediaError = "the message has no key or no path for its file"
		return &m, nil, nil
	}
	keys, err := keysOf(got.Key, got.Class)
	if err != nil {
		return nil, nil, err
	}
	url := "https://mmg.whatsapp.net" + file.GetDirectPath() + "&hash=" + base64.URLEncoding.EncodeToString(got.EncSHA256) + "&__wa-mms="
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		m.MediaError = "the path of the file is none"
		return &m, nil, nil // the path is the sender's
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, fmt.Errorf("download media: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		if response.StatusCode >= 500 {
			return nil, nil, fmt.Errorf("download media: status %d", response.StatusCode)
		}
		m.MediaError = fmt.Sprintf("the download was answered with %d", response.StatusCode)
		return &m, nil, nil
	}
	opened, err := keys.open(io.Discard, response.Body)
	if err != nil && !errors.Is(err, errBroken) {
		return nil, nil, fmt.Errorf("download media: %w", err)
	}
	said, _ := file.(interface{ GetFileLength() uint64 })
	switch {
	case err != nil:
		m.MediaError = errBroken.Error()
	case !bytes.Equal(opened.encSHA256, got.EncSHA256), !bytes.Equal(opened.sha256, file.GetFileSHA256()):
		m.MediaError = "the file has another hash than the message says"
	case said != nil && said.GetFileLength() != uint64(opened.size):
		m.MediaError = "the file has another length than the message says"
	}
	m.Size, m.SHA256 = opened.size, hex.EncodeToString(opened.sha256)
	if m.MediaError != "" {
		return &m, nil, nil
	}
	return &m, got, nil
}

// upload uploads a copy that the phone has, in the form that it has, and returns where it is then.
func (c *connection) upload(ctx context.Context, file mediaCopy) (url, path string, err error) {
	blob, err := c.phone.sandbox.journal.OpenBlob(ctx, file.EncSHA256)
	if err != nil {
		return "", "", err
	}
	var answer whatsmeow.UploadResponse
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API encrypts a file anew, under another key
	err = c.client.DangerousInternals().RawUpload(ctx, blob, uint64(blob.Size()), file.EncSHA256, file.Class, false, &answer)
	if err != nil {
		return "", "", fmt.Errorf("upload media: %w", err)
	}
	return answer.URL, answer.DirectPath, nil
}

// dimensions are an image's, in pixels; nil when it is no JPEG or PNG.
func dimensions(file io.Reader) (width, height *uint32) {
	config, _, err := image.DecodeConfig(file)
	if err != nil {
		return nil, nil
	}
	return proto.Uint32(uint32(config.Width)), proto.Uint32(uint32(config.Height))
}
