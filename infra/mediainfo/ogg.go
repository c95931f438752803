package mediainfo

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxPacket is the longest Ogg packet that is kept: 120 ms of Opus take 61,440
// bytes at most. Of a longer one, such as a comment header with a cover, only
// this much is kept.
const maxPacket = 61440

// packet is one packet of an Ogg stream.
type packet struct {
	data []byte // valid until the next packet is read
	// granule is the position at the end of the page the packet ends on, and -1
	// when another packet ends later on that page: only the last has a position.
	granule int64
	last    bool // the stream ends here
}

// oggReader reads the packets of the first stream in an Ogg file, and passes
// over others multiplexed with it. Segments are joined across pages. Checksums
// are not looked at: a wrong bit in a voice note is heard as a click at worst.
type oggReader struct {
	r       *bufio.Reader
	started bool
	serial  uint32
	// The page being read.
	lacing   [255]byte
	segments []byte // the part of lacing not read yet
	granule  int64
	last     bool
	buf      []byte
}

func newOggReader(r io.Reader) *oggReader { return &oggReader{r: bufio.NewReaderSize(r, 16<<10)} }

// next returns the next packet. io.EOF is the end, also in the middle of a page
// or where no page follows: what was there before it plays in any player.
func (o *oggReader) next() (packet, error) {
	o.buf = o.buf[:0]
	for {
		if len(o.segments) == 0 {
			continued, err := o.page()
			if err != nil {
				return packet{}, err
			}
			if !continued {
				// The rest of a packet that a lost page began is of no use.
				o.buf = o.buf[:0]
			} else if len(o.buf) == 0 {
				if err := o.skipContinued(); err != nil {
					return packet{}, err
				}
			}
			continue
		}
		size := int(o.segments[0])
		o.segments = o.segments[1:]
		at := len(o.buf)
		keep := min(size, maxPacket-at)
		o.buf = append(o.buf, make([]byte, keep)...)
		if _, err := io.ReadFull(o.r, o.buf[at:]); err != nil {
			return packet{}, ending(err)
		}
		if _, err := o.r.Discard(size - keep); err != nil {
			return packet{}, ending(err)
		}
		if size < 255 {
			out := packet{data: o.buf, granule: -1}
			if !endsAnother(o.segments) {
				out.granule, out.last = o.granule, o.last
			}
			return out, nil
		}
	}
}

// endsAnother reports whether one more packet ends in the segments.
func endsAnother(segments []byte) bool {
	for _, size := range segments {
		if size < 255 {
			return true
		}
	}
	return false
}

// skipContinued passes over the rest of a packet whose beginning is missing.
func (o *oggReader) skipContinued() error {
	for len(o.segments) > 0 {
		size := o.segments[0]
		o.segments = o.segments[1:]
		if _, err := o.r.Discard(int(size)); err != nil {
			return ending(err)
		}
		if size < 255 {
			return nil
		}
	}
	return nil
}

// page reads the header of the stream's next page.
func (o *oggReader) page() (continued bool, err error) {
	for {
		// "OggS", version, flags, granule position (8), serial (4), number (4),
		// checksum (4), number of segments.
		var header [27]byte
		if _, err := io.ReadFull(o.r, header[:]); err != nil {
			return false, ending(err)
		}
		if string(header[:4]) != "OggS" || header[4] != 0 {
			return false, io.EOF
		}
		count := int(header[26])
		if _, err := io.ReadFull(o.r, o.lacing[:count]); err != nil {
			return false, ending(err)
		}
		serial := binary.LittleEndian.Uint32(header[14:])
		if !o.started {
			o.started, o.serial = true, serial
		}
		if serial != o.serial {
			size := 0
			for _, n := range o.lacing[:count] {
				size += int(n)
			}
			if _, err := o.r.Discard(size); err != nil {
				return false, ending(err)
			}
			continue
		}
		o.segments = o.lacing[:count]
		o.granule = int64(binary.LittleEndian.Uint64(header[6:]))
		o.last = header[5]&4 != 0
		return header[5]&1 != 0, nil
	}
}

// ending makes a file that was cut off end there.
func ending(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// oggWriter writes one Ogg stream, a page at a time.
type oggWriter struct {
	w      io.Writer
	number uint32
	lacing []byte
	body   []byte
}

// oggSerial is the number of the one stream in a file, which only has to differ
// between the streams of one file.
const oggSerial = 1

// add puts a packet on the page. It reports whether it fits; a page is 255
// segments at most, and no packet here is spread over two pages.
func (o *oggWriter) add(data []byte) bool {
	if len(o.lacing)+len(data)/255+1 > 255 {
		return false
	}
	for range len(data) / 255 {
		o.lacing = append(o.lacing, 255)
	}
	o.lacing = append(o.lacing, byte(len(data)%255))
	o.body = append(o.body, data...)
	return true
}

// flush writes the page, whose last packet ends at the granule position.
func (o *oggWriter) flush(granule int64, last bool) error {
	var flags byte
	if o.number == 0 {
		flags |= 2
	}
	if last {
		flags |= 4
	}
	page := append(make([]byte, 0, 27+len(o.lacing)+len(o.body)), "OggS\x00"...)
	page = append(page, flags)
	page = binary.LittleEndian.AppendUint64(page, uint64(granule))
	page = binary.LittleEndian.AppendUint32(page, oggSerial)
	page = binary.LittleEndian.AppendUint32(page, o.number)
	page = append(page, 0, 0, 0, 0, byte(len(o.lacing)))
	page = append(append(page, o.lacing...), o.body...)
	binary.LittleEndian.PutUint32(page[22:], oggChecksum(page))
	o.number++
	o.lacing, o.body = o.lacing[:0], o.body[:0]
	if _, err := o.w.Write(page); err != nil {
		return fmt.Errorf("write an Ogg page: %w", err)
	}
	return nil
}

// oggTable is for the CRC-32 of Ogg: polynomial 0x04c11db7, not reflected, which
// hash/crc32 has not.
var oggTable = func() (table [256]uint32) {
	for i := range table {
		sum := uint32(i) << 24
		for range 8 {
			carry := sum&(1<<31) != 0
			if sum <<= 1; carry {
				sum ^= 0x04c11db7
			}
		}
		table[i] = sum
	}
	return table
}()

func oggChecksum(page []byte) uint32 {
	var sum uint32
	for _, b := range page {
		sum = sum<<8 ^ oggTable[byte(sum>>24)^b]
	}
	return sum
}
