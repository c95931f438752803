// Package mediainfo finds out what has to be known of a media file before it is
// sent over WhatsApp: the size and the thumbnail of a picture, the length and
// the waveform of a voice note, the length of a film. It trusts no file: every
// reader is bounded in memory and in time, and none panics.
//
// Everything but the conversion to a voice note, the thumbnail of a video and the
// conversion of an animated GIF is pure Go; those need an ffmpeg, see Transcoder.
package mediainfo

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrUnknown is returned for a file that is of no format known here, or too
	// damaged to say anything of it. It is no reason not to send the file.
	ErrUnknown = errors.New("unknown media format")
	// ErrTooLarge is returned for a file that is longer than MaxBytes.
	ErrTooLarge = errors.New("media file is too large")
	// ErrNoTranscoder is returned by a Transcoder that found no ffmpeg.
	ErrNoTranscoder = errors.New("ffmpeg is not installed")
)

// MaxBytes is the longest file that ReadVoice and Transcoder take: 64 MiB, the
// largest video or audio WhatsApp's own apps send as media. Longer files go out
// as documents, of which nothing has to be known.
const MaxBytes = 64 << 20

// source reads a file and remembers why it could not, because decoders wrap or
// swallow what their reader says: a broken connection to the object store must
// not look like a broken picture.
type source struct {
	r    io.Reader
	left int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.left <= 0 {
		// One more byte tells a file that is too long from one that just fits.
		if n, err := io.ReadFull(s.r, make([]byte, 1)); n == 1 {
			s.err = ErrTooLarge
		} else {
			s.err = err
		}
		return 0, s.err
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	s.err = err
	return n, err
}

// fault is the reader's own error, if it had one other than the end of the file.
func (s *source) fault() error {
	if s.err == nil || errors.Is(s.err, io.EOF) || errors.Is(s.err, io.ErrUnexpectedEOF) {
		return nil
	}
	return s.err
}

// unknown is the error for a file that no sense could be made of.
func (s *source) unknown(doing string) error {
	if err := s.fault(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, ErrUnknown)
}
