package mediainfo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"strconv"

	"github.com/HugoSmits86/nativewebp"
	"golang.org/x/image/draw"
)

const (
	// stickerSide is the side of a sticker in pixels, of WhatsApp's own and of
	// those that apps give it (github.com/WhatsApp/stickers, README).
	stickerSide = 512
	// maxSticker and maxAnimatedSticker are the largest stickers that WhatsApp
	// takes from apps, in bytes (the same README).
	maxSticker, maxAnimatedSticker = 100 << 10, 500 << 10
	// maxSide bounds a picture's sides in pixels, as WebP does; with that, scaling
	// takes up to 80 MB beside the decoded picture (of 22 megapixels).
	maxSide = 16383
	// coarsest is how many of the eight bits of a colour may be given up to make
	// a sticker small. A photo of 512 x 512 takes about 170 kB with all of them and
	// 60 kB without four; what is left of noise needs one more.
	coarsest = 5
)

// ErrAnimation is returned by ReadSticker for a GIF with several pictures, which
// a Transcoder makes a sticker of.
var ErrAnimation = errors.New("the picture is animated")

// Sticker is what a picture is as a sticker.
type Sticker struct {
	// WebP is the sticker that was made of the picture; nil when the picture is a
	// WebP, which is one already.
	WebP []byte
	// Width and Height are in pixels, 0 of a WebP that is not understood.
	Width, Height int
	// Animated says that it has several pictures.
	Animated bool
}

// ReadSticker makes a sticker of a JPEG, PNG or still GIF: a WebP of 512 by 512
// pixels, with transparent margins where the picture is not square, and of at
// most 100 KiB as far as fewer colours bring it there. A WebP is only described.
// It returns ErrAnimation for an animated GIF, ErrUnknown for anything else, for
// what is damaged, and for a picture that is too large to be decoded (see
// ReadPicture), and the reader's own error when it fails.
func ReadSticker(r io.Reader) (Sticker, error) {
	src := &source{r: r, left: MaxBytes}
	magic := make([]byte, 12)
	if _, err := io.ReadFull(src, magic); err != nil {
		return Sticker{}, src.unknown("read a sticker")
	}
	body := io.MultiReader(bytes.NewReader(magic), src)
	if string(magic[:4]) == "RIFF" && string(magic[8:]) == "WEBP" {
		data, err := io.ReadAll(io.LimitReader(body, maxWebP))
		if err != nil {
			return Sticker{}, fmt.Errorf("read a WebP: %w", err)
		}
		shape, _ := inspectWebP(data)
		return Sticker{Width: shape.width, Height: shape.height, Animated: shape.animated}, nil
	}
	for _, f := range formats {
		if !bytes.HasPrefix(magic, []byte(f.magic)) {
			continue
		}
		full, turn, err := f.whole(src, body)
		if err != nil {
			return Sticker{}, err
		}
		webp, err := encodeSticker(full, turn)
		return Sticker{WebP: webp, Width: stickerSide, Height: stickerSide}, err
	}
	return Sticker{}, src.unknown("read a sticker")
}

// whole decodes a picture within the bounds of ReadPicture, with the EXIF
// orientation in which it is to be shown.
func (f format) whole(src *source, body io.Reader) (full image.Image, turn int, err error) {
	var header bytes.Buffer
	config, err := f.config(io.TeeReader(io.LimitReader(body, maxHeader), &header))
	if err != nil || config.Width <= 0 || config.Height <= 0 || max(config.Width, config.Height) > maxSide || f.cost(header.Bytes(), config) > maxDecoded {
		return nil, 0, src.unknown("read the header of a picture")
	}
	turn = 1
	if f.magic == formats[0].magic {
		turn = orientation(header.Bytes())
	}
	rest := io.MultiReader(bytes.NewReader(header.Bytes()), body)
	if f.magic[:3] == "GIF" {
		data, err := io.ReadAll(io.LimitReader(rest, maxWebP))
		if err != nil {
			return nil, 0, src.unknown("read a GIF")
		}
		if gifFrames(data) > 1 {
			return nil, 0, ErrAnimation
		}
		rest = bytes.NewReader(data)
	}
	if full = decode(f.decode, rest); full == nil {
		return nil, 0, src.unknown("decode a picture")
	}
	return full, turn, nil
}

// gifFrames counts the pictures of a GIF, up to two, by its blocks alone: those
// of the decoder would all be in memory at once.
func gifFrames(data []byte) (n int) {
	table := func(flags byte) int {
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (flags&7 + 1)
	}
	if len(data) < 13 {
		return 0
	}
	at := 13 + table(data[10])
	blocks := func() {
		for at < len(data) && data[at] != 0 {
			at += 1 + int(data[at])
		}
		at++
	}
	for at < len(data) && n < 2 {
		switch data[at] {
		case 0x21: // an extension: its label, then blocks
			at += 2
			blocks()
		case 0x2c: // a picture: nine bytes, its colours, the size of codes, then blocks
			if n++; at+9 >= len(data) {
				return n
			}
			at += 11 + table(data[at+9])
			blocks()
		default:
			return n
		}
	}
	return n
}

// encodeSticker fits a picture into the square and writes it as WebP.
func encodeSticker(full image.Image, turn int) ([]byte, error) {
	bounds := full.Bounds()
	width, height := bounds.Dx(), bounds.Dy()
	if longest := max(width, height); longest > 0 {
		width, height = max(1, width*stickerSide/longest), max(1, height*stickerSide/longest)
	}
	left, top := (stickerSide-width)/2, (stickerSide-height)/2
	square := image.NewRGBA(image.Rect(0, 0, stickerSide, stickerSide))
	draw.CatmullRom.Scale(square, image.Rect(left, top, left+width, top+height), full, bounds, draw.Src, nil)
	square = turned(square, turn)
	// WebP's colours are not multiplied by their alpha.
	pixels := image.NewNRGBA(square.Bounds())
	draw.Draw(pixels, pixels.Bounds(), square, image.Point{}, draw.Src)
	for bits := 0; ; bits++ {
		var out bytes.Buffer
		if err := nativewebp.Encode(&out, coarse(pixels, bits), nil); err != nil {
			return nil, fmt.Errorf("write a sticker: %w", err)
		}
		if out.Len() <= maxSticker || bits == coarsest {
			return out.Bytes(), nil
		}
	}
}

// coarse is a picture with that many bits less of each colour.
func coarse(in *image.NRGBA, bits int) *image.NRGBA {
	if bits == 0 {
		return in
	}
	out := image.NewNRGBA(in.Rect)
	step := 1 << bits
	for i, v := range in.Pix {
		if i%4 < 3 {
			v = byte(min((int(v)+step/2)/step*step, 255))
		}
		out.Pix[i] = v
	}
	return out
}

// AnimatedSticker makes a sticker of an animated GIF, as ReadSticker does of
// still pictures: of its first ten seconds, as WhatsApp's are, in at most 500
// KiB. It returns ErrTooLarge where that is not enough. Other errors are those of
// Voice.
func (t *Transcoder) AnimatedSticker(ctx context.Context, in io.Reader) ([]byte, error) {
	if t == nil {
		return nil, ErrNoTranscoder
	}
	data, err := io.ReadAll(&source{r: in, left: maxWebP})
	if err != nil {
		return nil, fmt.Errorf("read a GIF: %w", err)
	}
	const fit = "scale=512:512:force_original_aspect_ratio=decrease,format=bgra,pad=512:512:-1:-1:color=black@0"
	for _, try := range []struct{ rate, quality int }{{15, 60}, {10, 30}, {6, 10}} {
		var out bytes.Buffer
		bounded := &boundedWriter{w: &out, left: maxAnimatedSticker}
		err = t.run(ctx, bytes.NewReader(data), bounded, io.Discard,
			"-map", "0:v:0", "-an", "-t", "10", "-vf", "fps="+strconv.Itoa(try.rate)+","+fit,
			"-c:v", "libwebp_anim", "-quality", strconv.Itoa(try.quality), "-loop", "0", "-f", "webp", "pipe:1")
		if err == nil && bounded.err == nil {
			return out.Bytes(), nil
		}
		if bounded.err != nil {
			err = fmt.Errorf("make a sticker: %w", ErrTooLarge)
			continue
		}
		return nil, err
	}
	return nil, err
}
