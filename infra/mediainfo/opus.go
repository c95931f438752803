package mediainfo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// opusRate is the clock of granule positions and of durations here, in Hz,
// whatever the rate of the recording was (RFC 7845, 4).
const opusRate = 48000

// opusHead is the identification header of an Ogg Opus stream.
type opusHead struct {
	channels int
	preSkip  int64 // samples at 48 kHz to drop from the start
	rate     int   // of the recording, in Hz; 0 when not said
}

func parseOpusHead(data []byte) (opusHead, bool) {
	// Magic, version, channels, pre-skip (2), rate (4), gain (2), mapping. The
	// upper four bits of the version are what an old reader need not bear.
	if len(data) < 19 || string(data[:8]) != "OpusHead" || data[8]>>4 != 0 || data[9] == 0 {
		return opusHead{}, false
	}
	return opusHead{
		channels: int(data[9]),
		preSkip:  int64(binary.LittleEndian.Uint16(data[10:])),
		rate:     int(binary.LittleEndian.Uint32(data[12:])),
	}, true
}

// frameLength is the length in samples at 48 kHz of each frame in a packet that
// begins with this byte (RFC 6716, 3.1).
func frameLength(toc byte) int64 {
	switch config := toc >> 3; {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		return []int64{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		return []int64{480, 960}[config&1]
	default: // CELT: 2.5, 5, 10, 20 ms
		return []int64{120, 240, 480, 960}[config&3]
	}
}

// packetLength is the length of a packet in samples at 48 kHz, 0 when it is not
// valid: it has a frame, and 120 ms at most.
func packetLength(data []byte) int64 {
	if len(data) == 0 {
		return 0
	}
	frames := int64(1)
	switch data[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(data) < 2 {
			return 0
		}
		frames = int64(data[1] & 63)
	}
	length := frames * frameLength(data[0])
	if length > opusRate*120/1000 {
		return 0
	}
	return length
}

// opusReader reads the audio packets of an Ogg Opus file and keeps its clock.
type opusReader struct {
	ogg  *oggReader
	head opusHead
	// decoded is the length of all packets so far, in samples at 48 kHz.
	decoded int64
	// begin is the position at which the first packet begins, which is not 0 in
	// a recording cut out of a longer one; end is the last position known.
	begin, end int64
	placed     bool
}

// newOpusReader reads the two headers. It returns io.EOF for what is no Opus.
func newOpusReader(r io.Reader) (*opusReader, error) {
	o := &opusReader{ogg: newOggReader(r)}
	first, err := o.ogg.next()
	if err != nil {
		return nil, err
	}
	var ok bool
	if o.head, ok = parseOpusHead(first.data); !ok {
		return nil, io.EOF
	}
	tags, err := o.ogg.next()
	if err != nil {
		return nil, err
	}
	if len(tags.data) < 8 || string(tags.data[:8]) != "OpusTags" {
		return nil, io.EOF
	}
	return o, nil
}

// next returns the next valid audio packet and its length.
func (o *opusReader) next() (packet, int64, error) {
	for {
		p, err := o.ogg.next()
		if err != nil {
			return packet{}, 0, err
		}
		length := packetLength(p.data)
		o.decoded += length
		// A position is never negative; -1 says that no packet ends on a page.
		if p.granule >= 0 {
			if !o.placed {
				o.placed = true
				// Unless the first page is the last too: then its position is
				// short of what it holds because the end is trimmed.
				if o.begin = p.granule - o.decoded; o.begin < 0 || p.last {
					o.begin = 0
				}
			}
			o.end = p.granule
		}
		if length > 0 {
			return p, length, nil
		}
	}
}

// length is how long the recording plays, in samples at 48 kHz: from the
// positions, or from the packets when the positions make no sense: when they say
// less than nothing, or ten times what there is. A little more than there is may
// be right, as silence is left out of some recordings.
func (o *opusReader) length() int64 {
	packets := max(0, o.decoded-o.head.preSkip)
	if !o.placed {
		return packets
	}
	placed := o.end - o.begin - o.head.preSkip
	if placed < 0 || placed > opusRate+10*packets {
		return packets
	}
	return placed
}

// recorderFrames is the number of 20 ms frames in each packet of a voice note.
const recorderFrames = 3

// repack copies an Ogg Opus stream in the form in which the phones' own recorder
// writes voice notes: packets of three frames each, a vendor string of
// "WhatsApp", no comments, positions without gaps.
//
// The sound is the same to the bit. It is done because WhatsApp on iPhones says
// of some files of ffmpeg, which writes one frame a packet, that the "audio is
// no longer available", and plays the same frames three to a packet
// (WhiskeySockets/Baileys#2648, tulir/whatsmeow#937, openclaw/openclaw#144507).
func repack(w io.Writer, r io.Reader) error {
	in, err := newOpusReader(r)
	if err != nil {
		return err
	}
	out := &oggWriter{w: w}
	head := append([]byte("OpusHead\x01"), byte(in.head.channels))
	head = binary.LittleEndian.AppendUint16(head, uint16(in.head.preSkip))
	head = binary.LittleEndian.AppendUint32(head, uint32(in.head.rate))
	out.add(append(head, 0, 0, 0)) // no gain, mono or stereo
	if err := out.flush(0, false); err != nil {
		return err
	}
	out.add([]byte("OpusTags\x08\x00\x00\x00WhatsApp\x00\x00\x00\x00"))
	if err := out.flush(0, false); err != nil {
		return err
	}

	var (
		frames  [][]byte // waiting for their packet, all of one kind
		toc     byte
		written int64 // samples in packets that are out
		page    int64 // of those, on the page being filled
	)
	put := func(data []byte) error {
		// A page a second, as libogg makes them: a player seeks by pages.
		if page >= opusRate || !out.add(data) {
			if err := out.flush(written, false); err != nil {
				return err
			}
			page = 0
			if !out.add(data) {
				return fmt.Errorf("repack Opus: a packet of %d bytes", len(data))
			}
		}
		length := packetLength(data)
		written += length
		page += length
		return nil
	}
	join := func() error {
		if len(frames) == 0 {
			return nil
		}
		data := joinFrames(toc, frames)
		frames = frames[:0]
		return put(data)
	}
	for {
		p, _, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		single := p.data[0]&3 == 0 && frameLength(p.data[0]) == opusRate*20/1000
		if len(frames) > 0 && (!single || p.data[0] != toc) {
			if err := join(); err != nil {
				return err
			}
		}
		if !single {
			if err := put(p.data); err != nil {
				return err
			}
			continue
		}
		toc = p.data[0]
		if frames = append(frames, append([]byte(nil), p.data[1:]...)); len(frames) == recorderFrames {
			if err := join(); err != nil {
				return err
			}
		}
	}
	if err := join(); err != nil {
		return err
	}
	if written == 0 {
		return io.EOF
	}
	return out.flush(min(written, in.length()+in.head.preSkip), true)
}

// joinFrames makes one packet of frames: of code 3, with a length before each
// frame but the last (RFC 6716, 3.2.5).
func joinFrames(toc byte, frames [][]byte) []byte {
	data := []byte{toc&^3 | 3, 0x80 | byte(len(frames))}
	for i, frame := range frames {
		if i == len(frames)-1 {
			break
		}
		if n := len(frame); n < 252 {
			data = append(data, byte(n))
		} else {
			data = append(data, byte(252+n&3), byte((n-(252+n&3))/4))
		}
	}
	for _, frame := range frames {
		data = append(data, frame...)
	}
	return data
}
