package mediainfo

import "encoding/binary"

// webpShape is what the chunks of a WebP say of it.
type webpShape struct {
	width, height   int // of the canvas
	lossless, alpha bool
	animated        bool
	// decodable says that there is one still frame, as large as the canvas.
	decodable bool
}

// cost is the number of bytes the decoder takes: 4:2:0 for a lossy frame; of a
// lossless one, and of alpha, which is one inside, the pixels and the copy in
// which palettes are undone.
func (w webpShape) cost() int64 {
	area := int64((w.width+15)&^15) * int64((w.height+15)&^15)
	if w.lossless {
		return 8 * area
	}
	if w.alpha {
		return 9*area + area*3/2
	}
	return area * 3 / 2
}

// inspectWebP reads the chunks of a WebP that is in memory whole. It exists
// because the decoder allocates what a chunk says is its length: here a chunk
// must lie within the file, and the frame be as large as the canvas.
func inspectWebP(data []byte) (webpShape, bool) {
	var shape webpShape
	canvas := false
	for at := 12; at+8 <= len(data); {
		name, size := string(data[at:at+4]), int64(binary.LittleEndian.Uint32(data[at+4:]))
		content := data[at+8:]
		whole := size <= int64(len(content))
		if whole {
			content = content[:size]
		}
		switch name {
		case "VP8X":
			// Flags, three reserved bytes, width and height less one in 24 bits.
			if len(content) < 10 || canvas {
				return webpShape{}, false
			}
			canvas = true
			shape.width, shape.height = int(uint24(content[4:]))+1, int(uint24(content[7:]))+1
			// The second lowest bit of the flags says that frames follow each other.
			shape.animated = content[0]&2 != 0
		case "ALPH":
			shape.alpha = true
		case "ANIM", "ANMF":
			shape.animated = true
			return shape, canvas // x/image decodes no animation
		case "VP8 ", "VP8L":
			width, height, ok := frameSize(name, content)
			if !ok {
				return shape, canvas
			}
			shape.decodable = whole && (!canvas || width == shape.width && height == shape.height)
			if !canvas {
				shape.width, shape.height = width, height
			}
			shape.lossless = name == "VP8L"
			return shape, true
		}
		if !whole {
			return shape, canvas
		}
		at += 8 + int(size+size&1)
	}
	return shape, canvas
}

// frameSize reads the size from the start of a frame.
func frameSize(name string, content []byte) (width, height int, ok bool) {
	if name == "VP8L" {
		// A magic byte, then 14 bits each of width and height less one.
		if len(content) < 5 || content[0] != 0x2f {
			return 0, 0, false
		}
		bits := binary.LittleEndian.Uint32(content[1:])
		return int(bits&0x3fff) + 1, int(bits>>14&0x3fff) + 1, true
	}
	// A three-byte tag, a start code, then 14 bits each, with two of scaling.
	if len(content) < 10 || string(content[3:6]) != "\x9d\x01\x2a" {
		return 0, 0, false
	}
	width = int(binary.LittleEndian.Uint16(content[6:])) & 0x3fff
	height = int(binary.LittleEndian.Uint16(content[8:])) & 0x3fff
	return width, height, width > 0 && height > 0
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }
