package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/mediainfo"
)

// makeSticker turns a picture into a sticker; one that is WebP stays as it is. What says that it is WebP and is not understood does too.
func (s *Server) makeSticker(ctx context.Context, a *attachment) error {
	var made mediainfo.Sticker
	err := s.look(ctx, a, func(r io.Reader) (err error) {
		made, err = mediainfo.ReadSticker(r)
		return err
	})
	switch {
	case errors.Is(err, mediainfo.ErrAnimation):
		if made.WebP, err = s.animate(ctx, a); err != nil {
			return err
		}
		made.Animated = true
	case errors.Is(err, mediainfo.ErrUnknown) && strings.HasPrefix(a.mimetype, fitting[events.ContentSticker][0]):
		return nil
	case errors.Is(err, mediainfo.ErrUnknown):
		return problem(UnsupportedMediaType, "a sticker must be WebP, or a PNG, JPEG or GIF that is not too large to be made one")
	case err != nil:
		return fmt.Errorf("read sticker: %w", err)
	}
	if made.WebP != nil {
		sticker, err := s.save(ctx, bytes.NewReader(made.WebP), int64(len(made.WebP)), "", "")
		if err != nil {
			return err
		}
		s.drop(ctx, a)
		*a = *sticker
	}
	a.mimetype = fitting[events.ContentSticker][0]
	a.details.Width, a.details.Height, a.details.Animated = made.Width, made.Height, made.Animated
	return nil
}

// animate makes an animated sticker of a GIF.
func (s *Server) animate(ctx context.Context, a *attachment) ([]byte, error) {
	if !s.transcoder.Available() {
		return nil, problem(UnsupportedMediaType, "an animated sticker must be WebP; it can be made of a GIF where ffmpeg is installed with the API")
	}
	body, err := s.openAttachment(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("read GIF: %w", err)
	}
	defer body.Close()
	webp, err := s.transcoder.AnimatedSticker(ctx, body)
	switch {
	case errors.Is(err, mediainfo.ErrTooLarge):
		return nil, problem(MediaTooLarge, "this GIF is too large to be made a sticker; send it as a video, or make it shorter")
	case errors.Is(err, mediainfo.ErrUnknown):
		return nil, problem(UnsupportedMediaType, "this GIF could not be made a sticker")
	}
	return webp, err
}
