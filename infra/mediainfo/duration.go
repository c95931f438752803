package mediainfo

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxDuration is the longest duration that is believed: a day.
const maxDuration = 24 * time.Hour

// Duration is how long an MP4 or QuickTime file (also .m4a and .3gp), an MP3 or
// an Ogg Opus file plays. It reads the file to its end, or until it knows, and
// keeps nothing of it. It returns ErrUnknown for anything else, ErrTooLarge for
// more than MaxBytes, and the reader's own error when it fails.
func Duration(r io.Reader) (time.Duration, error) {
	src := &source{r: r, left: MaxBytes}
	in := bufio.NewReaderSize(src, 16<<10)
	magic, _ := in.Peek(12)
	var (
		length time.Duration
		ok     bool
	)
	switch {
	case len(magic) < 12:
	case string(magic[:4]) == "OggS":
		length, ok = oggDuration(in)
	case string(magic[4:8]) == "ftyp":
		length, ok = mp4Duration(in)
	default:
		length, ok = mp3Duration(in)
	}
	if !ok || src.fault() != nil || length <= 0 || length > maxDuration {
		return 0, src.unknown("read duration")
	}
	return length, nil
}

func oggDuration(in io.Reader) (time.Duration, bool) {
	o, err := newOpusReader(in)
	if err != nil {
		return 0, false
	}
	for {
		if _, _, err := o.next(); errors.Is(err, io.EOF) {
			return samples(o.length(), opusRate), true
		} else if err != nil {
			return 0, false
		}
	}
}

// samples is the duration of n samples at a rate, 0 when that is over a day.
func samples(n, rate int64) time.Duration {
	if rate <= 0 || n < 0 || n/rate > int64(maxDuration/time.Second) {
		return 0
	}
	return time.Duration(n/rate)*time.Second + time.Duration(n%rate)*time.Second/time.Duration(rate)
}

// mp4Duration finds the movie header (mvhd) in the movie box (moov), which may
// come after the pictures. It passes over all other boxes.
func mp4Duration(in *bufio.Reader) (time.Duration, bool) {
	for {
		var header [16]byte
		if _, err := io.ReadFull(in, header[:8]); err != nil {
			return 0, false
		}
		name, size, read := string(header[4:8]), int64(binary.BigEndian.Uint32(header[:4])), int64(8)
		if size == 1 { // the size is in 64 bits that follow
			if _, err := io.ReadFull(in, header[8:]); err != nil {
				return 0, false
			}
			size, read = int64(binary.BigEndian.Uint64(header[8:])), 16
		}
		if size < read { // also 0, "to the end of the file": nothing follows
			return 0, false
		}
		switch name {
		case "moov":
			continue // its first boxes are read as if they stood here
		case "mvhd":
			return movieHeader(in)
		}
		if _, err := io.CopyN(io.Discard, in, size-read); err != nil {
			return 0, false
		}
	}
}

// movieHeader reads version and flags, when it was made and changed, the
// timescale, and the duration. All ones say that the duration is not known.
func movieHeader(in io.Reader) (time.Duration, bool) {
	var body [32]byte
	if _, err := io.ReadFull(in, body[:20]); err != nil {
		return 0, false
	}
	if body[0] == 0 {
		length := binary.BigEndian.Uint32(body[16:])
		return samples(int64(length), int64(binary.BigEndian.Uint32(body[12:]))), length != 1<<32-1
	}
	if _, err := io.ReadFull(in, body[20:]); err != nil {
		return 0, false
	}
	return samples(int64(binary.BigEndian.Uint64(body[24:])), int64(binary.BigEndian.Uint32(body[20:]))), true
}

// mp3Frame is the header of an MPEG audio frame of layer III.
type mp3Frame struct{ size, samples, rate int64 }

// mp3Rates are the bit rates in kbit/s of MPEG 1 and of MPEG 2 and 2.5.
var mp3Rates = [2][16]int64{
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0},
}

func parseMP3Frame(b []byte) (mp3Frame, bool) {
	// Eleven bits of sync, two of version, two of layer (01: III), protection;
	// four of bit rate, two of sampling rate, padding.
	if b[0] != 0xff || b[1]&0xe0 != 0xe0 || b[1]>>1&3 != 1 || b[2]>>2&3 == 3 {
		return mp3Frame{}, false
	}
	frame := mp3Frame{samples: 1152, rate: []int64{44100, 48000, 32000}[b[2]>>2&3]}
	table := 0
	switch b[1] >> 3 & 3 {
	case 0: // 2.5
		frame.samples, frame.rate, table = 576, frame.rate/4, 1
	case 1:
		return mp3Frame{}, false
	case 2: // 2
		frame.samples, frame.rate, table = 576, frame.rate/2, 1
	}
	bits := mp3Rates[table][b[2]>>4]
	frame.size = frame.samples/8*bits*1000/frame.rate + int64(b[2]>>1&1)
	return frame, bits > 0
}

// mp3Duration adds the frames up, which is exact for variable bit rates too. The
// frame that holds encoder information plays nothing and is not counted.
func mp3Duration(in *bufio.Reader) (time.Duration, bool) {
	if !skipID3(in) {
		return 0, false
	}
	var length, rate int64
	for frames := 0; ; frames++ {
		header, err := in.Peek(4)
		if err != nil {
			break
		}
		frame, ok := parseMP3Frame(header)
		if !ok { // a tag or damage: what was there plays
			break
		}
		content, _ := in.Peek(int(min(frame.size, 48)))
		if rate = frame.rate; frames > 0 || !isInfoFrame(content) {
			length += frame.samples
		}
		if _, err := in.Discard(int(frame.size)); err != nil {
			break
		}
	}
	// A single header may be chance.
	if rate == 0 || length < 2*576 {
		return 0, false
	}
	return samples(length, rate), true
}

// isInfoFrame finds the mark of an encoder's information frame, which stands
// after the side information: 9 to 32 bytes into the frame's body.
func isInfoFrame(content []byte) bool {
	for at := 4 + 9; at+4 <= len(content); at++ {
		if mark := string(content[at : at+4]); mark == "Xing" || mark == "Info" || mark == "VBRI" {
			return true
		}
	}
	return false
}

// skipID3 passes over a tag at the front, whose size is in four times 7 bits.
func skipID3(in *bufio.Reader) bool {
	header, err := in.Peek(10)
	if err != nil || string(header[:3]) != "ID3" {
		return err == nil
	}
	size := int64(header[6]&127)<<21 | int64(header[7]&127)<<14 | int64(header[8]&127)<<7 | int64(header[9]&127)
	_, err = io.CopyN(io.Discard, in, size+10)
	return err == nil
}

// clock parses ffmpeg's hours:minutes:seconds.hundredths.
func clock(hours, minutes, seconds string) (time.Duration, error) {
	length, err := time.ParseDuration(hours + "h" + minutes + "m" + seconds + "s")
	if err != nil {
		return 0, fmt.Errorf("parse a duration: %w", err)
	}
	return length, nil
}
