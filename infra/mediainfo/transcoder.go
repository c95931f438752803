package mediainfo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"time"
)

const (
	// transcodeTime bounds one run of ffmpeg. It makes a voice note of an hour in
	// about 20 s of one core, and a thumbnail in less than a second.
	transcodeTime = 2 * time.Minute
	// transcoders is how many run at a time; a waiting call gives up with its
	// context. Each takes a core and up to some hundred megabytes.
	transcoders = 2
	// killTime is how long the pipes of a killed ffmpeg may stay open.
	killTime = 5 * time.Second
	// voiceBitrate is where Opus' wideband speech is as good as it gets (RFC
	// 6716, 2.1.1: 16-20 kbit/s), with a reserve for what is no speech.
	voiceBitrate = "24k"
)

// demuxers are the formats that ffmpeg may take a file for. Formats that name
// other files (hls, concat, dash, image2) or that run filters (lavfi) are not
// among them: a playlist must not make it read other files or URLs.
const demuxers = "aac,aiff,amr,ape,asf,au,avi,caf,flac,flv,gif,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav"

// Transcoder runs ffmpeg. The nil Transcoder is one that found none.
type Transcoder struct {
	path string
	time time.Duration
	slot chan struct{}
}

// NewTranscoder returns a Transcoder for the ffmpeg at path or, when path is "",
// for the one found in PATH.
func NewTranscoder(path string) *Transcoder {
	if path == "" {
		path = "ffmpeg"
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return nil
	}
	return &Transcoder{path: found, time: transcodeTime, slot: make(chan struct{}, transcoders)}
}

// Available reports whether there is an ffmpeg.
func (t *Transcoder) Available() bool { return t != nil }

// Voice makes a voice note of any audio, or of the sound of a video: mono Ogg
// Opus of 16 kHz in packets of three frames, as the phones' own recorder makes
// them, without the file's metadata. It returns ErrUnknown when ffmpeg can make
// nothing of the file, ErrTooLarge when that or the voice note is longer than
// MaxBytes, and ErrNoTranscoder.
//
// The file is kept in the temporary folder meanwhile, without a name, because an
// MP4 may have to be read from its end; nothing is left after a crash. What
// ffmpeg prints is never part of an error: it may quote the file's metadata.
func (t *Transcoder) Voice(ctx context.Context, in io.Reader, out io.Writer) error {
	pipe, encoded := io.Pipe()
	done := make(chan error, 1)
	bounded := &boundedWriter{w: out, left: MaxBytes}
	go func() {
		err := repack(bounded, pipe)
		pipe.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // ends ffmpeg when it still writes
		done <- err
	}()
	err := t.run(ctx, in, encoded, io.Discard,
		"-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1",
		"-ac", "1", "-ar", "16000", "-c:a", "libopus", "-b:a", voiceBitrate, "-application", "voip", "-frame_duration", "20",
		"-f", "ogg", "pipe:1")
	encoded.CloseWithError(io.EOF)
	packed := <-done
	if bounded.err != nil { // what stopped everything else
		return fmt.Errorf("write a voice note: %w", bounded.err)
	}
	if err != nil {
		return err
	}
	if errors.Is(packed, io.EOF) {
		return fmt.Errorf("make a voice note: %w", ErrUnknown)
	}
	return packed
}

// durationLine is what ffmpeg prints of its input; metadata is indented further.
var durationLine = regexp.MustCompile(`(?m)^  Duration: (\d+):(\d\d):(\d\d\.\d\d),`)

// VideoThumbnail returns a JPEG of a video's first picture, of the size that
// ReadPicture's have, with the video's width and height in pixels as it is to be
// shown, and its length, rounded, or 0 when not known. The thumbnail is nil when
// the picture is too large for ReadPicture. Errors are those of Voice.
func (t *Transcoder) VideoThumbnail(ctx context.Context, in io.Reader) (thumbnail []byte, width, height, seconds int, err error) {
	var frame, messages bytes.Buffer
	// A picture of 22 megapixels, which is the most that is decoded, takes 8 MiB.
	picture := &boundedWriter{w: &frame, left: 16 << 20}
	// Pixels that are not square are made square, as they are shown, by making
	// the shorter side longer.
	err = t.run(ctx, in, picture, &messages,
		"-map", "0:v:0", "-an", "-sn", "-dn", "-frames:v", "1", "-vf", "scale='iw*max(sar,1)':'ih/min(sar,1)',setsar=1",
		"-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "3", "-f", "image2pipe", "pipe:1")
	if err != nil {
		return nil, 0, 0, 0, err
	}
	shown, err := ReadPicture(&frame)
	if err != nil {
		return nil, 0, 0, 0, fmt.Errorf("read the picture of a video: %w", err)
	}
	if line := durationLine.FindSubmatch(messages.Bytes()); line != nil {
		if length, err := clock(string(line[1]), string(line[2]), string(line[3])); err == nil && length <= maxDuration {
			seconds = int(length.Round(time.Second) / time.Second)
		}
	}
	return shown.Thumbnail, shown.Width, shown.Height, seconds, nil
}

// run runs ffmpeg on a file with the output options given, within the limits.
func (t *Transcoder) run(ctx context.Context, in io.Reader, out, messages io.Writer, options ...string) error {
	if t == nil {
		return ErrNoTranscoder
	}
	file, err := spool(in)
	if err != nil {
		return err
	}
	defer file.Close()
	select {
	case t.slot <- struct{}{}:
		defer func() { <-t.slot }()
	case <-ctx.Done():
		return fmt.Errorf("wait for ffmpeg: %w", ctx.Err())
	}
	limited, cancel := context.WithTimeout(ctx, t.time)
	defer cancel()
	// The file is standard input, but is opened by its path there, because ffmpeg
	// takes a pipe's name to mean that it cannot seek.
	args := append([]string{
		"-hide_banner", "-nostdin", "-nostats", "-threads", "1", "-timelimit", "120", // CPU seconds, when nobody is left to kill it
		"-protocol_whitelist", "file", "-format_whitelist", demuxers, "-max_alloc", "268435456",
		"-i", "file:/dev/stdin",
	}, options...)
	command := exec.CommandContext(limited, t.path, args...) //nolint:gosec // the operator's ffmpeg, and no argument of a caller
	command.Stdin = file
	command.Stdout = out
	command.Stderr = &headWriter{w: messages, left: 64 << 10}
	command.Env = []string{"AV_LOG_FORCE_NOCOLOR=1"}
	command.WaitDelay = killTime
	err = command.Run()
	switch exit := (*exec.ExitError)(nil); {
	case ctx.Err() != nil:
		return fmt.Errorf("run ffmpeg: %w", ctx.Err())
	case limited.Err() != nil:
		return fmt.Errorf("run ffmpeg: more than %s: %w", t.time, limited.Err())
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("run ffmpeg: %w", ErrTooLarge)
	case errors.As(err, &exit):
		return fmt.Errorf("run ffmpeg: %s: %w", exit.ProcessState, ErrUnknown)
	case err != nil:
		return fmt.Errorf("run ffmpeg: %w", err)
	}
	return nil
}

// spool copies a file into the temporary folder and takes its name away, so that
// it is gone with the process that has it open.
func spool(in io.Reader) (*os.File, error) {
	file, err := os.CreateTemp("", "chasqui-media-")
	if err != nil {
		return nil, fmt.Errorf("spool media: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, fmt.Errorf("spool media: %w", err)
	}
	if _, err := io.Copy(file, &source{r: in, left: MaxBytes}); err != nil {
		file.Close()
		return nil, fmt.Errorf("spool media: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		file.Close()
		return nil, fmt.Errorf("spool media: %w", err)
	}
	return file, nil
}

// boundedWriter fails with ErrTooLarge instead of writing more than it may.
type boundedWriter struct {
	w    io.Writer
	left int64
	err  error
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	if b.err == nil && int64(len(p)) > b.left {
		b.err = ErrTooLarge
	}
	if b.err != nil {
		return 0, b.err
	}
	var n int
	n, b.err = b.w.Write(p)
	b.left -= int64(n)
	return n, b.err
}

// headWriter keeps the beginning and drops the rest.
type headWriter struct {
	w    io.Writer
	left int
}

func (h *headWriter) Write(p []byte) (int, error) {
	keep := min(len(p), h.left)
	h.left -= keep
	if _, err := h.w.Write(p[:keep]); err != nil {
		return 0, err
	}
	return len(p), nil
}
