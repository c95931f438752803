package mediainfo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// transcoder returns the ffmpeg of this machine. Without one its tests are
// skipped, except in CI, which installs it.
func transcoder(t *testing.T) *Transcoder {
	t.Helper()
	tool := NewTranscoder("")
	if !tool.Available() {
		if os.Getenv("CI") == "true" {
			t.Fatal("ffmpeg is not installed")
		}
		t.Skip("ffmpeg is not installed")
	}
	return tool
}

// made is a file that ffmpeg makes of a description of sound or pictures.
func made(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	args = append(append([]string{"-hide_banner", "-loglevel", "error"}, args...), path)
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const threeSeconds = "aevalsrc='0.6*sin(2*PI*300*t)*(lt(t,1)+gte(t,2)*0.5)':s=44100:d=3"

func TestVoiceOfEveryContainer(t *testing.T) {
	t.Parallel()
	tool := transcoder(t)
	for name, args := range map[string][]string{
		"pcm.wav":    {"-ac", "2"},
		"song.mp3":   {"-c:a", "libmp3lame", "-metadata", "title=very private"},
		"note.m4a":   {"-c:a", "aac", "-metadata", "title=very private"}, // its header is at the end
		"note.webm":  {"-c:a", "libopus", "-ac", "2"},
		"note.ogg":   {"-c:a", "libvorbis", "-ac", "2"},
		"note.flac":  {},
		"note.aac":   {"-c:a", "aac"},
		"film.mp4":   {"-f", "lavfi", "-i", "testsrc=size=64x64:duration=3", "-c:v", "libx264", "-c:a", "aac"},
		"cinema.mkv": {"-c:a", "ac3"},
		"note.caf":   {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := made(t, name, append([]string{"-f", "lavfi", "-i", threeSeconds}, args...)...)
			var out bytes.Buffer
			if err := tool.Voice(t.Context(), bytes.NewReader(file), &out); err != nil {
				t.Fatal(err)
			}
			encoded := out.Bytes()
			voice, err := ReadVoice(bytes.NewReader(encoded))
			if err != nil {
				t.Fatal(err)
			}
			if voice.Seconds != 3 || !voice.Recorded {
				t.Errorf("%d seconds, recorded: %v", voice.Seconds, voice.Recorded)
			}
			checkBars(t, voice.Waveform)
			all, head, _ := packets(t, encoded)
			if head.channels != 1 || head.rate != 16000 {
				t.Errorf("%+v", head)
			}
			if len(all) > 60 { // 3 s in packets of 60 ms are 51
				t.Errorf("%d packets", len(all))
			}
			if bytes.Contains(encoded, []byte("private")) || bytes.Contains(encoded, []byte("Lav")) {
				t.Error("metadata is in the voice note")
			}
			// ffmpeg looks at checksums, sequence and positions.
			check := exec.CommandContext(t.Context(), "ffmpeg", "-v", "warning", "-xerror", "-f", "ogg", "-i", "pipe:0", "-f", "null", "-")
			check.Stdin = bytes.NewReader(encoded)
			if said, err := check.CombinedOutput(); err != nil || len(said) > 0 {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
}

func TestVoiceOfWhatIsNoAudio(t *testing.T) {
	t.Parallel()
	tool := transcoder(t)
	for name, file := range map[string][]byte{
		"empty": nil, "text": []byte("no audio"), "picture": encodePNG(t, halves(20, 20)), "video alone": testdata(t, "turned.mp4"),
	} {
		err := tool.Voice(t.Context(), bytes.NewReader(file), io.Discard)
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A playlist must open no other file and no address.
func TestTranscoderFollowsNoReference(t *testing.T) {
	t.Parallel()
	tool := transcoder(t)
	secret := filepath.Join(t.TempDir(), "secret.wav")
	if err := os.WriteFile(secret, made(t, "secret.wav", "-f", "lavfi", "-i", threeSeconds), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(called)
				return
			}
			conn.Close()
			select {
			case called <- struct{}{}:
			default:
			}
		}
	}()
	address := "http://" + listener.Addr().String() + "/secret.wav"
	for _, target := range []string{secret, "file:" + secret, address} {
		for name, playlist := range map[string]string{
			"hls":      "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3,\n" + target + "\n#EXT-X-ENDLIST\n",
			"ffconcat": "ffconcat version 1.0\nfile '" + target + "'\n",
			"sdp":      "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
			"rtsp":     "RTSPtextRTSP://" + target,
			"dash":     `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>` + target + `</BaseURL></MPD>`,
		} {
			if err := tool.Voice(t.Context(), strings.NewReader(playlist), io.Discard); !errors.Is(err, ErrUnknown) {
				t.Errorf("%s of %s: %v", name, target, err)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("%s of %s: what ffmpeg said is in the error: %v", name, target, err)
			}
		}
	}
	listener.Close()
	if _, open := <-called; open {
		t.Error("ffmpeg made a connection")
	}
}

func TestTranscoderIsBounded(t *testing.T) {
	t.Parallel()
	tool := transcoder(t)
	if err := tool.Voice(t.Context(), endless{}, io.Discard); !errors.Is(err, ErrTooLarge) {
		t.Errorf("endless input: %v", err)
	}
	long := made(t, "long.wav", "-f", "lavfi", "-i", "sine=frequency=300:duration=600", "-ar", "16000")

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tool.Voice(canceled, bytes.NewReader(long), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}

	slow := NewTranscoder("")
	slow.time = time.Millisecond
	if err := slow.Voice(t.Context(), bytes.NewReader(long), io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("too slow: %v", err)
	}

	full := errors.New("the disk is full")
	if err := tool.Voice(t.Context(), bytes.NewReader(long), failing{full}); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}

	// All slots taken: the caller waits no longer than its context.
	for range cap(tool.slot) {
		tool.slot <- struct{}{}
	}
	waiting, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if err := tool.Voice(waiting, bytes.NewReader(long), io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no slot: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestTranscoderLeavesNoFile(t *testing.T) {
	tool := transcoder(t)
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	if err := tool.Voice(t.Context(), bytes.NewReader(testdata(t, "variable.mp3")), io.Discard); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestVideoThumbnail(t *testing.T) {
	t.Parallel()
	tool := transcoder(t)
	// Turned by a quarter, with pixels twice as wide as high: 320 x 180 upright.
	thumbnail, width, height, seconds, err := tool.VideoThumbnail(t.Context(), bytes.NewReader(testdata(t, "turned.mp4")))
	if err != nil {
		t.Fatal(err)
	}
	if width != 180 || height != 320 || seconds != 1 {
		t.Errorf("%d x %d, %d seconds", width, height, seconds)
	}
	if size := decodeThumbnail(t, thumbnail).Bounds().Size(); size.X != 56 || size.Y != 100 {
		t.Errorf("a thumbnail of %v", size)
	}
	film := made(t, "film.webm", "-f", "lavfi", "-i", "testsrc=size=1920x1080:rate=1:duration=2",
		"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "16")
	thumbnail, width, height, seconds, err = tool.VideoThumbnail(t.Context(), bytes.NewReader(film))
	if err != nil || width != 1920 || height != 1080 || seconds != 2 || thumbnail == nil {
		t.Errorf("%d x %d, %d seconds, %d bytes, %v", width, height, seconds, len(thumbnail), err)
	}
	for name, file := range map[string][]byte{"text": []byte("no film"), "sound alone": testdata(t, "constant.mp3")} {
		if _, _, _, _, err := tool.VideoThumbnail(t.Context(), bytes.NewReader(file)); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoTranscoder(t *testing.T) {
	t.Parallel()
	tool := NewTranscoder(filepath.Join(t.TempDir(), "ffmpeg"))
	if tool.Available() {
		t.Fatal("there is no such ffmpeg")
	}
	if err := tool.Voice(t.Context(), strings.NewReader("x"), io.Discard); !errors.Is(err, ErrNoTranscoder) {
		t.Error(err)
	}
	if _, _, _, _, err := tool.VideoThumbnail(t.Context(), strings.NewReader("x")); !errors.Is(err, ErrNoTranscoder) {
		t.Error(err)
	}
}
