package mediainfo

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

const (
	// maxHeader is how far into a file its size is looked for. A JPEG may carry
	// megabytes of colour profile and metadata before it says how large it is.
	maxHeader = 4 << 20
	// maxDecoded is the most memory that decoding a picture may take, in bytes:
	// a photo of 22 megapixels as cameras store it (YCbCr 4:2:0), or 8
	// megapixels of PNG. What scaling takes comes on top, 15 MiB at most.
	maxDecoded = 32 << 20
	// maxWebP bounds a WebP, which is read into memory whole (see inspectWebP).
	// The largest useful one is a photo of 16 megapixels at high quality.
	maxWebP = 16 << 20
	// thumbnailSide is the longest side of a thumbnail in pixels. The gateways
	// built on whatsmeow send 100, Baileys 32; the thumbnail is shown blurred
	// behind the download button and travels in every message, once for each
	// device of the recipient, so it is to stay at a few kilobytes.
	thumbnailSide = 100
	// thumbnailQuality is JPEG's: noise of 100 x 100 pixels, the worst case,
	// takes 6 kB, a photo about 2.
	thumbnailQuality = 60
)

// Picture describes an image.
type Picture struct {
	// Width and Height are in pixels, as the image is to be shown: a photo that
	// was taken upright and stored lying is upright here.
	Width, Height int
	// Thumbnail is a JPEG whose longest side is 100 pixels or, of a smaller
	// image, the image's; transparency became white. It is nil when the image is
	// too large to be decoded, an animated WebP, or damaged after its header.
	Thumbnail []byte
}

// ReadPicture describes a JPEG, PNG, GIF (its first frame) or WebP. It returns
// ErrUnknown for anything else, and the reader's own error when it fails.
//
// Decoding takes up to 32 MiB and scaling 15 more; a larger image has no
// thumbnail. A hostile lossless WebP can make the decoder's code tables take
// about 130 MiB (libwebp's limit of 2600 Huffman groups, which x/image shares).
func ReadPicture(r io.Reader) (Picture, error) {
	return readPicture(&source{r: r, left: MaxBytes})
}

// format is how one kind of image is read. Cost is the number of bytes that
// decoding the image takes, which is known from its header alone.
type format struct {
	magic  string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
	cost   func(header []byte, config image.Config) int64
}

var formats = []format{
	{"\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode, costJPEG},
	{"\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode, costPNG},
	{"GIF87a", gif.DecodeConfig, gif.Decode, costGIF},
	{"GIF89a", gif.DecodeConfig, gif.Decode, costGIF},
}

func readPicture(src *source) (Picture, error) {
	magic := make([]byte, 12)
	if _, err := io.ReadFull(src, magic); err != nil {
		return Picture{}, src.unknown("read picture")
	}
	body := io.MultiReader(bytes.NewReader(magic), src)
	if string(magic[:4]) == "RIFF" && string(magic[8:]) == "WEBP" {
		return readWebP(src, body)
	}
	for _, f := range formats {
		if bytes.HasPrefix(magic, []byte(f.magic)) {
			return f.read(src, body)
		}
	}
	return Picture{}, src.unknown("read picture")
}

func (f format) read(src *source, body io.Reader) (Picture, error) {
	// What the header took is kept, to be read again with the rest.
	var header bytes.Buffer
	config, err := f.config(io.TeeReader(io.LimitReader(body, maxHeader), &header))
	if err != nil {
		return Picture{}, src.unknown("read the header of a picture")
	}
	if config.Width <= 0 || config.Height <= 0 {
		return Picture{}, src.unknown("read the header of a picture")
	}
	picture := Picture{Width: config.Width, Height: config.Height}
	turn := 1
	if f.magic == formats[0].magic {
		turn = orientation(header.Bytes())
	}
	if turn >= 5 { // lying on its side
		picture.Width, picture.Height = picture.Height, picture.Width
	}
	if f.cost(header.Bytes(), config) > maxDecoded {
		return picture, nil
	}
	decoded := decode(f.decode, io.MultiReader(bytes.NewReader(header.Bytes()), body))
	if fault := src.fault(); decoded == nil && fault != nil {
		return Picture{}, fmt.Errorf("decode a picture: %w", fault)
	}
	if decoded == nil {
		return picture, nil
	}
	picture.Thumbnail = thumbnail(decoded, turn)
	return picture, nil
}

func readWebP(src *source, body io.Reader) (Picture, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxWebP))
	if err != nil {
		return Picture{}, fmt.Errorf("read a WebP: %w", err)
	}
	shape, ok := inspectWebP(data)
	if !ok {
		return Picture{}, src.unknown("read a WebP")
	}
	picture := Picture{Width: shape.width, Height: shape.height}
	if !shape.decodable || shape.cost() > maxDecoded {
		return picture, nil
	}
	if decoded := decode(webp.Decode, bytes.NewReader(data)); decoded != nil {
		picture.Thumbnail = thumbnail(decoded, 1)
	}
	return picture, nil
}

// decode returns nil when the picture is damaged, also when that makes a decoder
// panic: no file must take the process down, whatever nobody thought of.
func decode(by func(io.Reader) (image.Image, error), r io.Reader) (decoded image.Image) {
	defer func() {
		if recover() != nil {
			decoded = nil
		}
	}()
	decoded, err := by(r)
	if err != nil {
		return nil
	}
	return decoded
}

// costPNG counts one to eight bytes a pixel, by the colour model, and half as
// much again when the image is interlaced, because its last pass is half of it.
func costPNG(header []byte, config image.Config) int64 {
	size := int64(4)
	switch config.ColorModel {
	case color.GrayModel:
		size = 1
	case color.Gray16Model:
		size = 2
	case color.RGBA64Model, color.NRGBA64Model:
		size = 8
	}
	if _, indexed := config.ColorModel.(color.Palette); indexed {
		size = 1
	}
	cost := size * int64(config.Width) * int64(config.Height)
	// The header: 8 bytes of magic, 8 of the chunk's length and name, then
	// width, height, depth, colour type, compression, filter and interlacing.
	if len(header) > 28 && header[28] != 0 {
		cost += cost / 2
	}
	return cost
}

// costGIF counts two bytes a pixel: undoing the interlacing copies the frame. No
// frame is larger than the canvas, which the decoder sees to.
func costGIF(_ []byte, config image.Config) int64 {
	return 2 * int64(config.Width) * int64(config.Height)
}

// thumbnail scales an image down and turns it by its EXIF orientation.
func thumbnail(full image.Image, turn int) []byte {
	bounds := full.Bounds()
	width, height := bounds.Dx(), bounds.Dy()
	if width <= 0 || height <= 0 {
		return nil
	}
	if longest := max(width, height); longest > thumbnailSide {
		width = max(1, width*thumbnailSide/longest)
		height = max(1, height*thumbnailSide/longest)
	}
	small := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(small, small.Bounds(), image.White, image.Point{}, draw.Src)
	// BiLinear weighs every pixel of the original, so nothing flickers away; a
	// sharper kernel takes twice as long and is not seen at this size.
	draw.BiLinear.Scale(small, small.Bounds(), full, bounds, draw.Over, nil)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, turned(small, turn), &jpeg.Options{Quality: thumbnailQuality}); err != nil {
		return nil
	}
	return out.Bytes()
}

// turned is the image as EXIF's orientation 1-8 says it is to be shown.
func turned(in *image.RGBA, turn int) *image.RGBA {
	if turn <= 1 || turn > 8 {
		return in
	}
	width, height := in.Bounds().Dx(), in.Bounds().Dy()
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	if turn >= 5 {
		out = image.NewRGBA(image.Rect(0, 0, height, width))
	}
	for y := range height {
		for x := range width {
			left, up := width-1-x, height-1-y // counted from the other side
			var to image.Point
			switch turn {
			case 2: // mirrored
				to = image.Pt(left, y)
			case 3: // upside down
				to = image.Pt(left, up)
			case 4:
				to = image.Pt(x, up)
			case 5:
				to = image.Pt(y, x)
			case 6: // to be turned clockwise
				to = image.Pt(up, x)
			case 7:
				to = image.Pt(up, left)
			case 8: // to be turned anticlockwise
				to = image.Pt(y, left)
			}
			out.SetRGBA(to.X, to.Y, in.RGBAAt(x, y))
		}
	}
	return out
}
