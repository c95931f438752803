package mediainfo

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

// squareQuality is JPEG's; a photo of 640 by 640 pixels takes some 100 kB.
const squareQuality = 85

// Square makes a square JPEG of the middle of a JPEG, PNG, GIF (its first frame) or WebP, at most so many pixels wide; transparency becomes
// white. It returns ErrUnknown for anything else and for a damaged file, ErrTooLarge for an image that is not to be decoded (see ReadPicture),
// and the reader's own error when it fails.
func Square(r io.Reader, most int) ([]byte, error) {
	src := &source{r: r, left: MaxBytes}
	full, turn, err := readWhole(src)
	if err != nil {
		return nil, err
	}
	bounds := full.Bounds()
	side := min(bounds.Dx(), bounds.Dy())
	if side <= 0 {
		return nil, src.unknown("read picture")
	}
	middle := image.Rect(0, 0, side, side).Add(bounds.Min).Add(image.Pt((bounds.Dx()-side)/2, (bounds.Dy()-side)/2))
	small := image.NewRGBA(image.Rect(0, 0, min(side, most), min(side, most)))
	draw.Draw(small, small.Bounds(), image.White, image.Point{}, draw.Src)
	draw.BiLinear.Scale(small, small.Bounds(), full, middle, draw.Over, nil)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, turned(small, turn), &jpeg.Options{Quality: squareQuality}); err != nil {
		return nil, fmt.Errorf("encode picture: %w", err)
	}
	return out.Bytes(), nil
}

// readWhole decodes an image, with EXIF's orientation of it.
func readWhole(src *source) (full image.Image, turn int, err error) {
	magic := make([]byte, 12)
	if _, err := io.ReadFull(src, magic); err != nil {
		return nil, 0, src.unknown("read picture")
	}
	body := io.MultiReader(bytes.NewReader(magic), src)
	if string(magic[:4]) == "RIFF" && string(magic[8:]) == "WEBP" {
		data, err := io.ReadAll(io.LimitReader(body, maxWebP))
		if err != nil {
			return nil, 0, fmt.Errorf("read a WebP: %w", err)
		}
		shape, ok := inspectWebP(data)
		if ok && shape.decodable && shape.cost() > maxDecoded {
			return nil, 0, ErrTooLarge
		}
		if ok && shape.decodable {
			full = decode(webp.Decode, bytes.NewReader(data))
		}
		if full == nil {
			return nil, 0, src.unknown("decode a WebP")
		}
		return full, 1, nil
	}
	for _, f := range formats {
		if !bytes.HasPrefix(magic, []byte(f.magic)) {
			continue
		}
		var header bytes.Buffer
		config, err := f.config(io.TeeReader(io.LimitReader(body, maxHeader), &header))
		if err != nil || config.Width <= 0 || config.Height <= 0 {
			return nil, 0, src.unknown("read the header of a picture")
		}
		if f.cost(header.Bytes(), config) > maxDecoded {
			return nil, 0, ErrTooLarge
		}
		if f.magic == formats[0].magic {
			turn = orientation(header.Bytes())
		}
		if full = decode(f.decode, io.MultiReader(bytes.NewReader(header.Bytes()), body)); full == nil {
			return nil, 0, src.unknown("decode a picture")
		}
		return full, turn, nil
	}
	return nil, 0, src.unknown("read picture")
}
