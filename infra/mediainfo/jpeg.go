package mediainfo

import (
	"encoding/binary"
	"image"
)

// segments calls visit with the marker and the content of each of a JPEG's
// segments until it returns false or the header ends.
func segments(header []byte, visit func(marker byte, content []byte) bool) {
	for at := 2; at+4 <= len(header); {
		if header[at] != 0xff {
			return
		}
		marker := header[at+1]
		if marker == 0xff { // a fill byte
			at++
			continue
		}
		size := int(binary.BigEndian.Uint16(header[at+2:]))
		if size < 2 || at+2+size > len(header) || marker == 0xda {
			return
		}
		if !visit(marker, header[at+4:at+2+size]) {
			return
		}
		at += 2 + size
	}
}

// costJPEG is the number of bytes the decoder takes: one for each sample, and of
// a progressive image four more, because its coefficients are kept until the
// end. Colour samples are fewer by the sampling factors. A frame that is not
// found where the decoder found one is taken to be the most expensive there is.
func costJPEG(header []byte, config image.Config) int64 {
	// Blocks of up to 32 x 32 pixels are stored whole.
	area := int64((config.Width+31)&^31) * int64((config.Height+31)&^31)
	cost := 20 * area
	segments(header, func(marker byte, content []byte) bool {
		if marker < 0xc0 || marker > 0xc2 {
			return true
		}
		// Precision, height, width, number of components, then three bytes each:
		// the second holds the horizontal and the vertical sampling factor.
		if len(content) < 6 || len(content) < 6+3*int(content[5]) ||
			int(binary.BigEndian.Uint16(content[1:])) != config.Height || int(binary.BigEndian.Uint16(content[3:])) != config.Width {
			return false
		}
		samples, across, down := 0, 1, 1
		for i := range int(content[5]) {
			factors := content[6+3*i+1]
			h, v := int(factors>>4), int(factors&15)
			samples += h * v
			across, down = max(across, h), max(down, v)
		}
		if content[5] == 1 {
			samples, across, down = 1, 1, 1
		}
		size := int64(1)
		if marker == 0xc2 {
			size = 5
		}
		cost = size * area * int64(samples) / int64(across*down)
		if content[5] == 4 { // CMYK is converted into an image of its own
			cost += 4 * area
		}
		return false
	})
	return cost
}

// orientation is the EXIF orientation of a JPEG, 1 (as stored) when it has none.
func orientation(header []byte) int {
	turn := 1
	segments(header, func(marker byte, content []byte) bool {
		if marker != 0xe1 || len(content) < 14 || string(content[:6]) != "Exif\x00\x00" {
			return true
		}
		turn = orientationTag(content[6:])
		return false
	})
	return turn
}

// orientationTag finds tag 0x0112 in the first directory of a TIFF header.
func orientationTag(tiff []byte) int {
	var order binary.ByteOrder = binary.BigEndian
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
	default:
		return 1
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	for range order.Uint16(tiff[at:]) {
		entry := at + 2
		if at += 12; entry+12 > int64(len(tiff)) {
			return 1
		}
		// Tag, type (3: a short), count, value.
		if order.Uint16(tiff[entry:]) == 0x0112 && order.Uint16(tiff[entry+2:]) == 3 {
			if turn := int(order.Uint16(tiff[entry+8:])); turn >= 1 && turn <= 8 {
				return turn
			}
			return 1
		}
	}
	return 1
}
